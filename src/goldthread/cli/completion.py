"""`goldthread completion`: the script that a shell needs to complete commands and members."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from goldthread.cli.app import app

__all__ = ["completion"]


@click.command(epilog='Example: eval "$(goldthread completion bash)"')
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the completion script of SHELL. It completes commands, options, and the names of members and
    partners."""
    made = get_completion_class(shell)
    assert made is not None
    click.echo(made(app, {}, "goldthread", "_GOLDTHREAD_COMPLETE").source())
