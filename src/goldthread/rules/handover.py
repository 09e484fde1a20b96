"""A person's word on where a member runs: handed over to its holder, kept here without a voucher, or taken back.

The decisions of the rules themselves stand in `owning.py` and `holding.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from goldthread.names import Epoch
from goldthread.report import AlarmLevel, EndingKind, Guard, OwnerState, Phase
from goldthread.rules import beginnings, bond_events, stops, vouching
from goldthread.rules.member import TERM, Member
from goldthread.rules.owning import turn
from goldthread.terms import Consent

if TYPE_CHECKING:
    from goldthread.rules.bonds import Bonds

__all__ = ["hand_over", "reclaim", "release"]

_OUTRANKED: Final = 98
"""Lives that may have begun elsewhere, before a person decided that the member goes on here."""


def hand_over(bonds: Bonds, member: Member, event: bond_events.TakeoverAsked) -> None:
    """A user wants the next life to run at the holder: end this one in order, then give it up."""
    record = member.record
    name = bonds.name_of(event.to)
    partner = bonds.partners.get(event.to)
    if partner is None:
        member.refuse(event.ticket, "UsageError", f"there is no bond with {name}", "`goldthread bond list` shows them")
    elif record.holder == event.to and record.owner_state is OwnerState.SYNCING:
        text = f"the first copy of {record.name} is on its way to {name} still"
        member.refuse(event.ticket, "UsageError", text, "`goldthread status` says when it is held: try again then")
    elif record.holder != event.to or record.owner_state is not OwnerState.BONDED:
        hint = "it becomes the holder when the present one is gone, or when their bond is ended"
        member.refuse(event.ticket, "UsageError", f"{name} does not hold {record.name}", hint)
    elif partner.terms.takeover is not Consent.YES:
        text = f"{name}'s terms are not to take members over (takeover {partner.terms.takeover.value})"
        hint = f"on {name}: `goldthread bond terms {bonds.name} --takeover yes`"
        member.refuse(event.ticket, "UsageError", text, hint)
    elif not record.bundle:
        text = f"what is needed to run {record.name} elsewhere is not known: it was not started by `goldthread run`"
        member.refuse(event.ticket, "UsageError", text)
    elif record.phase is Phase.RETURNING:
        text = f"it is not known yet whether life {record.epoch} of {record.name} outlived the last keeper"
        member.refuse(event.ticket, "KeeperError", text, "try again in a moment")
    elif hindrance := vouching.name_others(bonds, member):
        hint = f"`goldthread takeover {record.name}` decides that it goes on here"
        member.refuse(event.ticket, "UsageError", f"{record.name} is not handed over: {hindrance}", hint)
    else:
        member.handing.append(event.ticket)
        reason = f"it is handed over to {name}"
        if member.is_alive and not member.start_wanted:
            stops.tell_to_end(member, TERM, True, reason, EndingKind.HANDED_OVER)
        elif member.start_wanted or record.phase is Phase.WAITING:
            member.start_wanted, member.due = False, None
            member.move(Phase.DOWN, reason, given_up=True)
        elif not record.given_up:
            member.persist(given_up=True)


def release(bonds: Bonds, member: Member, ticket: int) -> None:
    """A person decides that no other keeper runs this member: its life goes on without a voucher."""
    record = member.record
    changes: dict[str, Any] = {"claimants": (), "guard": Guard.NONE, "holder": None, "held": None, "given_up": False}
    is_given = record.phase is Phase.LIMBO or (record.phase is Phase.DOWN and record.given_up)
    if member.start_wanted or record.phase is Phase.WAITING or is_given:
        # The claimants may have used the numbers that follow; what a person decided is to outrank them.
        changes["begun"] = changes["epoch"] = changes["started"] = Epoch(record.epoch + _OUTRANKED)
    turn(member, OwnerState.SEEKING, **changes)
    if member.start_wanted:
        member.start_wanted = False
        member.move(Phase.DOWN, f"life {record.epoch} was never vouched for")
    if member.record.phase is Phase.DOWN and (record.given_up or record.phase is Phase.STARTING):
        beginnings.start_life(member, f"life {member.next_epoch} starts here, as a person decided")
    member.alarm(AlarmLevel.WARNING, f"a person decided that {member.record.name} goes on here without a voucher")
    member.accept(ticket, f"{member.record.name} goes on here")


def reclaim(bonds: Bonds, member: Member, ticket: int) -> None:
    """A person decides that a member goes on here that went away, from what was kept aside: no other copy is here. Its
    owner may have begun more lives than were heard of here; what a person decided is to outrank them."""
    name = member.record.name
    owner = next((one for one in bonds.partners.values() if bonds.hears(one) and one.owns(name) is not None), None)
    if owner is not None:
        hint = f"on {owner.name}: `goldthread takeover {name} --to {bonds.name}` hands it over without a lost step"
        member.refuse(ticket, "UsageError", f"{owner.name}, which owns {name}, lives", hint)
        return
    number = Epoch(member.record.epoch + _OUTRANKED)
    member.persist(epoch=number, started=number, begun=number)
    reason = f"life {member.next_epoch} starts here from what was kept aside, as a person decided"
    beginnings.start_life(member, reason, holder=None)
    member.alarm(AlarmLevel.WARNING, f"{name}: {reason}")
    member.accept(ticket, f"life {member.record.epoch} of {name} is being started here")
