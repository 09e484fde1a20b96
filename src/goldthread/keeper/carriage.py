"""The keeper's side of its carrier: it gives it work, and makes events of what it says.

The carrier is started when there is something for it to do, and again when it dies. Whatever it must know to go on
is kept here and said again, and the slots that it holds are held here too: the death of either costs no copy. Nothing
is decided, and no byte of a state passes through.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable
from typing import Any, Final

import msgspec

from goldthread import errors
from goldthread.errors import GoldthreadError, KeeperError, PartnerError, PartnerUnreachable
from goldthread.keeper.door import Connection
from goldthread.keeper.keeper import Keeper
from goldthread.keeper.launch import start_carrier
from goldthread.keeper.shelf import HeldSlot
from goldthread.names import CommitId, KeeperId, Level, MemberName, seconds
from goldthread.rules.bond_events import (
    BundleFailed,
    BundleLanded,
    BundleSent,
    CommitHeld,
    CopiesGone,
    CopyLanded,
    ReplicateFailed,
)
from goldthread.rules.bond_orders import (
    AdoptCopies,
    AllowCopies,
    DropCopies,
    HeldRecord,
    Overtake,
    Replicate,
    SendBundle,
)
from goldthread.rules.events import Copy
from goldthread.wire import carrying
from goldthread.wire.messages import HoldSlot

__all__ = ["Carriage"]

log = logging.getLogger("goldthread.keeper")

_START_AGAIN: Final = seconds(1)

Key = tuple[KeeperId, MemberName]
KeepBundle = Callable[[KeeperId, MemberName, str, bytes], tuple[str, ...]]
"""Keep what is needed to run a partner's member, and say how this host differs. Raises `GoldthreadError`."""
Hear = Callable[[Connection, Any, list[int]], None]
"""What follows from a word of the carrier and the descriptors that came with it."""
Fetched = tuple[Callable[[tuple[int, ...]], None], Callable[[GoldthreadError], None]]


