"""What programs do: they start, join, restore, work, commit and end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from goldthread.names import CommitId, Epoch, Span, Step, milliseconds
from goldthread.report import Ending, EndingKind
from goldthread.rules import events
from goldthread.rules.orders import Admit
from goldthread.rules.rotation import choose_slot
from goldthread.sim.things import COMMIT_BYTES, Program, Slot, Store, killed, misspelt

if TYPE_CHECKING:
    from goldthread.sim.host import Host
    from goldthread.sim.place import Place

__all__ = ["Labour"]

_MS: Final = milliseconds(1)


class Labour:
    def __init__(self, host: Host) -> None:
        self._host = host
        self._world = host.world
        self._pids = 100

    def start_program(self, place: Place, started: Epoch | None) -> None:
        """A process begins: by its shim, or by hand."""
        self._pids += 1
        pace = Span(int(place.work.pace * self._host.random.uniform(0.5, 1.5)))
        program = Program(place.work, self._pids, started, pace)
        place.programs.append(program)
        if started is not None and place.shim is not None:
            place.shim.program, place.shim.started, place.shim.ended = program, started, None
            self._host.give(events.LifeStarted(place.name, started, program.pid))
        if not place.work.plain and program.alive:
            self._host.after(self._host.random.randint(1, 400) * _MS, self.ask_to_join, place, program)

    def ask_to_join(self, place: Place, program: Program) -> None:
        if not program.alive or program.epoch is not None:
            return
        if place.work.is_miswritten:
            self.end_program(place, program, misspelt())
            return
        if self._host.is_keeper_up:
            self._host.meet(program)
        program.ticket = self._world.ticket()
        self._host.hands.waiting[program.ticket] = program
        self._host.give(events.JoinAsked(program.ticket, place.name, program.pid, program.started))

    def admit(self, place: Place, program: Program, admit: Admit, store: Store | None, delay: float) -> None:
        """The program is this life now; it restores, and its work begins."""
        program.ticket = None
        program.epoch = admit.epoch
        if admit.until is not None:
            place.vouched[admit.epoch] = admit.until
        if store is not None and store.commit is not None:
            program.step = store.commit.step
            program.tainted = store.tainted
        self._host.after(delay, self._restored, place, program)

    def _restored(self, place: Place, program: Program) -> None:
        if not program.alive or program.epoch is None or program.hung:
            return
        self._host.give(events.LifeRestored(place.name, program.epoch))
        self._host.after(program.pace, self.work, place, program)

    def work(self, place: Place, program: Program) -> None:
        """One step, and its commit."""
        if not program.alive or program.hung:
            return
        if program.asleep or program.is_stopped or (place.vouched and not self._is_vouched(place, program)):
            self._host.after(program.pace, self.work, place, program)
            return
        program.step = Step(program.step + 1)
        if place.work.poison is not None:
            bad_from, fatal = place.work.poison
            program.tainted = program.tainted or program.step == bad_from
            if program.tainted and program.step >= fatal:
                text = f"ValueError at step {program.step}"
                self.end_program(place, program, Ending(EndingKind.EXCEPTION, text, "", 1, "ValueError"))
                return
        self._commit(place, program)
        if not program.alive:
            return
        program.beat(self._host.now)
        if program.step >= place.work.goal:
            self._finish(place, program)
            return
        self._host.after(program.pace, self.work, place, program)

    def _is_vouched(self, place: Place, program: Program) -> bool:
        """Whether the pulse page lets it beat and seal; if not, `beat` and `commit` wait."""
        return program.epoch is None or place.is_vouched(program.epoch)

    def _commit(self, place: Place, program: Program) -> None:
        if program.epoch is None:
            return
        slot = self._choose_slot(place, program, program.epoch)
        if slot is None:
            program.unsealed += 1
            return
        for before_write in self._world.before_write:
            before_write(place, program, slot)
        program.sequence += 1
        program.unsealed = 0
        commit = CommitId(program.epoch, program.step, program.sequence)
        writes, program.writes_left = program.writes_left, None
        if slot.write(commit, program.tainted, writes):
            program.newest = commit
            for after_seal in self._world.after_seal:
                after_seal(place, program, commit)
        if writes is not None:
            self._host.tell(f"{place.name} is killed in a commit, after {writes} writes")
            self.end_program(place, program, killed())

    def _choose_slot(self, place: Place, program: Program, epoch: Epoch) -> Slot | None:
        """The slot of the next commit, which the keeper makes where it must be made; None: none can be had."""
        host = self._host
        slots = program.slots
        choice = choose_slot([slot.state() for slot in slots], COMMIT_BYTES, self._host.policy.slots_per_member)
        if choice.index is None or (choice.fresh and (host.machine is None or host.is_paused)):
            return None
        if not choice.fresh:
            return slots[choice.index]
        slot = Slot(place.work, epoch, choice.index)
        slots.append(slot)
        place.shelf.append(slot)
        if program.supervised and place.shim is not None and place.shim.program is program:
            place.shim.slots.append(slot)
        return slot

    def _finish(self, place: Place, program: Program) -> None:
        if self._host.random.random() < 0.5 and program.epoch is not None:
            self._host.read_pulses(place)
            self._host.give(events.LifeLeft(place.name, program.epoch))
            program.left = True
        self.end_program(place, program, Ending(EndingKind.FINISHED, "exit status 0", "", 0))

    def end_program(self, place: Place, program: Program, ending: Ending) -> None:
        """The process is gone; the keeper hears of it a moment later, if there is one."""
        if not program.alive:
            return
        program.alive = False
        place.programs.remove(program)
        for checker in self._world.checkers:
            checker.after_death(place, program, ending)
        shim = place.shim
        if program.supervised and shim is not None and shim.program is program:
            shim.program, shim.ended = None, ending
        elif program.supervised or ending.kind is not EndingKind.EXCEPTION:
            ending = Ending(EndingKind.UNKNOWN, "nobody saw how it ended")
        if self._host.machine is not None:
            self._host.keeper_after(self._host.random.randint(0, 3) * _MS, self._tell_end, place, program, ending)

    def _tell_end(self, place: Place, program: Program, ending: Ending) -> None:
        """The ears look at pulse and slots once more, and then tell that the process is gone."""
        if not program.is_met:
            return
        newest = program.newest
        if newest is not None and newest != program.told and not program.left:
            self._host.give(events.CommitSealed(place.name, newest, COMMIT_BYTES))
        epoch = program.started or program.epoch
        if epoch is None and self._host.machine is not None:
            view = self._host.machine.view(place.name)
            epoch = view.epoch if view is not None and view.pid == program.pid else None
        if epoch is not None:
            self._host.give(events.LifeEnded(place.name, epoch, ending))
