"""Which slot the next commit is written into.

A life has a few slots (three: newest, being written, being read). The newest sealed commit is never overwritten
before a newer one is sealed, nor is a slot that somebody reads. Of the rest the one with the oldest commit is taken,
so that the commits before the newest stay as long as they can: they are what is left if the newest is damaged. A
spare one is made where two are read for long, one on its way to a partner and one to the vault.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter

import msgspec

__all__ = ["SlotChoice", "SlotState", "choose_slot"]


class SlotState(msgspec.Struct, frozen=True):
    """One slot as its life sees it."""

    index: int
    bytes: int
    sequence: int
    """Of the sealed commit in it; 0 where there is none."""
    pinned: bool
    """Somebody reads it."""


class SlotChoice(msgspec.Struct, frozen=True):
    index: int | None
    """None: every slot that could be taken is pinned; wait for the oldest of them."""
    fresh: bool
    """The slot must be made, or made anew because it is too small."""
    reason: str


_sequence = attrgetter("sequence")


def choose_slot(slots: Sequence[SlotState], needed_bytes: int, slots_most: int, *, is_long: bool = False) -> SlotChoice:
    """Choose for a commit of `needed_bytes`, where a life may have `slots_most` slots (2 or more).

    `is_long`: it was waited long enough for a slot that is read.
    """
    oldest_first = sorted(slots, key=_sequence)
    if oldest_first and oldest_first[-1].sequence > 0:
        del oldest_first[-1]  # The newest sealed commit stays.
    open_to_us = [slot for slot in oldest_first if not slot.pinned]
    oldest = next((slot for slot in open_to_us if slot.bytes >= needed_bytes), None)
    if oldest is not None and oldest.sequence == 0:
        return SlotChoice(oldest.index, False, "it holds no commit")
    if len(slots) < slots_most:
        index = next(index for index in range(slots_most) if all(slot.index != index for slot in slots))
        return SlotChoice(index, True, f"{len(slots)} of {slots_most} slots are made")
    if oldest is not None:
        return SlotChoice(oldest.index, False, f"its commit, number {oldest.sequence}, is the oldest")
    if not open_to_us and is_long and len(slots) == slots_most:
        return SlotChoice(slots_most, True, "every slot but the newest is being read for long")
    if not open_to_us:
        return SlotChoice(None, False, "every slot but the newest is being read")
    too_small = open_to_us[0]
    return SlotChoice(too_small.index, True, f"{too_small.bytes} bytes are too few for {needed_bytes}")
