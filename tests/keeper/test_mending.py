"""A damaged commit is made whole from all its copies, and only what is nowhere else travels."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from goldthread.errors import GoldthreadError, PartnerUnreachable
from goldthread.keeper.loop import Loop
from goldthread.keeper.mending import Mender
from goldthread.keeper.patchwork import Source, fill_holes, survey
from goldthread.keeper.shelf import Shelf
from goldthread.names import CommitId, Epoch, KeeperId, Level, MemberName, Step
from goldthread.policy import Policy
from goldthread.rules.bond_events import CopyMended, Patch
from goldthread.rules.bond_orders import MendCopy
from goldthread.rules.events import Copy
from goldthread.slots.kernel import memory_file
from goldthread.slots.pins import open_for_pins, pin_for_reading
from goldthread.slots.slot import make_slot
from goldthread.vault.disk import DiskVault
from goldthread.wire.image import HEADER_BYTES, SEAL_AT, Header, checksum, pack_header

WALK = MemberName("walk")
KAKASHI = KeeperId("5" * 32)
CHUNK = 4096
CHUNKS = 20
COMMIT = CommitId(Epoch(1), Step(10), 3)


def image_of(commit: CommitId = COMMIT, chunks: int = CHUNKS) -> bytes:
    """A sealed image of which no two chunks are equal; the last one is short."""
    payload = b"".join(bytes([commit.sequence, index]) * (CHUNK // 2) for index in range(chunks))[:-100]
    header = Header(WALK, commit.epoch, commit.step, commit.sequence, len(payload), 500, CHUNK)
    table = b"".join(checksum(payload[at : at + CHUNK]) for at in range(0, len(payload), CHUNK))
    page = bytearray(pack_header(header, b"m" * 500, table).ljust(HEADER_BYTES, b"\0"))
    page[SEAL_AT : SEAL_AT + 8] = commit.sequence.to_bytes(8, "little")
    return bytes(page) + payload + b"m" * 500 + table


IMAGE = image_of()
PAYLOAD_END = HEADER_BYTES + CHUNKS * CHUNK - 100


def damage(descriptor: int, *chunks: int) -> None:
    """Flip a bit in each of these chunks."""
    for index in chunks:
        flip(descriptor, HEADER_BYTES + index * CHUNK + 7)


def flip(descriptor: int, at: int) -> None:
    os.pwrite(descriptor, bytes([os.pread(descriptor, 1, at)[0] ^ 4]), at)


class Partner:
    """A partner's copy, and who fetches from it: as the carrier does, without a network. Counts what travels."""

    def __init__(self, loop: Loop, image: bytes | None) -> None:
        self.image = image
        self.travelled = 0
        self.asked: list[tuple[int, ...] | None] = []
        self._loop = loop

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
        assert (partner, member, commit) == (KAKASHI, WALK, COMMIT)
        self.asked.append(chunks)
        image = self.image
        if image is None:
            self._loop.from_thread(lambda: failed(PartnerUnreachable("kakashi does not answer")))
        elif chunks is None:
            self._write(descriptor, 0, image[:HEADER_BYTES])
            self._write(descriptor, PAYLOAD_END, image[PAYLOAD_END:])
            self._loop.from_thread(lambda: done(()))
        else:
            for index in chunks:
                start = HEADER_BYTES + index * CHUNK
                self._write(descriptor, start, image[start : min(start + CHUNK, PAYLOAD_END)])
            self._loop.from_thread(lambda: done(chunks))

    def _write(self, descriptor: int, at: int, data: bytes) -> None:
        self.travelled += os.pwrite(descriptor, data, at)


class Ground:
    """A keeper with a shelf and a vault, and a partner that has the commit whole."""

    def __init__(self, folder: Path) -> None:
        self.loop = Loop()
        self.heard: list[CopyMended] = []
        keeper: Any = SimpleNamespace(
            loop=self.loop,
            shelf=Shelf(),
            vault=DiskVault(folder, 0),
            policy=Policy(memory_free_bytes=0),
            tell=self._hear,
            ward=lambda member: SimpleNamespace(shim=None),
        )
        self.keeper = keeper
        self.partner = Partner(self.loop, IMAGE)
        self.mender = Mender(self.keeper, self.partner, {KAKASHI: "kakashi"}.__getitem__)

    def _hear(self, event: CopyMended) -> None:
        self.heard.append(event)
        self.loop.stop()

    def hold_slot(self, image: bytes = IMAGE, index: int = 0) -> int:
        """Put a slot on the shelf; the descriptor that its program would have."""
        slot = make_slot("mending", len(image))
        os.pwrite(slot, image, 0)
        self.keeper.shelf.put(WALK, Epoch(1), index, slot)
        return slot

    def deposit(self, *damaged: int) -> None:
        self.keeper.vault.deposit(WALK, memoryview(IMAGE))
        path = next((self.keeper.vault.folder / WALK).glob("*.commit"))
        with path.open("r+b") as file:
            damage(file.fileno(), *damaged)

    def mend(self, partner: KeeperId | None = KAKASHI) -> CopyMended:
        copies = (Copy(COMMIT, Level.SEALED, 0),)
        self.mender.mend(MendCopy(WALK, COMMIT, copies, partner))
        self.loop.run(lambda: None, lambda: None)
        (mended,) = self.heard
        assert (mended.member, mended.commit) == (WALK, COMMIT)
        return mended

    def found(self) -> bytes:
        """The bytes of the commit that the shelf gives now."""
        slot = self.keeper.shelf.find(WALK, COMMIT)
        assert slot is not None
        return os.pread(slot.descriptor, len(IMAGE), 0)

    def close(self) -> None:
        self.loop.close()
        self.keeper.shelf.forget(WALK)


