"""`goldthread keeper`: the daemon of this host and user."""

from __future__ import annotations

from contextlib import suppress

import click

from goldthread.cli.arguments import json_option
from goldthread.cli.asking import report_of, say_done
from goldthread.cli.screen import amount, lasting, print_json, progress
from goldthread.errors import KeeperSilent, KeeperUnreachable
from goldthread.local import Home, connect, reach_keeper
from goldthread.wire.messages import KeeperStopRequest

__all__ = ["keeper"]


@click.group(epilog="Example: goldthread keeper status")
def keeper() -> None:
    """Start, stop and see the keeper of this host.

    `run` and `join` start one by themselves; it has its files and its door in GOLDTHREAD_HOME.
    """


@keeper.command(epilog="Example: goldthread keeper start")
def start() -> int:
    """Start the keeper where none runs."""
    with reach_keeper(Home.default(), "command") as channel:
        report = report_of(channel)
    click.echo(f"the keeper runs as process {report.pid} in {report.home}")
    return 0


@keeper.command(epilog="Example: goldthread keeper stop --stop-members")
@click.option("--stop-members", is_flag=True, help="Stop running programs first, each with its newest commit kept.")
def stop(stop_members: bool) -> int:
    """Stop the keeper. Newest commits go to the vault first; where that cannot be, the keeper goes on and says why."""
    try:
        channel = connect(Home.default(), "command")
    except KeeperSilent:
        raise
    except KeeperUnreachable:
        click.echo("no keeper runs")
        return 0
    with progress("the keeper is asked to end"), channel:
        answer, _ = channel.ask(KeeperStopRequest(stop_members))
        # Its end of the connection closes when its process does.
        with suppress(KeeperUnreachable):
            channel.receive()
    say_done(answer)
    return 0


@keeper.command(epilog="Example: goldthread keeper status --json")
@json_option
def status(as_json: bool) -> int:
    """Say whether a keeper runs, since when, and for whom. The status is 1 where none runs."""
    with connect(Home.default(), "command") as channel:
        report = report_of(channel)
    if as_json:
        print_json(report)
        return 0
    click.echo(
        f"the keeper {report.version} runs as process {report.pid} for {lasting(report.age)}"
        f" in {report.home}, with {amount(len(report.members), 'member')}"
    )
    for alarm in report.alarms:
        click.echo(f"{alarm.level.value}: {alarm.text}")
    return 0
