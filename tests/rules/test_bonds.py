"""A bond between two keepers: copies, vouchers, takeovers, returns."""

from __future__ import annotations

import msgspec
from pair import IRUKA, KAKASHI, WALK, Host, Pair

from goldthread.names import Epoch, Step, seconds
from goldthread.report import Contact, EndingKind, Guard, HolderState, OwnerState, Phase
from goldthread.rules import bond_events, events, orders
from goldthread.terms import Consent, Terms, WithoutLeaseStore
from goldthread.wire.bonds import Facts

HOLD = Terms(without_lease_store=WithoutLeaseStore.HOLD)
YIELD = Terms(without_lease_store=WithoutLeaseStore.YIELD)


def test_the_newest_commit_is_held() -> None:
    pair = Pair()
    pair.start(3)
    view = pair.iruka.view
    assert view.owner_state is OwnerState.BONDED
    assert view.held is not None and view.held.step == 3
    assert max(pair.kakashi.held).step == 3


def test_a_life_is_guarded_by_a_lease_only_once_it_has_one() -> None:
    pair = Pair()
    pair.start()
    assert pair.iruka.view.guard is Guard.LEASE
    assert pair.iruka.until is not None and pair.iruka.until > pair.now
    assert pair.register[WALK][0].owner == IRUKA
    assert pair.kakashi.helds[IRUKA, WALK].guard is Guard.LEASE


def test_without_a_lease_store_a_lost_owner_is_left_to_a_person() -> None:
    pair = Pair(store="", terms=HOLD)
    pair.start()
    assert pair.iruka.view.guard is Guard.NONE and pair.iruka.until is None
    pair.iruka.die()
    pair.run(10)
    assert pair.kakashi.running is None
    assert any("goldthread takeover walk" in text for text in pair.kakashi.alarms)
    pair.kakashi.tell(bond_events.TakeoverAsked(7, WALK, KAKASHI))
    pair.run(1)
    assert pair.kakashi.running == 2
    assert pair.kakashi.seal(4)


def test_a_lost_host_is_taken_over_within_three_seconds() -> None:
    pair = Pair()
    pair.start(5)
    lost_at = pair.now
    pair.iruka.die()
    pair.run(4)
    ((epoch, began),) = pair.kakashi.starts
    assert epoch == 2 and began - lost_at <= seconds(3)
    assert pair.kakashi.view.restored is not None and pair.kakashi.view.restored.step == 5
    life = pair.kakashi.lives[WALK, Epoch(1)]
    assert life.ending is not None and life.ending.kind is EndingKind.HOST_LOST
    assert "step 5" in life.lost


def test_a_cut_link_alone_stops_nobody_and_takes_nothing_over() -> None:
    pair = Pair()
    pair.start()
    pair.cut()
    for step in range(4, 40):
        pair.run(0.5)
        assert pair.iruka.seal(step)
    assert pair.kakashi.running is None
    assert pair.iruka.view.owner_state is OwnerState.ALONE
    assert pair.kakashi.helds[IRUKA, WALK].state is HolderState.DOUBTING
    pair.link()
    pair.run(3)
    assert pair.iruka.view.owner_state is OwnerState.BONDED
    assert pair.iruka.view.held is not None and pair.iruka.view.held.step == 39
    assert pair.kakashi.helds[IRUKA, WALK].state is HolderState.BONDED


def test_a_lost_lease_store_alone_stops_nobody() -> None:
    pair = Pair()
    pair.start()
    pair.is_store_up = False
    for step in range(4, 20):
        pair.run(0.5)
        assert pair.iruka.seal(step)
    assert pair.kakashi.running is None and not pair.iruka.frozen


def test_a_life_that_nobody_vouches_for_stops_and_goes_on_when_somebody_does() -> None:
    pair = Pair()
    pair.start()
    pair.cut()
    pair.is_store_up = False
    pair.run(3)
    assert pair.iruka.frozen and not pair.iruka.seal(4)
    assert pair.kakashi.running is None
    pair.is_store_up = True
    pair.run(2)
    assert not pair.iruka.frozen and pair.iruka.seal(4)


