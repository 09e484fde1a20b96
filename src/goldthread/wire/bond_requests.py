"""What commands ask of the keeper of their host about its bonds. Partners are named by their identity.

Each is answered by `Done` unless it says otherwise, or by `Refused`.
"""

from __future__ import annotations

import msgspec

from goldthread.names import KeeperId, MemberName
from goldthread.terms import Terms

__all__ = [
    "AcceptRequest",
    "BondEndRequest",
    "BondForgetRequest",
    "ConfirmRequest",
    "InviteRequest",
    "Invited",
    "RekeyRequest",
    "TakeoverRequest",
    "TermsRequest",
]


class InviteRequest(msgspec.Struct, frozen=True, tag=True):
    """Answered by `Invited`."""

    terms: Terms


class Invited(msgspec.Struct, frozen=True, tag=True):
    """From the keeper."""

    code: str
    """One line, for one use within ten minutes."""


class AcceptRequest(msgspec.Struct, frozen=True, tag=True):
    """Answered when the bond is tied."""

    code: str
    terms: Terms


class TermsRequest(msgspec.Struct, frozen=True, tag=True):
    partner: KeeperId
    terms: Terms


class BondEndRequest(msgspec.Struct, frozen=True, tag=True):
    partner: KeeperId


class BondForgetRequest(msgspec.Struct, frozen=True, tag=True):
    """Keep nothing of a keeper with which the bond is over: not even for emergencies."""

    partner: KeeperId


class ConfirmRequest(msgspec.Struct, frozen=True, tag=True):
    """A person agrees to a bond that was tied with nobody asked."""

    partner: KeeperId


class RekeyRequest(msgspec.Struct, frozen=True, tag=True):
    """Answered when every partner that can be reached knows the new key."""


class TakeoverRequest(msgspec.Struct, frozen=True, tag=True):
    member: MemberName
    to: KeeperId | None
    """The partner that is to run its next life; None: this keeper."""
