"""How lives begin, go on, end and are followed by others."""

from __future__ import annotations

import pytest
from talk import FINISHED, KILLED, RAISED, WALK, Talk, commit, copy_of

from goldthread.names import Epoch, Level, MemberName, Step, milliseconds
from goldthread.policy import Budget, Policy
from goldthread.report import AlarmLevel, Ending, EndingKind, Phase, Vitals
from goldthread.rules import events, orders
from goldthread.rules.bond_events import CopyMended
from goldthread.rules.bond_orders import MendCopy
from goldthread.rules.machine import InvalidTransition
from goldthread.rules.member import TRANSITIONS

UNSEEN = Ending(EndingKind.UNKNOWN, "nobody saw it")


def test_every_phase_has_its_row_in_the_table() -> None:
    assert set(Phase) == set(TRANSITIONS)
    assert {Phase.ABSENT, Phase.RETURNING} == set(Phase) - set().union(*TRANSITIONS.values())


def test_persist_comes_before_the_order_that_acts_on_it() -> None:
    talk = Talk()
    talk.run()
    kinds = [type(order) for order in talk.heard]
    assert kinds.index(orders.Persist) < kinds.index(orders.StartProgram)


def test_a_first_life_says_that_it_is_the_first() -> None:
    talk = Talk()
    talk.first_life()
    admit = next(order for order in talk.all if isinstance(order, orders.Admit))
    assert admit.copy is None
    assert admit.reason == "this is the first life of walk"


def test_a_program_waits_for_admission_until_its_copy_is_checked() -> None:
    talk = Talk()
    talk.first_life(3)
    talk.end(1)
    talk.join(102, 2)
    assert talk.heard == []
    talk.list(copy_of(1, 3))
    assert [copy_of(1, 3)] == [order.copy for order in talk.got(orders.CheckCopy)]
    talk.check(copy_of(1, 3))
    assert copy_of(1, 3) == talk.one(orders.Admit).copy


def test_what_runs_is_refused_a_second_time() -> None:
    talk = Talk()
    talk.first_life()
    talk.join(200)
    assert talk.one(orders.Refuse).error == "MemberTaken"
    assert "process 100" in talk.one(orders.Refuse).text
    talk.run()
    assert talk.one(orders.Refuse).error == "MemberTaken"


def test_a_process_that_asks_again_gets_one_answer() -> None:
    talk = Talk()
    first = talk.join(100)
    second = talk.join(100)
    assert first == talk.one(orders.Refuse).ticket
    talk.list()
    assert second == talk.one(orders.Admit).ticket


def test_a_process_of_an_older_life_is_fenced() -> None:
    talk = Talk()
    talk.first_life(2)
    talk.end(1)
    talk.join(100, 1)
    assert talk.one(orders.Refuse).error == "Fenced"
    talk.tell(events.LifeFound(WALK, Epoch(1), 100))
    assert talk.one(orders.SignalProgram).epoch == 1


def test_news_of_an_older_life_is_ignored() -> None:
    talk = Talk()
    talk.first_life(2)
    talk.end(1)
    for news in (
        events.LifeRestored(WALK, Epoch(1)),
        events.LifeLeft(WALK, Epoch(1)),
        events.LifeEnded(WALK, Epoch(1), KILLED),
        events.StacksTaken(WALK, Epoch(1), ""),
        events.CommitSealed(WALK, commit(1, 9), 1000),
    ):
        assert talk.tell(news) == []
    talk.beat(1, 9)
    assert talk.heard == []


def test_news_of_a_life_to_come_is_a_broken_invariant() -> None:
    talk = Talk()
    talk.first_life()
    with pytest.raises(InvalidTransition):
        talk.seal(2, 1)
    with pytest.raises(InvalidTransition):
        talk.end(2)
    with pytest.raises(InvalidTransition):
        talk.tell(events.LifeFound(WALK, Epoch(2), 9))
    with pytest.raises(InvalidTransition):
        talk.machine.handle(events.Ticked(), type(talk.now)(0))


