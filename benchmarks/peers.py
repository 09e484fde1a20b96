"""Measure goldthread and its peers on the same work in the same run: `make bench-peers`.

Every tool gets processes of its own and a fresh folder in shared memory, saves the same arrays, all of whose pages
changed since the last save, and is asked four things:

- how long the training thread stands still for one save (*stall*),
- how long until the save is safe against `kill -9`. The tool says when; then it is killed for real at that moment,
  after the program has overwritten its arrays, and a fresh process must load that very step with its very bytes,
- how many saves a second it does back to back, each finished before the next but one begins,
- how long a fresh process takes from asking for the newest save to having its arrays (imports not counted).

The table goes into benchmarks/README.md, the raw figures with --json to standard output.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np
from peer_tools import TOOLS, Arrays, Tool

WARMUPS, SAVES, BACK_TO_BACK, RESTORES = 3, 7, 10, 3
ARRAYS = 64
STEP = 7
"""The step that is saved, killed and restored."""
PAGE = 1024
"""Floats in a page of memory."""
PACKAGES = ("goldthread", "numpy", "joblib", "safetensors", "torch", "orbax-checkpoint", "jax")
README = Path(__file__).with_name("README.md")


# The work


def make_arrays(mib: int) -> Arrays:
    draw = np.random.default_rng(1)
    floats = (mib << 20) // 4 // ARRAYS
    return {f"array{index:02}": draw.random(floats, np.float32) for index in range(ARRAYS)}


def advance(arrays: Arrays, step: int) -> None:
    """Change every page of every array, in little time, so that what is measured is the saving."""
    for array in arrays.values():
        array[::PAGE] = step


def measure(tool: Tool, arrays: Arrays) -> dict[str, Any]:
    stalls, safes = [], []
    for step in range(1, WARMUPS + SAVES + 1):
        advance(arrays, step)
        start = perf_counter()
        tool.save(step, arrays)
        stall = perf_counter() - start
        tool.wait_safe()
        stalls.append(stall)
        safes.append(perf_counter() - start)
    start = perf_counter()
    for later in range(1, BACK_TO_BACK + 1):
        advance(arrays, step + later)
        tool.save(step + later, arrays)
    tool.wait_safe()
    per_second = BACK_TO_BACK / (perf_counter() - start)
    tool.close()
    return {"stall": stalls[WARMUPS:], "safe": safes[WARMUPS:], "per_second": per_second}


def save_twice(tool: Tool, arrays: Arrays, step: int) -> bool:
    """Overwrite the arrays as soon as each save allows it, and return when the tool says that the second is safe."""
    for now in (step - 1, step):
        advance(arrays, now)
        tool.save(now, arrays)
        advance(arrays, -1)
        tool.wait_safe()
    return True


def restore(tool: Tool, arrays: Arrays, step: int) -> dict[str, Any]:
    like = {name: np.empty_like(array) for name, array in arrays.items()}
    start = perf_counter()
    found, loaded = tool.load(like)
    seconds = perf_counter() - start
    advance(arrays, step)
    same = all(np.array_equal(array, loaded[name]) for name, array in arrays.items())
    return {"seconds": seconds, "kept": found == step and same}


def work(task: str, name: str, folder: Path, mib: int) -> None:
    """Do one task, say the outcome, and wait for whatever comes: SIGKILL, or the end of the input."""
    arrays = make_arrays(mib)
    tool = TOOLS[name](folder)
    if task == "measure":
        outcome: Any = measure(tool, arrays)
    elif task == "save":
        outcome = save_twice(tool, arrays, STEP)
    else:
        outcome = restore(tool, arrays, STEP)
    print(json.dumps(outcome), flush=True)
    sys.stdin.read()


# The run


def outcome_of(task: str, name: str, folder: Path, mib: int, *, kill: bool) -> Any:
    """Run one task in a process of its own; with `kill` it is killed with SIGKILL when it says its outcome."""
    command = [sys.executable, __file__, "--work", task, name, str(folder), "--mib", str(mib)]
    pipe, null = subprocess.PIPE, subprocess.DEVNULL
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=null, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        line = process.stdout.readline()
        if kill:
            process.kill()
        process.stdin.close()
    if not line:
        raise SystemExit(f"{name}: {task} ended with status {process.returncode} and said nothing")
    return json.loads(line)


def run_tool(name: str, mib: int) -> dict[str, Any]:
    with fresh_folder(name) as folder:
        facts = outcome_of("measure", name, folder, mib, kill=False)
    with fresh_folder(name) as folder:
        outcome_of("save", name, folder, mib, kill=True)
        restores = [outcome_of("restore", name, folder, mib, kill=True) for _ in range(RESTORES)]
    facts["restore"] = [one["seconds"] for one in restores]
    facts["kept"] = all(one["kept"] for one in restores)
    return facts


@contextmanager
def fresh_folder(name: str) -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="peers-", dir="/dev/shm"))
    try:
        yield folder
    finally:
        if name == "goldthread":
            stop_keeper(folder)
        shutil.rmtree(folder)


def stop_keeper(home: Path) -> None:
    command = [sys.executable, "-m", "goldthread", "keeper", "stop"]
    subprocess.run(command, env=os.environ | {"GOLDTHREAD_HOME": str(home)}, check=True, capture_output=True)


def memcpy_seconds(mib: int) -> float:
    """A warm copy of the same arrays: the limit for whatever keeps a copy."""
    source = make_arrays(mib)
    target = {name: array.copy() for name, array in source.items()}
    times = []
    for _ in range(WARMUPS + SAVES):
        start = perf_counter()
        for name, array in source.items():
            np.copyto(target[name], array)
        times.append(perf_counter() - start)
    return median(times[WARMUPS:])


# The table


def machine() -> str:
    cpuinfo = Path("/proc/cpuinfo").read_text().splitlines()
    cpus = [line.split(":")[1].strip() for line in cpuinfo if line.startswith("model name")]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 30
    kernel = ".".join(platform.release().split(".")[:2])
    return f"{len(cpus)} cores of {cpus[0]}, {memory} GiB, Linux {kernel}, Python {platform.python_version()}"


def versions(packages: Iterable[str]) -> str:
    return ", ".join(f"{package} {importlib.metadata.version(package)}" for package in packages)


def milliseconds(times: list[float]) -> str:
    return f"{median(times) * 1e3:,.0f} ms"


def table(facts: dict[str, dict[str, Any]], mib: int, memcpy: float) -> str:
    lines = [
        f"State: {mib} MiB of float32 in {ARRAYS} arrays. Medians of {SAVES} saves (restore: of {RESTORES} processes).",
        f"One warm memcpy of the state took {memcpy * 1e3:.0f} ms.",
        "",
        "| tool | stall | stall / memcpy | safe against SIGKILL after | saves per s | restore | kept when killed |",
        "|---|--:|--:|--:|--:|--:|---|",
    ]
    for name, one in facts.items():
        stall = milliseconds(one["stall"])
        lines.append(
            f"| {name} | {stall} | {median(one['stall']) / memcpy:.1f} | {milliseconds(one['safe'])} "
            f"| {one['per_second']:.1f} | {milliseconds(one['restore'])} | {'yes' if one['kept'] else 'NO'} |"
        )
    return "\n".join([*lines, "", f"Machine: {machine()}.", "", f"Versions: {versions(PACKAGES)}."])


def write_readme(name: str, text: str) -> None:
    """Put a table in its place."""
    begin, end = (f"<!-- {name}: {word} -->" for word in ("begin", "end"))
    before, rest = README.read_text().split(begin)
    after = rest.split(end)[1]
    README.write_text(f"{before}{begin}\n\n{text}\n\n{end}{after}")


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--mib", type=int, default=1024, help="size of the state")
    options.add_argument("--tool", action="append", choices=TOOLS, help="only these; the table is printed, not kept")
    options.add_argument("--json", action="store_true", help="write the raw figures to standard output")
    options.add_argument("--work", nargs=3, help=argparse.SUPPRESS)
    asked = options.parse_args()
    if asked.work:
        task, name, folder = asked.work
        work(task, name, Path(folder), asked.mib)
        return
    memcpy = memcpy_seconds(asked.mib)
    facts = {}
    for name in asked.tool or TOOLS:
        print(f"{name} ...", file=sys.stderr, flush=True)
        facts[name] = run_tool(name, asked.mib)
    text = table(facts, asked.mib, memcpy)
    if not asked.tool:
        write_readme("peers", text)
    whole = {"mib": asked.mib, "machine": machine(), "versions": versions(PACKAGES), "memcpy": memcpy, "tools": facts}
    print(json.dumps(whole) if asked.json else text)


if __name__ == "__main__":
    main()
