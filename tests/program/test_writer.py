"""Commits: at every instant the newest sealed one is whole, whatever interrupts the writer."""

from __future__ import annotations

import math
import os
import random
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from images import MEMBER, fresh_slot, new_writer, newest_image, sealed

from goldthread.errors import CannotStore, CommitDamaged, NoRoom
from goldthread.names import CommitId, Epoch, Step
from goldthread.program import writer as writer_module
from goldthread.program.writer import Writer
from goldthread.slots.layout import CHUNK_BYTES
from goldthread.slots.slot import Slot, make_slot
from goldthread.state.restore import read
from goldthread.wire.image import HEADER_BYTES, damaged_chunks, read_header

MIB = 1 << 20


def content(image: memoryview) -> Any:
    return read(image, map=False, pickle=False)


def write(writer: Writer, state: object, step: int) -> CommitId:
    commit = writer.write(state, Step(step), generators=False)
    assert commit is not None
    return commit


def test_each_commit_is_sealed_when_the_call_returns() -> None:
    """With its name, whole, and the one before it still there."""
    writer = new_writer()
    values = np.zeros(400_000)
    for step in range(7):
        values[step * 1000] = step
        commit = write(writer, {"step": step, "values": values}, step)
        assert CommitId(Epoch(1), Step(step), step + 1) == commit == writer.newest
        images = sealed(writer)
        assert list(range(max(1, step - 1), step + 2)) == [header.sequence for header in images]
        for header, image in images.items():
            assert damaged_chunks(image, header) == []
            assert header.step == content(image)["step"]
        assert values.tobytes() == content(newest_image(writer))["values"].tobytes()


def test_only_what_changed_is_copied() -> None:
    """Once a chunk was seen not to change, it is hashed in the program and the slot's is left alone."""
    writer, values = new_writer(), np.zeros(MIB)
    for step in range(6):
        write(writer, values, step)
    next_image = next(iter(sealed(writer).values()))
    starts = range(HEADER_BYTES, HEADER_BYTES + values.nbytes, CHUNK_BYTES)
    for start in starts:
        next_image[start] ^= 1
    values[300_000] = 1
    write(writer, values, 6)
    header, image = list(sealed(writer).items())[-1]
    changed = 300_000 * 8 // CHUNK_BYTES
    assert damaged_chunks(image, header) == [index for index in range(len(starts)) if index != changed]
    for start in starts:
        image[start] ^= image[start] & 1
    assert values.tobytes() == content(image).tobytes()


@pytest.mark.parametrize("megabytes", [1, 40])
def test_states_that_grow_shrink_and_change_shape_are_stored_exactly(megabytes: int) -> None:
    """With slots made anew when they are too small, and with one thread or two."""
    writer, chance = new_writer(), np.random.default_rng(3)
    for step in range(8):
        size = int(megabytes * MIB * chance.uniform(0.1, 1)) // 8
        state = {"big": chance.random(size), "some": [chance.random(7) for _ in range(step)], f"key{step % 3}": step}
        write(writer, state, step)
        back = content(newest_image(writer))
        assert list(state) == list(back)
        assert state["big"].tobytes() == back["big"].tobytes()
        assert all(map(np.array_equal, state["some"], back["some"]))


def test_equal_states_have_equal_bytes_whatever_the_slot_held_before() -> None:
    """What lies between buffers is zero."""
    first, second = new_writer(), new_writer()
    state = {"a": np.ones(5, "f4"), "b": np.ones(9), "c": np.ones(40_001, "i1"), "d": np.ones(3, "u1")}
    for step in range(3):
        write(second, {"noise": np.full(50_000, 255, "u1")}, step)
    write(first, state, 1)
    write(second, state, 3)
    payloads = []
    for writer in (first, second):
        header, image = list(sealed(writer).items())[-1]
        payloads.append(bytes(image[4096 : header.manifest_at]))
    assert payloads[0] == payloads[1]


def test_what_cannot_be_stored_leaves_every_commit() -> None:
    """Nothing is written, and the next commit is right."""
    writer = new_writer()
    write(writer, [1], 1)
    with pytest.raises(CannotStore):
        writer.write([1, lambda: 0], Step(2), generators=False)
    assert Step(1) == writer.newest.step if writer.newest else None
    write(writer, [2], 2)
    assert content(newest_image(writer)) == [2]


class Interrupted(Exception):
    pass


