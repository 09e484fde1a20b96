"""What shall be done between keepers: the machine's orders beside those of `orders.py`."""

from __future__ import annotations

import msgspec

from goldthread.names import CommitId, Epoch, Instant, KeeperId, MemberName, Span
from goldthread.report import Guard, HolderState, Phase
from goldthread.rules.events import Copy
from goldthread.terms import Consent, Terms
from goldthread.wire.bonds import Facts
from goldthread.wire.leases import Lease

__all__ = [
    "AdoptCopies",
    "AllowCopies",
    "AnswerBeat",
    "BondOrder",
    "BondRecord",
    "DropCopies",
    "EndBond",
    "ForgetBond",
    "ForgetHeld",
    "HeldRecord",
    "MakeBundle",
    "MendCopy",
    "Overtake",
    "ReadLease",
    "Replicate",
    "SeekPartners",
    "SendBeat",
    "SendBundle",
    "SwapLease",
    "TieWith",
    "Vouch",
    "forgotten_bond",
]


class BondRecord(msgspec.Struct, frozen=True):
    """All that a new keeper must know of a bond to go on. Keys and addresses are the hands' to keep."""

    partner: KeeperId
    name: str
    mine: Terms
    theirs: Terms
    version: int
    """Of this side's facts: it never decreases, also across keepers."""
    ending: bool = False
    """A user has ended it, and the partner does not know yet."""
    ended: bool = False
    """It is over: both still know each other's keys and terms, and nothing is held but in an emergency."""
    emergency: str = ""
    """Why it was tied with nobody asked; empty where a person tied it, or has confirmed it. Of one that is over: a
    person ended it, and it is not tied so again."""
    forgotten: bool = False
    """The journal was lost, and the bond is known by the partner's key alone."""


def forgotten_bond(partner: KeeperId, name: str, version: int) -> BondRecord:
    """A bond of which the journal does not know. `version` is above all that the partner may have seen.

    What this side lent is not known any more: the terms are the defaults, and a takeover is for a person to decide.
    """
    return BondRecord(partner, name, Terms(takeover=Consent.ASK), Terms(), version, forgotten=True)


class HeldRecord(msgspec.Struct, frozen=True):
    """A member that is held for a partner."""

    partner: KeeperId
    member: MemberName
    origin: KeeperId
    epoch: Epoch
    state: HolderState
    reason: str
    phase: Phase
    guard: Guard
    given_up: bool
    newest: CommitId | None
    """The newest that the owner has told of."""
    bytes: int
    commit: CommitId | None
    """The newest whole one here."""
    bundle: str
    """Digest of the bundle that is here."""
    wanted: bool = False
    """A person wants it taken over, whatever is known of its owner."""
    floor: Epoch = Epoch(0)
    """As in `OwnedFact`."""


# The link


class SendBeat(msgspec.Struct, frozen=True, tag=True):
    """Answered by `BeatAnswered`, or by nothing."""

    partner: KeeperId
    number: int
    facts: Facts | None


class AnswerBeat(msgspec.Struct, frozen=True, tag=True):
    partner: KeeperId
    number: int
    facts_seen: int
    promise: Span
    promised: tuple[MemberName, ...]


class EndBond(msgspec.Struct, frozen=True, tag=True):
    """Tell the partner that the bond is over; answered by `BondOver` when it has agreed."""

    partner: KeeperId
    text: str


class ForgetBond(msgspec.Struct, frozen=True, tag=True):
    """Remove the bond from the journal, end its links, and forget the partner's key."""

    partner: KeeperId


# New partners


class SeekPartners(msgspec.Struct, frozen=True, tag=True):
    """Ask the keepers of this circle that can be reached, and are not known by key, who they are; answered by
    `PartnersFound`."""


class TieWith(msgspec.Struct, frozen=True, tag=True):
    """Tie a bond with a keeper that `PartnersFound` told of; answered by `BondTied`, or by nothing."""

    keeper: KeeperId
    reason: str


# Leases


class ReadLease(msgspec.Struct, frozen=True, tag=True):
    """Answered by `LeaseFound` or `LeaseUnknown`."""

    member: MemberName
    ask: int


class SwapLease(msgspec.Struct, frozen=True, tag=True):
    """Put `lease` in place of the record that stands there under `over` (None: where there is none).

    Answered by `LeaseGranted`, `LeaseFound` (something else stands there) or `LeaseUnknown`."""

    member: MemberName
    ask: int
    lease: Lease
    over: str | None


class Vouch(msgspec.Struct, frozen=True, tag=True):
    """Owner: this life may seal commits until then. The program itself keeps to it, also when its keeper sleeps."""

    member: MemberName
    epoch: Epoch
    until: Instant | None
    """None: without end, nobody else can run the member."""


# Copies


class Replicate(msgspec.Struct, frozen=True, tag=True):
    """Owner: bring this commit, or the newest of its life if that is newer by now, to the partner.

    Answered by `CommitHeld` or `ReplicateFailed`. One is under way for each member at a time."""

    member: MemberName
    commit: CommitId
    partner: KeeperId


class Overtake(msgspec.Struct, frozen=True, tag=True):
    """Owner: this commit is newer than the one under way to the partner. The carrier turns to it where
    `may_overtake` says so. It has no answer of its own: `Replicate` is answered by what is held in the end."""

    member: MemberName
    commit: CommitId
    partner: KeeperId


class AllowCopies(msgspec.Struct, frozen=True, tag=True):
    """Holder: let the partner's commits of this member come in, from this epoch on, of at most so many bytes each."""

    partner: KeeperId
    member: MemberName
    epoch: Epoch
    bytes_most: int


class DropCopies(msgspec.Struct, frozen=True, tag=True):
    """Holder: let go of what is held of this member, and let nothing more come in."""

    partner: KeeperId
    member: MemberName


class AdoptCopies(msgspec.Struct, frozen=True, tag=True):
    """Holder: what is held of this member is its own now: its copies count as `SEALED`, its command is the bundle's."""

    partner: KeeperId
    member: MemberName


class MendCopy(msgspec.Struct, frozen=True, tag=True):
    """Make this commit whole in a slot, from every copy of it that is named; answered by `CopyMended`.

    The first copy is the one to be mended where it is in memory; a copy of level `HELD` is fetched from `partner`."""

    member: MemberName
    commit: CommitId
    copies: tuple[Copy, ...]
    partner: KeeperId | None


class MakeBundle(msgspec.Struct, frozen=True, tag=True):
    """Owner: gather what is needed to run this member elsewhere; answered by `BundleMade`."""

    member: MemberName


class SendBundle(msgspec.Struct, frozen=True, tag=True):
    """Owner: bring what is needed to run this member to the holder; answered by `BundleSent` or `BundleFailed`."""

    member: MemberName
    partner: KeeperId


class ForgetHeld(msgspec.Struct, frozen=True, tag=True):
    """Remove from the journal that this member is held."""

    partner: KeeperId
    member: MemberName


BondOrder = (
    SendBeat
    | AnswerBeat
    | EndBond
    | ForgetBond
    | ReadLease
    | SwapLease
    | Vouch
    | Replicate
    | Overtake
    | AllowCopies
    | DropCopies
    | AdoptCopies
    | MendCopy
    | MakeBundle
    | SendBundle
    | ForgetHeld
    | SeekPartners
    | TieWith
)
