"""The slots that a keeper holds, by member, life and index.

The shelf keeps descriptors, not mappings: shared memory that a process maps counts as its own, and a keeper that
mapped every slot would be the first victim when memory runs out. A slot is mapped only while somebody reads it, and
pinned for that time, so that its program does not write into it.

Slots are read in worker threads and freed in the loop's thread; a slot that is freed while it is read goes when its
reader is done, since a reader has a descriptor of its own.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Final

from goldthread.errors import CommitDamaged
from goldthread.names import CommitId, Epoch, Level, MemberName
from goldthread.rules.events import Copy
from goldthread.slots.pins import open_for_pins, pin_for_reading
from goldthread.slots.slot import Slot
from goldthread.wire.image import HEADER_BYTES, Header, damaged_chunks, peek_header, read_header

__all__ = ["HeldSlot", "Shelf", "reading", "verify"]

_FLIP_BYTES: Final = 8
_LOOKS_MOST: Final = 8


class HeldSlot:
    """One slot on the shelf."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self.bytes = os.fstat(descriptor).st_size

    def header(self) -> Header | None:
        """What the first page says, unproved; None for an open slot. Costs one small read and no mapping."""
        try:
            return peek_header(os.pread(self.descriptor, HEADER_BYTES, 0))
        except CommitDamaged:
            return None

    def lend(self) -> int:
        """A descriptor for `reading`, which closes it. It keeps the memory even if the slot is freed meanwhile."""
        return open_for_pins(self.descriptor, writing=False)


@contextmanager
def reading(lent: int) -> Iterator[memoryview]:
    """The bytes of a slot that was lent, pinned and mapped for the time of the block.

    Raises `BlockingIOError` where its program writes into it now.
    """
    try:
        if not pin_for_reading(lent):
            raise BlockingIOError("the slot is being written")
        slot = Slot(lent, writable=False)
        try:
            yield slot.image
        finally:
            slot.close()
    finally:
        os.close(lent)


Place = tuple[Epoch, int]
"""The life and the index of a slot within its member."""


class Shelf:
    def __init__(self) -> None:
        self._members: dict[MemberName, dict[Place, HeldSlot]] = {}

    def put(self, member: MemberName, epoch: Epoch, index: int, descriptor: int) -> None:
        """Take a descriptor. Program and shim hand over the same slots: the later one stands for both."""
        slots = self._members.setdefault(member, {})
        present = slots.get((epoch, index))
        if present is not None:
            os.close(present.descriptor)
        slots[epoch, index] = HeldSlot(descriptor)

    def slots(self, member: MemberName) -> dict[Place, HeldSlot]:
        return self._members.get(member, {})

    def bytes(self, member: MemberName) -> int:
        return sum(slot.bytes for slot in self.slots(member).values())

    def largest(self, member: MemberName) -> int:
        """The size of the member's largest slot: what its next life will want."""
        return max((slot.bytes for slot in self.slots(member).values()), default=0)

    def members(self) -> Iterable[MemberName]:
        return tuple(self._members)

    def copies(self, member: MemberName) -> list[Copy]:
        """Every sealed commit whose header names this member and the life that the slot was made for."""
        found = []
        for (epoch, _), slot in self.slots(member).items():
            header = slot.header()
            if header is not None and header.member == member and header.epoch == epoch:
                found.append(Copy(header.commit, Level.SEALED, header.image_bytes))
        return found

    def newest(self, member: MemberName, epoch: Epoch) -> Header | None:
        """The newest sealed commit of one life."""
        headers = [slot.header() for (life, _), slot in self.slots(member).items() if life == epoch]
        sealed = [header for header in headers if header is not None and header.epoch == epoch]
        return max(sealed, key=lambda header: header.sequence, default=None)

    def find(self, member: MemberName, commit: CommitId) -> HeldSlot | None:
        """The slot with this commit; of two the one that was put there last, since it was made to mend the other."""
        for (epoch, _), slot in reversed(self.slots(member).items()):
            if epoch == commit.epoch:
                header = slot.header()
                if header is not None and header.commit == commit:
                    return slot
        return None

    def pin_newest(self, member: MemberName, epoch: Epoch) -> tuple[CommitId, int] | None:
        """The newest sealed commit of one life, and its slot, lent and pinned for reading.

        A program may use the slot again between the look and the pin; then there is a newer commit to look for.
        """
        for _ in range(_LOOKS_MOST):
            newest = self.newest(member, epoch)
            slot = None if newest is None else self.find(member, newest.commit)
            if newest is None or slot is None:
                continue
            lent = slot.lend()
            header = slot.header() if pin_for_reading(lent) else None
            if header == newest:
                return newest.commit, lent
            os.close(lent)
        return None

    def drop(self, member: MemberName, epoch: Epoch, index: int) -> bool:
        """Free one slot; whether there was one."""
        slot = self._members.get(member, {}).pop((epoch, index), None)
        if slot is not None:
            os.close(slot.descriptor)
        return slot is not None

    def surplus(self, member: MemberName, epoch: Epoch, keep: tuple[CommitId, ...]) -> list[Place]:
        """The slots of lives before `epoch` that hold none of the commits to keep."""
        surplus = []
        for place, slot in self.slots(member).items():
            if place[0] < epoch:
                header = slot.header()
                if header is None or header.commit not in keep:
                    surplus.append(place)
        return surplus

    def forget(self, member: MemberName) -> None:
        for slot in self._members.pop(member, {}).values():
            os.close(slot.descriptor)

    def flip(self, member: MemberName) -> str:
        """Flip bits in the middle of the newest sealed commit, for a drill. Returns what was done.

        Raises `LookupError` where no slot holds a commit.
        """
        sealed = [(header, slot) for slot in self.slots(member).values() if (header := slot.header()) is not None]
        if not sealed:
            raise LookupError(f"no slot of {member} holds a commit")
        header, slot = max(sealed, key=lambda one: one[0].commit)
        middle = header.payload_bytes // 2 if header.payload_bytes else header.manifest_bytes // 2
        at = (HEADER_BYTES + middle) & ~(_FLIP_BYTES - 1)
        before = os.pread(slot.descriptor, _FLIP_BYTES, at)
        os.pwrite(slot.descriptor, bytes(byte ^ 0xFF for byte in before), at)
        return f"{8 * len(before)} bits at byte {at} of {header.commit} are flipped"


def verify(image: memoryview, wanted: CommitId | None = None) -> str:
    """What is wrong with an image, in words; empty for a whole one. Reads every byte."""
    try:
        header = read_header(image)
    except CommitDamaged as damage:
        return str(damage)
    if header is None:
        return "it is not sealed"
    if wanted is not None and header.commit != wanted:
        return f"it holds {header.commit} now"
    damaged = damaged_chunks(image, header)
    return f"{len(damaged)} of {header.chunk_count} chunks are damaged" if damaged else ""
