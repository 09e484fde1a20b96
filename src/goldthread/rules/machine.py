"""The door to the decisions: events in, orders out.

    machine = Machine(policy)                                   a keeper without a past
    machine = Machine.recover(policy, records, lives, ...)      a keeper after another
    orders = machine.handle(event, now)
    machine.deadline()                                          when a `Ticked` is wanted next

The machine knows no clock, does no I/O and leaves nothing to chance: the same events at the same instants give the
same orders. Each member is decided for by itself: what is known of it stands in `member.py`, each
chapter of its life in a module of its own (see the table below). Here events find their member, time is counted, and
the keeper's own end is decided.

What the hands owe the machine:

- Orders are carried out in order. An answer (`CopiesListed`, `CopyChecked`, `StacksTaken`, `CommitDeposited` or
  `DepositFailed`) comes exactly once for each order that wants one, and in the order in which they were asked for
  each member and kind.
- Before a `Ticked` or a `LifeEnded` is given, pulse and seals are read, so that `ProgramBeat` and `CommitSealed`
  come first. A silence is judged by what is known.
- A background check of a sealed commit that is not in its slot any more has found nothing wrong: `whole=True`.
- A process that is gone when it is admitted is told by `LifeEnded`, also where nobody could know its life before.
- A shim that comes back without a living program tells so by `LifeEnded`, also when that is no news.
- Copies of members that nobody has told of are told by `CopiesListed`, unasked; so are none of the others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

from goldthread.names import Epoch, Instant, MemberName, Span
from goldthread.policy import Policy
from goldthread.report import Phase
from goldthread.rules import (
    admission,
    beginnings,
    deaths,
    deposits,
    events,
    inventory,
    patience,
    progress,
    returns,
    stops,
    wishes,
)
from goldthread.rules.detector import AWAKE_TICKS
from goldthread.rules.events import Event, KeeperStopAsked, Ticked
from goldthread.rules.member import InvalidTransition, Member, MemberView, new_record
from goldthread.rules.orders import Accept, LifeRecord, MemberRecord, Order, Refuse, StopKeeper

__all__ = ["InvalidTransition", "Machine", "MemberView"]

_HANDLERS: Final[dict[type, Callable[[Member, Any], None]]] = {
    events.RunAsked: beginnings.on_run,
    events.JoinAsked: admission.on_join,
    events.LifeStarted: returns.on_started,
    events.LifeFound: returns.on_found,
    events.LifeRestored: progress.on_restored,
    events.LifeLeft: progress.on_left,
    events.LifeEnded: deaths.on_ended,
    events.ProgramBeat: progress.on_beat,
    events.CommitSealed: progress.on_sealed,
    events.CopiesListed: inventory.on_listed,
    events.CopyChecked: inventory.on_checked,
    events.CommitDeposited: deposits.on_deposited,
    events.DepositFailed: deposits.on_deposit_failed,
    events.StacksTaken: progress.on_stacks,
    events.StopAsked: stops.on_stop,
    events.RestartAsked: beginnings.on_restart,
    events.RollbackAsked: wishes.on_rollback,
    events.ForgetAsked: wishes.on_forget,
    events.DepositAsked: deposits.on_deposit_asked,
}

_BEGINNINGS: Final = (events.RunAsked, events.JoinAsked, events.LifeFound)
"""With these a member becomes known."""

_STOPPABLE: Final = (Phase.STARTING, Phase.RUNNING, Phase.STUCK, Phase.WAITING)

_NEW_LIVES: Final = (events.RunAsked, events.JoinAsked, events.RestartAsked)


class Machine:
    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._members: dict[MemberName, Member] = {}
        self._pending: list[Order] = []
        """Decided before the first event came."""
        self._heard_at: Instant | None = None
        self._awake = Span(0)
        """How long the keeper has been awake while it was needed: what silences are measured in."""
        self._awake_most = Span(AWAKE_TICKS * policy.tick)
        """How much of the time between two events counts as awake."""
        self._next_tick = Instant(0)
        self._stopping: list[int] = []
        """The tickets of those who asked the keeper to end."""
        self._leaves_members = False

    @classmethod
    def recover(
        cls,
        policy: Policy,
        records: Iterable[MemberRecord],
        lives: Iterable[LifeRecord],
        *,
        rebooted: bool,
        now: Instant,
    ) -> Machine:
        """Go on where the last keeper ended. Of `lives` the two newest of each member are used.

        What follows at once is ordered by the first `handle`; the deadline is `now` then.
        """
        machine = cls(policy)
        machine._heard_at = now
        by_name: dict[MemberName, dict[Epoch, LifeRecord]] = {}
        for life in lives:
            by_name.setdefault(life.member, {})[life.epoch] = life
        for record in sorted(records, key=lambda record: record.name):
            member = Member(policy, record, now, Span(0))
            remembered = by_name.get(record.name, {})
            member.life = remembered.get(record.epoch, member.life)
            older = [epoch for epoch in remembered if epoch < record.epoch]
            member.previous = remembered[max(older)] if older else None
            returns.come_back(member, rebooted)
            machine._members[record.name] = member
            machine._collect(member, machine._pending)
        machine._next_tick = now
        return machine

    def handle(self, event: Event, now: Instant) -> list[Order]:
        """Decide what follows from one event."""
        orders, self._pending = self._pending, []
        self._pass_time(now)
        if isinstance(event, Ticked):
            self._next_tick = Instant(now + self._policy.tick)
            for member in list(self._members.values()):
                self._set_time(member)
                patience.tick(member)
                self._collect(member, orders)
        elif isinstance(event, KeeperStopAsked):
            self._stop(event, orders)
        else:
            self._dispatch(event, orders)
        if self._stopping:
            self._stop_when_settled(orders)
        return orders

    def deadline(self) -> Instant | None:
        """When a `Ticked` is wanted next; while a life runs at most one tick away."""
        if self._pending:
            return self._heard_at
        due: Instant | None = None
        for member in self._members.values():
            if member.wants_ticks:
                return self._next_tick
            moment = member.deadline()
            if moment is not None and (due is None or moment < due):
                due = moment
        return due

    def view(self, member: MemberName) -> MemberView | None:
        known = self._members.get(member)
        return None if known is None else known.view()

    def views(self) -> tuple[MemberView, ...]:
        return tuple(self._members[name].view() for name in sorted(self._members))

    # Inside

    def _pass_time(self, now: Instant) -> None:
        before = self._heard_at
        if before is not None:
            if now < before:
                raise InvalidTransition(f"time went backwards: {now} after {before}")
            self._awake = Span(self._awake + min(now - before, self._awake_most))
        self._heard_at = now

    def _set_time(self, member: Member) -> None:
        if self._heard_at is not None:
            member.now, member.awake = self._heard_at, self._awake

    def _dispatch(self, event: Any, orders: list[Order]) -> None:
        ticket = getattr(event, "ticket", None)
        if self._stopping and isinstance(event, _NEW_LIVES):
            orders.append(Refuse(event.ticket, "KeeperError", "the keeper is about to end", "try again in a moment"))
            return
        member = self._members.get(event.member)
        if member is None:
            is_news = isinstance(event, events.CopiesListed) and len(event.copies) > 0
            if not is_news and not isinstance(event, _BEGINNINGS):
                if ticket is not None:
                    orders.append(Refuse(ticket, "UsageError", f"there is no member {event.member}", ""))
                return
            member = Member(self._policy, new_record(event.member, self._policy), Instant(0), self._awake)
            self._members[event.member] = member
        self._set_time(member)
        if ticket is not None and returns.holds(member, event):
            return
        _HANDLERS[type(event)](member, event)
        self._collect(member, orders)

    def _collect(self, member: Member, orders: list[Order]) -> None:
        if member.held:
            for held in returns.release_held(member):
                _HANDLERS[type(held)](member, held)
        if member.out:
            orders += member.out
            member.out = []
        if member.forgotten:
            del self._members[member.record.name]

    # The keeper's own end

    def _stop(self, event: KeeperStopAsked, orders: list[Order]) -> None:
        alive = [member for member in self._members.values() if member.is_alive]
        if alive and not event.stop_members and not event.leave_members:
            names = ", ".join(sorted(member.record.name for member in alive))
            text = f"programs run under this keeper: {names}"
            orders.append(
                Refuse(event.ticket, "UsageError", text, "`goldthread keeper stop --stop-members` ends them first")
            )
            return
        self._stopping.append(event.ticket)
        self._leaves_members = self._leaves_members or event.leave_members
        for member in self._members.values():
            self._set_time(member)
            deposits.close(member)
            self._collect(member, orders)

    def _stop_when_settled(self, orders: list[Order]) -> None:
        """End once the members have ended (or may be left) and the vault has what it will get."""
        members = list(self._members.values())
        if not self._leaves_members:
            for member in members:
                if member.record.phase in _STOPPABLE:
                    self._set_time(member)
                    stops.stop(member)
                    self._collect(member, orders)
            if any(member.is_alive or member.record.phase is Phase.RETURNING for member in members):
                return
        if not all(member.is_settled for member in members):
            return
        for member in members:
            wishes.dismiss(member)
            self._collect(member, orders)
        orders += [Accept(ticket, "the keeper ends") for ticket in self._stopping]
        orders.append(StopKeeper())
        self._stopping = []
