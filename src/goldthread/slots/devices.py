"""Whether a device may write into the memory of this process without the processor.

It can only write into pages that a driver holds on to, and a driver holds them for an open file: of a device, of
io_uring, of a socket of a rare kind, of a disk that is read with O_DIRECT, of a file system that reads into the
program's memory unasked (FUSE, 9p and SMB do). So while every open file is of a kind that is known to hold no pages,
none can be written so. What is not known counts as one that can.

A file may stay open that no descriptor names any more: io_uring registers its own, and a mapping or another process
keeps one. Of pages that are held on to for long, whoever does it, the kernel keeps count.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import platform
import socket
import stat
import struct
from functools import lru_cache
from pathlib import Path
from typing import Final

__all__ = ["open_device"]

_OPEN_FILES: Final = Path("/proc/self/fd")
_STATUS: Final = Path("/proc/self/status")
_MOUNTS: Final = Path("/proc/self/mountinfo")
_FILES_MOST: Final = 256
"""To look at one takes 5 us."""
_NOTHING_PINNED: Final = "VmPin:\t       0 kB"
_TERMINAL_MAJORS: Final = frozenset({4, 5, *range(136, 144)})
_MEMORY_MAJOR: Final = 1
_HARMLESS_MEMORY_MINORS: Final = frozenset({3, 5, 7, 8, 9})
"""/dev/null, zero, full, random, urandom."""
_HARMLESS_EVENTS: Final = frozenset({"eventfd", "eventpoll", "signalfd", "timerfd", "inotify", "pidfd", "userfaultfd"})
_HARMLESS_SOCKETS: Final = frozenset({socket.AF_UNIX, socket.AF_INET, socket.AF_INET6, 16})
"""And netlink."""
_ON_DISKS: Final = frozenset({"ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs", "vfat", "exfat", "squashfs", "iso9660"})
_CACHED: Final = _ON_DISKS | {"overlay", "nfs", "nfs4", "tmpfs", "ramfs", "devtmpfs", "proc", "cgroup", "cgroup2"}
"""File systems that read by way of the cache, or of memory of the kernel's own, where O_DIRECT is not set."""
_SO_DOMAIN: Final = 39
_STATX: Final = {"x86_64": 332, "aarch64": 291}
_OF_DESCRIPTOR_UNASKED: Final = 0x1000 | 0x4000
"""AT_EMPTY_PATH; AT_STATX_DONT_SYNC, since the server of a file may not answer."""
_MOUNT_WANTED: Final = 0x1000
_FACTS: Final = struct.Struct("28xH98xII8xQ104x")
"""The mode, the major and minor number of a device, the mount."""

_libc = ctypes.CDLL(None, use_errno=True)


def open_device() -> str | None:
    """An open file by way of which a device may write into memory, or one that cannot be known; None where there is
    none."""
    try:
        if _NOTHING_PINNED not in _STATUS.read_text():
            return "pages that are held on to"
        mounts = _MOUNTS.read_bytes()
        files = list(_OPEN_FILES.iterdir())
    except OSError as error:  # No file is left to open, for one.
        return str(error)
    if len(files) > _FILES_MOST:
        return f"one of {len(files)} open files"
    for file in files:
        try:
            if not _is_harmless(file, mounts):
                return str(file.readlink())
        except OSError as error:
            if error.errno not in (errno.EBADF, errno.ENOENT):  # Those say that it was closed meanwhile.
                return str(error)
    return None


def _is_harmless(file: Path, mounts: bytes) -> bool:
    number = int(file.name)
    mode, major, minor, mount = _facts(number)
    kind = stat.S_IFMT(mode)
    if kind == stat.S_IFREG:
        is_cached = mount in _cached(mounts) or str(file.readlink()).startswith("/memfd:")
        return is_cached and not fcntl.fcntl(number, fcntl.F_GETFL) & os.O_DIRECT
    if kind in (stat.S_IFDIR, stat.S_IFIFO):
        return True
    if kind == stat.S_IFCHR:
        return major in _TERMINAL_MAJORS or (major == _MEMORY_MAJOR and minor in _HARMLESS_MEMORY_MINORS)
    if kind == stat.S_IFSOCK:
        return _family(number) in _HARMLESS_SOCKETS
    return str(file.readlink()).removeprefix("anon_inode:").strip("[]") in _HARMLESS_EVENTS


def _facts(number: int) -> tuple[int, int, int, int]:
    """Of an open file, as far as they are known here: a server that is asked may be away. Raises `OSError`."""
    found = ctypes.create_string_buffer(_FACTS.size)
    if _libc.syscall(_STATX[platform.machine()], number, b"", _OF_DESCRIPTOR_UNASKED, _MOUNT_WANTED, found) < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    mode, major, minor, mount = _FACTS.unpack(found.raw)
    return mode, major, minor, mount


@lru_cache(maxsize=1)
def _cached(mounts: bytes) -> frozenset[int]:
    """The mounts of file systems that read by way of the cache."""
    found = (line.split(b" ") for line in mounts.split(b"\n")[:-1])  # A path may hold any other byte.
    return frozenset(int(words[0]) for words in found if words[words.index(b"-", 6) + 1].decode() in _CACHED)


def _family(number: int) -> int:
    """Of a socket; Python knows it only of its own."""
    family, length = ctypes.c_int(-1), ctypes.c_uint(4)
    _libc.getsockopt(number, socket.SOL_SOCKET, _SO_DOMAIN, ctypes.byref(family), ctypes.byref(length))
    return family.value
