"""`goldthread demo`: a network learns to read digits while its processes are killed, its memory is damaged, and the
hosts that keep it are lost, for real.

A twin, to which nothing happens, runs beside it. At the end both hold the same state, to the bit.
"""

from __future__ import annotations

import importlib.util
import os
import secrets
import shutil
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import click

from goldthread.cli.arguments import json_option
from goldthread.cli.play import MEMBER, ONE_THREAD, Outcome, Play
from goldthread.cli.screen import paint, print_json
from goldthread.cli.stage import open_stages
from goldthread.errors import UsageError
from goldthread.wire.circle import CIRCLE_BYTES, write_circle

__all__ = ["demo"]

_KEEPERS: Final = ("iruka", "kakashi", "tsunade", "twin")
_POLICY: Final = {"partner_grace": "2s", "stacks_wait": "500ms"}
"""A lost partner, and the stacks of a stopped program, are waited for less long than usual: it is to be a minute."""


@click.command(epilog="Example: goldthread demo")
@json_option
def demo(as_json: bool) -> int:
    """Train a small network on two keepers, iruka and kakashi, while its process is killed and hung, its keeper
    killed, its memory damaged, and each of the two hosts is lost.

    Takes about a minute, in a temporary folder; nothing is left of it. The status is 1 where the final state is not
    that of a run to which nothing happened.
    """
    program = _program()
    os.environ.update(ONE_THREAD)
    with open_stages(MEMBER, *_KEEPERS) as stages, _own_settings() as own:
        leases = stages[0].home.path.parent / "leases.sqlite"
        for stage in stages:
            name = stage.home.path.name
            common = {"name": name, "lease_store": f"sqlite://{leases}", "listen": "127.0.0.1"}
            stage.configure(policy=_POLICY, **common | own.get(name, {}))
        outcome = Play(stages, program, to_stderr=as_json).run()
    if as_json:
        print_json(outcome)
    else:
        _tell_outcome(outcome, program)
    return 0 if outcome.bit_identical else 1


@contextmanager
def _own_settings() -> Iterator[dict[str, dict[str, str]]]:
    """iruka and tsunade are of one circle, and iruka knows where tsunade will be.

    tsunade comes late: its port is kept from all others until then, by a socket that is bound and does not listen.
    """
    circle = write_circle(secrets.token_bytes(CIRCLE_BYTES))
    with socket.socket() as kept:
        kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        kept.bind(("127.0.0.1", 0))
        place = f"127.0.0.1:{kept.getsockname()[1]}"
        yield {"iruka": {"circle": circle, "keepers": place}, "tsunade": {"circle": circle, "listen": place}}


def _program() -> Path:
    """Where examples/digits.py lies: in a checkout, or in the installed package."""
    if importlib.util.find_spec("sklearn") is None:
        raise UsageError("the demo needs scikit-learn for its digits", hint="pip install scikit-learn")
    for folder in (Path(__file__).parents[3], Path(__file__).parents[1]):
        program = folder / "examples" / "digits.py"
        if program.exists():
            return program
    raise UsageError("examples/digits.py is not there", hint="install goldthread again, or run make demo in a checkout")


def _tell_outcome(outcome: Outcome, program: Path) -> None:
    verdict = "yes" if outcome.bit_identical else "no"
    colour = "green" if outcome.bit_identical else "red"
    click.echo("")
    click.echo(paint(f"bit-identical: {verdict}", colour, "bold") + "  the whole state, against the twin's")
    for difference in outcome.differences:
        click.echo(f"  {difference}")
    each = " + ".join(str(one.lost_steps) for one in outcome.happenings)
    click.echo(f"lost steps: {outcome.lost_steps} of {outcome.steps} ({each}), in {outcome.lives} lives")
    goldthread, python, script = _as_typed(sys.argv[0]), _as_typed(sys.executable), _as_typed(str(program))
    click.echo("\ntry next:")
    for command in (
        f"{goldthread} run -- {python} {script}",
        f"{goldthread} status digits",
        f"{goldthread} drill digits kill",
        f"{goldthread} why digits",
    ):
        click.echo(f"  {command}")


def _as_typed(path: str) -> str:
    """How a user here would name a file: by its name alone where the shell finds it so."""
    name = Path(path).name
    if shutil.which(name) == path:
        return name
    here = Path.cwd()
    return str(Path(path).relative_to(here)) if Path(path).is_relative_to(here) else path
