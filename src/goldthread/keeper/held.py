"""What is held of one partner's member: two slots, so that the newest whole commit is never written over.

For each slot it is known which checksum the bytes of every chunk have, also in a commit that came in half. So a chunk
that is where it belongs already is left, one that the other slot has is copied, and only the rest is wanted from the
owner. The slot's manifest, table and header come last, and the seal last of all, as in `program/writer.py`.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from time import monotonic, sleep
from typing import Final

from goldthread.errors import CommitDamaged, Fenced, NothingToRestore, PartnerError
from goldthread.keeper.memory import give_slot
from goldthread.names import CommitId, Epoch, KeeperId, MemberName
from goldthread.slots.pins import open_for_pins, pin_for_reading, pin_for_writing, unpin
from goldthread.slots.slot import Slot
from goldthread.wire.carrying import HeldPlace
from goldthread.wire.image import CHECKSUM_BYTES, SEAL_AT, Header, checksum, read_header
from goldthread.wire.stream import first_bytes

__all__ = ["HeldMember", "Landing"]

_PLACES: Final = 2
_UNKNOWN: Final = b""
_PIECE_CHUNKS: Final = 64
"""So many are read again at a time."""


class _Place:
    """One slot, and what is known of its bytes."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self.bytes = os.fstat(descriptor).st_size
        self.own = open_for_pins(descriptor, writing=True)
        self.header: Header | None = None
        """Of the sealed commit."""
        self.chunk_bytes = 0
        self.table: list[bytes] = []
        """The checksum of the bytes of each chunk; `_UNKNOWN` where they may be anything."""
        self._slot: Slot | None = None

    @property
    def image(self) -> memoryview:
        """The slot, mapped until `rest`."""
        if self._slot is None:
            self._slot = Slot(self.descriptor)
        return self._slot.image

    def find(self) -> None:
        """Learn what a slot from an earlier carrier holds. Where that is damaged, it is nothing."""
        image = self.image
        try:
            self.header = read_header(image)
        except CommitDamaged:
            self.header = None
        if self.header is not None:
            self.chunk_bytes = self.header.chunk_bytes
            self.table = _split(image[self.header.table_at : self.header.image_bytes])
        self.rest()

    def rest(self) -> None:
        """Drop the mapping: what a process maps counts as its own."""
        if self._slot is not None:
            self._slot.close()
            self._slot = None

    def close(self) -> None:
        """Whoever reads it again sees by the header that it is gone: its numbers are soon another's."""
        self.header = None
        self.rest()
        os.close(self.own)
        os.close(self.descriptor)


class Landing:
    """A commit on its way into a slot. Within `HeldMember.landing` only."""

    def __init__(self, header: Header, proof: memoryview, place: _Place) -> None:
        self.header = header
        self._proof = proof
        self._table = _split(proof[header.manifest_bytes :])
        self._place = place
        self.image = place.image
        seal = self.image[SEAL_AT : SEAL_AT + 8].cast("Q")
        seal[0] = 0
        place.header = None
        if place.chunk_bytes != header.chunk_bytes:
            place.chunk_bytes, place.table = header.chunk_bytes, []
        del place.table[header.chunk_count :]
        place.table += [_UNKNOWN] * (header.chunk_count - len(place.table))

    def copy_from(self, other: _Place) -> None:
        """Take over the chunks that another slot has at the same place."""
        if other.chunk_bytes != self.header.chunk_bytes:
            return
        source = other.image
        for index in self.missing():
            if index < len(other.table) and other.table[index] == self._table[index]:
                start, end = self.header.chunk_range(index)
                self.make_room(index)[:] = source[start:end]
                self.land(index)

    def missing(self) -> list[int]:
        """The chunks that are not there yet."""
        known = self._place.table
        return [index for index, wanted in enumerate(self._table) if known[index] != wanted]

    def make_room(self, index: int) -> memoryview:
        """Where this chunk goes; what is there now counts no more."""
        self._place.table[index] = _UNKNOWN
        start, end = self.header.chunk_range(index)
        return self.image[start:end]

    def land(self, index: int) -> bool:
        """Check a chunk that has been written: whether it is what was sealed."""
        start, end = self.header.chunk_range(index)
        found = self._place.table[index] = checksum(self.image[start:end])
        return found == self._table[index]

    def seal(self) -> None:
        """All chunks are there: write the rest, and the seal last."""
        header, image = self.header, self.image
        image[header.manifest_at : header.image_bytes] = self._proof
        image[:SEAL_AT] = first_bytes(header, self._proof)[:SEAL_AT]
        seal = image[SEAL_AT : SEAL_AT + 8].cast("Q")
        seal[0] = header.sequence
        self._place.header = header


