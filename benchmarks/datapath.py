"""Commit and restore against a warm memcpy of the same bytes, measured in the same run.

    python benchmarks/datapath.py [--mib 1024] [--json]

M is the median time of copying the state once more into arrays that were written before, one `numpy.copyto` per array,
in one thread. It is measured between the commits, since what else the machine does falls on both. Restores run in a
process of their own, as they do after a death. The loops with commits run under a real keeper, in turns with the same
loops without.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import goldthread
from goldthread.names import Epoch, MemberName, Step
from goldthread.program.writer import Writer
from goldthread.slots.layout import CHUNK_BYTES
from goldthread.slots.slot import Slot, make_slot
from goldthread.state.restore import pour, read
from goldthread.wire.image import checksum

ARRAYS = 64
SMALL_ARRAYS, SMALL_BYTES = 10_000, 4096
REPEATS, WARM_UP = 7, 9
"""It takes some commits until it is known that little changes."""
RESTORES = 7
LOOP_STEPS, LOOP_SECONDS = 4, 20.0
WORK_TIMES = 8
BARE_COPIES = 10
Facts = dict[str, float]


def seconds_of(action: Callable[[], object]) -> float:
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def state_of(mib: int) -> dict[str, Any]:
    return {f"array{index}": np.ones((mib << 20) // ARRAYS // 4, "f4") for index in range(ARRAYS)}


def copy_all(source: dict[str, Any], target: dict[str, Any]) -> None:
    for name, array in source.items():
        np.copyto(target[name], array)


def memcpy_seconds(state: dict[str, Any]) -> float:
    target = {name: np.ones_like(array) for name, array in state.items()}
    return statistics.median(seconds_of(lambda: copy_all(state, target)) for _ in range(5))


def new_writer(descriptors: list[int] | None = None, sparse: bool | None = None) -> Writer:
    def new_slot(index: int, size: int) -> int:
        descriptor = make_slot("bench", size)
        if descriptors is not None:
            descriptors.append(descriptor)
        return descriptor

    return Writer(MemberName("bench"), Epoch(1), slots_most=3, new_slot=new_slot, pickle=False, sparse=sparse)


def commits(
    state: dict[str, Any],
    change: Callable[[], None],
    plain: Callable[[], object],
    repeats: int,
    sparse: bool | None = None,
) -> Facts:
    """Commit after each change, beside the plain copy of the same bytes."""
    writer = new_writer(sparse=sparse)
    taken, copied = [], []
    for step in range(WARM_UP + repeats):
        change()
        taken.append(seconds_of(lambda step=step: writer.write(state, Step(step), True)))  # type: ignore[misc]
        copied.append(seconds_of(plain))
    writer.close()
    commit, memcpy = statistics.median(taken[WARM_UP:]), statistics.median(copied[WARM_UP:])
    return {"ms": 1e3 * commit, "memcpy_ms": 1e3 * memcpy, "ratio": commit / memcpy}


def large_commits(mib: int) -> dict[str, Facts]:
    state, target = state_of(mib), state_of(mib)
    part = state["array3"][: (mib << 20) // 400]

    def change_all() -> None:
        for array in state.values():
            np.add(array, 1, out=array)

    def change_part() -> None:
        np.add(part, 1, out=part)

    def plain() -> None:
        copy_all(state, target)

    return {
        "commit, all changed": commits(state, change_all, plain, REPEATS),
        "commit, 1 % changed": commits(state, change_part, plain, REPEATS),
        "commit, 1 % changed, all read": commits(state, change_part, plain, REPEATS, sparse=False),
    }


def small_commits() -> Facts:
    """The memcpy is that of one block of as many bytes."""
    state = {f"array{index}": np.ones(SMALL_BYTES // 4, "f4") for index in range(SMALL_ARRAYS)}
    source, target = np.ones(SMALL_ARRAYS * SMALL_BYTES // 4, "f4"), np.ones(SMALL_ARRAYS * SMALL_BYTES // 4, "f4")
    return commits(state, lambda: None, lambda: np.copyto(target, source), 3 * REPEATS)


def loop_overhead(mib: int, step_ms: float) -> Facts:
    """What commits add to a loop: in a fresh process, under a keeper of its own."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        home = {**os.environ, "GOLDTHREAD_HOME": folder}
        command = [sys.executable, __file__, "--loop", str(mib), str(step_ms)]
        try:
            done = subprocess.run(command, env=home, stdout=subprocess.PIPE, check=True)
        finally:
            stop = [sys.executable, "-m", "goldthread", "keeper", "stop"]
            subprocess.run(stop, env=home, stdout=subprocess.DEVNULL, check=False)
    facts: Facts = json.loads(done.stdout)
    return facts


