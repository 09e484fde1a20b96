"""The likely causes of what differs, in words, the likeliest first. Pure; what is known stands in `evidence.py`.

The order follows how directly a thing was seen. A generator outside the state that ended otherwise only where the
program was killed was caught in the act; so was a global one that stands elsewhere at the first commit after a death.
Then comes what a commit consumed, then what stood around; and last what can only be guessed from the kind of leaf.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

import msgspec

from goldthread.cli.evidence import Aside, CauseKind, DataView, Leaf, Outside, is_below

__all__ = ["Cause", "Told", "find_causes"]

_NAMED: Final = 4


class Cause(msgspec.Struct, frozen=True):
    kind: CauseKind
    text: str


class Told(NamedTuple):
    """What is known of a program whose states differ."""

    differences: Sequence[Leaf]
    """Killed against undisturbed, without what differs in every run; the first in time comes first."""
    asides: Sequence[Aside]
    data: DataView | None
    outside: Sequence[Outside]
    draws: tuple[str, int] | None
    """The package whose global generator stood elsewhere at the first commit after a death, and the step of that."""
    generators: bool
    """Whether global generators travel with the state."""


def find_causes(told: Told) -> tuple[Cause, ...]:
    """What most likely makes the states differ, the likeliest first. Empty where nothing differs."""
    causes: list[Cause] = []
    if told.differences:
        causes += list(_after_a_death(told)) or list(_other_values(told))
        if not causes and not any(is_below(told.differences[0].place, aside.place) for aside in told.asides):
            causes.append(_guess(told.differences[0]))
    seen: set[CauseKind] = set()
    for aside in told.asides:
        if aside.kind is not CauseKind.TIME and aside.kind not in seen:
            seen.add(aside.kind)
            causes.append(Cause(aside.kind, _unsteady_in_words(aside, told.outside)))
    return tuple(causes)


def _after_a_death(told: Told) -> Iterator[Cause]:
    data = told.data
    came_the_same = data is not None and data.first_other is None
    yield from _generators(told)
    if not came_the_same:
        yield from _loaders(told, persistent=True)
    if told.draws is not None and told.generators:
        package, step = told.draws
        yield Cause(
            CauseKind.DRAWS,
            f"{package}'s global generator was drawn from otherwise between restore and the commit of step {step}."
            " restore puts it back where the commit left it; what begins after that (iter(loader), fit(), a shuffle)"
            " draws from it anew, and to seed it again sets it back. Let each epoch have a generator of its own, made"
            " from its number: docs/guides/data.md",
        )
    if data is not None and data.first_other is not None and data.steady:
        yield _data_in_words(data)
    if not came_the_same:
        yield from _iterators(told)
        yield from _loaders(told, persistent=False)


def _other_values(told: Told) -> Iterator[Cause]:
    kinds = ("optimizer", "array", "tensor")
    names = [f"{one.name} ({one.what})" for one in told.outside if one.differs and one.kind in kinds]
    if names:
        more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        them = ", ".join(names[:_NAMED]) + more
        text = f"outside the state, and other than undisturbed at the end: {them}. Put into it what the next step needs"
        yield Cause(CauseKind.OUTSIDE, text)


def _guess(first: Leaf) -> Cause:
    """From the leaf alone."""
    if first.kind == "pickle" or first.owner:
        place = first.owner or first.place
        given = "its pickle" if first.kind == "pickle" else "its state_dict()"
        return Cause(
            CauseKind.MODEL,
            f"{place} does not go on from {given} as it goes on by itself: what its library keeps inside is not all in"
            " there (a wrapped model, a solver's history, a cache). Commit what it is made from, and make it anew in"
            " every step or in every life alike",
        )
    return _something_outside(first.place)


def _generators(told: Told) -> Iterator[Cause]:
    for one in told.outside:
        if one.kind == "generator" and (one.differs or (one.differs is None and not one.varies)):
            yield Cause(
                CauseKind.GENERATOR,
                f"{one.name} ({one.what}) is outside the state, and begins anew in each life: put it into the state"
                " given to commit",
            )
    if told.draws is not None and not told.generators:
        package, step = told.draws
        yield Cause(
            CauseKind.GENERATOR,
            f"{package}'s global generator stood elsewhere at step {step}: join(generators=False) leaves it out of the"
            " state",
        )


def _iterators(told: Told) -> Iterator[Cause]:
    for one in told.outside:
        if one.kind == "iterator" and one.differs is not False and (one.differs or one.changed is not False):
            yield Cause(
                CauseKind.ITERATOR,
                f"{one.name} ({one.what}) is outside the state, and begins anew in each life: keep the position in the"
                " state, and go on from it",
            )


def _loaders(told: Told, *, persistent: bool) -> Iterator[Cause]:
    own = "where it stands, and how it shuffles, is not in the state"
    if persistent:
        own = "its workers keep draws and positions of their own, which no commit has"
    for one in told.outside:
        if one.kind == "loader" and ("persistent" in one.what) is persistent:
            yield Cause(CauseKind.DATA, f"{one.name} ({one.what}): {own}; docs/guides/data.md")


def _data_in_words(data: DataView) -> Cause:
    step, same = data.first_other, data.same_as
    if same is None:
        text = f"what step {step} consumed is not what it consumed undisturbed, nor what any other of these steps did"
        return Cause(CauseKind.DATA, f"{text}: the order of data is not all decided by the state; docs/guides/data.md")
    text = f"step {step} consumed what step {same} did undisturbed"
    if data.began_anew:
        return Cause(CauseKind.ITERATOR, f"{text}: it began anew. Keep the position in the state, and go on from it")
    return Cause(CauseKind.DATA, f"{text}: the position in the data is not all in the state, or counted otherwise")


def _something_outside(place: str) -> Cause:
    return Cause(
        CauseKind.OUTSIDE,
        f"what decides {place} is not all in the state, since two undisturbed runs agree: a generator made by the"
        " program, the order or position of its data, or a value kept outside. Put it into the state given to commit;"
        " life.note(batch) before each commit tells whether the data came otherwise",
    )


def _unsteady_in_words(aside: Aside, outside: Sequence[Outside]) -> str:
    place = aside.place
    if aside.kind is CauseKind.HASH:
        return (
            f"{place} follows the order of hashes: it differs where PYTHONHASHSEED does, and each process has another."
            " Sort what is gone through in the order of a set"
        )
    if aside.kind is CauseKind.MEMORY:
        return (
            f"{place} holds memory that was never filled (np.empty, torch.empty, a buffer that a library left as it"
            " was): fill it when it is made"
        )
    if aside.kind is CauseKind.THREADS:
        return (
            f"the program is not deterministic: {place} differs by a few bits between two undisturbed runs as well."
            " Threads most likely add up in no fixed order: try OMP_NUM_THREADS=1, or the library's deterministic mode"
        )
    text = (
        "the program is not deterministic: two undisturbed runs differ as well. It may read the clock, draw from a"
        " generator without a fixed seed, add up in threads in no fixed order, go through a set of strings (whose"
        " order is another in each process, unless PYTHONHASHSEED is set), or read files that an earlier run wrote"
    )
    unseeded = [f"{one.name} ({one.what})" for one in outside if one.varies and one.kind == "generator"]
    return f"{text}; {', '.join(unseeded)} ends otherwise in each run" if unseeded else text
