"""Bad input and bad days: each gets a clear error with a hint, and nothing is lost."""

from __future__ import annotations

import os
import resource
import signal
import socket
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner
from processes import end_processes_of
from stage import STEPS, WALK, Stage, run_python, undisturbed

from goldthread import local
from goldthread.cli.keeper import keeper
from goldthread.cli.status import status
from goldthread.errors import KeeperSilent, KeeperUnreachable, NoRoom, OtherVersion, UsageError
from goldthread.local import Home, connect, reach_keeper
from goldthread.report import Phase
from goldthread.wire.codec import encode
from goldthread.wire.messages import ForgetRequest, Hello


def succeeds(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_memory_too_small_keeps_the_last_commits(home: Home) -> None:
    """A state that outgrows the memory is refused with the numbers; the commits before it stay and can be restored."""
    grow = """
        import goldthread, numpy as np
        with goldthread.join("big") as life:
            life.commit({"step": 1, "x": np.arange(1000)})
            try:
                life.commit({"step": 2, "x": np.zeros(1 << 44, np.uint8)})
            except MemoryError:
                print("the host refused first")
            from goldthread.names import Step
            try:
                life._new_slot(1, 1 << 44)
            except goldthread.NoRoom as error:
                print(error, "|", error.hint)
            print(life.safe.sealed)
    """
    said = succeeds(run_python(grow))
    assert "16777216 MiB" in said and "free" in said and said.strip().endswith("1")
    again = succeeds(
        run_python("import goldthread\nwith goldthread.join('big') as life: print(life.restore()['x'].sum())")
    )
    assert again.strip() == "499500"


def test_no_room_for_slots_is_said_with_numbers(home: Home) -> None:
    """Where the keeper may give no memory, the first commit says how much is needed and free."""
    code = """
        import goldthread
        with goldthread.join("walk") as life:
            try:
                life.commit({"step": 1})
            except goldthread.NoRoom as error:
                print("refused:", error)
    """
    said = succeeds(run_python(code, GOLDTHREAD_MEMORY_FREE_BYTES="100TB"))
    assert "refused: shared memory is too small" in said and "MiB are free" in said


def test_disk_full_pauses_deposits_and_the_program_goes_on(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the disk has no room, deposits pause with an alarm; the program ends as ever, its state in memory."""
    monkeypatch.setenv("GOLDTHREAD_VAULT_FREE_BYTES", "1000TB")
    monkeypatch.setenv("GOLDTHREAD_DEPOSIT_EVERY", "200ms")
    monkeypatch.setenv("GOLDTHREAD_DEPOSIT_RETRY", "100ms")
    stage.run(STEPS)
    member = stage.until(lambda member: member.phase is Phase.ENDED and bool(member.alarms), "an end with an alarm")
    assert stage.end.read_text() == undisturbed(STEPS)
    assert member.slot_bytes > 0 and member.sealed is not None
    assert any("free" in alarm.text for alarm in member.alarms)


def test_a_keeper_does_not_end_with_what_a_full_disk_did_not_take(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is in its memory alone would go with it: it says so, and goes on."""
    monkeypatch.setenv("GOLDTHREAD_VAULT_FREE_BYTES", "1000TB")
    stage.run(STEPS)
    stage.until(lambda member: member.phase is Phase.ENDED and bool(member.alarms), "an end with an alarm")
    pid = stage.report().pid
    refused = CliRunner().invoke(keeper, ["stop"])
    assert isinstance(refused.exception, NoRoom)
    assert f"step {STEPS} of life 1 of walk" in str(refused.exception) and "disk" in refused.exception.hint
    assert stage.report().pid == pid
    stage.ask(ForgetRequest(WALK))
    assert CliRunner().invoke(keeper, ["stop"]).exit_code == 0


def test_second_program_of_one_name_is_refused(home: Home) -> None:
    """It is told who has the name; the first goes on."""
    code = """
        import goldthread, os, subprocess, sys
        with goldthread.join("walk") as life:
            second = subprocess.run([sys.executable, "-c", "import goldthread; goldthread.join('walk')"],
                                    capture_output=True, text=True)
            print(second.returncode, str(os.getpid()) in second.stderr, "MemberTaken" in second.stderr,
                  "hint" in second.stderr)
            life.commit({"step": 1})
            print(life.safe.sealed)
    """
    assert succeeds(run_python(code)).split() == ["1", "True", "True", "True", "1"]


def test_odd_name_is_refused_with_one_that_would_do() -> None:
    done = run_python("import goldthread; goldthread.join('a/b c')")
    assert done.returncode == 1 and "cannot name a member" in done.stderr and '"a-b-c"' in done.stderr


def test_step_backwards_is_refused(home: Home) -> None:
    code = """
        import goldthread
        with goldthread.join("walk") as life:
            life.commit({"step": 5})
            try:
                life.commit({"step": 4})
            except goldthread.UsageError as error:
                print(error, error.hint)
            print(life.safe.sealed)
    """
    said = succeeds(run_python(code))
    assert "step 4 goes backwards" in said and "rollback" in said and said.strip().endswith("5")


def test_fork_after_join_may_not_commit(home: Home) -> None:
    code = """
        import goldthread, os
        with goldthread.join("walk") as life:
            life.commit({"step": 1})
            child = os.fork()
            if child == 0:
                try:
                    life.commit({"step": 2})
                except goldthread.UsageError as error:
                    print(error, flush=True)
                os._exit(0)
            os.waitpid(child, 0)
            life.commit({"step": 2})
            print(life.safe.sealed)
    """
    said = succeeds(run_python(code))
    assert "fork" in said and said.strip().endswith("2")


def test_commit_from_another_thread(home: Home) -> None:
    """Any thread may commit; two at once take turns."""
    code = """
        import goldthread, threading, numpy as np
        with goldthread.join("walk") as life:
            x = np.zeros(1_000_000)
            def commit():
                for _ in range(20):
                    life.commit({"x": x}, step=1)
            threads = [threading.Thread(target=commit) for _ in range(4)]
            [t.start() for t in threads]; [t.join() for t in threads]
            print(life.safe.sealed, life._writer.newest.sequence)
    """
    assert succeeds(run_python(code)).split() == ["1", "80"]


def test_commit_inside_a_commit_is_refused(home: Home) -> None:
    """A signal handler that commits while the same thread commits is told so, and harms neither."""
    code = """
        import goldthread, numpy as np, signal
        with goldthread.join("walk") as life:
            refused = []
            def handler(*_):
                try:
                    life.commit({"step": 0})
                except goldthread.UsageError as error:
                    refused.append(str(error))
            signal.signal(signal.SIGALRM, handler)
            signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
            x = np.zeros(4_000_000)
            step = 0
            while not refused:
                step += 1
                x += 1
                life.commit({"step": step, "x": x})
            signal.setitimer(signal.ITIMER_REAL, 0)
            print("while a commit" in refused[0], life.safe.sealed == step)
    """
    assert succeeds(run_python(code)).split() == ["True", "True"]


def test_interrupt_during_a_commit_keeps_the_last_one(home: Home) -> None:
    """Ctrl-C in mid-commit: the commit before it stands, whole, and the next life has it."""
    code = """
        import goldthread, numpy as np, signal
        life = goldthread.join("walk")
        x = np.zeros(8_000_000)
        interrupted = sealed = step = 0
        signal.signal(signal.SIGALRM, signal.default_int_handler)
        delay = 0.001
        while interrupted < 20 or sealed < 20:
            step += 1
            x[:] = step
            try:
                signal.setitimer(signal.ITIMER_REAL, delay)
                life.commit({"x": x}, step=step)
                signal.setitimer(signal.ITIMER_REAL, 0)
                sealed += 1
                delay *= 0.8
            except KeyboardInterrupt:
                interrupted += 1
                delay *= 1.2
        import os
        print(life.safe.sealed, flush=True)
        os._exit(9)
    """
    done = run_python(code)
    assert done.returncode == 9, done.stderr
    sealed = done.stdout.strip()
    again = """
        import goldthread
        with goldthread.join("walk") as life:
            x = life.restore()["x"]
            print(int(x[0]), bool((x == x[0]).all()))
    """
    assert succeeds(run_python(again)).split() == [sealed, "True"]


def test_optimised_python_checks_as_much(home: Home) -> None:
    """Nothing hangs on `assert`: under -O a state that cannot be stored is refused just so, with its place."""
    code = """
        import goldthread
        with goldthread.join("walk") as life:
            try:
                life.commit({"model": [0, 1, 2, {"fn": lambda: 0}]})
            except goldthread.CannotStore as error:
                print(error)
                print(error.hint)
            life.commit({"step": 1})
            print(life.safe.sealed)
    """
    said = succeeds(run_python(code, "-O"))
    assert 'state["model"][3]["fn"]: a lambda cannot be stored' in said
    assert "define a function with a name" in said and said.strip().endswith("1")


def test_descriptors_used_up(home: Home) -> None:
    """A program without a descriptor left gets an error that says so; its commits stay."""
    code = """
        import goldthread, os, resource
        with goldthread.join("walk") as life:
            life.commit({"step": 1})
            resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
            taken = []
            try:
                while True:
                    taken.append(os.dup(0))
            except OSError:
                pass
            try:
                life.commit({"step": 2})
            except (goldthread.GoldthreadError, OSError) as error:
                print("refused:", error, "|", getattr(error, "hint", ""))
            for one in taken:
                os.close(one)
            life.commit({"step": 3})
            print(life.safe.sealed)
    """
    said = succeeds(run_python(code))
    assert said.strip().endswith("3")
    assert "refused" not in said or "open files" in said


def test_keeper_of_another_version(home: Home) -> None:
    """Two versions that do not understand each other say so."""
    home.make()
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(home.door))
        other.listen()
        pid = os.fork()
        if pid == 0:
            stream, _ = other.accept()
            stream.recv(1000)
            stream.send(encode(Hello(999, "9.9.9", "keeper")))
            stream.recv(1000)
            os._exit(0)
        with pytest.raises(OtherVersion, match="another protocol"):
            connect(home, "command")
        os.waitpid(pid, 0)


def test_damaged_journal_is_set_aside_and_said(stage: Stage) -> None:
    """A new journal is begun; what it knew is found again in the vault, and epochs do not go back."""
    stage.run(STEPS)
    stage.until_ended()
    stage.kill_keeper()
    stage.home.journal.write_bytes(b"this is no database" * 100)
    for leftover in stage.home.path.glob("journal.sqlite-*"):
        leftover.unlink()
    report = stage.report()
    assert any("set aside" in alarm.text for alarm in report.alarms)
    assert list(stage.home.path.glob("journal.damaged-*"))
    member = stage.until(lambda member: member.epoch >= 1, "the member's return from the vault")
    assert member.deposited is not None and member.deposited.commit.step == STEPS
    stage.end.unlink()
    stage.run(STEPS + 5)
    stage.until(lambda member: member.epoch == 2 and member.phase is Phase.ENDED, "the end of life 2")
    assert stage.end.read_text() == undisturbed(STEPS + 5)


def test_home_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UsageError, match="cannot be made"):
        reach_keeper(Home(tmp_path / "file" / "home"), "command")


