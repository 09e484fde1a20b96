"""A program to do faults to: a random walk whose every step depends on all before it.

    python walk.py STEPS [FAULT]

It writes the digest of its final state to the file WALK_END. While the file WALK_HOLD names a step that it has reached,
it waits there, beating. FAULT is what it does to itself, in the lives and at the step that the drill says by WALK_LIVES
and WALK_STEP: raise, abort, eat (memory), spin.

WALK_SIZE is how many numbers walk, WALK_PAUSE the seconds between steps, WALK_WAIT the level that commits wait for;
where no partner can hold it, the walk goes on. In the file WALK_LEDGER it writes where each life began, and each step
for which `commit` returned (`ledger.py` reads it).
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import sys
import time
from pathlib import Path

import numpy as np

import goldthread


def main() -> None:
    steps = int(sys.argv[1])
    fault = sys.argv[2] if len(sys.argv) > 2 else ""
    at = int(os.environ.get("WALK_STEP", "-1"))
    lives = os.environ.get("WALK_LIVES", "1").split(",")
    size = int(os.environ.get("WALK_SIZE", "50000"))
    level = os.environ.get("WALK_WAIT", "sealed")
    with goldthread.join() as life:
        state = life.restore({"step": 0, "x": np.zeros(size), "generator": np.random.default_rng(7)})
        note("begins", life, state["step"])
        while state["step"] < steps:
            state["x"] += state["generator"].standard_normal(size)
            state["step"] += 1
            if fault and state["step"] == at and ("all" in lives or str(life.epoch) in lives):
                do(fault)
            with contextlib.suppress(goldthread.PartnerUnreachable):
                life.commit(state, wait=level)
            note("passes", life, state["step"])
            hold(life, state["step"])
    Path(os.environ["WALK_END"]).write_text(digest(state))


def note(what: str, life: goldthread.Life, step: int) -> None:
    """Write a line that no other life's can come between."""
    if "WALK_LEDGER" in os.environ:
        host = Path(os.environ["GOLDTHREAD_HOME"]).name
        ledger = os.open(os.environ["WALK_LEDGER"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(ledger, f"{what} {host} {life.epoch} {step} {life.safe.held or 0}\n".encode())
        os.close(ledger)


def hold(life: goldthread.Life, step: int) -> None:
    """Wait as long as the drill wants it."""
    time.sleep(float(os.environ.get("WALK_PAUSE", "0.002")))
    while is_held_at(step):
        life.beat()
        time.sleep(0.002)


def is_held_at(step: int) -> bool:
    """The drill may take its word back at any moment."""
    try:
        return step >= int(Path(os.environ["WALK_HOLD"]).read_text() or step)
    except FileNotFoundError:
        return False


def do(fault: str) -> None:
    if fault == "raise":
        raise ValueError("the ground gave way")
    if fault == "abort":
        os.abort()
    if fault == "eat":
        eaten = []
        while True:
            eaten.append(np.ones(1 << 20))
    while fault == "spin":
        pass


def digest(state: dict[str, object]) -> str:
    return hashlib.sha256(state["x"].tobytes() + str(state["step"]).encode()).hexdigest()


if __name__ == "__main__":
    main()
