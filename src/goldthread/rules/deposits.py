"""What of a member goes to the vault and when, and when its memory is freed."""

from __future__ import annotations

from goldthread.names import CommitId, Epoch, Level
from goldthread.report import AlarmLevel, Phase
from goldthread.rules import events, orders, wishes
from goldthread.rules.events import Copy
from goldthread.rules.member import Member
from goldthread.rules.retention import deposits_to_keep

__all__ = [
    "close",
    "deposit_if_due",
    "free_if_at_peace",
    "on_deposit_asked",
    "on_deposit_failed",
    "on_deposited",
    "press_deposit",
    "take_deposit_check",
]


def on_deposited(member: Member, event: events.CommitDeposited) -> None:
    under_way = member.deposits.under_way
    if under_way is None or event.commit < under_way:
        return
    record, was_failing = member.record, member.deposits.failing
    member.vault |= {event.commit}
    member.damaged -= {event.commit}
    member.deposited_at = member.now
    served = member.deposits.succeed(event.commit)
    if record.deposited is None or event.commit > record.deposited:
        member.persist(deposited=event.commit)
    for ticket in served:
        member.accept(ticket, f"{event.commit} is in the vault")
    if was_failing:
        member.alarm(AlarmLevel.NOTICE, f"deposits of {record.name} work again")
    if member.surveyed and member.choice is None:
        keep = deposits_to_keep(member.vault, member.damaged, record.ceiling, member.policy.vault_keep)
        restored = record.restored
        if restored in member.vault - {*keep} and (record.newest is None or record.newest.epoch < record.epoch):
            keep = (*keep, restored)
        member.vault = frozenset(keep)
        member.out.append(orders.TrimVault(record.name, keep))
    free_if_at_peace(member)
    deposit_if_due(member)
    wishes.forget_if_asked(member)


def free_if_at_peace(member: Member) -> None:
    """What ended in peace needs no memory any more, once the vault has it and its deposit was read again."""
    if member.record.phase is not Phase.ENDED or member.lists_due > 0 or member.is_deposit_wanted():
        return
    deposited = member.record.deposited
    if member.sealed is None or deposited is None or member.proved == deposited:
        member.out.append(orders.FreeSlots(member.record.name, Epoch(member.record.epoch + 1)))
        member.sealed = None
    else:
        copy = Copy(deposited, Level.DEPOSITED, member.sealed.bytes)
        member.out.append(orders.CheckCopy(member.record.name, copy, background=True))


def take_deposit_check(member: Member, commit: CommitId, whole: bool, text: str) -> None:
    """A deposit was read again. A damaged one does not count any more."""
    if whole:
        member.proved = commit
    else:
        member.damaged |= {commit}
        member.vault -= {commit}
    if not whole and member.record.deposited == commit:
        member.alarm(AlarmLevel.WARNING, f"{commit} of {member.record.name} is damaged in the vault: {text}")
        member.persist(deposited=max(member.vault, default=None))
        press_deposit(member)
    free_if_at_peace(member)


def on_deposit_failed(member: Member, event: events.DepositFailed) -> None:
    if member.deposits.under_way is None:
        return
    if not member.deposits.failing:
        text = f"{event.commit} of {member.record.name} could not be taken to the vault: {event.text}"
        member.alarm(AlarmLevel.WARNING, text)
    for ticket in member.deposits.fail(member.policy, member.now):
        member.refuse(ticket, "NoRoom", f"{event.commit} could not be taken to the vault: {event.text}")
    wishes.forget_if_asked(member)


def on_deposit_asked(member: Member, event: events.DepositAsked) -> None:
    if member.sealed is None or not member.is_deposit_wanted():
        member.accept(event.ticket, "the vault has all that was sealed")
        return
    member.deposits.waiters.append((event.ticket, member.sealed.commit))
    member.deposits.failing = False
    press_deposit(member)


def press_deposit(member: Member) -> None:
    member.deposits.press()
    deposit_if_due(member)


def deposit_if_due(member: Member) -> None:
    newest = None if member.sealed is None else member.sealed.commit
    if member.deposits.begin(newest, member.record.deposited, member.policy, member.now) and newest is not None:
        member.out.append(orders.Deposit(member.record.name, newest))


def close(member: Member) -> None:
    """The keeper is about to end: the newest commit shall go to the vault now, also where that failed before."""
    member.closing = True
    member.deposits.failing = False
    press_deposit(member)
