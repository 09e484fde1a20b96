"""How a command asks the keeper one thing: send it, wait for the answer, say it."""

from __future__ import annotations

from typing import Final

import click
import msgspec

from goldthread.cli.screen import progress
from goldthread.errors import KeeperError, UsageError
from goldthread.local import Channel, Home, connect, reach_keeper
from goldthread.names import MemberName
from goldthread.report import BondReport, KeeperReport, MemberReport
from goldthread.wire.messages import Done, Report, ReportRequest

__all__ = ["ask_and_say", "find_partner", "member_report", "report_of", "say_done"]

_REPORT_SECONDS: Final = 20.0
"""A keeper that gives no report for so long is stopped, or worse."""


def ask_and_say(home: Home, request: msgspec.Struct, doing: str) -> int:
    """Ask the keeper (started where there is none) and print its sentence."""
    with progress(doing), reach_keeper(home, "command") as channel:
        answer, _ = channel.ask(request)
    say_done(answer)
    return 0


def say_done(answer: object) -> None:
    if not isinstance(answer, Done):
        raise KeeperError(f"the keeper gave an answer of another kind: {type(answer).__name__}")
    click.echo(answer.text)


def report_of(channel: Channel) -> KeeperReport:
    answer, _ = channel.ask(ReportRequest(), timeout=_REPORT_SECONDS)
    if not isinstance(answer, Report):
        raise KeeperError(f"the keeper gave an answer of another kind: {type(answer).__name__}")
    return answer.report


def member_report(home: Home, member: MemberName) -> tuple[KeeperReport, MemberReport | None]:
    """What the running keeper says of itself and of one member."""
    with connect(home, "command") as channel:
        report = report_of(channel)
    return report, next((one for one in report.members if one.name == member), None)


def find_partner(report: KeeperReport, text: str) -> BondReport:
    """The bond whose partner has this name, or whose identity begins so. Raises `UsageError` where that is not one."""
    found = [bond for bond in report.bonds if bond.name == text]
    found = found or [bond for bond in report.bonds if text and bond.partner.startswith(text)]
    if len(found) == 1:
        return found[0]
    if found:
        ids = " or ".join(bond.partner[:8] for bond in found)
        raise UsageError(f"{text} names more than one partner", hint=f"say which by its identity: {ids}")
    names = ", ".join(bond.name for bond in report.bonds)
    hint = f"the partners are {names}" if names else "there is none yet: goldthread bond invite begins a bond"
    raise UsageError(f"no partner is named {text}", hint=hint)
