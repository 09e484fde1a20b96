"""Arrays that share memory: found by a walk, so that the memory is stored once and each of them is a view of it again.

Arrays overlap where they have the same owner (what their `base` leads to) and their bytes lie between each other's
ends. Views of one owner that do not overlap, such as the rows of a matrix without the matrix, share nothing that can
be seen, and each is stored for itself.
"""

from __future__ import annotations

import ctypes
from typing import Any, NamedTuple

import numpy as np

__all__ = ["View", "bounds", "find_views", "owner_of"]

Array = np.ndarray[Any, Any]


class View(NamedTuple):
    """A part of a memory: what the atom of an array that shares it takes instead of a place of its own."""

    memory: int
    """Index of the memory among the arrays."""
    start: int
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def owner_of(array: Any) -> object:
    """What the memory of an array belongs to."""
    base = array
    while isinstance(base, np.ndarray) and base.base is not None:
        base = base.base
    return base.obj if isinstance(base, memoryview) else base


def bounds(array: Array) -> tuple[int, int]:
    """Where the bytes of an array begin and end in memory; twice the same where it has none."""
    low = high = array.__array_interface__["data"][0]
    if array.size == 0:
        return low, low
    for length, stride in zip(array.shape, array.strides, strict=True):
        if stride < 0:
            low += (length - 1) * stride
        else:
            high += (length - 1) * stride
    return low, high + array.itemsize


def find_views(walk: Any) -> None:
    """Replace, among the arrays of a walk, those that overlap by one memory; `walk.views` says who has which part."""
    arrays: list[Array] = walk.arrays
    owners: dict[int, int] = walk.owners
    looks = [index for index, array in enumerate(arrays) if array.base is not None]
    if len(looks) + len(owners) == 0:
        return
    by_owner: dict[int, list[int]] = {}
    for index in looks:
        by_owner.setdefault(owners.get(index) or id(owner_of(arrays[index])), []).append(index)
    for index, array in enumerate(arrays):
        if array.base is None and id(array) in by_owner:
            by_owner[id(array)].append(index)
    for indexes in by_owner.values():
        if len(indexes) > 1:
            _merge(walk, indexes)
    if walk.views:
        _leave_out(walk)


def _merge(walk: Any, indexes: list[int]) -> None:
    """One memory for each run of arrays that overlap."""
    ranges = sorted((*bounds(walk.arrays[index]), index) for index in indexes)
    run: list[tuple[int, int, int]] = []
    end = 0
    for low, high, index in [*ranges, (1 << 64, 1 << 64, -1)]:
        if run and low >= end:
            if len(run) > 1:
                _add_memory(walk, run, end)
            run = []
        if low < high:
            end = max(end, high) if run else high
            run.append((low, high, index))


def _add_memory(walk: Any, run: list[tuple[int, int, int]], end: int) -> None:
    begin = run[0][0]
    memory = np.frombuffer(memoryview((ctypes.c_uint8 * (end - begin)).from_address(begin)), np.uint8)
    for _, _, index in run:
        array = walk.arrays[index]
        start = array.__array_interface__["data"][0] - begin
        walk.views[index] = View(len(walk.arrays), start, array.dtype, array.shape, array.strides)
    walk.arrays.append(memory)


def _leave_out(walk: Any) -> None:
    """Nothing of a view is copied for itself: an array without bytes stands in its place."""
    for index in walk.views:
        walk.arrays[index] = _NOTHING


_NOTHING = np.zeros(0, np.uint8)