def test_time_does_not_go_backwards() -> None:
    talk = Talk()
    talk.tell(events.Ticked(), 1)
    with pytest.raises(InvalidTransition):
        talk.tell(events.Ticked(), -0.5)


def test_a_fresh_run_uses_no_earlier_commit() -> None:
    talk = Talk()
    talk.first_life(2)
    talk.end(1, FINISHED)
    talk.run(fresh=True)
    talk.list(copy_of(1, 2))
    talk.list(copy_of(1, 2))
    talk.join(102, 2)
    admit = talk.one(orders.Admit)
    assert admit.copy is None
    assert "as asked" in admit.reason
    talk.end(2)
    talk.next_life(3)
    admit = next(order for order in reversed(talk.all) if isinstance(order, orders.Admit))
    assert "no life since life 2" in admit.reason


def test_a_program_may_ask_for_a_fresh_start_but_not_at_every_restart() -> None:
    talk = Talk()
    talk.first_life(2)
    talk.end(1, FINISHED)
    talk.run()
    talk.join(102, 2, fresh=True)
    talk.list(copy_of(1, 2))
    talk.list(copy_of(1, 2))
    assert talk.one(orders.Admit).copy is None
    talk.seal(2, 1)
    talk.end(2)
    talk.list(copy_of(2, 1))
    talk.join(103, 3, fresh=True)
    talk.check(copy_of(2, 1))
    assert copy_of(2, 1) == talk.one(orders.Admit).copy


def test_a_fresh_start_may_be_asked_for_after_the_copies_were_listed() -> None:
    talk = Talk()
    talk.first_life(2)
    talk.end(1, FINISHED)
    talk.run()
    talk.list(copy_of(1, 2))
    talk.list(copy_of(1, 2))
    talk.join(102, 2, fresh=True)
    assert talk.one(orders.Admit).copy is None


def test_a_member_that_should_have_a_commit_does_not_start_over() -> None:
    talk = Talk()
    talk.first_life(2)
    talk.end(1)
    talk.list()
    talk.join(102, 2)
    assert talk.one(orders.Refuse).error == "NothingToRestore"
    assert talk.one(orders.Alarm).level == AlarmLevel.CRITICAL
    assert talk.one(orders.SignalProgram).signal == 9
    talk.end(2, RAISED)
    assert talk.view.phase == Phase.LIMBO
    assert talk.view.vitals == Vitals.LIMBO


def test_a_member_started_by_hand_does_not_start_over_either() -> None:
    talk = Talk()
    talk.by_hand(2)
    talk.end(1, UNSEEN)
    assert talk.view.phase == Phase.DOWN
    talk.list(copy_of(1, 2))
    talk.join(101)
    talk.list()
    assert talk.one(orders.Refuse).error == "NothingToRestore"
    assert talk.view.phase == Phase.LIMBO


def test_a_damaged_commit_is_passed_over_and_said() -> None:
    talk = Talk()
    talk.first_life(3)
    talk.end(1)
    talk.list(copy_of(1, 2), copy_of(1, 3), copy_of(1, 3, Level.DEPOSITED))
    talk.join(102, 2)
    talk.check(copy_of(1, 3), whole=False)
    talk.check(copy_of(1, 3, Level.DEPOSITED), whole=False)
    assert talk.one(MendCopy).copies == (copy_of(1, 3), copy_of(1, 3, Level.DEPOSITED))
    talk.tell(CopyMended(WALK, commit(1, 3), False, (), "chunk 2 is whole nowhere"))
    talk.check(copy_of(1, 2))
    admit = talk.one(orders.Admit)
    assert copy_of(1, 2) == admit.copy
    assert "step 3 of life 1 in memory is damaged (1 of 8 chunks)" in admit.reason
    assert talk.one(orders.Alarm).level == AlarmLevel.WARNING


