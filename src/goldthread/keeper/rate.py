"""A rate that is kept: so many bytes a second, with short bursts."""

from __future__ import annotations

import threading
from typing import Final

from goldthread.names import Instant, Span, seconds

__all__ = ["Rate"]

_BURST_SECONDS: Final = 0.1
"""What was not used is saved up for so long."""
_PIECE_SECONDS: Final = 0.05
"""So long a piece takes: nobody on the other side is to hear nothing for long, also where many share a small rate."""


class Rate:
    """Shared by all that goes one way. Each one takes its bytes and waits until they are due."""

    def __init__(self, bytes_per_second: int) -> None:
        """0: no limit."""
        self.bytes_per_second = bytes_per_second
        self._due = Instant(0)
        """When all that was taken so far is due."""
        self._lock = threading.Lock()

    def piece(self, rest: memoryview) -> memoryview:
        """Its beginning, as much as goes at a time."""
        return rest[: round(self.bytes_per_second * _PIECE_SECONDS) + 1] if self.bytes_per_second else rest

    def wait_ns(self, count: int, now: Instant) -> Span:
        """Take so many bytes; how long to wait before they may go."""
        if self.bytes_per_second == 0:
            return Span(0)
        with self._lock:
            begin = max(self._due, now - seconds(_BURST_SECONDS))
            self._due = Instant(begin + seconds(count / self.bytes_per_second))
            return Span(max(begin - now, 0))
