"""Which arrays and buffers of a state lie in one memory, and how far apart: compared of two states."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.lib.array_utils import byte_bounds

__all__ = ["Memory"]

_WORK_MOST = 10_000


class Memory:
    """The memory of all that was met, in both states."""

    def __init__(self) -> None:
        self._places: list[str] = []
        self._mine: list[Any] = []
        self._its: list[Any] = []
        self._kept: list[Any] = []

    def note(self, place: str, mine: Any, its: Any, keep: Any = None) -> None:
        """Two arrays that stand at the same place; empty ones have no memory."""
        if mine.nbytes and its.nbytes:
            self._places.append(place)
            self._mine.append(mine)
            self._its.append(its)
            self._kept.append(keep)

    def difference(self) -> str | None:
        mine, its = _overlaps(self._mine), _overlaps(self._its)
        for first, second in sorted(mine.keys() | its.keys()):
            here, there = mine.get((first, second)), its.get((first, second))
            if here != there:
                text = f"memory: shared with {self._places[first]}, {_said(here)} became {_said(there)}"
                return f"{self._places[second]}: {text}"
        return None


def _said(offset: int | None) -> str:
    return "not at all" if offset is None else f"{offset:+} bytes from it"


def _overlaps(arrays: list[Any]) -> dict[tuple[int, int], int]:
    """Of each pair that shares memory, how many bytes the second begins after the first."""
    bounds = [byte_bounds(array) for array in arrays]
    found: dict[tuple[int, int], int] = {}
    open_now: list[int] = []
    for index in sorted(range(len(arrays)), key=lambda one: bounds[one]):
        low = bounds[index][0]
        open_now = [other for other in open_now if bounds[other][1] > low]
        for other in open_now:
            if _do_share(arrays[index], arrays[other]):
                first, second = sorted((index, other))
                found[first, second] = _address(arrays[second]) - _address(arrays[first])
        open_now.append(index)
    return found


def _do_share(one: Any, other: Any) -> bool:
    try:
        return bool(np.shares_memory(one, other, max_work=_WORK_MOST))
    except (np.exceptions.TooHardError, OverflowError):
        return True


def _address(array: Any) -> int:
    return int(array.__array_interface__["data"][0])
