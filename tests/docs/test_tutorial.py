"""The tutorial, followed to the letter by a reader who types fast."""

from __future__ import annotations

import shlex
import subprocess
from contextlib import AbstractContextManager
from pathlib import Path

from pages import ROOT, code_blocks
from started import next_line, started

TUTORIAL = ROOT / "docs" / "tutorial.md"
COMMANDS = [
    line.removeprefix("$ ")
    for _, block in code_blocks(TUTORIAL, "console")
    for line in block.splitlines()
    if line.startswith("$ ")
]


class Reader:
    """Types commands of the tutorial, and only those."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self._folder = folder
        self._environment = environment
        self.unread = list(COMMANDS)

    def begin(self, command: str) -> AbstractContextManager[subprocess.Popen[str]]:
        return started(self._read(command), self._environment, self._folder)

    def type(self, command: str) -> str:
        done = subprocess.run(
            self._read(command),
            cwd=self._folder,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def _read(self, command: str) -> list[str]:
        assert command in COMMANDS, "the tutorial does not say this"
        if command in self.unread:
            self.unread.remove(command)
        return shlex.split(command)


def test_the_tutorial_does_what_it_says(tmp_path: Path, environment: dict[str, str]) -> None:
    """A program is run, killed, explained, begun anew, taken back, checked and forgotten."""
    ((_, program),) = code_blocks(TUTORIAL, "python")
    (tmp_path / "walk.py").write_text(program)
    reader = Reader(tmp_path, environment)

    with reader.begin("goldthread run -- python walk.py") as running:
        assert next_line(running) == "life 1 begins at step 0"
        assert "walk" in reader.type("goldthread status")
        reader.type("goldthread drill walk kill")
        assert next_line(running).startswith("life 2 begins at step ")
        last = next_line(running)
        assert last.startswith("step 200, spread ")
        assert running.wait() == 0
    assert "SIGKILL" in reader.type("goldthread why walk")

    with reader.begin("goldthread run --fresh -- python walk.py") as running:
        assert next_line(running) == "life 3 begins at step 0"
        assert next_line(running) == last, "killed or not, it ends the same"
        assert running.wait() == 0
    reader.type("goldthread rollback walk --step 100")
    with reader.begin("goldthread run -- python walk.py") as running:
        assert next_line(running) == "life 4 begins at step 100"
        assert next_line(running) == last, "taken back or not, it ends the same"

    assert "identical" in reader.type("goldthread check -- python walk.py")
    reader.type("goldthread export walk walk.safetensors")
    reader.type("goldthread forget walk --yes")
    assert reader.unread == []
