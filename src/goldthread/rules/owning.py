"""The owner's side of a bond: who holds a member's copy, how far it has come, and what vouches for its life.

`follow` is called for every member after anything that happened while there are bonds. It looks at where the member
stands and does what is missing; so no chapter of a life needs to know of bonds.

    SEEKING -> SYNCING -> BONDED -> ALONE -> SEEKING;  any -> FENCED (a newer life is elsewhere) or CLOSED (it is over)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from goldthread.names import Epoch, Instant, KeeperId, Span
from goldthread.report import AlarmLevel, Contact, Ending, EndingKind, Guard, OwnerState, Phase
from goldthread.rules import beginnings, bond_events, bond_orders, checks, elsewhere, leasing, orders, vouching
from goldthread.rules.bond_states import check_owner
from goldthread.rules.held import lack_of_room
from goldthread.rules.member import KILL, Member
from goldthread.rules.partner import Partner
from goldthread.terms import Consent
from goldthread.wire.bonds import HeldFact

if TYPE_CHECKING:
    from goldthread.rules.bonds import Bonds

__all__ = [
    "follow",
    "go_away",
    "hear_refusal",
    "on_held",
    "on_hold_asked",
    "on_replicate_failed",
    "take_failure",
    "turn",
]

_OVER: Final = frozenset({Phase.ENDED, Phase.ABSENT, Phase.AWAY})
_DOUBLED_MOST: Final = 16
"""By then the wait between two tries has long reached `hold_retry`."""


def follow(bonds: Bonds, member: Member) -> None:
    """Do what is missing for this member's copy and for its vouchers."""
    if member.record.phase is Phase.AWAY or member.forgotten:
        return
    elsewhere.look(bonds, member)
    elsewhere.fetch_newest(bonds, member)
    _choose_holder(bonds, member)
    _give_up_in_limbo(bonds, member)
    vouching.guard(bonds, member)
    leasing.keep(bonds, member)
    vouching.vouch(bonds, member)
    _serve_waiters(bonds, member)
    _replicate(bonds, member)


def turn(member: Member, state: OwnerState, **changes: Any) -> None:
    """Go over to another state: the one place where that happens."""
    check_owner(member.record.name, member.record.owner_state, state)
    member.persist(owner_state=state, **changes)


# The holder


def _choose_holder(bonds: Bonds, member: Member) -> None:
    record = member.record
    partner = None if record.holder is None else bonds.partners.get(record.holder)
    is_unsure = not member.surveyed or member.is_deposit_wanted() or elsewhere.is_needed(member, partner)
    if record.phase in _OVER and not (record.phase is Phase.ENDED and is_unsure):
        if record.owner_state not in (OwnerState.CLOSED, OwnerState.FENCED):
            _let_go(member, OwnerState.CLOSED)
        return
    if record.holder is not None and (partner is None or partner.record.ending or partner.record.ended):
        _let_go(member, OwnerState.SEEKING)
        if record.given_up and record.phase is Phase.DOWN:
            _take_back(member, f"the bond with {bonds.name_of(record.holder)}, to which it was handed over, ends")
    elif partner is not None:
        _watch_holder(bonds, member, partner)
    elif record.owner_state in (OwnerState.CLOSED, OwnerState.FENCED):
        _let_go(member, OwnerState.SEEKING)
    if member.record.holder is None:
        chosen = bonds.choose_holder(member)
        if chosen is None and record.phase is Phase.LIMBO:
            chosen = _find_helper(bonds, member, f"{record.name} is in limbo")
        if chosen is not None:
            _give_to(bonds, member, chosen)
        else:
            _note_lack_of_room(bonds, member)


def _find_helper(bonds: Bonds, member: Member, need: str) -> Partner | None:
    """At the bedside: a member that no partner can hold, and a keeper that is known and willing. They are bonded."""
    record = member.record
    if member.sealed is None:
        return None
    _want_bundle(member)
    if not record.bundle:
        return None
    helper = bonds.choose_helper(member)
    if helper.keeper is None:
        if helper.reason != member.carry_failure:
            member.carry_failure = helper.reason
            member.alarm(AlarmLevel.NOTICE, f"nobody helps {record.name}: {helper.reason}")
        return None
    partner = bonds.partners[helper.keeper]
    bonds.tie_in_emergency(partner, f"{need}; {helper.reason}")
    return partner


