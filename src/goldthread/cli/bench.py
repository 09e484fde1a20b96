"""`goldthread bench`: the measurements, which lie beside the source and not in the package."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import click

from goldthread.errors import UsageError

__all__ = ["bench"]


@click.command(context_settings={"ignore_unknown_options": True}, epilog="Example: goldthread bench")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def bench(arguments: tuple[str, ...]) -> int:
    """Measure commit, restore and restart, each as a ratio to what this machine can do in the same run.

    ARGUMENTS go to benchmarks/bench.py unchanged.
    """
    script = Path(__file__).parents[3] / "benchmarks" / "bench.py"
    if not script.exists():
        raise UsageError(
            "the measurements are not part of the installed package",
            hint="run `make bench` in a checkout of the source",
        )
    return subprocess.run([sys.executable, str(script), *arguments], check=False).returncode
