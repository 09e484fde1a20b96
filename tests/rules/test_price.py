"""The price of a partner, in numbers and in one sentence."""

from __future__ import annotations

from trio import HOLD, Owner

from goldthread.keeper.reporting import bond_report
from goldthread.names import MemberName, seconds
from goldthread.report import PriceReport
from goldthread.rules import bond_events
from goldthread.rules.price import HeldStake, OwnedStake, estimate_price

WALK, RUN, SWIM = MemberName("walk"), MemberName("run"), MemberName("swim")
GIBIBYTE = 1 << 30


def test_nothing_bound_nothing_lost() -> None:
    """A fresh bond costs nothing."""
    price = estimate_price("kakashi", [], [], 0, None)
    assert price.text == "nothing: neither holds anything of the other"
    assert (price.exposed, price.steps, price.lost, price.memory, price.cores) == ((), 0, (), 0, 0)


def test_the_whole_price_in_one_sentence() -> None:
    """Own members, the partner's members, what it lends, and how long it took last time."""
    price = estimate_price(
        "kakashi",
        [OwnedStake(WALK, 2 * GIBIBYTE, left_here=2, left_elsewhere=0), OwnedStake(SWIM, 0, 1, 0)],
        [HeldStake(RUN, behind=3)],
        cores=4,
        rebond=seconds(2.4),
    )
    assert price.text == (
        "walk would go on without a copy on another host (2 copies left, all here); "
        "run could go on here, 3 steps lost; "
        "2.0 GiB of copies and 4 cores that kakashi lends would go; bonding again took 2.4 s last time"
    )
    assert price.exposed == (WALK,)
    assert price.copies_left == 1
    assert price.steps == 3
    assert price.memory == 2 * GIBIBYTE


def test_a_copy_with_a_third_keeper_is_no_exposure() -> None:
    """It counts as left, and nothing is said of it."""
    price = estimate_price("kakashi", [OwnedStake(WALK, 1 << 20, 2, 1)], [], 0, None)
    assert price.exposed == ()
    assert price.copies_left == 3
    assert price.text == "1.0 MiB of copies that kakashi lends would go"


def test_a_member_of_the_partner_that_is_not_held_yet_is_said() -> None:
    """It would be lost with its host, and no number of steps says how much."""
    price = estimate_price("kakashi", [], [HeldStake(RUN, 0), HeldStake(SWIM, None)], 1, None)
    assert price.lost == (SWIM,)
    assert price.steps == 0
    assert price.text == (
        "run could go on here, no step lost; swim would be lost with it: nothing of it is held here yet; "
        "1 core that kakashi lends would go"
    )


def test_what_a_member_that_runs_there_has_sealed_since_is_not_known() -> None:
    """So nobody is promised that no step would be lost."""
    runs = HeldStake(SWIM, 0, is_given_up=False)
    assert estimate_price("kakashi", [], [runs], 0, None).text == "swim could go on here from what is held"
    price = estimate_price("kakashi", [], [HeldStake(RUN, 2), runs], 0, None)
    assert price.text == "run and swim could go on here from what is held, at least 2 steps lost"


def test_a_member_that_could_not_be_run_here_is_said() -> None:
    """It was started by hand, or what is needed to run it has not come yet."""
    price = estimate_price("kakashi", [], [HeldStake(RUN, 0), HeldStake(SWIM, 2, bundled=False)], 0, None)
    assert price.text == (
        "run could go on here, no step lost; swim would be kept here, and what is needed to run it is not here"
    )
    helds = [HeldStake(RUN, 0, bundled=False), HeldStake(SWIM, 2, bundled=False)]
    price = estimate_price("kakashi", [], helds, 0, None)
    assert price.text == "run and swim would be kept here, and what is needed to run them is not here"


def test_a_copy_that_only_the_partner_has() -> None:
    """The worst case is said as it is."""
    price = estimate_price("kakashi", [OwnedStake(WALK, 1 << 20, 0, 0)], [], 0, None)
    assert price.copies_left == 0
    assert price.text.startswith("walk would go on without a copy on another host (no other copy is left)")
    members = [OwnedStake(MemberName(f"walk-{n}"), 1, 1, 0) for n in range(4)]
    assert estimate_price("kakashi", members, [], 0, None).text.startswith("4 members would go on")


def test_the_copy_of_a_former_holder_is_left() -> None:
    """It is kept until the present holder has one as new; and a holder that is silent is not counted on."""
    owner = Owner(HOLD)
    former, holder = owner.start()

    def price() -> PriceReport:
        views = owner.machine.bond_views()
        bond = next(view for view in views if view.partner == holder.me)
        return bond_report(bond, views, owner.machine.views(), (), owner.now).price

    owner.tell(bond_events.BondEndAsked(7, former.me))
    owner.run(1)
    assert owner.holder == holder.me
    assert (price().copies_left, price().exposed) == (2, ())
    former.is_heard = False
    owner.run(5)
    assert (price().copies_left, price().exposed) == (1, (WALK,))
