"""An invitation works once and for ten minutes, and whoever is refused is told why and what to do."""

from __future__ import annotations

import msgspec
import pytest
from standin import StandIn, tie

from goldthread.errors import PartnerError, PartnerUnreachable, UsageError
from goldthread.keeper import acquaintances
from goldthread.keeper.invitations import Invitations
from goldthread.keeper.keys import Partner
from goldthread.names import Instant, KeeperId, seconds
from goldthread.rules.bond_events import BondTied, LinkLost, LinkUp
from goldthread.terms import Terms
from goldthread.wire.invitation import read_code, write_code

GUEST, OTHER = KeeperId("1" * 32), KeeperId("2" * 32)


class Clock:
    def __init__(self) -> None:
        self.now = Instant(0)

    def __call__(self) -> Instant:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def invitations(clock: Clock) -> Invitations:
    return Invitations(clock)


def test_a_secret_opens_one_invitation(invitations: Invitations) -> None:
    """It carries the inviter's terms, and is drawn anew each time."""
    secret = invitations.issue(Terms(cores=3))
    assert invitations.are_open
    assert invitations.find(secret, GUEST).terms == Terms(cores=3)
    assert len(secret) == 16 and secret != invitations.issue(Terms())


def test_nothing_is_kept_of_a_secret_but_its_hash(invitations: Invitations) -> None:
    """Whoever reads the keeper's memory of it cannot use it."""
    secret = invitations.issue(Terms())
    assert repr(secret) not in repr(invitations._given)


def test_an_invitation_ends_after_ten_minutes(invitations: Invitations, clock: Clock) -> None:
    """To the nanosecond, on a clock that counts while the host sleeps."""
    secret = invitations.issue(Terms())
    clock.now = Instant(seconds(600) - 1)
    assert invitations.find(secret, GUEST)
    clock.now = Instant(seconds(600))
    assert not invitations.are_open
    with pytest.raises(PartnerError, match="has expired"):
        invitations.find(secret, GUEST)


def test_an_invitation_is_for_one(invitations: Invitations) -> None:
    """The one who used it may hear the answer again, where it was lost on the way."""
    secret = invitations.issue(Terms())
    invitations.find(secret, GUEST).used_by = GUEST
    assert not invitations.are_open
    assert invitations.find(secret, GUEST).used_by == GUEST
    with pytest.raises(PartnerError, match="was used already"):
        invitations.find(secret, OTHER)


def test_five_wrong_codes_withdraw_what_is_open(invitations: Invitations) -> None:
    """And what is given later is open."""
    secret = invitations.issue(Terms())
    for _ in range(4):
        with pytest.raises(PartnerError, match="is wrong"):
            invitations.find(b"guess", GUEST)
    assert invitations.are_open
    with pytest.raises(PartnerError, match="is wrong"):
        invitations.find(b"guess", GUEST)
    with pytest.raises(PartnerError, match="withdrawn"):
        invitations.find(secret, GUEST)
    assert invitations.find(invitations.issue(Terms()), GUEST)


def test_few_invitations_are_open_at_once(invitations: Invitations, clock: Clock) -> None:
    """And few that are over are remembered."""
    for _ in range(16):
        invitations.issue(Terms())
    with pytest.raises(UsageError, match="16 invitations are open"):
        invitations.issue(Terms())
    for _ in range(20):
        clock.now = Instant(clock.now + seconds(600))
        for _ in range(16):
            invitations.issue(Terms())
    assert len(invitations._given) == 64


def test_a_used_code_is_refused_while_another_is_open(iruka: StandIn, kakashi: StandIn, sakura: StandIn) -> None:
    """The third is told that it was used."""
    code = iruka.invite()
    kakashi.accept(code)
    iruka.invite()
    refusal = sakura.refusal(code)
    assert str(refusal) == "the invitation was used already"
    assert refusal.hint == "ask for a new code: goldthread bond invite"
    assert sakura.keys.partners() == []
    assert [partner.keeper for partner in iruka.keys.partners()] == [kakashi.me]


def test_a_used_code_is_refused_where_no_other_is_open(iruka: StandIn, kakashi: StandIn, sakura: StandIn) -> None:
    """No stranger is let in at all then, so it is not known which of the reasons holds."""
    code = iruka.invite()
    kakashi.accept(code)
    assert "open no more: it was used, or" in str(sakura.refusal(code))


def test_the_same_guest_may_use_a_code_again(iruka: StandIn, kakashi: StandIn) -> None:
    """The answer to it may have been lost: it is one bond all the same."""
    code = iruka.invite(Terms(cores=2))
    kakashi.accept(code)
    kakashi.accept(code)
    assert kakashi.expect(BondTied) == kakashi.expect(BondTied)
    assert len(kakashi.keys.partners()) == len(iruka.keys.partners()) == 1
    iruka.expect(BondTied)
    iruka.beat(kakashi.me)
    assert not [event for event in iruka.told.queue if isinstance(event, BondTied)]


def test_a_wrong_secret_is_refused(iruka: StandIn, kakashi: StandIn) -> None:
    """The code is whole, and its secret is not one that was given."""
    invitation = read_code(iruka.invite())
    wrong = write_code(msgspec.structs.replace(invitation, secret=bytes(16)))
    assert "the invitation code is wrong" in str(kakashi.refusal(wrong))
    assert iruka.keys.partners() == kakashi.keys.partners() == []


