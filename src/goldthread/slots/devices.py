"""Whether a device may write into the memory of this process without the processor.

It can only write into pages that a driver holds on to, and a driver holds them for an open file: of a device, of
io_uring, of a socket of a rare kind, of a disk that is read with O_DIRECT. So while every open file is of a kind that
is known to hold no pages, none can be written so. What is not known counts as one that can.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import socket
import stat
from pathlib import Path
from typing import Final

__all__ = ["open_device"]

_OPEN_FILES: Final = Path("/proc/self/fd")
_FILES_MOST: Final = 256
"""To look at one takes 3 us."""
_TERMINAL_MAJORS: Final = frozenset({4, 5, *range(136, 144)})
_MEMORY_MAJOR: Final = 1
_HARMLESS_MEMORY_MINORS: Final = frozenset({3, 5, 7, 8, 9})
"""/dev/null, zero, full, random, urandom."""
_HARMLESS_EVENTS: Final = frozenset({"eventfd", "eventpoll", "signalfd", "timerfd", "inotify", "pidfd", "userfaultfd"})
_HARMLESS_SOCKETS: Final = frozenset({socket.AF_UNIX, socket.AF_INET, socket.AF_INET6, 16})
"""And netlink."""
_SO_DOMAIN: Final = 39

_libc = ctypes.CDLL(None)


def open_device() -> str | None:
    """An open file by way of which a device may write into memory, or one that cannot be known; None where there is
    none."""
    try:
        files = list(_OPEN_FILES.iterdir())
    except OSError as error:  # No file is left to open, for one.
        return str(error)
    if len(files) > _FILES_MOST:
        return f"one of {len(files)} open files"
    for file in files:
        with contextlib.suppress(OSError):  # Closed meanwhile.
            if not _is_harmless(file):
                return str(file.readlink())
    return None


def _is_harmless(file: Path) -> bool:
    number = int(file.name)
    status = os.fstat(number)
    kind = stat.S_IFMT(status.st_mode)
    if kind in (stat.S_IFREG, stat.S_IFBLK):
        return not fcntl.fcntl(number, fcntl.F_GETFL) & os.O_DIRECT
    if kind in (stat.S_IFDIR, stat.S_IFIFO):
        return True
    if kind == stat.S_IFCHR:
        major, minor = os.major(status.st_rdev), os.minor(status.st_rdev)
        return major in _TERMINAL_MAJORS or (major == _MEMORY_MAJOR and minor in _HARMLESS_MEMORY_MINORS)
    if kind == stat.S_IFSOCK:
        return _family(number) in _HARMLESS_SOCKETS
    return str(file.readlink()).removeprefix("anon_inode:").strip("[]") in _HARMLESS_EVENTS


def _family(number: int) -> int:
    """Of a socket; Python knows it only of its own."""
    family, length = ctypes.c_int(-1), ctypes.c_uint(4)
    _libc.getsockopt(number, socket.SOL_SOCKET, _SO_DOMAIN, ctypes.byref(family), ctypes.byref(length))
    return family.value
