"""`goldthread bond`: tie this host to another, see what that gives and costs, and untie it in peace."""

from __future__ import annotations

import secrets
import sys
from typing import Any

import click

from goldthread.cli.arguments import PARTNER, json_option
from goldthread.cli.asking import ask_and_say, find_partner, report_of
from goldthread.cli.bond_view import bond_table, doubt_lines, heading, price_lines, terms_table
from goldthread.cli.screen import notice, print_json, print_table, progress
from goldthread.cli.terms import memory_warning, terms_from, terms_options, terms_words
from goldthread.errors import KeeperError, UsageError
from goldthread.keeper.memory import memory_whole
from goldthread.local import Home, connect, reach_keeper
from goldthread.report import BondReport, KeeperReport
from goldthread.terms import Terms
from goldthread.wire.bond_requests import (
    AcceptRequest,
    BondEndRequest,
    BondForgetRequest,
    ConfirmRequest,
    Invited,
    InviteRequest,
    RekeyRequest,
    TermsRequest,
)
from goldthread.wire.circle import CIRCLE_BYTES, write_circle

__all__ = ["bond"]


@click.group(epilog="Example: goldthread bond invite")
def bond() -> None:
    """Tie this host to another: each keeps a copy of the other's work in its memory.

    On one host `goldthread bond invite` prints a line; `goldthread bond accept` takes it on the other. Each side has
    terms of its own: what it lends, and what it lets the other do.
    """


@bond.command(epilog="Example: goldthread bond invite --memory 8GiB --takeover ask")
@terms_options
def invite(**given: Any) -> int:
    """Print a code that another keeper can accept.

    It works once and for ten minutes. The code alone goes to standard output. Whoever has it can tie a bond with this
    keeper, so pass it on as you would a password.
    """
    terms = _terms_from(Terms(), given)
    with progress("an invitation is made"), reach_keeper(Home.default(), "command") as channel:
        answer, _ = channel.ask(InviteRequest(terms))
    if not isinstance(answer, Invited):
        raise KeeperError(f"the keeper gave an answer of another kind: {type(answer).__name__}")
    notice("on the other host, once and within ten minutes: goldthread bond accept CODE")
    notice(f"this host lends {terms_words(terms)}")
    click.echo(answer.code)
    return 0


@bond.command(epilog="Example: goldthread bond accept gt1.kX0c...@192.0.2.7:7447 --memory 8GiB")
@click.argument("code")
@terms_options
def accept(code: str, **given: Any) -> int:
    """Tie the bond to which a CODE invites.

    A CODE of - is read from standard input.
    """
    if code == "-":
        code = sys.stdin.readline()
    terms = _terms_from(Terms(), given)
    return ask_and_say(Home.default(), AcceptRequest(code.strip(), terms), "the other keeper is asked")


@bond.command(epilog="Example: goldthread bond circle")
def circle() -> int:
    """Print a fresh secret for a circle.

    The line belongs into the table [keeper] of `goldthread.toml` on each host of the same people, the same line on
    all of them. A keeper that hears no partner then ties a bond with another one of the circle of itself.
    """
    notice("in the table [keeper] of goldthread.toml, the same on each host; whoever has it can tie bonds with them")
    click.echo(f'circle = "{write_circle(secrets.token_bytes(CIRCLE_BYTES))}"')
    return 0


@bond.command("list", epilog="Example: goldthread bond list")
@json_option
def list_(as_json: bool) -> int:
    """Say how the bonds are, and what they cost.

    Who the partners are, how lately each was heard, what it holds for this host, what is held here for it, and what
    its death would cost now.
    """
    report = _report()
    if as_json:
        print_json({"id": report.id, "name": report.name, "bonds": report.bonds, "helds": report.helds})
        return 0
    click.echo(heading(report))
    if any(not bond.ended for bond in report.bonds):
        print_table(bond_table(report))
    for line in (*price_lines(report), *doubt_lines(report)):
        click.echo(line)
    return 0


