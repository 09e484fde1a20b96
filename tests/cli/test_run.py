"""`goldthread run` and what is done to a running member, with real processes."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from shell import Shell

from goldthread.cli.run import command_of, name_of
from goldthread.errors import UsageError
from goldthread.local import Home
from goldthread.slots.writes import WrittenPages

WAITS = """
import signal, time
print("ready", flush=True)
while True:
    time.sleep(60)
"""
COUNTS = """
import sys, time, goldthread
with goldthread.join() as life:
    state = life.restore({"step": 0})
    while state["step"] < int(sys.argv[1]):
        state["step"] += 1
        life.commit(state)
        print("step", state["step"], flush=True)
        time.sleep(0.01)
print("done", flush=True)
"""


def member_in(shell: Shell, name: str) -> dict[str, object]:
    """What `status --json` says of a member."""
    report = msgspec.json.decode(shell("status", name, "--json").stdout)
    return dict(report["members"][0])


@pytest.mark.parametrize(
    ("argv", "name"),
    [
        (["python", "train.py", "--fast"], "train"),
        (["/usr/bin/python3.11", "-u", "-X", "dev", "some/where/train.py"], "train"),
        (["python", "-m", "package.module", "x"], "module"),
        (["python", "-c", "print()"], "python"),
        (["python", "-um", "package.module", "x"], "module"),
        (["python", "-Bmpackage.module", "x"], "module"),
        (["python", "-uWerror", "train.py"], "train"),
        (["./simulate", "--steps", "3"], "simulate"),
        (["job.sh"], "job"),
    ],
)
def test_a_member_is_named_after_what_is_run(argv: list[str], name: str) -> None:
    assert name_of(argv) == name


def test_a_name_that_cannot_be_one_is_refused_with_a_way_out() -> None:
    with pytest.raises(UsageError) as refused:
        name_of(["python", "train (1).py"])
    assert "--name" in refused.value.hint


def test_a_program_is_found_as_the_shell_would(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On the path, or from the present folder where it is written with a slash."""
    script = tmp_path / "job"
    script.write_text("#!/bin/sh\n")
    script.chmod(0o755)
    monkeypatch.chdir(tmp_path)
    assert command_of(["./job", "x"]) == (str(script), "x")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert command_of(["job"]) == (str(script),)
    with pytest.raises(UsageError, match="no such program"):
        command_of(["jobs"])
    with pytest.raises(UsageError) as refused:
        command_of(["./train.py"])
    assert refused.value.hint == "a Python file is run by python: -- python ./train.py"
    script.chmod(0o644)
    with pytest.raises(UsageError, match="cannot be executed"):
        command_of(["./job"])


