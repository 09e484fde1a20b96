"""What vouches for a life: the lease of its member, or the promise of every keeper that might take the member over.

A member without claimants needs no voucher: nobody can run it but a person's decision. While there are claimants a
life begins and goes on only before `until`:

- the *lease* vouches from when its last renewal that succeeded was sent, for its span, and for the epoch that was
  written with it, where every claimant was told that it must claim the lease first (guard LEASE);
- a *promise* vouches from when the beat that it answers was sent, and only if whoever promises has seen the present
  epoch. All claimants must promise: one that does not may run the member already.

Only instants of this host's own clock are compared.
"""

from __future__ import annotations

from typing import Final

from goldthread.names import Epoch, Instant, KeeperId
from goldthread.report import Guard
from goldthread.rules.orders import MemberRecord
from goldthread.wire.leases import Lease

__all__ = ["Fence"]

_NEVER: Final = Instant(0)


class Fence:
    """The vouchers of one member."""

    __slots__ = (
        "ask", "asked_at", "assumed_until", "due", "frozen_at", "lease", "lease_epoch", "lease_text", "lease_until",
        "promises", "told_until", "version", "was_read",
    )  # fmt: skip

    def __init__(self) -> None:
        self.promises: dict[KeeperId, Instant] = {}
        self.assumed_until = _NEVER
        """The vouchers of the last keeper, which this one does not know, are over by then."""
        self.told_until: Instant | None = _NEVER
        """What the program was told last; None: it needs no voucher. What the last keeper told it is not known."""
        self.frozen_at: Instant | None = None
        """Since when the program is stopped for want of a voucher."""
        # The lease, as the store is known to have it.
        self.was_read = False
        self.lease: Lease | None = None
        self.version: str | None = None
        self.lease_epoch = Epoch(0)
        self.lease_until = _NEVER
        self.ask: int | None = None
        """Of what the store was asked and has not answered."""
        self.asked_at = _NEVER
        self.due = _NEVER
        """When the store is asked next."""
        self.lease_text = ""
        """Why the store is out of reach; empty where it is not."""

    def until(self, record: MemberRecord) -> Instant | None:
        """Until when the present life is vouched for; None where it needs no voucher."""
        if not record.claimants:
            return None
        is_leased = record.guard is Guard.LEASE and self.lease_epoch == record.epoch
        lease_until = self.lease_until if is_leased else _NEVER
        return max(lease_until, min(self.promises.get(claimant, _NEVER) for claimant in record.claimants))

    def vouches(self, record: MemberRecord, now: Instant) -> bool:
        """Whether a life may begin or go on now."""
        until = self.until(record)
        return until is None or now < until

    def void(self) -> None:
        """It was given up: what was promised before that vouches for nothing any more."""
        self.promises = {}
        self.lease_until = _NEVER

    def begin_epoch(self) -> None:
        """A new life: nothing vouches for its epoch yet, and the store is asked at once."""
        self.promises = {}
        self.due = _NEVER