def test_a_keeper_that_sleeps_longer_than_its_lease_comes_back_to_a_fenced_member() -> None:
    pair = Pair()
    pair.start()
    pair.cut()
    pair.run(6, (pair.kakashi,))
    assert pair.kakashi.running == 2
    assert not pair.iruka.seal(4), "its program keeps to the voucher by itself"
    pair.link()
    pair.run(2)
    assert pair.iruka.running is None
    assert any("this keeper stood still for 6.0 s" in text for text in pair.iruka.alarms)
    assert pair.iruka.view.phase is Phase.AWAY and pair.iruka.view.epoch == 2
    assert pair.kakashi.seal(4)
    pair.run(2)
    assert pair.iruka.helds[KAKASHI, WALK].state is HolderState.BONDED, "it is the holder now"
    assert pair.kakashi.view.holder == IRUKA


def test_a_copy_that_lands_when_the_holder_has_the_lease_already_changes_nothing() -> None:
    """It was on its way when the owner learned from the store that the newer life is its holder's."""
    pair = Pair()
    pair.start()
    pair.cut()
    pair.run(6, (pair.kakashi,))
    pair.run(2)
    assert pair.iruka.view.phase is Phase.AWAY
    pair.iruka.tell(bond_events.CommitHeld(WALK, KAKASHI, max(pair.iruka.copies)))
    assert pair.iruka.view.owner_state is OwnerState.FENCED


def test_a_host_that_returns_becomes_the_holder_and_starts_nothing() -> None:
    pair = Pair()
    pair.start()
    pair.iruka.die()
    pair.run(4)
    assert pair.kakashi.seal(4)
    pair.iruka.come_back()
    pair.run(4)
    assert pair.iruka.view.phase is Phase.AWAY and pair.iruka.running is None
    assert pair.iruka.helds[KAKASHI, WALK].commit is not None
    assert pair.kakashi.view.owner_state is OwnerState.BONDED


def test_a_host_that_returns_alone_learns_from_the_lease_that_it_is_fenced() -> None:
    pair = Pair()
    pair.start()
    pair.iruka.die()
    pair.run(4)
    pair.cut()
    pair.iruka.come_back()
    pair.run(4)
    assert pair.iruka.running is None and pair.iruka.view.phase is Phase.AWAY


def test_a_host_that_lost_its_memory_gets_its_work_back_from_the_holder() -> None:
    pair = Pair(store="", terms=HOLD)
    pair.start(6)
    pair.iruka.die()
    pair.run(2)
    pair.iruka.come_back()
    pair.run(4)
    assert pair.iruka.running == 2
    restored = pair.iruka.view.restored
    assert restored is not None and restored.step == 6


def test_yield_without_a_lease_store_moves_the_member() -> None:
    pair = Pair(store="", terms=YIELD)
    pair.start()
    assert pair.iruka.view.guard is Guard.PROMISE
    pair.cut()
    pair.run(6)
    assert pair.kakashi.running == 2
    assert not pair.iruka.seal(4)
    assert pair.iruka.frozen


def test_a_member_in_limbo_is_taken_over_by_its_holder() -> None:
    pair = Pair()
    pair.start()
    until_limbo(pair)
    pair.run(2)
    assert pair.kakashi.running is not None
    assert pair.iruka.view.phase is Phase.AWAY


