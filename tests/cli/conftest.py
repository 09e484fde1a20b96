"""A user's shell."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from shell import Shell

from goldthread.local import Home


@pytest.fixture
def shell(home: Home, tmp_path: Path) -> Iterator[Shell]:
    folder = tmp_path / "a folder"
    folder.mkdir()
    shell = Shell(folder)
    try:
        yield shell
    finally:
        shell.close()
