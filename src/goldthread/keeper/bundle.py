"""What a takeover needs, made at the owner before it is needed, and kept and laid out at the holder.

A bundle is kept as one file under its digest. Its files are laid out as soon as it comes, in a folder of their own,
each written whole, none through a link: whatever the partner says, nothing outside is touched. Nothing of it is run
before its member is taken over; then it is only moved, so that a takeover needs no room on the disk. A folder that was
taken over is never cleared, since the program has worked in it.

    HOME/members/MEMBER/bundles/DIGEST.bundle           the newest two of a member that this keeper owns
    HOME/bundles/PARTNER/MEMBER/DIGEST.bundle           the newest two of a member that it holds
    HOME/bundles/PARTNER/MEMBER/DIGEST/0, 1 ...         the trees of each
    HOME/members/MEMBER/program/DIGEST/0, 1 ...         the trees of one that it took over, and in `bundle` beside
                                                        them what they were laid out from
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from goldthread.errors import KeeperError, PartnerError
from goldthread.keeper.gathering import LAID_OUT, Gatherer
from goldthread.keeper.interpreter import describe, interpreter_of, is_python
from goldthread.keeper.variables import host_variables, travelling
from goldthread.local import Home
from goldthread.names import KeeperId, MemberName, member_name
from goldthread.rules.bond_events import BundleMade
from goldthread.wire.bundle import Bundle, BundleFile, BundleLimits, differences, digest_of, pack, unpack
from goldthread.wire.messages import Command
from goldthread.wire.scrutiny import check_keeper_id

__all__ = [
    "Gathered",
    "adopt_bundle",
    "gather",
    "held_folder",
    "keep_bundle",
    "lay_out",
    "make_bundle",
    "owned_folder",
    "read_bundle",
    "receive_bundle",
]

_KEPT: Final = ".bundle"
_VARIABLES: Final = "GOLDTHREAD_BUNDLE_ENVIRONMENT"
_NAMED_MOST: Final = 5


@dataclass(frozen=True, slots=True)
class Gathered:
    bundle: Bundle
    left: str
    """What does not travel though the program may miss it, in one sentence; empty where there is nothing."""


def owned_folder(home: Home, member: MemberName) -> Path:
    return home.member(member) / "bundles"


def held_folder(home: Home, partner: KeeperId, member: MemberName) -> Path:
    """Both names may be a partner's words, and become a path."""
    return home.path / "bundles" / check_keeper_id(partner) / member_name(member)


# At the owner


def make_bundle(home: Home, member: MemberName, command: Command) -> BundleMade:
    """Gather and keep what is needed to run a member that `run` started.

    It reads files and asks git and the interpreter: for a worker thread, whenever a life has begun.
    """
    try:
        gathered = gather(member, command)
        packed = pack(gathered.bundle)
        if len(packed) > BundleLimits().packed_bytes:
            return BundleMade(member, "", f"its command and variables alone are too large: {len(packed)} bytes")
        return BundleMade(member, keep_bundle(packed, owned_folder(home, member)), gathered.left)
    except (OSError, UnicodeError, KeeperError) as error:
        return BundleMade(member, "", f"what is needed to run {member} elsewhere cannot be gathered: {error}")


def gather(member: MemberName, command: Command, limits: BundleLimits | None = None) -> Gathered:
    """Raises `OSError` where the working directory is gone."""
    Path(command.directory).stat()
    named = command.environment.get(_VARIABLES, "").replace(",", " ").split()
    environment, credentials = travelling(command.environment, named)
    gatherer = Gatherer(limits or BundleLimits())
    trees = gatherer.gather(command)
    interpreter = interpreter_of(command.argv[0], command.environment)
    described = None if interpreter is None else describe(interpreter, command.environment)
    bundle = Bundle(member, command.argv, trees[0].folder, environment, trees, described)
    left = []
    if gatherer.left_out:
        left.append(f"left out: {_some(gatherer.left_out)}")
    if credentials:
        left.append(f"not told to a partner: {_some(credentials)}")
    return Gathered(bundle, "; ".join(left))


def _some(phrases: Sequence[str]) -> str:
    more = len(phrases) - _NAMED_MOST
    return ", ".join(phrases[:_NAMED_MOST]) + (f" and {more} more" if more > 0 else "")


# Kept


def keep_bundle(packed: bytes, folder: Path) -> str:
    """Keep a bundle, and the one before it, which may be the one that is known of yet. Returns its digest."""
    digest = digest_of(packed)
    kept = folder / f"{digest}{_KEPT}"
    if not kept.exists():
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _write_whole(kept, packed)
    others = [path for path in folder.glob(f"*{_KEPT}") if path != kept]
    for older in sorted(others, key=lambda path: path.stat().st_mtime_ns)[:-1]:
        older.unlink(missing_ok=True)
        shutil.rmtree(older.with_suffix(""), ignore_errors=True)
    return digest


def read_bundle(folder: Path, digest: str) -> bytes:
    """Raises `KeeperError` where it is not there, or not what its digest says."""
    try:
        packed = (folder / f"{digest}{_KEPT}").read_bytes()
    except (OSError, ValueError) as error:
        raise KeeperError(f"the bundle {digest} is not in {folder}: {error}") from error
    if digest_of(packed) != digest:
        raise KeeperError(f"the bundle {digest} in {folder} is damaged")
    return packed


# At the holder


