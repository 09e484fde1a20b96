"""The owner's side of a bond: who holds a member's copy, how far it has come, and what vouches for its life.

`follow` is called for every member after anything that happened while there are bonds. It looks at where the member
stands and does what is missing; so no chapter of a life needs to know of bonds.

    SEEKING -> SYNCING -> BONDED -> ALONE -> SEEKING;  any -> FENCED (a newer life is elsewhere) or CLOSED (it is over)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from goldthread.names import Epoch, Instant, Level, Span
from goldthread.report import AlarmLevel, Contact, Ending, EndingKind, Guard, OwnerState, Phase
from goldthread.rules import admission, beginnings, bond_events, bond_orders, leasing, orders, stops
from goldthread.rules.events import Copy
from goldthread.rules.member import ALIVE, KILL, TERM, Member
from goldthread.rules.partner import Partner
from goldthread.terms import Consent

if TYPE_CHECKING:
    from goldthread.rules.bonds import Bonds

__all__ = [
    "follow",
    "go_away",
    "hand_over",
    "on_held",
    "on_hold_asked",
    "on_replicate_failed",
    "release",
    "take_failure",
    "take_promises",
]

STOP: Final = 19
CONTINUE: Final = 18

_OVER: Final = frozenset({Phase.ENDED, Phase.ABSENT, Phase.AWAY})


def follow(bonds: Bonds, member: Member) -> None:
    """Do what is missing for this member's copy and for its vouchers."""
    if member.record.phase is Phase.AWAY or member.forgotten:
        return
    _look_elsewhere(bonds, member)
    _choose_holder(bonds, member)
    _give_up_in_limbo(bonds, member)
    _guard(bonds, member)
    leasing.keep(bonds, member)
    _vouch(bonds, member)
    _replicate(bonds, member)


# The holder


def _choose_holder(bonds: Bonds, member: Member) -> None:
    record = member.record
    if record.phase in _OVER and not (record.phase is Phase.ENDED and member.is_deposit_wanted()):
        if record.owner_state not in (OwnerState.CLOSED, OwnerState.FENCED):
            _let_go(member, OwnerState.CLOSED)
        return
    partner = None if record.holder is None else bonds.partners.get(record.holder)
    if record.holder is not None and (partner is None or partner.record.ending or partner.record.ended):
        _let_go(member, OwnerState.SEEKING)
    elif partner is not None:
        _watch_holder(bonds, member, partner)
    elif record.owner_state in (OwnerState.CLOSED, OwnerState.FENCED):
        _let_go(member, OwnerState.SEEKING)
    if member.record.holder is None:
        chosen = bonds.choose_holder(member) or _find_helper(bonds, member)
        if chosen is not None:
            _give_to(bonds, member, chosen)


def _find_helper(bonds: Bonds, member: Member) -> Partner | None:
    """At the bedside: a member in limbo that no partner holds, and a keeper that is known and willing."""
    record = member.record
    if record.phase is not Phase.LIMBO or not record.bundle or member.sealed is None:
        return None
    helper = bonds.choose_helper(member)
    if helper.keeper is None:
        if helper.reason != member.carry_failure:
            member.carry_failure = helper.reason
            member.alarm(AlarmLevel.NOTICE, f"nobody helps {record.name}: {helper.reason}")
        return None
    partner = bonds.partners[helper.keeper]
    bonds.tie_in_emergency(partner, f"{record.name} is in limbo; {helper.reason}")
    return partner


def _watch_holder(bonds: Bonds, member: Member, partner: Partner) -> None:
    record, contact = member.record, partner.contact(bonds.awake)
    if contact is Contact.SILENT:
        if record.owner_state is not OwnerState.ALONE:
            _expose(member)
            member.persist(owner_state=OwnerState.ALONE)
            silence = f"{partner.name}, which held its copy, is silent: {partner.explain(bonds.awake)}"
            member.alarm(AlarmLevel.WARNING, f"{record.name} is exposed: {silence}")
        waited = partner.silent_at is not None and bonds.now - partner.silent_at >= member.policy.partner_grace
        if waited and not record.given_up and bonds.choose_holder(member) is not None:
            _let_go(member, OwnerState.SEEKING)
        return
    if partner.facts is None:
        return
    held = partner.holds(record.name)
    if held is not None and held.refused:
        refusals = bonds.refusals.setdefault(partner.id, {})
        if refusals.get(record.name, ("",))[0] != held.refused:
            member.alarm(AlarmLevel.WARNING, f"{partner.name} does not hold {record.name}: {held.refused}")
        refusals[record.name] = held.refused, Instant(bonds.now + member.policy.partner_grace)
        _let_go(member, OwnerState.SEEKING)
        return
    if held is not None and record.held is not None and held.commit is None:
        # What it said before its last word on the copy came may arrive after it.
        is_newer = member.held_at is None or bonds.now - member.held_at > member.policy.hold_retry
        if is_newer:
            member.record = msgspec.structs.replace(record, held=None)
            member.alarm(AlarmLevel.WARNING, f"{partner.name} has lost its copy of {record.name}; it is sent again")
    elif held is not None and held.commit is not None and (record.held is None or held.commit > record.held):
        member.record = msgspec.structs.replace(record, held=held.commit)
    state = OwnerState.SYNCING if member.record.held is None else OwnerState.BONDED
    if state is OwnerState.BONDED:
        _cover(member)
    if member.record.owner_state is not state:
        member.persist(owner_state=state)


