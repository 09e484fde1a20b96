"""`goldthread restart`: run a member again."""

from __future__ import annotations

import click

from goldthread.cli.arguments import MEMBER
from goldthread.cli.asking import ask_and_say
from goldthread.local import Home
from goldthread.names import MemberName
from goldthread.wire.messages import RestartRequest

__all__ = ["restart"]


@click.command(epilog="Example: goldthread restart train")
@click.argument("member", type=MEMBER)
def restart(member: MemberName) -> int:
    """Start a MEMBER that is in limbo, down or ended again, as `run` started it, with a fresh restart budget.

    It goes on from its newest whole commit.
    """
    return ask_and_say(Home.default(), RestartRequest(member), f"{member} is started")
