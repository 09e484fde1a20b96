"""What a keeper says of itself. Every view reads these and nothing else.

Ages are in nanoseconds at the moment of the report, sizes in bytes.
"""

from __future__ import annotations

from enum import Enum

import msgspec

from goldthread.names import CommitId, Epoch, KeeperId, MemberName, Span, Step
from goldthread.terms import Terms

__all__ = [
    "AlarmLevel",
    "AlarmReport",
    "BondReport",
    "CommitReport",
    "Contact",
    "Ending",
    "EndingKind",
    "Guard",
    "HeldReport",
    "HeldThere",
    "HolderState",
    "KeeperReport",
    "LifeReport",
    "MemberReport",
    "OwnerState",
    "Phase",
    "PhaseTime",
    "PriceReport",
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
    owner_state: OwnerState = OwnerState.SEEKING
    holder: str = ""
    """The name of the partner that holds its copy, or is to; empty where there is none."""
    held: CommitReport | None = None
    """The newest commit that the holder is known to have whole; its bytes are those of the newest sealed one."""
    guard: Guard = Guard.NONE
    vouched: Span | None = None
    """How long its life may go on by what vouches for it now; 0: nothing does; None: it needs no voucher."""
    exposed: str = ""
    """Why no other host can be counted on for its work, though a bond should see to it; empty where one can, and
    where there is no bond."""
    origin: KeeperId = KeeperId("")
    """The keeper that ran it first."""


class HeldThere(msgspec.Struct, frozen=True):
    """A member of this keeper, in the memory of a partner."""

    member: MemberName
    state: OwnerState
    commit: CommitReport | None
    """The newest whole one there."""
    behind: int | None
    """Steps sealed here and not held there; None where nothing is held there."""
    guard: Guard
    differences: tuple[str, ...] = ()
    """How the interpreter and the packages there differ from those that it runs on here."""


class HeldReport(msgspec.Struct, frozen=True):
    """A member of a partner, in the memory of this keeper."""

    member: MemberName
    partner: KeeperId
    state: HolderState
    reason: str
    epoch: Epoch
    """Of its life at its owner."""
    phase: Phase
    """Of that life, as the owner told it."""
    guard: Guard
    given_up: bool
    """By the owner's word no life of it runs or will run there."""
    commit: CommitId | None
    """The newest whole one here."""
    behind: int | None
    """Steps that the owner has told of and that are not here; None where nothing is held here. It tells when it gives
    the member up: while it runs there, more may be missing."""
    bytes: int
    """Of the newest commit that the owner has told of."""
    bundled: bool = True
    """Whether what is needed to run it is here."""


class PriceReport(msgspec.Struct, frozen=True):
    """What the death of a partner would cost now."""

    text: str
    exposed: tuple[MemberName, ...]
    """Members of this keeper whose only whole copy on another host would go."""
    copies_left: int
    """Whole copies left of that one of them that has the fewest: in this host's memory, in its vault, with others."""
    steps: int
    """Steps of the partner's members that it has told of and that are not held here: those it would lose at least."""
    lost: tuple[MemberName, ...]
    """Members of the partner of which nothing is held here."""
    memory: int
    """Bytes of this keeper's members' newest whole copies in the partner's memory, which would go. Each takes twice
    that of what the partner lends: a second slot lets the next one come in."""
    cores: int
    """Cores that the partner lends, and that would go."""
    rebond: Span | None
    """How long it took last to have a whole copy elsewhere again; None where that never happened."""


class BondReport(msgspec.Struct, frozen=True):
    """One bond, as this side sees it."""

    partner: KeeperId
    name: str
    contact: Contact
    reason: str
    """The sentence that explains the contact."""
    heard_age: Span | None
    """Since the partner's last word; None where it said nothing to this keeper yet."""
    round_trip: Span | None
    """From the last beat that was answered to its answer."""
    dialled: bool
    """Whether the link that this keeper dialled stands."""
    mine: Terms
    theirs: Terms
    room: int
    """Bytes that the partner has left for this keeper's copies."""
    held_there: tuple[HeldThere, ...]
    price: PriceReport
    ending: bool
    """It was ended here, and the partner does not know yet."""
    ended: bool
    """It is over. Its keeper is known still, and may be turned to in an emergency."""
    emergency: str
    """Why it was tied with nobody asked; empty where a person tied it, or has confirmed it."""


class KeeperReport(msgspec.Struct, frozen=True):
    home: str
    pid: int
    version: str
    age: Span
    members: tuple[MemberReport, ...]
    alarms: tuple[AlarmReport, ...]
    """Of the keeper itself."""
    id: KeeperId = KeeperId("")
    name: str = ""
    """For people."""
    bonds: tuple[BondReport, ...] = ()
    helds: tuple[HeldReport, ...] = ()
    """What is held here for partners."""