def test_what_a_life_lost_is_told_again_once_its_newest_commit_is_not_to_be_had() -> None:
    """It had sealed step 3, and so had lost nothing, as far as was known when it ended."""
    talk = Talk()
    talk.first_life(3)
    talk.end(1)
    assert [life.lost for life in talk.lives if life.epoch == 1][-1] == "nothing: step 3 was sealed"
    talk.list(copy_of(1, 2), copy_of(1, 3))
    talk.join(102, 2)
    talk.check(copy_of(1, 3), whole=False)
    talk.check(copy_of(1, 2))
    lost = [life.lost for life in talk.lives if life.epoch == 1][-1]
    assert lost == "the work since step 2: step 3 of life 1 in memory is damaged (1 of 8 chunks)"
    assert talk.one(orders.Admit).previous == [life for life in talk.lives if life.epoch == 1][-1]


def test_a_commit_that_cannot_be_mended_counts_no_more_while_its_life_goes_on() -> None:
    """Its user is told of the newest that is whole; the next one counts again."""
    talk = Talk()
    talk.first_life(3)
    talk.check(copy_of(1, 3), whole=False)
    talk.tell(CopyMended(WALK, commit(1, 3), False, (), "chunk 2 is whole nowhere"))
    talk.list(copy_of(1, 2), copy_of(1, 3))
    assert talk.view.sealed == copy_of(1, 2)
    talk.seal(1, 4)
    assert talk.view.sealed == copy_of(1, 4)


def test_what_is_seen_late_is_as_old_as_it_is() -> None:
    """A new keeper sees commits and beats that were made before it came."""
    talk = Talk()
    talk.first_life(1)
    at = talk.now
    talk.ticks(5)
    talk.tell(events.CommitSealed(WALK, commit(1, 2), 1000, at))
    talk.tell(events.ProgramBeat(WALK, Epoch(1), 2, milliseconds(100), Step(2), at, 0, at))
    assert (talk.view.sealed_at, talk.view.beat_at) == (at, at)


def test_a_commit_that_is_gone_is_named() -> None:
    talk = Talk()
    talk.first_life(3)
    talk.end(1)
    talk.next_life(2, copy_of(1, 2))
    assert "step 3 of life 1 was sealed and no copy of it is left" in talk.one(orders.Admit).reason


def test_restarts_wait_longer_and_longer_until_the_budget_is_spent() -> None:
    talk = Talk()
    talk.run(budget=Budget(4))
    epoch, waits = 1, []
    while talk.view.phase is not Phase.LIMBO:
        talk.started(epoch)
        talk.end(epoch, RAISED)
        if talk.view.phase is Phase.WAITING:
            before = talk.now
            while talk.view.phase is Phase.WAITING:
                talk.ticks(0.1)
            waits.append(round((talk.now - before) / 1e9))
        epoch += 1
    assert waits == [1, 2, 4]
    assert "5 deaths, and the budget is 4 in 10 min" in talk.view.reason
    assert talk.view.restarts_left == 0


MISSPELT = Ending(EndingKind.EXCEPTION, "NameError: name 'stepp' is not defined", "", 1, "NameError at walk.py:3")
NOT_UNDERSTOOD = Ending(EndingKind.EXIT, "exit status 2", "", 2, "exit status: 2")
BUSY = Ending(EndingKind.EXCEPTION, "OSError: [Errno 98] Address already in use", "", 1, "OSError at walk.py:3")
NO_SPELLING = Ending(EndingKind.EXIT, "exit status 3", "", 3, "exit status: 3")


@pytest.mark.parametrize("ending", [MISSPELT, NOT_UNDERSTOOD])
def test_what_is_written_wrong_is_started_twice(ending: Ending) -> None:
    """Before the first commit nothing can be wounded: the same error again lies in the program, or in its call."""
    talk = Talk()
    talk.run()
    talk.end(1, ending)
    assert talk.one(orders.StartProgram).epoch == 2
    talk.end(2, ending)
    assert talk.view.phase is Phase.LIMBO
    assert "it died twice of the same before its first commit" in talk.view.reason
    talk.tell(events.RestartAsked(talk.ticket(), WALK))
    assert talk.one(orders.StartProgram).epoch == 3


@pytest.mark.parametrize("ending", [BUSY, NO_SPELLING, KILLED])
def test_what_may_be_bad_luck_has_its_budget_from_the_beginning(ending: Ending) -> None:
    talk = Talk()
    talk.run()
    talk.end(1, ending)
    talk.end(2, ending)
    assert talk.view.phase is Phase.WAITING


