"""The links that one keeper dials, one to each partner, and what is said on them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from goldthread.names import KeeperId, milliseconds, seconds
from goldthread.rules.bond_events import BondOver, LinkLost, LinkUp

if TYPE_CHECKING:
    from goldthread.sim.host import Host

__all__ = ["Links"]

_DIAL_EVERY: Final = milliseconds(250)
_AGREED: Final = seconds(2)
"""That a bond is over is agreed to by then, if nothing of it was lost."""
_NOTICED: Final = 0.3
"""How often a look finds that a cut link is dead; whoever was cut off hears nothing of it."""


class Links:
    def __init__(self, host: Host) -> None:
        self._host = host
        self._up: dict[KeeperId, int] = {}
        """The partners that answer, and which of their keepers it is."""

    def begin(self) -> None:
        """A keeper starts, or has its first bond: dial, again and again."""
        self._up = {}
        if self._host.partners:
            self._host.keeper_after(self._host.random.uniform(0, 1) * _DIAL_EVERY, self._look)

    def _look(self) -> None:
        for partner in sorted(self._host.partners):
            if not self._host.is_paused:
                self._look_at(partner)
        if self._host.partners:
            self._host.keeper_after(_DIAL_EVERY, self._look)

    def _look_at(self, partner: KeeperId) -> None:
        host = self._host
        other = host.world.hosts[partner]
        reaches = host.world.network.reaches(host, other)
        if partner not in self._up:
            if reaches and other.answers and host.me in other.partners:
                self._up[partner] = other.generation
                host.give(LinkUp(partner, other.name))
        elif self._up[partner] != other.generation if reaches else host.random.random() < _NOTICED:
            del self._up[partner]
            host.give(LinkLost(partner, "connection reset" if reaches else "no answer"))

    def drop(self, partner: KeeperId) -> None:
        self._up.pop(partner, None)

    def say(self, partner: KeeperId, event: Any) -> None:
        """Have the partner's machine hear this, if the network lets it."""
        host = self._host
        other = host.world.hosts[partner]
        host.world.network.send(host, other, other.links.hear, host.me, event)

    def hear(self, partner: KeeperId, event: Any) -> None:
        """Something came from another keeper: whoever's key is not known is not listened to."""
        if partner in self._host.partners:
            self._host.give(event)

    def part(self, partner: KeeperId, text: str) -> None:
        """Tell the partner that the bond is over, until it has agreed: a connection carries all that is said on it."""
        host = self._host
        other = host.world.hosts[partner]
        host.world.network.send(host, other, other.links.hear_parting, host.me, text)
        host.keeper_after(_AGREED, self._part_again, partner, text)

    def _part_again(self, partner: KeeperId, text: str) -> None:
        bond = self._host.journal.bonds.get(partner)
        if bond is not None and bond.ending and partner in self._up:
            self.part(partner, text)

    def hear_parting(self, partner: KeeperId, text: str) -> None:
        """A partner ends the bond; whoever does not know of one agrees at once."""
        self.hear(partner, BondOver(partner, text))
        if self._host.is_keeper_up:
            self.say(partner, BondOver(self._host.me, "it has agreed"))
