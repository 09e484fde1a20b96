"""The owner's side of a carrier: commits go to holders, and what they hold comes back.

Each member that goes to a partner has a thread and a connection of its own, so a slow partner delays nobody else. A
connection is kept between commits. When it is cut it is called again at once, and the holder wants only what it does
not have yet; that goes on as long as each try brings something. The newest commit wins: one that waits is replaced,
and one that is under way is given up for it while little of it has gone (`rules/overtaking.py`).
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from typing import Final

import msgspec

from goldthread.errors import CommitDamaged, GoldthreadError, PartnerError, PartnerUnreachable
from goldthread.keeper.keys import Keys
from goldthread.keeper.pipe import Pipe, call
from goldthread.keeper.rate import Rate
from goldthread.keeper.receiving import Tell
from goldthread.keeper.shelf import reading
from goldthread.names import CommitId, Instant, KeeperId, MemberName
from goldthread.rules.overtaking import may_overtake
from goldthread.slots.slot import Slot
from goldthread.wire.carrying import (
    BundleCarriedNote,
    BundleNotCarriedNote,
    CarryBundle,
    CarryCommit,
    ChunksFetchedNote,
    CommitCarriedNote,
    CommitNotCarriedNote,
    CommitOvertakenNote,
    FetchChunks,
    FetchFailedNote,
    KnowPartner,
    OvertakeCommit,
)
from goldthread.wire.image import HEADER_BYTES, Header, read_header
from goldthread.wire.stream import (
    BundleKept,
    Fetch,
    Held,
    Image,
    Offer,
    PutBundle,
    Runs,
    Want,
    bursts,
    check_chunks,
    check_lengths,
    check_page,
    check_proof,
    check_runs,
    runs_of,
    span_of,
)

__all__ = ["Sendings", "fetch"]

_FUTILE_MOST: Final = 2
"""Tries in a row that brought nothing, before it is given up."""
_IDLE_SECONDS: Final = 60.0
"""After so long without a commit connection and thread are given up: members come and go, and bonds stay."""
_KEYS_BYTES_MOST: Final = 128 << 30
"""Then a connection is called anew, which makes new keys: those of AES-GCM are good for 2^24.5 records of 16 KiB (RFC
8446, section 5.5), three times as much, and OpenSSL renews none of its own accord."""


class _Overtaken(Exception):
    """There is a newer commit, and it is worth to turn to it."""


class _Road:
    """The way to one partner's carrier."""

    def __init__(self, keys: Keys, known: KnowPartner) -> None:
        self._keys = keys
        self.known = known
        self.rate = Rate(known.bandwidth)

    def learn(self, known: KnowPartner) -> None:
        self.known = known
        self.rate.bytes_per_second = known.bandwidth

    def call(self) -> Pipe:
        return call(self._keys, self.known.addresses, self.known.partner)


