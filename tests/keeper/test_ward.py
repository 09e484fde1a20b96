"""What a keeper says to a program through its pulse."""

from __future__ import annotations

import os
from mmap import mmap

from goldthread.keeper.ward import Ward
from goldthread.names import MemberName, Step
from goldthread.slots.slot import make_pulse
from goldthread.wire.pulse import PULSE_BYTES, read_held


def test_what_is_held_never_goes_back_when_a_keeper_begins_anew() -> None:
    """Its journal knows an older step than the keeper before had said. That nothing is held any more is said."""
    pulse = make_pulse()
    before, after = Ward(MemberName("walk")), Ward(MemberName("walk"))
    before.hold_pulse(os.dup(pulse))
    after.hold_pulse(pulse)
    said = []
    with mmap(pulse, PULSE_BYTES) as page:
        for ward, step in ((before, Step(0)), (before, Step(7)), (after, Step(3)), (after, Step(8)), (after, None)):
            ward.say_held(step)
            with memoryview(page) as view:
                said.append(read_held(view))
    assert said == [0, 7, 7, 8, None]
    before.close()
    after.close()
