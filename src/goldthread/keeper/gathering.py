"""Which of a program's own small files travel with it, and reading them.

Of the working directory: what the user names in `GOLDTHREAD_BUNDLE`; else what git tracks there; else the modules
and packages beside the script. The files that the command line names go in any case. A script that lies elsewhere
brings its own folder, by the same rules. Data is not a program's own: what is too large is left out, and said.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from goldthread.errors import PartnerError
from goldthread.keeper.interpreter import is_python
from goldthread.wire.bundle import BundleFile, BundleLimits, Tree, is_safe_path, unpack
from goldthread.wire.messages import Command

__all__ = ["LAID_OUT", "Gatherer"]

LAID_OUT: Final = "bundle"
"""In a folder where a bundle was laid out, beside its trees: the bundle itself."""
_FILES: Final = "GOLDTHREAD_BUNDLE"
_GIT_SECONDS: Final = 10.0
_NOT_OWN: Final = frozenset({"__pycache__", ".git", ".venv", "node_modules"})


class Gatherer:
    """Gathers the trees of one bundle, within limits."""

    def __init__(self, limits: BundleLimits) -> None:
        self._limits = limits
        self._bytes = 0
        self._files = 0
        self.left_out: list[str] = []
        """A phrase for each file that does not travel though it was chosen, and for each choice of none."""

    def gather(self, command: Command) -> tuple[Tree, ...]:
        """The first tree is the working directory."""
        directory = Path(os.path.normpath(command.directory))
        named = _named(command, directory)
        folders = dict.fromkeys([directory, *(path.parent for path in named if not path.is_relative_to(directory))])
        trees = []
        for folder in folders:
            own = [path for path in named if path.is_relative_to(folder)]
            wanted = command.environment.get(_FILES, "") if folder is directory else ""
            found = self._wanted(folder, wanted) if wanted else _usual(folder, own, command)
            chosen = sorted(found, key=lambda path: path.suffix != ".py")
            paths = dict.fromkeys([*own, *chosen])  # Where not all fit, modules go before whatever else is tracked.
            files = [file for path in paths if (file := self._read(folder, path)) is not None]
            trees.append(Tree(str(folder), tuple(sorted(files, key=lambda file: file.path))))
        return tuple(trees)

    def _read(self, folder: Path, path: Path) -> BundleFile | None:
        """The file, where it may travel."""
        name, content, is_executable = path.relative_to(folder).as_posix(), b"", False
        try:
            real = path.resolve(strict=True)
            objection = self._object(folder, name, real)
            if not objection:
                content, is_executable = real.read_bytes(), os.access(real, os.X_OK)
        except FileNotFoundError:
            return None  # Git tracks it still.
        except (OSError, RuntimeError) as error:
            objection = str(error)
        if objection:
            self._leave_out(name, objection)
            return None
        self._files += 1
        self._bytes += len(content)
        return BundleFile(name, is_executable, content)

    def _wanted(self, folder: Path, wanted: str) -> list[Path]:
        """The files that the user names, part by part. A part that names none is said: without it a program would not
        start elsewhere."""
        chosen = []
        for part in filter(None, wanted.split(os.pathsep)):
            objection = "it names no file of this folder"
            try:
                found = sorted(_matching(folder, part))
            except (ValueError, NotImplementedError, OSError) as error:  # Not a pattern, or it may not be looked at.
                found, objection = [], str(error)
            if not found:
                self._leave_out(part, objection)
            chosen += found
        return sorted(chosen)

    def _leave_out(self, name: str, objection: str) -> None:
        self.left_out.append(f"{name if name.isprintable() else repr(name)} ({objection})")

    def _object(self, folder: Path, name: str, real: Path) -> str:
        """Why a file may not travel; empty where it may."""
        size = real.stat().st_size
        if not real.is_file() or not is_safe_path(name):
            return "no plain file"
        if not real.is_relative_to(folder.resolve()):
            return "a link to elsewhere"
        if size > self._limits.file_bytes:
            return f"{size / (1 << 20):.1f} MiB"
        if self._files == self._limits.files or self._bytes + size > self._limits.bytes:
            return "the bundle is full"
        return ""


def _named(command: Command, directory: Path) -> list[Path]:
    """The files of the command line that are the program's own: scripts, and whatever lies in its directory."""
    arguments = command.argv[1:] if is_python(command.argv[0]) else command.argv
    paths = [Path(os.path.normpath(directory / argument.rpartition("=")[2])) for argument in arguments]
    return [
        path
        for path in dict.fromkeys(paths)
        if (path.suffix == ".py" or path.is_relative_to(directory)) and os.access(path, os.R_OK) and path.is_file()
    ]


def _usual(folder: Path, named: Sequence[Path], command: Command) -> Iterable[Path]:
    """Which files of a folder belong to the program, beside the named ones, where the user does not say."""
    known = _laid_out(folder) or _tracked(folder)
    if known:
        return known
    beside = [path for own in named if own.suffix == ".py" for path in _importable(own.parent)]
    return sorted([*beside, *_run_by_name(folder, command)])


def _matching(folder: Path, part: str) -> Iterator[Path]:
    """Of a folder all that is in it, of a pattern all that it matches. What is no file that can be read is said when
    it is read. Raises `ValueError` and `NotImplementedError` for what is no pattern, `OSError`."""
    place = Path(os.path.normpath(folder / part))
    for path in place.rglob("*") if place.is_dir() else folder.glob(f"{part}/*" if part.endswith("**") else part):
        is_inside = path.is_relative_to(folder) and not _is_folder(path)
        if is_inside and _NOT_OWN.isdisjoint(path.relative_to(folder).parts):
            yield path


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # It may not be looked at.
        return False


def _laid_out(folder: Path) -> list[Path]:
    """What came with a bundle, where the folder is one that was laid out for a member taken over."""
    if not folder.name.isdecimal():
        return []
    try:
        trees = unpack((folder.parent / LAID_OUT).read_bytes(), BundleLimits()).trees
        return [folder / file.path for file in trees[int(folder.name)].files]
    except (OSError, PartnerError, IndexError):
        return []


def _tracked(folder: Path) -> list[Path]:
    """What git tracks in a folder; nothing where there is no git, no repository, or one of another user."""
    try:
        listed = subprocess.run(
            ["git", "-c", "core.fsmonitor=false", "ls-files", "-z", "--recurse-submodules"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=folder,
            env=_without_git(os.environ),
            timeout=_GIT_SECONDS,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return []
    return [folder / os.fsdecode(name) for name in listed.stdout.split(b"\0") if name]


def _without_git(environment: Mapping[str, str]) -> dict[str, str]:
    """So that no variable leads git to another repository."""
    return {name: value for name, value in environment.items() if not name.startswith("GIT_")}


def _importable(folder: Path) -> Iterator[Path]:
    """What a program that Python runs here imports by name: the modules of the folder, and those of its packages."""
    yield from folder.glob("*.py")
    for marker in folder.glob("*/__init__.py"):
        yield from _modules(marker.parent)


def _modules(package: Path) -> Iterator[Path]:
    return (path for path in package.rglob("*.py") if _NOT_OWN.isdisjoint(path.relative_to(package).parts))


def _run_by_name(folder: Path, command: Command) -> Iterator[Path]:
    """What `python -m` runs, where it lies in the folder, and what it may import from there."""
    if "-m" not in command.argv[:-1]:
        return
    package = folder / command.argv[command.argv.index("-m") + 1].partition(".")[0]
    if package.is_dir():
        yield from _modules(package)
    if package.is_dir() or package.with_suffix(".py").is_file():
        yield from _importable(folder)
