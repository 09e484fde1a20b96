"""What the kernel can tell of a process, and the stacks of one that hangs.

A joined program has registered `faulthandler` for SIGUSR2: the handler runs in the signal itself, so it answers
also where Python code does not get a turn any more. A stopped process handles nothing; the signal is left for it
and it is woken, so that the handler is the first thing that it does, and stopped again.
"""

from __future__ import annotations

import os
import select
import signal
from pathlib import Path
from time import monotonic
from typing import Final, NamedTuple

from goldthread.names import Span, seconds

__all__ = ["Identity", "boot_id", "is_alive", "is_stopped", "process_identity", "take_stacks"]

_WAIT: Final = seconds(2)
_QUIET_MILLISECONDS: Final = 100
"""A file of stacks that did not grow for so long is complete: the handler writes without a pause."""
_QUIET_STOPPED_MILLISECONDS: Final = 10
"""For a program that was stopped, and runs on until it is stopped again."""
_TEXT_BYTES_MOST: Final = 256 << 10


class Identity(NamedTuple):
    """A process, told from a later one with the same number by when it began."""

    pid: int
    start_ticks: int
    """Since the boot, in clock ticks."""


def boot_id() -> str:
    """Differs after each boot of the host; empty where the kernel does not say."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def process_identity(pid: int) -> Identity | None:
    """None where there is no such process, or only what its parent has not collected yet."""
    found = _stat(pid)
    return Identity(pid, found[1]) if found and found[0] not in "ZX" else None


def is_alive(identity: Identity) -> bool:
    return process_identity(identity.pid) == identity


def is_stopped(pid: int) -> bool:
    found = _stat(pid)
    return found is not None and found[0] in "Tt"


def take_stacks(pid: int, path: Path, wait: Span = _WAIT) -> str:
    """Have the program write the stacks of all its threads to `path`, and return what it wrote.

    Empty where nothing came within `wait`: it has not registered for the signal, is gone, or sits in the kernel.
    """
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return ""
    try:
        return _take(pidfd, pid, path, wait)
    finally:
        os.close(pidfd)


def _take(pidfd: int, pid: int, path: Path, wait: Span) -> str:
    if not _handles(pid, signal.SIGUSR2):
        return ""
    before = _size(path)
    stopped = is_stopped(pid)
    try:
        signal.pidfd_send_signal(pidfd, signal.SIGUSR2)
        if stopped:
            signal.pidfd_send_signal(pidfd, signal.SIGCONT)
        _wait_complete(pidfd, path, before, wait, _QUIET_STOPPED_MILLISECONDS if stopped else _QUIET_MILLISECONDS)
        if stopped:
            signal.pidfd_send_signal(pidfd, signal.SIGSTOP)
    except ProcessLookupError:
        return ""
    if _size(path) == before:
        return ""
    with path.open("rb") as file:
        file.seek(before)
        return file.read(_TEXT_BYTES_MOST).decode(errors="replace").strip()


def _wait_complete(pidfd: int, path: Path, before: int, wait: Span, quiet: int) -> None:
    """Return when the file has grown and then kept its size for a while; at the latest when `wait` is over or the
    process has ended."""
    deadline = monotonic() + wait / 1e9
    ended = select.poll()
    ended.register(pidfd, select.POLLIN)
    size = before
    while monotonic() < deadline and not ended.poll(quiet):
        known, size = size, _size(path)
        if size == known > before:
            return


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _stat(pid: int) -> tuple[str, int] | None:
    """State and start of a process. The name before them may hold anything, also a parenthesis."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return fields[0], int(fields[19])


def _handles(pid: int, number: signal.Signals) -> bool:
    """Whether a process has a handler for a signal. One without would be ended by it."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text(errors="replace").splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return False
    caught = next((line.split()[1] for line in lines if line.startswith("SigCgt:")), "0")
    return bool(int(caught, 16) >> (number - 1) & 1)
