"""`goldthread attach`: a running member as if it ran here."""

from __future__ import annotations

from typing import Final

import click

from goldthread.cli.arguments import MEMBER
from goldthread.cli.screen import notice
from goldthread.cli.view import View, final_status, show
from goldthread.local import Home, connect
from goldthread.names import MemberName
from goldthread.output import OutputReader, last_lines

__all__ = ["LINES", "attach", "watch"]

LINES: Final = 20
"""To begin with."""


@click.command(epilog="Example: goldthread attach train")
@click.argument("member", type=MEMBER)
@click.option(
    "-n", "--lines", type=click.IntRange(min=0), default=LINES, show_default=True, help="Lines to begin with."
)
def attach(member: MemberName, lines: int) -> int:
    """See MEMBER's output from its last lines on, until it ends; its exit status becomes that of this command.

    Ctrl-C leaves the view; the program goes on.
    """
    home = Home.default()
    connect(home, "command").close()
    return watch(home, member, lines)


def watch(home: Home, member: MemberName, lines: int) -> int:
    """Show a member's output from its last lines on, until it ends or Ctrl-C; returns the exit status for that."""
    reader = OutputReader(home.output(member))
    with View(home, member, reader) as view:
        show(last_lines(reader.read(), lines))
        note = view.follow(lambda number: True)
    if note is None:
        notice(f"left; {member} goes on, goldthread stop {member} ends it")
        return 0
    notice(f"{member}: {note.reason}")
    return final_status(note)
