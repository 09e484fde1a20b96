"""NumPy's arrays of objects: of any, of records that have some among their fields, and of text of any length.

The objects in them are stored as those in a list are. A view of such an array is stored as a look at it: what owns the
memory comes along whole, since it cannot be told apart what of it is seen from elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import numpy as np

from goldthread.errors import CommitDamaged
from goldthread.state.dtypes import dtype_from, dtype_word
from goldthread.state.kind import Family, Form, Kind
from goldthread.state.kinds.arrays import note_look, plain_of, says_type, store_array
from goldthread.state.memory import address_of, bounds, laid_out, order_of, owner_of, turned
from goldthread.state.nodes import Node
from goldthread.state.walk import Refusal, Walk, in_brackets

__all__ = ["FAMILY"]

Array = np.ndarray[Any, Any]
_OBJECT: Final = np.dtype(object)


def _store(walk: Walk, thing: Array) -> None:
    if not thing.dtype.hasobject:
        store_array(walk, thing)
        return
    owner: Any = owner_of(thing)
    if isinstance(owner, np.ndarray) and owner is not thing and plain_of(walk, owner) is not thing:
        _look(walk, thing, plain_of(walk, owner))
        return
    says_type(walk, thing.dtype)
    if walk.enter(thing):
        _whole(walk, thing)


def _look(walk: Walk, thing: Array, owner: Array) -> None:
    """A view of an array that owns its memory: it follows."""
    low, high = bounds(owner)
    first, last = bounds(thing)
    if first < last and not (low <= first and last <= high):
        raise Refusal("it is a view of memory that is not that of what it is a view of", "store a copy")
    says_type(walk, thing.dtype)
    if walk.enter(thing):
        note_look(
            walk, thing, owner, thing.dtype, thing.shape, thing.strides, address_of(thing) - low if thing.size else 0
        )


def _whole(walk: Walk, thing: Array) -> None:
    dtype, order = thing.dtype, order_of(thing)
    word = (dtype_word(dtype), list(thing.shape), order, not thing.flags.writeable)
    if dtype.names is not None:
        columns = list(_columns(turned(thing, order)))
        walk.atoms.append(("rows", *word, len(columns)))
        children = [walk.made(_items(column) if column.dtype.hasobject else column.copy()) for column in columns]
        walk.visit(thing, range(len(columns)), children, in_brackets)
    elif dtype.char == "T":
        items = _items(turned(thing, order))
        walk.inside(thing, ("strings", *word), range(len(items)), items, in_brackets)
    else:
        items = _items(turned(thing, order))
        plain = dtype.metadata is None and thing.flags.writeable
        more = () if plain else (word[0], word[3])
        walk.inside(thing, ("objects", word[1], order, *more), range(len(items)), items, in_brackets)


def _items(array: Array) -> list[Any]:
    items: list[Any] = array.reshape(-1).tolist()
    return items


def _columns(array: Array) -> Iterator[Array]:
    """The fields of an array of records that are no records themselves."""
    for name in array.dtype.names or ():
        column = array[name]
        if column.dtype.names is None:
            yield column
        else:
            yield from _columns(column)


# Anew.


def _make(rebuilder: Any, node: Node, place: object) -> Array:
    dtype, shape, order, is_read_only = _word_of(node)
    try:
        if node.kind.name != "rows" and int(np.prod(shape)) != len(node.keys):
            raise ValueError(f"{len(node.keys)} objects for a shape of {shape}")
        made: Array = rebuilder.note(node, laid_out(shape, dtype, order))
    except (TypeError, ValueError, IndexError) as error:
        raise CommitDamaged(f"{place}: an array of objects makes no sense: {error}") from error
    _fill(made, node, rebuilder.children(node, place), rebuilder)
    if is_read_only:
        made.flags.writeable = False
    return made


def _word_of(node: Node) -> tuple[np.dtype[Any], list[int], Any, bool]:
    if node.kind.name == "objects":
        shape, order, *more = node.details
        return (dtype_from(more[0]), shape, order, more[1]) if more else (_OBJECT, shape, order, False)
    word, shape, order, is_read_only = node.details
    return dtype_from(word), shape, order, is_read_only


def _fill(target: Array, node: Node, children: Any, rebuilder: Any = None) -> None:
    """Put what was stored into an array of the same shape and type; what it holds of arrays is there already, or will
    be when `rebuilder` has filled it."""
    there = turned(target, _word_of(node)[2])
    if node.kind.name != "rows":
        there[...] = _array_of(children, there.shape)
        return
    if rebuilder is not None:
        rebuilder.fill_anew()
    for column, child in zip(_columns(there), children, strict=True):
        column[...] = _array_of(child, column.shape) if type(child) is list else child


def _array_of(items: list[Any], shape: tuple[int, ...]) -> Array:
    return np.fromiter(items, _OBJECT, len(items)).reshape(shape)


# Poured.


def _fit(fitter: Any, node: Node, current: Array, place: object) -> Any:
    """An array of the program that owns its memory, or all of it, is filled; what is in it takes what stands there."""
    dtype, shape, order, is_read_only = _word_of(node)
    owner: Any = owner_of(current)
    is_whole = isinstance(owner, np.ndarray) and bounds(owner) == bounds(current) and owner.size == current.size
    is_alike = list(current.shape) == shape and dtype_word(current.dtype) == dtype_word(dtype)
    if not is_whole or not is_alike or not current.flags.writeable:
        return fitter.make(node, place)
    fitter.begin(node, current)
    if node.kind.name == "objects":
        children = fitter.items(node, _items(turned(current, order)), place)
    else:
        children = fitter.rebuilder.children(node, place)

    def finish() -> None:
        _fill(current, node, children)
        if is_read_only:
            current.flags.writeable = False

    fitter.noted.append(finish)
    return current


FAMILY: Final = Family(
    kinds=tuple(Kind(name, Form.CONTAINER, _make, fit=_fit, group="array") for name in ("objects", "rows", "strings")),
    stores={np.ndarray: _store},
)
