"""A holder's dealings with the lease store: it looks, waits until nobody can count on the lease, and claims it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from goldthread.names import Epoch, Instant
from goldthread.report import HolderState
from goldthread.rules import bond_events, bond_orders, takeover
from goldthread.rules.held import Held, move, say_once
from goldthread.rules.partner import Partner
from goldthread.wire.leases import Lease

if TYPE_CHECKING:
    from goldthread.rules.bonds import Bonds

__all__ = ["claim", "on_found", "on_granted", "on_unknown", "read_lease"]

_AT_WORK: Final = (HolderState.DOUBTING, HolderState.CLAIMING)


def read_lease(bonds: Bonds, held: Held) -> None:
    if held.ask is None and bonds.now >= held.due:
        held.ask, held.asked_at = bonds.ask(), bonds.now
        held.due = Instant(bonds.now + bonds.policy.lease_every)
        bonds.out.append(bond_orders.ReadLease(held.record.member, held.ask))


def claim(bonds: Bonds, held: Held, partner: Partner) -> None:
    """Claim the lease once nobody can count on it any more."""
    record, lease = held.record, held.lease
    if held.read_at is None:
        read_lease(bonds, held)
        return
    if lease is not None and lease.origin != record.origin:
        say_once(bonds, held, f"the lease in the store is that of another member named {record.member}")
        return
    if lease is not None and lease.owner not in (None, partner.id, bonds.me) and lease.epoch > record.epoch:
        say_once(bonds, held, f"life {lease.epoch} of {record.member} is {bonds.name_of(lease.owner)}'s")
        read_lease(bonds, held)
        return
    if lease is not None and lease.successor not in (None, bonds.me) and not (record.wanted or record.given_up):
        say_once(bonds, held, f"{bonds.name_of(lease.successor)} has the newest copy of {record.member}")
        read_lease(bonds, held)
        return
    if lease is None and not (record.wanted or record.given_up):
        # Its owner had a lease before it told of one: the store was emptied, or is another one.
        say_once(bonds, held, f"the lease store knows nothing of {record.member}: `goldthread takeover` decides")
        read_lease(bonds, held)
        return
    margin = bonds.policy.clock_margin
    free = held.read_at if lease is None or lease.owner is None else Instant(held.read_at + lease.span + margin)
    if not record.given_up:
        free = max(free, Instant(partner.promise_until + margin))
    if bonds.now < free and record.given_up:
        read_lease(bonds, held)  # Its owner gives the lease up, too: no span need be waited for.
    if bonds.now < free or held.ask is not None:
        return
    epoch = Epoch(max(record.epoch, 0 if lease is None else lease.epoch) + 1)
    count = 1 if lease is None else lease.count + 1
    # Until a holder of the new life is named, nobody else has a copy that is as new.
    held.claim = Lease(record.member, record.origin, epoch, bonds.me, bonds.me, count, bonds.policy.lease)
    move(bonds, held, HolderState.CLAIMING, f"{record.reason}; its lease is claimed")
    held.ask, held.asked_at = bonds.ask(), bonds.now
    held.due = Instant(bonds.now + bonds.policy.lease_every)
    bonds.out.append(bond_orders.SwapLease(record.member, held.ask, held.claim, held.version))


def on_granted(bonds: Bonds, held: Held, event: bond_events.LeaseGranted) -> None:
    held.ask = None
    _take(bonds, held, event.lease, event.version, held.asked_at)


def _take(bonds: Bonds, held: Held, lease: Lease, version: str | None, asked_at: Instant | None) -> None:
    """The lease is this keeper's. Its copy may have been lost since it was claimed, or the member come here from
    another owner."""
    if bonds.owned(held.record.member) is not None:
        return
    if held.record.commit is None or not held.is_sure:
        say_once(bonds, held, f"its lease is {bonds.name}'s, and no whole copy of {held.record.member} is here")
    else:
        takeover.take_over(bonds, held, lease.epoch, lease, version, asked_at)


def on_found(bonds: Bonds, held: Held, event: bond_events.LeaseFound) -> None:
    held.ask = None
    lease, record = event.lease, held.record
    if record.state is HolderState.CLAIMING and _is_won(bonds, held, lease) and lease is not None:
        _take(bonds, held, lease, event.version, None)
        return
    if event.version != held.version or held.read_at is None:
        held.read_at = bonds.now
    held.lease, held.version = lease, event.version
    if record.state is HolderState.CLAIMING:
        held.claim = None
        move(bonds, held, HolderState.DOUBTING, "its lease was not to be had")


def _is_won(bonds: Bonds, held: Held, lease: Lease | None) -> bool:
    """Whether the claim that got no answer stands there; a keeper that did not make it itself goes by the epoch."""
    if held.claim is not None:
        return lease == held.claim
    return lease is not None and lease.owner == bonds.me and lease.epoch > held.record.epoch


def on_unknown(bonds: Bonds, held: Held, event: bond_events.LeaseUnknown) -> None:
    held.ask = None
    held.due = Instant(bonds.now + bonds.policy.lease_every)
    if held.record.state in _AT_WORK:
        say_once(bonds, held, f"its lease is out of reach: {event.text}")
