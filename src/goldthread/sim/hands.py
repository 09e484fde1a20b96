"""The pretended hands: they carry out the machine's orders on the pretended world. The twin of `keeper/hands.py`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from goldthread.names import CommitId, Level, MemberName, milliseconds
from goldthread.report import Ending, EndingKind
from goldthread.rules import events, orders
from goldthread.sim.things import COMMIT_BYTES, File, Program, Shim, Slot, Store

if TYPE_CHECKING:
    from goldthread.sim.world import Home, World

__all__ = ["Hands"]

_MS: Final = milliseconds(1)
_KILL: Final = 9


class Hands:
    """`do` is called with each order in turn."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.waiting: dict[int, Program] = {}
        """Programs that asked to join, by ticket."""
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
        }

    def do(self, order: Any) -> None:
        for before_order in self._world.before_order:
            before_order(order)
        self._methods[type(order)](order)

    def _home(self, member: MemberName) -> Home:
        return self._world.homes[member]

    def _nothing(self, order: Any) -> None:
        """Of no effect on this world."""

    def _persist(self, order: orders.Persist) -> None:
        record = order.record
        if isinstance(record, orders.MemberRecord):
            self._world.records[record.name] = record
        elif isinstance(record, orders.LifeRecord):
            self._world.lives[record.member, record.epoch] = record
            self._world.lives.pop((record.member, record.epoch - 5), None)  # type: ignore[arg-type]

    # Programs

    def _start(self, order: orders.StartProgram) -> None:
        home = self._home(order.member)
        if home.shim is None:
            home.shim = Shim()
        home.shim.ended = None
        self._world.after(self._world.random.randint(1, 60) * _MS, self._started, home, home.shim, order)

    def _started(self, home: Home, shim: Shim, order: orders.StartProgram) -> None:
        world = self._world
        if home.shim is not shim or shim.program is not None:
            return
        if home.can_start:
            world.labour.start_program(home, order.epoch)
        else:
            shim.started, shim.ended = order.epoch, Ending(EndingKind.NOT_STARTED, "no such file", "", 127)
            world.give(events.LifeEnded(home.name, order.epoch, shim.ended))

    def _signal(self, order: orders.SignalProgram) -> None:
        world, home = self._world, self._home(order.member)
        for program in list(home.programs):
            epoch = program.started or program.epoch
            if epoch is None and program.ticket is not None and world.machine is not None:
                view = world.machine.view(home.name)
                epoch = view.epoch if view is not None and view.pid == program.pid else None
            if epoch != order.epoch:
                continue
            if order.signal == _KILL or not (program.hung or program.asleep):
                text = f"signal {order.signal}"
                ending = Ending(EndingKind.SIGNAL, text, "", -order.signal, text)
                world.after(world.random.randint(1, 50) * _MS, world.labour.end_program, home, program, ending)

    def _take_stacks(self, order: orders.TakeStacks) -> None:
        world = self._world
        if world.random.random() < 0.7:
            answer = events.StacksTaken(order.member, order.epoch, "a stack")
            world.keeper_after(world.random.randint(1, 300) * _MS, world.give, answer)

    def _admit(self, order: orders.Admit) -> None:
        program = self.waiting.pop(order.ticket, None)
        if program is None or program.ticket != order.ticket:
            return
        world, home = self._world, self._home(order.member)
        if not program.alive:
            gone = events.LifeEnded(home.name, order.epoch, Ending(EndingKind.UNKNOWN, "nobody saw how it ended"))
            world.keeper_after(_MS, world.give, gone)
            return
        store = None if order.copy is None else world.find(home, order.copy)
        if store is not None and store.flipped_at is not None and store.flipped_at >= store.checked_at:
            text = "CommitDamaged: it was damaged after it was checked"  # The program's own checksums find it.
            program.epoch = order.epoch
            world.labour.end_program(home, program, Ending(EndingKind.EXCEPTION, text, "", 1, "CommitDamaged"))
            return
        for checker in world.checkers:
            checker.on_restore(home, program, order, store)
        world.labour.admit(home, program, order.epoch, store, world.random.randint(1, 100) * _MS)

    def _answer(self, order: orders.Accept) -> None:
        self.waiting.pop(order.ticket, None)

    def _refuse(self, order: orders.Refuse) -> None:
        program = self.waiting.pop(order.ticket, None)
        if program is not None and program.alive and program.ticket == order.ticket:
            ending = Ending(EndingKind.EXCEPTION, f"{order.error}: {order.text}", "", 1, order.error)
            self._world.labour.end_program(self._home(program.member), program, ending)

    # Copies

    def _list(self, order: orders.ListCopies) -> None:
        world = self._world
        found = tuple(world.copies(self._home(order.member)))
        world.keeper_after(_MS, world.give, events.CopiesListed(order.member, found))

    def _check(self, order: orders.CheckCopy) -> None:
        world, home = self._world, self._home(order.member)
        store = world.find(home, order.copy)
        if isinstance(store, Slot):
            store.pins += 1
        delay = world.random.randint(1, 400 if order.background else 40) * _MS
        world.keeper_after(delay, self._checked, home, order, store)

    def _checked(self, home: Home, order: orders.CheckCopy, store: Store | None) -> None:
        if isinstance(store, Slot):
            store.pins -= 1
        if store is not None and not order.background:
            store.checked_at = self._world.now
        is_superseded = order.background and order.copy.level is Level.SEALED
        whole = is_superseded if store is None else store.whole
        self._world.give(events.CopyChecked(home.name, order.copy, whole, "" if whole else "1 of 3 chunks"))

    def _deposit(self, order: orders.Deposit) -> None:
        world, home = self._world, self._home(order.member)
        sealed = [slot for slot in world.shelf.get(home.name, ()) if slot.epoch == order.commit.epoch and slot.commit]
        slot = max(sealed, key=lambda slot: slot.commit or order.commit, default=None)
        if slot is not None:
            slot.pins += 1
        delay = world.random.uniform(0.2, 1.8) * home.vault_delay
        world.keeper_after(delay, self._deposited, home, order.commit, slot)

    def _deposited(self, home: Home, commit: CommitId, slot: Slot | None) -> None:
        if slot is not None:
            slot.pins -= 1
        if slot is None or slot.commit is None or not slot.whole or home.vault_full:
            text = "the disk is full" if home.vault_full else "no whole slot holds it"
            self._world.give(events.DepositFailed(home.name, commit, text))
            return
        home.vault[slot.commit] = File(slot.commit, list(slot.chunks), slot.tainted)
        self._world.give(events.CommitDeposited(home.name, slot.commit, COMMIT_BYTES))

    def _trim(self, order: orders.TrimVault) -> None:
        home = self._home(order.member)
        gone = [commit for commit in home.vault if commit not in order.keep]
        removed = [home.vault.pop(commit) for commit in gone]
        for checker in self._world.checkers:
            checker.after_trim(home, removed)

    def _free(self, order: orders.FreeSlots) -> None:
        world, home = self._world, self._home(order.member)
        held = world.shelf.get(home.name, [])
        freed = [slot for slot in held if slot.epoch < order.epoch and slot.commit not in order.keep]
        world.shelf[home.name] = [slot for slot in held if slot not in freed]
        if home.shim is not None:
            home.shim.slots = [slot for slot in home.shim.slots if slot not in freed]
        for checker in world.checkers:
            checker.after_free(home, freed)

    def _forget(self, order: orders.Forget) -> None:
        world, home = self._world, self._home(order.member)
        home.vault.clear()
        home.shim = None
        world.shelf.pop(home.name, None)
        world.records.pop(home.name, None)
        for key in [key for key in world.lives if key[0] == home.name]:
            del world.lives[key]
        for checker in world.checkers:
            checker.after_loss(home)

    def _stop_keeper(self, order: orders.StopKeeper) -> None:
        self._world.kill_keeper("in order")
