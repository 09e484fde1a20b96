"""`goldthread demo`: the promise, shown whole."""

from __future__ import annotations

import tempfile
from pathlib import Path

import msgspec
import pytest
from shell import Shell


@pytest.mark.long
def test_the_demo_ends_bit_identical_and_leaves_nothing(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three kills, a hang, a dead keeper and flipped bits; only the flipped commit costs a step."""
    folder = Path(tempfile.mkdtemp(prefix="gt-"))
    monkeypatch.setenv("TMPDIR", str(folder))
    done = shell("demo", "--json")
    assert done.returncode == 0, done.stderr
    outcome = msgspec.json.decode(done.stdout)
    assert outcome["bit_identical"] is True
    assert [one["lost_steps"] for one in outcome["happenings"]] == [0, 0, 0, 0, 1, 0]
    assert list(folder.iterdir()) == []
    folder.rmdir()
