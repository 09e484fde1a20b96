"""Copying a state into a payload, chunk by chunk, each chunk hashed while the cache still has it.

The checksum is always that of the bytes in the slot: another thread may change the source meanwhile. A chunk that
is expected not to have changed is hashed where it lies in the program; if the slot holds the same bytes already,
nothing is copied. Of a sparse state it is known beforehand which chunks the slot may lack, and no other is read. Above
`ALONE_BYTES` a second thread helps: copying and hashing let go of the interpreter's lock. Small arrays count for
nothing there, since gathering them does not let go of it.
"""

from __future__ import annotations

import contextlib
import threading
import weakref
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from typing import Any, Final

import numpy as np

from goldthread.slots.layout import CHUNK_BYTES, Gather, Layout, Slice
from goldthread.wire.image import checksum

__all__ = ["ALONE_BYTES", "Crew", "Payload", "PayloadCopy", "flat"]

ALONE_BYTES: Final = 8 << 20
"""Measured: below this size the second thread costs what it saves."""

_BLOCK_CHUNKS: Final = 16
"""How many chunks a thread takes at a time."""

Array = np.ndarray[Any, Any]


def flat(array: Array) -> Array | None:
    """The bytes of an array in the order in which they lie; None where they do not lie together."""
    if array.flags.c_contiguous:
        return array.reshape(-1).view(np.uint8)
    if array.flags.f_contiguous:
        return array.T.reshape(-1).view(np.uint8)
    if array.ndim > 2:
        turned = array.transpose(sorted(range(array.ndim), key=lambda axis: -array.strides[axis]))
        return turned.reshape(-1).view(np.uint8) if turned.flags.c_contiguous else None
    return None


class _Task:
    """Work that two threads share: each takes the next piece until none is left."""

    def __init__(self, count: int, work: Callable[[int, int], None]) -> None:
        self.is_over = False
        """Nothing more of it is begun."""
        self.error: BaseException | None = None
        self._starts = iter(range(0, count, _BLOCK_CHUNKS))
        self._count = count
        self._work = work

    def take_part(self) -> None:
        for start in self._starts:
            if self.is_over:
                return
            self._work(start, min(start + _BLOCK_CHUNKS, self._count))

    def help_out(self) -> None:
        try:
            self.take_part()
        except BaseException as error:
            self.error, self.is_over = error, True


class Crew:
    """Does pieces of work in this thread, and in a second one where there is much of it.

    The second one, the helper, is started with the first such work and stays as long as the crew: to start it costs
    0.3 ms in a program that did other things meanwhile, a sixth of a commit of 16 MiB. It holds `_busy` while it is
    at work, and begins nothing of a task that is over. So to wait for it is to take `_busy` once, which may be
    interrupted anywhere and done again, and a helper that has not woken yet is not waited for.
    """

    def __init__(self) -> None:
        self._helper: threading.Thread | None = None
        self._tasks: SimpleQueue[_Task | None] = SimpleQueue()
        self._busy = threading.Lock()
        self._task: _Task | None = None
        self._dismiss = weakref.finalize(self, self._tasks.put, None)
        self._dismiss.atexit = False

    def do(self, count: int, work: Callable[[int, int], None], *, alone: bool) -> None:
        """Call `work(start, end)` until all of `range(count)` is done. When it raises, nothing runs on."""
        if alone:
            work(0, count)
            return
        self.wait()
        task = self._task = _Task(count, work)
        try:
            if self._helper is None:
                self._start()
            self._tasks.put(task)
            task.take_part()
        finally:
            self.wait()
        if task.error is not None:
            raise task.error

    def wait(self) -> None:
        """Until the helper is done; it may still be at work where this thread was interrupted in its own wait."""
        if self._task is not None:
            self._task.is_over = True
            with self._busy:
                self._task = None

    def close(self) -> None:
        """Let the helper go."""
        self.wait()
        self._dismiss()

    def _start(self) -> None:
        helper = threading.Thread(target=_help, args=(self._tasks, self._busy), name="goldthread-copy", daemon=True)
        with contextlib.suppress(RuntimeError):  # No more threads: the interpreter ends, or a limit is reached.
            helper.start()
            self._helper = helper


def _help(tasks: SimpleQueue[_Task | None], busy: threading.Lock) -> None:
    while (task := tasks.get()) is not None:
        with busy:
            task.help_out()
        del task  # Nothing of the program is kept until the next one.
    tasks.put(None)  # For a second helper: there is one where the start of the first was interrupted.


class Payload:
    """The payload of one slot, laid out for a state; what no copy writes of it is zero."""

    def __init__(self, layout: Layout, memory: memoryview) -> None:
        self.layout = layout
        self.memory = memory
        self.target = np.frombuffer(memory, np.uint8)
        self.table: list[bytes] | None = None
        """The checksums of its chunks; None before it was sealed."""
        self.look = 0
        """Of a sparse state, the look after which it was filled."""
        for start, end in layout.holes:
            self.target[start:end] = 0


class PayloadCopy:
    """One copy of arrays into a payload."""

    def __init__(
        self,
        payload: Payload,
        arrays: Sequence[Array],
        settled: Sequence[bool] | None,
        lacking: Sequence[int] | None = None,
    ) -> None:
        """`settled` says which chunks are expected to be what they were, and `lacking` names all that a sealed payload
        may lack."""
        layout, held = payload.layout, payload.table
        self.table: list[bytes] = [b""] * len(layout.chunks)
        """The checksums of the chunks, as they are copied."""
        self.lacking: Sequence[int] = range(len(layout.chunks))
        """The chunks that are to be copied."""
        if held is not None and lacking is not None:
            self.table, self.lacking = list(held), lacking
        self._layout = layout
        self._pool = [*arrays, *layout.pads]
        self._target = payload.target
        self._memory = payload.memory
        self._held = held
        self._settled = settled
        self._flats = {index: flat(arrays[index]) if layout.lengths[index] else None for index in layout.large}

    def place_strided(self) -> None:
        """Copy whole those large arrays whose bytes do not lie together."""
        for index, source in self._flats.items():
            if source is None and self._layout.lengths[index]:
                array, at = self._pool[index], self._layout.offsets[index]
                place = self._target[at : at + self._layout.lengths[index]].view(array.dtype)
                np.copyto(place.reshape(array.shape), array)

    def copy(self, start: int, end: int) -> None:
        """Copy the chunks from `start` to `end` of those that are lacking."""
        chunks, memory, table, held, settled = self._layout.chunks, self._memory, self.table, self._held, self._settled
        for index in self.lacking[start:end]:
            pieces = chunks[index]
            if settled is not None and held is not None and settled[index] and len(pieces) == 1:
                digest = self._source_checksum(pieces[0])
                if digest == held[index]:
                    table[index] = digest
                    continue
            for piece in pieces:
                self._copy_piece(piece)
            at = index * CHUNK_BYTES
            table[index] = checksum(memory[at : at + CHUNK_BYTES])

    def _source_checksum(self, piece: Slice | Gather) -> bytes | None:
        """Of a chunk that is one piece of one array; None where the array's bytes do not lie together."""
        if isinstance(piece, Gather):
            return None
        source = self._flats[piece.source]
        return None if source is None else checksum(source[piece.start : piece.end].data)

    def _copy_piece(self, piece: Slice | Gather) -> None:
        if isinstance(piece, Gather):
            place = self._target[piece.at : piece.end].view(piece.dtype)
            np.concatenate(piece.pick(self._pool), axis=None, out=place, casting="no")
            return
        index, start, end, at = piece
        source = self._flats[index]
        if source is not None:
            self._target[at : at + end - start] = source[start:end]
