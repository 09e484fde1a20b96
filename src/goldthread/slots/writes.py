"""Which pages of this process were written since they were last asked about, as the kernel knows it.

The kernel protects the pages of a range, and lets each first write to one through with a note of it: userfaultfd in
its asynchronous mode. `PAGEMAP_SCAN` reads the notes and protects again, in one step for each page, so that no write
falls between. A write costs 0.7 us more where it is the first to its page, and huge pages are split.

What is seen are writes of the processor by way of the followed mapping, also those of the kernel for a system call.
What is not seen: writes by way of another mapping, so memory that can have one is not followed; and writes into memory
that somebody holds on to, since the kernel tells of that moment: by a device (registered with CUDA or RDMA, fixed
buffers of io_uring, reads with O_DIRECT that end after they were asked about), or by process_vm_writev, a moment later.
It needs Linux 6.7 and no privileges.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import mmap
import os
import platform
import struct
from pathlib import Path
from typing import Any, Final

import numpy as np

__all__ = ["WrittenPages", "private_memory", "whole_pages"]

_SYSCALLS: Final = {"x86_64": 323, "aarch64": 282}
_USER_MODE_ONLY: Final = 1
_API: Final = 0xAA
_WANTED: Final = 1 << 13 | 1 << 15
"""UFFD_FEATURE_WP_UNPOPULATED, UFFD_FEATURE_WP_ASYNC."""
_API_CALL: Final = 0xC018AA3F
_REGISTER_CALL: Final = 0xC020AA00
_UNREGISTER_CALL: Final = 0x8010AA01
_REGISTER_FOR_WRITES: Final = 2
_SCAN_CALL: Final = 0xC0606610
_SCAN: Final = struct.Struct("12Q")
_SCAN_FLAGS: Final = 1 | 2
"""Protect what is found; fail where a part of the range is not followed."""
_WRITTEN, _PRESENT, _HUGE = 1 << 1, 1 << 3, 1 << 6
_RUNS_AT_ONCE: Final = 4096

Array = np.ndarray[Any, Any]


class WrittenPages:
    """Raises `OSError` where the kernel has it not."""

    def __init__(self) -> None:
        number = _SYSCALLS.get(platform.machine())
        if number is None:
            raise OSError(f"nothing is known of userfaultfd on {platform.machine()}")
        libc = ctypes.CDLL(None, use_errno=True)
        self._faults = libc.syscall(number, os.O_CLOEXEC | os.O_NONBLOCK | _USER_MODE_ONLY)
        if self._faults < 0:
            raise OSError(ctypes.get_errno(), f"userfaultfd: {os.strerror(ctypes.get_errno())}")
        self._map = -1
        try:
            fcntl.ioctl(self._faults, _API_CALL, bytearray(struct.pack("3Q", _API, _WANTED, 0)))
            self._map = os.open("/proc/self/pagemap", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            self.close()
            raise
        self._runs = np.zeros((_RUNS_AT_ONCE, 3), np.uint64)

    def follow(self, start: int, end: int) -> None:
        """From the next `take` on; `start` and `end` are those of pages. Raises `OSError`."""
        request = struct.pack("4Q", start, end - start, _REGISTER_FOR_WRITES, 0)
        fcntl.ioctl(self._faults, _REGISTER_CALL, bytearray(request))

    def leave(self, start: int, end: int) -> None:
        """Follow no longer what is still there of this."""
        with contextlib.suppress(OSError):
            fcntl.ioctl(self._faults, _UNREGISTER_CALL, struct.pack("2Q", start, end - start))

    def take(self, start: int, end: int) -> Array:
        """The runs of pages that were written since the last `take`, or are not in memory: rows of a first address
        and the address after the last. Raises `OSError` where a part of the range is not followed any more."""
        return self._scan(start, end, _SCAN_FLAGS, _PRESENT, 0, _WRITTEN | _PRESENT, _WRITTEN)

    def huge(self, start: int, end: int) -> Array:
        """The runs of huge pages, in rows as those of `take`. Raises `OSError`."""
        return self._scan(start, end, 0, 0, _HUGE, 0, _HUGE)

    def _scan(self, start: int, end: int, flags: int, *categories: int) -> Array:
        """`categories`: those whose opposite counts, those that must be, those of which one must be, those told."""
        found = []
        while start < end:
            words = (_SCAN.size, flags, start, end, 0, self._runs.ctypes.data, len(self._runs), 0, *categories)
            request = bytearray(_SCAN.pack(*words))
            count = fcntl.ioctl(self._map, _SCAN_CALL, request)
            found.append(self._runs[:count, :2].astype(np.int64))
            start = _SCAN.unpack(request)[4]
        return np.concatenate(found) if found else np.zeros((0, 2), np.int64)

    def close(self) -> None:
        """Nothing is followed any more."""
        for descriptor in (self._map, self._faults):
            if descriptor >= 0:
                os.close(descriptor)
        self._map = self._faults = -1


def private_memory() -> list[tuple[int, int]]:
    """The ranges of addresses that no other mapping can show: writable, private, and of no file; none where that
    cannot be known."""
    ranges: list[tuple[int, int]] = []
    try:
        lines = Path("/proc/self/maps").read_bytes().split(b"\n")[:-1]  # A file's name may hold any other byte.
    except OSError:  # No file is left to open, for one.
        return []
    for line in lines:
        addresses, rights, _, _, inode, *_ = line.split()
        if rights[1:] in (b"w-p", b"wxp") and inode == b"0":
            start, end = (int(address, 16) for address in addresses.split(b"-"))
            if ranges and ranges[-1][1] == start:
                ranges[-1] = ranges[-1][0], end
            else:
                ranges.append((start, end))
    return ranges


def whole_pages(start: int, end: int) -> tuple[int, int]:
    """The pages that a range of addresses touches."""
    return start // mmap.PAGESIZE * mmap.PAGESIZE, -(-end // mmap.PAGESIZE) * mmap.PAGESIZE
