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
from goldthread.cli.bond_view import IN_DOUBT, held_words, price_lines
from goldthread.cli.screen import ago, amount, has_colour, paint, print_json, print_table, progress, size
from goldthread.errors import KeeperSilent, KeeperUnreachable, UsageError
from goldthread.keeper.journal import Journal
from goldthread.local import Home, connect
from goldthread.names import MemberName, Span
from goldthread.report import (
    AlarmLevel,
    AlarmReport,
    CommitReport,
    Guard,
    HeldReport,
    KeeperReport,
    MemberReport,
    OwnerState,
    Phase,
    Vitals,
)
from goldthread.rules.orders import MemberRecord

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["answer", "details", "status"]

ILL_STATUS: Final = 3
_ILL: Final = frozenset({Vitals.STUCK, Vitals.DOWN, Vitals.LIMBO, Vitals.LOST})
_AT_REST: Final = frozenset({Phase.ENDED, Phase.LIMBO, Phase.DOWN, Phase.ABSENT, Phase.WAITING, Phase.AWAY})
_HOLDERS: Final = {OwnerState.BONDED: "has a whole copy", OwnerState.ALONE: "had a copy, and is silent"}
_GUARDS: Final = {
    Guard.NONE: "taken over there only when a person says so",
    Guard.LEASE: "taken over there once its lease and the promise have run out",
    Guard.PROMISE: "taken over there once the promise has run out",
}
_COLOURS: Final = {Vitals.WELL: "green", Vitals.SLOW: "yellow"}
_WATCH_SECONDS: Final = 1.0


