"""What programs, shims and commands say to the keeper of their host, and what it answers.

One frame each way is one message. `Hello` comes first on every connection and never changes its shape, so that two
versions can tell each other apart. Descriptors that travel with a message are named in its docstring, in order.
"""

from __future__ import annotations

from typing import Final

import msgspec

from goldthread.names import CommitId, Epoch, Instant, Level, MemberName, Span, Step
from goldthread.policy import Budget
from goldthread.report import Ending, KeeperReport, LifeReport, Phase
from goldthread.wire.bond_requests import (
    AcceptRequest,
    BondEndRequest,
    BondForgetRequest,
    ConfirmRequest,
    Invited,
    InviteRequest,
    RekeyRequest,
    TakeoverRequest,
    TermsRequest,
)
from goldthread.wire.carrying import FromCarrier, ToCarrier

__all__ = ["PROTOCOL", "FromKeeper", "ToKeeper"]

PROTOCOL: Final = 2


class Hello(msgspec.Struct, frozen=True, tag=True):
    protocol: int
    version: str
    role: str
    """`program`, `shim`, `carrier` or `command`."""


# From programs


class JoinRequest(msgspec.Struct, frozen=True, tag=True):
    """Answered by `Joined`, or `Refused`."""

    member: MemberName
    pid: int
    epoch: Epoch | None
    """From the environment that the shim gave, where it gave one."""
    fresh: bool


class ReturnRequest(msgspec.Struct, frozen=True, tag=True):
    """A living, joined program comes back to a new keeper. Descriptors: the pulse, then its slots in order of index.

    Answered by `Returned`, or `Refused` (with `Fenced` where a newer life exists)."""

    member: MemberName
    pid: int
    epoch: Epoch
    slots: tuple[int, ...]


class SlotRequest(msgspec.Struct, frozen=True, tag=True):
    """A slot of at least so many bytes, in place of slot `index`. Answered by `SlotMade` or `Refused`.

    Where it is made, it stands for the old one from then on; that must not hold the newest commit."""

    index: int
    bytes: int


class RestoredNote(msgspec.Struct, frozen=True, tag=True):
    """`restore` returned. Not answered."""

    map: bool


class RaisedNote(msgspec.Struct, frozen=True, tag=True):
    """An exception is about to end the program. Not answered."""

    error: str
    """The name of its type."""
    message: str
    frames: str
    place: str
    """Where it was raised: `file:line:function`."""


class LeaveNote(msgspec.Struct, frozen=True, tag=True):
    """The program left its `with` block in peace. Answered by `Done` when that is known."""


class DepositRequest(msgspec.Struct, frozen=True, tag=True):
    """Answered by `Done` when the program's newest sealed commit, or a newer one, is in the vault; or `Refused`."""


class HoldRequest(msgspec.Struct, frozen=True, tag=True):
    """Answered by `Done` when the program's newest sealed commit, or a newer one, is held; or `Refused` (with
    `PartnerUnreachable` where there is no holder)."""


# From shims


class ShimNote(msgspec.Struct, frozen=True, tag=True):
    """A shim comes, or comes back. Descriptors: the pulse of its present life where there is one, then the slots.

    Not answered."""

    member: MemberName
    epoch: Epoch
    pid: int | None
    """None where no program runs under it."""
    status: int | None
    """Exit status of life `epoch` where it has ended."""
    last_words: str
    pulse: bool
    slots: tuple[tuple[Epoch, int], ...]


class LifeStartedNote(msgspec.Struct, frozen=True, tag=True):
    epoch: Epoch
    pid: int


class LifeNotStartedNote(msgspec.Struct, frozen=True, tag=True):
    epoch: Epoch
    text: str


class LifeExitedNote(msgspec.Struct, frozen=True, tag=True):
    epoch: Epoch
    status: int
    """As `waitstatus_to_exitcode` gives it: a signal is negative."""
    last_words: str
    """The end of what it wrote to standard error, for programs that never joined."""


# From commands


class Command(msgspec.Struct, frozen=True):
    """What `run` starts."""

    argv: tuple[str, ...]
    directory: str
    environment: dict[str, str]


class RunRequest(msgspec.Struct, frozen=True, tag=True):
    """Answered by `Done` when the member is being started, or `Refused`."""

    member: MemberName
    command: Command
    budget: Budget
    fresh: bool
    hang_floor: Span | None


class WatchRequest(msgspec.Struct, frozen=True, tag=True):
    """Answered by a `PhaseNote` now and at each change, until the connection ends."""

    member: MemberName


