"""`goldthread takeover`: a person decides where the next life of a member runs."""

from __future__ import annotations

import sys

import click

from goldthread.cli.arguments import MEMBER, PARTNER
from goldthread.cli.asking import ask_and_say, find_partner, report_of
from goldthread.cli.screen import progress
from goldthread.errors import UsageError
from goldthread.local import Home, connect
from goldthread.names import MemberName
from goldthread.report import Contact, Guard, KeeperReport, Phase
from goldthread.wire.bond_requests import TakeoverRequest

__all__ = ["risk_words", "takeover"]


@click.command(epilog="Example: goldthread takeover train")
@click.argument("member", type=MEMBER)
@click.option("--to", type=PARTNER, help="Hand a member of this host over to this partner instead.")
@click.option("--yes", is_flag=True, help="Do not ask, even where the old owner may still run it.")
def takeover(member: MemberName, to: str | None, yes: bool) -> int:
    """Run the next life of MEMBER here, from the newest commit that is held for its owner.

    With --to it goes the other way, and loses no step: its life here is ended, its newest commit is held by the
    partner, and the partner goes on from that.
    """
    home = Home.default()
    with progress("the keeper is asked"), connect(home, "command") as channel:
        report = report_of(channel)
    if to is not None and to != report.name:
        partner = find_partner(report, to)
        _refuse_unless_here(report, member)
        return ask_and_say(home, TakeoverRequest(member, partner.partner), f"{member} goes to {partner.name}")
    risk = risk_words(report, member)
    if risk and not yes:
        if not sys.stdin.isatty():
            raise UsageError(
                f"{member} is not taken over without being asked: {risk}", hint=f"goldthread takeover {member} --yes"
            )
        click.echo(risk, err=True)
        click.confirm(f"Take {member} over?", abort=True, err=True)
    return ask_and_say(home, TakeoverRequest(member, None), f"{member} is taken over")


def risk_words(report: KeeperReport, member: MemberName) -> str:
    """What a takeover risks, in two sentences; empty where something vouches that no other life goes on, and where the
    keeper refuses it anyway. Raises `UsageError` where there is nothing to take over."""
    here = next((one for one in report.members if one.name == member and one.phase is not Phase.AWAY), None)
    held = next((one for one in report.helds if one.member == member), None)
    if here is not None and here.vouched != 0:
        raise UsageError(
            f"{member} is this host's already: {here.reason}",
            hint=f"goldthread takeover {member} --to PARTNER hands it over; goldthread restart {member} runs it again",
        )
    if here is not None:
        return (
            f"Nothing vouches that {member} has not been taken over on another host. If it has, two lives go on until"
            " this host hears of the other: then the one here is ended, and what it did meanwhile is lost."
        )
    away = next((one for one in report.members if one.name == member), None)
    if away is not None and (held is None or held.commit is None):
        return (
            f"{member} went away from here: {away.reason}. It goes on here from what was kept aside then, and what was"
            " done elsewhere since is lost: a life that still goes on there is ended when it hears of this one."
        )
    if held is None:
        raise UsageError(f"{member} is not held here", hint="goldthread bond list shows what is")
    owner = next((bond for bond in report.bonds if bond.partner == held.partner), None)
    if owner is None or held.given_up or held.guard is Guard.LEASE or owner.contact is not Contact.SILENT:
        return ""
    since = "what it did" if held.commit is None else f"what it did since step {held.commit.step}"
    return (
        f"{owner.name} is silent, and nothing vouches that {member} does not run there any more. If it does, two lives"
        f" go on until {owner.name} hears of the new one: then the old one is ended, and {since} is lost."
    )


def _refuse_unless_here(report: KeeperReport, member: MemberName) -> None:
    found = next((one for one in report.members if one.name == member), None)
    if found is None:
        raise UsageError(f"{member} is no member of this host", hint="goldthread status lists them")
    if found.phase is Phase.AWAY:
        raise UsageError(f"{member} does not run here: {found.reason}", hint=f"goldthread takeover {member} brings it")
