"""What must hold whatever happens: one class for each promise of the design that one host can keep.

A checker watches the world through a few hooks and raises `Broken` when its promise is broken. It compares what the
rules decided with what is physically there, never with what the rules believe.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from goldthread.names import CommitId, Epoch, MemberName, seconds
from goldthread.report import AlarmLevel, Ending, EndingKind, Phase
from goldthread.rules import orders
from goldthread.sim.things import CHUNKS, File, Program, Slot, Store, newest_whole, token

if TYPE_CHECKING:
    from goldthread.sim.world import Home, World

__all__ = ["Broken", "Calm", "Checker", "Heals", "Kept", "NeverBack", "OneWriter", "Whole", "all_checkers", "hooks"]

_KILL = 9
_LONG_SILENCE = seconds(30)
"""What was silent for as long before is not judged within the quiet at the end."""


class Broken(Exception):
    """A promise was broken."""


class Checker:
    """The hooks, all of which do nothing here."""

    def __init__(self) -> None:
        self.world: World

    def broken(self, text: str) -> Broken:
        return Broken(f"{type(self).__name__}: {text}")

    def before_order(self, order: Any) -> None:
        """An order is about to be carried out."""

    def before_write(self, home: Home, program: Program, slot: Slot) -> None:
        """A program is about to open a slot for its next commit."""

    def after_seal(self, home: Home, program: Program, commit: CommitId) -> None:
        """A program sealed a commit."""

    def after_death(self, home: Home, program: Program, ending: Ending) -> None:
        """A process is gone."""

    def on_restore(self, home: Home, program: Program, admit: orders.Admit, store: Store | None) -> None:
        """A program was admitted, and restores what it was given."""

    def after_free(self, home: Home, freed: list[Slot]) -> None:
        """Slots were freed."""

    def after_trim(self, home: Home, removed: list[File]) -> None:
        """Deposits were removed."""

    def after_loss(self, home: Home) -> None:
        """The journal was lost, or the member was forgotten: what was promised of its past is void."""

    def at_end(self) -> None:
        """Faults have stopped, and the time to heal is over."""


def hooks(checkers: Iterable[Checker], name: str) -> tuple[Callable[..., None], ...]:
    """The hook of this name of each checker that looks there at all."""
    idle = getattr(Checker, name)
    return tuple(getattr(checker, name) for checker in checkers if getattr(type(checker), name) is not idle)


class Whole(Checker):
    """A restore gives exactly one sealed commit, or says that there is none."""

    def __init__(self) -> None:
        self._sealed: set[tuple[MemberName, int]] = set()

    def after_seal(self, home: Home, program: Program, commit: CommitId) -> None:
        self._sealed.add((home.name, token(commit)))

    def on_restore(self, home: Home, program: Program, admit: orders.Admit, store: Store | None) -> None:
        if admit.copy is None:
            return
        if store is None:
            raise self.broken(f"{home.name} is to restore {admit.copy.commit}, which is not there")
        wanted = token(admit.copy.commit)
        if store.chunks != [wanted] * CHUNKS:
            raise self.broken(f"{home.name} restores {store.chunks}, which is not {admit.copy.commit}")
        if (home.name, wanted) not in self._sealed:
            raise self.broken(f"{home.name} restores {admit.copy.commit}, which was never sealed")


class Kept(Checker):
    """The newest whole commit is never overwritten, freed or trimmed before a newer one is whole."""

    def __init__(self) -> None:
        self._line: dict[MemberName, tuple[Epoch, CommitId | None]] = {}
        """The present life and what it was restored from: newer commits of older lives were given up."""

    def on_restore(self, home: Home, program: Program, admit: orders.Admit, store: Store | None) -> None:
        self._line[home.name] = (admit.epoch, None if admit.copy is None else admit.copy.commit)

    def after_loss(self, home: Home) -> None:
        self._line.pop(home.name, None)

    def before_write(self, home: Home, program: Program, slot: Slot) -> None:
        if slot.pins:
            raise self.broken(f"{home.name} writes into a slot that is being read")
        lost = slot.commit
        if lost is None:
            return
        for other in program.slots:
            if other.commit is not None and other.commit.sequence > lost.sequence:
                return
        if slot.whole:
            raise self.broken(f"{home.name} overwrites {lost}, and no newer commit is sealed")

    def after_free(self, home: Home, freed: list[Slot]) -> None:
        lost = self._newest(home, freed)
        if lost is None:
            return
        left = newest_whole([*self.world.shelf.get(home.name, ()), *home.vault.values()])
        if left is None or left < lost:
            raise self.broken(f"{lost} of {home.name} was freed, and the newest whole commit is {left}")

    def after_trim(self, home: Home, removed: list[File]) -> None:
        lost = self._newest(home, removed)
        left = newest_whole(home.vault.values())
        if lost is not None and (left is None or left < lost):
            raise self.broken(f"{lost} of {home.name} was removed from the vault, which is left with {left}")

    def _newest(self, home: Home, stores: Iterable[Store]) -> CommitId | None:
        """The newest whole commit among these that was not given up."""
        epoch, restored = self._line.get(home.name, (Epoch(0), None))
        return newest_whole(
            store
            for store in stores
            if store.commit is not None
            and (store.commit.epoch >= epoch or (restored is not None and store.commit <= restored))
        )


class OneWriter(Checker):
    """At most one life of a member makes progress."""

    def __init__(self) -> None:
        self._newest: dict[MemberName, Epoch] = {}

    def on_restore(self, home: Home, program: Program, admit: orders.Admit, store: Store | None) -> None:
        for other in home.programs:
            if other is not program and other.epoch is not None and not other.left:
                raise self.broken(f"life {admit.epoch} of {home.name} begins, and life {other.epoch} still lives")
        self._newest[home.name] = admit.epoch

    def after_loss(self, home: Home) -> None:
        self._newest.pop(home.name, None)

    def after_seal(self, home: Home, program: Program, commit: CommitId) -> None:
        newest = self._newest.get(home.name, Epoch(0))
        if commit.epoch < newest:
            raise self.broken(f"life {commit.epoch} of {home.name} sealed a commit, and life {newest} exists")


class NeverBack(Checker):
    """Epochs never decrease, and no life silently starts over or from an older commit than it could."""

    def __init__(self) -> None:
        self._epochs: dict[MemberName, Epoch] = {}
        self._admitted: dict[MemberName, Epoch] = {}
        self._floors: dict[MemberName, Epoch] = {}
        self._line: dict[MemberName, tuple[Epoch, CommitId | None]] = {}

    def after_loss(self, home: Home) -> None:
        for known in (self._epochs, self._admitted, self._floors, self._line):
            known.pop(home.name, None)

    def before_order(self, order: Any) -> None:
        if isinstance(order, orders.Persist) and isinstance(order.record, orders.MemberRecord):
            record = order.record
            if record.epoch < self._epochs.get(record.name, 0):
                raise self.broken(f"the epoch of {record.name} went back to {record.epoch}")
            if record.floor > self._floors.get(record.name, 0) and not self.world.homes[record.name].asked_fresh:
                raise self.broken(f"{record.name} is to start over from life {record.floor}, and nobody asked for it")
            self._epochs[record.name] = record.epoch
            self._floors[record.name] = record.floor

    def on_restore(self, home: Home, program: Program, admit: orders.Admit, store: Store | None) -> None:
        if admit.epoch <= self._admitted.get(home.name, 0):
            raise self.broken(f"life {admit.epoch} of {home.name} was admitted a second time")
        best = self._best(home)
        chosen = None if admit.copy is None else admit.copy.commit
        if chosen is None and self._known(home) is not None:
            raise self.broken(f"{home.name} starts over silently, and {self._known(home)} had been sealed")
        if best is not None and (chosen is None or chosen < best) and " since " not in admit.reason:
            raise self.broken(f"{home.name} goes on from {chosen} without a word, and {best} is whole")
        self._admitted[home.name] = admit.epoch
        self._line[home.name] = (admit.epoch, chosen)

    def _known(self, home: Home) -> CommitId | None:
        """The newest commit in the journal that counts."""
        record = self.world.records[home.name]
        known = [commit for commit in (record.newest, record.deposited) if commit is not None]
        return max((commit for commit in known if commit.epoch >= record.floor), default=None)

    def _best(self, home: Home) -> CommitId | None:
        epoch, restored = self._line.get(home.name, (Epoch(0), None))
        stores: list[Store] = [*self.world.shelf.get(home.name, ()), *home.vault.values()]
        return newest_whole(
            store
            for store in stores
            if store.commit is not None
            and store.commit.epoch >= self._floors.get(home.name, 0)
            and (store.commit.epoch >= epoch or (restored is not None and store.commit <= restored))
        )


class Calm(Checker):
    """No healthy program is ended, and no life is given up, without a cause outside the rules."""

    def before_order(self, order: Any) -> None:
        if isinstance(order, orders.Announce) and order.ending is not None and order.ending.kind is EndingKind.HANG:
            return
        if not isinstance(order, orders.SignalProgram) or order.signal != _KILL:
            return
        home = self.world.homes[order.member]
        record = self.world.records.get(order.member)
        if record is None or home.asked_stop:
            return
        if record.told is EndingKind.NOT_STARTED:
            return
        for program in home.programs:
            if (program.started or program.epoch) == order.epoch and not program.hung:
                raise self.broken(f"life {order.epoch} of {home.name} is killed, and it is well: {record.reason}")


class Heals(Checker):
    """Within a bounded time after faults stop, every member runs, or rests for a reason that is true."""

    def __init__(self) -> None:
        self._deaths: dict[MemberName, int] = {}
        self._lost: set[MemberName] = set()

    def after_death(self, home: Home, program: Program, ending: Ending) -> None:
        self._deaths[home.name] = self._deaths.get(home.name, 0) + 1

    def before_order(self, order: Any) -> None:
        if isinstance(order, orders.Refuse) and order.error == "NothingToRestore":
            self._lost |= set(self.world.homes)
        if isinstance(order, orders.Alarm) and order.level is AlarmLevel.CRITICAL and order.member is not None:
            self._deaths.setdefault(order.member, 0)

    def at_end(self) -> None:
        machine = self.world.machine
        if machine is None:
            raise self.broken("there is no keeper")
        for home in self.world.homes.values():
            view = machine.view(home.name)
            if view is not None:
                self._check(home, view.phase, view.supervised, view.reason)

    def _check(self, home: Home, phase: Phase, supervised: bool, reason: str) -> None:
        unjudged = self.world.policy.hang_beats
        explained = _LONG_SILENCE / self.world.policy.hang_factor
        is_there = any(
            not program.hung or program.beats < unjudged or program.gap > explained for program in home.programs
        )
        if phase in (Phase.RUNNING, Phase.STARTING):
            if not is_there:
                raise self.broken(f"{home.name} is {phase.value}, and no program of it lives: {reason}")
        elif phase is Phase.LIMBO:
            spent = self._deaths.get(home.name, 0) + self.world.keeper_deaths > home.budget.restarts
            if not (spent or home.name in self._lost or not home.can_start or "could not be started" in reason):
                raise self.broken(f"{home.name} is in limbo, and its budget is not spent: {reason}")
        elif phase is Phase.DOWN:
            if supervised:
                raise self.broken(f"{home.name} is down, and nobody starts it again: {reason}")
        elif phase is Phase.STUCK and not supervised:
            if not any(program.hung for program in home.programs):
                raise self.broken(f"{home.name} is stuck, and its program is well: {reason}")
        elif phase is not Phase.ENDED:
            raise self.broken(f"{home.name} is still {phase.value}: {reason}")


def all_checkers() -> list[Checker]:
    return [Whole(), Kept(), OneWriter(), NeverBack(), Calm(), Heals()]