def _expose(member: Member) -> None:
    """The copy that another host had cannot be counted on any more."""
    if member.exposed_at is None and member.record.held is not None:
        member.exposed_at = member.now


def _cover(member: Member) -> None:
    """Another host has a whole copy, for the first time or again."""
    if member.exposed_at is not None:
        member.rebond, member.exposed_at = Span(member.now - member.exposed_at), None


def _let_go(member: Member, state: OwnerState) -> None:
    """It has no holder any more. Whoever may still believe to be one stays a claimant until it has heard so."""
    if state is OwnerState.SEEKING:
        _expose(member)
    else:
        member.exposed_at = None
    member.persist(holder=None, held=None, owner_state=state)
    member.carrying = None
    for ticket, _ in member.hold_waiters:
        member.refuse(ticket, "PartnerUnreachable", f"{member.record.name} has no holder now")
    member.hold_waiters = []


def _give_to(bonds: Bonds, member: Member, partner: Partner) -> None:
    member.persist(holder=partner.id, held=None, owner_state=OwnerState.SYNCING)
    member.retry_at = bonds.now
    member.bundle_sent = ""
    member.out.append(
        orders.Alarm(AlarmLevel.NOTICE, member.record.name, f"{partner.name} is to hold {member.record.name}")
    )


# The copy


def _look_elsewhere(bonds: Bonds, member: Member) -> None:
    """Which copies others have, by their own word."""
    found = []
    for partner in bonds.partners.values():
        fact = partner.holds(member.record.name)
        if fact is not None and fact.commit is not None and fact.origin == member.record.origin:
            own_word = member.record.held if member.record.holder == partner.id else None
            commit = fact.commit if own_word is None else max(fact.commit, own_word)
            found.append(Copy(commit, Level.HELD, 0 if member.sealed is None else member.sealed.bytes))
    member.elsewhere = tuple(found)
    if member.elsewhere_over is None:
        return
    holder = None if member.record.holder is None else bonds.partners.get(member.record.holder)
    if holder is None or holder.facts is not None or bonds.awake >= member.elsewhere_over:
        member.elsewhere_over = None
        if member.choice is not None:
            member.list_copies()


def _replicate(bonds: Bonds, member: Member) -> None:
    record, sealed = member.record, member.sealed
    partner = None if record.holder is None else bonds.partners.get(record.holder)
    if partner is None or partner.contact(bonds.awake) is Contact.SILENT or bonds.now < member.retry_at:
        return
    fact = partner.holds(record.name)
    if fact is None or fact.refused or fact.origin != record.origin:
        return
    if record.supervised and member.bundled < record.epoch:
        member.bundled = record.epoch
        member.out.append(bond_orders.MakeBundle(record.name))
    if record.bundle and fact.bundle != record.bundle and member.bundle_sent != record.bundle:
        member.bundle_sent = record.bundle
        member.out.append(bond_orders.SendBundle(record.name, partner.id))
    if sealed is None or member.carrying is not None or (record.held is not None and sealed.commit <= record.held):
        return
    member.carrying = sealed.commit
    member.out.append(bond_orders.Replicate(record.name, sealed.commit, partner.id))


def on_held(bonds: Bonds, member: Member, event: bond_events.CommitHeld) -> None:
    member.carrying = None
    record = member.record
    if event.partner != record.holder or (record.held is not None and event.commit <= record.held):
        return
    is_first = record.held is None
    member.record = msgspec.structs.replace(record, held=event.commit)
    member.carry_failure, member.carry_failures = "", 0
    member.held_at = bonds.now
    if is_first:
        _cover(member)
        member.persist(owner_state=OwnerState.BONDED)
    served = [ticket for ticket, commit in member.hold_waiters if commit <= event.commit]
    member.hold_waiters = [(ticket, commit) for ticket, commit in member.hold_waiters if commit > event.commit]
    for ticket in served:
        member.accept(ticket, f"{event.commit} is held by {bonds.name_of(event.partner)}")


