"""The outline of a state: where its values and arrays were at the last walk, so that they are found without another.

A program commits the same things a thousand times. A walk asks of each what it is; an outline only looks whether all
is as it was, and what it finds is what a walk would find, in the same order. It is drawn for the plain part of what
can be stored (dicts with text as keys, lists, tuples, numbers, text, short bytes, arrays) where nothing stands in two
places and no array shares its memory. Where anything is another than it was the state is walked: an outline may say no
where a walk would find the same, never yes where it would not.

What it saves is not only time: a commit of a small state after a long step finds nothing of itself in the caches, and
then costs about what the code is long that it runs through.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import repeat
from operator import attrgetter, is_not
from typing import Any, Final

import numpy as np

from goldthread.state.dtypes import PLAIN_DTYPES
from goldthread.state.plain import BLOCK_LEAST, PLAIN, TINY_BYTES, plain_tree, plain_values
from goldthread.state.walk import Walk

__all__ = ["Outline", "draw_outline"]

_CONTAINERS: Final = frozenset({dict, list, tuple})
_LEVELS_MOST: Final = 100
"""What is nested deeper, or in itself, is walked."""
_BOXES: Final = PLAIN | {dict, list}
_ARRAY: Final = object()
_SHORT: Final = object()
"""Bytes that are a value while they are few."""
_VALUES: Final = object()
"""All of a container's children are values: they are one value."""
_TREE: Final = object()
"""All of them are lists or dicts of values, nested: they are one value, too."""
_shape: Final = attrgetter("shape")
_strides: Final = attrgetter("strides")
_flags: Final = attrgetter("flags")
_bits: Final = attrgetter("num")
_dtype: Final = attrgetter("dtype")
_LOOSE: Final = frozenset(bits for bits in range(1 << 11) if not bits & 3)
"""The flags of arrays that are contiguous in neither order."""
_base: Final = attrgetter("base")

Array = np.ndarray[Any, Any]


class _NotPlain(Exception):
    """The state has a part that no outline is drawn of."""


class _Part:
    """One container: the types of its children in their order, and of a dict which keys they have."""

    __slots__ = ("_key_ids", "_keys", "_kind", "_kinds", "_may_be_tree", "_parts")

    def __init__(self, thing: Any, level: int = 0) -> None:
        if level > _LEVELS_MOST:
            raise _NotPlain
        self._kind = type(thing)
        self._keys, self._key_ids = None, None
        if type(thing) is dict:
            if set(map(type, thing)) - {str}:
                raise _NotPlain
            self._keys = list(thing)  # Kept, so that no other text gets the place in memory that one of them has.
            self._key_ids = list(map(id, thing))
            thing = thing.values()
        self._kinds = list(map(type, thing))
        self._may_be_tree = len(thing) >= BLOCK_LEAST and _BOXES.issuperset(self._kinds)
        self._parts: Any
        if plain_values(thing, careful=False) is not None:
            self._parts = _VALUES
        elif _is_tree(thing):
            self._parts = _TREE
        else:
            self._parts = [_part_of(child, level + 1) for child in thing]

    def words(self) -> Iterator[Any]:
        """The atoms that a walk emits of it."""
        kind = self._kind.__name__
        head: tuple[Any, ...] = (kind,) if self._keys is None else (kind, self._keys)
        if self._parts is _VALUES or self._parts is _TREE:
            yield (*head, "values" if self._parts is _VALUES else "tree")
            return
        yield (*head, len(self._parts))
        for part in self._parts:
            if type(part) is _Part:
                yield from part.words()
            else:
                yield "array" if part is _ARRAY else "value"

    def find(self, thing: Any, values: list[object], arrays: list[Array], once: list[object]) -> bool:
        """Whether `thing` has this part's shape still; its values and arrays are added. `once` gets what may stand in
        one place only."""
        if type(thing) is not tuple or len(thing):
            once.append(thing)
        keys = None if self._key_ids is None else list(map(id, thing))
        # Another thread may change it meanwhile: what is looked at is what is taken.
        thing = list(thing) if keys is None else list(thing.values())
        if keys != self._key_ids:
            return False
        if self._parts is _VALUES:
            value = plain_values(thing, careful=False)
            values.append(value)
            return value is not None
        if self._parts is _TREE:
            tree = plain_tree(thing, careful=False) if len(thing) >= BLOCK_LEAST else None
            values.append(thing)
            once += thing if tree is None else tree[0]
            return tree is not None
        if list(map(type, thing)) != self._kinds or (self._may_be_tree and _is_tree(thing)):
            return False
        for part, child in zip(self._parts, thing, strict=True):
            if part is None:
                values.append(child)
            elif part is _SHORT:
                if len(child) >= TINY_BYTES:
                    return False
                values.append(child)
            elif part is _ARRAY:
                arrays.append(child)
            elif not part.find(child, values, arrays, once):
                return False
        return True


