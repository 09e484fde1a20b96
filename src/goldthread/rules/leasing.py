"""An owner's dealings with the lease store: claim, renew, give up. One question is under way at a time.

The register says who owns the member: a record of another keeper under a newer life is the fence itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from goldthread.names import Instant, KeeperId
from goldthread.report import AlarmLevel, Guard
from goldthread.rules import bond_events, bond_orders, owning
from goldthread.rules.member import Member
from goldthread.wire.leases import Lease

if TYPE_CHECKING:
    from goldthread.rules.bonds import Bonds

__all__ = ["keep", "on_found", "on_granted", "on_unknown", "successor"]


def keep(bonds: Bonds, member: Member) -> None:
    """Ask the store for what is due: the lease of a member that somebody may take over."""
    fence = member.fence
    if fence.ask is not None or bonds.now < fence.due or not _is_wanted(bonds, member):
        return
    fence.ask, fence.asked_at = bonds.ask(), bonds.now
    fence.due = Instant(bonds.now + member.policy.lease_every)
    if not fence.was_read:
        member.out.append(bond_orders.ReadLease(member.record.name, fence.ask))
    else:
        member.out.append(bond_orders.SwapLease(member.record.name, fence.ask, _next(bonds, member), fence.version))


def _is_wanted(bonds: Bonds, member: Member) -> bool:
    record, fence = member.record, member.fence
    if not bonds.lease_store or record.epoch == 0:
        return False
    if record.given_up:
        return fence.lease is None or fence.lease.owner == bonds.me
    if record.guard is Guard.LEASE or record.claimants:
        return True
    partner = None if record.holder is None else bonds.partners.get(record.holder)
    return partner is not None and bonds.guard_for(partner) is Guard.LEASE


def _next(bonds: Bonds, member: Member) -> Lease:
    record, before = member.record, member.fence.lease
    count = 1 if before is None else before.count + 1
    owner = None if record.given_up else bonds.me
    return Lease(record.name, record.origin, record.epoch, owner, successor(member), count, member.policy.lease)


def successor(member: Member) -> KeeperId | None:
    """Who may claim the lease when it runs out: the holder once it has a whole copy; None: whoever has one."""
    return member.record.holder if member.record.held is not None else None


def on_granted(bonds: Bonds, member: Member, event: bond_events.LeaseGranted) -> None:
    fence, lease = member.fence, event.lease
    fence.ask = None
    fence.lease, fence.version, fence.was_read = lease, event.version, True
    fence.lease_text = ""
    if lease.owner == bonds.me:
        fence.lease_epoch = lease.epoch
        fence.lease_until = Instant(fence.asked_at + lease.span)
    else:
        fence.lease_until = Instant(0)
    if lease.epoch != member.record.epoch:
        fence.due = bonds.now


def on_found(bonds: Bonds, member: Member, event: bond_events.LeaseFound) -> None:
    """What stands there is ours, older than ours, or the fence."""
    fence, record, lease = member.fence, member.record, event.lease
    fence.ask = None
    fence.lease, fence.version, fence.was_read = lease, event.version, True
    if lease is not None and lease.origin != record.origin:
        text = f"another member named {record.name} has its lease in the same store; rename one of the two"
        if fence.lease_text != text:
            member.alarm(AlarmLevel.WARNING, text)
        fence.lease_text = text
        fence.was_read = False
        return
    fence.lease_text = ""
    if lease is not None and lease.epoch > record.begun and not _is_free(bonds, member, lease):
        owning.go_away(bonds, member, lease.owner, lease.epoch)
        return
    fence.due = bonds.now


def _is_free(bonds: Bonds, member: Member, lease: Lease) -> bool:
    """Whether a lease under a number that did not begin here may be had: it is this keeper's already, or nobody's,
    and was given up here or to whoever wants it."""
    if lease.owner is not None:
        return lease.owner == bonds.me
    is_ours = member.record.given_up or lease.successor in (None, bonds.me)
    return is_ours and lease.epoch <= member.record.epoch


def on_unknown(bonds: Bonds, member: Member, event: bond_events.LeaseUnknown) -> None:
    """The store is out of reach; a swap may be done or not, which the next refusal will tell."""
    fence = member.fence
    fence.ask = None
    if not fence.lease_text:
        member.alarm(AlarmLevel.WARNING, f"the lease of {member.record.name} is out of reach: {event.text}")
    fence.lease_text = event.text
