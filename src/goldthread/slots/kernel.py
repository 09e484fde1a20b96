"""The one place that speaks to the kernel about memory, through `fcntl` and `ctypes`.

| call                         | needs             | where it is missing                                          |
|------------------------------|-------------------|--------------------------------------------------------------|
| `memfd_create`, seals        | Linux 3.17        | an unlinked file in the temporary directory, without seals   |
| mapping on a 2 MiB boundary  | `mmap` in libc    | never missing where a libc is                                |
| `MADV_COLLAPSE` (25)         | Linux 6.1         | `MADV_POPULATE_WRITE`: ordinary pages, touched in one call   |
| `MADV_POPULATE_WRITE` (23)   | Linux 5.14        | one byte of each page is written, one after the other        |
| `MADV_DONTFORK` (10)         | Linux             | children share the mapping; they hold it, they do not use it |

A huge page needs a mapping that begins on a 2 MiB boundary. `mmap.mmap` cannot ask for that, so a larger range is
reserved and the memory is mapped into it at the boundary. A mapping made here lives as long as any view of it: it is
undone when the last view is gone, so no view can ever point at nothing.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import mmap
import os
import sys
import tempfile
import weakref
from typing import Final

__all__ = ["HUGE_PAGE_BYTES", "make_huge", "map_descriptor", "memory_file", "seal_size", "touch"]

HUGE_PAGE_BYTES: Final = 2 << 20

_MADV_DONTFORK: Final = 10
_MADV_POPULATE_WRITE: Final = 23
_MADV_COLLAPSE: Final = 25
_MAP_FIXED: Final = 0x10
_MAP_NORESERVE: Final = 0x4000
_PROT_NONE: Final = 0
_FAILED: Final = ctypes.c_void_p(-1).value

_libc = ctypes.CDLL(None, use_errno=True)
_libc.mmap.restype = ctypes.c_void_p
_libc.mmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long)
_libc.munmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t)
_libc.madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)


def memory_file(name: str, size: int) -> int:
    """A descriptor of `size` bytes of shared memory, all zero, not yet touched; closed on exec."""
    if sys.platform == "linux":
        descriptor = os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    else:
        descriptor, path = tempfile.mkstemp(prefix=f"{name}-")
        os.unlink(path)  # noqa: PTH108 - only the descriptor is kept
    try:
        os.ftruncate(descriptor, size)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def seal_size(descriptor: int) -> None:
    """Forbid that the memory ever shrinks or grows: a shrink would kill whoever maps it."""
    if sys.platform == "linux":
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW)


def map_descriptor(descriptor: int, size: int, *, writable: bool, private: bool = False) -> memoryview:
    """Map `size` bytes on a 2 MiB boundary; undone when the last view of them is gone.

    `private` writes stay with this process (copy on write). Children of a fork do not get the mapping.
    """
    reserved = size + HUGE_PAGE_BYTES
    reserve_flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _MAP_NORESERVE
    base = _map(None, reserved, _PROT_NONE, reserve_flags, -1)
    at = -(-base // HUGE_PAGE_BYTES) * HUGE_PAGE_BYTES
    try:
        protection = mmap.PROT_READ | (mmap.PROT_WRITE if writable else 0)
        _map(at, size, protection, (mmap.MAP_PRIVATE if private else mmap.MAP_SHARED) | _MAP_FIXED, descriptor)
        _libc.madvise(at, size, _MADV_DONTFORK)
        memory = (ctypes.c_ubyte * size).from_address(at)
    except BaseException:
        _libc.munmap(base, reserved)
        raise
    weakref.finalize(memory, _libc.munmap, base, reserved).atexit = False
    view = memoryview(memory).cast("B")
    return view if writable else view.toreadonly()


def touch(descriptor: int, size: int) -> None:
    """Have the kernel give all pages now, as huge pages where it has them.

    Raises `OSError` where there is not enough memory.
    """
    view = map_descriptor(descriptor, size, writable=True)
    at = ctypes.addressof(ctypes.c_ubyte.from_buffer(view))
    if size >= HUGE_PAGE_BYTES:
        for start in range(0, size, HUGE_PAGE_BYTES):
            view[start] = 0
        if _libc.madvise(at, size, _MADV_COLLAPSE) == 0:
            return
    if _libc.madvise(at, size, _MADV_POPULATE_WRITE) == 0:
        return
    with contextlib.suppress(AttributeError):
        os.posix_fallocate(descriptor, 0, size)
    for start in range(0, size, mmap.PAGESIZE):
        view[start] = 0


def make_huge(at: int) -> None:
    """Have the kernel put the 2 MiB of memory that begin here into one huge page, if it can."""
    _libc.madvise(at, HUGE_PAGE_BYTES, _MADV_COLLAPSE)


def _map(at: int | None, size: int, protection: int, flags: int, descriptor: int) -> int:
    address: int | None = _libc.mmap(at, size, protection, flags, descriptor, 0)
    if address is None or address == _FAILED:
        number = ctypes.get_errno()
        raise OSError(number, f"{size} bytes could not be mapped: {os.strerror(number)}")
    return address
