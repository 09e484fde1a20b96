"""The pulse: one page of shared memory through which a program shows its progress without a system call.

The program writes words, the keeper reads them at its own pace; nobody waits for anybody. Each word is eight bytes,
aligned, little-endian, written by one thread, and only ever read as a sign: what a commit holds is decided by its
slot's seal, never by the pulse.
"""

from __future__ import annotations

import struct
from typing import Final

import msgspec

__all__ = ["PULSE_BYTES", "WORD", "Pulse", "read_pulse"]

PULSE_BYTES: Final = 4096
WORD: Final = struct.Struct("<Q")


class Pulse(msgspec.Struct, frozen=True):
    """What the page said when it was read. Field k lies at byte 8 k."""

    beats: int
    """Signs of progress so far: commits and calls of `beat`."""
    beat_at: int
    """Monotonic instant of the newest beat, nanoseconds; 0 before the first."""
    first_beat_at: int
    """Monotonic instant of the first beat after `restore`; 0 before it."""
    step: int
    """The newest step that the program reached."""
    sequence: int
    """Sequence of the newest sealed commit; 0 before the first."""
    sealed_at: int
    """Monotonic instant of that seal, nanoseconds."""
    sealed_bytes: int
    """Payload of that commit."""
    unsealed: int
    """Commits that went by unsealed in a row, because no slot could be had."""
    gap: int
    """The longest time between two beats of this life so far, nanoseconds."""


_LAYOUT: Final = struct.Struct("<9Q")


def read_pulse(page: memoryview) -> Pulse:
    return Pulse(*_LAYOUT.unpack_from(page, 0))
