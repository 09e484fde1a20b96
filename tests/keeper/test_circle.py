"""Keepers of one circle find each other and tie a bond, over real sockets; nobody else does."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from standin import StandIn, tie

from goldthread.rules.bond_events import BondTied, LinkUp, PartnersFound
from goldthread.rules.bond_orders import TieWith
from goldthread.terms import Terms
from goldthread.wire.circle import CIRCLE_BYTES

SECRET = secrets.token_bytes(CIRCLE_BYTES)


class Seeker(StandIn):
    """It chooses as the machine does: at once, when it is told who was found."""

    choice: StandIn | None = None

    def tell(self, event: Any) -> None:
        super().tell(event)
        if isinstance(event, PartnersFound) and self.choice is not None:
            self.links.tie_with(TieWith(self.choice.me, "iruka had no partner"))


Make = Callable[..., Seeker]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    made: list[Seeker] = []

    def keeper(name: str, circle: bytes = SECRET) -> Seeker:
        made.append(Seeker(tmp_path / name, name, circle=circle))
        made[-1].open()
        return made[-1]

    yield keeper
    for keeper_made in made:
        keeper_made.stop()


def seek(seeker: Seeker, *others: StandIn, choice: StandIn | None = None) -> PartnersFound:
    seeker.choice = choice
    addresses = [f"127.0.0.1:{other.port}" for other in others]
    seeker.do(lambda: seeker.links.seek_at(addresses))
    return seeker.expect(PartnersFound)


def test_keepers_of_a_circle_are_found_and_tied(make: Make) -> None:
    """Each pins the other, and both are told why. Its own address, and one where nobody is, are no news."""
    iruka, kakashi, sakura = make("iruka"), make("kakashi"), make("sakura")
    found = seek(iruka, iruka, sakura, kakashi, kakashi, choice=kakashi)
    assert {(one.keeper, one.name) for one in found.offers} == {(kakashi.me, "kakashi"), (sakura.me, "sakura")}
    assert len(found.offers) == 2
    told = iruka.expect(BondTied)
    assert told == BondTied(kakashi.me, "kakashi", Terms(), Terms(), "iruka had no partner")
    assert kakashi.expect(BondTied) == BondTied(iruka.me, "iruka", Terms(), Terms(), "iruka had no partner")
    assert iruka.expect(LinkUp).partner == kakashi.me
    assert kakashi.expect(LinkUp).partner == iruka.me
    assert sakura.keys.partners() == []


def test_a_lost_answer_does_no_harm(make: Make) -> None:
    """One side knows of the bond and the other does not: it is tied again."""
    iruka, kakashi = make("iruka"), make("kakashi")
    for _ in range(2):
        assert [one.keeper for one in seek(iruka, kakashi, choice=kakashi).offers] == [kakashi.me]
        iruka.expect(BondTied)
        kakashi.expect(BondTied)
        iruka.do(lambda: iruka.links.forget(kakashi.me))
    assert [one.keeper for one in kakashi.keys.partners()] == [iruka.me]


def test_who_is_known_is_not_sought(make: Make) -> None:
    iruka, kakashi = make("iruka"), make("kakashi")
    tie(iruka, kakashi)
    assert seek(iruka, kakashi).offers == ()


def test_another_secret_is_turned_away(make: Make) -> None:
    """In both directions, and nothing is pinned."""
    iruka, kakashi = make("iruka"), make("kakashi", secrets.token_bytes(CIRCLE_BYTES))
    assert seek(iruka, kakashi).offers == ()
    assert seek(kakashi, iruka).offers == ()
    assert iruka.keys.partners() == kakashi.keys.partners() == []


def test_without_a_circle_no_stranger_comes_in(make: Make) -> None:
    """A keeper that only has a bond listens, and turns away who shows a circle."""
    iruka, kakashi, sakura = make("iruka"), make("kakashi", b""), make("sakura", b"")
    assert not (kakashi.home.path / "port").exists()
    tie(kakashi, sakura)
    assert seek(iruka, kakashi).offers == ()
    assert iruka.keys.partners() == []


def test_nobody_ties_a_bond_without_the_proof(make: Make) -> None:
    """The machine's choice is of those that answered: another is not dialled for it."""
    iruka, kakashi = make("iruka"), make("kakashi")
    assert seek(iruka, choice=kakashi).offers == ()
    assert iruka.keys.partners() == kakashi.keys.partners() == []
