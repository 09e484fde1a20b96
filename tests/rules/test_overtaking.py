"""A newer commit takes the place of one that is on its way to the holder."""

from __future__ import annotations

from typing import Any

import pytest
from pair import KAKASHI, Pair

from goldthread.rules import bond_orders
from goldthread.rules.overtaking import may_overtake


@pytest.mark.parametrize(
    ("sent", "in_vain", "wanted", "answer"),
    [
        (0, 0, 30, False),  # Nothing of it has gone: it begins.
        (1, 0, 30, True),
        (10, 0, 30, True),
        (11, 0, 30, False),
        (1, 9, 30, True),
        (1, 10, 30, False),
        (2, 0, 4, False),
    ],
)
def test_a_third_may_go_in_vain(sent: int, in_vain: int, wanted: int, answer: bool) -> None:
    assert may_overtake(sent, in_vain, wanted) is answer


@pytest.mark.parametrize("period", [1, 2, 3, 5, 8, 13, 21, 34, 55, 89])
def test_who_commits_without_end_is_held_nearly_as_often(period: int) -> None:
    """A unit of the commit goes in each unit of time, and one is sealed each `period`."""
    wanted, spent = 90, 20_000
    held = sent = in_vain = 0
    under_way = newest = 0
    for moment in range(spent):
        newest = moment // period
        if newest > under_way and may_overtake(sent, in_vain, wanted):
            in_vain, sent, under_way = in_vain + sent, 0, newest
        sent += 1
        if sent == wanted:
            held, sent, in_vain, under_way = held + 1, 0, 0, newest
    assert held >= 0.74 * spent / wanted


def test_it_is_ordered_once_for_each_newer_commit() -> None:
    """As long as the one before is not answered; what is held then is not the newest, and that goes next."""
    pair = Pair()
    pair.start(3)
    host, ordered = pair.iruka, []

    def note(order: Any, obey: Any = host.obey) -> None:
        if isinstance(order, bond_orders.Replicate | bond_orders.Overtake):
            ordered.append((type(order).__name__, order.commit.step, order.partner))
        obey(order)

    host.obey = note  # type: ignore[method-assign]
    for step in (4, 5, 6):
        assert host.seal(step)
    pair.run(1)
    replicates = [("Replicate", step, KAKASHI) for step in (4, 6)]
    assert ordered == [replicates[0], ("Overtake", 5, KAKASHI), ("Overtake", 6, KAKASHI), replicates[1]]
    assert pair.iruka.view.held == max(pair.kakashi.held)