def _want_bundle(member: Member) -> None:
    """Have what is needed to run it elsewhere gathered, once for each life."""
    record = member.record
    if record.supervised and member.bundled < record.epoch:
        member.bundled = record.epoch
        member.bundle_sent = ""
        member.out.append(bond_orders.MakeBundle(record.name))


def _watch_holder(bonds: Bonds, member: Member, partner: Partner) -> None:
    record, contact = member.record, partner.contact(bonds.awake)
    if contact is Contact.SILENT:
        if record.owner_state is not OwnerState.ALONE:
            _expose(member)
            turn(member, OwnerState.ALONE)
            silence = f"{partner.name}, which held its copy, is silent: {partner.explain(bonds.awake)}"
            member.alarm(AlarmLevel.WARNING, f"{record.name} is exposed: {silence}")
        if partner.silent_at is not None and bonds.awake - partner.silent_at >= member.policy.partner_grace:
            _do_without(bonds, member, partner)
        return
    if partner.facts is None:
        return
    held = partner.holds(record.name)
    if held is not None and held.refused:
        _note_refusal(bonds, member, partner, held.refused)
        _let_go(member, OwnerState.SEEKING)
        return
    if held is not None and record.held is not None and held.commit is None:
        # What it said before its last word on the copy came may arrive after it.
        if member.held_at is None or bonds.now - member.held_at > member.policy.hold_retry:
            _expose(member)
            member.record = msgspec.structs.replace(record, held=None)
            member.alarm(AlarmLevel.WARNING, f"{partner.name} has lost its copy of {record.name}; it is sent again")
            if record.given_up and record.phase is Phase.DOWN:
                _take_back(member, f"{partner.name}, to which it was handed over, has lost its copy")
    elif held is not None and held.commit is not None and (record.held is None or held.commit > record.held):
        if record.held is None:
            _cover(member, f"{partner.name} has a whole copy of {record.name} again")
        member.record = msgspec.structs.replace(record, held=held.commit)
    state = OwnerState.SYNCING if member.record.held is None else OwnerState.BONDED
    if state is OwnerState.BONDED and member.exposed_at is not None:
        member.alarm(AlarmLevel.NOTICE, f"{partner.name}, which holds {record.name}, is heard again")
        member.exposed_at = None
    if member.record.owner_state is not state:
        turn(member, state)


def _note_refusal(bonds: Bonds, member: Member, partner: Partner, reason: str) -> None:
    name, refusals = member.record.name, bonds.refusals.setdefault(partner.id, {})
    if refusals.get(name, ("",))[0] != reason:
        member.alarm(AlarmLevel.WARNING, f"{partner.name} does not hold {name}: {reason}")
    refusals[name] = reason, Instant(bonds.now + member.policy.partner_grace)


def _note_lack_of_room(bonds: Bonds, member: Member) -> None:
    """Partners that lend too little are not asked; that is said when the bond is tied, and when a state outgrows it."""
    needed = bonds.bytes_to_hold(member)
    for partner in bonds.partners.values():
        is_known = bonds.now < bonds.refusals.get(partner.id, {}).get(member.record.name, ("", Instant(0)))[1]
        if partner.facts is not None and bonds.can_hold(partner) and partner.facts.room < needed and not is_known:
            _note_refusal(bonds, member, partner, lack_of_room(needed, partner.facts.room))


