"""Pins: who reads a slot and who writes it, arbitrated by the kernel.

A pin is a lock on an *open file description* of the slot (F_OFD_SETLK). Descriptors that travel over a socket share
one description, so everyone who pins first opens the slot anew, through /proc/self/fd. The pin vanishes with that
descriptor: a reader or writer that is killed leaves none behind. Rejected: a word in the slot's header, since setting
it and checking it from two processes needs fences that Python has not; and the older locks of a process (F_SETLK),
which any close of any descriptor of the same slot would drop.

A child that the program forked holds its parent's description too. A pin taken before the fork therefore lasts until
both let go; only a program killed in mid-commit leaves one so, and the slot it was writing holds nothing to read.
"""

from __future__ import annotations

import fcntl
import os
import struct
from typing import Final

__all__ = ["open_for_pins", "pin_for_reading", "pin_for_writing", "unpin"]

_WHOLE_FILE: Final = 0


def _request(kind: int) -> bytes:
    return struct.pack("hhqqi4x", kind, os.SEEK_SET, 0, _WHOLE_FILE, 0)


_TO_READ: Final = _request(fcntl.F_RDLCK)
_TO_WRITE: Final = _request(fcntl.F_WRLCK)
_TO_LET_GO: Final = _request(fcntl.F_UNLCK)


def open_for_pins(descriptor: int, *, writing: bool) -> int:
    """A descriptor of the same memory, with an open file description of its own. The caller closes it."""
    return os.open(f"/proc/self/fd/{descriptor}", (os.O_RDWR if writing else os.O_RDONLY) | os.O_CLOEXEC)


def pin_for_reading(own: int) -> bool:
    """Pin, unless somebody writes. `own` came from `open_for_pins`."""
    return _pin(own, _TO_READ)


def pin_for_writing(own: int, *, wait: bool = False) -> bool:
    """Pin, unless somebody reads; or `wait` until nobody does."""
    return _pin(own, _TO_WRITE, fcntl.F_OFD_SETLKW if wait else fcntl.F_OFD_SETLK)


def unpin(own: int) -> None:
    fcntl.fcntl(own, fcntl.F_OFD_SETLK, _TO_LET_GO)


def _pin(own: int, request: bytes, how: int = fcntl.F_OFD_SETLK) -> bool:
    try:
        fcntl.fcntl(own, how, request)
    except (BlockingIOError, PermissionError):
        return False
    return True
