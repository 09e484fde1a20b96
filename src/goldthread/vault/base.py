"""The contract of a vault: commits that outlive the memory of the machine.

A vault holds images (`wire/image.py`) byte for byte as they lay in their slots, so what is sealed is what is kept,
and one reader serves both. Every vault passes `tests/contracts/test_vault.py`.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol

import msgspec

from goldthread.names import CommitId, MemberName
from goldthread.rules.events import Copy

__all__ = ["Listing", "Vault"]


class Listing(msgspec.Struct, frozen=True):
    """What a vault holds of one member."""

    copies: tuple[Copy, ...]
    """Oldest first; the header, manifest and table of each are whole, its payload was not read."""
    damaged: tuple[str, ...]
    """One sentence for each file that is no whole deposit of this member. They were set aside."""


class Vault(Protocol):
    """Where deposits are kept. Each call may wait for the disk: none belongs on the keeper's loop.

    A call raises `KeeperError` where the store itself cannot be used.
    """

    def deposit(self, member: MemberName, image: memoryview) -> CommitId:
        """Write a sealed image whole, or not at all; it survives a loss of power from the return on.

        Each chunk is checked on its way. Raises `NoRoom`, or `CommitDamaged` where the image is open, is another
        member's, is not what was sealed, or was overwritten meanwhile; what was there before then stays.
        """

    def list(self, member: MemberName) -> Listing:
        """Every deposit whose header, manifest and table are whole; what is not is set aside and said."""

    def open(self, member: MemberName, commit: CommitId) -> int:
        """A descriptor to read the image from. Raises `NothingToRestore` or `CommitDamaged`."""

    def lend(self, member: MemberName, commit: CommitId) -> tuple[int, ...]:
        """Descriptors of all files of this commit, also of those that were set aside: a chunk that is whole in a
        damaged deposit can mend another copy. Nothing of them was read; the caller closes them."""

    def check(self, member: MemberName, commit: CommitId) -> str:
        """Read all of a deposit: what is damaged, in words; empty where every byte is what was sealed.

        What is damaged is set aside. Raises `NothingToRestore`."""

    def trim(self, member: MemberName, keep: Collection[CommitId]) -> None:
        """Remove the deposits that are not named. What was set aside stays."""

    def set_aside(self, member: MemberName, commit: CommitId) -> str:
        """Put a damaged deposit out of the way, never to be listed again nor deleted; where it is now."""

    def forget(self, member: MemberName) -> None:
        """Remove all that is kept of a member, also what was set aside."""

    def members(self) -> tuple[MemberName, ...]:
        """Every member with a deposit."""
