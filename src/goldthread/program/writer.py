"""Writes commits into slots, so that at every instant the newest sealed one is whole.

The order of writing is what keeps the promise: the seal is cleared, then come payload, manifest, table and header,
and the seal last, as one store of eight bytes. The truth about a slot is its seal, never a note of the writer: an
exception may arrive between any two lines (a signal handler's, for one), and whatever it leaves is read from the slot
again. What the writer remembers of a slot is forgotten before the slot is touched and noted when it is sealed.

A chunk is expected to stay as it is when its checksum was the same in the last two commits.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from contextlib import suppress
from math import inf
from operator import attrgetter, eq
from time import monotonic, sleep
from typing import Any, Final

from goldthread.errors import CannotStore, NoRoom
from goldthread.names import CommitId, Epoch, MemberName, Step
from goldthread.program.voucher import Voucher
from goldthread.rules.rotation import SlotChoice, SlotState, choose_slot
from goldthread.slots.copying import ALONE_BYTES, Crew, Payload, PayloadCopy
from goldthread.slots.layout import CHUNK_BYTES
from goldthread.slots.pins import open_for_pins, pin_for_writing, unpin
from goldthread.slots.slot import Slot
from goldthread.slots.sparse import Looks
from goldthread.slots.writes import WrittenPages
from goldthread.state.classes import Classes
from goldthread.state.generators import capture_generators
from goldthread.state.kinds.registry import REGISTRY
from goldthread.state.manifest import Structure
from goldthread.state.walk import walk
from goldthread.wire.image import HEADER_BYTES, SEAL_AT, Header, pack_header

__all__ = ["InexactWarning", "Writer"]

_HEADROOM: Final = 8
"""A slot is asked for with an eighth more than is needed, so that a growing state does not ask each time."""
_LOOK_BYTES: Final = 32 << 20
"""Less is read in the time that it takes to find out whether it must be."""
_WAIT_SECONDS: Final = 0.001
"""The kernel waits for one reader, not for the first of several."""
_LONG_SECONDS: Final = 0.2
"""A reader that reads memory is done with a GiB by then. One that waits for a disk or a network is not."""

_sequence: Final = attrgetter("sequence")


class InexactWarning(UserWarning):
    """Something in the state cannot come back exactly in some respect; the rest of it does."""


class _Place:
    """A slot, and what the writer knows about the commit in it."""

    def __init__(self, descriptor: int) -> None:
        self.slot = Slot(descriptor)
        self.own = open_for_pins(descriptor, writing=True)
        self.is_pinned = False
        """Whether it may be pinned: True before the pin is sought, so that an interruption leaves none unknown."""
        self.seal = self.slot.image[SEAL_AT : SEAL_AT + 8].cast("Q")
        self.commit: CommitId | None = None
        """Of the commit that is sealed, or being written."""
        self.payload: Payload | None = None
        """What is known of the sealed payload."""

    @property
    def sequence(self) -> int:
        """Of the sealed commit; 0 where there is none."""
        return self.seal[0]

    def pin(self) -> bool:
        """Keep readers out, unless somebody reads."""
        self.is_pinned = True
        return pin_for_writing(self.own)

    def unpin(self) -> None:
        unpin(self.own)
        self.is_pinned = False

    def close(self) -> None:
        descriptor = self.slot.descriptor
        self.payload = None
        self.seal.release()
        self.slot.close()
        os.close(self.own)
        os.close(descriptor)


class Writer:
    """The commits of one life.

    `new_slot(index, bytes)` gives the descriptor of a slot of at least so many bytes; None where no keeper can be
    reached now; it raises `NoRoom` where memory is short. A commit is sealed only while the voucher stands; None where
    there is nobody to vouch. With `sparse` it asks the kernel what was written, where that knows; None leaves it to
    what is observed (`slots/sparse.py`).
    """

    def __init__(
        self,
        member: MemberName,
        epoch: Epoch,
        *,
        slots_most: int,
        new_slot: Callable[[int, int], int | None],
        pickle: bool,
        sparse: bool | None = None,
        voucher: Voucher | None = None,
    ) -> None:
        self._member = member
        self._epoch = epoch
        self._slots_most = slots_most
        self._new_slot = new_slot
        self.classes = Classes()
        """What the program knows, so that a restore would use it."""
        self._pickle = pickle
        self._told: set[str] = set()
        """What was said of things that cannot come back exactly."""
        self._voucher = voucher
        self._places: dict[int, _Place] = {}
        self._sequence = 0
        self._structure: Structure | None = None
        self._table: list[bytes] | None = None
        self._settled: list[bool] | None = None
        self._crew = Crew()
        self._looks: Looks | None = None
        """None: every array is read. So it is too where the kernel does not say what was written."""
        self._may_look = sparse is None
        """Once a state is large."""
        if sparse:
            self._begin_to_look(asked=True)
        self._ahead: _Place | None = None
        """Once all slots are made, the one with the oldest commit: for the next, if it is large enough and unread."""

    @property
    def slots(self) -> dict[int, Slot]:
        """By index, for handing over to a new keeper."""
        return {index: place.slot for index, place in sorted(self._places.items())}

    @property
    def is_sparse(self) -> bool:
        """It was asked for, and the kernel says what was written."""
        return self._looks is not None and self._looks.is_asked

    @property
    def newest(self) -> CommitId | None:
        """The newest sealed commit."""
        newest = self._newest_place()
        return None if newest is None else newest.commit

    def write(self, state: object, step: Step, generators: bool) -> CommitId | None:
        """Seal one commit; None where no slot could be had. Waits where nobody vouches for the life.

        Raises `CannotStore` before anything is written, `NoRoom` where memory is short, `Fenced` where a newer life
        exists; older commits stay.
        """
        roots: dict[str, object] = {"state": state}
        if generators:
            roots["generators"] = capture_generators()
        structure, manifest, arrays = self._look_with_care(roots)
        sequence = self._sequence + 1
        header = Header(
            self._member, self._epoch, step, sequence, structure.layout.payload_bytes, len(manifest), CHUNK_BYTES
        )
        bounds = header.bounds
        place = self._take_place(bounds[2])
        if place is None:
            return None
        try:
            self._sequence = sequence
            self._write_into(place, header, bounds, structure, arrays, manifest)
        finally:
            place.unpin()
        if len(self._places) >= self._slots_most:
            self._ahead = min(self._places.values(), key=_sequence)
        return place.commit

    def _look_with_care(self, roots: dict[str, object]) -> tuple[Structure, bytes, list[Any]]:
        """In haste first; with care where there is an int or a text that msgpack has no word for."""
        try:
            return self._look_at(roots, careful=False)
        except (OverflowError, UnicodeEncodeError):
            return self._look_at(roots, careful=True)

    def _look_at(self, roots: dict[str, object], *, careful: bool) -> tuple[Structure, bytes, list[Any]]:
        """The structure of a state, its manifest and its arrays. Raises `CannotStore`."""
        last = self._structure
        if last is not None and (found := last.again(roots)) is not None:
            return last, *found
        walked = walk(roots, REGISTRY, classes=self.classes, pickle=self._pickle, careful=careful, told=self._told)
        self._say(walked.inexact)
        if last is not None and last.fits(walked):
            last.remember(roots, walked)
            structure = last
        else:
            structure = Structure(walked)
        try:
            return structure, structure.manifest(walked.values), walked.arrays
        except TypeError as error:
            raise CannotStore(
                f"the state was changed by another thread while it was committed: {error}",
                hint="hold a lock over the changes and over commit, or commit a copy",
            ) from error

    def _say(self, inexact: dict[str, str]) -> None:
        """Say once what cannot come back exactly in some respect."""
        for text, place in inexact.items():
            self._told.add(text)
            warnings.warn(f"{place}: {text}", InexactWarning, stacklevel=5)

    def close(self) -> None:
        """Give up all slots; what is sealed in them is the keeper's to free."""
        self._crew.close()
        if self._looks is not None:
            self._looks.close()
        while self._places:
            self._places.popitem()[1].close()

    def _write_into(
        self,
        place: _Place,
        header: Header,
        bounds: tuple[int, int, int],
        structure: Structure,
        arrays: list[Any],
        manifest: bytes,
    ) -> None:
        layout, image, payload = structure.layout, place.slot.image, place.payload
        manifest_at, _, end = bounds
        if self._may_look and layout.large_bytes >= _LOOK_BYTES:
            self._may_look = False
            self._begin_to_look(asked=False)
        look = 0 if self._looks is None else self._looks.look(layout, arrays)
        place.payload = None
        self._crew.wait()
        place.seal[0] = 0
        place.commit = header.commit

        if payload is None or payload.layout is not layout:
            payload = Payload(layout, image[HEADER_BYTES:manifest_at])
        settled = self._settled if structure is self._structure else None
        lacking = None if self._looks is None else self._looks.lacking(payload.look)
        copy = PayloadCopy(payload, arrays, settled, lacking)
        copy.place_strided()
        alone = min(layout.large_bytes, len(copy.lacking) * CHUNK_BYTES) < ALONE_BYTES
        self._crew.do(len(copy.lacking), copy.copy, alone=alone)

        table = b"".join(copy.table)
        image[manifest_at:end] = manifest + table
        image[:SEAL_AT] = pack_header(header, manifest, table).ljust(SEAL_AT, b"\0")
        self._seal(place, header.sequence)

        last = self._table if structure is self._structure else None
        self._structure = structure
        self._settled = None if last is None else list(map(eq, copy.table, last))
        self._table = payload.table = copy.table
        payload.look = look
        place.payload = payload
        if self._looks is not None:
            self._looks.learn(self._settled)

    def _begin_to_look(self, *, asked: bool) -> None:
        with suppress(OSError):
            self._looks = Looks(WrittenPages(), asked=asked)

    def _seal(self, place: _Place, sequence: int) -> None:
        """Seal while the life is vouched for: a seal that came too late is taken back. See `voucher.py`."""
        voucher = self._voucher
        if voucher is None:
            place.seal[0] = sequence
            return
        while True:
            voucher.wait()
            place.seal[0] = sequence
            if voucher.stands:
                return
            place.seal[0] = 0

    def _newest_place(self) -> _Place | None:
        sealed = [place for place in self._places.values() if place.sequence]
        return max(sealed, key=_sequence, default=None)

    def _take_place(self, needed: int) -> _Place | None:
        """A slot that may be overwritten, pinned for writing. Where all are read for long it is a spare one; where
        there is no room for that, the first that is not read any more."""
        ahead, self._ahead = self._ahead, None
        if ahead is not None and needed <= ahead.slot.bytes and ahead.pin():
            return ahead
        most, busy, refused = self._slots_most, set[int](), None
        patience, is_long = _LONG_SECONDS, False
        for place in self._places.values():
            if place.is_pinned:  # By a commit that was interrupted.
                place.unpin()
        while True:
            choice = self._choose(needed, most, busy, is_long)
            if choice.index is None and busy:
                free = self._wait_for_one(busy, patience)
                if free is not None:
                    busy.remove(free)
                patience, is_long = inf, free is None
            elif choice.index is not None and not choice.fresh:
                place = self._places[choice.index]
                if place.pin():
                    return place
                busy.add(choice.index)
            else:
                try:
                    made = None if choice.index is None else self._make_place(choice.index, needed)
                except NoRoom as error:
                    made, refused = None, error
                if made is not None:
                    return made
                if most <= len(self._places) and not is_long:
                    if refused is not None:
                        raise refused
                    return None
                most, patience, is_long = len(self._places), inf, False  # Go on with the slots that there are.

    def _wait_for_one(self, busy: set[int], seconds: float) -> int | None:
        """The first of these slots that nobody reads any more, pinned for writing; None where all are read on.

        One may go to the vault and be free in a moment, another to a partner, over a link that is slow, or cut.
        """
        oldest_first = sorted(busy, key=lambda index: self._places[index].sequence)
        end = monotonic() + seconds
        while True:
            for index in oldest_first:
                if self._places[index].pin():
                    return index
            if monotonic() >= end:
                return None
            sleep(_WAIT_SECONDS)

    def _choose(self, needed: int, most: int, busy: set[int], is_long: bool) -> SlotChoice:
        slots = [SlotState(i, p.slot.bytes, p.seal[0], i in busy) for i, p in sorted(self._places.items())]
        return choose_slot(slots, needed, most, is_long=is_long)

    def _make_place(self, index: int, needed: int) -> _Place | None:
        """A fresh slot, in place of the one of this index if there is one, pinned for writing."""
        old = self._places.pop(index, None)  # While the keeper is asked, nobody knows which of the two it holds.
        descriptor, refused = None, None
        try:
            descriptor = self._new_slot(index, needed + needed // _HEADROOM)
        except NoRoom as error:
            refused = error
        if descriptor is None:
            if old is not None:
                self._places[index] = old
            if refused is not None:
                raise refused
            return None
        place = self._places[index] = _Place(descriptor)
        if old is not None:
            old.close()
        place.pin()
        return place
