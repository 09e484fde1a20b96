"""What lets a life go on: who may take its member over, and who vouches that nobody does.

The holder is told of a guard only when a voucher stands, and the life needs a voucher from then until the holder has
heard otherwise. A life that nobody vouches for is stopped at once, and ended when that lasts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from goldthread.names import Instant, KeeperId
from goldthread.report import AlarmLevel, EndingKind, Guard, Phase
from goldthread.rules import admission, beginnings, bond_orders, stops
from goldthread.rules.member import ALIVE, KILL, Member
from goldthread.rules.partner import Partner

if TYPE_CHECKING:
    from goldthread.rules.bonds import Bonds

__all__ = ["guard", "name_others", "others", "take_promises", "vouch", "wanted_guard"]

STOP: Final = 19
CONTINUE: Final = 18


def guard(bonds: Bonds, member: Member) -> None:
    """Tell the holder of a guard only when a voucher stands: from then on the life needs one."""
    record, fence = member.record, member.fence
    partner = None if record.holder is None else bonds.partners.get(record.holder)
    wanted = wanted_guard(bonds, member)
    if record.given_up:
        fence.void()
        if partner is not None and partner.id not in record.claimants and not others(bonds, member):
            member.persist(claimants=(*record.claimants, partner.id))
    if wanted is not record.guard and not record.claimants and record.guard is not Guard.NONE:
        member.persist(guard=Guard.NONE)
    if wanted is Guard.NONE or partner is None or (partner.id in record.claimants and record.guard is wanted):
        return
    if record.guard not in (Guard.NONE, wanted):
        return  # Whoever was told of another guard acts on it until it has heard that there is none.
    if record.phase is Phase.RETURNING:
        return  # Its program may live, and cannot be told yet that it needs a voucher from now on.
    if wanted is Guard.LEASE:
        is_ours = fence.lease_epoch == record.epoch and fence.lease_until - bonds.now > member.policy.lease // 2
        is_named = fence.lease is not None and fence.lease.successor in (None, partner.id)
        # A claimant without a guard was given it up, or its guard was forgotten: it may not ask the lease store.
        is_ready = is_ours and is_named and (record.guard is Guard.LEASE or not record.claimants)
    else:
        # Two that may take over without a lease would do so under the same epoch.
        is_alone = all(claimant == partner.id for claimant in record.claimants)
        left = fence.promises.get(partner.id, Instant(0)) - bonds.now
        is_ready = is_alone and left > member.policy.promise // 2
    if is_ready:
        claimants = tuple(dict.fromkeys((*record.claimants, partner.id)))
        member.persist(guard=wanted, claimants=claimants)


def wanted_guard(bonds: Bonds, member: Member) -> Guard:
    """What is to keep the holder's life and this one apart. Nothing changes while the holder was not heard."""
    record = member.record
    partner = None if record.holder is None else bonds.partners.get(record.holder)
    if partner is None:
        return Guard.NONE
    return record.guard if partner.facts is None else bonds.guard_for(partner)


def others(bonds: Bonds, member: Member) -> tuple[KeeperId, ...]:
    """Who else may take the member over, where it is given up to its holder: two may only where both need the lease."""
    record = member.record
    if record.guard is Guard.LEASE and wanted_guard(bonds, member) is Guard.LEASE:
        return ()
    return tuple(claimant for claimant in record.claimants if claimant != record.holder)


def name_others(bonds: Bonds, member: Member) -> str:
    """Why it is not given up to its holder, in words; empty where it may be."""
    names = [bonds.name_of(claimant) for claimant in others(bonds, member)]
    return f"{' and '.join(names)} may take it over too, and did not promise to leave it alone" if names else ""


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


def vouch(bonds: Bonds, member: Member) -> None:
    """Let the life go on as long as it is vouched for, and stop it when it is not."""
    record, fence = member.record, member.fence
    until = fence.until(record)
    if record.phase in ALIVE and record.joined and until != fence.told_until and (until is None or until > 0):
        fence.told_until = until
        member.out.append(bond_orders.Vouch(record.name, record.epoch, until))
    is_vouched = until is None or bonds.now < until
    if is_vouched:
        _thaw(member)
        if member.start_wanted and member.is_vouched and record.phase is Phase.STARTING:
            member.start_program()
        if member.unvouched and record.phase is Phase.WAITING:
            member.unvouched = False
            beginnings.start_life(member, f"life {member.next_epoch} starts: it is vouched for again")
        admission.settle(member)
    elif record.phase in ALIVE and not member.start_wanted:
        _freeze(bonds, member)


def _thaw(member: Member) -> None:
    """Let a stopped program go on. One that a keeper before this one may have stopped is told so as well."""
    fence = member.fence
    was_frozen, fence.frozen_at = fence.frozen_at is not None, None
    if member.record.phase in ALIVE and (was_frozen or member.may_be_frozen):
        member.signal_program(CONTINUE)
        if was_frozen:
            member.alarm(AlarmLevel.NOTICE, f"{member.record.name} goes on: it is vouched for again")
    member.may_be_frozen = False


def _freeze(bonds: Bonds, member: Member) -> None:
    record, fence = member.record, member.fence
    if fence.frozen_at is None:
        # What has not joined seals nothing, and is admitted when it is vouched for.
        if bonds.now < fence.assumed_until or record.phase is Phase.ENDING or not record.joined:
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
