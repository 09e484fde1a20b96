"""A keeper after another, and a keeper that ends."""

from __future__ import annotations

import pytest
from talk import FINISHED, KILLED, RAISED, WALK, Talk, commit, copy_of

from goldthread.names import Epoch, Level, milliseconds, seconds
from goldthread.policy import Budget, Policy
from goldthread.report import EndingKind, Phase
from goldthread.rules import events, orders

GRACE = Policy().return_grace / 1e9 + 0.1


def found(talk: Talk, epoch: int, pid: int = 100) -> None:
    talk.tell(events.LifeFound(WALK, Epoch(epoch), pid))


def test_a_life_that_comes_back_goes_on() -> None:
    talk = Talk()
    talk.first_life(3)
    talk.replace_keeper()
    assert talk.view.phase == Phase.RETURNING
    found(talk, 1)
    assert talk.view.phase == Phase.RUNNING
    assert talk.got(orders.Admit) == []


def test_a_new_keeper_frees_what_earlier_lives_left() -> None:
    """The last one died before the present life had two commits of its own: their slots came back with its shim."""
    talk = Talk()
    talk.first_life(3)
    talk.end(1)
    talk.next_life(2, copy_of(1, 3), copy_of(1, 2))
    talk.replace_keeper()
    found(talk, 2)
    talk.list(copy_of(1, 3), copy_of(1, 2))
    talk.seal(2, 1)
    assert talk.got(orders.FreeSlots) == []
    talk.seal(2, 2)
    assert (Epoch(2), ()) == (talk.one(orders.FreeSlots).epoch, talk.one(orders.FreeSlots).keep)


def test_a_life_that_was_still_starting_joins_the_new_keeper() -> None:
    talk = Talk()
    talk.run()
    talk.replace_keeper()
    talk.started(1)
    assert talk.view.phase == Phase.STARTING
    talk.list()
    talk.join(100, 1)
    assert talk.one(orders.Admit).epoch == 1


def test_a_life_that_does_not_come_back_has_ended() -> None:
    talk = Talk()
    talk.first_life(3)
    talk.replace_keeper()
    talk.ticks(GRACE)
    assert [order.epoch for order in talk.got(orders.StartProgram)] == [2]
    assert next(life.ending for life in talk.lives if life.ending).kind == EndingKind.UNKNOWN  # type: ignore[union-attr]


def test_a_keeper_that_slept_waits_on() -> None:
    talk = Talk()
    talk.first_life(3)
    talk.replace_keeper()
    talk.tell(events.Ticked(), 3600)
    assert talk.view.phase == Phase.RETURNING


def test_who_comes_back_to_a_keeper_that_stood_still_is_given_the_time_again() -> None:
    """However often it slept, and however long; and a keeper that is starved without end waits for a bounded time."""
    talk = Talk(Policy(tick=milliseconds(500), return_grace=seconds(2)))
    talk.first_life(3)
    talk.replace_keeper()
    talk.tell(events.Ticked(), 0.2)
    for _ in range(2):
        talk.tell(events.Ticked(), 4)
    talk.tell(events.Ticked(), 0.5)
    assert talk.view.phase == Phase.RETURNING
    for _ in range(8):
        talk.tell(events.Ticked(), 4)
    assert talk.view.phase == Phase.STARTING


def test_a_death_that_the_shim_tells_of_is_a_death() -> None:
    talk = Talk()
    talk.first_life(3)
    talk.replace_keeper()
    talk.end(1)
    assert talk.one(orders.StartProgram).epoch == 2


def test_a_reboot_ends_every_life_and_forgets_its_deaths() -> None:
    talk = Talk()
    talk.run(budget=Budget(1))
    talk.list()
    talk.started(1)
    talk.end(1, RAISED)
    talk.replace_keeper(rebooted=True)
    assert talk.now == talk.machine.deadline()
    talk.tell(events.Ticked(), 0)
    assert talk.one(orders.StartProgram).epoch == 3
    assert talk.record.deaths == ()


