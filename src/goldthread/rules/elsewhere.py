"""The copies that others have: known by their word, and fetched where nothing here is as new."""

from __future__ import annotations

from typing import TYPE_CHECKING

from goldthread.names import Instant, KeeperId, Level
from goldthread.report import Contact
from goldthread.rules import bond_events, bond_orders
from goldthread.rules.choice import ChoiceState
from goldthread.rules.events import Copy
from goldthread.rules.member import AT_REST, Member
from goldthread.rules.partner import Partner

if TYPE_CHECKING:
    from goldthread.rules.bonds import Bonds

__all__ = ["fetch_newest", "is_needed", "look", "on_fetched"]


def look(bonds: Bonds, member: Member) -> None:
    """Which copies others have, by their own word."""
    found = []
    for partner in bonds.partners.values():
        fact = partner.holds(member.record.name)
        if fact is not None and fact.commit is not None and fact.origin == member.record.origin:
            own_word = member.record.held if member.record.holder == partner.id else None
            commit = fact.commit if own_word is None else max(fact.commit, own_word)
            found.append(Copy(commit, Level.HELD, 0 if member.sealed is None else member.sealed.bytes))
    member.elsewhere = tuple(found)
    _choose_again(member)
    if member.elsewhere_over is None:
        return
    holder = None if member.record.holder is None else bonds.partners.get(member.record.holder)
    if holder is None or holder.facts is not None or bonds.awake >= member.elsewhere_over:
        member.elsewhere_over = None
        if member.choice is not None:
            member.list_copies()


def _choose_again(member: Member) -> None:
    """A life that has not begun was to go on from an older commit than is heard of now: its holder was silent, and the
    life had to wait for it all the same."""
    choice, newest = member.choice, max((copy.commit for copy in member.elsewhere), default=None)
    if choice is None or choice.state is ChoiceState.LISTING or newest is None or newest.epoch > member.record.epoch:
        return
    if all(copy.commit < newest for copy in choice.copies):
        member.begin_choice()
        member.list_copies()


def fetch_newest(bonds: Bonds, member: Member) -> None:
    """A member at rest whose newest commit is only elsewhere: bring it here, for the vault."""
    record = member.record
    newest = max(member.elsewhere, key=lambda copy: copy.commit, default=None)
    if newest is None or record.phase not in AT_REST or not member.surveyed or member.lists_due:
        return
    sealed = None if member.sealed is None else member.sealed.commit
    here = max((commit for commit in (sealed, record.deposited) if commit is not None), default=None)
    if member.fetching is not None or bonds.now < member.retry_at or (here is not None and newest.commit <= here):
        return
    partner = _who_has(bonds, member, newest)
    if partner is not None:
        member.fetching = newest.commit
        member.out.append(bond_orders.MendCopy(record.name, newest.commit, (newest,), partner))


def _who_has(bonds: Bonds, member: Member, copy: Copy) -> KeeperId | None:
    """Who has this copy, among those that are heard."""
    for partner in bonds.partners.values():
        fact = partner.holds(member.record.name)
        is_heard = partner.contact(bonds.awake) is not Contact.SILENT
        if is_heard and fact is not None and fact.commit is not None:
            own_word = member.record.held if member.record.holder == partner.id else None
            if copy.commit in (fact.commit, own_word):
                return partner.id
    return None


def on_fetched(member: Member, event: bond_events.CopyMended) -> bool:
    """Whether this is the answer to what was fetched."""
    if member.fetching != event.commit:
        return False
    member.fetching = None
    if event.whole:
        member.unmendable -= {event.commit}  # Its slot here was damaged, and is whole now.
        member.sealed, member.sealed_at = Copy(event.commit, Level.SEALED, 0), None
        member.list_copies()
    else:
        member.retry_at = Instant(member.now + member.policy.hold_retry)
    return True


def is_needed(member: Member, holder: Partner | None) -> bool:
    """Whether a copy elsewhere is newer than all that the vault here has, or may be while its holder is not heard."""
    newest, deposited = member.record.newest, member.record.deposited
    if holder is not None and holder.facts is None:
        return newest is not None and (deposited is None or newest > deposited)
    return any(deposited is None or copy.commit > deposited for copy in member.elsewhere)
