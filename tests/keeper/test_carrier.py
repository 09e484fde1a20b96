"""Two real carriers on loopback bring commits from an owner to a holder, and back."""

from __future__ import annotations

import os
import queue
import select
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from goldthread.errors import GoldthreadError, NothingToRestore
from goldthread.keeper.keys import Keys, Partner
from goldthread.keeper.rate import Rate
from goldthread.keeper.shelf import reading, verify
from goldthread.local import Home
from goldthread.names import CommitId, Epoch, Instant, KeeperId, Level, MemberName, Step, seconds
from goldthread.policy import Policy
from goldthread.report import Guard, HolderState, Phase
from goldthread.rules.bond_events import (
    BundleLanded,
    BundleSent,
    CommitHeld,
    CopiesGone,
    CopyLanded,
    ReplicateFailed,
)
from goldthread.rules.bond_orders import AdoptCopies, DropCopies, HeldRecord, Replicate, SendBundle
from goldthread.slots.kernel import memory_file
from goldthread.slots.layout import CHUNK_BYTES
from goldthread.wire.image import HEADER_BYTES
from tests.keeper.carriers import SECONDS, WALK, Host, Life, allow, held_image, replicate, taken_in, tie, two_hosts


@pytest.fixture
def hosts(tmp_path: Path) -> Iterator[tuple[Host, Host]]:
    with two_hosts(tmp_path) as (owner, holder):
        yield owner, holder


def brought(owner: Host, holder: Host, commit: CommitId) -> None:
    """Bring a commit, and see it held."""
    answer = replicate(owner, holder.me, commit)
    assert isinstance(answer, CommitHeld), answer
    assert answer.commit == commit


def test_a_commit_is_held_bit_for_bit(hosts: tuple[Host, Host]) -> None:
    """What is held is the image as it was sealed, and both sides are told."""
    owner, holder = hosts
    life = Life(owner, chunks=10)
    tie(owner, holder)
    commit = life.commit()
    brought(owner, holder, commit)
    landed = holder.hears(CopyLanded)
    assert (landed.partner, landed.member, landed.copy.commit) == (owner.me, WALK, commit)
    assert landed.copy.level is Level.HELD
    assert held_image(holder, owner.me, commit) == life.image(commit)
    life.close()


def test_only_what_changed_travels(hosts: tuple[Host, Host]) -> None:
    """Chunks that the holder has in either slot are not sent again."""
    owner, holder = hosts
    life = Life(owner, chunks=20)
    tie(owner, holder)
    brought(owner, holder, life.commit())
    for changed in ((3,), (5, 6), (3,), (19, 0)):
        commit = life.commit(*changed)
        brought(owner, holder, commit)
        assert owner.sent[-1] == len(changed) * CHUNK_BYTES
        assert held_image(holder, owner.me, commit) == life.image(commit)
    assert owner.sent[0] == 20 * CHUNK_BYTES
    life.close()


def test_a_state_that_grows_and_shrinks_is_held(hosts: tuple[Host, Host]) -> None:
    """A slot that became too small is replaced by a larger one."""
    owner, holder = hosts
    tie(owner, holder)
    for epoch, chunks in enumerate((2, 30, 1, 31), 1):
        life = Life(owner, chunks, epoch)
        for _ in range(3):
            commit = life.commit()
            brought(owner, holder, commit)
            assert held_image(holder, owner.me, commit) == life.image(commit)
        life.close()
    assert len(holder.carriage.held) == 2


def test_the_newest_of_the_life_goes(hosts: tuple[Host, Host]) -> None:
    """What was ordered may be superseded by then; the answer says which commit is held."""
    owner, holder = hosts
    life = Life(owner, chunks=2)
    tie(owner, holder)
    first, newest = life.commit(), life.commit()
    answer = replicate(owner, holder.me, first)
    assert isinstance(answer, CommitHeld)
    assert answer.commit == newest
    life.close()


def test_an_older_life_is_refused(hosts: tuple[Host, Host]) -> None:
    """The fence: what is below the epoch that the holder's keeper knows of does not come in."""
    owner, holder = hosts
    old, new = Life(owner, chunks=2), Life(owner, chunks=2, epoch=2)
    tie(owner, holder)
    kept = new.commit()
    brought(owner, holder, kept)
    allow(holder, owner.me, epoch=2)
    answer = replicate(owner, holder.me, old.commit())
    assert isinstance(answer, ReplicateFailed)
    assert "too late" in answer.text
    assert held_image(holder, owner.me, kept) == new.image(kept)
    old.close()
    new.close()