class StopRequest(msgspec.Struct, frozen=True, tag=True):
    member: MemberName
    signal: int
    escalate: bool


class RestartRequest(msgspec.Struct, frozen=True, tag=True):
    member: MemberName


class RollbackRequest(msgspec.Struct, frozen=True, tag=True):
    member: MemberName
    step: Step


class ForgetRequest(msgspec.Struct, frozen=True, tag=True):
    member: MemberName


class ReportRequest(msgspec.Struct, frozen=True, tag=True):
    """Answered by `Report`."""


class CopyRequest(msgspec.Struct, frozen=True, tag=True):
    """The newest whole commit, for reading (export, check). Answered by `CopyFound`, or `Refused`."""

    member: MemberName


class DrillRequest(msgspec.Struct, frozen=True, tag=True):
    """Flip bits in the newest sealed slot: the one fault that only the keeper can do. Answered by `Done`."""

    member: MemberName


class KeeperStopRequest(msgspec.Struct, frozen=True, tag=True):
    """Answered by `Done` just before the keeper ends, or `Refused`."""

    stop_members: bool


# From the keeper


class Refused(msgspec.Struct, frozen=True, tag=True):
    error: str
    """The name of a class in `errors.py`."""
    text: str
    hint: str


class Done(msgspec.Struct, frozen=True, tag=True):
    text: str


class Joined(msgspec.Struct, frozen=True, tag=True):
    """Descriptors: the pulse; then the image to restore from where `commit` is given: a slot or a vault file."""

    epoch: Epoch
    commit: CommitId | None
    level: Level | None
    reason: str
    previous: Ending | None
    previous_step: Step | None
    stacks: str
    """Path of the file to which the program writes its stacks when the keeper asks by SIGUSR2."""
    slots: int
    """How many slots the life may have."""


class Returned(msgspec.Struct, frozen=True, tag=True):
    pass


class SlotMade(msgspec.Struct, frozen=True, tag=True):
    """Descriptor: the slot."""

    index: int
    bytes: int


class CopyFound(msgspec.Struct, frozen=True, tag=True):
    """Descriptor: the image, already checked."""

    commit: CommitId
    level: Level


class PhaseNote(msgspec.Struct, frozen=True, tag=True):
    epoch: Epoch
    phase: Phase
    reason: str
    ending: Ending | None
    at: Instant


class Report(msgspec.Struct, frozen=True, tag=True):
    report: KeeperReport
    lives: tuple[LifeReport, ...] = ()


class StartLife(msgspec.Struct, frozen=True, tag=True):
    """To a shim: start the program. Answered by `LifeStartedNote` or `LifeNotStartedNote`, later `LifeExitedNote`."""

    epoch: Epoch
    command: Command


class SignalLife(msgspec.Struct, frozen=True, tag=True):
    """To a shim."""

    epoch: Epoch
    signal: int


class HoldPulse(msgspec.Struct, frozen=True, tag=True):
    """To a shim. Descriptor: the pulse of the life."""

    epoch: Epoch


class HoldSlot(msgspec.Struct, frozen=True, tag=True):
    """To a shim: keep this descriptor. Descriptor: the slot."""

    epoch: Epoch
    index: int


class ReleaseSlot(msgspec.Struct, frozen=True, tag=True):
    """To a shim."""

    epoch: Epoch
    index: int


class EndShim(msgspec.Struct, frozen=True, tag=True):
    """To a shim whose member is at rest."""


ToKeeper = (
    Hello
    | JoinRequest
    | ReturnRequest
    | SlotRequest
    | RestoredNote
    | RaisedNote
    | LeaveNote
    | DepositRequest
    | HoldRequest
    | ShimNote
    | LifeStartedNote
    | LifeNotStartedNote
    | LifeExitedNote
    | RunRequest
    | WatchRequest
    | StopRequest
    | RestartRequest
    | RollbackRequest
    | ForgetRequest
    | ReportRequest
    | CopyRequest
    | DrillRequest
    | KeeperStopRequest
    | InviteRequest
    | AcceptRequest
    | TermsRequest
    | BondEndRequest
    | BondForgetRequest
    | ConfirmRequest
    | RekeyRequest
    | TakeoverRequest
    | FromCarrier
)

FromKeeper = (
    Hello
    | Refused
    | Done
    | Joined
    | Returned
    | SlotMade
    | CopyFound
    | PhaseNote
    | Report
    | Invited
    | StartLife
    | SignalLife
    | HoldPulse
    | HoldSlot
    | ReleaseSlot
    | EndShim
    | ToCarrier
)
