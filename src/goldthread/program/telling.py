"""What the user of a program is told beside its own output."""

from __future__ import annotations

import sys
from contextlib import suppress

__all__ = ["tell"]


def tell(sentence: str) -> None:
    """One line to standard error. A program that has none, or whose reader has left, goes on all the same."""
    if sys.stderr is not None:
        with suppress(OSError, ValueError):
            sys.stderr.write(f"goldthread: {sentence}\n")
