"""`goldthread attach`: a running member as if it ran here."""

from __future__ import annotations

import click

from goldthread.cli.arguments import MEMBER
from goldthread.cli.screen import notice
from goldthread.cli.view import View, final_status, show
from goldthread.local import Home, connect
from goldthread.names import MemberName
from goldthread.output import OutputReader, last_lines

__all__ = ["attach"]


@click.command(epilog="Example: goldthread attach train")
@click.argument("member", type=MEMBER)
@click.option("-n", "--lines", type=click.IntRange(min=0), default=20, show_default=True, help="Lines to begin with.")
def attach(member: MemberName, lines: int) -> int:
    """See MEMBER's output from its last lines on, until it ends; its exit status becomes that of this command.

    Ctrl-C leaves the view; the program goes on.
    """
    home = Home.default()
    connect(home, "command").close()
    reader = OutputReader(home.output(member))
    with View(home, member, reader) as view:
        show(last_lines(reader.read(), lines))
        note = view.follow(lambda number: True)
    if note is None:
        notice(f"left; {member} goes on, goldthread stop {member} ends it")
        return 0
    notice(f"{member}: {note.reason}")
    return final_status(note)
