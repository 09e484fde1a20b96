"""What the bond costs: commits until they are held, and a restore from the partner, against loopback TCP.

    python benchmarks/bond.py [--mib 1024] [--json]

Two keepers on this machine are bonded by an invitation, as on two hosts, and all between them is mutual TLS. T is the
time that the same bytes take over one plain loopback connection, from memory that was written before into memory that
was, with large buffers; it is measured between the commits, since what else the machine does falls on both.

*Held*: from the start of `commit(wait="held")` to its return. *Back to back*: five commits, and the time from the
seal of the last until the program knows that it is held. *All read*: by a program that joins with `sparse=False`.
*Restore*: from the call of the partner until every byte is checked and lies in arrays that the program had.
*Streamed*: the loop of `datapath.py` with a partner; how much of a step the commits and their way to the partner cost,
on the same cores.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

import goldthread
from goldthread.keeper.keys import Keys, Partner
from goldthread.keeper.pipe import call
from goldthread.keeper.sending import fetch
from goldthread.keeper.shelf import verify
from goldthread.local import Home, connect
from goldthread.names import CommitId, MemberName
from goldthread.slots.kernel import map_descriptor
from goldthread.slots.slot import make_slot
from goldthread.state.restore import pour
from goldthread.wire.carrying import FetchChunks
from goldthread.wire.image import read_header
from goldthread.wire.messages import ReportRequest

MEMBER = MemberName("bench")
READ = MemberName("read")
WARM_UP, REPEATS = 9, 7
"""It takes some commits until it is known that little changes."""
BACK_TO_BACK = 5
PIECE_BYTES = 4 << 20
LOOK_SECONDS = 0.0002
Facts = dict[str, float]


def seconds_of(action: Callable[[], object]) -> float:
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


class Plain:
    """A process that sends so many bytes over a plain connection whenever it is asked."""

    def __init__(self, mib: int) -> None:
        self._target = memoryview(bytearray(b"\1") * (mib << 20))
        with socket.create_server(("127.0.0.1", 0)) as door:
            command = [sys.executable, __file__, "--plain", str(door.getsockname()[1]), str(mib)]
            self._process = subprocess.Popen(command)
            self._stream, _ = door.accept()
        self.seconds()

    def seconds(self) -> float:
        """T, once."""

        def receive() -> None:
            self._stream.sendall(b"!")
            at = 0
            while at < len(self._target):
                at += self._stream.recv_into(self._target[at : at + PIECE_BYTES])

        return seconds_of(receive)

    def close(self) -> None:
        self._stream.close()
        self._process.wait()


def send_plain(port: int, mib: int) -> None:
    source = memoryview(bytearray(b"\2") * (mib << 20))
    with socket.create_connection(("127.0.0.1", port)) as stream:
        while stream.recv(1):
            for start in range(0, len(source), PIECE_BYTES):
                stream.sendall(source[start : start + PIECE_BYTES])


def commits_here(mib: int, all_read: bool) -> None:
    """In the program, under the keeper that the environment names. Says what it found, and waits to be ended."""
    plain = Plain(mib)
    x = np.ones(mib << 17)
    found: dict[str, Facts] = {}
    with goldthread.join(READ, sparse=False) if all_read else goldthread.join(MEMBER) as life:
        state = life.restore({"x": x, "step": 0})

        def change(part: np.ndarray[Any, Any]) -> None:
            np.add(part, 1, out=part)
            state["step"] += 1

        def five() -> float:
            for _ in range(BACK_TO_BACK):
                change(x)
                life.commit(state)
            return seconds_of(wait_held)

        def wait_held() -> None:
            while life.safe.held != state["step"]:
                time.sleep(LOOK_SECONDS)

        def one(part: np.ndarray[Any, Any]) -> float:
            change(part)
            return seconds_of(lambda: life.commit(state, wait="held"))

        rows: dict[str, Callable[[], float]] = {
            "held, all changed": lambda: one(x),
            "held, 1 % changed": lambda: one(x[: x.size // 100]),
            "held, five back to back": five,
        }
        if all_read:
            rows = {"held, 1 % changed, all read": rows["held, 1 % changed"]}
        for name, measure in rows.items():
            pairs = [(measure(), plain.seconds()) for _ in range(WARM_UP + REPEATS)][WARM_UP:]
            found[name] = ratio([taken for taken, _ in pairs], [limit for _, limit in pairs])
        print(json.dumps(found), flush=True)
        sys.stdin.read()


def restore(home: Home, partner: Partner, address: str, commit: CommitId, mib: int) -> Facts:
    """From the partner into arrays that were written before."""
    plain = Plain(mib)
    state = {"x": np.ones(mib << 17), "step": 0}
    slot = make_slot("bench", (mib << 20) + (16 << 20))

    def once() -> None:
        pull(home, partner, address, commit, slot, state)

    pairs = [(seconds_of(once), plain.seconds()) for _ in range(WARM_UP + REPEATS)][WARM_UP:]
    plain.close()
    os.close(slot)
    return ratio([taken for taken, _ in pairs], [limit for _, limit in pairs])


def pull(home: Home, partner: Partner, address: str, commit: CommitId, slot: int, state: dict[str, Any]) -> None:
    """Have a held commit from the partner: its bytes in the slot, each of them checked, and then in the arrays."""

    def have(chunks: tuple[int, ...] | None) -> None:
        order = FetchChunks(1, partner.keeper, MEMBER, commit, chunks)
        fetch(call(Keys(home), [address], partner.keeper), order, slot)

    have(None)
    image = map_descriptor(slot, os.fstat(slot).st_size, writable=True)
    header = read_header(image)
    if header is None:
        raise SystemExit("the partner's copy is not sealed")
    have(tuple(range(header.chunk_count)))
    if verify(image, commit):
        raise SystemExit("the partner's copy did not come whole")
    pour(image, state, map=False, pickle=False)


def ratio(taken: list[float], limits: list[float]) -> Facts:
    spent, limit = statistics.median(taken), statistics.median(limits)
    return {"ms": 1e3 * spent, "tcp_ms": 1e3 * limit, "ratio": spent / limit}


def told(home: Home, *words: str) -> str:
    """What a command says."""
    command = [sys.executable, "-m", "goldthread", *words]
    surroundings = {**os.environ, "GOLDTHREAD_HOME": str(home.path), "GOLDTHREAD_NAME": home.path.name}
    return subprocess.run(command, env=surroundings, stdout=subprocess.PIPE, check=True, text=True).stdout


def loop(home: Home) -> Facts:
    """What commits and their way to the partner add to a loop, by the same steps without commits."""
    command = [sys.executable, str(Path(__file__).with_name("datapath.py")), "--loop", "16", "100"]
    surroundings = {**os.environ, "GOLDTHREAD_HOME": str(home.path)}
    facts: Facts = json.loads(subprocess.run(command, env=surroundings, stdout=subprocess.PIPE, check=True).stdout)
    return facts


@contextmanager
def program(home: Home, mib: int, *words: str) -> Iterator[dict[str, Facts]]:
    """What a program found, which lives meanwhile."""
    with subprocess.Popen(
        [sys.executable, __file__, "--program", "--mib", str(mib), *words],
        env={**os.environ, "GOLDTHREAD_HOME": str(home.path)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as running:
        assert running.stdout is not None
        yield json.loads(running.stdout.readline())
        running.communicate()


def measure(mib: int) -> dict[str, Facts]:
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        iruka, kakashi = Home(Path(folder) / "iruka"), Home(Path(folder) / "kakashi")
        try:
            told(kakashi, "bond", "accept", told(iruka, "bond", "invite").split()[-1])
            with program(iruka, mib) as found:
                with connect(iruka, "command") as channel:
                    newest = channel.ask(ReportRequest())[0].report.members[0].sealed.commit
                (partner,) = Keys(iruka).partners()
                port = (kakashi.path / "carrier.port").read_text().strip()
                found["restore from the partner"] = restore(iruka, partner, f"127.0.0.1:{port}", newest, mib)
            told(iruka, "forget", MEMBER, "--yes")
            with program(iruka, mib, "--all-read") as read:
                found |= read
            found["16 MiB each 100 ms, streamed"] = loop(iruka)
        finally:
            for home in (iruka, kakashi):
                told(home, "keeper", "stop", "--stop-members")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mib", type=int, default=1024, help="size of the state")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--program", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--all-read", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--plain", type=int, nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.plain:
        send_plain(*given.plain)
    elif given.program:
        commits_here(given.mib, given.all_read)
    else:
        found = measure(given.mib)
        if given.json:
            print(json.dumps({"mib": given.mib, "cores": os.cpu_count(), "rows": found}, indent=1))
            return
        for name, facts in found.items():
            limit = f"T {facts['tcp_ms']:8.2f} ms" if "tcp_ms" in facts else "of the step"
            print(f"{name:32} {facts['ms']:9.2f} ms   {limit:13}   ratio {facts['ratio']:.3f}")


if __name__ == "__main__":
    main()
