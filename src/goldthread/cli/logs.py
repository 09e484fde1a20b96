"""`goldthread logs`: what a member wrote, in all its lives, as far as it is kept."""

from __future__ import annotations

from collections.abc import Iterable
from time import sleep

import click
import msgspec

from goldthread.cli.arguments import MEMBER, json_option
from goldthread.cli.view import show
from goldthread.errors import UsageError
from goldthread.local import Home
from goldthread.names import MemberName
from goldthread.output import ERR, LOST, OUT, Frame, OutputReader, last_lines

__all__ = ["logs"]


@click.command(epilog="Example: goldthread logs train -f -n 50")
@click.argument("member", type=MEMBER)
@click.option("-f", "--follow", is_flag=True, help="Go on with what is written, until Ctrl-C.")
@click.option("-n", "--lines", type=click.IntRange(min=0), help="Only the last lines.")
@click.option("--stdout-only", "only", flag_value="stdout", help="Only what went to standard output.")
@click.option("--stderr-only", "only", flag_value="stderr", help="Only what went to standard error.")
@json_option
def logs(member: MemberName, follow: bool, lines: int | None, only: str | None, as_json: bool) -> int:
    """Show what MEMBER wrote: standard output to standard output, standard error to standard error.

    No keeper is needed. With --json each piece is one line: its wall time, its stream, and its text.
    """
    path = Home.default().output(member)
    if not path.parent.is_dir():
        raise UsageError(
            f"nothing is kept of what {member} wrote",
            hint="only programs started by goldthread run have a log; goldthread status names the members",
        )
    streams = frozenset({"stdout": {OUT, LOST}, "stderr": {ERR, LOST}}.get(only or "", {OUT, ERR, LOST}))
    tell = _show_json if as_json else show
    reader = OutputReader(path)
    frames = [frame for frame in reader.read() if frame.stream in streams]
    tell(frames if lines is None else last_lines(frames, lines))
    while follow:
        sleep(0.02)
        tell(frame for frame in reader.read() if frame.stream in streams)
    return 0


def _show_json(frames: Iterable[Frame]) -> None:
    names = {OUT: "stdout", ERR: "stderr", LOST: "lost"}
    for frame in frames:
        text = frame.payload.decode("utf-8", "replace")
        line = {"at": frame.wall_ns / 1e9, "stream": names[frame.stream], "text": text}
        click.echo(msgspec.json.encode(line).decode())
