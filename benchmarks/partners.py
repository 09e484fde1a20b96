"""Measure what it costs to have a state on a second host too, and to get it back: the other half of `make bench-peers`.

Every tool has its two ends in processes of their own on this machine, and all that goes between them goes through
loopback. The state is that of `peers.py`. T is the time that its bytes take over one plain connection through
loopback, from memory that was written before into memory that was; it is measured in the program, between the saves.
Each tool is asked

- how long the program stands still for one save (*stall*),
- how long another save takes until its partner has it too, by the word of the tool (*elsewhere*),
- how long it takes to have the newest save back from the partner (*back*), when all that the tool kept on the
  program's host is lost. It must be that very step with its very bytes.

The table goes into benchmarks/README.md, the raw figures with --json to standard output.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np
from bond import Plain
from partner_tools import TOOLS, End
from peer_tools import Arrays
from peers import ARRAYS, advance, machine, make_arrays, versions, write_readme

WARMUPS, SAVES, FETCHES = 3, 7, 5
PACKAGES = ("goldthread", "numpy", "torch", "nvidia-resiliency-ext", "torchft")
Facts = dict[str, Any]


def keep(tool: End, arrays: Arrays, plain: Plain) -> Facts:
    """At the program's end: save, lose it all, and have it back."""
    stalls, elsewheres, limits, backs = [], [], [], []
    for step in range(1, 2 * (WARMUPS + SAVES), 2):
        advance(arrays, step)
        start = perf_counter()
        tool.save(step, arrays)
        stalls.append(perf_counter() - start)
        tool.wait_elsewhere()
        advance(arrays, step + 1)
        start = perf_counter()
        tool.save_elsewhere(step + 1, arrays)
        elsewheres.append(perf_counter() - start)
        limits.append(plain.seconds())
    came = []
    for _ in range(FETCHES):
        like = {name: np.ones_like(array) for name, array in arrays.items()}
        tool.lose()
        start = perf_counter()
        found, loaded = tool.fetch(like)
        backs.append(perf_counter() - start)
        came.append(found == step + 1 and all(np.array_equal(array, loaded[name]) for name, array in arrays.items()))
        limits.append(plain.seconds())
    return {
        "stall": stalls[WARMUPS:],
        "elsewhere": elsewheres[WARMUPS:],
        "back": backs,
        "tcp": limits[WARMUPS:],
        "whole": all(came),
    }


def follow(tool: End, arrays: Arrays) -> None:
    """At the partner's end: the same in the same order, and nothing is measured."""
    for step in range(1, 2 * (WARMUPS + SAVES) + 1):
        advance(arrays, step)
        tool.save(step, arrays)
    for _ in range(FETCHES):
        tool.lose()
        tool.fetch(arrays)


def work(name: str, folder: Path, mib: int, *, is_partner: bool) -> None:
    """Be one end of a tool. The partner's ends when its input does."""
    arrays = make_arrays(mib)
    if is_partner:
        own = TOOLS[name].partner_state(arrays)
        tool = TOOLS[name](folder, is_partner=True)
        follow(tool, own)
        sys.stdin.read()
    else:
        plain = Plain(mib)
        tool = TOOLS[name](folder, is_partner=False)
        print(json.dumps(keep(tool, arrays, plain)), flush=True)
        plain.close()
    tool.close()


def run_tool(name: str, mib: int) -> Facts:
    with tempfile.TemporaryDirectory(prefix="partners-", dir="/dev/shm", ignore_cleanup_errors=True) as folder:
        command = [sys.executable, __file__, "--mib", str(mib), "--work", name, folder]
        partner = None
        if TOOLS[name].partner_state({}) is not None:
            partner = subprocess.Popen([*command, "partner"], stdin=subprocess.PIPE, stderr=subprocess.DEVNULL)
        try:
            done = subprocess.run([*command, "program"], capture_output=True, check=False, text=True)
        finally:
            if partner is not None and partner.stdin is not None:
                partner.stdin.close()
                partner.wait()
    if done.returncode or not done.stdout:
        raise SystemExit(f"{name}: ended with status {done.returncode}: {done.stderr[-2000:]}")
    facts: Facts = json.loads(done.stdout)
    return facts


# The table


def table(facts: dict[str, Facts], mib: int) -> str:
    limit = median(seconds for one in facts.values() for seconds in one["tcp"])
    lines = [
        f"State: {mib} MiB of float32 in {ARRAYS} arrays. Medians of {SAVES} saves, and of {FETCHES} times back.",
        f"T, the same bytes over plain loopback TCP, took {limit * 1e3:.0f} ms; a ratio is to the T beside it.",
        "",
        "| tool | stall | elsewhere after | / T | back after | / T | whole |",
        "|---|--:|--:|--:|--:|--:|---|",
    ]
    for name, one in facts.items():
        cells = [name, *saved(one), *against(one["back"], one["tcp"]), "yes" if one["whole"] else "NO"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, "", f"Machine: {machine()}.", "", f"Versions: {versions(PACKAGES)}."])


def saved(one: Facts) -> list[str]:
    if not one["keeps"]:
        return ["-", "-", "-"]
    return [f"{median(one['stall']) * 1e3:,.0f} ms", *against(one["elsewhere"], one["tcp"])]


def against(times: list[float], limits: list[float]) -> list[str]:
    return [f"{median(times) * 1e3:,.0f} ms", f"{median(times) / median(limits):.1f}"]


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--mib", type=int, default=1024, help="size of the state")
    options.add_argument("--tool", action="append", choices=TOOLS, help="only these; the table is printed, not kept")
    options.add_argument("--json", action="store_true", help="write the raw figures to standard output")
    options.add_argument("--work", nargs=3, help=argparse.SUPPRESS)
    asked = options.parse_args()
    if asked.work:
        name, folder, end = asked.work
        work(name, Path(folder), asked.mib, is_partner=end == "partner")
        return
    facts = {}
    for name in asked.tool or TOOLS:
        print(f"{name} ...", file=sys.stderr, flush=True)
        facts[name] = run_tool(name, asked.mib) | {"keeps": TOOLS[name].keeps}
    text = table(facts, asked.mib)
    if not asked.tool:
        write_readme("partners", text)
    whole = {"mib": asked.mib, "machine": machine(), "versions": versions(PACKAGES), "tools": facts}
    print(json.dumps(whole) if asked.json else text)


if __name__ == "__main__":
    main()