def on_replicate_failed(bonds: Bonds, member: Member, event: bond_events.ReplicateFailed) -> None:
    member.carrying = None
    take_failure(bonds, member, f"a copy of {member.record.name} could not be brought to its holder: {event.text}")


def take_failure(bonds: Bonds, member: Member, text: str) -> None:
    """It is tried again: soon after the first failure, which a carrier that is still starting explains."""
    member.carry_failures += 1
    pause = member.policy.hold_retry if member.carry_failures > 1 else 2 * member.policy.tick
    member.retry_at = Instant(bonds.now + pause)
    if member.carry_failures > 1 and text != member.carry_failure:
        member.alarm(AlarmLevel.NOTICE, text)
        member.carry_failure = text


def on_hold_asked(bonds: Bonds, member: Member, event: bond_events.HoldAsked) -> None:
    record = member.record
    if record.holder is None:
        hint = "tie a bond: `goldthread bond invite` here, `goldthread bond accept` there"
        member.refuse(event.ticket, "PartnerUnreachable", f"{record.name} has no holder", hint)
    elif member.sealed is None or (record.held is not None and record.held >= member.sealed.commit):
        member.accept(event.ticket, "all that was sealed is held")
    else:
        member.hold_waiters.append((event.ticket, member.sealed.commit))


# Vouchers


def _guard(bonds: Bonds, member: Member) -> None:
    """Tell the holder of a guard only when a voucher stands: from then on the life needs one."""
    record, fence = member.record, member.fence
    partner = None if record.holder is None else bonds.partners.get(record.holder)
    wanted = Guard.NONE if partner is None else bonds.guard_for(partner)
    if record.given_up and partner is not None and partner.id not in record.claimants:
        member.persist(claimants=(*record.claimants, partner.id))
    if wanted is Guard.NONE or partner is None:
        if record.guard is not Guard.NONE:
            member.persist(guard=Guard.NONE)
        return
    if partner.id in record.claimants and record.guard is wanted:
        return
    if wanted is Guard.LEASE:
        is_ready = fence.lease_epoch == record.epoch and bonds.now < fence.lease_until
    else:
        is_ready = bonds.now < fence.promises.get(partner.id, Instant(0))
    if is_ready:
        claimants = tuple(dict.fromkeys((*record.claimants, partner.id)))
        member.persist(guard=wanted, claimants=claimants)


def take_promises(bonds: Bonds, member: Member, partner: Partner, until: Instant) -> None:
    """The partner promised, as of a beat, not to take this member over before `until`."""
    record, told = member.record, partner.told.get(member.record.name)
    if told is None or told.version > partner.seen:
        return
    if told.epoch == record.epoch and not told.given_up:
        known = member.fence.promises.get(partner.id, Instant(0))
        member.fence.promises[partner.id] = max(known, until)
    if partner.id in record.claimants and told.guard is Guard.NONE and not told.given_up:
        member.persist(claimants=tuple(claimant for claimant in record.claimants if claimant != partner.id))


def _vouch(bonds: Bonds, member: Member) -> None:
    """Let the life go on as long as it is vouched for, and stop it when it is not."""
    record, fence = member.record, member.fence
    until = fence.until(record)
    if record.phase in ALIVE and record.joined and until != fence.told_until and (until is None or until > 0):
        fence.told_until = until
        member.out.append(bond_orders.Vouch(record.name, record.epoch, until))
    is_vouched = until is None or bonds.now < until
    if is_vouched:
        if fence.frozen_at is not None:
            fence.frozen_at = None
            if record.phase in ALIVE:
                member.signal_program(CONTINUE)
                member.alarm(AlarmLevel.NOTICE, f"{record.name} goes on: it is vouched for again")
        if member.start_wanted and record.phase is Phase.STARTING:
            member.start_wanted = False
            member.out.append(orders.StartProgram(record.name, record.epoch))
        if member.unvouched and record.phase is Phase.WAITING:
            member.unvouched = False
            beginnings.start_life(member, f"life {record.epoch + 1} starts: it is vouched for again")
        admission.settle(member)
    elif record.phase in ALIVE and not member.start_wanted:
        _freeze(bonds, member)


def _freeze(bonds: Bonds, member: Member) -> None:
    record, fence = member.record, member.fence
    if fence.frozen_at is None:
        if bonds.now < fence.assumed_until or record.phase is Phase.ENDING:
            return
        fence.frozen_at = bonds.now
        member.signal_program(STOP)
        member.alarm(AlarmLevel.CRITICAL, f"{record.name} is stopped: {_why_unvouched(bonds, member)}")
    elif bonds.now - fence.frozen_at >= member.policy.freeze_most and record.phase is not Phase.ENDING:
        text = f"it stood still for {member.policy.freeze_most / 1e9:g} s: {_why_unvouched(bonds, member)}"
        stops.tell_to_end(member, KILL, True, text, EndingKind.UNVOUCHED)


