"""The tables of states in docs/concepts, drawn from the rules: `python tests/docs/transitions.py` writes them."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import Any

import msgspec
from pages import ROOT

from goldthread.report import HolderState, OwnerState, Phase
from goldthread.rules.bond_states import HOLDER_TRANSITIONS, OWNER_TRANSITIONS
from goldthread.rules.member import TRANSITIONS

__all__ = ["TABLES", "Table"]

CONCEPTS = ROOT / "docs" / "concepts"


class Table(msgspec.Struct, frozen=True):
    """One table on one page."""

    page: Path
    name: str
    head: str
    states: type[Enum]
    transitions: Mapping[Any, frozenset[Any]]

    @property
    def marks(self) -> tuple[str, str]:
        return f"<!-- {self.name}: begin -->\n", f"<!-- {self.name}: end -->"

    def drawn(self) -> str:
        lines = [f"| {self.head} | may be followed by |", "|---|---|"]
        for state in self.states:
            after = [following.value for following in self.states if following in self.transitions.get(state, ())]
            lines.append(f"| {state.value} | {', '.join(after)} |")
        return "\n".join(lines) + "\n"

    def written(self) -> str:
        begin, end = self.marks
        return self.page.read_text().split(begin)[1].split(end)[0]

    def write(self) -> None:
        begin, end = self.marks
        before, after = self.page.read_text().split(begin)
        self.page.write_text(before + begin + self.drawn() + end + after.split(end)[1])


TABLES = (
    Table(CONCEPTS / "death.md", "phases", "phase", Phase, TRANSITIONS),
    Table(CONCEPTS / "fence.md", "owner", "at the owner", OwnerState, OWNER_TRANSITIONS),
    Table(CONCEPTS / "fence.md", "holder", "at the holder", HolderState, HOLDER_TRANSITIONS),
)


if __name__ == "__main__":
    for table in TABLES:
        table.write()
