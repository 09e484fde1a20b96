"""What a walk's lives wrote of themselves, and whether it can be true of a member that lives once.

All lives write to one file, each line in one piece, so the order of lines is the order of events, on whatever host.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

__all__ = ["Line", "check_ledger", "read_ledger"]


@dataclass(frozen=True)
class Line:
    what: str
    """`begins`: a life goes on from `step`. `passes`: `commit` returned for `step`."""
    host: str
    epoch: int
    step: int
    held: int
    """The newest step that the life knew to be held then; 0 where none was."""


def read_ledger(path: Path) -> list[Line]:
    lines = path.read_text().splitlines() if path.exists() else []
    return [Line(what, host, *map(int, numbers)) for what, host, *numbers in map(str.split, lines)]


def check_ledger(lines: list[Line], *, memory_lost: bool = False) -> None:
    """One life at a time, each on one host, no step twice in one life, and each life goes on from what was held before
    it or later; unless the memory of both hosts was lost."""
    held = 0
    for before, line in zip([None, *lines], lines, strict=False):
        if before is None or line.epoch != before.epoch:
            assert before is None or line.epoch > before.epoch, f"two lives: {line} after {before}"
            assert line.what == "begins", f"a life that never began: {line}"
            assert memory_lost or line.step >= held, f"step {held} was held, and is lost: {line} after {before}"
        else:
            assert line.what == "passes", f"one life that began twice: {line} after {before}"
            assert line.host == before.host, f"one life on two hosts: {line} after {before}"
            assert line.step == before.step + 1, f"a step was left out or made twice: {line} after {before}"
        held = max(held, line.held)
