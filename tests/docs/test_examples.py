"""The examples are short, run, and end the same whether they are killed or not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from pages import ROOT

EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
LINES_BELOW = 60


def run_example(name: str, *arguments: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, ROOT / "examples" / name, *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def run_and_kill(name: str, *arguments: str, environment: dict[str, str]) -> None:
    """Kill it with SIGKILL when its first line of output comes."""
    command = [sys.executable, ROOT / "examples" / name, *arguments]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout is not None
        assert program.stdout.readline()
        program.kill()


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_an_example_is_short(path: Path) -> None:
    assert len(path.read_text().splitlines()) < LINES_BELOW


@pytest.mark.parametrize(
    ("name", "steps"),
    [
        pytest.param("digits.py", "150"),
        pytest.param("torch_char.py", "80", marks=pytest.mark.torch),
    ],
)
def test_an_example_that_is_killed_ends_as_if_nothing_had_happened(
    name: str, steps: str, environment: dict[str, str]
) -> None:
    """Killed at its first sign of life and started again, it says the same last line as an undisturbed run."""
    calm = run_example(name, "--steps", steps, environment=environment)
    assert calm.returncode == 0, calm.stderr
    forget = [Path(sys.executable).with_name("goldthread"), "forget", "--yes", Path(name).stem.replace("_", "-")]
    subprocess.run(forget, env=environment, check=True, capture_output=True)

    run_and_kill(name, "--steps", steps, environment=environment)
    again = run_example(name, "--steps", steps, environment=environment)
    assert again.returncode == 0, again.stderr
    assert again.stdout.splitlines()[-1] == calm.stdout.splitlines()[-1]
    assert len(again.stdout.splitlines()) < len(calm.stdout.splitlines()), "it began anew instead of going on"
