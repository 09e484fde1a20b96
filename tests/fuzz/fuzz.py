"""Throw damaged bytes at everything that reads what others send: `make fuzz`, or `make fuzz FRAMES=100000`.

Each target runs in a process of its own under Atheris (libFuzzer), which looks for bytes that reach new lines of the
code. A fault is an error that is not expected, more than a second for one input, or more memory than a keeper has to
spare. What caused it is kept in `found/`, and is shown by `python tests/fuzz/fuzz.py --target NAME FILE`.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import atheris

HERE = Path(__file__).parent
FOUND = HERE / "found"
MEMORY_MIB = 400
"""Atheris and the modules under test take about 150 of it."""
AT_ONCE_MIB = 64
SECONDS_MOST = 1
LENGTH_MOST = 16 << 10


def fuzz(name: str, arguments: list[str]) -> None:
    """Become the fuzzer of one target; never returns."""
    with atheris.instrument_imports(include=["goldthread.wire", "goldthread.state"]):
        from targets import TARGETS
    target = TARGETS[name]

    def meet(arrived: bytes) -> None:
        with contextlib.suppress(target.allowed):
            target.meet(arrived)

    atheris.Setup([sys.argv[0], *arguments], meet)
    atheris.Fuzz()


def run(name: str, frames: int, seed: int) -> tuple[bool, str]:
    """Whether a target held, and the line that says so."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as corpus:
        from targets import TARGETS

        for number, example in enumerate(TARGETS[name].examples):
            (Path(corpus) / f"example-{number}").write_bytes(example)
        FOUND.mkdir(exist_ok=True)
        command = [
            sys.executable,
            __file__,
            "--target",
            name,
            corpus,
            f"-runs={frames}",
            f"-seed={seed}",
            f"-max_len={LENGTH_MOST}",
            f"-timeout={SECONDS_MOST}",
            f"-rss_limit_mb={MEMORY_MIB}",
            f"-malloc_limit_mb={AT_ONCE_MIB}",
            f"-artifact_prefix={FOUND}/{name}-",
        ]
        done = subprocess.run(command, cwd=HERE, capture_output=True, text=True, errors="replace", check=False)
    if done.returncode != 0:
        return False, f"{name}: FAULT\n{done.stdout[-2000:]}{done.stderr[-4000:]}"
    counted = re.findall(r"Done (\d+) runs", done.stderr)
    return True, f"{name:18} {int(counted[-1]):>10,} inputs in {time.monotonic() - began:.0f} s, no fault"


def main() -> int:
    if sys.argv[1:2] == ["--target"]:
        fuzz(sys.argv[2], sys.argv[3:])
    parser = argparse.ArgumentParser(description="Fuzz everything that reads what others send")
    parser.add_argument("--frames", type=int, default=10_000_000, help="of all targets together")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    asked = parser.parse_args()
    from targets import TARGETS

    share = -(-asked.frames // len(TARGETS))
    held = True
    with ThreadPoolExecutor(asked.jobs) as runs:
        for whole, line in runs.map(lambda name: run(name, share, asked.seed), TARGETS):
            print(line, flush=True)  # noqa: T201
            held = held and whole
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
