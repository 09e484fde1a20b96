"""What lies between hosts: every message may be late, lost, come twice or overtake another; each direction may be cut.

A cut loses what is under way, or keeps it back until the cut is mended: then it comes very late.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from goldthread.names import Instant, Span, milliseconds

if TYPE_CHECKING:
    from goldthread.sim.host import Host
    from goldthread.sim.world import World

__all__ = ["Network"]

_MS: Final = milliseconds(1)
_LAG: Final = 3 * _MS
_KEPT_BACK: Final = 0.3
"""The share of messages that a cut keeps back; the others it loses."""
_KEPT_MOST: Final = 50

Message = tuple[Callable[..., None], tuple[Any, ...]]


class Network:
    def __init__(self, world: World) -> None:
        self._world = world
        self.loss = 0.0
        """The share of messages that are lost."""
        self.replay = 0.0
        """The share that comes twice."""
        self.lag = _LAG
        """The usual time on the way; one message in many takes ten times as long."""
        self._cuts: dict[tuple[Host, Host], int] = {}
        self._trouble_over: dict[tuple[Host, Host], Instant] = {}
        self._weather_over = Instant(0)
        self._kept: dict[tuple[Host, Host], list[Message]] = {}

    def calm(self) -> None:
        """Bad weather is over; cuts are mended by themselves."""
        self.loss = self.replay = 0.0
        self.lag = _LAG
        self._weather_over = self._world.now

    def delay(self) -> float:
        random = self._world.random
        return random.uniform(0.2, 2.0) * self.lag * (10 if random.random() < 0.05 else 1)

    def is_open(self, source: Host, target: Host) -> bool:
        """Whether what is sent now would arrive."""
        return source.is_up and target.is_up and (source, target) not in self._cuts

    def reaches(self, one: Host, other: Host) -> bool:
        """Whether the two hear each other."""
        return self.is_open(one, other) and self.is_open(other, one)

    def is_well(self, one: Host, other: Host, span: Span) -> bool:
        """Whether the two have heard each other for so long, without loss or delay."""
        is_easy = self.loss == self.replay == 0 and self.lag == _LAG
        pairs = ((one, other), (other, one))
        last = max(self._weather_over, *(self._trouble_over.get(pair, Instant(0)) for pair in pairs))
        return is_easy and self.reaches(one, other) and self._world.now - last > span

    def send(self, source: Host, target: Host, call: Callable[..., None], *arguments: Any) -> None:
        """Have this called at the target: soon, late, twice or never."""
        random = self._world.random
        for _ in range(2 if random.random() < self.replay else 1):
            if random.random() >= self.loss:
                self._world.after(self.delay(), self._arrive, source, target, (call, arguments))

    def _arrive(self, source: Host, target: Host, message: Message) -> None:
        if not target.is_up:
            return
        if (source, target) in self._cuts:
            kept = self._kept.setdefault((source, target), [])
            if len(kept) < _KEPT_MOST and self._world.random.random() < _KEPT_BACK:
                kept.append(message)
            return
        call, arguments = message
        target.after(0, call, *arguments)

    def cut(self, source: Host, target: Host, span: float) -> None:
        """Nothing comes through in this direction for so long."""
        self._cuts[source, target] = self._cuts.get((source, target), 0) + 1
        self._world.after(span, self._mend, source, target)

    def _mend(self, source: Host, target: Host) -> None:
        self._cuts[source, target] -= 1
        self._trouble_over[source, target] = self._world.now
        if self._cuts[source, target] == 0:
            del self._cuts[source, target]
            for call, arguments in self._kept.pop((source, target), []):
                target.after(self.delay(), call, *arguments)