def test_a_script_that_is_not_there_becomes_no_member(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mistyped name is told before anything is started."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "train.py").touch()
    for fine in (
        ["-u", "train.py", "nosuch.py"],
        ["-m", "nosuch"],
        ["-c", "nosuch.py"],
        ["-um", "nosuch", "x"],
        ["-uc", "pass", "x"],
        ["-", "x"],
        ["--check-hash-based-pycs", "never", "train.py"],
        ["-W", "error", "train.py"],
        [],
    ):
        assert command_of([sys.executable, *fine]) == (sys.executable, *fine)
    with pytest.raises(UsageError, match=r"trian\.py: no such file in"):
        command_of([sys.executable, "-u", "trian.py", "train.py"])


def test_what_is_written_wrong_is_in_limbo_at_once(shell: Shell) -> None:
    """The same error twice before the first commit: nobody waits while it is made again and again."""
    done = shell("run", "--", *shell.write("bad.py", "import goldthread\nwith goldthread.join(): stepp += 1\n"))
    assert done.returncode == 75
    assert "error: bad is in limbo: it died twice of the same before its first commit" in done.stderr
    assert "NameError: name 'stepp' is not defined" in done.stderr
    assert shell("status", "bad").returncode == 3
    done = shell("run", "--", *shell.write("worse.py", "def f(:\n"))
    assert done.returncode == 75
    assert "SyntaxError" in shell("why", "worse").stdout


def test_output_streams_through_unchanged(shell: Shell) -> None:
    """Bytes, streams and the missing newline at the end; nothing of ours on standard output."""
    program = "import os; os.write(1, bytes(range(256)) * 700); os.write(2, b'to err'); os.write(1, b'end')"
    done = subprocess.run(
        [sys.executable, "-m", "goldthread", "run", "--name", "bytes", "--", sys.executable, "-c", program],
        cwd=shell.folder,
        capture_output=True,
        check=False,
    )
    assert done.stdout == bytes(range(256)) * 700 + b"end"
    assert b"to err" in done.stderr
    assert done.returncode == 0


def test_the_exit_status_is_the_programs_and_the_budget_ends_in_limbo(shell: Shell) -> None:
    """No restart allowed: status 75, the cause is told, `status` says 3, and `restart` tries again."""
    done = shell("run", "--name", "bad", "--restarts", "0", "--", "sh", "-c", "echo no >&2; exit 3")
    assert done.returncode == 75
    assert "error: bad is in limbo" in done.stderr
    assert "hint: what it committed is kept" in done.stderr
    assert shell("status", "bad").returncode == 3
    assert "exit status 3" in shell("why", "bad").stdout
    assert shell("restart", "bad").returncode == 0


def test_ctrl_c_stops_the_program(shell: Shell) -> None:
    """The program gets SIGINT, as in a terminal; its status is seen, and nobody starts it again."""
    running = shell.start("run", "--", *shell.write("waits.py", WAITS))
    assert running.line() == "ready\n"
    running.signal(signal.SIGINT)
    status, _, errors = running.end()
    assert status == 130
    assert "KeyboardInterrupt" in errors
    assert member_in(shell, "waits")["phase"] == "ended"


def test_the_third_ctrl_c_kills(shell: Shell) -> None:
    deaf = "import signal\nsignal.signal(signal.SIGINT, lambda *_: print('heard', flush=True))\n" + WAITS
    running = shell.start("run", "--", *shell.write("deaf.py", deaf))
    assert running.line() == "ready\n"
    for _ in range(2):
        running.signal(signal.SIGINT)
        assert running.line() == "heard\n"
    running.signal(signal.SIGINT)
    assert running.end()[0] == 128 + signal.SIGKILL


def test_sigterm_reaches_the_program(shell: Shell) -> None:
    running = shell.start("run", "--", *shell.write("waits.py", WAITS))
    assert running.line() == "ready\n"
    running.signal(signal.SIGTERM)
    assert running.end()[0] == 128 + signal.SIGTERM


def test_the_terminal_may_be_closed_and_attached_again(shell: Shell) -> None:
    """The view dies with its terminal, the program does not; another view shows it from its last lines on."""
    running = shell.start("run", "--", *shell.write("waits.py", WAITS))
    assert running.line() == "ready\n"
    running.signal(signal.SIGHUP)
    running.end()
    attached = shell.start("attach", "waits")
    assert attached.line() == "ready\n"
    attached.signal(signal.SIGINT)
    status, _, said = attached.end()
    assert status == 0
    assert "goes on" in said
    assert member_in(shell, "waits")["phase"] in ("starting", "running")
    assert shell("stop", "waits", "--now").returncode == 0


def test_the_view_outlives_the_keeper(shell: Shell, home: Home) -> None:
    """The keeper is killed with -9: the program and its output go on, and the end is seen."""
    running = shell.start("run", "--", *shell.write("counts.py", COUNTS), "150")
    assert running.line() == "step 1\n"
    assert shell("drill", "counts", "keeper").returncode == 0
    status, output, errors = running.end()
    assert output.splitlines() == [f"step {step}" for step in range(2, 151)] + ["done"]
    assert status == 0, errors


def test_a_killed_program_goes_on_where_it_was(shell: Shell) -> None:
    """Every step once, none skipped but for what was printed and lost with the death; `why` tells the cause."""
    running = shell.start("run", "--", *shell.write("counts.py", COUNTS), "100")
    assert running.line() == "step 1\n"
    assert shell("drill", "counts", "kill").returncode == 0
    status, output, errors = running.end()
    steps = [int(line.split()[1]) for line in output.splitlines() if line.startswith("step")]
    assert steps[-1] == 100
    assert steps == sorted(steps)
    assert "life 2 starts at once" in errors
    assert status == 0
    told = shell("why", "counts").stdout
    assert "signal 9 (SIGKILL)" in told
    assert "first new step" in told
    lives = msgspec.json.decode(shell("why", "counts", "--json").stdout)["lives"]
    assert [life["epoch"] for life in lives] == [1, 2]
    assert lives[1]["restored"]["step"] == lives[0]["reached"]


TABLE = """
import os
from pathlib import Path
import goldthread, numpy as np, xxhash

def is_followed():
    return any(line.startswith("VmFlags:") and " uw" in line for line in Path("/proc/self/smaps").open())

with goldthread.join() as life:
    state = life.restore({"step": 0, "sum": "", "table": np.zeros(8 << 20)})
    table = state["table"]
    assert state["sum"] in ("", xxhash.xxh3_128_hexdigest(table)), "bytes are missing"
    while state["step"] < 60:
        at = state["step"] * 7919 % 500_000
        table[at : at + 100] += state["step"]
        state["step"] += 1
        state["sum"] = xxhash.xxh3_128_hexdigest(table)
        life.commit(state)
        if state["step"] == 20 * life.epoch:
            print("followed" if is_followed() else "read", flush=True)
            os.kill(os.getpid(), 9)
"""


def test_a_large_state_of_which_little_changes_is_whole_in_each_life(shell: Shell) -> None:
    """Only what was written was read for its commits, where the kernel says what was."""
    done = shell("run", "--", *shell.write("table.py", TABLE))
    assert done.returncode == 0, done.stderr
    assert "life 3 of table goes on from step 40" in done.stderr
    try:
        WrittenPages().close()
    except OSError:
        pytest.skip("this kernel does not say which pages were written: Linux 6.7 does")
    assert "followed" in done.stdout


def test_a_member_can_be_started_detached_stopped_and_forgotten(shell: Shell) -> None:
    shell("run", "--detach", "--", *shell.write("waits.py", WAITS))
    assert member_in(shell, "waits")["supervised"] is True
    assert shell("forget", "waits", "--yes").returncode == 2
    assert shell("stop", "waits").returncode == 0
    assert shell("attach", "waits").returncode in (0, 128 + signal.SIGTERM)
    assert "not forgotten before" in shell("forget", "waits").stderr
    assert "no member is named weights" in shell("forget", "weights").stderr
    assert shell("forget", "waits", "--yes").returncode == 0
    assert shell("status", "waits").returncode == 2
    assert shell("keeper", "stop").returncode == 0
    assert shell("keeper", "stop").stdout == "no keeper runs\n"


def test_logs_keep_the_streams_apart(shell: Shell) -> None:
    shell("run", "--name", "talks", "--", "sh", "-c", "echo one; echo two; echo err >&2")
    assert shell("logs", "talks").stdout == "one\ntwo\n"
    assert shell("logs", "talks", "--stdout-only", "-n", "1").stdout == "two\n"
    assert shell("logs", "talks", "--stderr-only").stderr == "err\n"
    lines = [msgspec.json.decode(line) for line in shell("logs", "talks", "--json").stdout.splitlines()]
    assert "".join(line["text"] for line in lines if line["stream"] == "stdout") == "one\ntwo\n"


def test_without_a_keeper_status_shows_what_the_journal_knows(shell: Shell) -> None:
    shell("run", "--name", "past", "--", "true")
    shell("keeper", "stop")
    said = shell("status")
    assert "no keeper runs" in said.stdout
    assert "past: life 1 was ended" in said.stdout
    assert said.returncode == 0


def test_a_flipped_commit_is_noticed_and_an_older_one_is_used(shell: Shell) -> None:
    """The loss is said aloud, with its reason."""
    running = shell.start("run", "--", *shell.write("counts.py", COUNTS), "100000")
    assert running.line() == "step 1\n"
    assert shell("drill", "counts", "stop").returncode == 0
    assert shell("drill", "counts", "flip").returncode == 0
    assert shell("drill", "counts", "kill").returncode == 0
    while not running.line().startswith("step"):
        pass
    lives = msgspec.json.decode(shell("why", "counts", "--json").stdout)["lives"]
    while len(lives) < 2 or lives[1]["restored"] is None:
        lives = msgspec.json.decode(shell("why", "counts", "--json").stdout)["lives"]
    assert lives[1]["restored"]["step"] == lives[0]["reached"] - 1
    assert "damaged" in lives[1]["restored_reason"]


def test_a_member_goes_back_to_an_earlier_step_when_told(shell: Shell) -> None:
    """A second run goes on from the end of the first; after a rollback it starts from where it was told."""
    program = shell.write("counts.py", COUNTS)
    shell("run", "--", *program, "5")
    shell("run", "--", *program, "9")
    refused = shell("rollback", "counts", "--step", "2")
    assert refused.returncode in (1, 2)
    assert refused.stderr.startswith("error: ")
    assert shell("rollback", "counts", "--step", "7").returncode == 0
    again = shell("run", "--", *program, "9")
    assert again.stdout.splitlines() == ["step 6", "step 7", "step 8", "step 9", "done"]
    over = shell("run", "--fresh", "--", *program, "2")
    assert over.stdout.splitlines() == ["step 1", "step 2", "done"]


def test_a_view_of_nobody_is_refused_by_a_running_keeper(shell: Shell) -> None:
    assert shell("keeper", "start").returncode == 0
    refused = shell("attach", "nobody")
    assert refused.returncode == 2
    assert refused.stderr.startswith("error: no member is named nobody")
    assert shell("keeper", "status").stdout.startswith("the keeper ")
    assert shell("keeper", "start").stdout.startswith("the keeper runs as process ")


def test_a_name_is_taken_by_one_living_program(shell: Shell) -> None:
    program = shell.write("waits.py", WAITS)
    running = shell.start("run", "--", *program)
    assert running.line() == "ready\n"
    refused = shell("run", "--", *program)
    assert refused.returncode == 2
    assert refused.stderr.startswith("error: ")


def test_a_member_that_ended_is_refused_a_drill(shell: Shell) -> None:
    """Its process number may be another program's by now."""
    assert shell("run", "--", *shell.write("count.py", COUNTS), "1").returncode == 0
    refused = shell("drill", "count", "kill")
    assert refused.returncode == 2
    assert "count does not run" in refused.stderr


def test_an_export_that_cannot_be_is_refused_in_words(shell: Shell) -> None:
    """Whether it is the member or the folder that is not there."""
    assert shell("run", "--", *shell.write("count.py", COUNTS), "1").returncode == 0
    assert "no member is named nobody" in shell("export", "nobody", "x.safetensors").stderr
    refused = shell("export", "count", "nowhere/x.safetensors")
    assert refused.returncode == 2
    assert "no folder that you may write to" in refused.stderr


def test_logs_of_a_member_that_wrote_nothing_are_empty(shell: Shell) -> None:
    """It is known, and silent: that is no error."""
    assert shell("run", "--name", "mute", "--", "true").returncode == 0
    done = shell("logs", "mute")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
