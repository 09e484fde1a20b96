"""What a keeper and its carrier say to each other at the keeper's door. See `keeper/carrier.py`.

Descriptors that travel with a message are named in its docstring, in order. No message is answered by another in
turn: both sides say what happened when it has.
"""

from __future__ import annotations

import msgspec

from goldthread.names import CommitId, Epoch, KeeperId, MemberName

__all__ = [
    "AllowMember",
    "BundleArrivedNote",
    "BundleCarriedNote",
    "BundleNotCarriedNote",
    "BundleTaken",
    "CarrierNote",
    "CarryBundle",
    "CarryCommit",
    "ChunksFetchedNote",
    "CommitCarriedNote",
    "CommitNotCarriedNote",
    "CommitOvertakenNote",
    "CopyDamagedNote",
    "CopyLandedNote",
    "CopySlotNote",
    "DropMember",
    "EndCarrier",
    "FetchChunks",
    "FetchFailedNote",
    "ForgetPartner",
    "FromCarrier",
    "HeldPlace",
    "HoldCopySlot",
    "KnowPartner",
    "OvertakeCommit",
    "ToCarrier",
]


class HeldPlace(msgspec.Struct, frozen=True):
    """One slot of what is held for a partner."""

    partner: KeeperId
    member: MemberName
    index: int


# From the carrier


class CarrierNote(msgspec.Struct, frozen=True, tag=True):
    """A carrier comes, or comes back. What it holds it has said before, slot by slot."""

    port: int
    """Where partners' carriers reach it."""


class CopySlotNote(msgspec.Struct, frozen=True, tag=True):
    """What it holds, or has made in place of the slot that stood there. Descriptor: the slot."""

    place: HeldPlace


class CopyLandedNote(msgspec.Struct, frozen=True, tag=True):
    """A commit of a partner's member is whole."""

    place: HeldPlace
    commit: CommitId
    bytes: int


class CopyDamagedNote(msgspec.Struct, frozen=True, tag=True):
    """A commit of a partner's member that was whole is so no more: it was read again."""

    place: HeldPlace
    text: str


class CommitCarriedNote(msgspec.Struct, frozen=True, tag=True):
    """The partner has this commit whole: the one that was to be carried, or a newer one."""

    partner: KeeperId
    member: MemberName
    commit: CommitId
    sent: int
    """Bytes of payload that went over the wire for it."""
    is_read: bool
    """Whether all of it went, checked chunk by chunk."""


class CommitNotCarriedNote(msgspec.Struct, frozen=True, tag=True):
    partner: KeeperId
    member: MemberName
    text: str
    damaged: bool = False
    """Whether what was to be carried is not what was sealed."""


class CommitOvertakenNote(msgspec.Struct, frozen=True, tag=True):
    """What was under way is given up for the newer commit that `OvertakeCommit` named: that is to be lent now."""

    partner: KeeperId
    member: MemberName


class ChunksFetchedNote(msgspec.Struct, frozen=True, tag=True):
    """The answer to `FetchChunks`."""

    ticket: int
    landed: tuple[int, ...]
    """The chunks that came, of those that were asked for. Whether they are whole is for the asker to see."""


class FetchFailedNote(msgspec.Struct, frozen=True, tag=True):
    """The other answer to `FetchChunks`."""

    ticket: int
    error: str
    """The name of a class in `errors.py`."""
    text: str
    hint: str


class BundleArrivedNote(msgspec.Struct, frozen=True, tag=True):
    """Answered by `BundleTaken`."""

    ticket: int
    partner: KeeperId
    member: MemberName
    digest: str
    data: bytes


class BundleCarriedNote(msgspec.Struct, frozen=True, tag=True):
    partner: KeeperId
    member: MemberName
    digest: str
    differences: tuple[str, ...]


class BundleNotCarriedNote(msgspec.Struct, frozen=True, tag=True):
    partner: KeeperId
    member: MemberName
    text: str


# To the carrier


class KnowPartner(msgspec.Struct, frozen=True, tag=True):
    """Where the partner's carrier is, and how fast copies may go there. Said again when any of it changes."""

    partner: KeeperId
    addresses: tuple[str, ...]
    """`host:port`, best first."""
    bandwidth: int
    """Bytes per second; 0: what the host can spare."""


class ForgetPartner(msgspec.Struct, frozen=True, tag=True):
    """The bond is over: end its connections, and let go of all that is held for it."""

    partner: KeeperId


class CarryCommit(msgspec.Struct, frozen=True, tag=True):
    """Bring this commit to the partner, in place of one that waits. Descriptor: its slot, pinned for reading."""

    partner: KeeperId
    member: MemberName
    commit: CommitId


class OvertakeCommit(msgspec.Struct, frozen=True, tag=True):
    """There is a commit that is newer than the one under way."""

    partner: KeeperId
    member: MemberName
    commit: CommitId


class AllowMember(msgspec.Struct, frozen=True, tag=True):
    """Take the partner's commits of this member, from this life on, of at most so many bytes each."""

    partner: KeeperId
    member: MemberName
    epoch: Epoch
    bytes_most: int


class DropMember(msgspec.Struct, frozen=True, tag=True):
    """Let go of what is held of it, and take nothing more."""

    partner: KeeperId
    member: MemberName


class HoldCopySlot(msgspec.Struct, frozen=True, tag=True):
    """To a carrier that came without it: what the one before it held. Descriptor: the slot."""

    place: HeldPlace


class FetchChunks(msgspec.Struct, frozen=True, tag=True):
    """Get these chunks of a commit that the partner holds, each to its place in a file of the image's length. Where
    `chunks` is None, get the first page, manifest and table instead. Descriptor: the file."""

    ticket: int
    partner: KeeperId
    member: MemberName
    commit: CommitId
    chunks: tuple[int, ...] | None


class CarryBundle(msgspec.Struct, frozen=True, tag=True):
    """Bring what is needed to run the member to the partner."""

    partner: KeeperId
    member: MemberName
    digest: str
    data: bytes


class BundleTaken(msgspec.Struct, frozen=True, tag=True):
    """The bundle that arrived is kept; or it is not, and `refused` says why."""

    ticket: int
    differences: tuple[str, ...]
    refused: str


class EndCarrier(msgspec.Struct, frozen=True, tag=True):
    """Nothing is held and nothing is to be carried any more."""


FromCarrier = (
    CarrierNote
    | CopySlotNote
    | CopyLandedNote
    | CopyDamagedNote
    | CommitCarriedNote
    | CommitNotCarriedNote
    | CommitOvertakenNote
    | ChunksFetchedNote
    | FetchFailedNote
    | BundleArrivedNote
    | BundleCarriedNote
    | BundleNotCarriedNote
)

ToCarrier = (
    KnowPartner
    | ForgetPartner
    | CarryCommit
    | OvertakeCommit
    | AllowMember
    | DropMember
    | HoldCopySlot
    | FetchChunks
    | CarryBundle
    | BundleTaken
    | EndCarrier
)