class _Sender:
    """Brings one member's commits to one partner."""

    def __init__(self, road: _Road, member: MemberName, tell: Tell) -> None:
        self._road = road
        self._member = member
        self._tell = tell
        self._pipe: Pipe | None = None
        self._next: tuple[CommitId, int] | None = None
        self._changed = threading.Condition()
        self._closed = False
        self._runs = False
        self._newest: CommitId | None = None
        """Of those that are known to be sealed."""
        self._wanted = 0
        """How many bytes of the commit under way the holder lacked at first."""
        self._sent = 0
        """How many of them went there."""
        self._in_vain = 0
        """How many went for others, which were given up, since the holder had a whole one."""

    def carry(self, commit: CommitId, lent: int) -> None:
        """Bring this commit, in place of one that waits. The descriptor is the sender's from now on."""
        with self._changed:
            if self._next is not None:
                os.close(self._next[1])
            self._next = (commit, lent)
            self._changed.notify()
            if not self._runs:
                threading.Thread(target=self._run, name="goldthread-send", daemon=True).start()
                self._runs = True

    def overtake(self, commit: CommitId) -> None:
        self._newest = commit

    def close(self) -> None:
        with self._changed:
            self._closed = True
            if self._pipe is not None:
                self._pipe.cut()
            self._changed.notify()

    def _say(self, note: msgspec.Struct) -> None:
        """Unless the bond is over: nobody waits for it then, and where it is tied again that would be misled."""
        if not self._closed:
            self._tell(note, ())

    def _run(self) -> None:
        while (task := self._take()) is not None:
            try:
                carried = self._carry(*task)
            except _Overtaken:
                self._in_vain += self._sent
                self._hang_up()
                self._say(CommitOvertakenNote(self._road.known.partner, self._member))
            except (GoldthreadError, OSError) as error:
                self._hang_up()
                is_damaged = isinstance(error, CommitDamaged)
                self._say(CommitNotCarriedNote(self._road.known.partner, self._member, str(error), is_damaged))
            else:
                self._in_vain = 0
                self._say(carried)

    def _take(self) -> tuple[CommitId, int] | None:
        """What to carry next. None: this thread is to end, and another begins with the next commit, if one comes."""
        with self._changed:
            self._changed.wait_for(lambda: self._next is not None or self._closed, _IDLE_SECONDS)
            task, self._next = self._next, None
            if task is not None and self._closed:
                os.close(task[1])
                task = None
            if task is None:
                self._hang_up()
                self._runs = False
            return task

    def _carry(self, commit: CommitId, lent: int) -> CommitCarriedNote:
        """Try until it is held, and say which commit is: a newer one may have taken its place between two tries."""
        self._wanted, self._sent, asked, futile = 0, 0, None, 0
        with reading(lent) as image:
            header = read_header(image)
            if header is None or header.commit != commit:
                raise CommitDamaged(f"the slot of {commit} of {self._member} was used again")
            while True:
                before = asked
                try:
                    pipe = self._call()
                    pipe.send(Offer(bytes(image[:HEADER_BYTES])), [image[header.manifest_at : header.image_bytes]])
                    while True:
                        answer, _ = pipe.receive()
                        if isinstance(answer, Held):
                            held, partner = _not_older(answer.commit, header), self._road.known.partner
                            is_read = held == commit and self._wanted == header.payload_bytes
                            return CommitCarriedNote(partner, self._member, held, self._sent, is_read)
                        if not isinstance(answer, Want):
                            raise PartnerError("a carrier was offered a commit, and answered something else")
                        asked = check_runs(answer.runs, header)
                        self._wanted = self._wanted or asked
                        self._send(pipe, image, header, answer.runs)
                except PartnerUnreachable:
                    self._hang_up()
                    brought = asked is not None and (before is None or asked < before)
                    futile = 0 if brought else futile + 1
                    if self._closed or self._next is not None or futile > _FUTILE_MOST:
                        raise

    def _send(self, pipe: Pipe, image: memoryview, header: Header, runs: Runs) -> None:
        def paced(burst: memoryview) -> Iterator[memoryview]:
            """Raises `_Overtaken`, or `PartnerUnreachable` where nothing may go there any more."""
            rate = self._road.rate
            while burst:
                piece = rate.piece(burst)
                wait_ns = rate.wait_ns(len(piece), Instant(time.monotonic_ns()))
                with self._changed:
                    if self._changed.wait_for(lambda: self._closed, wait_ns / 1e9):
                        raise PartnerUnreachable("there is no bond with that keeper any more")
                is_overtaken = self._newest is not None and self._newest > header.commit
                if is_overtaken and may_overtake(self._sent, self._in_vain, self._wanted):
                    raise _Overtaken
                self._sent += len(piece)
                yield piece
                burst = burst[len(piece) :]

        for burst in bursts(runs, header):
            if pipe.sent >= _KEYS_BYTES_MOST:
                raise PartnerUnreachable("the keys of this connection have carried enough")
            start, end = span_of(header, burst)
            pipe.send(burst, [image[start:end]], paced)

    def _call(self) -> Pipe:
        if self._pipe is None:
            pipe = self._road.call()
            with self._changed:
                self._pipe = pipe
                if self._closed:
                    pipe.cut()
        return self._pipe

    def _hang_up(self) -> None:
        with self._changed:
            pipe, self._pipe = self._pipe, None
        if pipe is not None:
            pipe.close()


