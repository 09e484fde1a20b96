"""Which commits are kept, where, and when they go to the vault.

In memory the newest commits of the present life are kept by its slots; those of earlier lives stay until the present
life has two of its own. In the vault a few of the newest deposits stay. What a user asked to go back to stays too.
"""

from __future__ import annotations

from collections.abc import Iterable

from goldthread.names import CommitId, Epoch, Instant, Level
from goldthread.policy import Policy
from goldthread.rules.events import Copy
from goldthread.rules.orders import Ceiling

__all__ = ["DepositSchedule", "deposits_to_keep", "is_below", "rank_copies", "slots_to_keep"]

_SLOTS_KEPT = 3
_NEARNESS = (Level.SEALED, Level.DEPOSITED, Level.HELD)


def is_below(commit: CommitId, ceiling: Ceiling | None) -> bool:
    """Whether the ceiling lets a life start from this commit."""
    return ceiling is None or commit.epoch > ceiling.epoch or commit.step < ceiling.below


def rank_copies(copies: Iterable[Copy], floor: Epoch, ceiling: Ceiling | None) -> tuple[Copy, ...]:
    """The copies that a life may start from, best first: newest commit first, memory before the vault, and the vault
    before the holder.

    A ceiling that nobody asked for is passed when nothing lies below it: then the oldest is best.
    """
    usable = [copy for copy in copies if copy.commit.epoch >= floor]
    usable.sort(key=lambda copy: (copy.commit, -_NEARNESS.index(copy.level)), reverse=True)
    below = [copy for copy in usable if is_below(copy.commit, ceiling)]
    if ceiling is None or ceiling.asked:
        return tuple(below)
    above = [copy for copy in usable if not is_below(copy.commit, ceiling)]
    above.sort(key=lambda copy: (copy.commit, _NEARNESS.index(copy.level)))
    return (*below, *above)


def slots_to_keep(copies: Iterable[Copy], chosen: CommitId) -> tuple[CommitId, ...]:
    """The commits of earlier lives that stay in memory: the chosen one, then older ones, then newer ones."""
    commits = {copy.commit for copy in copies if copy.level is Level.SEALED} | {chosen}
    older = sorted((commit for commit in commits if commit < chosen), reverse=True)
    newer = sorted(commit for commit in commits if commit > chosen)
    return (chosen, *older, *newer)[:_SLOTS_KEPT]


def deposits_to_keep(
    deposits: Iterable[CommitId], damaged: frozenset[CommitId], ceiling: Ceiling | None, most: int
) -> tuple[CommitId, ...]:
    """The newest deposit, then those that a life could start from, then the rest: `most` in all."""
    newest_first = sorted(deposits, reverse=True)
    newest_first.sort(key=lambda commit: commit in damaged)
    rest = sorted(newest_first[1:], key=lambda commit: (commit in damaged, not is_below(commit, ceiling)))
    return (*newest_first[:1], *rest)[:most]


class DepositSchedule:
    """When the newest sealed commit of one member goes to the vault. One deposit is under way at a time."""

    __slots__ = ("began", "due", "failing", "pressing", "under_way", "waiters")

    def __init__(self) -> None:
        self.under_way: CommitId | None = None
        self.due: Instant | None = None
        """When the next one may begin; None: at once."""
        self.began: Instant | None = None
        """When the last one began."""
        self.pressing = False
        """Not at the usual time but as soon as can be: the life is over, or somebody waits."""
        self.failing = False
        self.waiters: list[tuple[int, CommitId]] = []
        """Tickets, and the commit that each waits for."""

    def press(self) -> None:
        """The newest commit shall go to the vault as soon as can be."""
        self.pressing = True
        if not self.failing:
            self.due = None

    def hurry(self, policy: Policy, now: Instant) -> None:
        """What the vault does not have is in one memory only: the next one is due now, or soon where the last one is
        not long ago, since a partner may come and go."""
        if not self.failing:
            self.due = now if self.began is None else max(now, Instant(self.began + policy.deposit_retry))

    def begin(self, newest: CommitId | None, deposited: CommitId | None, policy: Policy, now: Instant) -> bool:
        """Whether a deposit of `newest` begins now; it is under way then."""
        if newest is None or (deposited is not None and newest <= deposited):
            self.pressing = False
            return False
        if self.under_way is not None:
            return False
        if self.due is None and not self.pressing:
            self.due = Instant(now + policy.deposit_every)
        if self.due is not None and now < self.due:
            return False
        self.under_way, self.began = newest, now
        self.due = Instant(now + policy.deposit_every)
        return True

    def succeed(self, deposited: CommitId) -> list[int]:
        """The one under way is done. Returns the tickets that waited for it."""
        self.under_way = None
        self.failing = False
        served = [ticket for ticket, commit in self.waiters if commit <= deposited]
        self.waiters = [(ticket, commit) for ticket, commit in self.waiters if commit > deposited]
        if self.pressing:
            self.due = None
        return served

    def fail(self, policy: Policy, now: Instant) -> list[int]:
        """The one under way failed: it is tried again later. Returns the tickets that waited."""
        self.under_way = None
        self.failing = True
        self.due = Instant(now + policy.deposit_retry)
        refused = [ticket for ticket, _ in self.waiters]
        self.waiters = []
        return refused
