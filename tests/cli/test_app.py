"""The command line as a whole: quick, the same for every command, and clear when it refuses."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import click
import pytest
from reference import REFERENCE, written
from shell import COMMAND, Shell

from goldthread.cli.app import COMMANDS, app
from goldthread.local import Home


def test_help_names_every_command_and_loads_none() -> None:
    """Starting is quick: neither NumPy nor Rich nor a command's module is loaded to show what there is."""
    look = "import sys; from goldthread.cli import main\ntry: main()\nfinally: print(sorted(sys.modules))"
    shown = subprocess.run([sys.executable, "-c", look, "--help"], capture_output=True, text=True, check=False)
    *help_lines, modules = shown.stdout.splitlines()
    assert shown.returncode == 0
    for name, sentence in COMMANDS.items():
        assert any(line.split(maxsplit=1) == [name, sentence] for line in help_lines)
    for heavy in ("numpy", "rich", "msgspec", "goldthread.cli.run"):
        assert f"'{heavy}'" not in modules


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_with_an_example(name: str) -> None:
    command = app.get_command(click.Context(app), name)
    assert command is not None
    assert command.help
    assert (command.epilog or "").startswith(f"Example: goldthread {name}") or "$(goldthread" in (command.epilog or "")


def test_closed_streams_are_as_good_as_none(home: Home) -> None:
    """Some schedulers start a command so. A program that joins with them joins all the same."""
    program = "import goldthread; goldthread.join('walk').commit({'step': 1})"
    done = subprocess.run(
        ["sh", "-c", '"$0" -c "$1" <&- >&- 2>&-', sys.executable, program],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0
    quiet = subprocess.run(
        ["sh", "-c", '"$0" status <&- >&- 2>&-; echo $?', COMMAND],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (quiet.stdout, quiet.stderr) == ("0\n", "")


def test_a_folder_that_is_gone_is_named(home: Home, tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    done = subprocess.run(
        ["sh", "-c", 'rmdir "$PWD"; "$0" run -- true', COMMAND],
        cwd=gone, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.startswith("error: this folder is gone\n\nhint: ")


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("walk",), "no such command 'walk'"),
        (("stauts",), "no such command 'stauts'. Did you mean 'status'?"),
        (("run", "--restarts", "5/0s", "--", "true"), "a period above 0"),
        (("run",), "missing argument"),
        (("run", "--restarts", "many", "--", "true"), "'many' is no restart budget"),
        (("run", "--", "no-such-program"), "no-such-program: no such program"),
        (("status", "../etc"), "cannot name a member"),
        (("attach", "nobody"), "no keeper answers"),
        (("why", "nobody"), "no life of nobody is known"),
        (("logs", "nobody"), "nothing is kept of what nobody wrote"),
        (("forget", "nobody"), "nobody is not forgotten before somebody has said yes"),
    ],
)
def test_an_error_is_one_line_and_a_hint(shell: Shell, arguments: tuple[str, ...], error: str) -> None:
    """No traceback; nothing on standard output; what to do stands after a blank line."""
    done = shell(*arguments)
    first, blank, hint = done.stderr.splitlines()[:3]
    assert done.returncode in (1, 2)
    assert first.startswith("error: ")
    assert error in first
    assert (blank, hint[:6]) == ("", "hint: ")
    assert done.stdout == ""


def test_colour_is_for_terminals_only(shell: Shell) -> None:
    assert "\x1b" not in shell("status").stdout + shell("why", "nobody").stderr


def test_version_is_said() -> None:
    said = subprocess.run([COMMAND, "--version"], capture_output=True, text=True, check=True).stdout
    assert said.startswith("goldthread 0.")


@pytest.mark.parametrize("shell_name", ["bash", "zsh", "fish"])
def test_completion_is_a_script_of_that_shell(shell_name: str) -> None:
    done = subprocess.run([COMMAND, "completion", shell_name], capture_output=True, text=True, check=True)
    assert "_GOLDTHREAD_COMPLETE" in done.stdout


@pytest.mark.parametrize(
    ("words", "completed"),
    [
        (("sta",), {"status"}),
        (("drill", "walk", "k"), {"kill", "keeper"}),
        (("status", "wa"), {"walk"}),
        (("run", "--fr"), {"--fresh"}),
    ],
)
def test_words_are_completed(shell: Shell, words: tuple[str, ...], completed: set[str]) -> None:
    """Commands, faults, options, and the names of members, of which no keeper need tell."""
    shell("run", "--name", "walk", "--", "true")
    told = {
        "_GOLDTHREAD_COMPLETE": "bash_complete",
        "COMP_WORDS": f"goldthread {' '.join(words)}",
        "COMP_CWORD": str(len(words)),
    }
    done = subprocess.run([COMMAND], env=os.environ | told, capture_output=True, text=True, check=True)
    assert {line.partition(",")[2] for line in done.stdout.splitlines()} == completed


def test_the_reference_is_what_the_commands_say() -> None:
    """docs/reference/commands.md is written by `python tests/cli/reference.py`."""
    assert REFERENCE.read_text() == written()
