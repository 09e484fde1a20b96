"""The pretended world: time, the keeper with its journal, and everything that lives and dies around it.

One queue of moments drives all. Programs work in it, answers of the hands come through it, faults strike from it. The
machine is the real one: it is given events as the keeper's ears would give them, and its orders go to `hands.py`.
A keeper that dies loses everything but the journal; programs and shims come back to the next one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from hashlib import blake2b
from heapq import heapify, heappop, heappush
from random import Random
from typing import Any, Final

import msgspec

from goldthread.names import CommitId, Epoch, Instant, Level, MemberName, Span, Step, milliseconds
from goldthread.policy import Budget, Policy
from goldthread.rules import events
from goldthread.rules.events import Copy
from goldthread.rules.machine import Machine
from goldthread.rules.orders import LifeRecord, MemberRecord
from goldthread.sim.checkers import Broken, Checker, hooks
from goldthread.sim.hands import Hands
from goldthread.sim.labour import Labour
from goldthread.sim.things import COMMIT_BYTES, File, Program, Shim, Slot, Store

__all__ = ["Home", "World"]

_MS: Final = milliseconds(1)
_TICKS_MOST: Final = 100
_encode = msgspec.msgpack.Encoder().encode

Teller = Callable[[Instant, str, Any], None]


class Home:
    """One member as the world knows it: the truth that checkers compare with."""

    def __init__(self, name: MemberName, pace: Span) -> None:
        self.name = name
        self.pace = pace
        self.budget = Budget()
        self.programs: list[Program] = []
        """Those that live."""
        self.shim: Shim | None = None
        self.vault: dict[CommitId, File] = {}
        self.vault_full = False
        self.vault_delay = 50 * _MS
        self.can_start = True
        self.poison: tuple[Step, Step] | None = None
        """The state is bad from the first step on, and a program with bad state dies at the second."""
        self.goal = Step(1 << 30)
        """Where the program ends in peace."""
        self.asked_fresh = False
        """Its user asked for a fresh start, once at least."""
        self.asked_stop = False
        self.plain = False
        """The program knows nothing of goldthread."""


class World:
    def __init__(
        self,
        seed: int,
        policy: Policy,
        checkers: list[Checker],
        machine: type[Machine] = Machine,
        teller: Teller | None = None,
    ) -> None:
        self.random = Random(seed)
        self.policy = policy
        self.checkers = checkers
        self.now = Instant(1_000 * _MS)
        self.homes: dict[MemberName, Home] = {}
        self.records: dict[MemberName, MemberRecord] = {}
        self.lives: dict[tuple[MemberName, Epoch], LifeRecord] = {}
        self.handled = 0
        self.quiet = False
        """Faults have stopped."""
        self.keeper_deaths = 0
        self.keeper_since = self.now
        """When the keeper of now started."""
        self.orders_left: int | None = None
        """The keeper dies after so many orders more."""
        self._make_machine = machine
        self._teller = teller
        self._digest = blake2b(digest_size=16)
        self._queue: list[tuple[int, int, Callable[..., None], tuple[Any, ...]]] = []
        self._queued = 0
        self._ticks_now = 0
        self._tickets = 0
        self._generation = 0
        self.is_paused = False
        self._backlog: list[Any] = []
        self.shelf: dict[MemberName, list[Slot]] = {}
        """The slots that the keeper holds."""
        self.machine: Machine | None = machine(policy)
        self.hands = Hands(self)
        self.labour = Labour(self)
        for checker in checkers:
            checker.world = self
        self.before_order = hooks(checkers, "before_order")
        self.before_write = hooks(checkers, "before_write")
        self.after_seal = hooks(checkers, "after_seal")

    # Time

    def after(self, span: float, call: Callable[..., None], *arguments: Any) -> None:
        self._queued += 1
        heappush(self._queue, (self.now + int(span), self._queued, call, arguments))

    def keeper_after(self, span: float, call: Callable[..., None], *arguments: Any) -> None:
        """Call, if the keeper of now still lives then."""
        self.after(span, self._if_same_keeper, self._generation, call, arguments)

    def _if_same_keeper(self, generation: int, call: Callable[..., None], arguments: tuple[Any, ...]) -> None:
        if generation == self._generation:
            call(*arguments)

    def run(self, until: Instant) -> None:
        """Let the world go on to this moment."""
        while True:
            machine = self.machine
            due = machine.deadline() if machine is not None and not self.is_paused else None
            moment = self._queue[0][0] if self._queue else until
            if due is not None and due <= moment:
                if due > until:
                    break
                self._count_ticks(due)
                if due > self.now:
                    self.now = due
                self._tick()
            elif moment > until or not self._queue:
                break
            else:
                moment, _, call, arguments = heappop(self._queue)
                self.now = Instant(moment)
                call(*arguments)
        self.now = Instant(max(until, self.now))

    def _count_ticks(self, due: Instant) -> None:
        """A machine that wants ticks without end at one moment would never let time go on."""
        self._ticks_now = self._ticks_now + 1 if due <= self.now else 0
        if self._ticks_now > _TICKS_MOST:
            raise Broken("Heals: the machine wants ticks without end")

    def skip(self, span: Span) -> None:
        """The whole host stands still for a while, and the clock does not."""
        self.now = Instant(self.now + span)
        self._queue = [(moment + span, number, call, arguments) for moment, number, call, arguments in self._queue]
        heapify(self._queue)

    # The machine

    def give(self, event: Any) -> None:
        """Give the machine an event and carry out what it orders."""
        if self.is_paused:
            self._backlog.append(event)
            return
        machine = self.machine
        if machine is None:
            return
        self.handled += 1
        teller = self._teller
        if teller is not None:
            teller(self.now, "event", event)
        orders = machine.handle(event, self.now)
        if not orders:
            return
        self._digest.update(_encode(orders))
        for order in orders:
            if self.orders_left is not None:
                self.orders_left -= 1
                if self.orders_left < 0:
                    self.kill_keeper("between two orders")
                    return
            if teller is not None:
                teller(self.now, "order", order)
            self.hands.do(order)
            if self.machine is not machine:
                return

    def tell(self, text: str) -> None:
        """A thing of the world, for the story."""
        if self._teller is not None:
            self._teller(self.now, "world", text)

    def digest(self) -> str:
        self._digest.update(_encode((self.now, self.handled)))
        return self._digest.copy().hexdigest()

    def ticket(self) -> int:
        self._tickets += 1
        return self._tickets

    def _tick(self) -> None:
        for home in self.homes.values():
            self.read_pulses(home)
        self.give(events.Ticked())

    def read_pulses(self, home: Home) -> None:
        for program in home.programs:
            if program.epoch is None or program.left or not program.is_met:
                continue
            if program.beats != program.read_beats:
                program.read_beats = program.beats
                beat = events.ProgramBeat(
                    home.name, program.epoch, program.beats, program.gap, program.step, program.first_beat_at,
                    program.unsealed,
                )  # fmt: skip
                self.give(beat)
            newest = program.newest
            if newest is not program.told and newest is not None:
                program.told = newest
                self.give(events.CommitSealed(home.name, newest, COMMIT_BYTES))

    # The keeper

    @property
    def is_keeper_up(self) -> bool:
        return self.machine is not None

    def pause_keeper(self, span: Span) -> None:
        if not self.is_paused and self.machine is not None:
            self.tell(f"the keeper is paused for {span / 1e9:.1f} s")
            self.is_paused = True
            self.keeper_after(span, self._resume_keeper)

    def _resume_keeper(self) -> None:
        self.is_paused = False
        for home in self.homes.values():
            self.read_pulses(home)
        backlog, self._backlog = self._backlog, []
        for event in backlog:
            self.give(event)

    def kill_keeper(self, how: str) -> None:
        """The keeper dies at once, and all that only it held is gone."""
        self.tell(f"the keeper dies {how}")
        self.machine = None
        self.keeper_deaths += 1
        self.orders_left = None
        self.is_paused = False
        self._backlog = []
        self._generation += 1
        for home in self.homes.values():
            for slot in self.slots(home):
                slot.pins = 0
        self.shelf = {}
        self.after(self.random.randint(5, 800) * _MS, self.start_keeper)

    def start_keeper(self, rebooted: bool = False) -> None:
        if self.machine is not None:
            return
        self.tell("a new keeper starts")
        self.keeper_since = self.now
        records = tuple(self.records.values())
        lives = tuple(self.lives.values())
        self.machine = self._make_machine.recover(self.policy, records, lives, rebooted=rebooted, now=self.now)
        for home in self.homes.values():
            if home.name not in self.records and home.vault:
                self.give(events.CopiesListed(home.name, tuple(self.copies(home))))
            grace = self.policy.return_grace
            if home.shim is not None:
                self.keeper_after(self.random.uniform(0.01, 0.5) * grace, self._return_shim, home, home.shim)
            for program in home.programs:
                program.is_met = False
                self.keeper_after(self.random.uniform(0.01, 0.5) * grace, self._return_program, home, program)

    def _return_shim(self, home: Home, shim: Shim) -> None:
        if home.shim is not shim:
            return
        self._hand_over(home, shim.slots)
        if shim.program is not None:
            self.meet(shim.program)
            self.give(events.LifeFound(home.name, shim.program.epoch or shim.started, shim.program.pid))
        elif shim.ended is not None:
            self.give(events.LifeEnded(home.name, shim.started, shim.ended))

    def _return_program(self, home: Home, program: Program) -> None:
        if not program.alive:
            return
        self._hand_over(home, program.slots)
        self.meet(program)
        if program.epoch is not None and not program.left:
            self.give(events.LifeFound(home.name, program.epoch, program.pid))
        elif program.ticket is not None:
            self.labour.ask_to_join(home, program)

    def meet(self, program: Program) -> None:
        """The keeper has its pulse now, and reads it from the start."""
        if not program.is_met:
            program.is_met = True
            program.told = None
            program.read_beats = 0

    def _hand_over(self, home: Home, slots: list[Slot]) -> None:
        held = self.shelf.setdefault(home.name, [])
        is_known = self.machine is not None and self.machine.view(home.name) is not None
        held += [slot for slot in slots if slot not in held]
        if held and not is_known:
            self.give(events.CopiesListed(home.name, tuple(self.copies(home))))

    def reboot(self) -> None:
        """The host loses its memory; the disk stays."""
        self.tell("the host restarts")
        for home in self.homes.values():
            for program in home.programs:
                program.alive = False
            home.programs = []
            home.shim = None
        self.kill_keeper("with its host")
        self.shelf = {}
        self.start_keeper(rebooted=True)

    # Slots and copies

    def slots(self, home: Home) -> Iterator[Slot]:
        """Every slot that somebody holds, each once."""
        seen: dict[int, Slot] = {}
        for slots in (
            self.shelf.get(home.name, ()),
            home.shim.slots if home.shim is not None else (),
            *(program.slots for program in home.programs),
        ):
            for slot in slots:
                seen[id(slot)] = slot
        return iter(seen.values())

    def copies(self, home: Home) -> Iterator[Copy]:
        """What a listing finds: the headers of what the keeper can reach."""
        for slot in self.shelf.get(home.name, ()):
            if slot.commit is not None:
                yield Copy(slot.commit, Level.SEALED, COMMIT_BYTES)
        for commit in home.vault:
            yield Copy(commit, Level.DEPOSITED, COMMIT_BYTES)

    def find(self, home: Home, copy: Copy) -> Store | None:
        if copy.level is Level.DEPOSITED:
            return home.vault.get(copy.commit)
        wanted = copy.commit
        return next((slot for slot in self.shelf.get(home.name, ()) if slot.commit == wanted), None)