def _do_without(bonds: Bonds, member: Member, partner: Partner) -> None:
    """The holder was waited for: another one is sought. What was given up to it is taken back, if the lease lets it."""
    record = member.record
    is_free = bonds.lease_store != "" and record.guard is Guard.LEASE
    if record.given_up and not is_free:
        text = f"{record.name} was given up to {partner.name}, which is silent"
        if text != member.carry_failure:
            member.carry_failure = text
            member.alarm(AlarmLevel.CRITICAL, f"{text}: `goldthread takeover {record.name}` takes it back")
    elif record.given_up and record.phase is Phase.DOWN:
        _take_back(member, f"{partner.name}, to which it was handed over, is silent")
    elif bonds.choose_holder(member) or _find_helper(
        bonds, member, f"{partner.name} held {record.name}, and is silent"
    ):
        _let_go(member, OwnerState.SEEKING)


def _take_back(member: Member, why: str) -> None:
    """What was given up goes on here, as soon as it is vouched for that nobody has taken it."""
    member.persist(begun=member.record.epoch)  # Its lease was given up under this number, which is used no more.
    beginnings.start_life(member, f"life {member.next_epoch} starts here after all: {why}")


def _expose(member: Member) -> None:
    """The copy that another host had cannot be counted on any more."""
    if member.exposed_at is None and member.record.held is not None:
        member.exposed_at = member.now
        member.deposits.hurry(member.policy, member.now)


def _cover(member: Member, text: str) -> None:
    """A whole copy was made on another host, for the first time or again."""
    if member.exposed_at is not None:
        member.alarm(AlarmLevel.NOTICE, text)
        member.rebond, member.exposed_at = Span(member.now - member.exposed_at), None


def _let_go(member: Member, state: OwnerState) -> None:
    """It has no holder any more. Whoever may still believe to be one stays a claimant until it has heard so."""
    if state is OwnerState.SEEKING:
        _expose(member)
    else:
        member.exposed_at = None
    changes: dict[str, Any] = {"holder": None, "held": None}
    if member.record.given_up and member.record.phase is Phase.LIMBO:
        changes |= {"given_up": False, "begun": member.record.epoch}  # It is given up to one keeper, by name.
    turn(member, state, **changes)
    member.carrying = None
    for ticket, _ in member.hold_waiters:
        member.refuse(ticket, "PartnerUnreachable", f"{member.record.name} has no holder now")
    member.hold_waiters = []


def _give_to(bonds: Bonds, member: Member, partner: Partner) -> None:
    turn(member, OwnerState.SYNCING, holder=partner.id, held=None, differences=())
    member.carrying = None  # What may still be on its way goes to another one.
    member.retry_at = bonds.now
    member.bundle_sent = ""
    member.out.append(
        orders.Alarm(AlarmLevel.NOTICE, member.record.name, f"{partner.name} is to hold {member.record.name}")
    )


# The copy


def _replicate(bonds: Bonds, member: Member) -> None:
    record, sealed = member.record, member.sealed
    partner = None if record.holder is None else bonds.partners.get(record.holder)
    if partner is None or partner.contact(bonds.awake) is Contact.SILENT or bonds.now < member.retry_at:
        return
    fact = partner.holds(record.name)
    if fact is None or fact.refused or fact.origin != record.origin:
        return
    _want_bundle(member)
    # Where the hosts differ they are compared again with each life: somebody may have seen to it.
    is_due = fact.bundle != record.bundle or bool(record.differences)
    if record.bundle and is_due and member.bundle_sent != record.bundle:
        member.bundle_sent = record.bundle
        member.out.append(bond_orders.SendBundle(record.name, partner.id))
    if sealed is None or (record.held is not None and sealed.commit <= record.held):
        return
    if member.carrying is None:
        member.out.append(bond_orders.Replicate(record.name, sealed.commit, partner.id))
    elif member.carrying < sealed.commit:
        member.out.append(bond_orders.Overtake(record.name, sealed.commit, partner.id))
    member.carrying = sealed.commit


