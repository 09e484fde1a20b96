"""The command line as a user meets it: processes of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

COMMAND = str(Path(sys.executable).parent / "goldthread")


class Running:
    """A `goldthread ...` that runs, in a session of its own as a terminal would give it."""

    def __init__(
        self, folder: Path, arguments: tuple[str, ...], errors: Path, environment: dict[str, str] | None
    ) -> None:
        self._errors = errors
        with errors.open("wb") as said:
            self.process = subprocess.Popen(
                [COMMAND, *arguments],
                cwd=folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=said,
                text=True,
                start_new_session=True,
            )

    def line(self) -> str:
        """The next line of its standard output."""
        assert self.process.stdout is not None
        return self.process.stdout.readline()

    def signal(self, number: int) -> None:
        os.killpg(self.process.pid, number)

    def end(self) -> tuple[int, str, str]:
        """Wait for the end: its status, the rest of its output, and all that it said on standard error."""
        assert self.process.stdout is not None
        rest = self.process.stdout.read()
        return self.process.wait(), rest, self._errors.read_text()

    def kill(self) -> None:
        self.process.kill()
        self.end()


class Shell:
    """Runs `goldthread ...` in a folder, with this test's environment or one of its own."""

    def __init__(self, folder: Path, environment: dict[str, str] | None = None) -> None:
        self.folder = folder
        self._environment = environment
        self._started: list[Running] = []

    def __call__(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run to the end."""
        return subprocess.run(
            [COMMAND, *arguments],
            cwd=self.folder,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )

    def start(self, *arguments: str) -> Running:
        running = Running(self.folder, arguments, self.folder / f"stderr-{len(self._started)}", self._environment)
        self._started.append(running)
        return running

    def write(self, name: str, program: str) -> tuple[str, str]:
        """Write a Python program and return the words that run it."""
        (self.folder / name).write_text(program)
        return sys.executable, name

    def close(self) -> None:
        for one in self._started:
            one.kill()
