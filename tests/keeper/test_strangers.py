"""Whatever strangers and bad partners send, the keeper goes on, and those who keep to the rules are heard."""

from __future__ import annotations

import socket
import struct
from pathlib import Path
from typing import Any

import msgspec
import pytest
from OpenSSL import SSL
from standin import StandIn, tie

from goldthread.keeper import answerer
from goldthread.keeper.answerer import UNPROVED_MOST
from goldthread.keeper.keys import Keys, Partner
from goldthread.keeper.link import STRANGER_FRAME_BYTES_MOST
from goldthread.local import Home
from goldthread.names import Epoch, KeeperId, MemberName, milliseconds
from goldthread.report import Guard, Phase
from goldthread.rules.bond_events import BeatHeard, LinkLost, LinkUp
from goldthread.rules.bond_orders import SendBeat
from goldthread.terms import Terms
from goldthread.wire import bonds
from goldthread.wire.codec import Decoder, encode
from goldthread.wire.invitation import read_code


@pytest.fixture
def stranger(tmp_path: Path) -> Keys:
    return Keys(Home(tmp_path / "stranger"), "orochimaru")


def knock(keeper: StandIn) -> socket.socket:
    return socket.create_connection(("127.0.0.1", keeper.port))


def is_turned_away(stream: socket.socket) -> bool:
    """Whether the other side ends the connection, whatever it says before."""
    try:
        while stream.recv(1 << 16):
            pass
    except ConnectionError:
        pass
    stream.close()
    return True


class Visitor:
    """Somebody with a key who has come as far as TLS lets him, and says what he likes."""

    def __init__(self, keys: Keys, host: StandIn) -> None:
        self._stream = knock(host)
        self._tls = SSL.Connection(keys.context(server=False, stranger=lambda _: True), self._stream)
        self._tls.set_connect_state()
        self._tls.do_handshake()
        self._decoder = Decoder(bonds.FromAnswerer)
        self._keys = keys

    def greeting(self) -> bonds.Greeting:
        return bonds.Greeting(1, 1, "0", self._keys.me, self._keys.name, ("127.0.0.1:9",), 0)

    def say(self, message: msgspec.Struct) -> None:
        self._tls.sendall(encode(message))

    def say_bytes(self, frame: bytes) -> None:
        self._tls.sendall(frame)

    def hear(self) -> list[Any]:
        """All that is said until the other side ends it."""
        heard: list[Any] = []
        try:
            while True:
                heard += [message for message, _ in self._decoder.feed(self._tls.recv(1 << 16))]
        except SSL.Error:
            self._stream.close()
            return heard


def befriend(keeper: StandIn, keys: Keys) -> None:
    """Pin a key by hand, as if a bond had been tied."""
    keeper.keys.pin(Partner(keys.me, keys.name, (), (keys.certificate,)))


def still_talks(speaker: StandIn, listener: StandIn, number: int) -> bool:
    speaker.beat(listener.me, number)
    while (heard := listener.expect(BeatHeard).number) != number:
        assert heard < number
    return True


@pytest.mark.parametrize(
    "noise", [b"GET / HTTP/1.0\r\n\r\n", bytes(1000), b"\x16\x03\x01\xff\xff" + b"x" * 5000, b"\x80" * 70000]
)
def test_noise_is_turned_away(iruka: StandIn, kakashi: StandIn, noise: bytes) -> None:
    """A browser, a scanner, an older protocol: nothing is raised but a line in the log."""
    tie(iruka, kakashi)
    stream = knock(iruka)
    stream.sendall(noise)
    stream.shutdown(socket.SHUT_WR)
    assert is_turned_away(stream)
    assert still_talks(kakashi, iruka, 5)
    assert iruka.warned.empty()


def test_a_stranger_is_turned_away_by_his_key(iruka: StandIn, kakashi: StandIn, stranger: Keys) -> None:
    """He has a key as good as any, and nobody has pinned it."""
    tie(iruka, kakashi)
    visitor = Visitor(stranger, iruka)
    assert visitor.hear() == []
    assert still_talks(kakashi, iruka, 5)


