"""`goldthread why`: each life of a member, why it ended, what that cost, and how the next one came to be.

It reads the journal, so it works while no keeper runs; how far a living one has come is asked of the keeper.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import Final

import click
import msgspec

from goldthread.cli.arguments import MEMBER, json_option
from goldthread.cli.asking import report_of
from goldthread.cli.screen import amount, lasting, paint, print_json
from goldthread.errors import KeeperUnreachable, UsageError
from goldthread.keeper.journal import Journal
from goldthread.local import Home, connect
from goldthread.names import MemberName, Span, seconds
from goldthread.report import AlarmReport, EndingKind, LifeReport, PhaseTime

__all__ = ["note_lines", "notes_of", "tell_life", "why"]

_BAR_COLUMNS: Final = 30
_NOTES_SHOWN: Final = 50
_PEACEFUL: Final = frozenset({EndingKind.FINISHED, EndingKind.STOPPED, EndingKind.HANDED_OVER})
_UNSEEN: Final = frozenset({EndingKind.HOST_LOST, EndingKind.HOST_RESTARTED, EndingKind.FENCED, EndingKind.UNKNOWN})
"""It may have sealed more than its keeper, or the one that took it over, had noted."""


@click.command(epilog="Example: goldthread why train --life 3")
@click.argument("member", type=MEMBER)
@click.option("--life", "epoch", type=click.IntRange(min=1), help="Only this life.")
@json_option
def why(member: MemberName, epoch: int | None, as_json: bool) -> int:
    """Tell each life of MEMBER: from where it was restored, the step it reached, why it ended, what was lost.

    What was noted meanwhile (a copy that was mended and from where, a holder that was lost) stands with the life in
    which it happened. No keeper is needed.
    """
    home = Home.default()
    journal = Journal.look(home.journal)
    lives = [] if journal is None else journal.lives(member)
    notes = [] if journal is None else journal.notes(member, _NOTES_SHOWN)
    if journal is not None:
        journal.close()
    lives = [_so_far(home, life) if life.ending is None else life for life in lives]
    if not lives:
        raise UsageError(f"no life of {member} is known in {home.path}", hint="goldthread status lists the members")
    chosen = [life for life in lives if epoch in (None, life.epoch)]
    if not chosen:
        raise UsageError(
            f"{member} has no life {epoch}", hint=f"it had the lives {lives[0].epoch} to {lives[-1].epoch}"
        )
    if as_json:
        print_json({"member": member, "lives": chosen, "notes": notes})
        return 0
    click.echo(paint(headline(member, lives), "bold"))
    for life in chosen:
        click.echo("")
        for line in (*tell_life(life), *note_lines(notes_of(life, lives, notes))):
            click.echo(line)
    return 0


def _so_far(home: Home, life: LifeReport) -> LifeReport:
    """A life that may be going on: the journal hears of it again when it ends, the keeper knows it now."""
    try:
        with connect(home, "command") as channel:
            report = report_of(channel)
    except KeeperUnreachable:
        return life
    found = next((one for one in report.members if one.name == life.member and one.epoch == life.epoch), None)
    if found is None or found.sealed is None or found.sealed.commit.epoch != life.epoch:
        return life
    return msgspec.structs.replace(life, reached=found.sealed.commit.step)


def headline(member: MemberName, lives: Sequence[LifeReport]) -> str:
    """`walk: 4 lives, 2 of them ended by a signal, 1 by a hang; the newest reached step 412`."""
    causes: dict[str, int] = {}
    for life in lives:
        if life.ending is not None and life.ending.kind not in _PEACEFUL:
            causes[life.ending.kind.value] = causes.get(life.ending.kind.value, 0) + 1
    deaths = ", ".join(f"{count} x {cause}" for cause, count in causes.items())
    newest = lives[-1]
    state = "reached" if newest.ending else "is at"
    return (
        f"{member}: {amount(len(lives), 'life').replace('lifes', 'lives')}"
        + (f" ({deaths})" if deaths else "")
        + f"; the newest {state} {_reached(newest)}"
    )


def tell_life(life: LifeReport) -> list[str]:
    """A life in lines: its beginning, its phases, its end."""
    began = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(life.began)) if life.began else "at an unknown time"
    process = f", process {life.pid}" if life.pid else ""
    lines = [paint(f"life {life.epoch}", "cyan") + f"  began {began}{process}"]
    if life.restored_reason:
        lines.append(f"  from    {life.restored_reason}")
    lines += _phase_lines(life.phases)
    so_far = " so far" if life.ending is None else ""
    lines.append(f"  reached {_reached(life)}{so_far}")
    if life.ending is None:
        lines.append("  ended   not yet, as far as is known")
        return lines
    after = f" after {lasting(seconds(max(0.0, life.ended - life.began)))}" if life.ended and life.began else ""
    colour = "green" if life.ending.kind in _PEACEFUL else "red"
    kind, text = life.ending.kind.value, life.ending.text
    if text.startswith(kind):
        lines.append(f"  ended   {paint(text, colour)}{after}")
    else:
        lines.append(f"  ended   {paint(kind, colour)}{after}: {text}")
    lines += [f"          {line}" for line in life.ending.detail.splitlines()]
    if life.lost:
        lines.append(f"  lost    {life.lost}")
    return lines


def _reached(life: LifeReport) -> str:
    is_seen = life.ending is None or life.ending.kind not in _UNSEEN
    if life.reached is None:
        return "no commit" if is_seen else "no commit that is known"
    return f"step {life.reached}" if is_seen else f"step {life.reached}, or a later one"


def notes_of(life: LifeReport, lives: Sequence[LifeReport], notes: Sequence[AlarmReport]) -> list[AlarmReport]:
    """What was noted from the beginning of a life to that of the next; with the first life also what came before.

    A life that another host ran, of which nobody here knows when it began, has none: they stand with the one before.
    """
    if not life.began and life.epoch > lives[0].epoch:
        return []
    since = life.began if life.epoch > lives[0].epoch else 0.0
    until = min((other.began for other in lives if other.epoch > life.epoch and other.began), default=math.inf)
    return [note for note in notes if since <= note.at < until]


def note_lines(notes: Sequence[AlarmReport]) -> list[str]:
    """Each note with the time of its day."""
    lines = [f"          {time.strftime('%H:%M:%S', time.localtime(note.at))} {note.text}" for note in notes]
    return ["  noted " + lines[0][8:], *lines[1:]] if lines else []


def _phase_lines(phases: Sequence[PhaseTime]) -> list[str]:
    """Each phase with its time and a bar of its share."""
    if not phases:
        return []
    whole = Span(sum(phase.span for phase in phases))
    width = max(len(phase.phase) for phase in phases)
    rows = [(phase.phase, phase.span, _bar(phase.span, whole)) for phase in phases] + [("all", whole, "")]
    lines = [f"          {phase:<{width}} {lasting(span):>8} {bar}".rstrip() for phase, span, bar in rows]
    return ["  took" + lines[0][6:], *lines[1:]]


def _bar(part: int, whole: int) -> str:
    return "█" * round(_BAR_COLUMNS * part / whole) if whole else ""
