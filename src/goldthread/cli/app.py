"""The door of the command line: which commands there are, and how errors are told."""

from __future__ import annotations

import os
import sys
from difflib import get_close_matches
from importlib import import_module
from typing import Any, Final

import click

from goldthread.cli.screen import tell_error
from goldthread.errors import GoldthreadError, UsageError
from goldthread.version import VERSION

__all__ = ["COMMANDS", "app", "main"]

COMMANDS: Final = {
    "run": "Run a program and keep it running",
    "status": "Is my work safe now?",
    "why": "Tell each life of a member, and why it ended",
    "logs": "Show what a member wrote",
    "attach": "See a running member as if it ran here",
    "stop": "Ask a member to end",
    "restart": "Run a member again, with a fresh budget",
    "rollback": "Let the next life start from an earlier step",
    "forget": "Remove a member and all that is kept of it",
    "export": "Write a member's newest commit as safetensors and JSON",
    "bond": "Tie this host to another, and see what that gives and costs",
    "takeover": "Run a partner's member here, or hand one over",
    "keeper": "Start, stop and see the keeper of this host",
    "drill": "Do a real fault to a running member",
    "check": "Prove that a program goes on exactly after a death",
    "doctor": "Say what this host offers, and what to do about what is missing",
    "demo": "See a program killed, hung and damaged, and end bit-identical",
    "bench": "Measure against the limits of this machine",
    "completion": "Print the completion script of a shell",
}
"""Each command with its one line; `goldthread --help` shows them without loading any."""

_ABORTED: Final = 130


class _Commands(click.Group):
    """Loads a command's module when the command is asked for, so that each starts quickly."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command = getattr(import_module(f"goldthread.cli.{cmd_name}"), cmd_name)
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        near = get_close_matches(args[0], COMMANDS, n=1)
        if near and near != args[:1] and not ctx.resilient_parsing:
            ctx.fail(f"No such command '{args[0]}'. Did you mean '{near[0]}'?")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Example: goldthread run -- python train.py",
)
@click.version_option(VERSION, prog_name="goldthread", message="%(prog)s %(version)s")
def app() -> None:
    """Keep a running Python program alive through the death of its process.

    What a program commits outlives it; what `run` starts is started again. All files are below GOLDTHREAD_HOME,
    by default in ~/.local/state/goldthread.
    """


def main() -> None:
    """Run the command line and end the process with its status: 2 where the user erred, 1 where something else did."""
    _open_streams()
    sys.exit(_status_of(sys.argv[1:]))


def _open_streams() -> None:
    """Started with closed streams, as some schedulers do it, Python has none; what is written then goes nowhere."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(descriptor)
    sys.stdin = sys.stdin or os.fdopen(0)
    sys.stdout = sys.stdout or os.fdopen(1, "w")
    sys.stderr = sys.stderr or os.fdopen(2, "w")


def _status_of(arguments: list[str]) -> int:
    try:
        result: Any = app.main(arguments, prog_name="goldthread", standalone_mode=False)
        sys.stdout.flush()
        return result if isinstance(result, int) else 0
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return 2
    except click.UsageError as error:
        path = error.ctx.command_path if error.ctx else "goldthread"
        return tell_error(_as_ours(error.format_message()), f"{path} --help", 2)
    except click.ClickException as error:
        return tell_error(_as_ours(error.format_message()), "", 1)
    except (click.Abort, KeyboardInterrupt):
        return _ABORTED
    except UsageError as error:
        return tell_error(str(error), error.hint, 2)
    except GoldthreadError as error:
        return tell_error(str(error), error.hint, 1)
    except BrokenPipeError:
        # Whoever read has enough; the interpreter must not stumble over it again when it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:  # A TimeoutError too: the keeper lives and does not answer.
        return tell_error(str(error), "", 1)


def _as_ours(sentence: str) -> str:
    """Click's sentences begin with a capital and end with a full stop, ours do not."""
    sentence = sentence.replace("is not a valid integer range", "is not a whole number")
    return (sentence[:1].lower() + sentence[1:]).rstrip(".")
