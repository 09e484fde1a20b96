"""The keeper's door: who may come in, and what they say.

Only the keeper's own user (and root) is let in: the socket's mode says so, and the kernel's word about the peer is
checked as well. Every connection begins with `Hello`; one that speaks another protocol is told so in a message that
every version can read.
"""

from __future__ import annotations

import os
import socket
import struct
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec

from goldthread.errors import GoldthreadError, KeeperError
from goldthread.keeper.loop import Loop
from goldthread.local import Home, Wire, door_address
from goldthread.names import milliseconds
from goldthread.version import VERSION
from goldthread.wire.codec import encode
from goldthread.wire.messages import PROTOCOL, Hello, Refused, ToKeeper

__all__ = ["Connection", "Door"]

_BACKLOG_BYTES_MOST: Final = 256 << 20
"""What a client does not read is kept to this limit; then it is let go."""
_WAITING_MOST: Final = 128
_PAUSE: Final = milliseconds(200)


Heard = Callable[["Connection", Any, list[int]], None]
"""Called with each message. The descriptors belong to the one who is called, unless a `GoldthreadError` is raised:
that is answered by `Refused`."""
Gone = Callable[["Connection"], None]


class Connection:
    """One client. Sending never waits: what the socket does not take is sent when it will."""

    def __init__(self, stream: socket.socket, loop: Loop, heard: Heard, gone: Gone) -> None:
        stream.setblocking(False)
        self._wire = Wire(stream, ToKeeper)
        self._loop = loop
        self._heard = heard
        self._gone = gone
        self._rest: deque[tuple[bytes, tuple[int, ...]]] = deque()
        self._rest_bytes = 0
        self.role = ""
        self.open = True
        loop.watch(stream.fileno(), self._on_ready)

    def send(self, message: msgspec.Struct, descriptors: Sequence[int] = ()) -> None:
        """Descriptors are sent as duplicates; the caller may close its own at once."""
        if not self.open:
            return
        self._rest.append((encode(message, len(descriptors)), tuple(os.dup(one) for one in descriptors)))
        self._rest_bytes += len(self._rest[-1][0])
        if self._rest_bytes > _BACKLOG_BYTES_MOST:
            self.close()
            return
        self.flush()

    def refuse(self, error: GoldthreadError) -> None:
        self.send(Refused(type(error).__name__, str(error), error.hint))

    def flush(self) -> None:
        """Send what can be sent now."""
        while self._rest:
            frame, descriptors = self._rest[0]
            try:
                if descriptors:
                    sent = socket.send_fds(self._wire.stream, [frame], list(descriptors))
                else:
                    sent = self._wire.stream.send(frame)
            except BlockingIOError:
                break
            except OSError:
                self.close()
                return
            _close_all(descriptors)
            self._rest_bytes -= sent
            if sent < len(frame):
                self._rest[0] = (frame[sent:], ())
            else:
                self._rest.popleft()
        self._loop.watch(self._wire.stream.fileno(), self._on_ready, writing=bool(self._rest))

    def _on_ready(self) -> None:
        if self._rest:
            self.flush()
        try:
            messages = self._wire.receive() if self.open else []
        except BlockingIOError:
            return
        except (EOFError, OSError, KeeperError):
            self.close()
            return
        for message, descriptors in messages:
            self._take(message, descriptors)

    def _take(self, message: Any, descriptors: list[int]) -> None:
        try:
            if isinstance(message, Hello):
                self._greet(message)
            elif not self.role:
                raise KeeperError("the first word on a connection must be Hello")
            else:
                self._heard(self, message, descriptors)
        except GoldthreadError as error:
            _close_all(descriptors)
            self.refuse(error)

    def _greet(self, hello: Hello) -> None:
        self.send(Hello(PROTOCOL, VERSION, "keeper"))
        if hello.protocol == PROTOCOL:
            self.role = hello.role

    def close(self) -> None:
        if not self.open:
            return
        self.open = False
        self._loop.unwatch(self._wire.stream.fileno())
        for _, descriptors in self._rest:
            _close_all(descriptors)
        self._rest.clear()
        self._wire.close()
        self._gone(self)


class Door:
    """Listens, and makes a `Connection` of each client that may come in."""

    def __init__(self, home: Home, loop: Loop, heard: Heard, gone: Gone) -> None:
        self._home = home
        self._loop = loop
        self._heard = heard
        self._gone = gone
        self._stream = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)

    def open(self) -> None:
        """Begin to listen. Only one keeper gets here (it holds the home's lock), so an old door may be removed."""
        home = self._home
        home.door.unlink(missing_ok=True)
        address, folder = door_address(home)
        before = os.umask(0o177)
        try:
            self._stream.bind(address)
        finally:
            os.umask(before)
            if folder is not None:
                os.close(folder)
        self._stream.listen(_WAITING_MOST)
        self._stream.setblocking(False)
        self._loop.watch(self._stream.fileno(), self._let_in)

    def close(self) -> None:
        self._loop.unwatch(self._stream.fileno())
        self._stream.close()
        self._home.door.unlink(missing_ok=True)

    def _let_in(self) -> None:
        try:
            stream, _ = self._stream.accept()
        except OSError:
            # It went away again, or no descriptor is left for it. The others are served first.
            self._loop.unwatch(self._stream.fileno())
            self._loop.after(_PAUSE, lambda: self._loop.watch(self._stream.fileno(), self._let_in))
            return
        if _peer_user(stream) not in (0, os.getuid()):
            stream.close()
            return
        Connection(stream, self._loop, self._heard, self._gone)


def _close_all(descriptors: Sequence[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)


def _peer_user(stream: socket.socket) -> int:
    """The user at the other end, as the kernel says."""
    _, user, _ = struct.unpack("3i", stream.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    return int(user)
