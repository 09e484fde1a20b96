"""A reader's shell."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from goldthread.local import Home


@pytest.fixture
def environment(home: Home) -> dict[str, str]:
    """Its variables: a fresh home, and the `python` and `goldthread` of this installation. torch has one thread: on a
    busy host two of them spend minutes in waiting for each other."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return os.environ | {"PATH": path, "NO_COLOR": "1", "OMP_NUM_THREADS": "1"}
