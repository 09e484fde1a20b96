"""What arrives from outside, and what may come of it: one target for each form, with examples to begin from.

A target takes any bytes. It returns, or raises one of the errors that say that they cannot be right; whatever else
happens is a fault.
"""

from __future__ import annotations

import datetime
import random
import struct
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import numpy as np

from goldthread.errors import CommitDamaged, DoesNotFit, GoldthreadError, PartnerError, UsageError
from goldthread.names import CommitId, Epoch, KeeperId, MemberName, Span, Step
from goldthread.report import Guard, Phase
from goldthread.state.kinds.registry import REGISTRY
from goldthread.state.manifest import Structure
from goldthread.state.nodes import parse
from goldthread.state.restore import read
from goldthread.state.walk import walk
from goldthread.terms import Terms
from goldthread.wire import bonds, stream
from goldthread.wire.bundle import Bundle, BundleFile, BundleLimits, Interpreter, Tree, pack, unpack
from goldthread.wire.codec import Decoder, encode
from goldthread.wire.image import HEADER_BYTES, SEAL_AT, Header, checksum, pack_header
from goldthread.wire.invitation import Invitation, read_code, write_code
from goldthread.wire.leases import Lease, decode_lease, encode_lease
from goldthread.wire.scrutiny import check_heard

__all__ = ["TARGETS", "Target"]

ME = KeeperId("0123456789abcdef" * 2)
WALK = MemberName("walk")
COMMIT = CommitId(Epoch(1), Step(5), 5)
GREETING = bonds.Greeting(1, 1, "0.1.0", ME, "iruka", ("192.0.2.7:7070", "[::1]:7070"), 4711)
OWNED = bonds.OwnedFact(WALK, ME, Epoch(1), True, Phase.RUNNING, True, Guard.LEASE, COMMIT, 1 << 30, False, False, "ab")
HELD = bonds.HeldFact(WALK, ME, Epoch(1), COMMIT, "ab", "")
YIELDED = bonds.YieldedFact(WALK, ME, Epoch(4))
FACTS = bonds.Facts(3, Terms(), "rack 1", "", 1 << 30, (OWNED,), (HELD,), (YIELDED,))
MANIFEST, TABLE = b"\x92\xc0\x90", bytes(64)
HEADER = Header(WALK, Epoch(1), Step(5), 5, 1 << 20, len(MANIFEST), 1 << 18)
PAGE = stream.first_bytes(HEADER, memoryview(MANIFEST + TABLE)).ljust(HEADER_BYTES, b"\0")
PROGRAM = Bundle(
    WALK,
    ("python", "walk.py"),
    "/srv/walk",
    {"LANG": "C"},
    (Tree("/srv/walk", (BundleFile("walk.py", False, b"print()"),)),),
    Interpreter("/usr/bin/python", "CPython", "3.12.1", "linux x86_64", {"numpy": "2.3"}),
)
ZEROS = 4096
MANIFESTS = [
    [["dict", ["step", "x"], 2], [5, 1.5]],
    [["list", ["value", ["array", "<f8", [3], "C", 0], ["same", 0]]], [None]],
    [["tuple", [["scalar", "<i8"], ["enum", "a:b"], ["bytes", 0, 5]]], [1, "RED"]],
    [[["dict", ["state"], 1], ["list", 3], "value", "array", ["same", 0]], [["<f8", [3], "C", 0]], [5]],
    [[["dict", ["state"], 1], ["list", ["object", "a:b", None]]], [], [[{"x": 1}, {"x": 2}]]],
]
STATES = (
    [1, 2.5, "text", None, b"few", 2**70, 1 + 2j, "\ud800"],
    {"a": np.arange(6.0).reshape(2, 3), "b": np.arange(8)[::2], "c": np.array(["x", "yy"]), ("k", 1): np.float32(2)},
    [{1, 2, 3}, frozenset({4}), deque([1], 3), Counter(a=1), OrderedDict(b=2), (1, (2,)), range(9), slice(1, 2)],
    [datetime.datetime(2026, 11, 30, tzinfo=datetime.UTC), datetime.timedelta(3), Decimal("1.5"), Fraction(1, 3)],
    [np.random.default_rng(1), random.Random(2), np.ma.masked_array([1, 2], [True, False]), bytearray(b"abc")],
    [ValueError("no"), Path("a/b"), UUID(int=5), {"deep": [{"x": 1, "y": [2]} for _ in range(9)]}],
)
"""What is committed, and then damaged in the manifest."""


@dataclass(frozen=True, slots=True)
class Target:
    meet: Callable[[bytes], object]
    allowed: type[GoldthreadError] | tuple[type[GoldthreadError], ...]
    examples: tuple[bytes, ...]


def frames(union: Any) -> Callable[[bytes], None]:
    """Frames of a control link, cut into pieces as a network might."""

    def meet(arrived: bytes) -> None:
        decoder = Decoder(union, error=PartnerError, bytes_most=bonds.BOND_FRAME_BYTES_MOST)
        for piece in pieces(arrived):
            for message, _ in decoder.feed(piece):
                check_heard(message)

    return meet


def pieces(arrived: bytes) -> Iterator[bytes]:
    cut = len(arrived) // 3
    yield from (arrived[:cut], arrived[cut:])


