"""A life seals nothing after its voucher has run out."""

from __future__ import annotations

import inspect
import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

import pytest
from images import MEMBER, fresh_slot, sealed

from goldthread.clock import now
from goldthread.errors import Fenced
from goldthread.keeper.ward import Ward
from goldthread.names import Epoch, Instant, Step, seconds
from goldthread.program.beat import Heart
from goldthread.program.voucher import Voucher
from goldthread.program.writer import Writer
from goldthread.slots.slot import Slot, make_pulse, make_slot
from goldthread.wire.image import read_header

LIFE = "life 1 of walk"


class Bench:
    """A writer, its pulse, and the keeper's hand on it. `look` is called while the program waits."""

    def __init__(self) -> None:
        pulse = make_pulse()
        self.keeper = Ward(MEMBER)
        self.keeper.hold_pulse(os.dup(pulse))
        self.heart = Heart(pulse)
        self.look: Callable[[], None] = lambda: None
        self.voucher = Voucher(self.heart, lambda: self.look(), LIFE)
        self.writer = Writer(MEMBER, Epoch(1), slots_most=3, new_slot=fresh_slot, pickle=False, voucher=self.voucher)

    def write(self, step: int) -> None:
        self.writer.write({"step": step}, Step(step), generators=False)

    def steps(self) -> list[int]:
        return [header.step for header in sealed(self.writer)]

    def close(self) -> None:
        self.writer.close()
        self.heart.stop()
        self.keeper.close()


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.close()


def test_without_a_word_of_the_keeper_a_life_needs_no_voucher(bench: Bench) -> None:
    """Nobody else can run it."""
    assert bench.voucher.stands
    bench.write(1)
    assert bench.steps() == [1]


def test_a_voucher_stands_until_its_instant(bench: Bench) -> None:
    bench.keeper.vouch(Instant(now() + seconds(3600)))
    assert bench.voucher.stands
    bench.keeper.vouch(now())
    assert not bench.voucher.stands
    bench.keeper.vouch(Instant(0))
    assert not bench.voucher.stands
    bench.keeper.vouch(None)
    assert bench.voucher.stands


def test_the_heart_hears_how_far_the_work_is_safe(bench: Bench) -> None:
    assert (bench.heart.held, bench.heart.deposited) == (None, None)
    bench.keeper.say_held(Step(3))
    bench.keeper.say_deposited(Step(2))
    assert (bench.heart.held, bench.heart.deposited) == (3, 2)


def test_a_commit_waits_and_is_sealed_when_it_is_vouched_for_again(bench: Bench) -> None:
    """Until then nothing is sealed, and the older commit stands."""
    bench.write(1)
    bench.keeper.vouch(now())
    seen = []

    def look() -> None:
        seen.append(bench.steps())
        if len(seen) == 3:
            bench.keeper.vouch(Instant(now() + seconds(3600)))

    bench.look = look
    bench.write(2)
    assert seen == [[1], [1], [1]]
    assert bench.steps() == [1, 2]


def test_a_life_that_waits_and_is_fenced_seals_nothing(bench: Bench) -> None:
    bench.write(1)
    bench.keeper.vouch(now())

    def look() -> None:
        raise Fenced("a newer life exists")

    bench.look = look
    for _ in range(5):
        with pytest.raises(Fenced):
            bench.write(2)
        assert bench.steps() == [1]


@pytest.mark.parametrize("line", ["voucher.wait()", "place.seal[0] = sequence", "if voucher.stands:", "return"])
def test_a_seal_that_came_too_late_is_taken_back(bench: Bench, line: str) -> None:
    """The voucher runs out before a line of the writer's `_seal`: as long as the commit waits its seal does not stand.
    Only once it was looked at and found in time it does, and nothing waits."""
    lines, first = inspect.getsourcelines(Writer._seal)
    at = first + max(index for index, text in enumerate(lines) if text.strip() == line)
    seen, ran_out = [], []

    def look() -> None:
        seen.append(bench.steps())
        bench.keeper.vouch(None)

    def trace(frame: FrameType, event: str, argument: object) -> Any:
        if frame.f_code is not Writer._seal.__code__:
            return None
        if event == "line" and frame.f_lineno == at and not ran_out:
            ran_out.append(at)
            bench.keeper.vouch(now())
        return trace

    bench.write(1)
    bench.keeper.vouch(Instant(now() + seconds(3600)))
    bench.look = look
    tracer = sys.gettrace()  # Of who measures coverage.
    sys.settrace(trace)
    try:
        bench.write(2)
    finally:
        sys.settrace(tracer)
    assert ran_out == [at]
    assert seen == ([] if line == "return" else [[1]])
    assert bench.steps() == [1, 2]


def test_waiting_is_said_once(bench: Bench, capfd: pytest.CaptureFixture[str]) -> None:
    """After a second, and when it is over."""
    begun = now()
    bench.keeper.vouch(begun)

    def look() -> None:
        if now() - begun > seconds(1.2):
            bench.keeper.vouch(None)

    bench.look = look
    bench.voucher.wait()
    lines = capfd.readouterr().err.splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("goldthread: life 1 of walk waits: nobody vouches for it; ")
    assert lines[1].startswith("goldthread: life 1 of walk goes on: it waited ")


WRITER = """
import os, sys
from goldthread.names import *
from goldthread.program.beat import Heart
from goldthread.program.voucher import Voucher
from goldthread.program.writer import Writer
pulse, *slots = map(int, sys.argv[1:])
slots = iter(slots)
waits = False
def look():
    global waits
    if not waits:
        waits = True
        os.write(1, b"waits...")
voucher = Voucher(Heart(pulse), look, "life 1 of walk")
member = MemberName("walk")
writer = Writer(member, Epoch(1), slots_most=3, new_slot=lambda index, size: next(slots), pickle=False, voucher=voucher)
step = 0
while True:
    step += 1
    writer.write({"step": step}, Step(step), False)
    waits = False
    os.write(1, step.to_bytes(8, "little"))
"""


def test_a_program_that_slept_while_its_voucher_ran_out_seals_nothing_more() -> None:
    """Forty times it is stopped anywhere, its voucher runs out, and it wakes: what stands is what `write` returned
    for, and nothing newer."""
    chance = random.Random(3)
    pulse, slots = make_pulse(), [make_slot("stopped", 1 << 16) for _ in range(3)]
    images = [Slot(slot, writable=False) for slot in slots]
    keeper = Ward(MEMBER)
    keeper.hold_pulse(pulse)
    program = subprocess.Popen(
        [sys.executable, "-c", WRITER, *map(str, [pulse, *slots])], pass_fds=[pulse, *slots], stdout=subprocess.PIPE
    )
    output = program.stdout
    assert output is not None
    try:
        told = 0
        for _ in range(40):
            for _ in range(chance.randrange(1, 20)):
                told = int.from_bytes(output.read(8), "little")
            threading.Event().wait(chance.uniform(0, 0.002))
            program.send_signal(signal.SIGSTOP)
            keeper.vouch(now())
            program.send_signal(signal.SIGCONT)
            while (word := output.read(8)) != b"waits...":
                told = int.from_bytes(word, "little")
            headers = [header for image in images if (header := read_header(image.image)) is not None]
            assert told == max(header.step for header in headers)
            keeper.vouch(None)
    finally:
        program.kill()
        program.communicate()
        keeper.close()
        for image, slot in zip(images, slots, strict=True):
            image.close()
            os.close(slot)
