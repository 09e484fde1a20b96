"""The secret of a circle: by it keepers of the same people know each other before they are bonded.

    circle = "K4XD...7QWA"

It is never sent. After the handshake each side shows HMAC-SHA256 over its role and the fingerprints of both keys, the
caller's first: a proof shown to one keeper is worth nothing to another, nor on a link with somebody in between.
Whoever was shown one can try secrets against it at leisure, so a secret has at least 128 bits and is drawn by lot.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from enum import Enum
from typing import Final

from goldthread.errors import UsageError

__all__ = ["CIRCLE_BYTES", "Role", "is_proof", "prove", "read_circle", "write_circle"]

CIRCLE_BYTES: Final = 20
"""Of a fresh secret: 32 signs without a rest."""
_BYTES_LEAST: Final = 16
_BYTES_MOST: Final = 64
_DIFFERENT_LEAST: Final = 8
"""Sixteen bytes drawn by lot have fewer different ones less than once in 10**8 times."""
_HINT: Final = "`goldthread bond circle` prints a fresh one, the same for each host"


class Role(Enum):
    CALLER = b"caller"
    LISTENER = b"listener"


def write_circle(secret: bytes) -> str:
    return base64.b32encode(secret).decode().rstrip("=")


def read_circle(text: str) -> bytes:
    """Raises `UsageError` for what is no secret, or one that can be guessed. The text itself is never repeated."""
    signs = "".join(text.split()).upper().rstrip("=")
    try:
        secret = base64.b32decode(signs + "=" * (-len(signs) % 8))
    except (binascii.Error, ValueError):
        raise UsageError("the secret of the circle is not base32", hint=_HINT) from None
    if len(secret) < _BYTES_LEAST or len(set(secret)) < _DIFFERENT_LEAST:
        raise UsageError("the secret of the circle can be guessed: it needs 128 bits drawn by lot", hint=_HINT)
    if len(secret) > _BYTES_MOST:
        raise UsageError(f"the secret of the circle is longer than {_BYTES_MOST} bytes", hint=_HINT)
    return secret


def prove(secret: bytes, role: Role, caller: bytes, listener: bytes) -> bytes:
    """What one side of a link shows; `caller` and `listener` are the fingerprints of the two keys."""
    said = b"goldthread circle 1|" + role.value + b"|" + caller + b"|" + listener
    return hmac.digest(secret, said, hashlib.sha256)


def is_proof(shown: bytes, secret: bytes, role: Role, caller: bytes, listener: bytes) -> bool:
    return hmac.compare_digest(shown, prove(secret, role, caller, listener))
