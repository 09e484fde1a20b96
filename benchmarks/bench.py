"""All measurements of goldthread alone, each as a ratio to a limit measured in the same run.

    python benchmarks/bench.py [--mib 1024] [--json]

Shared machines are noisy: read the ratios, not the times, and run it again where one surprises.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent

# What is shown of each row: the fact, how it is said, and the limit that it is held against.
LIMITS: dict[str, tuple[str, str, float]] = {
    "commit, all changed": ("ratio", "M", 1.2),
    "commit, 1 % changed": ("ratio", "M", 0.75),
    "commit, 1 % changed, all read": ("ratio", "M", 0.75),
    "commit, 10,000 arrays of 4 KiB": ("ratio", "M", 4.0),
    "restore, new": ("ratio", "M", 2.2),
    "restore, existing": ("ratio", "M", 1.3),
    "restore, mapped": ("ms", "ms", 10.0),
    "commit, 1 MiB each 10 ms": ("ratio", "of the step", 0.02),
    "commit, 16 MiB each 100 ms": ("ratio", "of the step", 0.02),
    "held, all changed": ("ratio", "T", 2.2),
    "held, 1 % changed": ("ratio", "T", 0.15),
    "held, five back to back": ("ratio", "T", 2.5),
    "restore from the partner": ("ratio", "T", 2.5),
    "16 MiB each 100 ms, streamed": ("ratio", "of the step", 0.04),
    "restart beyond imports": ("ms", "ms", 50.0),
    "host lost to takeover, default": ("s", "s", 3.0),
    "host lost to takeover, fast": ("s", "s", 1.0),
    "keeper at rest": ("percent_of_a_core", "% of a core", 0.5),
    "keeper's own memory": ("own_mib", "MiB", 60.0),
    "simulator, all cores": ("events_per_second", "events/s", 100_000.0),
    "dataclasses, first commit": ("ratio", "P", 2.0),
    "dataclasses, next commit": ("ratio", "P", 2.0),
    "dataclasses, restore": ("ratio", "P", 2.0),
    "floats, first commit": ("ratio", "P", 1.2),
    "floats, next commit": ("ratio", "P", 1.2),
    "floats, restore": ("ratio", "P", 2.0),
    "dicts, first commit": ("ratio", "P", 1.2),
    "dicts, next commit": ("ratio", "P", 1.2),
    "dicts, restore": ("ratio", "P", 2.0),
    "irregular dicts, first commit": ("ratio", "P", 1.2),
    "irregular dicts, next commit": ("ratio", "P", 1.2),
    "irregular dicts, restore": ("ratio", "P", 2.0),
    "DataFrame in blocks, commit": ("ratio", "A", 1.2),
    "DataFrame in blocks, new": ("ratio", "A", 1.2),
    "DataFrame in blocks, existing": ("ratio", "A", 1.2),
    "DataFrame in columns, commit": ("ratio", "A", 1.2),
    "DataFrame in columns, new": ("ratio", "A", 1.2),
    "DataFrame in columns, existing": ("ratio", "A", 1.2),
}
AT_LEAST = {"simulator, all cores"}


def rows_of(script: str, *arguments: str) -> dict[str, Any]:
    command = [sys.executable, str(HERE / script), "--json", *arguments]
    print(f"{script} ...", file=sys.stderr, flush=True)
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    rows: dict[str, Any] = json.loads(done.stdout)["rows"]
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mib", type=int, default=1024, help="size of the large state")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    load = os.getloadavg()[0]
    size = ("--mib", str(given.mib))
    found = {
        **rows_of("datapath.py", *size),
        **rows_of("bond.py", *size),
        **rows_of("keeping.py"),
        **rows_of("takeover.py"),
        **rows_of("small_things.py", *size),
    }
    found["keeper's own memory"] = found["keeper at rest"]
    if given.json:
        print(json.dumps({"mib": given.mib, "cores": os.cpu_count(), "load": load, "rows": found}, indent=1))
        return
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, Linux {platform.release()}, Python {platform.python_version()},"
    )
    print(
        f"load before: {load:.1f}; large state: {given.mib} MiB; in the same run, for the same bytes:\n"
        "M: a warm memcpy, T: one plain loopback connection, P: pickle of the same state, A: the DataFrame's arrays\n"
    )
    for name, (fact, unit, limit) in LIMITS.items():
        if "note" in found[name]:
            print(f"{name:32} {found[name]['note']}")
            continue
        value = found[name][fact]
        holds = value >= limit if name in AT_LEAST else value <= limit
        bound = "at least" if name in AT_LEAST else "at most"
        bare = f"   (its bytes and checksums alone {found[name]['bare']:.3f})" if "bare" in found[name] else ""
        print(f"{name:32} {value:12,.3f} {unit:12} {bound} {limit:<10,g} {'yes' if holds else 'NO'}{bare}")


if __name__ == "__main__":
    main()
