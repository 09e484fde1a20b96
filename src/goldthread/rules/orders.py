"""What shall be done: the only way out of the machine. Orders are carried out in the order in which they stand."""

from __future__ import annotations

import msgspec

from goldthread.names import CommitId, Epoch, Instant, KeeperId, MemberName, Span, Step
from goldthread.policy import Budget
from goldthread.report import AlarmLevel, Ending, EndingKind, Guard, OwnerState, Phase
from goldthread.rules.bond_orders import BondOrder, BondRecord, HeldRecord
from goldthread.rules.events import Copy

__all__ = [
    "Accept",
    "Admit",
    "Alarm",
    "Announce",
    "Ceiling",
    "CheckCopy",
    "Deposit",
    "Forget",
    "FreeSlots",
    "LifeRecord",
    "ListCopies",
    "MemberRecord",
    "Order",
    "Persist",
    "PrepareSlot",
    "Refuse",
    "SignalProgram",
    "StartProgram",
    "StopKeeper",
    "TakeStacks",
    "TrimVault",
    "Wound",
]


class Wound(msgspec.Struct, frozen=True):
    """The last death, kept so that its repetition is known."""

    fingerprint: str
    step: Step | None
    """The newest step sealed when it died."""
    count: int
    """How many times in a row."""


class Ceiling(msgspec.Struct, frozen=True):
    """Why newer commits are passed over: a wound, or the wish of the member's user."""

    epoch: Epoch
    """Commits of later lives than this are not concerned."""
    below: Step
    """Of the lives up to `epoch`, only commits of lower steps are used."""
    asked: bool
    """A user's wish: if nothing below is whole, nothing is used."""
    reason: str


class MemberRecord(msgspec.Struct, frozen=True):
    """All that a new keeper must know of a member to go on."""

    name: MemberName
    epoch: Epoch
    started: Epoch
    """The life as which the present process was started: lower than `epoch` where the process joined again."""
    phase: Phase
    reason: str
    told: EndingKind | None
    """Why its life was told to end: `STOPPED`, `HANG`, or `NOT_STARTED` where it may not go on; None otherwise."""
    supervised: bool
    budget: Budget
    hang_floor: Span | None
    pid: int | None
    joined: bool
    deaths: tuple[Instant, ...]
    """Within the budget's period."""
    futile: int
    """Deaths in a row that brought no new commit."""
    wound: Wound | None
    floor: Epoch
    """Commits of earlier lives are not used any more."""
    ceiling: Ceiling | None
    newest: CommitId | None
    """The newest sealed commit that is known of; it may lag behind the slots."""
    deposited: CommitId | None
    restored: CommitId | None
    """What the present life began from."""
    gap: Span
    """The longest silence between two beats that was no hang."""
    origin: KeeperId = KeeperId("")
    """Where it began its first life: another member of the same name is another member."""
    holder: KeeperId | None = None
    """The partner that holds its copy, or is to."""
    owner_state: OwnerState = OwnerState.SEEKING
    held: CommitId | None = None
    """The newest commit that the holder is known to have whole."""
    guard: Guard = Guard.NONE
    """What the holder is told."""
    claimants: tuple[KeeperId, ...] = ()
    """The keepers that may believe that they may take it over: those that were told of a guard, or to which it was
    given up, until they have heard otherwise. While there are any, a life needs a voucher."""
    begun: Epoch = Epoch(0)
    """The newest life that began here, or is known to have begun elsewhere. A later epoch may be waiting for its
    voucher."""
    was_in_limbo: bool = False
    """It was taken over since its last owner could not keep it alive."""
    given_up: bool = False
    """No life runs or begins here: the holder may take it over."""
    bundle: str = ""
    """Digest of what is needed to run it elsewhere; empty where there is none."""
    differences: tuple[str, ...] = ()
    """How the holder's host differs from what the member runs on here, as it said when it got that."""


