"""The holder's side of a carrier: partners' commits come in, and go back when they are asked for.

Each connection has a thread, which serves one request after the other. A partner that asks for what cannot be is told
so and its connection ended; nothing else is touched.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Final

import msgspec

from goldthread.errors import CommitDamaged, GoldthreadError, KeeperUnreachable, NoRoom, PartnerError
from goldthread.keeper.held import HeldMember, Landing
from goldthread.keeper.pipe import Pipe
from goldthread.names import CommitId, KeeperId, MemberName
from goldthread.wire.carrying import BundleArrivedNote, BundleTaken, CopyLandedNote, CopySlotNote, HeldPlace
from goldthread.wire.image import HEADER_BYTES
from goldthread.wire.stream import (
    BUNDLE_BYTES_MOST,
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

__all__ = ["Holdings", "Tell", "serve"]

_REST_SECONDS: Final = 5.0
"""After so much silence mappings are dropped."""
_RESTS_MOST: Final = 120
_BUNDLE_SECONDS: Final = 10.0

Tell = Callable[[msgspec.Struct, tuple[int, ...]], None]
"""Say something to the keeper, with descriptors; from any thread, without waiting."""


class Holdings:
    """All that is held for partners. The keeper's words come in one thread, partners' in one each."""

    def __init__(self, tell: Tell, free_bytes: int) -> None:
        """A slot that would leave less than `free_bytes` of memory is refused."""
        self.tell = tell
        self.free_bytes = free_bytes
        self._members: dict[tuple[KeeperId, MemberName], HeldMember] = {}
        self._bundles: dict[int, SimpleQueue[BundleTaken]] = {}
        self._tickets = 0
        self._lock = threading.Lock()

    def member(self, partner: KeeperId, member: MemberName) -> HeldMember:
        """Made where it is not known; it lets nothing in before it is allowed."""
        with self._lock:
            if (partner, member) not in self._members:
                self._members[partner, member] = HeldMember(partner, member, self._hold)
            return self._members[partner, member]

    def allowed(self, partner: KeeperId, member: MemberName) -> HeldMember:
        """Raises `PartnerError` where the keeper has not said that it is held for this partner."""
        held = self._members.get((partner, member))
        if held is None or held.epoch is None:
            raise PartnerError(
                f"{member} is not held here", hint="the holder's keeper decides what it holds: goldthread bond list"
            )
        return held

    def drop(self, partner: KeeperId, member: MemberName | None = None) -> None:
        """Let go of one member, or of all of a partner's."""
        with self._lock:
            gone = [key for key in self._members if key[0] == partner and member in (None, key[1])]
            dropped = [self._members.pop(key) for key in gone]
        for held in dropped:
            # A landing ends first, which may take a moment: the keeper's words are not to wait for it.
            threading.Thread(target=held.close, name="goldthread-drop", daemon=True).start()

    def rest(self, partner: KeeperId) -> None:
        """Drop the mappings of what is held for a partner that says nothing at this moment."""
        for held in self.all():
            if held.partner == partner:
                held.rest()

    def all(self) -> list[HeldMember]:
        with self._lock:
            return list(self._members.values())

    def keep_bundle(self, partner: KeeperId, member: MemberName, digest: str, data: bytes) -> tuple[str, ...]:
        """Give a bundle to the keeper, and return how this host differs. Raises `PartnerError` where it says no."""
        with self._lock:
            self._tickets += 1
            ticket = self._tickets
            answers = self._bundles[ticket] = SimpleQueue()
        try:
            self.tell(BundleArrivedNote(ticket, partner, member, digest, data), ())
            taken = answers.get(timeout=_BUNDLE_SECONDS)
        except Empty:
            raise KeeperUnreachable("the holder's keeper does not answer now") from None
        finally:
            with self._lock:
                del self._bundles[ticket]
        if taken.refused:
            raise PartnerError(taken.refused)
        return taken.differences

    def bundle_taken(self, taken: BundleTaken) -> None:
        with self._lock:
            answers = self._bundles.get(taken.ticket)
        if answers is not None:
            answers.put(taken)

    def _hold(self, place: HeldPlace, descriptor: int) -> None:
        self.tell(CopySlotNote(place), (descriptor,))


