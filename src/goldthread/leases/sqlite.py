"""Leases in an SQLite file, for the keepers of one machine.

A file that several processes write to now and then: the rollback journal, not a write-ahead log, since the log asks
for one process that tends it and (before SQLite 3.51.3) could lose a write when two met in the wrong instant. A swap
that returned is on the disk (`synchronous = EXTRA`: also the removal of the journal). Each call opens the file anew,
which takes a fraction of a millisecond, needs no care of threads, and cannot go on in a file that was replaced.
A keeper that is stopped (SIGSTOP) in the middle of a call holds up the others until it goes on or ends.

A file has an identity, drawn when it is made. It is the store's address, since two machines may each have a file of
the same path; and a file with another identity is not written to: its registers do not know what was granted before.
"""

from __future__ import annotations

import secrets
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

from goldthread.errors import LeaseUnavailable, UsageError
from goldthread.leases.base import Stored
from goldthread.names import MemberName

__all__ = ["SqliteStore"]

_TABLES: Final = (
    "CREATE TABLE IF NOT EXISTS identity (id TEXT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS leases"
    " (member TEXT PRIMARY KEY, version INTEGER NOT NULL, record BLOB NOT NULL) WITHOUT ROWID",
)


class SqliteStore:
    """The store in the file at `path`, made where there is none.

    A call waits at most `seconds` for another one that writes. Raises `UsageError` where the file cannot be used.
    """

    def __init__(self, path: Path, seconds: float) -> None:
        self._path = path
        self._seconds = seconds
        try:
            with closing(self._connect("rwc")) as connection:
                connection.execute("BEGIN IMMEDIATE")
                for table in _TABLES:
                    connection.execute(table)
                connection.execute(
                    "INSERT INTO identity SELECT ? WHERE NOT EXISTS (SELECT * FROM identity)", (secrets.token_hex(8),)
                )
                self._identity = _identity_of(connection)
                connection.execute("COMMIT")
        except sqlite3.Error as error:
            raise UsageError(
                f"no leases can be kept in {path}: {error}", hint="name a file in a folder that you may write to"
            ) from error

    @property
    def address(self) -> str:
        return f"sqlite:{self._identity}"

    def read(self, member: MemberName) -> Stored | None:
        with self._transaction("BEGIN") as connection:
            row = connection.execute("SELECT record, version FROM leases WHERE member = ?", (member,)).fetchone()
        return None if row is None else Stored(bytes(row[0]), str(row[1]))

    def swap(self, member: MemberName, record: bytes, over: str | None) -> str | None:
        with self._transaction("BEGIN IMMEDIATE") as connection:
            if over is None:
                version = 1
                done = connection.execute(
                    "INSERT INTO leases VALUES (?, ?, ?) ON CONFLICT DO NOTHING", (member, version, record)
                )
            else:
                version = int(over) + 1
                done = connection.execute(
                    "UPDATE leases SET version = ?, record = ? WHERE member = ? AND version = ?",
                    (version, record, member, int(over)),
                )
        return str(version) if done.rowcount else None

    def close(self) -> None:
        """Nothing is open between calls."""

    @contextmanager
    def _transaction(self, begin: str) -> Iterator[sqlite3.Connection]:
        """All of it or nothing. Closing without the commit takes back what was written."""
        try:
            with closing(self._connect("rw")) as connection:
                connection.execute(begin)
                if _identity_of(connection) != self._identity:
                    raise LeaseUnavailable(
                        f"{self._path} is another file than the one that was opened",
                        hint="bring the old file back, or start all keepers that use it again",
                    )
                yield connection
                connection.execute("COMMIT")
        except sqlite3.Error as error:
            raise LeaseUnavailable(f"the leases in {self._path} cannot be used: {error}") from error

    def _connect(self, mode: str) -> sqlite3.Connection:
        address = f"{self._path.absolute().as_uri()}?mode={mode}"
        connection = sqlite3.connect(address, timeout=self._seconds, isolation_level=None, uri=True)
        connection.execute("PRAGMA synchronous = EXTRA")
        return connection


def _identity_of(connection: sqlite3.Connection) -> str:
    row = connection.execute("SELECT id FROM identity").fetchone()
    return str(row[0]) if row else ""
