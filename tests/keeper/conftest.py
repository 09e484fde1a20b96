"""Three keepers, as in the story."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from standin import StandIn


def _keeper(folder: Path, name: str) -> Iterator[StandIn]:
    keeper = StandIn(folder / name, name)
    yield keeper
    keeper.stop()


@pytest.fixture
def iruka(tmp_path: Path) -> Iterator[StandIn]:
    yield from _keeper(tmp_path, "iruka")


@pytest.fixture
def kakashi(tmp_path: Path) -> Iterator[StandIn]:
    yield from _keeper(tmp_path, "kakashi")


@pytest.fixture
def sakura(tmp_path: Path) -> Iterator[StandIn]:
    yield from _keeper(tmp_path, "sakura")