def loop_here(mib: int, step_ms: float) -> Facts:
    """The same steps with commits and without, in turns; the median of the differences counts.

    A step works in `WORK_TIMES` as much memory as the state has, so that no commit finds the caches as it left them.
    """
    x, work = np.ones(mib << 17), np.ones((WORK_TIMES * mib, 1 << 17))
    sweeps = itertools.cycle(work)

    def compute(count: int) -> None:
        for part in itertools.islice(sweeps, count):
            np.add(part, 1, out=part)

    compute(len(work))
    count = round(len(work) * step_ms / 1e3 / min(seconds_of(lambda: compute(len(work))) for _ in range(20)))
    taken: list[float] = []
    with goldthread.join("loop") as life:
        state = life.restore({"x": x, "step": 0})

        def steps(committed: bool) -> None:
            for _ in range(LOOP_STEPS):
                compute(count)
                np.add(x, 1, out=x)
                state["step"] += 1
                if committed:
                    taken.append(seconds_of(lambda: life.commit(state)))

        steps(True)
        bare = statistics.median(bare_seconds(x, lambda: steps(False)))
        pairs = round(LOOP_SECONDS / (2 * LOOP_STEPS * step_ms / 1e3))
        more = []
        for pair in range(pairs):
            first = pair % 2 == 0
            one, other = seconds_of(lambda first=first: steps(first)), seconds_of(lambda first=first: steps(not first))  # type: ignore[misc]
            more.append((one - other if first else other - one) / LOOP_STEPS)
    step = step_ms / 1e3
    return {"ms": 1e3 * statistics.median(taken), "ratio": statistics.median(more) / step, "bare": bare / step}


def bare_seconds(x: np.ndarray[Any, Any], steps: Callable[[], None]) -> Iterator[float]:
    """What stands in the way of each commit whatever is around it: its bytes are copied and summed, after steps."""
    slots = [np.ones_like(x) for _ in range(3)]
    items = CHUNK_BYTES // x.itemsize

    def copy(slot: np.ndarray[Any, Any]) -> None:
        for start in range(0, len(x), items):
            slot[start : start + items] = x[start : start + items]
            checksum(slot[start : start + items].data)

    for slot in BARE_COPIES * slots:
        steps()
        yield seconds_of(lambda slot=slot: copy(slot))  # type: ignore[misc]


def restores(mib: int) -> dict[str, Facts]:
    """Each in a fresh process, which measures its own memcpy first."""
    descriptors: list[int] = []
    writer = new_writer(descriptors)
    writer.write(state_of(mib), Step(1), True)
    found = {}
    for kind in ("new", "existing", "mapped"):
        runs = []
        for _ in range(RESTORES):
            command = [sys.executable, __file__, "--mib", str(mib), "--restore", kind, "--slot", str(descriptors[0])]
            done = subprocess.run(command, pass_fds=descriptors[:1], stdout=subprocess.PIPE, check=True)
            runs.append(json.loads(done.stdout))
        found[f"restore, {kind}"] = sorted(runs, key=lambda run: run["ratio"])[len(runs) // 2]
    writer.close()
    return found


def restore_here(kind: str, descriptor: int, mib: int) -> Facts:
    state = state_of(mib)
    memcpy = memcpy_seconds(state)
    if kind != "existing":
        state = {}
    slot = Slot(descriptor, writable=False, private=kind == "mapped")
    if kind == "existing":
        taken = seconds_of(lambda: pour(slot.image, state, map=False, pickle=False))
    else:
        kept: list[object] = []  # Giving the memory back is not part of a restore.
        taken = seconds_of(
            lambda: kept.append(read(slot.image, map=kind == "mapped", pickle=False))
        )  # fmt: skip
    return {"ms": 1e3 * taken, "memcpy_ms": 1e3 * memcpy, "ratio": taken / memcpy}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mib", type=int, default=1024, help="size of the large state")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--restore", choices=["new", "existing", "mapped"], help=argparse.SUPPRESS)
    parser.add_argument("--slot", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--loop", type=float, nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.loop:
        print(json.dumps(loop_here(int(given.loop[0]), given.loop[1])))
        return
    if given.restore:
        print(json.dumps(restore_here(given.restore, given.slot, given.mib)))
        return
    found = {
        **large_commits(given.mib),
        "commit, 10,000 arrays of 4 KiB": small_commits(),
        "commit, 1 MiB each 10 ms": loop_overhead(1, 10),
        "commit, 16 MiB each 100 ms": loop_overhead(16, 100),
        **restores(given.mib),
    }
    if given.json:
        print(json.dumps({"mib": given.mib, "cores": os.cpu_count(), "rows": found}, indent=1))
        return
    for name, facts in found.items():
        memcpy = f"M {facts['memcpy_ms']:8.2f} ms" if "memcpy_ms" in facts else "of the step"
        bare = f", its bytes and checksums alone {facts['bare']:.3f}" if "bare" in facts else ""
        print(f"{name:32} {facts['ms']:9.3f} ms   {memcpy:14}   ratio {facts['ratio']:.3f}{bare}")


if __name__ == "__main__":
    main()
