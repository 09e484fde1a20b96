"""What tests of the whole share: a home of their own, which leaves nothing behind."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
from processes import end_processes_of

from goldthread.local import Home

REAPER = Path(__file__).with_name("reaper.py")

# No test asserts a time: a busy machine may take long over one example.
hypothesis.settings.register_profile("unhurried", deadline=None)
hypothesis.settings.load_profile("unhurried")


@pytest.fixture(scope="session", autouse=True)
def reaper(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Kills what this run started in its folder, also when the run itself is killed."""
    folder = tmp_path_factory.getbasetemp()
    with subprocess.Popen([sys.executable, REAPER, folder], stdin=subprocess.PIPE, start_new_session=True):
        yield


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Home]:
    """A keeper's home with a space in its path. Whatever was started in it is killed at the end."""
    place = Home(tmp_path / "a home")
    monkeypatch.setenv("GOLDTHREAD_HOME", str(place.path))
    for name in ("GOLDTHREAD_MEMBER", "GOLDTHREAD_EPOCH"):
        monkeypatch.delenv(name, raising=False)
    try:
        yield place
    finally:
        end_processes_of(place)