def test_a_member_is_handed_over_without_a_lost_step() -> None:
    pair = Pair()
    pair.start(7)
    pair.iruka.tell(bond_events.TakeoverAsked(9, WALK, KAKASHI))
    pair.run(3)
    assert pair.kakashi.running == 2
    assert pair.kakashi.view.restored is not None and pair.kakashi.view.restored.step == Step(7)
    assert any(isinstance(answer, orders.Accept) and answer.ticket == 9 for answer in pair.iruka.answers)
    assert pair.kakashi.seal(8)
    pair.run(2)
    pair.kakashi.tell(bond_events.BundleMade(WALK, "bundle", ""))
    pair.run(1)
    pair.kakashi.tell(bond_events.TakeoverAsked(10, WALK, IRUKA))
    pair.run(3)
    assert pair.iruka.running == 3 and pair.kakashi.running is None
    assert pair.iruka.view.restored is not None and pair.iruka.view.restored.step == Step(8)


def test_terms_that_ask_leave_it_to_a_person() -> None:
    pair = Pair(terms=Terms(takeover=Consent.ASK))
    pair.start()
    pair.iruka.die()
    pair.run(6)
    assert pair.kakashi.running is None
    pair.kakashi.tell(bond_events.TakeoverAsked(7, WALK, KAKASHI))
    pair.run(2)
    assert pair.kakashi.running == 2


def test_terms_that_are_too_small_are_said_at_once() -> None:
    pair = Pair(terms=Terms(memory=1 << 20))
    pair.start()
    assert pair.iruka.view.owner_state is OwnerState.SEEKING
    assert any("need 2.0 MiB" in text for text in pair.iruka.alarms)


def test_a_difference_between_the_hosts_stands_until_it_is_seen_to() -> None:
    """Said once, and shown with the bond; the hosts are compared again with the next life."""
    pair = Pair()
    pair.kakashi.differences = ("numpy is 2.4 at the owner, 2.3 at the holder",)
    pair.start()
    assert pair.iruka.view.differences == pair.kakashi.differences
    pair.iruka.end()
    pair.run(1)
    told = [text for text in pair.iruka.alarms if "may run otherwise on kakashi: numpy is 2.4" in text]
    assert (len(told), pair.iruka.view.differences) == (1, pair.kakashi.differences)
    pair.kakashi.differences = ()
    pair.iruka.end()
    pair.run(1)
    assert pair.iruka.running == 3 and pair.iruka.view.differences == ()


def test_what_is_needed_to_run_a_member_is_sent_again_to_a_keeper_that_has_not_heard_of_it() -> None:
    """The one before died when it had come, and before that was written down."""
    pair = Pair()
    pair.start()
    pair.kakashi.die()
    pair.kakashi.helds[IRUKA, WALK] = msgspec.structs.replace(pair.kakashi.helds[IRUKA, WALK], bundle="")
    pair.run(2)
    pair.kakashi.come_back()
    pair.run(3)
    assert pair.iruka.view.owner_state is OwnerState.BONDED
    assert pair.kakashi.helds[IRUKA, WALK].bundle == "bundle"


def test_a_keeper_that_ends_says_which_copies_go_with_it() -> None:
    pair = Pair()
    pair.start(3)
    pair.kakashi.tell(events.KeeperStopAsked(7, stop_members=False, leave_members=False))
    (answer,) = pair.kakashi.answers
    assert answer.text == "the keeper ends, and with it the copies that it holds: walk of iruka"
    assert pair.kakashi.helds[IRUKA, WALK].commit is None, "the next keeper would count on it"


def test_a_partner_that_lives_is_not_robbed_by_hand() -> None:
    pair = Pair()
    pair.start()
    pair.kakashi.tell(bond_events.TakeoverAsked(7, WALK, KAKASHI))
    (answer,) = pair.kakashi.answers
    assert isinstance(answer, orders.Refuse) and "--to kakashi" in answer.hint


def test_a_bond_ends_in_peace() -> None:
    pair = Pair()
    pair.start()
    pair.iruka.tell(bond_events.BondEndAsked(3, KAKASHI))
    pair.run(2)
    assert pair.iruka.bonds[KAKASHI].ended and pair.kakashi.bonds[IRUKA].ended
    assert pair.iruka.view.owner_state is OwnerState.SEEKING and pair.iruka.until is None
    assert not pair.kakashi.held and pair.iruka.seal(4)


