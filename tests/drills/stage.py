"""A stage for drills: real keepers, real programs, real faults."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from walk import digest

from goldthread.config import parse_span
from goldthread.keeper.journal import Journal
from goldthread.local import Home, connect, reach_keeper
from goldthread.names import MemberName, member_name
from goldthread.output import OutputReader
from goldthread.policy import Budget
from goldthread.report import EndingKind, KeeperReport, LifeReport, MemberReport, Phase
from goldthread.wire import messages

WALK = member_name("walk")
STEPS = 60
_PROGRAM = Path(__file__).with_name("walk.py")
_PATIENCE_SECONDS = 60.0


class Stage:
    """Runs the walk under a keeper of its own."""

    def __init__(self, home: Home, folder: Path) -> None:
        self.home = home
        self.end = folder / "end"
        self.held = folder / "hold"

    def run(
        self, steps: int, *fault: str, budget: Budget | None = None, hang: str | None = None, fresh: bool = False,
        **environment: str,
    ) -> None:  # fmt: skip
        command = messages.Command(
            (sys.executable, str(_PROGRAM), str(steps), *fault),
            str(_PROGRAM.parent),
            {**os.environ, **environment, "WALK_END": str(self.end), "WALK_HOLD": str(self.held)},
        )
        floor = parse_span(hang) if hang else None
        with reach_keeper(self.home, "command") as channel:
            channel.ask(messages.RunRequest(WALK, command, budget or Budget(), fresh, floor))

    def hold_at(self, step: int) -> None:
        """Have the walk wait once it has reached this step."""
        beside = self.held.with_suffix(".new")
        beside.write_text(str(step))
        beside.rename(self.held)

    def let_go(self) -> None:
        self.held.unlink(missing_ok=True)

    def ask(self, message: Any) -> Any:
        with reach_keeper(self.home, "command") as channel:
            return channel.ask(message)[0]

    def report(self) -> KeeperReport:
        return self.ask(messages.ReportRequest()).report

    def member(self, name: MemberName = WALK) -> MemberReport | None:
        return next((member for member in self.report().members if member.name == name), None)

    def until(self, holds: Callable[[MemberReport], bool], what: str, name: MemberName = WALK) -> MemberReport:
        """Wait until something is true of the walk, or of another member."""
        limit = time.monotonic() + _PATIENCE_SECONDS
        member = self.member(name)
        while member is None or not holds(member):
            if time.monotonic() > limit or (member is not None and member.phase is Phase.LIMBO):
                raise AssertionError(
                    f"{what} did not come to be: {member}\n{self.home.log.read_text()}\n{self.output()}"
                )
            time.sleep(0.02)
            member = self.member(name)
        return member

    def until_step(self, step: int, life: int = 1) -> MemberReport:
        return self.until(
            lambda member: member.epoch >= life and member.sealed is not None and member.phase is Phase.RUNNING
            and member.sealed.commit.epoch == member.epoch and member.sealed.commit.step >= step,
            f"step {step} in life {life}",
        )  # fmt: skip

    def until_phase(self, *phases: Phase) -> MemberReport:
        return self.until(lambda member: member.phase in phases, f"one of {phases}")

    def until_ended(self) -> MemberReport:
        """Wait for the walk's end, and that its last commit is in the vault and its memory free."""
        return self.until(lambda member: member.phase is Phase.ENDED and member.slot_bytes == 0, "a peaceful end")

    def end_digest(self) -> str:
        self.let_go()
        self.until_ended()
        return self.end.read_text()

    def kill(self, number: int = signal.SIGKILL) -> MemberReport:
        member = self.member()
        assert member is not None and member.pid is not None
        os.kill(member.pid, number)
        return member

    def kill_keeper(self) -> None:
        with connect(self.home, "command") as channel:
            pid = channel.ask(messages.ReportRequest())[0].report.pid
        pidfd = os.pidfd_open(pid)
        os.kill(pid, signal.SIGKILL)
        wait_gone(pidfd)

    def lives(self) -> list[LifeReport]:
        journal = Journal.look(self.home.journal)
        assert journal is not None
        try:
            return journal.lives(WALK)
        finally:
            journal.close()

    def causes(self) -> list[EndingKind]:
        """Why each life that ended did, as `goldthread why` tells it."""
        return [life.ending.kind for life in self.lives() if life.ending is not None]

    def output(self) -> str:
        reader = OutputReader(self.home.output(WALK))
        try:
            return b"".join(frame.payload for frame in reader.read()).decode()
        finally:
            reader.close()


def wait_gone(pidfd: int) -> None:
    """Wait until the process is gone; the descriptor is closed."""
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    assert poll.poll(_PATIENCE_SECONDS * 1000), "the process did not end"
    os.close(pidfd)


def undisturbed(steps: int, size: int = 50_000) -> str:
    """What the walk's final digest must be: the same arithmetic, without goldthread."""
    generator, x = np.random.default_rng(7), np.zeros(size)
    for _ in range(steps):
        x += generator.standard_normal(size)
    return digest({"x": x, "step": steps})


def run_python(code: str, *options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a program to its end."""
    return subprocess.run(
        [sys.executable, *options, "-c", textwrap.dedent(code)],
        capture_output=True, text=True, timeout=100, check=False, env={**os.environ, **environment},
    )  # fmt: skip
