"""A reader's shell."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from goldthread.local import Home


@pytest.fixture
def environment(home: Home) -> dict[str, str]:
    """Its variables: a fresh home, and the `python` and `goldthread` of this installation."""
    commands = str(Path(sys.executable).parent)
    return os.environ | {"PATH": f"{commands}{os.pathsep}{os.environ['PATH']}", "NO_COLOR": "1"}
