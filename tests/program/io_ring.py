"""As much of io_uring as it takes to have memory written by way of no mapping: a buffer is registered, so that the
kernel holds on to its pages, and files are read into it."""

from __future__ import annotations

import ctypes
import mmap
import os
import struct
from typing import Any

import numpy as np

SETUP, ENTER, REGISTER = 425, 426, 427
ENTRIES_AT = 0x10000000
ENTRY = struct.Struct("BBHiQQIIQHHi16x")
READ_FIXED = 4
UNREGISTER_BUFFERS, REGISTER_RING, UNREGISTER_RING = 1, 20, 21
BY_PLACE = 1 << 31
PLACE = struct.Struct("IIQ")
ANY_PLACE = 0xFFFFFFFF
GET_EVENTS = 1
PARAMETERS = struct.Struct("10I8IQ8IQ")
TAIL, MASK, ARRAY = 1, 2, 6
"""Where a queue has them, among its offsets."""

libc = ctypes.CDLL(None, use_errno=True)


def call(*words: Any) -> int:
    done: int = libc.syscall(*words)
    if done < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return done


class Ring:
    """Raises `OSError` where the kernel has it not, or forbids it."""

    def __init__(self, buffer: np.ndarray[Any, Any]) -> None:
        given = ctypes.create_string_buffer(PARAMETERS.size)
        self.descriptor = call(SETUP, 4, given)
        self._by_place = 0
        entries, *_ = found = PARAMETERS.unpack(given.raw)
        self._at = found[10:18]
        self._queue = mmap.mmap(self.descriptor, self._at[ARRAY] + 4 * entries)
        self._entries = mmap.mmap(self.descriptor, ENTRY.size * entries, offset=ENTRIES_AT)
        self._address = buffer.ctypes.data
        range_of = ctypes.create_string_buffer(struct.pack("2Q", self._address, buffer.nbytes))
        call(REGISTER, self.descriptor, 0, range_of, 1)

    def read(self, file: int, offset: int, count: int) -> None:
        """So many bytes, from the beginning of the file to `offset` in the buffer."""
        (tail,), (mask,) = (struct.unpack_from("I", self._queue, self._at[each]) for each in (TAIL, MASK))
        entry = (READ_FIXED, 0, 0, file, 0, self._address + offset, count, 0, 1, 0, 0, 0)
        ENTRY.pack_into(self._entries, ENTRY.size * (tail & mask), *entry)
        struct.pack_into("I", self._queue, self._at[ARRAY] + 4 * (tail & mask), tail & mask)
        struct.pack_into("I", self._queue, self._at[TAIL], tail + 1)
        call(ENTER, self.descriptor, 1, 1, GET_EVENTS, None, 0)

    def hide(self) -> None:
        """No descriptor and no mapping names it any more; this thread knows it by its place."""
        given = ctypes.create_string_buffer(PLACE.pack(ANY_PLACE, 0, self.descriptor))
        call(REGISTER, self.descriptor, REGISTER_RING, given, 1)
        self._close_files()
        self.descriptor, _, _ = PLACE.unpack_from(given.raw)
        self._by_place = BY_PLACE

    def close(self) -> None:
        call(REGISTER, self.descriptor, UNREGISTER_BUFFERS | self._by_place, None, 0)
        if self._by_place:
            given = ctypes.create_string_buffer(PLACE.pack(self.descriptor, 0, 0))
            call(REGISTER, self.descriptor, UNREGISTER_RING | self._by_place, given, 1)
        else:
            self._close_files()

    def _close_files(self) -> None:
        self._entries.close()
        self._queue.close()
        os.close(self.descriptor)
