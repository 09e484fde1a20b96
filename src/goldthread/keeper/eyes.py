"""The eyes: they follow the processes of lives and read their pulses, and tell the machine what they see."""

from __future__ import annotations

import os
from typing import Final

from goldthread.keeper.cause import OomEvidence, classify
from goldthread.keeper.cgroup import vmstat_oom_kills
from goldthread.keeper.keeper import Keeper
from goldthread.keeper.loop import now
from goldthread.keeper.ward import Ward
from goldthread.names import Epoch, Instant, Span, Step
from goldthread.report import Phase
from goldthread.rules import events
from goldthread.rules.member import MemberView

__all__ = ["LIVING", "Eyes"]

LIVING: Final = frozenset({Phase.RETURNING, Phase.STARTING, Phase.RUNNING, Phase.STUCK, Phase.ENDING})
"""The phases in which a process of the member may run."""
_NOBODY: Final = 0
"""A ticket whose answer nobody waits for."""


class Eyes:
    def __init__(self, keeper: Keeper) -> None:
        self._keeper = keeper

    # Processes

    def follow(self, ward: Ward, epoch: Epoch, pid: int) -> None:
        """Watch the process of a life. The end of one with a shim is told by the shim, which knows its status."""
        ward.epoch, ward.pid = epoch, pid
        self._keeper.remember_process(ward)
        if ward.shim is None and ward.pidfd is None:
            view = self._keeper.machine.view(ward.member)
            if view is not None and view.supervised:
                # After a keeper's death the shim comes back in a moment, and it alone will know the exit status.
                self._keeper.loop.after(self._keeper.policy.return_grace, lambda: self._miss_shim(ward, epoch))
            else:
                self.follow_alone(ward, epoch, pid)

    def _miss_shim(self, ward: Ward, epoch: Epoch) -> None:
        if ward.shim is None and ward.pidfd is None and ward.epoch == epoch and ward.pid is not None:
            self.follow_without_shim(ward, ward.pid)

    def follow_without_shim(self, ward: Ward, pid: int) -> None:
        """Go on without a shim that should be there. One holder of the slots is gone, so the newest commit goes to
        the vault now."""
        self._keeper.warn(ward.member, "its shim is gone; it is watched without one until its next life")
        self.look(ward)
        self._keeper.tell(events.DepositAsked(_NOBODY, ward.member))
        self.follow_alone(ward, ward.epoch, pid)

    def follow_alone(self, ward: Ward, epoch: Epoch, pid: int) -> None:
        """Watch a process that no shim tells of. One that is gone already has ended."""
        try:
            ward.pidfd = pidfd = os.pidfd_open(pid)
        except ProcessLookupError:
            self.end(ward, epoch, None, "")
            return

        def ended() -> None:
            self.stop(ward)
            self.end(ward, epoch, None, "")

        self._keeper.loop.watch(pidfd, ended)

    def stop(self, ward: Ward) -> None:
        """Follow the process no more."""
        if ward.pidfd is not None:
            self._keeper.loop.unwatch(ward.pidfd)
            os.close(ward.pidfd)
            ward.pidfd = None

    def end(self, ward: Ward, epoch: Epoch, status: int | None, last_words: str) -> None:
        """A life's process is gone: a last look at its pulse, then the cause."""
        ward.woken = False
        self.look(ward)
        ward.pid = None
        before = ward.oom_kills_before
        host_kills = vmstat_oom_kills() - before if before is not None else 0
        group_kills = ward.group.oom_kills() if ward.group is not None else None
        ending = classify(status, ward.raised, OomEvidence(group_kills, host_kills), last_words)
        if ward.group is not None:
            ward.group.remove()
            ward.group = None
        self._keeper.tell(events.LifeEnded(ward.member, epoch, ending))

    # Pulses

    def look_at_all(self) -> None:
        """Read the pulse of every member that lives."""
        for ward in tuple(self._keeper.wards.values()):
            self.look(ward)

    def look(self, ward: Ward) -> None:
        """Tell the machine what moved in a member's pulse, and the program how far its holder is."""
        view = self._keeper.machine.view(ward.member)
        if view is not None:
            ward.say_held(_held_of(view))
        # A full disk may have kept a new life from the journal. The machine does not know it then: its commits are
        # found among the copies once its process, or its end, is told.
        is_news = view is not None and view.epoch < ward.epoch
        if ward.woken or is_news:
            return
        before = ward.pulse
        pulse = ward.read_pulse()
        if pulse is None:
            return
        if pulse.sequence and (before is None or before.sequence != pulse.sequence):
            newest = self._keeper.shelf.newest(ward.member, ward.epoch)
            if newest is not None:
                at = _moment(pulse.sealed_at)
                self._keeper.tell(events.CommitSealed(ward.member, newest.commit, newest.image_bytes, at))
        if before is None or (before.beats, before.unsealed) != (pulse.beats, pulse.unsealed):
            self._keeper.tell(
                events.ProgramBeat(
                    ward.member,
                    ward.epoch,
                    pulse.beats,
                    Span(pulse.gap),
                    Step(pulse.step),
                    Instant(pulse.first_beat_at) or None,
                    pulse.unsealed,
                    _moment(pulse.beat_at),
                )
            )


def _moment(told: int) -> Instant | None:
    """A moment by the program's word, which a keeper that came later did not see: not after now."""
    return Instant(min(told, now())) if told else None


def _held_of(view: MemberView) -> Step | None:
    """The newest step of the present life, or the one that it began from, that its holder has."""
    held = view.held
    return held.step if held is not None and (held.epoch == view.epoch or held == view.restored) else None
