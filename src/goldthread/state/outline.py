"""The outline of a state: where its values and arrays were at the last walk, so that they are found without another.

A program commits the same things a thousand times. A walk asks of each what it is; an outline only looks whether all
is as it was, and what it finds is what a walk would find, in the same order. It is drawn for the plain part of what
can be stored (dicts with text as keys, lists, tuples, numbers, text, short bytes, arrays) where nothing stands in two
places. Where anything is another than it was the state is walked: an outline may say no where a walk would find the
same, never yes where it would not.

What it saves is not only time: a commit of a small state after a long step finds nothing of itself in the caches, and
then costs about what the code is long that it runs through.
"""

from __future__ import annotations

from collections.abc import Collection
from operator import attrgetter
from typing import Any, Final

import numpy as np

from goldthread.state.leaves import TINY_BYTES

__all__ = ["Outline", "draw_outline"]

_VALUES: Final = frozenset({type(None), bool, int, float, str, bytes})
_CONTAINERS: Final = frozenset({dict, list, tuple})
_ARRAY: Final = object()
_form: Final = attrgetter("shape", "dtype", "strides")

Array = np.ndarray[Any, Any]


class _NotPlain(Exception):
    """The state has a part that no outline is drawn of."""


class _Part:
    """One container: the types of its children in their order, and of a dict which keys they have."""

    __slots__ = ("_are_values", "_has_bytes", "_key_ids", "_keys", "_kinds", "_parts")

    def __init__(self, thing: Any) -> None:
        self._keys, self._key_ids = None, None
        if type(thing) is dict:
            if set(map(type, thing)) - {str}:
                raise _NotPlain
            self._keys = list(thing)  # Kept, so that no other text gets the place in memory that one of them has.
            self._key_ids = list(map(id, thing))
            thing = thing.values()
        self._kinds = list(map(type, thing))
        self._are_values = _VALUES.issuperset(self._kinds)
        self._has_bytes = bytes in self._kinds
        self._parts = [_part_of(child) for child in thing]

    def find(self, thing: Any, values: list[object], arrays: list[Array], once: list[object]) -> bool:
        """Whether `thing` has this part's shape still; its values and arrays are added. `once` gets what may stand in
        one place only."""
        once.append(thing)
        if self._key_ids is not None:
            if list(map(id, thing)) != self._key_ids:
                return False
            thing = thing.values()
        if list(map(type, thing)) != self._kinds or (self._has_bytes and not _are_short(thing)):
            return False
        if self._are_values:
            values.extend(thing)
            return True
        for part, child in zip(self._parts, thing, strict=False):
            if part is None:
                values.append(child)
            elif part is _ARRAY:
                arrays.append(child)
            elif not part.find(child, values, arrays, once):
                return False
        return True


def _part_of(thing: object) -> Any:
    """A part for a container, `_ARRAY` for an array, None for a value."""
    kind = type(thing)
    if kind in _CONTAINERS:
        return _Part(thing)
    if kind is np.ndarray:
        return _ARRAY
    if kind in _VALUES:
        return None
    raise _NotPlain


def _are_short(things: Collection[object]) -> bool:
    return all(type(thing) is not bytes or len(thing) < TINY_BYTES for thing in things)


class Outline:
    def __init__(self, roots: dict[str, object]) -> None:
        self._whole = _Part(roots)
        self._forms: list[object] = []
        found = self._find(roots)
        if found is None:
            raise _NotPlain
        self._forms = list(map(_form, found[1]))

    def find(self, roots: dict[str, object]) -> tuple[list[object], list[Array]] | None:
        """Values and arrays of a state; None where it is not certain that a walk would find the same structure."""
        found = self._find(roots)
        return None if found is None or list(map(_form, found[1])) != self._forms else found

    def _find(self, roots: dict[str, object]) -> tuple[list[object], list[Array]] | None:
        values: list[object] = []
        arrays: list[Array] = []
        once: list[object] = []
        if not self._whole.find(roots, values, arrays, once):
            return None
        once += arrays
        return (values, arrays) if len(set(map(id, once))) == len(once) else None


def draw_outline(roots: dict[str, object]) -> Outline | None:
    """None where the state has a part that no outline is drawn of."""
    try:
        return Outline(roots)
    except _NotPlain:
        return None
