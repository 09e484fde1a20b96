"""The pretended world: time, hosts, what lies between them, and whoever watches.

One queue of moments drives all. Programs work in it, answers of the hands come through it, faults strike from it. A
moment belongs to a host, and comes later when that host stands still, or to the world.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Callable, Iterable
from hashlib import blake2b
from heapq import heapify, heappop, heappush
from random import Random
from typing import Any, Final

import msgspec

from goldthread.names import Instant, KeeperId, Span, milliseconds
from goldthread.policy import Policy
from goldthread.rules.machine import Machine
from goldthread.sim.checker import Checker, hooks
from goldthread.sim.clock import Clock
from goldthread.sim.host import Host
from goldthread.sim.network import Network
from goldthread.sim.place import Place
from goldthread.sim.registers import Registers
from goldthread.sim.things import Work

__all__ = ["Teller", "World"]

_BEGINNING: Final = Instant(milliseconds(1_000))
_encode = msgspec.msgpack.Encoder().encode

Teller = Callable[[Instant, str, str, Any], None]
"""Is told when, where, what kind of thing, and the thing."""


class World:
    def __init__(
        self,
        seed: int,
        policy: Policy,
        checkers: list[Checker],
        machine: type[Machine] = Machine,
        teller: Teller | None = None,
    ) -> None:
        self.seed = seed
        self.random = Random(seed)
        self.policy = policy
        self.checkers = checkers
        self.make_machine = machine
        self.now = _BEGINNING
        """True time, which no clock shows."""
        self.hosts: dict[KeeperId, Host] = {}
        self._places: dict[Work, list[Place]] = {}
        self.network = Network(self)
        self.registers = Registers(self)
        self.handled = 0
        self.quiet = False
        """Faults have stopped."""
        self._teller = teller
        self.teller = None if teller is None else self._tell
        self._digest = blake2b(digest_size=16)
        self._queue: list[tuple[int, int, Host | None, Callable[..., None], tuple[Any, ...]]] = []
        self._queued = 0
        self._tickets = 0
        for checker in checkers:
            checker.world = self
        self.before_order = hooks(checkers, "before_order")
        self.before_write = hooks(checkers, "before_write")
        self.after_seal = hooks(checkers, "after_seal")

    def add_host(self, clock: Clock, lease_store: str = "", label: str = "", in_circle: bool = False) -> Host:
        host = Host(self, len(self.hosts), clock, lease_store, label, in_circle)
        self.hosts[host.me] = host
        return host

    def add_place(self, place: Place) -> None:
        insort(self._places.setdefault(place.work, []), place, key=lambda one: one.host.number)

    def places(self, work: Work) -> Iterable[Place]:
        """Wherever there is something of this member."""
        return self._places.get(work, ())

    # Time

    def after(self, span: float, call: Callable[..., None], *arguments: Any) -> None:
        self.schedule(self.now + int(span), None, call, arguments)

    def schedule(self, moment: int, host: Host | None, call: Callable[..., None], arguments: tuple[Any, ...]) -> None:
        self._queued += 1
        heappush(self._queue, (moment, self._queued, host, call, arguments))

    def schedule_first(self, moment: int, host: Host, call: Callable[..., None], arguments: tuple[Any, ...]) -> None:
        """Before all else that comes at this moment."""
        self._queued += 1
        heappush(self._queue, (moment, -self._queued, host, call, arguments))

    def postpone(self, host: Host, span: Span) -> None:
        """All that awaits this host comes so much later."""
        self._queue = [
            (moment + span if owner is host else moment, number, owner, call, arguments)
            for moment, number, owner, call, arguments in self._queue
        ]
        heapify(self._queue)

    def run(self, until: Instant) -> None:
        """Let the world go on to this moment."""
        while self._queue and self._queue[0][0] <= until:
            moment, _, _, call, arguments = heappop(self._queue)
            self.now = Instant(moment)
            call(*arguments)
        self.now = Instant(max(until, self.now))

    # What is told

    def note(self, orders: list[Any]) -> None:
        """What is decided makes one world differ from another."""
        self._digest.update(_encode(orders))

    def digest(self) -> str:
        self._digest.update(_encode((self.now, self.handled)))
        return self._digest.copy().hexdigest()

    def ticket(self) -> int:
        self._tickets += 1
        return self._tickets

    def tell(self, text: str, host: Host | None = None) -> None:
        """A thing of the world, for the story."""
        if self._teller is not None:
            self._tell(host, "world", text)

    def _tell(self, host: Host | None, kind: str, thing: Any) -> None:
        if self._teller is not None:
            where = "" if host is None or len(self.hosts) == 1 else host.name
            self._teller(self.now, where, kind, thing)
