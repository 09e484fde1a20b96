"""How deep a state may be nested, and room for the calls that this takes.

One level costs some frames of Python and none of C: functions of Python call each other. So the limit of recursion,
which guards the C stack, is raised for the time of a walk or a restore, and levels are counted instead.
"""

from __future__ import annotations

import gc
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

__all__ = ["LEVELS_MOST", "many_levels"]

LEVELS_MOST: Final = 1000
_FRAMES: Final = 20 * LEVELS_MOST

_lock: Final = threading.Lock()
_users = 0
_limit_before = 0


@contextmanager
def many_levels() -> Iterator[None]:
    """Room for `LEVELS_MOST` levels; and no search for garbage meanwhile, which would look at each new object again."""
    global _users, _limit_before
    collects = gc.isenabled()
    gc.disable()
    with _lock:
        if _users == 0:
            _limit_before = sys.getrecursionlimit()
            sys.setrecursionlimit(_limit_before + _FRAMES)
        _users += 1
    try:
        yield
    finally:
        with _lock:
            _users -= 1
            if _users == 0:
                sys.setrecursionlimit(_limit_before)
        if collects:
            gc.enable()