def test_a_life_told_to_stop_is_told_again() -> None:
    talk = Talk()
    talk.first_life(3)
    talk.tell(events.StopAsked(talk.ticket(), WALK, 15))
    talk.replace_keeper()
    found(talk, 1)
    assert talk.one(orders.SignalProgram).signal == 15
    talk.end(1)
    assert talk.view.phase == Phase.ENDED


def test_a_life_told_to_stop_that_is_gone_has_stopped() -> None:
    talk = Talk()
    talk.first_life(3)
    talk.tell(events.StopAsked(talk.ticket(), WALK, 15))
    talk.replace_keeper()
    talk.ticks(GRACE)
    assert talk.view.phase == Phase.ENDED


def test_what_waited_starts_after_the_grace() -> None:
    talk = Talk()
    talk.run()
    for epoch in (1, 2):
        talk.started(epoch)
        talk.end(epoch)
    talk.replace_keeper()
    talk.ticks(GRACE)
    assert [order.epoch for order in talk.got(orders.StartProgram)] == [3]
    for epoch in (3,):
        talk.started(epoch)
        talk.end(epoch)
    talk.replace_keeper(rebooted=True)
    talk.tell(events.Ticked())
    talk.tell(events.Ticked())
    assert talk.view.phase == Phase.STARTING


def test_what_is_asked_while_the_living_come_back_is_answered_then() -> None:
    talk = Talk()
    talk.first_life(3)
    talk.replace_keeper()
    ticket = talk.join(200)
    assert talk.heard == []
    found(talk, 1)
    assert ticket == talk.one(orders.Refuse).ticket


def test_a_program_started_by_hand_after_everything_died_goes_on() -> None:
    talk = Talk()
    talk.by_hand(3)
    talk.replace_keeper()
    talk.join(200)
    talk.ticks(GRACE)
    assert talk.view.phase == Phase.STARTING
    talk.list(copy_of(1, 3, Level.DEPOSITED))
    talk.list(copy_of(1, 3, Level.DEPOSITED))
    talk.check(copy_of(1, 3, Level.DEPOSITED))
    assert talk.one(orders.Admit).epoch == 2


def test_a_limbo_whose_newest_commit_is_in_memory_waits_for_its_shim() -> None:
    talk = Talk()
    talk.run(budget=Budget(0))
    talk.list()
    talk.started(1)
    talk.join(100, 1)
    talk.seal(1, 1)
    talk.end(1)
    assert talk.view.phase == Phase.LIMBO
    talk.replace_keeper()
    talk.run()
    assert talk.heard == []
    talk.end(1)
    assert talk.one(orders.StartProgram).epoch == 2


def test_a_process_whose_admission_was_lost_is_admitted_as_the_next_life() -> None:
    talk = Talk()
    talk.first_life()
    talk.replace_keeper()
    talk.join(100, 1)
    talk.list()
    talk.list()
    assert talk.one(orders.Admit).epoch == 2
    talk.end(1)
    assert talk.one(orders.StartProgram).epoch == 3


def test_a_process_started_by_hand_whose_admission_was_lost_too() -> None:
    talk = Talk()
    talk.by_hand()
    talk.replace_keeper()
    talk.join(100)
    talk.list()
    talk.list()
    assert talk.one(orders.Admit).epoch == 2


def test_a_life_that_was_given_up_and_lives_is_taken_back() -> None:
    talk = Talk()
    talk.by_hand(1)
    talk.replace_keeper()
    talk.ticks(GRACE)
    assert talk.view.phase == Phase.DOWN
    found(talk, 1)
    assert talk.view.phase == Phase.RUNNING


def test_a_life_that_ended_in_peace_is_not_taken_back() -> None:
    talk = Talk()
    talk.first_life(1)
    talk.end(1, FINISHED)
    found(talk, 1)
    assert talk.one(orders.SignalProgram).signal == 9


# The journal was lost


def test_a_member_is_known_from_its_copies() -> None:
    talk = Talk()
    talk.list(copy_of(7, 3, Level.DEPOSITED))
    assert (talk.view.phase, talk.view.epoch) == (Phase.DOWN, 7)


