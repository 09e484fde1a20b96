"""A new keeper: what survived the last one, and what it finds that no journal knows.

Programs and shims need a moment to come back. Until then a life that was running may or may not live, and a commit
that is only in memory may or may not be there; so what users ask meanwhile is held. The moment is counted in time
that the keeper was awake: a host that stood still has not given anybody the time to come back.
"""

from __future__ import annotations

from typing import Any

import msgspec

from goldthread.names import Epoch, Span
from goldthread.report import AlarmLevel, Ending, EndingKind, Phase
from goldthread.rules import deaths, events, orders, stops
from goldthread.rules.detector import Detector
from goldthread.rules.member import ALIVE, AT_REST, KILL, TERM, InvalidTransition, Member, new_life

__all__ = ["come_back", "holds", "on_found", "on_started", "release_held", "return_as"]


def come_back(member: Member, rebooted: bool) -> None:
    """Made from a record: find out what survived the last keeper."""
    record = member.record
    if rebooted:
        member.record = msgspec.structs.replace(record, deaths=())
    if record.phase in ALIVE or record.phase is Phase.RETURNING:
        member.record = msgspec.structs.replace(member.record, phase=Phase.RETURNING)
        if rebooted:
            deaths.end_life(member, Ending(EndingKind.HOST_RESTARTED, "the host was restarted"))
            return
    if record.phase is not Phase.ABSENT and not rebooted:
        member.grace_over = Span(member.awake + member.policy.return_grace)
    elif member.record.phase in AT_REST or member.record.phase is Phase.WAITING:
        member.survey()


def holds(member: Member, event: Any) -> bool:
    """Whether what was asked must wait until it is known what survived the last keeper; it is kept then."""
    record = member.record
    is_ours = isinstance(event, events.JoinAsked) and (
        event.pid == record.pid or (event.epoch is not None and event.epoch >= record.started)
    )
    if not _is_returning(member) or (record.phase is Phase.RETURNING and is_ours):
        return False
    member.held.append(event)
    return True


def release_held(member: Member) -> list[Any]:
    """What was asked meanwhile, once it can be answered."""
    if not member.held or _is_returning(member):
        return []
    held, member.held = member.held, []
    return held


def _is_returning(member: Member) -> bool:
    if member.record.phase is Phase.RETURNING:
        return True
    newest, deposited = member.record.newest, member.record.deposited
    is_only_in_memory = newest is not None and (deposited is None or newest > deposited)
    return member.grace_over is not None and (is_only_in_memory or member.is_unknown)


def on_found(member: Member, event: events.LifeFound) -> None:
    record = member.record
    is_past = record.phase is Phase.ENDED and event.epoch <= record.epoch
    if event.epoch < record.started or is_past:
        _fence(member, event.epoch)
    elif event.epoch > record.epoch:
        _adopt(member, event.epoch, event.pid)
    elif record.phase is Phase.RETURNING:
        return_as(member, event.pid)
    elif not member.is_alive:
        newest = member.newest()
        has_sealed = newest is not None and newest.epoch == event.epoch
        reason = f"life {record.epoch} was found alive after all"
        member.move(Phase.RUNNING, reason, pid=event.pid, joined=record.joined or has_sealed)
        _come_alive(member)


def on_started(member: Member, event: events.LifeStarted) -> None:
    if event.epoch > member.record.epoch:
        _adopt(member, event.epoch, event.pid)
    elif event.epoch != member.record.started:
        _fence(member, event.epoch)
    elif member.record.phase is Phase.RETURNING:
        return_as(member, event.pid)
    elif member.record.phase in ALIVE:
        member.persist_life("started", pid=event.pid)
        member.record = msgspec.structs.replace(member.record, pid=event.pid)
        if member.record.phase is Phase.ENDING and member.signal is not None:
            member.signal_program(member.signal[0])


def _adopt(member: Member, epoch: Epoch, pid: int) -> None:
    """A life was found that the journal does not know: whether it has joined, its next sign will tell."""
    reason = f"life {epoch} was found, of which the journal does not know"
    if member.is_alive:
        raise InvalidTransition(f"{member.record.name}: {reason}, beside life {member.record.epoch}")
    lost: dict[str, Any] = {"joined": False, "restored": None, "told": None, "begun": epoch}
    member.move(Phase.STARTING, reason, None, epoch=epoch, started=epoch, pid=pid, **lost)
    member.life = new_life(member.record.name, epoch, ())
    member.begin_choice()
    _come_alive(member)


def return_as(member: Member, pid: int) -> None:
    """The life that the journal says was running still runs."""
    record = member.record
    if record.told in (EndingKind.STOPPED, EndingKind.NOT_STARTED):
        member.record = msgspec.structs.replace(record, pid=pid)
        stops.tell_to_end(member, TERM if record.told is EndingKind.STOPPED else KILL, True, record.reason, record.told)
    elif record.joined:
        member.move(Phase.RUNNING, f"life {record.epoch} goes on under a new keeper", pid=pid, told=None)
    else:
        member.move(Phase.STARTING, f"life {record.epoch} still starts, under a new keeper", pid=pid, told=None)
        member.begin_choice()
    _come_alive(member)


def _come_alive(member: Member) -> None:
    member.is_found = member.may_be_frozen = True
    member.detector = Detector(member.policy, member.record.hang_floor, member.record.gap, member.awake)
    member.survey()


def _fence(member: Member, epoch: Epoch) -> None:
    """A life that was given up turns out to live: it may not go on beside its successor."""
    member.out.append(orders.SignalProgram(member.record.name, epoch, KILL))
    member.alarm(AlarmLevel.WARNING, f"life {epoch} of {member.record.name} still lived and was killed: it is fenced")
