"""Reach an address: find what its name stands for, and connect. Nothing waits; a resolver gets a thread of its own."""

from __future__ import annotations

import errno
import os
import socket
import threading
from collections import deque
from collections.abc import Callable
from typing import Any, Final

from goldthread.errors import PartnerUnreachable, UsageError
from goldthread.keeper.loop import Loop
from goldthread.names import milliseconds
from goldthread.wire.addresses import parse_address

__all__ = ["Dial"]

_CONNECT: Final = milliseconds(1500)
"""A host of a network that is cut does not answer at all."""

_lookups = threading.BoundedSemaphore(8)
"""A resolver may take half a minute to say that it found nothing; no more than these wait for it."""

_Place = tuple[socket.AddressFamily, tuple[Any, ...]]


class Dial:
    """One attempt at one address: then `reached` is called with the socket, or `failed`."""

    def __init__(
        self,
        loop: Loop,
        address: str,
        reached: Callable[[socket.socket], None],
        failed: Callable[[PartnerUnreachable], None],
    ) -> None:
        self._loop = loop
        self._address = address
        self._reached = reached
        self._failed = failed
        self._open = True
        self._stream: socket.socket | None = None
        self._places: deque[_Place] = deque()
        loop.after(_CONNECT, lambda: self._fail("no answer"))
        try:
            host, port = parse_address(address)
            self._try_all(_places(host, port, socket.AI_NUMERICHOST))
        except UsageError:
            self._try_next("no address")
        except socket.gaierror:
            if not _lookups.acquire(blocking=False):
                self._try_next("too many names are being looked up")
                return
            threading.Thread(target=self._resolve, args=(host, port), name="goldthread-name", daemon=True).start()

    def cancel(self) -> None:
        """Neither `reached` nor `failed` is called any more."""
        self._open = False
        self._drop()

    def _resolve(self, host: str, port: int) -> None:
        """In the thread of its own."""
        try:
            places = _places(host, port, 0)
        except (OSError, UnicodeError) as error:
            text = f"the name {host} cannot be found: {error}"
            self._loop.from_thread(lambda: self._fail(text))
        else:
            self._loop.from_thread(lambda: self._try_all(places))
        finally:
            _lookups.release()

    def _try_all(self, places: list[_Place]) -> None:
        self._places.extend(places)
        self._try_next("the name stands for no address")

    def _try_next(self, reason: str) -> None:
        self._drop()
        if not self._open:
            return
        if not self._places:
            # Not at once: whoever dials is not called back before it knows that it dials.
            self._loop.from_thread(lambda: self._fail(reason))
            return
        family, place = self._places.popleft()
        try:
            self._stream = socket.socket(family, socket.SOCK_STREAM)
            self._stream.setblocking(False)
            fault = self._stream.connect_ex(place)
        except OSError as error:
            fault = error.errno or errno.EIO
        if self._stream is not None and fault in (0, errno.EINPROGRESS):
            self._loop.watch(self._stream.fileno(), self._look, writing=True)
        else:
            self._try_next(os.strerror(fault))

    def _look(self) -> None:
        stream = self._stream
        if stream is None:
            return
        fault = stream.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if fault:
            self._try_next(os.strerror(fault))
            return
        self._loop.unwatch(stream.fileno())
        self._stream, self._open = None, False
        self._reached(stream)

    def _fail(self, reason: str) -> None:
        if self._open:
            self.cancel()
            self._failed(PartnerUnreachable(f"{self._address}: {reason}"))

    def _drop(self) -> None:
        if self._stream is not None:
            self._loop.unwatch(self._stream.fileno())
            self._stream.close()
            self._stream = None


def _places(host: str, port: int, flags: int) -> list[_Place]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=flags)
    return [(family, place) for family, _, _, _, place in found]
