"""Arrays that share memory: found by a walk, so that the memory is stored once and each of them is a view of it again.

Arrays overlap where they have the same owner (what their `base` leads to) and their bytes lie between each other's
ends. Views of one owner that do not overlap, such as the rows of a matrix without the matrix, share nothing that can
be seen, and each is stored for itself.

How the elements of an array lie is kept, since sums of floats depend on it: in any order of the axes, backwards, or
with gaps between them, in which nothing is stored. Only where the gaps are many times what is in them (a column of a
large matrix, alone), it comes back without them, and the commit says so.
"""

from __future__ import annotations

import ctypes
from bisect import bisect_left
from itertools import compress, count, repeat
from operator import attrgetter, is_not
from typing import Any, Final, NamedTuple

import numpy as np

from goldthread.errors import CommitDamaged

__all__ = [
    "View",
    "address_of",
    "array_over",
    "bounds",
    "find_views",
    "in_order",
    "keeps_gaps",
    "laid_out",
    "order_of",
    "owner_of",
    "part_of",
    "turned",
    "writeable",
]

Array = np.ndarray[Any, Any]

_GAPS_MOST: Final = 16
"""How many times as far as without gaps an array may reach to keep them."""
_GAPS_LEAST_BYTES: Final = 1 << 20
"""What reaches no farther keeps them."""
_GAPS: Final = (
    "a view of a much larger array, which is not in the state, comes back without what lies between its elements: "
    "its values and its shape are kept, its strides are not"
)
_base: Final = attrgetter("base")
_writeable: Final = attrgetter("flags.writeable")


class View(NamedTuple):
    """A part of a memory: what the atom of an array that shares it takes instead of a place of its own."""

    memory: int
    """Index of the memory among the arrays."""
    start: int
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class _Part:
    """Bytes of something, said in a way in which NumPy makes an array of them."""

    def __init__(self, base: object, address: int, length: int, *, is_writeable: bool) -> None:
        self.base = base
        self.__array_interface__ = {
            "version": 3, "typestr": "|u1", "shape": (length,), "data": (address, not is_writeable),
        }  # fmt: skip


_LOOKS: Final[tuple[type[Any], ...]] = (
    np.ndarray,
    np.void,
    _Part,
    type(np.lib.stride_tricks.as_strided(np.zeros(1)).base),
)
"""What has its memory from its `base`, if that is not None."""


def part_of(owner: object, address: int, length: int, *, is_writeable: bool) -> Array:
    """Bytes in the memory of something that lives as long as they do."""
    return np.asarray(_Part(owner, address, length, is_writeable=is_writeable))


def writeable(array: Array) -> Array | None:
    """An array to write into what may only be read by `array`; None where all of its memory is read-only."""
    owner = owner_of(array)
    if array.flags.writeable:
        return array
    if not isinstance(owner, np.ndarray) or not owner.flags.writeable or array.size == 0:
        return None
    low, high = bounds(array)
    memory = part_of(array, low, high - low, is_writeable=True)
    return array_over(memory, address_of(array) - low, array.dtype, array.shape, strides=array.strides)


def address_of(array: Any) -> int:
    """Where the first element of an array lies."""
    return int(array.__array_interface__["data"][0])


def owner_of(array: Any) -> object:
    """What the memory of an array belongs to."""
    found: Any = array
    while True:
        if isinstance(found, memoryview):
            found = found.obj
        elif isinstance(found, _LOOKS) and found.base is not None:
            found = found.base
        else:
            return found


def order_of(array: Array) -> Any:
    """In which order the elements lie: "C", "F", or the axes, that of the longest steps first. Of what has gaps or runs
    backwards, "C"."""
    if array.ndim < 2 or array.flags.c_contiguous:
        return "C"
    if array.flags.f_contiguous:
        return "F"
    axes = sorted(range(array.ndim), key=lambda axis: -array.strides[axis])
    return axes if array.transpose(axes).flags.c_contiguous else "C"


def turned(array: Array, order: Any) -> Array:
    """A view of an array with its axes in an order that `order_of` gives."""
    if type(order) is str:
        return array.T if order == "F" else array
    return array.transpose(order)


def in_order(array: Array) -> Array:
    """A view of an array in which its elements lie in C order, if they lie side by side."""
    return turned(array, order_of(array))