class HeldMember:
    """The slots of one member, and who may write into them."""

    def __init__(self, partner: KeeperId, member: MemberName, hold: Callable[[HeldPlace, int], None]) -> None:
        """`hold` is given each slot that is made, for somebody else to hold too."""
        self.partner = partner
        self.member = member
        self.epoch: Epoch | None = None
        """Commits of earlier lives are refused, and all of them before the keeper has said what comes in."""
        self.bytes_most = 0
        self._hold = hold
        self._places: dict[int, _Place] = {}
        self._landing = threading.Lock()
        self._cut: Callable[[], None] | None = None
        self._closed = False

    def allow(self, epoch: Epoch, bytes_most: int) -> None:
        """The fence only rises."""
        self.epoch = max(epoch, self.epoch or epoch)
        self.bytes_most = bytes_most

    def take_over(self, index: int, descriptor: int) -> None:
        """A slot of an earlier carrier; or of this one, where a commit may be landing."""
        before = self._places.get(index)
        if before is not None and os.path.sameopenfile(before.descriptor, descriptor):
            os.close(descriptor)
            return
        place = _Place(descriptor)
        place.find()
        if before is not None:
            before.close()
        self._places[index] = place

    def take_turn(self, cut: Callable[[], None]) -> None:
        """A newer connection of the owner ends the one before, which may not know yet that it is cut."""
        before, self._cut = self._cut, cut
        if before is not None and before != cut:
            before()

    def descriptors(self) -> list[tuple[HeldPlace, int]]:
        return [(self._name(index), place.descriptor) for index, place in sorted(self._places.items())]

    def newest(self) -> tuple[HeldPlace, Header] | None:
        """The newest whole commit."""
        sealed = [(index, place.header) for index, place in list(self._places.items()) if place.header is not None]
        if not sealed:
            return None
        index, header = max(sealed, key=lambda one: one[1].commit)
        return self._name(index), header

    @contextmanager
    def landing(self, header: Header, proof: memoryview, free_bytes: int) -> Iterator[Landing | CommitId]:
        """A place for this commit, with all that is here already in it; or the newer commit that is here. `proof` is
        its manifest and its table.

        Raises `Fenced`, `NoRoom`, or `PartnerError` where the partner calls two states by one name.
        """
        with self._landing:
            if self._closed or self.epoch is None:
                raise Fenced(f"{self.member} is not held here any more")
            if header.epoch < self.epoch:
                raise Fenced(
                    f"life {self.epoch} of {self.member} is known of; {header.commit} comes too late",
                    hint="this life must end: two lives of one member must not run",
                )
            newest = self.newest()
            if newest is not None and newest[1].commit >= header.commit:
                if newest[1].commit == header.commit and self._differs(newest[0].index, header, proof):
                    raise PartnerError(f"{header.commit} of {self.member} is held already, and is another state")
                yield newest[1].commit
                return
            index = next(one for one in range(_PLACES) if newest is None or one != newest[0].index)
            place = self._places.get(index)
            if place is None or place.bytes < header.image_bytes:
                place = self._make_place(index, header, free_bytes)
            pin_for_writing(place.own, wait=True)
            try:
                landing = Landing(header, proof, place)
                for other in self._places.values():
                    if other is not place:
                        landing.copy_from(other)
                yield landing
            finally:
                unpin(place.own)

    @contextmanager
    def reading(self, commit: CommitId) -> Iterator[tuple[memoryview, Header]]:
        """A whole commit, for as long as the block lasts. Raises `NothingToRestore`."""
        for place in list(self._places.values()):
            if place.header is not None and place.header.commit == commit:
                own = open_for_pins(place.descriptor, writing=False)
                try:
                    if pin_for_reading(own) and place.header is not None and place.header.commit == commit:
                        slot = Slot(own, writable=False)
                        try:
                            yield slot.image, place.header
                        finally:
                            slot.close()
                        return
                finally:
                    os.close(own)
        raise NothingToRestore(f"{commit} of {self.member} is not held here")

    def check(self, share: float) -> tuple[HeldPlace, str] | None:
        """Read the newest whole commit again, at this share of a core: where it is, and what is damaged, if anything.

        What is damaged counts as not there from then on, so that it alone is wanted when the commit is offered again.
        """
        with self._landing:
            newest = self.newest()
            if newest is None or self._closed:
                return None
            name, header = newest
            place = self._places[name.index]
            own = open_for_pins(place.descriptor, writing=False)
        try:
            text = self._read_again(place, header, own, share)
        finally:
            os.close(own)
        return (name, text) if text else None

    def _read_again(self, place: _Place, header: Header, own: int, share: float) -> str:
        """In pieces, since a landing waits for whoever reads its slot; empty too where the slot is used again."""
        damaged = []
        for first in range(0, header.chunk_count, _PIECE_CHUNKS):
            begun = monotonic()
            if not pin_for_reading(own) or place.header != header:
                return ""
            for index in range(first, min(first + _PIECE_CHUNKS, header.chunk_count)):
                start, end = header.chunk_range(index)
                if checksum(os.pread(own, end - start, start)) != place.table[index]:
                    damaged.append(index)
            unpin(own)
            sleep((monotonic() - begun) * (1 / share - 1))
        with self._landing:
            if self._closed or place.header != header:
                return ""
            pin_for_writing(place.own, wait=True)
            try:
                return _count_out(place, header, damaged)
            finally:
                unpin(place.own)
                place.rest()

    def rest(self) -> None:
        """Drop the mappings, unless something lands at this moment."""
        if self._landing.acquire(blocking=False):
            try:
                for place in self._places.values():
                    place.rest()
            finally:
                self._landing.release()

    def close(self) -> None:
        """Let the slots go, and end what lands at this moment."""
        self._closed = True
        if self._cut is not None:
            self._cut()
        with self._landing:
            while self._places:
                self._places.popitem()[1].close()

    def _make_place(self, index: int, header: Header, free_bytes: int) -> _Place:
        """A fresh slot, in place of a smaller one. What had landed in that must come again."""
        place = _Place(give_slot(self.member, header.image_bytes, free_bytes))
        before, self._places[index] = self._places.get(index), place
        if before is not None:
            before.close()
        self._hold(self._name(index), place.descriptor)
        return place

    def _differs(self, index: int, header: Header, proof: memoryview) -> bool:
        first = first_bytes(header, proof)
        return self._places[index].image[: len(first)] != first

    def _name(self, index: int) -> HeldPlace:
        return HeldPlace(self.partner, self.member, index)


def _count_out(place: _Place, header: Header, damaged: Sequence[int]) -> str:
    """What is damaged, in words; the commit is open then, and lacks what is damaged."""
    try:
        is_proved = read_header(place.image) == header
    except CommitDamaged:
        is_proved = False
    if is_proved and not damaged:
        return ""
    place.header = None
    place.image[SEAL_AT : SEAL_AT + 8] = bytes(8)
    for index in damaged:
        place.table[index] = _UNKNOWN
    if not is_proved:
        return f"the header, manifest or table of {header.commit} is damaged"
    return f"{len(damaged)} of {header.chunk_count} chunks of {header.commit} are damaged"


def _split(table: memoryview) -> list[bytes]:
    packed = bytes(table)
    return [packed[at : at + CHECKSUM_BYTES] for at in range(0, len(packed), CHECKSUM_BYTES)]