@pytest.mark.parametrize("large", [False, True])
def test_a_commit_interrupted_at_any_point_leaves_the_others_whole(large: bool) -> None:
    """An exception between any two lines of the writer, as a signal handler may raise it."""
    size = (12 * MIB if large else MIB) // 8
    lines = 0
    writer = new_writer()
    values = np.zeros(size)
    files = {writer_module.__file__, sys.modules["goldthread.slots.copying"].__file__}
    step, interrupt_at, done = 0, 1, False

    def trace(frame: Any, event: str, argument: object) -> Any:
        nonlocal lines
        if frame.f_code.co_filename not in files:
            return None
        if event == "line":
            lines += 1
            if lines == interrupt_at:
                raise Interrupted
        return trace

    for step in range(4):
        values[:] = step
        write(writer, {"step": step, "values": values}, step)
    while not done:
        step += 1
        values[:] = step
        before, lines = writer.newest, 0
        tracer = sys.gettrace()  # Of who measures coverage.
        sys.settrace(trace)
        try:
            writer.write({"step": step, "values": values}, Step(step), generators=False)
            done = True
        except Interrupted:
            pass
        finally:
            sys.settrace(tracer)
        assert writer.newest is not None
        assert before is not None
        assert writer.newest >= before
        header, image = list(sealed(writer).items())[-1]
        assert writer.newest == header.commit
        back = content(image)
        assert header.step == back["step"]
        assert np.all(back["values"] == header.step)
        assert len({header.sequence for header in sealed(writer)}) == len(sealed(writer)) >= 2
        interrupt_at += 1 if interrupt_at < 150 else 23


