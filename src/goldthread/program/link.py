"""The program's connection to its keeper, and its return to the next one when a keeper dies.

A life needs its keeper for new slots and for deposits, not for commits: they go into slots that the life has. So a
lost keeper is sought in the background, by a thread that ends when it has found one, and the program goes on. What
the life holds (its pulse, its slots) is handed to the new keeper, which takes it as it is.
"""

from __future__ import annotations

import contextlib
import os
import select
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec

from goldthread.errors import Fenced, GoldthreadError, KeeperUnreachable, OtherVersion
from goldthread.local import Channel, Home, reach_keeper
from goldthread.names import Epoch, MemberName
from goldthread.wire.messages import ReturnRequest

__all__ = ["Link"]

_LOOK_NS: Final = 100_000_000
_RETRY_SECONDS: Final = (0.0, 0.1, 0.5, 1.0, 2.0, 5.0)

Held = Callable[[], tuple[int, Sequence[tuple[int, int]]]]
"""What the life holds: the pulse's descriptor, and (index, descriptor) of each slot."""


class Link:
    def __init__(self, home: Home, channel: Channel, member: MemberName, epoch: Epoch, held: Held) -> None:
        self._home = home
        self._channel: Channel | None = channel
        self._member = member
        self._epoch = epoch
        self._held = held
        self._lock = threading.Lock()
        self._returning: threading.Thread | None = None
        self._looked_ns = time.monotonic_ns()
        self._fenced: Fenced | None = None
        self._closed = False
        self.returns = 0
        """How many times a new keeper was found."""

    def look(self) -> None:
        """See now and then whether the keeper is there; if not, begin to seek one. Never waits.

        Raises `Fenced` where a keeper said that a newer life exists.
        """
        if self._fenced is not None:
            raise self._fenced
        now = time.monotonic_ns()
        if now - self._looked_ns < _LOOK_NS:
            return
        self._looked_ns = now
        channel, returning = self._channel, self._returning
        if channel is None and returning is not None and returning.is_alive():
            return
        if channel is None or not _is_quiet(channel):
            self._lose()

    def ask(
        self, message: msgspec.Struct, *, wait_seconds: float = 0.0, answer_seconds: float | None = None
    ) -> tuple[Any, list[int]]:
        """Ask the keeper. Raises what it answers with, or `KeeperUnreachable`; where the keeper is lost, a new one is
        waited for at most `wait_seconds`. An answer is waited for at most `answer_seconds`, then `TimeoutError` is
        raised."""
        deadline = time.monotonic() + wait_seconds
        while True:
            with self._lock:
                channel = self._channel
            if channel is not None:
                try:
                    return channel.ask(message, timeout=answer_seconds)
                except KeeperUnreachable:
                    self._lose()
                except GoldthreadError:
                    raise
                except BaseException:
                    # Interrupted, or too late: the answer is still to come, and would be taken for that to the next
                    # question.
                    self._lose()
                    raise
            returning = self._returning
            left = deadline - time.monotonic()
            if left <= 0:
                raise KeeperUnreachable(
                    "no keeper can be reached now", hint="it is being started again; see goldthread keeper status"
                )
            if returning is not None:
                returning.join(left)
            if self._fenced is not None:
                raise self._fenced

    def tell(self, message: msgspec.Struct) -> None:
        """Say something that nobody answers; without a keeper it is lost."""
        with contextlib.suppress(KeeperUnreachable):
            if self._channel is not None:
                self._channel.send(message)

    def close(self) -> None:
        with self._lock:
            self._closed = True
            if self._channel is not None:
                self._channel.close()
                self._channel = None

    def _lose(self) -> None:
        """Give up the connection, and begin to seek a keeper unless that is under way."""
        with self._lock:
            if self._channel is not None:
                self._channel.close()
                self._channel = None
            if self._closed or (self._returning is not None and self._returning.is_alive()):
                return
            self._returning = threading.Thread(target=self._return, name="goldthread-return", daemon=True)
            self._returning.start()

    def _return(self) -> None:
        """Seek a keeper, start one where there is none, and hand over what the life holds."""
        for pause in _RETRY_SECONDS:
            time.sleep(pause)
            try:
                channel = reach_keeper(self._home, "program")
                if not self._hand_over(channel):
                    channel.close()
                return
            except Fenced as error:
                self._fenced = error
                return
            except OtherVersion:
                return
            except (GoldthreadError, OSError):
                continue

    def _hand_over(self, channel: Channel) -> bool:
        """Return to the keeper behind `channel`; whether the connection is used from now on.

        A signal may have interrupted the start of one seeking thread and led to another: the first to come here
        is the one that counts.
        """
        with self._lock:
            if self._closed or self._channel is not None:
                return False
            pulse, slots = self._held()
            request = ReturnRequest(self._member, os.getpid(), self._epoch, tuple(index for index, _ in slots))
            channel.ask(request, [pulse, *(slot for _, slot in slots)])
            self._channel = channel
            self.returns += 1
            return True


def _is_quiet(channel: Channel) -> bool:
    """Whether the connection stands: nothing is said unasked, so what can be read is its end."""
    poll = select.poll()
    poll.register(channel.fileno(), select.POLLIN)
    return not poll.poll(0)
