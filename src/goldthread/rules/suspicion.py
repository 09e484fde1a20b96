"""Whether a partner is silent: its silence is measured against the history of its own beats.

The detector is of the accrual kind (Hayashibara and others, "The phi accrual failure detector", SRDS 2004):
`phi(t) = -log10(P(a beat comes later than t))`, where the times between beats are taken as normal with the mean and
the deviation seen lately. Two things keep it calm: silence counts only while this keeper was itself awake, so that a
keeper that was paused or starved blames itself first; and no deviation is taken to be less than the policy says.

To say so of a partner costs nothing by itself: a silent partner's members are taken over only when promise and lease
allow it (`holding.py`).
"""

from __future__ import annotations

import math
from collections import deque
from functools import lru_cache
from typing import Final

from goldthread.names import Span
from goldthread.policy import Policy
from goldthread.report import Contact

__all__ = ["Suspicion", "deviations_of"]

_BEATS_KEPT: Final = 64
_PHI_MOST: Final = 300.0


@lru_cache(maxsize=16)
def deviations_of(phi: float) -> float:
    """How many deviations beyond the mean a normal value lies with a chance of `10**-phi`."""
    low, high = -40.0, 40.0
    for _ in range(100):
        middle = (low + high) / 2
        if _phi_at(middle) < phi:
            low = middle
        else:
            high = middle
    return high


def _phi_at(deviations: float) -> float:
    chance = 0.5 * math.erfc(deviations / math.sqrt(2))
    return -math.log10(chance) if chance > 0 else _PHI_MOST


class Suspicion:
    """The beats of one partner. `awake` is the time that this keeper has been awake, as the machine counts it."""

    __slots__ = ("_gaps", "_late_after", "_policy", "_silent_after", "_square_sum", "_sum", "heard_awake")

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self.heard_awake: Span | None = None
        """None: not heard yet."""
        self.forget()

    def forget(self) -> None:
        """A link begins or ended: what was learned of its beats is over."""
        self._gaps: deque[int] = deque()
        self._sum = self._square_sum = 0
        self._learn(self._policy.beat_every)

    def expect(self, awake: Span) -> None:
        """A new keeper gives the partner until then to be heard."""
        self.heard_awake = awake

    def hear(self, awake: Span) -> None:
        """A sign of the partner came."""
        if self.heard_awake is not None:
            self._learn(max(awake - self.heard_awake, 0))
        self.heard_awake = awake

    def contact(self, awake: Span) -> Contact:
        """How lately it was heard; a partner that was never heard is silent."""
        if self.heard_awake is None:
            return Contact.SILENT
        silence = awake - self.heard_awake
        if silence <= self._late_after:
            return Contact.FRESH
        return Contact.LATE if silence <= self._silent_after else Contact.SILENT

    def explain(self, awake: Span) -> str:
        if self.heard_awake is None:
            return "it was never heard"
        silence = max(awake - self.heard_awake, 0)
        return f"not heard for {silence / 1e9:.1f} s, and a beat is due every {self._policy.beat_every / 1e9:.1f} s"

    def _learn(self, gap: int) -> None:
        """Take in one gap more, and let the oldest go."""
        gone = self._gaps.popleft() if len(self._gaps) == _BEATS_KEPT else 0
        self._gaps.append(gap)
        self._sum += gap - gone
        self._square_sum += gap * gap - gone * gone
        count = len(self._gaps)
        mean = max(self._sum / count, self._policy.beat_every / 2)
        spread = math.sqrt(max(self._square_sum / count - 2 * mean * self._sum / count + mean * mean, 0.0))
        deviation = max(spread, self._policy.beat_deviation)
        self._late_after = round(mean + deviations_of(self._policy.late_phi) * deviation)
        self._silent_after = round(mean + deviations_of(self._policy.silent_phi) * deviation)
