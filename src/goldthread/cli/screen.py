"""What every command's output is made of: lengths of time, sizes, colour, JSON, and the line to standard error.

Data goes to standard output, all else to standard error. Colour is for terminals, and never where NO_COLOR is set.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any, Final

import click

if TYPE_CHECKING:
    from rich.table import Table

    from goldthread.names import Span

__all__ = [
    "ago",
    "amount",
    "has_colour",
    "lasting",
    "notice",
    "paint",
    "print_json",
    "print_table",
    "progress",
    "size",
    "tell_error",
]

_CODES: Final = {"dim": 2, "bold": 1, "red": 31, "green": 32, "yellow": 33, "cyan": 36}
_PLAIN_COLUMNS: Final = 200
_MINUTE: Final = 60.0
_HOUR: Final = 3600.0
_DAY: Final = 86400.0


def lasting(span: Span) -> str:
    """A length of time in about two digits: `0.4 ms`, `24 ms`, `3.1 s`, `4 min`, `2 h`, `3 days`."""
    length = span / 1e9
    if length < 0.01:
        return f"{length * 1e3:.1f} ms"
    if length < 1:
        return f"{length * 1e3:.0f} ms"
    if length < 10:
        return f"{length:.1f} s"
    if length < 2 * _MINUTE:
        return f"{length:.0f} s"
    if length < 2 * _HOUR:
        return f"{length / _MINUTE:.0f} min"
    if length < 2 * _DAY:
        return f"{length / _HOUR:.0f} h"
    return f"{length / _DAY:.0f} days"


def ago(span: Span | None) -> str:
    """An age, to a tenth of a second at best: it is older than that once it is read."""
    if span is None:
        return "before this keeper"
    length = span / 1e9
    return f"{max(length, 0.1):.1f} s ago" if length < 10 else f"{lasting(span)} ago"


def size(count: int) -> str:
    """A number of bytes: `512 B`, `3.1 MiB`, `1.0 GiB`."""
    if count < 1024:
        return f"{count} B"
    number = float(count)
    for unit in ("KiB", "MiB", "GiB"):
        number /= 1024
        if number < 1023.95:
            return f"{number:.1f} {unit}"
    return f"{number / 1024:.1f} TiB"


def amount(count: int, noun: str) -> str:
    """`1 step`, `2 steps`."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def has_colour(stream: IO[str]) -> bool:
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def paint(text: str, *styles: str, stream: IO[str] | None = None) -> str:
    """Colour text for a stream (standard output by default) where that shows colour."""
    if not has_colour(stream or sys.stdout):
        return text
    return f"\x1b[{';'.join(str(_CODES[style]) for style in styles)}m{text}\x1b[0m"


def notice(text: str) -> None:
    """One line to standard error, that no one takes for the program's."""
    click.echo(paint(f"goldthread: {text}", "dim", stream=sys.stderr), err=True)


def tell_error(error: str, hint: str, status: int) -> int:
    """Tell an error as every command does, and return the status to end with."""
    click.echo(
        f"{paint('error:', 'red', 'bold', stream=sys.stderr)} {error[:1].lower()}{error[1:].rstrip('.')}", err=True
    )
    if hint:
        click.echo(f"\nhint: {hint}", err=True)
    return status


def print_json(value: Any) -> None:
    """Anything that msgspec can encode, indented."""
    import msgspec

    click.echo(msgspec.json.format(msgspec.json.encode(value), indent=2))


def print_table(table: Table) -> None:
    from rich.console import Console

    terminal = sys.stdout.isatty()
    Console(file=sys.stdout, width=None if terminal else _PLAIN_COLUMNS, no_color=not has_colour(sys.stdout)).print(
        table
    )


@contextmanager
def progress(text: str) -> Iterator[None]:
    """Show on standard error, where that is a terminal, that something goes on."""
    if not sys.stderr.isatty():
        yield
        return
    from rich.console import Console

    with Console(stderr=True).status(text):
        yield
