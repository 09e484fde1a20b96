"""What carriers say: frames, bounds, and the refusal of what cannot be."""

from __future__ import annotations

import os
from contextlib import suppress
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from goldthread.errors import Fenced, PartnerError
from goldthread.names import CommitId, Epoch, MemberName, Step
from goldthread.wire.image import CHECKSUM_BYTES, HEADER_BYTES, SEAL_AT, Header, checksum, read_header
from goldthread.wire.stream import (
    BURST_BYTES,
    HEAD_BYTES,
    BundleKept,
    Chunks,
    Fetch,
    FromAnsweringCarrier,
    FromCallingCarrier,
    Held,
    Image,
    Offer,
    PutBundle,
    StreamDecoder,
    StreamGreeting,
    StreamRefused,
    Want,
    bursts,
    check_chunks,
    check_greeting,
    check_lengths,
    check_page,
    check_proof,
    check_runs,
    first_bytes,
    frame_head,
    read_head,
    runs_of,
    span_of,
)

COMMIT = CommitId(Epoch(2), Step(7), 3)
CHUNK = 64 << 10


def header_of(payload: int = 5 * CHUNK + 100, chunk: int = CHUNK, manifest: int = 30, **changed: Any) -> Header:
    fields: dict[str, Any] = {
        "member": MemberName("walk"),
        "epoch": Epoch(2),
        "step": Step(7),
        "sequence": 3,
        **changed,
    }
    return Header(payload_bytes=payload, manifest_bytes=manifest, chunk_bytes=chunk, **fields)


def proof_of(header: Header) -> memoryview:
    return memoryview(os.urandom(header.manifest_bytes + CHECKSUM_BYTES * header.chunk_count))


def page_of(header: Header, proof: memoryview) -> bytes:
    return first_bytes(header, proof).ljust(HEADER_BYTES, b"\0")


@pytest.mark.parametrize(
    ("side", "message"),
    [
        (FromCallingCarrier, StreamGreeting(1, 2, "0.1")),
        (FromCallingCarrier, Offer(b"page")),
        (FromCallingCarrier, Chunks(3, 9)),
        (FromCallingCarrier, Fetch(MemberName("walk"), COMMIT, ((0, 4), (9, 1)))),
        (FromCallingCarrier, PutBundle(MemberName("walk"), "digest")),
        (FromAnsweringCarrier, Want(((0, 1),))),
        (FromAnsweringCarrier, Held(COMMIT)),
        (FromAnsweringCarrier, Image(b"page")),
        (FromAnsweringCarrier, BundleKept(("numpy",))),
        (FromAnsweringCarrier, StreamRefused.of(Fenced("a newer life", hint="end"))),
    ],
)
def test_what_is_said_is_heard(side: Any, message: Any) -> None:
    """Every message survives its frame, and the length of the bulk with it."""
    frame = frame_head(message, 1 << 40)
    length, bulk = read_head(frame[:HEAD_BYTES])
    assert bulk == 1 << 40
    assert length == len(frame) - HEAD_BYTES
    assert StreamDecoder(side).read(frame[HEAD_BYTES:]) == message


def test_a_long_message_is_refused_before_it_is_read() -> None:
    """The length that is announced is bounded; bulk is bounded by who reads it."""
    with pytest.raises(PartnerError, match="announced"):
        read_head(b"\xff" * HEAD_BYTES)


@given(st.binary(max_size=300))
def test_garbage_is_a_partner_error(body: bytes) -> None:
    """Whatever arrives is a message or an error of the partner, never another error."""
    for side in (FromCallingCarrier, FromAnsweringCarrier):
        with suppress(PartnerError):
            StreamDecoder(side).read(body)


@given(st.binary(max_size=SEAL_AT + 8))
def test_a_page_of_noise_is_a_partner_error(noise: bytes) -> None:
    """No header is believed for its looks."""
    with pytest.raises(PartnerError):
        check_page(noise.ljust(HEADER_BYTES, b"\1"))


@given(st.integers(0, SEAL_AT + 7), st.integers(1, 255))
def test_no_byte_of_a_header_can_change(at: int, flip: int) -> None:
    """Header, root and seal vouch for each other: whatever is changed is refused, and never otherwise."""
    header = header_of()
    proof = proof_of(header)
    page = bytearray(page_of(header, proof))
    page[at] ^= flip
    with pytest.raises(PartnerError):
        found = check_page(bytes(page))
        check_lengths(found, len(proof), 1 << 30)
        check_proof(bytes(page), found, proof)


def test_an_image_is_proved_by_its_root() -> None:
    """What was sealed together passes; a manifest or table with one other bit does not."""
    header = header_of()
    proof = proof_of(header)
    page = page_of(header, proof)
    assert check_page(page) == header
    check_lengths(header, len(proof), header.image_bytes)
    check_proof(page, header, proof)
    for at in (0, header.manifest_bytes, len(proof) - 1):
        other = bytearray(proof)
        other[at] ^= 1
        with pytest.raises(PartnerError, match="damaged"):
            check_proof(page, header, memoryview(other))


