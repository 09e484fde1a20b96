"""The pulse: one page of shared memory through which a program shows its progress without a system call.

The program writes its words and the keeper reads them at its own pace; in the page's second half the keeper answers
with words of its own. Nobody waits for anybody. Each word is eight bytes, aligned, written by one thread. The
program's are only ever read as a sign: what a commit holds is decided by its slot's seal, never by the pulse. Of the
keeper's one is more than a sign: until when the life is vouched for. Each of those is therefore written and read as a
whole, in the host's own order of bytes.
"""

from __future__ import annotations

import struct
from typing import Final

import msgspec

from goldthread.names import Instant, Step

__all__ = [
    "PULSE_BYTES",
    "Pulse",
    "read_deposited",
    "read_held",
    "read_pulse",
    "word_of_voucher",
    "write_deposited",
    "write_held",
    "write_pulse",
    "write_vouched",
]

PULSE_BYTES: Final = 4096
_DEPOSITED_AT: Final = 2048
_HELD_AT: Final = 2056
_VOUCHED_AT: Final = 2064
_WORD: Final = struct.Struct("Q")
_LONG_AGO: Final = Instant(1)
"""Written for a life that nothing vouches for yet: 0 means without end."""


class Pulse(msgspec.Struct):
    """The program's words; field k lies at byte 8 k. The program keeps one and changes it with each beat."""

    beats: int = 0
    """Signs of progress so far: commits and calls of `beat`."""
    beat_at: int = 0
    """Instant of the newest beat; 0 before the first."""
    first_beat_at: int = 0
    """Instant of the first beat after `restore`; 0 before it."""
    step: int = 0
    """The newest step that the program reached."""
    sequence: int = 0
    """Sequence of the newest sealed commit; 0 before the first."""
    unsealed: int = 0
    """Commits that went by unsealed in a row, because no slot could be had."""
    gap: int = 0
    """The longest time between two beats of this life so far, nanoseconds."""
    sealed_at: int = 0
    """Instant at which the newest commit was sealed; 0 before the first."""


_LAYOUT: Final = struct.Struct("<8Q")


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
        pulse.sealed_at,
    )


def read_deposited(page: memoryview) -> Step | None:
    """The newest step that the keeper has in the vault, as it last said."""
    return _read_step(page, _DEPOSITED_AT)


def write_deposited(page: memoryview, step: Step) -> None:
    _WORD.pack_into(page, _DEPOSITED_AT, step + 1)


def read_held(page: memoryview) -> Step | None:
    """The newest step that the holder has, as the keeper last said."""
    return _read_step(page, _HELD_AT)


def write_held(page: memoryview, step: Step | None) -> None:
    _WORD.pack_into(page, _HELD_AT, 0 if step is None else step + 1)


def word_of_voucher(page: memoryview) -> memoryview:
    """Until when the life is vouched for, as a view of one number, for who looks at it often; 0: without end."""
    return page[_VOUCHED_AT : _VOUCHED_AT + _WORD.size].cast("Q")


def write_vouched(page: memoryview, until: Instant | None) -> None:
    _WORD.pack_into(page, _VOUCHED_AT, 0 if until is None else max(until, _LONG_AGO))


def _read_step(page: memoryview, at: int) -> Step | None:
    """Steps are written as one more than they are: 0 stands for none."""
    step: int = _WORD.unpack_from(page, at)[0]
    return Step(step - 1) if step else None
