"""Links inside the documentation lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pages import ROOT, pages
from transitions import TABLES, Table

LINK = re.compile(r"\]\(([^)\s]+)\)")


def anchors(page: Path) -> set[str]:
    """The anchors that a reader's browser makes of the headings."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files_and_headings_that_are_there(page: Path) -> None:
    broken = []
    for link in LINK.findall(page.read_text()):
        if re.match(r"[a-z]+:", link):
            continue
        file, _, anchor = link.partition("#")
        target = (page.parent / file).resolve() if file else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert broken == []


def test_pages_name_only_tests_that_are_there() -> None:
    """A promise names the test that proves it, as a link from the test's name to its file."""
    missing = []
    for page in pages():
        for name, file in re.findall(r"\[`?(test_\w+)`?\]\(([^)]+\.py)\)", page.read_text()):
            path = page.parent / file
            if not path.exists() or not re.search(rf"\bdef {name}\b", path.read_text()):
                missing.append(f"{page.name}: {name} in {file}")
    assert missing == []


def test_the_architecture_names_only_files_that_are_there() -> None:
    """`keeper/shim.py` in ARCHITECTURE.md is a file of the package."""
    named = re.findall(r"`([a-z]+/[\w/]+\.py)`", (ROOT / "ARCHITECTURE.md").read_text())
    assert named
    assert [file for file in named if not (ROOT / "src" / "goldthread" / file).exists()] == []


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_the_tables_of_states_are_those_of_the_rules(table: Table) -> None:
    """They are drawn from the transitions: `python tests/docs/transitions.py` draws them anew."""
    assert set(table.transitions) == set(table.states)
    assert table.written() == table.drawn()
