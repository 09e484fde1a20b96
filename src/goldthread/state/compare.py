"""Whether two commits hold the same state, bit for bit, and where they do not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np

from goldthread.errors import CommitDamaged
from goldthread.slots.slot import Slot
from goldthread.state.nodes import Node, form_place
from goldthread.state.rebuild import Rebuilder
from goldthread.wire.image import read_header

__all__ = ["Comparison", "Difference", "compare", "compare_images"]

_encode = msgspec.msgpack.Encoder().encode
_SHOWN_SIGNS: Final = 60


class Difference(NamedTuple):
    """One leaf that differs, or a container whose contents do not correspond."""

    place: str
    text: str

    def __str__(self) -> str:
        return f"{self.place}: {self.text}"


class Comparison(NamedTuple):
    differences: list[Difference]
    """In the order of the walk."""
    leaves: int
    """Leaves compared."""


def compare_images(mine: int, its: int) -> Comparison:
    """Compare two sealed images that are open as descriptors."""
    slots = [Slot(mine, writable=False), Slot(its, writable=False)]
    try:
        return compare(slots[0].image, slots[1].image)
    finally:
        for slot in slots:
            slot.close()


def compare(mine: memoryview, its: memoryview) -> Comparison:
    """Compare two sealed images, leaf by leaf. Nothing is rebuilt, and no class is needed."""
    left, right = _open(mine), _open(its)
    differences: list[Difference] = []
    leaves = 0
    for found in _walk(left, left.root, right, right.root, ""):
        leaves += 1
        if found is not None:
            differences.append(found)
    return Comparison(differences, leaves)


def _open(image: memoryview) -> Rebuilder:
    header = read_header(image)
    if header is None:
        raise CommitDamaged("this commit was never sealed")
    return Rebuilder(image, header, map=True, pickle=False)


def _walk(left: Rebuilder, mine: Node, right: Rebuilder, its: Node, place: str) -> Iterator[Difference | None]:
    """For each leaf what differs there, or None."""
    if mine.kind != its.kind:
        yield Difference(place, f"{_kind(mine)} and {_kind(its)}")
    elif mine.keys or its.keys:
        if _encode_keys(mine) != _encode_keys(its):
            yield Difference(place, _keys_in_words(mine, its))
            return
        for key, one, other in zip(mine.keys, mine.children, its.children, strict=True):
            there = place + form_place(mine.kind, key) if place else str(key)
            yield from _walk(left, one, right, other, there)
    else:
        text = _leaf(left, mine, right, its)
        yield Difference(place, text) if text else None


def _leaf(left: Rebuilder, mine: Node, right: Rebuilder, its: Node) -> str:
    """How two leaves of one kind differ; empty where they do not."""
    if mine.kind == "array":
        return _arrays(left.view(mine), right.view(its))
    if mine.value is None and len(mine.details) > 1 and mine.kind != "value":
        if mine.details[:-2] != its.details[:-2]:
            return f"{mine.details[:-2]} and {its.details[:-2]}"
        one, other = np.frombuffer(left.raw(mine, ""), np.uint8), np.frombuffer(right.raw(its, ""), np.uint8)
        return "" if one.tobytes() == other.tobytes() else f"{_differing(one, other)} bytes differ"
    if _encode((mine.details, mine.value)) == _encode((its.details, its.value)):
        return ""
    return f"{_short(mine.value)} and {_short(its.value)}"


def _arrays(one: np.ndarray[Any, Any], other: np.ndarray[Any, Any]) -> str:
    if (one.dtype, one.shape) != (other.dtype, other.shape):
        return f"an array of {one.dtype} {one.shape} and one of {other.dtype} {other.shape}"
    if one.nbytes == 0:
        return ""
    mine, its = _rows(one), _rows(other)
    differs = (mine != its).any(axis=1)
    if not differs.any():
        return ""
    first = int(differs.argmax())
    return (
        f"{int(differs.sum())} of {one.size} elements differ, the first at {first}: "
        f"{one.reshape(-1, order='A')[first]} and {other.reshape(-1, order='A')[first]}"
    )


def _rows(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The bytes of each element as a row, in the order in which they lie."""
    flat = array.reshape(-1, order="A")
    return flat.view(np.uint8).reshape(array.size, array.dtype.itemsize)


def _differing(one: np.ndarray[Any, Any], other: np.ndarray[Any, Any]) -> str:
    if len(one) != len(other):
        return f"{len(one)} and {len(other)}"
    return f"{int((one != other).sum())} of {len(one)}"


def _encode_keys(node: Node) -> str:
    return repr((node.keys, node.details))


def _keys_in_words(mine: Node, its: Node) -> str:
    if set(map(repr, mine.keys)) == set(map(repr, its.keys)):
        return f"{mine.details} and {its.details}" if mine.details != its.details else "another order of keys"
    if mine.kind in ("list", "tuple", "deque", "set", "frozenset"):
        return f"{len(mine.keys)} and {len(its.keys)} items"
    alone = [key for key in [*mine.keys, *its.keys] if (key in mine.keys) != (key in its.keys)]
    return f"only one of the two has {', '.join(map(repr, alone[:3]))}"


def _kind(node: Node) -> str:
    return type(node.value).__name__ if node.kind == "value" else node.kind


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN_SIGNS else f"{text[:_SHOWN_SIGNS]}..."
