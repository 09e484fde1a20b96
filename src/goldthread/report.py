"""What a keeper says of itself. Every view reads these and nothing else.

Ages are in nanoseconds at the moment of the report, sizes in bytes.
"""

from __future__ import annotations

from enum import Enum

import msgspec

from goldthread.names import CommitId, Epoch, MemberName, Span, Step

__all__ = [
    "AlarmLevel",
    "AlarmReport",
    "CommitReport",
    "Contact",
    "Ending",
    "EndingKind",
    "Guard",
    "HolderState",
    "KeeperReport",
    "LifeReport",
    "MemberReport",
    "OwnerState",
    "Phase",
    "PhaseTime",
    "Vitals",
]


class Vitals(Enum):
    """How a member is, in one word."""

    WELL = "well"
    SLOW = "slow"
    STUCK = "stuck"
    DOWN = "down"
    LIMBO = "limbo"
    LOST = "lost"


class Phase(Enum):
    """Where a member stands in its life. The transitions between them stand in `rules/member.py`."""

    ABSENT = "absent"
    """Known by name, no life yet."""
    RETURNING = "returning"
    """A new keeper waits for the life that the journal says was running."""
    STARTING = "starting"
    """A program was started and has not joined yet. One that never joins stays here, and is well."""
    RUNNING = "running"
    """The life has joined."""
    STUCK = "stuck"
    """Silent for longer than its history explains: its stacks are being taken."""
    ENDING = "ending"
    """It was told to end."""
    WAITING = "waiting"
    """It died and will be started again after a delay."""
    DOWN = "down"
    """It died and nobody restarts it, since it was not started by `run`."""
    LIMBO = "limbo"
    """It died, the restart budget is spent; its state is kept."""
    ENDED = "ended"
    """It finished, or was stopped by its user."""
    AWAY = "away"
    """Its newest life is another keeper's. What is here is an old copy."""


class OwnerState(Enum):
    """How far a member's copy elsewhere has come, as its owner sees it."""

    SEEKING = "seeking"
    """No keeper holds it; one is looked for. The state of members without any bond."""
    SYNCING = "syncing"
    """A holder is chosen and has no whole copy yet."""
    BONDED = "bonded"
    """The holder has a whole copy."""
    ALONE = "alone"
    """The holder is silent: what it holds cannot be counted on."""
    FENCED = "fenced"
    """A newer life of the member is another keeper's."""
    CLOSED = "closed"
    """The member is over, and its holder need not keep it."""


class HolderState(Enum):
    """What a keeper does for a member that it holds for its partner."""

    INVITED = "invited"
    """Asked to hold it, nothing has come yet."""
    SYNCING = "syncing"
    """The first copy is on its way."""
    BONDED = "bonded"
    """A whole copy is here."""
    DOUBTING = "doubting"
    """The owner is silent, or has given the member up: whether it may be taken over is being found out."""
    CLAIMING = "claiming"
    """The lease is being claimed. No promise is given any more."""


class Guard(Enum):
    """What keeps two lives of one member apart, by its owner's word."""

    NONE = "none"
    """No keeper takes it over but by a person's decision."""
    LEASE = "lease"
    """A life goes on while its lease or its partner's promise vouches for it."""
    PROMISE = "promise"
    """There is no lease store, and the terms say yield: a life goes on while its partner's promise vouches for it."""


class Contact(Enum):
    """How lately a partner was heard."""

    FRESH = "fresh"
    LATE = "late"
    SILENT = "silent"


class EndingKind(Enum):
    """Why a life ended."""

    FINISHED = "finished"
    EXCEPTION = "exception"
    EXIT = "exit status"
    SIGNAL = "signal"
    OUT_OF_MEMORY = "out of memory"
    HANG = "hang"
    STOPPED = "stopped"
    HOST_RESTARTED = "host restarted"
    NOT_STARTED = "could not be started"
    HOST_LOST = "host lost"
    UNVOUCHED = "nobody vouched for it"
    """Neither its lease nor its partner's promise could be renewed: it was stopped before another life could begin."""
    HANDED_OVER = "handed over"
    """It was ended here so that the partner runs the next life."""
    FENCED = "fenced"
    """A newer life of the member is another keeper's."""
    UNKNOWN = "unknown"


class Ending(msgspec.Struct, frozen=True):
    """The end of a life as it was seen."""

    kind: EndingKind
    text: str
    """One line: `ValueError: x is negative`, `signal 9 (SIGKILL)`."""
    detail: str = ""
    """More lines where there are any: the last frames, the stacks."""
    status: int | None = None
    """The exit status as `waitstatus_to_exitcode` gives it (a signal is negative); None where nobody saw it."""
    fingerprint: str = ""
    """Equal for two deaths that are the same death: the kind, and the place in the program where there is one."""


class PhaseTime(msgspec.Struct, frozen=True):
    """How long one phase of a restart took."""

    phase: str
    """`seen decided started imports restored "first new step"`."""
    span: Span


class CommitReport(msgspec.Struct, frozen=True):
    commit: CommitId
    age: Span | None
    """Since it was sealed or deposited; None where that was before this keeper, and is not known."""
    bytes: int


class LifeReport(msgspec.Struct, frozen=True):
    """One life of a member, as the journal remembers it."""

    member: MemberName
    epoch: Epoch
    began: float
    """Wall time, seconds since 1970; 0 where unknown."""
    ended: float | None
    pid: int | None
    restored: CommitId | None
    """What it was restored from; None: it began from nothing."""
    restored_from: str
    """`sealed`, `deposited`, or empty."""
    restored_reason: str
    """Why this commit and no newer one."""
    reached: Step | None
    """The newest step sealed in this life."""
    ending: Ending | None
    lost: str
    """What its end cost, in words; empty while it lives."""
    phases: tuple[PhaseTime, ...]


class AlarmLevel(Enum):
    NOTICE = "notice"
    WARNING = "warning"
    CRITICAL = "critical"


class AlarmReport(msgspec.Struct, frozen=True):
    level: AlarmLevel
    text: str
    at: float
    """Wall time."""


class MemberReport(msgspec.Struct, frozen=True):
    name: MemberName
    vitals: Vitals
    phase: Phase
    reason: str
    """The sentence that explains vitals and phase."""
    epoch: Epoch
    pid: int | None
    supervised: bool
    step: Step | None
    beat_age: Span | None
    sealed: CommitReport | None
    deposited: CommitReport | None
    unsealed: int
    """Commits that went by unsealed in a row."""
    deaths: int
    restarts_left: int | None
    slot_bytes: int
    alarms: tuple[AlarmReport, ...]


class KeeperReport(msgspec.Struct, frozen=True):
    home: str
    pid: int
    version: str
    age: Span
    members: tuple[MemberReport, ...]
    alarms: tuple[AlarmReport, ...]
    """Of the keeper itself."""
