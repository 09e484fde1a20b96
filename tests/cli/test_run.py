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
    with pytest.raises(UsageError):
        command_of(["jobs"])


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
    assert "hint: its state is kept" in done.stderr
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


def test_a_member_can_be_started_detached_stopped_and_forgotten(shell: Shell) -> None:
    shell("run", "--detach", "--", *shell.write("waits.py", WAITS))
    assert member_in(shell, "waits")["supervised"] is True
    assert shell("forget", "waits", "--yes").returncode == 2
    assert shell("stop", "waits").returncode == 0
    assert shell("attach", "waits").returncode in (0, 128 + signal.SIGTERM)
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
