"""A keeper dies before and after each kind of order, in a world of its own each time, and every promise is kept."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from goldthread.sim import bond_faults, faults
from goldthread.sim.checker import Checker
from goldthread.sim.host import Host
from goldthread.sim.scenario import Faults, all_checkers, run_seed

STRIKES: Faults = [
    (faults.kill, 3),
    (bond_faults.hand_over, 3),
    (bond_faults.lose_host_of_member, 2),
    (bond_faults.wait_until_held, 2),
    (bond_faults.flip_held, 1),
    (bond_faults.limbo_and_restart, 1),
    (bond_faults.end_bond, 1),
]
"""What makes a world give orders of many kinds."""
SEEDS = range(3)
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
    return run_seed(seed, 2, checkers=lambda: [*all_checkers(), crash], faults=STRIKES).broken


@pytest.mark.parametrize("seed", SEEDS)
def test_a_keeper_may_die_before_and_after_each_kind_of_order(seed: int) -> None:
    calm = Crash()
    assert run(seed, calm) == ""
    moments = {(host, number + late) for host, number in calm.first.values() for late in (-1, 0)}
    broken = {moment: run(seed, Crash(moment)) for moment in sorted(moments)}
    assert {moment: text for moment, text in broken.items() if text} == {}


def test_these_worlds_give_orders_of_most_kinds() -> None:
    given: set[str] = set()
    for seed in SEEDS:
        crash = Crash()
        run(seed, crash)
        given |= crash.first.keys()
    assert len(given) > 24, sorted(given)
