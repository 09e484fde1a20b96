"""The small frozen types that everything else is named by."""

from __future__ import annotations

from enum import StrEnum
from typing import NewType

import msgspec

from goldthread.errors import UsageError

__all__ = [
    "CommitId",
    "Epoch",
    "Instant",
    "KeeperId",
    "Level",
    "MemberName",
    "Span",
    "Step",
    "member_name",
    "milliseconds",
    "seconds",
]

MemberName = NewType("MemberName", str)
"""The lasting identity of a program, across all its lives. Made by `member_name` only."""

Epoch = NewType("Epoch", int)
"""The number of a life of a member: 1, 2, 3 ... It never decreases; 0 stands for "no life yet"."""

KeeperId = NewType("KeeperId", str)
"""The lasting identity of a keeper: 32 hexadecimal digits, drawn when its home is made. Its key proves it, and may
be changed; the identity stays."""

Step = NewType("Step", int)
"""How far the program has come, in its own counting; zero or more."""

Instant = NewType("Instant", int)
"""A point on the clock of the host (`clock.py`), in nanoseconds. Comparable between processes of one boot."""

Span = NewType("Span", int)
"""A length of time in nanoseconds."""

_NAME_SIGNS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")
_NAME_LENGTH = 100


def seconds(count: float) -> Span:
    return Span(round(count * 1_000_000_000))


def milliseconds(count: float) -> Span:
    return Span(round(count * 1_000_000))


def member_name(text: str) -> MemberName:
    """Check a member's name: 1 to 100 of `a-z A-Z 0-9 . _ -`, beginning with a letter or a digit.

    Names become file names, so nothing else is let through. Raises `UsageError` with a name that would do.
    """
    fits = 0 < len(text) <= _NAME_LENGTH and text[0].isalnum() and set(text) <= _NAME_SIGNS
    if fits:
        return MemberName(text)
    proposal = "".join(sign if sign in _NAME_SIGNS else "-" for sign in text).strip(".-_")[:_NAME_LENGTH]
    raise UsageError(
        f"{text!r} cannot name a member",
        hint="a name has 1 to 100 of the signs a-z A-Z 0-9 . _ - and begins with a letter or a digit"
        + (f'; for instance "{proposal}"' if proposal else ""),
    )


class CommitId(msgspec.Struct, frozen=True, order=True):
    """One whole state of a member. The order is the order in which commits were made: `sequence` counts the
    commits of one life from 1, and within a life steps never go backwards."""

    epoch: Epoch
    step: Step
    sequence: int

    def __str__(self) -> str:
        return f"step {self.step} of life {self.epoch}"


class Level(StrEnum):
    """Where a commit is whole."""

    SEALED = "sealed"
    """In a slot, in the memory of its owner."""
    HELD = "held"
    """In the memory of the holder, on another host."""
    DEPOSITED = "deposited"
    """In the vault."""
