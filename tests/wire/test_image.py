"""An image says what was sealed, or that it is damaged, and nothing in between."""

from __future__ import annotations

import contextlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from goldthread.errors import CommitDamaged
from goldthread.names import Epoch, MemberName, Step
from goldthread.wire.image import (
    HEADER_BYTES,
    SEAL_AT,
    Header,
    checksum,
    damaged_chunks,
    is_sealed,
    pack_header,
    peek_header,
    read_header,
)

CHUNK = 64
MANIFEST = b"what lies where"


def make_image(payload: bytes, *, seal: bool = True) -> tuple[Header, bytearray]:
    header = Header(MemberName("walk"), Epoch(3), Step(412), 9, len(payload), len(MANIFEST), CHUNK)
    table = b"".join(checksum(payload[at : at + CHUNK]) for at in range(0, len(payload), CHUNK))
    image = bytearray(header.image_bytes)
    image[header.manifest_at : header.table_at] = MANIFEST
    image[header.table_at :] = table
    image[HEADER_BYTES : header.manifest_at] = payload
    packed = pack_header(header, MANIFEST, table)
    image[: len(packed)] = packed
    if seal:
        image[SEAL_AT : SEAL_AT + 8] = struct.pack("<Q", header.sequence)
    return header, image


@given(st.binary(max_size=5 * CHUNK))
def test_what_was_sealed_is_read(payload: bytes) -> None:
    header, image = make_image(payload)
    read = read_header(memoryview(image))
    assert header == read
    assert header == peek_header(bytes(image[:HEADER_BYTES]))
    assert damaged_chunks(memoryview(image), header) == []
    assert bytes(image[HEADER_BYTES : header.manifest_at]) == payload


def test_a_header_names_its_commit_and_the_ranges_of_its_chunks() -> None:
    header, _ = make_image(bytes(2 * CHUNK + 1))
    assert str(header.commit) == "step 412 of life 3"
    assert header.chunk_count == 3
    assert (HEADER_BYTES + 2 * CHUNK, header.manifest_at) == header.chunk_range(2)


def test_an_open_image_is_no_commit() -> None:
    _, image = make_image(b"x", seal=False)
    assert not is_sealed(memoryview(image))
    assert read_header(memoryview(image)) is None


def test_a_short_page_is_not_sealed() -> None:
    assert not is_sealed(memoryview(b"short"))


def test_a_flipped_bit_in_the_payload_is_found_in_its_chunk() -> None:
    header, image = make_image(bytes(4 * CHUNK))
    image[HEADER_BYTES + 2 * CHUNK + 5] ^= 1
    assert damaged_chunks(memoryview(image), header) == [2]


def test_another_format_is_none_of_ours() -> None:
    _, image = make_image(b"x")
    image[0] ^= 1
    with pytest.raises(CommitDamaged, match="no commit"):
        read_header(memoryview(image))


def test_chunks_without_a_length_are_damage() -> None:
    _, image = make_image(b"x")
    image[48:56] = bytes(8)
    with pytest.raises(CommitDamaged, match="no length"):
        read_header(memoryview(image))


def test_an_image_that_is_cut_short_is_damage() -> None:
    _, image = make_image(bytes(3 * CHUNK))
    with pytest.raises(CommitDamaged, match="cut short"):
        read_header(memoryview(image)[:-1])


def test_a_seal_of_another_commit_is_damage() -> None:
    _, image = make_image(b"x")
    image[SEAL_AT] ^= 1
    with pytest.raises(CommitDamaged, match="damaged"):
        read_header(memoryview(image))


@given(st.data())
def test_a_flipped_bit_outside_the_payload_is_damage_or_in_unused_bytes(data: st.DataObject) -> None:
    """Header, manifest and table are vouched for by the root; the rest of the first page is empty."""
    header, image = make_image(bytes(3 * CHUNK))
    at = data.draw(st.integers(0, len(image) - 1).filter(lambda at: not HEADER_BYTES <= at < header.manifest_at))
    image[at] ^= 1 << data.draw(st.integers(0, 7))
    try:
        read = read_header(memoryview(image))
    except CommitDamaged:
        return
    assert header == read
    assert at in range(240, SEAL_AT) or at in range(SEAL_AT + 8, HEADER_BYTES)


@given(st.binary(max_size=400), st.integers(1, 2**64 - 1))
def test_whatever_the_bytes_only_damage_comes_out(start: bytes, seal: int) -> None:
    """Neither a page of noise nor a page of noise that begins like ours raises anything else."""
    for head in (start, b"gthread\x01" + start):
        page = bytearray(head.ljust(HEADER_BYTES, b"\0"))
        page[SEAL_AT : SEAL_AT + 8] = struct.pack("<Q", seal)
        with contextlib.suppress(CommitDamaged):
            read_header(memoryview(page))


@given(st.tuples(*[st.integers(0, 2**64 - 1)] * 6))
def test_whatever_the_fields_only_damage_comes_out(fields: tuple[int, ...]) -> None:
    page = bytearray(HEADER_BYTES)
    struct.pack_into("<8s6Q104s", page, 0, b"gthread\x01", *fields, b"walk\xff")
    page[SEAL_AT] = 1
    with contextlib.suppress(CommitDamaged):
        read_header(memoryview(page))