@pytest.mark.skipif(os.getuid() != 0, reason="needs root, to become another user")
def test_other_user_is_not_let_in(home: Home) -> None:
    """The socket's mode keeps others out; and one who gets past it is turned away at the door."""
    reach_keeper(home, "command").close()
    assert home.door.stat().st_mode & 0o777 == 0o600
    for folder in [home.path, *home.path.parents][:-1]:
        if folder.stat().st_uid == 0 and folder != Path("/tmp"):
            folder.chmod(0o755)
    home.door.chmod(0o666)
    pid = os.fork()
    if pid == 0:
        os.setuid(65534)
        try:
            connect(home, "command")
        except KeeperUnreachable:
            os._exit(7)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7


def test_long_home_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A path longer than a socket's address has room for works like any other."""
    home = Home(tmp_path / ("a long folder " * 8) / ("and another " * 8))
    monkeypatch.setenv("GOLDTHREAD_HOME", str(home.path))
    try:
        reach_keeper(home, "command").close()
    finally:
        end_processes_of(home)


def test_state_that_does_not_fit_names_the_ways_out(home: Home) -> None:
    """A commit of another shape is refused with the place, both sides, and what can be done."""
    succeeds(run_python("""
        import goldthread, numpy as np
        with goldthread.join("walk") as life:
            life.commit({"step": 1, "x": np.zeros((2, 3))})
    """))  # fmt: skip
    done = run_python("""
        import goldthread, numpy as np
        with goldthread.join("walk") as life:
            life.restore({"step": 0, "x": np.zeros((4, 3))})
    """)
    assert done.returncode == 1
    assert "DoesNotFit" in done.stderr and 'state["x"]' in done.stderr
    assert "(2, 3)" in done.stderr and "(4, 3)" in done.stderr
    assert "rollback" in done.stderr and "fresh" in done.stderr


