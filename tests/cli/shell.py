"""The command line as a user meets it: processes of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import IO

COMMAND = str(Path(sys.executable).parent / "goldthread")


class Shell:
    """Runs `goldthread ...` in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.started: list[subprocess.Popen[str]] = []

    def __call__(self, *arguments: str, typed: str = "") -> subprocess.CompletedProcess[str]:
        """Run to the end."""
        return subprocess.run(
            [COMMAND, *arguments], cwd=self.folder, input=typed, capture_output=True, text=True, check=False
        )

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start, in a session of its own as a terminal would give it."""
        started = subprocess.Popen(
            [COMMAND, *arguments],
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.started.append(started)
        return started

    def write(self, name: str, program: str) -> tuple[str, str]:
        """Write a Python program and return the words that run it."""
        (self.folder / name).write_text(program)
        return sys.executable, name

    def end(self) -> None:
        for one in self.started:
            one.kill()
            one.communicate()


def line_of(stream: IO[str] | None) -> str:
    assert stream is not None
    return stream.readline()
