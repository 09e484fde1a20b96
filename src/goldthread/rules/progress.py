"""What a life shows of itself: beats, seals, silence."""

from __future__ import annotations

import msgspec

from goldthread.names import Level
from goldthread.report import AlarmLevel, Ending, EndingKind, Phase, Vitals
from goldthread.rules import deaths, deposits, events, orders, stops
from goldthread.rules.events import Copy
from goldthread.rules.member import KILL, InvalidTransition, Member

__all__ = ["have_joined", "judge", "kill_stuck", "on_beat", "on_left", "on_restored", "on_sealed", "on_stacks"]


def on_restored(member: Member, event: events.LifeRestored) -> None:
    if event.epoch == member.record.epoch and member.is_alive:
        member.persist_life("restored")
        if member.kept is not None:
            member.out.append(orders.FreeSlots(member.record.name, event.epoch, member.kept))
            member.kept = None


def on_beat(member: Member, event: events.ProgramBeat) -> None:
    record = member.record
    if event.epoch != record.epoch or not member.is_alive:
        return
    if record.phase is Phase.STARTING:
        have_joined(member)
    detector = member.detector
    is_first = detector.first_beat_at is None and event.first_beat_at is not None
    if detector.take(event, member.now, member.awake):
        member.persist()
    if is_first and all(name != "first new step" for name, _ in member.life.moments):
        member.persist_life("first new step", event.first_beat_at)
    if member.record.phase is Phase.STUCK:
        member.stacks = member.stuck_awake = None
        member.move(Phase.RUNNING, f"it beats again after {event.gap / 1e9:.1f} s")


def have_joined(member: Member) -> None:
    """A sign from a life that was not admitted by this keeper: the journal missed that it joined."""
    member.choice = None
    member.move(Phase.RUNNING, f"life {member.record.epoch} had joined before this keeper came", joined=True)


def on_sealed(member: Member, event: events.CommitSealed) -> None:
    record, commit = member.record, event.commit
    if commit.epoch > record.epoch:
        raise InvalidTransition(f"{record.name}: {commit} was sealed, and the present life is {record.epoch}")
    if commit.epoch < record.epoch or (record.newest is not None and commit <= record.newest):
        return
    if record.phase is Phase.STARTING:
        have_joined(member)
    is_first = record.newest is None or record.newest.epoch < commit.epoch
    member.record = msgspec.structs.replace(member.record, newest=commit)
    member.sealed, member.sealed_at = Copy(commit, Level.SEALED, event.bytes), event.at or member.now
    if is_first:
        member.out.append(orders.Persist(member.record))
    if commit.sequence >= 2 and not member.freed:
        member.freed = True
        member.out.append(orders.FreeSlots(record.name, record.epoch))
    member.rounds.hurry(member.sealed, member.now)
    if not member.is_alive:
        member.deposits.press()
    deposits.deposit_if_due(member)


def on_left(member: Member, event: events.LifeLeft) -> None:
    if event.epoch != member.record.epoch or not member.is_alive:
        return
    if member.record.supervised:
        member.left = True
        deposits.press_deposit(member)
    else:
        deaths.end_life(member, Ending(EndingKind.FINISHED, "it left in peace"))


def on_stacks(member: Member, event: events.StacksTaken) -> None:
    if event.epoch != member.record.epoch or member.record.phase is not Phase.STUCK or member.stuck_awake is None:
        return
    member.stacks = event.text
    member.stuck_awake = None
    if member.record.supervised:
        kill_stuck(member)


def kill_stuck(member: Member) -> None:
    member.stuck_awake = None
    stops.tell_to_end(member, KILL, True, member.record.reason, EndingKind.HANG)


def judge(member: Member) -> None:
    """Compare its silence with its history. A life that nobody vouches for waits: its silence says nothing."""
    if member.fence.frozen_at is not None or not member.is_vouched:
        member.detector.excuse(member.awake)
        return
    if member.left or member.detector.judge(member.awake) is not Vitals.STUCK:
        return
    text = member.detector.explain(member.awake)
    member.stuck_awake = member.awake
    member.move(Phase.STUCK, text)
    member.alarm(AlarmLevel.WARNING, f"{member.record.name} is stuck: {text}")
    member.out.append(orders.TakeStacks(member.record.name, member.record.epoch))
