"""Whether two commits hold the same state, bit for bit, and where they do not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np

from goldthread.errors import CommitDamaged
from goldthread.slots.slot import Slot
from goldthread.state.dtypes import dtype_from
from goldthread.state.kind import Form, Kind
from goldthread.state.kinds.registry import REGISTRY
from goldthread.state.nodes import Node, piece_of_place
from goldthread.state.rebuild import Rebuilder
from goldthread.wire.image import read_header

__all__ = ["Comparison", "Difference", "compare", "compare_images", "pickles_in", "text_difference"]

_encode = msgspec.msgpack.Encoder().encode
_SHOWN_SIGNS: Final = 60
_SIGNS_BEFORE: Final = 16
_SIGNS_AFTER: Final = 32
"""Of two long texts so much is shown around the first sign that differs."""


class Difference(NamedTuple):
    """One leaf that differs, or a container whose contents do not correspond."""

    place: str
    text: str
    kind: str = ""
    """Of the node."""
    values: tuple[Any, Any] | None = None
    """The two values, or the first two elements that differ; None where they are no plain things."""
    bits: tuple[bytes, bytes] = (b"", b"")
    """Of those elements, where they are of an array."""
    owner: str = ""
    """The place of the object that gave it by its `state_dict`; empty where none did."""

    def __str__(self) -> str:
        return f"{self.place}: {self.text}"


class Comparison(NamedTuple):
    differences: list[Difference]
    """In the order of the walk."""
    leaves: int
    """Leaves compared."""


class _Found(NamedTuple):
    """How two leaves differ. An empty text: they do not."""

    text: str = ""
    values: tuple[Any, Any] | None = None
    bits: tuple[bytes, bytes] = (b"", b"")


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
    return Rebuilder(image, header, REGISTRY, map=True)


def _walk(
    left: Rebuilder, mine: Any, right: Rebuilder, its: Any, place: str, owner: str = ""
) -> Iterator[Difference | None]:
    """For each leaf what differs there, or None."""
    mine, its = _node(mine), _node(its)
    if mine.kind.name != its.kind.name:
        yield Difference(place, f"{_kind(mine)} and {_kind(its)}")
    elif len(mine.expand()) or len(its.expand()):
        if _encode_keys(mine) != _encode_keys(its):
            yield Difference(place, _keys_in_words(mine, its))
            return
        for key, one, other in zip(_keys(mine), mine.expand(), its.expand(), strict=True):
            there = place + piece_of_place(mine, key) if place else str(key)
            yield from _walk(left, one, right, other, there, place if mine.kind.name == "stateful" else owner)
    else:
        found = _leaf(left, mine, right, its)
        name = mine.kind.name
        yield Difference(place, found.text, name, found.values, found.bits, owner) if found.text else None


_VALUE: Final = Kind("value", Form.VALUE, make=lambda rebuilder, node, place: node.value, is_shared=False)


def _node(thing: Any) -> Node:
    """A plain value as a node of its own."""
    if type(thing) is Node:
        return thing
    node = Node(_VALUE)
    node.value = thing
    return node


def _keys(node: Node) -> list[Any]:
    """Of the children, for their places; what `state_dict` gave stands in the place of its object."""
    if node.kind.name == "stateful":
        return [None] * len(node.expand())
    return list(range(len(node.expand())) if node.keys is None else node.keys)


def _leaf(left: Rebuilder, mine: Node, right: Rebuilder, its: Node) -> _Found:
    """How two leaves of one kind differ."""
    if mine.kind.name == "array":
        return _arrays(left.view(mine), right.view(its))
    if mine.kind.name == "same":
        return _Found() if mine.number == its.number else _Found("another object again")
    if mine.kind.form is Form.BUFFER:
        if mine.details[:-2] != its.details[:-2]:
            return _Found(f"{mine.details[:-2]} and {its.details[:-2]}")
        one, other = _elements(left, mine), _elements(right, its)
        if one is not None and other is not None and one.shape == other.shape:
            return _arrays(one, other)
        return _bytes(bytes(left.raw(mine, "")), bytes(right.raw(its, "")))
    if _encode((mine.details, mine.value)) == _encode((its.details, its.value)):
        return _Found()
    one_value, other_value = _plain(mine), _plain(its)
    if type(one_value) is str and type(other_value) is str:
        return _Found(text_difference(one_value, other_value), (one_value, other_value))
    if type(one_value) is bytes and type(other_value) is bytes and mine.kind.name != "random":
        return _bytes(one_value, other_value)
    one_text, other_text = _short(one_value), _short(other_value)
    if one_text == other_text:
        text = (
            f"{one_text}, and {other_text} of other bits" if mine.kind.name != "random" else "another seed or position"
        )
        return _Found(text)
    return _Found(f"{one_text} and {other_text}", (one_value, other_value))


def pickles_in(image: memoryview) -> Iterator[tuple[str, bytes]]:
    """The place and the bytes of each pickle in a sealed image."""
    opened = _open(image)
    waiting = [("", opened.root)]
    while waiting:
        place, node = waiting.pop()
        if node.kind.name == "pickle":
            yield place, bytes(opened.raw(node, place))
        for key, child in zip(_keys(node), node.expand(), strict=True):
            if type(child) is Node:
                waiting.append((place + piece_of_place(node, key) if place else str(key), child))


def text_difference(one: str, other: str, *, quoted: bool = True) -> str:
    """Two texts so that one can see how they differ: whole where they are short, else around the first difference."""
    form = repr if quoted else str
    if max(len(form(one)), len(form(other))) <= (_SHOWN_SIGNS if quoted else 2 * _SHOWN_SIGNS):
        return f"{form(one)} and {form(other)}"
    at = next((i for i, (mine, its) in enumerate(zip(one, other, strict=False)) if mine != its), None)
    if at is None:
        at = min(len(one), len(other))
    start, end = max(0, at - _SIGNS_BEFORE), at + _SIGNS_AFTER
    before = "..." if start else ""
    pieces = [f"{before}{form(text[start:end])}{'...' if len(text) > end else ''}" for text in (one, other)]
    if not quoted:
        return f"{pieces[0]} and {pieces[1]}"
    return f"texts of {len(one)} and {len(other)} signs, from sign {at} on {pieces[0]} and {pieces[1]}"


def _plain(node: Node) -> Any:
    """The value of a leaf as a program has it, where that can be shown."""
    value = node.value
    try:
        if node.kind.name == "scalar":
            return np.frombuffer(value, dtype_from(node.details[0]), 1)[0]
        if node.kind.name == "int":
            return int(value, 16)
        if node.kind.name == "text":
            return value.decode("utf-8", "surrogatepass")
        if node.kind.name == "complex":
            return complex(*value)
        if node.kind.name in ("date", "time", "datetime"):
            return value[0]
    except (CommitDamaged, TypeError, ValueError):
        return value
    return "" if node.kind.name == "random" else value


def _elements(rebuilder: Rebuilder, node: Node) -> np.ndarray[Any, Any] | None:
    """The numbers of a tensor or a JAX array; None where NumPy has no such type."""
    if node.kind.array is not None:
        found: np.ndarray[Any, Any] | None = node.kind.array(rebuilder, node)
        return found
    if node.kind.name not in ("tensor", "jax"):
        return None
    try:
        return np.frombuffer(rebuilder.raw(node, ""), np.dtype(node.details[0])).reshape(node.details[1])
    except (TypeError, ValueError):
        return None


def _bytes(one: bytes, other: bytes) -> _Found:
    if one == other:
        return _Found()
    mine, its = np.frombuffer(one, np.uint8), np.frombuffer(other, np.uint8)
    count = f"{int((mine != its).sum())} of {len(one)}" if len(one) == len(other) else f"{len(one)} and {len(other)}"
    return _Found(f"{count} bytes differ")


def _arrays(one: np.ndarray[Any, Any], other: np.ndarray[Any, Any]) -> _Found:
    if (one.dtype, one.shape) != (other.dtype, other.shape):
        return _Found(f"an array of {one.dtype} {one.shape} and one of {other.dtype} {other.shape}")
    if one.nbytes == 0:
        return _Found()
    mine, its = _rows(one), _rows(other)
    differs = (mine != its).any(axis=1)
    if not differs.any():
        return _Found()
    first = int(differs.argmax())
    values = one.reshape(-1, order="A")[first], other.reshape(-1, order="A")[first]
    text = (
        f"{int(differs.sum())} of {one.size} elements differ, the first at {first}: {_short(values[0])} and"
        f" {_short(values[1])}"
    )
    return _Found(text, values, (mine[first].tobytes(), its[first].tobytes()))


def _rows(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The bytes of each element as a row, in the order in which they lie."""
    flat = np.ascontiguousarray(array.reshape(-1, order="A"))
    return flat.view(np.uint8).reshape(array.size, array.dtype.itemsize)


def _encode_keys(node: Node) -> str:
    return repr((_keys(node), node.details))


def _keys_in_words(mine: Node, its: Node) -> str:
    if set(map(repr, _keys(mine))) == set(map(repr, _keys(its))):
        return f"{mine.details} and {its.details}" if mine.details != its.details else "another order of keys"
    if mine.kind.name in ("list", "tuple", "deque", "set", "frozenset"):
        return f"{len(mine.keys)} and {len(its.keys)} items"
    alone = [key for key in [*mine.keys, *its.keys] if (key in mine.keys) != (key in its.keys)]
    return f"only one of the two has {', '.join(map(repr, alone[:3]))}"


def _kind(node: Node) -> str:
    return type(node.value).__name__ if node.kind.name == "value" else node.kind.name


def _short(value: object) -> str:
    text = str(value) if isinstance(value, np.generic) else repr(value)
    return text if len(text) <= _SHOWN_SIGNS else f"{text[:_SHOWN_SIGNS]}..."
