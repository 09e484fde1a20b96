"""What the keeper asks of its lease store, and how each question is answered once and in order."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from goldthread.errors import LeaseUnavailable
from goldthread.keeper.journal import Journal
from goldthread.keeper.keeper import Keeper
from goldthread.keeper.keys import Keys
from goldthread.keeper.loop import Loop
from goldthread.keeper.tenancy import Tenancy, digest_of
from goldthread.leases.base import LeaseStore, Stored
from goldthread.leases.memory import MemoryStore
from goldthread.leases.opening import open_store
from goldthread.local import Home
from goldthread.names import Epoch, Instant, KeeperId, MemberName, seconds
from goldthread.policy import Policy
from goldthread.rules.bond_events import LeaseFound, LeaseGranted, LeaseUnknown
from goldthread.rules.bond_orders import ReadLease, SwapLease
from goldthread.rules.machine import Machine
from goldthread.rules.orders import Order
from goldthread.vault.disk import DiskVault
from goldthread.wire.leases import Lease, encode_lease

WALK = MemberName("walk")
RUN = MemberName("run")
IRUKA = KeeperId("1" * 32)
KAKASHI = KeeperId("2" * 32)
LEASE = Lease(WALK, IRUKA, Epoch(3), IRUKA, None, 1, seconds(1.5))
WITHOUT_END = Instant(1 << 62)


class Listener(Machine):
    """A machine that only listens to what it is told."""

    def __init__(self) -> None:
        super().__init__(Policy(), IRUKA)
        self.heard: list[object] = []
        self.enough: Callable[[], None] = lambda: None

    def handle(self, event: object, now: Instant) -> list[Order]:
        self.heard.append(event)
        self.enough()
        return []


class Bench:
    """A keeper without a door, whose loop goes round until so many answers were told."""

    def __init__(self, folder: Path) -> None:
        home = Home(folder / "a home")
        home.make()
        journal, _ = Journal.open(home.journal)
        self.loop = Loop()
        self.machine = Listener()
        vault = DiskVault(home.vault, free_bytes=0)
        self.keeper = Keeper(home, Policy(), Keys(home), self.loop, journal, vault, self.machine)

    def answers(self, most: int) -> list[object]:
        heard = self.machine.heard

        def stop_when_enough() -> None:
            if len(heard) >= most:
                self.loop.stop()

        self.machine.enough = stop_when_enough
        if len(heard) < most:
            self.loop.run(lambda: WITHOUT_END, lambda: None)
            self.loop._running = True
        told = heard[:]
        heard.clear()
        return told

    def close(self) -> None:
        self.loop.close()
        self.keeper.journal.close()


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    yield bench
    bench.close()


@pytest.fixture
def store() -> LeaseStore:
    return open_store("memory:", 60)


@pytest.fixture
def tenancy(bench: Bench, store: LeaseStore) -> Iterator[Tenancy]:
    tenancy = Tenancy(bench.keeper, store)
    yield tenancy
    tenancy.close()


def stored(store: LeaseStore, member: MemberName = WALK) -> Stored:
    found = store.read(member)
    assert found is not None
    return found


def test_a_lease_is_claimed_found_and_renewed(bench: Bench, tenancy: Tenancy, store: LeaseStore) -> None:
    """What was written is what is found, under the version that was told."""
    tenancy.read(ReadLease(WALK, 1))
    assert bench.answers(1) == [LeaseFound(WALK, 1, None, None)]
    tenancy.swap(SwapLease(WALK, 2, LEASE, None))
    assert bench.answers(1) == [LeaseGranted(WALK, 2, LEASE, stored(store).version)]
    tenancy.read(ReadLease(WALK, 3))
    assert bench.answers(1) == [LeaseFound(WALK, 3, LEASE, stored(store).version)]
    renewed = msgspec.structs.replace(LEASE, count=2)
    tenancy.swap(SwapLease(WALK, 4, renewed, stored(store).version))
    assert bench.answers(1) == [LeaseGranted(WALK, 4, renewed, stored(store).version)]


def test_a_swap_that_is_refused_says_what_stands_there(bench: Bench, tenancy: Tenancy, store: LeaseStore) -> None:
    """Another keeper was first; or nothing is there to write over."""
    other = msgspec.structs.replace(LEASE, owner=KAKASHI, epoch=Epoch(4))
    store.swap(WALK, encode_lease(other), None)
    tenancy.swap(SwapLease(WALK, 1, LEASE, None))
    assert bench.answers(1) == [LeaseFound(WALK, 1, other, stored(store).version)]
    tenancy.swap(SwapLease(RUN, 2, msgspec.structs.replace(LEASE, member=RUN), "7"))
    assert bench.answers(1) == [LeaseFound(RUN, 2, None, None)]


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (b"scribbled over", "a lease could not be read"),
        (b"{}", "missing required field"),
        (encode_lease(msgspec.structs.replace(LEASE, member=RUN)), "the register of walk has a lease of 'run'"),
        (encode_lease(LEASE).replace(b'"epoch":3', b'"epoch":-3'), "cannot be right"),
    ],
    ids=["damaged", "something else", "another member's", "impossible"],
)
def test_what_is_no_lease_of_the_member_is_unknown(
    bench: Bench, tenancy: Tenancy, store: LeaseStore, record: bytes, reason: str
) -> None:
    """Neither free nor granted, and it stays as it is."""
    store.swap(WALK, record, None)
    tenancy.read(ReadLease(WALK, 1))
    tenancy.swap(SwapLease(WALK, 2, LEASE, None))
    for ask, answer in enumerate(bench.answers(2), 1):
        assert isinstance(answer, LeaseUnknown)
        assert (answer.member, answer.ask, reason in answer.text) == (WALK, ask, True)
    assert stored(store).record == record


def test_without_a_store_every_lease_is_unknown(bench: Bench) -> None:
    """At once, and there is no digest."""
    tenancy = Tenancy(bench.keeper, None)
    tenancy.read(ReadLease(WALK, 1))
    tenancy.swap(SwapLease(WALK, 2, LEASE, None))
    assert bench.answers(0) == [LeaseUnknown(WALK, ask, "no lease store is configured") for ask in (1, 2)]
    assert digest_of(None) == ""
    tenancy.close()


def test_keepers_of_one_store_have_one_digest(tmp_path: Path) -> None:
    """Sixteen digits, from which nobody learns the address."""
    one, other = (digest_of(open_store(f"sqlite://{tmp_path}/one.sqlite", 60)) for _ in range(2))
    third = digest_of(open_store(f"sqlite://{tmp_path}/two.sqlite", 60))
    assert (one == other, one == third, len(one)) == (True, False, 16)


class HeldStore(MemoryStore):
    """A store that answers about one member only when it is let go, and then says that it cannot."""

    def __init__(self) -> None:
        super().__init__()
        self.let_go = threading.Event()
        self.under_way = 0
        self.most_under_way = 0

    def read(self, member: MemberName) -> Stored | None:
        if member == RUN:
            return super().read(member)
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        assert self.let_go.wait(60)
        self.under_way -= 1
        raise LeaseUnavailable("it is gone")


def test_a_member_whose_lease_hangs_holds_up_no_other(bench: Bench) -> None:
    """Of one member the answers come in the order of asking, one call at a time; others are answered meanwhile."""
    store = HeldStore()
    tenancy = Tenancy(bench.keeper, store)
    for ask in (1, 2, 3):
        tenancy.read(ReadLease(WALK, ask))
    tenancy.read(ReadLease(RUN, 4))
    assert bench.answers(1) == [LeaseFound(RUN, 4, None, None)]
    store.let_go.set()
    assert bench.answers(3) == [LeaseUnknown(WALK, ask, "it is gone") for ask in (1, 2, 3)]
    assert store.most_under_way == 1
    tenancy.close()


def test_many_members_are_answered_once_each(bench: Bench, tenancy: Tenancy, store: LeaseStore) -> None:
    """However they are mixed: the order of asking is kept for each."""
    names = [MemberName(f"member-{number}") for number in range(20)]
    for count in range(1, 6):
        for name in names:
            tenancy.swap(SwapLease(name, count, msgspec.structs.replace(LEASE, member=name, count=count), None))
    answers = bench.answers(100)
    for name in names:
        mine = [answer for answer in answers if isinstance(answer, LeaseGranted | LeaseFound) and answer.member == name]
        assert [(type(answer), answer.ask) for answer in mine] == [
            (LeaseGranted, 1), *((LeaseFound, ask) for ask in range(2, 6))
        ]  # fmt: skip
        assert stored(store, name).record == encode_lease(msgspec.structs.replace(LEASE, member=name))


def test_who_ends_waits_for_what_is_under_way_and_tells_nothing(bench: Bench) -> None:
    """What was not begun is never asked."""
    store = HeldStore()
    tenancy = Tenancy(bench.keeper, store)
    for ask in (1, 2):
        tenancy.read(ReadLease(WALK, ask))
    store.let_go.set()
    tenancy.close()
    assert bench.machine.heard == []