def test_a_client_without_a_key_is_turned_away(iruka: StandIn, kakashi: StandIn) -> None:
    """Also while an invitation is open."""
    tie(iruka, kakashi)
    iruka.invite()
    stream = knock(iruka)
    tls = SSL.Connection(SSL.Context(SSL.TLS_CLIENT_METHOD), stream)
    tls.set_connect_state()
    tls.do_handshake()
    with pytest.raises(SSL.Error, match="certificate required"):
        tls.recv(1)
    stream.close()


def test_silent_strangers_shut_nobody_out(iruka: StandIn, kakashi: StandIn) -> None:
    """Of those who have proved nothing the oldest of the largest crowd goes first."""
    iruka.invite()
    crowd = [knock(iruka) for _ in range(UNPROVED_MOST + 8)]
    for stream in crowd[:8]:
        assert is_turned_away(stream)
    tie(iruka, kakashi)
    assert still_talks(kakashi, iruka, 5)
    for stream in crowd[8:]:
        stream.close()


def test_who_proves_nothing_in_time_is_turned_away(iruka: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of a handshake holds a place for a few seconds, not for ever."""
    monkeypatch.setattr(answerer, "_PROVED", milliseconds(50))
    iruka.invite()
    assert is_turned_away(knock(iruka))


def test_a_flood_is_outlived(iruka: StandIn, kakashi: StandIn) -> None:
    """Hundreds come, say something wrong and go; the partner is heard in between."""
    tie(iruka, kakashi)
    for number in range(300):
        with knock(iruka) as stream:
            stream.sendall(b"noise")
        if number % 50 == 0:
            assert still_talks(kakashi, iruka, number)
    assert still_talks(kakashi, iruka, 1000)
    assert iruka.warned.empty()


@pytest.mark.parametrize(
    "word",
    [
        bonds.Beat(1, None),
        bonds.EndBond("go away"),
        bonds.RenewKey(b"key"),
    ],
)
def test_a_stranger_may_say_nothing_but_the_secret(iruka: StandIn, stranger: Keys, word: msgspec.Struct) -> None:
    """An open invitation lets him through TLS, and no further."""
    iruka.invite()
    visitor = Visitor(stranger, iruka)
    visitor.say(visitor.greeting())
    visitor.say(word)
    _, refusal = visitor.hear()
    assert "may say nothing but the secret" in refusal.text
    assert iruka.told.empty() and iruka.keys.partners() == []


def test_the_first_word_is_a_greeting(iruka: StandIn, stranger: Keys) -> None:
    """Nothing is believed of somebody who has not said who he is."""
    secret = read_code(iruka.invite()).secret
    visitor = Visitor(stranger, iruka)
    visitor.say(bonds.AcceptInvitation(secret, Terms()))
    (refusal,) = visitor.hear()
    assert "no greeting" in refusal.text
    assert iruka.keys.partners() == []


def test_a_stranger_has_little_room(iruka: StandIn, stranger: Keys) -> None:
    """A long frame is refused by its announcement."""
    iruka.invite()
    visitor = Visitor(stranger, iruka)
    visitor.say_bytes(struct.pack("<IB", STRANGER_FRAME_BYTES_MOST + 1, 0))
    assert visitor.hear() == []


def test_a_secret_is_not_guessed(iruka: StandIn, stranger: Keys) -> None:
    """After five guesses the door is shut for strangers."""
    iruka.invite()
    for _ in range(5):
        visitor = Visitor(stranger, iruka)
        visitor.say(visitor.greeting())
        visitor.say(bonds.AcceptInvitation(b"guess", Terms()))
        assert "is wrong" in visitor.hear()[-1].text
    assert Visitor(stranger, iruka).hear() == []


def lie(member: str, **changes: Any) -> bonds.Beat:
    """A beat whose facts name this member."""
    fact = bonds.OwnedFact(
        member=MemberName(member),
        origin=KeeperId("0" * 32),
        epoch=Epoch(1),
        begun=True,
        phase=Phase.RUNNING,
        hold=True,
        guard=Guard.NONE,
        newest=None,
        bytes=5,
        plea=False,
        given_up=False,
        bundle="",
    )
    facts = bonds.Facts(1, Terms(), "", "", 0, (msgspec.structs.replace(fact, **changes),), (), ())
    return bonds.Beat(1, facts)


@pytest.mark.parametrize(
    "word",
    [
        lie("../../etc/passwd"),
        lie("walk", origin=KeeperId("../x")),
        lie("walk", epoch=Epoch(-1)),
        lie("walk", bytes=-5),
        lie("walk", bundle="x\x1b[2J"),
        bonds.Beat(-1, None),
        bonds.EndBond("\x1b]0;title\x07"),
        bonds.RenewKey(bytes(10_000)),
        bonds.AcceptInvitation(b"never given", Terms()),
    ],
)
def test_a_partner_that_says_what_cannot_be_is_cut_off(iruka: StandIn, stranger: Keys, word: msgspec.Struct) -> None:
    """Its link ends, an alarm is raised, and nothing of what it said is believed."""
    befriend(iruka, stranger)
    iruka.open()
    visitor = Visitor(stranger, iruka)
    visitor.say(visitor.greeting())
    visitor.say(word)
    visitor.hear()
    assert iruka.warned.get(timeout=20).startswith("orochimaru: ")
    assert iruka.told.empty()


def test_a_partner_that_errs_again_and_again_is_one_alarm(iruka: StandIn, stranger: Keys) -> None:
    """It dials each second for a week, perhaps."""
    befriend(iruka, stranger)
    iruka.open()
    for _ in range(10):
        visitor = Visitor(stranger, iruka)
        visitor.say(visitor.greeting())
        visitor.say_bytes(struct.pack("<IB", 1, 0) + b"\xc1")
        visitor.hear()
    assert "could not be read" in iruka.warned.get(timeout=20)
    assert iruka.warned.empty()


def test_a_partner_cannot_take_the_key_of_another(iruka: StandIn, kakashi: StandIn, stranger: Keys) -> None:
    """Or it would be two."""
    tie(iruka, kakashi)
    befriend(iruka, stranger)
    visitor = Visitor(stranger, iruka)
    visitor.say(visitor.greeting())
    visitor.say(bonds.RenewKey(kakashi.keys.certificate))
    assert "another keeper's" in visitor.hear()[-1].text


def test_of_two_links_the_later_counts(iruka: StandIn, stranger: Keys) -> None:
    """The partner's host was cut off and is back; its old link is of no more use."""
    befriend(iruka, stranger)
    iruka.open()
    first = Visitor(stranger, iruka)
    first.say(first.greeting())
    first.say(bonds.Beat(1, None))
    assert iruka.expect(BeatHeard).number == 1
    second = Visitor(stranger, iruka)
    second.say(second.greeting())
    assert [type(message) for message in first.hear()] == [bonds.Greeting]
    second.say(bonds.Beat(2, None))
    assert iruka.expect(BeatHeard).number == 2


def test_frames_in_single_bytes_are_read(iruka: StandIn, stranger: Keys) -> None:
    """A network may cut anywhere."""
    befriend(iruka, stranger)
    iruka.open()
    visitor = Visitor(stranger, iruka)
    for byte in encode(visitor.greeting()) + encode(bonds.Beat(1, None)):
        visitor.say_bytes(bytes([byte]))
    assert iruka.expect(BeatHeard).number == 1


def test_long_facts_travel(iruka: StandIn, kakashi: StandIn) -> None:
    """Two megabytes of them, more than any socket takes at once."""
    tie(iruka, kakashi)
    held = tuple(
        bonds.HeldFact(MemberName(f"member-{number}"), iruka.me, Epoch(1), None, "", "x" * 200)
        for number in range(9_000)
    )
    facts = bonds.Facts(1, Terms(), "", "", 0, (), held, ())
    iruka.beat(kakashi.me, 1, facts)
    assert kakashi.expect(BeatHeard) == BeatHeard(iruka.me, 1, facts)


def test_a_partner_that_does_not_read_is_let_go(iruka: StandIn, kakashi: StandIn) -> None:
    """What waits for it is bounded: the link ends, and is made anew."""
    tie(iruka, kakashi)
    held = tuple(
        bonds.HeldFact(MemberName(f"member-{number}"), iruka.me, Epoch(1), None, "", "x" * 4000)
        for number in range(900)
    )
    facts = bonds.Facts(1, Terms(), "", "", 0, (), held, ())

    def speak_on() -> None:
        for number in range(8):
            iruka.links.send_beat(SendBeat(kakashi.me, number, facts))

    kakashi.do(lambda: iruka.do(speak_on))
    assert "does not read" in iruka.expect(LinkLost).text
    iruka.expect(LinkUp)
    assert still_talks(iruka, kakashi, 99)
