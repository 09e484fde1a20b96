"""NumPy's arrays and scalars, and what else has a buffer: array.array, bytearray, views of memory."""

from __future__ import annotations

import array
from typing import Any, Final

import numpy as np

from goldthread.errors import DoesNotFit
from goldthread.state.fit import HINT
from goldthread.state.kind import Family, Form, Kind, Store
from goldthread.state.kinds.pickles import ALLOW
from goldthread.state.manifest import dtype_from, dtype_word
from goldthread.state.nodes import Node
from goldthread.state.walk import Refusal, Walk, in_brackets

__all__ = ["FAMILY", "describe", "store_array"]

Array = np.ndarray[Any, Any]
_SMALL_BYTES: Final = 256 << 10
"""New arrays below this size are copied at once."""
_GROWS: Final = f"{HINT}: None, where an array grows"


def store_array(walk: Walk, thing: Array) -> None:
    """Reached for what the walk does not note by itself: arrays of objects."""
    if not thing.dtype.hasobject:
        walk.child(thing, lambda _: "")
        return
    if thing.dtype.kind != "O":
        raise Refusal(f"ndarray of dtype {thing.dtype} cannot be stored", "split it into plain arrays, one for a field")
    if walk.enter(thing):
        items = thing.reshape(-1, order="A").tolist() if thing.ndim else [thing[()]]
        order = "F" if thing.ndim > 1 and thing.flags.f_contiguous and not thing.flags.c_contiguous else "C"
        if order == "C":
            items = thing.ravel("C").tolist() if thing.ndim else items
        walk.inside(thing, ("objects", list(thing.shape), order), range(len(items)), items, in_brackets)


def _scalar(walk: Walk, thing: np.generic) -> None:
    if thing.dtype.hasobject:
        raise Refusal(f"{type(thing).__name__} of dtype {thing.dtype} cannot be stored", ALLOW)
    walk.note(("scalar", dtype_word(thing.dtype)), thing.tobytes())


def _memmap(walk: Walk, thing: Array) -> None:
    if walk.enter(thing):
        walk.atoms.append("array")
        walk.arrays.append(np.asarray(thing))


def _bytearray(walk: Walk, thing: bytearray) -> None:
    if walk.enter(thing):
        walk.buffer("bytearray", np.frombuffer(bytes(thing), np.uint8))


def _pyarray(walk: Walk, thing: array.array[Any]) -> None:
    if walk.enter(thing):
        walk.buffer("pyarray", np.frombuffer(thing.tobytes(), np.uint8), thing.typecode)


def _memory(walk: Walk, thing: memoryview) -> None:
    if walk.enter(thing):
        walk.buffer(
            "buffer", np.frombuffer(thing.tobytes(), np.uint8), thing.format, list(thing.shape or ()), thing.readonly
        )


def _claim(cls: type) -> Store | None:
    return _scalar if issubclass(cls, np.generic) and cls.__module__ == "numpy" else None


# Anew.


def _make_array(rebuilder: Any, node: Node, place: object) -> Array:
    if node.strides is not None:
        memory, start = rebuilder.memory(node.details[3], place)
        dtype, shape = dtype_from(node.details[0]), node.details[1]
        return np.ndarray(shape, dtype, memory, start, node.strides)
    view: Array = rebuilder.view(node)
    if rebuilder.map:
        return view
    made = np.empty_like(view, order="K")
    if view.nbytes < _SMALL_BYTES and view.dtype.names is None:
        rebuilder.verify(node.details[3], view.nbytes, place)
        np.copyto(made, view)
    else:  # As bytes: a copy of records would leave out what lies between their fields.
        rebuilder.fill_array(made, node, place, anew=True)
    return made


def _make_objects(rebuilder: Any, node: Node, place: object) -> Array:
    shape, order = node.details
    made: Array = rebuilder.note(node, np.empty(shape, object, order=order))
    items = np.empty(len(node.keys), object)
    for index, item in enumerate(rebuilder.children(node, place)):
        items[index] = item
    made[...] = items.reshape(shape, order=order)
    return made


