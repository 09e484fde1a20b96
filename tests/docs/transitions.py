"""The table of phases in docs/concepts/death.md, drawn from the rules: `python tests/docs/transitions.py` writes it."""

from __future__ import annotations

from pages import ROOT

from goldthread.report import Phase
from goldthread.rules.member import TRANSITIONS

__all__ = ["PAGE", "drawn", "written"]

PAGE = ROOT / "docs" / "concepts" / "death.md"
BEGIN, END = "<!-- phases: begin -->\n", "<!-- phases: end -->"


def drawn() -> str:
    lines = ["| phase | may be followed by |", "|---|---|"]
    for phase in Phase:
        after = [following.value for following in Phase if following in TRANSITIONS.get(phase, ())]
        lines.append(f"| {phase.value} | {', '.join(after)} |")
    return "\n".join(lines) + "\n"


def written() -> str:
    return PAGE.read_text().split(BEGIN)[1].split(END)[0]


if __name__ == "__main__":
    before, after = PAGE.read_text().split(BEGIN)
    PAGE.write_text(before + BEGIN + drawn() + END + after.split(END)[1])