def test_the_checksums_hold_while_another_thread_changes_the_arrays() -> None:
    """They are those of the bytes in the slot, not of the bytes in the program."""
    writer, values, stop = new_writer(), np.zeros(16 * MIB // 8), threading.Event()

    def change() -> None:
        while not stop.is_set():
            values[:: 1 << 12] += 1

    changer = threading.Thread(target=change)
    changer.start()
    try:
        for step in range(12):
            write(writer, values, step)
            header, image = list(sealed(writer).items())[-1]
            assert damaged_chunks(image, header) == []
    finally:
        stop.set()
        changer.join()


def test_without_a_keeper_commits_go_on_in_the_slots_there_are() -> None:
    """None where there is none that may be overwritten; no commit is lost."""
    makers: list[int | None] = [1, None, None]
    writer = Writer(
        MEMBER, Epoch(1), slots_most=3, pickle=False,
        new_slot=lambda index, size: fresh_slot(index, size) if makers.pop(0) else None,
    )  # fmt: skip
    write(writer, [1], 1)
    assert writer.write([2], Step(2), generators=False) is None
    assert writer.write([3], Step(3), generators=False) is None
    makers += [1, None, None]
    write(writer, [4], 4)
    assert CommitId(Epoch(1), Step(5), 3) == write(writer, [5], 5)
    assert [content(image) for image in sealed(writer).values()] == [[4], [5]]


def test_where_memory_is_short_the_slots_there_are_serve() -> None:
    """`NoRoom` is raised only where no slot is large enough, and then nothing is lost."""

    def small_slot(index: int, size: int) -> int:
        if size > MIB or index == 2:
            raise NoRoom("too little memory")
        return make_slot("small", size)

    writer = Writer(MEMBER, Epoch(1), slots_most=3, new_slot=small_slot, pickle=False)
    for step in range(5):
        write(writer, [step], step)
    with pytest.raises(NoRoom):
        writer.write(np.zeros(MIB), Step(5), generators=False)
    assert [content(image) for image in sealed(writer).values()] == [[3], [4]]
    write(writer, [6], 6)
    assert content(newest_image(writer)) == [6]


READER = """
import sys
from goldthread.slots.pins import open_for_pins, pin_for_reading
for descriptor in map(int, sys.argv[1:]):
    assert pin_for_reading(open_for_pins(descriptor, writing=False))
print("pinned", flush=True)
sys.stdin.readline()
"""


def readers_of(writer: Writer, *steps: int) -> list[subprocess.Popen[str]]:
    """Processes that read the slots with the commits of these steps, until they are told to go on."""
    by_step = {read_header(slot.image).step: slot for slot in writer.slots.values()}  # type: ignore[union-attr]
    readers = [
        subprocess.Popen(
            [sys.executable, "-c", READER, str(slot.descriptor)],
            pass_fds=[slot.descriptor], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        for slot in (by_step[Step(step)] for step in steps)
    ]  # fmt: skip
    for reader in readers:
        assert reader.stdout is not None
        assert reader.stdout.readline() == "pinned\n"
    return readers


@pytest.mark.parametrize("first", [0, 1])
def test_a_slot_that_is_read_is_not_overwritten(first: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another is taken; where all are read, the writer waits for the reader that ends first."""
    monkeypatch.setattr(writer_module, "_LONG_SECONDS", math.inf)
    writer = new_writer()
    for step in range(3):
        write(writer, [step], step)
    readers = readers_of(writer, 0, 1)
    done = threading.Event()
    waiting = threading.Thread(target=lambda: (write(writer, [3], 3), done.set()))
    waiting.start()
    while sum(place.is_pinned for place in writer._places.values()) < len(readers):
        threading.Event().wait(0.001)  # Until it has tried both.
    assert not done.is_set()
    assert sorted(header.step for header in sealed(writer)) == [0, 1, 2]
    readers[first].communicate("go on\n")
    is_done = done.wait(60)
    readers[1 - first].communicate("go on\n")
    waiting.join()
    assert is_done
    assert sorted(header.step for header in sealed(writer)) == [1 - first, 2, 3]


def test_where_all_are_read_for_long_a_spare_slot_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """One may be on its way to a partner and one to a disk: no commit waits for either."""
    monkeypatch.setattr(writer_module, "_LONG_SECONDS", 0)
    writer = new_writer()
    for step in range(3):
        write(writer, [step], step)
    readers = readers_of(writer, 0, 1)
    for step in range(3, 8):
        write(writer, [step], step)
    assert sorted(writer.slots) == [0, 1, 2, 3]
    assert sorted(header.step for header in sealed(writer)) == [0, 1, 6, 7]
    for reader in readers:
        reader.communicate("go on\n")
    for step in range(8, 13):
        write(writer, [step], step)
    assert sorted(header.step for header in sealed(writer)) == [9, 10, 11, 12]


@pytest.mark.parametrize("refused", [True, False])
def test_where_there_is_no_room_for_a_spare_slot_it_waits(refused: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where no keeper can be reached to make one."""
    monkeypatch.setattr(writer_module, "_LONG_SECONDS", 0)
    asked = threading.Event()

    def few_slots(index: int, size: int) -> int | None:
        if index < 3:
            return make_slot("few", size)
        asked.set()
        if refused:
            raise NoRoom("too little memory")
        return None

    writer = Writer(MEMBER, Epoch(1), slots_most=3, new_slot=few_slots, pickle=False)
    for step in range(3):
        write(writer, [step], step)
    readers = readers_of(writer, 0, 1)
    waiting = threading.Thread(target=lambda: write(writer, [3], 3))
    waiting.start()
    assert asked.wait(60)
    readers[1].communicate("go on\n")
    waiting.join(60)
    assert not waiting.is_alive()
    readers[0].communicate("go on\n")
    assert sorted(header.step for header in sealed(writer)) == [0, 2, 3]


KILLED = """
import os, sys, numpy as np
from goldthread.names import *
from goldthread.program.writer import Writer
slots = iter(map(int, sys.argv[1:]))
writer = Writer(MemberName("walk"), Epoch(1), slots_most=3, new_slot=lambda index, size: next(slots), pickle=False)
big, small, step = np.zeros(1 << 19), [np.zeros(100) for _ in range(300)], 0
while True:
    step += 1
    big[:] = step
    for array in small:
        array[:] = step
    writer.write({"step": step, "big": big, "small": small, "text": "x" * (step % 50)}, Step(step), True)
    os.write(1, step.to_bytes(8, "little"))
"""


def test_a_writer_killed_at_any_instant_leaves_one_newest_whole_commit(tmp_path: Path) -> None:
    """Forty times kill -9: the newest commit is whole, is the last one told or newer, and holds what its step must."""
    chance = random.Random(5)
    for _ in range(40):
        slots = [make_slot("killed", 6 * MIB) for _ in range(3)]
        program = subprocess.Popen(
            [sys.executable, "-c", KILLED, *map(str, slots)], pass_fds=slots, stdout=subprocess.PIPE
        )
        assert program.stdout is not None
        for _ in range(chance.randrange(1, 40)):
            told = int.from_bytes(program.stdout.read(8), "little")
        threading.Event().wait(chance.uniform(0, 0.004))
        program.kill()
        rest, _ = program.communicate()
        told = max(told, int.from_bytes(rest[-8:], "little") if rest else 0)
        whole = []
        for descriptor in slots:
            slot = Slot(descriptor, writable=False)
            header = read_header(slot.image)
            if header is not None:
                state = content(slot.image)
                assert header.step == state["step"]
                assert np.all(state["big"] == header.step)
                assert all(np.all(array == header.step) for array in state["small"])
                assert len(state["text"]) == header.step % 50
                whole.append(header.sequence)
            slot.close()
            os.close(descriptor)
        assert len(set(whole)) == len(whole)
        assert told <= max(whole) <= told + 1


def test_a_flipped_bit_is_noticed() -> None:
    """In the payload by its chunk, in the manifest by the root."""
    writer = new_writer()
    write(writer, np.ones(MIB // 8), 1)
    image = newest_image(writer)
    header = read_header(image)
    assert header is not None
    for at in (4096 + 300_000, header.manifest_at + 3):
        image[at] ^= 1
        with pytest.raises(CommitDamaged):
            content(image)
        image[at] ^= 1
    assert np.all(content(image) == 1)
