"""What a death was, what it cost, and what follows it."""

from __future__ import annotations

from typing import Any

import msgspec

from goldthread.names import Instant
from goldthread.report import AlarmLevel, Ending, EndingKind, Phase
from goldthread.rules import beginnings, events
from goldthread.rules.member import AT_REST, InvalidTransition, Member
from goldthread.rules.restart import decide_restart, find_wound, is_written_wrong, wound_ceiling

__all__ = ["end_life", "on_ended"]


def on_ended(member: Member, event: events.LifeEnded) -> None:
    record = member.record
    if event.epoch > record.epoch:
        if member.is_alive:
            text = f"{record.name}: life {event.epoch} ended, and the present one is {record.epoch}"
            raise InvalidTransition(text)
        member.persist(epoch=event.epoch, started=event.epoch, begun=event.epoch)
    if event.epoch < record.started:
        return
    if member.is_alive or record.phase is Phase.RETURNING:
        end_life(member, event.ending)
    elif member.grace_over is not None or event.epoch > record.epoch:
        member.survey()


def end_life(member: Member, ending: Ending) -> None:
    """The present life is over, and what follows is decided."""
    record = member.record
    ending = _classify(member, ending)
    member.grace_over = None
    if member.ticket is not None:
        member.refuse(member.ticket[0], "KeeperError", f"the process ended before it was admitted: {ending.text}")
        member.ticket = None
    member.choice = None
    reached = record.newest.step if record.newest is not None and record.newest.epoch == record.epoch else None
    member.persist_life(reached=reached, ending=ending, lost=_loss(member, ending))
    death = f"life {record.epoch} ended: {_in_words(ending)}"
    if ending.kind is EndingKind.NOT_STARTED:
        _enter_limbo(member, death, ending)
    elif ending.kind is EndingKind.HANDED_OVER:
        member.move(Phase.DOWN, death, ending, told=None, given_up=True)
    elif ending.kind is EndingKind.UNVOUCHED and record.supervised:
        member.unvouched = True
        member.move(Phase.WAITING, death, ending, told=None)
    elif ending.kind in (EndingKind.FINISHED, EndingKind.STOPPED):
        member.move(Phase.ENDED, death, ending, wound=None, futile=0, told=None)
    elif not record.supervised:
        member.move(Phase.DOWN, death, ending, told=None)
    elif ending.kind is EndingKind.HOST_RESTARTED:
        beginnings.start_life(
            member, f"life {member.next_epoch} starts: {death}", _death_moments(member), ending=ending
        )
    else:
        _follow_death(member, ending, death)
    if member.record.phase in AT_REST:
        member.survey()


def _in_words(ending: Ending) -> str:
    """The kind and the text, where the one does not say the other already."""
    kind = ending.kind.value
    return ending.text if ending.text.startswith(kind) else f"{kind}, {ending.text}"


def _follow_death(member: Member, ending: Ending, death: str) -> None:
    """A supervised life died: start the next, now or later, or give up."""
    record = member.record
    restored = None if record.restored is None else record.restored.step
    newest = record.newest
    is_new = newest is not None and newest.epoch == record.epoch
    progressed = is_new and newest is not None and (restored is None or newest.step > restored)
    wound = find_wound(record.wound, ending, member.step())
    ceiling = wound_ceiling(wound, record.epoch, restored)
    if ceiling is not None:
        member.alarm(AlarmLevel.WARNING, f"{record.name} starts from an older commit: {ceiling.reason}")
    next_one = decide_restart(record.deaths, record.futile, progressed, record.budget, member.policy, member.now)
    changes: dict[str, Any] = {
        "deaths": next_one.deaths,
        "futile": next_one.futile,
        "wound": wound,
        "ceiling": ceiling or record.ceiling,
    }
    delay = next_one.delay
    if member.newest() is None and is_written_wrong(wound, ending):
        reason = "it died twice of the same before its first commit, so another life would too"
        _enter_limbo(member, f"{reason}; {death}", ending, **changes)
    elif delay is None:
        _enter_limbo(member, f"{next_one.reason}; {death}", ending, **changes)
    elif delay == 0 and not member.closing:
        reason = f"life {member.next_epoch} starts at once: {death}"
        beginnings.start_life(member, reason, _death_moments(member), ending=ending, **changes)
    else:
        member.moments_of_death = _death_moments(member)
        member.move(Phase.WAITING, f"{death}; {next_one.reason}", ending, told=None, **changes)
        member.due = Instant(member.now + delay)


def _enter_limbo(member: Member, reason: str, ending: Ending, **changes: Any) -> None:
    member.move(Phase.LIMBO, reason, ending, told=None, **changes)
    name = member.record.name
    member.alarm(AlarmLevel.CRITICAL, f"{name} is in limbo: {reason}; `goldthread restart {name}` tries again")


def _death_moments(member: Member) -> tuple[tuple[str, Instant], ...]:
    died = member.detector.beat_at
    return ((("died", died),) if died is not None else ()) + (("seen", member.now),)


def _classify(member: Member, ending: Ending) -> Ending:
    """Say why it ended, with what is known here beside what was seen."""
    told, replace = member.record.told, msgspec.structs.replace
    if told is EndingKind.HANG:
        return replace(
            ending, kind=told, text=member.record.reason, detail=member.stacks or ending.detail, fingerprint=told.value
        )
    if told is EndingKind.STOPPED:
        return replace(ending, kind=told, text=f"{member.record.reason}; {ending.text}")
    if told in (EndingKind.NOT_STARTED, EndingKind.UNVOUCHED, EndingKind.HANDED_OVER):
        return replace(ending, kind=told, text=member.record.reason)
    return ending


def _loss(member: Member, ending: Ending) -> str:
    """What the end of the present life cost, in words."""
    record, reached = member.record, member.detector.step
    newest = record.newest
    if ending.kind in (EndingKind.UNKNOWN, EndingKind.HOST_RESTARTED) and record.joined:
        known = member.step()
        return "whatever it had done" if known is None else f"whatever came after step {known}"
    if newest is not None and newest.epoch == record.epoch:
        if reached is None or reached <= newest.step:
            return f"nothing: step {newest.step} was sealed"
        return f"the work since step {newest.step}: it had reached step {reached}"
    if not record.joined:
        return "nothing that is known: it had not joined"
    if ending.kind is EndingKind.FINISHED:
        return "nothing: it sealed no commit"
    return "all its work" if record.restored is None else f"the work since step {record.restored.step}"