def open_files(folder: Path) -> set[tuple[str, str]]:
    """What this process has open of slots and deposits. Of other things threads of other tests may let go any time."""
    marks = ("/memfd:goldthread-mending", f"/memfd:goldthread-{WALK}", str(folder))
    found = set()
    for entry in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            found.add((entry.name, str(entry.readlink())))
    return {(number, target) for number, target in found if target.startswith(marks)}


@pytest.fixture
def ground(tmp_path: Path) -> Iterator[Ground]:
    """Nothing that was opened to mend is left open."""
    before = open_files(tmp_path)
    ground = Ground(tmp_path)
    yield ground
    ground.close()
    assert open_files(tmp_path) <= before


def test_damaged_chunks_come_from_the_partner(ground: Ground) -> None:
    """They alone travel; the holes are filled in the slot itself, which its program has too."""
    slot = ground.hold_slot()
    damage(slot, 3, 4, 11)
    mended = ground.mend()
    assert mended.whole
    assert mended.text == "3 of 20 chunks came from kakashi, the rest from own memory"
    assert mended.patches == (Patch(17, "own memory"), Patch(3, "kakashi"))
    assert os.pread(slot, len(IMAGE), 0) == IMAGE
    assert ground.partner.travelled == 3 * CHUNK


@pytest.mark.parametrize("chunks", [(0,), (CHUNKS - 1,), tuple(range(CHUNKS)), (1, 2, 17)])
def test_no_more_than_the_damage_travels(ground: Ground, chunks: tuple[int, ...]) -> None:
    """At most one and a half times the bytes of the damaged chunks; here exactly those."""
    damage(ground.hold_slot(), *chunks)
    damaged_bytes = sum(min(CHUNK, CHUNKS * CHUNK - 100 - index * CHUNK) for index in chunks)
    assert ground.mend().whole
    assert ground.found() == IMAGE
    assert ground.partner.travelled == damaged_bytes


def test_what_is_near_does_not_travel(ground: Ground) -> None:
    """Own memory, then the vault, then the partner."""
    damage(ground.hold_slot(), 3, 4, 11)
    ground.deposit(4)
    mended = ground.mend()
    assert mended.text == "2 of 20 chunks came from the vault, 1 from kakashi, the rest from own memory"
    assert ground.partner.asked == [(4,)]
    assert ground.found() == IMAGE


def test_a_deposit_that_was_set_aside_lends_what_it_has(ground: Ground) -> None:
    """Both copies are damaged, each elsewhere; together they are the commit, and nobody else is needed."""
    damage(ground.hold_slot(), 3, 4)
    ground.deposit(5, 6)
    assert "set aside" in ground.keeper.vault.check(WALK, COMMIT)
    mended = ground.mend(partner=None)
    assert mended.text == "2 of 20 chunks came from the vault, the rest from own memory"
    assert ground.found() == IMAGE


@pytest.mark.parametrize("at", [17, 230, SEAL_AT + 1, len(IMAGE) - 3, len(IMAGE) - 16 * CHUNKS - 3])
def test_a_damaged_proof_is_mended_too(ground: Ground, at: int) -> None:
    """Header, root, seal, table, manifest: whatever is damaged comes from a copy whose root is whole, and the chunks
    stay where they are."""
    slot = ground.hold_slot()
    flip(slot, at)
    mended = ground.mend()
    assert mended.whole
    assert mended.text == "all 20 chunks came from own memory; header, manifest and table from kakashi"
    assert ground.found() == IMAGE
    assert ground.partner.asked == [None]


def test_a_slot_that_is_gone_is_made_anew(ground: Ground) -> None:
    """All of it comes from the vault; what the vault lacks, from the partner."""
    ground.deposit(7)
    mended = ground.mend()
    assert mended.text == "1 of 20 chunks came from kakashi, the rest from the vault"
    assert ground.found() == IMAGE


def test_all_of_it_comes_from_the_partner(ground: Ground) -> None:
    """Slot and deposit are gone: header, manifest and table first, then every chunk; nothing twice."""
    mended = ground.mend()
    assert mended.text == "all 20 chunks came from kakashi"
    assert ground.found() == IMAGE
    assert ground.partner.asked == [None, tuple(range(CHUNKS))]
    assert ground.partner.travelled == len(IMAGE)


