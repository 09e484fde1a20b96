"""Two hosts, and what dies on them: a program, a keeper, everything."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hosts import KEEPER, SHIM, Hosts
from stage import STEPS


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Hosts]:
    with Hosts(tmp_path, "iruka", "kakashi") as hosts:
        hosts.tie("iruka", "kakashi")
        yield hosts


def test_program_killed_lives_again_at_home(pair: Hosts) -> None:
    """The partner has nothing to do: the next life is at home, from what was sealed there."""
    iruka = pair["iruka"]
    pair.hold_at(20)
    iruka.run(STEPS)
    iruka.until_held(20)
    iruka.kill_walk()
    iruka.until_held(20, 2)
    pair.ends_well(iruka, STEPS)
    told = iruka.why()["lives"]
    assert [life["ending"]["kind"] for life in told] == ["signal", "finished"]
    assert told[1]["restored_from"] == "sealed"
    assert {line.host for line in pair.ledger()} == {"iruka"}
