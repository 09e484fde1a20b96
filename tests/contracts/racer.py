"""A process that races for leases: python racer.py ADDRESS NAME KEYS, begins when it is told to, prints what it won."""

from __future__ import annotations

import sys

from goldthread.leases.opening import open_store
from goldthread.names import MemberName

if __name__ == "__main__":
    address, name, keys = sys.argv[1:]
    store = open_store(address, 60)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()
    won = [n for n in range(int(keys)) if store.swap(MemberName(f"member-{n}"), f"{name} {n}".encode(), None)]
    sys.stdout.write(" ".join(map(str, won)) + "\n")