def array_over(memory: Any, at: int, dtype: np.dtype[Any], shape: Any, order: Any = "C", strides: Any = None) -> Array:
    """An array in a memory, `at` bytes from its beginning. Raises `CommitDamaged` where it would not lie in it, or
    would take bytes for objects."""
    if dtype.hasobject or memory is None:
        raise CommitDamaged(f"an array of {dtype} is said to lie where there is none")
    try:
        if dtype.itemsize == 0 and dtype.char in "SU":  # Asked for text without length, NumPy makes it one sign long.
            return laid_out(shape, dtype, order)
        if strides is not None:
            return np.ndarray(shape, dtype, memory, at, strides)
        if type(order) is str:
            return np.ndarray(shape, dtype, memory, at, order="F" if order == "F" else "C")
        packed: Array = np.ndarray([shape[axis] for axis in order], dtype, memory, at)
        return packed.transpose(np.argsort(order))
    except (TypeError, ValueError, IndexError) as error:
        raise CommitDamaged(f"an array of a commit does not lie in its memory: {error}") from error


def laid_out(shape: Any, dtype: np.dtype[Any], order: Any = "C") -> Array:
    """A new array, whose elements lie in this order."""
    if dtype.itemsize == 0 and dtype.char in "SU":
        return np.zeros(shape, [("text", dtype)])["text"]
    if type(order) is str:
        made: Array = np.empty(shape, dtype, "F" if order == "F" else "C")
        return made
    packed: Array = np.empty([shape[axis] for axis in order], dtype)
    return np.empty_like(packed.transpose(np.argsort(order)), order="K")


def bounds(array: Array) -> tuple[int, int]:
    """Where the bytes of an array begin and end in memory; twice the same where it has none."""
    low = high = address_of(array)
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
    walk.read_only = [index for index, can_write in enumerate(map(_writeable, arrays)) if not can_write]
    looks = list(compress(count(), map(is_not, map(_base, arrays), repeat(None))))
    if len(looks) + len(owners) == 0:
        return
    by_owner: dict[int, list[int]] = {}
    for index in looks:
        by_owner.setdefault(owners.get(index) or id(owner_of(arrays[index])), []).append(index)
    for index, array in enumerate(arrays):
        if array.base is None and id(array) in by_owner:
            by_owner[id(array)].append(index)
    if owners:
        _join_foreign(walk, by_owner)
    for indexes in by_owner.values():
        if len(indexes) > 1:
            _merge(walk, indexes)
    for index in looks:
        if index not in walk.views and not arrays[index].flags.forc:
            _keep_steps(walk, index)
    if walk.views:
        _leave_out(walk)


def _join_foreign(walk: Any, by_owner: dict[int, list[int]]) -> None:
    """Put arrays and what looks at their memory from outside NumPy, as a tensor made of one does, into one group."""
    others = [
        (index, owner)
        for index, array in enumerate(walk.arrays)
        if index not in walk.owners and type(owner := owner_of(array)) is not bytes
    ]
    spans: dict[int, tuple[int, int]] = {}
    for index, key in walk.owners.items() if others else ():
        low, high = bounds(walk.arrays[index])
        if low < high:
            lowest, highest = spans.get(key, (low, high))
            spans[key] = min(low, lowest), max(high, highest)
    ordered = sorted((low, high, key) for key, (low, high) in spans.items())
    for index, owner in others:
        low, high = bounds(walk.arrays[index])
        at = bisect_left(ordered, (high,)) - 1
        if low < high and at >= 0 and ordered[at][1] > low:
            own = by_owner.pop(id(owner), [])
            group = by_owner.setdefault(ordered[at][2], [])
            group += [one for one in {*own, index} if one not in group]


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
        start = address_of(array) - begin
        walk.views[index] = View(len(walk.arrays), start, array.dtype, array.shape, array.strides)
    walk.arrays.append(memory)


def _keep_steps(walk: Any, index: int) -> None:
    """Of an array alone whose elements do not lie side by side: what overlaps itself is a view of a memory, as it is in
    the program; of the others the strides are kept."""
    array: Array = walk.arrays[index]
    if array.nbytes == 0 or order_of(array) != "C":
        return
    low, high = bounds(array)
    if _overlaps_itself(array):
        _add_memory(walk, [(low, high, index)], high)
    elif keeps_gaps(high - low, array.nbytes):
        walk.steps[index] = array.strides
    else:
        walk.tell_of(_GAPS, array)


def keeps_gaps(reach_bytes: int, own_bytes: int) -> bool:
    """Whether what is in no memory with others comes back with the gaps between its elements."""
    return reach_bytes <= max(_GAPS_LEAST_BYTES, _GAPS_MOST * own_bytes)


def _overlaps_itself(array: Array) -> bool:
    reach = array.itemsize
    for stride, length in sorted(zip(map(abs, array.strides), array.shape, strict=True)):
        if length > 1:
            if stride < reach:
                return True
            reach += stride * (length - 1)
    return False


def _leave_out(walk: Any) -> None:
    """Nothing of a view is copied for itself: an array without bytes stands in its place."""
    for index in walk.views:
        walk.arrays[index] = _NOTHING


_NOTHING = np.zeros(0, np.uint8)
