"""The secret of a circle, and what is shown of it."""

from __future__ import annotations

import secrets

import pytest

from goldthread.errors import UsageError
from goldthread.wire.circle import CIRCLE_BYTES, Role, is_proof, prove, read_circle, write_circle

ONE, OTHER = bytes(range(32)), bytes(range(32, 64))


def test_a_secret_is_read_as_it_was_written() -> None:
    """Also where a person changed its case, or broke the line."""
    secret = secrets.token_bytes(CIRCLE_BYTES)
    text = write_circle(secret)
    assert read_circle(text) == secret
    assert read_circle(f" {text[:10].lower()}\n{text[10:]} ") == secret


@pytest.mark.parametrize(
    "text", ["password", "ABCDEFGHIJKLMNOPQRST", "A" * 32, "AB" * 20, "8" * 32, "A" * 2000, "ä" * 32]
)
def test_what_can_be_guessed_is_refused(text: str) -> None:
    """With what to do, and without the secret in the text."""
    with pytest.raises(UsageError) as raised:
        read_circle(text)
    assert "goldthread bond circle" in raised.value.hint
    assert text not in str(raised.value)


def test_a_proof_is_worth_nothing_elsewhere() -> None:
    """Not in the other role, not with another key at either end, not by another secret."""
    secret = secrets.token_bytes(CIRCLE_BYTES)
    shown = prove(secret, Role.CALLER, ONE, OTHER)
    assert is_proof(shown, secret, Role.CALLER, ONE, OTHER)
    assert not is_proof(shown, secret, Role.LISTENER, ONE, OTHER)
    assert not is_proof(shown, secret, Role.CALLER, OTHER, ONE)
    assert not is_proof(shown, secret, Role.CALLER, ONE, ONE)
    assert not is_proof(shown, secrets.token_bytes(CIRCLE_BYTES), Role.CALLER, ONE, OTHER)
    assert not is_proof(b"", secret, Role.CALLER, ONE, OTHER)
