"""What comes from other keepers is a message that can be right, or a `PartnerError`; nothing else happens."""

from __future__ import annotations

import contextlib
import struct
import tracemalloc
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from goldthread.errors import PartnerError
from goldthread.names import CommitId, Epoch, KeeperId, MemberName, Span, Step
from goldthread.report import Guard, Phase
from goldthread.terms import Terms
from goldthread.wire import bonds
from goldthread.wire.bonds import BOND_FRAME_BYTES_MOST, FromAnswerer, FromCaller
from goldthread.wire.codec import Decoder, encode
from goldthread.wire.greetings import check_protocol
from goldthread.wire.leases import decode_lease
from goldthread.wire.scrutiny import check_heard, printable

ME = KeeperId("0123456789abcdef" * 2)
WALK = MemberName("walk")
COMMIT = CommitId(Epoch(1), Step(5), 5)
OWNED = bonds.OwnedFact(WALK, ME, Epoch(1), True, Phase.RUNNING, True, Guard.LEASE, COMMIT, 1 << 30, False, False, "ab")
HELD = bonds.HeldFact(WALK, ME, Epoch(1), COMMIT, "ab", "")
YIELDED = bonds.YieldedFact(WALK, ME, Epoch(4))
FACTS = bonds.Facts(3, Terms(), "rack 1", "", 1 << 30, (OWNED,), (HELD,), (YIELDED,))
GREETING = bonds.Greeting(1, 1, "0.1.0", ME, "iruka", ("192.0.2.7:7070", "[::1]:7070"), 4711)
SECRET = bonds.AcceptInvitation(bytes(16), Terms())
SPOKEN: list[Any] = [
    GREETING,
    bonds.Beat(7, FACTS),
    bonds.Beat(8, None),
    SECRET,
    bonds.RenewKey(bytes(400)),
    bonds.EndBond("the work is done"),
]
ANSWERED: list[Any] = [
    GREETING,
    bonds.BeatAnswer(7, 3, Span(1_500_000_000), (WALK,)),
    bonds.InvitationAccepted(Terms()),
    bonds.KeyRenewed(),
    bonds.BondEnded(),
    bonds.LinkRefused("no", "ask"),
]


def hear(union: Any, piece: bytes) -> list[Any]:
    """As a link does."""
    messages = [
        message for message, _ in Decoder(union, error=PartnerError, bytes_most=BOND_FRAME_BYTES_MOST).feed(piece)
    ]
    for message in messages:
        check_heard(message)
    return messages


def test_what_keepers_say_comes_through() -> None:
    assert hear(FromCaller, b"".join(map(encode, SPOKEN))) == SPOKEN
    assert hear(FromAnswerer, b"".join(map(encode, ANSWERED))) == ANSWERED


def changed(of: Any, **changes: Any) -> Any:
    return msgspec.structs.replace(of, **changes)


def facts(**changes: Any) -> bonds.Beat:
    return bonds.Beat(1, changed(FACTS, **changes))


@pytest.mark.parametrize(
    "message",
    [
        changed(GREETING, keeper=KeeperId("../../../etc/passwd")),
        changed(GREETING, keeper=KeeperId("A" * 32)),
        changed(GREETING, name=""),
        changed(GREETING, name="x" * 101),
        changed(GREETING, name="\x1b[2J"),
        changed(GREETING, version="1\n2"),
        changed(GREETING, protocol=-1),
        changed(GREETING, carrier_port=65536),
        changed(GREETING, carrier_port=-1),
        changed(GREETING, addresses=("nowhere",)),
        changed(GREETING, addresses=("a:1",) * 17),
        bonds.Beat(-1, None),
        bonds.Beat(1 << 63, None),
        facts(version=-1),
        facts(room=-1),
        facts(label="\x07"),
        facts(lease_store="x" * 129),
        facts(owned=(OWNED, OWNED)),
        facts(held=(HELD, HELD)),
        facts(owned=(changed(OWNED, member=MemberName("../x")),)),
        facts(owned=(changed(OWNED, member=MemberName("")),)),
        facts(owned=(changed(OWNED, origin=KeeperId("x")),)),
        facts(owned=(changed(OWNED, epoch=Epoch(-1)),)),
        facts(owned=(changed(OWNED, bytes=-1),)),
        facts(owned=(changed(OWNED, newest=CommitId(Epoch(1), Step(-5), 1)),)),
        facts(owned=(changed(OWNED, bundle="\0"),)),
        facts(held=(changed(HELD, origin=KeeperId("x")),)),
        facts(held=(changed(HELD, epoch=Epoch(-1)),)),
        facts(held=(changed(HELD, commit=CommitId(Epoch(1), Step(1), -1)),)),
        facts(held=(changed(HELD, refused="\x1b"),)),
        facts(held=tuple(changed(HELD, member=MemberName(f"m{number}")) for number in range(10_001))),
        facts(yielded=(YIELDED, YIELDED)),
        facts(yielded=(changed(YIELDED, origin=KeeperId("")),)),
        facts(yielded=(changed(YIELDED, epoch=Epoch(-4)),)),
        bonds.BeatAnswer(1, -1, Span(1), ()),
        bonds.BeatAnswer(1, 1, Span(-1), ()),
        bonds.BeatAnswer(1, 1, Span(1), (MemberName("a/b"),)),
        changed(SECRET, secret=bytes(65)),
        changed(SECRET, needs=-1),
        bonds.InvitationAccepted(Terms(), -1),
        bonds.RenewKey(b""),
        bonds.RenewKey(bytes(4097)),
        bonds.EndBond("\x1b]0;gone\x07"),
        bonds.EndBond("x" * 501),
    ],
)
def test_what_cannot_be_right_is_refused(message: Any) -> None:
    with pytest.raises(PartnerError):
        hear(FromCaller if isinstance(message, FromCaller) else FromAnswerer, encode(message))


