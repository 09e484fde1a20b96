"""The holder's side of a bond: what is held for a partner, and whether it may be taken over.

    INVITED -> SYNCING -> BONDED -> DOUBTING -> CLAIMING, then owner under a higher epoch, or back to BONDED

A member is taken over only where its owner has given it up; or where its owner is silent, this keeper's own promise
has run out, and (by the guard that the owner told of) the lease was won; or where a person says so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from goldthread.names import CommitId, Epoch, MemberName
from goldthread.report import AlarmLevel, Contact, Guard, HolderState, Phase
from goldthread.rules import bond_events, bond_orders, claiming, orders, takeover
from goldthread.rules.bond_orders import HeldRecord
from goldthread.rules.held import SLOTS_HELD, Held, lack_of_room, move, say_once
from goldthread.rules.member import Member
from goldthread.rules.partner import Partner
from goldthread.terms import Consent
from goldthread.wire.bonds import OwnedFact, YieldedFact

if TYPE_CHECKING:
    from goldthread.rules.bonds import Bonds

__all__ = ["consider", "drop", "hear", "hear_yielded", "lose_copy", "newer_life", "on_gone", "on_landed", "promised"]

_GRAIN: Final = 64 << 10
"""A copy takes memory in steps of so many bytes."""
_ELSEWHERE: Final = frozenset({Phase.ABSENT, Phase.AWAY})
"""What this keeper knows of a member that is another's, or nobody's."""


# What the owner says


def hear(bonds: Bonds, partner: Partner, fact: OwnedFact) -> None:
    """The partner told of a member that it owns."""
    partner.refused.pop(fact.member, None)
    own = bonds.members.get(fact.member)
    held = bonds.helds.get((partner.id, fact.member))
    reason = _why_not(bonds, partner, fact) or _why_over(bonds, partner, fact)
    if held is not None and held.record.origin == fact.origin and fact.epoch >= held.record.epoch:
        _learn(bonds, held, fact)  # Refused or not: what the owner said last of its guard binds.
    if reason:
        if fact.hold:
            partner.refused[fact.member] = reason
        return
    if own is not None and own.record.phase not in _ELSEWHERE:
        if not fact.begun:
            return
        bonds.meet_newer(own, partner, fact.epoch)
    if own is not None and own.record.phase is Phase.AWAY and fact.begun:
        _hear_of_owner(own, partner, fact)
    if held is not None and fact.epoch < held.record.epoch:
        return
    if not fact.hold:
        if held is not None and held.record.state is not HolderState.CLAIMING:
            drop(bonds, held)
        return
    if held is None:
        _learn(bonds, _invite(bonds, partner, fact), fact)


def _hear_of_owner(own: Member, partner: Partner, fact: OwnedFact) -> None:
    """A member that went away from here is the partner's, by its own word: it need not be told so any more."""
    record, is_said = own.record, own.record.holder == partner.id
    if fact.epoch > record.epoch or (fact.epoch == record.epoch and is_said):
        reason = f"life {fact.epoch} of {fact.member} is {partner.name}'s"
        holder = None if is_said else record.holder
        own.persist(epoch=fact.epoch, started=fact.epoch, reason=reason, holder=holder)


def hear_yielded(bonds: Bonds, partner: Partner, fact: YieldedFact) -> None:
    """The partner says that the newest life of a member is this keeper's, by the lease store. Then it may begin."""
    held = bonds.helds.get((partner.id, fact.member))
    if held is None or held.record.origin != fact.origin or fact.epoch < held.record.epoch or held.record.given_up:
        return
    held.record = msgspec.structs.replace(held.record, given_up=True, guard=Guard.LEASE)
    bonds.out.append(orders.Persist(held.record))


