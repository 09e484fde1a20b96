"""From which copy a new life starts: the best one that is whole.

Copies are listed, ranked, and checked one after the other, while the program is still busy with its imports. The
first whole one is chosen. If a commit should be there and none is whole, the choice has failed: a life that starts
over without being told to would hide the loss.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum

from goldthread.names import CommitId, Epoch, Level
from goldthread.rules.events import Copy
from goldthread.rules.orders import Ceiling
from goldthread.rules.retention import is_below, rank_copies

__all__ = ["Choice", "ChoiceState"]

_CHECKED_MOST = 64
"""More copies than that are not tried; a member has a handful."""


class ChoiceState(Enum):
    LISTING = "listing"
    CHECKING = "checking"
    MENDING = "mending"
    """No single copy of the commit is whole here: one is made from all that there are."""
    SETTLED = "settled"
    FAILED = "failed"


class Choice:
    """The choice for one life. `known` is the newest commit that the member is known to have made."""

    __slots__ = ("_candidates", "_ceiling", "_floor", "copies", "damage", "known", "mended", "state", "trying")

    def __init__(self, floor: Epoch, ceiling: Ceiling | None, known: CommitId | None) -> None:
        self._floor = floor
        self._ceiling = ceiling
        self.known = known if known is not None and known.epoch >= floor else None
        self.state = ChoiceState.LISTING
        self.copies: tuple[Copy, ...] = ()
        self._candidates: tuple[Copy, ...] = ()
        self.trying: Copy | None = None
        """The copy to check next; once settled, the chosen one, or None for a first life."""
        self.damage: list[str] = []
        """What was found damaged, in words."""
        self.mended = ""
        """What was mended from where, in words."""

    def take_list(self, copies: Iterable[Copy]) -> None:
        self.copies = tuple(copies)
        self._candidates = rank_copies(self.copies, self._floor, self._ceiling)[:_CHECKED_MOST]
        usable = [copy.commit for copy in self.copies if copy.commit.epoch >= self._floor]
        if usable and (self.known is None or max(usable) > self.known):
            self.known = max(usable)
        self._try_next()

    def take_check(self, whole: bool, text: str) -> None:
        """Hear whether the copy that was tried is whole."""
        tried = self.trying
        if whole or tried is None:
            self.state = ChoiceState.SETTLED
            return
        self.damage.append(f"{_name(tried)} is damaged ({text})")
        is_last = all(copy.commit != tried.commit or copy.level is Level.HELD for copy in self._candidates)
        if is_last and len(self.copies_of(tried.commit)) > 1:
            self.state = ChoiceState.MENDING
        else:
            self._try_next()

    def take_mended(self, whole: bool, text: str) -> None:
        """Hear whether the commit could be made whole in memory."""
        tried = self.trying
        if tried is None:
            return
        if whole:
            self.trying = Copy(tried.commit, Level.SEALED, tried.bytes)
            self.mended = text
            self.state = ChoiceState.SETTLED
            return
        self.damage.append(f"{tried.commit} could not be mended ({text})")
        self._candidates = tuple(copy for copy in self._candidates if copy.commit != tried.commit)
        self._try_next()

    def copies_of(self, commit: CommitId) -> tuple[Copy, ...]:
        """Every copy of a commit; the one in memory first."""
        found = [copy for copy in self.copies if copy.commit == commit]
        return tuple(sorted(found, key=lambda copy: copy.level is not Level.SEALED))

    def remark(self) -> str:
        """What is to be said of the commits that were passed over; empty where there were none."""
        chosen = self.trying
        remarks = list(self.damage)
        if self.mended:
            remarks.append(self.mended)
        if chosen is None:
            return "; ".join(remarks)
        if self._ceiling is not None and self.known is not None and not is_below(self.known, self._ceiling):
            remarks.insert(0, self._ceiling.reason)
            if not is_below(chosen.commit, self._ceiling):
                remarks.append("no older commit is whole, so the oldest there is is used")
        if self.is_lost():
            remarks.append(f"{self.known} was sealed and no copy of it is left")
        return "; ".join(remarks)

    def is_lost(self) -> bool:
        """Whether the newest commit that is known of might have been used and was not even found."""
        known = self.known
        if known is None or not is_below(known, self._ceiling):
            return False
        return all(copy.commit != known for copy in self.copies)

    def _try_next(self) -> None:
        if self._candidates:
            self.trying, self._candidates = self._candidates[0], self._candidates[1:]
            is_elsewhere = self.trying.level is Level.HELD
            self.state = ChoiceState.MENDING if is_elsewhere else ChoiceState.CHECKING
        else:
            self.trying = None
            self.state = ChoiceState.SETTLED if self.known is None else ChoiceState.FAILED


def _name(copy: Copy) -> str:
    where = {Level.SEALED: "in memory", Level.HELD: "at the holder", Level.DEPOSITED: "in the vault"}
    return f"{copy.commit} {where[copy.level]}"