def bodies(union: Any) -> Callable[[bytes], None]:
    """The same with the right length before it, so that all of it is decoded."""
    meet = frames(union)
    return lambda body: meet(struct.pack("<IB", len(body), 0) + body)


def carried(union: Any) -> Callable[[bytes], None]:
    """What carriers say, and the pages of images in it."""
    decoder = stream.StreamDecoder(union)

    def meet(arrived: bytes) -> None:
        stream.read_head(arrived[: stream.HEAD_BYTES].ljust(stream.HEAD_BYTES, b"\0"))
        message = decoder.read(arrived[stream.HEAD_BYTES :])
        if isinstance(message, stream.StreamGreeting):
            stream.check_greeting(message)
        if isinstance(message, stream.Offer | stream.Image):
            stream.check_page(message.page)
        if isinstance(message, stream.Want):
            stream.check_runs(message.runs, HEADER)

    return meet


def page_and_proof(arrived: bytes) -> None:
    """The first page of an image, and its manifest and table."""
    page, proof = arrived[:HEADER_BYTES], memoryview(arrived)[HEADER_BYTES:]
    header = stream.check_page(page)
    stream.check_lengths(header, len(proof), 1 << 30)
    stream.check_proof(page, header, proof)


def restored(manifest: bytes) -> None:
    """The manifest of a commit with right checksums, as a partner can make it, and zeros for a payload."""
    header = Header(WALK, Epoch(1), Step(1), 1, ZEROS, len(manifest), ZEROS)
    table = checksum(bytes(ZEROS))
    image = bytearray(HEADER_BYTES + ZEROS) + manifest + table
    image[:SEAL_AT] = pack_header(header, manifest, table).ljust(SEAL_AT, b"\0")
    image[SEAL_AT : SEAL_AT + 8] = struct.pack("<Q", 1)
    read(memoryview(image), map=False, pickle=False)


def manifest_of(state: object) -> bytes:
    walked = walk({"state": state}, REGISTRY, careful=True)
    return Structure(walked).manifest(walked.values)


def packed(*messages: msgspec.Struct) -> tuple[bytes, ...]:
    return tuple(map(msgspec.msgpack.encode, messages))


def framed(*messages: msgspec.Struct) -> tuple[bytes, ...]:
    return tuple(map(stream.frame_head, messages))


SPOKEN = (
    GREETING,
    bonds.Beat(7, FACTS),
    bonds.AcceptInvitation(bytes(16), Terms()),
    bonds.ShowCircle(bytes(32)),
    bonds.TieBond(Terms(), "iruka had no partner"),
    bonds.RenewKey(bytes(40)),
    bonds.EndBond("the work is done"),
)
ANSWERED = (
    GREETING,
    bonds.BeatAnswer(7, 3, Span(1_500_000_000), (WALK,)),
    bonds.InvitationAccepted(Terms()),
    bonds.CircleShown(bytes(32), "rack 2", Terms(), (KeeperId("5" * 32),)),
    bonds.BondAgreed(Terms()),
    bonds.KeyRenewed(),
    bonds.BondEnded(),
    bonds.LinkRefused("no", "ask"),
)
CODE = write_code(Invitation(bytes(range(16)), bytes(range(32)), ("192.0.2.7:7070", "[::1]:7070")))
LEASE = Lease(WALK, ME, Epoch(3), ME, None, 17, Span(1_500_000_000))

TARGETS: dict[str, Target] = {
    "caller-frames": Target(frames(bonds.FromCaller), PartnerError, tuple(map(encode, SPOKEN))),
    "caller-bodies": Target(bodies(bonds.FromCaller), PartnerError, packed(*SPOKEN)),
    "answerer-bodies": Target(bodies(bonds.FromAnswerer), PartnerError, packed(*ANSWERED)),
    "calling-carrier": Target(
        carried(stream.FromCallingCarrier),
        PartnerError,
        framed(
            stream.StreamGreeting(1, 1, "0"),
            stream.Offer(PAGE),
            stream.Chunks(0, 4),
            stream.Fetch(WALK, COMMIT, ((0, 2),)),
            stream.PutBundle(WALK, "ab"),
        ),
    ),
    "answering-carrier": Target(
        carried(stream.FromAnsweringCarrier),
        PartnerError,
        framed(stream.Want(((0, 2), (3, 1))), stream.Held(COMMIT), stream.Image(PAGE), stream.BundleKept(("x",))),
    ),
    "image": Target(page_and_proof, PartnerError, (PAGE + MANIFEST + TABLE,)),
    "invitation": Target(lambda code: read_code(code.decode("utf-8", "replace")), UsageError, (CODE.encode(),)),
    "lease": Target(decode_lease, PartnerError, (encode_lease(LEASE),)),
    "bundle": Target(lambda bundle: unpack(bundle, BundleLimits()), PartnerError, (pack(PROGRAM),)),
    "manifest": Target(
        lambda manifest: parse(manifest, REGISTRY.kinds), CommitDamaged, tuple(map(msgspec.msgpack.encode, MANIFESTS))
    ),
    "restore": Target(restored, (CommitDamaged, DoesNotFit), tuple(map(manifest_of, STATES))),
}
