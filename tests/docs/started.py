"""Programs that run while a test looks on."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

__all__ = ["next_line", "started"]


@contextmanager
def started(
    command: Sequence[str | Path], environment: dict[str, str], folder: Path | None = None
) -> Iterator[subprocess.Popen[str]]:
    """Run a command for the time of the block; what has not ended by then is killed."""
    process = subprocess.Popen(
        command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def next_line(process: subprocess.Popen[str]) -> str:
    """What it writes next; empty when it has ended."""
    assert process.stdout is not None
    return process.stdout.readline().rstrip()
