"""`goldthread forget`: remove a member for good."""

from __future__ import annotations

import sys
from contextlib import suppress

import click

from goldthread.cli.arguments import MEMBER
from goldthread.cli.asking import ask_and_say, member_report
from goldthread.errors import KeeperUnreachable, UsageError
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
    home = Home.default()
    if not yes:
        _confirm(home, member)
    return ask_and_say(home, ForgetRequest(member), f"{member} is forgotten")


def _confirm(home: Home, member: MemberName) -> None:
    """Ask whether it is meant; nobody who could answer is a no."""
    with suppress(KeeperUnreachable):  # Without a keeper, the one that is started says whether it knows the member.
        _, known = member_report(home, member)
        if known is None:
            raise UsageError(f"no member is named {member}", hint="goldthread status lists them")
    if not sys.stdin.isatty():
        hint = f"goldthread forget {member} --yes forgets it without a question"
        raise UsageError(f"{member} is not forgotten before somebody has said yes", hint=hint)
    click.confirm(f"All commits and the history of {member} are lost for good. Go on?", abort=True, err=True)
