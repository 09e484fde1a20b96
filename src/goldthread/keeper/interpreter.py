"""The Python that runs a program: which it is, and what is installed in it. It is asked itself, in a short process."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path, PurePath
from typing import Final

import msgspec

from goldthread.wire.bundle import Interpreter

__all__ = ["describe", "interpreter_of", "is_python"]

_ANSWER_SECONDS: Final = 20.0
_SHEBANG_BYTES: Final = 256
_QUESTION: Final = """
import json, platform, sys
try:
    from importlib.metadata import distributions
    found = {d.metadata["Name"]: d.version for d in distributions()}
except ImportError:
    found = {}
print(json.dumps({
    "path": sys.executable,
    "implementation": platform.python_implementation(),
    "version": platform.python_version(),
    "platform": sys.platform + " " + platform.machine(),
    "packages": {str(name): str(found[name]) for name in found if name},
}))
"""


def is_python(program: str) -> bool:
    """Whether a program is an interpreter, by its name."""
    return PurePath(program).name.startswith(("python", "pypy"))


def interpreter_of(program: str, environment: Mapping[str, str]) -> str | None:
    """The interpreter behind a program: itself, or the one that its first line names. None where it is not Python."""
    if is_python(program):
        return program
    try:
        with Path(program).open("rb") as file:
            first = file.read(_SHEBANG_BYTES).partition(b"\n")[0].decode()
    except (OSError, UnicodeDecodeError):
        return None
    words = first.removeprefix("#!").split() if first.startswith("#!") else []
    if words and PurePath(words[0]).name == "env":
        words = words[1:]
    return shutil.which(words[0], path=environment.get("PATH")) if words and is_python(words[0]) else None


def describe(program: str, environment: Mapping[str, str]) -> Interpreter | None:
    """What an interpreter says of itself where a program runs in it with these variables; None where it says nothing.

    It may take a good part of a second: for a worker thread.
    """
    try:
        # At the root, so that no file in the user's folder stands in for a module of the standard library.
        answer = subprocess.run(
            [program, "-c", _QUESTION],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=os.sep,
            env=dict(environment),
            timeout=_ANSWER_SECONDS,
            check=True,
        )
        return msgspec.json.decode(answer.stdout, type=Interpreter)
    except (OSError, ValueError, subprocess.SubprocessError, msgspec.MsgspecError):
        return None
