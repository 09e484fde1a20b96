"""Writes docs/reference/commands.md from the commands themselves: python tests/cli/reference.py"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click

from goldthread.cli.app import COMMANDS, app

REFERENCE = Path(__file__).parents[2] / "docs" / "reference" / "commands.md"


def written() -> str:
    """The page as it should be."""
    head = "# Commands\n\nWhat `goldthread COMMAND --help` says, for every command.\n"
    return head + "".join(section for name in COMMANDS for section in _sections(name))


def _sections(name: str) -> Iterator[str]:
    top = click.Context(app, info_name="goldthread", terminal_width=90, max_content_width=90)
    command = app.get_command(top, name)
    assert command is not None
    yield from _section(command, click.Context(command, parent=top, info_name=name), "##")


def _section(command: click.Command, context: click.Context, level: str) -> Iterator[str]:
    yield f"\n{level} {context.command_path}\n\n```text\n{command.get_help(context).strip()}\n```\n"
    if isinstance(command, click.Group):
        for name, inner in command.commands.items():
            yield from _section(inner, click.Context(inner, parent=context, info_name=name), level + "#")


if __name__ == "__main__":
    REFERENCE.parent.mkdir(parents=True, exist_ok=True)
    REFERENCE.write_text(written())
