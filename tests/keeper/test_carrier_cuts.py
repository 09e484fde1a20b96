"""Connections between carriers are cut, and carriers and keepers killed, at any moment."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from goldthread.names import Epoch
from goldthread.rules.bond_events import CommitHeld, CopyLanded, ReplicateFailed
from goldthread.rules.bond_orders import AllowCopies, DropCopies, Replicate
from goldthread.slots.layout import CHUNK_BYTES
from goldthread.slots.pins import open_for_pins, pin_for_writing
from tests.keeper.carriers import SECONDS, WALK, Cutter, Host, Life, allow, held_image, replicate, tie, two_hosts

CHUNKS = 20
PAYLOAD = CHUNKS * CHUNK_BYTES
TALK = 24 << 10
"""More than what is said beside the payload, with the second connection."""


@pytest.fixture
def hosts(tmp_path: Path) -> Iterator[tuple[Host, Host, Cutter]]:
    with two_hosts(tmp_path) as (owner, holder):
        allow(holder, owner.me)
        cutter = Cutter(holder.port())
        tie(owner, holder, port=cutter.port)
        yield owner, holder, cutter
        cutter.close()


@pytest.mark.parametrize("share", [0, 0.0001, 0.001, 0.003, 0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99, 0.999, 1])
def test_a_cut_towards_the_holder_is_resumed(hosts: tuple[Host, Host, Cutter], share: float) -> None:
    """Wherever the connection is cut, the commit becomes held, and what had landed does not travel again."""
    owner, holder, cutter = hosts
    life = Life(owner, CHUNKS)
    cutter.cut_at = cutter.passed + 1 + round(share * PAYLOAD)
    commit = life.commit()
    answer = replicate(owner, holder.me, commit)
    assert isinstance(answer, CommitHeld), answer
    assert cutter.cut.is_set()
    assert held_image(holder, owner.me, commit) == life.image(commit)
    assert cutter.passed <= PAYLOAD * 1.01 + CHUNK_BYTES + TALK
    life.close()


@pytest.mark.parametrize("at", [1, 200, 900, 1500, 1800])
def test_a_cut_towards_the_owner_is_resumed(hosts: tuple[Host, Host, Cutter], at: int) -> None:
    """Also where what the holder says is lost, its last word included."""
    owner, holder, cutter = hosts
    life = Life(owner, CHUNKS)
    cutter.cut_answer_at = at
    commit = life.commit()
    answer = replicate(owner, holder.me, commit)
    assert isinstance(answer, CommitHeld), answer
    assert cutter.cut.is_set() or cutter.answered < at
    assert held_image(holder, owner.me, commit) == life.image(commit)
    life.close()


def test_a_kept_connection_that_is_gone_is_made_anew(hosts: tuple[Host, Host, Cutter]) -> None:
    """Between two commits the connection may end without anybody knowing."""
    owner, holder, cutter = hosts
    life = Life(owner, CHUNKS)
    assert isinstance(replicate(owner, holder.me, life.commit()), CommitHeld)
    cutter.cut_at = cutter.passed + 1
    assert isinstance(replicate(owner, holder.me, life.commit(1)), CommitHeld)
    assert cutter.cut.is_set()
    life.close()


def killed_in_the_midst(owner: Host, holder: Host, cutter: Cutter, victim: Host) -> ReplicateFailed | CommitHeld:
    """Have one carrier killed when half of a commit has come."""
    life = Life(owner, CHUNKS)
    assert isinstance(replicate(owner, holder.me, life.commit()), CommitHeld)
    kept = life.commit(0)
    assert isinstance(replicate(owner, holder.me, kept), CommitHeld)
    cutter.cut_at = cutter.passed + PAYLOAD // 2
    order = Replicate(WALK, life.commit(), holder.me)
    pid = victim.carrier()
    killer = threading.Thread(target=lambda: (cutter.cut.wait(SECONDS), victim.kill(pid)))
    killer.start()
    owner.do(lambda: owner.carriage.replicate(order))
    killer.join()
    answer = owner.hears_of_commit()
    assert held_image(holder, owner.me, kept) == life.image(kept)
    while isinstance(answer, ReplicateFailed):
        holder.port()
        answer = replicate(owner, holder.me, order.commit)
    assert held_image(holder, owner.me, order.commit) == life.image(order.commit)
    life.close()
    return answer


def test_the_carrier_of_the_holder_is_killed(hosts: tuple[Host, Host, Cutter]) -> None:
    """What was held stays held, since the keeper holds it too, and another carrier takes what comes."""
    owner, holder, cutter = hosts
    killed_in_the_midst(owner, holder, cutter, holder)


def test_the_carrier_of_the_owner_is_killed(hosts: tuple[Host, Host, Cutter]) -> None:
    """The order is answered, and the next one goes through another carrier."""
    owner, holder, cutter = hosts
    killed_in_the_midst(owner, holder, cutter, owner)


def test_a_new_carrier_knows_what_is_held(hosts: tuple[Host, Host, Cutter]) -> None:
    """The slots of the one that died are handed to it, and only what changed travels."""
    owner, holder, _ = hosts
    life = Life(owner, CHUNKS)
    assert isinstance(replicate(owner, holder.me, life.commit()), CommitHeld)
    port = holder.port()
    holder.kill(holder.carrier())
    while not isinstance(replicate(owner, holder.me, life.commit(7)), CommitHeld):
        holder.port()
    assert holder.port() == port
    assert owner.sent[-1] <= 3 * CHUNK_BYTES
    life.close()


def test_a_carrier_outlives_its_keeper(hosts: tuple[Host, Host, Cutter]) -> None:
    """While no keeper is there commits come in, and the next keeper is handed all of it."""
    owner, holder, _ = hosts
    life = Life(owner, CHUNKS)
    assert isinstance(replicate(owner, holder.me, life.commit()), CommitHeld)
    carrier = holder.carrier()
    holder.die()
    commit = life.commit(4)
    assert isinstance(replicate(owner, holder.me, commit), CommitHeld)
    assert owner.sent[-1] == CHUNK_BYTES
    holder.begin()
    while (landed := holder.hears(CopyLanded)).copy.commit != commit:
        pass
    assert landed.partner == owner.me
    assert held_image(holder, owner.me, commit) == life.image(commit)
    assert holder.carrier() == carrier
    allow(holder, owner.me)
    assert isinstance(replicate(owner, holder.me, life.commit(5)), CommitHeld)
    life.close()


def test_what_the_machine_forgot_is_let_go(hosts: tuple[Host, Host, Cutter]) -> None:
    """A keeper that died before it could say so does not leave memory taken for ever."""
    owner, holder, _ = hosts
    life = Life(owner, CHUNKS)
    assert isinstance(replicate(owner, holder.me, life.commit()), CommitHeld)
    holder.die()
    holder.begin()
    holder.port()
    assert holder.do(lambda: len(holder.carriage.held)) == 1
    holder.do(lambda: holder.carriage.find_copies([]))
    while holder.do(lambda: len(holder.carriage.held)):
        threading.Event().wait(0.01)
    life.close()


def test_nothing_is_pinned_while_no_carrier_is_there(hosts: tuple[Host, Host, Cutter]) -> None:
    """The program uses its slots; once another carrier is here the newest commit is brought, whatever was ordered."""
    owner, holder, _ = hosts
    life = Life(owner, CHUNKS)
    owner.kill(owner.carrier())
    answers = owner.do(lambda: order_and_look(owner, Replicate(WALK, life.commit(), holder.me), life))
    assert answers == [True]
    newest = life.commit()
    answer = owner.hears_of_commit()
    assert isinstance(answer, CommitHeld)
    assert held_image(holder, owner.me, answer.commit) == life.image(answer.commit)
    assert answer.commit <= newest
    life.close()


def order_and_look(owner: Host, order: Replicate, life: Life) -> list[bool]:
    """Whether each slot could be written after this order."""
    owner.carriage.replicate(order)
    slots = owner.shelf.slots(WALK).values()
    own = [open_for_pins(slot.descriptor, writing=True) for slot in slots]
    found = [pin_for_writing(one) for one in own]
    for one in own:
        os.close(one)
    return found


@pytest.mark.parametrize("side", ["owner", "holder"])
def test_a_bond_may_end_and_be_tied_again_while_no_carrier_is_there(
    hosts: tuple[Host, Host, Cutter], side: str
) -> None:
    """The next one is told what is so now, not what was so in between."""
    owner, holder, cutter = hosts
    life = Life(owner, CHUNKS)
    assert isinstance(replicate(owner, holder.me, life.commit()), CommitHeld)
    if side == "owner":
        owner.kill(owner.carrier())
        owner.do(lambda: owner.carriage.forget(holder.me))
        tie(owner, holder, port=cutter.port)
    else:
        holder.kill(holder.carrier())
        holder.do(lambda: holder.carriage.drop(DropCopies(owner.me, WALK)))
        holder.do(lambda: holder.carriage.allow(AllowCopies(owner.me, WALK, Epoch(0), 1 << 30)))
    owner.port()
    holder.port()
    commit = life.commit()
    answer = replicate(owner, holder.me, commit)
    assert isinstance(answer, CommitHeld), answer
    assert held_image(holder, owner.me, commit) == life.image(commit)
    life.close()
