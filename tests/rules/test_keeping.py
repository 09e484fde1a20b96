"""What goes to the vault and when, what is removed, and what users ask of a member at rest."""

from __future__ import annotations

import pytest
from talk import FINISHED, KILLED, WALK, Talk, commit, copy_of

from goldthread.names import CommitId, Epoch, Level, Step, seconds
from goldthread.policy import Policy
from goldthread.report import AlarmLevel, Phase
from goldthread.rules import events, orders
from goldthread.rules.orders import Ceiling
from goldthread.rules.retention import deposits_to_keep, rank_copies, slots_to_keep

POLICY = Policy(deposit_every=seconds(10), deposit_retry=seconds(5))


def deposited(talk: Talk, epoch: int, step: int) -> None:
    talk.tell(events.CommitDeposited(WALK, commit(epoch, step), 1000))


def failed(talk: Talk, epoch: int, step: int) -> None:
    talk.tell(events.DepositFailed(WALK, commit(epoch, step), "the disk is full"))


def test_the_newest_commit_goes_to_the_vault_at_its_time() -> None:
    talk = Talk(POLICY)
    talk.first_life(3)
    talk.ticks(9)
    assert talk.got(orders.Deposit) == []
    talk.ticks(2)
    assert [commit(1, 3)] == [order.commit for order in talk.got(orders.Deposit)]
    deposited(talk, 1, 3)
    assert commit(1, 3) == talk.view.deposited == talk.record.deposited
    assert (commit(1, 3),) == talk.one(orders.TrimVault).keep
    talk.ticks(30)
    assert talk.got(orders.Deposit) == []


def test_one_deposit_is_under_way_at_a_time() -> None:
    talk = Talk(POLICY)
    talk.first_life(1)
    talk.ticks(11)
    talk.beat(1, 2)
    talk.seal(1, 2)
    talk.ticks(20)
    assert talk.got(orders.Deposit) == []
    deposited(talk, 1, 1)
    assert [commit(1, 2)] == [order.commit for order in talk.got(orders.Deposit)]


def test_a_deposit_may_bring_a_newer_commit_than_was_ordered() -> None:
    talk = Talk(POLICY)
    talk.first_life(1)
    talk.ticks(11)
    deposited(talk, 1, 4)
    assert commit(1, 4) == talk.view.deposited


def test_failed_deposits_are_tried_again_and_said_once() -> None:
    talk = Talk(POLICY)
    talk.first_life(1)
    talk.ticks(11)
    failed(talk, 1, 1)
    assert talk.one(orders.Alarm).level == AlarmLevel.WARNING
    talk.ticks(6)
    assert len(talk.got(orders.Deposit)) == 1
    failed(talk, 1, 1)
    assert talk.got(orders.Alarm) == []
    talk.ticks(6)
    deposited(talk, 1, 1)
    assert talk.one(orders.Alarm).level == AlarmLevel.NOTICE


def test_answers_that_nobody_waits_for_are_ignored() -> None:
    talk = Talk(POLICY)
    talk.first_life(1)
    deposited(talk, 1, 1)
    assert talk.heard == []
    failed(talk, 1, 1)
    assert talk.heard == []


def test_who_asks_for_a_deposit_waits_for_it() -> None:
    talk = Talk(POLICY)
    talk.first_life(2)
    ticket = talk.ticket()
    talk.tell(events.DepositAsked(ticket, WALK))
    assert len(talk.got(orders.Deposit)) == 1
    deposited(talk, 1, 2)
    assert ticket == talk.one(orders.Accept).ticket
    talk.tell(events.DepositAsked(talk.ticket(), WALK))
    assert "all that was sealed" in talk.one(orders.Accept).text


def test_who_asks_for_a_deposit_during_another_waits_for_the_next() -> None:
    talk = Talk(POLICY)
    talk.first_life(1)
    talk.ticks(11)
    talk.beat(1, 2)
    talk.seal(1, 2)
    talk.tell(events.DepositAsked(talk.ticket(), WALK))
    deposited(talk, 1, 1)
    assert talk.got(orders.Accept) == []
    assert len(talk.got(orders.Deposit)) == 1
    deposited(talk, 1, 2)
    assert len(talk.got(orders.Accept)) == 1


