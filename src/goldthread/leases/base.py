"""The contract of lease stores; `tests/contracts` runs one suite against every store.

A store is a register for each member, with compare-and-swap. It knows no time, no owner and no epoch: what may be
written is decided by `rules`, the bytes are those of `wire/leases.py`. So every store is small, and no clock but that
of whoever looks is ever trusted. A register is never removed: an epoch that was reached stays reached.
"""

from __future__ import annotations

from typing import Protocol

import msgspec

from goldthread.names import MemberName

__all__ = ["LeaseStore", "Stored"]


class Stored(msgspec.Struct, frozen=True):
    """What stands in a register."""

    record: bytes
    version: str
    """Another one after every write of another record (an etag, a revision, a count); no two leases are alike."""


class LeaseStore(Protocol):
    """What `open_store` gives. Each call returns or raises within the seconds that the store was opened with.

    All calls raise `LeaseUnavailable` where the store does not answer in time, or answers that it cannot; a swap may
    have been done then. They raise `UsageError` for what is no member's name or no record.
    """

    @property
    def address(self) -> str:
        """The same for all keepers that use the same registers, and for no others; without secrets."""

    def read(self, member: MemberName) -> Stored | None:
        """What stands in the register of this member; None where nothing was ever written."""

    def swap(self, member: MemberName, record: bytes, over: str | None) -> str | None:
        """Write `record` if the register still stands at version `over` (None: was never written).

        Returns the new version; None where something else stands there, and nothing was changed.
        """

    def close(self) -> None:
        """Let go of connections and files."""
