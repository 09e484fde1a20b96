"""Whether a program is stuck: its silence is measured against its own history.

A program shows progress by beats. The longest silence that turned out to be no hang is what its history explains,
and only a silence many times longer is judged. Two things keep the judgement calm: silence counts only while the
keeper itself was awake (a keeper or a machine that was paused blames itself first), and a life is not judged before
it has restored and made a few beats, since imports and first steps may take as long as they take.

Rejected: a fixed timeout, which is too long for one program and too short for the next; and a statistical detector
(phi accrual), whose answer cannot be said in one sentence to the user whose program it kills.
"""

from __future__ import annotations

from goldthread.names import Instant, Span, Step
from goldthread.policy import Policy
from goldthread.report import Vitals
from goldthread.rules.events import ProgramBeat

__all__ = ["AWAKE_TICKS", "Detector"]

AWAKE_TICKS = 3
"""Of the time between two events at most so many ticks count as time that the keeper was awake."""

_GROWN = 1.25


class Detector:
    """The signs of one life. `awake` is the time that the keeper has been awake, as the machine counts it."""

    __slots__ = (
        "_floor", "_policy", "_slow_after", "_stuck_after",
        "beat_at", "first_beat_at", "gap", "heard_awake", "known_gap", "ready", "step", "unsealed",
    )  # fmt: skip

    def __init__(self, policy: Policy, floor: Span | None, gap: Span, awake: Span) -> None:
        self._policy = policy
        self._floor = policy.hang_floor if floor is None else floor
        self.ready = False
        self.heard_awake = awake
        self.beat_at: Instant | None = None
        self.first_beat_at: Instant | None = None
        self.step: Step | None = None
        self.unsealed = 0
        self.known_gap = gap
        self._learn(gap)

    def take(self, beat: ProgramBeat, now: Instant, awake: Span) -> bool:
        """Hear a beat. Returns whether the longest gap grew enough to be worth remembering."""
        observed = awake - self.heard_awake
        explained = beat.gap if self.gap == 0 else min(beat.gap, observed)
        self.heard_awake = awake
        self.beat_at = beat.at or now
        self.step = beat.step
        self.unsealed = beat.unsealed
        if beat.first_beat_at is not None:
            self.first_beat_at = beat.first_beat_at
            self.ready = beat.beats >= self._policy.hang_beats
        if explained > self.gap:
            self._learn(Span(explained))
        if self.gap <= self.known_gap * _GROWN or self.gap * self._policy.hang_factor <= self._floor:
            return False
        self.known_gap = self.gap
        return True

    def excuse(self, awake: Span) -> None:
        """What was not heard until now says nothing of the program."""
        self.heard_awake = awake

    def silence(self, awake: Span) -> Span:
        return Span(awake - self.heard_awake)

    def judge(self, awake: Span) -> Vitals:
        """`WELL`, `SLOW` or `STUCK`."""
        silence = awake - self.heard_awake
        if silence <= self._slow_after or not self.ready:
            return Vitals.WELL
        return Vitals.STUCK if silence > self._stuck_after else Vitals.SLOW

    def explain(self, awake: Span) -> str:
        return f"no beat for {self.silence(awake) / 1e9:.1f} s; the longest gap before was {self.gap / 1e9:.1f} s"

    def _learn(self, gap: Span) -> None:
        self.gap = gap
        policy = self._policy
        self._slow_after = max(round(policy.slow_factor * gap), 2 * AWAKE_TICKS * policy.tick)
        self._stuck_after = max(self._floor, round(policy.hang_factor * gap))