def test_terms_that_lend_less_than_nothing_are_refused() -> None:
    body = msgspec.msgpack.encode({"type": "InvitationAccepted", "terms": {"memory": -1}})
    with pytest.raises(PartnerError, match="could not be read"):
        hear(FromAnswerer, struct.pack("<IB", len(body), 0) + body)


def test_a_text_is_shown_without_what_moves_the_cursor() -> None:
    assert printable("a\x1b[2J\nb\u202ec") == "a [2J b c"
    assert len(printable("x" * 10_000)) == 500


@pytest.mark.parametrize(
    ("mine", "theirs", "spoken"), [((1, 1), (1, 1), 1), ((1, 3), (2, 5), 3), ((2, 5), (1, 3), 3), ((1, 9), (4, 4), 4)]
)
def test_the_highest_common_protocol_is_spoken(mine: tuple[int, int], theirs: tuple[int, int], spoken: int) -> None:
    speak = [changed(GREETING, protocol_oldest=oldest, protocol=newest) for oldest, newest in (mine, theirs)]
    assert check_protocol(*speak) == spoken


def test_without_a_common_protocol_both_sides_are_named() -> None:
    new = changed(GREETING, name="kakashi", protocol_oldest=2, protocol=3, version="0.9")
    with pytest.raises(PartnerError, match=r"iruka speaks 1 \(goldthread 0.1.0\), kakashi speaks 2 to 3") as caught:
        check_protocol(GREETING, new)
    assert "same version" in caught.value.hint


# Whatever arrives

SIDES = [(FromCaller, SPOKEN), (FromAnswerer, ANSWERED)]
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(1 << 63), (1 << 64) - 1) | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=20,
)


@given(st.sampled_from(SIDES), st.lists(st.binary(max_size=200), max_size=8))
def test_whatever_arrives_only_partner_errors_come_out(side: tuple[Any, list[Any]], pieces: list[bytes]) -> None:
    decoder = Decoder(side[0], error=PartnerError, bytes_most=BOND_FRAME_BYTES_MOST)
    with contextlib.suppress(PartnerError):
        for piece in pieces:
            for message, _ in decoder.feed(piece):
                check_heard(message)


@given(st.sampled_from(SIDES), st.data())
def test_a_damaged_message_is_a_message_or_a_partner_error(side: tuple[Any, list[Any]], data: st.DataObject) -> None:
    union, spoken = side
    frame = bytearray(encode(data.draw(st.sampled_from(spoken))))
    for _ in range(data.draw(st.integers(1, 4))):
        frame[data.draw(st.integers(0, len(frame) - 1))] ^= data.draw(st.integers(1, 255))
    with contextlib.suppress(PartnerError):
        assert all(isinstance(message, union) for message in hear(union, bytes(frame)))


@given(st.sampled_from(SIDES), st.data())
def test_a_message_with_other_fields_is_a_message_or_a_partner_error(
    side: tuple[Any, list[Any]], data: st.DataObject
) -> None:
    union, spoken = side
    fields = msgspec.to_builtins(data.draw(st.sampled_from(spoken)))
    fields[data.draw(st.sampled_from([*fields, "more"]))] = data.draw(PLAIN)
    body = msgspec.msgpack.encode(fields)
    with contextlib.suppress(PartnerError):
        hear(union, struct.pack("<IB", len(body), 0) + body)


def test_a_lease_nested_without_end_is_refused() -> None:
    """A field that is not known is skipped, level by level."""
    with pytest.raises(PartnerError, match="could not be read"):
        decode_lease(b'{"x":' + b"[" * 4000)


@pytest.mark.parametrize("head", [b"\xdd", b"\xdf", b"\xc6", b"\xdb", b"\xc9"])
def test_a_count_that_is_a_lie_takes_no_memory(head: bytes) -> None:
    """An array, a map, bytes, a text, an extension: four thousand millions of them are announced, in ten bytes."""
    body = b"\x82\xa4type\xa4Beat\xa5facts" + head + b"\xff\xff\xff\xff" + bytes(100)
    tracemalloc.start()
    with pytest.raises(PartnerError):
        hear(FromCaller, struct.pack("<IB", len(body), 0) + body)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1 << 20
