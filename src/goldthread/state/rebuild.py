"""From an image back to objects: each node of the structure made anew, in memory of its own.

Bytes from elsewhere are never executed: a class that the structure names is used only if the program knows it
(`classes.py`), and a pickle is read only where the user asked for it.

Each chunk is verified once, just before the first of its bytes is used: the copy then finds it in the cache.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from typing import Any, Final

import numpy as np

from goldthread.errors import CommitDamaged, DoesNotFit
from goldthread.slots.copying import ALONE_BYTES, Crew, flat
from goldthread.state.classes import Classes
from goldthread.state.dtypes import dtype_from
from goldthread.state.kind import Registry
from goldthread.state.memory import array_over
from goldthread.state.nodes import SAME, Block, Node, Place, parse
from goldthread.wire.image import CHECKSUM_BYTES, HEADER_BYTES, Header, checksum

__all__ = ["Rebuilder"]

Array = np.ndarray[Any, Any]
Fill = tuple[Array, Array, int, object]
"""Target, source, where the source lies in the payload, and its place in the state."""

_UNMADE: Final = object()


class Rebuilder:
    """Makes objects from nodes; `fill` must be called at the end.

    With `map`, arrays are views of the image, and nothing is verified: whoever gave the image vouches for it.
    """

    def __init__(
        self,
        image: memoryview,
        header: Header,
        registry: Registry,
        classes: Classes | None = None,
        *,
        map: bool,
        pickle: bool = False,
    ) -> None:
        self.registry = registry
        self._parsed = parse(image[header.manifest_at : header.table_at], registry.kinds)
        self.root = self._parsed.root
        self.targets = self._parsed.targets
        """The numbers that are referred to again."""
        self.payload = image[HEADER_BYTES : header.manifest_at]
        self.classes = classes or Classes()
        self.map = map
        self.pickle = pickle
        self.bare: list[str] = []
        """Places of what is given as it says its state, since there is no object to load that."""
        self.later: list[Callable[[], object]] = []
        """What is to be done when all is there: how far an iterator has come."""
        self.lost: list[str] = []
        """Places of the commit for which a class has no room any more, of things made anew."""
        self.made: dict[Any, Any] = {}
        """What can be referred to again, by its number."""
        self._header = header
        self._table = image[header.table_at : header.image_bytes]
        self._verified = bytearray(header.chunk_count)
        """1 for each chunk that was found to be what was sealed."""
        self._bytes = np.frombuffer(self.payload, np.uint8)
        self._fills: list[Fill] = []
        """What is still to be copied into objects of the program."""
        self._fills_anew: list[Fill] = []
        """What is still to be copied into memory that was made here."""
        self._memories = _merged(self._parsed.memories)
        self._memories_made: dict[int, Array] = {}

    # Objects

    def make(self, node: Any, place: object) -> Any:
        """The object of a node, or of a plain value. `place` is for errors."""
        if type(node) is not Node:
            return node
        kind = node.kind
        if kind is SAME:
            return self._made_before(node.number, place)
        if node.number in self.made:  # A tuple that contains itself is made once more on the way.
            return self.made[node.number]
        made = kind.make(self, node, place)
        return self.note(node, made)

    def note(self, node: Node, made: Any) -> Any:
        """Remember what was made of a node. What may contain itself is noted before it is filled; of a tuple in its
        own contents, which is made on the way, that one stands."""
        return made if node.number == -1 else self.made.setdefault(node.number, made)

    def replace(self, node: Node, made: Any) -> None:
        """An object of the program stands for a node."""
        if node.number != -1:
            self.made[node.number] = made

    def _made_before(self, number: Any, place: object) -> Any:
        found = self.made.get(number, _UNMADE)
        if found is not _UNMADE:
            return found
        if isinstance(number, tuple):
            return self._made_in_block(number[0], number[1], place)
        return self.make(self._parsed.shared[number], place)

    def children(self, node: Node, place: object) -> list[Any]:
        """The objects of all children."""
        children = node.children
        if node.is_plain:
            return list(children)
        if type(children) is Block:
            return self._block(children, node, place)
        return [
            child if type(child) is not Node else self.make(child, Place(place, node, key))
            for key, child in zip(range(len(children)) if node.keys is None else node.keys, children, strict=True)
        ]

    def keys(self, node: Node, place: object) -> list[Any]:
        """The keys of a dict, made where they are nodes."""
        if node.keys is not None:
            return list(node.keys)
        children = node.children
        return [self.make(child, Place(place, node, "a key")) for child in children[: len(children) // 2]]

    def _block(self, block: Block, node: Node, place: object) -> list[Any]:
        if block.kind is None:
            return list(block.items)
        if block.kind.make_many is None or block.number in self.targets:
            return [self.make(one, Place(place, node, key)) for key, one in zip(node.keys, block.nodes, strict=True)]
        made: list[Any] = block.kind.make_many(self, block, place)
        return made

    def _made_in_block(self, number: int, index: int, place: object) -> Any:
        """A list or dict that was read is what it is; an object, or what is in objects, was made."""
        block = self._parsed.shared[number]
        try:
            found = block.box(index) if type(block) is Block else None
        except IndexError:
            found = None
        if found is None or type(block) is not Block or block.kind is not None:
            raise CommitDamaged(f"{place}: the manifest of a commit refers to nothing")
        return found

    def unpickle(self, node: Node, place: object) -> bytes:
        if not self.pickle:
            raise DoesNotFit(
                f"{place}: it was stored as a pickle of {node.details[0]}",
                hint="goldthread.join(..., pickle=True) allows it: then restoring runs code that the pickle names",
            )
        return bytes(self.raw(node, place))

    # Bytes

    def verify(self, at: int, length: int, place: object) -> None:
        """Raise `CommitDamaged` unless the chunks that hold these bytes of the payload are what was sealed."""
        if self.map:
            return
        size = self._header.chunk_bytes
        if at < 0 or at + length > len(self.payload):
            raise CommitDamaged(f"{place}: its bytes lie outside the commit")
        for index in range(at // size, -(-(at + length) // size)):
            if not self._verified[index]:
                found = checksum(self.payload[index * size : (index + 1) * size])
                if found != self._table[index * CHECKSUM_BYTES : (index + 1) * CHECKSUM_BYTES]:
                    whole = f"chunk {index + 1} of {self._header.chunk_count} of {self._header.commit}"
                    raise CommitDamaged(f"{place}: {whole} is damaged")
                self._verified[index] = 1

    def view(self, node: Node) -> Array:
        """The array of an "array" node as it lies in the image."""
        dtype, shape, order, at = node.details
        return array_over(self.payload, at, dtype_from(dtype), shape, order, node.strides)

    def raw(self, node: Node, place: object) -> memoryview:
        """The bytes of a node whose last two details say where they are."""
        at, length = node.details[-2:]
        self.verify(at, length, place)
        return self.payload[at : at + length]

    def memory(self, at: int, place: object) -> tuple[Array, int]:
        """The memory that several arrays share and that byte `at` of the payload lies in; and where in it."""
        begin, end = self._memories[bisect_right(self._memories, (at, 1 << 63)) - 1]
        if begin not in self._memories_made:
            if begin < 0 or end > len(self.payload):
                raise CommitDamaged(f"{place}: its bytes lie outside the commit")
            made = np.empty(end - begin, np.uint8)
            self._memories_made[begin] = made
            if self.map:
                self._memories_made[begin] = self._bytes[begin:end]
            else:
                self.fill_bytes(made, begin, place, anew=True)
        return self._memories_made[begin], at - begin

    @property
    def memories_made(self) -> set[int]:
        """Where memories begin that arrays share and that were made here."""
        return set(self._memories_made)

    def memory_of(self, node: Node, at: int) -> int | None:
        """Which memory a node shares with others; None where it shares none."""
        return None if node.strides is None else self._memories[bisect_right(self._memories, (at, 1 << 63)) - 1][0]

    def fill_array(self, target: Array, node: Node, place: object, *, anew: bool = False) -> None:
        """Have `fill` copy an "array" node into an array of the same shape and type."""
        source, at = self.view(node), node.details[3]
        raw = flat(target) if target.nbytes else None
        is_alike = target.ndim < 2 or target.strides == source.strides
        if raw is None or node.strides is not None or not is_alike:
            (self._fills_anew if anew else self._fills).append((target, source, at, place))
        else:
            self.fill_bytes(raw, at, place, anew=anew)

    def fill_bytes(self, target: Array, at: int, place: object, *, anew: bool = False) -> None:
        """Have `fill` copy as many bytes as `target` has, from `at` in the payload; in pieces that a cache holds."""
        fills = self._fills_anew if anew else self._fills
        start, size = 0, self._header.chunk_bytes
        while start < len(target):
            end = min(len(target), start + size - (at + start) % size)
            fills.append((target[start:end], self._bytes[at + start : at + end], at + start, place))
            start = end

    def fill(self) -> None:
        """Verify and copy all that waits to be copied."""
        self._fills += self._fills_anew
        self._fills_anew = []
        self._copy(self._fills)
        self._fills = []

    def fill_anew(self) -> None:
        """Verify and copy what waits to be copied into memory that was made here: it is to be used now."""
        self._copy(self._fills_anew)
        self._fills_anew = []

    def forget(self) -> None:
        """Begin again: nothing was made, nothing is to be copied."""
        self.made.clear()
        self.bare.clear()
        self.lost.clear()
        self.later.clear()
        self._memories_made.clear()
        self._fills, self._fills_anew = [], []

    def _copy(self, fills: list[Fill]) -> None:
        def copy(first: int, last: int) -> None:
            for target, source, at, place in fills[first:last]:
                low = at + sum((n - 1) * s for n, s in zip(source.shape, source.strides, strict=True) if s < 0)
                self.verify(low, _reach(source), place)
                np.copyto(target, source)

        if fills:
            alone = sum(source.nbytes for _, source, _, _ in fills) < ALONE_BYTES
            Crew().do(len(fills), copy, alone=alone)


def _reach(source: Array) -> int:
    """How many bytes lie between the ends of an array."""
    if source.flags.c_contiguous or source.flags.f_contiguous or source.size == 0:
        return source.nbytes
    return int(sum((n - 1) * abs(s) for n, s in zip(source.shape, source.strides, strict=True))) + source.itemsize


def _merged(ranges: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Ranges that overlap as one, in order."""
    merged: list[tuple[int, int]] = []
    for begin, end in sorted(ranges):
        if merged and begin < merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((begin, end))
    return merged
