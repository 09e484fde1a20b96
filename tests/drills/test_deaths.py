"""Programs that die for real, and what becomes of their work."""

from __future__ import annotations

import itertools
import os
import signal

import pytest
from stage import STEPS, WALK, Stage, run_python, undisturbed

from goldthread.keeper.cgroup import starve
from goldthread.names import member_name
from goldthread.policy import Budget
from goldthread.report import EndingKind, Phase
from goldthread.wire import messages


def test_undisturbed_walk_is_the_plain_arithmetic(stage: Stage) -> None:
    """goldthread changes nothing of what a program computes."""
    stage.run(STEPS)
    assert stage.end_digest() == undisturbed(STEPS)
    assert [life.ending.kind for life in stage.lives() if life.ending] == [EndingKind.FINISHED]


def test_killed_three_times(stage: Stage) -> None:
    """kill -9 loses no sealed step: the end is bit for bit that of an undisturbed run."""
    stage.hold_at(10)
    stage.run(STEPS)
    for life in (1, 2, 3):
        stage.until_step(10 * life, life)
        stage.hold_at(10 * life + 10)
        stage.kill()
    assert stage.end_digest() == undisturbed(STEPS)
    lives = stage.lives()
    assert [life.epoch for life in lives] == [1, 2, 3, 4]
    for before, after in itertools.pairwise(lives):
        assert before.ending is not None and before.ending.kind is EndingKind.SIGNAL
        assert before.ending.status == -signal.SIGKILL
        assert after.restored is not None and after.restored.step == before.reached
    assert [phase.phase for phase in lives[1].phases] == [
        "seen", "decided", "started", "imports", "restored", "first new step",
    ]  # fmt: skip


def test_exception_is_told_with_its_place(stage: Stage) -> None:
    """A crash by an exception is restarted, and its type, message and last frames are kept."""
    stage.run(STEPS, "raise", WALK_STEP="20")
    assert stage.end_digest() == undisturbed(STEPS)
    ending = stage.lives()[0].ending
    assert ending is not None and ending.kind is EndingKind.EXCEPTION
    assert ending.text == "ValueError: the ground gave way"
    assert "raise ValueError" in ending.detail


def test_abort_is_told_as_its_signal(stage: Stage) -> None:
    stage.run(STEPS, "abort", WALK_STEP="20")
    assert stage.end_digest() == undisturbed(STEPS)
    ending = stage.lives()[0].ending
    assert ending is not None and ending.kind is EndingKind.SIGNAL and "SIGABRT" in ending.text


def test_stopped_process_is_a_hang_and_its_stacks_are_kept(stage: Stage) -> None:
    """A program that makes no progress is ended and restarted; where it stood is known."""
    stage.hold_at(20)
    stage.run(STEPS, hang="1s")
    stage.until_step(20)
    stage.kill(signal.SIGSTOP)
    stage.until_step(20, 2)
    assert stage.end_digest() == undisturbed(STEPS)
    ending = stage.lives()[0].ending
    assert ending is not None and ending.kind is EndingKind.HANG
    assert "walk.py" in ending.detail


def test_endless_loop_is_a_hang(stage: Stage) -> None:
    """A hang that holds the interpreter is explained too: the stacks name the line."""
    stage.run(STEPS, "spin", hang="1s", WALK_STEP="20")
    assert stage.end_digest() == undisturbed(STEPS)
    ending = stage.lives()[0].ending
    assert ending is not None and ending.kind is EndingKind.HANG
    assert "in do" in ending.detail


def test_spent_budget_is_limbo_and_restart_tries_again(stage: Stage) -> None:
    """A program that dies in every life ends in limbo; its state is kept, and `restart` gives a fresh budget."""
    stage.run(STEPS, "raise", budget=Budget(2), WALK_STEP="20", WALK_LIVES="1,2,3")
    member = stage.until_phase(Phase.LIMBO)
    assert member.sealed is not None and member.epoch == 3
    stage.ask(messages.RestartRequest(WALK))
    assert stage.end_digest() == undisturbed(STEPS)
    assert stage.causes() == [EndingKind.EXCEPTION] * 3 + [EndingKind.FINISHED]


def test_same_death_at_the_same_step_goes_further_back(stage: Stage) -> None:
    """A wound: the second identical death at one step makes the next life start from an older commit, and says so."""
    stage.run(STEPS, "raise", WALK_STEP="20", WALK_LIVES="1,2")
    assert stage.end_digest() == undisturbed(STEPS)
    lives = stage.lives()
    assert lives[1].restored is not None and lives[1].restored.step == 19
    assert lives[2].restored is not None and lives[2].restored.step < 19
    assert "in a row" in lives[2].restored_reason
    assert stage.causes() == [EndingKind.EXCEPTION] * 2 + [EndingKind.FINISHED]


def test_command_that_is_not_there_is_limbo_at_once(stage: Stage) -> None:
    name = member_name("nothing")
    command = messages.Command(("/no/such/program",), "/", dict(os.environ))
    stage.ask(messages.RunRequest(name, command, Budget(), False, None))
    member = stage.until(lambda member: member.phase is Phase.LIMBO, "limbo", name)
    assert "/no/such/program" in member.reason


