"""The checker of drills can fail: a ledger of each kind that must not be."""

from __future__ import annotations

import pytest
from ledger import Line, check_ledger

BEGINS = Line("begins", "iruka", 1, 0, 0)
PASSES = Line("passes", "iruka", 1, 1, 1)


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ([BEGINS, PASSES, Line("begins", "kakashi", 2, 1, 1), Line("passes", "iruka", 1, 2, 1)], "two lives"),
        ([BEGINS, PASSES, Line("begins", "kakashi", 2, 0, 0)], "is lost"),
        ([BEGINS, PASSES, Line("begins", "iruka", 1, 1, 0)], "began twice"),
        ([BEGINS, PASSES, Line("passes", "kakashi", 1, 2, 1)], "on two hosts"),
        ([BEGINS, PASSES, Line("passes", "iruka", 1, 1, 1)], "made twice"),
        ([BEGINS, PASSES, Line("passes", "iruka", 1, 3, 1)], "left out"),
        ([PASSES], "never began"),
    ],
)
def test_what_must_not_be_is_seen(lines: list[Line], said: str) -> None:
    with pytest.raises(AssertionError, match=said):
        check_ledger(lines)


def test_a_takeover_from_the_step_that_was_held_is_well() -> None:
    check_ledger([BEGINS, PASSES, Line("begins", "kakashi", 2, 1, 0), Line("passes", "kakashi", 2, 2, 0)])
