"""What happened: the only way in to the machine.

Events that ask for something carry a `ticket`, a number by which the hands know who asked; each ticket is answered
by exactly one of the orders `Accept`, `Admit` and `Refuse`.
"""

from __future__ import annotations

import msgspec

from goldthread.names import CommitId, Epoch, Instant, Level, MemberName, Span, Step
from goldthread.policy import Budget
from goldthread.report import Ending

__all__ = [
    "CommitDeposited",
    "CommitSealed",
    "CopiesListed",
    "Copy",
    "CopyChecked",
    "DepositAsked",
    "DepositFailed",
    "Event",
    "ForgetAsked",
    "JoinAsked",
    "KeeperStopAsked",
    "LifeEnded",
    "LifeFound",
    "LifeLeft",
    "LifeRestored",
    "LifeStarted",
    "ProgramBeat",
    "RestartAsked",
    "RollbackAsked",
    "RunAsked",
    "StacksTaken",
    "StopAsked",
    "Ticked",
]


class Copy(msgspec.Struct, frozen=True):
    """One copy of a commit: a slot or a vault file whose header could be read."""

    commit: CommitId
    level: Level
    bytes: int


class RunAsked(msgspec.Struct, frozen=True, tag=True):
    """A user wants a program started and kept running. The hands have stored its command already."""

    ticket: int
    member: MemberName
    budget: Budget
    fresh: bool = False
    """Start over: commits of earlier lives are not used any more."""
    hang_floor: Span | None = None
    """In place of the policy's."""


class JoinAsked(msgspec.Struct, frozen=True, tag=True):
    """A program wants to be the next life of a member, or the joined part of the life that `run` started."""

    ticket: int
    member: MemberName
    pid: int
    epoch: Epoch | None = None
    """The life that `run` started this program as; None for a program started by hand."""
    fresh: bool = False


class LifeStarted(msgspec.Struct, frozen=True, tag=True):
    """The shim started the program."""

    member: MemberName
    epoch: Epoch
    pid: int


class LifeFound(msgspec.Struct, frozen=True, tag=True):
    """A new keeper found that this life, which the journal says was running, still runs."""

    member: MemberName
    epoch: Epoch
    pid: int


class LifeRestored(msgspec.Struct, frozen=True, tag=True):
    """The program's `restore` returned."""

    member: MemberName
    epoch: Epoch


class LifeLeft(msgspec.Struct, frozen=True, tag=True):
    """The program left its `with` block in peace; its process may live on."""

    member: MemberName
    epoch: Epoch


class LifeEnded(msgspec.Struct, frozen=True, tag=True):
    """The process of a life is gone, or could not be started (`NOT_STARTED`)."""

    member: MemberName
    epoch: Epoch
    ending: Ending


class ProgramBeat(msgspec.Struct, frozen=True, tag=True):
    """The pulse moved since it was last read."""

    member: MemberName
    epoch: Epoch
    beats: int
    """Count since the life joined."""
    gap: Span
    """The longest time between two beats of this life so far."""
    step: Step
    first_beat_at: Instant | None
    """When the first beat after `restore` was made."""
    unsealed: int
    """Commits that went by unsealed in a row."""
    at: Instant | None = None
    """When the newest beat was made; None: just now."""


class CommitSealed(msgspec.Struct, frozen=True, tag=True):
    """A newer sealed commit was seen. Commits sealed and superseded between two looks are not told."""

    member: MemberName
    commit: CommitId
    bytes: int
    at: Instant | None = None
    """When it was sealed; None: just now."""


class CopiesListed(msgspec.Struct, frozen=True, tag=True):
    """The answer to `ListCopies`: every copy whose header could be read, in no order."""

    member: MemberName
    copies: tuple[Copy, ...]


class CopyChecked(msgspec.Struct, frozen=True, tag=True):
    """The answer to `CheckCopy`: whether each chunk is what was sealed."""

    member: MemberName
    copy: Copy
    whole: bool
    text: str = ""
    """What was damaged: `2 of 1024 chunks`."""


class CommitDeposited(msgspec.Struct, frozen=True, tag=True):
    member: MemberName
    commit: CommitId
    bytes: int


class DepositFailed(msgspec.Struct, frozen=True, tag=True):
    member: MemberName
    commit: CommitId
    text: str


class StacksTaken(msgspec.Struct, frozen=True, tag=True):
    """The stacks of a stuck program were written; `text` is empty where they could not be had."""

    member: MemberName
    epoch: Epoch
    text: str


class StopAsked(msgspec.Struct, frozen=True, tag=True):
    """A user wants the program to end. With `escalate` it is killed after the grace."""

    ticket: int
    member: MemberName
    signal: int
    escalate: bool = True


class RestartAsked(msgspec.Struct, frozen=True, tag=True):
    """A user wants a member that is in limbo, down or ended to run again, with a fresh budget."""

    ticket: int
    member: MemberName


class RollbackAsked(msgspec.Struct, frozen=True, tag=True):
    """The next life is to start from the newest whole commit at or before `step`."""

    ticket: int
    member: MemberName
    step: Step


class ForgetAsked(msgspec.Struct, frozen=True, tag=True):
    """A user wants a member removed for good."""

    ticket: int
    member: MemberName


class DepositAsked(msgspec.Struct, frozen=True, tag=True):
    """Somebody waits until this commit or a newer one is in the vault."""

    ticket: int
    member: MemberName


class KeeperStopAsked(msgspec.Struct, frozen=True, tag=True):
    """The keeper is to end. Newest commits are deposited first."""

    ticket: int
    stop_members: bool
    """End running programs first; without it, and without `leave_members`, running programs are a reason to refuse."""
    leave_members: bool
    """End although programs run: they go on alone (a signal to the keeper, a shutdown of the host)."""


class Ticked(msgspec.Struct, frozen=True, tag=True):
    """Time went by: given at every deadline, and at every tick while a life runs."""


Event = (
    RunAsked
    | JoinAsked
    | LifeStarted
    | LifeFound
    | LifeRestored
    | LifeLeft
    | LifeEnded
    | ProgramBeat
    | CommitSealed
    | CopiesListed
    | CopyChecked
    | CommitDeposited
    | DepositFailed
    | StacksTaken
    | StopAsked
    | RestartAsked
    | RollbackAsked
    | ForgetAsked
    | DepositAsked
    | KeeperStopAsked
    | Ticked
)
