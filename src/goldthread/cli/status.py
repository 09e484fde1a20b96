"""`goldthread status`: is my work safe now?

The first line is the answer. Rendering is a pure function of the report; what the journal knows stands in where no
keeper runs.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import click
import msgspec

from goldthread.cli.arguments import MEMBER, json_option
from goldthread.cli.asking import report_of
from goldthread.cli.screen import ago, amount, has_colour, paint, print_json, print_table, progress, size
from goldthread.errors import KeeperSilent, KeeperUnreachable, UsageError
from goldthread.keeper.journal import Journal
from goldthread.local import Home, connect
from goldthread.names import MemberName, Span
from goldthread.report import AlarmReport, CommitReport, KeeperReport, MemberReport, Phase, Vitals
from goldthread.rules.orders import MemberRecord

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["answer", "details", "status"]

ILL_STATUS: Final = 3
_ILL: Final = frozenset({Vitals.STUCK, Vitals.DOWN, Vitals.LIMBO, Vitals.LOST})
_AT_REST: Final = frozenset({Phase.ENDED, Phase.LIMBO, Phase.DOWN, Phase.ABSENT, Phase.WAITING})
_COLOURS: Final = {Vitals.WELL: "green", Vitals.SLOW: "yellow"}
_WATCH_SECONDS: Final = 1.0


@click.command(epilog="Example: goldthread status train")
@click.argument("member", type=MEMBER, required=False)
@click.option("--watch", is_flag=True, help="Show it again every second, until Ctrl-C.")
@json_option
def status(member: MemberName | None, watch: bool, as_json: bool) -> int:
    """Say whether the work of MEMBER (or of all members) is safe now.

    The status is 0 where all is well, 3 where a member is stuck, down or in limbo.
    """
    home = Home.default()
    if not watch:
        return _show(home, member, as_json)
    while True:
        if has_colour(sys.stdout) and not as_json:
            click.clear()
        _show(home, member, as_json)
        time.sleep(_WATCH_SECONDS)


def _show(home: Home, member: MemberName | None, as_json: bool) -> int:
    try:
        with progress("the keeper is asked"), connect(home, "command") as channel:
            report = report_of(channel)
    except KeeperSilent as error:
        return _show_remembered(home, member, as_json, str(error), error.hint)
    except KeeperUnreachable:
        hint = "goldthread keeper start takes back what still runs"
        return _show_remembered(home, member, as_json, f"no keeper runs in {home.path}", hint)
    members = [one for one in report.members if member in (None, one.name)]
    _refuse_unknown(member, bool(members), home)
    if as_json:
        print_json(msgspec.structs.replace(report, members=tuple(members)))
    else:
        _print_report(report, members)
    return ILL_STATUS if any(one.vitals in _ILL for one in members) else 0


def _print_report(report: KeeperReport, members: Sequence[MemberReport]) -> None:
    click.echo(summary(members))
    if len(members) == 1:
        for line in details(members[0]):
            click.echo(line)
    elif members:
        print_table(_table(members))
    for name, alarms in (("keeper", report.alarms), *((one.name, one.alarms) for one in members)):
        for alarm in alarms:
            click.echo(_alarm_line(name, alarm, time.time()))


def summary(members: Sequence[MemberReport]) -> str:
    """The first line: the answer for one member, or for all together."""
    if not members:
        return "no member yet: goldthread run -- python train.py makes one"
    if len(members) == 1:
        colour = _COLOURS.get(members[0].vitals, "red")
        return paint(answer(members[0]), colour)
    unsafe = [one for one in members if not is_safe(one)]
    if not unsafe:
        return paint(f"{amount(len(members), 'member')}, all safe", "green")
    first = f"{len(unsafe)} of {amount(len(members), 'member')} {'needs' if len(unsafe) == 1 else 'need'} a look"
    return paint(f"{first}: {answer(unsafe[0])}", "red")


def is_safe(member: MemberReport) -> bool:
    """Whether what the program did so far would outlive it."""
    return member.vitals not in _ILL and not member.unsealed and bool(member.sealed or member.deposited)


def answer(member: MemberReport) -> str:
    """One sentence: is the work of this member safe now?"""
    copies = ", ".join(_copy_words(member)) or "no commit so far"
    if member.vitals in _ILL:
        verdict = "is in limbo" if member.vitals is Vitals.LIMBO else f"is {member.vitals.value}"
        kept = f"kept: {copies}" if member.sealed or member.deposited else copies
        return f"{member.name} {verdict}: {member.reason}; {kept}"
    if member.unsealed:
        return f"{member.name} is not safe: {amount(member.unsealed, 'commit')} went by unsealed; {copies}"
    if not is_safe(member):
        return f"{member.name} has nothing safe yet: {copies}, life {member.epoch}"
    if member.phase is Phase.ENDED:
        return f"{member.name} has ended and is safe: {copies}, life {member.epoch}"
    return f"{member.name} is safe: {copies}, life {member.epoch}"


def details(member: MemberReport) -> list[str]:
    """What else is known of one member."""
    lines = [f"  {member.vitals.value}, {member.phase.value}: {member.reason}"]
    if member.pid is not None and member.phase not in _AT_REST:
        beat = "" if member.beat_age is None else f", last beat {ago(member.beat_age)}"
        lines.append(f"  process {member.pid}{beat}")
    newest = member.sealed or member.deposited
    if newest is not None:
        lines.append(f"  a commit has {size(newest.bytes)}, its slots take {size(member.slot_bytes)}")
    if member.supervised:
        left = "" if member.restarts_left is None else f", {amount(member.restarts_left, 'restart')} left"
        lines.append(f"  {amount(member.deaths, 'death')} so far{left}")
    else:
        lines.append("  not started by goldthread run: nobody restarts it")
    return lines


def _copy_words(member: MemberReport) -> list[str]:
    pairs = ((member.sealed, "sealed"), (member.deposited, "deposited"))
    return [f"step {copy.commit.step} {level} {ago(copy.age)}" for copy, level in pairs if copy is not None]


def _table(members: Sequence[MemberReport]) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("member", "vitals", "phase", "life", "step", "sealed", "deposited", "size", "deaths"):
        table.add_column(column, justify="left" if column in ("member", "vitals", "phase") else "right", no_wrap=True)
    for one in members:
        newest = one.sealed or one.deposited
        table.add_row(
            one.name,
            Text(one.vitals.value, style=_COLOURS.get(one.vitals, "red")),
            one.phase.value,
            str(one.epoch),
            "-" if one.step is None else str(one.step),
            _cell(one.sealed),
            _cell(one.deposited),
            size(newest.bytes) if newest else "-",
            str(one.deaths),
        )
    return table


def _cell(copy: CommitReport | None) -> str:
    return f"step {copy.commit.step}, {ago(copy.age)}" if copy else "-"


def _alarm_line(name: str, alarm: AlarmReport, wall: float) -> str:
    age = ago(Span(round(max(0.0, wall - alarm.at) * 1e9)))
    return f"{paint(alarm.level.value, 'yellow')}: {name}, {age}: {alarm.text}"


def _refuse_unknown(member: MemberName | None, known: bool, home: Home) -> None:
    if member is not None and not known:
        raise UsageError(f"no member is named {member} in {home.path}", hint="goldthread status lists them")


# Where no keeper answers


def _show_remembered(home: Home, member: MemberName | None, as_json: bool, why_not: str, hint: str) -> int:
    """What the journal knows, and why it is all that can be shown."""
    journal = Journal.look(home.journal)
    records = [] if journal is None else [one for one in journal.members() if member in (None, one.name)]
    if journal is not None:
        journal.close()
    _refuse_unknown(member, bool(records), home)
    if as_json:
        print_json({"keeper": None, "home": str(home.path), "members": records})
    else:
        click.echo(why_not + ("; its journal knows:" if records else ", and no member is known"))
        for record in records:
            click.echo(f"  {remembered(record)}")
        if records:
            click.echo(f"\nhint: {hint}", err=True)
    return 0 if all(one.phase in (Phase.ENDED, Phase.ABSENT) for one in records) else ILL_STATUS


def remembered(record: MemberRecord) -> str:
    """What the journal says of a member, in one line."""
    copies = [
        f"step {commit.step} {level}"
        for commit, level in ((record.newest, "sealed"), (record.deposited, "deposited"))
        if commit is not None
    ]
    return f"{record.name}: life {record.epoch} was {record.phase.value}, {', '.join(copies) or 'no commit'}"
