"""Ends what a test run left behind that was killed itself: no `finally` of it is reached then.

    python reaper.py FOLDER

It waits for the end of its standard input, which is the end of the test run, however it came. Then it kills every
process of a home of goldthread in the folder, until there is none: what is killed may have started another.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from pathlib import Path


def main(folder: str) -> None:
    sys.stdin.buffer.read()
    mark = os.fsencode(folder) + b"/"
    while found := [pid for pid in _processes() if _is_in(pid, mark)]:
        for pid in found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def _processes() -> list[int]:
    numbers = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    return [number for number in numbers if number != os.getpid()]


def _is_in(pid: int, mark: bytes) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        variables = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return False
    homes = [one.removeprefix(b"GOLDTHREAD_HOME=") for one in variables if one.startswith(b"GOLDTHREAD_HOME=")]
    paths = [*homes, *words] if any(word.startswith(b"goldthread.") for word in words) else homes
    return state not in "ZX" and any(path.startswith(mark) for path in paths)


if __name__ == "__main__":
    main(sys.argv[1])