def test_stop_ends_in_peace_and_the_next_run_goes_on(stage: Stage) -> None:
    """`stop` deposits the newest commit and frees the memory; running the member again resumes it."""
    stage.hold_at(10)
    stage.run(STEPS)
    stage.until_step(10)
    stage.ask(messages.StopRequest(WALK, signal.SIGTERM, True))
    member = stage.until_ended()
    assert member.deposited is not None
    stage.run(STEPS)
    assert stage.end_digest() == undisturbed(STEPS)
    lives = stage.lives()
    assert lives[0].ending is not None and lives[0].ending.kind is EndingKind.STOPPED
    assert lives[1].restored == member.deposited.commit and lives[1].restored_from == "deposited"


def test_fresh_starts_over(stage: Stage) -> None:
    """`--fresh` begins from nothing, in a life with a higher number."""
    stage.run(STEPS)
    assert stage.end_digest() == undisturbed(STEPS)
    stage.end.unlink()
    stage.run(STEPS, fresh=True)
    stage.until(lambda member: member.epoch == 2 and member.phase is Phase.ENDED, "the end of life 2")
    assert stage.end.read_text() == undisturbed(STEPS)
    assert stage.lives()[1].restored is None
    assert stage.causes() == [EndingKind.FINISHED] * 2


def test_rollback_goes_back_on_purpose(stage: Stage) -> None:
    stage.hold_at(20)
    stage.run(STEPS)
    stage.until_step(20)
    stage.ask(messages.StopRequest(WALK, signal.SIGTERM, True))
    stage.hold_at(30)
    first = stage.until_ended()
    assert first.sealed is not None or first.deposited is not None
    stage.run(STEPS)
    stage.until_step(30, 2)
    stage.ask(messages.StopRequest(WALK, signal.SIGTERM, True))
    stage.until(lambda member: member.epoch == 2 and member.phase is Phase.ENDED and not member.slot_bytes, "an end")
    assert first.deposited is not None
    goal = first.deposited.commit
    stage.let_go()
    stage.ask(messages.RollbackRequest(WALK, goal.step))
    stage.ask(messages.RestartRequest(WALK))
    stage.until(lambda member: member.epoch == 3 and member.phase is Phase.ENDED, "the end of life 3")
    assert stage.lives()[2].restored == goal
    assert stage.end.read_text() == undisturbed(STEPS)
    assert stage.causes() == [EndingKind.STOPPED, EndingKind.STOPPED, EndingKind.FINISHED]


def test_flipped_bits_cost_one_step(stage: Stage) -> None:
    """A damaged newest commit is noticed, said, and the one before it is used: the end is bit-identical."""
    stage.hold_at(20)
    stage.run(STEPS)
    stage.until_step(20)
    stage.ask(messages.DrillRequest(WALK))
    stage.kill()
    assert stage.end_digest() == undisturbed(STEPS)
    second = stage.lives()[1]
    assert second.restored is not None and second.restored.step == 19
    assert "damaged" in second.restored_reason
    member = stage.member()
    assert member is not None and any("damaged" in alarm.text for alarm in member.alarms)
    assert stage.causes() == [EndingKind.SIGNAL, EndingKind.FINISHED]


def test_out_of_memory_is_told_as_such(stage: Stage) -> None:
    """The kernel ends it for want of memory, or it runs into its limit: either way the cause is said."""
    stage.hold_at(20)
    stage.run(STEPS)
    member = stage.until_step(20)
    assert member.pid is not None
    stage.hold_at(30)
    starved = starve(member.pid, stage.home.path)
    assert starved.killed, starved.text
    stage.until_step(30, 2)
    assert stage.end_digest() == undisturbed(STEPS)
    ending = stage.lives()[0].ending
    assert ending is not None and ending.kind is EndingKind.OUT_OF_MEMORY


def test_deposits_come_by_themselves_and_three_stay(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """While it runs, the newest commit goes to the vault now and then; the last three are kept."""
    monkeypatch.setenv("GOLDTHREAD_DEPOSIT_EVERY", "100ms")
    monkeypatch.setenv("GOLDTHREAD_DEPOSIT_RETRY", "100ms")
    seen: set[int] = set()
    stage.hold_at(10)
    stage.run(STEPS)
    for step in (10, 20, 30, 40, 50):
        stage.until(lambda m, s=step: m.deposited is not None and m.deposited.commit.step == s, f"deposit of {step}")
        seen |= {int(path.stem.split("-")[2]) for path in (stage.home.vault / WALK).glob("*.commit")}
        stage.hold_at(step + 10)
    assert stage.end_digest() == undisturbed(STEPS)
    assert {10, 20, 30, 40, 50} <= seen
    stage.until(lambda _: len(list((stage.home.vault / WALK).glob("*.commit"))) == 3, "three deposits")


def test_lives_by_hand_are_followed_and_each_has_its_own_cause(stage: Stage) -> None:
    """Programs that nobody supervises: the second one's kill is not told as the first one's exception."""
    first = "import goldthread\nwith goldthread.join('walk') as life:\n    life.commit({'step': 1})\n    1 / 0"
    run_python(first)
    member = stage.until_phase(Phase.DOWN)
    assert "ZeroDivisionError" in member.reason
    second = "import goldthread, os\nlife = goldthread.join('walk')\nlife.restore()\nos.kill(os.getpid(), 9)"
    run_python(second)
    member = stage.until(lambda member: member.epoch == 2 and member.phase is Phase.DOWN, "the end of life 2")
    assert "ZeroDivisionError" not in member.reason
    endings = [life.ending.kind for life in stage.lives() if life.ending is not None]
    assert endings == [EndingKind.EXCEPTION, EndingKind.UNKNOWN]
