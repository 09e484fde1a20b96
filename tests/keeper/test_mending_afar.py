"""Mending over real carriers: what is damaged here comes from the holder, and little else travels."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from goldthread.keeper.mending import Mender
from goldthread.keeper.shelf import verify
from goldthread.names import CommitId, Level, milliseconds
from goldthread.policy import Policy
from goldthread.rules.bond_events import CommitHeld, CopiesGone, CopyMended
from goldthread.rules.bond_orders import MendCopy
from goldthread.rules.events import Copy
from goldthread.slots.layout import CHUNK_BYTES
from goldthread.vault.disk import DiskVault
from goldthread.wire.image import HEADER_BYTES
from tests.keeper.carriers import WALK, Host, Life, allow, held_image, replicate, tie, two_hosts

CHUNKS = 60


class Meter:
    """Stands before a carrier and counts the bytes that come from it."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._door = socket.create_server(("127.0.0.1", 0))
        self.port = self._door.getsockname()[1]
        self.passed = 0
        threading.Thread(target=self._let_in, daemon=True).start()

    def _let_in(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                caller, _ = self._door.accept()
                answerer = socket.create_connection(("127.0.0.1", self._target))
                threading.Thread(target=self._pass_on, args=(caller, answerer, False), daemon=True).start()
                threading.Thread(target=self._pass_on, args=(answerer, caller, True), daemon=True).start()

    def _pass_on(self, source: socket.socket, target: socket.socket, counted: bool) -> None:
        with contextlib.suppress(OSError):
            while piece := source.recv(1 << 16):
                self.passed += len(piece) if counted else 0
                target.sendall(piece)
        for stream in (source, target):
            with contextlib.suppress(OSError):
                stream.shutdown(socket.SHUT_RDWR)
            stream.close()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._door.shutdown(socket.SHUT_RDWR)
        self._door.close()


class Bedside:
    """An owner whose commit is held by its partner, and what is mended there."""

    def __init__(self, folder: Path, owner: Host, holder: Host) -> None:
        self.owner, self.holder = owner, holder
        self.life = Life(owner, CHUNKS)
        allow(holder, owner.me)
        self.meter = Meter(holder.port())
        tie(owner, holder, port=self.meter.port)
        keeper: Any = SimpleNamespace(
            loop=owner.loop,
            shelf=owner.shelf,
            vault=DiskVault(folder / "vault", 0),
            policy=Policy(),
            tell=owner.heard.put,
            ward=lambda member: SimpleNamespace(shim=None),
        )
        self._mender = Mender(keeper, owner.carriage, {holder.me: "kakashi"}.__getitem__)

    def hold(self) -> CommitId:
        commit = self.life.commit()
        assert isinstance(replicate(self.owner, self.holder.me, commit), CommitHeld)
        return commit

    def mend(self, commit: CommitId) -> CopyMended:
        before = self.meter.passed
        copy = Copy(commit, Level.HELD, 0)
        order = MendCopy(WALK, commit, (copy,), self.holder.me)
        self.owner.do(lambda: self._mender.mend(order))
        mended = self.owner.hears(CopyMended)
        self.travelled = self.meter.passed - before
        return mended

    def damage(self, commit: CommitId, *chunks: int) -> None:
        slot = self.owner.shelf.find(WALK, commit)
        assert slot is not None
        for index in chunks:
            os.pwrite(slot.descriptor, b"damage", HEADER_BYTES + index * CHUNK_BYTES + 5)


@pytest.fixture
def bedside(tmp_path: Path) -> Iterator[Bedside]:
    with two_hosts(tmp_path) as (owner, holder):
        bedside = Bedside(tmp_path, owner, holder)
        yield bedside
        bedside.life.close()
        bedside.meter.close()


def test_only_the_damaged_chunks_travel(bedside: Bedside) -> None:
    """With greetings, proofs and encryption at most one and a half times their bytes; the result is bit-identical."""
    commit = bedside.hold()
    sealed = bedside.life.image(commit)
    bedside.damage(commit, 3, 4, 40)
    mended = bedside.mend(commit)
    assert mended.text == "3 of 60 chunks came from kakashi, the rest from own memory"
    assert bedside.life.image(commit) == sealed
    assert bedside.travelled <= 1.5 * 3 * CHUNK_BYTES


def test_a_manifest_that_is_whole_here_does_not_travel(bedside: Bedside) -> None:
    """One chunk of a state whose manifest is four times as long."""
    bedside.life.state["text"] = "a" * 4 * CHUNK_BYTES  # type: ignore[assignment]
    commit = bedside.hold()
    bedside.damage(commit, 3)
    assert bedside.mend(commit).whole
    assert bedside.travelled <= 1.5 * CHUNK_BYTES


def test_a_life_goes_on_in_the_slot_that_was_mended(bedside: Bedside) -> None:
    """Chunks that do not change are not written again: the next commits in that slot would keep the damage."""
    commit = bedside.hold()
    bedside.damage(commit, 7)
    assert bedside.mend(commit).whole
    for _ in range(3):
        newest = bedside.life.commit(1)
    assert verify(memoryview(bedside.life.image(newest)), newest) == ""


def test_a_commit_that_is_nowhere_here_comes_whole(bedside: Bedside) -> None:
    """Its slots and its deposits are gone: header, manifest and table first, then every chunk."""
    commit = bedside.hold()
    sealed = bedside.life.image(commit)
    bedside.life.close()
    mended = bedside.mend(commit)
    assert mended.text == "all 60 chunks came from kakashi"
    assert bedside.life.image(commit) == sealed


def test_what_is_held_is_read_again(tmp_path: Path) -> None:
    """A held copy is damaged in the holder's memory: it is said, and only the damaged chunks are sent again."""
    often = Policy(check_every=milliseconds(50), check_share=1)
    with two_hosts(tmp_path, often) as (owner, holder):
        life = Life(owner, CHUNKS)
        tie(owner, holder)
        commit = life.commit()
        assert isinstance(replicate(owner, holder.me, commit), CommitHeld)
        (slot,) = holder.do(lambda: list(holder.carriage.held.values()))
        os.pwrite(
            slot.descriptor, b"damage", HEADER_BYTES + 6 * CHUNK_BYTES - 3
        )  # The end of one, the head of the next.
        gone = holder.hears(CopiesGone)
        assert (gone.partner, gone.member) == (owner.me, WALK)
        assert gone.text == f"2 of 60 chunks of {commit} are damaged" and gone.damaged
        assert isinstance(replicate(owner, holder.me, commit), CommitHeld)
        assert owner.sent == [CHUNKS * CHUNK_BYTES, 2 * CHUNK_BYTES]
        assert held_image(holder, owner.me, commit) == life.image(commit)
        os.pwrite(slot.descriptor, b"damage", 17)
        assert holder.hears(CopiesGone).text == f"the header, manifest or table of {commit} is damaged"
        assert isinstance(replicate(owner, holder.me, commit), CommitHeld)
        assert owner.sent[2:] == [0]
        life.close()


def test_a_holder_that_does_not_have_it_says_so(bedside: Bedside) -> None:
    """Then the commit stays as damaged as it was."""
    commit = bedside.hold()
    newer = bedside.hold()
    newest = bedside.hold()
    assert commit < newer < newest
    bedside.damage(commit, 7)
    mended = bedside.mend(commit)
    assert not mended.whole
    assert mended.text.startswith("kakashi was asked for what is missing: ")