def _make_scalar(rebuilder: Any, node: Node, place: object) -> Any:
    return np.ndarray((), dtype_from(node.details[0]), node.value)[()]


def _make_buffer(rebuilder: Any, node: Node, place: object) -> memoryview:
    form, shape = node.details[:2]
    is_readonly = len(node.details) > 4 and node.details[2]
    raw = rebuilder.raw(node, place)
    view = memoryview(bytes(raw) if is_readonly else bytearray(raw))
    return view.cast(form, shape) if 0 not in shape else view


def _make_pyarray(rebuilder: Any, node: Node, place: object) -> Any:
    made = array.array(node.details[0])
    made.frombytes(rebuilder.raw(node, place))
    return made


# Poured.


def _fit_array(fitter: Any, node: Node, current: Array, place: object) -> Any:
    stored = fitter.rebuilder.view(node)
    if current.size == 0 and stored.size != 0:
        return fitter.make(node, place)
    if current.shape != stored.shape or current.dtype != stored.dtype:
        raise DoesNotFit(
            f"{place}: the commit has an array of {describe(stored.dtype, stored.shape)}, "
            f"the program one of {describe(current.dtype, current.shape)}",
            hint=_GROWS,
        )
    if fitter.rebuilder.map or not current.flags.writeable or not fitter.take(current, node, node.details[3]):
        return fitter.make(node, place)
    fitter.rebuilder.fill_array(current, node, place)
    return current


def _fit_objects(fitter: Any, node: Node, current: Array, place: object) -> Any:
    return fitter.make(node, place)


def _fit_bytes(fitter: Any, node: Node, current: Any, place: object) -> Any:
    """A bytearray or an array.array, which can be given new contents whole."""
    made = fitter.make(node, place)
    if isinstance(current, array.array) and current.typecode != made.typecode:
        return made
    fitter.noted.append(lambda: current.__setitem__(slice(None), made))
    return current


def _fit_buffer(fitter: Any, node: Node, current: Any, place: object) -> Any:
    raw = fitter.rebuilder.raw(node, place)
    view = memoryview(current)
    if view.readonly or not view.c_contiguous or view.nbytes != len(raw):
        return fitter.make(node, place)
    if len(raw):
        fitter.noted.append(lambda: view.cast("B").__setitem__(slice(None), raw))
    return current


def describe(dtype: object, shape: tuple[int, ...]) -> str:
    return f"{dtype} {shape}"


def _is_plain_array(thing: Any) -> bool:
    return isinstance(thing, np.ndarray) and type(thing) in (np.ndarray, np.memmap) and not thing.dtype.hasobject


FAMILY: Final = Family(
    kinds=(
        Kind("array", Form.BUFFER, _make_array, suits=_is_plain_array, fit=_fit_array, carries=True),
        Kind(
            "objects",
            Form.CONTAINER,
            _make_objects,
            suits=lambda thing: type(thing) is np.ndarray and thing.dtype.hasobject,
            fit=_fit_objects,
        ),
        Kind("scalar", Form.VALUE, _make_scalar, is_shared=False),
        Kind(
            "bytearray",
            Form.BUFFER,
            lambda rebuilder, node, place: bytearray(rebuilder.raw(node, place)),
            suits=lambda thing: type(thing) is bytearray,
            fit=_fit_bytes,
        ),
        Kind(
            "pyarray", Form.BUFFER, _make_pyarray, suits=lambda thing: type(thing) is array.array, fit=_fit_bytes
        ),
        Kind("buffer", Form.BUFFER, _make_buffer, suits=lambda thing: type(thing) is memoryview, fit=_fit_buffer),
    ),
    stores={
        np.ndarray: store_array,
        np.memmap: _memmap,
        bytearray: _bytearray,
        array.array: _pyarray,
        memoryview: _memory,
    },
    claim=_claim,
)  # fmt: skip
