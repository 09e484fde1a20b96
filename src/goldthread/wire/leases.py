"""The record of a lease, as it stands in a lease store: who may run a member, under which epoch.

A lease store is a register with compare-and-swap for each member: it knows no time and decides nothing. A lease is
renewed by writing it again with a higher count. Whoever wants to take it must see the record unchanged for its whole
`span` on a clock of his own, and then swap exactly that record for his. The record is never deleted, so its epoch
never decreases.
"""

from __future__ import annotations

from typing import Final

import msgspec

from goldthread.errors import PartnerError, UsageError
from goldthread.names import Epoch, KeeperId, MemberName, Span, member_name
from goldthread.wire.scrutiny import check_keeper_id, printable

__all__ = ["LEASE_BYTES_MOST", "Lease", "decode_lease", "encode_lease"]

LEASE_BYTES_MOST: Final = 4096
_NUMBER_MOST: Final = 1 << 62


class Lease(msgspec.Struct, frozen=True):
    member: MemberName
    origin: KeeperId
    """Where the member began its first life: another member of the same name is another member."""
    epoch: Epoch
    owner: KeeperId | None
    """None: the last owner has given it up."""
    successor: KeeperId | None
    """The one that may claim it when the owner is lost: it has the newest copy. None: whoever has one."""
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
    """Raises `PartnerError` where the bytes are no lease. A store may hold what others have written there."""
    if len(record) > LEASE_BYTES_MOST:
        raise PartnerError(f"a lease of {len(record)} bytes is longer than the limit of {LEASE_BYTES_MOST}")
    try:
        lease = _decoder.decode(record)
        member_name(lease.member)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, UsageError) as error:
        raise PartnerError(f"a lease could not be read: {printable(str(error))}") from error
    for keeper in (lease.origin, lease.owner, lease.successor):
        if keeper is not None:
            check_keeper_id(keeper)
    if not (0 <= lease.epoch <= _NUMBER_MOST and 0 <= lease.count <= _NUMBER_MOST and 0 < lease.span <= _NUMBER_MOST):
        raise PartnerError(
            f"a lease under epoch {lease.epoch} with count {lease.count} and span {lease.span} cannot be right"
        )
    return lease