def test_who_asks_for_a_deposit_that_fails_is_refused() -> None:
    talk = Talk(POLICY)
    talk.first_life(2)
    talk.tell(events.DepositAsked(talk.ticket(), WALK))
    failed(talk, 1, 2)
    assert talk.one(orders.Refuse).error == "NoRoom"


def test_what_ended_in_peace_is_deposited_read_again_and_freed() -> None:
    talk = Talk(POLICY)
    talk.first_life(3)
    talk.end(1, FINISHED)
    talk.list(copy_of(1, 3), copy_of(1, 2))
    assert [commit(1, 3)] == [order.commit for order in talk.got(orders.Deposit)]
    deposited(talk, 1, 3)
    assert talk.got(orders.FreeSlots) == []
    talk.check(copy_of(1, 3, Level.DEPOSITED))
    assert (talk.one(orders.FreeSlots).epoch, talk.one(orders.FreeSlots).keep) == (2, ())
    assert talk.view.sealed is None


def test_a_deposit_that_is_damaged_when_read_again_is_made_again() -> None:
    talk = Talk(POLICY)
    talk.first_life(3)
    talk.end(1, FINISHED)
    talk.list(copy_of(1, 3), copy_of(1, 2))
    deposited(talk, 1, 3)
    talk.check(copy_of(1, 3, Level.DEPOSITED), whole=False)
    assert "damaged in the vault" in talk.one(orders.Alarm).text
    assert len(talk.got(orders.Deposit)) == 1
    deposited(talk, 1, 3)
    talk.check(copy_of(1, 3, Level.DEPOSITED))
    assert len(talk.got(orders.FreeSlots)) == 1


def test_what_sealed_nothing_is_freed_at_its_end() -> None:
    talk = Talk(POLICY)
    talk.first_life()
    talk.end(1, FINISHED)
    talk.list()
    assert len(talk.got(orders.FreeSlots)) == 1


def test_what_died_keeps_its_memory_and_is_deposited() -> None:
    talk = Talk(POLICY)
    talk.by_hand(2)
    talk.end(1, KILLED)
    talk.list(copy_of(1, 2))
    assert len(talk.got(orders.Deposit)) == 1
    deposited(talk, 1, 2)
    assert talk.got(orders.FreeSlots) == []


def test_a_last_seal_that_is_told_late_is_deposited_too() -> None:
    talk = Talk(POLICY)
    talk.by_hand(2)
    talk.end(1, KILLED)
    talk.seal(1, 3)
    assert [commit(1, 3)] == [order.commit for order in talk.got(orders.Deposit)]


def test_what_a_life_was_restored_from_stays_until_it_has_sealed() -> None:
    talk = Talk(Policy(vault_keep=2))
    talk.first_life(3)
    talk.end(1)
    old = copy_of(1, 1, Level.DEPOSITED)
    talk.list(copy_of(1, 3), old)
    talk.join(102, 2)
    talk.check(copy_of(1, 3), whole=False)
    talk.check(old)
    talk.tell(events.DepositAsked(talk.ticket(), WALK))
    deposited(talk, 1, 3)
    assert commit(1, 1) in talk.one(orders.TrimVault).keep


def test_a_rollback_names_where_the_next_life_starts() -> None:
    talk = Talk()
    talk.first_life(5)
    ticket = talk.ticket()
    talk.tell(events.RollbackAsked(ticket, WALK, Step(3)))
    assert "cannot be rolled back while it runs" in talk.one(orders.Refuse).text
    talk.end(1, FINISHED)
    talk.list(*(copy_of(1, step) for step in (5, 4, 2)))
    talk.tell(events.RollbackAsked(talk.ticket(), WALK, Step(3)))
    talk.list(*(copy_of(1, step) for step in (5, 4, 2)))
    assert talk.one(orders.Accept).text == "the next life starts from step 2 of life 1"
    talk.run()
    talk.next_life(2, copy_of(1, 2), copy_of(1, 5))
    assert copy_of(1, 2) == talk.one(orders.Admit).copy
    assert "its user asked for step 3" in talk.one(orders.Admit).reason


def test_a_rollback_to_before_everything_is_refused() -> None:
    talk = Talk()
    talk.by_hand(5)
    talk.end(1, KILLED)
    talk.list(copy_of(1, 5))
    talk.tell(events.RollbackAsked(talk.ticket(), WALK, Step(3)))
    talk.list(copy_of(1, 5))
    assert (talk.one(orders.Refuse).error, talk.one(orders.Refuse).hint) == (
        "NothingToRestore",
        "there are the steps: 5",
    )


