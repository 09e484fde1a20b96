"""The plain part of a state: what msgpack has a word for, many at a time.

A list of a million floats, or of a hundred thousand dicts of numbers, is one value of the manifest. That its items are
plain is found by calls that look at many at once; a call of Python for each would cost more than pickle takes for all.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any, Final

import msgspec
import numpy as np

__all__ = [
    "BLOCK_LEAST",
    "INT_LEAST",
    "INT_MOST",
    "PLAIN",
    "TINY_BYTES",
    "Ids",
    "boxes_in",
    "can_encode",
    "ids_of",
    "plain_tree",
    "plain_values",
]

INT_LEAST: Final = -(2**63)
INT_MOST: Final = 2**64 - 1
"""What msgpack can hold; other ints are written in digits."""

TINY_BYTES: Final = 4096
"""Shorter byte strings are values; longer ones have a place in the payload."""

BLOCK_LEAST: Final = 8
"""Fewer things are noted one by one."""

PLAIN: Final = frozenset({type(None), bool, int, float, str})
"""What is a value as it is, but for ints that are too large and text that is no UTF-8: to encode those fails."""

_PLAIN_OR_BYTES: Final = PLAIN | {bytes}
_BOXES: Final = frozenset({dict, list})
_TREE: Final = PLAIN | _BOXES
_MANY: Final = 1 << 16
_FLOAT_TAG: Final = 0xCB
_FLOAT_BYTES: Final = 9
_LIST_TAG: Final = 0xDD
"""Of a list of more than 65,535 items."""
_LIST_HEAD_BYTES: Final = 5

Ids = np.ndarray[Any, np.dtype[np.uint64]]

_encode: Final = msgspec.msgpack.Encoder().encode


def can_encode(thing: object) -> bool:
    """Whether msgpack has a word for something plain."""
    try:
        _encode(thing)
    except (OverflowError, UnicodeEncodeError, TypeError, RecursionError):
        return False
    return True


def plain_values(things: Collection[object], *, careful: bool) -> Any:
    """One value that stands for all of them, in their order; None where one is not plain.

    With `careful` it is certain that it can be encoded.
    """
    many = len(things) >= _MANY
    if many and (floats := _floats(things)) is not None:
        return floats
    there = list(things)  # Another thread may change them meanwhile.
    kinds = set(map(type, there))
    if not kinds <= _PLAIN_OR_BYTES or (bytes in kinds and not _are_short(there)):
        return None
    return None if careful and not can_encode(there) else there


def _are_short(things: Iterable[Any]) -> bool:
    return all(type(thing) is not bytes or len(thing) < TINY_BYTES for thing in things)


def _floats(things: Collection[object]) -> msgspec.Raw | None:
    """Many floats, encoded. Nothing but floats takes nine bytes each and has the tag of one."""
    if type(next(iter(things), None)) is not float:
        return None
    try:
        encoded = _encode(things if type(things) is list else list(things))
    except (TypeError, OverflowError, UnicodeEncodeError, RecursionError):
        return None
    count = int.from_bytes(encoded[1:_LIST_HEAD_BYTES], "big")
    if encoded[0] != _LIST_TAG or len(encoded) != _LIST_HEAD_BYTES + _FLOAT_BYTES * count:
        return None
    tags = np.frombuffer(encoded, np.uint8, offset=_LIST_HEAD_BYTES)[::_FLOAT_BYTES]
    return msgspec.Raw(encoded) if (tags == _FLOAT_TAG).all() else None


def plain_tree(things: list[Any], *, careful: bool) -> tuple[list[Any], Ids] | None:
    """The lists and dicts among things and in them, each before what is in it, and their ids, sorted.

    None where anything in them is no list, no dict with text as keys and no plain value, or one stands in two places.
    """
    if not set(map(type, things)) <= _TREE:
        return None
    boxes: list[Any] = []
    waiting = [thing for thing in reversed(things) if type(thing) in _BOXES]
    check_at = _MANY
    take, add, put = waiting.pop, boxes.append, waiting.append
    while waiting:
        box = take()
        add(box)
        if type(box) is dict:
            for key, thing in box.items():
                kind = type(thing)
                if kind not in PLAIN:
                    if kind not in _BOXES:
                        return None
                    put(thing)
                if type(key) is not str:
                    return None
        else:
            for thing in box:
                kind = type(thing)
                if kind not in PLAIN:
                    if kind not in _BOXES:
                        return None
                    put(thing)
        if len(boxes) >= check_at:  # What contains itself would go on without end.
            if ids_of(boxes) is None:
                return None
            check_at *= 2
    ids = ids_of(boxes)
    return None if ids is None or (careful and not can_encode(things)) else (boxes, ids)


def boxes_in(things: list[Any]) -> list[Any]:
    """The lists and dicts among things that msgpack gave and in them, in the order of `plain_tree`."""
    boxes: list[Any] = []
    waiting = [thing for thing in reversed(things) if type(thing) in _BOXES]
    while waiting:
        box = waiting.pop()
        boxes.append(box)
        waiting += [thing for thing in (box.values() if type(box) is dict else box) if type(thing) in _BOXES]
    return boxes


def ids_of(things: list[Any]) -> Ids | None:
    """The ids of things, sorted; None where one is there twice."""
    ids = np.fromiter(map(id, things), np.uint64, len(things))
    ids.sort()
    return None if (ids[1:] == ids[:-1]).any() else ids
