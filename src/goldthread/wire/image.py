"""The bytes of one commit, wherever they lie: in a slot, in a vault file, later on a wire.

An image is one run of bytes that explains itself:

    0                 header, one page: who, which life, which step, how long each part is, root, seal
    HEADER_BYTES      payload: the buffers of the state, one after the other (what lies where: the manifest)
    manifest_at       manifest: the structure of the state, opaque here (written by `state/walk.py`)
    table_at          table: one xxh3-128 checksum (16 bytes, big-endian) for each chunk of the payload

The *root* is the xxh3-128 of the header's fields, the manifest and the table, so it vouches for every byte:
payload chunks through the table, the rest directly. The *seal* is a word written last. It is the sequence of the
commit, and 0 while the image is open; so a commit stands or does not stand by one store of eight bytes, and a
writer killed before it leaves an open image, never a wrong one. A seal over bytes that do not have the root is
damage, and is said.

Reading an image therefore has two prices: `read_header` costs the manifest and the table (small), and
`damaged_chunks` costs a pass over the payload.
"""

from __future__ import annotations

import struct
from typing import Final

import msgspec
from xxhash import xxh3_128_digest

from goldthread.errors import CommitDamaged
from goldthread.names import CommitId, Epoch, MemberName, Step

__all__ = [
    "CHECKSUM_BYTES",
    "HEADER_BYTES",
    "SEAL_AT",
    "Header",
    "checksum",
    "damaged_chunks",
    "is_sealed",
    "pack_header",
    "peek_header",
    "read_header",
    "root_of",
]

HEADER_BYTES: Final = 4096
CHECKSUM_BYTES: Final = 16
SEAL_AT: Final = 256
"""Where the seal lies: eight bytes, little-endian, aligned, so that one store writes them."""

_MAGIC: Final = b"gthread\x01"
_FIELDS: Final = struct.Struct("<8sQQQQQQ104s64x")
_ROOT_AT: Final = 224
_SEAL: Final = struct.Struct("<Q")

assert _FIELDS.size == _ROOT_AT <= SEAL_AT - CHECKSUM_BYTES


class Header(msgspec.Struct, frozen=True):
    """What the first page of an image says. Lengths are in bytes."""

    member: MemberName
    epoch: Epoch
    step: Step
    sequence: int
    """1, 2, 3 ... within the life; also the seal."""
    payload_bytes: int
    manifest_bytes: int
    chunk_bytes: int
    """The length of every chunk but the last."""

    @property
    def commit(self) -> CommitId:
        return CommitId(self.epoch, self.step, self.sequence)

    @property
    def manifest_at(self) -> int:
        return HEADER_BYTES + self.payload_bytes

    @property
    def table_at(self) -> int:
        return self.manifest_at + self.manifest_bytes

    @property
    def chunk_count(self) -> int:
        return -(-self.payload_bytes // self.chunk_bytes)

    @property
    def image_bytes(self) -> int:
        """The length of the whole image."""
        return self.bounds[2]

    @property
    def bounds(self) -> tuple[int, int, int]:
        """Where the manifest begins, where the table begins, and where the image ends."""
        manifest_at = HEADER_BYTES + self.payload_bytes
        table_at = manifest_at + self.manifest_bytes
        return manifest_at, table_at, table_at + CHECKSUM_BYTES * -(-self.payload_bytes // self.chunk_bytes)

    def chunk_range(self, index: int) -> tuple[int, int]:
        """Where chunk `index` begins and ends in the image."""
        start = HEADER_BYTES + index * self.chunk_bytes
        return start, min(start + self.chunk_bytes, self.manifest_at)


checksum = xxh3_128_digest
"""The checksum of one chunk: `CHECKSUM_BYTES` bytes. It finds accidents, not forgeries."""


def root_of(fields: bytes, manifest: bytes | memoryview, table: bytes | memoryview) -> bytes:
    """The checksum over everything but the payload: `fields` as packed, the manifest, the table."""
    return checksum(fields + checksum(manifest) + checksum(table))


def pack_header(header: Header, manifest: bytes | memoryview, table: bytes | memoryview) -> bytes:
    """The header's bytes up to, and without, the seal: write them, then the seal."""
    fields = _FIELDS.pack(
        _MAGIC,
        header.epoch,
        header.step,
        header.sequence,
        header.payload_bytes,
        header.manifest_bytes,
        header.chunk_bytes,
        header.member.encode(),
    )
    return fields + root_of(fields, manifest, table)


def is_sealed(image: memoryview) -> bool:
    """Whether the seal is set. It says nothing about damage."""
    return len(image) >= HEADER_BYTES and _SEAL.unpack_from(image, SEAL_AT)[0] != 0


def peek_header(page: bytes | memoryview) -> Header | None:
    """What the first page says, unproved; None for an open image.

    Raises `CommitDamaged` where the page is none of ours.
    """
    if not is_sealed(memoryview(page)):
        return None
    magic, epoch, step, sequence, payload, manifest, chunk, member = _FIELDS.unpack_from(page)
    if magic != _MAGIC:
        raise CommitDamaged("this is no commit: the first bytes are not those of an image")
    if chunk == 0:
        raise CommitDamaged("the header of a commit is damaged: its chunks have no length")
    name = MemberName(member.rstrip(b"\0").decode("ascii", "replace"))
    return Header(name, Epoch(epoch), Step(step), sequence, payload, manifest, chunk)


def read_header(image: memoryview) -> Header | None:
    """The header of a sealed image; None for an open one. The payload is not read.

    Raises `CommitDamaged` where the seal is set and header, manifest or table are not what was sealed.
    """
    header = peek_header(image[:HEADER_BYTES])
    if header is None:
        return None
    if header.image_bytes > len(image):
        raise CommitDamaged(f"the image of a commit is cut short: {len(image)} bytes of {header.image_bytes}")
    root = root_of(
        bytes(image[:_ROOT_AT]),
        image[header.manifest_at : header.table_at],
        image[header.table_at : header.image_bytes],
    )
    if root != image[_ROOT_AT : _ROOT_AT + CHECKSUM_BYTES] or _SEAL.unpack_from(image, SEAL_AT)[0] != header.sequence:
        raise CommitDamaged(f"the header, manifest or table of a commit of {header.member} is damaged")
    return header


def damaged_chunks(image: memoryview, header: Header) -> list[int]:
    """The indexes of the payload chunks whose bytes are not those that were sealed. One pass over the payload."""
    damaged = []
    for index in range(header.chunk_count):
        start, end = header.chunk_range(index)
        at = header.table_at + CHECKSUM_BYTES * index
        if checksum(image[start:end]) != image[at : at + CHECKSUM_BYTES]:
            damaged.append(index)
    return damaged
