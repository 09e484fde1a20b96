"""Leases in the memory of one process: for tests, and for keepers that share nothing."""

from __future__ import annotations

import secrets
import threading

from goldthread.leases.base import Stored
from goldthread.names import MemberName

__all__ = ["MemoryStore"]


class MemoryStore:
    """Many threads may use it."""

    def __init__(self) -> None:
        self._address = f"memory:{secrets.token_hex(8)}"
        self._registers: dict[MemberName, Stored] = {}
        self._lock = threading.Lock()
        self._writes = 0

    @property
    def address(self) -> str:
        """Another one for each store: what is in memory is shared with no other keeper."""
        return self._address

    def read(self, member: MemberName) -> Stored | None:
        return self._registers.get(member)

    def swap(self, member: MemberName, record: bytes, over: str | None) -> str | None:
        with self._lock:
            before = self._registers.get(member)
            if over != (None if before is None else before.version):
                return None
            self._writes += 1
            self._registers[member] = Stored(record, str(self._writes))
            return str(self._writes)

    def close(self) -> None:
        """Nothing to let go of."""
