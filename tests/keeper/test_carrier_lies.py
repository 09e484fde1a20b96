"""A partner that lies, a stranger, and words that are none: each ends its own connection and nothing else."""

from __future__ import annotations

import contextlib
import itertools
import os
import socket
import struct
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from goldthread.errors import CommitDamaged, Fenced, PartnerError, PartnerUnreachable
from goldthread.keeper.keys import Keys, Partner
from goldthread.keeper.pipe import Pipe, answer, call
from goldthread.local import Home
from goldthread.names import CommitId, Epoch, MemberName, Step
from goldthread.rules.bond_events import CommitHeld, ReplicateFailed
from goldthread.rules.bond_orders import Replicate
from goldthread.slots.layout import CHUNK_BYTES
from goldthread.wire.image import HEADER_BYTES, SEAL_AT, Header, checksum, pack_header, peek_header
from goldthread.wire.stream import BundleKept, Chunks, Fetch, Held, Image, Offer, PutBundle, Want
from tests.keeper.carriers import SECONDS, Host, Life, allow, held_image, replicate, tie, two_hosts

CHUNKS = 8
_numbers = itertools.count()


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Host, Host, Life, CommitId]]:
    """A pair with one commit held, which no lie may touch."""
    with two_hosts(tmp_path_factory.mktemp("lies")) as (owner, holder):
        life = Life(owner, CHUNKS)
        tie(owner, holder)
        kept = life.commit()
        assert isinstance(replicate(owner, holder.me, kept), CommitHeld)
        yield owner, holder, life, kept
        life.close()


@pytest.fixture
def pipe(hosts: tuple[Host, Host, Life, CommitId]) -> Iterator[Pipe]:
    """A connection of the owner to the holder's carrier. After the lie all is as it was, and work goes on."""
    owner, holder, life, kept = hosts
    pipe = call(owner.keys, [f"127.0.0.1:{holder.port()}"], holder.me)
    yield pipe
    pipe.close()
    assert held_image(holder, owner.me, kept) == life.image(kept)
    again = call(owner.keys, [f"127.0.0.1:{holder.port()}"], holder.me)
    again.send(Fetch(life.member, kept, ((0, CHUNKS),)))
    again.receive()
    again.close()


def image_of(header: Header, payload: bytes) -> bytes:
    """A sealed image of this header, with a table that fits the payload."""
    chunks = [payload[at : at + header.chunk_bytes] for at in range(0, len(payload), header.chunk_bytes)]
    table = b"".join(checksum(chunk) for chunk in chunks)
    manifest = bytes(header.manifest_bytes)
    first = pack_header(header, manifest, table).ljust(SEAL_AT, b"\0") + struct.pack("<Q", header.sequence)
    return first.ljust(HEADER_BYTES, b"\0") + payload + manifest + table


def header_of(
    epoch: int = 2, member: str = "walk", chunk: int = CHUNK_BYTES, payload: int = CHUNKS * CHUNK_BYTES
) -> Header:
    return Header(MemberName(member), Epoch(epoch), Step(9), 9, payload or CHUNKS * CHUNK_BYTES, 100, chunk)


def offer(pipe: Pipe, image: bytes, proof_from: int | None = None) -> object:
    header = peek_header(image[:HEADER_BYTES])
    assert header is not None
    proof = image[header.manifest_at if proof_from is None else proof_from :]
    pipe.send(Offer(image[:HEADER_BYTES]), [memoryview(proof)])
    return pipe.receive()[0]


def test_wrong_bytes_are_not_taken(pipe: Pipe) -> None:
    """A chunk that has not its checksum does not count, and the commit does not become held."""
    image = image_of(header_of(), os.urandom(CHUNKS * CHUNK_BYTES))
    assert offer(pipe, image) == Want(((0, CHUNKS),))
    wrong = bytearray(image[HEADER_BYTES : HEADER_BYTES + CHUNKS * CHUNK_BYTES])
    wrong[CHUNK_BYTES] ^= 1
    pipe.send(Chunks(0, CHUNKS), [memoryview(wrong)])
    with pytest.raises(CommitDamaged, match="1 of 8 chunks"):
        pipe.receive()


