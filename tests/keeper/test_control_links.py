"""Two keepers tie a bond, and each hears the other on the link that it dialled, over real sockets."""

from __future__ import annotations

import ipaddress
import socket
import threading
from pathlib import Path

import pytest
from standin import StandIn, tie

from goldthread.errors import KeeperError
from goldthread.keeper import caller, links
from goldthread.keeper.acquaintances import reached_at
from goldthread.keeper.interfaces import own_hosts
from goldthread.names import KeeperId, MemberName, Span, milliseconds
from goldthread.rules.bond_events import BeatAnswered, BeatHeard, BondOver, BondTied, LinkLost, LinkUp
from goldthread.rules.bond_orders import AnswerBeat, EndBond
from goldthread.terms import Consent, Terms
from goldthread.wire import bonds
from goldthread.wire.addresses import parse_address
from goldthread.wire.invitation import read_code


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


def test_a_link_that_ends_in_one_direction_is_made_anew(iruka: StandIn, kakashi: StandIn) -> None:
    """What the other side says of that is no fault of its keeper, and a person need not know."""
    tie(iruka, kakashi)

    def cut() -> None:
        call = iruka.links._callers[kakashi.me]._call
        assert call is not None and call.link is not None
        call.link._stream.shutdown(socket.SHUT_WR)

    iruka.do(cut)
    assert "cut" in iruka.expect(LinkLost).text
    iruka.expect(LinkUp)
    talk(iruka, kakashi, 7)
    assert iruka.warned.empty() and kakashi.warned.empty()


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


def test_an_end_that_was_not_heard_does_not_end_the_bond_that_follows(iruka: StandIn, kakashi: StandIn) -> None:
    """It was to be said when the partner is reached; it is reached first by the code of a new bond."""
    tie(iruka, kakashi)
    before = kakashi.port
    kakashi.stop()
    iruka.expect(LinkLost)
    iruka.do(lambda: iruka.links.end(EndBond(kakashi.me, "farewell")))
    with socket.create_server(("127.0.0.1", before)):
        kakashi._begin()
        kakashi.do(lambda: kakashi.links.forget(iruka.me))
        kakashi.open()
        iruka.accept(kakashi.invite())
        for one, other in ((iruka, kakashi), (kakashi, iruka)):
            one.expect(BondTied)
            assert one.told.get(timeout=20) == LinkUp(other.me, other.keys.name)
    iruka.beat(kakashi.me)
    assert kakashi.told.get(timeout=20) == BeatHeard(iruka.me, 1, None)


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


def test_a_partner_that_sleeps_is_dialled_anew(
    iruka: StandIn, kakashi: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A link on which nothing is answered may lead to where the partner was."""
    monkeypatch.setattr(caller, "_SILENT", milliseconds(50))
    monkeypatch.setattr(caller, "_LOOK", milliseconds(10))
    tie(iruka, kakashi)
    woken = threading.Event()
    kakashi.loop.from_thread(woken.wait)
    iruka.beat(kakashi.me)
    assert "has answered nothing" in iruka.expect(LinkLost).text
    woken.set()
    iruka.expect(LinkUp)


def test_all_of_this_machine_is_listened_at(tmp_path: Path) -> None:
    """Where nothing else is said: both versions of the protocol, and the addresses that others can reach."""
    sai, yamato = StandIn(tmp_path / "sai", "sai", listen=""), StandIn(tmp_path / "yamato", "yamato", listen="")
    try:
        places = read_code(sai.invite()).addresses
        assert [parse_address(place)[1] for place in places] == [sai.port] * len(places)
        hosts = [parse_address(place)[0] for place in places]
        assert hosts == own_hosts() and not any(ipaddress.ip_address(host).is_unspecified for host in hosts)
        tie(sai, yamato)
    finally:
        sai.stop()
        yamato.stop()


def test_addresses_of_the_configuration_are_told_instead(tmp_path: Path) -> None:
    """Those of a gateway, for instance, that this host does not know itself."""
    sai = StandIn(tmp_path / "sai", "sai", addresses=("gate.example:7070",))
    try:
        assert read_code(sai.invite()).addresses == ("gate.example:7070",)
    finally:
        sai.stop()


def test_a_port_that_is_taken_is_said(tmp_path: Path) -> None:
    """Where the configuration names it, no other is taken instead."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        sai = StandIn(tmp_path / "sai", "sai", listen=f"127.0.0.1:{other.getsockname()[1]}")
        try:
            with pytest.raises(KeeperError, match="cannot be listened at") as caught:
                sai.invite()
            assert "listen" in caught.value.hint
        finally:
            sai.stop()


def test_a_keeper_without_a_bond_opens_no_port(iruka: StandIn) -> None:
    """And asks for no key."""
    iruka.open()
    assert not (iruka.home.path / "port").exists()
    assert not (iruka.home.path / "keys").exists()


def test_a_damaged_partner_is_an_alarm(iruka: StandIn, kakashi: StandIn) -> None:
    """The others are dialled all the same."""
    tie(iruka, kakashi)
    (iruka.home.path / "partners" / f"{'0' * 32}.json").write_bytes(b"{")
    iruka.restart()
    assert "is damaged" in iruka.warned.get(timeout=20)
    iruka.expect(LinkUp)


def test_a_keeper_that_cannot_listen_dials_all_the_same(
    tmp_path: Path, kakashi: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its port is taken when it comes back: that is said, and it listens when the port is free."""
    monkeypatch.setattr(links, "_LISTEN_AGAIN", milliseconds(20))
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
    sai = StandIn(tmp_path / "sai", "sai", listen=f"127.0.0.1:{port}")
    try:
        tie(sai, kakashi)
        sai.stop()
        kakashi.expect(LinkLost)
        with socket.create_server(("127.0.0.1", port)):
            sai._begin()
            sai.open()
            assert "cannot be listened at" in sai.warned.get(timeout=20)
            sai.expect(LinkUp)
            talk(sai, kakashi, 1)
        kakashi.expect(LinkUp)
        talk(kakashi, sai, 2)
    finally:
        sai.stop()


def test_a_partner_is_looked_for_whence_it_came() -> None:
    """At the port that it names; unless its host has no address that can be dialled from everywhere."""
    greeting = bonds.Greeting(1, 1, "0", KeeperId("0" * 32), "iruka", ("10.0.0.1:7", "iruka.example:7"), 0)
    assert reached_at(greeting, came_from="192.0.2.7") == ("192.0.2.7:7", "10.0.0.1:7", "iruka.example:7")
    assert reached_at(greeting, came_from="fe80::1%eth0") == ("10.0.0.1:7", "iruka.example:7")
    assert reached_at(greeting, dialled="gate:9") == ("gate:9", "10.0.0.1:7", "iruka.example:7")
