"""The keeper's loop: it waits for descriptors, for moments, and for work done in threads, and calls back.

All decisions and all state of the keeper live in the one thread that runs this loop. What takes long (making a slot,
reading a gigabyte, writing to a disk) is given to a few threads of lower priority by `work`; its outcome comes back
into the loop as a call. So nothing here needs a lock.
"""

from __future__ import annotations

import heapq
import os
import selectors
import socket
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Any, Final, TypeVar

from goldthread.clock import now
from goldthread.keeper.ready import call_ready
from goldthread.names import Instant, Span

__all__ = ["Loop", "now"]

_WORKERS: Final = 2
_WORKER_NICENESS: Final = 5
_IDLE_SECONDS: Final = 3600.0

T = TypeVar("T")


class Loop:
    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._moments: list[tuple[Instant, int, Callable[[], None]]] = []
        self._counted = 0
        self._done: deque[Callable[[], None]] = deque()
        self._wake_reader, self._wake_writer = socket.socketpair()
        self._wake_reader.setblocking(False)
        self._wake_writer.setblocking(False)
        self._workers = ThreadPoolExecutor(_WORKERS, "goldthread-work", initializer=_be_patient)
        self._running = True
        self.watch(self._wake_reader.fileno(), self._drain_wakes)

    def watch(self, descriptor: int, ready: Callable[[], None], *, writing: bool = False) -> None:
        """Call `ready` whenever the descriptor can be read (or, with `writing`, read or written)."""
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if writing else 0)
        if descriptor in self._selector.get_map():
            self._selector.modify(descriptor, events, ready)
        else:
            self._selector.register(descriptor, events, ready)

    def unwatch(self, descriptor: int) -> None:
        if descriptor in self._selector.get_map():
            self._selector.unregister(descriptor)

    def after(self, span: Span, call: Callable[[], None]) -> None:
        """Call once, when the span has gone by."""
        self._counted += 1
        heapq.heappush(self._moments, (Instant(now() + span), self._counted, call))

    def work(self, job: Callable[[], T], then: Callable[[T], None], failed: Callable[[BaseException], None]) -> None:
        """Do `job` in a thread, then call `then` with what it returned, or `failed` with what it raised."""

        def finish(future: Future[T]) -> None:
            error = future.exception()
            self.from_thread(lambda: then(future.result()) if error is None else failed(error))

        self._workers.submit(job).add_done_callback(finish)

    def from_thread(self, call: Callable[[], None]) -> None:
        """Have the loop make this call soon. The one method that other threads and signal handlers may use."""
        self._done.append(call)
        with suppress(BlockingIOError):  # Then the loop has wakes enough to read.
            self._wake_writer.send(b"\0")

    def run(self, deadline: Callable[[], Instant | None], tick: Callable[[], None]) -> None:
        """Go round until `stop`: `tick` is called whenever `deadline()` has come."""
        while self._running:
            call_ready(self._selector, self._seconds_left(deadline()))
            while self._done:
                self._done.popleft()()
            while self._moments and self._moments[0][0] <= now():
                heapq.heappop(self._moments)[2]()
            due = deadline()
            if due is not None and due <= now():
                tick()

    def stop(self) -> None:
        self._running = False

    def close(self) -> None:
        """Wait for the work under way and let everything go."""
        self._workers.shutdown(wait=True, cancel_futures=True)
        self._selector.close()
        self._wake_reader.close()
        self._wake_writer.close()

    def _seconds_left(self, due: Instant | None) -> float:
        if self._done:
            return 0.0
        moments = [moment for moment in (due, self._moments[0][0] if self._moments else None) if moment is not None]
        return min(max(min(moments) - now(), 0) / 1e9, _IDLE_SECONDS) if moments else _IDLE_SECONDS

    def _drain_wakes(self) -> None:
        with suppress(BlockingIOError):
            while self._wake_reader.recv(4096):
                pass


def _be_patient(*_: Any) -> None:
    """Lower the priority of this thread: what it does can wait for programs."""
    with suppress(OSError):  # Nothing but politeness is lost.
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _WORKER_NICENESS)