def test_who_joins_a_member_known_from_its_copies_waits_for_a_life_that_may_come_back() -> None:
    talk = Talk()
    talk.list(copy_of(7, 3, Level.DEPOSITED))
    talk.join(100)
    assert (talk.view.phase, talk.view.epoch) == (Phase.DOWN, 7)
    talk.ticks(GRACE)
    assert (talk.view.phase, talk.view.epoch) == (Phase.STARTING, 8)


def test_a_life_of_a_member_known_from_its_copies_comes_back_and_stays_the_only_one() -> None:
    talk = Talk()
    talk.list(copy_of(7, 3, Level.DEPOSITED))
    talk.join(101)
    talk.tell(events.LifeFound(WALK, Epoch(7), 100))
    assert talk.one(orders.Refuse).error == "MemberTaken"
    assert (talk.view.epoch, talk.view.pid) == (7, 100)


def test_a_life_begun_before_its_copies_are_known_outranks_them() -> None:
    talk = Talk()
    talk.join(100)
    talk.list(copy_of(7, 3, Level.DEPOSITED))
    talk.check(copy_of(7, 3, Level.DEPOSITED))
    admit = talk.one(orders.Admit)
    assert (8, copy_of(7, 3, Level.DEPOSITED)) == (admit.epoch, admit.copy)


def test_a_fresh_life_begun_before_its_copies_are_known_starts_over() -> None:
    talk = Talk()
    talk.run(fresh=True)
    talk.join(100, 1)
    talk.list(copy_of(7, 3, Level.DEPOSITED))
    assert (talk.one(orders.Admit).epoch, talk.one(orders.Admit).copy) == (8, None)


@pytest.mark.parametrize("sign", ["beat", "seal", "list"])
def test_a_life_that_the_journal_forgot_shows_that_it_had_joined(sign: str) -> None:
    talk = Talk()
    found(talk, 5)
    assert talk.view.phase == Phase.STARTING
    if sign == "beat":
        talk.beat(5, 3)
    elif sign == "seal":
        talk.seal(5, 3)
    else:
        talk.list(copy_of(5, 3))
    assert (talk.view.phase, talk.view.joined, talk.view.epoch) == (Phase.RUNNING, True, 5)


def test_a_life_that_the_journal_forgot_may_still_have_to_join() -> None:
    talk = Talk()
    talk.list(copy_of(4, 3, Level.DEPOSITED))
    talk.started(5)
    talk.join(100, 5)
    talk.list(copy_of(4, 3, Level.DEPOSITED))
    talk.check(copy_of(4, 3, Level.DEPOSITED))
    assert talk.one(orders.Admit).epoch == 5


def test_a_process_of_a_life_that_the_journal_forgot_is_that_life() -> None:
    talk = Talk()
    talk.join(100, 5)
    assert (talk.view.epoch, talk.view.supervised) == (5, True)


def test_the_end_of_a_life_that_the_journal_forgot_counts() -> None:
    talk = Talk()
    talk.list(copy_of(4, 3, Level.DEPOSITED))
    talk.end(6)
    assert talk.view.epoch == 6


# The end of a keeper


def test_a_keeper_does_not_end_while_programs_run() -> None:
    talk = Talk()
    talk.first_life()
    talk.tell(events.KeeperStopAsked(talk.ticket(), False, False))
    assert "walk" in talk.one(orders.Refuse).text


def test_a_keeper_without_members_ends_at_once() -> None:
    talk = Talk()
    talk.tell(events.KeeperStopAsked(talk.ticket(), False, False))
    assert [orders.Accept, orders.StopKeeper] == [type(order) for order in talk.heard]


def test_a_keeper_that_leaves_its_members_deposits_first() -> None:
    talk = Talk()
    talk.first_life(2)
    talk.tell(events.KeeperStopAsked(talk.ticket(), False, True))
    assert talk.got(orders.StopKeeper) == []
    talk.run()
    assert "about to end" in talk.one(orders.Refuse).text
    talk.tell(events.CommitDeposited(WALK, commit(1, 2), 1000))
    assert len(talk.got(orders.StopKeeper)) == 1
    assert talk.view.phase == Phase.RUNNING


