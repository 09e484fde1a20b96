"""A store that answers in time, whatever is behind it. No test here asks a clock whether it was late."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from goldthread.errors import LeaseUnavailable, UsageError
from goldthread.leases import timely
from goldthread.leases.base import Stored
from goldthread.leases.memory import MemoryStore
from goldthread.leases.timely import TimelyStore
from goldthread.names import MemberName

WALK = MemberName("walk")


class SlowStore(MemoryStore):
    """A store of which each call waits until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.let_go = threading.Event()
        self.begun = threading.Semaphore(0)
        self.done = threading.Semaphore(0)
        self.before: Callable[[], None] = lambda: None

    def read(self, member: MemberName) -> Stored | None:
        self._wait()
        found = super().read(member)
        self.done.release()
        return found

    def swap(self, member: MemberName, record: bytes, over: str | None) -> str | None:
        self._wait()
        version = super().swap(member, record, over)
        self.done.release()
        return version

    def _wait(self) -> None:
        self.begun.release()
        self.let_go.wait()
        self.before()


def test_nobody_waits_longer_than_the_deadline() -> None:
    """The call returns while the store has not answered, which it does only afterwards."""
    slow = SlowStore()
    store = TimelyStore(slow, 0.01)
    for call in (lambda: store.read(WALK), lambda: store.swap(WALK, b"one", None)):
        with pytest.raises(LeaseUnavailable, match=r"did not answer within 0.01 s"):
            call()
    slow.let_go.set()


def test_what_comes_late_is_dropped() -> None:
    """But may be done: whoever reads sees it."""
    slow = SlowStore()
    store = TimelyStore(slow, 0.01)
    with pytest.raises(LeaseUnavailable):
        store.swap(WALK, b"one", None)
    slow.let_go.set()
    assert slow.done.acquire(timeout=60)
    stored = TimelyStore(slow, 60).read(WALK)
    assert stored is not None
    assert stored.record == b"one"


def test_calls_that_hang_are_bounded() -> None:
    """A store that is frozen for a day does not fill the keeper with threads; when it wakes it serves again."""
    slow = SlowStore()
    store = TimelyStore(slow, 0.001)
    for _ in range(timely._CALLS_MOST):
        with pytest.raises(LeaseUnavailable, match="did not answer"):
            store.read(WALK)
    for _ in range(3):
        with pytest.raises(LeaseUnavailable, match="32 calls to the lease store are not answered yet"):
            store.read(WALK)
    begun = 0
    while slow.begun.acquire(blocking=False):
        begun += 1
    assert begun <= timely._CALLS_MOST
    slow.let_go.set()
    for _ in range(begun):
        assert slow.done.acquire(timeout=60)
    for _ in range(10_000):
        try:
            assert store.read(WALK) is None
        except LeaseUnavailable:
            continue
        return
    pytest.fail("it does not serve again")


def test_what_a_store_says_is_said() -> None:
    """A refusal of its own comes through; a fault of ours is not taken for an outage."""
    slow = SlowStore()
    slow.let_go.set()
    store = TimelyStore(slow, 60)

    def raising(error: Exception) -> Callable[[], None]:
        def fail() -> None:
            raise error

        return fail

    slow.before = raising(LeaseUnavailable("the disk is gone"))
    with pytest.raises(LeaseUnavailable, match="the disk is gone"):
        store.read(WALK)
    slow.before = raising(ZeroDivisionError())
    with pytest.raises(ZeroDivisionError):
        store.read(WALK)


def test_what_cannot_be_right_is_not_even_asked() -> None:
    """No thread is begun for it."""
    slow = SlowStore()
    store = TimelyStore(slow, 0.001)
    with pytest.raises(UsageError):
        store.read(MemberName("../walk"))
    with pytest.raises(UsageError):
        store.swap(WALK, b"", None)
    assert not slow.begun.acquire(blocking=False)
