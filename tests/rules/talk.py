"""A talk with a machine: events in, orders out, with little ado."""

from __future__ import annotations

from typing import Any, TypeVar

from goldthread.names import CommitId, Epoch, Instant, KeeperId, Level, MemberName, Step, milliseconds, seconds
from goldthread.policy import Budget, Policy
from goldthread.report import Ending, EndingKind
from goldthread.rules import events, orders
from goldthread.rules.events import Copy
from goldthread.rules.machine import Machine, MemberView

__all__ = ["FINISHED", "KILLED", "RAISED", "WALK", "Talk", "commit", "copy_of"]

WALK = MemberName("walk")
KILLED = Ending(EndingKind.SIGNAL, "signal 9 (SIGKILL)", "", -9, "signal 9")
RAISED = Ending(EndingKind.EXCEPTION, "ValueError", "", 1, "ValueError")
FINISHED = Ending(EndingKind.FINISHED, "exit status 0", "", 0)

O = TypeVar("O")  # noqa: E741 - an order


def commit(epoch: int, step: int) -> CommitId:
    return CommitId(Epoch(epoch), Step(step), step)


def copy_of(epoch: int, step: int, level: Level = Level.SEALED) -> Copy:
    return Copy(commit(epoch, step), level, 1000)


class Talk:
    def __init__(self, policy: Policy | None = None) -> None:
        self.policy = policy or Policy()
        self.machine = Machine(self.policy, KeeperId("here"))
        self.now = Instant(0)
        self.heard: list[Any] = []
        """What the last event was answered by."""
        self.all: list[Any] = []
        self._tickets = 0

    def tell(self, event: Any, after: float = 0.01) -> list[Any]:
        self.now = Instant(self.now + seconds(after))
        self.heard = list(self.machine.handle(event, self.now))
        self.all += self.heard
        return self.heard

    def got(self, kind: type[O]) -> list[O]:
        """The orders of this kind in the last answer."""
        return [order for order in self.heard if isinstance(order, kind)]

    def one(self, kind: type[O]) -> O:
        (order,) = self.got(kind)
        return order

    @property
    def view(self) -> MemberView:
        view = self.machine.view(WALK)
        assert view is not None
        return view

    @property
    def record(self) -> orders.MemberRecord:
        """What the journal says of the member."""
        persisted = [order.record for order in self.all if isinstance(order, orders.Persist)]
        return [record for record in persisted if isinstance(record, orders.MemberRecord)][-1]

    @property
    def lives(self) -> list[orders.LifeRecord]:
        persisted = [order.record for order in self.all if isinstance(order, orders.Persist)]
        return [record for record in persisted if isinstance(record, orders.LifeRecord)]

    def ticket(self) -> int:
        self._tickets += 1
        return self._tickets

    # What is told often

    def run(self, *, fresh: bool = False, budget: Budget | None = None) -> int:
        ticket = self.ticket()
        self.tell(events.RunAsked(ticket, WALK, budget or Budget(), fresh))
        return ticket

    def join(self, pid: int = 100, epoch: int | None = None, *, fresh: bool = False) -> int:
        ticket = self.ticket()
        self.tell(events.JoinAsked(ticket, WALK, pid, None if epoch is None else Epoch(epoch), fresh))
        return ticket

    def list(self, *copies: Copy) -> None:
        self.tell(events.CopiesListed(WALK, copies))

    def check(self, copy: Copy, whole: bool = True) -> None:
        self.tell(events.CopyChecked(WALK, copy, whole, "" if whole else "1 of 8 chunks"))

    def started(self, epoch: int, pid: int = 100) -> None:
        self.tell(events.LifeStarted(WALK, Epoch(epoch), pid))

    def beat(self, epoch: int, beats: int, gap: float = 0.1, after: float = 0.01) -> None:
        first = Instant(self.now)
        self.tell(events.ProgramBeat(WALK, Epoch(epoch), beats, milliseconds(1000 * gap), Step(beats), first, 0), after)

    def seal(self, epoch: int, step: int) -> None:
        self.tell(events.CommitSealed(WALK, commit(epoch, step), 1000))

    def end(self, epoch: int, ending: Ending = KILLED) -> None:
        self.tell(events.LifeEnded(WALK, Epoch(epoch), ending))

    def ticks(self, span: float) -> list[Any]:
        """Let time pass, tick by tick; everything that was ordered meanwhile."""
        ordered: list[Any] = []
        for _ in range(round(seconds(span) / self.policy.tick)):
            ordered += self.tell(events.Ticked(), self.policy.tick / 1e9)
        self.heard = ordered
        return ordered

    def first_life(self, steps: int = 0) -> None:
        """Life 1 runs under `run` and has sealed so many commits."""
        self.run()
        self.list()
        self.started(1)
        self.join(100, 1)
        self.tell(events.LifeRestored(WALK, Epoch(1)))
        for step in range(1, steps + 1):
            self.beat(1, step)
            self.seal(1, step)

    def by_hand(self, steps: int = 0) -> None:
        """Life 1 was started by hand and has sealed so many commits."""
        self.join(100)
        self.list()
        for step in range(1, steps + 1):
            self.beat(1, step)
            self.seal(1, step)

    def next_life(self, epoch: int, *copies: Copy) -> None:
        """Life `epoch`, which was ordered already, joins and restores the first of these copies."""
        self.list(*copies)
        self.started(epoch, 100 + epoch)
        self.join(100 + epoch, epoch)
        if copies:
            self.check(copies[0])

    def replace_keeper(self, *, rebooted: bool = False, records: bool = True) -> None:
        lives = self.lives
        self.machine = Machine.recover(
            self.policy, KeeperId("here"), [self.record] if records else [], lives, rebooted=rebooted, now=self.now
        )
