"""The journal: what a keeper must remember when it dies, and what a user asks long after. SQLite, one file.

A write returns when it is on the disk. What the machine decided is written before it is done ("persist, then send"),
so a new keeper never knows less than what was already done. A journal that cannot be read is set aside under another
name, never deleted, and the keeper begins a new one: members are then known by their slots and deposits only. One that
an older keeper wrote is brought to the present form, with all that is in it.

One thread uses a journal. Walls are seconds since 1970, for people; nothing is decided by them.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import msgspec

from goldthread.errors import Fenced, KeeperError, NoRoom
from goldthread.names import Epoch, KeeperId, MemberName, Span
from goldthread.report import AlarmLevel, AlarmReport, LifeReport, PhaseTime
from goldthread.rules.bond_orders import BondRecord, HeldRecord
from goldthread.rules.orders import LifeRecord, MemberRecord
from goldthread.wire.messages import Command

__all__ = ["Journal", "KeeperRun", "Record"]

_NOTES_MOST: Final = 10_000
_LIVES_MOST: Final = 10_000
"""Of one member. The oldest go first."""
_BUSY_SECONDS: Final = 5.0
_ASIDE_MOST: Final = 1000

_SCHEMAS: Final = (
    """
CREATE TABLE members (name TEXT PRIMARY KEY, epoch INTEGER NOT NULL, record BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE commands (name TEXT PRIMARY KEY, command BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE lives (name TEXT, epoch INTEGER, began REAL NOT NULL, ended REAL, record BLOB NOT NULL,
                    PRIMARY KEY (name, epoch)) WITHOUT ROWID;
CREATE TABLE notes (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT, wall REAL NOT NULL, level TEXT NOT NULL,
                    text TEXT NOT NULL);
CREATE INDEX notes_of ON notes (name, id);
CREATE TABLE keepers (id INTEGER PRIMARY KEY AUTOINCREMENT, boot TEXT NOT NULL, pid INTEGER NOT NULL,
                      version TEXT NOT NULL, started REAL NOT NULL);
""",
    """
CREATE TABLE bonds (partner TEXT PRIMARY KEY, record BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE helds (partner TEXT, member TEXT, record BLOB NOT NULL, PRIMARY KEY (partner, member)) WITHOUT ROWID;
""",
)
"""What each version of the form added to the one before it. Records grow by fields with defaults alone."""
_NEWEST: Final = len(_SCHEMAS)
_TABLES: Final = tuple(frozenset(re.findall(r"TABLE (\w+)", "".join(_SCHEMAS[:n]))) for n in range(_NEWEST + 1))
"""The tables of each version."""

Record = MemberRecord | LifeRecord | BondRecord | HeldRecord
"""What the machine wants to be remembered, each written over the one before it."""

_encode = msgspec.msgpack.Encoder().encode
_decode_member = msgspec.msgpack.Decoder(MemberRecord).decode
_decode_life = msgspec.msgpack.Decoder(LifeRecord).decode
_decode_bond = msgspec.msgpack.Decoder(BondRecord).decode
_decode_held = msgspec.msgpack.Decoder(HeldRecord).decode
_decode_command = msgspec.msgpack.Decoder(Command).decode


class KeeperRun(msgspec.Struct, frozen=True):
    """One keeper that used this journal."""

    boot_id: str
    """Instants of another boot of the host mean nothing now."""
    pid: int
    version: str
    started: float
    """Wall time."""


class Journal:
    """Made by `open` for the keeper, by `look` for those who only read."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._sql = connection

    @classmethod
    def open(cls, path: Path) -> tuple[Journal, str | None]:
        """The journal at `path`, made where there is none; and if a damaged one was there, where it is now and why.

        Raises `KeeperError` where it cannot be opened for a reason that says nothing about its content.
        """
        damage = _damage_of(f"{path.absolute().as_uri()}?mode=rw") if path.exists() else None
        aside = _set_aside(path) if damage else None
        try:
            connection = sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None)
            path.chmod(0o600)
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            for version in range(_version_of(connection), _NEWEST):
                connection.executescript(f"BEGIN; {_SCHEMAS[version]} PRAGMA user_version = {version + 1}; COMMIT;")
        except (OSError, sqlite3.Error) as error:
            raise KeeperError(f"the journal {path} cannot be opened: {error}", hint=_HINT) from error
        return cls(connection), f"{aside} ({damage})" if damage else None

    @classmethod
    def look(cls, path: Path) -> Journal | None:
        """The journal for reading only, also while no keeper runs; None where there is none.

        Raises `KeeperError` where it is damaged or of another version."""
        if not path.exists():
            return None
        # A reader never moves what is in the write-ahead log: that is the keeper's alone.
        address = f"{path.absolute().as_uri()}?mode=ro"
        damage = _damage_of(address)
        if damage:
            raise KeeperError(f"the journal cannot be read: {damage}", hint="the next keeper sets it aside")
        return cls(sqlite3.connect(address, timeout=_BUSY_SECONDS, isolation_level=None, uri=True))

    def close(self) -> None:
        self._sql.close()

    def write(self, record: Record, wall: float) -> None:
        """Write a record over the one before it. Raises `Fenced` for an epoch older than the one known: never back."""
        with self._transaction():
            match record:
                case MemberRecord():
                    self._write_member(record)
                case LifeRecord():
                    self._write_life(record, wall)
                case BondRecord():
                    self._sql.execute("INSERT OR REPLACE INTO bonds VALUES (?, ?)", (record.partner, _encode(record)))
                case HeldRecord():
                    row = (record.partner, record.member, _encode(record))
                    self._sql.execute("INSERT OR REPLACE INTO helds VALUES (?, ?, ?)", row)

    def _write_member(self, record: MemberRecord) -> None:
        written = self._sql.execute(
            "INSERT INTO members VALUES (?, ?, ?) ON CONFLICT (name) DO UPDATE"
            " SET epoch = excluded.epoch, record = excluded.record WHERE epoch <= excluded.epoch",
            (record.name, record.epoch, _encode(record)),
        )
        if written.rowcount == 0:
            raise Fenced(f"the journal knows a newer life of {record.name} than {record.epoch}")

    def _write_life(self, record: LifeRecord, wall: float) -> None:
        ended = wall if record.ending is not None else None
        began = wall if record.moments or ended is None else 0.0  # One that began on a host that was lost is not known.
        self._sql.execute(
            "INSERT INTO lives VALUES (?, ?, ?, ?, ?) ON CONFLICT (name, epoch) DO UPDATE"
            " SET ended = coalesce(ended, excluded.ended), record = excluded.record",
            (record.member, record.epoch, began, ended, _encode(record)),
        )
        self._sql.execute(
            "DELETE FROM lives WHERE name = ? AND epoch <= ?", (record.member, record.epoch - _LIVES_MOST)
        )

    def members(self) -> list[MemberRecord]:
        return [_decode_member(row[0]) for row in self._rows("SELECT record FROM members ORDER BY name")]

    def bonds(self) -> list[BondRecord]:
        return [_decode_bond(row[0]) for row in self._rows("SELECT record FROM bonds ORDER BY partner")]

    def helds(self) -> list[HeldRecord]:
        return [_decode_held(row[0]) for row in self._rows("SELECT record FROM helds ORDER BY partner, member")]

    def store_command(self, member: MemberName, command: Command) -> None:
        with self._transaction():
            self._sql.execute("INSERT OR REPLACE INTO commands VALUES (?, ?)", (member, _encode(command)))

    def command(self, member: MemberName) -> Command | None:
        """What `run` starts for this member; None for one that no `run` started."""
        rows = self._rows("SELECT command FROM commands WHERE name = ?", member)
        return _decode_command(rows[0][0]) if rows else None

    def lives(self, member: MemberName) -> list[LifeReport]:
        """Every life of a member, the oldest first."""
        rows = self._rows("SELECT began, ended, record FROM lives WHERE name = ? ORDER BY epoch", member)
        return [_life_report(began, ended, _decode_life(record)) for began, ended, record in rows]

    def newest_lives(self) -> list[LifeRecord]:
        """The two newest lives of each member: what a new keeper must know of them."""
        names = [name for (name,) in self._rows("SELECT DISTINCT name FROM lives ORDER BY name")]
        newest = "SELECT record FROM lives WHERE name = ? ORDER BY epoch DESC LIMIT 2"
        return [_decode_life(record) for name in names for (record,) in self._rows(newest, name)]

    def note(self, member: MemberName | None, level: AlarmLevel, text: str, wall: float) -> None:
        """Remember a sentence, of a member or (None) of the keeper. The oldest go when there are too many."""
        with self._transaction():
            newest = self._sql.execute(
                "INSERT INTO notes (name, wall, level, text) VALUES (?, ?, ?, ?)", (member, wall, level.value, text)
            ).lastrowid
            self._sql.execute("DELETE FROM notes WHERE id <= ?", ((newest or 0) - _NOTES_MOST,))

    def notes(self, member: MemberName | None, limit: int) -> list[AlarmReport]:
        """The newest notes of a member, or (None) of the keeper, oldest first."""
        rows = self._rows("SELECT level, text, wall FROM notes WHERE name IS ? ORDER BY id DESC LIMIT ?", member, limit)
        return [AlarmReport(AlarmLevel(level), text, wall) for level, text, wall in reversed(rows)]

    def forget(self, member: MemberName, kept: MemberRecord | None = None) -> None:
        """Remove all that is remembered of a member, but for this."""
        with self._transaction():
            for table in ("members", "commands", "lives", "notes"):
                self._sql.execute(f"DELETE FROM {table} WHERE name = ?", (member,))
            if kept is not None:
                self._write_member(kept)

    def forget_bond(self, partner: KeeperId) -> None:
        """Remove what is remembered of a bond. What is held for the partner is forgotten by itself."""
        with self._transaction():
            self._sql.execute("DELETE FROM bonds WHERE partner = ?", (partner,))

    def forget_held(self, partner: KeeperId, member: MemberName) -> None:
        """Remove that a member is held for a partner. What this keeper knows of a member of its own stays."""
        with self._transaction():
            self._sql.execute("DELETE FROM helds WHERE partner = ? AND member = ?", (partner, member))

    def begin(self, boot_id: str, pid: int, version: str, wall: float) -> None:
        """Say that a keeper uses this journal from now on."""
        with self._transaction():
            newest = self._sql.execute(
                "INSERT INTO keepers (boot, pid, version, started) VALUES (?, ?, ?, ?)", (boot_id, pid, version, wall)
            ).lastrowid
            self._sql.execute("DELETE FROM keepers WHERE id <= ?", ((newest or 0) - _NOTES_MOST,))

    def last_boot(self) -> KeeperRun | None:
        """The newest keeper that began; None in a new journal."""
        rows = self._rows("SELECT boot, pid, version, started FROM keepers ORDER BY id DESC LIMIT 1")
        return KeeperRun(*rows[0]) if rows else None

    def _rows(self, query: str, *values: Any) -> list[Any]:
        try:
            return self._sql.execute(query, values).fetchall()
        except sqlite3.Error as error:
            raise _error_of(error) from error

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """All that is written within, or nothing of it."""
        try:
            self._sql.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._sql.execute("COMMIT")
            except BaseException:
                if self._sql.in_transaction:
                    self._sql.execute("ROLLBACK")
                raise
        except sqlite3.Error as error:
            raise _error_of(error) from error


_HINT: Final = "look at the permissions and the disk of the keeper's home"


def _error_of(error: sqlite3.Error) -> KeeperError:
    if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL:
        return NoRoom("the disk of the journal is full", hint="make room on the disk of the keeper's home")
    return KeeperError(f"the journal cannot be used: {error}", hint=_HINT)


def _damage_of(address: str) -> str | None:
    """Why a file is no journal of this version or of an older one; None where it is one.

    Raises `KeeperError` where that cannot be said now: no permission, or somebody holds it.
    """
    try:
        connection = sqlite3.connect(address, timeout=_BUSY_SECONDS, isolation_level=None, uri=True)
    except sqlite3.Error as error:
        raise KeeperError(f"the journal cannot be opened: {error}", hint=_HINT) from error
    try:
        verdict = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        if verdict != "ok":
            return str(verdict.splitlines()[-1])
        version = _version_of(connection)
        tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if version == 0 and not tables:
            return None  # A keeper died while it made it.
        if not 0 < version <= _NEWEST or not tables >= _TABLES[version]:
            return f"its form is that of version {version}, this is version {_NEWEST}"
        for table, decode in (("members", _decode_member), ("bonds", _decode_bond), ("helds", _decode_held)):
            for (record,) in connection.execute(f"SELECT record FROM {table}") if table in tables else ():
                decode(record)
        return None
    except sqlite3.OperationalError as error:
        raise KeeperError(f"the journal cannot be read: {error}", hint=_HINT) from error
    except (sqlite3.DatabaseError, msgspec.MsgspecError) as error:
        return str(error)
    finally:
        connection.close()


def _version_of(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _set_aside(path: Path) -> str:
    """Rename a journal and what belongs to it; the new name."""
    for count in range(1, _ASIDE_MOST + 1):
        target = path.with_name(f"{path.stem}.damaged-{count}")
        if target.exists():
            continue
        path.rename(target)
        for suffix in ("-wal", "-shm"):
            part = path.with_name(path.name + suffix)
            if part.exists():
                part.rename(target.with_name(target.name + suffix))
        return target.name
    raise KeeperError(f"{_ASIDE_MOST} damaged journals lie in {path.parent}", hint="look at them and at the disk")


def _life_report(began: float, ended: float | None, life: LifeRecord) -> LifeReport:
    restored = life.restored
    return LifeReport(
        member=life.member,
        epoch=Epoch(life.epoch),
        began=began,
        ended=ended,
        pid=life.pid,
        restored=restored.commit if restored else None,
        restored_from=restored.level.value if restored else "",
        restored_reason=life.restored_reason,
        reached=life.reached,
        ending=life.ending,
        lost=life.lost,
        phases=tuple(
            PhaseTime(phase, Span(max(0, at - before)))
            for (_, before), (phase, at) in zip(life.moments, life.moments[1:], strict=False)
        ),
    )
