"""Two keepers and what lies between them, pretended: a link to cut, a lease store, copies that travel at once."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from goldthread.names import CommitId, Epoch, Instant, KeeperId, Level, MemberName, Step, milliseconds, seconds
from goldthread.policy import Budget, Policy
from goldthread.report import Ending, EndingKind
from goldthread.rules import bond_events, bond_orders, events, orders
from goldthread.rules.events import Copy
from goldthread.rules.machine import Machine, MemberView
from goldthread.terms import Terms
from goldthread.wire.leases import Lease

__all__ = ["IRUKA", "KAKASHI", "KILLED", "WALK", "Host", "Pair"]

IRUKA, KAKASHI = KeeperId("i" * 32), KeeperId("k" * 32)
NAMES = {IRUKA: "iruka", KAKASHI: "kakashi"}
WALK = MemberName("walk")
KILLED = Ending(EndingKind.SIGNAL, "signal 9 (SIGKILL)", "", -9, "signal 9")
BYTES = 1 << 20


class Host:
    """One keeper, its journal, its programs and its copies."""

    def __init__(self, pair: Pair, me: KeeperId, policy: Policy, store: str) -> None:
        self.pair, self.me, self.policy, self.store = pair, me, policy, store
        self.machine: Machine | None = Machine(policy, me, name=NAMES[me], lease_store=store)
        self.members: dict[str, Any] = {}
        self.lives: dict[Any, Any] = {}
        self.bonds: dict[str, Any] = {}
        self.helds: dict[Any, Any] = {}
        self.copies: set[CommitId] = set()
        """Of the member, in this host's memory as its owner."""
        self.damaged: set[CommitId] = set()
        """Of these a slot is there, and it is not whole."""
        self.held: set[CommitId] = set()
        self.running: Epoch | None = None
        self.frozen = False
        self.until: Instant | None = None
        self.alarms: list[str] = []
        self.answers: list[Any] = []
        self.starts: list[tuple[Epoch, Instant]] = []
        self.deposits: list[CommitId] = []
        """What went to the vault."""
        self.differences: tuple[str, ...] = ()
        """How this host differs from that of its partner."""

    def tell(self, event: Any) -> None:
        if self.machine is not None:
            for order in self.machine.handle(event, self.pair.now):
                if self.machine is not None:
                    self.obey(order)

    @property
    def view(self) -> MemberView:
        assert self.machine is not None
        view = self.machine.view(WALK)
        assert view is not None
        return view

    def seal(self, step: int) -> bool:
        """The program seals a step, if its voucher lets it."""
        if self.running is None or self.frozen or (self.until is not None and self.pair.now >= self.until):
            return False
        commit = CommitId(self.running, Step(step), step)
        self.copies.add(commit)
        self.tell(events.CommitSealed(WALK, commit, BYTES))
        return True

    def obey(self, order: Any) -> None:
        pair, other = self.pair, self.pair.other(self)
        match order:
            case orders.Persist(record=orders.MemberRecord() as record):
                self.members[record.name] = record
            case orders.Persist(record=orders.LifeRecord() as record):
                self.lives[record.member, record.epoch] = record
            case orders.Persist(record=bond_orders.BondRecord() as record):
                self.bonds[record.partner] = record
            case orders.Persist(record=bond_orders.HeldRecord() as record):
                self.helds[record.partner, record.member] = record
            case bond_orders.ForgetHeld():
                self.helds.pop((order.partner, order.member), None)
            case bond_orders.ForgetBond():
                self.bonds.pop(order.partner, None)
            case bond_orders.SendBeat():
                if pair.passes(self, other):
                    pair.soon(other, bond_events.BeatHeard(self.me, order.number, order.facts))
            case bond_orders.AnswerBeat():
                if pair.passes(self, other):
                    answer = bond_events.BeatAnswered(
                        self.me, order.number, order.facts_seen, order.promise, order.promised
                    )
                    pair.soon(other, answer)
            case bond_orders.EndBond():
                if pair.passes(self, other):
                    pair.soon(other, bond_events.BondOver(self.me, order.text))
                    pair.soon(self, bond_events.BondOver(other.me, order.text))
            case bond_orders.ReadLease():
                pair.soon(self, pair.read(order))
            case bond_orders.SwapLease():
                pair.soon(self, pair.swap(order))
            case bond_orders.Vouch():
                if order.epoch == self.running:
                    self.until = order.until
            case bond_orders.Replicate():
                if pair.passes(self, other) and other.machine is not None:
                    newest = max(self.copies)
                    other.held.add(newest)
                    pair.soon(other, bond_events.CopyLanded(self.me, WALK, Copy(newest, Level.HELD, BYTES)))
                    pair.soon(self, bond_events.CommitHeld(WALK, other.me, newest))
                else:
                    pair.soon(self, bond_events.ReplicateFailed(WALK, order.partner, "no link"))
            case bond_orders.SendBundle():
                pair.soon(other, bond_events.BundleLanded(self.me, WALK, "bundle"))
                pair.soon(self, bond_events.BundleSent(WALK, other.me, "bundle", other.differences))
            case bond_orders.AdoptCopies():
                self.copies |= self.held
            case bond_orders.DropCopies():
                self.held.clear()
            case orders.StartProgram():
                self.running, self.frozen = order.epoch, False
                self.starts.append((order.epoch, pair.now))
                pair.soon(self, events.LifeStarted(WALK, order.epoch, 100 + order.epoch))
                pair.soon(self, events.JoinAsked(1, WALK, 100 + order.epoch, order.epoch))
            case orders.Admit():
                self.until = order.until
            case orders.SignalProgram(signal=19):
                self.frozen = True
            case orders.SignalProgram(signal=18):
                self.frozen = False
            case orders.SignalProgram():
                if self.running == order.epoch:
                    self.end(KILLED)
            case orders.ListCopies():
                pair.soon(
                    self,
                    events.CopiesListed(
                        WALK, tuple(Copy(one, Level.SEALED, BYTES) for one in self.copies | self.damaged)
                    ),
                )
            case orders.CheckCopy():
                pair.soon(self, events.CopyChecked(WALK, order.copy, order.copy.commit in self.copies))
            case bond_orders.MendCopy():
                found = order.commit in self.copies or (pair.passes(self, other) and order.commit in other.held)
                if found:
                    self.copies.add(order.commit)
                pair.soon(self, bond_events.CopyMended(WALK, order.commit, found, (), "8 of 8 chunks came from there"))
            case orders.Forget():
                self.copies.clear()
                self.members.pop(order.member)
                if order.kept is not None:
                    self.members[order.member] = order.kept
            case orders.Deposit():
                self.deposits.append(order.commit)
                pair.soon(self, events.CommitDeposited(WALK, order.commit, BYTES))
            case orders.Alarm():
                self.alarms.append(order.text)
            case orders.Accept() | orders.Refuse():
                self.answers.append(order)

    def end(self, ending: Ending = KILLED) -> None:
        epoch, self.running, self.frozen = self.running, None, False
        assert epoch is not None
        self.pair.soon(self, events.LifeEnded(WALK, epoch, ending))

    def die(self) -> None:
        """The host is lost, with all that is in its memory."""
        self.machine = self.running = None
        self.copies, self.held = set(), set()
        if self.pair.is_linked:
            self.pair.soon(self.pair.other(self), bond_events.LinkLost(self.me, "it ended"))

    def come_back(self) -> None:
        """The host starts again: its journal is all that it has."""
        self.machine = Machine.recover(
            self.policy, self.me, self.members.values(), self.lives.values(), self.bonds.values(), self.helds.values(),
            rebooted=True, now=self.pair.now, name=NAMES[self.me], lease_store=self.store,
        )  # fmt: skip
        for (partner, member), record in self.helds.items():
            if record.commit is not None:
                self.tell(bond_events.CopiesGone(partner, member, "the host was restarted"))
        if self.pair.is_linked:
            self.pair.link()

    def lose_journal(self) -> None:
        """The keeper dies and its journal is damaged: the next one has the partner's key and what comes back to it."""
        for journal in (self.members, self.lives, self.bonds, self.helds):
            journal.clear()
        other = self.pair.other(self).me
        self.machine = Machine.recover(
            self.policy, self.me, (), (), forgotten=[bond_orders.forgotten_bond(other, NAMES[other], 1000)],
            rebooted=False, now=self.pair.now, name=NAMES[self.me], lease_store=self.store,
        )  # fmt: skip
        self.tell(events.CopiesListed(WALK, tuple(Copy(one, Level.SEALED, BYTES) for one in sorted(self.copies))))
        if self.running is not None:
            self.tell(events.LifeFound(WALK, self.running, 100 + self.running))
        if self.pair.is_linked:
            self.pair.link()


