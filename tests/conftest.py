"""What tests of the whole share: a home of their own, which leaves nothing behind."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from goldthread.local import Home


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Home]:
    """A keeper's home with a space in its path. Whatever was started in it is killed at the end."""
    place = Home(tmp_path / "a home")
    monkeypatch.setenv("GOLDTHREAD_HOME", str(place.path))
    for name in ("GOLDTHREAD_MEMBER", "GOLDTHREAD_EPOCH"):
        monkeypatch.delenv(name, raising=False)
    try:
        yield place
    finally:
        end_processes_of(place)


def end_processes_of(home: Home) -> None:
    """Kill every process that was started for this home: keeper, shims, programs."""
    mark = os.fsencode(home.path)
    while found := [pid for pid in _processes() if _belongs(pid, mark)]:
        for pid in found:
            _kill(pid)


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
