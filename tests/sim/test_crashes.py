"""A keeper dies before and after each kind of order, in a world of its own each time, and every promise is kept."""

from __future__ import annotations

from collections import Counter
from functools import cache
from typing import Any, Final, get_args

import pytest

from goldthread.rules.orders import Order
from goldthread.sim import bond_faults, faults
from goldthread.sim.checker import Checker
from goldthread.sim.host import Host
from goldthread.sim.scenario import Faults, all_checkers, run_seed

KINDS: Final = sorted(kind.__name__ for kind in get_args(Order))
STRIKES: Faults = [
    (faults.kill, 3),
    (bond_faults.hand_over, 3),
    (bond_faults.lose_host_of_member, 2),
    (bond_faults.wait_until_held, 2),
    (bond_faults.end_bond, 2),
    (bond_faults.limbo_and_restart, 2),
    (bond_faults.flip_held, 1),
    (faults.flip_newest_slot, 1),
    (faults.hang, 1),
    (faults.stop_keeper, 1),
]
"""What makes a world give orders of many kinds."""
WORLDS_MOST: Final = 100
STRUCK_WORLDS: Final = 2
"""Of how many worlds that give a kind of order each loses a keeper there."""
Moment = tuple[int, int]
"""A host, and how many orders it has carried out."""


class Crash(Checker):
    """Notes when each kind of order is first given, and kills a keeper at one moment."""

    def __init__(self, moment: Moment | None = None) -> None:
        super().__init__()
        self._moment = moment
        self._given: Counter[int] = Counter()
        self.first: dict[str, Moment] = {}

    def before_order(self, host: Host, order: Any) -> None:
        self._given[host.number] += 1
        now = (host.number, self._given[host.number])
        self.first.setdefault(type(order).__name__, now)
        if now == self._moment:
            host.orders_left = 0  # It dies when it comes to the next one.


def run(seed: int, crash: Crash) -> str:
    """Each second world is of three keepers that seek partners in their circle."""
    circle = bool(seed % 2)
    return run_seed(seed, 2 + circle, circle=circle, checkers=lambda: [*all_checkers(), crash], faults=STRIKES).broken


@cache
def worlds() -> dict[int, dict[str, Moment]]:
    """When each kind of order is first given, in as many worlds as it takes until all kinds are."""
    found: dict[int, dict[str, Moment]] = {}
    missing = set(KINDS)
    for seed in range(WORLDS_MOST):
        calm = Crash()
        assert run(seed, calm) == ""
        found[seed] = calm.first
        missing -= calm.first.keys()
        if not missing:
            break
    return found


def test_these_worlds_give_orders_of_every_kind() -> None:
    assert set(KINDS) == {kind for first in worlds().values() for kind in first}


@pytest.mark.parametrize("kind", KINDS)
def test_a_keeper_may_die_before_and_after_each_kind_of_order(kind: str) -> None:
    given = [(seed, first[kind]) for seed, first in worlds().items() if kind in first][:STRUCK_WORLDS]
    moments = [(seed, (host, number + late)) for seed, (host, number) in given for late in (-1, 0)]
    broken = {(seed, moment): run(seed, Crash(moment)) for seed, moment in moments}
    assert {where: text for where, text in broken.items() if text} == {}
