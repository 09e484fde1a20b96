"""Silence, stacks, stops: when a program is ended by us, and when it is not."""

from __future__ import annotations

from talk import KILLED, WALK, Talk, copy_of

from goldthread.names import Epoch, Instant, Span, Step, seconds
from goldthread.policy import Policy
from goldthread.report import EndingKind, Phase, Vitals
from goldthread.rules import events, orders
from goldthread.rules.detector import Detector

POLICY = Policy(hang_floor=seconds(5), stop_grace=seconds(3))


def test_a_silent_program_is_slow_then_stuck_then_killed() -> None:
    talk = Talk(POLICY)
    talk.first_life(4)
    talk.ticks(1)
    assert talk.view.vitals == Vitals.SLOW
    assert "no beat for" in talk.view.reason
    talk.ticks(4.2)
    assert (talk.view.phase, talk.view.vitals) == (Phase.STUCK, Vitals.STUCK)
    assert talk.got(orders.SignalProgram) == []
    talk.tell(events.StacksTaken(WALK, Epoch(1), "in line 7"))
    assert talk.one(orders.SignalProgram).signal == 9
    talk.end(1)
    ending = talk.one(orders.Announce).ending
    assert ending is not None
    assert (ending.kind, ending.detail, ending.status) == (EndingKind.HANG, "in line 7", -9)


def test_a_program_whose_stacks_cannot_be_had_is_killed_all_the_same() -> None:
    talk = Talk(POLICY)
    talk.first_life(4)
    talk.ticks(5.2)
    talk.ticks(2.2)
    assert [order.signal for order in talk.got(orders.SignalProgram)] == [9]


def test_a_beat_calms() -> None:
    talk = Talk(POLICY)
    talk.first_life(4)
    talk.ticks(5.2)
    talk.beat(1, 5, gap=5.3)
    assert talk.view.phase == Phase.RUNNING
    talk.ticks(10)
    assert talk.view.phase == Phase.RUNNING


def test_a_life_is_not_judged_before_it_beats() -> None:
    talk = Talk(POLICY)
    talk.first_life(2)
    talk.ticks(60)
    assert talk.view.vitals == Vitals.WELL


def test_a_keeper_that_slept_blames_itself() -> None:
    talk = Talk(POLICY)
    talk.first_life(4)
    talk.tell(events.Ticked(), after=3600)
    assert talk.view.vitals == Vitals.WELL


def test_a_program_started_by_hand_is_not_killed() -> None:
    talk = Talk(POLICY)
    talk.by_hand(4)
    talk.ticks(5.2)
    talk.tell(events.StacksTaken(WALK, Epoch(1), ""))
    talk.ticks(5)
    assert [order for order in talk.all if isinstance(order, orders.SignalProgram)] == []
    assert talk.view.phase == Phase.STUCK


def test_stacks_of_a_program_started_by_hand_are_taken_once() -> None:
    talk = Talk(POLICY)
    talk.by_hand(4)
    talk.ticks(20)
    assert len([order for order in talk.all if isinstance(order, orders.TakeStacks)]) == 1


def test_what_left_is_not_judged() -> None:
    talk = Talk(POLICY)
    talk.first_life(4)
    talk.tell(events.LifeLeft(WALK, Epoch(1)))
    talk.ticks(60)
    assert talk.view.phase == Phase.RUNNING


def test_the_longest_gap_is_remembered_across_lives() -> None:
    talk = Talk(POLICY)
    talk.first_life(4)
    talk.ticks(4)
    talk.beat(1, 5, gap=4)
    assert seconds(4) == talk.record.gap
    talk.end(1)
    talk.next_life(2, copy_of(1, 4))
    for beats in range(1, 5):
        talk.beat(2, beats)
    talk.ticks(30)
    assert talk.view.phase == Phase.RUNNING


def test_a_member_may_have_a_hang_floor_of_its_own() -> None:
    detector = Detector(POLICY, seconds(1), Span(0), Span(0))
    first = events.ProgramBeat(WALK, Epoch(1), 9, Span(1), Step(9), Instant(0), 0)
    detector.take(first, Instant(0), Span(0))
    assert detector.judge(seconds(1.1)) == Vitals.STUCK


def test_a_stop_is_a_signal_and_after_the_grace_a_kill() -> None:
    talk = Talk(POLICY)
    talk.first_life(2)
    talk.tell(events.StopAsked(talk.ticket(), WALK, 15))
    assert talk.one(orders.SignalProgram).signal == 15
    talk.tell(events.StopAsked(talk.ticket(), WALK, 2))
    assert talk.one(orders.SignalProgram).signal == 2
    talk.ticks(3.2)
    assert [order.signal for order in talk.got(orders.SignalProgram)] == [9]
    talk.join(200)
    assert "was told to end" in talk.one(orders.Refuse).text
    talk.end(1)
    assert talk.view.phase == Phase.ENDED
    assert talk.lives[-1].ending.kind == EndingKind.STOPPED  # type: ignore[union-attr]
    talk.tell(events.StopAsked(talk.ticket(), WALK, 15))
    assert "does not run" in talk.one(orders.Accept).text


def test_an_interrupt_that_is_ignored_is_forgotten() -> None:
    talk = Talk(POLICY)
    talk.first_life(2)
    talk.tell(events.StopAsked(talk.ticket(), WALK, 2, escalate=False))
    talk.ticks(3.2)
    assert talk.view.phase == Phase.RUNNING
    talk.end(1)
    assert talk.view.phase == Phase.STARTING


def test_an_interrupt_during_the_imports_lets_the_program_join_later() -> None:
    talk = Talk(POLICY)
    talk.run()
    talk.join(100, 1)
    talk.tell(events.StopAsked(talk.ticket(), WALK, 2, escalate=False))
    talk.list()
    assert talk.got(orders.Admit) == []
    talk.ticks(3.2)
    assert len(talk.got(orders.Admit)) == 1


def test_a_stop_before_the_program_started_is_told_to_it_when_it_does() -> None:
    talk = Talk(POLICY)
    talk.run()
    talk.tell(events.StopAsked(talk.ticket(), WALK, 15))
    talk.started(1)
    assert talk.one(orders.SignalProgram).signal == 15


def test_what_waits_to_be_started_again_is_stopped_at_once() -> None:
    talk = Talk(POLICY)
    talk.run()
    for epoch in (1, 2):
        talk.started(epoch)
        talk.end(epoch, KILLED)
    assert talk.view.phase == Phase.WAITING
    talk.run()
    assert "waits to be started again" in talk.one(orders.Refuse).text
    talk.tell(events.StopAsked(talk.ticket(), WALK, 15))
    assert talk.view.phase == Phase.ENDED


def test_what_waits_may_be_started_by_its_user_now() -> None:
    talk = Talk(POLICY)
    talk.run()
    for epoch in (1, 2):
        talk.started(epoch)
        talk.end(epoch, KILLED)
    talk.tell(events.RestartAsked(talk.ticket(), WALK))
    assert talk.one(orders.StartProgram).epoch == 3
