"""The pretended circle: a keeper asks those of it that it does not know who they are, and ties a bond with the one that
is chosen. The twin of `keeper/seeker.py`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from goldthread.names import KeeperId, seconds
from goldthread.report import Contact
from goldthread.rules.bond_events import BondTied, PartnerOffer, PartnersFound
from goldthread.rules.bond_orders import TieWith
from goldthread.terms import Terms

if TYPE_CHECKING:
    from goldthread.sim.host import Host

__all__ = ["Seeker"]

_COLLECTED: Final = seconds(1)
_ANSWERED: Final = seconds(3)


class Seeker:
    def __init__(self, host: Host) -> None:
        self._host = host
        self._offers: dict[KeeperId, PartnerOffer] = {}
        """What the present round has brought."""

    # Who seeks

    def seek(self) -> None:
        """`PartnersFound` follows. Each keeper says how things stood when it was asked."""
        host = self._host
        offers = self._offers = dict[KeeperId, PartnerOffer]()
        for other in host.world.hosts.values():
            if other is not host:
                host.keeper_after(host.random.random() * _COLLECTED, self._ask, other, offers)
        host.keeper_after(_COLLECTED, self._report, offers)

    def _ask(self, other: Host, offers: dict[KeeperId, PartnerOffer]) -> None:
        host = self._host
        offer = other.seeker.offer() if host.world.network.reaches(host, other) else None
        if offer is not None and other.me not in host.partners:
            offers[other.me] = offer

    def _report(self, offers: dict[KeeperId, PartnerOffer]) -> None:
        if offers is self._offers:
            self._host.give(PartnersFound(tuple(offers.values())))

    def tie(self, order: TieWith) -> None:
        host = self._host
        other = host.world.hosts[order.keeper]
        asked = (host.generation, host.world.now)
        host.world.network.send(host, other, other.seeker.hear_tie, host, order.reason, asked)

    def hear_agreed(self, other: Host, reason: str, asked: tuple[int, int]) -> None:
        """The bond is tied there. An answer that comes late finds nobody who waits for it."""
        host = self._host
        keeper, moment = asked
        if host.answers and host.generation == keeper and host.world.now - moment < _ANSWERED:
            self._meet(other, reason)

    # Who is sought

    def offer(self) -> PartnerOffer | None:
        """What it says of itself; None where it does not answer, or is in no circle."""
        host, machine = self._host, self._host.machine
        if machine is None or not (host.answers and host.is_in_circle):
            return None
        views = machine.bond_views()
        heard = tuple(view.partner for view in views if not view.ended and view.contact is not Contact.SILENT)
        return PartnerOffer(host.me, host.name, host.label, Terms(), heard)

    def hear_tie(self, other: Host, reason: str, asked: tuple[int, int]) -> None:
        """Agree, but not where a person ended the bond with that keeper. It may be tied already: an answer was lost."""
        host, machine = self._host, self._host.machine
        if machine is None or not host.answers:
            return
        if any(view.partner == other.me and (view.ended or view.ending) for view in machine.bond_views()):
            return
        self._meet(other, reason)
        host.world.network.send(host, other, other.seeker.hear_agreed, host, reason, asked)

    def _meet(self, other: Host, reason: str) -> None:
        host = self._host
        is_first = not host.partners
        host.partners.add(other.me)
        host.give(BondTied(other.me, other.name, Terms(), Terms(), reason))
        if is_first:
            host.links.begin()
