"""A keeper keeps its identity and its key, and lets through TLS whom it has pinned."""

from __future__ import annotations

import contextlib
import stat
from pathlib import Path

import pytest
from OpenSSL import SSL

from goldthread.errors import KeeperError, PartnerError
from goldthread.keeper.keys import Keys, Partner, fingerprint_at, fingerprint_of
from goldthread.local import Home
from goldthread.names import KeeperId
from goldthread.wire.scrutiny import check_keeper_id


@pytest.fixture
def iruka(tmp_path: Path) -> Keys:
    return Keys(Home(tmp_path / "iruka"), "iruka")


@pytest.fixture
def kakashi(tmp_path: Path) -> Keys:
    return Keys(Home(tmp_path / "kakashi"), "kakashi")


def pin(keys: Keys, partner: Keys) -> None:
    keys.pin(Partner(partner.me, partner.name, ("192.0.2.7:7", "[2001:db8::7]:7"), (partner.certificate,)))


def shake_hands(server: SSL.Context, client: SSL.Context) -> tuple[SSL.Connection, SSL.Connection]:
    """Both ends of a connection in memory, after the handshake."""
    ends = SSL.Connection(server, None), SSL.Connection(client, None)
    ends[0].set_accept_state()
    ends[1].set_connect_state()
    for _ in range(4):
        for speaker, listener in (ends, ends[::-1]):
            with contextlib.suppress(SSL.WantReadError):
                speaker.do_handshake()
            with contextlib.suppress(SSL.WantReadError):
                listener.bio_write(speaker.bio_read(1 << 16))
    return ends


def test_identity_and_key_stay(iruka: Keys) -> None:
    """The next keeper of the home is the same keeper."""
    again = Keys(iruka.home)
    assert (again.me, again.certificate) == (iruka.me, iruka.certificate)


def test_only_the_user_may_read_what_is_kept(iruka: Keys, kakashi: Keys) -> None:
    """The key is secret, and so is who is bonded with whom."""
    pin(iruka, kakashi)
    assert iruka.next_certificate() != iruka.certificate
    files = [path for path in iruka.home.path.rglob("*") if path.is_file()]
    assert len(files) == 4
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
    assert {stat.S_IMODE(path.stat().st_mode) for path in iruka.home.path.rglob("*") if path.is_dir()} == {0o700}


def test_a_pinned_partner_is_known_by_its_key(iruka: Keys, kakashi: Keys) -> None:
    """What was pinned comes back whole; what is unpinned is gone."""
    pin(iruka, kakashi)
    known = iruka.partner_of(kakashi.fingerprint)
    assert known == iruka.partner(kakashi.me) == iruka.partners()[0]
    assert known is not None and known.addresses == ("192.0.2.7:7", "[2001:db8::7]:7")
    iruka.unpin(kakashi.me)
    assert iruka.partners() == [] and iruka.partner_of(kakashi.fingerprint) is None


def test_pinned_keepers_shake_hands_and_know_each_other(iruka: Keys, kakashi: Keys) -> None:
    """TLS 1.3, both keys proved."""
    pin(iruka, kakashi)
    pin(kakashi, iruka)
    server, client = shake_hands(iruka.context(server=True), kakashi.context(server=False))
    assert server.get_protocol_version_name() == "TLSv1.3"
    assert fingerprint_at(server) == kakashi.fingerprint
    assert fingerprint_at(client) == iruka.fingerprint


def test_a_stranger_is_not_let_in(iruka: Keys, kakashi: Keys) -> None:
    """Whoever is not pinned ends in the handshake, on either side."""
    pin(kakashi, iruka)
    with pytest.raises(SSL.Error, match="certificate verify failed"):
        shake_hands(iruka.context(server=True), kakashi.context(server=False))
    with pytest.raises(SSL.Error, match="certificate verify failed"):
        shake_hands(kakashi.context(server=True, stranger=lambda _: True), iruka.context(server=False))


