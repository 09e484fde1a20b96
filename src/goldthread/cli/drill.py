"""`goldthread drill`: a real fault, made on purpose."""

from __future__ import annotations

import os
import signal
from typing import Final

import click

from goldthread.cli.arguments import MEMBER
from goldthread.cli.asking import member_report
from goldthread.cli.screen import progress
from goldthread.errors import UsageError
from goldthread.keeper.cgroup import starve
from goldthread.local import Home, connect
from goldthread.names import MemberName
from goldthread.report import Phase
from goldthread.wire.messages import Done, DrillRequest

__all__ = ["drill"]

_RUNS: Final = frozenset({Phase.STARTING, Phase.RUNNING, Phase.STUCK, Phase.ENDING})
"""In other phases the process that is known has ended, and its number may be another's."""


@click.command(epilog="Example: goldthread drill train kill")
@click.argument("member", type=MEMBER)
@click.argument("fault", type=click.Choice(["kill", "stop", "oom", "flip", "keeper"]))
def drill(member: MemberName, fault: str) -> int:
    """Do a real FAULT to a running MEMBER, and say what to look at.

    \b
    kill    kill its program (SIGKILL)
    stop    stop its program (SIGSTOP), so that it hangs
    oom     let it run out of memory
    flip    flip bits in its newest sealed commit
    keeper  kill its keeper (SIGKILL)
    """
    home = Home.default()
    keeper, report = member_report(home, member)
    if report is None:
        raise UsageError(f"no member is named {member}", hint="goldthread status lists them")
    if fault == "keeper":
        os.kill(keeper.pid, signal.SIGKILL)
        _tell(f"the keeper (process {keeper.pid}) was killed", f"goldthread status {member}")
    elif fault == "flip":
        _tell(_flip(home, member), f"goldthread drill {member} kill, then goldthread why {member}")
    elif report.phase not in _RUNS or report.pid is None:
        raise UsageError(f"{member} does not run: {report.reason}", hint=f"goldthread restart {member}")
    elif fault == "oom":
        _tell(_starve(home, report.pid), f"goldthread why {member}")
    elif fault == "kill":
        os.kill(report.pid, signal.SIGKILL)
        _tell(f"{member} (process {report.pid}) was killed at step {report.step}", f"goldthread why {member}")
    else:
        os.kill(report.pid, signal.SIGSTOP)
        _tell(
            f"{member} (process {report.pid}) was stopped at step {report.step}; it counts as stuck once its silence is"
            " longer than its history explains",
            f"goldthread status {member} --watch (to undo: kill -CONT {report.pid})",
        )
    return 0


def _flip(home: Home, member: MemberName) -> str:
    with connect(home, "command") as channel:
        answer, _ = channel.ask(DrillRequest(member))
    return answer.text if isinstance(answer, Done) else ""


def _starve(home: Home, pid: int) -> str:
    with progress("its memory is taken away"):
        return starve(pid, home.path).text


def _tell(done: str, see: str) -> None:
    click.echo(done)
    click.echo(f"see: {see}", err=True)
