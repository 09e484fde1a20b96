"""The program's side of the pulse."""

from __future__ import annotations

import os
import time
from mmap import mmap
from typing import Final

from goldthread.names import CommitId, Step
from goldthread.wire.pulse import PULSE_BYTES, Pulse, read_deposited, write_pulse

__all__ = ["Heart"]

_NS: Final = time.monotonic_ns


class Heart:
    """Writes the pulse of one life. A beat is one store into shared memory: no system call, no message."""

    def __init__(self, descriptor: int) -> None:
        """The descriptor is the heart's from now on."""
        self.descriptor = descriptor
        self._map = mmap(descriptor, PULSE_BYTES)
        self._page = memoryview(self._map)
        self._pulse = Pulse()

    def start(self) -> None:
        """`restore` is done: from now on silence counts."""
        self._pulse.beat_at = _NS()

    def beat(self, step: Step | None = None) -> None:
        pulse, now = self._pulse, _NS()
        if pulse.beats == 0:
            pulse.first_beat_at = now
        if pulse.beat_at:
            pulse.gap = max(pulse.gap, now - pulse.beat_at)
        pulse.beats += 1
        pulse.beat_at = now
        if step is not None:
            pulse.step = step
        write_pulse(self._page, pulse)

    def seal(self, commit: CommitId) -> None:
        """A commit is sealed: that is a beat as well."""
        self._pulse.sequence = commit.sequence
        self._pulse.unsealed = 0
        self.beat(commit.step)

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

    def stop(self) -> None:
        self._page.release()
        self._map.close()
        os.close(self.descriptor)
