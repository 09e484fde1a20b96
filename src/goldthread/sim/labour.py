"""What programs do: they start, join, restore, work, commit and end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from goldthread.names import CommitId, Epoch, Span, Step, milliseconds
from goldthread.report import Ending, EndingKind
from goldthread.rules import events
from goldthread.rules.rotation import choose_slot
from goldthread.sim.things import COMMIT_BYTES, Program, Slot, Store, killed

if TYPE_CHECKING:
    from goldthread.sim.world import Home, World

__all__ = ["Labour"]

_MS: Final = milliseconds(1)


class Labour:
    def __init__(self, world: World) -> None:
        self._world = world
        self._pids = 100

    def start_program(self, home: Home, started: Epoch | None) -> None:
        """A process begins: by its shim, or by hand."""
        self._pids += 1
        pace = Span(int(home.pace * self._world.random.uniform(0.5, 1.5)))
        program = Program(home.name, self._pids, started, pace)
        program.joins = not home.plain
        home.programs.append(program)
        if started is not None and home.shim is not None:
            home.shim.program, home.shim.started, home.shim.ended = program, started, None
            self._world.give(events.LifeStarted(home.name, started, program.pid))
        if program.joins and program.alive:
            self._world.after(self._world.random.randint(1, 400) * _MS, self.ask_to_join, home, program)

    def ask_to_join(self, home: Home, program: Program) -> None:
        if not program.alive or program.epoch is not None:
            return
        if self._world.is_keeper_up:
            self._world.meet(program)
        program.ticket = self._world.ticket()
        self._world.hands.waiting[program.ticket] = program
        self._world.give(events.JoinAsked(program.ticket, home.name, program.pid, program.started))

    def admit(self, home: Home, program: Program, epoch: Epoch, store: Store | None, delay: float) -> None:
        """The program is this life now; it restores, and its work begins."""
        program.ticket = None
        program.epoch = epoch
        if store is not None and store.commit is not None:
            program.step = store.commit.step
            program.tainted = store.tainted
        self._world.after(delay, self._restored, home, program)

    def _restored(self, home: Home, program: Program) -> None:
        if not program.alive or program.epoch is None or program.hung:
            return
        self._world.give(events.LifeRestored(home.name, program.epoch))
        self._world.after(program.pace, self.work, home, program)

    def work(self, home: Home, program: Program) -> None:
        """One step, and its commit."""
        if not program.alive or program.hung:
            return
        if program.asleep:
            self._world.after(program.pace, self.work, home, program)
            return
        program.step = Step(program.step + 1)
        if home.poison is not None:
            bad_from, fatal = home.poison
            program.tainted = program.tainted or program.step == bad_from
            if program.tainted and program.step >= fatal:
                text = f"ValueError at step {program.step}"
                self.end_program(home, program, Ending(EndingKind.EXCEPTION, text, "", 1, "ValueError"))
                return
        self._commit(home, program)
        if not program.alive:
            return
        program.beat(self._world.now)
        if program.step >= home.goal:
            self._finish(home, program)
            return
        self._world.after(program.pace, self.work, home, program)

    def _commit(self, home: Home, program: Program) -> None:
        if program.epoch is None:
            return
        slot = self._choose_slot(home, program, program.epoch)
        if slot is None:
            program.unsealed += 1
            return
        for before_write in self._world.before_write:
            before_write(home, program, slot)
        program.sequence += 1
        program.unsealed = 0
        commit = CommitId(program.epoch, program.step, program.sequence)
        writes, program.writes_left = program.writes_left, None
        if slot.write(commit, program.tainted, writes):
            program.newest = commit
            for after_seal in self._world.after_seal:
                after_seal(home, program, commit)
        if writes is not None:
            self._world.tell(f"{home.name} is killed in a commit, after {writes} writes")
            self.end_program(home, program, killed())

    def _choose_slot(self, home: Home, program: Program, epoch: Epoch) -> Slot | None:
        """The slot of the next commit, which the keeper makes where it must be made; None: none can be had."""
        world = self._world
        slots = program.slots
        choice = choose_slot([slot.state() for slot in slots], COMMIT_BYTES, world.policy.slots_per_member)
        if choice.index is None or (choice.fresh and (world.machine is None or world.is_paused)):
            return None
        if not choice.fresh:
            return slots[choice.index]
        slot = Slot(epoch, choice.index)
        slots.append(slot)
        world.shelf.setdefault(home.name, []).append(slot)
        if program.supervised and home.shim is not None and home.shim.program is program:
            home.shim.slots.append(slot)
        return slot

    def _finish(self, home: Home, program: Program) -> None:
        if self._world.random.random() < 0.5 and program.epoch is not None:
            self._world.read_pulses(home)
            self._world.give(events.LifeLeft(home.name, program.epoch))
            program.left = True
        self.end_program(home, program, Ending(EndingKind.FINISHED, "exit status 0", "", 0))

    def end_program(self, home: Home, program: Program, ending: Ending) -> None:
        """The process is gone; the keeper hears of it a moment later, if there is one."""
        if not program.alive:
            return
        program.alive = False
        home.programs.remove(program)
        for checker in self._world.checkers:
            checker.after_death(home, program, ending)
        shim = home.shim
        if program.supervised and shim is not None and shim.program is program:
            shim.program, shim.ended = None, ending
        elif program.supervised or ending.kind is not EndingKind.EXCEPTION:
            ending = Ending(EndingKind.UNKNOWN, "nobody saw how it ended")
        if self._world.machine is not None:
            self._world.keeper_after(self._world.random.randint(0, 3) * _MS, self._tell_end, home, program, ending)

    def _tell_end(self, home: Home, program: Program, ending: Ending) -> None:
        """The ears look at pulse and slots once more, and then tell that the process is gone."""
        if not program.is_met:
            return
        newest = program.newest
        if newest is not None and newest != program.told and not program.left:
            self._world.give(events.CommitSealed(home.name, newest, COMMIT_BYTES))
        epoch = program.started or program.epoch
        if epoch is None and self._world.machine is not None:
            view = self._world.machine.view(home.name)
            epoch = view.epoch if view is not None and view.pid == program.pid else None
        if epoch is not None:
            self._world.give(events.LifeEnded(home.name, epoch, ending))