def receive_bundle(home: Home, partner: KeeperId, member: MemberName, digest: str, packed: bytes) -> tuple[str, ...]:
    """Keep and lay out what came from a partner, and say how this host differs from what it needs. For a worker thread.

    Raises `PartnerError` where it cannot be right, `KeeperError` where it cannot be kept.
    """
    bundle = unpack(packed, BundleLimits())
    if bundle.member != member or digest_of(packed) != digest:
        raise PartnerError(f"a bundle came that is not the one of {member} that was announced")
    folder = held_folder(home, partner, member)
    try:
        keep_bundle(packed, folder)
    except OSError as error:
        raise KeeperError(f"the bundle of {member} cannot be kept: {error}") from error
    lay_out(bundle, folder / digest)
    _, said = _program_here(bundle)
    there = bundle.interpreter
    if there is None:
        return said
    # Nothing of the partner's runs here before a takeover: its variables least of all.
    is_here = is_python(there.path) and os.access(there.path, os.X_OK)
    return (*said, *differences(there, describe(there.path if is_here else sys.executable, os.environ)))


def adopt_bundle(home: Home, partner: KeeperId, member: MemberName, digest: str) -> Command:
    """What was kept for a partner becomes this keeper's own; returns what to start. Raises `KeeperError`."""
    held, owned = held_folder(home, partner, member), owned_folder(home, member)
    program = home.member(member) / "program" / digest
    kept = f"{digest}{_KEPT}"
    try:
        for source, target in ((held / kept, owned / kept), (held / digest, program)):
            target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            if source.exists() and not target.exists():
                source.rename(target)
    except OSError as error:
        raise KeeperError(f"the bundle of {member} cannot be moved: {error}") from error
    return lay_out(unpack(read_bundle(owned, digest), BundleLimits()), program)


def lay_out(bundle: Bundle, folder: Path) -> Command:
    """Write the bundle's files into the folder, unless that was done before, and return what to start there.

    Paths into the owner's folders become paths into this one, where they are in the bundle or not on this host
    otherwise. Raises `KeeperError` where the files cannot be written.
    """
    try:
        if folder.exists():
            _complete(bundle, folder)
        else:
            _lay_out_anew(bundle, folder)
    except OSError as error:
        raise KeeperError(f"the bundle of {bundle.member} cannot be laid out: {error}") from error
    places = _Places(bundle, folder)
    program, _ = _program_here(bundle)
    environment = {name: places.move_all(value) for name, value in bundle.environment.items()}
    return Command(
        (places.move(program), *map(places.move, bundle.argv[1:])),
        str(folder / "0"),
        {**host_variables(os.environ), **environment},
    )


def _lay_out_anew(bundle: Bundle, folder: Path) -> None:
    """The folder appears under its name when all of it is written."""
    folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    beside = Path(tempfile.mkdtemp(prefix=".being-written-", dir=folder.parent))
    try:
        for path, file in _files(bundle, beside):
            path.parent.mkdir(parents=True, exist_ok=True)
            _write_new(path, file)
        (beside / "0").mkdir(exist_ok=True)
        (beside / LAID_OUT).write_bytes(pack(bundle))
        beside.rename(folder)
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        raise


def _complete(bundle: Bundle, folder: Path) -> None:
    """Write again what a loss of power left empty; what the program changed since stays."""
    for path, file in _files(bundle, folder):
        if file.content and not path.is_symlink() and path.is_file() and path.stat().st_size == 0:
            path.unlink()
            _write_new(path, file)


def _files(bundle: Bundle, folder: Path) -> list[tuple[Path, BundleFile]]:
    return [(folder / str(at) / file.path, file) for at, tree in enumerate(bundle.trees) for file in tree.files]


def _write_new(path: Path, file: BundleFile) -> None:
    """Make a file where nothing is yet: a link, wherever it leads, is not written through."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    with os.fdopen(os.open(path, flags, 0o700 if file.is_executable else 0o600), "wb") as opened:
        opened.write(file.content)


def _write_whole(path: Path, content: bytes) -> None:
    """Beside its place first, then moved there."""
    descriptor, beside = tempfile.mkstemp(prefix=".being-written-", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(beside).replace(path)
    except BaseException:
        Path(beside).unlink(missing_ok=True)
        raise


def _program_here(bundle: Bundle) -> tuple[str, tuple[str, ...]]:
    """What runs the bundle's command on this host, and what is to be said about it."""
    program = bundle.argv[0]
    if os.access(program, os.X_OK) or _is_in_tree(bundle, program):
        return program, ()
    if is_python(program):
        return sys.executable, (f"{program} is not at the holder: {sys.executable} would run it there",)
    found = shutil.which(Path(program).name)
    if found is None:
        return program, (f"{program} is not at the holder",)
    return found, (f"{program} is not at the holder: {found} would run there",)


def _is_in_tree(bundle: Bundle, program: str) -> bool:
    return any(program == f"{tree.folder}/{file.path}" for tree in bundle.trees for file in tree.files)


class _Places:
    """Where the owner's folders are on this host."""

    def __init__(self, bundle: Bundle, folder: Path) -> None:
        self._directory = Path(bundle.directory)
        self._trees = [(Path(tree.folder), folder / str(at)) for at, tree in enumerate(bundle.trees)]

    def move(self, argument: str) -> str:
        """An argument that is a path into a tree, or an option with such a path behind `=`."""
        option, equals, path = argument.rpartition("=")
        moved = self._move(argument)
        return moved if moved != argument else f"{option}{equals}{self._move(path)}"

    def move_all(self, value: str) -> str:
        """A variable's value: paths parted as in PATH."""
        return os.pathsep.join(map(self._move, value.split(os.pathsep)))

    def _move(self, text: str) -> str:
        path = Path(os.path.normpath(self._directory / text))
        if not Path(text).is_absolute() and path.is_relative_to(self._directory):
            return text  # It goes by the working directory, which has moved.
        for folder, place in self._trees:
            if path.is_relative_to(folder):
                moved = place / path.relative_to(folder)
                if os.access(moved, os.F_OK) or not os.access(path, os.F_OK):
                    return str(moved)
        return text
