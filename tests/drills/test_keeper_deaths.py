"""Keepers that die for real, with and without their programs."""

from __future__ import annotations

import os
import signal
import sqlite3
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from processes import command_lines, end_processes_of
from stage import STEPS, WALK, Stage, run_python, undisturbed, wait_gone

from goldthread.errors import KeeperUnreachable
from goldthread.keeper.cgroup import LifeGroup
from goldthread.local import Home, connect, start_keeper
from goldthread.policy import Budget
from goldthread.report import EndingKind, Phase, Vitals
from goldthread.wire import messages


def test_keeper_killed_while_the_program_runs(stage: Stage) -> None:
    """The program goes on; the next keeper takes the slots back, and restores from them."""
    stage.hold_at(10)
    stage.run(STEPS)
    before = stage.until_step(10)
    stage.kill_keeper()
    after = stage.until(lambda member: member.phase is Phase.RUNNING and member.slot_bytes > 0, "the slots' return")
    assert (before.pid, before.epoch) == (after.pid, after.epoch)
    stage.hold_at(20)
    stage.until_step(20)
    stage.kill()
    assert stage.end_digest() == undisturbed(STEPS)
    lives = stage.lives()
    assert len(lives) == 2 and lives[1].restored is not None and lives[1].restored.step == lives[0].reached
    assert lives[1].restored_from == "sealed"
    assert stage.causes() == [EndingKind.SIGNAL, EndingKind.FINISHED]


def test_ages_are_not_those_of_the_keeper(stage: Stage) -> None:
    """How old the newest commit and the last beat are is known to a keeper that came after both."""
    stage.hold_at(10)
    stage.run(STEPS)
    stage.until_step(10)
    stage.kill(signal.SIGSTOP)
    before = stage.until(lambda member: member.vitals is Vitals.SLOW, "silence")
    stage.kill_keeper()
    after = stage.until(lambda member: member.phase is Phase.RUNNING and member.sealed is not None, "its return")
    assert before.sealed is not None and after.sealed is not None
    assert after.sealed.commit == before.sealed.commit
    assert (after.sealed.age or 0) > (before.sealed.age or 0) > 0
    assert (after.beat_age or 0) > (before.beat_age or 0) > 0
    stage.kill(signal.SIGCONT)
    assert stage.end_digest() == undisturbed(STEPS)
    assert stage.causes() == [EndingKind.FINISHED]


def test_keeper_and_program_killed_together(stage: Stage) -> None:
    """The shim alone keeps the slots, starts a keeper, and the program lives again from its newest commit."""
    stage.hold_at(20)
    stage.run(STEPS)
    member = stage.until_step(20)
    stage.kill_keeper()
    assert member.pid is not None
    os.kill(member.pid, signal.SIGKILL)
    assert stage.end_digest() == undisturbed(STEPS)
    lives = stage.lives()
    assert lives[0].ending is not None and lives[0].ending.kind is EndingKind.SIGNAL
    assert lives[1].restored is not None and lives[1].restored.step >= 20


def test_keeper_killed_again_and_again(stage: Stage) -> None:
    """A keeper's death costs nothing, however often it comes."""
    stage.hold_at(10)
    stage.run(STEPS)
    for step in (10, 20, 30):
        stage.until_step(step)
        stage.kill_keeper()
        stage.hold_at(step + 10)
    assert stage.end_digest() == undisturbed(STEPS)
    assert len(stage.lives()) == 1, stage.home.log.read_text()
    assert stage.causes() == [EndingKind.FINISHED]


def test_two_keepers_started_at_once(stage: Stage) -> None:
    """However many are started, one lives."""
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: start_keeper(stage.home), range(4)))
    pid = stage.report().pid
    keepers = [line for line in command_lines(stage.home) if b"goldthread.keeper.main" in line]
    assert len(keepers) == 1 and pid > 0


def test_orderly_end_deposits_what_is_newest(stage: Stage) -> None:
    """SIGTERM to the keeper, as a shutdown of the host gives it: the newest commit is in the vault before it ends."""
    stage.hold_at(5)
    stage.run(STEPS)
    stage.until_step(5)
    with connect(stage.home, "command") as channel:
        pid = channel.ask(messages.ReportRequest())[0].report.pid
    pidfd = os.pidfd_open(pid)
    os.kill(pid, signal.SIGTERM)
    wait_gone(pidfd)
    deposits = list((stage.home.vault / WALK).glob("*.commit"))
    assert deposits and max(int(path.stem.split("-")[2]) for path in deposits) >= 5


