"""What is read again of a member's copies, and what follows where one is damaged."""

from __future__ import annotations

from goldthread.names import CommitId, Level
from goldthread.report import AlarmLevel
from goldthread.rules import bond_events, deposits, events, orders
from goldthread.rules.bond_orders import MendCopy
from goldthread.rules.events import Copy
from goldthread.rules.member import Member

__all__ = ["check_if_due", "check_next", "check_soon", "take_carried", "take_check", "take_mended"]


def check_if_due(member: Member) -> None:
    due = member.rounds.deadline()
    if due is not None and member.now >= due:
        check_next(member)


def check_next(member: Member) -> None:
    """See which copies there are, and have one that is due read in the background, unless a life is waiting for
    copies to be read. What is on its way to the holder is read by the carrier."""
    if member.is_choosing:
        return
    copies = _copies_at_rest(member) if member.carrying is None else _deposits(member)
    copy = member.rounds.begin(copies, member.policy.check_every, member.now)
    if copy is not None:
        member.out.append(orders.CheckCopy(member.record.name, copy, background=True))


def check_soon(member: Member) -> None:
    """Its newest sealed commit was found to be damaged, by whoever read it: it is read again, and mended."""
    if member.sealed is not None:
        member.rounds.hurry(member.sealed, member.now)
        check_next(member)


def take_carried(member: Member, commit: CommitId | None) -> None:
    """Nothing is on its way to the holder any more; of this commit all was read and found whole on the way."""
    if member.sealed is not None and member.sealed.commit == commit:
        member.rounds.was_read(member.sealed, member.policy.check_every, member.now)
    check_next(member)


def take_check(member: Member, event: events.CopyChecked) -> None:
    """A copy was read, whoever asked for it. A deposit that is gone was trimmed meanwhile."""
    copy = event.copy
    was_round = member.rounds.end(copy, member.policy.check_every, member.now)
    if copy.level is Level.DEPOSITED:
        if event.whole or copy.commit in member.vault:
            deposits.take_deposit_check(member, copy.commit, event.whole, event.text)
    elif was_round and not event.whole:
        _mend(member, copy, event.text)


def take_mended(member: Member, event: bond_events.CopyMended) -> None:
    """Hear whether a commit that nobody waits for is whole again."""
    name = member.record.name
    if event.whole:
        member.alarm(AlarmLevel.NOTICE, f"{event.commit} of {name} was mended: {event.text}")
    else:
        member.alarm(AlarmLevel.WARNING, f"{event.commit} of {name} could not be mended: {event.text}")
        if not any(copy.commit == event.commit for copy in (*member.elsewhere, *_deposits(member))):
            member.unmendable |= {event.commit}
            member.list_copies()


def _copies_at_rest(member: Member) -> tuple[Copy, ...]:
    """The newest sealed commit, and every deposit."""
    sealed = () if member.sealed is None else (member.sealed,)
    return (*sealed, *_deposits(member))


def _deposits(member: Member) -> tuple[Copy, ...]:
    return tuple(Copy(commit, Level.DEPOSITED, 0) for commit in sorted(member.vault))


def _mend(member: Member, copy: Copy, text: str) -> None:
    """A sealed commit is damaged in memory: it is mended from whatever there is, while there is something."""
    name, commit = member.record.name, copy.commit
    others = {other.level: other for other in (*member.elsewhere, *_copies_at_rest(member)) if other.commit == commit}
    if member.record.held == commit:
        others[Level.HELD] = Copy(commit, Level.HELD, copy.bytes)
    others.pop(copy.level, None)
    member.alarm(AlarmLevel.WARNING, f"{commit} of {name} is damaged in memory: {text}")
    member.out.append(MendCopy(name, commit, (copy, *others.values()), member.record.holder))
