"""Where two commits differ, leaf by leaf, to the bit. Neither is rebuilt: no class of the program is needed.

Only the state is compared. The global generators that travel with it begin differently in every process, unless the
program seeds them; where it draws from them unseeded, the state shows it.
"""

from __future__ import annotations

import os
from mmap import ACCESS_READ, mmap
from typing import Any, Final, NamedTuple

import numpy as np

from goldthread.errors import CommitDamaged
from goldthread.slots.nodes import Node, form_place
from goldthread.slots.rebuild import Rebuilder
from goldthread.wire.image import read_header

__all__ = ["Comparison", "Difference", "compare_images"]

_SHOWN_SIGNS: Final = 60
_IN_PAYLOAD: Final = frozenset({"bytes", "bytearray", "buffer", "pyarray", "tensor", "jax", "pickle"})
"""Kinds whose last two details say where their bytes are."""


class Difference(NamedTuple):
    place: str
    """`state["weights"]["in"]`."""
    text: str
    """What differs there."""

    def __str__(self) -> str:
        return f"{self.place}: {self.text}"


class Comparison(NamedTuple):
    differences: tuple[Difference, ...]
    """In the order of the state; empty where both are the same, to the bit."""
    leaves: int
    """How many leaves were compared."""


def compare_images(one: int, other: int) -> Comparison:
    """Compare two sealed images, given by their descriptors. Raises `CommitDamaged`."""
    comparer = _Comparer(_open(one), _open(other))
    first, second = (_state_of(rebuilder) for rebuilder in (comparer.one, comparer.other))
    comparer.compare(first, second, "state")
    return Comparison(tuple(comparer.differences), comparer.leaves)


def _open(descriptor: int) -> Rebuilder:
    image = memoryview(mmap(descriptor, os.fstat(descriptor).st_size, access=ACCESS_READ))
    header = read_header(image)
    if header is None:
        raise CommitDamaged("this commit was never sealed")
    return Rebuilder(image, header, map=True, pickle=False)


def _state_of(rebuilder: Rebuilder) -> Node:
    roots: dict[Any, Node] = dict(zip(rebuilder.root.keys, rebuilder.root.children, strict=True))
    return roots["state"]


class _Comparer:
    def __init__(self, one: Rebuilder, other: Rebuilder) -> None:
        self.one = one
        self.other = other
        self.differences: list[Difference] = []
        self.leaves = 0

    def compare(self, one: Node, other: Node, place: str) -> None:
        if one.kind != other.kind:
            self._differ(place, f"{_kind_words(one)} against {_kind_words(other)}")
        elif one.children or other.children or one.keys or other.keys:
            self._compare_children(one, other, place)
        elif one.kind == "array":
            self._compare_arrays(one, other, place)
        elif one.kind in _IN_PAYLOAD:
            self._compare_bytes(one, other, place)
        else:
            self.leaves += 1
            if (one.details, one.number) != (other.details, other.number) or not _is_same(one.value, other.value):
                self._differ(place, f"{_shown(one.value)} against {_shown(other.value)}")

    def _compare_children(self, one: Node, other: Node, place: str) -> None:
        if one.details != other.details:
            self._differ(place, f"{one.kind} {_shown(one.details)} against {_shown(other.details)}")
        if one.keys != other.keys:
            unshared = [key for key in [*one.keys, *other.keys] if (key in one.keys) != (key in other.keys)]
            self._differ(place, f"only in one of them: {unshared}" if unshared else "its keys come in another order")
        others = dict(zip(other.keys, other.children, strict=True))
        for key, child in zip(one.keys, one.children, strict=True):
            if key in others:
                self.compare(child, others[key], place + form_place(one.kind, key))

    def _compare_arrays(self, one: Node, other: Node, place: str) -> None:
        self.leaves += 1
        if one.details[:2] != other.details[:2]:
            self._differ(place, f"{_array_words(one)} against {_array_words(other)}")
            return
        first, second = self.one.view(one), self.other.view(other)
        unequal = _bytes_of(first) != _bytes_of(second)
        elements = np.flatnonzero(unequal.any(axis=-1))
        if len(elements):
            at = np.unravel_index(elements[0], first.shape)
            where = f", the first at {[int(index) for index in at]}" if at else ""
            values = f"{_shown(first[at])} against {_shown(second[at])}"
            self._differ(place, f"{len(elements)} of {first.size} elements differ{where}: {values}")

    def _compare_bytes(self, one: Node, other: Node, place: str) -> None:
        self.leaves += 1
        if one.details[:-2] != other.details[:-2]:
            self._differ(place, f"{one.kind} {_shown(one.details[:-2])} against {_shown(other.details[:-2])}")
            return
        first, second = (np.frombuffer(side, np.uint8) for side in (self.one.raw(one), self.other.raw(other)))
        if len(first) != len(second):
            self._differ(place, f"{len(first)} bytes against {len(second)}")
        elif unequal := np.count_nonzero(first != second):
            self._differ(place, f"{unequal} of {len(first)} bytes of the {one.kind} differ")

    def _differ(self, place: str, text: str) -> None:
        self.differences.append(Difference(place, text))


def _bytes_of(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The bytes of each element, in the order of the elements: NaNs and zeros with signs are told apart."""
    whole = np.ascontiguousarray(array)
    return whole.reshape(-1).view(np.uint8).reshape(whole.size, whole.dtype.itemsize)


def _is_same(one: object, other: object) -> bool:
    """The same value of the same type, to the bit: `1` is not `True`, `0.0` is not `-0.0`, a NaN is itself."""
    if isinstance(one, float) and isinstance(other, float):
        return one.hex() == other.hex()
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_is_same, one, other))
    return type(one) is type(other) and one == other


def _kind_words(node: Node) -> str:
    return f"{type(node.value).__name__} {_shown(node.value)}" if node.kind == "value" else node.kind


def _array_words(node: Node) -> str:
    dtype, shape = node.details[:2]
    return f"an array of {dtype} {shape}"


def _shown(value: object) -> str:
    text = str(value) if isinstance(value, np.generic) else repr(value)
    return text if len(text) <= _SHOWN_SIGNS else f"{text[: _SHOWN_SIGNS - 3]}..."
