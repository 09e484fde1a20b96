"""The pretended lease store: registers with compare-and-swap, which may be slow or out of reach, or do and not say."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from goldthread.names import Instant, MemberName, Span, milliseconds
from goldthread.rules.bond_events import LeaseFound, LeaseGranted, LeaseUnknown
from goldthread.rules.bond_orders import ReadLease, SwapLease
from goldthread.wire.leases import Lease

if TYPE_CHECKING:
    from goldthread.sim.host import Host
    from goldthread.sim.world import World

__all__ = ["Registers"]

_MS: Final = milliseconds(1)
_LAG: Final = 5 * _MS


class Registers:
    def __init__(self, world: World) -> None:
        self._world = world
        self._leases: dict[MemberName, Lease] = {}
        self._written: dict[MemberName, int] = {}
        self.lag = _LAG
        self.forgetful = 0.0
        """The share of answers that are lost after what was asked is done."""
        self._cuts: dict[Host | None, int] = {}
        """Whom it does not answer; None stands for all."""
        self._trouble_over: dict[Host | None, Instant] = {}
        self._busy: dict[tuple[Host, MemberName], Instant] = {}
        """Until when an earlier question about the same register is asked."""

    def calm(self) -> None:
        self.lag = _LAG
        self.forgetful = 0.0
        self._trouble_over[None] = self._world.now

    def answers(self, host: Host) -> bool:
        return not (self._cuts.get(None) or self._cuts.get(host))

    def cut(self, host: Host | None, span: float) -> None:
        """It answers this host no more for so long; None: nobody."""
        self._cuts[host] = self._cuts.get(host, 0) + 1
        self._world.after(span, self._mend, host)

    def _mend(self, host: Host | None) -> None:
        self._cuts[host] -= 1
        self._trouble_over[host] = self._world.now

    def lease_of(self, member: MemberName) -> Lease | None:
        """What stands there, whoever may hear of it."""
        return self._leases.get(member)

    def is_well(self, host: Host, span: Span) -> bool:
        """Whether it has answered this host for so long, in time and always."""
        is_easy = self.lag == _LAG and self.forgetful == 0
        last = max(self._trouble_over.get(None, Instant(0)), self._trouble_over.get(host, Instant(0)))
        return is_easy and self.answers(host) and self._world.now - last > span

    def ask(self, host: Host, order: ReadLease | SwapLease) -> None:
        """Answer in the order of asking, once, and not later than the policy waits; what is asked may be done later."""
        world, random = self._world, host.random
        begins = max(world.now, self._busy.get((host, order.member), world.now))
        reached = random.uniform(0.2, 2.0) * self.lag
        answered = reached + random.uniform(0.2, 2.0) * self.lag
        patience = host.policy.lease_answer
        is_heard = answered <= patience and random.random() >= self.forgetful
        found: list[Any] = []
        world.after(begins - world.now + reached, self._do, host, order, found)
        waits = begins - world.now + (answered if is_heard else patience)
        self._busy[host, order.member] = Instant(world.now + int(waits))
        host.keeper_after(waits, self._answer, host, order, found if is_heard else [])

    def _do(self, host: Host, order: ReadLease | SwapLease, found: list[Any]) -> None:
        if not self.answers(host):
            return
        member, ask = order.member, order.ask
        written = self._written.get(member)
        version = None if written is None else str(written)
        if isinstance(order, SwapLease) and order.over == version:
            self._leases[member] = order.lease
            self._written[member] = (written or 0) + 1
            found.append(LeaseGranted(member, ask, order.lease, str(self._written[member])))
        else:
            found.append(LeaseFound(member, ask, self._leases.get(member), version))

    def _answer(self, host: Host, order: ReadLease | SwapLease, found: list[Any]) -> None:
        if found and self.answers(host):
            host.give(found[0])
        else:
            host.give(LeaseUnknown(order.member, order.ask, "no answer in time"))