def test_the_secret_is_not_said_to_another_keeper(iruka: StandIn, kakashi: StandIn, sakura: StandIn) -> None:
    """Somebody else answers at the address of the code: the code still works for the one it was meant for."""
    code = iruka.invite()
    sakura.invite()
    invitation = read_code(code)
    astray = write_code(msgspec.structs.replace(invitation, addresses=(f"127.0.0.1:{sakura.port}",)))
    refusal = kakashi.refusal(astray)
    assert isinstance(refusal, PartnerUnreachable)
    assert f"127.0.0.1:{sakura.port}: a stranger answers there" in str(refusal) and "new code" in refusal.hint
    kakashi.accept(code)


def test_all_addresses_of_a_code_are_tried(iruka: StandIn, kakashi: StandIn) -> None:
    """The first is of a network that the guest cannot reach, the second a name that is none."""
    invitation = read_code(iruka.invite())
    places = ("127.0.0.1:9", "nowhere.invalid:9", *invitation.addresses)
    kakashi.accept(write_code(msgspec.structs.replace(invitation, addresses=places)))


def test_an_inviter_out_of_reach_is_said_with_each_address(iruka: StandIn, kakashi: StandIn) -> None:
    """And with what to look at."""
    invitation = read_code(iruka.invite())
    refusal = kakashi.refusal(write_code(msgspec.structs.replace(invitation, addresses=("127.0.0.1:9", "[::1]:9"))))
    assert isinstance(refusal, PartnerUnreachable)
    assert "127.0.0.1:9: Connection refused" in str(refusal) and "[::1]:9: " in str(refusal)
    assert "firewall" in refusal.hint


def test_a_bond_with_oneself_is_refused(iruka: StandIn) -> None:
    """Nothing would be gained by it."""
    with pytest.raises(UsageError, match="bonded with itself"):
        iruka.accept(iruka.invite())


def test_a_copy_of_a_home_is_oneself(iruka: StandIn, kakashi: StandIn) -> None:
    """The same identity with another key is refused by the guest before the secret is said."""
    kakashi.keys.me = iruka.me
    assert "bonded with itself" in str(kakashi.refusal(iruka.invite()))
    assert iruka.keys.partners() == []


def test_a_third_host_cannot_claim_to_be_a_partner(iruka: StandIn, kakashi: StandIn, sakura: StandIn) -> None:
    """It has a code and the identity of a partner, and not its key."""
    tie(iruka, kakashi)
    known = iruka.keys.partner(kakashi.me)
    sakura.keys.me = kakashi.me
    refusal = sakura.refusal(iruka.invite())
    assert "a third host claims to be kakashi" in str(refusal) and "goldthread bond end" in refusal.hint
    assert iruka.keys.partner(kakashi.me) == known


def test_a_guest_knows_a_third_host_too(iruka: StandIn, kakashi: StandIn, sakura: StandIn) -> None:
    """The one who invites claims to be a partner of the guest."""
    tie(iruka, kakashi)
    sakura.keys.me = kakashi.me
    assert "a third host claims to be kakashi" in str(iruka.refusal(sakura.invite()))


def test_keepers_of_other_versions_are_told_both(
    iruka: StandIn, kakashi: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The greeting's shape never changes, so even a keeper of the future is answered."""
    code = iruka.invite()
    greet = acquaintances.Acquaintances.greeting

    def of_the_future(known: acquaintances.Acquaintances) -> object:
        greeting = greet(known)
        if known.keys is kakashi.keys:
            return msgspec.structs.replace(greeting, protocol_oldest=7, protocol=9, version="4.2")
        return greeting

    monkeypatch.setattr(acquaintances.Acquaintances, "greeting", of_the_future)
    refusal = kakashi.refusal(code)
    assert "iruka speaks 1 (goldthread" in str(refusal) and "kakashi speaks 7 to 9 (goldthread 4.2)" in str(refusal)
    assert "same version" in refusal.hint


def test_a_partner_that_says_it_is_another_is_refused(iruka: StandIn, kakashi: StandIn) -> None:
    """It is known by its key: no link comes up, and an alarm is raised."""
    tie(iruka, kakashi)
    kakashi.stop()
    iruka.expect(LinkLost)
    kakashi.keys.me = OTHER
    kakashi._begin()
    kakashi.open()
    assert "says that it is another keeper" in iruka.warned.get(timeout=20)
    assert "says that it is another keeper" in kakashi.warned.get(timeout=20)
    assert not [event for event in iruka.told.queue if isinstance(event, LinkUp)]


def test_a_bond_lost_on_one_side_is_tied_anew(iruka: StandIn, kakashi: StandIn) -> None:
    """One side forgot; the other still knows it, with the same key."""
    tie(iruka, kakashi)
    kakashi.do(lambda: kakashi.links.forget(iruka.me))
    partner = kakashi.accept(iruka.invite())
    assert isinstance(partner, Partner) and partner.keeper == iruka.me
    kakashi.expect(LinkUp)
