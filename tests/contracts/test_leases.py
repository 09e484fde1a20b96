"""What every lease store must do. A new store is added to `lease_servers`, and passes all of this."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path

import pytest
from lease_servers import Etcd, Memory, Moto, Place, SqliteFile

from goldthread.errors import LeaseUnavailable, UsageError
from goldthread.leases.base import LeaseStore
from goldthread.leases.opening import open_store
from goldthread.names import MemberName
from goldthread.wire.leases import LEASE_BYTES_MOST

WALK = MemberName("walk")
RUN = MemberName("run")
PATIENT = 60.0
"""Seconds that a busy machine may take, where nothing is out of reach."""
HASTY = 0.3
"""Seconds after which something out of reach is given up."""
NUMBERS = count(1)

Open = Callable[[float], LeaseStore]


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[type[Place]], Place]]:
    """One server of each kind, started when the first test wants it."""
    begun: dict[type[Place], Place] = {}

    def place(kind: type[Place]) -> Place:
        if kind not in begun:
            begun[kind] = Memory() if kind is Memory else kind(tmp_path_factory.mktemp(kind.__name__))
        return begun[kind]

    try:
        yield place
    finally:
        for one in begun.values():
            one.close()


@pytest.fixture(params=[Memory, SqliteFile, Etcd, Moto], ids=lambda kind: kind.__name__.lower())
def place(request: pytest.FixtureRequest, places: Callable[[type[Place]], Place]) -> Place:
    return places(request.param)


@pytest.fixture
def address(place: Place) -> str:
    return place.address(f"of-test-{next(NUMBERS)}")


@pytest.fixture
def open_here(address: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Open]:
    """Opens the store of this test, with the deadline given."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "iruka")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "umino")
    opened: list[LeaseStore] = []

    def open_with(seconds: float) -> LeaseStore:
        opened.append(open_store(address, seconds))
        return opened[-1]

    yield open_with
    for store in opened:
        store.close()


@pytest.fixture
def store(open_here: Open) -> LeaseStore:
    return open_here(PATIENT)


shared = pytest.mark.parametrize(
    "place", [SqliteFile, Etcd, Moto], ids=lambda kind: kind.__name__.lower(), indirect=True
)
"""For stores that more than one process can reach."""


def written(store: LeaseStore, member: MemberName, record: bytes, over: str | None) -> str:
    version = store.swap(member, record, over)
    assert version is not None
    return version


def test_nothing_stands_where_nothing_was_written(store: LeaseStore) -> None:
    """Asking for it is no error, and makes nothing."""
    assert store.read(WALK) is None
    assert store.read(WALK) is None


def test_what_is_written_is_read(store: LeaseStore) -> None:
    """With the version that the swap has told."""
    version = written(store, WALK, b"one", None)
    stored = store.read(WALK)
    assert stored is not None
    assert (stored.record, stored.version) == (b"one", version)


def test_the_first_record_is_written_once(store: LeaseStore) -> None:
    """The second is refused, and the first stays."""
    version = written(store, WALK, b"one", None)
    assert store.swap(WALK, b"two", None) is None
    stored = store.read(WALK)
    assert stored is not None
    assert (stored.record, stored.version) == (b"one", version)


def test_a_record_is_written_over_the_version_that_was_read_and_no_other(store: LeaseStore) -> None:
    """Also where that was the right one before."""
    first = written(store, WALK, b"one", None)
    second = written(store, WALK, b"two", first)
    assert store.swap(WALK, b"three", first) is None
    stored = store.read(WALK)
    assert stored is not None
    assert (stored.record, stored.version) == (b"two", second)


def test_nothing_is_written_over_what_is_not_there(store: LeaseStore) -> None:
    """The version of another register says nothing of this one."""
    version = written(store, WALK, b"one", None)
    assert store.swap(RUN, b"two", version) is None
    assert store.read(RUN) is None


def test_no_two_versions_are_alike(store: LeaseStore) -> None:
    """Each write has its own."""
    versions = [written(store, WALK, b"0", None)]
    for number in range(1, 20):
        versions.append(written(store, WALK, str(number).encode(), versions[-1]))
    assert len(set(versions)) == 20


def test_each_member_has_a_register_of_its_own(store: LeaseStore) -> None:
    """However alike their names are."""
    names = [MemberName(name) for name in ("walk", "Walk", "walk.1", "walk-1", "walk..1", "w" * 100, "1")]
    for name in names:
        written(store, name, f"of {name}".encode(), None)
    stored = [store.read(name) for name in names]
    assert [one and one.record for one in stored] == [f"of {name}".encode() for name in names]