def test_everything_killed_and_the_vault_remains(stage: Stage) -> None:
    """Keeper, shim and program gone at once, as in a loss of power: the member goes on from its deposit."""
    stage.hold_at(10)
    stage.run(STEPS)
    stage.until_step(10)
    stage.ask(messages.StopRequest(WALK, signal.SIGTERM, True))
    stage.hold_at(20)
    deposited = stage.until_ended().deposited
    stage.run(STEPS)
    stage.until_step(20, 2)
    end_processes_of(stage.home)
    stage.let_go()
    stage.until(lambda member: member.epoch == 3 and member.phase is Phase.ENDED, "the end of life 3")
    assert stage.end.read_text() == undisturbed(STEPS)
    third = stage.lives()[2]
    assert deposited is not None and third.restored == deposited.commit
    assert "no copy of it is left" in third.restored_reason
    assert stage.causes() == [EndingKind.STOPPED, EndingKind.UNKNOWN, EndingKind.FINISHED]


def test_everything_killed_before_any_deposit_refuses_to_start_over(stage: Stage) -> None:
    """A member that had commits and has none any more does not start over by itself; `--fresh` does."""
    stage.hold_at(20)
    stage.run(STEPS)
    stage.until_step(20)
    end_processes_of(stage.home)
    member = stage.until_phase(Phase.LIMBO)
    assert "step" in member.reason
    stage.let_go()
    stage.run(STEPS, fresh=True)
    assert stage.end_digest() == undisturbed(STEPS)
    assert stage.causes() == [EndingKind.UNKNOWN, EndingKind.NOT_STARTED, EndingKind.FINISHED]


def test_reboot_of_the_host_is_told_as_such(stage: Stage) -> None:
    """After a loss of power nothing is left but the files, and another boot: the cause is said, and the vault used."""
    stage.hold_at(10)
    stage.run(STEPS)
    stage.until_step(10)
    stage.ask(messages.StopRequest(WALK, signal.SIGTERM, True))
    deposited = stage.until_ended().deposited
    stage.hold_at(20)
    stage.run(STEPS)
    stage.until_step(20, 2)
    end_processes_of(stage.home)
    with sqlite3.connect(stage.home.journal) as journal:
        journal.execute("UPDATE keepers SET boot = 'the boot before'")
    journal.close()
    assert stage.end_digest() == undisturbed(STEPS)
    lives = stage.lives()
    assert lives[1].ending is not None and lives[1].ending.kind is EndingKind.HOST_RESTARTED
    assert deposited is not None and lives[2].restored == deposited.commit


def test_stopped_keeper_stays_stopped(stage: Stage) -> None:
    """With no program running, `keeper stop` leaves no process behind that would start another."""
    stage.run(STEPS, "raise", budget=Budget(0), WALK_STEP="20")
    stage.until_phase(Phase.LIMBO)
    assert b"goldthread.keeper.shim" in b"".join(command_lines(stage.home))
    pidfd = os.pidfd_open(stage.report().pid)
    stage.ask(messages.KeeperStopRequest(stop_members=False))
    wait_gone(pidfd)
    while command_lines(stage.home):
        time.sleep(0.01)
    assert (stage.home.vault / WALK).exists()
    assert stage.causes() == [EndingKind.EXCEPTION]


def test_keeper_started_by_a_program_is_not_in_its_group(stage: Stage) -> None:
    """It would die of the program's lack of memory, and the group could not be removed."""
    stage.hold_at(10)
    stage.run(STEPS)
    stage.until_step(10)
    stage.kill_keeper()
    # The program, which beats, starts one sooner than the shim; this test must not.
    while not _answers(stage.home):
        time.sleep(0.01)
    assert LifeGroup.of(stage.report().pid) is None


def test_loss_of_the_shim_is_met_with_a_deposit(stage: Stage) -> None:
    """Program and keeper may die next: what is sealed goes to the vault at once, and all that is lost is what came
    after."""
    stage.hold_at(10)
    stage.run(STEPS)
    walk = stage.until_step(10)
    shim = Path(f"/proc/{walk.pid}/stat").read_text().rpartition(")")[2].split()[1]
    os.kill(int(shim), signal.SIGKILL)
    stage.until(lambda member: member.deposited is not None and member.deposited.commit.step >= 10, "a deposit")
    end_processes_of(stage.home)
    assert stage.end_digest() == undisturbed(STEPS)
    assert stage.causes() == [EndingKind.UNKNOWN, EndingKind.FINISHED]


