"""Frames come out as they went in, in whatever pieces they arrive, and nothing else comes out."""

from __future__ import annotations

import contextlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from goldthread.errors import KeeperError, PartnerError
from goldthread.names import Epoch, MemberName
from goldthread.version import VERSION
from goldthread.wire.bonds import FromCaller
from goldthread.wire.codec import FRAME_BYTES_MOST, Decoder, encode
from goldthread.wire.messages import PROTOCOL, Done, FromKeeper, Hello, JoinRequest, ToKeeper

HELLO = Hello(PROTOCOL, VERSION, "program")
JOIN = JoinRequest(MemberName("walk"), 7, Epoch(1), False)


def test_a_message_comes_out_with_its_count_of_descriptors() -> None:
    assert Decoder(ToKeeper).feed(encode(JOIN, 3)) == [(JOIN, 3)]


@given(st.lists(st.integers(1, 40), max_size=20))
def test_messages_come_out_in_order_whatever_the_pieces(lengths: list[int]) -> None:
    frames = encode(HELLO) + encode(JOIN, 2) + encode(HELLO, 1)
    decoder, out, at = Decoder(ToKeeper), [], 0
    for length in [*lengths, len(frames)]:
        out += decoder.feed(frames[at : at + length])
        at += length
    assert out == [(HELLO, 0), (JOIN, 2), (HELLO, 1)]


def test_a_frame_that_is_too_long_is_refused_before_it_has_arrived() -> None:
    with pytest.raises(KeeperError, match="was announced"):
        Decoder(ToKeeper).feed(struct.pack("<IB", FRAME_BYTES_MOST + 1, 0))


def test_a_message_that_is_too_long_is_not_sent() -> None:
    with pytest.raises(KeeperError, match="longer than the limit"):
        encode(HELLO, bytes_most=10)


def test_between_keepers_it_is_the_partner_who_erred() -> None:
    decoder = Decoder(FromCaller, error=PartnerError, bytes_most=10)
    with pytest.raises(PartnerError, match="the limit is 10"):
        decoder.feed(struct.pack("<IB", 11, 0))
    with pytest.raises(PartnerError, match="could not be read"):
        Decoder(FromCaller, error=PartnerError).feed(struct.pack("<IB", 1, 0) + b"\xc1")


def test_nesting_without_end_is_refused() -> None:
    """A field that is not known is skipped, level by level; the levels are bounded."""
    body = b"\x82\xa4type\xa5Hello\xa1x" + b"\x91" * 100_000 + b"\xc0"
    with pytest.raises(KeeperError, match="could not be read"):
        Decoder(ToKeeper).feed(struct.pack("<IB", len(body), 0) + body)


def test_a_message_of_the_other_side_is_refused() -> None:
    with pytest.raises(KeeperError, match="could not be read"):
        Decoder(ToKeeper).feed(encode(Done("well")))


@given(st.lists(st.binary(max_size=60), max_size=8))
def test_whatever_arrives_only_keeper_errors_come_out(pieces: list[bytes]) -> None:
    decoder = Decoder(FromKeeper)
    try:
        for piece in pieces:
            decoder.feed(piece)
    except KeeperError:
        pass


@given(st.binary(max_size=200))
def test_whatever_a_frame_holds_only_keeper_errors_come_out(body: bytes) -> None:
    with contextlib.suppress(KeeperError):
        Decoder(ToKeeper).feed(struct.pack("<IB", len(body), 0) + body)


@given(st.data())
def test_a_damaged_frame_is_a_message_or_a_keeper_error(data: st.DataObject) -> None:
    frame = bytearray(encode(JOIN))
    frame[data.draw(st.integers(0, len(frame) - 1))] ^= data.draw(st.integers(1, 255))
    with contextlib.suppress(KeeperError):
        assert all(isinstance(message, ToKeeper) for message, _ in Decoder(ToKeeper).feed(bytes(frame)))
