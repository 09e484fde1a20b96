"""A memory control group for each life, as an extra: with it the keeper knows for certain that a life was ended by
the kernel for want of memory, and a drill can bring that about for real.

The group lies under the one in which the keeper is, at `goldthread-UID-HOME/NAME-EPOCH`. Version 1 and 2 of control
groups are both met in the field and differ only in the names of their files, but for one rule of version 2: a group
that holds processes cannot give controllers to groups below it. There the group's parent is tried next.
"""

from __future__ import annotations

import os
import resource
import select
import signal
import subprocess
import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from xxhash import xxh3_64_hexdigest

__all__ = ["LifeGroup", "Starved", "clear_groups", "leave_life_group", "starve", "vmstat_oom_kills"]

_PLACE: Final = "goldthread-"
_STARVE_SPARE_BYTES: Final = 32 << 20
_MEBIBYTE: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class LifeGroup:
    """The memory control group of one life."""

    path: Path
    unified: bool
    """Version 2."""

    @classmethod
    def make(cls, name: str, home: Path) -> tuple[LifeGroup | None, str]:
        """The group `name` of the keeper of `home`, made where there is none yet; or None, and why."""
        present = _group_of("self")
        if present is None:
            return None, "this host has no memory control groups"
        reason = ""
        for ground in _grounds(present):
            place = ground / _place_name(home)
            try:
                _make_place(ground, place, present.unified)
                group = cls(place / name, present.unified)
                group.path.mkdir(exist_ok=True)
                if group._limit_file.exists():
                    return group, ""
                reason = reason or f"the memory of groups under {ground} is not counted"
                group.remove()
            except OSError as error:
                reason = reason or f"no control group can be made under {ground}: {error.strerror}"
            with suppress(OSError):
                place.rmdir()
        return None, reason

    @classmethod
    def of(cls, pid: int) -> LifeGroup | None:
        """The life's group in which a process is, if it is in one."""
        group = _group_of(str(pid))
        return group if group and group.path.parent.name.startswith(_PLACE) else None

    def add(self, pid: int) -> bool:
        """Put a process, and all that it will start, into the group. False where that is not permitted."""
        try:
            self._write("cgroup.procs", str(pid))
        except OSError:
            return False
        return True

    def oom_kills(self) -> int:
        """How many processes of the group the kernel has ended for want of memory."""
        events = self.path / ("memory.events" if self.unified else "memory.oom_control")
        return _counter(events, "oom_kill")

    def used_bytes(self) -> int:
        return int((self.path / ("memory.current" if self.unified else "memory.usage_in_bytes")).read_text())

    def limit(self, most_bytes: int | None) -> None:
        """Let the group have no more memory than this, swap included; None lifts the limit. Raises `OSError`."""
        swap = self.path / ("memory.swap.max" if self.unified else "memory.memsw.limit_in_bytes")
        unlimited = "max" if self.unified else "-1"
        memory_line = (self._limit_file, unlimited if most_bytes is None else str(most_bytes))
        swap_line = (swap, memory_line[1] if most_bytes is None or not self.unified else "0")
        # In version 1 the second counts memory and swap together, and may never be the lower of the two.
        for file, text in (swap_line, memory_line) if most_bytes is None else (memory_line, swap_line):
            if file.exists():
                file.write_text(text)

    def remove(self) -> bool:
        """Remove the group. False while a process is in it: then `clear_groups` does so later."""
        try:
            self.path.rmdir()
        except FileNotFoundError:
            return True
        except OSError:
            return False
        with suppress(OSError):
            self.path.parent.rmdir()  # Other lives may have their groups there.
        return True

    @property
    def _limit_file(self) -> Path:
        return self.path / ("memory.max" if self.unified else "memory.limit_in_bytes")

    def _write(self, name: str, text: str) -> None:
        (self.path / name).write_text(text)


