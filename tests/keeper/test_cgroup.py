"""Real control groups, and a real lack of memory, where this host lets us."""

from __future__ import annotations

import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from goldthread.keeper import cgroup
from goldthread.keeper.cgroup import LifeGroup, clear_groups, starve, vmstat_oom_kills

HOLD = "held = bytearray(b'x') * (32 << 20); print('up', flush=True); input()"
GROW = """
print("up", flush=True)
input()
held = []
try:
    while True:
        held.append(bytearray(64 << 20))
except MemoryError:
    count = len(held)
    del held
    sys.exit(100 + min(count, 50))
"""

Start = Callable[[str], "subprocess.Popen[str]"]


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    clear_groups(tmp_path)


@pytest.fixture
def start() -> Iterator[Start]:
    started = []

    def start(code: str) -> subprocess.Popen[str]:
        program = subprocess.Popen(
            [sys.executable, "-c", f"import sys\n{code}"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        started.append(program)
        assert program.stdout is not None
        assert program.stdout.readline() == "up\n"
        return program

    yield start
    for program in started:
        program.kill()
        program.communicate()


@pytest.fixture
def group(home: Path, start: Start) -> LifeGroup:
    made, reason = LifeGroup.make("walk-1", home)
    if made is None:
        pytest.skip(reason)
    if not made.add(start("print('up', flush=True); input()").pid):
        pytest.skip("processes may not be put into a control group")
    return made


def test_a_life_is_found_in_its_group(group: LifeGroup, home: Path, start: Start) -> None:
    """Also by a later keeper, which makes it again and gets the same."""
    program = start(HOLD)
    assert LifeGroup.of(program.pid) is None
    assert group.add(program.pid)
    assert LifeGroup.of(program.pid) == group
    assert LifeGroup.make("walk-1", home) == (group, "")
    assert group.oom_kills() == 0


def test_another_home_has_other_groups(group: LifeGroup, home: Path) -> None:
    """Two keepers of one user never share a group."""
    other, _ = LifeGroup.make("walk-1", home / "other")
    assert other is not None
    assert other != group
    assert clear_groups(home / "other") == 1


def test_a_group_goes_when_its_life_is_over(group: LifeGroup, home: Path, start: Start) -> None:
    """Not before; and of no living life."""
    program = start(HOLD)
    second, _ = LifeGroup.make("walk-2", home)
    assert second is not None
    assert second.add(program.pid)
    assert not second.remove()
    program.kill()
    program.wait()
    assert clear_groups(home, living={"walk-2"}) == 0
    assert clear_groups(home) == 1
    assert not second.path.exists()
    assert second.remove()


def test_groups_of_a_keeper_of_another_session_are_found(group: LifeGroup, home: Path) -> None:
    """They lie under the group that it was in."""
    session = group.path.parent.parent / "another-session"
    left = session / group.path.parent.name / "walk-7"
    left.mkdir(parents=True)
    try:
        assert clear_groups(home, living={group.path.name}) == 1
        assert not left.parent.exists()
    finally:
        session.rmdir()


def test_a_program_that_is_gone_cannot_be_added(group: LifeGroup, start: Start) -> None:
    """It is said, not raised: control groups are an extra."""
    program = start(HOLD)
    program.kill()
    program.wait()
    assert not group.add(program.pid)


def test_a_group_made_from_within_a_life_does_not_lie_in_it(group: LifeGroup, home: Path, start: Start) -> None:
    """A program may start the next keeper."""
    code = f"""
from pathlib import Path
from goldthread.keeper.cgroup import LifeGroup
print("up", flush=True)
input()
print(LifeGroup.make("walk-9", Path({str(home)!r}))[0].path)
"""
    program = start(code)
    assert group.add(program.pid)
    said, _ = program.communicate("\n")
    assert Path(said.strip()) == group.path.with_name("walk-9")


def test_a_life_without_memory_is_ended_by_the_kernel(group: LifeGroup, home: Path, start: Start) -> None:
    """The real thing: its group counts the kill, so the cause is certain; the limit is gone afterwards."""
    program = start(HOLD)
    assert group.add(program.pid)
    on_host = vmstat_oom_kills()
    starved = starve(program.pid, home)
    assert starved.killed, starved.text
    assert program.wait() == -signal.SIGKILL
    assert group.oom_kills() >= 1
    assert vmstat_oom_kills() > on_host
    room = start(HOLD)
    assert group.add(room.pid)


def test_a_program_without_a_group_gets_one_to_starve_in(group: LifeGroup, home: Path, start: Start) -> None:
    """And nothing of it is left."""
    program = start(HOLD)
    assert starve(program.pid, home).killed
    assert program.wait() == -signal.SIGKILL
    assert not [path for path in group.path.parent.iterdir() if path.name.startswith("starve")]


def test_where_there_are_no_groups_the_next_allocation_fails(
    home: Path, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The program is told by a `MemoryError`, and lives until then."""
    monkeypatch.setattr(cgroup, "_mounts", dict)
    program = start(GROW)
    starved = starve(program.pid, home)
    assert not starved.killed
    assert "its next allocations fail (this host has no memory control groups)" in starved.text
    soft, _ = resource.prlimit(program.pid, resource.RLIMIT_AS)
    assert soft != resource.RLIM_INFINITY
    program.communicate("\n")
    assert program.returncode == 100


def test_what_cannot_be_starved_is_said(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that is gone."""
    monkeypatch.setattr(cgroup, "_mounts", dict)
    gone = subprocess.Popen(["true"])
    gone.wait()
    assert "nothing could be done" in starve(gone.pid, home).text


def test_the_kernel_counts_from_its_boot() -> None:
    """Zero where it says nothing."""
    assert vmstat_oom_kills() >= 0


@pytest.mark.parametrize("unified", [False, True], ids=["version 1", "version 2"])
def test_both_versions_are_read(tmp_path: Path, unified: bool) -> None:
    """The files of a group, written as the kernel writes them; a folder stands for it."""
    (tmp_path / "memory.events").write_text("low 0\noom 2\noom_kill 3\n")
    (tmp_path / "memory.oom_control").write_text("oom_kill_disable 0\nunder_oom 0\noom_kill 3\n")
    names = ("memory.max", "memory.swap.max") if unified else ("memory.limit_in_bytes", "memory.memsw.limit_in_bytes")
    for name in names:
        (tmp_path / name).write_text("")
    group = LifeGroup(tmp_path, unified)
    assert group.oom_kills() == 3
    group.limit(4096)
    assert [(tmp_path / name).read_text() for name in names] == (["4096", "0"] if unified else ["4096", "4096"])
    group.limit(None)
    assert [(tmp_path / name).read_text() for name in names] == (["max", "max"] if unified else ["-1", "-1"])
