"""Asks the keepers at known addresses whether they are of the same circle, and ties a bond with the one that is chosen.

A *round* dials all of them at once, waits a short while for their offers, and tells the machine of those that came.
The links stay open until it has chosen, so that the bond is tied on the very link on which both sides showed the
secret. Addresses are hints: whoever answers there is known by its key and by its proof.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

from goldthread.errors import PartnerError, PartnerUnreachable
from goldthread.keeper.acceptance import check_newcomer
from goldthread.keeper.acquaintances import Acquaintances, reached_at
from goldthread.keeper.call import Call
from goldthread.keeper.circle import Circle
from goldthread.keeper.keys import Partner
from goldthread.keeper.link import STRANGER_FRAME_BYTES_MOST, Stranger
from goldthread.names import Span, seconds
from goldthread.rules.bond_events import PartnerOffer, PartnersFound
from goldthread.rules.bond_orders import TieWith
from goldthread.terms import Terms
from goldthread.wire.bonds import BondAgreed, CircleShown, Greeting, ShowCircle, TieBond
from goldthread.wire.scrutiny import printable

__all__ = ["ASKED_MOST", "Seeker", "TiedInCircle"]

ASKED_MOST: Final = 64
"""Addresses that are dialled in one round."""
_COLLECTED: Final = seconds(1)
_ANSWERED: Final = seconds(3)

TiedInCircle = Callable[[Partner, Terms, Terms, str], None]
"""Called with the new partner, the terms of this side and those of the other, and why the bond was tied."""


class Seeker:
    def __init__(self, known: Acquaintances, circle: Circle, tied: TiedInCircle) -> None:
        self._known = known
        self._circle = circle
        self._tied = tied
        self._asked: list[_Inquiry] = []

    def seek(self, addresses: Iterable[str]) -> None:
        """`PartnersFound` follows. What is left of the round before is ended."""
        self.close()
        loop = self._known.keeper.loop
        asked = [_Inquiry(self._known, self._circle, address, self._tied) for address in [*addresses][:ASKED_MOST]]
        self._asked = asked
        loop.after(_COLLECTED if asked else Span(0), lambda: self._report(asked))

    def tie(self, order: TieWith) -> None:
        for inquiry in self._asked:
            if inquiry.offer is not None and inquiry.offer.keeper == order.keeper:
                inquiry.tie(order.reason)
                return

    def close(self) -> None:
        for inquiry in self._asked:
            inquiry.end()
        self._asked = []

    def _report(self, asked: list[_Inquiry]) -> None:
        if asked is not self._asked:
            return
        offers = {inquiry.offer.keeper: inquiry.offer for inquiry in asked if inquiry.offer is not None}
        self._known.keeper.tell(PartnersFound(tuple(offers.values())))
        for inquiry in asked:
            if not inquiry.is_tying:
                inquiry.end()


class _Inquiry:
    """One address of a round."""

    def __init__(self, known: Acquaintances, circle: Circle, address: str, tied: TiedInCircle) -> None:
        self._known = known
        self._circle = circle
        self._tied = tied
        self._reason = ""
        self._greeting: Greeting | None = None
        self._over = False
        self.offer: PartnerOffer | None = None
        """What it said, once it has proved that it is of the circle."""
        self.is_tying = False
        self._call = Call(
            known.keeper.loop,
            address,
            known.keys.context(server=False, stranger=lambda _: True),
            known.greeting(),
            checked=self._check,
            greeted=self._on_greeted,
            heard=self._on_heard,
            gone=self._on_gone,
            frame_bytes_most=STRANGER_FRAME_BYTES_MOST,
        )

    def tie(self, reason: str) -> None:
        link = self._call.link
        if link is not None and link.open:
            self.is_tying, self._reason = True, reason
            link.say(TieBond(self._circle.terms, reason))
            link.end_unless(lambda: self._over, _ANSWERED, "it did not answer")

    def end(self) -> None:
        self._over = True
        self._call.cancel()

    def _check(self, fingerprint: bytes) -> None:
        """This very keeper stands in a list that is the same for all, and so do those that are known."""
        keys = self._known.keys
        if fingerprint == keys.fingerprint or keys.partner_of(fingerprint) is not None:
            raise Stranger("nobody new answers there")

    def _on_greeted(self, greeting: Greeting) -> None:
        link = self._call.link
        if link is not None:
            check_newcomer(self._known, greeting, link.fingerprint)
            self._greeting = greeting
            link.say(ShowCircle(self._circle.prove(self._known.keys.fingerprint, link.fingerprint)))

    def _on_heard(self, message: Any) -> None:
        link, greeting, offer = self._call.link, self._greeting, self.offer
        if link is None or greeting is None:
            return
        if isinstance(message, CircleShown) and offer is None:
            self._circle.check_listener(message.proof, self._known.keys.fingerprint, link.fingerprint)
            name = printable(greeting.name)
            self.offer = PartnerOffer(greeting.keeper, name, message.label, message.terms, message.partners)
        elif isinstance(message, BondAgreed) and self.is_tying and not self._over:
            addresses = reached_at(greeting, dialled=self._call.address)
            partner = Partner(greeting.keeper, greeting.name, addresses, (link.certificate,))
            self._known.keys.pin(partner)
            self._over = True
            link.finish(PartnerUnreachable("the bond is tied"))
            self._tied(partner, self._circle.terms, message.terms, self._reason)
        else:
            raise PartnerError(f"it said {type(message).__name__} where nothing asked for it")

    def _on_gone(self, error: PartnerError) -> None:
        """An address that does not answer is no news; one where something else answers is noted."""
        if not self._over and not isinstance(error, PartnerUnreachable | Stranger):
            self._known.turned_away(self._call.address, error)
        self._over, self.offer = True, None
