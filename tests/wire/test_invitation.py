"""An invitation code is one line, and whatever becomes of it on the way is noticed and said."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from goldthread.errors import UsageError
from goldthread.wire.invitation import CODE_LENGTH_MOST, Invitation, read_code, write_code

INVITATION = Invitation(bytes(range(16)), bytes(range(32)), ("192.0.2.7:7070", "[2001:db8::7]:7070", "iruka.example:1"))
CODE = write_code(INVITATION)


def test_a_code_is_one_line_to_paste() -> None:
    assert re.fullmatch(r"gt1\.[A-Za-z0-9_-]{68}@192\.0\.2\.7:7070,\[2001:db8::7\]:7070,iruka\.example:1", CODE)
    assert read_code(CODE) == INVITATION


@given(st.binary(min_size=16, max_size=16), st.binary(min_size=32, max_size=32), st.integers(1, 65535))
def test_what_was_written_is_read(secret: bytes, fingerprint: bytes, port: int) -> None:
    invitation = Invitation(secret, fingerprint, (f"192.0.2.7:{port}",))
    assert read_code(write_code(invitation)) == invitation


def test_a_line_that_was_broken_is_read() -> None:
    """A terminal or a mail breaks it, and pasting adds blanks."""
    assert read_code(f"  {CODE[:20]}\n   {CODE[20:]}\r\n") == INVITATION


@given(st.integers(0, len(CODE) - 1))
def test_a_code_that_is_cut_is_refused(length: int) -> None:
    with pytest.raises(UsageError):
        read_code(CODE[:length])


@given(st.integers(0, len(CODE) - 1), st.characters(exclude_categories=["Z", "C"]))
def test_a_slip_in_any_sign_is_noticed(place: int, sign: str) -> None:
    slipped = CODE[:place] + sign + CODE[place + 1 :]
    if slipped != CODE:
        with pytest.raises(UsageError):
            read_code(slipped)


@given(st.text())
def test_whatever_is_pasted_only_usage_errors_come_out(text: str) -> None:
    with pytest.raises(UsageError):
        read_code(text)


@given(st.text(max_size=100))
def test_whatever_follows_the_beginning_only_usage_errors_come_out(text: str) -> None:
    with pytest.raises(UsageError):
        read_code("gt1." + text)


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("", "no invitation code"),
        ("hello", "no invitation code"),
        ("gt", "no invitation code"),
        ("gt2." + CODE[4:], "of version 2"),
        ("gt99999999999999999999.x", "of version 999999999;"),
        (CODE[:40], "cut short"),
        (CODE.partition("@")[0], "cut short"),
        (CODE[:-1], "mistyped or cut short"),
        (CODE.replace("192", "193"), "mistyped or cut short"),
        (CODE + "x" * CODE_LENGTH_MOST, "too long"),
    ],
)
def test_the_error_says_what_is_wrong(code: str, says: str) -> None:
    with pytest.raises(UsageError, match=re.escape(says)) as caught:
        read_code(code)
    assert caught.value.hint


@pytest.mark.parametrize("addresses", [("",), ("nowhere",), tuple(f"h{number}:1" for number in range(17))])
def test_a_code_of_somebody_elses_making_is_doubted(
    addresses: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its checksum is right, and its addresses are none, or too many."""
    monkeypatch.setattr("goldthread.wire.invitation.ADDRESSES_MOST", 99)
    code = write_code(Invitation(bytes(16), bytes(32), addresses))
    monkeypatch.undo()
    with pytest.raises(UsageError, match="address"):
        read_code(code)


def test_no_code_without_an_address() -> None:
    with pytest.raises(UsageError, match="needs an address"):
        write_code(Invitation(bytes(16), bytes(32), ()))