def test_a_record_comes_back_byte_for_byte(store: LeaseStore) -> None:
    """Whatever the bytes, up to the greatest length."""
    record = bytes(range(256)) * (LEASE_BYTES_MOST // 256)
    written(store, WALK, record, None)
    stored = store.read(WALK)
    assert stored is not None
    assert stored.record == record


@pytest.mark.parametrize("record", [b"", bytes(LEASE_BYTES_MOST + 1)], ids=["empty", "too long"])
def test_what_is_no_record_is_refused(store: LeaseStore, record: bytes) -> None:
    """And nothing is written."""
    with pytest.raises(UsageError, match="a lease has 1 to 4096 bytes"):
        store.swap(WALK, record, None)
    assert store.read(WALK) is None


@pytest.mark.parametrize("name", ["", "..", "a/b", "../walk", "w" * 101, "_conditions", "wa lk", "wälk"])
def test_what_is_no_name_is_refused(store: LeaseStore, name: str) -> None:
    """It never becomes a key."""
    for call in (lambda: store.read(MemberName(name)), lambda: store.swap(MemberName(name), b"one", None)):
        with pytest.raises(UsageError, match="cannot name a member"):
            call()


@shared
def test_one_address_means_the_same_registers(open_here: Open, place: Place) -> None:
    """And another address others."""
    here, there = open_here(PATIENT), open_here(PATIENT)
    other = open_store(place.address("of-others"), PATIENT)
    version = written(here, WALK, b"one", None)
    assert (here.address == there.address, here.address == other.address) == (True, False)
    assert there.read(WALK) == here.read(WALK)
    assert written(there, WALK, b"two", version)
    assert here.swap(WALK, b"three", version) is None
    assert other.read(WALK) is None
    other.close()


def test_of_many_threads_one_wins(store: LeaseStore) -> None:
    """The first record of each register is that of the one that was told so."""
    names = [MemberName(f"member-{number}") for number in range(25)]
    begin = threading.Barrier(4)

    def race(racer: int) -> list[MemberName]:
        begin.wait()
        return [name for name in names if store.swap(name, f"{racer} {name}".encode(), None) is not None]

    with ThreadPoolExecutor(4) as threads:
        won = list(threads.map(race, range(4)))
    assert sorted(name for one in won for name in one) == sorted(names)
    for racer, mine in enumerate(won):
        for name in mine:
            stored = store.read(name)
            assert stored is not None
            assert stored.record == f"{racer} {name}".encode()


def test_no_swap_is_lost(store: LeaseStore) -> None:
    """Many count together: each swap that was done stands on the one before it."""
    written(store, WALK, b"0", None)

    def count_up(_: int) -> None:
        done = 0
        while done < 10:
            stored = store.read(WALK)
            assert stored is not None
            if store.swap(WALK, str(int(stored.record) + 1).encode(), stored.version) is not None:
                done += 1

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(count_up, range(4)))
    stored = store.read(WALK)
    assert stored is not None
    assert stored.record == b"40"


@shared
def test_of_many_processes_one_wins(store: LeaseStore, address: str) -> None:
    """A hundred registers, three processes, one winner each."""
    racer = Path(__file__).with_name("racer.py")
    racers = [
        subprocess.Popen(
            [sys.executable, racer, address, name, "100"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for name in ("iruka", "kakashi", "tsunade")
    ]
    try:
        for one in racers:
            assert one.stdout is not None and one.stdout.readline() == "ready\n"
        for one in racers:
            assert one.stdin is not None
            one.stdin.write("\n")
            one.stdin.flush()
        won = [[int(number) for number in one.communicate()[0].split()] for one in racers]
    finally:
        for one in racers:
            one.kill()
            one.wait()
    assert sorted(number for mine in won for number in mine) == list(range(100))
    for name, mine in zip(("iruka", "kakashi", "tsunade"), won, strict=True):
        stored = [store.read(MemberName(f"member-{number}")) for number in mine]
        assert [one and one.record for one in stored] == [f"{name} {number}".encode() for number in mine]


@shared
def test_a_store_that_is_gone_is_out_of_reach(open_here: Open, place: SqliteFile | Etcd | Moto) -> None:
    """It is said, and whatever comes back serves again. What lasts is there as it stood."""
    store = open_here(PATIENT)
    version = written(store, WALK, b"one", None)
    hasty = open_here(HASTY)
    place.lose()
    try:
        with pytest.raises(LeaseUnavailable):
            hasty.read(WALK)
        with pytest.raises(LeaseUnavailable):
            hasty.swap(WALK, b"two", version)
    finally:
        place.bring_back()
    stored = store.read(WALK)
    if place.lasts:
        assert stored is not None
        assert (stored.record, stored.version) == (b"one", version)
        assert written(store, WALK, b"two", version)
    else:
        assert stored is None


@shared
def test_a_store_that_is_frozen_is_given_up(open_here: Open, place: SqliteFile | Etcd | Moto) -> None:
    """The call returns while the server is still stopped. What was swapped may be done late, and at most once."""
    store = open_here(PATIENT)
    version = written(store, WALK, b"one", None)
    hasty = open_here(HASTY)
    place.freeze()
    try:
        for call in (lambda: hasty.swap(WALK, b"two", version), lambda: hasty.read(WALK)):
            with pytest.raises(LeaseUnavailable):
                call()
    finally:
        place.bring_back()
    swapped = []
    while len(swapped) < 3 and not any(swapped):
        stored = store.read(WALK)
        assert stored is not None
        assert stored.record in (b"one", b"two")
        swapped.append(store.swap(WALK, b"three", stored.version))
    assert any(swapped)


def test_a_store_that_is_closed_lets_go(open_here: Open) -> None:
    """Twice is no harm."""
    store = open_here(PATIENT)
    store.read(WALK)
    store.close()
    store.close()
