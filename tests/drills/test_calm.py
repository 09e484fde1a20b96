"""Ten minutes on a host whose cores are all busy: no partner is taken for dead, with either preset."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from time import monotonic, sleep

import pytest

from goldthread.cli.stage import Stage
from goldthread.local import reach_keeper
from goldthread.names import MemberName
from goldthread.report import MemberReport, OwnerState, Phase
from goldthread.terms import Terms
from goldthread.wire.bond_requests import AcceptRequest, Invited, InviteRequest

BUSY_SECONDS = 600.0
LOOK_SECONDS = 1.0
MEMBER = MemberName("calm")
PROGRAM = """
import time, goldthread
with goldthread.join("calm") as life:
    state = life.restore({"step": 0})
    while True:
        state["step"] += 1
        life.commit(state)
        time.sleep(0.05)
"""


def is_guarded(now: MemberReport) -> bool | None:
    return True if now.owner_state is OwnerState.BONDED and now.vouched is not None else None


@pytest.fixture
def busy_cores() -> Iterator[None]:
    """More busy loops than there are cores, as long as the test runs, and not longer than this process."""
    spin = "import os\nparent = os.getppid()\nwhile os.getppid() == parent:\n    sum(range(100_000))"
    count = 2 * (len(sorted(Path("/sys/devices/system/cpu").glob("cpu[0-9]*"))) or 2)
    loops = [subprocess.Popen([sys.executable, "-c", spin]) for _ in range(count)]
    yield
    for loop in loops:
        loop.kill()
        loop.wait()


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("preset", ["default", "fast"])
def test_no_takeover_while_all_cores_are_busy(preset: str, busy_cores: None, tmp_path: Path) -> None:
    stages = [Stage(tmp_path / name, MEMBER) for name in ("iruka", "kakashi")]
    iruka, kakashi = stages
    try:
        for stage in stages:
            leases = f"sqlite://{tmp_path}/leases.sqlite"
            policy = {} if preset == "default" else {"preset": preset}
            stage.configure(policy=policy, name=stage.home.path.name, lease_store=leases, listen="127.0.0.1")
        with reach_keeper(iruka.home, "command") as channel:
            invited = channel.ask(InviteRequest(Terms()))[0]
        assert isinstance(invited, Invited)
        with reach_keeper(kakashi.home, "command") as channel:
            channel.ask(AcceptRequest(invited.code, Terms()))
        iruka.run((sys.executable, "-c", PROGRAM), {}, restarts=5)
        iruka.wait("a held copy that may be taken over", is_guarded)
        end = monotonic() + BUSY_SECONDS
        while monotonic() < end:
            there = kakashi.report()
            assert there is None or there.phase is Phase.ABSENT, there.reason
            sleep(LOOK_SECONDS)
        here = iruka.report()
        assert here is not None and here.epoch == 1 and here.phase is Phase.RUNNING, here
    finally:
        for stage in stages:
            stage.close()