def test_two_errors_are_not_one_that_comes_again() -> None:
    talk = Talk()
    talk.run()
    talk.end(1, MISSPELT)
    talk.end(2, NOT_UNDERSTOOD)
    assert talk.view.phase is Phase.WAITING


def test_what_once_worked_is_not_written_wrong() -> None:
    """The same error after a commit is a wound."""
    talk = Talk()
    talk.first_life(3)
    talk.end(1, MISSPELT)
    talk.next_life(2, copy_of(1, 3), copy_of(1, 2))
    talk.end(2, MISSPELT)
    assert talk.one(orders.StartProgram).epoch == 3
    assert "older commit" in talk.one(orders.Alarm).text


def test_a_death_after_progress_is_followed_at_once() -> None:
    talk = Talk()
    talk.first_life(1)
    for epoch in range(1, 5):
        talk.end(epoch)
        assert [epoch + 1] == [order.epoch for order in talk.got(orders.StartProgram)]
        talk.next_life(epoch + 1, copy_of(epoch, epoch))
        talk.seal(epoch + 1, epoch + 1)


def test_a_command_that_cannot_be_started_is_not_tried_again() -> None:
    talk = Talk()
    talk.run()
    talk.end(1, Ending(EndingKind.NOT_STARTED, "no such file"))
    assert talk.view.phase == Phase.LIMBO


def test_who_is_in_limbo_may_be_run_and_restarted() -> None:
    talk = Talk()
    talk.run()
    talk.end(1, Ending(EndingKind.NOT_STARTED, "no such file"))
    talk.tell(events.RestartAsked(talk.ticket(), WALK))
    assert talk.one(orders.StartProgram).epoch == 2
    talk.tell(events.RestartAsked(talk.ticket(), WALK))
    assert "runs already" in talk.one(orders.Refuse).text


def test_a_program_started_by_hand_is_not_restarted() -> None:
    talk = Talk()
    talk.by_hand(1)
    talk.end(1, UNSEEN)
    assert talk.view.phase == Phase.DOWN
    assert talk.view.vitals == Vitals.DOWN
    assert talk.view.restarts_left is None
    talk.tell(events.RestartAsked(talk.ticket(), WALK))
    assert "not started by `goldthread run`" in talk.one(orders.Refuse).text


def test_a_program_that_ends_before_its_admission_is_answered() -> None:
    talk = Talk()
    ticket = talk.join(100)
    talk.end(1, UNSEEN)
    assert ticket == talk.one(orders.Refuse).ticket


def test_a_process_that_left_may_join_again_as_the_next_life() -> None:
    talk = Talk()
    talk.first_life(2)
    talk.tell(events.LifeLeft(WALK, Epoch(1)))
    talk.join(100, 1)
    talk.list(copy_of(1, 2))
    talk.check(copy_of(1, 2))
    assert talk.one(orders.Admit).epoch == 2
    talk.tell(events.StopAsked(talk.ticket(), WALK, 15))
    assert talk.one(orders.SignalProgram).epoch == 1
    talk.end(1, Ending(EndingKind.SIGNAL, "signal 15", "", -15))
    assert talk.view.phase == Phase.ENDED


def test_what_left_in_peace_by_hand_has_ended() -> None:
    talk = Talk()
    talk.by_hand(1)
    talk.tell(events.LifeLeft(WALK, Epoch(1)))
    assert talk.view.phase == Phase.ENDED


def test_a_life_is_told_in_moments() -> None:
    talk = Talk()
    talk.first_life(2)
    talk.end(1)
    talk.next_life(2, copy_of(1, 2))
    talk.tell(events.LifeRestored(WALK, Epoch(2)))
    talk.beat(2, 1)
    names = [name for name, _ in talk.lives[-1].moments]
    assert names == ["died", "seen", "decided", "started", "imports", "restored", "first new step"]


