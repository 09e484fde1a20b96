"""Golden stories: what happens, and what is decided, as prose.

Each story is a script of events; beside it lies what the machine ordered, line by line, in `told/*.txt`. Run
`pytest tests/stories --rewrite-stories` to write them anew, and read the diff.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from goldthread.names import CommitId, Epoch, Instant, KeeperId, Level, MemberName, Span, Step, seconds
from goldthread.policy import Budget, Policy
from goldthread.report import Ending, EndingKind
from goldthread.rules import events, orders
from goldthread.rules.events import Copy
from goldthread.rules.machine import Machine
from goldthread.sim.story import phrase

TOLD = Path(__file__).parent / "told"
WALK = MemberName("walk")
KILLED = Ending(EndingKind.SIGNAL, "signal 9 (SIGKILL)", "", -9, "signal 9")
BUDGET = Budget(2, seconds(600))


def commit(epoch: int, step: int) -> CommitId:
    return CommitId(Epoch(epoch), Step(step), step)


def sealed(epoch: int, step: int) -> Copy:
    return Copy(commit(epoch, step), Level.SEALED, 1000)


def deposited(epoch: int, step: int) -> Copy:
    return Copy(commit(epoch, step), Level.DEPOSITED, 1000)


class Teller:
    """Gives events to a machine and writes down what it orders. The journal is kept, for a next keeper."""

    def __init__(self) -> None:
        self.now = Instant(0)
        self.machine = Machine(Policy(), KeeperId("here"))
        self.lines: list[str] = []
        self._tickets = 0
        self._records: dict[MemberName, orders.MemberRecord] = {}
        self._lives: dict[Epoch, orders.LifeRecord] = {}

    def say(self, text: str) -> None:
        self.lines += ["", f"-- {text}"]

    def hear(self, event: Any, after: float = 0.1) -> None:
        """Let time pass, and then this happen."""
        self.now = Instant(self.now + seconds(after))
        answer = self.machine.handle(event, self.now)
        if answer or not isinstance(event, events.Ticked):
            self.lines.append(f"{self.now / 1e9:7.1f}  {phrase(event)}")
        for order in answer:
            self.lines.append(f"             {phrase(order)}")
            if isinstance(order, orders.Persist) and isinstance(order.record, orders.MemberRecord):
                self._records[order.record.name] = order.record
            elif isinstance(order, orders.Persist):
                self._lives[order.record.epoch] = order.record

    def ticks(self, span: float) -> None:
        """Let time pass, tick by tick."""
        for _ in range(round(span * 10)):
            self.hear(events.Ticked())

    def ticket(self) -> int:
        self._tickets += 1
        return self._tickets

    def run(self, *, fresh: bool = False) -> None:
        self.hear(events.RunAsked(self.ticket(), WALK, BUDGET, fresh))

    def come_to_life(self, epoch: int, *copies: Copy, whole: int = 0) -> None:
        """The program of a life starts, joins and restores the copy of number `whole`; those before it are damaged."""
        life = Epoch(epoch)
        self.hear(events.CopiesListed(WALK, copies))
        self.hear(events.LifeStarted(WALK, life, 100 + epoch))
        self.hear(events.JoinAsked(self.ticket(), WALK, 100 + epoch, life))
        for number, copy in enumerate(copies[: whole + 1]):
            self.hear(events.CopyChecked(WALK, copy, number == whole, "" if number == whole else "1 of 8 chunks"))
        self.hear(events.LifeRestored(WALK, life))

    def work(self, epoch: int, *steps: int) -> None:
        """The life seals a commit at each of these steps."""
        for step in steps:
            beat = events.ProgramBeat(WALK, Epoch(epoch), step, Span(100_000_000), Step(step), self.now, 0)
            self.hear(beat)
            self.hear(events.CommitSealed(WALK, commit(epoch, step), 1000), 0)
            self.hear(events.CopyChecked(WALK, sealed(epoch, step), True))

    def die(self, epoch: int, ending: Ending = KILLED) -> None:
        self.hear(events.LifeEnded(WALK, Epoch(epoch), ending))

    def replace_keeper(self, *, rebooted: bool = False) -> None:
        """The keeper dies, and another reads its journal."""
        self.now = Instant(self.now + seconds(1))
        records, lives = self._records.values(), self._lives.values()
        self.machine = Machine.recover(Policy(), KeeperId("here"), records, lives, rebooted=rebooted, now=self.now)


def first_life(teller: Teller) -> None:
    teller.say("Its user runs it. There is nothing to restore.")
    teller.run()
    teller.come_to_life(1)
    teller.say("It works, and ends in peace: its newest commit goes to the vault, is read again, and memory is freed.")
    teller.work(1, 1, 2, 3)
    teller.die(1, Ending(EndingKind.FINISHED, "exit status 0", "", 0))
    teller.hear(events.CopiesListed(WALK, (sealed(1, 3), sealed(1, 2))))
    teller.hear(events.CommitDeposited(WALK, commit(1, 3), 1000))
    teller.hear(events.CopyChecked(WALK, deposited(1, 3), True))
    teller.say("Its user runs it again: it goes on, and says how to start over.")
    teller.run()
    teller.come_to_life(2, deposited(1, 3))


def kill_and_restore(teller: Teller) -> None:
    teller.run()
    teller.come_to_life(1)
    teller.work(1, 1, 2, 3)
    teller.say("It is killed. The next life starts at once, and goes on from the newest commit.")
    teller.die(1)
    teller.come_to_life(2, sealed(1, 3), sealed(1, 2))
    teller.say("After two commits of its own, the slots of the life before are freed.")
    teller.work(2, 4, 5)


def wound(teller: Teller) -> None:
    bad = Ending(EndingKind.EXCEPTION, "ValueError: x is negative", "", 1, "ValueError walk.py:12")
    teller.run()
    teller.come_to_life(1)
    teller.work(1, 1, 2, 3)
    teller.say("It dies of an exception, and its next life of the same one at the same step.")
    teller.die(1, bad)
    teller.come_to_life(2, sealed(1, 3), sealed(1, 2))
    teller.die(2, bad)
    teller.say("That is a wound: the next life starts from an older commit.")
    teller.come_to_life(3, sealed(1, 2))


def hang(teller: Teller) -> None:
    teller.run()
    teller.come_to_life(1)
    teller.work(1, 1, 2, 3, 4)
    teller.say("It falls silent. After a minute its stacks are taken, then it is killed and starts again.")
    teller.ticks(60.5)
    teller.hear(events.StacksTaken(WALK, Epoch(1), "walk.py line 7 in advance"))
    teller.die(1)
    teller.say("A keeper that was paused blames itself first: half an hour of its own sleep is no silence.")
    teller.come_to_life(2, sealed(1, 4))
    teller.work(2, 5, 6, 7)
    teller.hear(events.Ticked(), 1800)


def limbo(teller: Teller) -> None:
    teller.say("Two restarts are allowed in ten minutes.")
    teller.run()
    teller.come_to_life(1)
    teller.work(1, 1)
    teller.die(1)
    teller.come_to_life(2, sealed(1, 1))
    teller.work(2, 2)
    teller.die(2)
    teller.come_to_life(3, sealed(2, 2))
    teller.say("The third death spends the budget: limbo. The state goes to the vault and stays in memory.")
    teller.die(3)
    teller.hear(events.CopiesListed(WALK, (sealed(2, 2),)))
    teller.hear(events.CommitDeposited(WALK, commit(2, 2), 1000))
    teller.say("Its user tries again, with a fresh budget.")
    teller.hear(events.RestartAsked(teller.ticket(), WALK))
    teller.come_to_life(4, sealed(2, 2), deposited(2, 2))


def miswritten(teller: Teller) -> None:
    misspelt = Ending(EndingKind.EXCEPTION, "NameError: name 'stepp' is not defined", "", 1, "NameError walk.py:3")
    teller.say("A name is misspelt. The second life dies as the first did, and there is nothing that time could mend.")
    teller.run()
    teller.hear(events.CopiesListed(WALK, ()))
    teller.hear(events.LifeStarted(WALK, Epoch(1), 101))
    teller.die(1, misspelt)
    teller.hear(events.CopiesListed(WALK, ()))
    teller.hear(events.LifeStarted(WALK, Epoch(2), 102))
    teller.die(2, misspelt)
    teller.hear(events.CopiesListed(WALK, ()))
    teller.say("Its user mends it, and runs it again.")
    teller.run()
    teller.come_to_life(3)
    teller.work(3, 1)


def damaged(teller: Teller) -> None:
    teller.run()
    teller.come_to_life(1)
    teller.work(1, 1, 2, 3)
    teller.say("It dies, and bits of its newest commit have flipped. The one before is used, and the loss is said.")
    teller.die(1)
    teller.come_to_life(2, sealed(1, 3), sealed(1, 2), whole=1)
    teller.say("It dies again, and nothing is whole: it does not start over without being told to.")
    teller.work(2, 4)
    teller.die(2)
    teller.come_to_life(3, sealed(2, 4), sealed(1, 2), whole=2)
    teller.die(3, Ending(EndingKind.EXCEPTION, "NothingToRestore", "", 1, "NothingToRestore"))


def keeper_restart(teller: Teller) -> None:
    teller.run()
    teller.come_to_life(1)
    teller.work(1, 1, 2, 3)
    teller.say("The keeper dies. The next one waits for the program, which comes back: nothing happened to it.")
    teller.replace_keeper()
    teller.hear(events.LifeFound(WALK, Epoch(1), 101))
    teller.hear(events.CopiesListed(WALK, (sealed(1, 3), sealed(1, 2))))
    teller.work(1, 4)
    teller.say("The keeper and the program die. A new keeper waits in vain, and starts the next life.")
    teller.replace_keeper()
    teller.ticks(3.2)
    teller.come_to_life(2, deposited(1, 3))
    teller.say("The host restarts: the next life starts at once, from the vault.")
    teller.replace_keeper(rebooted=True)
    teller.hear(events.Ticked())
    teller.come_to_life(3, deposited(1, 3))


def rollback(teller: Teller) -> None:
    teller.run()
    teller.come_to_life(1)
    teller.work(1, 1, 2, 3)
    teller.say("Its user stops it and goes back one step. While it runs, that is refused.")
    teller.hear(events.RollbackAsked(teller.ticket(), WALK, Step(2)))
    teller.hear(events.StopAsked(teller.ticket(), WALK, 15))
    teller.die(1, Ending(EndingKind.SIGNAL, "signal 15", "", -15, "signal 15"))
    copies = (sealed(1, 3), sealed(1, 2), sealed(1, 1))
    teller.hear(events.CopiesListed(WALK, copies))
    teller.hear(events.RollbackAsked(teller.ticket(), WALK, Step(2)))
    teller.hear(events.CopiesListed(WALK, copies))
    teller.say("The next life starts from there.")
    teller.run()
    teller.hear(events.CopiesListed(WALK, copies))
    teller.hear(events.JoinAsked(teller.ticket(), WALK, 102, Epoch(2)))
    teller.hear(events.CopyChecked(WALK, sealed(1, 2), True))


STORIES: list[Callable[[Teller], None]] = [
    first_life, kill_and_restore, wound, hang, limbo, miswritten, damaged, keeper_restart, rollback,
]  # fmt: skip


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.__name__)
def test_the_story_goes_as_it_was_told(story: Callable[[Teller], None], request: pytest.FixtureRequest) -> None:
    """What the machine orders is what the golden story says."""
    teller = Teller()
    story(teller)
    told = "\n".join(teller.lines).strip() + "\n"
    path = TOLD / f"{story.__name__}.txt"
    if request.config.getoption("--rewrite-stories", default=False):
        path.write_text(told)
    assert path.read_text() == told
