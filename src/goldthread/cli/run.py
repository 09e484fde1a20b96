"""`goldthread run`: a program under the keeper, seen as if it ran here."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Sequence
from pathlib import Path, PurePath
from typing import Final

import click

from goldthread.cli.arguments import BUDGET, MEMBER, SPAN
from goldthread.cli.asking import member_report
from goldthread.cli.attach import LINES, watch
from goldthread.cli.screen import notice, tell_error
from goldthread.cli.view import KEPT_STATUS, View, final_status, is_elsewhere, stop_on_signal
from goldthread.config import load
from goldthread.errors import MemberTaken, UsageError
from goldthread.local import Home, reach_keeper
from goldthread.names import MemberName, Span, member_name
from goldthread.output import OutputReader
from goldthread.policy import Budget
from goldthread.report import Phase
from goldthread.wire.messages import Command, RunRequest

__all__ = ["command_of", "name_of", "run"]

_OF_A_LIFE: Final = frozenset({"GOLDTHREAD_MEMBER", "GOLDTHREAD_EPOCH", "GOLDTHREAD_HOME"})
"""Said anew to each life; what an outer program was told must not reach an inner one."""
_OPTION_WITH_VALUE: Final = re.compile(r"-(?:[^-cmWX]*([cmWX])|-check-hash-based-pycs)(.*)", re.DOTALL)
"""An option of Python, alone or after others in one word (`-um`), and its value where that is in the same word."""


@click.command(
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
    epilog="Example: goldthread run --restarts 5/10m -- python train.py --epochs 3",
)
@click.option("--name", type=MEMBER, help="The member's name; by default that of the script.")
@click.option("--restarts", type=BUDGET, help="How often it may be restarted: N, or N/PERIOD.  [default: 5/10m]")
@click.option("--hang-after", type=SPAN, help="Never take it for stuck before this much silence.  [default: 60s]")
@click.option("--fresh", is_flag=True, help="Start over: commits of earlier lives are not used.")
@click.option("--detach", is_flag=True, help="Return once it is started; see it later with attach.")
@click.argument("argv", nargs=-1, required=True, type=click.UNPROCESSED, metavar="[--] CMD ...")
def run(
    name: MemberName | None,
    restarts: Budget | None,
    hang_after: Span | None,
    fresh: bool,
    detach: bool,
    argv: tuple[str, ...],
) -> int:
    """Run CMD, keep what it commits, and start it again when it dies.

    Its output streams through (by pipes, so no progress bars that want a terminal; it reads nothing from here), its
    exit status becomes that of this command. Ctrl-C stops the program (the third kills it); closing the terminal does
    not. What runs here because it was taken over from another host is not started again, but shown. The status is 75
    where the restart budget is spent, or where the member went to another host: the state is kept.
    """
    home, member = Home.default(), name or name_of(argv)
    environment = {key: value for key, value in os.environ.items() if key not in _OF_A_LIFE}
    command = Command(command_of(argv), _folder(), environment)
    request = RunRequest(member, command, restarts or load(home.path).budget, fresh, hang_after)
    if detach:
        _start(home, request)
        notice(f"{member} runs; goldthread attach {member} shows it")
        return 0
    try:
        with View(home, member, OutputReader(home.output(member), from_end=True)) as view:
            _start(home, request)
            note = view.follow(stop_on_signal(home, member))
    except MemberTaken as taken:
        if fresh:
            raise
        return _show_if_taken_over(home, member, taken)
    if note is None:
        return 0
    if note.phase is Phase.LIMBO:
        hint = f"what it committed is kept; see goldthread why {member}, then goldthread restart {member}"
        return tell_error(f"{member} is in limbo: {note.reason}", hint, KEPT_STATUS)
    if is_elsewhere(note):
        notice(f"{member}: {note.reason}; goldthread attach {member}, on that host, shows it")
    return final_status(note)


def _show_if_taken_over(home: Home, member: MemberName, taken: MemberTaken) -> int:
    """Of a member that another host ran first. Raises `taken` where it is this host's own, or does not run here."""
    report, found = member_report(home, member)
    if found is None or found.origin == report.id or not found.supervised or found.phase is Phase.AWAY:
        raise taken
    origin = next((bond.name for bond in report.bonds if bond.partner == found.origin), "another host")
    notice(f"{taken}: it was {origin}'s, and is shown from here on; Ctrl-C leaves it running")
    return watch(home, member, LINES)


def _folder() -> str:
    """Where the program is to run: here."""
    try:
        return str(Path.cwd())
    except FileNotFoundError:
        raise UsageError("this folder is gone", hint="change to one that is there: the program runs in it") from None


def _start(home: Home, request: RunRequest) -> None:
    with reach_keeper(home, "command") as channel:
        channel.ask(request)


def name_of(argv: Sequence[str]) -> MemberName:
    """The member's name that a command line suggests: of `python train.py` it is `train`, of `python -m pkg.mod` it
    is `mod`, of `./simulate --fast` it is `simulate`."""
    module, script = _run_by_python(argv) if _is_python(argv[0]) else ("", argv[0])
    try:
        return member_name(module.rpartition(".")[2] or PurePath(script).stem or "python")
    except UsageError as error:
        raise UsageError(str(error), hint=f"give it a name with --name; {error.hint}") from None


def _is_python(program: str) -> bool:
    return PurePath(program).name.startswith("python")


def _run_by_python(argv: Sequence[str]) -> tuple[str, str]:
    """The module and the script that Python is asked to run; one of them, or neither."""
    rest = iter(argv[1:])
    for argument in rest:
        if not argument.startswith("-"):
            return "", argument
        option = _OPTION_WITH_VALUE.fullmatch(argument)
        value = "" if option is None else option[2] or next(rest, "")
        if option is not None and option[1] == "m":
            return value, ""
        if argument == "-" or (option is not None and option[1] == "c"):
            break
    return "", ""


def command_of(argv: Sequence[str]) -> tuple[str, ...]:
    """The command with its program as the shell would find it. Raises `UsageError` where it, or Python's script, is
    not there."""
    found = shutil.which(argv[0])
    if found is None:
        hint = "a program is named as a shell finds it, in PATH or by its path"
        if argv[0].endswith(".py"):
            hint = f"a Python file is run by python: -- python {argv[0]}"
        what = "it cannot be executed" if "/" in argv[0] and Path(argv[0]).exists() else "no such program"
        raise UsageError(f"{argv[0]}: {what}", hint=hint)
    script = _run_by_python(argv)[1] if _is_python(argv[0]) else ""
    if script and not Path(script).exists():
        hint = "a script is named as seen from this folder, or by its whole path"
        raise UsageError(f"{script}: no such file in {Path.cwd()}", hint=hint)
    return (str(Path(found).absolute()), *argv[1:])
