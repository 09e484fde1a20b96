"""The code that ties a bond, in one line that can be pasted: where the inviter is, how to know it, and a secret.

    gt1.<68 signs>@192.0.2.7:7070,[2001:db8::7]:7070

The signs are base64url of the secret (16 bytes), the fingerprint of the inviter's certificate (32) and a checksum (3)
over all of it, addresses included. The checksum finds slips; it protects nobody: whoever has the code may use it, once.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from typing import Final

import msgspec

from goldthread.errors import UsageError
from goldthread.wire.addresses import ADDRESSES_MOST, parse_address

__all__ = ["CODE_LENGTH_MOST", "SECRET_BYTES", "Invitation", "read_code", "write_code"]

SECRET_BYTES: Final = 16
CODE_LENGTH_MOST: Final = 4096
_FINGERPRINT_BYTES: Final = 32
_CHECK_BYTES: Final = 3
_BODY_BYTES: Final = SECRET_BYTES + _FINGERPRINT_BYTES + _CHECK_BYTES
_BODY_LENGTH: Final = _BODY_BYTES * 4 // 3
_BEGINNING: Final = "gt1."
_AGAIN: Final = "copy the whole line that `goldthread bond invite` printed"


class Invitation(msgspec.Struct, frozen=True):
    secret: bytes
    fingerprint: bytes
    """SHA-256 of the inviter's certificate."""
    addresses: tuple[str, ...]


def write_code(invitation: Invitation) -> str:
    """Raises `UsageError` where the inviter has no address."""
    if not invitation.addresses:
        raise UsageError(
            "an invitation needs an address, and this host has none", hint="connect it, or name its addresses"
        )
    places = ",".join(invitation.addresses[:ADDRESSES_MOST])
    proof = invitation.secret + invitation.fingerprint
    body = base64.urlsafe_b64encode(proof + _check(proof, places)).decode()
    return f"{_BEGINNING}{body}@{places}"


def read_code(code: str) -> Invitation:
    """Raises `UsageError` that says what is wrong with the code. White space, as from a broken line, is left out."""
    if len(code) > CODE_LENGTH_MOST:
        raise UsageError(f"an invitation code of {len(code)} signs is too long to be one", hint=_AGAIN)
    line = "".join(code.split())
    if not line.startswith(_BEGINNING):
        raise _other_beginning(line)
    body, at, places = line.removeprefix(_BEGINNING).partition("@")
    if len(body) < _BODY_LENGTH or not at:
        raise UsageError("the invitation code is cut short", hint=_AGAIN)
    try:
        content = base64.b64decode(body, b"-_", validate=True)
    except (binascii.Error, ValueError):
        content = b""
    proof, check = content[:-_CHECK_BYTES], content[-_CHECK_BYTES:]
    if len(content) != _BODY_BYTES or check != _check(proof, places):
        raise UsageError("the invitation code is mistyped or cut short", hint=_AGAIN)
    addresses = tuple(filter(None, places.split(",")))
    if not addresses or len(addresses) > ADDRESSES_MOST:
        raise UsageError(f"the invitation code names {len(addresses)} addresses; it takes 1 to {ADDRESSES_MOST}")
    for address in addresses:
        parse_address(address)
    return Invitation(proof[:SECRET_BYTES], proof[SECRET_BYTES:], addresses)


def _check(proof: bytes, places: str) -> bytes:
    return hashlib.sha256(_BEGINNING.encode() + proof + places.encode()).digest()[:_CHECK_BYTES]


def _other_beginning(line: str) -> UsageError:
    version, dot, _ = line.removeprefix("gt").partition(".")
    if line.startswith("gt") and dot and version.isdecimal():
        return UsageError(
            f"the invitation code is of version {version[:9]}; this goldthread reads version 1",
            hint="install the same version of goldthread on both hosts",
        )
    return UsageError("this is no invitation code", hint=f"it begins with {_BEGINNING}; {_AGAIN}")
