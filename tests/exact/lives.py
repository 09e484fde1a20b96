"""Lets drawn states die and come back in fresh processes, and compares what comes back with what was drawn.

    commit    draws each state and commits it with the real writer
    restore   another process: restores each, without an initial state and into one that was drawn and changed,
              compares, and commits right after the restore
    again     a third process: restores what the second committed, and compares (a second death right after the first)

Each process has its own hashes of text. A writer commits many states one after another, each after a changed one of
the same seed: what it remembers of one must not show in the next.
"""

from __future__ import annotations

import gc
import json
import mmap
import os
import subprocess
import sys
import tempfile
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

import tensor_bugs  # noqa: E402
from bugs import AFTER_RESTORE, SECOND  # noqa: E402
from deep import difference  # noqa: E402
from images import new_writer, newest_image  # noqa: E402
from perturb import perturb  # noqa: E402
from states import draw, only_poured, palette_of  # noqa: E402

from goldthread.errors import CannotStore  # noqa: E402
from goldthread.names import Step  # noqa: E402
from goldthread.state.restore import pour, read  # noqa: E402

__all__ = ["Case", "Result", "live"]

assert tensor_bugs  # It enters its bugs.

SECONDS_MOST = 300
CIRCLE = "it contains itself"
"""What a refusal says of a circle by way of something that must be whole when it is made, such as a frozenset. Such
circles may be refused; which ones may not is tested by name."""
BATCH = 250
BATCH_LEAST = 25
_PAGE = mmap.PAGESIZE


class Case(NamedTuple):
    """What a state is drawn from."""

    seed: int
    size: int | None = None
    kinds: tuple[str, ...] | None = None
    bug: str | None = None
    """What is planted: one of `bugs.py` or `tensor_bugs.py`."""
    libraries: tuple[str, ...] = ()
    """Of which kinds are drawn beside those of Python and NumPy."""

    def drawn(self) -> Any:
        return draw(self.seed, self.size, self.kinds, self.libraries)

    def ways(self) -> tuple[str, ...]:
        """How it comes back: without an initial state, into one, and mapped, which is seen of some."""
        if only_poured(palette_of(self.seed, self.kinds, self.libraries)):
            return ("pour",)
        return ("restore", "pour") if self.seed % 4 else ("restore", "pour", "map")

    def __str__(self) -> str:
        """How to run it alone."""
        size = "" if self.size is None else f" --size {self.size}"
        kinds = "" if self.kinds is None else f' --kinds "{",".join(self.kinds)}"'
        libraries = f" --libraries {','.join(self.libraries)}" if self.libraries else ""
        return f"python tests/exact --seed {self.seed}{size}{kinds}{libraries}"


class Result(NamedTuple):
    case: Case
    outcome: str
    """`kept`, `refused`, `circle` (refused, since it contains itself) or `wrong`."""
    text: str = ""
    """Where, and what differs or was refused."""


# What is used of goldthread.