def _why_not(bonds: Bonds, partner: Partner, fact: OwnedFact) -> str:
    """Why the copy of a member may not be here; empty where it may."""
    own = bonds.members.get(fact.member)
    if own is not None and own.record.phase is not Phase.ABSENT and own.record.origin != fact.origin:
        return f"another member named {fact.member} lives on {bonds.name}: rename one of the two"
    if own is not None and own.record.phase not in _ELSEWHERE and not _yields(bonds, own, partner, fact):
        return f"life {own.record.begun} of {fact.member} is {bonds.name}'s"
    if newer := newer_life(own, fact):
        return newer
    for (holder_for, name), other in bonds.helds.items():
        if name != fact.member or holder_for == partner.id:
            continue
        if other.record.origin != fact.origin:
            return f"another member named {fact.member} is held here for {bonds.name_of(holder_for)}"
        if other.record.epoch >= fact.epoch:
            return f"life {other.record.epoch} of {fact.member} is {bonds.name_of(holder_for)}'s, by what is known here"
    if newer := _newer_elsewhere(bonds, partner, fact):
        return newer
    most = _bytes_most(bonds, partner, bonds.helds.get((partner.id, fact.member)), fact.member)
    if fact.hold and fact.bytes > most:
        return lack_of_room(SLOTS_HELD * fact.bytes, SLOTS_HELD * most)
    return ""


