"""`goldthread rollback`: go on from an earlier step."""

from __future__ import annotations

import click

from goldthread.cli.arguments import MEMBER
from goldthread.cli.asking import ask_and_say
from goldthread.local import Home
from goldthread.names import MemberName, Step
from goldthread.wire.messages import RollbackRequest

__all__ = ["rollback"]


@click.command(epilog="Example: goldthread rollback train --step 300")
@click.argument("member", type=MEMBER)
@click.option("--step", required=True, type=click.IntRange(min=0), help="The newest step to start from.")
def rollback(member: MemberName, step: int) -> int:
    """Let MEMBER's next life start from the newest whole commit at or before a step."""
    return ask_and_say(Home.default(), RollbackRequest(member, Step(step)), f"a commit of {member} is sought")
