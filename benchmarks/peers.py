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
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np
from peer_tools import TOOLS, Arrays, Tool

WARMUPS, SAVES, BACK_TO_BACK, RESTORES = 3, 7, 10, 3
ARRAYS = 64
PAGE = 1024
"""Floats in a page of memory."""
PACKAGES = ("goldthread", "numpy", "joblib", "safetensors", "torch", "orbax-checkpoint", "jax")
README = Path(__file__).with_name("README.md")
BEGIN, END = "<!-- peers: begin -->", "<!-- peers: end -->"


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


def await_kill(tool: Tool, arrays: Arrays, step: int) -> None:
    """Save twice, overwrite the arrays as soon as that is allowed, and say aloud when the tool says `safe`."""
    for now in (step - 1, step):
        advance(arrays, now)
        tool.save(now, arrays)
        advance(arrays, -1)
        tool.wait_safe()
    print("safe", flush=True)
    sys.stdin.read()


def restore(tool: Tool, arrays: Arrays, step: int) -> dict[str, Any]:
    like = {name: np.empty_like(array) for name, array in arrays.items()}
    start = perf_counter()
    found, loaded = tool.load(like)
    seconds = perf_counter() - start
    advance(arrays, step)
    same = all(np.array_equal(array, loaded[name]) for name, array in arrays.items())
    return {"seconds": seconds, "kept": found == step and same}


def work(task: str, name: str, folder: Path, mib: int, step: int) -> None:
    arrays = make_arrays(mib)
    tool = TOOLS[name](folder)
    if task == "measure":
        print(json.dumps(measure(tool, arrays)))
    elif task == "await-kill":
        await_kill(tool, arrays, step)
    else:
        print(json.dumps(restore(tool, arrays, step)))


# The run


def child(task: str, name: str, folder: Path, mib: int, step: int = 0) -> subprocess.Popen[str]:
    command = [sys.executable, __file__, "--work", task, name, str(folder), str(step), "--mib", str(mib)]
    return subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )


def answer(process: subprocess.Popen[str]) -> dict[str, Any]:
    output, _ = process.communicate()
    if process.returncode != 0:
        raise SystemExit(f"{' '.join(process.args)} ended with status {process.returncode}")  # type: ignore[arg-type]
    return json.loads(output.splitlines()[-1])


def prove(name: str, folder: Path, mib: int, step: int) -> None:
    """Kill a process with SIGKILL when its tool says that the save is safe."""
    process = child("await-kill", name, folder, mib, step)
    if process.stdout is None or process.stdout.readline() != "safe\n":
        raise SystemExit(f"{name} never said that its save was safe")
    process.kill()
    process.communicate()


def run_tool(name: str, mib: int) -> dict[str, Any]:
    facts: dict[str, Any] = {}
    for task in ("measure", "prove"):
        folder = Path(tempfile.mkdtemp(prefix="peers-", dir="/dev/shm"))
        try:
            if task == "measure":
                facts = answer(child("measure", name, folder, mib))
                continue
            prove(name, folder, mib, 7)
            restores = [answer(child("restore", name, folder, mib, 7)) for _ in range(RESTORES)]
            facts["restore"] = [one["seconds"] for one in restores]
            facts["kept"] = all(one["kept"] for one in restores)
        finally:
            if name == "goldthread":
                stop_keeper(folder)
            shutil.rmtree(folder)
    return facts


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


def versions() -> str:
    return ", ".join(f"{package} {importlib.metadata.version(package)}" for package in PACKAGES)


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
    return "\n".join([*lines, "", f"Machine: {machine()}.", "", f"Versions: {versions()}."])


def write_readme(text: str) -> None:
    before, rest = README.read_text().split(BEGIN)
    after = rest.split(END)[1]
    README.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}")


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--mib", type=int, default=1024, help="size of the state")
    options.add_argument("--tool", action="append", choices=TOOLS, help="only these; the table is printed, not kept")
    options.add_argument("--json", action="store_true", help="write the raw figures to standard output")
    options.add_argument("--work", nargs=4, help=argparse.SUPPRESS)
    asked = options.parse_args()
    if asked.work:
        task, name, folder, step = asked.work
        work(task, name, Path(folder), asked.mib, int(step))
        return
    memcpy = memcpy_seconds(asked.mib)
    facts = {}
    for name in asked.tool or TOOLS:
        print(f"{name} ...", file=sys.stderr, flush=True)
        facts[name] = run_tool(name, asked.mib)
    text = table(facts, asked.mib, memcpy)
    if not asked.tool:
        write_readme(text)
    whole = {"mib": asked.mib, "machine": machine(), "versions": versions(), "memcpy": memcpy, "tools": facts}
    print(json.dumps(whole) if asked.json else text)


if __name__ == "__main__":
    main()
