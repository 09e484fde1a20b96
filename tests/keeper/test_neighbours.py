"""Keepers of a circle on one network are found without a list; what is heard there is no more than a hint."""

from __future__ import annotations

import secrets
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from standin import WAIT_SECONDS, StandIn

from goldthread.keeper.neighbours import NEIGHBOURS_MOST, Neighbours
from goldthread.names import KeeperId
from goldthread.rules.bond_events import PartnersFound
from goldthread.wire.circle import CIRCLE_BYTES

SECRET = secrets.token_bytes(CIRCLE_BYTES)
LOOPBACK = "127.0.0.1"
ME = KeeperId("e" * 32)

Make = Callable[..., StandIn]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    made: list[StandIn] = []

    def keeper(name: str, circle: bytes = SECRET) -> StandIn:
        made.append(StandIn(tmp_path / name, name, circle=circle, neighbours=True))
        made[-1].open()
        return made[-1]

    yield keeper
    for keeper_made in made:
        keeper_made.stop()


class Heard(Neighbours):
    """It tells when somebody new is heard."""

    def __init__(self, me: KeeperId, host: str, port: int) -> None:
        super().__init__(me, host, port)
        self.changed = threading.Condition()

    def note(self, name: str, hosts: list[str], port: int) -> None:
        with self.changed:
            super().note(name, hosts, port)
            self.changed.notify()

    def wait(self, holds: Callable[[], bool]) -> None:
        with self.changed:
            assert self.changed.wait_for(holds, WAIT_SECONDS)


@pytest.fixture
def listener() -> Iterator[Heard]:
    heard = Heard(ME, LOOPBACK, 1)
    heard.open()
    yield heard
    heard.close()


def test_keepers_of_a_circle_find_each_other_on_their_network(make: Make, listener: Heard) -> None:
    """Without an address of each other. One of another circle is heard too, and turned away; so is whoever else is on
    this network, as keepers of another test may be."""
    iruka, kakashi, stranger = make("iruka"), make("kakashi"), make("naruto", secrets.token_bytes(CIRCLE_BYTES))
    places = {f"{LOOPBACK}:{one.port}" for one in (iruka, kakashi, stranger)}
    listener.wait(lambda: places <= set(listener.places()))
    found: set[KeeperId] = set()
    while not found:
        iruka.do(iruka.links.seek)
        found = {offer.keeper for offer in iruka.expect(PartnersFound).offers}
    assert found == {kakashi.me}
    assert iruka.keys.partners() == stranger.keys.partners() == []


def test_what_is_heard_is_bounded() -> None:
    """Whoever says that very many keepers are there fills no memory, and its own word is no news to a keeper."""
    neighbours = Neighbours(ME, LOOPBACK, 1)
    for number in range(2 * NEIGHBOURS_MOST):
        neighbours.note(f"{number}._goldthread._tcp.local.", [f"10.0.0.{n}" for n in range(200)], 7447)
    assert len(neighbours.places()) <= NEIGHBOURS_MOST * 16
    neighbours = Neighbours(ME, LOOPBACK, 1)
    neighbours.note(f"{ME}._goldthread._tcp.local.", [LOOPBACK], 1)
    neighbours.note("nowhere", [LOOPBACK], 0)
    assert neighbours.places() == []


def test_without_the_library_it_is_said_how_to_get_it(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the circle goes on by its list."""
    monkeypatch.setitem(sys.modules, "zeroconf", None)
    iruka = make("iruka")
    assert 'pip install "goldthread[neighbours]"' in iruka.warned.get(timeout=WAIT_SECONDS)
