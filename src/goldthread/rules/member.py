"""One member: where it stands in its life, and what follows from what happens to it.

A member is a small state machine over `Phase`; which phase may follow which stands in `TRANSITIONS` and nowhere else.
Each transition has a reason, is persisted before anything acts on it, and is then announced. News of an older life
is ignored (the fence); what can only be a fault of ours raises `InvalidTransition`.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from goldthread.names import CommitId, Epoch, Instant, KeeperId, MemberName, Span, Step
from goldthread.policy import Policy
from goldthread.report import AlarmLevel, Ending, Guard, OwnerState, Phase, Vitals
from goldthread.rules import orders
from goldthread.rules.choice import Choice, ChoiceState
from goldthread.rules.detector import Detector
from goldthread.rules.events import Copy
from goldthread.rules.fence import Fence
from goldthread.rules.orders import LifeRecord, MemberRecord, Order
from goldthread.rules.restart import deaths_within
from goldthread.rules.retention import DepositSchedule
from goldthread.rules.rounds import Rounds

__all__ = [
    "ALIVE",
    "AT_REST",
    "KILL",
    "TERM",
    "TRANSITIONS",
    "InvalidTransition",
    "Member",
    "MemberView",
    "new_life",
    "new_record",
]

KILL: Final = 9
TERM: Final = 15

_P = Phase
_AFTER_DEATH = frozenset({_P.STARTING, _P.WAITING, _P.DOWN, _P.LIMBO, _P.ENDED, _P.AWAY})

TRANSITIONS: Final[dict[Phase, frozenset[Phase]]] = {
    _P.ABSENT: frozenset({_P.STARTING, _P.DOWN, _P.AWAY}),
    _P.RETURNING: frozenset({_P.RUNNING, _P.ENDING}) | _AFTER_DEATH,
    _P.STARTING: frozenset({_P.RUNNING, _P.ENDING}) | _AFTER_DEATH,
    _P.RUNNING: frozenset({_P.STUCK, _P.ENDING}) | _AFTER_DEATH,
    _P.STUCK: frozenset({_P.RUNNING, _P.ENDING}) | _AFTER_DEATH,
    _P.ENDING: frozenset({_P.RUNNING}) | _AFTER_DEATH,
    _P.WAITING: frozenset({_P.STARTING, _P.RUNNING, _P.DOWN, _P.ENDED, _P.AWAY}),
    _P.DOWN: frozenset({_P.STARTING, _P.RUNNING, _P.AWAY}),
    _P.LIMBO: frozenset({_P.STARTING, _P.RUNNING, _P.AWAY}),
    _P.ENDED: frozenset({_P.STARTING, _P.AWAY}),
    _P.AWAY: frozenset({_P.STARTING}),
}

ALIVE: Final = (_P.RUNNING, _P.STARTING, _P.STUCK, _P.ENDING)
"""The phases in which a process of the member lives, as far as is known. Asked at every event: the usual one first."""

AT_REST: Final = frozenset({_P.DOWN, _P.LIMBO, _P.ENDED})


class InvalidTransition(RuntimeError):
    """A broken invariant of the rules or of the hands: the keeper must stop and tell its story."""


class MemberView(msgspec.Struct, frozen=True):
    """What a report says of a member."""

    name: MemberName
    origin: KeeperId
    phase: Phase
    vitals: Vitals
    reason: str
    epoch: Epoch
    pid: int | None
    supervised: bool
    joined: bool
    step: Step | None
    """The newest that the program told of, sealed or not."""
    beat_at: Instant | None
    sealed: Copy | None
    sealed_at: Instant | None
    deposited: CommitId | None
    deposited_at: Instant | None
    unsealed: int
    deaths: int
    """Within the budget's period."""
    restarts_left: int | None
    restored: CommitId | None
    owner_state: OwnerState
    holder: KeeperId | None
    held: CommitId | None
    """The newest commit that the holder has whole."""
    held_at: Instant | None
    rebond: Span | None
    """How long it took last to have a whole copy elsewhere again."""
    guard: Guard
    vouched_until: Instant | None
    """Until when its life may go on; None: without end."""
    bundle: str
    """Digest of what is needed to run it elsewhere."""
    differences: tuple[str, ...]
    """How the holder's host differs."""
    is_frozen: bool
    """It is stopped, since nobody vouches for it."""