def serve(pipe: Pipe, holdings: Holdings) -> None:
    """Answer a partner until its connection ends."""
    try:
        rests = 0
        while rests < _RESTS_MOST:
            if pipe.wait(_REST_SECONDS):
                rests = 0
                _answer(pipe, holdings)
            else:
                rests += 1
                holdings.rest(pipe.partner)
    except GoldthreadError as error:
        pipe.refuse(error)
    except OSError as error:
        pipe.refuse(NoRoom(f"the holder's host cannot: {error.strerror}"))
    finally:
        pipe.close()
        holdings.rest(pipe.partner)


def _answer(pipe: Pipe, holdings: Holdings) -> None:
    message, bulk = pipe.receive()
    match message:
        case Offer(page=page):
            _take_commit(pipe, holdings, page, bulk)
        case Fetch(member=member, commit=commit, runs=runs) if bulk == 0:
            _give(pipe, holdings.allowed(pipe.partner, member), commit, runs)
        case PutBundle(member=member, digest=digest):
            holdings.allowed(pipe.partner, member)
            if bulk > BUNDLE_BYTES_MOST:
                raise PartnerError(f"a bundle of {bulk} bytes is longer than the limit of {BUNDLE_BYTES_MOST}")
            differences = holdings.keep_bundle(pipe.partner, member, digest, bytes(pipe.read(bulk)))
            pipe.send(BundleKept(differences))
        case _:
            raise PartnerError(f"a {type(message).__name__} is out of turn")


def _take_commit(pipe: Pipe, holdings: Holdings, page: bytes, bulk: int) -> None:
    header = check_page(page)
    held = holdings.allowed(pipe.partner, header.member)
    check_lengths(header, bulk, held.bytes_most)
    proof = pipe.read(bulk)
    check_proof(page, header, proof)
    held.take_turn(pipe.cut)
    with held.landing(header, proof, holdings.free_bytes) as landing:
        if isinstance(landing, CommitId):
            pipe.send(Held(landing))
            return
        while missing := landing.missing():
            wrong = _take_chunks(pipe, landing, runs_of(missing))
            if wrong:
                raise CommitDamaged(
                    f"{wrong} of {header.chunk_count} chunks of {header.commit} of {header.member} are not what was "
                    "sealed: its owner's copy is damaged"
                )
        landing.seal()
    newest = held.newest()
    if newest is not None and newest[1] == header:
        holdings.tell(CopyLandedNote(newest[0], header.commit, header.image_bytes), ())
    pipe.send(Held(header.commit))


def _take_chunks(pipe: Pipe, landing: Landing, runs: Runs) -> int:
    """Have these chunks come, and check each as it lands; how many are not what was sealed."""
    wrong = 0
    pipe.send(Want(runs))
    for first, count in runs:
        at = first
        while at < first + count:
            message, bulk = pipe.receive()
            burst = check_chunks(message, bulk, landing.header, at, first + count)
            for index in range(at, at + burst.count):
                pipe.read_into(landing.make_room(index))
                wrong += not landing.land(index)
            at += burst.count
    return wrong


def _give(pipe: Pipe, held: HeldMember, commit: CommitId, runs: Runs) -> None:
    with held.reading(commit) as (image, header):
        check_runs(runs, header)
        proof = [] if runs else [image[header.manifest_at : header.image_bytes]]
        pipe.send(Image(bytes(image[:HEADER_BYTES])), proof)
        for burst in bursts(runs, header):
            start, end = span_of(header, burst)
            pipe.send(burst, [image[start:end]])
