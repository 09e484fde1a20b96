"""How soon a lost host is taken over: from the kill of all its processes to the decision of its partner.

    python benchmarks/takeover.py [--json]

Two keepers on this machine, each in a home of its own, with a lease store that vouches. Keeper, carrier, shim and
program of one are killed at once; what the other reports is looked at every two milliseconds. The memory of the dead
host is gone with its processes, its link ends with a reset: a machine that loses its power is silent instead, which
the drills over namespaces show.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
from pathlib import Path
from time import monotonic

from goldthread.cli.stage import Stage, end_processes
from goldthread.local import reach_keeper
from goldthread.names import MemberName
from goldthread.report import MemberReport, OwnerState, Phase
from goldthread.terms import Terms
from goldthread.wire.bond_requests import AcceptRequest, Invited, InviteRequest

MEMBER = MemberName("bench")
LOSSES = 5
PRESETS: dict[str, dict[str, str]] = {"default": {}, "fast": {"preset": "fast"}}
PROGRAM = """
import time, goldthread
with goldthread.join("bench") as life:
    state = life.restore({"step": 0})
    while True:
        state["step"] += 1
        life.commit(state)
        time.sleep(0.02)
"""
Facts = dict[str, float]


def lose_one(policy: dict[str, str]) -> float:
    """Seconds from the loss of a host to the beginning of its member's next life on the other."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        leases = Path(folder) / "leases.sqlite"
        stages = [Stage(Path(folder) / name, MEMBER) for name in ("iruka", "kakashi")]
        iruka, kakashi = stages
        try:
            for stage in stages:
                settings = {"name": stage.home.path.name, "lease_store": f"sqlite://{leases}", "listen": "127.0.0.1"}
                stage.configure(policy=policy, **settings)
            with reach_keeper(iruka.home, "command") as channel:
                invited = channel.ask(InviteRequest(Terms()))[0]
            assert isinstance(invited, Invited)
            with reach_keeper(kakashi.home, "command") as channel:
                channel.ask(AcceptRequest(invited.code, Terms()))
            iruka.run((sys.executable, "-c", PROGRAM), {}, restarts=5)
            iruka.wait("a held copy that may be taken over", is_guarded)
            lost = monotonic()
            end_processes(iruka.home)
            kakashi.wait("the takeover", lambda now: True if now.phase is not Phase.ABSENT else None)
            return monotonic() - lost
        finally:
            for stage in stages:
                stage.close()


def is_guarded(now: MemberReport) -> bool | None:
    held = now.held is not None and now.held.commit.step >= 50
    return True if held and now.owner_state is OwnerState.BONDED and now.vouched is not None else None


def takeovers() -> dict[str, Facts]:
    found = {}
    for name, policy in PRESETS.items():
        taken = [lose_one(policy) for _ in range(LOSSES)]
        found[f"host lost to takeover, {name}"] = {"s": statistics.median(taken), "most_s": max(taken)}
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    found = takeovers()
    if given.json:
        print(json.dumps({"cores": os.cpu_count(), "rows": found}, indent=1))
        return
    for name, facts in found.items():
        print(f"{name:32} " + "   ".join(f"{key} {value:.2f}" for key, value in facts.items()))


if __name__ == "__main__":
    main()
