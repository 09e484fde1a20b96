"""A held member becomes this keeper's own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from goldthread.names import Epoch, Instant
from goldthread.report import AlarmLevel, Contact, Ending, EndingKind, Phase
from goldthread.rules import beginnings, bond_orders, orders
from goldthread.rules.bond_orders import HeldRecord
from goldthread.rules.member import Member, new_life, new_record
from goldthread.wire.leases import Lease

if TYPE_CHECKING:
    from goldthread.rules.bonds import Bonds
    from goldthread.rules.held import Held
    from goldthread.rules.partner import Partner

__all__ = ["take_over"]


def take_over(
    bonds: Bonds, held: Held, epoch: Epoch, lease: Lease | None = None, version: str | None = None,
    asked_at: Instant | None = None,
) -> None:  # fmt: skip
    """A held member becomes this keeper's own, and its next life begins."""
    record, partner = held.record, bonds.partners[held.record.partner]
    member = bonds.members.get(record.member)
    if member is None:
        fresh = new_record(record.member, bonds.policy, record.origin)
        member = bonds.members[record.member] = Member(bonds.policy, fresh, bonds.now, bonds.awake)
    member.now, member.awake = bonds.now, bonds.awake
    why = _why(bonds, held, partner, lease)
    ending = Ending(EndingKind.HANDED_OVER if record.given_up else EndingKind.HOST_LOST, why)
    before = Epoch(epoch - 1)
    moments = (("died", partner.heard_at),) if partner.heard_at is not None else ()
    member.life = msgspec.structs.replace(
        new_life(record.member, record.epoch, ()),
        reached=None if record.newest is None else record.newest.step,
        ending=ending,
        lost=_loss(record),
    )
    member.out.append(orders.Persist(member.life))
    seen = bonds.now if held.doubted_at is None else held.doubted_at
    del bonds.helds[record.partner, record.member]
    member.record = msgspec.structs.replace(
        member.record,
        epoch=before,
        started=before,
        begun=before,
        was_in_limbo=record.given_up and record.phase is Phase.LIMBO,
        newest=record.commit,
        floor=max(member.record.floor, record.floor),
        held=None,
        holder=None,
        bundle=record.bundle,
    )
    member.former_owner = record.partner
    member.deposits.hurry(member.policy, bonds.now)  # Nobody else has what was held.
    fence = member.fence
    if lease is not None:
        fence.lease, fence.version, fence.was_read, fence.lease_epoch = lease, version, True, lease.epoch
        fence.lease_until = Instant(0) if asked_at is None else Instant(asked_at + lease.span)
    first = len(member.out)
    reason = f"life {epoch} starts on {bonds.name}: {why}"
    beginnings.start_life(member, reason, (*moments, ("seen", seen)))
    # A keeper that dies once it has adopted the copies must leave a journal that says whose they are.
    member.out.insert(first + 1, bond_orders.AdoptCopies(record.partner, record.member))
    # What was to be written of it in this same event would come after that, and bring it back.
    bonds.out = [order for order in bonds.out if not _is_of(order, record)]
    member.out.append(bond_orders.ForgetHeld(record.partner, record.member))
    member.alarm(AlarmLevel.WARNING, f"{record.member} of {partner.name} is taken over: {why}")
    if held.ticket is not None:
        member.accept(held.ticket, f"life {epoch} of {record.member} is being started here")


def _is_of(order: Any, record: HeldRecord) -> bool:
    """Whether a record of this held member is to be persisted."""
    held = order.record if isinstance(order, orders.Persist) else None
    return isinstance(held, HeldRecord) and (held.partner, held.member) == (record.partner, record.member)


def _why(bonds: Bonds, held: Held, partner: Partner, lease: Lease | None) -> str:
    """As things stand at the takeover, and not as they were when doubts began."""
    record = held.record
    if record.given_up:
        return f"{partner.name} has given it up"
    why = f"{partner.name} is silent: {partner.explain(bonds.awake)}"
    if partner.contact(bonds.awake) is not Contact.SILENT:
        why = record.reason
    elif record.wanted:
        why = f"a person wants it taken over, and {why}"
    elif lease is not None:
        why = f"{why}; its lease is {bonds.name}'s"
    return why


def _loss(record: HeldRecord) -> str:
    """What the loss of the owner cost a member that is taken over."""
    commit, newest = record.commit, record.newest
    if commit is None:
        return "all its work"
    if record.given_up and newest == commit:
        return f"nothing: step {commit.step} was handed over"
    known = "" if newest is None or newest <= commit else f": step {newest.step} was sealed"
    return f"what it did after step {commit.step}{known}"
