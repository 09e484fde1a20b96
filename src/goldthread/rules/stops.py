"""How a program is told to end."""

from __future__ import annotations

from goldthread.names import Instant
from goldthread.report import EndingKind, Phase
from goldthread.rules import events
from goldthread.rules.member import TERM, Member

__all__ = ["on_stop", "stop", "tell_to_end"]


def on_stop(member: Member, event: events.StopAsked) -> None:
    name = member.record.name
    if member.is_alive:
        stop(member, event.signal, event.escalate)
        member.accept(event.ticket, f"{name} was told to end")
    elif member.record.phase is Phase.WAITING:
        stop(member, event.signal, event.escalate)
        member.accept(event.ticket, f"{name} will not be started again")
    else:
        member.accept(event.ticket, f"{name} does not run: {member.record.reason}")


def stop(member: Member, signal: int = TERM, escalate: bool = True) -> None:
    """Its user wants it to end."""
    if member.record.phase is Phase.WAITING or member.start_wanted:
        member.start_wanted = False
        member.move(Phase.ENDED, "its user stopped it before it was started again")
        member.survey()
        return
    told = member.record.told or EndingKind.STOPPED
    tell_to_end(member, signal, escalate, f"its user asked it to end (signal {signal})", told)


def tell_to_end(member: Member, signal: int, escalate: bool, reason: str, told: EndingKind) -> None:
    member.signal = (signal, escalate)
    if member.record.phase is not Phase.ENDING:
        member.move(Phase.ENDING, reason, told=told)
    member.due = Instant(member.now + member.policy.stop_grace)
    member.signal_program(signal)