def test_a_keeper_ends_also_when_the_vault_is_full() -> None:
    talk = Talk()
    talk.first_life(2)
    talk.tell(events.KeeperStopAsked(talk.ticket(), False, True))
    talk.tell(events.DepositFailed(WALK, commit(1, 2), "full"))
    assert len(talk.got(orders.StopKeeper)) == 1


def test_a_keeper_that_is_asked_to_end_keeps_what_the_vault_does_not_take() -> None:
    """It would be lost with its memory. Once the vault has it, or nobody wants it any more, the keeper ends."""
    talk = Talk()
    talk.first_life(2)
    ticket = talk.ticket()
    talk.tell(events.KeeperStopAsked(ticket, True, False))
    talk.end(1)
    talk.list(copy_of(1, 2))
    talk.tell(events.DepositFailed(WALK, commit(1, 2), "full"))
    refused = talk.one(orders.Refuse)
    assert (refused.ticket, refused.error) == (ticket, "NoRoom")
    assert "in its memory alone is step 2 of life 1 of walk" in refused.text
    assert talk.got(orders.StopKeeper) == []
    talk.tell(events.KeeperStopAsked(talk.ticket(), True, False))
    talk.tell(events.CommitDeposited(WALK, commit(1, 2), 1000))
    assert len(talk.got(orders.StopKeeper)) == 1


def test_a_keeper_that_goes_on_starts_lives_again() -> None:
    talk = Talk()
    talk.first_life(2)
    talk.tell(events.KeeperStopAsked(talk.ticket(), True, False))
    talk.end(1)
    talk.list(copy_of(1, 2))
    talk.tell(events.DepositFailed(WALK, commit(1, 2), "full"))
    talk.run()
    assert talk.one(orders.StartProgram).epoch == 2


def test_a_keeper_that_stops_its_members_waits_for_them() -> None:
    talk = Talk()
    talk.first_life(2)
    talk.tell(events.KeeperStopAsked(talk.ticket(), True, False))
    assert talk.one(orders.SignalProgram).signal == 15
    talk.end(1)
    talk.list(copy_of(1, 2))
    talk.tell(events.CommitDeposited(WALK, commit(1, 2), 1000))
    assert len(talk.got(orders.StopKeeper)) == 1
    assert talk.view.phase == Phase.ENDED


def test_what_dies_while_the_keeper_ends_is_started_by_the_next() -> None:
    talk = Talk()
    talk.first_life(2)
    talk.tell(events.KeeperStopAsked(talk.ticket(), False, True))
    talk.end(1)
    assert talk.view.phase == Phase.WAITING
    assert {type(order) for order in talk.ticks(1)} <= {orders.CheckCopy}
    talk.replace_keeper()
    talk.ticks(GRACE)
    assert talk.view.phase == Phase.STARTING


def test_whoever_still_waits_is_told_that_the_keeper_ends() -> None:
    talk = Talk()
    talk.first_life(2)
    talk.replace_keeper()
    held = talk.join(200)
    talk.tell(events.KeeperStopAsked(talk.ticket(), False, True))
    assert [held] == [order.ticket for order in talk.got(orders.Refuse)]


def test_a_keeper_asked_to_stop_its_members_waits_for_those_that_may_come_back() -> None:
    talk = Talk()
    talk.first_life(2)
    talk.replace_keeper()
    talk.tell(events.KeeperStopAsked(talk.ticket(), True, False))
    assert talk.got(orders.StopKeeper) == []
    talk.ticks(GRACE)
    assert talk.view.phase == Phase.ENDED
    talk.list()
    assert len([order for order in talk.all if isinstance(order, orders.StopKeeper)]) == 1


def test_a_life_killed_while_nobody_looked_is_seen() -> None:
    talk = Talk()
    talk.first_life(2)
    talk.end(1, KILLED)
    assert talk.view.deaths == 1