def _bytes_most(bonds: Bonds, partner: Partner, held: Held | None, member: MemberName) -> int:
    """How large a commit of a member may be. What is held stays when the terms shrink, and is kept up to date."""
    kept = 0 if held is None or held.record.commit is None else -(-held.record.bytes // _GRAIN) * _GRAIN
    return max(bonds.room_for(partner, but=member) // SLOTS_HELD, kept)


def _yields(bonds: Bonds, own: Member, partner: Partner, fact: OwnedFact) -> bool:
    """Whether a life here makes way for the partner's: for a newer one. Of two under one number, which only a person's
    error can bring about, that of the member's origin makes way, else that of the greater id."""
    record = own.record
    if record.begun != fact.epoch or not fact.begun:
        return fact.epoch > record.begun
    return record.origin == bonds.me or (record.origin != partner.id and bonds.me > partner.id)


def newer_life(own: Member | None, fact: OwnedFact | HeldRecord) -> str:
    """That a member which went away from here lives on, by what is known, in a newer life than its owner told of;
    empty where it does not."""
    if own is None or own.record.phase is not Phase.AWAY or own.record.origin != fact.origin:
        return ""
    is_newer = own.record.epoch > fact.epoch
    return f"a newer life of {fact.member} than {fact.epoch} has begun elsewhere" if is_newer else ""


def _newer_elsewhere(bonds: Bonds, partner: Partner, fact: OwnedFact | HeldRecord) -> str:
    """Another partner has a newer life of it, by its own word, though nothing of that is held here: it may have ended,
    or be held by another keeper."""
    for other in bonds.partners.values():
        told = None if other is partner else other.owns(fact.member)
        if told is not None and told.origin == fact.origin and told.begun and told.epoch > fact.epoch:
            return f"life {told.epoch} of {fact.member} is {other.name}'s, by its own word"
    return ""


def _newest_known(bonds: Bonds, record: HeldRecord) -> Epoch:
    """The newest life of what is held that this keeper knows of, whoever runs it."""
    away = bonds.members.get(record.member)
    told = [partner.owns(record.member) for partner in bonds.partners.values()]
    others = [fact.epoch for fact in told if fact is not None and fact.origin == record.origin]
    return max(record.epoch, *others, Epoch(0) if away is None else away.record.epoch)


def _why_over(bonds: Bonds, partner: Partner, fact: OwnedFact) -> str:
    """Why a keeper whose bond is over may not have this held; in an emergency a bond is tied by the terms."""
    if not fact.hold or not partner.record.ended:
        return ""
    mine = partner.record.mine
    if not fact.plea:
        return "the bond is over"
    if partner.record.emergency:
        return "a person ended the bond that was tied in an emergency"
    if not mine.emergency or mine.takeover is not Consent.YES:
        return f"the terms of {bonds.name} answer no emergencies"
    need = "is in limbo there" if fact.phase is Phase.LIMBO else "has lost its holder"
    bonds.tie_in_emergency(partner, f"{partner.name} asked for help with {fact.member}, which {need}")
    return ""


def _invite(bonds: Bonds, partner: Partner, fact: OwnedFact) -> Held:
    record = HeldRecord(
        partner.id, fact.member, fact.origin, fact.epoch, HolderState.INVITED, f"{partner.name} asked for it",
        fact.phase, fact.guard, fact.given_up, fact.newest, fact.bytes, None, "",
    )  # fmt: skip
    held = bonds.helds[partner.id, fact.member] = Held(record)
    bonds.out.append(orders.Persist(record))
    return held


def _learn(bonds: Bonds, held: Held, fact: OwnedFact) -> None:
    before = held.record
    partner = bonds.partners[before.partner]
    most = _bytes_most(bonds, partner, held, fact.member)
    known = before.newest if fact.newest is None else fact.newest
    if before.newest is not None and known is not None and known < before.newest:
        known = before.newest
    after = msgspec.structs.replace(
        before,
        epoch=fact.epoch,
        phase=fact.phase,
        guard=fact.guard,
        given_up=fact.given_up,
        bytes=fact.bytes if fact.bytes <= most else before.bytes,
        newest=known,
        floor=max(fact.floor, before.floor),
    )
    if after.epoch > before.epoch:
        # A newer life vouches for itself: what was doubted of the older one is over.
        held.read_at = held.claim = None
        held.lease = held.version = None
        after = msgspec.structs.replace(after, wanted=False)
    held.record = after
    is_news = msgspec.structs.replace(before, newest=known, bytes=after.bytes) != after
    if is_news:
        bonds.out.append(orders.Persist(after))
    _allow(bonds, held, most)


def _allow(bonds: Bonds, held: Held, most: int) -> None:
    """Let its commits in, but none of an older life than that of what is here."""
    record = held.record
    oldest = Epoch(0) if record.commit is None else record.commit.epoch
    if held.allowed != (oldest, most):
        held.allowed = (oldest, most)
        bonds.out.append(bond_orders.AllowCopies(record.partner, record.member, oldest, most))


def drop(bonds: Bonds, held: Held) -> None:
    """Let it go: the owner does not want it held here any more, or it is this keeper's own now."""
    record = held.record
    del bonds.helds[record.partner, record.member]
    if held.ticket is not None:
        bonds.out.append(orders.Refuse(held.ticket, "UsageError", f"{record.member} is not held here any more", ""))
    bonds.out.append(bond_orders.DropCopies(record.partner, record.member))
    bonds.out.append(bond_orders.ForgetHeld(record.partner, record.member))


# What lands


def on_landed(bonds: Bonds, held: Held, event: bond_events.CopyLanded) -> None:
    record, commit = held.record, event.copy.commit
    held.is_sure = True
    if record.commit is not None and commit < record.commit:
        return
    is_first = record.commit is None
    newest = commit if record.newest is None or commit > record.newest else record.newest
    epoch = max(record.epoch, commit.epoch)  # The copy may come before the word of its life.
    held.record = msgspec.structs.replace(record, epoch=epoch, commit=commit, newest=newest)
    if is_first or record.commit.epoch < commit.epoch:  # type: ignore[union-attr]
        bonds.out.append(orders.Persist(held.record))
        _let_older_go(bonds, held, commit)
    if record.state in (HolderState.INVITED, HolderState.SYNCING):
        move(bonds, held, HolderState.BONDED, f"{commit} is whole here")


def _let_older_go(bonds: Bonds, held: Held, commit: CommitId) -> None:
    """A newer life's first copy is whole here: what is left of older lives may go."""
    for (partner, name), other in list(bonds.helds.items()):
        if name == held.record.member and partner != held.record.partner and other.record.epoch < commit.epoch:
            drop(bonds, other)
    own = bonds.members.get(held.record.member)
    if own is not None and own.record.phase is Phase.AWAY and commit.epoch >= own.record.epoch:
        own.sealed = None
        bonds.out.append(orders.FreeSlots(own.record.name, Epoch(commit.epoch + 1)))


def on_gone(bonds: Bonds, held: Held, event: bond_events.CopiesGone) -> None:
    held.allowed = None
    partner = bonds.partners[held.record.partner]
    _allow(bonds, held, bonds.room_for(partner, but=held.record.member) // SLOTS_HELD)
    if held.record.commit is not None:
        lose_copy(bonds, held, event.text, "damaged" if event.damaged else "lost")


def lose_copy(bonds: Bonds, held: Held, text: str, what: str = "lost") -> None:
    held.record = msgspec.structs.replace(held.record, commit=None)
    held.is_sure = True
    bonds.out.append(orders.Persist(held.record))
    bonds.alarm(AlarmLevel.WARNING, f"the copy of {held.record.member} that is held here is {what}: {text}")
    if held.record.state is HolderState.BONDED:
        move(bonds, held, HolderState.SYNCING, text)


# Doubt


def consider(bonds: Bonds, held: Held) -> None:
    """Decide, from all that is known now, whether this keeper goes on holding, doubts, claims or takes over. What it
    owns itself it takes over from nobody: a copy of an older life may still be held here for a former owner."""
    record, own = held.record, bonds.owned(held.record.member)
    if own is not None and own.freed and own.sealed is not None and own.sealed.commit.epoch > record.epoch:
        drop(bonds, held)  # Like what is left here of older lives in its own memory.
        return
    partner = bonds.partners[record.partner]
    contact = partner.contact(bonds.awake)
    is_lost = contact is Contact.SILENT and partner.record.ending is False
    if record.state is HolderState.CLAIMING:
        # Where no answer comes, the register tells how it went. Nothing is promised before, also to an owner that is
        # heard again: the lease may be this keeper's.
        claiming.read_lease(bonds, held)
        return
    if own is not None:
        return
    if not (is_lost or record.given_up or record.wanted):
        _calm(bonds, held, partner, contact)
        return
    if record.state is not HolderState.DOUBTING:
        if record.given_up:
            reason = f"{partner.name} has given it up"
        elif is_lost:
            reason = f"{partner.name} is silent"
        else:
            reason = "a person wants it taken over"
        held.doubted_at, held.said = bonds.now, ""
        move(bonds, held, HolderState.DOUBTING, reason)
    hindrance = _hindrance(bonds, held, partner, is_lost)
    if hindrance:
        say_once(bonds, held, hindrance)
        return
    if record.guard is Guard.LEASE and bonds.lease_store:
        claiming.claim(bonds, held, partner)
    elif record.given_up or record.wanted or bonds.now >= partner.promise_until + bonds.policy.clock_margin:
        takeover.take_over(bonds, held, Epoch(_newest_known(bonds, record) + 1))


def _calm(bonds: Bonds, held: Held, partner: Partner, contact: Contact) -> None:
    """The owner lives: hold on. A link that ended is a quick sign, so the lease is looked at ahead."""
    record = held.record
    if record.state is HolderState.DOUBTING:
        held.read_at = None
        state = HolderState.BONDED if record.commit is not None else HolderState.SYNCING
        move(bonds, held, state, f"{partner.name} is heard again")
    is_odd = contact is not Contact.FRESH or not partner.is_up
    if record.guard is Guard.LEASE and bonds.lease_store and is_odd and record.commit is not None:
        claiming.read_lease(bonds, held)


def _hindrance(bonds: Bonds, held: Held, partner: Partner, is_lost: bool) -> str:
    """Why it is not taken over now; empty where nothing but time stands in the way."""
    record, name = held.record, held.record.member
    if record.phase in (Phase.ENDED, Phase.AWAY) and not record.given_up:
        return f"{name} had ended"
    newer = newer_life(bonds.members.get(name), record) or _newer_elsewhere(bonds, partner, record)
    if newer and not record.wanted:
        return newer
    if record.commit is None:
        return f"{name} cannot be taken over: no whole copy of it is here"
    if not held.is_sure:
        return f"it is not known yet whether the copy of {name} outlived the last keeper"
    if not record.bundle:
        return f"{name} cannot be taken over: what is needed to run it is not here"
    if partner.record.mine.takeover is not Consent.YES and not record.wanted:
        return f"the terms leave it to a person: `goldthread takeover {name}`"
    fact = partner.owns(name)
    if record.given_up and not is_lost and fact is not None and fact.newest is not None and record.commit < fact.newest:
        return f"{name} is taken over when {fact.newest} is here"
    if record.guard is Guard.NONE and not (record.given_up or record.wanted):
        return (
            f"nobody can tell whether {partner.name} is lost or only out of reach, and its terms say hold:"
            f" `goldthread takeover {name}` decides"
        )
    if record.guard is Guard.LEASE and not bonds.lease_store:
        return f"{name} is guarded by a lease, and no lease store is configured here"
    return ""


def promised(bonds: Bonds, partner: Partner) -> tuple[Any, ...]:
    """The partner's members that this keeper will not take over while its promise binds."""
    if partner.facts is None:
        return ()
    names = []
    for fact in partner.facts.owned:
        own = bonds.members.get(fact.member)
        is_own = own is not None and own.record.phase not in _ELSEWHERE and own.record.begun >= fact.epoch
        held = bonds.helds.get((partner.id, fact.member))
        is_claimed = held is not None and held.record.state is HolderState.CLAIMING
        if not is_own and not is_claimed and not newer_life(own, fact):
            names.append(fact.member)
    return tuple(names)
