"""What two carriers say to each other: the bytes of states, from the owner to the holder and back.

A frame is `u32 length | u64 bulk length | message | bulk`: a short message in msgpack, and behind it bytes as they
lie in memory. The caller asks and the answerer answers, never both at once:

| the caller says | and hears                                                                                      |
|-----------------|------------------------------------------------------------------------------------------------|
| `StreamGreeting`| `StreamGreeting`, or `Refused`                                                                 |
| `Offer`         | `Want`: send these chunks; `Held`: this commit, or a newer one, is whole here; `Refused`       |
| `Chunks` ...    | nothing, until all that was wanted has come; then again `Want`, `Held` or `Refused`            |
| `Fetch`         | `Image`; and the chunks that were asked for, run by run, in `Chunks`; or `Refused`             |
| `PutBundle`     | `BundleKept`, or `Refused`                                                                     |

An offer carries all of an image but its payload, so the answerer knows the checksum of every chunk before any comes.
It asks only for those that it does not have, which is also how a transfer goes on after a cut: what has landed is
not wanted again. Nothing that arrives is believed: lengths are bounded before memory is given, the header must have
its root, each chunk its checksum.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from typing import Any, Final

import msgspec

from goldthread.errors import CommitDamaged, GoldthreadError, PartnerError, UsageError
from goldthread.names import CommitId, MemberName, member_name
from goldthread.wire.image import HEADER_BYTES, SEAL_AT, Header, pack_header, peek_header

__all__ = [
    "BUNDLE_BYTES_MOST",
    "BURST_BYTES",
    "HEAD_BYTES",
    "STREAM_PROTOCOL",
    "STREAM_PROTOCOL_OLDEST",
    "BundleKept",
    "Chunks",
    "Fetch",
    "FromAnsweringCarrier",
    "FromCallingCarrier",
    "Held",
    "Image",
    "Offer",
    "PutBundle",
    "Runs",
    "StreamDecoder",
    "StreamGreeting",
    "StreamRefused",
    "Want",
    "bursts",
    "check_chunks",
    "check_greeting",
    "check_lengths",
    "check_page",
    "check_proof",
    "check_runs",
    "first_bytes",
    "frame_head",
    "read_head",
    "runs_of",
    "span_of",
]

STREAM_PROTOCOL: Final = 1
STREAM_PROTOCOL_OLDEST: Final = 1
"""Of two ranges of protocols that overlap the highest common one is spoken."""

BURST_BYTES: Final = 4 << 20
"""Chunks go in bursts of about this length, so that a rate can be kept between them."""

BUNDLE_BYTES_MOST: Final = 48 << 20
_MESSAGE_BYTES_MOST: Final = 1 << 20
_PROOF_BYTES_MOST: Final = 512 << 20
"""Manifest and table of an image that is offered: they pass through ordinary memory."""
_RUNS_MOST: Final = 50_000
_CHUNK_BYTES_LEAST: Final = 4 << 10
_CHUNK_BYTES_MOST: Final = 16 << 20
_NUMBER_MOST: Final = (1 << 63) - 1
_HEAD: Final = struct.Struct("<IQ")
HEAD_BYTES: Final = _HEAD.size
_SEAL: Final = struct.Struct("<Q")

Runs = tuple[tuple[int, int], ...]
"""Chunks that follow each other: the first of them, and how many."""


class StreamGreeting(msgspec.Struct, frozen=True, tag=True):
    """The first word of both sides; its shape never changes. Who speaks is proved by the key of the connection."""

    protocol_oldest: int
    protocol: int
    version: str


class Offer(msgspec.Struct, frozen=True, tag=True):
    """A sealed image. Bulk: its manifest and its table."""

    page: bytes
    """Its first `HEADER_BYTES`."""


class Chunks(msgspec.Struct, frozen=True, tag=True):
    """Bulk: the payload's bytes of so many chunks, from the first on."""

    first: int
    count: int


class Fetch(msgspec.Struct, frozen=True, tag=True):
    """What the answerer holds for the caller."""

    member: MemberName
    commit: CommitId
    runs: Runs
    """Of the chunks that are wanted, by one who knows their checksums; none: manifest and table are wanted."""


class PutBundle(msgspec.Struct, frozen=True, tag=True):
    """What is needed to run the member. Bulk: the bundle."""

    member: MemberName
    digest: str


FromCallingCarrier = StreamGreeting | Offer | Chunks | Fetch | PutBundle


class Want(msgspec.Struct, frozen=True, tag=True):
    runs: Runs


class Held(msgspec.Struct, frozen=True, tag=True):
    """The commit that was offered is whole here, or this newer one."""

    commit: CommitId


class Image(msgspec.Struct, frozen=True, tag=True):
    """The answer to `Fetch`. Bulk: the image's manifest and table, where they are wanted."""

    page: bytes


class BundleKept(msgspec.Struct, frozen=True, tag=True):
    differences: tuple[str, ...]
    """How the holder's host differs from what the bundle names."""


class StreamRefused(msgspec.Struct, frozen=True, tag=True):
    error: str
    """The name of a class in `errors.py`."""
    text: str
    hint: str

    @classmethod
    def of(cls, error: GoldthreadError) -> StreamRefused:
        return cls(type(error).__name__, str(error), error.hint)


FromAnsweringCarrier = StreamGreeting | Want | Held | Image | Chunks | BundleKept | StreamRefused


def frame_head(message: msgspec.Struct, bulk_bytes: int = 0) -> bytes:
    """What goes before the bulk: lengths and message."""
    body = msgspec.msgpack.encode(message)
    return _HEAD.pack(len(body), bulk_bytes) + body


