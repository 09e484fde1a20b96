"""A commit put together from several copies: slots, vault files, and what a partner sent.

A copy is read here as a file, chunk by chunk, and never mapped: a bad block of a disk is an error then and no signal,
and the keeper stays small. Nothing is believed but checksums.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from typing import Final

import msgspec

from goldthread.errors import CommitDamaged
from goldthread.names import CommitId, MemberName
from goldthread.rules.repair import Lender, Repair, plan_repair
from goldthread.wire.image import CHECKSUM_BYTES, HEADER_BYTES, SEAL_AT, Header, checksum, pack_header, peek_header

__all__ = ["Proof", "Source", "fill_holes", "survey"]

_SEAL_END: Final = SEAL_AT + 8


class Proof(msgspec.Struct, frozen=True):
    """All of an image but its payload: header, manifest and table, which have their root."""

    header: Header
    page: bytes
    manifest: bytes
    table: bytes

    def is_whole(self, chunk: bytes, index: int) -> bool:
        at = CHECKSUM_BYTES * index
        return checksum(chunk) == self.table[at : at + CHECKSUM_BYTES]


class Source:
    """One file in which chunks of the commit may lie."""

    def __init__(self, name: str, descriptor: int, only: Collection[int] | None = None) -> None:
        """Of a file that a fetch has filled, `only` these chunks came; the rest of it is nobody's."""
        self.name = name
        self.descriptor = descriptor
        self._only = only

    def header(self) -> Header | None:
        """What the first page says, unproved; None for an open image, or none at all."""
        with suppress(CommitDamaged, OSError):
            return peek_header(os.pread(self.descriptor, HEADER_BYTES, 0))
        return None

    def proof(self, member: MemberName, commit: CommitId) -> Proof | None:
        """None where it is damaged, or not this commit's."""
        header = self.header()
        if header is None or (header.member, header.commit) != (member, commit):
            return None
        with suppress(OSError):
            if header.image_bytes <= os.fstat(self.descriptor).st_size:
                page = os.pread(self.descriptor, HEADER_BYTES, 0)
                manifest = os.pread(self.descriptor, header.manifest_bytes, header.manifest_at)
                table = os.pread(self.descriptor, header.image_bytes - header.table_at, header.table_at)
                fields = pack_header(header, manifest, table)
                if page[: len(fields)] == fields and page[SEAL_AT:_SEAL_END] == _seal_of(commit):
                    return Proof(header, page, manifest, table)
        return None

    def chunk(self, proof: Proof, index: int) -> bytes | None:
        """None where it is not what was sealed."""
        start, end = proof.header.chunk_range(index)
        with suppress(OSError):
            chunk = os.pread(self.descriptor, end - start, start)
            if proof.is_whole(chunk, index):
                return chunk
        return None

    def whole_chunks(self, proof: Proof, wanted: Iterable[int]) -> frozenset[int]:
        """Those of the wanted chunks that are here."""
        here = (index for index in wanted if self._only is None or index in self._only)
        return frozenset(index for index in here if self.chunk(proof, index) is not None)


def survey(sources: Sequence[Source], member: MemberName, commit: CommitId) -> tuple[Proof, Repair] | None:
    """What each chunk must be, and where it comes from; None where no source has a whole proof.

    Where proofs differ, which no accident explains, the one for which least is missing is taken.
    """
    plans: list[tuple[Proof, Repair]] = []
    for source in sources:
        proof = source.proof(member, commit)
        if proof is not None and all(proof.table != other.table for other, _ in plans):
            plans.append((proof, _plan(source.name, proof, sources)))
    return min(plans, key=lambda plan: len(plan[1].missing), default=None)


def _plan(name: str, proof: Proof, sources: Iterable[Source]) -> Repair:
    """A source is asked only for what those before it do not have."""
    missing: Collection[int] = range(proof.header.chunk_count)
    lenders = []
    for source in sources:
        whole = source.whole_chunks(proof, missing)
        missing = [index for index in missing if index not in whole]
        lenders.append(Lender(source.name, whole))
    return plan_repair(name, proof.header.chunk_count, lenders)


def fill_holes(target: int, proof: Proof, sources: Sequence[Source], repair: Repair) -> None:
    """Write what `target` lacks, then prove all of it. Nobody else reads or writes it meanwhile.

    Raises `CommitDamaged` where that fails; the target is no more whole then than it was.
    """
    header, mended = proof.header, Source("", target)
    if mended.proof(header.member, header.commit) != proof:
        os.pwrite(target, proof.page[:SEAL_AT] + bytes(_SEAL_END - SEAL_AT) + proof.page[_SEAL_END:], 0)
        os.pwrite(target, proof.manifest + proof.table, header.manifest_at)
    for source, chunks in zip(sources, repair.takes, strict=True):
        if source.descriptor != target:
            for index in chunks:
                chunk = source.chunk(proof, index)
                if chunk is None:
                    raise CommitDamaged(f"chunk {index} in {source.name} changed while it was taken")
                os.pwrite(target, chunk, header.chunk_range(index)[0])
    os.pwrite(target, _seal_of(header.commit), SEAL_AT)
    whole = mended.whole_chunks(proof, range(header.chunk_count))
    if mended.proof(header.member, header.commit) != proof or len(whole) < header.chunk_count:
        raise CommitDamaged("what was written is not what is read: the memory of this host does not keep it")


def _seal_of(commit: CommitId) -> bytes:
    return commit.sequence.to_bytes(_SEAL_END - SEAL_AT, "little")