def _why_unvouched(bonds: Bonds, member: Member) -> str:
    record = member.record
    silent = [bonds.name_of(claimant) for claimant in record.claimants]
    lease = member.fence.lease_text or "its lease could not be renewed in time"
    store = f"; {lease}" if bonds.lease_store else ""
    return f"{' and '.join(silent)} did not promise in time to leave it alone{store}"


# Elsewhere


def go_away(bonds: Bonds, member: Member, partner: str, epoch: Epoch) -> None:
    """A newer life is another keeper's: this one ends at once, and what is here is an old copy."""
    record = member.record
    reason = f"life {epoch} of {record.name} is {partner}'s"
    if member.is_alive or record.phase is Phase.RETURNING:
        member.signal_program(KILL)
        reached = record.newest.step if record.newest is not None and record.newest.epoch == record.epoch else None
        lost = "whatever it sealed after what its holder had" if reached is not None else ""
        member.persist_life(reached=reached, ending=Ending(EndingKind.FENCED, reason), lost=lost)
        member.alarm(AlarmLevel.WARNING, f"life {record.epoch} of {record.name} is ended here: {reason}")
    if member.ticket is not None:
        member.refuse(member.ticket[0], "Fenced", reason, "this process must end: two lives of one member must not run")
        member.ticket = None
    for ticket in member.handing:
        member.accept(ticket, reason)
    member.handing = []
    member.choice = None
    member.start_wanted = member.unvouched = False
    member.grace_over = None
    member.fence = type(member.fence)()
    _let_go(member, OwnerState.FENCED)
    gone: dict[str, Any] = {
        "epoch": epoch, "started": epoch, "pid": None, "joined": False, "told": None, "restored": None,
        "claimants": (), "given_up": False, "guard": Guard.NONE, "deaths": (), "futile": 0, "wound": None,
    }  # fmt: skip
    member.move(Phase.AWAY, reason, Ending(EndingKind.FENCED, reason), **gone)


def _give_up_in_limbo(bonds: Bonds, member: Member) -> None:
    """A member in limbo is for its holder to take over, where the terms let it."""
    record = member.record
    partner = None if record.holder is None else bonds.partners.get(record.holder)
    if record.phase is not Phase.LIMBO or record.given_up or partner is None or not record.bundle:
        return
    if record.owner_state is OwnerState.BONDED and partner.terms.takeover is not Consent.NO:
        member.persist(given_up=True)
        member.alarm(AlarmLevel.WARNING, f"{record.name} is in limbo here, so {partner.name} may take it over")


def hand_over(bonds: Bonds, member: Member, event: bond_events.TakeoverAsked) -> None:
    """A user wants the next life to run at the holder: end this one in order, then give it up."""
    record = member.record
    name = bonds.name_of(event.to)
    partner = bonds.partners.get(event.to)
    if partner is None:
        member.refuse(event.ticket, "UsageError", f"there is no bond with {name}", "`goldthread bond list` shows them")
    elif record.holder != event.to or record.owner_state is not OwnerState.BONDED:
        hint = "it becomes the holder when the present one is gone, or when their bond is ended"
        member.refuse(event.ticket, "UsageError", f"{name} does not hold {record.name}", hint)
    elif partner.terms.takeover is Consent.NO:
        member.refuse(event.ticket, "UsageError", f"{name}'s terms are not to take members over")
    elif not record.bundle:
        text = f"what is needed to run {record.name} elsewhere is not known: it was not started by `goldthread run`"
        member.refuse(event.ticket, "UsageError", text)
    else:
        member.handing.append(event.ticket)
        if member.is_alive:
            stops.tell_to_end(member, TERM, True, f"it is handed over to {name}", EndingKind.HANDED_OVER)
        elif not record.given_up:
            member.due = None
            member.move(
                Phase.DOWN, f"it is handed over to {name}", given_up=True
            ) if record.phase is Phase.WAITING else (member.persist(given_up=True))


def release(bonds: Bonds, member: Member, ticket: int) -> None:
    """A person decides that no other keeper runs this member: its life goes on without a voucher."""
    member.persist(claimants=(), guard=Guard.NONE, holder=None, held=None, owner_state=OwnerState.SEEKING)
    member.alarm(AlarmLevel.WARNING, f"a person decided that {member.record.name} goes on here without a voucher")
    member.accept(ticket, f"{member.record.name} goes on here")
