"""What a keeper says of itself on a bond, made anew from what it knows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from goldthread.names import CommitId, Epoch, MemberName, Step
from goldthread.report import Guard, OwnerState, Phase
from goldthread.rules.bond_orders import HeldRecord
from goldthread.rules.holding import newer_life
from goldthread.rules.member import Member
from goldthread.rules.orders import MemberRecord
from goldthread.rules.partner import Partner
from goldthread.rules.vouching import wanted_guard
from goldthread.wire.bonds import Facts, HeldFact, OwnedFact, YieldedFact

if TYPE_CHECKING:
    from goldthread.rules.bonds import Bonds

__all__ = ["facts_for", "shape_of"]


def facts_for(bonds: Bonds, partner: Partner, version: int) -> Facts:
    """All that this keeper has to say to one partner, but for the newest commits of members that go on."""
    owned = [_owned(bonds, member, partner) for name, member in sorted(bonds.members.items())]
    owned += [_forgotten(record, partner) for name, record in sorted(bonds.forgotten.items())]
    return Facts(
        version=version,
        terms=partner.record.mine,
        label=bonds.label,
        lease_store=bonds.lease_store,
        room=bonds.room_for(partner),
        owned=tuple(fact for fact in owned if fact is not None),
        held=_held(bonds, partner),
        yielded=_yielded(bonds, partner),
    )


def shape_of(facts: Facts) -> Facts:
    """What makes a new version: all but which commit exactly is held."""
    held = tuple(
        msgspec.structs.replace(fact, commit=None if fact.commit is None else CommitId(fact.epoch, Step(0), 0))
        for fact in facts.held
    )
    return msgspec.structs.replace(facts, held=held, version=0)


def _owned(bonds: Bonds, member: Member, partner: Partner) -> OwnedFact | None:
    """What the partner must know of a member: one that it holds, is to hold, or believes to know."""
    record = member.record
    if record.phase in (Phase.ABSENT, Phase.AWAY):
        return None
    is_holder = record.holder == partner.id
    if not is_holder and partner.id not in record.claimants and record.name not in partner.mentioned:
        return None
    given_up = record.given_up and is_holder and partner.id in record.claimants
    sealed = member.sealed
    return OwnedFact(
        member=record.name,
        origin=record.origin,
        epoch=record.epoch,
        begun=record.begun >= record.epoch,
        phase=record.phase,
        hold=_is_wanted(bonds, member, partner),
        guard=_guard(bonds, member, partner),
        newest=_newest(member) if given_up else None,
        bytes=0 if sealed is None else _rounded(sealed.bytes),
        plea=partner.record.emergency != "",
        given_up=given_up,
        bundle=record.bundle,
        floor=record.floor,
    )


def _forgotten(record: MemberRecord, partner: Partner) -> OwnedFact | None:
    """A member that was forgotten here: whoever still has it may let it go."""
    if partner.holds(record.name) is None and partner.id not in record.claimants:
        return None
    return OwnedFact(
        member=record.name, origin=record.origin, epoch=record.epoch, begun=False, phase=record.phase, hold=False,
        guard=Guard.NONE, newest=None, bytes=0, plea=False, given_up=False, bundle="",
        floor=record.floor,
    )  # fmt: skip


def _guard(bonds: Bonds, member: Member, partner: Partner) -> Guard:
    """What this partner is told. Only a claimant is told of a guard, and not of one that is to change."""
    record = member.record
    is_claimant = record.holder == partner.id and partner.id in record.claimants
    return record.guard if is_claimant and wanted_guard(bonds, member) is record.guard else Guard.NONE


def _is_wanted(bonds: Bonds, member: Member, partner: Partner) -> bool:
    """Whether this partner is to keep what it has of a member: the holder, one that may have what is nowhere else, and
    a former holder that has what the present one has not yet, or has not said that it still has."""
    fact, record = partner.holds(member.record.name), member.record
    if partner.facts is None:
        return True
    if record.owner_state is OwnerState.CLOSED:
        return False
    if record.holder == partner.id:
        return True
    if fact is None or fact.commit is None or fact.origin != record.origin:
        return False
    holder = None if record.holder is None else bonds.partners.get(record.holder)
    is_said = holder is not None and holder.facts is not None
    return record.held is None or record.held < fact.commit or not is_said


def _newest(member: Member) -> CommitId | None:
    return None if member.sealed is None else member.sealed.commit


def _rounded(size: int) -> int:
    """To the next megabyte, so that a state that breathes makes no news."""
    return -(-size // 2**20) * 2**20


def _yielded(bonds: Bonds, partner: Partner) -> tuple[YieldedFact, ...]:
    away = (member.record for _, member in sorted(bonds.members.items()) if member.record.phase is Phase.AWAY)
    return tuple(YieldedFact(one.name, one.origin, one.epoch) for one in away if one.holder == partner.id)


def _held(bonds: Bonds, partner: Partner) -> tuple[HeldFact, ...]:
    found, refused = [], _refused(bonds, partner)
    for (owner, name), held in sorted(bonds.helds.items()):
        if owner == partner.id:
            record, reason = held.record, refused.pop(name, "")
            epoch = _highest(bonds, record) if reason else record.epoch
            found.append(HeldFact(name, record.origin, epoch, record.commit, record.bundle, reason))
    for name, reason in sorted(refused.items()):
        fact = partner.owns(name)
        if fact is not None:
            found.append(HeldFact(name, fact.origin, _highest(bonds, fact), None, "", reason))
    return tuple(found)


def _highest(bonds: Bonds, told: OwnedFact | HeldRecord) -> Epoch:
    """The highest life of a partner's member that is known here: it may have been this keeper's own."""
    own = bonds.members.get(told.member)
    return told.epoch if own is None or own.record.origin != told.origin else max(told.epoch, own.record.epoch)


def _refused(bonds: Bonds, partner: Partner) -> dict[MemberName, str]:
    """Why its members are not held here. That a newer life has begun elsewhere may be known only after the partner
    told of its own, which may wait for a promise that is not given: so that is asked anew each time."""
    owned = () if partner.facts is None else partner.facts.owned
    newer = {fact.member: newer_life(bonds.members.get(fact.member), fact) for fact in owned}
    return {name: reason for name, reason in newer.items() if reason} | partner.refused