def test_a_life_whose_shim_died_with_the_keeper_can_be_stopped_at_once(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While its shim may yet come back, too: a signal that is lost then is not sent again."""
    monkeypatch.setenv("GOLDTHREAD_STOP_GRACE", "1h")
    monkeypatch.setenv("GOLDTHREAD_RETURN_GRACE", "5s")
    stage.hold_at(10)
    stage.run(STEPS)
    walk = stage.until_step(10)
    assert walk.pid is not None
    ended = os.pidfd_open(walk.pid)
    shim = Path(f"/proc/{walk.pid}/stat").read_text().rpartition(")")[2].split()[1]
    os.kill(int(shim), signal.SIGKILL)
    stage.kill_keeper()
    stage.until(lambda member: member.phase is Phase.RUNNING, "the program's return")
    stage.ask(messages.StopRequest(WALK, signal.SIGTERM, escalate=True))
    wait_gone(ended)
    stage.until_ended()
    assert stage.causes() == [EndingKind.STOPPED]


def test_life_that_the_journal_missed_ended_unseen(stage: Stage) -> None:
    """The disk was full when life 2 began, and it died while no keeper was there: its commits are used all the same."""
    stage.hold_at(10)
    stage.run(STEPS)
    stage.until_step(10)
    before = journal_now(stage.home)
    stage.hold_at(20)
    stage.kill()
    member = stage.until_step(20, 2)
    assert member.pid is not None
    with keeper_killed_with(stage, before):
        program = os.pidfd_open(member.pid)
        os.kill(member.pid, signal.SIGKILL)
        wait_gone(program)
    stage.until_step(20, 3)
    assert stage.end_digest() == undisturbed(STEPS)
    third = stage.lives()[-1]
    assert third.epoch == 3 and third.restored is not None and third.restored.epoch == 2
    assert stage.causes() == [EndingKind.SIGNAL, EndingKind.FINISHED]


def test_life_that_the_journal_missed_goes_on(stage: Stage) -> None:
    """The journal knows that life 1 ended in peace, and nothing of life 2: it is no stranger to be killed."""
    stage.run(10)
    stage.until_ended()
    before = journal_now(stage.home)
    stage.hold_at(20)
    stage.run(STEPS)
    member = stage.until_step(20, 2)
    with keeper_killed_with(stage, before):
        pass
    after = stage.until_step(20, 2)
    assert after.pid == member.pid
    assert stage.end_digest() == undisturbed(STEPS)
    assert stage.causes() == [EndingKind.FINISHED, EndingKind.FINISHED]


def test_a_lost_journal_leaves_no_shim_behind(stage: Stage) -> None:
    """The next keeper does not know that the shim's program is restarted by it; the program's end ends it too."""
    stage.hold_at(10)
    stage.run(STEPS)
    stage.until_step(10)
    with keeper_killed_with(stage, None):
        pass
    stage.until_step(10)
    assert stage.end_digest() == undisturbed(STEPS)
    while b"goldthread.keeper.shim" in b"".join(command_lines(stage.home)):
        time.sleep(0.01)
    assert stage.causes() == [EndingKind.FINISHED]


def _answers(home: Home) -> bool:
    try:
        connect(home, "command").close()
    except KeeperUnreachable:
        return False
    return True


def journal_now(home: Home) -> bytes:
    with sqlite3.connect(home.journal) as journal:
        copy = bytes(journal.serialize())
    journal.close()
    return copy


@contextmanager
def keeper_killed_with(stage: Stage, journal: bytes | None) -> Iterator[None]:
    """Stop the keeper for the time of the block; then kill it, and let the next one find an older journal, or none."""
    pid = stage.report().pid
    os.kill(pid, signal.SIGSTOP)
    yield
    for path in stage.home.path.glob(f"{stage.home.journal.name}*"):
        path.unlink()
    if journal is not None:
        stage.home.journal.write_bytes(journal)
    gone = os.pidfd_open(pid)
    os.kill(pid, signal.SIGKILL)
    wait_gone(gone)


ALONE = """
    import fcntl, os, signal, sys, time, warnings
    import goldthread, numpy as np
    from goldthread.local import Home, connect
    from goldthread.wire.messages import ReportRequest
    home = Home.default()
    with goldthread.join("alone") as life:
        for step in (1, 2, 3):
            life.commit({"x": np.zeros(1000)}, step=step)
        with connect(home, "command") as channel:
            keeper = channel.ask(ReportRequest())[0].report.pid
        gone = os.pidfd_open(keeper)
        os.kill(keeper, signal.SIGKILL)
        import select
        select.select([gone], [], [])
        lock = open(home.lock, "r+")
        fcntl.flock(lock, fcntl.LOCK_EX)
        life.commit({"x": np.zeros(1000)}, step=4)
        print("sealed alone:", life.safe.sealed, life.safe.unsealed)
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            for step in (5, 6):
                assert life.commit({"x": np.zeros(1_000_000)}, step=step) is None
        print("unsealed:", life.safe.unsealed, len(said), said[-1].category.__name__)
        lock.close()
        step = 7
        while life.commit({"x": np.zeros(1_000_000)}, step=step) is None:
            step += 1
        print("sealed again:", life.safe.sealed == step, life.safe.unsealed, life.keepers_lost)
        life.commit({"x": np.ones(1_000_000)}, step=step + 1, wait="deposited")
        print("deposited:", life.safe.deposited == step + 1)
"""


def test_program_alone_goes_on_without_a_keeper(home: Home) -> None:
    """No `run`, no keeper, and none can be started: commits go on in the slots there are; what goes by unsealed is
    counted and said; when a keeper can live again, all is as before."""
    done = run_python(ALONE)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "sealed alone: 4 0",
        "unsealed: 2 2 UnsealedWarning",
        "sealed again: True 0 1",
        "deposited: True",
    ]
