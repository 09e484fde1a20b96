"""The commands that the documentation tells a reader to type are there."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest
from pages import ROOT, pages

from goldthread.cli.app import app

TYPED = re.compile(r"^(?:\w+)?\$ (goldthread .*?)(?:  #.*)?$", re.MULTILINE)


def refusal(words: list[str]) -> str:
    """What the command line has against these words, short of doing what they say."""
    group: click.Command = app
    context = click.Context(app, info_name="goldthread")
    while isinstance(group, click.Group):
        if not words:
            return f"{context.command_path} wants a command"
        name = words.pop(0)
        found = group.get_command(context, name)
        if found is None:
            return f"{context.command_path} knows no {name}"
        group, context = found, click.Context(found, parent=context, info_name=name)
    try:
        group.make_context(context.info_name, words, parent=context.parent)
    except click.ClickException as error:
        return f"{context.command_path}: {error.format_message()}"
    return ""


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_what_a_reader_types_is_understood(page: Path) -> None:
    typed = [command.split("|")[0] for command in TYPED.findall(page.read_text())]
    refusals = {command: refusal(shlex.split(command)[1:]) for command in typed}
    assert {command: why for command, why in refusals.items() if why} == {}


def test_a_command_that_is_not_there_is_noticed() -> None:
    assert refusal(["bond", "invent"]) == "goldthread bond knows no invent"
    assert refusal(["bond", "end"]).startswith("goldthread bond end: Missing argument")