class Commits:
    """One writer, and the file in which the images of its commits are kept."""

    def __init__(self, path: Path) -> None:
        self._writer = new_writer()
        self._file = path.open("wb")
        self._index = path.with_suffix(".index")
        self._places: dict[str, tuple[int, int]] = {}

    def commit(self, name: str | None, state: Any) -> None:
        """Commit a state; with a name, keep its image. Raises `CannotStore`."""
        try:
            self._writer.write(state, Step(0), generators=False)
        except CannotStore:
            raise
        except BaseException:
            self._writer = new_writer()  # The next state is not to suffer.
            raise
        if name is not None:
            image = newest_image(self._writer)
            self._file.seek(-(-self._file.tell() // _PAGE) * _PAGE)
            self._places[name] = self._file.tell(), len(image)
            self._file.write(image)

    def close(self) -> None:
        self._file.truncate(max(_PAGE, self._file.tell()))
        self._file.close()
        self._index.write_text(json.dumps(self._places))
        self._writer.close()


class Images:
    """What a process before this one committed."""

    def __init__(self, path: Path) -> None:
        with path.open("rb") as file:
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
        self._places = json.loads(path.with_suffix(".index").read_text())

    def __contains__(self, name: str) -> bool:
        return name in self._places

    def __getitem__(self, name: str) -> memoryview:
        at, length = self._places[name]
        return memoryview(self._map)[at : at + length]


def restored(image: memoryview) -> Any:
    return read(image, map=False, pickle=False)


def mapped(image: memoryview) -> Any:
    return read(image, map=True, pickle=False)


def poured(image: memoryview, initial: Any) -> Any:
    return pour(image, initial, map=False, pickle=False).state


# The three processes.


class _Wrong(Exception):
    """What came back is not what was committed."""


def _commit(cases: Sequence[Case], folder: Path) -> Iterator[Callable[[], str]]:
    commits = Commits(folder / "first")
    for number, case in enumerate(cases):

        def one(number: int = number, case: Case = case) -> str:
            changed = perturb(case.drawn(), case.seed)
            with suppress(CannotStore):  # So will the one that counts be.
                commits.commit(None, changed)
            try:
                commits.commit(str(number), case.drawn())
            except CannotStore as error:
                return str(error)
            return ""

        yield one
    commits.close()


def _restore(cases: Sequence[Case], folder: Path) -> Iterator[Callable[[], str]]:
    images, commits = Images(folder / "first"), Commits(folder / "second")
    for number, case in enumerate(cases):

        def one(number: int = number, case: Case = case) -> str:
            image = images[str(number)]
            mine = case.drawn()
            for way in case.ways():
                its = _come_back(way, image, case)
                if case.bug in AFTER_RESTORE:
                    AFTER_RESTORE[case.bug](its)
                if way != "map":
                    commits.commit(f"{number} {way}", {**its, "step": -1} if case.bug == SECOND else its)
                _check(way, mine, its)
            return ""

        yield one if str(number) in images else lambda: ""
    commits.close()


def _again(cases: Sequence[Case], folder: Path) -> Iterator[Callable[[], str]]:
    images = Images(folder / "second")
    for number, case in enumerate(cases):

        def one(number: int = number, case: Case = case) -> str:
            mine = case.drawn()
            for way in case.ways():
                if way != "map":
                    _check(f"the second death, {way}", mine, _come_back(way, images[f"{number} {way}"], case))
            return ""

        yield one if f"{number} pour" in images else lambda: ""


def _come_back(way: str, image: memoryview, case: Case) -> Any:
    if way == "pour":
        return poured(image, perturb(case.drawn(), case.seed + 1))
    return mapped(image) if way == "map" else restored(image)


def _check(way: str, mine: Any, its: Any) -> None:
    found = difference(mine, its)
    if found is not None:
        raise _Wrong(f"{way}: {found}")


_STAGES = {"commit": _commit, "restore": _restore, "again": _again}


def _work(stage: str, folder: Path) -> None:
    """One process: what became of each case, line by line."""
    wanted = json.loads((folder / "cases.json").read_text())
    cases = [Case(*(tuple(one) if isinstance(one, list) else one for one in case)) for case in wanted]
    warnings.simplefilter("ignore")
    with (folder / f"{stage}.told").open("w", buffering=1) as told:
        for number, one in enumerate(_STAGES[stage](cases, folder)):
            try:
                outcome, text = "kept", one()
                if text:
                    outcome = "circle" if CIRCLE in text else "refused"
            except _Wrong as wrong:
                outcome, text = "wrong", str(wrong)
            except BaseException as error:
                if isinstance(error, KeyboardInterrupt) and not error.args:
                    raise
                at = traceback.extract_tb(error.__traceback__)[-1]
                outcome = "wrong"
                text = f"{stage}: {type(error).__name__}: {str(error)[:300]} ({Path(at.filename).name}, {at.name})"
            told.write(json.dumps([number, outcome, " ".join(text.split())]) + "\n")
            if number % 50 == 0:
                gc.collect()


# All of them.


def live(cases: Sequence[Case]) -> list[Result]:
    """What became of each case, in their order. As many batches at a time as there are cores."""
    cores = os.cpu_count() or 1
    size = max(BATCH_LEAST, min(BATCH, -(-len(cases) // cores)))
    batches = [cases[first : first + size] for first in range(0, len(cases), size)]
    with ThreadPoolExecutor(cores) as pool:
        return [result for results in pool.map(_live_batch, batches) for result in results]


def _live_batch(cases: Sequence[Case]) -> list[Result]:
    results: dict[int, Result] = {}
    with tempfile.TemporaryDirectory(prefix="goldthread-exact-") as name:
        folder = Path(name)
        (folder / "cases.json").write_text(json.dumps(cases))
        for stage in _STAGES:
            end = _run_stage(stage, folder)
            told = [json.loads(line) for line in (folder / f"{stage}.told").read_text().splitlines()]
            for number, outcome, text in told:
                if outcome != "kept" and number not in results:
                    results[number] = Result(cases[number], outcome, text)
            if end:
                results.setdefault(len(told), Result(cases[len(told) % len(cases)], "wrong", f"{stage}: {end}"))
                break
    return [results.get(number, Result(case, "kept")) for number, case in enumerate(cases)]


def _run_stage(stage: str, folder: Path) -> str:
    """Empty, or how the process ended instead."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONHASHSEED"}
    environment |= {"JAX_ENABLE_X64": "1", "OMP_NUM_THREADS": "1"}  # For numbers of 64 bits; many processes run.
    command = [sys.executable, str(HERE / "lives.py"), stage, str(folder)]
    (folder / f"{stage}.told").touch()
    try:
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=SECONDS_MOST, check=False
        )
    except subprocess.TimeoutExpired:
        return f"the process hung for {SECONDS_MOST} s"
    return "" if done.returncode == 0 else f"the process ended with {done.returncode}: {done.stderr[-600:]}"


if __name__ == "__main__":
    _work(sys.argv[1], Path(sys.argv[2]))
