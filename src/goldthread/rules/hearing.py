"""What happens on bonds, and whom it concerns: one function for each event between keepers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import msgspec

from goldthread.names import Instant
from goldthread.report import AlarmLevel, Contact, Phase
from goldthread.rules import (
    bond_events,
    bond_orders,
    claiming,
    elsewhere,
    handover,
    holding,
    inventory,
    leasing,
    orders,
    owning,
    seeking,
    vouching,
)
from goldthread.rules.bond_orders import BondRecord
from goldthread.rules.bonds import Bonds
from goldthread.rules.held import SLOTS_HELD, Held
from goldthread.rules.member import Member
from goldthread.rules.partner import Partner
from goldthread.terms import Terms

__all__ = ["HANDLERS"]


def on_tied(bonds: Bonds, event: bond_events.BondTied) -> None:
    known = bonds.partners.get(event.partner)
    is_new = known is None or known.record.ended
    if known is not None:
        if is_new:
            known.facts = None  # What it said last was of a bond that was over.
        known.record = msgspec.structs.replace(
            known.record, name=event.name, mine=event.mine, theirs=event.theirs, ending=False, ended=False, emergency=""
        )
    else:
        known = bonds.know(BondRecord(event.partner, event.name, event.mine, event.theirs, version=0))
    bonds.out.append(orders.Persist(known.record))
    if is_new:
        reason = f": {event.reason}" if event.reason else ""
        bonds.alarm(AlarmLevel.NOTICE, f"a bond with {event.name} is tied{reason}")


def on_terms(bonds: Bonds, event: bond_events.TermsAsked) -> None:
    partner = bonds.partners.get(event.partner)
    if partner is None:
        _refuse_unknown(bonds, event.ticket)
        return
    partner.record = msgspec.structs.replace(partner.record, mine=event.mine)
    bonds.out.append(orders.Persist(partner.record))
    taken = sum(SLOTS_HELD * held.record.bytes for (owner, _), held in bonds.helds.items() if owner == partner.id)
    if taken > event.mine.memory:
        text = f"{bonds.name} holds more for {partner.name} than its terms lend now"
        bonds.alarm(AlarmLevel.WARNING, _stays(text, taken, event.mine.memory))
    _hear_owned(bonds, partner)
    bonds.out.append(orders.Accept(event.ticket, f"the terms for {partner.name} are changed"))


def _stays(text: str, taken: int, lent: int) -> str:
    sizes = f"{taken / 2**20:.1f} MiB, and {lent / 2**20:.1f} MiB are lent"
    return f"{text} ({sizes}): what is held stays, and nothing is added to it"


def on_end_asked(bonds: Bonds, event: bond_events.BondEndAsked) -> None:
    partner = bonds.partners.get(event.partner)
    if partner is None:
        _refuse_unknown(bonds, event.ticket)
        return
    if partner.record.ended:
        bonds.out.append(orders.Accept(event.ticket, f"the bond with {partner.name} is over already"))
        return
    partner.record, partner.end_sent = msgspec.structs.replace(partner.record, ending=True), False
    bonds.out.append(orders.Persist(partner.record))
    if partner.is_up:
        bonds.out.append(orders.Accept(event.ticket, f"the bond with {partner.name} ends"))
    else:
        text = f"{partner.name} is out of reach: the bond ends here now, and there when it is heard"
        kept = sorted(name for (owner, name), held in bonds.helds.items() if owner == partner.id and held.record.commit)
        if kept:
            text += f"; its copies of {', '.join(kept)} stay here until then: `goldthread bond forget` lets go of them"
        bonds.out.append(orders.Accept(event.ticket, text))


def on_confirmed(bonds: Bonds, event: bond_events.BondConfirmed) -> None:
    partner = bonds.partners.get(event.partner)
    if partner is None:
        _refuse_unknown(bonds, event.ticket)
        return
    partner.record = msgspec.structs.replace(partner.record, emergency="")
    bonds.out.append(orders.Persist(partner.record))
    bonds.out.append(orders.Accept(event.ticket, f"the bond with {partner.name} is confirmed"))


def on_forget_asked(bonds: Bonds, event: bond_events.BondForgetAsked) -> None:
    partner = bonds.partners.get(event.partner)
    if partner is None:
        _refuse_unknown(bonds, event.ticket)
    elif not (partner.record.ended or partner.record.ending):
        hint = f"`goldthread bond end {partner.name}` first"
        bonds.out.append(orders.Refuse(event.ticket, "UsageError", f"the bond with {partner.name} stands", hint))
    else:
        _drop_all(bonds, partner)
        del bonds.partners[event.partner]
        bonds.out.append(bond_orders.ForgetBond(event.partner))
        bonds.out.append(orders.Accept(event.ticket, f"{partner.name} is not known here any more"))


def on_over(bonds: Bonds, event: bond_events.BondOver) -> None:
    partner = bonds.partners.get(event.partner)
    if partner is None or partner.record.ended:
        return
    _drop_all(bonds, partner)
    for member in bonds.members.values():
        claimants = member.record.claimants
        # Where nobody vouches for it the partner may have taken it over before: its promise or its word will tell.
        is_vouched = not member.record.given_up and member.fence.vouches(member.record, bonds.now)
        if event.partner in claimants and is_vouched:
            bonds.set_time(member)
            member.persist(claimants=tuple(one for one in claimants if one != event.partner))
    partner.record = msgspec.structs.replace(partner.record, ending=False, ended=True)
    bonds.out.append(orders.Persist(partner.record))
    bonds.alarm(AlarmLevel.NOTICE, f"the bond with {partner.name} is over: {event.text}")


def _drop_all(bonds: Bonds, partner: Partner) -> None:
    for (owner, _), held in list(bonds.helds.items()):
        if owner == partner.id:
            holding.drop(bonds, held)
    bonds.refusals.pop(partner.id, None)


def on_up(bonds: Bonds, event: bond_events.LinkUp) -> None:
    partner = bonds.partners.get(event.partner)
    if partner is None:
        return
    partner.is_up, partner.end_sent = True, False
    partner.sent.clear()
    partner.seen = 0
    partner.beats.forget()
    partner.hear(bonds.now, bonds.awake)
    if event.name != partner.record.name:
        partner.record = msgspec.structs.replace(partner.record, name=event.name)
        bonds.out.append(orders.Persist(partner.record))
    for member in bonds.members.values():
        if member.record.holder == partner.id:
            member.bundle_sent = ""  # Another keeper may answer there, and not know of what it got.
    if partner.facts is None:
        bonds.wait_for_holders(bonds.awake)  # It is about to say what it has.
    bonds.renew_facts(partner)
    bonds.beat(partner)


def on_lost(bonds: Bonds, event: bond_events.LinkLost) -> None:
    partner = bonds.partners.get(event.partner)
    if partner is not None:
        partner.is_up = False
        partner.sent.clear()


def on_heard(bonds: Bonds, event: bond_events.BeatHeard) -> None:
    partner = bonds.partners.get(event.partner)
    if partner is None:
        return
    partner.hear(bonds.now, bonds.awake)
    facts = event.facts
    if facts is not None and (partner.facts is None or facts.version >= partner.facts.version):
        partner.facts = facts
        partner.mentioned.update([fact.member for fact in facts.owned] + [fact.member for fact in facts.held])
        if facts.terms != partner.record.theirs:
            _hear_terms(bonds, partner, facts.terms)
        _hear_owned(bonds, partner)
        for refused in facts.held:
            own = bonds.members.get(refused.member)
            if own is not None and refused.refused:
                bonds.set_time(own)
                owning.hear_refusal(bonds, own, refused)
        for yielded in facts.yielded:
            holding.hear_yielded(bonds, partner, yielded)
    seen = 0 if partner.facts is None else partner.facts.version
    promised = holding.promised(bonds, partner)
    if promised:
        partner.promise_until = Instant(bonds.now + bonds.policy.promise)
    bonds.out.append(bond_orders.AnswerBeat(partner.id, event.number, seen, bonds.policy.promise, promised))


def _hear_owned(bonds: Bonds, partner: Partner) -> None:
    """What the partner owns, by its last word: heard when it comes, and when what is lent to it changes."""
    for fact in () if partner.facts is None else partner.facts.owned:
        own = bonds.members.get(fact.member)
        if own is not None:
            bonds.set_time(own)
        holding.hear(bonds, partner, fact)


def _hear_terms(bonds: Bonds, partner: Partner, terms: Terms) -> None:
    """The partner lends more or less than before; what it refused by its old terms it may be asked again."""
    partner.record = msgspec.structs.replace(partner.record, theirs=terms)
    bonds.out.append(orders.Persist(partner.record))
    bonds.refusals.pop(partner.id, None)
    there = [member for member in bonds.members.values() if member.record.holder == partner.id]
    taken = sum(bonds.bytes_to_hold(member) for member in there if member.record.held is not None)
    if taken > terms.memory:
        text = f"{partner.name} holds more for {bonds.name} than it lends now"
        bonds.alarm(AlarmLevel.WARNING, _stays(text, taken, terms.memory))


def on_answered(bonds: Bonds, event: bond_events.BeatAnswered) -> None:
    partner = bonds.partners.get(event.partner)
    if partner is None:
        return
    sent = partner.answered(event.number, bonds.now)
    if sent is None:
        return
    partner.hear(bonds.now, bonds.awake)
    _note_seen(partner, event.facts_seen)
    until = Instant(sent + min(event.promise, bonds.policy.promise))
    for name in event.promised:
        member = bonds.members.get(name)
        if member is not None:
            bonds.set_time(member)
            vouching.take_promises(bonds, member, partner, until)


def _note_seen(partner: Partner, version: int) -> None:
    """It knows this side's facts by this version. One that was never made here is of a bond that this side forgot:
    what is said from now on is above it."""
    if version > partner.record.version:
        partner.record = msgspec.structs.replace(partner.record, version=version)
        partner.shape = None
    else:
        partner.seen = version


def on_lease(bonds: Bonds, event: Any) -> None:
    member = bonds.members.get(event.member)
    verb = {bond_events.LeaseGranted: "on_granted", bond_events.LeaseFound: "on_found"}.get(type(event), "on_unknown")
    if member is not None and member.fence.ask == event.ask:
        bonds.set_time(member)
        getattr(leasing, verb)(bonds, member, event)
        return
    for held in list(bonds.helds.values()):
        if held.record.member == event.member and held.ask == event.ask:
            getattr(claiming, verb)(bonds, held, event)


def on_owned(bonds: Bonds, event: Any) -> None:
    member = bonds.members.get(event.member)
    if member is None:
        if isinstance(event, bond_events.HoldAsked):
            _refuse_unknown(bonds, event.ticket)
        return
    bonds.set_time(member)
    verbs: dict[type, Callable[[Bonds, Member, Any], None]] = {
        bond_events.CommitHeld: owning.on_held,
        bond_events.ReplicateFailed: owning.on_replicate_failed,
        bond_events.HoldAsked: owning.on_hold_asked,
    }
    verbs[type(event)](bonds, member, event)


def on_held(bonds: Bonds, event: Any) -> None:
    held = bonds.helds.get((event.partner, event.member))
    if held is not None:
        verb = holding.on_landed if isinstance(event, bond_events.CopyLanded) else holding.on_gone
        verb(bonds, held, event)


def on_bundle_landed(bonds: Bonds, event: bond_events.BundleLanded) -> None:
    held = bonds.helds.get((event.partner, event.member))
    if held is not None:
        held.record = msgspec.structs.replace(held.record, bundle=event.digest)
        bonds.out.append(orders.Persist(held.record))


def on_bundle_made(bonds: Bonds, event: bond_events.BundleMade) -> None:
    member = bonds.members.get(event.member)
    if member is not None and member.record.bundle != event.digest:
        bonds.set_time(member)
        member.persist(bundle=event.digest)
        if event.text:
            member.alarm(AlarmLevel.NOTICE, event.text)


def on_bundle_sent(bonds: Bonds, event: bond_events.BundleSent) -> None:
    """The holder has compared what the member runs on with what is there."""
    member = bonds.members.get(event.member)
    if member is None or event.partner != member.record.holder or event.differences == member.record.differences:
        return
    bonds.set_time(member)
    member.persist(differences=event.differences)
    if event.differences:
        where = bonds.name_of(event.partner)
        member.alarm(
            AlarmLevel.WARNING, f"{member.record.name} may run otherwise on {where}: {'; '.join(event.differences)}"
        )


def on_bundle_failed(bonds: Bonds, event: bond_events.BundleFailed) -> None:
    member = bonds.members.get(event.member)
    if member is not None:
        bonds.set_time(member)
        member.bundle_sent = ""
        owning.take_failure(bonds, member, f"what is needed to run {event.member} could not be sent: {event.text}")


def on_mended(bonds: Bonds, event: bond_events.CopyMended) -> None:
    member = bonds.members.get(event.member)
    if member is not None:
        bonds.set_time(member)
        if not elsewhere.on_fetched(member, event):
            inventory.on_mended(member, event)


def on_takeover(bonds: Bonds, event: bond_events.TakeoverAsked) -> None:
    member = bonds.members.get(event.member)
    helds = [one for (_, name), one in bonds.helds.items() if name == event.member]
    if bonds.owned(event.member) is not None:
        helds = []  # What is held of it is of an older life.
    held = max(helds, key=lambda one: one.record.epoch, default=None)
    if event.to != bonds.me and member is not None and member.record.phase is not Phase.AWAY:
        bonds.set_time(member)
        handover.hand_over(bonds, member, event)
    elif event.to != bonds.me:
        bonds.out.append(orders.Refuse(event.ticket, "UsageError", f"{event.member} is not owned here", ""))
    elif member is not None and member.record.phase is Phase.AWAY and (held is None or held.record.commit is None):
        bonds.set_time(member)
        handover.reclaim(bonds, member, event.ticket)
    elif held is not None:
        _take_by_hand(bonds, held, event.ticket)
    elif member is not None and member.record.claimants:
        bonds.set_time(member)
        handover.release(bonds, member, event.ticket)
    else:
        text = f"{event.member} is not held here" if member is None else f"{event.member} runs here"
        bonds.out.append(orders.Refuse(event.ticket, "UsageError", text, ""))


def _take_by_hand(bonds: Bonds, held: Held, ticket: int) -> None:
    record, partner = held.record, bonds.partners[held.record.partner]
    if partner.contact(bonds.awake) is not Contact.SILENT and not record.given_up:
        text = f"{partner.name}, which owns {record.member}, lives"
        command = f"goldthread takeover {record.member} --to {bonds.name}"
        hint = f"on {partner.name}: `{command}` hands it over without a lost step"
        bonds.out.append(orders.Refuse(ticket, "UsageError", text, hint))
    elif record.commit is None or not record.bundle:
        what = "no whole copy of it is here" if record.commit is None else "what is needed to run it is not here"
        bonds.out.append(orders.Refuse(ticket, "NothingToRestore", f"{record.member} cannot be taken over: {what}", ""))
    else:
        held.record = msgspec.structs.replace(record, wanted=True)
        held.ticket = ticket
        bonds.out.append(orders.Persist(held.record))


def _refuse_unknown(bonds: Bonds, ticket: int) -> None:
    bonds.out.append(orders.Refuse(ticket, "UsageError", "there is no such bond or member", "`goldthread bond list`"))


HANDLERS: Final[dict[type, Callable[[Bonds, Any], None]]] = {
    bond_events.BondTied: on_tied,
    bond_events.PartnersFound: seeking.on_found,
    bond_events.TermsAsked: on_terms,
    bond_events.BondEndAsked: on_end_asked,
    bond_events.BondConfirmed: on_confirmed,
    bond_events.BondForgetAsked: on_forget_asked,
    bond_events.BondOver: on_over,
    bond_events.LinkUp: on_up,
    bond_events.LinkLost: on_lost,
    bond_events.BeatHeard: on_heard,
    bond_events.BeatAnswered: on_answered,
    bond_events.LeaseGranted: on_lease,
    bond_events.LeaseFound: on_lease,
    bond_events.LeaseUnknown: on_lease,
    bond_events.CommitHeld: on_owned,
    bond_events.ReplicateFailed: on_owned,
    bond_events.HoldAsked: on_owned,
    bond_events.CopyLanded: on_held,
    bond_events.CopiesGone: on_held,
    bond_events.BundleLanded: on_bundle_landed,
    bond_events.BundleMade: on_bundle_made,
    bond_events.BundleSent: on_bundle_sent,
    bond_events.BundleFailed: on_bundle_failed,
    bond_events.CopyMended: on_mended,
    bond_events.TakeoverAsked: on_takeover,
}
