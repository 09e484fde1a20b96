"""When a new partner is looked for among the keepers of the same circle, and which of them it is.

A keeper seeks while it hears none of its partners, each of them for `partner_grace`: it never had one, or they are
silent, or a person ended the bonds. Those that answer are arranged into a circle as the hosts of `placement.py`, with
the pairs that they report, so that keepers which see the same choose each other and a pair that stands is left alone.
A bond that a person ended is not tied again here: who is known is not sought.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from goldthread.names import Instant, KeeperId
from goldthread.report import Contact
from goldthread.rules import bond_orders
from goldthread.rules.bond_events import PartnerOffer, PartnersFound
from goldthread.rules.partner import Partner
from goldthread.rules.placement import Candidate, Host, arrange_circle, rank_holders

if TYPE_CHECKING:
    from goldthread.rules.bonds import Bonds

__all__ = ["on_found", "seek"]


def seek(bonds: Bonds) -> None:
    """Look around, at most once in each `seek_every`."""
    if bonds.is_in_circle and bonds.now >= bonds.seek_due and _needs_partner(bonds):
        bonds.seek_due = Instant(bonds.now + bonds.policy.seek_every)
        bonds.out.append(bond_orders.SeekPartners())


def on_found(bonds: Bonds, event: PartnersFound) -> None:
    offers = [offer for offer in event.offers if offer.keeper not in bonds.partners and offer.keeper != bonds.me]
    if not offers or not _needs_partner(bonds):
        return
    chosen, reason = _choose(bonds, offers)
    why = _why(bonds)
    text = f"{bonds.name} {why} and found {chosen.name} in its circle: {reason}"
    bonds.out.append(bond_orders.TieWith(chosen.keeper, text))


def _needs_partner(bonds: Bonds) -> bool:
    return not any(_is_counted_on(bonds, partner) for partner in bonds.partners.values())


def _is_counted_on(bonds: Bonds, partner: Partner) -> bool:
    if partner.record.ending or partner.record.ended:
        return False
    if partner.contact(bonds.awake) is not Contact.SILENT:
        return True
    return partner.silent_at is None or bonds.awake - partner.silent_at < bonds.policy.partner_grace


def _why(bonds: Bonds) -> str:
    silent = sorted(one.name for one in bonds.partners.values() if not (one.record.ending or one.record.ended))
    return f"hears nothing of {', '.join(silent)}" if silent else "had no partner"


def _choose(bonds: Bonds, offers: list[PartnerOffer]) -> tuple[PartnerOffer, str]:
    by_id = {offer.keeper: offer for offer in offers}
    placed = [one for one in offers if not one.partners or any(other in by_id for other in one.partners)]
    hosts = [Host(bonds.me, bonds.label), *(Host(one.keeper, one.label) for one in placed)]
    before = {one.keeper: other for one in placed for other in one.partners if other in by_id}
    best: KeeperId | None = arrange_circle(hosts, before).get(bonds.me)
    fit = [Candidate(one.keeper, one.label, one.terms.memory, len(one.partners)) for one in offers]
    ranked = {one.keeper: one.reason for one in rank_holders(fit, bonds.label, 0)}
    chosen = next(iter(ranked)) if best is None else best
    return by_id[chosen], ranked[chosen]
