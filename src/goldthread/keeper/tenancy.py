"""The keeper's dealings with its lease store: what the machine asks of it, and what it answers.

A store may take its time, up to its deadline, so the loop never waits for it; and a gigabyte that is being copied must
not hold up a lease, so the calls have threads of their own. Of one member one call is under way at a time, which keeps
its answers in the order of asking.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final

from goldthread.errors import GoldthreadError, PartnerError
from goldthread.keeper.keeper import Keeper
from goldthread.leases.base import LeaseStore, Stored
from goldthread.names import MemberName
from goldthread.rules.bond_events import LeaseFound, LeaseGranted, LeaseUnknown
from goldthread.rules.bond_orders import ReadLease, SwapLease
from goldthread.wire.leases import Lease, decode_lease, encode_lease

__all__ = ["Tenancy", "digest_of"]

_THREADS: Final = 8
_DIGEST_DIGITS: Final = 16

Answer = LeaseGranted | LeaseFound | LeaseUnknown


def digest_of(store: LeaseStore | None) -> str:
    """Names the store to partners without telling its address; empty where there is none."""
    return "" if store is None else hashlib.sha256(store.address.encode()).hexdigest()[:_DIGEST_DIGITS]


class Tenancy:
    """Each order is answered once, by an event, in the loop; without a store by `LeaseUnknown`."""

    def __init__(self, keeper: Keeper, store: LeaseStore | None) -> None:
        self._keeper = keeper
        self._store = store
        self._threads = ThreadPoolExecutor(_THREADS, "goldthread-tenancy")
        self._waiting: dict[MemberName, deque[Callable[[], Answer]]] = {}

    def read(self, order: ReadLease) -> None:
        self._ask(order, lambda store: _found(store, order.member, order.ask))

    def swap(self, order: SwapLease) -> None:
        def swap(store: LeaseStore) -> Answer:
            version = store.swap(order.member, encode_lease(order.lease), order.over)
            if version is None:
                return _found(store, order.member, order.ask)
            return LeaseGranted(order.member, order.ask, order.lease, version)

        self._ask(order, swap)

    def close(self) -> None:
        """Wait for the calls under way, which have their deadline. Nothing is told any more."""
        self._threads.shutdown(wait=True, cancel_futures=True)
        if self._store is not None:
            self._store.close()

    def _ask(self, order: ReadLease | SwapLease, question: Callable[[LeaseStore], Answer]) -> None:
        store = self._store
        if store is None:
            self._keeper.tell(LeaseUnknown(order.member, order.ask, "no lease store is configured"))
            return

        def call() -> Answer:
            try:
                return question(store)
            except GoldthreadError as error:
                return LeaseUnknown(order.member, order.ask, str(error))

        waiting = self._waiting.setdefault(order.member, deque())
        waiting.append(call)
        if len(waiting) == 1:
            self._begin(order.member)

    def _begin(self, member: MemberName) -> None:
        def done(call: Future[Answer]) -> None:
            self._keeper.loop.from_thread(lambda: self._end(member, call.result()))

        self._threads.submit(self._waiting[member][0]).add_done_callback(done)

    def _end(self, member: MemberName, answer: Answer) -> None:
        """Tell what came, and go on with what was asked meanwhile."""
        waiting = self._waiting[member]
        waiting.popleft()
        if waiting:
            self._begin(member)
        else:
            del self._waiting[member]
        self._keeper.tell(answer)


def _found(store: LeaseStore, member: MemberName, ask: int) -> LeaseFound:
    stored = store.read(member)
    if stored is None:
        return LeaseFound(member, ask, None, None)
    return LeaseFound(member, ask, _lease_of(stored, member), stored.version)


def _lease_of(stored: Stored, member: MemberName) -> Lease:
    """What stands in a register. Raises `PartnerError` where it is no lease of this member."""
    lease = decode_lease(stored.record)
    if lease.member != member:
        raise PartnerError(f"the register of {member} has a lease of {lease.member!r}")
    return lease