def test_a_chunk_that_another_commit_has_too_does_not_travel(ground: Ground) -> None:
    """The commit before has the same bytes there: a chunk is known by its checksum, not by where it lies."""
    damage(ground.hold_slot(index=0), 3, 4)
    before = bytearray(image_of(CommitId(Epoch(1), Step(9), 2)))
    start = HEADER_BYTES + 3 * CHUNK
    before[start : start + CHUNK] = IMAGE[start : start + CHUNK]
    ground.hold_slot(bytes(before), index=1)
    mended = ground.mend()
    assert mended.text == "1 of 20 chunks came from kakashi, the rest from own memory"
    assert ground.partner.asked == [(4,)]


def test_who_reads_the_slot_is_left_alone(ground: Ground) -> None:
    """The commit is made whole beside it, and that one is found from then on."""
    slot = ground.hold_slot()
    damage(slot, 3)
    before = os.pread(slot, len(IMAGE), 0)
    reader = open_for_pins(slot, writing=False)
    assert pin_for_reading(reader)
    assert ground.mend().whole
    os.close(reader)
    assert os.pread(slot, len(IMAGE), 0) == before
    assert ground.found() == IMAGE


def test_a_slot_that_was_used_again_is_not_touched(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its program wrote a newer commit into it while chunks were fetched."""
    slot = ground.hold_slot()
    damage(slot, 3)
    newer = image_of(CommitId(Epoch(1), Step(12), 4))
    fetch = ground.partner.fetch

    def fetch_late(*arguments: Any) -> None:
        os.pwrite(slot, newer, 0)
        fetch(*arguments)

    monkeypatch.setattr(ground.partner, "fetch", fetch_late)
    assert ground.mend().whole
    assert os.pread(slot, len(newer), 0) == newer
    assert ground.found() == IMAGE


def test_no_mix_is_whole(ground: Ground) -> None:
    """What is missing is said, and the copies stay as they were."""
    slot = ground.hold_slot()
    damage(slot, 3, 4)
    ground.deposit(4)
    before = os.pread(slot, len(IMAGE), 0)
    mended = ground.mend(partner=None)
    assert not mended.whole
    assert mended.text == "1 of 20 chunks are whole in no copy (own memory, the vault)"
    assert mended.patches == ()
    assert os.pread(slot, len(IMAGE), 0) == before


def test_no_copy_has_a_whole_proof(ground: Ground) -> None:
    """Then nothing says what a chunk must be."""
    flip(ground.hold_slot(), 17)
    mended = ground.mend(partner=None)
    assert (mended.whole, mended.text) == (False, "no copy has a whole header, manifest and table")


def test_a_partner_that_sends_something_else_is_not_believed(ground: Ground) -> None:
    """What came does not have the checksum: it is asked once, and the commit is not mended."""
    damage(ground.hold_slot(), 3, 4)
    wrong = bytearray(IMAGE)
    wrong[HEADER_BYTES + 4 * CHUNK] ^= 1
    ground.partner.image = bytes(wrong)
    mended = ground.mend()
    assert not mended.whole
    assert mended.text == "1 of 20 chunks are whole in no copy (own memory, kakashi)"
    assert ground.partner.asked == [(3, 4), (4,)]


def test_a_partner_that_does_not_answer_is_said(ground: Ground) -> None:
    """Mending fails in words."""
    damage(ground.hold_slot(), 3)
    ground.partner.image = None
    mended = ground.mend()
    assert (mended.whole, mended.text) == (False, "kakashi was asked for what is missing: kakashi does not answer")


def test_a_slot_without_room_is_refused(ground: Ground) -> None:
    """A fresh slot would take memory that is to stay free."""
    ground.keeper.policy = Policy(memory_free_bytes=1 << 60)
    ground.deposit()
    mended = ground.mend()
    assert not mended.whole
    assert "too small" in mended.text


chunks_of = st.frozensets(st.integers(0, CHUNKS - 1))


@given(chunks_of, chunks_of, chunks_of, st.lists(st.booleans(), min_size=3, max_size=3))
def test_any_mix_gives_the_commit_or_nothing(
    first: frozenset[int], second: frozenset[int], third: frozenset[int], proofs: list[bool]
) -> None:
    """Whatever is damaged in each of three copies: the result is bit-identical, or the reason is told."""
    copies = []
    try:
        for damaged, has_proof in zip((first, second, third), proofs, strict=True):
            copies.append(memory_file("test", len(IMAGE)))
            os.pwrite(copies[-1], IMAGE, 0)
            damage(copies[-1], *damaged)
            if not has_proof:
                flip(copies[-1], len(IMAGE) - 1)
        sources = [
            Source(name, copy) for name, copy in zip(("own memory", "the vault", "kakashi"), copies, strict=True)
        ]
        found = survey(sources, WALK, COMMIT)
        assert (found is not None) == any(proofs)
        if found is not None:
            proof, repair = found
            assert repair.missing == tuple(sorted(first & second & third))
            if not repair.missing:
                fill_holes(copies[0], proof, sources, repair)
                assert os.pread(copies[0], len(IMAGE), 0) == IMAGE
    finally:
        for copy in copies:
            os.close(copy)
