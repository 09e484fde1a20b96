"""The clock of one host: it began at a moment of its own, and runs a little faster or slower than the world's."""

from __future__ import annotations

from typing import Final

from goldthread.names import Instant, Span

__all__ = ["Clock"]

_MILLION: Final = 1_000_000


class Clock:
    __slots__ = ("_ahead", "_drift")

    def __init__(self, ahead: Span = Span(0), drift: int = 0) -> None:
        """`ahead` of the world at its beginning, and gaining `drift` parts per million since."""
        self._ahead = ahead
        self._drift = drift

    def shows(self, moment: Instant) -> Instant:
        """What it shows at this moment of the world."""
        return Instant(moment + self._ahead + moment * self._drift // _MILLION)

    def moment(self, shown: Instant) -> Instant:
        """The first moment of the world at which it shows this."""
        return Instant(-((self._ahead - shown) * _MILLION // (_MILLION + self._drift)))

    def restart(self, moment: Instant, shown: Instant) -> None:
        """Its host starts anew at this moment, and it shows this."""
        self._ahead = Span(0)
        self._ahead = Span(shown - self.shows(moment))
