"""Each drill has a stage of its own."""

from __future__ import annotations

from pathlib import Path

import pytest
from stage import Stage

from goldthread.local import Home


@pytest.fixture
def stage(home: Home, tmp_path: Path) -> Stage:
    return Stage(home, tmp_path)
