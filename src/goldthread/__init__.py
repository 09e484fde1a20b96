"""goldthread keeps a running Python program alive through the death of its process or of its machine.

import goldthread

with goldthread.join("walk") as life:
    state = life.restore({"step": 0})
    while state["step"] < 1_000:
        state["step"] += 1
        life.commit(state)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from goldthread.errors import (
        CannotStore,
        CommitDamaged,
        DoesNotFit,
        Fenced,
        GoldthreadError,
        KeeperError,
        KeeperUnreachable,
        MemberTaken,
        NoRoom,
        NothingToRestore,
        OtherVersion,
        PartnerUnreachable,
        UsageError,
    )
    from goldthread.names import CommitId
    from goldthread.program.joining import join
    from goldthread.program.life import Life, RestoreWarning, Safe, UnsealedWarning
    from goldthread.program.writer import InexactWarning
    from goldthread.report import Ending, EndingKind
    from goldthread.state.kinds.recipes import register

__version__: str

__all__ = [
    "CannotStore",
    "CommitDamaged",
    "CommitId",
    "DoesNotFit",
    "Ending",
    "EndingKind",
    "Fenced",
    "GoldthreadError",
    "InexactWarning",
    "KeeperError",
    "KeeperUnreachable",
    "Life",
    "MemberTaken",
    "NoRoom",
    "NothingToRestore",
    "OtherVersion",
    "PartnerUnreachable",
    "RestoreWarning",
    "Safe",
    "UnsealedWarning",
    "UsageError",
    "__version__",
    "join",
    "register",
]

_PLACES = {
    "CommitId": "names",
    "Ending": "report",
    "EndingKind": "report",
    "InexactWarning": "program.writer",
    "Life": "program.life",
    "RestoreWarning": "program.life",
    "Safe": "program.life",
    "UnsealedWarning": "program.life",
    "join": "program.joining",
    "register": "state.kinds.recipes",
}
"""Where the public names are made; the errors are not named here."""


def __getattr__(name: str) -> Any:
    """Load a public name when it is first used: `import goldthread` alone costs next to nothing."""
    if name not in __all__:
        raise AttributeError(f"module 'goldthread' has no attribute {name!r}")
    from importlib import import_module

    if name == "__version__":
        value: Any = import_module("goldthread.version").VERSION
    else:
        value = getattr(import_module(f"goldthread.{_PLACES.get(name, 'errors')}"), name)
    globals()[name] = value
    return value
