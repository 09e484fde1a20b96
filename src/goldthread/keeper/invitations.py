"""Invitations that this keeper has given: one use, ten minutes, and nothing kept of the secret but its hash."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from goldthread.errors import PartnerError, UsageError
from goldthread.names import Instant, KeeperId, seconds
from goldthread.terms import Terms
from goldthread.wire.invitation import SECRET_BYTES

__all__ = ["Given", "Invitations"]

_GOOD_FOR: Final = seconds(600)
_WRONG_MOST: Final = 5
_OPEN_MOST: Final = 16
_KEPT_MOST: Final = 64
_AGAIN: Final = "ask for a new code: goldthread bond invite"


@dataclass(slots=True)
class Given:
    """One invitation."""

    digest: bytes
    terms: Terms
    """What the inviter gives."""
    until: Instant
    used_by: KeeperId | None = None
    withdrawn: bool = False


class Invitations:
    """`clock` is the boot clock."""

    def __init__(self, clock: Callable[[], Instant]) -> None:
        self._clock = clock
        self._given: list[Given] = []
        """Oldest first; those that are over are kept for a while, so that a late guest is told why."""
        self._wrong = 0

    @property
    def are_open(self) -> bool:
        """Whether a stranger may come in at all."""
        return any(self._is_open(given) for given in self._given)

    def issue(self, terms: Terms) -> bytes:
        """A new secret, which is known to nobody else and not kept."""
        if sum(map(self._is_open, self._given)) >= _OPEN_MOST:
            raise UsageError(
                f"{_OPEN_MOST} invitations are open already",
                hint="use one of them, or wait: each ends after ten minutes",
            )
        secret = secrets.token_bytes(SECRET_BYTES)
        self._given.append(Given(_digest(secret), terms, Instant(self._clock() + _GOOD_FOR)))
        del self._given[:-_KEPT_MOST]
        self._wrong = 0
        return secret

    def find(self, secret: bytes, guest: KeeperId) -> Given:
        """The invitation with this secret, which is open or was used by this very guest.

        Raises `PartnerError` that says why there is none; too many wrong guesses withdraw all that are open.
        """
        digest = _digest(secret)
        found = None
        for given in self._given:  # To the end, so that the time tells nothing.
            if hmac.compare_digest(given.digest, digest):
                found = given
        if found is None:
            self._count_wrong()
            raise PartnerError("the invitation code is wrong, or its keeper was started anew since", hint=_AGAIN)
        if found.used_by == guest:
            return found
        if found.used_by is not None:
            raise PartnerError("the invitation was used already", hint=_AGAIN)
        if found.withdrawn:
            raise PartnerError(f"the invitation was withdrawn after {_WRONG_MOST} wrong codes", hint=_AGAIN)
        if not self._is_open(found):
            raise PartnerError("the invitation has expired: it was good for ten minutes", hint=_AGAIN)
        return found

    def _count_wrong(self) -> None:
        self._wrong += 1
        if self._wrong >= _WRONG_MOST:
            for given in self._given:
                given.withdrawn = True

    def _is_open(self, given: Given) -> bool:
        return given.used_by is None and not given.withdrawn and self._clock() < given.until


def _digest(secret: bytes) -> bytes:
    return hashlib.sha256(secret).digest()
