"""The pulse is read as it was written."""

from __future__ import annotations

import struct

from goldthread.names import Step
from goldthread.wire.pulse import PULSE_BYTES, Pulse, read_deposited, read_pulse, write_deposited, write_pulse


def test_field_k_lies_at_byte_8_k() -> None:
    page = bytearray(PULSE_BYTES)
    fields = Pulse.__struct_fields__
    for index in range(len(fields)):
        struct.pack_into("<Q", page, 8 * index, 100 + index)
    pulse = read_pulse(memoryview(page))
    assert [100 + index for index in range(len(fields))] == [getattr(pulse, name) for name in fields]


def test_what_the_program_writes_the_keeper_reads() -> None:
    page = memoryview(bytearray(PULSE_BYTES))
    pulse = Pulse(beats=3, beat_at=17, step=412, sequence=9, gap=5)
    write_pulse(page, pulse)
    assert pulse == read_pulse(page)


def test_what_the_keeper_deposited_the_program_reads() -> None:
    """Step 0 is a step, and nothing deposited is none."""
    page = memoryview(bytearray(PULSE_BYTES))
    assert read_deposited(page) is None
    write_deposited(page, Step(0))
    assert read_deposited(page) == 0
