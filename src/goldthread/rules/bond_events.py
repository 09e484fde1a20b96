"""What happened between keepers: the machine's events beside those of `events.py`.

For an order with an `ask` exactly one of the three answers of the lease store comes, in the order of asking.
"""

from __future__ import annotations

import msgspec

from goldthread.names import CommitId, KeeperId, MemberName, Span
from goldthread.rules.events import Copy
from goldthread.terms import Terms
from goldthread.wire.bonds import Facts
from goldthread.wire.leases import Lease

__all__ = [
    "BeatAnswered",
    "BeatHeard",
    "BondConfirmed",
    "BondEndAsked",
    "BondEvent",
    "BondForgetAsked",
    "BondOver",
    "BondTied",
    "BundleFailed",
    "BundleLanded",
    "BundleMade",
    "BundleSent",
    "CommitHeld",
    "CopiesGone",
    "CopyLanded",
    "CopyMended",
    "HoldAsked",
    "LeaseFound",
    "LeaseGranted",
    "LeaseUnknown",
    "LinkLost",
    "LinkUp",
    "PartnerOffer",
    "PartnersFound",
    "Patch",
    "ReplicateFailed",
    "TakeoverAsked",
    "TermsAsked",
]


# The bond


class BondTied(msgspec.Struct, frozen=True, tag=True):
    """An invitation was accepted, or the circle tied it: both keep the other's key."""

    partner: KeeperId
    name: str
    mine: Terms
    theirs: Terms
    reason: str = ""
    """Why it was tied with nobody asked, in a circle; empty where a person tied it."""


class PartnerOffer(msgspec.Struct, frozen=True):
    """A keeper of this circle that answered, and what it says of itself."""

    keeper: KeeperId
    name: str
    label: str
    terms: Terms
    partners: tuple[KeeperId, ...]
    """Those that it hears."""


class PartnersFound(msgspec.Struct, frozen=True, tag=True):
    """The answer to `SeekPartners`: who answered in time, perhaps nobody."""

    offers: tuple[PartnerOffer, ...]


class TermsAsked(msgspec.Struct, frozen=True, tag=True):
    """A user changes the terms of this side."""

    ticket: int
    partner: KeeperId
    mine: Terms


class BondEndAsked(msgspec.Struct, frozen=True, tag=True):
    """A user ends the bond, in peace."""

    ticket: int
    partner: KeeperId


class BondConfirmed(msgspec.Struct, frozen=True, tag=True):
    """A person agrees to a bond that was tied in an emergency."""

    ticket: int
    partner: KeeperId


class BondForgetAsked(msgspec.Struct, frozen=True, tag=True):
    """A user wants nothing kept of a keeper with which the bond is over."""

    ticket: int
    partner: KeeperId


class BondOver(msgspec.Struct, frozen=True, tag=True):
    """The partner has ended the bond, or has agreed that it is over."""

    partner: KeeperId
    text: str


# The link


class LinkUp(msgspec.Struct, frozen=True, tag=True):
    """The partner answers on the link that this keeper dialled: beats may be sent."""

    partner: KeeperId
    name: str


class LinkLost(msgspec.Struct, frozen=True, tag=True):
    """That link ended. A quick sign, not a proof."""

    partner: KeeperId
    text: str


class BeatHeard(msgspec.Struct, frozen=True, tag=True):
    """Answered at once by `AnswerBeat`."""

    partner: KeeperId
    number: int
    facts: Facts | None


class BeatAnswered(msgspec.Struct, frozen=True, tag=True):
    """The answer to `SendBeat`; what it promises counts from when the beat was sent."""

    partner: KeeperId
    number: int
    facts_seen: int
    promise: Span
    promised: tuple[MemberName, ...]


# Leases


class LeaseGranted(msgspec.Struct, frozen=True, tag=True):
    """The swap was done: `lease` stands in the store, under `version`."""

    member: MemberName
    ask: int
    lease: Lease
    version: str


class LeaseFound(msgspec.Struct, frozen=True, tag=True):
    """What stands in the store: the answer to `ReadLease`, or to a swap that was refused since this stands there."""

    member: MemberName
    ask: int
    lease: Lease | None
    version: str | None
    """None where there is no record."""


