"""The pulse is read as it was written."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

import pytest

from goldthread.names import Instant, Step
from goldthread.wire.pulse import (
    PULSE_BYTES,
    Pulse,
    read_deposited,
    read_held,
    read_pulse,
    word_of_voucher,
    write_deposited,
    write_held,
    write_pulse,
    write_vouched,
)


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


@pytest.mark.parametrize(("read", "write"), [(read_deposited, write_deposited), (read_held, write_held)])
def test_how_far_the_work_is_safe_the_program_reads(read: Callable[..., Any], write: Callable[..., None]) -> None:
    """Step 0 is a step, and nothing said is none."""
    page = memoryview(bytearray(PULSE_BYTES))
    assert read(page) is None
    write(page, Step(0))
    assert read(page) == 0


def test_what_is_held_no_more_is_no_more_said() -> None:
    """The holder may be lost, and the copy with it."""
    page = memoryview(bytearray(PULSE_BYTES))
    write_held(page, Step(3))
    write_held(page, None)
    assert read_held(page) is None


def test_a_fresh_page_is_vouched_for_without_end() -> None:
    """One that says nothing is that of a member that nobody else can run."""
    page = memoryview(bytearray(PULSE_BYTES))
    assert word_of_voucher(page)[0] == 0


@pytest.mark.parametrize("until", [None, Instant(17), Instant(1 << 62)])
def test_a_voucher_is_read_as_it_was_written(until: Instant | None) -> None:
    page = memoryview(bytearray(PULSE_BYTES))
    write_vouched(page, until)
    assert (until or 0) == word_of_voucher(page)[0]


def test_not_vouched_for_at_all_is_not_without_end() -> None:
    """Instant 0 is over."""
    page = memoryview(bytearray(PULSE_BYTES))
    write_vouched(page, Instant(0))
    assert word_of_voucher(page)[0] == 1


def test_the_keepers_words_do_not_touch_each_other() -> None:
    page = memoryview(bytearray(PULSE_BYTES))
    write_deposited(page, Step(3))
    write_held(page, Step(5))
    write_vouched(page, Instant(7))
    assert (read_deposited(page), read_held(page), word_of_voucher(page)[0]) == (3, 5, 7)
    assert Pulse() == read_pulse(page)