def test_what_landed_beside_wrong_bytes_stays(pipe: Pipe, hosts: tuple[Host, Host, Life, CommitId]) -> None:
    """The next try wants the wrong chunk alone."""
    owner, holder, _, _ = hosts
    image = image_of(header_of(epoch=3), os.urandom(CHUNKS * CHUNK_BYTES))
    assert offer(pipe, image) == Want(((0, CHUNKS),))
    wrong = bytearray(image[HEADER_BYTES : HEADER_BYTES + CHUNKS * CHUNK_BYTES])
    wrong[3 * CHUNK_BYTES] ^= 1
    pipe.send(Chunks(0, CHUNKS), [memoryview(wrong)])
    with pytest.raises(CommitDamaged):
        pipe.receive()
    again = call(owner.keys, [f"127.0.0.1:{holder.port()}"], holder.me)
    assert offer(again, image) == Want(((3, 1),))
    again.close()


@pytest.mark.parametrize("at", [10, 40, SEAL_AT, HEADER_BYTES + CHUNKS * CHUNK_BYTES + 5, -1])
def test_a_header_without_its_root_is_not_taken(pipe: Pipe, at: int) -> None:
    """One bit anywhere in header, seal, manifest or table."""
    image = bytearray(image_of(header_of(), os.urandom(CHUNKS * CHUNK_BYTES)))
    image[at] ^= 1
    pipe.send(Offer(bytes(image[:HEADER_BYTES])), [memoryview(image)[HEADER_BYTES + CHUNKS * CHUNK_BYTES :]])
    with pytest.raises(PartnerError):
        pipe.receive()


@pytest.mark.parametrize(
    "header",
    [
        header_of(payload=1 << 40),
        header_of(payload=1 << 62),
        header_of(chunk=1),
        header_of(chunk=1 << 40),
        header_of(epoch=(1 << 64) - 1),
        header_of(member="../walk"),
        header_of(member="other"),
    ],
    ids=["a TiB", "beyond all", "tiny chunks", "huge chunks", "no epoch", "no name", "a member of nobody"],
)
def test_sizes_and_names_that_cannot_be_are_refused(pipe: Pipe, header: Header) -> None:
    """Before any memory is given."""
    page = (pack_header(header, b"", b"").ljust(SEAL_AT, b"\0") + struct.pack("<Q", 9)).ljust(HEADER_BYTES, b"\0")
    pipe.send(Offer(page), [memoryview(bytes(116))])
    with pytest.raises(PartnerError):
        pipe.receive()


def test_an_older_life_is_fenced(pipe: Pipe, hosts: tuple[Host, Host, Life, CommitId]) -> None:
    """Whatever it says of itself."""
    owner, holder, _, _ = hosts
    allow(holder, owner.me, epoch=1)
    with pytest.raises(Fenced, match="too late"):
        offer(pipe, image_of(header_of(epoch=0), os.urandom(CHUNKS * CHUNK_BYTES)))


def test_one_name_for_two_states_is_refused(pipe: Pipe, hosts: tuple[Host, Host, Life, CommitId]) -> None:
    """A commit that is held already cannot be replaced by another one of the same name."""
    _, _, _, kept = hosts
    header = Header(MemberName("walk"), kept.epoch, kept.step, kept.sequence, CHUNKS * CHUNK_BYTES, 100, CHUNK_BYTES)
    with pytest.raises(PartnerError, match="another state"):
        offer(pipe, image_of(header, os.urandom(CHUNKS * CHUNK_BYTES)))


@pytest.mark.parametrize("chunks", [Chunks(1, 1), Chunks(0, CHUNKS + 1), Chunks(0, 0), Chunks(-1, 1), Chunks(0, -5)])
def test_chunks_that_were_not_asked_for_are_refused(pipe: Pipe, chunks: Chunks) -> None:
    """The first must be chunk 0, and nothing may come beyond the last."""
    offer(pipe, image_of(header_of(), os.urandom(CHUNKS * CHUNK_BYTES)))
    pipe.send(chunks, [memoryview(bytes(CHUNK_BYTES))])
    with pytest.raises(PartnerError, match="other chunks"):
        pipe.receive()


def test_a_length_that_is_not_the_chunks_is_refused(pipe: Pipe) -> None:
    """Bytes beyond a chunk would land in the next one."""
    offer(pipe, image_of(header_of(), os.urandom(CHUNKS * CHUNK_BYTES)))
    pipe.send(Chunks(0, 1), [memoryview(bytes(CHUNK_BYTES + 1))])
    with pytest.raises(PartnerError, match="chunks of"):
        pipe.receive()


