"""The limit of open files. A keeper needs about ten for each member, and the usual limit of 1024 is made for programs
that wait by `select`; so a keeper takes what it may have, and programs get what their user gave."""

from __future__ import annotations

import resource
from contextlib import suppress
from typing import Final

__all__ = ["give_usual_limit", "raise_limit"]

_GIVEN: Final = resource.getrlimit(resource.RLIMIT_NOFILE)
"""What this process was started with."""


def raise_limit() -> None:
    """Let this process open as many files as it may."""
    _, hard = _GIVEN
    with suppress(OSError, ValueError):  # Some systems have a lower bound of their own; the given one stays then.
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def give_usual_limit(pid: int) -> None:
    """Let a child open as many files as this process could when it was started, and so its children."""
    with suppress(OSError):
        resource.prlimit(pid, resource.RLIMIT_NOFILE, _GIVEN)