def clear_groups(home: Path, living: Collection[str] = ()) -> int:
    """Remove the groups that dead lives left, and say how many. For the one keeper of `home`, when it starts.

    The keeper before may have run in another session, so they are looked for everywhere."""
    present = _group_of("self")
    if present is None:
        return 0
    root = next(path for path in (present.path, *present.path.parents) if path.is_mount())
    groups = [path for place in _places(root, _place_name(home)) for path in place.iterdir() if path.is_dir()]
    return sum(LifeGroup(path, present.unified).remove() for path in groups if path.name not in living)


def leave_life_group() -> None:
    """A keeper that a program started is born in the group of that life; it must not end with it."""
    group = LifeGroup.of(os.getpid())
    if group is not None:
        with suppress(OSError):  # Then the group outlives the life by one keeper.
            (group.path.parent.parent / "cgroup.procs").write_text(str(os.getpid()))


def _places(root: Path, name: str) -> list[Path]:
    """The groups of this name; those within another place of ours are not looked into."""
    found = []
    for folder, groups, _ in os.walk(root):
        if name in groups:
            found.append(Path(folder) / name)
        groups[:] = [group for group in groups if not group.startswith(_PLACE)]
    return found


def vmstat_oom_kills() -> int:
    """How many processes the kernel of this host has ended for want of memory since it booted."""
    return _counter(Path("/proc/vmstat"), "oom_kill")


class Starved(NamedTuple):
    """What `starve` did."""

    killed: bool
    """The kernel ended the program. Otherwise its next allocations fail, if anything was done at all."""
    text: str


def starve(pid: int, home: Path, wait_seconds: float = 60.0) -> Starved:
    """Bring about, for real, that a program has no memory left; what was done is said.

    Where control groups can be had, its group may grow no further, a child of ours in the same group eats what is
    left, and the kernel ends the program, which was named to it as the first to go. Elsewhere the program's address
    space may grow no further: its next allocation of some size raises `MemoryError`. No other process suffers: all
    that is eaten is charged to the group, and the limit is lifted at the end.
    """
    own = LifeGroup.of(pid)
    group, reason = (own, "") if own else LifeGroup.make(f"starve-{pid}", home)
    if group is not None:
        try:
            if group.add(pid) and _starve_group(group, pid, wait_seconds):
                return Starved(True, "the kernel ended it: its control group was left without memory")
            reason = "the kernel did not end it in time"
        except OSError as error:
            reason = f"its control group could not be used: {error.strerror}"
        finally:
            if own is None:
                group.remove()
    return _starve_address_space(pid, reason)


