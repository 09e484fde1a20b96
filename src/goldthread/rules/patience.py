"""What follows from time going by."""

from __future__ import annotations

from goldthread.names import Instant
from goldthread.report import Ending, EndingKind, Phase
from goldthread.rules import admission, beginnings, checks, deaths, deposits, progress
from goldthread.rules.member import KILL, Member

__all__ = ["tick"]


def tick(member: Member) -> None:
    phase = member.record.phase
    if phase is Phase.RUNNING:
        progress.judge(member)
    elif phase is Phase.STUCK and member.stuck_awake is not None:
        if member.awake - member.stuck_awake >= member.policy.stacks_wait:
            member.stuck_awake = None
            if member.record.supervised:
                progress.kill_stuck(member)
    elif member.due is not None and member.now >= member.due:
        _come_due(member, phase)
    if member.grace_over is not None and member.awake >= member.grace_over:
        if phase is Phase.RETURNING:
            deaths.end_life(member, Ending(EndingKind.UNKNOWN, "it ended while no keeper was there"))
        else:
            member.survey()
    deposits.deposit_if_due(member)
    checks.check_if_due(member)


def _come_due(member: Member, phase: Phase) -> None:
    member.due = None
    if phase is Phase.WAITING and not member.closing:
        reason = f"life {member.next_epoch} starts: its delay is over"
        beginnings.start_life(member, reason, member.moments_of_death)
    elif phase is Phase.ENDING:
        _lose_patience(member)


def _lose_patience(member: Member) -> None:
    """It was told to end, and the grace is over."""
    signal, escalate = member.signal or (KILL, True)
    if escalate:
        member.due = Instant(member.now + member.policy.stop_grace)
        member.signal_program(KILL)
    else:
        member.signal = None
        phase = Phase.RUNNING if member.record.joined else Phase.STARTING
        member.move(phase, f"it goes on after signal {signal}", told=None)
        admission.settle(member)
