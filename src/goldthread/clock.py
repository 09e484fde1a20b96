"""The clock that every `Instant` is read from: one for the keeper, its programs and its shims.

It runs on while the host sleeps (CLOCK_BOOTTIME), as the clocks of partners and lease stores do: a life that was
vouched for until the lid was closed must not take the night for a moment. Where the kernel has no such clock (macOS)
the monotonic one serves, and a host that sleeps should not be bonded.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Final, cast

from goldthread.names import Instant

__all__ = ["now"]


def _choose_clock() -> int:
    clock = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
    try:
        time.clock_gettime_ns(clock)
    except OSError:
        return time.CLOCK_MONOTONIC
    return clock


now: Final = cast("Callable[[], Instant]", partial(time.clock_gettime_ns, _choose_clock()))
"""This moment. It stands in the way of each commit, so it is the system's own function and nothing around it."""
