"""Every Python block in the documentation is a whole program, and it runs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from pages import code_blocks, pages

BLOCKS = [block for page in pages() for block in code_blocks(page, "python")]


@pytest.mark.parametrize("code", [code for _, code in BLOCKS], ids=[name for name, _ in BLOCKS])
def test_a_block_runs(code: str, environment: dict[str, str], tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(code)
    done = subprocess.run(
        [sys.executable, program], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