def read_head(head: bytes) -> tuple[int, int]:
    """The lengths of message and bulk. Raises `PartnerError` where the message is too long."""
    length, bulk = _HEAD.unpack(head)
    if length > _MESSAGE_BYTES_MOST:
        raise PartnerError(f"a carrier announced a message of {length} bytes; the limit is {_MESSAGE_BYTES_MOST}")
    return length, bulk


class StreamDecoder:
    """Reads the messages of one side."""

    def __init__(self, union: Any) -> None:
        self._decode = msgspec.msgpack.Decoder(union).decode

    def read(self, body: bytes) -> Any:
        """Raises `PartnerError` for what is no message of this side."""
        try:
            return self._decode(body)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise PartnerError(f"a message of a carrier could not be read: {error}") from error


def check_greeting(theirs: object) -> None:
    """Raises `PartnerError` where there is no protocol that both speak."""
    if not isinstance(theirs, StreamGreeting):
        raise PartnerError("the first word of a carrier must be a greeting")
    if not (theirs.protocol >= STREAM_PROTOCOL_OLDEST and theirs.protocol_oldest <= STREAM_PROTOCOL):
        raise PartnerError(
            f"the partner's goldthread {theirs.version} carries copies by protocols {theirs.protocol_oldest} to "
            f"{theirs.protocol}, this one by {STREAM_PROTOCOL_OLDEST} to {STREAM_PROTOCOL}",
            hint="install the same version of goldthread on both hosts",
        )


def check_page(page: bytes) -> Header:
    """The header of an image that a partner tells of; nothing is proved yet. Raises `PartnerError`."""
    try:
        header = peek_header(page) if len(page) == HEADER_BYTES else None
        if header is None:
            raise PartnerError("the first page of an image is cut short, or was never sealed")
        member_name(header.member)
    except (CommitDamaged, UsageError) as error:
        raise PartnerError(f"a partner tells of an image that is none: {error}") from error
    if not _CHUNK_BYTES_LEAST <= header.chunk_bytes <= _CHUNK_BYTES_MOST:
        raise PartnerError(f"an image of {header.member} has chunks of {header.chunk_bytes} bytes")
    if max(header.epoch, header.step, header.sequence) > _NUMBER_MOST:
        raise PartnerError(f"an image of {header.member} has numbers that no life reaches")
    return header


def check_lengths(header: Header, proof_bytes: int, bytes_most: int) -> None:
    """Raises `PartnerError` where an image is longer than it may be, or comes with so many bytes of manifest and
    table that are not its own."""
    if header.image_bytes > bytes_most:
        raise PartnerError(
            f"{header.commit} of {header.member} has {header.image_bytes} bytes, more than the {bytes_most} lent",
            hint="the partner may lend more: goldthread bond terms",
        )
    proof = header.image_bytes - header.manifest_at
    if proof != proof_bytes:
        raise PartnerError(
            f"{header.commit} of {header.member} says {proof} bytes of proof and comes with {proof_bytes}"
        )
    if proof > _PROOF_BYTES_MOST:
        raise PartnerError(f"the manifest of {header.commit} of {header.member} is longer than carriers take")


def first_bytes(header: Header, proof: memoryview) -> bytes:
    """How an image begins, up to its seal and with it; `proof` is its manifest and its table."""
    fields = pack_header(header, proof[: header.manifest_bytes], proof[header.manifest_bytes :])
    return fields.ljust(SEAL_AT, b"\0") + _SEAL.pack(header.sequence)


def check_proof(page: bytes, header: Header, proof: memoryview) -> None:
    """Raises `PartnerError` where header, manifest and table are not those that were sealed together."""
    if not page.startswith(first_bytes(header, proof)):
        raise PartnerError(f"the header, manifest or table of {header.commit} of {header.member} is damaged")


def check_runs(runs: Runs, header: Header) -> int:
    """The bytes of the payload that are asked for. Raises `PartnerError` where the image has no such chunks."""
    end, asked = 0, 0
    for first, count in runs:
        if first < end or count < 1 or first + count > header.chunk_count:
            raise PartnerError(f"chunks were asked for that {header.commit} of {header.member} does not have")
        end = first + count
        start, stop = span_of(header, Chunks(first, count))
        asked += stop - start
    return asked


def runs_of(chunks: Iterable[int]) -> Runs:
    """Chunks, given in rising order, as runs; of very many separate ones only the first."""
    runs: list[tuple[int, int]] = []
    for chunk in chunks:
        if runs and chunk == runs[-1][0] + runs[-1][1]:
            runs[-1] = (runs[-1][0], runs[-1][1] + 1)
        elif len(runs) == _RUNS_MOST:
            break
        else:
            runs.append((chunk, 1))
    return tuple(runs)


def span_of(header: Header, chunks: Chunks) -> tuple[int, int]:
    """Where these chunks begin and end in the image."""
    return header.chunk_range(chunks.first)[0], header.chunk_range(chunks.first + chunks.count - 1)[1]


def check_chunks(heard: object, bulk: int, header: Header, at: int, end: int) -> Chunks:
    """What came, where chunks from `at` on and none after `end` were due. Raises `PartnerError`."""
    if not isinstance(heard, Chunks) or heard.first != at or not 0 < heard.count <= end - at:
        raise PartnerError("other chunks came than were asked for")
    start, stop = span_of(header, heard)
    if bulk != stop - start:
        raise PartnerError(f"chunks of {stop - start} bytes came as {bulk}")
    return heard


def bursts(runs: Runs, header: Header) -> Iterator[Chunks]:
    """The runs in pieces of about `BURST_BYTES`."""
    most = max(1, BURST_BYTES // header.chunk_bytes)
    for first, count in runs:
        for start in range(first, first + count, most):
            yield Chunks(start, min(most, first + count - start))
