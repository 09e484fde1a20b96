"""The record of a lease, as it stands in a lease store: who may run a member, under which epoch.

A lease store is a register with compare-and-swap for each member: it knows no time and decides nothing. A lease is
renewed by writing it again with a higher count. Whoever wants to take it must see the record unchanged for its whole
`span` on a clock of his own, and then swap exactly that record for his. The record is never deleted, so its epoch
never decreases.
"""

from __future__ import annotations

from typing import Final

import msgspec

from goldthread.errors import PartnerError
from goldthread.names import Epoch, KeeperId, MemberName, Span

__all__ = ["LEASE_BYTES_MOST", "Lease", "decode_lease", "encode_lease"]

LEASE_BYTES_MOST: Final = 4096


class Lease(msgspec.Struct, frozen=True):
    member: MemberName
    origin: KeeperId
    """Where the member began its first life: another member of the same name is another member."""
    epoch: Epoch
    owner: KeeperId | None
    """None: the last owner has given it up."""
    count: int
    """Grows with each renewal, so that no two records are alike."""
    span: Span
    """For how long after a renewal the owner counts on it."""


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Lease)


def encode_lease(lease: Lease) -> bytes:
    """JSON, so that people can read the store."""
    return _encoder.encode(lease)


def decode_lease(record: bytes) -> Lease:
    """Raises `PartnerError` where the bytes are no lease."""
    if len(record) > LEASE_BYTES_MOST:
        raise PartnerError(f"a lease of {len(record)} bytes is longer than the limit of {LEASE_BYTES_MOST}")
    try:
        lease = _decoder.decode(record)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise PartnerError(f"a lease could not be read: {error}") from error
    if lease.epoch < 0 or lease.count < 0 or lease.span <= 0:
        raise PartnerError("a lease with a negative epoch or count, or without a span, cannot be right")
    return lease