def on_held(bonds: Bonds, member: Member, event: bond_events.CommitHeld) -> None:
    record = member.record
    if record.phase is Phase.AWAY or event.partner != record.holder:
        return  # It was on its way when a newer life, perhaps the holder's own, was heard of, or to a former holder.
    member.carrying = None
    checks.take_carried(member, event.commit if event.is_read else None)
    if record.held is not None and event.commit <= record.held:
        return
    is_first = record.held is None
    member.record = msgspec.structs.replace(record, held=event.commit)
    member.carry_failure, member.carry_failures = "", 0
    member.held_at = bonds.now
    if is_first:
        whole = f"{bonds.name_of(event.partner)} has a whole copy of {record.name} again"
        _cover(member, f"{whole}: {event.sent / 2**20:.1f} MiB went there")
        turn(member, OwnerState.BONDED)


def _serve_waiters(bonds: Bonds, member: Member) -> None:
    """Whoever waits for a commit to be held is told so when the loss of this host would not cost it any more."""
    held = member.record.held
    if held is None or not member.hold_waiters or not member.is_copy_sure:
        return
    for ticket, commit in member.hold_waiters:
        if commit <= held:
            member.accept(ticket, f"{held} is held by {bonds.name_of(member.record.holder)}")
    member.hold_waiters = [(ticket, commit) for ticket, commit in member.hold_waiters if commit > held]


def on_replicate_failed(bonds: Bonds, member: Member, event: bond_events.ReplicateFailed) -> None:
    is_present = event.partner == member.record.holder
    if is_present:
        member.carrying = None
    if event.damaged:
        checks.check_soon(member)
    if not is_present:
        return  # What is on its way now goes to another one.
    checks.take_carried(member, None)
    take_failure(bonds, member, f"a copy of {member.record.name} could not be brought to its holder: {event.text}")


def take_failure(bonds: Bonds, member: Member, text: str) -> None:
    """It is tried again: soon after the first failures, which a carrier that is still starting explains. They are
    said when they last."""
    member.carry_failures += 1
    pause = min(member.policy.hold_retry, member.policy.tick << min(member.carry_failures, _DOUBLED_MOST))
    member.retry_at = Instant(bonds.now + pause)
    if pause == member.policy.hold_retry and text != member.carry_failure:
        member.alarm(AlarmLevel.NOTICE, text)
        member.carry_failure = text


def on_hold_asked(bonds: Bonds, member: Member, event: bond_events.HoldAsked) -> None:
    record = member.record
    if record.holder is None:
        hint = "tie a bond: `goldthread bond invite` here, `goldthread bond accept` there"
        member.refuse(event.ticket, "PartnerUnreachable", f"{record.name} has no holder", hint)
    elif member.sealed is None:
        member.accept(event.ticket, "nothing is sealed that could be held")
    else:
        member.hold_waiters.append((event.ticket, member.sealed.commit))


# Elsewhere


def go_away(bonds: Bonds, member: Member, owner: KeeperId | None, epoch: Epoch) -> None:
    """A newer life is another keeper's: this one ends at once, and what is here is an old copy."""
    record = member.record
    reason = f"life {epoch} of {record.name} is {bonds.name_of(owner)}'s"
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
        "holder": owner,
        "begun": epoch,
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
    if record.was_in_limbo:
        return  # Its last owner gave it up for the same: it would go back and forth without end.
    fact = partner.holds(record.name)
    is_ready = record.owner_state is OwnerState.BONDED and fact is not None and fact.bundle == record.bundle
    if not is_ready or partner.terms.takeover is Consent.NO:
        return
    hindrance = vouching.name_others(bonds, member)
    if not hindrance:
        member.persist(given_up=True)
        member.alarm(AlarmLevel.WARNING, f"{record.name} is in limbo here, so {partner.name} may take it over")
    elif hindrance != member.carry_failure:
        member.carry_failure = hindrance
        text = f"{record.name} is in limbo here, and is not given up to {partner.name}: {hindrance}"
        member.alarm(AlarmLevel.CRITICAL, f"{text}; `goldthread takeover {record.name}` decides")


def hear_refusal(bonds: Bonds, member: Member, fact: HeldFact) -> None:
    """A partner refuses to hold a member since it knows of a newer life of it: then that is the one."""
    record = member.record
    if record.phase is not Phase.AWAY and record.origin == fact.origin and fact.epoch > record.epoch:
        go_away(bonds, member, None, fact.epoch)