def test_state_that_grows_and_changes(home: Home) -> None:
    """Each commit is whole whatever the last one looked like."""
    code = """
        import goldthread, numpy as np
        with goldthread.join("walk") as life:
            for step in range(1, 30):
                state = {f"x{k}": np.full(step * 10_000, k) for k in range(step % 7)}
                life.commit({"step": step, "parts": state})
    """
    succeeds(run_python(code))
    again = """
        import goldthread
        with goldthread.join("walk") as life:
            parts = life.restore()["parts"]
            print(sorted(parts), [x.size for x in parts.values()], [int(x.max()) for x in parts.values()])
    """
    assert succeeds(run_python(again)).strip() == "['x0'] [290000] [0]"


def test_commit_before_restore_is_refused(home: Home) -> None:
    """A later life that forgets to restore would overwrite the work of the ones before."""
    succeeds(run_python("import goldthread\nwith goldthread.join('walk') as life: life.commit({'step': 7})"))
    done = run_python("import goldthread\nwith goldthread.join('walk') as life: life.commit({'step': 1})")
    assert done.returncode == 1 and "commits before restore" in done.stderr


def test_a_keeper_takes_all_the_open_files_it_may(stage: Stage) -> None:
    """A soft limit is made for other programs; a hundred members need a thousand files. The program gets its own."""
    given = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (given[1] // 2, given[1]))
    try:
        stage.hold_at(5)
        stage.run(STEPS)
        walk = stage.until_step(5)
        assert walk.pid is not None
        assert resource.prlimit(stage.report().pid, resource.RLIMIT_NOFILE) == (given[1], given[1])
        assert resource.prlimit(walk.pid, resource.RLIMIT_NOFILE) == (given[1] // 2, given[1])
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, given)


def test_a_disk_that_refuses_the_process_number_stops_nobody(stage: Stage) -> None:
    """Where it cannot be written down which process a life is, keeper and program go on."""
    stage.home.process(WALK).mkdir(parents=True)
    stage.run(STEPS)
    assert stage.end_digest() == undisturbed(STEPS)
    assert len(stage.lives()) == 1
    assert "cannot be written down" in stage.home.log.read_text()


@pytest.mark.skipif(os.getuid() != 0, reason="needs root, to mount a small disk")
def test_home_on_a_full_disk(stage: Stage) -> None:
    """Every file of the keeper is refused by the disk: the program ends as ever, and the alarms are seen."""
    stage.home.path.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=6m", "none", stage.home.path], check=True)
    try:
        stage.hold_at(20)
        stage.run(STEPS)
        stage.until_step(20)
        with (stage.home.path / "filler").open("wb", buffering=0) as filler:
            while True:
                try:
                    filler.write(b"\0" * 4096)
                except OSError:
                    break
        stage.kill()
        stage.until_step(20, 2)
        stage.let_go()
        member = stage.until(lambda member: member.phase is Phase.ENDED and bool(member.alarms), "an end with an alarm")
        assert stage.end.read_text() == undisturbed(STEPS)
        assert member.sealed is not None and member.slot_bytes > 0
        assert any("free" in alarm.text for alarm in member.alarms)
    finally:
        end_processes_of(stage.home)
        subprocess.run(["umount", "--lazy", stage.home.path], check=True)


def test_a_stopped_keeper_is_not_taken_for_none(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """One lives and is silent: nobody is told that none runs, and no other is started. Who asks at a terminal is told
    that it is stopped; a program waits for it as long as for a busy one."""
    pid = stage.report().pid
    monkeypatch.setattr(local, "_START_SECONDS", 0.2)
    os.kill(pid, signal.SIGSTOP)
    with pytest.raises(KeeperSilent, match=f"process {pid}.* is stopped"):
        connect(stage.home, "command")
    with pytest.raises(KeeperSilent, match="is stopped"):
        reach_keeper(stage.home, "command")
    with pytest.raises(KeeperSilent, match="lives and does not answer"):
        connect(stage.home, "program")
    said = CliRunner().invoke(status)
    assert f"(process {pid}) is stopped" in said.output and "no keeper runs" not in said.output
    assert isinstance(CliRunner().invoke(keeper, ["stop"]).exception, KeeperSilent)
    os.kill(pid, signal.SIGCONT)
    monkeypatch.undo()
    assert stage.report().pid == pid
