"""Whom a keeper asks when one of its members is in limbo and nobody holds it: the emergency bond.

It is tied with nobody asked, so the terms of both sides are all the leave there is: what they do not allow does not
happen, and why is said of each keeper that was passed over.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from goldthread.names import KeeperId
from goldthread.terms import Consent, Terms

__all__ = ["Help", "Offer", "choose_helper"]


class Offer(msgspec.Struct, frozen=True):
    """A keeper that is known here, and the terms that it published."""

    keeper: KeeperId
    name: str
    label: str
    """Its failure domain; empty: its host alone."""
    terms: Terms
    room: int
    """Bytes of the memory in its terms that are free."""


class Help(msgspec.Struct, frozen=True):
    """Whom to ask, and why; or why nobody."""

    keeper: KeeperId | None
    reason: str


def choose_helper(offers: Iterable[Offer], mine: Terms, label: str, needed: int) -> Help:
    """The best of those that may help a member of a host with `label`, for which `needed` bytes are to be held.

    Another failure domain comes first, then more room. `mine` are the terms that this keeper offers to anyone: one that
    answers no emergencies ties no bond in its own either.
    """
    if not mine.emergency:
        return Help(None, "the terms of this keeper forbid emergency bonds (emergency no)")
    offers = sorted(offers, key=lambda offer: (_shares(offer, label), -offer.room, offer.keeper))
    refusals = {offer.keeper: _refusal(offer, needed) for offer in offers}
    best = next((offer for offer in offers if not refusals[offer.keeper]), None)
    passed = "; ".join(f"{offer.name} {refusals[offer.keeper]}" for offer in offers if refusals[offer.keeper])
    if best is None:
        return Help(None, f"no keeper that is known can help: {passed}" if passed else "no other keeper is known")
    domain = "shares this host's failure domain" if _shares(best, label) else "is in another failure domain"
    reason = f"{best.name} is willing, {domain} and has {_mebibytes(best.room)} free"
    return Help(best.keeper, f"{reason}; {passed}" if passed else reason)


def _refusal(offer: Offer, needed: int) -> str:
    """Why this keeper cannot help; empty where it can."""
    if not offer.terms.emergency:
        return "answers no emergencies"
    if offer.terms.takeover is Consent.NO:
        return "takes nobody over"
    if offer.terms.takeover is Consent.ASK:
        return "takes over only when a person says so"
    if min(offer.room, offer.terms.memory) < needed:
        return f"has {_mebibytes(min(offer.room, offer.terms.memory))} free, and {_mebibytes(needed)} are needed"
    return ""


def _shares(offer: Offer, label: str) -> bool:
    return label != "" and offer.label == label


def _mebibytes(count: int) -> str:
    return f"{count / (1 << 20):,.1f} MiB"