def test_more_than_was_lent_is_refused(hosts: tuple[Host, Host]) -> None:
    """A commit beyond the terms does not come in, and the owner is told how much was lent."""
    owner, holder = hosts
    life = Life(owner, chunks=4)
    tie(owner, holder)
    allow(holder, owner.me, bytes_most=3 * CHUNK_BYTES)
    answer = replicate(owner, holder.me, life.commit())
    assert isinstance(answer, ReplicateFailed)
    assert f"more than the {3 * CHUNK_BYTES} lent" in answer.text
    assert not holder.carriage.held
    life.close()


def test_memory_that_is_short_refuses_and_keeps(tmp_path: Path) -> None:
    """A holder without memory says so, and the commit that it has stays."""
    with two_hosts(tmp_path, Policy(memory_free_bytes=1 << 50)) as (owner, holder):
        life = Life(owner, chunks=4)
        tie(owner, holder)
        answer = replicate(owner, holder.me, life.commit())
        assert isinstance(answer, ReplicateFailed)
        assert "shared memory is too small" in answer.text
        life.close()


def test_members_do_not_wait_for_each_other(hosts: tuple[Host, Host], tmp_path: Path) -> None:
    """A partner that takes a connection and says nothing delays only what goes to it."""
    owner, holder = hosts
    tie(owner, holder)
    silent = Keys(Home(tmp_path / "silent"), "silent")
    owner.keys.pin(Partner(silent.me, "silent", (), (silent.certificate,)))
    life, other = Life(owner, chunks=2), Life(owner, chunks=2, member=MemberName("other"))
    with socket.create_server(("127.0.0.1", 0)) as door:
        address = f"127.0.0.1:{door.getsockname()[1]}"
        owner.do(lambda: owner.carriage.know(silent.me, (address,), 0))
        order = Replicate(other.member, other.commit(), silent.me)
        owner.do(lambda: owner.carriage.replicate(order))
        door.accept()[0].close()
        stuck, _ = door.accept()
        brought(owner, holder, life.commit())
        stuck.close()
    life.close()
    other.close()


def fetched(host: Host, partner: KeeperId, commit: CommitId, chunks: tuple[int, ...] | None, target: int) -> object:
    """What `fetch` ends with."""
    ends: queue.Queue[object] = queue.Queue()
    host.do(lambda: host.carriage.fetch(partner, WALK, commit, chunks, target, ends.put, ends.put))
    return ends.get(timeout=SECONDS)


def test_what_is_held_comes_back(hosts: tuple[Host, Host]) -> None:
    """Header, manifest and table first, then the chunks that are asked for: together the image."""
    owner, holder = hosts
    life = Life(owner, chunks=50)
    tie(owner, holder)
    commit = life.commit()
    brought(owner, holder, commit)
    image = life.image(commit)
    target = memory_file("target", len(image))
    assert fetched(owner, holder.me, commit, None, target) == ()
    assert os.pread(target, HEADER_BYTES, 0) == image[:HEADER_BYTES]
    some = (0, 1, 7, 49)
    assert fetched(owner, holder.me, commit, some, target) == some
    rest = tuple(index for index in range(50) if index not in some)
    assert fetched(owner, holder.me, commit, rest, target) == rest
    assert os.pread(target, len(image), 0) == image
    os.close(target)
    life.close()


def test_what_is_not_held_is_not_fetched(hosts: tuple[Host, Host]) -> None:
    """The caller is told so, by the error that fits."""
    owner, holder = hosts
    life = Life(owner, chunks=1)
    tie(owner, holder)
    commit = life.commit()
    target = memory_file("target", len(life.image(commit)))
    assert isinstance(fetched(owner, holder.me, commit, None, target), NothingToRestore)
    assert isinstance(fetched(holder, owner.me, commit, None, target), GoldthreadError)
    os.close(target)
    life.close()


def test_a_bundle_arrives(hosts: tuple[Host, Host]) -> None:
    """The holder's keeper gets it whole and says how its host differs."""
    owner, holder = hosts
    tie(owner, holder)
    data = os.urandom(3 << 20)
    owner.do(lambda: owner.carriage.send_bundle(SendBundle(WALK, holder.me), "digest", data))
    assert owner.hears(BundleSent).differences == ("Python 3.12.1 there, 3.11.2 here",)
    assert holder.hears(BundleLanded).digest == "digest"
    assert holder.bundles == {"digest": data}


