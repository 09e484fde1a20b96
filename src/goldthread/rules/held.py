"""One member that is held for a partner: what is known of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from goldthread.names import Epoch, Instant
from goldthread.report import AlarmLevel, HolderState
from goldthread.rules import orders
from goldthread.rules.bond_orders import HeldRecord
from goldthread.rules.bond_states import check_holder
from goldthread.wire.leases import Lease

if TYPE_CHECKING:
    from goldthread.rules.bonds import Bonds

__all__ = ["SLOTS_HELD", "Held", "lack_of_room", "move", "say_once"]

SLOTS_HELD: Final = 2
"""A commit that is half received never costs a whole one."""


def lack_of_room(needed: int, left: int) -> str:
    """Why copies that take so many bytes are not held where so many are left."""
    return f"its copies need {needed / 2**20:.1f} MiB, and {left / 2**20:.1f} MiB of what the terms lend are left"


class Held:
    """What is known of one member that is held."""

    __slots__ = (
        "allowed", "ask", "asked_at", "claim", "doubted_at", "due", "is_sure", "lease", "read_at", "record", "said",
        "ticket", "version",
    )  # fmt: skip

    def __init__(self, record: HeldRecord) -> None:
        self.record = record
        self.is_sure = True
        """Whether the copy is known to be here; after the death of a keeper its carrier tells."""
        self.allowed: tuple[Epoch, int] | None = None
        """What the carrier was told to let in."""
        self.doubted_at: Instant | None = None
        self.ticket: int | None = None
        """Of the person who wants it taken over."""
        self.said = ""
        """The alarm that was raised last: why it is not taken over."""
        self.ask: int | None = None
        self.asked_at = Instant(0)
        self.due = Instant(0)
        self.read_at: Instant | None = None
        """When the lease was first seen as it stands."""
        self.lease: Lease | None = None
        self.version: str | None = None
        self.claim: Lease | None = None
        """What is being written in place of it."""


def say_once(bonds: Bonds, held: Held, text: str) -> None:
    if held.said != text:
        held.said = text
        bonds.alarm(AlarmLevel.CRITICAL, f"{held.record.member} of {bonds.name_of(held.record.partner)}: {text}")


def move(bonds: Bonds, held: Held, state: HolderState, reason: str) -> None:
    """Go over to another state: the one place where that happens."""
    check_holder(held.record.member, held.record.state, state)
    held.record = msgspec.structs.replace(held.record, state=state, reason=reason)
    bonds.out.append(orders.Persist(held.record))
