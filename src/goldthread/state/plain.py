"""The plain part of a state: what msgpack has a word for, many at a time.

A list of a million floats, or of a hundred thousand dicts of numbers, is one value of the manifest. That its items are
plain is found by calls that look at many at once; a call of Python for each would cost more than pickle takes for all.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from itertools import chain
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
    "has_id",
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
_TEXT: Final = frozenset({str})
_BOXES: Final = frozenset({dict, list})
_TREE: Final = PLAIN | _BOXES
_LEVELS_MOST: Final = 64
_MANY: Final = 4096
_FLOAT_TAG: Final = 0xCB
_FLOAT_BYTES: Final = 9
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
    kinds = set(map(type, things))
    if not kinds <= _PLAIN_OR_BYTES or (bytes in kinds and not _are_short(things)):
        return None
    if careful and not can_encode(list(things)):
        return None
    return list(things)


def _are_short(things: Iterable[Any]) -> bool:
    return all(type(thing) is not bytes or len(thing) < TINY_BYTES for thing in things)


def _floats(things: Collection[object]) -> msgspec.Raw | None:
    """Many floats, encoded. Nothing but floats takes nine bytes each and has the tag of one."""
    if type(next(iter(things))) is not float:
        return None
    try:
        encoded = _encode(things if type(things) is list else list(things))
    except (TypeError, OverflowError, UnicodeEncodeError, RecursionError):
        return None
    if len(encoded) != _LIST_HEAD_BYTES + _FLOAT_BYTES * len(things):
        return None
    tags = np.frombuffer(encoded, np.uint8, offset=_LIST_HEAD_BYTES)[::_FLOAT_BYTES]
    return msgspec.Raw(encoded) if (tags == _FLOAT_TAG).all() else None


def plain_tree(things: list[Any], *, careful: bool) -> tuple[list[Any], Ids] | None:
    """The lists and dicts among things and in them, level by level, and their ids, sorted.

    None where anything in them is no list, no dict with text as keys and no plain value, where one stands in two
    places, or where they are nested deeply.
    """
    boxes_of_all: list[Any] = []
    level: list[Any] = things
    kinds = set(map(type, level))
    for _ in range(_LEVELS_MOST):
        if not kinds <= _TREE:
            return None
        if kinds <= PLAIN:
            ids = ids_of(boxes_of_all)
            return None if ids is None or (careful and not can_encode(things)) else (boxes_of_all, ids)
        boxes = level if kinds <= _BOXES else [thing for thing in level if type(thing) in _BOXES]
        if ids_of(boxes) is None:  # What contains itself twice would grow without end.
            return None
        boxes_of_all += boxes
        dicts = boxes if list not in kinds else [box for box in boxes if type(box) is dict]
        if not set(map(type, chain.from_iterable(dicts))) <= _TEXT:
            return None
        kinds = set(map(type, _contents(boxes, kinds)))
        if not kinds <= PLAIN:
            level = list(_contents(boxes, set(map(type, boxes))))
    return None


def _contents(boxes: list[Any], kinds: set[type]) -> Iterable[Any]:
    """What is in lists and dicts."""
    if dict not in kinds:
        return chain.from_iterable(boxes)
    if list not in kinds:
        return chain.from_iterable(map(dict.values, boxes))
    return chain.from_iterable([box.values() if type(box) is dict else box for box in boxes])


def ids_of(things: list[Any]) -> Ids | None:
    """The ids of things, sorted; None where one is there twice."""
    ids = np.fromiter(map(id, things), np.uint64, len(things))
    ids.sort()
    return None if (ids[1:] == ids[:-1]).any() else ids


def has_id(ids: Ids, thing: object) -> bool:
    """Whether a thing is one of those."""
    at = int(ids.searchsorted(np.uint64(id(thing))))
    return at < len(ids) and int(ids[at]) == id(thing)


def boxes_in(things: list[Any]) -> list[Any]:
    """The lists and dicts among things that msgpack gave and in them, in the order of `plain_tree`."""
    found: list[Any] = []
    level = [thing for thing in things if type(thing) in _BOXES]
    while level:
        found += level
        inside = chain.from_iterable([box.values() if type(box) is dict else box for box in level])
        level = [thing for thing in inside if type(thing) in _BOXES]
    return found
