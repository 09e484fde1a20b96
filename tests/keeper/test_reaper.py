"""A test run that is killed leaves no keeper behind: its reaper sees its end."""

from __future__ import annotations

import os
import select
import subprocess
import sys
from pathlib import Path

from goldthread.local import Home
from tests.processes import command_lines

REAPER = Path(__file__).parents[1] / "reaper.py"
RUN = """
import subprocess, sys, time
from goldthread.local import Home, reach_keeper
reaper = subprocess.Popen([sys.executable, *sys.argv[1:]], stdin=subprocess.PIPE, start_new_session=True)
reach_keeper(Home.default(), "command").close()
print(reaper.pid, flush=True)
time.sleep(600)
"""


def test_nothing_outlives_a_test_run_that_is_killed(home: Home, tmp_path: Path) -> None:
    """SIGKILL lets no test clear up. What lies in another folder is left alone."""
    command = [sys.executable, "-c", RUN, REAPER, tmp_path]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        reaper = os.pidfd_open(int(run.stdout.readline()))
        keepers = [line for line in command_lines(home) if b"goldthread.keeper.main" in line]
        run.kill()
    select.select([reaper], [], [])
    os.close(reaper)
    assert len(keepers) == 1 and command_lines(home) == []
