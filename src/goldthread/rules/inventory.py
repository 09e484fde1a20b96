"""Which copies there are, and which of them are whole."""

from __future__ import annotations

from typing import Any

import msgspec

from goldthread.names import Epoch, Level, Span
from goldthread.report import AlarmLevel, Phase
from goldthread.rules import admission, bond_events, checks, deposits, events, orders, progress, wishes
from goldthread.rules.choice import Choice, ChoiceState
from goldthread.rules.events import Copy
from goldthread.rules.member import AT_REST, Member

__all__ = ["on_checked", "on_listed", "on_mended"]


def on_listed(member: Member, event: events.CopiesListed) -> None:
    if member.lists_due > 0:
        member.lists_due -= 1
    _take_inventory(member, event.copies)
    wishes.answer_rollbacks(member, event.copies)
    choice = member.choice
    is_complete = member.lists_due == 0 and member.elsewhere_over is None
    if choice is not None and choice.state is ChoiceState.LISTING and is_complete:
        choice.take_list((*event.copies, *member.elsewhere))
        if choice.trying is not None:
            member.out.append(orders.PrepareSlot(member.record.name, member.record.epoch, choice.trying.bytes))
        admission.check_or_settle(member, choice)
    if member.record.phase in AT_REST:
        deposits.press_deposit(member)
        deposits.free_if_at_peace(member)
    else:
        deposits.deposit_if_due(member)
    checks.check_next(member)
    wishes.forget_if_asked(member)


def _take_inventory(member: Member, copies: tuple[Copy, ...]) -> None:
    """Learn what there is. Epochs never decrease, even if the journal forgot some."""
    member.surveyed = True
    sealed = [copy for copy in copies if copy.level is Level.SEALED]
    deposits = frozenset(copy.commit for copy in copies if copy.level is Level.DEPOSITED)
    member.vault = deposits
    whole = [copy for copy in sealed if copy.commit not in member.unmendable]
    if member.record.phase in AT_REST and whole != sealed:
        sealed = whole
        kept = tuple(copy.commit for copy in sealed)
        member.out.append(orders.FreeSlots(member.record.name, Epoch(member.record.epoch + 1), kept))
    best = max(whole, key=lambda copy: copy.commit, default=None)
    is_counted = member.sealed is not None and member.sealed.commit not in member.unmendable
    if (
        not member.is_alive
        or member.sealed is None
        or member.sealed.commit.epoch < member.record.epoch
        or not is_counted
    ):
        is_same = best is not None and member.sealed is not None and best.commit == member.sealed.commit
        member.sealed, member.sealed_at = best, member.sealed_at if is_same else None
    newest = max((copy.commit for copy in sealed), default=None)
    deposited = max(deposits, default=None)
    changes: dict[str, Any] = {}
    if newest is not None and (member.record.newest is None or newest > member.record.newest):
        changes["newest"] = newest
    if deposited is not None and (member.record.deposited is None or deposited > member.record.deposited):
        changes["deposited"] = deposited
    epoch = max((copy.commit.epoch for copy in copies), default=Epoch(0))
    if epoch > member.record.epoch and not member.is_alive:
        changes |= {"epoch": epoch, "started": epoch, "begun": epoch}
    elif epoch == member.record.epoch and member.is_found and member.record.phase is Phase.STARTING:
        progress.have_joined(member)
    elif epoch >= member.record.epoch and member.record.phase is Phase.STARTING and not member.record.joined:
        changes |= _outrank(member, epoch)
    if member.record.phase is Phase.ABSENT and copies:
        member.move(Phase.DOWN, f"the journal does not know it; {len(copies)} copies of its work were found", **changes)
        member.deposits.press()
        member.is_unknown = True
        member.grace_over = Span(member.awake + member.policy.return_grace)
    elif changes:
        member.persist(**changes)


def _outrank(member: Member, epoch: Epoch) -> dict[str, Any]:
    """The journal was lost: copies of life `epoch` exist, and the life that starts must be a later one."""
    later = Epoch(epoch + 1)
    is_fresh = member.record.floor == member.record.epoch
    member.life = msgspec.structs.replace(member.life, epoch=later)
    floor = later if is_fresh else member.record.floor
    member.choice = Choice(floor, member.record.ceiling, member.newest())
    return {"epoch": later, "floor": floor, "begun": later}


def on_mended(member: Member, event: bond_events.CopyMended) -> None:
    choice = member.choice
    trying = None if choice is None or choice.state is not ChoiceState.MENDING else choice.trying
    if choice is None or trying is None or trying.commit != event.commit:
        checks.take_mended(member, event)
    else:
        choice.take_mended(event.whole, event.text)
        if event.whole:
            member.alarm(AlarmLevel.NOTICE, f"{event.commit} of {member.record.name} was mended: {event.text}")
        admission.check_or_settle(member, choice)


def on_checked(member: Member, event: events.CopyChecked) -> None:
    copy = event.copy
    checks.take_check(member, event)
    choice = member.choice
    trying = None if choice is None else choice.trying
    if choice is None or trying is None or choice.state is not ChoiceState.CHECKING:
        return
    if (trying.commit, trying.level) == (copy.commit, copy.level):
        choice.take_check(event.whole, event.text)
        admission.check_or_settle(member, choice)
