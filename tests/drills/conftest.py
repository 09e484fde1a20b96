"""Each drill has a stage, or hosts, of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hosts import Hosts
from stage import Stage

from goldthread.local import Home


@pytest.fixture
def stage(home: Home, tmp_path: Path) -> Stage:
    return Stage(home, tmp_path)


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Hosts]:
    """Two hosts with a bond and a lease store."""
    with Hosts(tmp_path, "iruka", "kakashi") as hosts:
        hosts.tie("iruka", "kakashi")
        yield hosts


@pytest.fixture
def patient(tmp_path: Path) -> Iterator[Hosts]:
    """A pair that gives a keeper the time to come back, however busy this machine is."""
    with Hosts(tmp_path, "iruka", "kakashi", lease="20s", promise="20s") as hosts:
        hosts.tie("iruka", "kakashi")
        yield hosts