@click.command(epilog="Example: goldthread status train")
@click.argument("member", type=MEMBER, required=False)
@click.option("--watch", is_flag=True, help="Show it again every second, until Ctrl-C.")
@json_option
def status(member: MemberName | None, watch: bool, as_json: bool) -> int:
    """Say whether the work of MEMBER (or of all members) is safe now.

    Where there are several, mere notices are left to `goldthread status MEMBER` and `goldthread keeper status`.

    The status is 0 where all is well, 3 where a member is stuck, down, in limbo, stopped for want of a voucher, or
    exposed (a bond should keep a copy of it on another host, and none can be counted on), and where one that is held
    here may have to be taken over.
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
    members = tuple(one for one in report.members if member in (None, one.name))
    helds = tuple(one for one in report.helds if member in (None, one.member))
    _refuse_unknown(member, bool(members or helds), home)
    report = msgspec.structs.replace(report, members=members, helds=helds)
    if as_json:
        print_json(report)
    else:
        _print_report(report)
    is_ill = any(one.vitals in _ILL or one.vouched == 0 or one.exposed for one in members)
    return ILL_STATUS if is_ill or any(one.state in IN_DOUBT for one in helds) else 0


def _print_report(report: KeeperReport) -> None:
    members = report.members
    click.echo(summary(members, report.helds))
    if len(members) == 1:
        for line in details(members[0]):
            click.echo(line)
    elif members:
        print_table(_table(members))
    names = {bond.partner: bond.name for bond in report.bonds}
    for held in report.helds:
        words = held_words(held, names.get(held.partner, held.partner))
        click.echo(paint(words, "red") if held.state in IN_DOUBT else words)
    for line in price_lines(report):
        click.echo(line)
    for name, alarms in (("keeper", report.alarms), *((one.name, one.alarms) for one in members)):
        for alarm in alarms:
            if len(members) <= 1 or alarm.level is not AlarmLevel.NOTICE:
                click.echo(_alarm_line(name, alarm, time.time()))


def summary(members: Sequence[MemberReport], helds: Sequence[HeldReport] = ()) -> str:
    """The first line: the answer for one member, or for all together."""
    doubted = [held.member for held in helds if held.state in IN_DOUBT]
    if doubted and all(map(is_safe, members)):
        return paint(f"{', '.join(doubted)}, held here, may have to be taken over", "red")
    if not members and helds:
        return f"no member of this host, {amount(len(helds), 'member')} of partners held"
    if not members:
        return "no member yet: goldthread run -- python train.py makes one"
    if len(members) == 1:
        return paint(answer(members[0]), _colour(members[0]))
    unsafe = [one for one in members if not is_safe(one)]
    if not unsafe:
        return paint(f"{amount(len(members), 'member')}, all safe", "green")
    first = f"{len(unsafe)} of {amount(len(members), 'member')} {'needs' if len(unsafe) == 1 else 'need'} a look"
    return paint(f"{first}: {answer(unsafe[0])}", "red")


def is_safe(member: MemberReport) -> bool:
    """Whether what the program did so far would outlive it, and the host where a bond should see to that."""
    if member.phase is Phase.AWAY:
        return True
    is_kept = bool(member.sealed or member.deposited)
    return is_kept and not (member.vitals in _ILL or member.unsealed or member.exposed or member.vouched == 0)


def answer(member: MemberReport) -> str:
    """One sentence: is the work of this member safe now?"""
    # What an exposed member's holder has cannot be counted on.
    counted = msgspec.structs.replace(member, held=None) if member.exposed else member
    none = "no whole copy is known here" if member.step else "no commit so far"
    copies = ", ".join(_copy_words(counted)) or none
    kept = f"kept: {copies}" if member.sealed or member.deposited else copies
    if member.phase is Phase.AWAY:
        return f"{member.name} is away: {member.reason}"
    if member.vitals in _ILL:
        verdict = "is in limbo" if member.vitals is Vitals.LIMBO else f"is {member.vitals.value}"
        return f"{member.name} {verdict}: {member.reason}; {kept}"
    if member.vouched == 0:
        return f"{member.name} may not go on: nothing vouches that no other life of it runs; {kept}"
    if member.unsealed:
        return f"{member.name} is not safe: {amount(member.unsealed, 'commit')} went by unsealed; {copies}"
    if member.exposed:
        return f"{member.name} is exposed: {member.exposed}; kept here: {copies}, life {member.epoch}"
    if not is_safe(member):
        return f"{member.name} has nothing safe yet: {copies}, life {member.epoch}"
    if member.phase is Phase.ENDED:
        return f"{member.name} has ended and is safe: {copies}, life {member.epoch}"
    return f"{member.name} is safe: {copies}, life {member.epoch}"


def details(member: MemberReport) -> list[str]:
    """What else is known of one member."""
    if member.phase is Phase.AWAY:
        return []
    lines = [f"  {member.vitals.value}, {member.phase.value}: {member.reason}"]
    if member.pid is not None and member.phase not in _AT_REST:
        beat = "" if member.beat_age is None else f", last beat {ago(member.beat_age)}"
        lines.append(f"  process {member.pid}{beat}")
    newest = member.sealed or member.deposited
    if newest is not None:
        lines.append(f"  a commit has {size(newest.bytes)}, its slots take {size(member.slot_bytes)}")
    if member.holder:
        state = _HOLDERS.get(member.owner_state, "is to hold a copy")
        lines.append(f"  {member.holder} {state}; {_GUARDS[member.guard]}")
    if member.supervised:
        left = "" if member.restarts_left is None else f", {amount(member.restarts_left, 'restart')} left"
        lines.append(f"  {amount(member.deaths, 'death')} so far{left}")
    else:
        lines.append("  not started by goldthread run: nobody restarts it")
    return lines


def _copy_words(member: MemberReport) -> list[str]:
    sealed, held, deposited = member.sealed, member.held, member.deposited
    words = []
    if sealed is not None:
        words.append(f"step {sealed.commit.step} sealed {ago(sealed.age)}")
    if held is not None:
        age = "" if held.age is None else f" {ago(held.age)}"
        words.append(f"step {held.commit.step} held by {member.holder}{age}")
    if deposited is not None:
        words.append(f"step {deposited.commit.step} deposited {ago(deposited.age)}")
    return words


def _table(members: Sequence[MemberReport]) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    for column in ("member", "vitals", "life", "sealed step", "held step", "deposited step", "deaths"):
        table.add_column(column, justify="left" if column in ("member", "vitals") else "right")
    for one in members:
        table.add_row(
            one.name,
            Text(_vitals(one), style=_colour(one)),
            str(one.epoch),
            _cell(one.sealed, "" if one.sealed is None else ago(one.sealed.age)),
            _cell(one.held, one.holder),
            _cell(one.deposited, "" if one.deposited is None else ago(one.deposited.age)),
            str(one.deaths),
        )
    return table


def _cell(copy: CommitReport | None, about: str) -> str:
    return f"{copy.commit.step}, {about}" if copy else "-"


def _vitals(member: MemberReport) -> str:
    """In one word; of a member that has ended or is away that it is."""
    if member.exposed:
        return "exposed"
    return member.phase.value if member.phase in (Phase.ENDED, Phase.AWAY) else member.vitals.value


def _colour(member: MemberReport) -> str:
    return "red" if member.exposed or member.vouched == 0 else _COLOURS.get(member.vitals, "red")


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
    known = [] if journal is None else journal.members()
    records = [one for one in known if member in (None, one.name) and one.phase is not Phase.ABSENT]
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
    return 0 if all(one.phase is Phase.ENDED for one in records) else ILL_STATUS


def remembered(record: MemberRecord) -> str:
    """What the journal says of a member, in one line."""
    copies = [
        f"step {commit.step} {level}"
        for commit, level in ((record.newest, "sealed"), (record.held, "held"), (record.deposited, "deposited"))
        if commit is not None
    ]
    return f"{record.name}: life {record.epoch} was {record.phase.value}, {', '.join(copies) or 'no commit'}"
