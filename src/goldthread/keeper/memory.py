"""How much memory there is for slots, and giving it."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Final

from goldthread.errors import NoRoom
from goldthread.slots.slot import make_slot

__all__ = ["give_slot", "memory_free", "memory_whole"]

_MEMINFO: Final = Path("/proc/meminfo")
_LIMITS: Final = (
    (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")),
    (Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"), Path("/sys/fs/cgroup/memory/memory.usage_in_bytes")),
)


def memory_free() -> int | None:
    """Bytes that a slot could take: what the host has available, or the keeper's control group still allows, as seen
    from inside it. None where the host does not say."""
    frees = []
    for line in _lines(_MEMINFO):
        if line.startswith("MemAvailable:"):
            frees.append(int(line.split()[1]) << 10)
    for limit, usage in _LIMITS:
        limits, usages = _lines(limit), _lines(usage)
        if limits and usages and limits[0].isdigit():
            frees.append(int(limits[0]) - int(usages[0]))
    return min(frees) if frees else None


def memory_whole() -> int | None:
    """Bytes that the host has, or that this control group may ever use. None where the host does not say."""
    wholes = [int(line.split()[1]) << 10 for line in _lines(_MEMINFO) if line.startswith("MemTotal:")]
    for limit, _ in _LIMITS:
        wholes += [int(line) for line in _lines(limit)[:1] if line.isdigit()]
    return min(wholes, default=None)


def give_slot(name: str, needed: int, leave: int) -> int:
    """A descriptor of a new slot of at least so many bytes. Raises `NoRoom` where that would leave less than `leave`
    bytes of memory, or where this process may not have it."""
    free = memory_free()
    if free is not None and free - needed < leave:
        raise NoRoom(
            f"shared memory is too small for the state: a slot needs {needed >> 20} MiB, {free >> 20} MiB are free"
            f" and {leave >> 20} MiB must stay so",
            hint="the last commits stay as they are; free memory, make the state smaller, or give the host more",
        )
    try:
        return make_slot(name, needed)
    except OSError as error:
        limit = "the limit on the size of files (ulimit -f) where the keeper was started counts for it, too"
        few = "the keeper may have no more open files (ulimit -n)"
        hints = {errno.EFBIG: limit, errno.EMFILE: few, errno.ENFILE: few}
        raise NoRoom(
            f"no memory for a slot of {needed >> 20} MiB: {error.strerror}",
            hint=hints.get(error.errno or 0, "the last commits stay as they are; goldthread doctor says what is short"),
        ) from error


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except OSError:
        return []
