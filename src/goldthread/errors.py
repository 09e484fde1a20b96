"""Every error that goldthread raises on purpose.

    GoldthreadError
    ├── UsageError            you: the call or the command cannot be right as it is
    │   ├── CannotStore       a leaf of the state that cannot be stored; names the place
    │   ├── DoesNotFit        the commit and the program's state differ; names the place and both sides
    │   └── MemberTaken       another living process has this name
    ├── KeeperError           the keeper of this host cannot be reached, or cannot do what was asked
    │   ├── KeeperUnreachable no keeper answers, and none could be started
    │   │   └── KeeperSilent  one lives and does not answer: it is stopped, or the host is too busy
    │   ├── OtherVersion      the keeper speaks another protocol
    │   └── NoRoom            the memory or the disk is too small; says how much is needed and free
    ├── PartnerError          they: what came from another keeper cannot be right, or that keeper refuses
    │   └── PartnerUnreachable it does not answer
    ├── LeaseUnavailable      the lease store does not answer in time
    ├── Fenced                a newer life of this member exists: stop now, never retry
    ├── CommitDamaged         the bytes of a commit are not those that were sealed
    └── NothingToRestore      a commit should be there, and none is whole

*You* erred is not *they* erred: a `UsageError` is mended by changing the program or the command, the others are
not. Each error carries a `hint` (what to do next) and says by `retryable` whether the same call may succeed later.
"""

from __future__ import annotations

__all__ = [
    "CannotStore",
    "CommitDamaged",
    "DoesNotFit",
    "Fenced",
    "GoldthreadError",
    "KeeperError",
    "KeeperSilent",
    "KeeperUnreachable",
    "LeaseUnavailable",
    "MemberTaken",
    "NoRoom",
    "NothingToRestore",
    "OtherVersion",
    "PartnerError",
    "PartnerUnreachable",
    "UsageError",
]


class GoldthreadError(Exception):
    """The root of the tree. `str(error)` is the sentence alone; `error.hint` says what to do."""

    retryable = False

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint
        if hint:
            self.add_note(f"hint: {hint}")


class UsageError(GoldthreadError, ValueError):
    """The call or the command cannot be right as it is."""


class CannotStore(UsageError):
    """A leaf of the state cannot be stored; nothing was written."""


class DoesNotFit(UsageError):
    """The commit and the state given to `restore` differ in a way that cannot be bridged."""


class MemberTaken(UsageError):
    """A living process already runs under this name."""


class KeeperError(GoldthreadError):
    """The keeper of this host cannot do what was asked."""

    retryable = True


class KeeperUnreachable(KeeperError):
    """No keeper answers, and none could be started."""


class KeeperSilent(KeeperUnreachable):
    """A keeper lives and does not answer, so no other can be started: it is stopped, or the host is too busy."""


class OtherVersion(KeeperError):
    """The keeper that runs here speaks another protocol."""

    retryable = False


class NoRoom(KeeperError):
    """Memory or disk is too small for what was asked; the last commits stay."""


class PartnerError(GoldthreadError):
    """What came from another keeper cannot be right, or that keeper refuses."""


class PartnerUnreachable(PartnerError):
    """The other keeper does not answer."""

    retryable = True


class LeaseUnavailable(GoldthreadError):
    """The lease store did not answer in time, or answered that it cannot. What was asked may still be done."""

    retryable = True


class Fenced(GoldthreadError):
    """A newer life of this member exists; this one must stop."""


class CommitDamaged(GoldthreadError):
    """The bytes of a commit are not those that were sealed."""


class NothingToRestore(GoldthreadError):
    """The member had commits, and none of them is whole any more."""
