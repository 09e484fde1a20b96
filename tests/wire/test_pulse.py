"""The pulse is read as it was written."""

from __future__ import annotations

import struct

from goldthread.wire.pulse import PULSE_BYTES, Pulse, read_pulse


def test_field_k_lies_at_byte_8_k() -> None:
    page = bytearray(PULSE_BYTES)
    for index in range(len(Pulse.__struct_fields__)):
        struct.pack_into("<Q", page, 8 * index, 100 + index)
    pulse = read_pulse(memoryview(page))
    assert [100 + index for index in range(9)] == [getattr(pulse, name) for name in Pulse.__struct_fields__]