def test_a_stranger_is_let_in_where_that_is_asked_for(iruka: Keys, kakashi: Keys) -> None:
    """While an invitation is open; and the accepter knows the fingerprint from the code."""
    asked: list[bytes] = []
    server = iruka.context(server=True, stranger=lambda fingerprint: not asked.append(fingerprint))
    client = kakashi.context(server=False, stranger=lambda fingerprint: fingerprint == iruka.fingerprint)
    _, end = shake_hands(server, client)
    assert fingerprint_at(end) == iruka.fingerprint
    assert set(asked) == {kakashi.fingerprint}


def test_nobody_comes_in_without_a_certificate(iruka: Keys) -> None:
    """TLS alone proves nothing."""
    client = SSL.Context(SSL.TLS_CLIENT_METHOD)
    client.set_verify(SSL.VERIFY_NONE)
    with pytest.raises(SSL.Error, match="peer did not return a certificate"):
        shake_hands(iruka.context(server=True, stranger=lambda _: True), client)


def test_older_tls_is_refused(iruka: Keys, kakashi: Keys) -> None:
    """1.2 shows certificates in the clear, among other things."""
    pin(iruka, kakashi)
    pin(kakashi, iruka)
    client = kakashi.context(server=False)
    client.set_min_proto_version(SSL.TLS1_2_VERSION)
    client.set_max_proto_version(SSL.TLS1_2_VERSION)
    with pytest.raises(SSL.Error, match="unsupported protocol"):
        shake_hands(iruka.context(server=True), client)


def test_a_key_is_changed(iruka: Keys, kakashi: Keys) -> None:
    """The next key waits until it is changed to, also across keepers; then the old one is gone."""
    old, coming = iruka.certificate, iruka.next_certificate()
    assert Keys(iruka.home).renewing
    assert (iruka.certificate, iruka.next_certificate()) == (old, coming)
    iruka.change_to_next()
    assert (iruka.certificate, iruka.renewing) == (coming, False)


def test_both_keys_are_known_during_a_change(iruka: Keys, kakashi: Keys) -> None:
    """A partner that was told of the next key lets both through."""
    pin(iruka, kakashi)
    kakashi.pin(Partner(iruka.me, "iruka", (), (iruka.certificate, iruka.next_certificate())))
    shake_hands(kakashi.context(server=True), iruka.context(server=False))
    iruka.change_to_next()
    server, _ = shake_hands(kakashi.context(server=True), iruka.context(server=False))
    assert fingerprint_at(server) == fingerprint_of(iruka.certificate)


@pytest.mark.parametrize("text", ["", "../../etc/passwd", "0" * 31, "0" * 33, "G" * 32, "A" * 32, "٠" * 32])
def test_an_identity_is_nothing_but_digits(iruka: Keys, kakashi: Keys, text: str) -> None:
    """It becomes the name of a file."""
    with pytest.raises(PartnerError):
        check_keeper_id(text)
    with pytest.raises(PartnerError):
        iruka.pin(Partner(KeeperId(text), "x", (), (kakashi.certificate,)))


@pytest.mark.parametrize("certificates", [(), (bytes(5000),)])
def test_a_pin_needs_a_certificate(iruka: Keys, kakashi: Keys, certificates: tuple[bytes, ...]) -> None:
    """Without one nobody could ever prove to be that partner; one too large is none."""
    with pytest.raises(PartnerError, match="no certificate"):
        iruka.pin(Partner(kakashi.me, "kakashi", (), certificates))


def test_a_damaged_partner_stops_no_other(iruka: Keys, kakashi: Keys) -> None:
    """A file that cannot be read is named; the rest go on."""
    pin(iruka, kakashi)
    damaged = (iruka.home.path / "partners") / f"{'0' * 32}.json"
    damaged.write_bytes(b"{\xff")
    assert [partner.name for partner in iruka.partners()] == ["kakashi"]
    assert iruka.damaged() == [damaged]


def test_a_damaged_key_is_said_with_its_place(iruka: Keys) -> None:
    """It is never replaced silently: partners would not know this keeper again."""
    assert iruka.fingerprint
    key = iruka.home.path / "keys" / "key.pem"
    key.write_bytes(key.read_bytes()[100:])
    with pytest.raises(KeeperError, match=r"key\.pem holds no key"):
        iruka.fingerprint  # noqa: B018
    (iruka.home.path / "id").write_text("nobody\n")
    with pytest.raises(KeeperError, match="no identity"):
        Keys(iruka.home)
