"""`goldthread demo`: the promise, shown whole."""

from __future__ import annotations

import os
import signal
import tempfile
import time
from pathlib import Path

import msgspec
import pytest
from shell import Shell


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_demo_that_is_ended_leaves_nothing(shell: Shell, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    folder = Path(tempfile.mkdtemp(prefix="gt-"))
    monkeypatch.setenv("TMPDIR", str(folder))
    running = shell.start("demo")
    while not list(folder.glob("*/*/door")):
        assert running.process.poll() is None
        time.sleep(0.01)
    os.kill(running.process.pid, number)
    status, _, _ = running.end()
    assert status != 0
    assert list(folder.iterdir()) == []
    folder.rmdir()


@pytest.mark.long
def test_the_demo_ends_bit_identical_and_leaves_nothing(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process, a keeper, a copy, a host and its partner are lost in turn; only a lost host may cost steps."""
    folder = Path(tempfile.mkdtemp(prefix="gt-"))
    monkeypatch.setenv("TMPDIR", str(folder))
    done = shell("demo", "--json")
    assert done.returncode == 0, done.stderr
    outcome = msgspec.json.decode(done.stdout)
    assert outcome["bit_identical"] is True
    process, hang, keeper, damage, host, back, over, partner = (one["lost_steps"] for one in outcome["happenings"])
    assert process == hang == keeper == damage == back == over == partner == 0
    assert 0 <= host < 50
    assert list(folder.iterdir()) == []
    folder.rmdir()