def test_adopted_copies_are_slots_like_others(hosts: tuple[Host, Host]) -> None:
    """After a takeover they lie on the shelf, whole, and the old owner's commits come in no more."""
    owner, holder = hosts
    life = Life(owner, chunks=3)
    tie(owner, holder)
    for _ in range(3):
        newest = life.commit()
        brought(owner, holder, newest)
    holder.do(lambda: holder.carriage.adopt(AdoptCopies(owner.me, WALK)))
    assert newest in {copy.commit for copy in holder.shelf.copies(WALK)}
    slot = holder.shelf.find(WALK, newest)
    assert slot is not None
    with reading(slot.lend()) as image:
        assert verify(image, newest) == ""
    assert isinstance(replicate(owner, holder.me, life.commit(1)), ReplicateFailed)
    assert not holder.do(lambda: holder.carriage.held)
    life.close()
    holder.shelf.forget(WALK)


def test_copies_that_come_after_they_were_adopted_are_slots_too(tmp_path: Path) -> None:
    """A keeper dies in a takeover, and the next one finishes it before the carrier of the last one is here."""
    with two_hosts(tmp_path) as (owner, holder):
        life = Life(owner, chunks=3)
        tie(owner, holder)
        newest = life.commit()
        brought(owner, holder, newest)
        holder.die()
        holder.begin(first=lambda: holder.carriage.adopt(AdoptCopies(owner.me, WALK)))
        assert holder.port()
        assert newest in {copy.commit for copy in holder.shelf.copies(WALK)}
        assert not holder.do(lambda: holder.carriage.held)
        life.close()
        holder.shelf.forget(WALK)


def test_dropped_copies_are_gone(hosts: tuple[Host, Host]) -> None:
    """The memory is let go, and nothing more comes in until it is allowed again."""
    owner, holder = hosts
    life = Life(owner, chunks=3)
    tie(owner, holder)
    brought(owner, holder, life.commit())
    holder.do(lambda: holder.carriage.drop(DropCopies(owner.me, WALK)))
    taken_in(holder)
    assert not holder.carriage.held
    refused = replicate(owner, holder.me, life.commit())
    assert isinstance(refused, ReplicateFailed)
    assert "is not held here" in refused.text
    allow(holder, owner.me)
    brought(owner, holder, life.commit())
    life.close()


def test_copies_that_nobody_hands_over_are_gone(tmp_path: Path) -> None:
    """A new keeper whose journal tells of a copy says that it is lost when no carrier brings it."""
    with two_hosts(tmp_path) as (owner, holder):
        record = held_record(owner.me, CommitId(Epoch(1), Step(2), 3))
        holder.do(lambda: holder.carriage.find_copies([record]))
        gone = holder.hears(CopiesGone)
        assert (gone.partner, gone.member) == (owner.me, WALK)


def held_record(partner: KeeperId, commit: CommitId) -> HeldRecord:
    return HeldRecord(
        partner=partner,
        member=WALK,
        origin=partner,
        epoch=commit.epoch,
        state=HolderState.BONDED,
        reason="",
        phase=Phase.RUNNING,
        guard=Guard.NONE,
        given_up=False,
        newest=commit,
        bytes=1,
        commit=commit,
        bundle="",
    )


def test_a_carrier_ends_with_its_home(tmp_path: Path) -> None:
    """When the keeper is gone and the home is removed, nobody needs it."""
    with two_hosts(tmp_path) as (owner, holder):
        tie(owner, holder)
        pidfd = os.pidfd_open(owner.carrier())
        owner.die()
        shutil.rmtree(owner.home.path)
        assert select.select([pidfd], [], [], SECONDS)[0] == [pidfd]
        os.close(pidfd)
        owner.home.make()
        owner.begin()


def test_a_rate_is_kept() -> None:
    """Over any time no more goes than the rate allows, beyond one short burst; what is not used is not saved up."""
    rate = Rate(1_000_000)
    now, waited = Instant(0), 0
    for _ in range(100):
        waited = rate.wait_ns(50_000, now)
        now = Instant(now + waited)
    assert seconds(100 * 0.05 - 0.2) <= now <= seconds(100 * 0.05)
    later = Instant(now + seconds(1000))
    assert rate.wait_ns(50_000, later) == 0
    assert sum(rate.wait_ns(50_000, later) > 0 for _ in range(10)) >= 8
    assert Rate(0).wait_ns(1 << 40, now) == 0