@bond.command(epilog="Example: goldthread bond terms kakashi --memory 8GiB")
@click.argument("partner", type=PARTNER)
@terms_options
def terms(partner: str, **given: Any) -> int:
    """Show or change the terms of a bond.

    Without options the terms of both sides are shown. With them those of this side are changed; the other side's are
    its own to change.
    """
    found = _partner(partner)
    if all(value is None for value in given.values()):
        print_table(terms_table(found))
        return 0
    request = TermsRequest(found.partner, _terms_from(found.mine, given))
    return ask_and_say(Home.default(), request, "the terms are changed")


@bond.command(epilog="Example: goldthread bond end kakashi")
@click.argument("partner", type=PARTNER)
@click.option("--yes", is_flag=True, help="Do not ask.")
def end(partner: str, yes: bool) -> int:
    """End a bond in peace.

    Each side lets go of the copies that it held for the other. Both stay known to each other, for emergencies within
    their terms; `goldthread bond forget` ends that too.
    """
    found = _partner(partner)
    if found.price.exposed and not yes:
        loss = f"{found.name} holds the only copies of {', '.join(found.price.exposed)} on another host"
        _confirm("the bond is not ended", loss)
    return ask_and_say(Home.default(), BondEndRequest(found.partner), f"the bond with {found.name} is ended")


@bond.command(epilog="Example: goldthread bond forget kakashi")
@click.argument("partner", type=PARTNER)
@click.option("--yes", is_flag=True, help="Do not ask.")
def forget(partner: str, yes: bool) -> int:
    """Keep nothing of a partner with which the bond is over.

    Its key is forgotten, so that it is not turned to in an emergency, nor answered. What is still held for it, since it
    was lost before the bond ended, is let go.
    """
    report = _report()
    found = find_partner(report, partner)
    held = [one.member for one in report.helds if one.partner == found.partner and one.commit is not None]
    if held and not yes:
        _confirm(
            f"{found.name} is not forgotten", f"copies of {', '.join(held)} are held for it, and may be the last ones"
        )
    return ask_and_say(Home.default(), BondForgetRequest(found.partner), f"{found.name} is forgotten")


@bond.command(epilog="Example: goldthread bond confirm kakashi")
@click.argument("partner", type=PARTNER)
def confirm(partner: str) -> int:
    """Agree to a bond that was tied in an emergency.

    Nobody was asked then; `goldthread bond end` undoes it.
    """
    found = _partner(partner)
    if not found.emergency:
        click.echo(f"there is nothing to confirm: a person tied the bond with {found.name}, or has confirmed it")
        return 0
    return ask_and_say(Home.default(), ConfirmRequest(found.partner), "the bond is confirmed")


@bond.command(epilog="Example: goldthread bond rekey")
def rekey() -> int:
    """Give this keeper a new key.

    Every partner is told of it. Bonds and terms stay.
    """
    return ask_and_say(Home.default(), RekeyRequest(), "partners are told of the new key")


def _terms_from(before: Terms, given: dict[str, Any]) -> Terms:
    """The terms of before with what was given in their place; said where they lend what is not there."""
    terms = terms_from(before, given)
    if warning := memory_warning(terms, memory_whole()):
        notice(warning)
    return terms


def _confirm(refusal: str, loss: str) -> None:
    """Ask whether copies are to be let go; nobody who could answer is a no."""
    if not sys.stdin.isatty():
        raise UsageError(f"{refusal} without being asked: {loss}", hint="the option --yes does not ask")
    click.confirm(f"{loss}, and are let go of. Go on?", abort=True, err=True)


def _report() -> KeeperReport:
    with progress("the keeper is asked"), connect(Home.default(), "command") as channel:
        return report_of(channel)


def _partner(text: str) -> BondReport:
    return find_partner(_report(), text)
