"""Slots: their size, their mapping, and pins between processes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from goldthread.slots.pins import open_for_pins, pin_for_reading, pin_for_writing, unpin
from goldthread.slots.slot import Slot, make_pulse, make_slot, slot_bytes
from goldthread.wire.pulse import PULSE_BYTES, read_pulse

READER = """
import sys
from goldthread.slots.pins import open_for_pins, pin_for_reading
own = open_for_pins(int(sys.argv[1]), writing=False)
print(pin_for_reading(own), flush=True)
sys.stdin.read()
"""


@pytest.fixture
def descriptor() -> Iterator[int]:
    made = make_slot("test", 3 << 20)
    yield made
    os.close(made)


def mappings_of(name: str) -> int:
    return Path("/proc/self/maps").read_text().count(name)


def test_a_slot_has_whole_pages_and_a_fixed_size(descriptor: int) -> None:
    """Huge pages, but steps of 64 KiB for small ones; never shrunk or grown again."""
    assert [slot_bytes(size) for size in (0, 65_537, 256 << 10)] == [64 << 10, 128 << 10, 256 << 10]
    assert [slot_bytes(size) for size in ((256 << 10) + 1, 2 << 20, (2 << 20) + 1)] == [2 << 20, 2 << 20, 4 << 20]
    assert os.fstat(descriptor).st_size == 4 << 20
    for size in (0, 8 << 20):
        with pytest.raises(PermissionError):
            os.ftruncate(descriptor, size)
    assert not os.get_inheritable(descriptor)


def test_a_pulse_is_one_page_of_zeros() -> None:
    """A life that has not beaten yet."""
    descriptor = make_pulse()
    assert os.fstat(descriptor).st_size == PULSE_BYTES
    assert read_pulse(memoryview(os.pread(descriptor, PULSE_BYTES, 0))).beats == 0
    os.close(descriptor)


def test_mappings_share_one_memory_unless_private(descriptor: int) -> None:
    """Two shared ones see each other; a private one keeps its writes; a read-only one cannot be written."""
    one, two = Slot(descriptor), Slot(descriptor, writable=False)
    private = Slot(descriptor, private=True)
    one.image[5] = 7
    private.image[6] = 9
    assert (two.image[5], two.image[6], private.image[6]) == (7, 0, 9)
    assert two.image.readonly
    for slot in (one, two, private):
        slot.close()


def test_a_view_outlives_the_close_of_its_slot(descriptor: int) -> None:
    """Closing twice is fine; the mapping goes with the last view."""
    slot = Slot(descriptor)
    before = mappings_of("goldthread-test")
    view = slot.image[:10]
    view[0] = 3
    slot.close()
    slot.close()
    assert (3, before) == (view[0], mappings_of("goldthread-test"))
    del view
    assert before - 1 == mappings_of("goldthread-test")


def test_a_forked_child_has_no_mapping(descriptor: int) -> None:
    """It could write into a slot that is not its own."""
    slot = Slot(descriptor)
    child = os.fork()
    if child == 0:
        os._exit(mappings_of("goldthread-test"))
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    slot.close()


def test_a_reader_in_another_process_keeps_the_writer_out_until_it_dies(descriptor: int) -> None:
    """Killed with -9, it leaves no pin behind."""
    own = open_for_pins(descriptor, writing=True)
    reader = subprocess.Popen(
        [sys.executable, "-c", READER, str(descriptor)],
        pass_fds=[descriptor], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert reader.stdout is not None
    assert reader.stdout.readline() == "True\n"
    assert not pin_for_writing(own)
    assert pin_for_reading(own)
    unpin(own)
    reader.kill()
    reader.communicate()
    assert pin_for_writing(own, wait=True)
    os.close(own)