def test_a_keeper_that_is_known_helps_in_an_emergency_and_a_person_confirms() -> None:
    pair = Pair(terms=Terms(emergency=True))
    pair.iruka.tell(bond_events.BondEndAsked(3, KAKASHI))
    pair.run(1)
    pair.start()
    assert pair.iruka.view.holder is None
    until_limbo(pair)
    pair.run(3)
    assert pair.kakashi.running is not None
    for host in (pair.iruka, pair.kakashi):
        assert any("an emergency bond" in text for text in host.alarms)
    assert "in limbo" in pair.kakashi.bonds[IRUKA].emergency
    pair.kakashi.tell(bond_events.BondConfirmed(4, IRUKA))
    assert pair.kakashi.bonds[IRUKA].emergency == ""


def test_no_emergency_bond_is_tied_where_the_terms_forbid_it() -> None:
    pair = Pair(terms=Terms(emergency=False))
    pair.iruka.tell(bond_events.BondEndAsked(3, KAKASHI))
    pair.run(1)
    pair.start()
    until_limbo(pair)
    pair.run(3)
    assert pair.kakashi.running is None and pair.iruka.bonds[KAKASHI].ended


def test_an_emergency_bond_that_a_person_ended_is_not_tied_again() -> None:
    pair = Pair(terms=Terms(emergency=True))
    pair.iruka.tell(bond_events.BondEndAsked(3, KAKASHI))
    pair.run(1)
    pair.start()
    until_limbo(pair)
    pair.run(3)
    assert pair.kakashi.running is not None
    pair.iruka.tell(bond_events.BondEndAsked(4, KAKASHI))
    pair.run(1)
    until_limbo(pair, pair.kakashi)
    pair.run(3)
    assert pair.kakashi.view.phase is Phase.LIMBO
    for host, other in ((pair.iruka, KAKASHI), (pair.kakashi, IRUKA)):
        assert host.bonds[other].ended
        assert sum("an emergency bond" in text for text in host.alarms) == 1


def test_a_bond_that_is_tied_again_on_the_same_links_ends_again() -> None:
    """And to end one that is over already changes nothing."""
    pair = Pair()
    for ticket in (3, 4):
        pair.iruka.tell(bond_events.BondEndAsked(ticket, KAKASHI))
        pair.run(1)
        assert pair.iruka.bonds[KAKASHI].ended and pair.kakashi.bonds[IRUKA].ended
        pair.iruka.tell(bond_events.BondEndAsked(ticket, KAKASHI))
        assert pair.iruka.answers[-1].text == "the bond with kakashi is over already"
        assert not pair.iruka.bonds[KAKASHI].ending
        pair.iruka.tell(bond_events.BondTied(KAKASHI, "kakashi", Terms(), Terms()))
        pair.kakashi.tell(bond_events.BondTied(IRUKA, "iruka", Terms(), Terms()))
        assert not pair.iruka.bonds[KAKASHI].ended


def until_limbo(pair: Pair, host: Host | None = None) -> None:
    host = host or pair.iruka
    while host.view.phase not in (Phase.LIMBO, Phase.AWAY):
        if host.running is not None:
            host.end()
        pair.run(0.5)


def test_an_older_life_of_a_partner_is_not_heard() -> None:
    pair = Pair()
    pair.start()
    held = pair.kakashi.helds[IRUKA, WALK]
    assert pair.kakashi.machine is not None
    view = next(one for one in pair.kakashi.machine.bond_views())
    old = msgspec.structs.replace(view.owned[0], epoch=Epoch(0), hold=False)
    facts = Facts(99, Terms(), "", "store", 1 << 30, (old,), (), ())
    pair.kakashi.tell(bond_events.BeatHeard(IRUKA, 10_000, facts))
    assert pair.kakashi.helds[IRUKA, WALK].epoch == held.epoch


