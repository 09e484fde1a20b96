"""What several runs of a program left behind, and what can be told from them. Pure.

There are at least three runs to the same step. *Calm* and *killed* have the same seed for hashes and the same pattern
in fresh memory; *other* has others, and is undisturbed as calm is. A leaf that differs between calm and other does so
in every run: it says nothing about deaths, so it is set aside, and its own cause is named. Where it is no time, calm is
run again just as it was: what agrees then follows hashes or memory, which a further run tells apart, and can be
compared with killed after all. What remains and differs in killed lacks something in the state; what that is shows in
what each commit consumed, in the draws from the global generators, and in what stood outside the state at the end.

Rejected: to ask for one kind of difference after the other, with runs made for each. Most programs are exact, and
would pay for all of them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from enum import StrEnum
from itertools import pairwise
from typing import Any, Final, NamedTuple

import msgspec

from goldthread.wire.rehearsal import CommitFact, EndFact, Outsider

__all__ = [
    "Aside",
    "CauseKind",
    "Clock",
    "DataView",
    "Leaf",
    "Outside",
    "are_times",
    "find_draws",
    "find_first_steps",
    "find_outside",
    "is_below",
    "judge_unsteady",
    "look_at_data",
    "needs_another_run",
]


class CauseKind(StrEnum):
    """The kinds of what makes a program go on otherwise, or run otherwise each time."""

    GENERATOR = "generator outside the state"
    DRAWS = "global generators drawn from anew"
    ITERATOR = "iterator begun anew"
    DATA = "order of data"
    OUTSIDE = "value outside the state"
    MODEL = "wrapped model"
    TIME = "time"
    HASH = "hash order"
    MEMORY = "uninitialised memory"
    THREADS = "threads"
    CHANCE = "chance"


class Leaf(NamedTuple):
    """A leaf that differs between two runs."""

    place: str
    text: str
    kind: str = ""
    """Of its node in the commit: `array`, `pickle` ..."""
    values: tuple[Any, Any] | None = None
    bits: tuple[bytes, bytes] = (b"", b"")
    owner: str = ""
    """The place of the object that gave it by its `state_dict`."""

    def __str__(self) -> str:
        return f"{self.place}: {self.text}"


class Aside(msgspec.Struct, frozen=True):
    """A leaf that differs between undisturbed runs."""

    place: str
    text: str
    kind: CauseKind
    always: bool
    """Whether it differs also between two runs alike in hashes and memory, so that no death can be judged by it."""

    def __str__(self) -> str:
        return f"{self.place}: {self.text}"


class Clock(NamedTuple):
    """From when to when the runs took place, in seconds."""

    wall: tuple[float, float]
    host: tuple[float, float]
    """By the clock that `time.monotonic` and `time.perf_counter` show."""


class DataView(msgspec.Struct, frozen=True):
    """What was noted of the data, killed against undisturbed."""

    noted: int
    """Commits that consumed something that was noted."""
    first_other: int | None
    """The first step whose commit consumed something else; None where all agree."""
    same_as: int | None = None
    """The step that consumed this undisturbed."""
    began_anew: bool = False
    """Whether that is the first step, or the first of an epoch."""
    steady: bool = True
    """Whether two undisturbed runs consumed the same."""


class Outside(msgspec.Struct, frozen=True):
    """Something that looks like state and is not in it."""

    name: str
    what: str
    kind: str
    changed: bool | None
    """While the program ran undisturbed; None: that cannot be seen."""
    differs: bool | None
    """Whether it ended otherwise where the program was killed, and only there; None: that cannot be seen."""
    varies: bool = False
    """Whether it ends otherwise in each undisturbed run."""


# What differs in every run.


_UNITS: Final = (1.0, 1e3, 1e6, 1e9)
_SLACK_SECONDS: Final = 2.0
_TIME_WORDS: Final = frozenset(
    {
        "began", "clock", "date", "datetime", "duration", "durations", "elapsed", "ended", "eta", "fps", "latency",
        "ms", "ns", "perf", "secs", "seconds", "stamp", "started", "throughput", "time", "times", "timestamp",
        "timestamps", "took", "uptime", "wall", "walltime", "when",
    }
)  # fmt: skip
_STAMP: Final = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d([.,]\d+)?)?|\d\d:\d\d:\d\d([.,]\d+)?")
_NUMBER: Final = re.compile(r"\d+(?:\.\d+)?")
_CLOSE: Final = 1e-3
_ROW: Final = 4
"""So many batches in a row must be the same, where there are as many."""
_LEAST_NORMAL: Final = 2.3e-308
"""Addresses that are taken for numbers are below it."""


def needs_another_run(unsteady: Iterable[Leaf], clock: Clock) -> bool:
    """Whether it is not known yet why leaves differ between two undisturbed runs."""
    return not all(are_times(leaf, clock) for leaf in unsteady)


def judge_unsteady(
    other: Iterable[Leaf], again: Collection[str] | None, by_hash: Collection[str] | None, clock: Clock
) -> tuple[Aside, ...]:
    """Why each leaf differs between two undisturbed runs with different hashes and memory.

    `again` are the places that differ between runs alike in both, `by_hash` those that differ where the hashes alone
    do; None where that was not tried.
    """
    asides = []
    for leaf in other:
        always = again is None or _covers(again, leaf.place)
        if are_times(leaf, clock):
            kind = CauseKind.TIME
        elif _is_unfilled(leaf):
            kind = CauseKind.MEMORY
        elif not always:
            kind = CauseKind.HASH if by_hash is not None and _covers(by_hash, leaf.place) else CauseKind.MEMORY
        else:
            kind = CauseKind.THREADS if _are_close(leaf) else CauseKind.CHANCE
        asides.append(Aside(leaf.place, leaf.text, kind, always))
    return tuple(asides)


def _covers(places: Iterable[str], place: str) -> bool:
    return any(is_below(place, one) or is_below(one, place) for one in places)


def is_below(place: str, other: str) -> bool:
    """Whether a place is `other`, or inside of it."""
    return place.startswith(other) and place[len(other) :][:1] in ("", "[", ".")


def are_times(leaf: Leaf, clock: Clock) -> bool:
    """Whether both values are readings of a clock, lengths of time by their name, or texts that differ by such."""
    if leaf.values is None:
        return leaf.kind in ("datetime", "time")
    one, other = leaf.values
    if isinstance(one, str) and isinstance(other, str):
        if one == other:
            return False
        return leaf.kind in ("datetime", "time") or _without_times(one, clock) == _without_times(other, clock)
    numbers = [_number(value) for value in leaf.values]
    if None in numbers:
        return False
    if all(_is_reading(number, clock) for number in numbers if number is not None):
        return True
    words = re.split(r"[^a-z]+", leaf.place.lower())
    return bool(_TIME_WORDS & set(words)) and all(number is not None and number >= 0 for number in numbers)


def _without_times(text: str, clock: Clock) -> str:
    text = _STAMP.sub("", text)
    return _NUMBER.sub(lambda found: "" if _is_reading(float(found[0]), clock) else found[0], text)


def _is_reading(number: float, clock: Clock) -> bool:
    ranges = (clock.wall, clock.host)
    return any(
        (first - _SLACK_SECONDS) * unit <= number <= (last + _SLACK_SECONDS) * unit
        for first, last in ranges
        for unit in _UNITS
    )


def _number(value: Any) -> float | None:
    try:
        return None if isinstance(value, (str, bytes, complex, bool)) else float(value)
    except (TypeError, ValueError, OverflowError):
        return None


def _is_unfilled(leaf: Leaf) -> bool:
    """Whether a number is one pattern of bits again and again, as fresh memory has it here, or an address."""
    for bits, value in zip(leaf.bits, leaf.values or (), strict=False):
        number = _number(value)
        if len(bits) >= 4 and len(set(bits)) == 1 and bits[0] not in (0x00, 0xFF):
            return True
        if len(bits) == 8 and isinstance(number, float) and 0 < abs(number) < _LEAST_NORMAL:
            return True
    return False


def _are_close(leaf: Leaf) -> bool:
    numbers = [_number(value) for value in leaf.values or ()]
    if len(numbers) != 2 or None in numbers or all(isinstance(value, int) for value in leaf.values or ()):
        return False
    one, other = numbers
    return one is not None and other is not None and math.isclose(one, other, rel_tol=_CLOSE)


# What differs where the program was killed.


def _by_step(commits: Iterable[CommitFact]) -> dict[int, CommitFact]:
    """The newest commit of each step."""
    return {commit.step: commit for commit in commits}


def find_first_steps(
    calm: Sequence[CommitFact], killed: Sequence[CommitFact], other: Sequence[CommitFact]
) -> dict[str, int]:
    """For each part of the state that differs where the program was killed, the step at which it first does. Parts
    that differ between undisturbed runs say nothing, and are left out."""
    unsteady = set(_first_steps_of_parts(calm, other))
    return {place: step for place, step in _first_steps_of_parts(calm, killed).items() if place not in unsteady}


def _first_steps_of_parts(calm: Sequence[CommitFact], killed: Sequence[CommitFact]) -> dict[str, int]:
    found: dict[str, int] = {}
    theirs = _by_step(killed)
    for commit in calm:
        other = theirs.get(commit.step)
        if other is not None:
            for place, print in commit.parts.items():
                if other.parts.get(place) != print:
                    found.setdefault(place, commit.step)
    return found


def look_at_data(
    calm: Sequence[CommitFact], other: Sequence[CommitFact], killed: Sequence[CommitFact]
) -> DataView | None:
    """Whether killed consumed what calm did; None where nothing was noted."""
    noted = [commit for commit in calm if commit.noted is not None]
    if not noted:
        return None
    first = _first_other(calm, killed)
    unsteady = _first_other(calm, other)
    if unsteady is not None and (first is None or unsteady.step <= first.step):
        return DataView(len(noted), unsteady.step, steady=False)
    if first is None:
        return DataView(len(noted), None)
    step = _step_consumed(calm, killed, first)
    return DataView(len(noted), first.step, step, step in _first_steps(calm))


def _step_consumed(calm: Sequence[CommitFact], killed: Sequence[CommitFact], first: CommitFact) -> int | None:
    """The step whose data undisturbed `first` consumed; None where it was none, or where it only happens to be so.

    A batch that comes at another place in another order proves nothing: what follows it, in the last life, must follow
    it undisturbed as well.
    """
    places = [index for index, commit in enumerate(calm) if commit.noted == first.noted is not None]
    last = [commit.noted for commit in killed if commit.life == killed[-1].life][:_ROW]
    rows = [[commit.noted for commit in calm[at : at + len(last)]] for at in range(len(calm))]
    is_row = any(row == last[: len(row)] and len(row) > min(1, len(last) - 1) for row in rows)
    return calm[places[0]].step if places and is_row else None


def _first_other(calm: Sequence[CommitFact], killed: Sequence[CommitFact]) -> CommitFact | None:
    """The first commit of killed that consumed something else."""
    theirs = _by_step(killed)
    pairs = ((commit, theirs.get(commit.step)) for commit in calm)
    return next((its for mine, its in pairs if its is not None and its.noted != mine.noted), None)


def _first_steps(calm: Sequence[CommitFact]) -> set[int]:
    """Of the run and of each epoch."""
    return {
        commit.step
        for before, commit in zip([None, *calm], calm, strict=False)
        if before is None or before.epoch != commit.epoch
    }


def find_draws(
    calm: Sequence[CommitFact], other: Sequence[CommitFact], killed: Sequence[CommitFact]
) -> tuple[str, int] | None:
    """The package whose global generator stood elsewhere at the first commit after a death, though it stands at the
    same place in every undisturbed run; and the step of that commit."""
    mine, its = _by_step(calm), _by_step(other)
    for before, commit in pairwise(killed):
        if commit.life == before.life or commit.step not in mine or commit.step not in its:
            continue
        for package, print in mine[commit.step].draws.items():
            if its[commit.step].draws.get(package) == print and commit.draws.get(package, print) != print:
                return package, commit.step
    return None


def find_outside(calm: EndFact | None, other: EndFact | None, killed: EndFact | None) -> tuple[Outside, ...]:
    """What stood outside the state, what matters most first."""
    its, theirs = _by_name(other), _by_name(killed)
    found = []
    for one in calm.outside if calm is not None else ():
        again, after = its.get(one.name), theirs.get(one.name)
        varies = bool(one.print) and again is not None and again.print != one.print
        seen = one.print and again is not None and again.print and after is not None and after.print
        differs = None if not seen or varies or after is None else after.print != one.print
        found.append(Outside(one.name, one.text, one.kind, one.changed, differs, varies))
    order = ["generator", "optimizer", "loader", "iterator", "tensor", "array"]
    return tuple(sorted(found, key=lambda one: (one.differs is not True, one.changed is False, order.index(one.kind))))


def _by_name(end: EndFact | None) -> Mapping[str, Outsider]:
    return {one.name: one for one in end.outside} if end is not None else {}
