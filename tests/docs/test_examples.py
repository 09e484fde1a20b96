"""The examples are short, run, and end the same whether they are killed or not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from pages import ROOT
from started import next_line, started

EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
LINES_BELOW = 60


def run_example(name: str, *arguments: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, ROOT / "examples" / name, *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_an_example_is_short(path: Path) -> None:
    assert len(path.read_text().splitlines()) < LINES_BELOW


@pytest.mark.parametrize(
    ("name", "steps"),
    [
        pytest.param("digits.py", "--steps=150"),
        pytest.param("sampling.py", "--draws=3000"),
        pytest.param("vectors.py", "--steps=300"),
        pytest.param("torch_char.py", "--steps=100", marks=pytest.mark.torch),
    ],
)
def test_an_example_that_is_killed_ends_as_if_nothing_had_happened(
    name: str, steps: str, environment: dict[str, str]
) -> None:
    """Killed at its first sign of life and started again, it says the same last line as an undisturbed run."""
    if name.startswith("torch"):
        pytest.importorskip("torch", reason="install torch, or run make test-torch")
    calm = run_example(name, steps, environment=environment)
    assert calm.returncode == 0, calm.stderr
    forget = [Path(sys.executable).with_name("goldthread"), "forget", "--yes", Path(name).stem.replace("_", "-")]
    subprocess.run(forget, env=environment, check=True, capture_output=True)

    with started([sys.executable, ROOT / "examples" / name, steps], environment) as program:
        assert next_line(program)
        program.kill()
    again = run_example(name, steps, environment=environment)
    assert again.returncode == 0, again.stderr
    assert again.stdout.splitlines()[-1] == calm.stdout.splitlines()[-1]
    assert len(again.stdout.splitlines()) < len(calm.stdout.splitlines()), "it began anew instead of going on"


def test_the_service_remembers_what_it_has_answered(environment: dict[str, str]) -> None:
    """Killed right after an answer and started again, it goes on counting from there."""

    def say(word: str, line: str) -> str:
        port = line.split("port ")[1].split(",")[0]
        return run_example("service.py", "--port", port, "--say", word, environment=environment).stdout.strip()

    command = [sys.executable, ROOT / "examples" / "service.py", "--port", "0"]
    with started(command, environment) as service:
        line = next_line(service)
        assert [say("pain", line), say("pain", line)] == ["1", "2"]
        service.kill()
    with started(command, environment) as service:
        line = next_line(service)
        assert "life 2" in line
        assert say("pain", line) == "3"
        assert say("", line) == ""
        assert service.wait() == 0
