"""What two bonded keepers say to each other on the control link.

Each keeper dials its partner and sends beats on that link; the other answers them there. So a bond has two links,
one for each direction, and each side hears the other by beats and by answers alike.

What a keeper has to say of its members stands in its *facts*: all of them at once, with a version, sent again with
each beat until the partner has answered that it saw them. Lost, repeated and reordered messages therefore do no harm.
Bytes of states never travel here (`stream.py`).
"""

from __future__ import annotations

from typing import Final

import msgspec

from goldthread.names import CommitId, Epoch, KeeperId, MemberName, Span
from goldthread.report import Guard, Phase
from goldthread.terms import Terms

__all__ = [
    "BOND_FRAME_BYTES_MOST",
    "BOND_PROTOCOL",
    "BOND_PROTOCOL_OLDEST",
    "AcceptInvitation",
    "Beat",
    "BeatAnswer",
    "BondAgreed",
    "BondEnded",
    "CircleShown",
    "EndBond",
    "Facts",
    "FromAnswerer",
    "FromCaller",
    "Greeting",
    "HeldFact",
    "InvitationAccepted",
    "KeyRenewed",
    "LinkRefused",
    "OwnedFact",
    "RenewKey",
    "ShowCircle",
    "TieBond",
    "YieldedFact",
]

BOND_PROTOCOL: Final = 1
BOND_PROTOCOL_OLDEST: Final = 1
"""Of two ranges of protocols that overlap the highest common one is spoken."""
BOND_FRAME_BYTES_MOST: Final = 4 << 20


class OwnedFact(msgspec.Struct, frozen=True):
    """One member that the speaker owns, and that the listener holds, is to hold or has owned."""

    member: MemberName
    origin: KeeperId
    epoch: Epoch
    begun: bool
    """Whether that life has begun. One that waits for its voucher outranks nobody."""
    phase: Phase
    hold: bool
    """Whether the listener is to hold it. Where it is not, and the epoch is no older than what the listener knows,
    the listener may let its copies go."""
    guard: Guard
    newest: CommitId | None
    """The newest sealed commit at the time of writing; it alone does not make a new version."""
    bytes: int
    """Of the newest image."""
    plea: bool
    """It is in need: the speaker asks for it by the terms that the listener has for emergencies."""
    given_up: bool
    """No life of it runs or will run here: the listener may take it over as soon as it holds `newest`."""
    bundle: str
    """Digest of what is needed to run it; empty where there is none."""
    floor: Epoch = Epoch(0)
    """Commits of lives before this one are not used any more: its user began anew, or had forgotten it."""


class YieldedFact(msgspec.Struct, frozen=True):
    """One member of which the lease store told the speaker that its newest life is the listener's.

    Where the listener did not know, since the answer to its claim was lost, it may begin that life."""

    member: MemberName
    origin: KeeperId
    epoch: Epoch


class HeldFact(msgspec.Struct, frozen=True):
    """One member that the speaker holds for the listener."""

    member: MemberName
    origin: KeeperId
    epoch: Epoch
    """The highest that the speaker knows of; commits of lower epochs are refused."""
    commit: CommitId | None
    """The newest whole one."""
    bundle: str
    refused: str
    """Why it is not held; empty where it is."""


class Facts(msgspec.Struct, frozen=True):
    """All that one side of a bond has to say of itself to the other."""

    version: int
    terms: Terms
    label: str
    """The failure domain of the speaker's host, as configured; empty: the host alone."""
    lease_store: str
    """Which lease store the speaker uses: the digest of its address; empty where it has none."""
    room: int
    """Bytes that are left of the memory lent to the listener."""
    owned: tuple[OwnedFact, ...]
    held: tuple[HeldFact, ...]
    yielded: tuple[YieldedFact, ...]


class Greeting(msgspec.Struct, frozen=True, tag=True):
    """The first word of both sides; its shape never changes."""

    protocol_oldest: int
    protocol: int
    version: str
    keeper: KeeperId
    name: str
    """For people: the host's name, or the one in the configuration."""
    addresses: tuple[str, ...]
    """Where the speaker can be dialled, `host:port`, best first."""
    carrier_port: int
    """Where its carrier listens, on the same hosts; 0 where there is none."""


class Beat(msgspec.Struct, frozen=True, tag=True):
    """Answered by `BeatAnswer`."""

    number: int
    facts: Facts | None
    """None where the listener has seen the present version."""


class AcceptInvitation(msgspec.Struct, frozen=True, tag=True):
    """From a keeper whose key is not known yet: the only word that it may say, once."""

    secret: bytes
    terms: Terms
    needs: int = 0
    """Bytes that the copies of its members take at present, all slots counted."""


class ShowCircle(msgspec.Struct, frozen=True, tag=True):
    """From a keeper whose key is not known: proof that it is of the same circle (`circle.py`)."""

    proof: bytes


class TieBond(msgspec.Struct, frozen=True, tag=True):
    """From a keeper that has shown the circle: it wants this bond."""

    terms: Terms
    reason: str


class RenewKey(msgspec.Struct, frozen=True, tag=True):
    """From now on the speaker proves itself by this certificate (DER) too; the old one ends with the next link."""

    certificate: bytes


class EndBond(msgspec.Struct, frozen=True, tag=True):
    """The bond is over, in peace. What was held is let go once the listener has answered."""

    text: str


FromCaller = Greeting | Beat | AcceptInvitation | ShowCircle | TieBond | RenewKey | EndBond


class BeatAnswer(msgspec.Struct, frozen=True, tag=True):
    number: int
    facts_seen: int
    """The version of the caller's facts that the answerer knows."""
    promise: Span
    """Within this time of the answer the answerer will not take over ..."""
    promised: tuple[MemberName, ...]
    """... these members of the caller. For others nothing is promised."""


class InvitationAccepted(msgspec.Struct, frozen=True, tag=True):
    terms: Terms
    needs: int = 0
    """As in `AcceptInvitation`."""


class CircleShown(msgspec.Struct, frozen=True, tag=True):
    """The answerer is of the circle too, and what it says of itself to whoever seeks a partner."""

    proof: bytes
    label: str
    terms: Terms
    partners: tuple[KeeperId, ...]
    """Those that it hears."""


class BondAgreed(msgspec.Struct, frozen=True, tag=True):
    terms: Terms


class KeyRenewed(msgspec.Struct, frozen=True, tag=True):
    pass


class BondEnded(msgspec.Struct, frozen=True, tag=True):
    pass


class LinkRefused(msgspec.Struct, frozen=True, tag=True):
    """The answerer ends the link, and why."""

    text: str
    hint: str


FromAnswerer = (
    Greeting | BeatAnswer | InvitationAccepted | CircleShown | BondAgreed | KeyRenewed | BondEnded | LinkRefused
)
