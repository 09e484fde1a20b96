"""Where each buffer of a state lies in the payload, and how the payload is copied chunk by chunk.

Large buffers lie in the order of the walk. Small ones are gathered, those of one type beside each other, so that one
call of NumPy copies hundreds of them: a call for each would cost more than its bytes. Every buffer begins at a
multiple of 64 bytes, gathered ones do not cross the end of a chunk, and what lies between buffers is zero, so that
equal states have equal bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from operator import itemgetter
from typing import Any, Final, NamedTuple

import numpy as np

__all__ = ["ALIGNMENT", "CHUNK_BYTES", "Gather", "Layout", "Slice"]

ALIGNMENT: Final = 64
CHUNK_BYTES: Final = 256 << 10
"""Measured: copying and hashing a chunk of 256 KiB to 1 MiB while it is in the L2 cache is the fastest."""

_SMALL_BYTES: Final = 32 << 10
_GATHERED_KINDS: Final = "biufc"

Array = np.ndarray[Any, Any]


class Slice(NamedTuple):
    """A piece of one large buffer."""

    source: int
    """Index of the array."""
    start: int
    end: int
    at: int
    """Where it begins in the payload."""


class Gather(NamedTuple):
    """Small arrays of one type, one after the other."""

    pick: Callable[[Sequence[Array]], Sequence[Array]]
    """Takes them out of the arrays and pads."""
    dtype: np.dtype[Any]
    at: int
    end: int


class Layout:
    """The plan for arrays of given shapes and types."""

    def __init__(
        self, shapes: Sequence[tuple[int, ...]], dtypes: Sequence[np.dtype[Any]], turned: Container[int]
    ) -> None:
        """`turned` are those whose bytes lie together, but not in C order."""
        self.offsets = [0] * len(shapes)
        self.payload_bytes = 0
        self.large: list[int] = []
        """Indexes of the arrays that are copied by themselves."""
        self.large_bytes = 0
        self.holes: list[tuple[int, int]] = []
        """Bytes that no copy writes; zeroed when a slot first gets this layout."""
        self.pads: list[Array] = []
        """Zeros that are gathered between small arrays; they follow the arrays when those are picked from."""
        self.chunks: list[list[Slice | Gather]] = []
        self._blocks: list[Gather] = []
        self._pad_indexes: dict[tuple[np.dtype[Any], int], int] = {}
        lengths = [
            dtype.itemsize * int(np.prod(shape)) if len(shape) != 1 else dtype.itemsize * shape[0]
            for shape, dtype in zip(shapes, dtypes, strict=True)
        ]
        self.lengths = lengths
        small: dict[np.dtype[Any], list[int]] = {}
        for index, (length, dtype) in enumerate(zip(lengths, dtypes, strict=True)):
            gathered = dtype.kind in _GATHERED_KINDS and dtype.isnative and ALIGNMENT % dtype.itemsize == 0
            if gathered and length < _SMALL_BYTES and index not in turned:
                small.setdefault(dtype, []).append(index)
            else:
                self.large.append(index)
                self.large_bytes += length
                self.offsets[index] = self._place(length)
        for dtype, indexes in small.items():
            self._gather(dtype, [index for index in indexes if lengths[index]], len(shapes))
        self._cut()

    def _place(self, length: int) -> int:
        """The next free aligned place."""
        at = -(-self.payload_bytes // ALIGNMENT) * ALIGNMENT
        if at > self.payload_bytes:
            self.holes.append((self.payload_bytes, at))
        self.payload_bytes = at + length
        return at

    def _gather(self, dtype: np.dtype[Any], indexes: list[int], arrays: int) -> None:
        """Lay small arrays of one type into blocks that do not cross the end of a chunk."""
        at = 0
        block: list[int] = []

        def finish() -> None:
            if block:
                pick = itemgetter(*block) if len(block) > 1 else itemgetter(slice(block[0], block[0] + 1))
                self._blocks.append(Gather(pick, dtype, at, self.payload_bytes))

        for index in indexes:
            length = self.lengths[index]
            gap = -self.payload_bytes % ALIGNMENT
            start = self.payload_bytes + gap
            if block and start // CHUNK_BYTES == at // CHUNK_BYTES == (start + length - 1) // CHUNK_BYTES:
                if gap:
                    block.append(arrays + self._pad(dtype, gap))
            else:
                finish()
                block = []
                room = CHUNK_BYTES - start % CHUNK_BYTES
                if room < length:
                    gap += room
                    self.holes.append((self.payload_bytes, self.payload_bytes + gap))
                elif gap:
                    self.holes.append((self.payload_bytes, start))
                at = self.payload_bytes + gap
            self.offsets[index] = self.payload_bytes + gap
            self.payload_bytes += gap + length
            block.append(index)
        finish()

    def _pad(self, dtype: np.dtype[Any], gap: int) -> int:
        """The index among the pads of so many zero bytes of this type."""
        index = self._pad_indexes.setdefault((dtype, gap), len(self.pads))
        if index == len(self.pads):
            self.pads.append(np.zeros(gap // dtype.itemsize, dtype))
        return index

    def _cut(self) -> None:
        """Say for each chunk what is copied into it."""
        self.chunks = [[] for _ in range(-(-self.payload_bytes // CHUNK_BYTES))]
        for index in self.large:
            at, end = self.offsets[index], self.offsets[index] + self.lengths[index]
            while at < end:
                chunk = at // CHUNK_BYTES
                stop = min(end, (chunk + 1) * CHUNK_BYTES)
                start = self.lengths[index] - (end - at)
                self.chunks[chunk].append(Slice(index, start, start + stop - at, at))
                at = stop
        for block in self._blocks:
            self.chunks[block.at // CHUNK_BYTES].append(block)
