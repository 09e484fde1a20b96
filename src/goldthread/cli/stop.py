"""`goldthread stop`: ask a member to end."""

from __future__ import annotations

import signal

import click

from goldthread.cli.arguments import MEMBER
from goldthread.cli.asking import ask_and_say
from goldthread.local import Home
from goldthread.names import MemberName
from goldthread.wire.messages import StopRequest

__all__ = ["stop"]


@click.command(epilog="Example: goldthread stop train")
@click.argument("member", type=MEMBER)
@click.option("--now", is_flag=True, help="Kill it at once. What it committed stays.")
def stop(member: MemberName, now: bool) -> int:
    """Ask MEMBER's program to end (SIGTERM), and kill it where it does not within half a minute.

    Its newest commit goes to the vault; running it again goes on from there.
    """
    number = signal.SIGKILL if now else signal.SIGTERM
    return ask_and_say(Home.default(), StopRequest(member, number, not now), f"{member} is asked to end")
