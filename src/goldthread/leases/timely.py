"""The deadline around every call of a lease store.

Each client has time-outs of its own, and each was seen to wait past them: a time-out for each read and not for the
whole, retries that nobody asked for, a server that is stopped and whose kernel still answers. So every call runs in a
thread of its own, and whoever asked waits no longer than the deadline; what a late call brings is dropped. The
client's time-outs then only end such threads in the end, and there are never more than a few.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Final, TypeVar

from goldthread.errors import LeaseUnavailable, UsageError
from goldthread.leases.base import LeaseStore, Stored
from goldthread.names import MemberName, member_name
from goldthread.wire.leases import LEASE_BYTES_MOST

__all__ = ["TimelyStore"]

_CALLS_MOST: Final = 32
"""Under way at a time, those included that nobody waits for any more."""

T = TypeVar("T")


class TimelyStore:
    """Any lease store, with the contract's promise that it answers in time."""

    def __init__(self, store: LeaseStore, seconds: float) -> None:
        self._store = store
        self._seconds = seconds
        self._free = threading.BoundedSemaphore(_CALLS_MOST)

    @property
    def address(self) -> str:
        return self._store.address

    def read(self, member: MemberName) -> Stored | None:
        name = member_name(member)
        return self._in_time(lambda: self._store.read(name))

    def swap(self, member: MemberName, record: bytes, over: str | None) -> str | None:
        name = member_name(member)
        if not 0 < len(record) <= LEASE_BYTES_MOST:
            raise UsageError(f"a lease has 1 to {LEASE_BYTES_MOST} bytes, not {len(record)}")
        return self._in_time(lambda: self._store.swap(name, record, over))

    def close(self) -> None:
        self._store.close()

    def _in_time(self, call: Callable[[], T]) -> T:
        until = time.monotonic() + self._seconds
        if not self._free.acquire(timeout=self._seconds):
            raise LeaseUnavailable(f"{_CALLS_MOST} calls to the lease store are not answered yet")
        answer: Future[T] = Future()
        try:
            threading.Thread(target=self._answer, args=(call, answer), name="goldthread-lease", daemon=True).start()
        except RuntimeError as error:
            self._free.release()
            raise LeaseUnavailable(f"no call to the lease store could be begun: {error}") from error
        try:
            return answer.result(max(until - time.monotonic(), 0))
        except TimeoutError:
            raise LeaseUnavailable(f"the lease store did not answer within {self._seconds:g} s") from None

    def _answer(self, call: Callable[[], T], answer: Future[T]) -> None:
        try:
            answer.set_result(call())
        except BaseException as error:
            answer.set_exception(error)
        finally:
            self._free.release()
