"""Two keepers tie a bond, and each hears the other on the link that it dialled, over real sockets."""

from __future__ import annotations

import socket

from standin import StandIn, tie

from goldthread.names import MemberName, Span
from goldthread.rules.bond_events import BeatAnswered, BeatHeard, BondOver, BondTied, LinkLost, LinkUp
from goldthread.rules.bond_orders import AnswerBeat, EndBond
from goldthread.terms import Consent, Terms


def talk(speaker: StandIn, listener: StandIn, number: int) -> None:
    """One beat and its answer."""
    speaker.beat(listener.me, number)
    heard = listener.expect(BeatHeard)
    assert heard == BeatHeard(speaker.me, number, None)
    listener.answer(AnswerBeat(speaker.me, number, 3, Span(5), (MemberName("walk"),)))
    assert speaker.expect(BeatAnswered) == BeatAnswered(listener.me, number, 3, Span(5), (MemberName("walk"),))


def test_a_bond_is_tied_with_one_code(iruka: StandIn, kakashi: StandIn) -> None:
    """Both pin each other, know both terms, and dial each other."""
    mine, theirs = Terms(memory=1 << 30), Terms(takeover=Consent.ASK)
    partner = kakashi.accept(iruka.invite(mine), theirs)
    assert (partner.keeper, partner.name) == (iruka.me, "iruka")
    assert iruka.expect(BondTied) == BondTied(kakashi.me, "kakashi", mine, theirs)
    assert kakashi.expect(BondTied) == BondTied(iruka.me, "iruka", theirs, mine)
    assert iruka.expect(LinkUp) == LinkUp(kakashi.me, "kakashi")
    assert kakashi.expect(LinkUp) == LinkUp(iruka.me, "iruka")
    talk(iruka, kakashi, 1)
    talk(kakashi, iruka, 1)
    assert iruka.warned.empty() and kakashi.warned.empty()


def test_a_partner_that_restarts_is_found_again(iruka: StandIn, kakashi: StandIn) -> None:
    """Its port is the same; its end is told at once."""
    tie(iruka, kakashi)
    port = kakashi.port
    kakashi.restart()
    assert iruka.expect(LinkLost).partner == kakashi.me
    iruka.expect(LinkUp)
    kakashi.expect(LinkUp)
    assert kakashi.port == port
    talk(iruka, kakashi, 7)
    talk(kakashi, iruka, 8)


def test_a_partner_is_found_where_it_went(iruka: StandIn, kakashi: StandIn) -> None:
    """Its port is taken when it comes back: it says where it is now, and the old place is forgotten."""
    tie(iruka, kakashi)
    before = kakashi.port
    kakashi.stop()
    iruka.expect(LinkLost)
    with socket.create_server(("127.0.0.1", before)):
        kakashi._begin()
        kakashi.open()
        kakashi.expect(LinkUp)
        iruka.expect(LinkUp)
        talk(iruka, kakashi, 1)
    assert kakashi.port != before
    known = iruka.keys.partner(kakashi.me)
    assert known is not None and known.addresses == (f"127.0.0.1:{kakashi.port}",)


def test_a_bond_ends_in_peace(iruka: StandIn, kakashi: StandIn) -> None:
    """The other side is told why, agrees, and neither knows the other's key any more."""
    tie(iruka, kakashi)
    iruka.do(lambda: iruka.links.end(EndBond(kakashi.me, "the work is done")))
    assert kakashi.expect(BondOver) == BondOver(iruka.me, "the work is done")
    kakashi.do(lambda: kakashi.links.forget(iruka.me))
    assert iruka.expect(BondOver).partner == kakashi.me
    iruka.do(lambda: iruka.links.forget(kakashi.me))
    assert iruka.keys.partners() == kakashi.keys.partners() == []


def test_an_end_waits_for_a_partner_that_is_away(iruka: StandIn, kakashi: StandIn) -> None:
    """It hears of it when it comes back."""
    tie(iruka, kakashi)
    kakashi.stop()
    iruka.expect(LinkLost)
    iruka.do(lambda: iruka.links.end(EndBond(kakashi.me, "farewell")))
    kakashi._begin()
    kakashi.open()
    assert kakashi.expect(BondOver).text == "farewell"
    assert iruka.expect(BondOver).partner == kakashi.me


def test_an_end_that_the_partner_has_forgotten_is_over(iruka: StandIn, kakashi: StandIn) -> None:
    """It agreed, and its answer was lost: that it knows this keeper no more says the same."""
    tie(iruka, kakashi)
    kakashi.do(lambda: kakashi.links.forget(iruka.me))
    iruka.do(lambda: iruka.links.end(EndBond(kakashi.me, "farewell")))
    assert iruka.expect(BondOver).partner == kakashi.me


def test_a_partner_that_forgot_is_an_alarm(iruka: StandIn, kakashi: StandIn) -> None:
    """Said once, not each time that it is dialled."""
    tie(iruka, kakashi)
    kakashi.do(lambda: kakashi.links.forget(iruka.me))
    assert iruka.warned.get(timeout=20) == "kakashi: it does not know the key of this keeper"
    assert iruka.warned.empty()


def test_a_key_is_changed_while_the_bond_goes_on(iruka: StandIn, kakashi: StandIn) -> None:
    """The partner knows the new key before the old one ends, and the old one ends with the next link."""
    tie(iruka, kakashi)
    old = iruka.keys.certificate
    iruka.rekey()
    assert iruka.keys.certificate != old
    known = kakashi.keys.partner(iruka.me)
    assert known is not None and known.certificates == (old, iruka.keys.certificate)
    iruka.restart()
    iruka.expect(LinkUp)
    kakashi.expect(LinkUp)
    known = kakashi.keys.partner(iruka.me)
    assert known is not None and known.certificates == (iruka.keys.certificate,)
    talk(iruka, kakashi, 1)
    talk(kakashi, iruka, 2)


def test_a_new_key_waits_for_a_partner_that_is_away(iruka: StandIn, kakashi: StandIn) -> None:
    """Until it knows the new key the old one is used; then the change goes on by itself."""
    tie(iruka, kakashi)
    old = iruka.keys.certificate
    kakashi.stop()
    iruka.expect(LinkLost)
    iruka.do(lambda: iruka.links.rekey(lambda: None, lambda error: None))
    assert iruka.keys.certificate == old
    kakashi._begin()
    kakashi.open()
    iruka.expect(LinkUp)
    talk(iruka, kakashi, 1)
    assert iruka.keys.certificate != old


def test_carriers_are_told_of(iruka: StandIn, kakashi: StandIn) -> None:
    """Also when they begin after the links."""
    tie(iruka, kakashi)
    assert iruka.do(lambda: iruka.links.carrier_address(kakashi.me)) is None
    kakashi.do(lambda: kakashi.links.set_carrier_port(4711))
    talk(kakashi, iruka, 1)
    assert iruka.do(lambda: iruka.links.carrier_address(kakashi.me)) == [("127.0.0.1", 4711)]
    kakashi.restart()
    kakashi.expect(LinkUp)
    assert iruka.do(lambda: iruka.links.carrier_address(kakashi.me)) is None