class LeaseUnknown(msgspec.Struct, frozen=True, tag=True):
    """The store did not answer in time: what was asked may be done or not."""

    member: MemberName
    ask: int
    text: str


# Copies


class CommitHeld(msgspec.Struct, frozen=True, tag=True):
    """Owner: the holder has this commit whole. The answer to `Replicate`; it may be newer than what was ordered."""

    member: MemberName
    partner: KeeperId
    commit: CommitId
    sent: int = 0
    """Bytes of its chunks that went there: of those only that the holder lacked."""
    is_read: bool = False
    """Whether these were all: then the commit was read on its way, and found whole."""


class ReplicateFailed(msgspec.Struct, frozen=True, tag=True):
    """Owner: the other answer to `Replicate`."""

    member: MemberName
    partner: KeeperId
    text: str
    damaged: bool = False
    """Whether it is the owner's copy that is not what was sealed."""


class CopyLanded(msgspec.Struct, frozen=True, tag=True):
    """Holder: a commit of a partner's member is whole here."""

    partner: KeeperId
    member: MemberName
    copy: Copy
    """Its level is `HELD`."""


class CopiesGone(msgspec.Struct, frozen=True, tag=True):
    """Holder: what was held of this member is lost (the carrier died, memory was taken), or damaged."""

    partner: KeeperId
    member: MemberName
    text: str
    damaged: bool = False


class Patch(msgspec.Struct, frozen=True):
    """So many chunks of a mended copy came from there."""

    chunks: int
    source: str
    """`own memory`, `kakashi`, `the vault`."""


class CopyMended(msgspec.Struct, frozen=True, tag=True):
    """The answer to `MendCopy`: the commit is whole in a slot of this keeper, or cannot be made whole."""

    member: MemberName
    commit: CommitId
    whole: bool
    patches: tuple[Patch, ...]
    text: str
    """What was mended from where, or why it could not be: `3 of 1024 chunks came from kakashi`."""


# What a takeover needs


class BundleMade(msgspec.Struct, frozen=True, tag=True):
    """Owner: what is needed to run the member was gathered. `digest` is empty where that could not be done."""

    member: MemberName
    digest: str
    text: str
    """What was left out, or why there is none."""


class BundleSent(msgspec.Struct, frozen=True, tag=True):
    """Owner: the holder has the bundle, and says how its host differs; the answer to `SendBundle`."""

    member: MemberName
    partner: KeeperId
    digest: str
    differences: tuple[str, ...]
    """`Python 3.12.1 there, 3.11.2 here`, `numpy 2.3 there, 2.4 here`."""


class BundleFailed(msgspec.Struct, frozen=True, tag=True):
    """Owner: the other answer to `SendBundle`."""

    member: MemberName
    partner: KeeperId
    text: str


class BundleLanded(msgspec.Struct, frozen=True, tag=True):
    """Holder: what is needed to run a partner's member is here."""

    partner: KeeperId
    member: MemberName
    digest: str


# What people ask


class TakeoverAsked(msgspec.Struct, frozen=True, tag=True):
    """A user wants the next life of a member to run at `to`: this keeper, or (the member is owned here) a partner."""

    ticket: int
    member: MemberName
    to: KeeperId


class HoldAsked(msgspec.Struct, frozen=True, tag=True):
    """Somebody waits until the member's newest sealed commit, or a newer one, is held."""

    ticket: int
    member: MemberName


BondEvent = (
    BondTied
    | PartnersFound
    | TermsAsked
    | BondEndAsked
    | BondConfirmed
    | BondForgetAsked
    | BondOver
    | LinkUp
    | LinkLost
    | BeatHeard
    | BeatAnswered
    | LeaseGranted
    | LeaseFound
    | LeaseUnknown
    | CommitHeld
    | ReplicateFailed
    | CopyLanded
    | CopiesGone
    | CopyMended
    | BundleMade
    | BundleSent
    | BundleFailed
    | BundleLanded
    | TakeoverAsked
    | HoldAsked
)