class LifeRecord(msgspec.Struct, frozen=True):
    """One life for the journal, written again as more is known."""

    member: MemberName
    epoch: Epoch
    pid: int | None
    restored: Copy | None
    restored_reason: str
    reached: Step | None
    ending: Ending | None
    lost: str
    moments: tuple[tuple[str, Instant], ...]
    """`("died", t), ("seen", t), ("decided", t), ...`: when each phase of its coming to life was over. `died` is the
    last sign of life of the life before, so the first span is at most what it says."""


class Persist(msgspec.Struct, frozen=True, tag=True):
    """Write this to the journal before the next order is carried out."""

    record: MemberRecord | LifeRecord | BondRecord | HeldRecord


class StartProgram(msgspec.Struct, frozen=True, tag=True):
    member: MemberName
    epoch: Epoch


class SignalProgram(msgspec.Struct, frozen=True, tag=True):
    member: MemberName
    epoch: Epoch
    signal: int


class TakeStacks(msgspec.Struct, frozen=True, tag=True):
    """Have the program write the stacks of all its threads; answered by `StacksTaken`."""

    member: MemberName
    epoch: Epoch


class ListCopies(msgspec.Struct, frozen=True, tag=True):
    """Find every copy of every commit of this member; answered by `CopiesListed`."""

    member: MemberName


class CheckCopy(msgspec.Struct, frozen=True, tag=True):
    """Read all of a copy and compare its checksums; answered by `CopyChecked`."""

    member: MemberName
    copy: Copy
    background: bool = False
    """No one waits: do it at a bounded rate."""


class PrepareSlot(msgspec.Struct, frozen=True, tag=True):
    """Make a slot for the life to come, so that its first commit does not wait."""

    member: MemberName
    epoch: Epoch
    bytes: int


class Admit(msgspec.Struct, frozen=True, tag=True):
    """Let the asking program be this life."""

    ticket: int
    member: MemberName
    epoch: Epoch
    copy: Copy | None
    """What to restore from; None where there is nothing to restore."""
    reason: str
    """Why this commit, or why none: `this is the first life of walk`."""
    previous: LifeRecord | None
    until: Instant | None = None
    """Until when the life may seal commits, as with `Vouch`."""


class Accept(msgspec.Struct, frozen=True, tag=True):
    ticket: int
    text: str


class Refuse(msgspec.Struct, frozen=True, tag=True):
    ticket: int
    error: str
    """The name of a class in `errors.py`."""
    text: str
    hint: str


class Deposit(msgspec.Struct, frozen=True, tag=True):
    """Write this commit, or the newest of its life if that is newer by now, to the vault.

    Answered by `CommitDeposited`, which names what was written, or `DepositFailed`."""

    member: MemberName
    commit: CommitId


class TrimVault(msgspec.Struct, frozen=True, tag=True):
    """Remove the deposits of this member other than those named. What was set aside as damaged stays."""

    member: MemberName
    keep: tuple[CommitId, ...]


class FreeSlots(msgspec.Struct, frozen=True, tag=True):
    """Free the slots of lives before `epoch`, but for those that hold one of the commits named."""

    member: MemberName
    epoch: Epoch
    keep: tuple[CommitId, ...] = ()


class Forget(msgspec.Struct, frozen=True, tag=True):
    """Remove all that is kept of this member. What the journal is to know of it from then on is written with that."""

    member: MemberName
    kept: MemberRecord | None = None


class Alarm(msgspec.Struct, frozen=True, tag=True):
    level: AlarmLevel
    member: MemberName | None
    text: str


class Announce(msgspec.Struct, frozen=True, tag=True):
    """Tell whoever waits for this member that its phase changed."""

    member: MemberName
    epoch: Epoch
    phase: Phase
    reason: str
    ending: Ending | None = None


class StopKeeper(msgspec.Struct, frozen=True, tag=True):
    """End the keeper in order."""


Order = (
    Persist
    | StartProgram
    | SignalProgram
    | TakeStacks
    | ListCopies
    | CheckCopy
    | PrepareSlot
    | Admit
    | Accept
    | Refuse
    | Deposit
    | TrimVault
    | FreeSlots
    | Forget
    | Alarm
    | Announce
    | StopKeeper
    | BondOrder
)