@pytest.mark.parametrize("page", [b"", bytes(HEADER_BYTES), bytes(HEADER_BYTES - 1)])
def test_an_open_or_short_page_is_refused(page: bytes) -> None:
    """Only what is sealed is told of."""
    with pytest.raises(PartnerError, match="cut short, or was never sealed"):
        check_page(page)


@pytest.mark.parametrize(
    "header",
    [
        header_of(chunk=1),
        header_of(chunk=1 << 30),
        header_of(step=(1 << 64) - 1),
        header_of(member="../../etc"),
        header_of(member="-"),
    ],
)
def test_pages_that_cannot_be_are_refused(header: Header) -> None:
    """Lengths of chunks, numbers and names have bounds of their own."""
    page = first_bytes(header, memoryview(bytes(header.manifest_bytes))).ljust(HEADER_BYTES, b"\0")
    with pytest.raises(PartnerError):
        check_page(page)


def test_lengths_are_bounded_before_memory_is_given() -> None:
    """By what was lent, by what belongs to the image, and by what carriers take."""
    header = header_of()
    proof = header.image_bytes - header.manifest_at
    with pytest.raises(PartnerError, match="more than the"):
        check_lengths(header, proof, header.image_bytes - 1)
    with pytest.raises(PartnerError, match="bytes of proof"):
        check_lengths(header, proof + 1, 1 << 30)
    huge = header_of(manifest=1 << 40)
    with pytest.raises(PartnerError, match="longer than carriers take"):
        check_lengths(huge, huge.image_bytes - huge.manifest_at, 1 << 60)


@given(st.sets(st.integers(0, 200)))
def test_runs_say_the_chunks(chunks: set[int]) -> None:
    """All of them, once, in order, and no two runs that touch."""
    runs = runs_of(sorted(chunks))
    assert [index for first, count in runs for index in range(first, first + count)] == sorted(chunks)
    assert all(first + count < after for (first, count), (after, _) in pairwise(runs))


def test_very_many_runs_are_cut() -> None:
    """A message stays within its bound; the rest is wanted later."""
    runs = runs_of(range(0, 1 << 20, 2))
    assert len(frame_head(Want(runs))) < 1 << 20
    assert runs[:2] == ((0, 1), (2, 1))


@given(st.lists(st.tuples(st.integers(-3, 9), st.integers(-3, 9)), max_size=4))
def test_runs_are_within_the_payload_or_refused(runs: list[tuple[int, int]]) -> None:
    """What passes names chunks that exist, each once, and its bytes are theirs."""
    header = header_of()
    try:
        asked = check_runs(tuple(runs), header)
    except PartnerError:
        return
    chunks = [index for first, count in runs for index in range(first, first + count)]
    assert chunks == sorted(set(chunks))
    ranges = [header.chunk_range(index) for index in chunks]
    assert asked == sum(end - start for start, end in ranges)
    assert all(HEADER_BYTES <= start < end <= header.manifest_at for start, end in ranges)


def test_bursts_are_short_and_complete() -> None:
    """The chunks of the runs in their order, at most `BURST_BYTES` at a time."""
    header = header_of(payload=1 << 28)
    runs = ((0, 1000), (1010, 1), (2000, 500))
    pieces = list(bursts(runs, header))
    assert [index for piece in pieces for index in range(piece.first, piece.first + piece.count)] == [
        index for first, count in runs for index in range(first, first + count)
    ]
    assert max(end - start for start, end in (span_of(header, piece) for piece in pieces)) == BURST_BYTES


def test_chunks_come_as_they_were_asked_for() -> None:
    """At their place, no more than were asked for, and as long as they are."""
    header = header_of()
    assert check_chunks(Chunks(2, 2), 2 * CHUNK, header, 2, 5) == Chunks(2, 2)
    assert check_chunks(Chunks(5, 1), 100, header, 5, 6) == Chunks(5, 1)
    for heard, bulk in ((Chunks(3, 1), CHUNK), (Chunks(2, 4), 4 * CHUNK), (Chunks(2, 0), 0), (Held(COMMIT), 0)):
        with pytest.raises(PartnerError, match="other chunks"):
            check_chunks(heard, bulk, header, 2, 5)
    with pytest.raises(PartnerError, match="came as"):
        check_chunks(Chunks(2, 1), CHUNK - 1, header, 2, 5)


def test_ranges_of_protocols_must_overlap() -> None:
    """A newer partner that still speaks this protocol is welcome, one that does not is told the versions."""
    check_greeting(StreamGreeting(1, 99, "9.0"))
    for theirs in (StreamGreeting(2, 99, "9.0"), StreamGreeting(0, 0, "0.0"), Held(COMMIT)):
        with pytest.raises(PartnerError):
            check_greeting(theirs)


def test_the_first_bytes_are_the_writers() -> None:
    """An image that was taken from a partner begins as its owner wrote it."""
    header = header_of(payload=10, manifest=4)
    payload, manifest = b"0123456789", b"abcd"
    proof = memoryview(manifest + checksum(payload))
    image = first_bytes(header, proof).ljust(HEADER_BYTES, b"\0") + payload + bytes(proof)
    assert read_header(memoryview(image)) == header
