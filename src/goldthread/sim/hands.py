"""The pretended hands: they carry out the machine's orders on the pretended world. The twin of `keeper/hands.py`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from goldthread.names import CommitId, Level, MemberName, milliseconds
from goldthread.report import Ending, EndingKind, Phase
from goldthread.rules import events, orders
from goldthread.sim.bond_hands import BondHands
from goldthread.sim.things import COMMIT_BYTES, File, Program, Shim, Slot, Store

if TYPE_CHECKING:
    from goldthread.sim.host import Host
    from goldthread.sim.place import Place

__all__ = ["Hands"]

_MS: Final = milliseconds(1)
_KILL: Final = 9
_CONT: Final = 18
_STOP: Final = 19


class Hands:
    """`do` is called with each order in turn."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._world = host.world
        self.waiting: dict[int, Program] = {}
        """Programs that asked to join, by ticket."""
        self.waits: dict[int, tuple[Place, CommitId]] = {}
        """Which commits are waited for until they are held, by ticket."""
        self._methods: dict[type[Any], Callable[[Any], None]] = {
            orders.Persist: self._persist,
            orders.StartProgram: self._start,
            orders.SignalProgram: self._signal,
            orders.TakeStacks: self._take_stacks,
            orders.ListCopies: self._list,
            orders.CheckCopy: self._check,
            orders.Admit: self._admit,
            orders.Accept: self._answer,
            orders.Refuse: self._refuse,
            orders.Deposit: self._deposit,
            orders.TrimVault: self._trim,
            orders.FreeSlots: self._free,
            orders.Forget: self._forget,
            orders.StopKeeper: self._stop_keeper,
            orders.Alarm: self._nothing,
            orders.Announce: self._nothing,
            orders.PrepareSlot: self._nothing,
            **BondHands(host).methods,
        }

    def do(self, order: Any) -> None:
        for before_order in self._world.before_order:
            before_order(self._host, order)
        self._methods[type(order)](order)

    def _place(self, member: MemberName) -> Place:
        return self._host.places[member]

    def _nothing(self, order: Any) -> None:
        """Of no effect on this world."""

    def _persist(self, order: orders.Persist) -> None:
        self._host.journal.write(order.record)

    # Programs

    def _start(self, order: orders.StartProgram) -> None:
        place = self._place(order.member)
        if place.shim is None:
            place.shim = Shim()
        place.shim.ended = None
        self._host.after(self._host.random.randint(1, 60) * _MS, self._started, place, place.shim, order)

    def _started(self, place: Place, shim: Shim, order: orders.StartProgram) -> None:
        host = self._host
        if place.shim is not shim or shim.program is not None:
            return
        if place.can_start:
            host.labour.start_program(place, order.epoch)
        else:
            shim.started, shim.ended = order.epoch, Ending(EndingKind.NOT_STARTED, "no such file", "", 127)
            host.give(events.LifeEnded(place.name, order.epoch, shim.ended))

    def _signal(self, order: orders.SignalProgram) -> None:
        host, place = self._host, self._place(order.member)
        for program in list(place.programs):
            epoch = program.started or program.epoch
            if epoch is None and program.ticket is not None and host.machine is not None:
                view = host.machine.view(place.name)
                epoch = view.epoch if view is not None and view.pid == program.pid else None
            if epoch != order.epoch:
                continue
            if order.signal in (_STOP, _CONT):
                program.is_stopped = order.signal == _STOP
            elif order.signal == _KILL or not (program.hung or program.asleep):
                text = f"signal {order.signal}"
                ending = Ending(EndingKind.SIGNAL, text, "", -order.signal, text)
                host.after(self._host.random.randint(1, 50) * _MS, host.labour.end_program, place, program, ending)

    def _take_stacks(self, order: orders.TakeStacks) -> None:
        host, random = self._host, self._host.random
        if random.random() < 0.7:
            answer = events.StacksTaken(order.member, order.epoch, "a stack")
            host.keeper_after(random.randint(1, 300) * _MS, host.give, answer)

    def _admit(self, order: orders.Admit) -> None:
        program = self.waiting.pop(order.ticket, None)
        if program is None or program.ticket != order.ticket:
            return
        host, place = self._host, self._place(order.member)
        if not program.alive:
            gone = events.LifeEnded(place.name, order.epoch, Ending(EndingKind.UNKNOWN, "nobody saw how it ended"))
            host.keeper_after(_MS, host.give, gone)
            return
        store = None if order.copy is None else place.find(order.copy)
        if store is not None and store.flipped_at is not None and store.flipped_at >= store.checked_at:
            text = "CommitDamaged: it was damaged after it was checked"  # The program's own checksums find it.
            program.epoch = order.epoch
            host.labour.end_program(place, program, Ending(EndingKind.EXCEPTION, text, "", 1, "CommitDamaged"))
            return
        for checker in self._world.checkers:
            checker.on_restore(place, program, order, store)
        host.labour.admit(place, program, order, store, self._host.random.randint(1, 100) * _MS)

    def _answer(self, order: orders.Accept) -> None:
        self.waiting.pop(order.ticket, None)
        waited = self.waits.pop(order.ticket, None)
        if waited is not None:
            for checker in self._world.checkers:
                checker.after_wait(*waited)

    def _refuse(self, order: orders.Refuse) -> None:
        program = self.waiting.pop(order.ticket, None)
        if program is not None and program.alive and program.ticket == order.ticket:
            ending = Ending(EndingKind.EXCEPTION, f"{order.error}: {order.text}", "", 1, order.error)
            self._host.labour.end_program(self._place(program.work.name), program, ending)

    # Copies

    def _list(self, order: orders.ListCopies) -> None:
        host = self._host
        found = tuple(self._place(order.member).copies())
        host.keeper_after(_MS, host.give, events.CopiesListed(order.member, found))

    def _check(self, order: orders.CheckCopy) -> None:
        place = self._place(order.member)
        store = place.find(order.copy)
        if isinstance(store, Slot):
            store.pins += 1
        delay = self._host.random.randint(1, 400 if order.background else 40) * _MS
        self._host.keeper_after(delay, self._checked, place, order, store)

    def _checked(self, place: Place, order: orders.CheckCopy, store: Store | None) -> None:
        if self._host.is_paused:  # Whoever reads stands still with it.
            self._host.backlog.append((self._checked, place, order, store))
            return
        if isinstance(store, Slot):
            store.pins -= 1
        if store is not None and not order.background:
            store.checked_at = self._world.now
        is_superseded = order.background and order.copy.level is Level.SEALED
        whole = is_superseded if store is None else store.whole
        self._host.give(events.CopyChecked(place.name, order.copy, whole, "" if whole else "1 of 3 chunks"))

    def _deposit(self, order: orders.Deposit) -> None:
        place = self._place(order.member)
        sealed = [slot for slot in place.shelf if slot.epoch == order.commit.epoch and slot.commit]
        slot = max(sealed, key=lambda slot: slot.commit or order.commit, default=None)
        if slot is not None:
            slot.pins += 1
        delay = self._host.random.uniform(0.2, 1.8) * place.vault_delay
        self._host.keeper_after(delay, self._deposited, place, order.commit, slot)

    def _deposited(self, place: Place, commit: CommitId, slot: Slot | None) -> None:
        if slot is not None:
            slot.pins -= 1
        if slot is None or slot.commit is None or not slot.whole or place.vault_full:
            text = "the disk is full" if place.vault_full else "no whole slot holds it"
            self._host.give(events.DepositFailed(place.name, commit, text))
            return
        place.vault[slot.commit] = File(place.work, slot.commit, list(slot.chunks), slot.tainted)
        self._host.give(events.CommitDeposited(place.name, slot.commit, COMMIT_BYTES))

    def _trim(self, order: orders.TrimVault) -> None:
        place = self._place(order.member)
        gone = [commit for commit in place.vault if commit not in order.keep]
        removed = [place.vault.pop(commit) for commit in gone]
        for checker in self._world.checkers:
            checker.after_trim(place, removed)

    def _free(self, order: orders.FreeSlots) -> None:
        place = self._place(order.member)
        freed = [slot for slot in place.shelf if slot.epoch < order.epoch and slot.commit not in order.keep]
        place.shelf = [slot for slot in place.shelf if slot not in freed]
        if place.shim is not None:
            place.shim.slots = [slot for slot in place.shim.slots if slot not in freed]
        for checker in self._world.checkers:
            checker.after_free(place, freed)

    def _forget(self, order: orders.Forget) -> None:
        place = self._place(order.member)
        place.vault.clear()
        place.shim = None
        place.shelf = []
        record = self._host.journal.members[order.member]
        if self._host.partners and record.phase is not Phase.AWAY:
            place.work.forgotten = record.epoch
        self._host.journal.forget(order.member, order.kept)
        for checker in self._world.checkers:
            checker.after_loss(place)

    def _stop_keeper(self, order: orders.StopKeeper) -> None:
        self._host.kill_keeper("in order")
