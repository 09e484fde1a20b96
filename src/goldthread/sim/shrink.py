"""A failing seed becomes a short story: what it fails without is left out, fault by fault, member by member."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from goldthread.sim.scenario import ALL, Omitted, Outcome, run_seed

__all__ = ["shrink"]

_ROUNDS_MOST: Final = 4


def shrink(found: Outcome, run: Callable[..., Outcome] = run_seed) -> Omitted:
    """What the world of a failing seed can go without and still break the same promise."""
    promise = found.broken.split(":")[0]

    def fails(omitted: Omitted) -> bool:
        return run(found.seed, found.keepers, circle=found.circle, omitted=omitted).broken.startswith(promise)

    omitted = ALL
    for _ in range(_ROUNDS_MOST):
        before = omitted
        omitted = _leave_out(omitted, found.drawn, fails)
        if omitted == before:
            break
    return omitted


def _leave_out(omitted: Omitted, drawn: tuple[int, int, int], fails: Callable[[Omitted], bool]) -> Omitted:
    """One round over all that is left: members, bonds, then faults."""
    faults, works, bonds = drawn
    for number in range(works):
        omitted = _better(omitted, Omitted(omitted.faults, omitted.works | {number}, omitted.bonds), fails)
    for number in range(bonds):
        omitted = _better(omitted, Omitted(omitted.faults, omitted.works, omitted.bonds | {number}), fails)
    size = max(faults // 2, 1)
    while size:
        for first in range(0, faults, size):
            without = omitted.faults | set(range(first, min(first + size, faults)))
            omitted = _better(omitted, Omitted(without, omitted.works, omitted.bonds), fails)
        size //= 2
    return omitted


def _better(omitted: Omitted, candidate: Omitted, fails: Callable[[Omitted], bool]) -> Omitted:
    return candidate if candidate != omitted and fails(candidate) else omitted
