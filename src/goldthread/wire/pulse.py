"""The pulse: one page of shared memory through which a program shows its progress without a system call.

The program writes its words and the keeper reads them at its own pace; in the page's second half the keeper answers
with words of its own. Nobody waits for anybody. Each word is eight bytes,
aligned, little-endian, written by one thread, and only ever read as a sign: what a commit holds is decided by its
slot's seal, never by the pulse.
"""

from __future__ import annotations

import struct
from typing import Final

import msgspec

from goldthread.names import Step

__all__ = ["PULSE_BYTES", "Pulse", "read_deposited", "read_pulse", "write_deposited", "write_pulse"]

PULSE_BYTES: Final = 4096
_DEPOSITED_AT: Final = 2048
_DEPOSITED: Final = struct.Struct("<Q")


class Pulse(msgspec.Struct):
    """The program's words; field k lies at byte 8 k. The program keeps one and changes it with each beat."""

    beats: int = 0
    """Signs of progress so far: commits and calls of `beat`."""
    beat_at: int = 0
    """Monotonic instant of the newest beat, nanoseconds; 0 before the first."""
    first_beat_at: int = 0
    """Monotonic instant of the first beat after `restore`; 0 before it."""
    step: int = 0
    """The newest step that the program reached."""
    sequence: int = 0
    """Sequence of the newest sealed commit; 0 before the first."""
    unsealed: int = 0
    """Commits that went by unsealed in a row, because no slot could be had."""
    gap: int = 0
    """The longest time between two beats of this life so far, nanoseconds."""


_LAYOUT: Final = struct.Struct("<7Q")


def read_pulse(page: memoryview) -> Pulse:
    return Pulse(*_LAYOUT.unpack_from(page, 0))


def write_pulse(page: memoryview, pulse: Pulse) -> None:
    _LAYOUT.pack_into(
        page,
        0,
        pulse.beats,
        pulse.beat_at,
        pulse.first_beat_at,
        pulse.step,
        pulse.sequence,
        pulse.unsealed,
        pulse.gap,
    )


def read_deposited(page: memoryview) -> Step | None:
    """The newest step that the keeper has in the vault, as it last said."""
    step = _DEPOSITED.unpack_from(page, _DEPOSITED_AT)[0]
    return Step(step - 1) if step else None


def write_deposited(page: memoryview, step: Step) -> None:
    _DEPOSITED.pack_into(page, _DEPOSITED_AT, step + 1)
