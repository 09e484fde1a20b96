"""What the pretended world is made of: works, slots, vault files, programs, shims."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from goldthread.names import CommitId, Epoch, Instant, MemberName, Span, Step
from goldthread.policy import Budget
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
    "Work",
    "killed",
    "misspelt",
    "newest_whole",
]

CHUNKS: Final = 3
COMMIT_BYTES: Final = 1_000
GARBAGE: Final = -1


class Work:
    """A member as the world knows it, wherever it runs: the truth that checkers compare with."""

    __slots__ = (
        "asked_fresh", "asked_stop", "budget", "decided", "forgotten", "goal", "is_miswritten", "name", "number",
        "pace", "plain", "poison",
    )  # fmt: skip

    def __init__(self, name: MemberName, number: int, pace: Span) -> None:
        self.name = name
        self.number = number
        """Another one for each: two members of one name that began on two hosts are two."""
        self.pace = pace
        self.budget = Budget()
        self.poison: tuple[Step, Step] | None = None
        """The state is bad from the first step on, and a program with bad state dies at the second."""
        self.goal = Step(1 << 30)
        """Where the program ends in peace."""
        self.asked_fresh = False
        """Its user asked for a fresh start, once at least."""
        self.asked_stop = False
        self.decided = False
        """A person decided where it goes on, with nothing but that word between two lives of it."""
        self.forgotten = Epoch(0)
        """The last life before its user forgot it, where others may have copies."""
        self.plain = False
        """The program knows nothing of goldthread."""
        self.is_miswritten = False
        """The program ends in each life before it joins, of a name that is not defined."""

    def token(self, commit: CommitId) -> int:
        """What each chunk of a commit holds: a number that no other commit has."""
        return (self.number << 64) | (commit.epoch << 32) | commit.sequence

    def chunks(self, commit: CommitId) -> list[int]:
        return [self.token(commit)] * CHUNKS


class File:
    """A vault file: written whole or not at all, but bits may flip later."""

    __slots__ = ("checked_at", "chunks", "commit", "flipped_at", "tainted", "work")

    def __init__(self, work: Work, commit: CommitId, chunks: list[int], tainted: bool) -> None:
        self.work = work
        self.commit = commit
        self.chunks = chunks
        self.tainted = tainted
        self.flipped_at: Instant | None = None
        self.checked_at = Instant(0)

    @property
    def whole(self) -> bool:
        return self.chunks == self.work.chunks(self.commit)


class Slot:
    """Shared memory: written chunk by chunk, and sealed last."""

    __slots__ = (
        "checked_at", "chunks", "commit", "epoch", "flipped_at", "index", "is_carried", "pins", "tainted", "work",
    )  # fmt: skip

    def __init__(self, work: Work, epoch: Epoch, index: int) -> None:
        self.work = work
        self.epoch = epoch
        self.index = index
        self.commit: CommitId | None = None
        """None: open."""
        self.chunks = [0] * CHUNKS
        self.pins = 0
        """How many reads of the keeper are under way."""
        self.is_carried = False
        """The carrier reads it, on its way to a partner."""
        self.tainted = False
        self.flipped_at: Instant | None = None
        self.checked_at = Instant(0)

    @property
    def whole(self) -> bool:
        return self.commit is not None and self.chunks == self.work.chunks(self.commit)

    @property
    def is_read(self) -> bool:
        return self.pins > 0 or self.is_carried

    def state(self) -> SlotState:
        commit = self.commit
        return SlotState(self.index, COMMIT_BYTES, 0 if commit is None else commit.sequence, self.is_read)

    def write(self, commit: CommitId, tainted: bool, writes: int | None = None) -> bool:
        """Open, write each chunk, seal; only the first `writes` of these. Returns whether it was sealed."""
        if writes is not None and writes < 1:
            return False
        self.commit = None
        self.flipped_at = None
        self.tainted = tainted
        written = CHUNKS if writes is None else min(writes - 1, CHUNKS)
        self.chunks[:written] = self.work.chunks(commit)[:written]
        if writes is not None and writes < CHUNKS + 2:
            return False
        self.commit = commit
        return True


Store = Slot | File


def killed() -> Ending:
    return Ending(EndingKind.SIGNAL, "signal 9 (SIGKILL)", "", -9, "signal 9")


def misspelt() -> Ending:
    return Ending(EndingKind.EXCEPTION, "NameError: name 'stepp' is not defined", "", 1, "NameError")


def newest_whole(stores: Iterable[Store]) -> CommitId | None:
    return max((store.commit for store in stores if store.commit is not None and store.whole), default=None)


class Program:
    """A process. It imports, joins, restores, and then works step by step."""

    __slots__ = (
        "alive", "asleep", "beat_at", "beats", "epoch", "first_beat_at", "gap", "hung", "is_met", "is_stopped",
        "left", "newest", "pace", "pid", "read_beats", "sequence", "slots", "started", "step", "supervised", "tainted",
        "ticket", "told", "unsealed", "work", "writes_left",
    )  # fmt: skip

    def __init__(self, work: Work, pid: int, started: Epoch | None, pace: Span) -> None:
        self.work = work
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
        self.is_stopped = False
        """Its keeper has stopped it."""
        self.hung = False
        """It will never beat again."""
        self.is_met = True
        """The keeper of now holds its pulse."""
        self.left = False
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
