"""How a program becomes a life: it asks to join, and is admitted once it is known what it starts from."""

from __future__ import annotations

import msgspec

from goldthread.names import CommitId
from goldthread.report import AlarmLevel, Ending, EndingKind, Phase
from goldthread.rules import beginnings, deaths, events, orders, returns, stops
from goldthread.rules.bond_orders import MendCopy
from goldthread.rules.choice import Choice, ChoiceState
from goldthread.rules.detector import Detector
from goldthread.rules.member import KILL, Member
from goldthread.rules.retention import slots_to_keep

__all__ = ["check_or_settle", "on_join", "settle"]


def on_join(member: Member, event: events.JoinAsked) -> None:
    record = member.record
    if event.epoch is not None and event.epoch < record.started:
        text = f"this process is life {event.epoch} of {record.name}, and life {record.epoch} exists"
        member.refuse(event.ticket, "Fenced", text)
    elif record.phase is Phase.RETURNING:
        _join_anew(member, event)
    elif member.is_alive:
        _join_alive(member, event)
    elif record.phase in (Phase.WAITING, Phase.AWAY) or (event.epoch is not None and event.epoch <= record.epoch):
        beginnings.refuse_taken(member, event.ticket)
    else:
        epoch = member.next_epoch if event.epoch is None else event.epoch
        reason = f"process {event.pid} joins as life {epoch}"
        floor = epoch if event.fresh else record.floor
        supervised = event.epoch is not None
        beginnings.begin_life(member, epoch, reason, started=epoch, supervised=supervised, pid=event.pid, floor=floor)
        member.ticket = (event.ticket, event.pid)


def _join_anew(member: Member, event: events.JoinAsked) -> None:
    """A process of the life that is waited for asks to join: its admission was lost with the last keeper."""
    if event.epoch is None:
        deaths.end_life(member, Ending(EndingKind.UNKNOWN, "its program asked to join anew"))
        on_join(member, event)
        return
    returns.return_as(member, event.pid)
    member.left = member.record.joined
    _join_alive(member, event)


def _join_alive(member: Member, event: events.JoinAsked) -> None:
    """A program asks while a process of this member lives: it may be the joined part of it."""
    record = member.record
    is_ours = event.epoch is not None and event.epoch == record.started
    asks_again = member.ticket is not None and member.ticket[1] == event.pid
    if record.phase is Phase.STARTING and not record.joined and (asks_again or (is_ours and member.ticket is None)):
        if member.ticket is not None:
            member.refuse(member.ticket[0], "KeeperError", "the same process asked again")
        member.ticket = (event.ticket, event.pid)
        if event.fresh and record.epoch != record.floor and not _is_restart(member):
            _start_over(member)
        settle(member)
    elif record.phase is Phase.RUNNING and is_ours and member.left:
        _rejoin(member, event)
    else:
        beginnings.refuse_taken(member, event.ticket)


def _rejoin(member: Member, event: events.JoinAsked) -> None:
    """The same process joins once more. No epoch writes slots twice, so it gets the next one."""
    epoch = member.next_epoch
    beginnings.begin_life(member, epoch, f"process {event.pid} joins again, as life {epoch}", pid=event.pid)
    member.ticket = (event.ticket, event.pid)


def _is_restart(member: Member) -> bool:
    return any(name == "seen" for name, _ in member.life.moments)


def _start_over(member: Member) -> None:
    """The program asked for a fresh start: choose again, among nothing."""
    member.persist(floor=member.record.epoch)
    before, choice = member.choice, member.begin_choice()
    if before is not None and before.state is not ChoiceState.LISTING:
        choice.take_list(before.copies)


def check_or_settle(member: Member, choice: Choice) -> None:
    trying = choice.trying
    if choice.state is ChoiceState.CHECKING and trying is not None:
        member.out.append(orders.CheckCopy(member.record.name, trying))
    elif choice.state is ChoiceState.MENDING and trying is not None:
        copies = choice.copies_of(trying.commit)
        member.out.append(MendCopy(member.record.name, trying.commit, copies, member.record.holder))
    else:
        settle(member)


