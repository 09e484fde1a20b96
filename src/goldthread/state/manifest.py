"""The manifest of an image: made from what a walk found, and read back.

The manifest is msgpack and can be read without goldthread. It is a list of three:

    [words, places, values]

*Words* are the nodes of the state's tree, flat, in the order in which a walk meets them; a container's children follow
it. *Values* are the small scalars and *places* tell of everything with bytes in the payload, each in the order of the
words that take them:

    "value"                               takes the next value: None, bool, int, float, str or bytes
    "int" "complex" "text" "date" ...     take the next value, written otherwise (`kinds/` says how)
    ["scalar", dtype]                     takes the next value: the bytes of a NumPy scalar
    "array"                               takes the next place: [dtype, shape, order, at]; order "C", "F", or the axes,
                                          that of the longest steps first; `at` counts from the end of the header
    ["bytes"] ["tensor", ...]             take the next place: [at, length]
    ["list", count]                       a container with its details; its last entry says how its children follow:
                                          so many nodes; "values", "tree": the next value is the list of all of them,
                                          plain in a tree of lists and dicts; a word: the next value is a list of dicts,
                                          each the attributes of one such object, or of lists, each the
                                          items of one such tuple
    ["dict", keys, count]                 keys are plain msgpack values, a tuple is a list; null where they are nodes,
                                          which come first, before as many values
    ["object", class, fields, names, ...] attributes by name; the name null is the items of a builtin base
    ["same", number]                      the object of that number again: what can be shared is counted from 0 in the
                                          order of the words, a tree, or many objects at once, as one;
                                          ["same", number, index] is one of the lists, dicts and objects in it, which
                                          are counted, each before what is in it

A place that shares its memory with others has two entries more: the strides in bytes, and how far
its bytes reach below and above its first element. Those of such places that overlap are views of one memory. With the
strides alone, they are those of the program, and its elements stand here without the gaps between them. The last entry
of a place of an array that is not to be written is "read-only".
"""

from __future__ import annotations

import gc
from typing import Any, Final

import msgspec
import numpy as np

from goldthread.errors import CommitDamaged
from goldthread.slots.layout import Layout
from goldthread.state.depth import many_levels
from goldthread.state.dtypes import dtype_word
from goldthread.state.memory import View, order_of
from goldthread.state.outline import Outline, draw_outline
from goldthread.state.walk import Walk

__all__ = ["Structure", "read_manifest"]

Array = np.ndarray[Any, Any]

_LIST_OF_THREE: Final = b"\x93"
_OUTLINES_MOST: Final = 8
"""A state whose values take other types again and again is walked each time."""
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder().decode


class Structure:
    """What stays the same from commit to commit: the encoded structure and the layout of the payload."""

    def __init__(self, walk: Walk) -> None:
        orders = {index: order_of(array) for index, array in enumerate(walk.arrays) if not array.flags.c_contiguous}
        orders = {index: order for index, order in orders.items() if order != "C"}
        self.layout = Layout(walk.shapes, walk.dtypes, orders)
        self._signature = _signature(walk)
        self._encoded = _LIST_OF_THREE + _encode(walk.atoms) + _encode(_places(walk, self.layout, orders))
        self._outline: Outline | None = None
        self._outlines_left = 0 if walk.views or walk.inexact else _OUTLINES_MOST

    def fits(self, walk: Walk) -> bool:
        """Whether a later walk found the same, so that only values and bytes may differ."""
        return self._signature == _signature(walk)

    def manifest(self, values: list[object]) -> bytes:
        """Raises `OverflowError` or `UnicodeEncodeError` for a value that msgpack has no word for."""
        return self._encoded + _encode(values)

    def remember(self, roots: dict[str, object], walk: Walk) -> None:
        """Draw the outline of a state that was found to fit by a walk, for the next one."""
        if self._outlines_left:
            with many_levels():
                self._outline = draw_outline(roots, walk)
            self._outlines_left = 0 if self._outline is None else self._outlines_left - 1

    def again(self, roots: dict[str, object]) -> tuple[bytes, list[Array]] | None:
        """Manifest and arrays of a state that is certain to have this structure; None where only a walk can tell."""
        if self._outline is None:
            return None
        collects = gc.isenabled()
        gc.disable()  # It would look at each of the many small things that are made here for a moment.
        try:
            found = self._outline.find(roots)
            return None if found is None else (self.manifest(found[0]), found[1])
        except (OverflowError, UnicodeEncodeError):  # A value that is written otherwise.
            return None
        finally:
            if collects:
                gc.enable()


def _signature(walk: Walk) -> tuple[object, ...]:
    return (
        walk.atoms, walk.keys, walk.shapes, walk.dtypes, walk.strides, walk.views, walk.steps, walk.read_only,
    )  # fmt: skip


def _places(walk: Walk, layout: Layout, orders: dict[int, Any]) -> list[object]:
    """What each atom that takes a place is to take."""
    places: list[object] = []
    read_only = set(walk.read_only)
    index = 0
    for atom in walk.atoms:
        if atom == "array":
            place = _array_place(walk, layout, index, orders)
            places.append([*place, "read-only"] if index in read_only else place)
        elif atom[0] in walk.buffers:
            view = walk.views.get(index)
            places.append(
                [layout.offsets[index], layout.lengths[index]]
                if view is None
                else [_at(view, layout), _bytes(view), list(view.strides), _extent(view)]
            )
        else:
            continue
        index += 1
    return places


def _array_place(walk: Walk, layout: Layout, index: int, orders: dict[int, Any]) -> list[object]:
    view = walk.views.get(index)
    if view is not None:
        return [dtype_word(view.dtype), list(view.shape), "C", _at(view, layout), list(view.strides), _extent(view)]
    place = [dtype_word(walk.dtypes[index]), list(walk.shapes[index]), orders.get(index, "C"), layout.offsets[index]]
    return [*place, list(walk.steps[index])] if index in walk.steps else place


def _at(view: View, layout: Layout) -> int:
    return layout.offsets[view.memory] + view.start


def _bytes(view: View) -> int:
    return int(np.prod(view.shape)) * view.dtype.itemsize


def _extent(view: View) -> list[int]:
    """How far its bytes reach below its first element, and above."""
    reach = [(length - 1) * stride for length, stride in zip(view.shape, view.strides, strict=True)]
    return [-sum(one for one in reach if one < 0), sum(one for one in reach if one > 0) + view.dtype.itemsize]


def read_manifest(manifest: bytes | memoryview) -> tuple[Any, Any, list[Any]]:
    """Words, places and values; places are None in a manifest of version 0.1, whose words are nested (`nested.py`).

    Raises `CommitDamaged` where it is no manifest.
    """
    try:
        words, *places, values = _decode(manifest)
        if len(places) > 1:
            raise ValueError(f"a list of {len(places) + 2}")
    except (msgspec.MsgspecError, ValueError, TypeError, RecursionError) as error:
        raise CommitDamaged(f"the manifest of a commit cannot be read: {error}") from error
    return words, places[0] if places else None, values
