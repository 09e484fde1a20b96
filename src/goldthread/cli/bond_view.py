"""How bonds are shown. Everything is a function of the report."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from goldthread.cli.screen import ago, amount, paint
from goldthread.cli.terms import terms_rows
from goldthread.report import BondReport, Contact, Guard, HeldReport, HeldThere, HolderState, KeeperReport

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["IN_DOUBT", "bond_table", "doubt_lines", "heading", "held_words", "price_lines", "terms_table"]

_COLOURS: Final = {Contact.FRESH: "green", Contact.LATE: "yellow", Contact.SILENT: "red"}
_GUARDS: Final = {Guard.NONE: "a person", Guard.LEASE: "the lease", Guard.PROMISE: "the promise"}
_KNOWN_STILL: Final = "it is known still, for emergencies"
IN_DOUBT: Final = frozenset({HolderState.DOUBTING, HolderState.CLAIMING})
"""A member held here may have to be taken over."""


def heading(report: KeeperReport) -> str:
    """The first line: is this host bonded?"""
    bonds = [bond for bond in report.bonds if not bond.ended]
    if not bonds:
        return f"{report.name} has no bond: goldthread bond invite begins one"
    silent = [bond.name for bond in bonds if bond.contact is Contact.SILENT]
    names = _and([bond.name for bond in bonds])
    if not silent:
        return paint(f"{report.name} is bonded with {names}", "green")
    if len(silent) == len(bonds):
        return paint(f"{report.name} is alone: {_and(silent)} {_are(silent)} silent", "red")
    return paint(f"{report.name} is bonded with {names}; {_and(silent)} {_are(silent)} silent", "yellow")


def bond_table(report: KeeperReport) -> Table:
    """One row for each member that is held: by whom, where it runs, how far its copy is, and who takes it over."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    for column in ("partner", "contact", "member", "runs", "held", "behind", "taken over by"):
        table.add_column(column, justify="right" if column == "behind" else "left", overflow="fold")
    for bond in (bond for bond in report.bonds if not bond.ended):
        here = [held for held in report.helds if held.partner == bond.partner]
        rows = [*map(_there_cells, bond.held_there), *map(_here_cells, here)] or [("-",) * 5]
        contact = Text(_contact_words(bond), style=_COLOURS[bond.contact])
        table.add_row(Text(bond.name), contact, *rows[0])
        for cells in rows[1:]:
            table.add_row("", "", *cells)
    return table


def price_lines(report: KeeperReport) -> list[str]:
    """For each bond what its partner's death would cost now, and what else a person should know of it."""
    lines = []
    for bond in report.bonds:
        if bond.ended:
            again = "it was tied in an emergency, and is not tied so again" if bond.emergency else _KNOWN_STILL
            lines.append(f"the bond with {bond.name} is over; {again}")
            continue
        if bond.contact is not Contact.FRESH:
            lines.append(paint(f"{bond.name} is {bond.contact.value}: {bond.reason}", _COLOURS[bond.contact]))
        if bond.emergency:
            told = f"{bond.name} was bonded with nobody asked: {bond.emergency}"
            lines.append(paint(f"{told}; goldthread bond confirm {bond.name}, or bond end", "yellow"))
        if bond.ending:
            lines.append(f"{bond.name}: this bond is ended here; it is told as soon as it can be reached")
        for held in (one for one in bond.held_there if one.differences):
            told = f"{held.member} may run otherwise on {bond.name}: {'; '.join(held.differences)}"
            lines.append(paint(told, "yellow"))
        case = "is dead" if bond.contact is Contact.SILENT else "died now"
        lines.append(f"if {bond.name} {case}: {bond.price.text}")
    return lines


def doubt_lines(report: KeeperReport) -> list[str]:
    """The members held here that may have to be taken over, and what is in the way."""
    names = {bond.partner: bond.name for bond in report.bonds}
    doubted = [held for held in report.helds if held.state in IN_DOUBT]
    return [paint(held_words(held, names.get(held.partner, held.partner)), "yellow") for held in doubted]


def held_words(held: HeldReport, owner: str) -> str:
    """One sentence on a member that is held here."""
    if held.commit is None:
        return f"{held.member} is {owner}'s, and nothing of it is held here yet: {held.reason}"
    behind = f", {amount(held.behind, 'step')} behind" if held.behind else ""
    known = f"{held.member} is {owner}'s: step {held.commit.step} held here{behind}, life {held.epoch}"
    return known if held.state is HolderState.BONDED else f"{known}; {held.state.value}: {held.reason}"


def terms_table(bond: BondReport) -> Table:
    """The terms of both sides, one row for each."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("term", "this host gives", f"{bond.name} gives"):
        table.add_column(column)
    for (term, mine), (_, theirs) in zip(terms_rows(bond.mine), terms_rows(bond.theirs), strict=True):
        table.add_row(term, mine, theirs)
    return table


def _contact_words(bond: BondReport) -> str:
    if bond.heard_age is None:
        return bond.contact.value
    return f"{bond.contact.value}, {ago(bond.heard_age)}"


def _there_cells(held: HeldThere) -> tuple[str, ...]:
    step = "nothing yet" if held.commit is None else f"step {held.commit.commit.step}"
    return held.member, "here", step, _count(held.behind), _GUARDS[held.guard]


def _here_cells(held: HeldReport) -> tuple[str, ...]:
    step = "nothing yet" if held.commit is None else f"step {held.commit.step}"
    behind = held.behind if held.behind or held.given_up else None  # What its owner has sealed since is not known.
    return held.member, "there", step, _count(behind), _GUARDS[held.guard]


def _count(steps: int | None) -> str:
    return "-" if steps is None else f"{steps:,}"


def _and(names: Sequence[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def _are(names: Sequence[str]) -> str:
    return "is" if len(names) == 1 else "are"
