"""Who has come to a carrier: so many at most, and few that have proved nothing."""

from __future__ import annotations

import socket
import threading
from collections import Counter
from contextlib import suppress
from typing import Final

__all__ = ["Guests"]

_MOST: Final = 512
"""Each has a thread."""
_UNPROVED_MOST: Final = 32
"""Of a crowd from one host the oldest goes first: a partner proves its key in a moment."""


class Guests:
    """For any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._count = 0
        self._unproved: dict[socket.socket, str] = {}
        """Oldest first, and from where."""

    def come(self, stream: socket.socket) -> bool:
        """Whether there is room for one more. Somebody else may be shown the door for it."""
        try:
            host = str(stream.getpeername()[0])
        except OSError:
            return False  # It went away again.
        with self._lock:
            if self._count == _MOST:
                return False
            self._count += 1
            self._unproved[stream] = host
            if len(self._unproved) > _UNPROVED_MOST:
                crowd = Counter(self._unproved.values()).most_common(1)[0][0]
                oldest = next(one for one, of in self._unproved.items() if of == crowd)
                del self._unproved[oldest]
                with suppress(OSError):
                    oldest.shutdown(socket.SHUT_RDWR)
        return True

    def prove(self, stream: socket.socket) -> None:
        """It has proved a pinned key."""
        with self._lock:
            self._unproved.pop(stream, None)

    def go(self, stream: socket.socket) -> None:
        with self._lock:
            self._unproved.pop(stream, None)
            self._count -= 1