class Sendings:
    """All that goes to partners and is fetched from them. For one thread: the one that hears the keeper."""

    def __init__(self, keys: Keys, tell: Tell) -> None:
        self._keys = keys
        self._tell = tell
        self._roads: dict[KeeperId, _Road] = {}
        self._senders: dict[tuple[KeeperId, MemberName], _Sender] = {}

    def know(self, known: KnowPartner) -> None:
        road = self._roads.get(known.partner)
        if road is None:
            self._roads[known.partner] = _Road(self._keys, known)
        else:
            road.learn(known)

    def forget(self, partner: KeeperId) -> None:
        self._roads.pop(partner, None)
        for key in [key for key in self._senders if key[0] == partner]:
            self._senders.pop(key).close()

    def carry(self, order: CarryCommit, lent: int) -> None:
        road, key = self._roads.get(order.partner), (order.partner, order.member)
        if road is None:
            os.close(lent)
            self._tell(CommitNotCarriedNote(*key, "no bond is known with that keeper"), ())
            return
        if key not in self._senders:
            self._senders[key] = _Sender(road, order.member, self._tell)
        self._senders[key].carry(order.commit, lent)

    def overtake(self, order: OvertakeCommit) -> None:
        sender = self._senders.get((order.partner, order.member))
        if sender is not None:
            sender.overtake(order.commit)

    def carry_bundle(self, order: CarryBundle) -> None:
        def bring(road: _Road) -> BundleCarriedNote:
            pipe = road.call()
            try:
                pipe.send(PutBundle(order.member, order.digest), [memoryview(order.data)])
                answer, _ = pipe.receive()
            finally:
                pipe.close()
            if not isinstance(answer, BundleKept):
                raise PartnerError("a carrier was given a bundle, and answered something else")
            return BundleCarriedNote(order.partner, order.member, order.digest, answer.differences)

        def run() -> None:
            try:
                self._tell(bring(self._road(order.partner)), ())
            except (GoldthreadError, OSError) as error:
                self._tell(BundleNotCarriedNote(order.partner, order.member, str(error)), ())

        threading.Thread(target=run, name="goldthread-bundle", daemon=True).start()

    def fetch(self, order: FetchChunks, descriptor: int) -> None:
        def run() -> None:
            try:
                landed = fetch(self._road(order.partner).call(), order, descriptor)
                self._tell(ChunksFetchedNote(order.ticket, landed), ())
            except (GoldthreadError, OSError) as error:
                said = error if isinstance(error, GoldthreadError) else PartnerError(str(error))
                self._tell(FetchFailedNote(order.ticket, type(said).__name__, str(said), said.hint), ())
            finally:
                os.close(descriptor)

        threading.Thread(target=run, name="goldthread-fetch", daemon=True).start()

    def _road(self, partner: KeeperId) -> _Road:
        road = self._roads.get(partner)
        if road is None:
            raise PartnerUnreachable("no bond is known with that keeper")
        return road


def _not_older(held: CommitId, header: Header) -> CommitId:
    """What the holder says it has. Raises `PartnerError` where that cannot answer an offer."""
    if held < header.commit:
        raise PartnerError(f"a carrier was offered {header.commit}, and says that it holds {held}")
    return held


def fetch(pipe: Pipe, order: FetchChunks, descriptor: int) -> tuple[int, ...]:
    """Write what the partner holds to its place, and close the pipe; the chunks that came."""
    slot = Slot(descriptor)
    try:
        if order.chunks is None:
            _take_proof(pipe, order, slot)
        wanted = list(order.chunks or ())
        while wanted:
            runs = runs_of(wanted)
            _take_runs(pipe, order, runs, slot)
            del wanted[: sum(count for _, count in runs)]
        return order.chunks or ()
    finally:
        pipe.close()
        slot.close()


def _ask(pipe: Pipe, order: FetchChunks, runs: Runs) -> tuple[bytes, Header, int]:
    """The first page of the commit that is asked for, what it says, unproved, and the length of what comes with it."""
    pipe.send(Fetch(order.member, order.commit, runs))
    image, bulk = pipe.receive()
    if not isinstance(image, Image):
        raise PartnerError("a carrier was asked for a commit, and answered something else")
    header = check_page(image.page)
    if (header.member, header.commit) != (order.member, order.commit):
        raise PartnerError(f"{order.commit} of {order.member} was asked for, {header.commit} of {header.member} came")
    return image.page, header, bulk


def _take_proof(pipe: Pipe, order: FetchChunks, slot: Slot) -> None:
    page, header, bulk = _ask(pipe, order, ())
    check_lengths(header, bulk, slot.bytes)
    proof = pipe.read(bulk)
    check_proof(page, header, proof)
    slot.image[header.manifest_at : header.image_bytes] = proof
    slot.image[:HEADER_BYTES] = page


def _take_runs(pipe: Pipe, order: FetchChunks, runs: Runs, slot: Slot) -> None:
    """Have these chunks come. They are not read here: their checksums are the asker's."""
    _, header, bulk = _ask(pipe, order, runs)
    if bulk or header.image_bytes > slot.bytes:
        raise PartnerError(f"{order.commit} of {order.member} came otherwise than it was asked for")
    check_runs(runs, header)
    for first, count in runs:
        at = first
        while at < first + count:
            heard, bulk = pipe.receive()
            burst = check_chunks(heard, bulk, header, at, first + count)
            start, end = span_of(header, burst)
            pipe.read_into(slot.image[start:end])
            at += burst.count
