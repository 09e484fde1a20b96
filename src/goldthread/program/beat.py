"""The program's side of the pulse."""

from __future__ import annotations

import os
from mmap import mmap

from goldthread.clock import now
from goldthread.names import CommitId, Instant, Step
from goldthread.wire.pulse import PULSE_BYTES, Pulse, read_deposited, read_held, word_of_voucher, write_pulse

__all__ = ["Heart"]


class Heart:
    """Writes the pulse of one life. A beat is one store into shared memory: no system call, no message."""

    def __init__(self, descriptor: int) -> None:
        """The descriptor is the heart's from now on."""
        self.descriptor = descriptor
        self._map = mmap(descriptor, PULSE_BYTES)
        self._page = memoryview(self._map)
        self._pulse = Pulse()
        self.vouched_until = word_of_voucher(self._page)
        """One number, the instant until when the life is vouched for; 0: without end. The keeper writes it."""

    def start(self) -> None:
        """`restore` is done: from now on silence counts."""
        self._pulse.beat_at = now()

    def beat(self, step: Step | None = None) -> None:
        self._beat(step, now())

    def _beat(self, step: Step | None, moment: Instant) -> None:
        pulse = self._pulse
        if pulse.beats == 0:
            pulse.first_beat_at = moment
        if pulse.beat_at:
            pulse.gap = max(pulse.gap, moment - pulse.beat_at)
        pulse.beats += 1
        pulse.beat_at = moment
        if step is not None:
            pulse.step = step
        write_pulse(self._page, pulse)

    def seal(self, commit: CommitId) -> None:
        """A commit is sealed: that is a beat as well."""
        moment = now()
        self._pulse.sequence = commit.sequence
        self._pulse.sealed_at = moment
        self._pulse.unsealed = 0
        self._beat(commit.step, moment)

    def pass_unsealed(self, step: Step) -> int:
        """A commit went by unsealed; how many have in a row."""
        self._pulse.unsealed += 1
        self.beat(step)
        return self._pulse.unsealed

    @property
    def unsealed(self) -> int:
        """How many commits in a row went by unsealed."""
        return self._pulse.unsealed

    @property
    def deposited(self) -> Step | None:
        """The newest step in the vault, as the keeper last said."""
        return read_deposited(self._page)

    @property
    def held(self) -> Step | None:
        """The newest step in the memory of the holder, as the keeper last said."""
        return read_held(self._page)

    def stop(self) -> None:
        self.vouched_until.release()
        self._page.release()
        self._map.close()
        os.close(self.descriptor)
