"""What users ask of bonds, and what is refused: each with what to do instead."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from pair import IRUKA, KAKASHI, WALK, Host, Pair
from trio import HOLD, Owner

from goldthread.names import CommitId, Epoch, KeeperId, Level, MemberName, Step
from goldthread.policy import Budget
from goldthread.report import OwnerState, Phase
from goldthread.rules import bond_events, events, orders
from goldthread.rules.events import Copy
from goldthread.terms import Consent, Terms, WithoutLeaseStore

NOBODY = KeeperId("n" * 32)
OTHER = MemberName("other")


def asked(host: Host, event: Any) -> Any:
    """What a user hears."""
    host.answers.clear()
    host.tell(event)
    (answer,) = host.answers
    return answer


@pytest.mark.parametrize(
    "event",
    [
        bond_events.TermsAsked(7, NOBODY, Terms()),
        bond_events.BondEndAsked(7, NOBODY),
        bond_events.BondConfirmed(7, NOBODY),
        bond_events.BondForgetAsked(7, NOBODY),
        bond_events.HoldAsked(7, OTHER),
    ],
)
def test_what_is_not_known_is_refused(event: Any) -> None:
    answer = asked(Pair().iruka, event)
    assert isinstance(answer, orders.Refuse) and "there is no such bond or member" in answer.text


def test_a_bond_that_stands_is_not_forgotten_and_one_that_is_over_is() -> None:
    pair = Pair()
    refused = asked(pair.iruka, bond_events.BondForgetAsked(7, KAKASHI))
    assert isinstance(refused, orders.Refuse) and "bond end kakashi" in refused.hint
    pair.iruka.tell(bond_events.BondEndAsked(8, KAKASHI))
    pair.run(2)
    forgotten = asked(pair.iruka, bond_events.BondForgetAsked(9, KAKASHI))
    assert isinstance(forgotten, orders.Accept)
    assert pair.iruka.machine is not None and pair.iruka.machine.bond_views() == ()


def test_a_bond_is_tied_anew_after_one_side_has_forgotten_the_other() -> None:
    """Who remembers hears what the other says now, not what it said in the bond before."""
    pair = Pair()
    for _ in range(9):
        for memory in (1 << 30, 2 << 30):
            pair.kakashi.tell(bond_events.TermsAsked(7, IRUKA, Terms(memory=memory)))
    pair.run(1)
    pair.kakashi.tell(bond_events.BondEndAsked(8, IRUKA))
    pair.run(2)
    pair.kakashi.tell(bond_events.BondForgetAsked(9, IRUKA))
    pair.iruka.tell(bond_events.BondTied(KAKASHI, "kakashi", Terms(), Terms()))
    pair.kakashi.tell(bond_events.BondTied(IRUKA, "iruka", Terms(), Terms()))
    pair.link()
    pair.start()
    assert pair.iruka.view.held is not None and pair.iruka.view.held.step == 3
    assert [text for text in pair.iruka.alarms if "is tied" in text] == 2 * ["a bond with kakashi is tied"]


def limbo(pair: Pair) -> None:
    """It stays with its owner, and its deposit fails."""
    pair.start(5)
    for _ in range(3):
        pair.iruka.end()
        pair.run(3)
    assert pair.iruka.view.phase is Phase.LIMBO
    pair.iruka.tell(events.DepositFailed(WALK, CommitId(Epoch(1), Step(5), 5), "the disk is full"))


ASK = Terms(takeover=Consent.ASK)


def test_what_is_forgotten_is_let_go_by_its_holder() -> None:
    """And a member of that name starts over, under a number that outranks all that may be left of it."""
    pair = Pair(terms=ASK)
    limbo(pair)
    forgotten = asked(pair.iruka, events.ForgetAsked(7, WALK))
    assert isinstance(forgotten, orders.Accept)
    pair.run(1)
    assert pair.kakashi.helds == {} and pair.kakashi.held == set()
    pair.start(2)
    assert (pair.iruka.view.epoch, pair.iruka.view.restored) == (4, None)
    assert pair.iruka.view.held == CommitId(Epoch(4), Step(2), 2)
    assert pair.kakashi.helds[IRUKA, WALK].epoch == 4


def test_what_is_forgotten_while_its_holder_is_away_does_not_come_back() -> None:
    """Nor with a new keeper; and the holder lets it go when it is heard again."""
    pair = Pair(terms=ASK)
    limbo(pair)
    pair.cut()
    asked(pair.iruka, events.ForgetAsked(7, WALK))
    pair.iruka.die()
    pair.iruka.come_back()
    pair.link()
    pair.iruka.tell(events.RunAsked(1, WALK, Budget(2)))
    pair.run(3)
    assert (pair.iruka.view.epoch, pair.iruka.view.restored) == (4, None)


def test_what_waits_to_be_started_again_is_handed_over() -> None:
    pair = Pair()
    pair.start(budget=3)
    for _ in range(3):
        pair.iruka.end()
        pair.settle()
    assert pair.iruka.view.phase is Phase.WAITING
    pair.iruka.tell(bond_events.TakeoverAsked(7, WALK, KAKASHI))
    pair.run(3)
    assert (pair.iruka.running, pair.kakashi.running) == (None, 4)


def handed_over_in_the_dark(pair: Pair) -> None:
    """To a partner that does not hear so before the bond is ended."""
    pair.start()
    pair.cut()
    pair.iruka.tell(bond_events.TakeoverAsked(7, WALK, KAKASHI))
    pair.run(0.5)
    assert pair.iruka.view.phase is Phase.DOWN
    pair.iruka.tell(bond_events.BondEndAsked(8, KAKASHI))
    pair.run(0.5)


def test_what_was_handed_over_starts_here_after_all_when_the_bond_ends() -> None:
    """Where its lease is had back."""
    pair = Pair()
    handed_over_in_the_dark(pair)
    assert pair.iruka.running == 2


def test_what_was_handed_over_waits_for_the_end_of_the_bond_where_there_is_no_lease() -> None:
    """The partner may have taken it meanwhile."""
    pair = Pair(store="")
    handed_over_in_the_dark(pair)
    assert pair.iruka.running is None
    pair.link()
    pair.run(3)
    assert (pair.iruka.running, pair.kakashi.running) == (2, None)


def test_a_life_that_was_taken_over_does_not_go_on_when_the_bond_is_over() -> None:
    """That the partner agrees to the end may be heard before the word of the newer life there."""
    pair = Pair(store="", terms=Terms(without_lease_store=WithoutLeaseStore.YIELD))
    pair.start()
    pair.cut()
    pair.iruka.tell(bond_events.BondEndAsked(7, KAKASHI))
    pair.run(4)
    assert pair.iruka.frozen and pair.kakashi.running == 2
    pair.iruka.tell(bond_events.BondOver(KAKASHI, "it has agreed"))
    assert not pair.iruka.seal(4)
    pair.link()
    pair.run(1)
    assert pair.iruka.view.phase is Phase.AWAY


def test_what_was_handed_over_starts_here_after_all_when_the_partner_has_lost_its_copy() -> None:
    """Nobody else could start it, and nothing that is here would be sent."""
    pair = Pair()
    pair.start()
    pair.kakashi.die()
    pair.iruka.tell(bond_events.TakeoverAsked(7, WALK, KAKASHI))
    pair.run(0.5)
    assert pair.iruka.view.phase is Phase.DOWN
    pair.kakashi.come_back()
    pair.run(5)
    assert (pair.iruka.running, pair.kakashi.running) == (2, None)


def test_who_asks_for_a_handover_before_the_first_copy_came_is_told_to_wait() -> None:
    """The partner is the holder, and has nothing to go on from yet."""
    pair = Pair()
    pair.passing = set()
    pair.iruka.tell(events.RunAsked(1, WALK, Budget(2)))
    pair.passing = {IRUKA, KAKASHI}
    pair.run(1)
    assert pair.iruka.view.owner_state is OwnerState.SYNCING
    pair.iruka.tell(bond_events.TakeoverAsked(7, WALK, KAKASHI))
    refused = pair.iruka.answers[-1]
    assert isinstance(refused, orders.Refuse) and "on its way to kakashi" in refused.text


def test_terms_that_are_too_small_for_a_state_are_said_when_the_bond_is_tied() -> None:
    """By its owner, at once; and it is held as soon as more is lent."""
    pair = Pair()
    pair.iruka.tell(bond_events.BondEndAsked(7, KAKASHI))
    pair.run(2)
    pair.start()
    small = Terms(memory=1 << 20)
    pair.iruka.tell(bond_events.BondTied(KAKASHI, "kakashi", Terms(), small))
    pair.kakashi.tell(bond_events.BondTied(IRUKA, "iruka", small, Terms()))
    pair.run(1)
    too_small = "its copies need 2.0 MiB, and 1.0 MiB of what the terms lend are left"
    assert [text for text in pair.iruka.alarms if "walk" in text] == [f"kakashi does not hold walk: {too_small}"]
    assert pair.iruka.machine is not None
    assert pair.iruka.machine.bond_views()[0].refusals == ((WALK, too_small),)
    pair.kakashi.tell(bond_events.TermsAsked(8, IRUKA, Terms()))
    pair.run(1)
    assert pair.iruka.view.held is not None and pair.iruka.view.held.step == 3


def test_what_runs_elsewhere_is_not_run_here_and_the_hint_leads_there() -> None:
    """Nothing of this host could show or stop it."""
    pair = Pair()
    pair.start(3)
    pair.iruka.tell(bond_events.TakeoverAsked(7, WALK, KAKASHI))
    pair.run(2)
    pair.iruka.tell(events.RunAsked(8, WALK, Budget()))
    refused = pair.iruka.answers[-1]
    assert isinstance(refused, orders.Refuse) and refused.ticket == 8
    assert refused.text == "life 2 of walk is kakashi's"
    assert refused.hint.startswith("`goldthread takeover walk`")


def test_a_carrier_that_still_starts_is_waited_for_in_silence() -> None:
    """It is in every first minute of a bond; what lasts is said once."""
    owner = Owner(HOLD)
    owner.is_carried = False
    commit = CommitId(Epoch(1), Step(5), 5)
    owner.tell(events.RunAsked(1, WALK, Budget(0)))
    owner.run(0.5)
    owner.copies = (Copy(commit, Level.SEALED, 1000),)
    owner.tell(events.CommitSealed(WALK, commit, 1000))
    owner.run(2)
    assert not [text for text in owner.alarms if "no carrier" in text]
    owner.run(20)
    assert [text for text in owner.alarms if "no carrier" in text] == [
        "a copy of walk could not be brought to its holder: no carrier"
    ]
    owner.is_carried = True
    owner.run(3)
    view = owner.machine.view(WALK)
    assert view is not None and view.held == commit


def test_an_end_that_the_partner_cannot_hear_is_said_to_be_one_sided() -> None:
    pair = Pair()
    pair.cut()
    pair.iruka.tell(bond_events.LinkLost(KAKASHI, "no answer"))
    answer = asked(pair.iruka, bond_events.BondEndAsked(7, KAKASHI))
    assert isinstance(answer, orders.Accept) and "there when it is heard" in answer.text


def test_what_is_held_for_a_partner_that_is_lost_is_let_go_when_it_is_forgotten() -> None:
    """To end the bond is not enough: it may come back, and have nothing else."""
    pair = Pair(terms=Terms(takeover=Consent.NO))
    pair.start()
    pair.iruka.die()
    pair.run(3)
    pair.kakashi.tell(bond_events.LinkLost(IRUKA, "no answer"))
    ended = asked(pair.kakashi, bond_events.BondEndAsked(7, IRUKA))
    assert "its copies of walk stay here until then" in ended.text and pair.kakashi.held
    assert isinstance(asked(pair.kakashi, bond_events.BondForgetAsked(8, IRUKA)), orders.Accept)
    assert not pair.kakashi.held and not pair.kakashi.helds and not pair.kakashi.bonds


def test_a_takeover_of_what_is_not_here_is_refused() -> None:
    pair = Pair()
    pair.start()
    unknown = asked(pair.kakashi, bond_events.TakeoverAsked(7, OTHER, KAKASHI))
    assert isinstance(unknown, orders.Refuse) and "other is not held here" in unknown.text
    elsewhere = asked(pair.kakashi, bond_events.TakeoverAsked(7, OTHER, IRUKA))
    assert isinstance(elsewhere, orders.Refuse) and "other is not owned here" in elsewhere.text


def test_a_member_is_handed_only_to_a_holder_that_takes_over() -> None:
    pair = Pair()
    pair.start()
    stranger = asked(pair.iruka, bond_events.TakeoverAsked(7, WALK, NOBODY))
    assert isinstance(stranger, orders.Refuse) and "there is no bond with" in stranger.text
    pair.kakashi.tell(bond_events.TermsAsked(8, IRUKA, Terms(takeover=Consent.ASK)))
    pair.run(1)
    asking = asked(pair.iruka, bond_events.TakeoverAsked(9, WALK, KAKASHI))
    assert isinstance(asking, orders.Refuse) and "takeover ask" in asking.text
    assert "bond terms iruka --takeover yes" in asking.hint
    assert pair.iruka.running == 1


def test_what_nobody_could_run_elsewhere_is_not_handed_over() -> None:
    pair = Pair()
    pair.start()
    assert pair.iruka.machine is not None
    pair.iruka.tell(bond_events.BundleMade(WALK, "", "it is too large"))
    answer = asked(pair.iruka, bond_events.TakeoverAsked(7, WALK, KAKASHI))
    assert isinstance(answer, orders.Refuse) and "what is needed to run walk elsewhere is not known" in answer.text
    assert any("too large" in text for text in pair.iruka.alarms)


def test_a_lost_owner_of_which_nothing_whole_is_held_is_not_taken_over_by_hand() -> None:
    pair = Pair()
    pair.start()
    pair.kakashi.tell(bond_events.CopiesGone(IRUKA, WALK, "the carrier died"))
    pair.iruka.die()
    pair.run(3)
    answer = asked(pair.kakashi, bond_events.TakeoverAsked(7, WALK, KAKASHI))
    assert isinstance(answer, orders.Refuse) and answer.error == "NothingToRestore"
    assert "no whole copy of it is here" in answer.text


def test_an_event_of_a_bond_that_is_not_known_changes_nothing() -> None:
    pair = Pair()
    before = pair.iruka.machine.bond_views() if pair.iruka.machine is not None else None
    for event in (
        bond_events.LinkUp(NOBODY, "nobody"),
        bond_events.LinkLost(NOBODY, "it ended"),
        bond_events.BondOver(NOBODY, "it ended"),
        bond_events.BeatHeard(NOBODY, 1, None),
        bond_events.BeatAnswered(NOBODY, 1, 0, 0, ()),
        bond_events.CopiesGone(NOBODY, WALK, "it died"),
        bond_events.BundleLanded(NOBODY, WALK, "bundle"),
    ):
        pair.iruka.tell(event)
    assert pair.iruka.machine is not None
    after = pair.iruka.machine.bond_views()
    assert before is not None
    assert [msgspec.structs.replace(view, reason="") for view in after] == [
        msgspec.structs.replace(view, reason="") for view in before
    ]


def test_a_member_that_went_away_goes_on_from_what_was_kept_aside_when_a_person_says_so() -> None:
    """Its new owner is lost, and nothing of its newer life had come back yet. That one may have begun more lives, which
    nobody heard of: what a person decided outranks them."""
    pair = Pair()
    pair.start(3)
    pair.cut()
    pair.is_store_up = False
    pair.run(3)
    pair.is_store_up = True
    pair.run(4, hosts=[pair.kakashi])
    assert pair.kakashi.running == 2
    pair.run(1)
    assert pair.iruka.view.phase is Phase.AWAY and pair.iruka.running is None
    pair.kakashi.die()
    answer = asked(pair.iruka, bond_events.TakeoverAsked(7, WALK, IRUKA))
    assert isinstance(answer, orders.Accept)
    pair.run(4)
    assert pair.iruka.running is not None and pair.iruka.seal(5)
    assert pair.iruka.running > 10