def _is_tree(thing: Any) -> bool:
    """Whether a walk notes the children at once."""
    return len(thing) >= BLOCK_LEAST and plain_tree(list(thing), careful=False) is not None


def _part_of(thing: object, level: int) -> Any:
    """A part for a container, `_ARRAY` for an array, `_SHORT` for bytes, None for a value."""
    kind = type(thing)
    if kind in _CONTAINERS:
        return _Part(thing, level)
    if kind is np.ndarray and id(thing.dtype) in PLAIN_DTYPES:  # type: ignore[attr-defined]
        return _ARRAY
    if kind in PLAIN:
        return None
    if kind is bytes and len(thing) < TINY_BYTES:  # type: ignore[arg-type]
        return _SHORT
    raise _NotPlain


class Outline:
    def __init__(self, roots: dict[str, object], walk: Walk) -> None:
        self._whole = _Part(roots)
        self._forms = _forms(walk.arrays)
        # The state may have been changed since it was walked, by another thread.
        if list(self._whole.words()) != walk.atoms or walk.keys or self.find(roots) is None:
            raise _NotPlain

    def find(self, roots: dict[str, object]) -> tuple[list[object], list[Array]] | None:
        """Values and arrays of a state; None where it is not certain that a walk would find the same structure."""
        found = self._find(roots)
        return None if found is None or _forms(found[1]) != self._forms else found

    def _find(self, roots: dict[str, object]) -> tuple[list[object], list[Array]] | None:
        values: list[object] = []
        arrays: list[Array] = []
        once: list[object] = []
        if not self._whole.find(roots, values, arrays, once):
            return None
        once += arrays
        return (values, arrays) if len(set(map(id, once))) == len(once) and _are_apart(arrays, once) else None


def _forms(arrays: list[Array]) -> list[object]:
    """How arrays look: their shapes, whether their elements lie together and may be written, and the ids of their
    types, of each of which there is one object. Only where they do not lie together do strides say more."""
    bits = list(map(_bits, map(_flags, arrays)))
    strides = map(_strides, arrays) if any(map(_LOOSE.__contains__, set(bits))) else ()
    return [*map(_shape, arrays), *bits, *map(id, map(_dtype, arrays)), *strides]


def _are_apart(arrays: list[Array], once: list[object]) -> bool:
    """Whether it is certain that no two arrays share memory."""
    if not any(map(is_not, map(_base, arrays), repeat(None))):
        return True
    bases = [array.base for array in arrays if array.base is not None]
    owners = set(map(id, bases))
    has_own_memory = all(type(base) is np.ndarray and base.base is None for base in bases)
    return has_own_memory and len(owners) == len(bases) and owners.isdisjoint(map(id, once))


def draw_outline(roots: dict[str, object], walk: Walk) -> Outline | None:
    """Of what a walk found; None where the state has a part that no outline is drawn of."""
    try:
        return Outline(roots, walk)
    except _NotPlain:
        return None
