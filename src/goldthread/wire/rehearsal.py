"""What `goldthread check` asks of a program that it runs, and what the program writes down for it.

The script travels in the environment of the program; the facts go to a file that the script names, one line of JSON
for each commit and one for the end, so that a program that is killed leaves all but the line under way.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import msgspec

__all__ = ["SCRIPT", "CommitFact", "EndFact", "Fact", "Outsider", "PickleFact", "Script", "facts_in", "line_of"]

SCRIPT: Final = "GOLDTHREAD_REHEARSAL"
"""The variable of the environment that holds the script."""


class Script(msgspec.Struct, frozen=True):
    """How a program is run for `check`. Steps are the program's own."""

    facts: str
    """The file to which the facts go."""
    end: int
    """It ends at its first commit at or after this step ..."""
    commits_least: int = 0
    """... that is at least the so-manieth of the life ..."""
    far: int = 0
    """... and, where it shows epochs, stands behind the end of one; not waited for from this step on."""
    kills: tuple[int, ...] = ()
    """Each life in turn is killed right after its first commit at or after the step of its place."""
    ends_itself: bool = False
    """Undisturbed it ended by itself at `end`: so it may here, and is ended only where it goes further."""


class Outsider(msgspec.Struct, frozen=True):
    """Something in the program that looks like state, and is not in it."""

    name: str
    """As the program has it: `rng`, `model.cache`, `train() order`."""
    kind: str
    """`generator`, `optimizer`, `loader`, `iterator`, `array` or `tensor`."""
    text: str
    """What it is: `numpy Generator`, `float64 array (4,)`."""
    changed: bool | None
    """Whether it changed between the first commit and the end of the run; None where that cannot be seen."""
    print: str
    """The fingerprint of its contents at the end; empty where they cannot be seen."""


class PickleFact(msgspec.Struct, frozen=True):
    """A leaf that was stored as a pickle."""

    stable: str
    """The fingerprint of the pickle that `dumps(loads(p))`, repeated, comes to."""
    parts: dict[str, str]
    """What it holds, by place below it, in words."""


class CommitFact(msgspec.Struct, frozen=True, tag="commit"):
    """One commit, written down right after it was sealed."""

    life: int
    step: int
    parts: dict[str, str]
    """The fingerprints of the first parts of the state, by place, in their order."""
    noted: str | None
    """The fingerprint of all that was noted since the commit before; None where nothing was."""
    draws: dict[str, str]
    """The fingerprints of the global generators, by package."""
    epoch: int | None
    """The epoch that the program is in, where it shows that."""


class EndFact(msgspec.Struct, frozen=True, tag="end"):
    """The end of a run."""

    life: int
    outside: tuple[Outsider, ...]
    pickles: dict[str, PickleFact]
    """By place."""
    threads: int
    """Threads of the process at its end, those of libraries too."""
    generators: bool
    """Whether the global generators travel with the state."""
    of_itself: bool
    """Whether the program ended by itself, before the script would have ended it."""


Fact = CommitFact | EndFact

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Fact).decode


def line_of(fact: Fact) -> bytes:
    return _encode(fact) + b"\n"


def facts_in(text: bytes) -> Iterator[Fact]:
    """The facts of a run. A line that was cut off by a death is left out."""
    for line in text.splitlines():
        try:
            yield _decode(line)
        except msgspec.MsgspecError:
            continue