class Carriage:
    def __init__(self, keeper: Keeper, keep_bundle: KeepBundle, host: str = "") -> None:
        """The carrier listens at `host`; empty: at all of this machine's."""
        self._keeper = keeper
        self._host = host
        self._keep_bundle = keep_bundle
        self._carrier: Connection | None = None
        self._is_started = False
        self._ended = ""
        """How the last one that was started ended, if that is worth a word."""
        self._partners: dict[KeeperId, carrying.KnowPartner] = {}
        self._allowed: dict[Key, carrying.AllowMember] = {}
        self.held: dict[carrying.HeldPlace, HeldSlot] = {}
        """The slots with partners' commits."""
        self._adopted: set[Key] = set()
        """What is this keeper's own since it was taken over."""
        self._handed_over: list[carrying.HeldPlace] = []
        """What the carrier that comes has said it holds."""
        self._unsent: list[tuple[msgspec.Struct, list[int]]] = []
        """What waits until the carrier is here."""
        self._over: list[msgspec.Struct] = []
        """What it is told first then: a partner may be known anew by then, a member allowed anew."""
        self._carried: dict[Key, Replicate] = {}
        """What was ordered and is not answered yet."""
        self._bundles: set[Key] = set()
        self._fetches: dict[int, Fetched] = {}
        self._tickets = 0
        self.port = 0
        """Where the carrier listens; 0 while there is none."""
        hear: dict[type[Any], Hear] = {
            carrying.CarrierNote: self._come,
            carrying.CopySlotNote: self._slot_made,
            carrying.CopyLandedNote: self._landed,
            carrying.CopyDamagedNote: self._damaged,
            carrying.CommitCarriedNote: self._commit_carried,
            carrying.CommitNotCarriedNote: self._commit_not_carried,
            carrying.CommitOvertakenNote: self._commit_overtaken,
            carrying.ChunksFetchedNote: self._chunks_fetched,
            carrying.FetchFailedNote: self._fetch_failed,
            carrying.BundleArrivedNote: self._bundle_arrived,
            carrying.BundleCarriedNote: self._bundle_carried,
            carrying.BundleNotCarriedNote: self._bundle_not_carried,
        }
        self.hear = {kind: _of_a_carrier(one) for kind, one in hear.items()}

    # Partners

    def know(self, partner: KeeperId, addresses: tuple[str, ...], bandwidth: int) -> None:
        """Where a partner's carrier is, and how many bytes a second may go there (0: what can be spared)."""
        known = carrying.KnowPartner(partner, addresses, bandwidth)
        if self._partners.get(partner) != known:
            self._partners[partner] = known
            self._say(known)

    def forget(self, partner: KeeperId) -> None:
        """The bond is over: what was held for it is let go."""
        self._partners.pop(partner, None)
        self._carried = {key: order for key, order in self._carried.items() if key[0] != partner}
        self._allowed = {key: allowed for key, allowed in self._allowed.items() if key[0] != partner}
        for place in [place for place in self.held if place.partner == partner]:
            self._let_go(place)
        self._say(carrying.ForgetPartner(partner))

    # What the machine orders

    def replicate(self, order: Replicate) -> None:
        """Answered by `CommitHeld` or `ReplicateFailed`. Nothing is pinned before the carrier is here."""
        self._carried[order.partner, order.member] = order
        if self._carrier is None:
            self._want_carrier()
        elif found := self._keeper.shelf.pin_newest(order.member, order.commit.epoch):
            commit, lent = found
            self._say(carrying.CarryCommit(order.partner, order.member, commit), [lent])
            os.close(lent)
        else:
            self._not_carried(order.partner, order.member, "its slot is gone")

    def overtake(self, order: Overtake) -> None:
        """The newer commit may be of a newer life, whose slots are others."""
        if (order.partner, order.member) in self._carried:
            self._carried[order.partner, order.member] = Replicate(order.member, order.commit, order.partner)
            self._say(carrying.OvertakeCommit(order.partner, order.member, order.commit))

    def allow(self, order: AllowCopies) -> None:
        allowed = carrying.AllowMember(order.partner, order.member, order.epoch, order.bytes_most)
        self._allowed[order.partner, order.member] = allowed
        self._adopted.discard((order.partner, order.member))
        self._say(allowed)

    def drop(self, order: DropCopies) -> None:
        self._drop(order.partner, order.member)
        for place in self._places(order.partner, order.member):
            self._let_go(place)

    def adopt(self, order: AdoptCopies) -> None:
        """What is held is this keeper's own from now on; so is what the carrier of the last keeper hands over later."""
        self._drop(order.partner, order.member)
        self._adopted.add((order.partner, order.member))
        self._make_own(order.partner, order.member)

    def _make_own(self, partner: KeeperId, member: MemberName) -> None:
        """The slots go to the shelf, under the lives that made the commits."""
        shelf, shim = self._keeper.shelf, self._keeper.ward(member).shim
        for place in self._places(partner, member):
            slot = self.held.pop(place)
            header = slot.header()
            if header is None or header.member != member:
                os.close(slot.descriptor)
                continue
            taken = shelf.slots(member)
            index = next(one for one in range(len(taken) + 1) if (header.epoch, one) not in taken)
            if shim is not None:
                shim.send(HoldSlot(header.epoch, index), [slot.descriptor])
            shelf.put(member, header.epoch, index, slot.descriptor)

    def send_bundle(self, order: SendBundle, digest: str, data: bytes) -> None:
        """Answered by `BundleSent` or `BundleFailed`."""
        self._bundles.add((order.partner, order.member))
        self._say(carrying.CarryBundle(order.partner, order.member, digest, data))

    def fetch(
        self,
        partner: KeeperId,
        member: MemberName,
        commit: CommitId,
        chunks: tuple[int, ...] | None,
        descriptor: int,
        done: Callable[[tuple[int, ...]], None],
        failed: Callable[[GoldthreadError], None],
    ) -> None:
        """Have these chunks of what a partner holds written to their places in a file as long as the image; then
        `done` with those that came. Where `chunks` is None, the first page, manifest and table come instead."""
        self._tickets += 1
        self._fetches[self._tickets] = (done, failed)
        self._say(carrying.FetchChunks(self._tickets, partner, member, commit, chunks), [descriptor])

    def find_copies(self, records: Iterable[HeldRecord]) -> None:
        """A new keeper waits a moment for the carrier of the one before. What nobody hands over then is lost, and
        what nobody asked for is let go."""
        known = {(record.partner, record.member): record.commit for record in records}

        def look() -> None:
            for (partner, member), commit in known.items():
                if commit is not None and not self.copies(partner, member):
                    self._keeper.tell(CopiesGone(partner, member, "the processes that held it are gone"))
            held = {(place.partner, place.member) for place in self.held}
            for partner, member in held - known.keys() - self._allowed.keys():
                self.drop(DropCopies(partner, member))

        self._keeper.loop.after(self._keeper.policy.return_grace, look)

    def copies(self, partner: KeeperId, member: MemberName) -> list[Copy]:
        """The whole commits that are held of a partner's member."""
        headers = [self.held[place].header() for place in self._places(partner, member)]
        return [Copy(one.commit, Level.HELD, one.image_bytes) for one in headers if one is not None]

    def bytes(self, partner: KeeperId) -> int:
        """Of memory that is taken by what is held for a partner."""
        return sum(slot.bytes for place, slot in self.held.items() if place.partner == partner)

    def stop(self) -> None:
        """The keeper ends in order, and its carrier with it."""
        self._partners.clear()
        self._allowed.clear()
        if self._carrier is not None:
            self._carrier.send(carrying.EndCarrier())

    # The carrier

    def gone(self, connection: Connection) -> None:
        """A connection ended. Where it was the carrier's, another carrier goes on, and what was asked is answered."""
        if connection is not self._carrier:
            return
        self._carrier, self.port = None, 0
        text = "the carrier ended; it is started again"
        bundles, fetches, self._bundles, self._fetches = self._bundles, self._fetches, set(), {}
        for partner, member in [*self._carried]:
            self._not_carried(partner, member, text)
        for partner, member in bundles:
            self._keeper.tell(BundleFailed(member, partner, text))
        for _, failed in fetches.values():
            failed(PartnerUnreachable(text))
        self._want_carrier()

    def _want_carrier(self) -> None:
        """Start the carrier where there is something for it to do. Where one lives already, the new one ends."""
        if self._carrier is not None or self._is_started or not (self._partners or self._allowed):
            return

        def ended(how: str) -> None:
            self._is_started = False
            if how and how == self._ended:
                log.warning("%s; it is started again", how)
            elif how:
                self._keeper.warn(None, f"{how}; it is started again")
            self._ended = how or self._ended
            self._keeper.loop.after(_START_AGAIN, self._want_carrier)

        self._is_started = start_carrier(self._keeper, self._host, ended)
        if not self._is_started:
            self._keeper.loop.after(_START_AGAIN, self._want_carrier)

    def _say(self, message: msgspec.Struct, descriptors: Iterable[int] = ()) -> None:
        """Now, or as soon as the carrier is here, unless it is told anyway. The caller may close its descriptors."""
        if self._carrier is not None:
            self._carrier.send(message, list(descriptors))
        elif isinstance(message, carrying.ForgetPartner | carrying.DropMember):
            self._over.append(message)
        elif not isinstance(message, carrying.KnowPartner | carrying.AllowMember | carrying.OvertakeCommit):
            self._unsent.append((message, [os.dup(one) for one in descriptors]))
        self._want_carrier()

    def _come(self, connection: Connection, note: carrying.CarrierNote, _: list[int]) -> None:
        """The carrier is here: say what it must know, hand over what it lacks, and give it what waits."""
        self._carrier, self.port = connection, note.port
        handed_over, self._handed_over = self._handed_over, []
        for key in self._adopted:
            self._make_own(*key)
        over, self._over = self._over, []
        for message in (*over, *self._partners.values(), *self._allowed.values()):
            connection.send(message)
        for place, slot in self.held.items():
            if over or place not in handed_over:
                connection.send(carrying.HoldCopySlot(place), [slot.descriptor])
        for place in handed_over:
            self._tell_landed(place)
        unsent, self._unsent = self._unsent, []
        for message, held in unsent:
            connection.send(message, held)
            for descriptor in held:
                os.close(descriptor)
        for order in [*self._carried.values()]:
            self.replicate(order)

    def _slot_made(self, connection: Connection, note: carrying.CopySlotNote, descriptors: list[int]) -> None:
        if len(descriptors) != 1:
            raise KeeperError(f"one descriptor should have come, and {len(descriptors)} did")
        if note.place in self.held:
            self._let_go(note.place)
        if connection is not self._carrier:
            self._handed_over.append(note.place)
        elif (note.place.partner, note.place.member) not in self._allowed:
            os.close(descriptors[0])  # It was dropped meanwhile.
            return
        self.held[note.place] = HeldSlot(descriptors[0])

    def _landed(self, connection: Connection, note: carrying.CopyLandedNote, _: list[int]) -> None:
        if (note.place.partner, note.place.member) in self._allowed:
            copy = Copy(note.commit, Level.HELD, note.bytes)
            self._keeper.tell(CopyLanded(note.place.partner, note.place.member, copy))

    def _damaged(self, connection: Connection, note: carrying.CopyDamagedNote, _: list[int]) -> None:
        self._keeper.tell(CopiesGone(note.place.partner, note.place.member, note.text, damaged=True))
        for place in self._places(note.place.partner, note.place.member):
            if place != note.place:  # An older commit, and better than none.
                self._tell_landed(place)

    def _tell_landed(self, place: carrying.HeldPlace) -> None:
        """A slot that a carrier brought from before this keeper: what is whole in it counts."""
        header = self.held[place].header() if place in self.held else None
        if header is not None and header.member == place.member:
            copy = Copy(header.commit, Level.HELD, header.image_bytes)
            self._keeper.tell(CopyLanded(place.partner, place.member, copy))

    def _commit_carried(self, connection: Connection, note: carrying.CommitCarriedNote, _: list[int]) -> None:
        if self._carried.pop((note.partner, note.member), None) is not None:
            ward = self._keeper.ward(note.member)
            if ward.epoch == note.commit.epoch:
                ward.say_held(note.commit.step)
            self._keeper.tell(CommitHeld(note.member, note.partner, note.commit, note.sent, note.is_read))

    def _commit_not_carried(self, connection: Connection, note: carrying.CommitNotCarriedNote, _: list[int]) -> None:
        self._not_carried(note.partner, note.member, note.text, note.damaged)

    def _not_carried(self, partner: KeeperId, member: MemberName, text: str, damaged: bool = False) -> None:
        if self._carried.pop((partner, member), None) is not None:
            self._keeper.tell(ReplicateFailed(member, partner, text, damaged))

    def _commit_overtaken(self, connection: Connection, note: carrying.CommitOvertakenNote, _: list[int]) -> None:
        if order := self._carried.get((note.partner, note.member)):
            self.replicate(order)

    def _chunks_fetched(self, connection: Connection, note: carrying.ChunksFetchedNote, _: list[int]) -> None:
        if note.ticket in self._fetches:
            self._fetches.pop(note.ticket)[0](note.landed)

    def _fetch_failed(self, connection: Connection, note: carrying.FetchFailedNote, _: list[int]) -> None:
        if note.ticket in self._fetches:
            kind = getattr(errors, note.error, PartnerError)
            self._fetches.pop(note.ticket)[1](kind(note.text, hint=note.hint))

    def _bundle_arrived(self, connection: Connection, note: carrying.BundleArrivedNote, _: list[int]) -> None:
        def kept(differences: tuple[str, ...]) -> None:
            self._keeper.tell(BundleLanded(note.partner, note.member, note.digest))
            connection.send(carrying.BundleTaken(note.ticket, differences, ""))

        def refused(error: BaseException) -> None:
            connection.send(carrying.BundleTaken(note.ticket, (), str(error)))

        # Files are written and an interpreter is asked what it has: no beat is to wait for that.
        keep = self._keep_bundle
        self._keeper.loop.work(lambda: keep(note.partner, note.member, note.digest, note.data), kept, refused)

    def _bundle_carried(self, connection: Connection, note: carrying.BundleCarriedNote, _: list[int]) -> None:
        if (note.partner, note.member) in self._bundles:
            self._bundles.remove((note.partner, note.member))
            self._keeper.tell(BundleSent(note.member, note.partner, note.digest, note.differences))

    def _bundle_not_carried(self, connection: Connection, note: carrying.BundleNotCarriedNote, _: list[int]) -> None:
        if (note.partner, note.member) in self._bundles:
            self._bundles.remove((note.partner, note.member))
            self._keeper.tell(BundleFailed(note.member, note.partner, note.text))

    # Slots

    def _places(self, partner: KeeperId, member: MemberName) -> list[carrying.HeldPlace]:
        return [place for place in self.held if (place.partner, place.member) == (partner, member)]

    def _drop(self, partner: KeeperId, member: MemberName) -> None:
        self._allowed.pop((partner, member), None)
        self._say(carrying.DropMember(partner, member))

    def _let_go(self, place: carrying.HeldPlace) -> None:
        os.close(self.held.pop(place).descriptor)


def _of_a_carrier(hear: Hear) -> Hear:
    """Raises `KeeperError` where somebody else speaks like a carrier."""

    def heard(connection: Connection, note: Any, descriptors: list[int]) -> None:
        if connection.role != "carrier":
            raise KeeperError("this connection is no carrier's")
        hear(connection, note, descriptors)

    return heard
