"""Addresses are hosts and ports, and nothing else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from goldthread.errors import UsageError
from goldthread.wire.addresses import parse_address, parse_listen, write_address


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("192.0.2.7:7070", "192.0.2.7", 7070),
        ("iruka.example:1", "iruka.example", 1),
        ("[2001:db8::7]:65535", "2001:db8::7", 65535),
        ("[::1]:80", "::1", 80),
    ],
)
def test_an_address_is_a_host_and_a_port(text: str, host: str, port: int) -> None:
    assert parse_address(text) == (host, port)
    assert write_address(host, port) == text


@pytest.mark.parametrize(
    "text",
    ["", ":", "iruka", "iruka:", ":80", "iruka:0", "iruka:65536", "iruka:-1", "iruka:٣", "iruka:000080", "a b:1",
     "2001:db8::7:80", "[iruka]:1", "[]:1", "x" * 256 + ":1", "iruka/..:1", "iruka\n:1"],
)  # fmt: skip
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is no address"):
        parse_address(text)


@given(st.text(max_size=300))
def test_whatever_is_said_is_an_address_or_a_usage_error(text: str) -> None:
    try:
        host, port = parse_address(text)
    except UsageError:
        return
    assert parse_address(write_address(host, port)) == (host, port)


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("", "", 0),
        (":7070", "", 7070),
        ("192.0.2.7", "192.0.2.7", 0),
        ("192.0.2.7:7070", "192.0.2.7", 7070),
        ("[::1]:7070", "::1", 7070),
        ("[::1]", "::1", 0),
        ("::1", "::1", 0),
        ("iruka.example", "iruka.example", 0),
    ],
)
def test_where_to_listen_is_a_host_a_port_or_both(text: str, host: str, port: int) -> None:
    assert parse_listen(text) == (host, port)


@pytest.mark.parametrize("text", [":", ":x", "a b", "x:99999", "[::1"])
def test_where_nobody_can_listen_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_listen(text)
