"""The record of a lease: what people can read in a store, and what a store may hold instead."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as some

from goldthread.errors import PartnerError
from goldthread.names import Epoch, KeeperId, MemberName, Span, seconds
from goldthread.wire.leases import LEASE_BYTES_MOST, Lease, decode_lease, encode_lease

IRUKA = KeeperId("1" * 32)
KAKASHI = KeeperId("2" * 32)
LEASE = Lease(MemberName("walk"), IRUKA, Epoch(3), KAKASHI, None, 41, seconds(1.5))


def test_a_lease_can_be_read_by_people() -> None:
    """It is JSON, with the names of its fields."""
    assert json.loads(encode_lease(LEASE)) == {
        "member": "walk",
        "origin": IRUKA,
        "epoch": 3,
        "owner": KAKASHI,
        "successor": None,
        "count": 41,
        "span": 1_500_000_000,
    }


@given(
    epoch=some.integers(0, 2**62),
    count=some.integers(0, 2**62),
    span=some.integers(1, 2**62),
    owner=some.none() | some.text("0123456789abcdef", min_size=32, max_size=32),
)
def test_a_lease_comes_back_as_it_was_written(epoch: int, count: int, span: int, owner: str | None) -> None:
    """And fits into a register."""
    holder = None if owner is None else KeeperId(owner)
    lease = Lease(MemberName("w" * 100), IRUKA, Epoch(epoch), holder, holder, count, Span(span))
    record = encode_lease(lease)
    assert decode_lease(record) == lease
    assert len(record) <= LEASE_BYTES_MOST


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"epoch": -1}, "epoch -1"),
        ({"count": -1}, "count -1"),
        ({"count": 2**63}, "count 9223372036854775808"),
        ({"span": 0}, "span 0"),
        ({"span": True}, "Expected `int`"),
        ({"owner": "kakashi"}, "'kakashi' is no identity"),
        ({"owner": ""}, "'' is no identity"),
        ({"origin": None}, "Expected `str`"),
        ({"member": "../walk"}, "cannot name a member"),
        ({"member": "\x1b[2Jwalk"}, "cannot name a member"),
    ],
)
def test_a_lease_that_cannot_be_right_is_refused(change: dict[str, object], sentence: str) -> None:
    """With the reason; and what is strange in it never reaches a terminal."""
    record = msgspec.json.encode({**msgspec.to_builtins(LEASE), **change})
    with pytest.raises(PartnerError, match=sentence) as caught:
        decode_lease(record)
    assert str(caught.value).isprintable()


def test_a_record_that_is_too_long_is_not_even_read() -> None:
    """However right it looks."""
    record = encode_lease(LEASE).ljust(LEASE_BYTES_MOST + 1)
    with pytest.raises(PartnerError, match="longer than the limit"):
        decode_lease(record)


@given(
    some.binary(max_size=300)
    | some.recursive(some.none() | some.text(), some.lists, max_leaves=4).map(msgspec.json.encode)
)
def test_whatever_stands_in_a_register_is_a_lease_or_refused(record: bytes) -> None:
    """Nothing else is ever raised."""
    with pytest.raises(PartnerError):
        decode_lease(record)


@given(at=some.integers(0, len(encode_lease(LEASE)) - 1), bit=some.integers(0, 7))
def test_a_flipped_bit_is_another_lease_or_refused(at: int, bit: int) -> None:
    """A register has no checksum: the store vouches for its bytes. What is read is well-formed in any case."""
    record = bytearray(encode_lease(LEASE))
    record[at] ^= 1 << bit
    try:
        lease = decode_lease(bytes(record))
    except PartnerError:
        return
    assert decode_lease(encode_lease(lease)) == lease