def _starve_group(group: LifeGroup, pid: int, wait_seconds: float) -> bool:
    """Whether the kernel ended the program: by the time the eater has eaten all that it was given, or never."""
    pidfd = os.pidfd_open(pid)
    kills_before = group.oom_kills()
    ended, over = select.poll(), select.poll()
    ended.register(pidfd, select.POLLIN)
    over.register(pidfd, select.POLLIN)
    try:
        with _first_to_go(pid), _eater(group, pid) as eater, _limited(group, group.used_bytes() + _STARVE_SPARE_BYTES):
            assert eater.stdin is not None and eater.stdout is not None
            over.register(eater.stdout, select.POLLIN)
            eater.stdin.write(b"%d\n" % (group.used_bytes() // _MEBIBYTE + 2 * _STARVE_SPARE_BYTES // _MEBIBYTE))
            eater.stdin.flush()
            over.poll(wait_seconds * 1000)
        if group.oom_kills() == kills_before:
            return False
        return bool(ended.poll(wait_seconds * 1000))
    finally:
        os.close(pidfd)


@contextmanager
def _first_to_go(pid: int) -> Iterator[None]:
    """Name a process to the kernel as the one to end when memory is short."""
    score = Path(f"/proc/{pid}/oom_score_adj")
    before = score.read_text()
    score.write_text("1000")
    try:
        yield
    finally:
        with suppress(OSError):
            score.write_text(before)


@contextmanager
def _limited(group: LifeGroup, most_bytes: int) -> Iterator[None]:
    group.limit(most_bytes)
    try:
        yield
    finally:
        group.limit(None)


# It eats by the mebibyte and looks before each whether the program still lives, so that it stops in time for the
# others in the group, and says when it has done. It is the last that the kernel would end, where its user may ask for
# that.
_EATER: Final = """
import os, select, sys
try:
    open("/proc/self/oom_score_adj", "w").write("-1000")
except OSError:
    pass
ended = select.poll()
ended.register(os.pidfd_open(int(sys.argv[1])), select.POLLIN)
eaten = []
for _ in range(int(sys.stdin.readline() or 0)):
    if ended.poll(0):
        break
    eaten.append(bytearray(b"x") * (1 << 20))
print("done", flush=True)
sys.stdin.read()
"""


@contextmanager
def _eater(group: LifeGroup, pid: int) -> Iterator[subprocess.Popen[bytes]]:
    eater = subprocess.Popen(
        [sys.executable, "-S", "-c", _EATER, str(pid)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        if not group.add(eater.pid):
            raise PermissionError(1, "a process may not be put into it")
        yield eater
    finally:
        with suppress(ProcessLookupError):
            eater.send_signal(signal.SIGKILL)
        eater.communicate()


def _starve_address_space(pid: int, reason: str) -> Starved:
    try:
        size_pages = int(Path(f"/proc/{pid}/statm").read_text().split()[0])
        _, hard = resource.prlimit(pid, resource.RLIMIT_AS)
        resource.prlimit(pid, resource.RLIMIT_AS, (size_pages * resource.getpagesize(), hard))
    except (OSError, ValueError) as error:
        return Starved(False, f"nothing could be done: {reason}; nor can its address space be limited: {error}")
    return Starved(False, f"its address space may grow no further, its next allocations fail ({reason})")


def _group_of(process: str) -> LifeGroup | None:
    """The group that counts the memory of a process; None where there is none to be seen."""
    try:
        lines = [line.split(":", 2) for line in Path(f"/proc/{process}/cgroup").read_text().splitlines()]
        mounts = _mounts()
    except OSError:
        return None
    paths = {controller: path for _, names, path in lines for controller in names.split(",")}
    for controller, unified in (("memory", False), ("", True)):
        if controller in paths and controller in mounts:
            root, mounted_at = mounts[controller]
            path = Path(mounted_at) / paths[controller].removeprefix(root).lstrip("/")
            return LifeGroup(path, unified) if path.is_dir() else None
    return None


def _mounts() -> dict[str, tuple[str, str]]:
    """Root and mount point of the hierarchies that matter: `memory` (version 1) and the empty name (version 2)."""
    found = {}
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        before, _, after = line.partition(" - ")
        kind, _, options = after.split(" ", 2)
        root, mounted_at = before.split(" ")[3:5]
        if kind == "cgroup2":
            found[""] = (root, mounted_at)
        elif kind == "cgroup" and "memory" in options.split(","):
            found["memory"] = (root, mounted_at)
    return found


def _grounds(present: LifeGroup) -> tuple[Path, ...]:
    """Where our place may be: never in the group of a life, from which a keeper may have been started."""
    path = present.path
    for above in (path, *path.parents):
        if above.name.startswith(_PLACE):
            path = above.parent
    return (path, path.parent) if present.unified else (path,)


def _place_name(home: Path) -> str:
    return f"{_PLACE}{os.getuid()}-{xxh3_64_hexdigest(os.fsencode(home.absolute()))[:8]}"


def _make_place(ground: Path, place: Path, unified: bool) -> None:
    place.mkdir(exist_ok=True)
    for group in (ground, place) if unified else ():
        control = group / "cgroup.subtree_control"
        if "memory" not in control.read_text().split():
            control.write_text("+memory")


def _counter(file: Path, name: str) -> int:
    """The number behind a name in a file of counters; 0 where it is not there."""
    try:
        lines = file.read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.split()[:1] == [name]), 0)