class Pair:
    def __init__(self, *, store: str = "store", terms: Terms | None = None, policy: Policy | None = None) -> None:
        self.now = Instant(seconds(100))
        self.queue: list[tuple[Host, Any]] = []
        self.is_linked = True
        self.passing: set[KeeperId] = {IRUKA, KAKASHI}
        """Whose words get through."""
        self.is_store_up = True
        self.register: dict[str, tuple[Lease, str]] = {}
        policy = policy or Policy()
        self.iruka = Host(self, IRUKA, policy, store)
        self.kakashi = Host(self, KAKASHI, policy, store)
        terms = terms or Terms()
        self.iruka.tell(bond_events.BondTied(KAKASHI, "kakashi", terms, terms))
        self.kakashi.tell(bond_events.BondTied(IRUKA, "iruka", terms, terms))
        self.link()
        self.run(1)

    def other(self, host: Host) -> Host:
        return self.kakashi if host is self.iruka else self.iruka

    def passes(self, source: Host, target: Host) -> bool:
        return self.is_linked and source.me in self.passing and source.machine is not None

    def soon(self, host: Host, event: Any) -> None:
        self.queue.append((host, event))

    def link(self) -> None:
        self.is_linked = True
        self.passing = {IRUKA, KAKASHI}
        for host in (self.iruka, self.kakashi):
            if host.machine is not None and self.other(host).machine is not None:
                self.soon(host, bond_events.LinkUp(self.other(host).me, NAMES[self.other(host).me]))

    def cut(self) -> None:
        """Nothing gets through any more, and nobody is told."""
        self.is_linked = False

    def run(self, span: float, hosts: Iterable[Host] | None = None) -> None:
        """Let time go by; keepers that are not in `hosts` are paused."""
        awake = tuple(hosts) if hosts is not None else (self.iruka, self.kakashi)
        end = self.now + seconds(span)
        while self.now < end:
            self.settle(awake)
            self.now = Instant(self.now + milliseconds(20))
            for host in awake:
                if host.machine is not None:
                    due = host.machine.deadline()
                    if due is not None and due <= self.now:
                        host.tell(events.Ticked())
        self.settle(awake)

    def settle(self, awake: tuple[Host, ...] | None = None) -> None:
        """Deliver what was said, and what that brings about."""
        for _ in range(1000):
            waiting = [one for one in self.queue if awake is None or one[0] in awake]
            if not waiting:
                return
            self.queue = [one for one in self.queue if one not in waiting]
            for host, event in waiting:
                if host.machine is not None:
                    host.tell(event)
        raise AssertionError("they talk without end")

    def start(self, steps: int = 3, budget: int = 2) -> None:
        """The member runs on iruka, bonded, with its newest step held."""
        self.iruka.tell(events.RunAsked(1, WALK, Budget(budget)))
        self.settle()
        self.iruka.tell(bond_events.BundleMade(WALK, "bundle", ""))
        for step in range(1, steps + 1):
            assert self.iruka.seal(step)
        self.run(1)

    def read(self, order: Any) -> Any:
        if not self.is_store_up:
            return bond_events.LeaseUnknown(order.member, order.ask, "it does not answer")
        lease, version = self.register.get(order.member, (None, None))
        return bond_events.LeaseFound(order.member, order.ask, lease, version)

    def swap(self, order: bond_orders.SwapLease) -> Any:
        if not self.is_store_up:
            return bond_events.LeaseUnknown(order.member, order.ask, "it does not answer")
        _, version = self.register.get(order.member, (None, None))
        if version != order.over:
            return self.read(order)
        self.register[order.member] = (order.lease, f"{order.lease.count}@{self.now}")
        return bond_events.LeaseGranted(order.member, order.ask, order.lease, self.register[order.member][1])
