"""A home of its own for whatever the documentation runs."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def environment(tmp_path: Path) -> Iterator[dict[str, str]]:
    """The environment for a reader's shell: a fresh home, and `python` and `goldthread` of this installation."""
    commands = Path(sys.executable).parent
    variables = os.environ | {
        "GOLDTHREAD_HOME": str(tmp_path / "home"),
        "PATH": f"{commands}{os.pathsep}{os.environ['PATH']}",
        "NO_COLOR": "1",
    }
    yield variables
    stop = [commands / "goldthread", "keeper", "stop", "--members"]
    subprocess.run(stop, env=variables, capture_output=True, check=False)