@pytest.mark.parametrize(
    ("sealed", "reached", "ending", "lost"),
    [
        (3, 3, KILLED, "nothing: step 3 was sealed"),
        (3, 5, KILLED, "the work since step 3: it had reached step 5"),
        (0, 0, FINISHED, "nothing: it sealed no commit"),
        (0, 1, KILLED, "all its work"),
        (3, 3, UNSEEN, "whatever came after step 3"),
        (0, 0, UNSEEN, "whatever it had done"),
    ],
)
def test_a_death_says_what_was_lost(sealed: int, reached: int, ending: Ending, lost: str) -> None:
    talk = Talk()
    talk.first_life(sealed)
    if reached:
        talk.beat(1, reached)
    talk.end(1, ending)
    assert lost in [life.lost for life in talk.lives]


def test_a_death_before_a_new_commit_loses_the_work_since_it_was_restored() -> None:
    talk = Talk()
    talk.first_life(3)
    talk.end(1)
    talk.next_life(2, copy_of(1, 3))
    talk.end(2)
    assert "the work since step 3" in [life.lost for life in talk.lives]


def test_the_same_death_at_the_same_step_twice_is_a_wound() -> None:
    talk = Talk()
    talk.first_life(3)
    talk.end(1, RAISED)
    talk.next_life(2, copy_of(1, 3), copy_of(1, 2))
    talk.end(2, RAISED)
    assert "older commit" in talk.one(orders.Alarm).text
    talk.next_life(3, copy_of(1, 2), copy_of(1, 3))
    admit = talk.one(orders.Admit)
    assert copy_of(1, 2) == admit.copy
    assert "died 2 times in a row of the same (ValueError) at step 3" in admit.reason


def test_a_wound_with_nothing_older_uses_the_oldest_there_is() -> None:
    talk = Talk()
    talk.first_life(3)
    talk.end(1, RAISED)
    talk.next_life(2, copy_of(1, 3))
    talk.end(2, RAISED)
    talk.next_life(3, copy_of(1, 3))
    assert "so the oldest there is is used" in talk.one(orders.Admit).reason


def test_members_do_not_touch_each_other() -> None:
    talk = Talk()
    talk.first_life(1)
    talk.tell(events.RunAsked(9, MemberName("tide"), Budget()))
    talk.end(1)
    assert [view.name for view in talk.machine.views()] == ["tide", "walk"]
    assert [view.epoch for view in talk.machine.views()] == [1, 2]


def test_what_is_asked_of_nobody_is_refused() -> None:
    talk = Talk()
    talk.tell(events.StopAsked(1, WALK, 15))
    assert talk.one(orders.Refuse).text == "there is no member walk"
    assert talk.tell(events.LifeEnded(WALK, Epoch(1), KILLED)) == []
    assert talk.machine.view(WALK) is None


def test_a_tick_is_wanted_within_a_tick_while_a_life_runs() -> None:
    talk = Talk()
    assert talk.machine.deadline() is None
    talk.first_life()
    talk.tell(events.Ticked())
    assert talk.now + Policy().tick == talk.machine.deadline()


def test_the_newest_commits_of_older_lives_stay_until_two_are_sealed() -> None:
    talk = Talk()
    talk.first_life(3)
    talk.end(1)
    talk.next_life(2, copy_of(1, 3), copy_of(1, 2), copy_of(1, 1))
    assert talk.got(orders.FreeSlots) == []  # The copy may be damaged by the time that the program reads it.
    talk.tell(events.LifeRestored(WALK, Epoch(2)))
    assert (commit(1, 3), commit(1, 2), commit(1, 1)) == talk.one(orders.FreeSlots).keep
    talk.seal(2, 1)
    assert talk.got(orders.FreeSlots) == []
    talk.seal(2, 2)
    assert talk.one(orders.FreeSlots).keep == ()


def test_a_commit_that_was_told_already_is_no_news() -> None:
    talk = Talk()
    talk.first_life(2)
    talk.seal(1, 2)
    assert talk.heard == []


def test_a_background_check_that_finds_damage_is_said() -> None:
    talk = Talk()
    talk.first_life(1)
    talk.ticks(1)
    talk.check(copy_of(1, 1), whole=False)
    assert "damaged in memory" in talk.one(orders.Alarm).text
    assert Step(1) == talk.view.step
