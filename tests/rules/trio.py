"""A keeper without a lease store, and two partners that do what they are asked to and take nothing over."""

from __future__ import annotations

from typing import Any, Final

from goldthread.names import CommitId, Epoch, Instant, KeeperId, Level, MemberName, Step, milliseconds, seconds
from goldthread.policy import Budget, Policy
from goldthread.report import Ending, EndingKind, Phase
from goldthread.rules import bond_events, bond_orders, events, orders
from goldthread.rules.events import Copy
from goldthread.rules.machine import Machine
from goldthread.terms import Terms, WithoutLeaseStore
from goldthread.wire.bonds import Facts, HeldFact, OwnedFact

__all__ = ["HOLD", "IRUKA", "WALK", "YIELD", "Owner", "Partner"]

IRUKA = KeeperId("i" * 32)
WALK = MemberName("walk")
COMMIT = CommitId(Epoch(1), Step(5), 5)
KILLED = Ending(EndingKind.SIGNAL, "signal 9 (SIGKILL)", "", -9, "signal 9")
HOLD, YIELD = (Terms(without_lease_store=one) for one in (WithoutLeaseStore.HOLD, WithoutLeaseStore.YIELD))


class Partner:
    """A keeper that holds what it is asked to, promises what it is asked for, and takes nothing over."""

    def __init__(self, name: str) -> None:
        self.me, self.name = KeeperId(name[0] * 32), name
        self.is_heard = True
        self.facts: Facts | None = None
        self.told: list[OwnedFact] = []
        """All that was sent to it of the member, whether it came or not."""
        self.held: CommitId | None = None

    def facts_of(self, number: int) -> Facts:
        owned = () if self.facts is None else self.facts.owned
        held = tuple(
            HeldFact(WALK, IRUKA, fact.epoch, self.held, "bundle", "") for fact in owned if fact.hold or self.held
        )
        return Facts(number, Terms(), "", "", 1 << 30, (), held, ())

    @property
    def is_given(self) -> bool:
        """Whether the last that was sent to it says that it may take the member over."""
        return self.told[-1].given_up


class Owner:
    """Iruka's keeper, without a lease store, and its two partners."""

    def __init__(self, mine: Terms) -> None:
        self.machine = Machine(Policy(), IRUKA, name="iruka")
        self.now = Instant(seconds(100))
        self.partners: Final = (Partner("kakashi"), Partner("sakura"))
        self.queue: list[Any] = []
        self.alarms: list[str] = []
        self.answers: list[Any] = []
        self.copies: tuple[Copy, ...] = ()
        self.running: Epoch | None = None
        self.is_carried = True
        """Whether copies come to where they are sent."""
        self.number = 0
        for partner in self.partners:
            self.tell(bond_events.BondTied(partner.me, partner.name, mine, Terms()))
            self.tell(bond_events.LinkUp(partner.me, partner.name))
        self.run(1)

    def start(self) -> tuple[Partner, Partner]:
        """The member runs, and its newest step is held; who holds it, and who does not."""
        self.tell(events.RunAsked(1, WALK, Budget(0)))
        self.run(0.5)
        self.tell(bond_events.BundleMade(WALK, "bundle", ""))
        self.copies = (Copy(COMMIT, Level.SEALED, 1000),)
        self.tell(events.CommitSealed(WALK, COMMIT, 1000))
        self.run(1)
        holder = next(one for one in self.partners if one.held is not None)
        return holder, next(one for one in self.partners if one is not holder)

    @property
    def phase(self) -> Phase:
        view = self.machine.view(WALK)
        assert view is not None
        return view.phase

    @property
    def holder(self) -> KeeperId | None:
        view = self.machine.view(WALK)
        return None if view is None else view.holder

    def fall(self) -> None:
        """Into limbo: no life is left in the budget."""
        assert self.running is not None
        self.tell(events.LifeEnded(WALK, self.running, KILLED))
        self.run(0.5)
        assert self.phase is Phase.LIMBO

    def run(self, span: float) -> None:
        end = self.now + seconds(span)
        while self.now < end:
            self.now = Instant(self.now + milliseconds(100))
            for partner in self.partners:
                if partner.is_heard:
                    self.number += 1
                    self.tell(bond_events.BeatHeard(partner.me, self.number, partner.facts_of(self.number)))
            self.tell(events.Ticked())

    def tell(self, event: Any) -> None:
        self.queue.append(event)
        while self.queue:
            for order in self.machine.handle(self.queue.pop(0), self.now):
                self.obey(order)

    def obey(self, order: Any) -> None:
        match order:
            case bond_orders.SendBeat():
                self.carry(order, next(one for one in self.partners if one.me == order.partner))
            case bond_orders.Replicate():
                partner = next(one for one in self.partners if one.me == order.partner)
                if not self.is_carried:
                    self.queue.append(bond_events.ReplicateFailed(WALK, partner.me, "no carrier"))
                    return
                partner.held = order.commit
                self.queue.append(bond_events.CommitHeld(WALK, partner.me, order.commit))
            case orders.ListCopies():
                self.queue.append(events.CopiesListed(WALK, self.copies))
            case orders.CheckCopy():
                self.queue.append(events.CopyChecked(WALK, order.copy, True, ""))
            case orders.StartProgram():
                self.running = order.epoch
                self.queue.append(events.LifeStarted(WALK, order.epoch, 100))
                self.queue.append(events.JoinAsked(2, WALK, 100, order.epoch))
            case orders.Alarm():
                self.alarms.append(order.text)
            case orders.Accept() | orders.Refuse():
                self.answers.append(order)

    def carry(self, beat: bond_orders.SendBeat, partner: Partner) -> None:
        if beat.facts is not None:
            partner.told += beat.facts.owned
        if partner.is_heard:
            partner.facts = beat.facts or partner.facts
            seen = 0 if partner.facts is None else partner.facts.version
            names = () if partner.facts is None else tuple(fact.member for fact in partner.facts.owned)
            self.queue.append(bond_events.BeatAnswered(partner.me, beat.number, seen, Policy().promise, names))
