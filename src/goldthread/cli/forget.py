"""`goldthread forget`: remove a member for good."""

from __future__ import annotations

import sys

import click

from goldthread.cli.arguments import MEMBER
from goldthread.cli.asking import ask_and_say
from goldthread.errors import UsageError
from goldthread.local import Home
from goldthread.names import MemberName
from goldthread.wire.messages import ForgetRequest

__all__ = ["forget"]


@click.command(epilog="Example: goldthread forget train")
@click.argument("member", type=MEMBER)
@click.option("--yes", is_flag=True, help="Do not ask.")
def forget(member: MemberName, yes: bool) -> int:
    """Remove MEMBER for good: its commits in memory and in the vault, its output, its history.

    Partners let their copies go, now or when they are heard again.
    """
    if not yes and not sys.stdin.isatty():
        raise UsageError(f"{member} is not forgotten without being asked", hint=f"goldthread forget {member} --yes")
    if not yes:
        click.confirm(f"All commits and the history of {member} are lost for good. Go on?", abort=True, err=True)
    return ask_and_say(Home.default(), ForgetRequest(member), f"{member} is forgotten")