def settle(member: Member) -> None:
    """Admit or refuse the waiting program, once it is known what it can start from."""
    choice, ticket = member.choice, member.ticket
    if choice is None or ticket is None or member.record.phase is not Phase.STARTING or not member.is_vouched:
        return
    if choice.state is ChoiceState.SETTLED:
        member.ticket = None
        _admit(member, choice, *ticket)
    elif choice.state is ChoiceState.FAILED:
        member.ticket = None
        _refuse_to_start_over(member, choice, ticket[0])


def _admit(member: Member, choice: Choice, ticket: int, pid: int) -> None:
    name, epoch = member.record.name, member.record.epoch
    copy = choice.trying
    restored = None if copy is None else copy.commit
    reason = _restore_reason(member, choice)
    member.choice = None
    member.freed = False
    member.detector = Detector(member.policy, member.record.hang_floor, member.record.gap, member.awake)
    member.move(Phase.RUNNING, reason, pid=pid, joined=True, restored=restored, begun=epoch)
    member.persist_life("imports", pid=pid, restored=copy, restored_reason=reason)
    if choice.damage or choice.is_lost():
        member.alarm(AlarmLevel.WARNING, reason)
        _tell_previous(member, choice)
    until = member.fence.told_until = member.fence.until(member.record)
    member.out.append(orders.Admit(ticket, name, epoch, copy, reason, member.previous, until))
    # The copy was whole when it was checked. Should the program find that it is not any more, the others are needed.
    member.kept = None if copy is None else slots_to_keep(choice.copies, copy.commit)


def _tell_previous(member: Member, choice: Choice) -> None:
    """The life before had lost nothing when it ended; now it is known that its newest commit is not to be had."""
    previous, copy, known = member.previous, choice.trying, choice.known
    if previous is None or copy is None or known is None or known <= copy.commit or known.epoch != previous.epoch:
        return
    lost = f"the work since step {copy.commit.step}: {choice.remark()}"
    member.previous = msgspec.structs.replace(previous, lost=lost)
    member.out.append(orders.Persist(member.previous))


def _restore_reason(member: Member, choice: Choice) -> str:
    """Why this life starts from where it does, in one sentence."""
    record, copy = member.record, choice.trying
    life = f"life {record.epoch} of {record.name}"
    if copy is None:
        if record.epoch == 1:
            return f"this is the first life of {record.name}"
        if record.floor == record.epoch:
            return f"{life} starts over, as asked: the commits of earlier lives are not used any more"
        since = f"since life {record.floor}, which started over," if record.floor > 0 else "before it"
        return f"{life} starts from the beginning: no life {since} has sealed a commit"
    sentence = f"{life} goes on from {copy.commit} ({copy.level.value}{_age_at_death(member, copy.commit)})"
    remark = choice.remark()
    if remark:
        return f"{sentence}, since {remark}"
    ending = None if member.previous is None else member.previous.ending
    if ending is not None and ending.kind is EndingKind.FINISHED:
        return f"{sentence}; that life had ended in peace, and `--fresh` starts over"
    return sentence


def _age_at_death(member: Member, commit: CommitId) -> str:
    moments = dict(member.life.moments)
    if member.sealed is None or member.sealed.commit != commit or member.sealed_at is None or "seen" not in moments:
        return ""
    return f", {(moments['seen'] - member.sealed_at) / 1e9:.1f} s before its death was seen"


def _refuse_to_start_over(member: Member, choice: Choice, ticket: int) -> None:
    """There should be a commit and none is whole: the life ends here, for its user to decide."""
    name = member.record.name
    found = "; ".join(choice.damage) or "no copy of any commit is left"
    text = f"{name} had reached {choice.known}, and nothing whole is left to restore: {found}"
    hint = f"`goldthread run --fresh` starts over; `goldthread rollback {name} --step S` chooses an older commit"
    member.refuse(ticket, "NothingToRestore", text, hint)
    member.alarm(AlarmLevel.CRITICAL, text)
    if member.record.supervised:
        stops.tell_to_end(member, KILL, True, text, EndingKind.NOT_STARTED)
    else:
        deaths.end_life(member, Ending(EndingKind.NOT_STARTED, text))
