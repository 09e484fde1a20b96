"""What has bytes of its own beside NumPy: bytearray, array.array, and memoryviews of these, of bytes, and of arrays.

A memoryview is stored as a part of what it is a view of, which follows it. One of memory that no state can hold (a
file, what processes share) is stored as the bytes that it shows.
"""

from __future__ import annotations

import array
from typing import Any, Final

import numpy as np

from goldthread.errors import CommitDamaged
from goldthread.state.kind import Family, Form, Kind
from goldthread.state.kinds.arrays import can_take, is_same_memory
from goldthread.state.memory import address_of
from goldthread.state.nodes import Node
from goldthread.state.walk import Refusal, Walk

__all__ = ["FAMILY"]

_OWNERS: Final = (bytes, bytearray, array.array, np.ndarray)
_FOREIGN: Final = (
    "a memoryview of what can be in no state ({}) comes back with memory of its own, where restore is given none that "
    "it can fill"
)


def _bytearray(walk: Walk, thing: bytearray) -> None:
    if walk.enter(thing):
        walk.buffer("bytearray", np.frombuffer(bytes(thing), np.uint8))


def _pyarray(walk: Walk, thing: array.array[Any]) -> None:
    if walk.enter(thing):
        walk.buffer("pyarray", np.frombuffer(thing.tobytes(), np.uint8), thing.typecode)


def _memory(walk: Walk, thing: memoryview) -> None:
    try:
        owner: Any = thing.obj
    except ValueError:
        raise Refusal("a memoryview that was released cannot be stored", "keep it out of the state") from None
    if not isinstance(owner, _OWNERS):
        walk.tell(_FOREIGN.format(type(owner).__name__))
        if walk.enter(thing):
            shape, raw = list(thing.shape or ()), np.frombuffer(thing.tobytes(), np.uint8)
            walk.buffer("buffer", raw, thing.format, shape, thing.readonly)
        return
    word = _part_word(thing, owner)
    if not _is_alike(_part(owner, *word), thing):
        raise Refusal(
            "this memoryview shows its memory in a way that cannot be made again", "store what it is a view of"
        )
    if walk.enter(thing):
        walk.atoms.append(("part", *word, 1))
        walk.visit(thing, [".obj"], [owner], str)


def _part_word(view: memoryview, owner: Any) -> tuple[str, list[int], int, int, bool]:
    """Format, shape, where it begins, and the step between its elements; a step of 0 says that it shows all, as it is
    shown of itself."""
    whole = memoryview(owner)
    form, shape = view.format, list(view.shape or ())
    start = _start(view) - _start(whole) if view.nbytes else 0
    if start == 0 and (whole.format, whole.shape, whole.strides) == (view.format, view.shape, view.strides):
        return form, shape, 0, 0, view.readonly
    step = 1
    if view.ndim == 1 and not view.c_contiguous and view.strides is not None and view.itemsize:
        step = view.strides[0] // view.itemsize
    return form, shape, start, step, view.readonly


def _start(view: memoryview) -> int:
    """The address of its first element; 0 where only all of it, which has a shape of its own, can be asked for that."""
    if view.nbytes == 0:
        return 0
    if view.c_contiguous:
        return address_of(np.frombuffer(view, np.uint8))
    if view.ndim == 1:
        return address_of(np.frombuffer(view[:1], np.uint8))
    return address_of(np.asarray(view))


def _part(owner: Any, form: str, shape: list[int], start: int, step: int, is_read_only: bool) -> memoryview | None:
    """The view that these words tell of; None where there is none."""
    try:
        view = memoryview(owner)
        if step:
            flat = view.cast("B")
            size = np.dtype(form).itemsize if form != "c" else 1
            reach = (shape[0] - 1) * step * size if len(shape) == 1 and step != 1 else 0
            first = start + min(reach, 0)
            length = int(np.prod(shape)) * size if step == 1 else abs(reach) + size
            piece = flat[first : first + length]
            if step != 1:
                view = piece.cast(form)[::step]  # type: ignore[call-overload]
            elif 0 in shape and len(shape) == 1:
                view = flat[:0].cast(form)  # type: ignore[call-overload]
            else:
                view = piece.cast(form, shape)  # type: ignore[call-overload]
    except (TypeError, ValueError, NotImplementedError):
        return None
    return view.toreadonly() if is_read_only else view


def _is_alike(one: memoryview | None, other: memoryview) -> bool:
    if one is None or one.readonly != other.readonly or _start(one) != _start(other):
        return False
    return (one.format, one.shape, one.strides) == (other.format, other.shape, other.strides)


# Anew.


def _make_part(rebuilder: Any, node: Node, place: object) -> Any:
    owner = rebuilder.children(node, place)[0]
    made = _part(owner, *node.details) if isinstance(owner, _OWNERS) else None
    if made is None:
        raise CommitDamaged(f"{place}: a memoryview of a commit does not suit what it is a view of")
    return made


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


def _fit_bytes(fitter: Any, node: Node, current: Any, place: object) -> Any:
    """A bytearray or an array.array, which can be given new contents whole, unless it has views and another length."""
    made = fitter.make(node, place)
    if isinstance(current, array.array) and current.typecode != made.typecode:
        return made
    if len(current) != len(made) and not _can_grow(current):
        return made
    fitter.noted.append(lambda: current.__setitem__(slice(None), made))
    return current


def _can_grow(thing: Any) -> bool:
    """Whether no view of it says that its memory must stay where it is."""
    try:
        thing.append(0 if not isinstance(thing, array.array) or thing.typecode != "u" else "a")
        thing.pop()
    except BufferError:
        return False
    return True


def _fit_part(fitter: Any, node: Node, current: memoryview, place: object) -> Any:
    """A view of the program stays, where what it is a view of does and it shows the same part of that."""
    child, own = node.expand()[0], current.obj
    if type(child) is not Node or not can_take(fitter, child, own):
        return fitter.make(node, place)
    poured = fitter.fit(child, own, place)
    if is_same_memory(poured, own) and _is_alike(_part(own, *node.details), current):
        return current
    return fitter.make(node, place)


def _fit_buffer(fitter: Any, node: Node, current: Any, place: object) -> Any:
    raw = fitter.rebuilder.raw(node, place)
    view = memoryview(current)
    if view.readonly or not view.c_contiguous or view.nbytes != len(raw):
        return fitter.make(node, place)
    if len(raw):
        fitter.noted.append(lambda: view.cast("B").__setitem__(slice(None), raw))
    return current


FAMILY: Final = Family(
    kinds=(
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
        Kind(
            "part",
            Form.CONTAINER,
            _make_part,
            suits=lambda thing: type(thing) is memoryview,
            fit=_fit_part,
            group="memoryview",
        ),
        Kind("buffer", Form.BUFFER, _make_buffer, fit=_fit_buffer, group="memoryview"),
    ),
    stores={bytearray: _bytearray, array.array: _pyarray, memoryview: _memory},
)  # fmt: skip