def new_record(
    name: MemberName, policy: Policy, origin: KeeperId, claimants: tuple[KeeperId, ...] = ()
) -> MemberRecord:
    """A member that is known by its name alone."""
    return MemberRecord(
        name=name, epoch=Epoch(0), started=Epoch(0), phase=Phase.ABSENT, reason=f"nothing is known of {name}",
        told=None, supervised=False, budget=policy.budget, hang_floor=None, pid=None, joined=False, deaths=(),
        futile=0, wound=None, floor=Epoch(0), ceiling=None, newest=None, deposited=None, restored=None, gap=Span(0),
        origin=origin, claimants=claimants,
    )  # fmt: skip


def new_life(member: MemberName, epoch: Epoch, moments: tuple[tuple[str, Instant], ...]) -> LifeRecord:
    return LifeRecord(member, epoch, None, None, "", None, None, "", moments)


class Member:
    """What is known of a member, and the few verbs that everything else is made of.

    The decisions stand beside it, one module for each chapter of a life, as functions of a member and an event. Each
    appends its orders to `out`; `now` and `awake` are set before it is called.
    """

    def __init__(self, policy: Policy, record: MemberRecord, now: Instant, awake: Span) -> None:
        self.policy = policy
        self.record = record
        self.now = now
        self.awake = awake
        self.out: list[Order] = []
        self.life = new_life(record.name, record.epoch, ())
        self.previous: LifeRecord | None = None
        self.choice: Choice | None = None
        self.lists_due = 0
        """`ListCopies` that were not answered yet."""
        self.ticket: tuple[int, int] | None = None
        """The ticket and the process of a program that waits to be admitted."""
        self.detector = Detector(policy, record.hang_floor, record.gap, awake)
        self.left = False
        self.is_found = False
        """The present life began under another keeper."""
        self.stacks: str | None = None
        """The stacks of the present silence; None: not taken."""
        self.stuck_awake: Span | None = None
        """Since when, in the keeper's waking time, stacks are waited for."""
        self.due: Instant | None = None
        """WAITING: when the next life starts; ENDING: when patience ends."""
        self.moments_of_death: tuple[tuple[str, Instant], ...] = ()
        """Kept while the next life waits to be started."""
        self.signal: tuple[int, bool] | None = None
        """What the program was told to end by, and whether it is killed when it does not."""
        self.held: list[Any] = []
        """What was asked while it is not known yet what survived the last keeper."""
        self.grace_over: Span | None = None
        """Until when, in the keeper's waking time, programs and shims may come back from the last keeper."""
        self.is_unknown = False
        """The journal did not know it: a life of it may be about to come back."""
        self.surveyed = record.epoch == 0
        """Whether the vault's deposits are known."""
        self.sealed: Copy | None = None
        self.sealed_at: Instant | None = None
        self.deposited_at: Instant | None = None
        self.deposits = DepositSchedule()
        self.vault: frozenset[CommitId] = frozenset()
        self.damaged: frozenset[CommitId] = frozenset()
        self.unmendable: frozenset[CommitId] = frozenset()
        """Sealed commits that are damaged, and of which no other copy is known: an older one is what is left."""
        self.rounds = Rounds()
        self.proved: CommitId | None = None
        """The deposit that was read again and found whole."""
        self.freed = False
        """Whether the memory of earlier lives was freed: it is once the present one has two commits of its own."""
        self.kept: tuple[CommitId, ...] | None = None
        """What stays in memory of earlier lives once the present one is restored."""
        self.rollbacks: list[tuple[int, Step]] = []
        self.forget: int | None = None
        self.forgotten = False
        self.fence = Fence()
        self.start_wanted = False
        """The program is started as soon as its life is vouched for."""
        self.unvouched = False
        """WAITING: the next life begins when it is vouched for."""
        # Its copy elsewhere.
        self.carrying: CommitId | None = None
        """The newest commit that is to go to the holder, while one is on its way there."""
        self.carry_failure = ""
        """What was said last of why its copy does not reach the holder."""
        self.carry_failures = 0
        """How many in a row."""
        self.retry_at = Instant(0)
        self.held_at: Instant | None = None
        self.exposed_at: Instant | None = None
        """Since when the copy that another host had cannot be counted on."""
        self.rebond: Span | None = None
        self.fetching: CommitId | None = None
        """The commit that is being brought here from another host."""
        self.may_be_frozen = False
        """Found alive by a new keeper, which cannot know whether the last one had stopped it."""
        self.former_owner: KeeperId | None = None
        """From whom it was taken over: most of its state lies there still."""
        self.elsewhere: tuple[Copy, ...] = ()
        """The copies that its holder has, by the holder's word."""
        self.elsewhere_over: Span | None = None
        """Until when, in the keeper's waking time, the holder's word is waited for by a new keeper."""
        self.bundled = Epoch(0)
        """The life at whose beginning its bundle was gathered last."""
        self.bundle_sent = ""
        self.hold_waiters: list[tuple[int, CommitId]] = []
        """Tickets, and the commit that each waits for to be held."""
        self.handing: list[int] = []
        """The tickets of those who wait until the partner has it."""
        self.closing = False
        """The keeper is about to end: what is to be started again waits for the next one."""

    @property
    def is_alive(self) -> bool:
        return self.record.phase in ALIVE

    @property
    def is_choosing(self) -> bool:
        """Whether copies are listed, read or mended for a life that is to begin."""
        return self.choice is not None and self.choice.state not in (ChoiceState.SETTLED, ChoiceState.FAILED)

    @property
    def wants_ticks(self) -> bool:
        """Whether its silence is measured."""
        return self.record.phase in ALIVE or self.grace_over is not None

    @property
    def is_settled(self) -> bool:
        """Whether the vault has what it will get for now: nothing under way and nothing newer that could be tried."""
        deposits = self.deposits
        return deposits.under_way is None and (deposits.failing or not self.is_deposit_wanted())

    def deadline(self) -> Instant | None:
        """When this member wants a `Ticked`, beside the ticks while it lives."""
        due = [self.due]
        if self.is_deposit_wanted() and self.deposits.under_way is None:
            due.append(self.now if self.deposits.due is None else self.deposits.due)
        if not self.is_choosing:
            due.append(self.rounds.deadline())
        return min((moment for moment in due if moment is not None), default=None)

    def view(self) -> MemberView:
        record, detector = self.record, self.detector
        deaths = len(deaths_within(record.deaths, record.budget, self.now))
        vitals = self.vitals()
        return MemberView(
            name=record.name,
            origin=record.origin,
            phase=record.phase,
            vitals=vitals,
            reason=detector.explain(self.awake) if vitals is Vitals.SLOW else record.reason,
            epoch=record.epoch,
            pid=record.pid,
            supervised=record.supervised,
            joined=record.joined,
            step=detector.step if detector.step is not None else self.step(),
            beat_at=detector.beat_at,
            sealed=self.sealed,
            sealed_at=self.sealed_at,
            deposited=record.deposited,
            deposited_at=self.deposited_at,
            unsealed=detector.unsealed,
            deaths=deaths,
            restarts_left=max(record.budget.restarts - deaths, 0) if record.supervised else None,
            restored=record.restored,
            owner_state=record.owner_state,
            holder=record.holder,
            held=record.held if self.is_copy_sure else None,
            held_at=self.held_at,
            rebond=self.rebond,
            guard=record.guard,
            vouched_until=self.fence.until(record),
            bundle=record.bundle,
            differences=record.differences,
            is_frozen=self.fence.frozen_at is not None,
        )

    @property
    def is_copy_sure(self) -> bool:
        """Whether a takeover would go on from what the holder has: a former holder, which has an older copy, is no
        claimant any more, or the lease that it would have to claim names the holder."""
        record, lease = self.record, self.fence.lease
        if all(claimant == record.holder for claimant in record.claimants):
            return True
        return record.guard is Guard.LEASE and lease is not None and lease.successor == record.holder

    def vitals(self) -> Vitals:
        phase = self.record.phase
        if phase in (Phase.LIMBO, Phase.STUCK):
            return Vitals.LIMBO if phase is Phase.LIMBO else Vitals.STUCK
        if phase in (Phase.DOWN, Phase.WAITING, Phase.RETURNING):
            return Vitals.DOWN
        if phase is Phase.RUNNING and not self.left and self.detector.judge(self.awake) is not Vitals.WELL:
            return Vitals.SLOW
        return Vitals.WELL

    def newest(self) -> CommitId | None:
        """The newest commit that this member is known to have made."""
        known = [commit for commit in (self.record.newest, self.record.deposited) if commit is not None]
        return max(known, default=None)

    def step(self) -> Step | None:
        newest = self.newest()
        return None if newest is None else newest.step

    def is_deposit_wanted(self) -> bool:
        if self.record.phase is Phase.AWAY:
            return False  # A newer life is elsewhere: what is here is old.
        deposited = self.record.deposited
        return self.sealed is not None and (deposited is None or self.sealed.commit > deposited)

    def persist(self, **changes: Any) -> None:
        self.record = msgspec.structs.replace(self.record, gap=self.detector.gap, **changes)
        self.out.append(orders.Persist(self.record))

    def move(self, phase: Phase, reason: str, ending: Ending | None = None, **changes: Any) -> None:
        """Go over to another phase: the one place where that happens."""
        before = self.record.phase
        if phase not in TRANSITIONS[before]:
            raise InvalidTransition(f"{self.record.name}: {before.value} -> {phase.value}: {reason}")
        self.due = None
        self.persist(phase=phase, reason=reason, **changes)
        self.out.append(orders.Announce(self.record.name, self.record.epoch, phase, reason, ending))

    def persist_life(self, moment: str | None = None, at: Instant | None = None, **changes: Any) -> None:
        if moment is not None:
            changes["moments"] = (*self.life.moments, (moment, self.now if at is None else at))
        self.life = msgspec.structs.replace(self.life, **changes)
        self.out.append(orders.Persist(self.life))

    def alarm(self, level: AlarmLevel, text: str) -> None:
        self.out.append(orders.Alarm(level, self.record.name, text))

    def accept(self, ticket: int, text: str) -> None:
        self.out.append(orders.Accept(ticket, text))

    def refuse(self, ticket: int, error: str, text: str, hint: str = "") -> None:
        self.out.append(orders.Refuse(ticket, error, text, hint))

    @property
    def next_epoch(self) -> Epoch:
        """Of the life to come. The number of a life that never began is used again: it must outrank nobody."""
        record = self.record
        return Epoch(record.epoch + 1) if record.begun >= record.epoch else record.epoch

    @property
    def is_vouched(self) -> bool:
        """Whether its life may begin: it is vouched for, and its holder was given the time to say that a newer one
        has begun there."""
        return self.elsewhere_over is None and self.fence.vouches(self.record, self.now)

    def start_program(self) -> None:
        """Start the present life, now or as soon as it is vouched for."""
        self.start_wanted = not self.is_vouched
        if not self.start_wanted:
            if self.record.begun < self.record.epoch:
                self.persist(begun=self.record.epoch)
            self.out.append(orders.StartProgram(self.record.name, self.record.epoch))

    def signal_program(self, signal: int) -> None:
        self.out.append(orders.SignalProgram(self.record.name, self.record.started, signal))

    def begin_choice(self) -> Choice:
        """Choose what a life starts from, by what is known of its commits now."""
        self.choice = choice = Choice(self.record.floor, self.record.ceiling, self.newest())
        return choice

    def list_copies(self) -> None:
        self.lists_due += 1
        self.out.append(orders.ListCopies(self.record.name))

    def survey(self) -> None:
        """See which copies there are."""
        self.grace_over = None
        if self.record.phase is Phase.WAITING and self.due is None:
            self.due = self.now
        self.list_copies()
