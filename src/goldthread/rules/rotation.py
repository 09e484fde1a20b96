"""Which slot the next commit is written into.

A life has a few slots (three: newest, being written, being read). The newest sealed commit is never overwritten
before a newer one is sealed, nor is a slot that somebody reads. Of the rest the one with the oldest commit is taken,
so that the commits before the newest stay as long as they can: they are what is left if the newest is damaged.
"""

from __future__ import annotations

from collections.abc import Sequence

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


def choose_slot(slots: Sequence[SlotState], needed_bytes: int, slots_most: int) -> SlotChoice:
    """Choose for a commit of `needed_bytes`, where a life may have `slots_most` slots (2 or more)."""
    newest = max((slot.sequence for slot in slots), default=0)
    open_to_us = [slot for slot in slots if not slot.pinned and (slot.sequence == 0 or slot.sequence != newest)]
    unused = [slot for slot in open_to_us if slot.sequence == 0 and slot.bytes >= needed_bytes]
    if unused:
        return SlotChoice(unused[0].index, False, "it holds no commit")
    if len(slots) < slots_most:
        index = next(index for index in range(slots_most) if all(slot.index != index for slot in slots))
        return SlotChoice(index, True, f"{len(slots)} of {slots_most} slots are made")
    if not open_to_us:
        return SlotChoice(None, False, "every slot but the newest is being read")
    oldest = min(open_to_us, key=lambda slot: (slot.bytes < needed_bytes, slot.sequence))
    if oldest.bytes < needed_bytes:
        oldest = min(open_to_us, key=lambda slot: slot.sequence)
        return SlotChoice(oldest.index, True, f"{oldest.bytes} bytes are too few for {needed_bytes}")
    return SlotChoice(oldest.index, False, f"its commit, number {oldest.sequence}, is the oldest")