def test_a_rollback_that_is_overtaken_by_a_life_is_refused() -> None:
    talk = Talk()
    talk.by_hand(5)
    talk.end(1, KILLED)
    talk.list(copy_of(1, 5))
    talk.tell(events.RollbackAsked(talk.ticket(), WALK, Step(3)))
    talk.run()
    talk.list(copy_of(1, 5))
    assert "while it runs" in talk.one(orders.Refuse).text


def test_a_rollback_whose_commits_are_all_damaged_restores_nothing_newer() -> None:
    talk = Talk()
    talk.by_hand(5)
    talk.end(1, KILLED)
    talk.list(copy_of(1, 5), copy_of(1, 3))
    talk.tell(events.RollbackAsked(talk.ticket(), WALK, Step(3)))
    talk.list(copy_of(1, 5), copy_of(1, 3))
    talk.run()
    talk.list(copy_of(1, 5), copy_of(1, 3))
    talk.join(102, 2)
    talk.check(copy_of(1, 3), whole=False)
    assert talk.one(orders.Refuse).error == "NothingToRestore"


def test_a_member_at_rest_is_forgotten_once_nothing_is_under_way() -> None:
    talk = Talk()
    talk.first_life(2)
    talk.tell(events.ForgetAsked(talk.ticket(), WALK))
    assert "cannot be forgotten while it runs" in talk.one(orders.Refuse).text
    talk.end(1, FINISHED)
    first, second = talk.ticket(), talk.ticket()
    talk.tell(events.ForgetAsked(first, WALK))
    talk.tell(events.ForgetAsked(second, WALK))
    assert first == talk.one(orders.Refuse).ticket
    talk.list(copy_of(1, 2))
    assert talk.got(orders.Forget) == []
    deposited(talk, 1, 2)
    assert len(talk.got(orders.Forget)) == 1
    assert talk.machine.view(WALK) is None


def test_who_waits_for_a_forgotten_member_is_told() -> None:
    talk = Talk()
    talk.by_hand(2)
    talk.end(1, KILLED)
    talk.list(copy_of(1, 2))
    waiting = talk.ticket()
    talk.tell(events.DepositAsked(waiting, WALK))
    talk.tell(events.ForgetAsked(talk.ticket(), WALK))
    failed(talk, 1, 2)
    assert [waiting] == [order.ticket for order in talk.got(orders.Refuse)]
    assert len(talk.got(orders.Forget)) == 1


def test_a_member_that_was_run_again_is_not_forgotten() -> None:
    talk = Talk()
    talk.first_life(2)
    talk.end(1, FINISHED)
    talk.tell(events.ForgetAsked(talk.ticket(), WALK))
    talk.run()
    talk.list(copy_of(1, 2))
    talk.list(copy_of(1, 2))
    assert "cannot be forgotten" in talk.one(orders.Refuse).text
    assert talk.view.phase == Phase.STARTING


def test_memory_comes_before_the_vault_and_newer_before_older() -> None:
    copies = [copy_of(1, 2), copy_of(1, 3, Level.DEPOSITED), copy_of(1, 3), copy_of(2, 1)]
    assert (copies[3], copies[2], copies[1], copies[0]) == rank_copies(copies, Epoch(0), None)
    assert (copies[3],) == rank_copies(copies, Epoch(2), None)


def test_the_newest_deposit_stays_whatever_the_ceiling() -> None:
    ceiling = Ceiling(Epoch(1), Step(5), False, "a wound")
    deposits = [commit(1, step) for step in (2, 4, 6, 8)]
    assert (commit(1, 8), commit(1, 4), commit(1, 2)) == deposits_to_keep(deposits, frozenset(), ceiling, 3)
    assert (commit(1, 6), commit(1, 8)) == deposits_to_keep(deposits[2:], frozenset({commit(1, 8)}), None, 3)


@pytest.mark.parametrize(("chosen", "kept"), [(4, [4, 3, 2]), (2, [2, 1, 3]), (1, [1, 2, 3])])
def test_of_earlier_lives_three_commits_stay_in_memory(chosen: int, kept: list[int]) -> None:
    copies = [copy_of(1, step) for step in (1, 2, 3, 4)]
    expected: tuple[CommitId, ...] = tuple(commit(1, step) for step in kept)
    assert expected == slots_to_keep(copies, commit(1, chosen))
