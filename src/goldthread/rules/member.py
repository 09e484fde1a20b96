"""One member: where it stands in its life, and what follows from what happens to it.

A member is a small state machine over `Phase`; which phase may follow which stands in `TRANSITIONS` and nowhere else.
Each transition has a reason, is persisted before anything acts on it, and is then announced. News of an older life
is ignored (the fence); what can only be a fault of ours raises `InvalidTransition`.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from goldthread.names import CommitId, Epoch, Instant, Level, MemberName, Span, Step
from goldthread.policy import Policy
from goldthread.report import AlarmLevel, Ending, EndingKind, Phase, Vitals
from goldthread.rules import events, orders
from goldthread.rules.choice import Choice, ChoiceState
from goldthread.rules.detector import Detector
from goldthread.rules.events import Copy
from goldthread.rules.orders import Ceiling, LifeRecord, MemberRecord, Order
from goldthread.rules.restart import deaths_within, decide_restart, find_wound, wound_ceiling
from goldthread.rules.retention import DepositSchedule, deposits_to_keep, rank_copies, slots_to_keep

__all__ = ["ALIVE", "TRANSITIONS", "InvalidTransition", "Member", "MemberView", "new_record"]

_KILL: Final = 9
_TERM: Final = 15

_P = Phase
_AFTER_DEATH = frozenset({_P.STARTING, _P.WAITING, _P.DOWN, _P.LIMBO, _P.ENDED})

TRANSITIONS: Final[dict[Phase, frozenset[Phase]]] = {
    _P.ABSENT: frozenset({_P.STARTING, _P.DOWN}),
    _P.RETURNING: frozenset({_P.RUNNING, _P.ENDING}) | _AFTER_DEATH,
    _P.STARTING: frozenset({_P.RUNNING, _P.ENDING}) | _AFTER_DEATH,
    _P.RUNNING: frozenset({_P.STUCK, _P.ENDING}) | _AFTER_DEATH,
    _P.STUCK: frozenset({_P.RUNNING, _P.ENDING}) | _AFTER_DEATH,
    _P.ENDING: frozenset({_P.RUNNING}) | _AFTER_DEATH,
    _P.WAITING: frozenset({_P.STARTING, _P.RUNNING, _P.ENDED}),
    _P.DOWN: frozenset({_P.STARTING, _P.RUNNING}),
    _P.LIMBO: frozenset({_P.STARTING, _P.RUNNING}),
    _P.ENDED: frozenset({_P.STARTING}),
}

ALIVE: Final = frozenset({_P.STARTING, _P.RUNNING, _P.STUCK, _P.ENDING})
"""The phases in which a process of the member lives, as far as is known."""

_AT_REST: Final = frozenset({_P.DOWN, _P.LIMBO, _P.ENDED})


class InvalidTransition(RuntimeError):
    """A broken invariant of the rules or of the hands: the keeper must stop and tell its story."""


class MemberView(msgspec.Struct, frozen=True):
    """What a report says of a member."""

    name: MemberName
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


def new_record(name: MemberName, policy: Policy) -> MemberRecord:
    """A member that is known by its name alone."""
    return MemberRecord(
        name=name, epoch=Epoch(0), started=Epoch(0), phase=Phase.ABSENT, reason=f"nothing is known of {name}",
        told=None, supervised=False, budget=policy.budget, hang_floor=None, pid=None, joined=False, deaths=(),
        futile=0, wound=None, floor=Epoch(0), ceiling=None, newest=None, deposited=None, restored=None, gap=Span(0),
    )  # fmt: skip


def _new_life(member: MemberName, epoch: Epoch, moments: tuple[tuple[str, Instant], ...]) -> LifeRecord:
    return LifeRecord(member, epoch, None, None, "", None, None, "", moments)


class Member:
    """Each handler takes an event and appends to `out`; `now` and `awake` are set before."""

    def __init__(self, policy: Policy, record: MemberRecord, now: Instant, awake: Span) -> None:
        self._policy = policy
        self.record = record
        self.now = now
        self.awake = awake
        self.out: list[Order] = []
        self.life = _new_life(record.name, record.epoch, ())
        self.previous: LifeRecord | None = None
        self._choice: Choice | None = None
        self._lists = 0
        """`ListCopies` that were not answered yet."""
        self._ticket: tuple[int, int] | None = None
        """The ticket and the process of a program that waits to be admitted."""
        self._detector = Detector(policy, record.hang_floor, record.gap, awake)
        self._left = False
        self._is_found = False
        """The present life began under another keeper."""
        self._stacks: str | None = None
        """The stacks of the present silence; None: not taken."""
        self._stuck_awake: Span | None = None
        """Since when, in the keeper's waking time, stacks are waited for."""
        self._due: Instant | None = None
        """WAITING: when the next life starts; ENDING: when patience ends."""
        self._moments_of_death: tuple[tuple[str, Instant], ...] = ()
        """Kept while the next life waits to be started."""
        self._signal: tuple[int, bool] | None = None
        """What the program was told to end by, and whether it is killed when it does not."""
        self._held: list[Any] = []
        """What was asked while it is not known yet what survived the last keeper."""
        self._grace_over: Span | None = None
        """Until when, in the keeper's waking time, programs and shims may come back from the last keeper."""
        self._surveyed = record.epoch == 0
        """Whether the vault's deposits are known."""
        self.sealed: Copy | None = None
        self._sealed_at: Instant | None = None
        self._deposited_at: Instant | None = None
        self._deposits = DepositSchedule()
        self._vault: frozenset[CommitId] = frozenset()
        self._damaged: frozenset[CommitId] = frozenset()
        self._checked: CommitId | None = None
        """The commit whose background check is under way."""
        self._proved: CommitId | None = None
        """The deposit that was read again and found whole."""
        self._freed = True
        self._rollbacks: list[tuple[int, Step]] = []
        self._forget: int | None = None
        self.forgotten = False
        self.closing = False
        """The keeper is about to end: what is to be started again waits for the next one."""

    # Questions

    @property
    def is_alive(self) -> bool:
        return self.record.phase in ALIVE

    @property
    def wants_ticks(self) -> bool:
        """Whether its silence is measured."""
        return self.record.phase in ALIVE or self._grace_over is not None

    @property
    def is_settled(self) -> bool:
        """Whether the vault has what it will get for now: nothing under way and nothing newer that could be tried."""
        deposits = self._deposits
        return deposits.under_way is None and (deposits.failing or not self._is_deposit_wanted())

    def deadline(self) -> Instant | None:
        """When this member wants a `Ticked`, beside the ticks while it lives."""
        due = [self._due]
        if self._is_deposit_wanted() and self._deposits.under_way is None:
            due.append(self.now if self._deposits.due is None else self._deposits.due)
        return min((moment for moment in due if moment is not None), default=None)

    def view(self) -> MemberView:
        record, detector = self.record, self._detector
        deaths = len(deaths_within(record.deaths, record.budget, self.now))
        vitals = self._vitals()
        return MemberView(
            name=record.name,
            phase=record.phase,
            vitals=vitals,
            reason=detector.explain(self.awake) if vitals is Vitals.SLOW else record.reason,
            epoch=record.epoch,
            pid=record.pid,
            supervised=record.supervised,
            joined=record.joined,
            step=detector.step if detector.step is not None else self._step(),
            beat_at=detector.beat_at,
            sealed=self.sealed,
            sealed_at=self._sealed_at,
            deposited=record.deposited,
            deposited_at=self._deposited_at,
            unsealed=detector.unsealed,
            deaths=deaths,
            restarts_left=max(record.budget.restarts - deaths, 0) if record.supervised else None,
            restored=record.restored,
        )

    def _vitals(self) -> Vitals:
        phase = self.record.phase
        if phase in (Phase.LIMBO, Phase.STUCK):
            return Vitals.LIMBO if phase is Phase.LIMBO else Vitals.STUCK
        if phase in (Phase.DOWN, Phase.WAITING, Phase.RETURNING):
            return Vitals.DOWN
        if phase is Phase.RUNNING and not self._left and self._detector.judge(self.awake) is not Vitals.WELL:
            return Vitals.SLOW
        return Vitals.WELL

    def _newest(self) -> CommitId | None:
        """The newest commit that this member is known to have made."""
        known = [commit for commit in (self.record.newest, self.record.deposited) if commit is not None]
        return max(known, default=None)

    def _step(self) -> Step | None:
        newest = self._newest()
        return None if newest is None else newest.step

    def _is_deposit_wanted(self) -> bool:
        deposited = self.record.deposited
        return self.sealed is not None and (deposited is None or self.sealed.commit > deposited)

    # What everything below is made of

    def _persist(self, **changes: Any) -> None:
        self.record = msgspec.structs.replace(self.record, gap=self._detector.gap, **changes)
        self.out.append(orders.Persist(self.record))

    def _move(self, phase: Phase, reason: str, ending: Ending | None = None, **changes: Any) -> None:
        """Go over to another phase: the one place where that happens."""
        before = self.record.phase
        if phase not in TRANSITIONS[before]:
            raise InvalidTransition(f"{self.record.name}: {before.value} -> {phase.value}: {reason}")
        self._due = None
        self._persist(phase=phase, reason=reason, **changes)
        self.out.append(orders.Announce(self.record.name, self.record.epoch, phase, reason, ending))

    def _persist_life(self, moment: str | None = None, at: Instant | None = None, **changes: Any) -> None:
        if moment is not None:
            changes["moments"] = (*self.life.moments, (moment, self.now if at is None else at))
        self.life = msgspec.structs.replace(self.life, **changes)
        self.out.append(orders.Persist(self.life))

    def _alarm(self, level: AlarmLevel, text: str) -> None:
        self.out.append(orders.Alarm(level, self.record.name, text))

    def _accept(self, ticket: int, text: str) -> None:
        self.out.append(orders.Accept(ticket, text))

    def _refuse(self, ticket: int, error: str, text: str, hint: str = "") -> None:
        self.out.append(orders.Refuse(ticket, error, text, hint))

    def _signal_program(self, signal: int) -> None:
        self.out.append(orders.SignalProgram(self.record.name, self.record.started, signal))

    def _list_copies(self) -> None:
        self._lists += 1
        self.out.append(orders.ListCopies(self.record.name))

    # A life begins

    def on_run(self, event: events.RunAsked) -> None:
        if self.is_alive or self.record.phase is Phase.WAITING:
            self._refuse_taken(event.ticket)
            return
        changes: dict[str, Any] = {
            "budget": event.budget,
            "hang_floor": event.hang_floor,
            "deaths": (),
            "futile": 0,
            "wound": None,
        }
        if event.fresh:
            changes["floor"] = self.record.epoch + 1
        self._start(f"life {self.record.epoch + 1} starts, as its user asked", **changes)
        self._accept(event.ticket, f"life {self.record.epoch} of {self.record.name} is being started")

    def on_restart(self, event: events.RestartAsked) -> None:
        if self.is_alive:
            self._refuse(event.ticket, "UsageError", f"{self.record.name} runs already")
        elif not self.record.supervised:
            text = f"{self.record.name} was not started by `goldthread run`, so its command is not known"
            self._refuse(
                event.ticket, "UsageError", text, "start the program by hand: it goes on from its newest commit"
            )
        else:
            reason = f"life {self.record.epoch + 1} starts with a fresh budget, as its user asked"
            self._start(reason, deaths=(), futile=0, wound=None)
            self._accept(event.ticket, f"life {self.record.epoch} of {self.record.name} is being started")

    def on_join(self, event: events.JoinAsked) -> None:
        record = self.record
        if event.epoch is not None and event.epoch < record.started:
            text = f"this process is life {event.epoch} of {record.name}, and life {record.epoch} exists"
            self._refuse(event.ticket, "Fenced", text)
        elif record.phase is Phase.RETURNING:
            self._join_anew(event)
        elif self.is_alive:
            self._join_alive(event)
        elif record.phase is Phase.WAITING or (event.epoch is not None and event.epoch <= record.epoch):
            self._refuse_taken(event.ticket)
        else:
            epoch = Epoch(record.epoch + 1 if event.epoch is None else event.epoch)
            reason = f"process {event.pid} joins as life {epoch}"
            floor = epoch if event.fresh else record.floor
            supervised = event.epoch is not None
            self._begin(epoch, reason, started=epoch, supervised=supervised, pid=event.pid, floor=floor)
            self._ticket = (event.ticket, event.pid)

    def _join_alive(self, event: events.JoinAsked) -> None:
        """A program asks while a process of this member lives: it may be the joined part of it."""
        record = self.record
        is_ours = event.epoch is not None and event.epoch == record.started
        asks_again = self._ticket is not None and self._ticket[1] == event.pid
        if record.phase is Phase.STARTING and not record.joined and (asks_again or (is_ours and self._ticket is None)):
            if self._ticket is not None:
                self._refuse(self._ticket[0], "KeeperError", "the same process asked again")
            self._ticket = (event.ticket, event.pid)
            if event.fresh and record.epoch != record.floor and not self._is_restart():
                self._start_over()
            self._settle()
        elif record.phase is Phase.RUNNING and is_ours and self._left:
            self._rejoin(event)
        else:
            self._refuse_taken(event.ticket)

    def _join_anew(self, event: events.JoinAsked) -> None:
        """A process of the life that is waited for asks to join: its admission was lost with the last keeper."""
        if event.epoch is None:
            self._end(Ending(EndingKind.UNKNOWN, "its program asked to join anew"))
            self.on_join(event)
            return
        self._return_as(event.pid)
        self._left = self.record.joined
        self._join_alive(event)

    def _rejoin(self, event: events.JoinAsked) -> None:
        """The same process joins once more. No epoch writes slots twice, so it gets the next one."""
        epoch = Epoch(self.record.epoch + 1)
        self._begin(epoch, f"process {event.pid} joins again, as life {epoch}", pid=event.pid)
        self._ticket = (event.ticket, event.pid)

    def _is_restart(self) -> bool:
        return any(name == "seen" for name, _ in self.life.moments)

    def _start_over(self) -> None:
        """The program asked for a fresh start: choose again, among nothing."""
        self._persist(floor=self.record.epoch)
        before = self._choice
        self._choice = Choice(self.record.floor, self.record.ceiling, self._newest())
        if before is not None and before.state is not ChoiceState.LISTING:
            self._choice.take_list(before.copies)

    def _refuse_taken(self, ticket: int) -> None:
        record = self.record
        who = f"process {record.pid}" if record.pid is not None else f"life {record.epoch}"
        if record.phase is Phase.WAITING:
            state = "waits to be started again"
        else:
            state = f"{'was told to end as' if record.phase is Phase.ENDING else 'runs as'} {who}"
        hint = f"stop it with `goldthread stop {record.name}`, or choose another name"
        self._refuse(ticket, "MemberTaken", f"{record.name} {state}", hint)

    def _start(self, reason: str, moments: tuple[tuple[str, Instant], ...] = (), **changes: Any) -> None:
        """Start the program as the next life."""
        epoch = Epoch(self.record.epoch + 1)
        ending = changes.pop("ending", None)
        moments = (*moments, ("decided", self.now))
        self._begin(epoch, reason, moments, ending, started=epoch, supervised=True, pid=None, **changes)

    def _begin(
        self,
        epoch: Epoch,
        reason: str,
        moments: tuple[tuple[str, Instant], ...] = (),
        ending: Ending | None = None,
        **changes: Any,
    ) -> None:
        """A life begins: it gets its epoch, and the copy that it starts from is looked for."""
        record = self.record
        if record.epoch > 0:
            self.previous = self.life
        self.life = _new_life(record.name, epoch, moments)
        self._left = self._is_found = False
        self._signal = None
        self._stacks = self._stuck_awake = None
        changes = {"epoch": epoch, "joined": False, "told": None, "restored": None} | changes
        self._move(Phase.STARTING, reason, ending, **changes)
        self._detector = Detector(self._policy, self.record.hang_floor, self.record.gap, self.awake)
        self._persist_life(pid=self.record.pid)
        if self.record.started == epoch and self.record.supervised and self.record.pid is None:
            self.out.append(orders.StartProgram(record.name, epoch))
        self._choice = Choice(self.record.floor, self.record.ceiling, self._newest())
        self._list_copies()

    def on_started(self, event: events.LifeStarted) -> None:
        if event.epoch > self.record.epoch:
            self._adopt(event.epoch, event.pid)
        elif event.epoch != self.record.started:
            self._fence(event.epoch)
        elif self.record.phase is Phase.RETURNING:
            self._return_as(event.pid)
        elif self.record.phase in ALIVE:
            self._persist_life("started", pid=event.pid)
            self.record = msgspec.structs.replace(self.record, pid=event.pid)
            if self.record.phase is Phase.ENDING and self._signal is not None:
                self._signal_program(self._signal[0])

    def _fence(self, epoch: Epoch) -> None:
        """A life that was given up turns out to live: it may not go on beside its successor."""
        self.out.append(orders.SignalProgram(self.record.name, epoch, _KILL))
        self._alarm(AlarmLevel.WARNING, f"life {epoch} of {self.record.name} still lived and was killed: it is fenced")

    # The choice of the commit to start from

    def on_listed(self, event: events.CopiesListed) -> None:
        if self._lists > 0:
            self._lists -= 1
        self._take_inventory(event.copies)
        self._answer_rollbacks(event.copies)
        choice = self._choice
        if choice is not None and choice.state is ChoiceState.LISTING and self._lists == 0:
            choice.take_list(event.copies)
            if choice.trying is not None:
                self.out.append(orders.PrepareSlot(self.record.name, self.record.epoch, choice.trying.bytes))
            self._check_or_settle(choice)
        if self.record.phase in _AT_REST:
            self._press_deposit()
            self._free_if_at_peace()
        else:
            self._deposit_if_due()
        self._forget_if_asked()

    def _take_inventory(self, copies: tuple[Copy, ...]) -> None:
        """Learn what there is. Epochs never decrease, even if the journal forgot some."""
        self._surveyed = True
        sealed = [copy for copy in copies if copy.level is Level.SEALED]
        deposits = frozenset(copy.commit for copy in copies if copy.level is Level.DEPOSITED)
        self._vault = deposits
        best = max(sealed, key=lambda copy: copy.commit, default=None)
        if not self.is_alive or self.sealed is None or self.sealed.commit.epoch < self.record.epoch:
            is_same = best is not None and self.sealed is not None and best.commit == self.sealed.commit
            self.sealed, self._sealed_at = best, self._sealed_at if is_same else None
        newest = max((copy.commit for copy in sealed), default=None)
        deposited = max(deposits, default=None)
        changes: dict[str, Any] = {}
        if newest is not None and (self.record.newest is None or newest > self.record.newest):
            changes["newest"] = newest
        if deposited is not None and (self.record.deposited is None or deposited > self.record.deposited):
            changes["deposited"] = deposited
        epoch = max((copy.commit.epoch for copy in copies), default=Epoch(0))
        if epoch > self.record.epoch and not self.is_alive:
            changes |= {"epoch": epoch, "started": epoch}
        elif epoch == self.record.epoch and self._is_found and self.record.phase is Phase.STARTING:
            self._have_joined()
        elif epoch >= self.record.epoch and self.record.phase is Phase.STARTING and not self.record.joined:
            changes |= self._outrank(epoch)
        if self.record.phase is Phase.ABSENT and copies:
            self._move(
                Phase.DOWN, f"the journal does not know it; {len(copies)} copies of its work were found", **changes
            )
            self._deposits.press()
        elif changes:
            self._persist(**changes)

    def _outrank(self, epoch: Epoch) -> dict[str, Any]:
        """The journal was lost: copies of life `epoch` exist, and the life that starts must be a later one."""
        later = Epoch(epoch + 1)
        is_fresh = self.record.floor == self.record.epoch
        self.life = msgspec.structs.replace(self.life, epoch=later)
        floor = later if is_fresh else self.record.floor
        self._choice = Choice(floor, self.record.ceiling, self._newest())
        return {"epoch": later, "floor": floor}

    def on_checked(self, event: events.CopyChecked) -> None:
        copy = event.copy
        if copy.level is Level.DEPOSITED:
            self._take_deposit_check(copy.commit, event.whole, event.text)
        if self._checked == copy.commit and copy.level is Level.SEALED:
            self._checked = None
            if not event.whole:
                self._alarm(
                    AlarmLevel.WARNING, f"{copy.commit} of {self.record.name} is damaged in memory: {event.text}"
                )
        choice = self._choice
        trying = None if choice is None else choice.trying
        if choice is None or trying is None or choice.state is not ChoiceState.CHECKING:
            return
        if (trying.commit, trying.level) == (copy.commit, copy.level):
            choice.take_check(event.whole, event.text)
            self._check_or_settle(choice)

    def _check_or_settle(self, choice: Choice) -> None:
        if choice.state is ChoiceState.CHECKING and choice.trying is not None:
            self.out.append(orders.CheckCopy(self.record.name, choice.trying))
        else:
            self._settle()

    def _settle(self) -> None:
        """Admit or refuse the waiting program, once it is known what it can start from."""
        choice, ticket = self._choice, self._ticket
        if choice is None or ticket is None or self.record.phase is not Phase.STARTING:
            return
        if choice.state is ChoiceState.SETTLED:
            self._ticket = None
            self._admit(choice, *ticket)
        elif choice.state is ChoiceState.FAILED:
            self._ticket = None
            self._refuse_to_start_over(choice, ticket[0])

    def _admit(self, choice: Choice, ticket: int, pid: int) -> None:
        name, epoch = self.record.name, self.record.epoch
        copy = choice.trying
        restored = None if copy is None else copy.commit
        reason = self._restore_reason(choice)
        self._choice = None
        self._freed = False
        self._detector = Detector(self._policy, self.record.hang_floor, self.record.gap, self.awake)
        self._move(Phase.RUNNING, reason, pid=pid, joined=True, restored=restored)
        self._persist_life("imports", pid=pid, restored=copy, restored_reason=reason)
        if choice.damage or choice.is_lost():
            self._alarm(AlarmLevel.WARNING, reason)
        self.out.append(orders.Admit(ticket, name, epoch, copy, reason, self.previous))
        if copy is not None:
            self.out.append(orders.FreeSlots(name, epoch, slots_to_keep(choice.copies, copy.commit)))

    def _restore_reason(self, choice: Choice) -> str:
        """Why this life starts from where it does, in one sentence."""
        record, copy = self.record, choice.trying
        life = f"life {record.epoch} of {record.name}"
        if copy is None:
            if record.epoch == 1:
                return f"this is the first life of {record.name}"
            if record.floor == record.epoch:
                return f"{life} starts over, as asked: the commits of earlier lives are not used any more"
            since = f"since life {record.floor}, which started over," if record.floor > 0 else "before it"
            return f"{life} starts from the beginning: no life {since} has sealed a commit"
        sentence = f"{life} goes on from {copy.commit} ({copy.level.value}{self._age_at_death(copy.commit)})"
        remark = choice.remark()
        if remark:
            return f"{sentence}, since {remark}"
        ending = None if self.previous is None else self.previous.ending
        if ending is not None and ending.kind is EndingKind.FINISHED:
            return f"{sentence}; that life had ended in peace, and `--fresh` starts over"
        return sentence

    def _age_at_death(self, commit: CommitId) -> str:
        moments = dict(self.life.moments)
        if self.sealed is None or self.sealed.commit != commit or self._sealed_at is None or "seen" not in moments:
            return ""
        return f", {(moments['seen'] - self._sealed_at) / 1e9:.1f} s before its death was seen"

    def _refuse_to_start_over(self, choice: Choice, ticket: int) -> None:
        """There should be a commit and none is whole: the life ends here, for its user to decide."""
        name = self.record.name
        found = "; ".join(choice.damage) or "no copy of any commit is left"
        text = f"{name} had reached {choice.known}, and nothing whole is left to restore: {found}"
        hint = f"`goldthread run --fresh` starts over; `goldthread rollback {name} --step S` chooses an older commit"
        self._refuse(ticket, "NothingToRestore", text, hint)
        self._alarm(AlarmLevel.CRITICAL, text)
        if self.record.supervised:
            self._tell_to_end(_KILL, True, text, EndingKind.NOT_STARTED)
        else:
            self._end(Ending(EndingKind.NOT_STARTED, text))

    # A life goes on

    def on_restored(self, event: events.LifeRestored) -> None:
        if event.epoch == self.record.epoch and self.is_alive:
            self._persist_life("restored")

    def on_beat(self, event: events.ProgramBeat) -> None:
        record = self.record
        if event.epoch != record.epoch or not self.is_alive:
            return
        if record.phase is Phase.STARTING:
            self._have_joined()
        detector = self._detector
        is_first = detector.first_beat_at is None and event.first_beat_at is not None
        if detector.take(event, self.now, self.awake):
            self._persist()
        if is_first and all(name != "first new step" for name, _ in self.life.moments):
            self._persist_life("first new step", event.first_beat_at)
        if self.record.phase is Phase.STUCK:
            self._stacks = self._stuck_awake = None
            self._move(Phase.RUNNING, f"it beats again after {event.gap / 1e9:.1f} s")

    def _have_joined(self) -> None:
        """A sign from a life that was not admitted by this keeper: the journal missed that it joined."""
        self._choice = None
        self._move(Phase.RUNNING, f"life {self.record.epoch} had joined before this keeper came", joined=True)

    def on_sealed(self, event: events.CommitSealed) -> None:
        record, commit = self.record, event.commit
        if commit.epoch > record.epoch:
            raise InvalidTransition(f"{record.name}: {commit} was sealed, and the present life is {record.epoch}")
        if commit.epoch < record.epoch or (record.newest is not None and commit <= record.newest):
            return
        if record.phase is Phase.STARTING:
            self._have_joined()
        is_first = record.newest is None or record.newest.epoch < commit.epoch
        self.record = msgspec.structs.replace(self.record, newest=commit)
        self.sealed, self._sealed_at = Copy(commit, Level.SEALED, event.bytes), self.now
        if is_first:
            self.out.append(orders.Persist(self.record))
        if commit.sequence >= 2 and not self._freed:
            self._freed = True
            self.out.append(orders.FreeSlots(record.name, record.epoch))
        if self._checked is None:
            self._checked = commit
            self.out.append(orders.CheckCopy(record.name, self.sealed, background=True))
        if not self.is_alive:
            self._deposits.press()
        self._deposit_if_due()

    def on_left(self, event: events.LifeLeft) -> None:
        if event.epoch != self.record.epoch or not self.is_alive:
            return
        if self.record.supervised:
            self._left = True
            self._press_deposit()
        else:
            self._end(Ending(EndingKind.FINISHED, "it left in peace"))

    def on_stacks(self, event: events.StacksTaken) -> None:
        if event.epoch != self.record.epoch or self.record.phase is not Phase.STUCK or self._stuck_awake is None:
            return
        self._stacks = event.text
        self._stuck_awake = None
        if self.record.supervised:
            self._kill_stuck()

    def _judge(self) -> None:
        """Compare its silence with its history."""
        if self._left or self._detector.judge(self.awake) is not Vitals.STUCK:
            return
        text = self._detector.explain(self.awake)
        self._stuck_awake = self.awake
        self._move(Phase.STUCK, text)
        self._alarm(AlarmLevel.WARNING, f"{self.record.name} is stuck: {text}")
        self.out.append(orders.TakeStacks(self.record.name, self.record.epoch))

    def _kill_stuck(self) -> None:
        self._stuck_awake = None
        self._tell_to_end(_KILL, True, self.record.reason, EndingKind.HANG)

    # A life ends

    def on_stop(self, event: events.StopAsked) -> None:
        name = self.record.name
        if self.is_alive:
            self.stop(event.signal, event.escalate)
            self._accept(event.ticket, f"{name} was told to end")
        elif self.record.phase is Phase.WAITING:
            self.stop(event.signal, event.escalate)
            self._accept(event.ticket, f"{name} will not be started again")
        else:
            self._accept(event.ticket, f"{name} does not run: {self.record.reason}")

    def stop(self, signal: int = _TERM, escalate: bool = True) -> None:
        """Its user wants it to end."""
        if self.record.phase is Phase.WAITING:
            self._move(Phase.ENDED, "its user stopped it before it was started again")
            self._survey()
            return
        told = self.record.told or EndingKind.STOPPED
        self._tell_to_end(signal, escalate, f"its user asked it to end (signal {signal})", told)

    def _tell_to_end(self, signal: int, escalate: bool, reason: str, told: EndingKind) -> None:
        self._signal = (signal, escalate)
        if self.record.phase is not Phase.ENDING:
            self._move(Phase.ENDING, reason, told=told)
        self._due = Instant(self.now + self._policy.stop_grace)
        self._signal_program(signal)

    def _lose_patience(self) -> None:
        """It was told to end, and the grace is over."""
        signal, escalate = self._signal or (_KILL, True)
        if escalate:
            self._due = Instant(self.now + self._policy.stop_grace)
            self._signal_program(_KILL)
        else:
            self._signal = None
            phase = Phase.RUNNING if self.record.joined else Phase.STARTING
            self._move(phase, f"it goes on after signal {signal}", told=None)
            self._settle()

    def on_ended(self, event: events.LifeEnded) -> None:
        record = self.record
        if event.epoch > record.epoch:
            if self.is_alive:
                text = f"{record.name}: life {event.epoch} ended, and the present one is {record.epoch}"
                raise InvalidTransition(text)
            self._persist(epoch=event.epoch, started=event.epoch)
        if event.epoch < record.started:
            return
        if self.is_alive or record.phase is Phase.RETURNING:
            self._end(event.ending)
        elif self._grace_over is not None or event.epoch > record.epoch:
            self._survey()

    def _end(self, ending: Ending) -> None:
        """The present life is over, and what follows is decided."""
        record = self.record
        ending = self._classify(ending)
        self._grace_over = None
        if self._ticket is not None:
            self._refuse(self._ticket[0], "KeeperError", f"the process ended before it was admitted: {ending.text}")
            self._ticket = None
        self._choice = None
        reached = record.newest.step if record.newest is not None and record.newest.epoch == record.epoch else None
        self._persist_life(reached=reached, ending=ending, lost=self._loss(ending))
        death = f"life {record.epoch} ended: {ending.kind.value}, {ending.text}"
        if ending.kind is EndingKind.NOT_STARTED:
            self._enter_limbo(death, ending)
        elif ending.kind in (EndingKind.FINISHED, EndingKind.STOPPED):
            self._move(Phase.ENDED, death, ending, wound=None, futile=0, told=None)
        elif not record.supervised:
            self._move(Phase.DOWN, death, ending, told=None)
        elif ending.kind is EndingKind.HOST_RESTARTED:
            self._start(f"life {record.epoch + 1} starts: {death}", self._death_moments(), ending=ending)
        else:
            self._follow(ending, death)
        if self.record.phase in _AT_REST:
            self._survey()

    def _follow(self, ending: Ending, death: str) -> None:
        """A supervised life died: start the next, now or later, or give up."""
        record = self.record
        restored = None if record.restored is None else record.restored.step
        newest = record.newest
        is_new = newest is not None and newest.epoch == record.epoch
        progressed = is_new and newest is not None and (restored is None or newest.step > restored)
        wound = find_wound(record.wound, ending, self._step())
        ceiling = wound_ceiling(wound, record.epoch, restored)
        if ceiling is not None:
            self._alarm(AlarmLevel.WARNING, f"{record.name} starts from an older commit: {ceiling.reason}")
        next_one = decide_restart(record.deaths, record.futile, progressed, record.budget, self._policy, self.now)
        changes: dict[str, Any] = {
            "deaths": next_one.deaths,
            "futile": next_one.futile,
            "wound": wound,
            "ceiling": ceiling or record.ceiling,
        }
        delay = next_one.delay
        if delay is None:
            self._enter_limbo(f"{next_one.reason}; {death}", ending, **changes)
        elif delay == 0 and not self.closing:
            reason = f"life {record.epoch + 1} starts at once: {death}"
            self._start(reason, self._death_moments(), ending=ending, **changes)
        else:
            self._moments_of_death = self._death_moments()
            self._move(Phase.WAITING, f"{death}; {next_one.reason}", ending, told=None, **changes)
            self._due = Instant(self.now + delay)

    def _enter_limbo(self, reason: str, ending: Ending, **changes: Any) -> None:
        self._move(Phase.LIMBO, reason, ending, told=None, **changes)
        name = self.record.name
        self._alarm(AlarmLevel.CRITICAL, f"{name} is in limbo: {reason}; `goldthread restart {name}` tries again")

    def _death_moments(self) -> tuple[tuple[str, Instant], ...]:
        died = self._detector.beat_at
        return ((("died", died),) if died is not None else ()) + (("seen", self.now),)

    def _classify(self, ending: Ending) -> Ending:
        """Say why it ended, with what is known here beside what was seen."""
        told, replace = self.record.told, msgspec.structs.replace
        if told is EndingKind.HANG:
            return replace(
                ending, kind=told, text=self.record.reason, detail=self._stacks or ending.detail, fingerprint=told.value
            )
        if told is EndingKind.STOPPED:
            return replace(ending, kind=told, text=f"{self.record.reason}; {ending.text}")
        if told is EndingKind.NOT_STARTED:
            return replace(ending, kind=told, text=self.record.reason)
        return ending

    def _loss(self, ending: Ending) -> str:
        """What the end of the present life cost, in words."""
        record, reached = self.record, self._detector.step
        newest = record.newest
        if ending.kind in (EndingKind.UNKNOWN, EndingKind.HOST_RESTARTED) and record.joined:
            known = self._step()
            return "whatever it had done" if known is None else f"whatever came after step {known}"
        if newest is not None and newest.epoch == record.epoch:
            if reached is None or reached <= newest.step:
                return f"nothing: step {newest.step} was sealed"
            return f"the work since step {newest.step}: it had reached step {reached}"
        if not record.joined:
            return "nothing that is known: it had not joined"
        if ending.kind is EndingKind.FINISHED:
            return "nothing: it sealed no commit"
        return "all its work" if record.restored is None else f"the work since step {record.restored.step}"

    # The vault

    def on_deposited(self, event: events.CommitDeposited) -> None:
        under_way = self._deposits.under_way
        if under_way is None or event.commit < under_way:
            return
        record, was_failing = self.record, self._deposits.failing
        self._vault |= {event.commit}
        self._damaged -= {event.commit}
        self._deposited_at = self.now
        served = self._deposits.succeed(event.commit)
        if record.deposited is None or event.commit > record.deposited:
            self._persist(deposited=event.commit)
        for ticket in served:
            self._accept(ticket, f"{event.commit} is in the vault")
        if was_failing:
            self._alarm(AlarmLevel.NOTICE, f"deposits of {record.name} work again")
        if self._surveyed and self._choice is None:
            keep = deposits_to_keep(self._vault, self._damaged, record.ceiling, self._policy.vault_keep)
            restored = record.restored
            if restored in self._vault - {*keep} and (record.newest is None or record.newest.epoch < record.epoch):
                keep = (*keep, restored)
            self._vault = frozenset(keep)
            self.out.append(orders.TrimVault(record.name, keep))
        self._free_if_at_peace()
        self._deposit_if_due()
        self._forget_if_asked()

    def _free_if_at_peace(self) -> None:
        """What ended in peace needs no memory any more, once the vault has it and its deposit was read again."""
        if self.record.phase is not Phase.ENDED or self._lists > 0 or self._is_deposit_wanted():
            return
        deposited = self.record.deposited
        if self.sealed is None or deposited is None or self._proved == deposited:
            self.out.append(orders.FreeSlots(self.record.name, Epoch(self.record.epoch + 1)))
            self.sealed = None
        else:
            copy = Copy(deposited, Level.DEPOSITED, self.sealed.bytes)
            self.out.append(orders.CheckCopy(self.record.name, copy, background=True))

    def _take_deposit_check(self, commit: CommitId, whole: bool, text: str) -> None:
        """A deposit was read again. A damaged one does not count any more."""
        if whole:
            self._proved = commit
        else:
            self._damaged |= {commit}
            self._vault -= {commit}
        if not whole and self.record.deposited == commit:
            self._alarm(AlarmLevel.WARNING, f"{commit} of {self.record.name} is damaged in the vault: {text}")
            self._persist(deposited=max(self._vault, default=None))
            self._press_deposit()
        self._free_if_at_peace()

    def on_deposit_failed(self, event: events.DepositFailed) -> None:
        if self._deposits.under_way is None:
            return
        if not self._deposits.failing:
            text = f"{event.commit} of {self.record.name} could not be taken to the vault: {event.text}"
            self._alarm(AlarmLevel.WARNING, text)
        for ticket in self._deposits.fail(self._policy, self.now):
            self._refuse(ticket, "NoRoom", f"{event.commit} could not be taken to the vault: {event.text}")
        self._forget_if_asked()

    def on_deposit_asked(self, event: events.DepositAsked) -> None:
        if self.sealed is None or not self._is_deposit_wanted():
            self._accept(event.ticket, "the vault has all that was sealed")
            return
        self._deposits.waiters.append((event.ticket, self.sealed.commit))
        self._deposits.failing = False
        self._press_deposit()

    def close(self) -> None:
        """The keeper is about to end: the newest commit shall go to the vault now, also where that failed before."""
        self.closing = True
        self._deposits.failing = False
        self._press_deposit()

    def dismiss(self) -> None:
        """The keeper ends: whoever still waits is told."""
        waiting = [event.ticket for event in self._held] + [ticket for ticket, _ in self._rollbacks]
        waiting += [ticket for ticket in (self._forget, self._ticket and self._ticket[0]) if ticket is not None]
        for ticket in waiting:
            self._refuse(ticket, "KeeperError", "the keeper ends", "try again in a moment")

    def _press_deposit(self) -> None:
        self._deposits.press()
        self._deposit_if_due()

    def _deposit_if_due(self) -> None:
        newest = None if self.sealed is None else self.sealed.commit
        if self._deposits.begin(newest, self.record.deposited, self._policy, self.now) and newest is not None:
            self.out.append(orders.Deposit(self.record.name, newest))

    # What users ask of a member at rest

    def on_rollback(self, event: events.RollbackAsked) -> None:
        if self.is_alive:
            self._refuse_running(event.ticket, "rolled back")
            return
        self._rollbacks.append((event.ticket, event.step))
        self._list_copies()

    def _answer_rollbacks(self, copies: tuple[Copy, ...]) -> None:
        rollbacks, self._rollbacks = self._rollbacks, []
        for ticket, step in rollbacks:
            if self.is_alive:
                self._refuse_running(ticket, "rolled back")
                continue
            ceiling = Ceiling(self.record.epoch, Step(step + 1), True, f"its user asked for step {step}")
            ranked = rank_copies(copies, self.record.floor, ceiling)
            if ranked:
                self._persist(ceiling=ceiling, wound=None)
                self._accept(ticket, f"the next life starts from {ranked[0].commit}")
            else:
                steps = sorted({copy.commit.step for copy in copies})
                there = ", ".join(map(str, steps)) or "none"
                text = f"no commit of {self.record.name} is at or before step {step}"
                self._refuse(ticket, "NothingToRestore", text, f"there are the steps: {there}")

    def on_forget(self, event: events.ForgetAsked) -> None:
        if self.is_alive or self.record.phase is Phase.WAITING:
            self._refuse_running(event.ticket, "forgotten")
            return
        if self._forget is not None:
            self._refuse(self._forget, "KeeperError", "it was asked again")
        self._forget = event.ticket
        self._forget_if_asked()

    def _forget_if_asked(self) -> None:
        """Forget, but not while a deposit or a listing is under way: what they tell would come after."""
        if self._forget is None or self._deposits.under_way is not None or self._lists > 0:
            return
        ticket, self._forget = self._forget, None
        if self.is_alive:
            self._refuse_running(ticket, "forgotten")
            return
        for waiting, _ in (*self._rollbacks, *self._deposits.waiters):
            self._refuse(waiting, "UsageError", f"{self.record.name} was forgotten")
        self.out.append(orders.Forget(self.record.name))
        self._accept(ticket, f"{self.record.name} is forgotten")
        self.forgotten = True

    def _refuse_running(self, ticket: int, verb: str) -> None:
        text = f"{self.record.name} cannot be {verb} while it runs"
        self._refuse(ticket, "UsageError", text, f"stop it first with `goldthread stop {self.record.name}`")

    # Time

    def tick(self) -> None:
        phase = self.record.phase
        if phase is Phase.RUNNING:
            self._judge()
        elif phase is Phase.STUCK and self._stuck_awake is not None:
            if self.awake - self._stuck_awake >= self._policy.stacks_wait:
                self._stuck_awake = None
                if self.record.supervised:
                    self._kill_stuck()
        elif self._due is not None and self.now >= self._due:
            self._come_due(phase)
        if self._grace_over is not None and self.awake >= self._grace_over:
            if phase is Phase.RETURNING:
                self._end(Ending(EndingKind.UNKNOWN, "it ended while no keeper was there"))
            else:
                self._survey()
        self._deposit_if_due()

    def _come_due(self, phase: Phase) -> None:
        self._due = None
        if phase is Phase.WAITING and not self.closing:
            self._start(f"life {self.record.epoch + 1} starts: its delay is over", self._moments_of_death)
        elif phase is Phase.ENDING:
            self._lose_patience()

    # A new keeper

    def come_back(self, rebooted: bool) -> None:
        """Made from a record: find out what survived the last keeper."""
        record = self.record
        if rebooted:
            self.record = msgspec.structs.replace(record, deaths=())
        if record.phase in ALIVE or record.phase is Phase.RETURNING:
            self.record = msgspec.structs.replace(self.record, phase=Phase.RETURNING)
            if rebooted:
                self._end(Ending(EndingKind.HOST_RESTARTED, "the host was restarted"))
                return
        if record.phase is not Phase.ABSENT and not rebooted:
            self._grace_over = Span(self.awake + self._policy.return_grace)
        elif self.record.phase in _AT_REST or self.record.phase is Phase.WAITING:
            self._survey()

    def holds(self, event: Any) -> bool:
        """Whether what was asked must wait until it is known what survived the last keeper; it is kept then."""
        record = self.record
        is_ours = isinstance(event, events.JoinAsked) and (
            event.pid == record.pid or (event.epoch is not None and event.epoch >= record.started)
        )
        if not self._is_returning() or (record.phase is Phase.RETURNING and is_ours):
            return False
        self._held.append(event)
        return True

    def release_held(self) -> list[Any]:
        """What was asked meanwhile, once it can be answered."""
        if not self._held or self._is_returning():
            return []
        held, self._held = self._held, []
        return held

    def _is_returning(self) -> bool:
        if self.record.phase is Phase.RETURNING:
            return True
        newest, deposited = self.record.newest, self.record.deposited
        is_only_in_memory = newest is not None and (deposited is None or newest > deposited)
        return self._grace_over is not None and is_only_in_memory

    def on_found(self, event: events.LifeFound) -> None:
        record = self.record
        if event.epoch < record.started or record.phase is Phase.ENDED:
            self._fence(event.epoch)
        elif event.epoch > record.epoch:
            self._adopt(event.epoch, event.pid)
        elif record.phase is Phase.RETURNING:
            self._return_as(event.pid)
        elif not self.is_alive:
            self._move(Phase.RUNNING, f"life {record.epoch} was found alive after all", pid=event.pid)
            self._come_alive()

    def _adopt(self, epoch: Epoch, pid: int) -> None:
        """A life was found that the journal does not know: whether it has joined, its next sign will tell."""
        reason = f"life {epoch} was found, of which the journal does not know"
        if self.is_alive:
            raise InvalidTransition(f"{self.record.name}: {reason}, beside life {self.record.epoch}")
        lost: dict[str, Any] = {"joined": False, "restored": None, "told": None}
        self._move(Phase.STARTING, reason, None, epoch=epoch, started=epoch, pid=pid, **lost)
        self.life = _new_life(self.record.name, epoch, ())
        self._choice = Choice(self.record.floor, self.record.ceiling, self._newest())
        self._come_alive()

    def _return_as(self, pid: int) -> None:
        """The life that the journal says was running still runs."""
        record = self.record
        if record.told in (EndingKind.STOPPED, EndingKind.NOT_STARTED):
            self.record = msgspec.structs.replace(record, pid=pid)
            self._tell_to_end(_TERM if record.told is EndingKind.STOPPED else _KILL, True, record.reason, record.told)
        elif record.joined:
            self._move(Phase.RUNNING, f"life {record.epoch} goes on under a new keeper", pid=pid, told=None)
        else:
            self._move(Phase.STARTING, f"life {record.epoch} still starts, under a new keeper", pid=pid, told=None)
            self._choice = Choice(record.floor, record.ceiling, self._newest())
        self._come_alive()

    def _come_alive(self) -> None:
        self._is_found = True
        self._detector = Detector(self._policy, self.record.hang_floor, self.record.gap, self.awake)
        self._survey()

    def _survey(self) -> None:
        """See which copies there are."""
        self._grace_over = None
        if self.record.phase is Phase.WAITING and self._due is None:
            self._due = self.now
        self._list_copies()
