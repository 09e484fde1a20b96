"""What keeping costs and how fast it helps: a restart, the keeper at rest, the simulator.

    python benchmarks/keeping.py [--mib 64] [--json]

*Restart*: a program is killed with SIGKILL, and the time to the first new step of its next life is taken on one clock.
From it goes what the same interpreter and the same imports take without goldthread doing anything, measured in the
same run; the rest is ours. *Keeper at rest*: its processor time over some seconds beside a program that makes no step,
and its own memory, without the slots. *Simulator*: events that `make sim` handles in a second, on all cores, its start
counted; and on one core, in a process that is warm.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import select
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from goldthread.local import Home, connect, reach_keeper
from goldthread.names import member_name
from goldthread.output import OutputReader
from goldthread.policy import Budget
from goldthread.sim.scenario import run_seed
from goldthread.wire.messages import Command, KeeperStopRequest, ReportRequest, RunRequest

MEMBER = member_name("bench")
KILLS = 7
REST_SECONDS = 10.0
SEEDS, SEEDS_ALONE = 1500, 150
Facts = dict[str, float]

PROGRAM = """
import sys, time
began = time.monotonic_ns()
import numpy, goldthread, goldthread.program.joining
print("imported", time.monotonic_ns(), flush=True)
if sys.argv[1] == "imports":
    sys.exit()
with goldthread.join("bench") as life:
    initial = {"step": 0, "x": numpy.zeros(int(sys.argv[2]) << 18, numpy.float32)} if life.epoch == 1 else None
    state = life.restore(initial, map=True)
    while True:
        state["step"] += 1
        state["x"][:1024] += 1
        life.commit(state)
        print("step", life.epoch, state["step"], time.monotonic_ns(), flush=True)
        time.sleep(0.02 if sys.argv[1] == "steps" else 3600)
"""


class Stage:
    """A program under a keeper of its own, in a home that goes with it."""

    def __init__(self, folder: str, kind: str, mib: int) -> None:
        self.home = Home(Path(folder))
        command = Command((sys.executable, "-c", PROGRAM, kind, str(mib)), "/", dict(os.environ))
        with reach_keeper(self.home, "command") as channel:
            channel.ask(RunRequest(MEMBER, command, Budget(1000), fresh=True, hang_floor=None))
        self.reader = OutputReader(self.home.output(MEMBER))
        self.text = ""

    def until(self, pattern: str) -> re.Match[str]:
        """Wait for a line of the program's output."""
        while (found := re.search(pattern, self.text)) is None:
            frames = self.reader.read()
            self.text += b"".join(frame.payload for frame in frames).decode()
            if not frames:
                time.sleep(0.0005)
        return found

    def keeper(self) -> int:
        with connect(self.home, "command") as channel:
            return int(channel.ask(ReportRequest())[0].report.pid)

    def program(self) -> int:
        with connect(self.home, "command") as channel:
            return int(channel.ask(ReportRequest())[0].report.members[0].pid)

    def close(self) -> None:
        pidfd = os.pidfd_open(self.keeper())
        with connect(self.home, "command") as channel:
            channel.ask(KeeperStopRequest(stop_members=True))
        select.select([pidfd], [], [], 30)
        os.close(pidfd)


def imports_seconds() -> float:
    """From the start of the interpreter to the end of the program's own imports."""
    began = time.monotonic_ns()
    done = subprocess.run([sys.executable, "-c", PROGRAM, "imports"], stdout=subprocess.PIPE, text=True, check=True)
    return (int(done.stdout.split()[1]) - began) / 1e9


def restart(mib: int) -> Facts:
    """Killed to first new step, beyond the interpreter and the imports."""
    beyond, whole, imports = [], [], []
    with tempfile.TemporaryDirectory() as folder:
        stage = Stage(folder, "steps", mib)
        for life in range(1, KILLS + 1):
            stage.until(rf"step {life} \d+ \d+\n(?:.*\n)*step {life} \d+ \d+\n(?:.*\n)*step {life} \d+ \d+\n")
            imports.append(imports_seconds())
            program = stage.program()
            killed = time.monotonic_ns()
            os.kill(program, signal.SIGKILL)
            stepped = int(stage.until(rf"step {life + 1} \d+ (\d+)\n")[1])
            whole.append((stepped - killed) / 1e9)
        stage.close()
    beyond = [one - statistics.median(imports) for one in whole]
    return {
        "ms": 1e3 * statistics.median(beyond),
        "whole_ms": 1e3 * statistics.median(whole),
        "imports_ms": 1e3 * statistics.median(imports),
    }


def at_rest(mib: int) -> Facts:
    """Processor time and memory of a keeper whose one program makes no step."""
    with tempfile.TemporaryDirectory() as folder:
        stage = Stage(folder, "rest", mib)
        stage.until(r"step 1 1 \d+\n")
        pid = stage.keeper()
        time.sleep(2)
        before, began = processor_seconds(pid), time.monotonic()
        time.sleep(REST_SECONDS)
        share = (processor_seconds(pid) - before) / (time.monotonic() - began)
        own = own_mib(pid)
        stage.close()
    return {"percent_of_a_core": 100 * share, "own_mib": own}


def processor_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/schedstat").read_text().split()
    threads = sum(int(path.read_text().split()[0]) for path in Path(f"/proc/{pid}/task").glob("*/schedstat"))
    return max(int(fields[0]), threads) / 1e9


def own_mib(pid: int) -> float:
    """Resident memory, without shared memory: the slots are counted apart."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    kib = {line.split(":")[0]: int(line.split()[1]) for line in lines if line.startswith("Rss")}
    return (kib["RssAnon"] + kib["RssFile"]) / 1024


def simulator() -> Facts:
    words = ["--keepers", "1", "--seeds", str(SEEDS), "--jobs", str(os.cpu_count()), "--json"]
    began = time.perf_counter()
    done = subprocess.run([sys.executable, "-m", "goldthread.sim", *words], stdout=subprocess.PIPE, check=True)
    ended = time.perf_counter()
    alone = sum(run_seed(seed).handled for seed in range(SEEDS_ALONE)) / (time.perf_counter() - ended)
    return {"events_per_second": json.loads(done.stdout)["events"] / (ended - began), "on_one_core": alone}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mib", type=int, default=64, help="size of the program's state")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    found = {
        "restart beyond imports": restart(given.mib),
        "keeper at rest": at_rest(given.mib),
        "simulator, all cores": simulator(),
    }
    if given.json:
        print(json.dumps({"mib": given.mib, "cores": os.cpu_count(), "rows": found}, indent=1))
        return
    for name, facts in found.items():
        print(f"{name:32} " + "   ".join(f"{key} {value:.1f}" for key, value in facts.items()))


if __name__ == "__main__":
    main()
