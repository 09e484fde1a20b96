"""Processes that tests started, and how they are ended."""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path

from goldthread.keeper.cgroup import clear_groups
from goldthread.local import Home


def end_processes_of(home: Home) -> None:
    """Kill every process that was started for this home (keeper, shims, programs) and remove their groups."""
    mark = os.fsencode(home.path)
    while found := [pid for pid in _processes() if _belongs(pid, mark)]:
        for pid in found:
            _kill(pid)
    clear_groups(home.path)


def command_lines(home: Home) -> list[bytes]:
    """Of every process that was started for this home."""
    mark = os.fsencode(home.path)
    found = []
    for pid in _processes():
        if _belongs(pid, mark):
            with contextlib.suppress(OSError):
                found.append(Path(f"/proc/{pid}/cmdline").read_bytes())
    return found


def _processes() -> list[int]:
    numbers = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    return [number for number in numbers if number != os.getpid()]


def _belongs(pid: int, mark: bytes) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        asked = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        given = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return False
    return state not in "ZX" and (mark in asked or b"GOLDTHREAD_HOME=" + mark in given)


def _kill(pid: int) -> None:
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    except ProcessLookupError:
        pass
    finally:
        os.close(pidfd)
