"""What the keeper has in hand of one member: connections, processes, its pulse. Nothing here is decided on."""

from __future__ import annotations

import os
import signal
import subprocess
from contextlib import suppress
from dataclasses import dataclass, field
from mmap import mmap

from goldthread.keeper.cgroup import LifeGroup, vmstat_oom_kills
from goldthread.keeper.door import Connection
from goldthread.names import Epoch, Instant, MemberName, Step
from goldthread.report import Ending
from goldthread.wire.messages import RaisedNote, SignalLife
from goldthread.wire.pulse import PULSE_BYTES, Pulse, read_held, read_pulse, write_deposited, write_held, write_vouched

__all__ = ["Ward"]


@dataclass
class Ward:
    """One member in the keeper's hands. `epoch` is the life that the rest is about."""

    member: MemberName
    epoch: Epoch = Epoch(0)
    shim: Connection | None = None
    shim_process: subprocess.Popen[bytes] | None = None
    """Where this keeper started it."""
    start_wanted: Epoch | None = None
    """A life that is to be started as soon as the shim is here."""
    program: Connection | None = None
    pid: int | None = None
    pidfd: int | None = None
    """Of a program without a shim."""
    group: LifeGroup | None = None
    oom_kills_before: int | None = None
    """Of the whole host, when the life began; None where that was before this keeper."""
    raised: RaisedNote | None = None
    ending: Ending | None = None
    """Of the life before, or of this one where it is over."""
    woken: bool = False
    """The program was stopped and is awake only to write its stacks: what it beats meanwhile is no sign of health."""
    pulse_descriptor: int | None = None
    pulse: Pulse | None = None
    """As last read."""
    checked_until: Instant = Instant(0)
    """No background check before this, so that checks keep to their share."""
    slot_wanted: int = 0
    """Bytes of the slot that is to be made ahead; 0 for none."""
    prepared: list[int] = field(default_factory=list)
    """Slots made for the life to come."""
    watchers: list[Connection] = field(default_factory=list)
    _pulse_page: mmap | None = None

    def begin(self, epoch: Epoch) -> None:
        """Turn to a new life: what is known of the one before is let go."""
        self.epoch = epoch
        self.raised = None
        self.oom_kills_before = vmstat_oom_kills()
        self.pid = None
        self.program = None
        self.drop_pulse()

    def signal(self, epoch: Epoch, number: int) -> bool:
        """Signal the process of a life; whether one is known."""
        if self.pidfd is not None:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(self.pidfd, number)
        elif self.shim is not None:
            self.shim.send(SignalLife(epoch, number))
        elif self.pid is not None and epoch == self.epoch:
            # The last keeper died, and the shim has not come back yet, or died with it. What cannot wait (a life that
            # nobody vouches for) must not be lost meanwhile.
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)
        else:
            return False
        return True

    def hold_pulse(self, descriptor: int) -> None:
        """Take a pulse; the descriptor is the ward's from now on."""
        self.drop_pulse()
        self.pulse_descriptor = descriptor
        self._pulse_page = mmap(descriptor, PULSE_BYTES)

    def read_pulse(self) -> Pulse | None:
        """The pulse where it moved since it was last read."""
        if self._pulse_page is None:
            return None
        with memoryview(self._pulse_page) as page:
            pulse = read_pulse(page)
        if pulse == self.pulse:
            return None
        self.pulse = pulse
        return pulse

    def say_deposited(self, step: Step) -> None:
        """Let the program know, through its pulse, what is in the vault."""
        if self._pulse_page is not None:
            with memoryview(self._pulse_page) as page:
                write_deposited(page, step)

    def say_held(self, step: Step | None) -> None:
        """Let the program know what is in the memory of its holder; None: nothing, or no more.

        An older step is not said: this keeper has only begun, and its journal knows less than the one before had heard.
        """
        if self._pulse_page is not None:
            with memoryview(self._pulse_page) as page:
                if step is None or step >= (read_held(page) or 0):
                    write_held(page, step)

    def vouch(self, until: Instant | None) -> None:
        """Let the life go on until then: the program itself keeps to it. None: without end; 0: it must wait."""
        if self._pulse_page is not None:
            with memoryview(self._pulse_page) as page:
                write_vouched(page, until)

    def drop_pulse(self) -> None:
        self.pulse = None
        if self._pulse_page is not None:
            self._pulse_page.close()
            self._pulse_page = None
        if self.pulse_descriptor is not None:
            os.close(self.pulse_descriptor)
            self.pulse_descriptor = None

    def take_prepared(self, needed_bytes: int) -> int | None:
        """A slot made ahead that is large enough; smaller ones are let go."""
        while self.prepared:
            descriptor = self.prepared.pop()
            if os.fstat(descriptor).st_size >= needed_bytes:
                return descriptor
            os.close(descriptor)
        return None

    def close(self) -> None:
        self.drop_pulse()
        while self.prepared:
            os.close(self.prepared.pop())
        if self.pidfd is not None:
            os.close(self.pidfd)
            self.pidfd = None
        if self.group is not None:
            self.group.remove()
            self.group = None
