"""A newer commit takes the place of one that is under way between two carriers."""

from __future__ import annotations

import queue
from pathlib import Path
from typing import Any

import pytest

from goldthread.keeper.sending import Sendings
from goldthread.names import CommitId, Epoch, Step
from goldthread.rules.bond_events import CommitHeld
from goldthread.rules.bond_orders import Overtake, Replicate
from goldthread.slots.layout import CHUNK_BYTES
from goldthread.wire.carrying import CarryCommit, CommitCarriedNote, CommitOvertakenNote, KnowPartner, OvertakeCommit
from tests.keeper.carriers import SECONDS, WALK, Life, held_image, taken_in, tie, two_hosts

CHUNKS = 64
"""Four bursts: a third is more than one of them and less than two."""
SLOW = 2 << 20
"""Bytes a second: between two bursts there are two seconds."""


def test_one_is_given_up_and_the_next_is_finished(tmp_path: Path) -> None:
    """However many are sealed meanwhile, a third goes in vain and no more, and then something is held."""
    with two_hosts(tmp_path) as (owner, holder):
        tie(owner, holder)
        life = Life(owner, CHUNKS)
        notes: queue.Queue[Any] = queue.Queue()
        sendings = Sendings(owner.keys, lambda note, _: notes.put(note))
        sendings.know(KnowPartner(holder.me, (f"127.0.0.1:{holder.port()}",), 0))

        def carry() -> Any:
            life.commit()
            found = owner.shelf.pin_newest(WALK, life.epoch)
            assert found is not None
            sendings.carry(CarryCommit(holder.me, WALK, found[0]), found[1])
            return notes.get(timeout=SECONDS)

        carry()
        sendings.overtake(OvertakeCommit(holder.me, WALK, CommitId(Epoch(1), Step(99), 99)))
        for _ in range(3):
            assert carry() == CommitOvertakenNote(holder.me, WALK)
            carried = carry()
            assert isinstance(carried, CommitCarriedNote)
            assert carried.sent >= CHUNKS * CHUNK_BYTES
            assert held_image(holder, owner.me, carried.commit) == life.image(carried.commit)
        sendings.forget(holder.me)
        life.close()


@pytest.mark.parametrize("epoch", [1, 2])
def test_the_newest_is_held_and_the_one_before_it_never(epoch: int, tmp_path: Path) -> None:
    """One order has one answer: what is held in the end, also where that is of the next life."""
    with two_hosts(tmp_path) as (owner, holder):
        tie(owner, holder, bandwidth=SLOW)
        life = before = Life(owner, CHUNKS)
        first = before.commit()
        owner.do(lambda: owner.carriage.replicate(Replicate(WALK, first, holder.me)))
        if epoch != before.epoch:
            life = Life(owner, CHUNKS, epoch)
        newest = life.commit()
        owner.do(lambda: owner.carriage.overtake(Overtake(WALK, newest, holder.me)))
        taken_in(owner)
        tie(owner, holder, bandwidth=0)
        answer = owner.hears_of_commit()
        assert isinstance(answer, CommitHeld)
        assert answer.commit == newest
        assert held_image(holder, owner.me, newest) == life.image(newest)
        before.close()
        if life is not before:
            life.close()
