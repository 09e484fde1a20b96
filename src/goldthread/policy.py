"""Every number that a decision uses, with its unit, in one place; unsafe combinations are refused.

Times are spans in nanoseconds. A policy is frozen: a keeper reads it once, from `config.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from goldthread.errors import UsageError
from goldthread.names import Span, milliseconds, seconds

__all__ = ["PRESETS", "Budget", "Policy"]


class Budget(msgspec.Struct, frozen=True):
    """How often a member may be restarted: at most `restarts` times within any `period`."""

    restarts: int = 5
    period: Span = seconds(600)

    def __post_init__(self) -> None:
        if self.restarts < 0 or self.period <= 0:
            text = "a restart budget needs a count of 0 or more and a period above 0"
            raise UsageError(text, hint="5/10min: five restarts within any ten minutes; 0: none at all")

    def __str__(self) -> str:
        return f"{self.restarts} in {self.period / seconds(60):g} min"


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """All numbers of one keeper.

    Relations that must hold: `tick < hang_floor`, `restart_delay <= restart_delay_most`,
    `deposit_retry <= deposit_every`, `vault_keep >= 2` (the newest is never overwritten before a newer one is whole),
    `3 beat_every <= promise` and `3 lease_every <= lease` (one lost message stops nobody).
    """

    tick: Span = milliseconds(100)
    """How often the keeper looks at the pulse of a running program."""

    slow_factor: float = 3.0
    """A program is slow when its silence exceeds this many times the longest gap seen lately."""

    hang_factor: float = 10.0
    """A program is stuck when its silence exceeds this many times the longest gap seen lately ..."""

    hang_floor: Span = seconds(60)
    """... but never before this much silence."""

    hang_beats: int = 3
    """Before so many beats a life is not judged: imports and first steps may take as long as they take."""

    stacks_wait: Span = seconds(2)
    """How long to wait for the stacks of a stuck program before it is ended."""

    stop_grace: Span = seconds(30)
    """How long a program may take to end after it was asked to stop, before it is killed."""

    budget: Budget = Budget()
    """The default restart budget of `goldthread run`."""

    restart_delay: Span = seconds(1)
    """The delay after the second death in a row that brought no new commit; it doubles from there."""

    restart_delay_most: Span = seconds(60)
    """Where it stops doubling."""

    return_grace: Span = seconds(3)
    """How long a new keeper waits for the shim or the program of a life that the journal says was running."""

    deposit_every: Span = seconds(300)
    """How often the newest commit goes to the vault, when it changed."""

    deposit_retry: Span = seconds(30)
    """The wait after a failed deposit."""

    vault_keep: int = 3
    """Commits kept in the vault for each member."""

    vault_free_bytes: int = 256 << 20
    """A deposit that would leave less than this free on the disk is refused."""

    check_share: float = 0.1
    """The share of one core's time that the background check of copies may take."""

    check_every: Span = seconds(600)
    """How often a copy at rest is read again, so that damage is found while other copies are whole."""

    slots_per_member: int = 3
    """Newest, being written, being read. One more is made where two are read for long."""

    memory_free_bytes: int = 256 << 20
    """A slot that would leave less than this much memory available is refused."""

    beat_every: Span = milliseconds(200)
    """How often a keeper sends a beat to each partner."""

    silent_phi: float = 8.0
    """A partner is silent when its silence has a chance of 1 in 10**phi, by the history of its beats ..."""

    late_phi: float = 2.0
    """... and late from this phi on."""

    beat_deviation: Span = milliseconds(100)
    """The least standard deviation that the beats of a partner are credited with."""

    promise: Span = milliseconds(2200)
    """How long a holder promises, with each answer to a beat, not to take over."""

    lease: Span = milliseconds(2200)
    """How long a lease vouches for a life after its last renewal was sent."""

    lease_every: Span = milliseconds(400)
    """How often a lease is renewed, and how often a challenger looks at it."""

    lease_answer: Span = seconds(1)
    """A lease store that has not answered by then is out of reach."""

    clock_margin: Span = milliseconds(150)
    """What a challenger waits beyond every promise and lease, for clocks that run at different rates."""

    freeze_most: Span = seconds(30)
    """How long a life that nobody vouches for stays stopped before it is ended."""

    partner_grace: Span = seconds(10)
    """How long a silent partner is waited for before its members seek another holder."""

    seek_every: Span = seconds(5)
    """How often a keeper without a partner looks for one in its circle."""

    hold_retry: Span = seconds(2)
    """The wait after a copy could not be sent to the holder."""

    def __post_init__(self) -> None:
        self._refuse_unless(0 < self.tick < self.hang_floor, "tick must be above 0 and below hang_floor")
        self._refuse_unless(1 <= self.slow_factor <= self.hang_factor, "1 <= slow_factor <= hang_factor must hold")
        self._refuse_unless(self.hang_beats >= 1, "hang_beats must be 1 or more")
        self._refuse_unless(
            0 < self.restart_delay <= self.restart_delay_most,
            "restart_delay must be above 0, at most restart_delay_most",
        )
        self._refuse_unless(
            0 < self.deposit_retry <= self.deposit_every,
            "deposit_retry must be above 0 and at most deposit_every",
        )
        self._refuse_unless(self.vault_keep >= 2, "vault_keep must be 2 or more")
        self._refuse_unless(self.slots_per_member >= 2, "slots_per_member must be 2 or more")
        self._refuse_unless(0 < self.check_share <= 1, "check_share must be above 0 and at most 1")
        self._refuse_unless(self.check_every > 0, "check_every must be above 0")
        self._refuse_unless(0 < 3 * self.beat_every <= self.promise, "promise must be at least three times beat_every")
        self._refuse_unless(0 < 3 * self.lease_every <= self.lease, "lease must be at least three times lease_every")
        self._refuse_unless(0 < self.late_phi < self.silent_phi, "late_phi must be above 0 and below silent_phi")
        self._refuse_unless(self.seek_every >= seconds(2), "seek_every must be 2 s or more: a look takes one")
        self._refuse_unless(self.clock_margin > 0, "clock_margin must be above 0")

    @staticmethod
    def _refuse_unless(holds: bool, sentence: str) -> None:
        if not holds:
            raise UsageError(f"the policy is unsafe: {sentence}")


PRESETS: Final[Mapping[str, Mapping[str, Span]]] = {
    "fast": {
        "beat_every": milliseconds(50),
        "beat_deviation": milliseconds(50),
        "promise": milliseconds(450),
        "lease": milliseconds(450),
        "lease_every": milliseconds(120),
        "lease_answer": milliseconds(300),
        "clock_margin": milliseconds(50),
    },
}
"""Numbers that go together, under one name. `fast`: a lost host is taken over within a second; for hosts that are close
to each other and to their lease store."""
