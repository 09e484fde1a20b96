"""What users ask of a member at rest: to go back, or to be forgotten."""

from __future__ import annotations

from goldthread.names import Step
from goldthread.report import Phase
from goldthread.rules import events
from goldthread.rules.events import Copy
from goldthread.rules.member import Member
from goldthread.rules.orders import Ceiling
from goldthread.rules.retention import rank_copies

__all__ = ["answer_rollbacks", "dismiss", "forget_if_asked", "on_forget", "on_rollback"]


def on_rollback(member: Member, event: events.RollbackAsked) -> None:
    if member.is_alive:
        _refuse_running(member, event.ticket, "rolled back")
        return
    member.rollbacks.append((event.ticket, event.step))
    member.list_copies()


def answer_rollbacks(member: Member, copies: tuple[Copy, ...]) -> None:
    rollbacks, member.rollbacks = member.rollbacks, []
    for ticket, step in rollbacks:
        if member.is_alive:
            _refuse_running(member, ticket, "rolled back")
            continue
        ceiling = Ceiling(member.record.epoch, Step(step + 1), True, f"its user asked for step {step}")
        ranked = rank_copies(copies, member.record.floor, ceiling)
        if ranked:
            member.persist(ceiling=ceiling, wound=None)
            member.accept(ticket, f"the next life starts from {ranked[0].commit}")
        else:
            steps = sorted({copy.commit.step for copy in copies})
            there = ", ".join(map(str, steps)) or "none"
            text = f"no commit of {member.record.name} is at or before step {step}"
            member.refuse(ticket, "NothingToRestore", text, f"there are the steps: {there}")


def on_forget(member: Member, event: events.ForgetAsked) -> None:
    if member.is_alive or member.record.phase is Phase.WAITING:
        _refuse_running(member, event.ticket, "forgotten")
        return
    if member.forget is not None:
        member.refuse(member.forget, "KeeperError", "it was asked again")
    member.forget = event.ticket
    forget_if_asked(member)


def forget_if_asked(member: Member) -> None:
    """Forget, but not while a deposit or a listing is under way: what they tell would come after."""
    if member.forget is None or member.deposits.under_way is not None or member.lists_due > 0:
        return
    if member.is_alive:
        ticket, member.forget = member.forget, None
        _refuse_running(member, ticket, "forgotten")
        return
    for waiting, _ in (*member.rollbacks, *member.deposits.waiters):
        member.refuse(waiting, "UsageError", f"{member.record.name} was forgotten")
    member.forgotten = True


def _refuse_running(member: Member, ticket: int, verb: str) -> None:
    text = f"{member.record.name} cannot be {verb} while it runs"
    member.refuse(ticket, "UsageError", text, f"stop it first with `goldthread stop {member.record.name}`")


def dismiss(member: Member) -> None:
    """The keeper ends: whoever still waits is told."""
    waiting = [event.ticket for event in member.held] + [ticket for ticket, _ in member.rollbacks]
    waiting += [ticket for ticket, _ in member.hold_waiters] + member.handing
    waiting += [ticket for ticket in (member.forget, member.ticket and member.ticket[0]) if ticket is not None]
    for ticket in waiting:
        member.refuse(ticket, "KeeperError", "the keeper ends", "try again in a moment")
