"""What the pretended world is made of: slots, vault files, programs, shims."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from goldthread.names import CommitId, Epoch, Instant, MemberName, Span, Step
from goldthread.report import Ending, EndingKind
from goldthread.rules.rotation import SlotState

__all__ = [
    "CHUNKS",
    "COMMIT_BYTES",
    "GARBAGE",
    "File",
    "Program",
    "Shim",
    "Slot",
    "Store",
    "killed",
    "newest_whole",
    "token",
]

CHUNKS: Final = 3
COMMIT_BYTES: Final = 1_000
GARBAGE: Final = -1


def token(commit: CommitId) -> int:
    """What each chunk of a commit holds: a number that no other commit of the member has."""
    return (commit.epoch << 32) | commit.sequence


class File:
    """A vault file: written whole or not at all, but bits may flip later."""

    __slots__ = ("checked_at", "chunks", "commit", "flipped_at", "tainted")

    def __init__(self, commit: CommitId, chunks: list[int], tainted: bool) -> None:
        self.commit = commit
        self.chunks = chunks
        self.tainted = tainted
        self.flipped_at: Instant | None = None
        self.checked_at = Instant(0)

    @property
    def whole(self) -> bool:
        return self.chunks == [token(self.commit)] * CHUNKS


class Slot:
    """Shared memory: written chunk by chunk, and sealed last."""

    __slots__ = ("checked_at", "chunks", "commit", "epoch", "flipped_at", "index", "pins", "tainted")

    def __init__(self, epoch: Epoch, index: int) -> None:
        self.epoch = epoch
        self.index = index
        self.commit: CommitId | None = None
        """None: open."""
        self.chunks = [0] * CHUNKS
        self.pins = 0
        self.tainted = False
        self.flipped_at: Instant | None = None
        self.checked_at = Instant(0)

    @property
    def whole(self) -> bool:
        return self.commit is not None and self.chunks == [token(self.commit)] * CHUNKS

    def state(self) -> SlotState:
        commit = self.commit
        return SlotState(self.index, COMMIT_BYTES, 0 if commit is None else commit.sequence, self.pins > 0)

    def write(self, commit: CommitId, tainted: bool, writes: int | None = None) -> bool:
        """Open, write each chunk, seal; only the first `writes` of these. Returns whether it was sealed."""
        if writes is not None and writes < 1:
            return False
        self.commit = None
        self.flipped_at = None
        self.tainted = tainted
        written = CHUNKS if writes is None else min(writes - 1, CHUNKS)
        self.chunks[:written] = [token(commit)] * written
        if writes is not None and writes < CHUNKS + 2:
            return False
        self.commit = commit
        return True


Store = Slot | File


def killed() -> Ending:
    return Ending(EndingKind.SIGNAL, "signal 9 (SIGKILL)", "", -9, "signal 9")


def newest_whole(stores: Iterable[Store]) -> CommitId | None:
    return max((store.commit for store in stores if store.commit is not None and store.whole), default=None)


class Program:
    """A process. It imports, joins, restores, and then works step by step."""

    __slots__ = (
        "alive", "asleep", "beat_at", "beats", "epoch", "first_beat_at", "gap", "hung", "is_met", "joins",
        "left", "member", "newest", "pace", "pid", "read_beats", "sequence", "slots", "started", "step", "supervised",
        "tainted", "ticket", "told", "unsealed", "writes_left",
    )  # fmt: skip

    def __init__(self, member: MemberName, pid: int, started: Epoch | None, pace: Span) -> None:
        self.member = member
        self.pid = pid
        self.started = started
        """The life that the shim started it as; None for one that was started by hand."""
        self.supervised = started is not None
        self.pace = pace
        """The time that a step takes."""
        self.epoch: Epoch | None = None
        """The life that it was admitted as."""
        self.alive = True
        self.asleep = False
        """It was stopped for a while, and will go on."""
        self.hung = False
        """It will never beat again."""
        self.is_met = True
        """The keeper of now holds its pulse."""
        self.left = False
        self.joins = True
        self.ticket: int | None = None
        self.newest: CommitId | None = None
        """Its newest sealed commit ..."""
        self.told: CommitId | None = None
        """... and the newest that the keeper was told of."""
        self.step = Step(0)
        self.sequence = 0
        self.slots: list[Slot] = []
        self.tainted = False
        self.beats = 0
        self.read_beats = 0
        self.beat_at: Instant | None = None
        self.first_beat_at: Instant | None = None
        self.gap = Span(0)
        self.unsealed = 0
        self.writes_left: int | None = None
        """It dies in its next commit after so many writes."""

    def beat(self, now: Instant) -> None:
        if self.beat_at is not None and now - self.beat_at > self.gap:
            self.gap = Span(now - self.beat_at)
        if self.first_beat_at is None:
            self.first_beat_at = now
        self.beats += 1
        self.beat_at = now


class Shim:
    """The parent of a program started by `run`. It keeps slots and exit status, and outlives the keeper."""

    __slots__ = ("ended", "program", "slots", "started")

    def __init__(self) -> None:
        self.program: Program | None = None
        self.started = Epoch(0)
        self.ended: Ending | None = None
        self.slots: list[Slot] = []
