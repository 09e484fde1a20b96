"""The door to the decisions: events in, orders out.

    machine = Machine(policy, me)                               a keeper without a past
    machine = Machine.recover(policy, me, records, lives, ...)  a keeper after another
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

import msgspec

from goldthread.names import Epoch, Instant, KeeperId, MemberName, Span
from goldthread.policy import Policy
from goldthread.report import Phase
from goldthread.rules import (
    admission,
    beginnings,
    deaths,
    deposits,
    events,
    hearing,
    inventory,
    patience,
    progress,
    returns,
    stops,
    wishes,
)
from goldthread.rules.bond_events import BondEvent
from goldthread.rules.bond_orders import BondRecord, HeldRecord
from goldthread.rules.bonds import Bonds
from goldthread.rules.detector import AWAKE_TICKS
from goldthread.rules.events import Event, KeeperStopAsked, Ticked
from goldthread.rules.member import InvalidTransition, Member, MemberView
from goldthread.rules.orders import Accept, LifeRecord, MemberRecord, Order, Refuse, StopKeeper
from goldthread.rules.partner import BondView

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
    """`me` is this keeper; `name`, `label` and `lease_store` are what it says of itself to partners.

    Where it `is_in_circle` it seeks a partner of itself when it has none."""

    def __init__(
        self,
        policy: Policy,
        me: KeeperId,
        *,
        name: str = "here",
        label: str = "",
        lease_store: str = "",
        is_in_circle: bool = False,
    ) -> None:
        self._policy = policy
        self._members: dict[MemberName, Member] = {}
        self._bonds = Bonds(policy, me, name, label, lease_store, self._members, is_in_circle=is_in_circle)
        self._pending: list[Order] = []
        """Decided before the first event came."""
        self._heard_at: Instant | None = None
        self._awake = Span(0)
        """How long the keeper has been awake while it was needed: what silences are measured in."""
        self._next_tick = Instant(0)
        self._stopping: list[int] = []
        """The tickets of those who asked the keeper to end."""
        self._leaves_members = False

    @classmethod
    def recover(
        cls,
        policy: Policy,
        me: KeeperId,
        records: Iterable[MemberRecord],
        lives: Iterable[LifeRecord],
        bonds: Iterable[BondRecord] = (),
        helds: Iterable[HeldRecord] = (),
        forgotten: Iterable[BondRecord] = (),
        *,
        rebooted: bool,
        now: Instant,
        name: str = "here",
        label: str = "",
        lease_store: str = "",
        is_in_circle: bool = False,
    ) -> Machine:
        """Go on where the last keeper ended. Of `lives` the two newest of each member are used; of `forgotten`, which
        is made from the keys of partners, what `bonds` does not know.

        What follows at once is ordered by the first `handle`; the deadline is `now` then.
        """
        machine = cls(policy, me, name=name, label=label, lease_store=lease_store, is_in_circle=is_in_circle)
        machine._heard_at = now
        by_name: dict[MemberName, dict[Epoch, LifeRecord]] = {}
        for life in lives:
            by_name.setdefault(life.member, {})[life.epoch] = life
        for record in sorted(records, key=lambda record: record.name):
            if not record.origin:  # An older keeper wrote it, which knew of no other.
                record = msgspec.structs.replace(record, origin=me, begun=record.epoch)
            if record.phase is Phase.ABSENT:
                machine._bonds.forgotten[record.name] = record
                continue
            member = Member(policy, record, now, Span(0))
            remembered = by_name.get(record.name, {})
            member.life = remembered.get(record.epoch, member.life)
            older = [epoch for epoch in remembered if epoch < record.epoch]
            member.previous = remembered[max(older)] if older else None
            machine._members[record.name] = member
        machine._bonds.recover(tuple(bonds), tuple(helds), tuple(forgotten), rebooted=rebooted, now=now)
        machine._pending += machine._take(machine._bonds)
        for member in machine._members.values():
            returns.come_back(member, rebooted)
            machine._collect(member, machine._pending)
        machine._next_tick = now
        return machine

    def handle(self, event: Event | BondEvent, now: Instant) -> list[Order]:
        """Decide what follows from one event."""
        orders, self._pending = self._pending, []
        self._pass_time(now)
        if isinstance(event, Ticked):
            self._next_tick = Instant(now + self._policy.tick)
            for member in list(self._members.values()):
                self._set_time(member)
                patience.tick(member)
                self._collect(member, orders)
            self._bonds.tick()
        elif isinstance(event, KeeperStopAsked):
            self._stop(event, orders)
        elif type(event) in hearing.HANDLERS:
            hearing.HANDLERS[type(event)](self._bonds, event)
        else:
            self._dispatch(event, orders)
        if not self._bonds.is_idle or self._bonds.out:
            self._follow_bonds(orders)
        if self._stopping:
            self._stop_when_settled(orders)
        return orders

    def deadline(self) -> Instant | None:
        """When a `Ticked` is wanted next; while a life runs at most one tick away."""
        if self._pending:
            return self._heard_at
        if not self._bonds.is_idle:
            moment = self._bonds.deadline()
            return self._next_tick if moment is None else min(moment, self._next_tick)
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

    @property
    def me(self) -> KeeperId:
        return self._bonds.me

    @property
    def name(self) -> str:
        """This keeper's, for people."""
        return self._bonds.name

    def bond_views(self) -> tuple[BondView, ...]:
        return self._bonds.views()

    def held_views(self) -> tuple[HeldRecord, ...]:
        """What is held here for partners."""
        return tuple(held.record for _, held in sorted(self._bonds.helds.items()))

    # Inside

    def _follow_bonds(self, orders: list[Order]) -> None:
        """What was decided for members goes before what partners are told of it."""
        bonds = self._bonds
        orders += self._take(bonds)
        for member in list(self._members.values()):
            self._set_time(member)
        bonds.settle()
        for member in list(self._members.values()):
            self._collect(member, orders)
        orders += self._take(bonds)
        bonds.speak()
        orders += self._take(bonds)

    @staticmethod
    def _take(bonds: Bonds) -> list[Order]:
        out, bonds.out = bonds.out, []
        return out

    def _pass_time(self, now: Instant) -> None:
        before = self._heard_at
        if before is not None:
            if now < before:
                raise InvalidTransition(f"time went backwards: {now} after {before}")
            pace = self._policy.tick if self._bonds.is_idle else min(self._policy.tick, self._policy.beat_every)
            self._awake = Span(self._awake + min(now - before, AWAKE_TICKS * pace))
            if now - before > AWAKE_TICKS * pace:
                self._give_time_again(Span((AWAKE_TICKS - 1) * pace))
            if now - before > self._policy.return_grace:
                self._bonds.stood_still(Span(now - before), self._awake)
        self._heard_at = now
        self._bonds.now, self._bonds.awake = now, self._awake

    def _give_time_again(self, span: Span) -> None:
        """The host stood still: of what counts of that, nobody had more than a tick to come back in. A tick counts all
        the same, so that a keeper that is starved without end does not wait without end."""
        for member in self._members.values():
            if member.grace_over is not None:
                member.grace_over = Span(member.grace_over + span)

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
            holder_for = self._bonds.holds(event.member)
            if holder_for and ticket is not None:
                text = f"{event.member} is held here for {holder_for}"
                orders.append(Refuse(ticket, "MemberTaken", text, "choose another name"))
                return
            member = Member(self._policy, self._bonds.begin_member(event.member), Instant(0), self._awake)
            member.fence.assumed_until = self._bonds.vouchers_over()
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
            orders += self._bonds.forget_member(member)

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
        exposed = [member for member in members if member.is_deposit_wanted()]
        if exposed and not self._leaves_members:
            self._go_on(exposed, orders)
            return
        for member in members:
            wishes.dismiss(member)
            self._collect(member, orders)
        text = f"the keeper ends{self._bonds.let_copies_go()}"
        orders += self._take(self._bonds)
        orders += [Accept(ticket, text) for ticket in self._stopping]
        orders.append(StopKeeper())
        self._stopping = []

    def _go_on(self, exposed: list[Member], orders: list[Order]) -> None:
        """The keeper does not end for those who asked: its memory has what the vault does not take."""
        held = ", ".join(f"{member.sealed.commit} of {member.record.name}" for member in exposed if member.sealed)
        text = f"the keeper goes on: in its memory alone is {held}, which could not be taken to the vault"
        hint = "make room on the disk (goldthread doctor) and try again; goldthread forget gives a member up"
        orders += [Refuse(ticket, "NoRoom", text, hint) for ticket in self._stopping]
        self._stopping = []
        for member in self._members.values():
            member.closing = False
