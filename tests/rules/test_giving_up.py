"""A member is given up to one keeper: of two that could take it over without a lease neither may be told of it."""

from __future__ import annotations

import pytest
from pair import KAKASHI, Pair
from trio import HOLD, IRUKA, WALK, YIELD, Owner

from goldthread.names import Epoch
from goldthread.report import Guard, Phase
from goldthread.rules import bond_events, events
from goldthread.rules.machine import Machine


def test_a_member_in_limbo_whose_bond_ends_is_not_given_up_twice() -> None:
    """The first that may take it over is not heard; the second holds it, and may when the first has promised not to."""
    owner = Owner(HOLD)
    first, second = owner.start()
    first.is_heard = False  # It hears all that is sent to it, and what it says is lost.
    owner.fall()
    assert first.is_given
    owner.tell(bond_events.BondEndAsked(7, first.me))
    owner.run(3)
    assert owner.holder == second.me and second.held is not None
    assert not any(fact.given_up for fact in second.told)
    assert any(f"not given up to {second.name}: {first.name} may take it over" in text for text in owner.alarms)
    first.is_heard = True
    owner.run(1)
    assert second.is_given and not first.is_given


def test_what_a_claimant_had_promised_before_is_void_when_it_is_given_the_member() -> None:
    """That the bond is over, it agrees to at once; what it took over before that, its news may still be of."""
    owner = Owner(YIELD)
    first, second = owner.start()
    first.is_heard = False
    owner.fall()
    assert first.is_given
    owner.tell(bond_events.BondEndAsked(7, first.me))
    owner.tell(bond_events.BondOver(first.me, "it has agreed"))
    owner.run(3)
    assert not any(fact.given_up for fact in second.told)


@pytest.mark.parametrize("is_in_limbo", [False, True])
def test_a_member_is_not_given_up_beside_a_claimant_that_is_silent(is_in_limbo: bool) -> None:
    """It was told of a guard, and takes over when its promise has run out."""
    owner = Owner(YIELD)
    first, second = owner.start()
    assert first.told[-1].guard is Guard.PROMISE
    first.is_heard = False
    if is_in_limbo:
        owner.tell(bond_events.BondEndAsked(7, first.me))
        owner.fall()
    owner.run(20)
    assert owner.holder == second.me and second.held is not None
    owner.answers.clear()
    owner.tell(bond_events.TakeoverAsked(8, WALK, second.me))
    owner.run(2)
    (refused,) = owner.answers
    assert f"walk is not handed over: {first.name} may take it over too" in refused.text
    assert not any(fact.given_up for fact in second.told)
    first.is_heard = True
    owner.run(2)
    assert second.is_given == is_in_limbo


def test_what_a_person_decides_outranks_whoever_it_was_given_up_to() -> None:
    """It is lost for good, or was taken over there; the next life here or elsewhere has a number above that."""
    owner = Owner(HOLD)
    first, second = owner.start()
    first.is_heard = False
    owner.fall()
    owner.tell(bond_events.BondEndAsked(7, first.me))
    owner.run(3)
    owner.tell(bond_events.TakeoverAsked(8, WALK, IRUKA))
    owner.run(1)
    assert second.is_given and second.told[-1].epoch > Epoch(2)


def test_a_life_that_may_have_outlived_the_last_keeper_is_not_given_up() -> None:
    """The new one does not know yet whether the program is about to come back."""
    pair = Pair(store="", terms=HOLD)
    pair.start()
    here = pair.iruka
    here.machine = Machine.recover(
        here.policy, here.me, here.members.values(), here.lives.values(), here.bonds.values(), here.helds.values(),
        rebooted=False, now=pair.now, name="iruka",
    )  # fmt: skip
    pair.link()
    pair.run(0.5)
    assert here.view.phase is Phase.RETURNING
    here.tell(bond_events.TakeoverAsked(7, WALK, KAKASHI))
    pair.run(0.5)
    here.tell(events.LifeFound(WALK, Epoch(1), 101))
    pair.run(1)
    assert (here.running, pair.kakashi.running) == (1, None)
    assert here.view.phase is Phase.RUNNING and here.seal(9)
    assert "not known yet whether life 1 of walk outlived" in here.answers[-1].text
