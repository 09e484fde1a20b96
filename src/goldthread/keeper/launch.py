"""How a carrier is started, and how its end is seen."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Callable

from goldthread.keeper.cause import signal_name
from goldthread.keeper.keeper import Keeper

__all__ = ["start_carrier"]

log = logging.getLogger("goldthread.keeper")


def start_carrier(keeper: Keeper, host: str, ended: Callable[[str], None]) -> bool:
    """Whether it could be started. When that process is over `ended` hears how, in words; empty: in order."""
    home, policy = keeper.home.path, keeper.policy
    numbers = (policy.memory_free_bytes, policy.check_every, policy.check_share)
    command = [sys.executable, "-P", "-m", "goldthread.keeper.carrier", str(home), host, *map(str, numbers)]
    try:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True, cwd="/")
        pidfd = os.pidfd_open(process.pid)
    except OSError as error:
        log.warning("the carrier cannot be started: %s", error)
        return False

    def over() -> None:
        keeper.loop.unwatch(pidfd)
        os.close(pidfd)
        ended(_how(process.wait()))

    keeper.loop.watch(pidfd, over)
    return True


def _how(status: int) -> str:
    if status < 0:
        return f"the carrier was ended by {signal_name(-status)}"
    return f"the carrier stopped with status {status}, and keeper.log says why" if status else ""
