"""The clock that every `Instant` is read from: one for the keeper, its programs and its shims.

It runs on while the host sleeps (CLOCK_BOOTTIME), as the clocks of partners and lease stores do: a life that was
vouched for until the lid was closed must not take the night for a moment. Where the kernel has no such clock (macOS)
the monotonic one serves, and a host that sleeps should not be bonded.
"""

from __future__ import annotations

import time
from typing import Final

from goldthread.names import Instant

__all__ = ["now"]


def _choose_clock() -> int:
    clock = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
    try:
        time.clock_gettime_ns(clock)
    except OSError:
        return time.CLOCK_MONOTONIC
    return clock


_CLOCK: Final = _choose_clock()


def now() -> Instant:
    """This moment."""
    return Instant(time.clock_gettime_ns(_CLOCK))
