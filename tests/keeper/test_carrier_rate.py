"""Copies go as fast as the terms say, also where those change, or are over, in the midst of one."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path
from time import monotonic

import pytest

from goldthread.keeper.shelf import HeldSlot
from goldthread.rules.bond_events import CommitHeld
from goldthread.rules.bond_orders import Replicate
from goldthread.slots.pins import open_for_pins, pin_for_writing
from goldthread.wire.image import HEADER_BYTES
from tests.keeper.carriers import SECONDS, WALK, Host, Life, held_image, tie, two_hosts

BYTES_PER_SECOND = 100
"""At this rate a chunk takes most of an hour."""


@pytest.fixture
def slow(tmp_path: Path) -> Iterator[tuple[Host, Host, Life]]:
    """A commit is on its way, and will not arrive."""
    with two_hosts(tmp_path) as (owner, holder):
        tie(owner, holder, bandwidth=BYTES_PER_SECOND)
        life = Life(owner, 40)
        order = Replicate(WALK, life.commit(), holder.me)
        owner.do(lambda: owner.carriage.replicate(order))
        ends = monotonic() + SECONDS
        while not any(any(os.pread(slot.descriptor, 64, HEADER_BYTES)) for slot in slots_of(holder)):
            assert monotonic() < ends
            threading.Event().wait(0.01)
        yield owner, holder, life
        life.close()


def slots_of(holder: Host) -> list[HeldSlot]:
    return holder.do(lambda: list(holder.carriage.held.values()))


def test_a_rate_may_be_raised_in_the_midst_of_a_commit(slow: tuple[Host, Host, Life]) -> None:
    """What goes next goes by the new one, however long it would have taken by the old."""
    owner, holder, life = slow
    tie(owner, holder, bandwidth=0)
    answer = owner.hears_of_commit()
    assert isinstance(answer, CommitHeld)
    assert held_image(holder, owner.me, answer.commit) == life.image(answer.commit)


def test_what_is_slow_lets_go_when_the_bond_is_over(slow: tuple[Host, Host, Life]) -> None:
    """The slot is the program's again."""
    owner, holder, _ = slow
    (slot,) = owner.shelf.slots(WALK).values()
    own = open_for_pins(slot.descriptor, writing=True)
    assert not pin_for_writing(own)
    owner.do(lambda: owner.carriage.forget(holder.me))
    ends = monotonic() + SECONDS
    while not pin_for_writing(own):
        assert monotonic() < ends
        threading.Event().wait(0.01)
    os.close(own)


def test_a_bond_that_is_tied_again_hears_nothing_of_the_one_before(slow: tuple[Host, Host, Life]) -> None:
    """What was on its way then is given up, and that is no answer for what goes now."""
    owner, holder, life = slow
    known = owner.carriage._partners[holder.me]
    commit = life.commit()

    def tie_again() -> None:
        owner.carriage.forget(holder.me)
        owner.carriage.know(holder.me, known.addresses, 0)
        owner.carriage.replicate(Replicate(WALK, commit, holder.me))

    owner.do(tie_again)
    answer = owner.hears_of_commit()
    assert isinstance(answer, CommitHeld), answer
    assert held_image(holder, owner.me, commit) == life.image(commit)