@pytest.mark.parametrize("runs", [((0, CHUNKS + 1),), ((-1, 1),), ((0, 0),), ((2, 1), (1, 1)), ((1 << 60, 1),)])
def test_runs_that_do_not_exist_are_not_fetched(
    pipe: Pipe, hosts: tuple[Host, Host, Life, CommitId], runs: tuple[tuple[int, int], ...]
) -> None:
    """Nothing outside the payload is ever read."""
    pipe.send(Fetch(MemberName("walk"), hosts[3], runs))
    with pytest.raises(PartnerError):
        pipe.receive()


@pytest.mark.parametrize("word", [Held(CommitId(Epoch(1), Step(1), 1)), Want(()), PutBundle(MemberName("other"), "x")])
def test_words_out_of_turn_are_refused(pipe: Pipe, word: Held | Want | PutBundle) -> None:
    """What only the other side may say, and what is not allowed."""
    pipe.send(word)
    with pytest.raises(PartnerError):
        pipe.receive()


def test_a_stranger_is_not_let_in(hosts: tuple[Host, Host, Life, CommitId], tmp_path: Path) -> None:
    """Without a pinned key nothing is said."""
    _, holder, _, _ = hosts
    stranger = Keys(Home(tmp_path / "stranger"))
    stranger.pin(Partner(holder.me, "kakashi", (), (holder.keys.certificate,)))
    with pytest.raises(PartnerError):
        call(stranger, [f"127.0.0.1:{holder.port()}"], holder.me)


@pytest.mark.parametrize("garbage", [b"", b"\0" * 100, os.urandom(1 << 16), b"GET / HTTP/1.1\r\n\r\n"])
def test_garbage_ends_the_connection(hosts: tuple[Host, Host, Life, CommitId], garbage: bytes) -> None:
    """What is no TLS is not waited for."""
    _, holder, _, _ = hosts
    with socket.create_connection(("127.0.0.1", holder.port())) as stream, contextlib.suppress(OSError):
        stream.sendall(garbage)
        stream.shutdown(socket.SHUT_WR)
        while stream.recv(1 << 16):
            pass


@pytest.mark.parametrize(
    "word",
    [
        Want(((0, CHUNKS + 1),)),
        Want(((-1, 1),)),
        Want(((1, 1), (0, 1))),
        Held(CommitId(Epoch(1), Step(0), 1)),
        BundleKept(()),
    ],
)
def test_a_holder_that_answers_what_cannot_be(
    hosts: tuple[Host, Host, Life, CommitId], word: Want | Held | BundleKept
) -> None:
    """The owner counts the commit as not held, and sends nothing that is not payload."""
    owner, holder, _, _ = hosts
    life = Life(owner, CHUNKS, member=MemberName(f"member{next(_numbers)}"))
    life.commit()
    with socket.create_server(("127.0.0.1", 0)) as door:

        def lie() -> None:
            pipe = answer(holder.keys, door.accept()[0])
            _, bulk = pipe.receive()
            pipe.read(bulk)
            pipe.send(word)
            pipe.wait(SECONDS)
            pipe.close()

        def cut_off() -> None:
            with contextlib.suppress(PartnerUnreachable):
                lie()

        liar = threading.Thread(target=cut_off)
        liar.start()
        real, false = holder.port(), door.getsockname()[1]
        owner.do(lambda: owner.carriage.know(holder.me, (f"127.0.0.1:{false}",), 0))
        owner.do(lambda: owner.carriage.replicate(Replicate(life.member, life.commit(), holder.me)))
        assert isinstance(owner.hears_of_commit(), ReplicateFailed)
        owner.do(lambda: owner.carriage.know(holder.me, (f"127.0.0.1:{real}",), 0))
        liar.join()
    life.close()


def test_a_crowd_of_strangers_shuts_no_partner_out(hosts: tuple[Host, Host, Life, CommitId]) -> None:
    """They connect and prove nothing; whoever proves a key is served, and waits for none of them."""
    owner, holder, life, kept = hosts
    with contextlib.ExitStack() as crowd:
        for _ in range(300):
            crowd.enter_context(socket.create_connection(("127.0.0.1", holder.port())))
        pipe = call(owner.keys, [f"127.0.0.1:{holder.port()}"], holder.me)
        pipe.send(Fetch(life.member, kept, ()))
        assert isinstance(pipe.receive()[0], Image)
        pipe.close()
