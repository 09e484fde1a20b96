"""The terms of a bond: what each side lends, and what it lets the other do. Each side has its own; both know both."""

from __future__ import annotations

from enum import Enum

import msgspec

from goldthread.errors import UsageError

__all__ = ["Consent", "Terms", "WithoutLeaseStore"]


class Consent(Enum):
    """Whether the keeper that gives these terms takes over the members that it holds."""

    YES = "yes"
    NO = "no"
    ASK = "ask"
    """Only when a person says so: `goldthread takeover NAME`."""


class WithoutLeaseStore(Enum):
    """What a lost link means for the members of the keeper that gives these terms, where no lease store can tell a
    lost link from a dead partner."""

    HOLD = "hold"
    """The owner goes on; the holder waits for a person to decide."""
    YIELD = "yield"
    """The owner stops when its partner's promise runs out; the holder takes over."""


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """What one side of a bond gives. The defaults are what `goldthread bond invite` offers when nothing is said."""

    memory: int = 4 << 30
    """Bytes lent for held copies, all slots counted."""
    cores: int = 0
    """Cores lent."""
    bandwidth: int = 0
    """Bytes per second that copies may take on the way to the other side; 0: what the host can spare."""
    takeover: Consent = Consent.YES
    emergency: bool = False
    """Whether it answers keepers in need that it knows and has no bond with."""
    without_lease_store: WithoutLeaseStore = WithoutLeaseStore.HOLD

    def __post_init__(self) -> None:
        if self.memory < 0 or self.cores < 0 or self.bandwidth < 0:
            raise UsageError("terms cannot lend less than nothing: memory, cores and bandwidth are 0 or more")
