"""Which chunk of a damaged commit comes from where.

A commit is mended chunk by chunk from all copies of it that there are. What vouches for a chunk is its checksum in the
table, and for the table the root in the header: so any copy whose header, manifest and table (its *proof*) have their
root says what every chunk must be, and a copy whose proof is damaged can still lend the chunks that match it. A mix of
copies is therefore as good as the commit that was sealed, bit for bit, or it is not made at all.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

import msgspec

from goldthread.rules.bond_events import Patch

__all__ = ["Lender", "Repair", "plan_repair"]


class Lender(msgspec.Struct, frozen=True):
    """One copy, and what it has of the commit."""

    source: str
    """As people are told: `own memory`, `the vault`, `kakashi`. Several copies may lie in one place."""
    chunks: frozenset[int]
    """Those with the checksum that the trusted table names."""


class Repair(msgspec.Struct, frozen=True):
    """Where each chunk comes from."""

    proof: str
    """The source of header, manifest and table."""
    takes: tuple[tuple[int, ...], ...]
    """For each lender the chunks that come from it, in rising order."""
    missing: tuple[int, ...]
    """Those that no lender has."""
    patches: tuple[Patch, ...]
    text: str
    """`3 of 1024 chunks came from kakashi, the rest from own memory`; or what is missing."""


def plan_repair(proof: str, chunk_count: int, lenders: Sequence[Lender]) -> Repair:
    """Take each chunk from the first lender that has it; `proof` is where header, manifest and table are from."""
    missing = set(range(chunk_count))
    takes = []
    for lender in lenders:
        taken = lender.chunks & missing
        missing -= taken
        takes.append(tuple(sorted(taken)))
    counts: Counter[str] = Counter()
    for lender, taken_chunks in zip(lenders, takes, strict=True):
        counts[lender.source] += len(taken_chunks)
    patches = tuple(Patch(count, source) for source, count in counts.items() if count)
    if missing:
        text = f"{len(missing)} of {chunk_count} chunks are whole in no copy ({_places(counts)})"
    else:
        text = _tell(proof, chunk_count, patches)
    return Repair(proof, tuple(takes), tuple(sorted(missing)), patches, text)


def _tell(proof: str, chunk_count: int, patches: Sequence[Patch]) -> str:
    if not patches:
        return f"header, manifest and table came from {proof}"
    most = max(patches, key=lambda patch: patch.chunks)
    others = [patch for patch in patches if patch is not most]
    if others:
        first = f"{others[0].chunks} of {chunk_count} chunks came from {others[0].source}"
        said = [first, *(f"{patch.chunks} from {patch.source}" for patch in others[1:])]
        text = f"{', '.join(said)}, the rest from {most.source}"
    else:
        text = f"all {chunk_count} chunks came from {most.source}"
    return text if proof == most.source else f"{text}; header, manifest and table from {proof}"


def _places(sources: Iterable[str]) -> str:
    return ", ".join(sources) or "none is left"