def test_a_partner_that_is_silent_is_said_to_be_and_why() -> None:
    pair = Pair()
    pair.cut()
    pair.run(3)
    assert pair.iruka.machine is not None
    (view,) = pair.iruka.machine.bond_views()
    assert view.contact is Contact.SILENT and "not heard for" in view.reason


def test_a_keeper_that_was_paused_blames_itself() -> None:
    pair = Pair()
    pair.start()
    pair.run(20, ())
    pair.run(0.1)
    assert pair.iruka.machine is not None
    (view,) = pair.iruka.machine.bond_views()
    assert view.contact is not Contact.SILENT


def test_it_is_known_how_long_it_took_to_have_a_copy_elsewhere_again() -> None:
    """From when the copy is known to be lost until a new whole one is there; a silence that it outlived is none."""
    pair = Pair()
    pair.start()
    pair.cut()
    pair.run(5)
    pair.link()
    pair.run(3)
    assert pair.iruka.view.rebond is None
    pair.kakashi.die()
    pair.run(5)
    pair.kakashi.come_back()
    pair.run(5)
    assert pair.iruka.view.held is not None
    assert pair.iruka.view.rebond is not None and pair.iruka.view.rebond < seconds(10)
    told = [text for text in pair.iruka.alarms if text.startswith("kakashi")][1:]
    assert told == [
        "kakashi, which holds walk, is heard again",
        "kakashi, which holds walk, is heard again",
        "kakashi has lost its copy of walk; it is sent again",
        "kakashi has a whole copy of walk again: 0.0 MiB went there",
    ]


def test_a_damaged_copy_is_mended_from_the_holder() -> None:
    pair = Pair()
    pair.start(4)
    newest = max(pair.iruka.copies)
    pair.iruka.copies.discard(newest)  # Its slot is found damaged: it is listed, and no chunk of it is whole.
    pair.iruka.damaged.add(newest)
    pair.iruka.end()
    pair.run(1)
    restored = pair.iruka.view.restored
    assert restored == newest
    assert any("was mended" in text for text in pair.iruka.alarms)


def test_of_two_lives_under_one_number_the_one_at_the_origin_makes_way() -> None:
    """A person took the member over although its owner lived, and its program died there meanwhile."""
    pair = Pair(store="", terms=HOLD)
    pair.start()
    pair.cut()
    pair.run(5)
    pair.kakashi.tell(bond_events.TakeoverAsked(7, WALK, KAKASHI))
    pair.iruka.end()
    pair.run(5)
    assert (pair.iruka.running, pair.kakashi.running) == (2, 2)
    pair.link()
    pair.run(3)
    assert (pair.iruka.running, pair.kakashi.running) == (None, 2)
    assert pair.iruka.view.phase is Phase.AWAY


def test_a_person_takes_back_what_was_given_up_to_a_host_that_is_lost() -> None:
    pair = Pair(store="", terms=HOLD)
    pair.start()
    pair.cut()
    pair.iruka.tell(bond_events.TakeoverAsked(7, WALK, KAKASHI))
    pair.run(2)
    assert pair.iruka.running is None and pair.iruka.view.phase is Phase.DOWN
    pair.iruka.tell(bond_events.TakeoverAsked(8, WALK, IRUKA))
    pair.run(1)
    assert pair.iruka.running == 100  # Above all that may have begun elsewhere.


def test_a_keeper_without_its_journal_frees_no_life_that_a_partner_may_take_over() -> None:
    pair = Pair()
    pair.start(3)
    pair.cut()
    pair.is_store_up = False
    pair.iruka.lose_journal()
    pair.run(4)
    assert pair.iruka.frozen and not pair.iruka.seal(4)
    assert pair.kakashi.running is None
    pair.link()
    pair.is_store_up = True
    pair.run(3)
    assert pair.iruka.running == 1 and not pair.iruka.frozen and pair.iruka.seal(5)
    assert any("the journal knows nothing of the bond with kakashi" in text for text in pair.iruka.alarms)
