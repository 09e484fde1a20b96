"""How a life begins: its user runs the program, or a death is followed by the next life."""

from __future__ import annotations

from typing import Any

from goldthread.names import Epoch, Instant
from goldthread.report import Ending, Phase
from goldthread.rules import events
from goldthread.rules.detector import Detector
from goldthread.rules.member import Member, new_life

__all__ = ["begin_life", "on_restart", "on_run", "refuse_taken", "start_life"]


def on_run(member: Member, event: events.RunAsked) -> None:
    if member.is_alive or member.record.phase in (Phase.WAITING, Phase.AWAY):
        refuse_taken(member, event.ticket)
        return
    changes: dict[str, Any] = {
        "budget": event.budget,
        "hang_floor": event.hang_floor,
        "deaths": (),
        "futile": 0,
        "wound": None,
        "was_in_limbo": False,
    }
    if event.fresh:
        changes["floor"] = member.next_epoch
    start_life(member, f"life {member.next_epoch} starts, as its user asked", **changes)
    member.accept(event.ticket, f"life {member.record.epoch} of {member.record.name} is being started")


def on_restart(member: Member, event: events.RestartAsked) -> None:
    if member.is_alive:
        member.refuse(event.ticket, "UsageError", f"{member.record.name} runs already")
    elif member.record.phase is Phase.AWAY:
        refuse_taken(member, event.ticket)
    elif not member.record.supervised:
        text = f"{member.record.name} was not started by `goldthread run`, so its command is not known"
        member.refuse(event.ticket, "UsageError", text, "start the program by hand: it goes on from its newest commit")
    else:
        reason = f"life {member.next_epoch} starts with a fresh budget, as its user asked"
        start_life(member, reason, deaths=(), futile=0, wound=None, was_in_limbo=False)
        member.accept(event.ticket, f"life {member.record.epoch} of {member.record.name} is being started")


def start_life(member: Member, reason: str, moments: tuple[tuple[str, Instant], ...] = (), **changes: Any) -> None:
    """Start the program as the next life."""
    epoch = member.next_epoch
    ending = changes.pop("ending", None)
    moments = (*moments, ("decided", member.now))
    begin_life(member, epoch, reason, moments, ending, started=epoch, supervised=True, pid=None, **changes)


def begin_life(
    member: Member,
    epoch: Epoch,
    reason: str,
    moments: tuple[tuple[str, Instant], ...] = (),
    ending: Ending | None = None,
    **changes: Any,
) -> None:
    """A life begins: it gets its epoch, and the copy that it starts from is looked for."""
    record = member.record
    if record.phase is not Phase.ABSENT:
        member.previous = member.life
    member.life = new_life(record.name, epoch, moments)
    member.left = member.is_found = False
    member.signal = None
    member.stacks = member.stuck_awake = None
    member.fence.begin_epoch()
    member.unvouched = False
    changes = {"epoch": epoch, "joined": False, "told": None, "restored": None, "given_up": False} | changes
    if not record.claimants and member.elsewhere_over is None:
        changes["begun"] = epoch  # It needs no voucher.
    member.move(Phase.STARTING, reason, ending, **changes)
    member.detector = Detector(member.policy, member.record.hang_floor, member.record.gap, member.awake)
    member.persist_life(pid=member.record.pid)
    if member.record.started == epoch and member.record.supervised and member.record.pid is None:
        member.start_program()
    member.begin_choice()
    member.list_copies()


def refuse_taken(member: Member, ticket: int) -> None:
    record = member.record
    if record.phase is Phase.AWAY:
        hint = f"`goldthread takeover {record.name}` brings it here, or says how"
        member.refuse(ticket, "MemberTaken", record.reason, hint)
        return
    who = f"process {record.pid}" if record.pid is not None else f"life {record.epoch}"
    if record.phase is Phase.WAITING:
        state = "waits to be started again"
    else:
        state = f"{'was told to end as' if record.phase is Phase.ENDING else 'runs as'} {who}"
    see, end = f"`goldthread attach {record.name}` shows it", f"`goldthread stop {record.name}` ends it"
    hint = f"{see}, {end}; or choose another name"
    member.refuse(ticket, "MemberTaken", f"{record.name} {state}", hint)
