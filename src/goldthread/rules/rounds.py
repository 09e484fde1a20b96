"""When copies are read again.

Memory and disks forget in silence, and a copy that nobody reads is whole only by belief: when the next life wants it,
its chunks may be damaged here and gone elsewhere. So every copy that lies at rest is read from time to time, while
others are whole and can mend it. One is read at a time; how much of a core that takes is bounded by the hands.

A commit that was just sealed is read soon; one that goes to a holder, on its way there. What was deposited was checked
chunk by chunk on its way, so it is read for the first time when a whole span has gone by.
"""

from __future__ import annotations

from collections.abc import Iterable

from goldthread.names import CommitId, Instant, Level, Span
from goldthread.rules.events import Copy

__all__ = ["Rounds"]

_Key = tuple[CommitId, Level]


class Rounds:
    """Which copies of one member were read when."""

    __slots__ = ("_due", "under_way")

    def __init__(self) -> None:
        self._due: dict[_Key, Instant] = {}
        self.under_way: Copy | None = None

    def begin(self, copies: Iterable[Copy], every: Span, now: Instant) -> Copy | None:
        """The copy that is read now, of those at rest; None where none is due, or one is being read."""
        present = {(copy.commit, copy.level): copy for copy in copies}
        later = Instant(now + every)
        self._due = {
            key: self._due.get(key, now if copy.level is Level.SEALED else later) for key, copy in present.items()
        }
        if self.under_way is not None or not self._due:
            return None
        first = min(self._due, key=lambda key: self._due[key])
        if self._due[first] > now:
            return None
        self.under_way = present[first]
        return self.under_way

    def hurry(self, copy: Copy, now: Instant) -> None:
        """This copy is to be read next."""
        self._due[copy.commit, copy.level] = now

    def was_read(self, copy: Copy, every: Span, now: Instant) -> None:
        """This copy was read by somebody else, all of it."""
        self._due[copy.commit, copy.level] = Instant(now + every)

    def end(self, copy: Copy, every: Span, now: Instant) -> bool:
        """A copy was read, whoever asked for it; whether it is the one that was under way."""
        key = copy.commit, copy.level
        if key in self._due:
            self._due[key] = Instant(now + every)
        was_ours = self.under_way is not None and (self.under_way.commit, self.under_way.level) == key
        if was_ours:
            self.under_way = None
        return was_ours

    def deadline(self) -> Instant | None:
        """When the next one is due; None while one is being read."""
        return None if self.under_way is not None else min(self._due.values(), default=None)
