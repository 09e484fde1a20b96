"""A newer commit takes the place of one that is on its way to the holder."""

from __future__ import annotations

from typing import Any

import pytest
from pair import KAKASHI, Pair
from trio import HOLD, IRUKA, WALK, YIELD, Owner

from goldthread.names import CommitId, Epoch, KeeperId, Step
from goldthread.rules import bond_events, bond_orders, events
from goldthread.rules.overtaking import may_overtake

NEWEST = CommitId(Epoch(1), Step(6), 6)


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


def note_copies(owner: Owner) -> list[KeeperId]:
    """To whom copies are ordered to go from now on, in order; none of them comes there."""
    ordered: list[KeeperId] = []

    def note(order: Any, obey: Any = owner.obey) -> None:
        if isinstance(order, bond_orders.Replicate):
            ordered.append(order.partner)
        else:
            obey(order)

    owner.obey = note  # type: ignore[method-assign]
    return ordered


@pytest.mark.parametrize("is_held", [True, False])
def test_what_becomes_of_a_copy_that_goes_to_a_former_holder_is_no_answer_for_the_present_one(is_held: bool) -> None:
    """Nothing is ordered a second time, and nothing is said of the present holder."""
    owner = Owner(HOLD)
    former, present = owner.start()
    ordered = note_copies(owner)
    owner.tell(events.CommitSealed(WALK, NEWEST, 1000))
    former.is_heard = False
    owner.run(30)
    assert owner.holder == present.me and ordered == [former.me, present.me]
    failed = bond_events.ReplicateFailed(WALK, former.me, "the connection was cut")
    for _ in range(8):
        owner.tell(bond_events.CommitHeld(WALK, former.me, NEWEST) if is_held else failed)
        owner.run(1)
    assert ordered == [former.me, present.me]
    assert not any("the connection was cut" in text for text in owner.alarms)
    owner.tell(bond_events.CommitHeld(WALK, present.me, NEWEST))
    assert (view := owner.machine.view(WALK)) is not None and view.held == NEWEST


def test_a_holder_that_comes_after_a_person_let_the_former_one_go_gets_a_copy() -> None:
    """Also where one is on its way to the former one, and nothing is heard of it any more."""
    owner = Owner(YIELD)
    former, present = owner.start()
    ordered = note_copies(owner)
    owner.tell(events.CommitSealed(WALK, NEWEST, 1000))
    former.is_heard = False
    owner.tell(bond_events.TakeoverAsked(9, WALK, IRUKA))
    owner.run(30)
    assert owner.holder == present.me == ordered[-1]
