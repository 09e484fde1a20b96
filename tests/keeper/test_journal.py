"""What the journal remembers, also when its file is damaged or its disk is full."""

from __future__ import annotations

import os
import signal
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from goldthread.errors import Fenced, KeeperError, NoRoom
from goldthread.keeper import journal as module
from goldthread.keeper.journal import Journal, KeeperRun
from goldthread.names import CommitId, Epoch, Instant, KeeperId, Level, MemberName, Span, Step, seconds
from goldthread.policy import Budget
from goldthread.report import (
    AlarmLevel,
    AlarmReport,
    Ending,
    EndingKind,
    Guard,
    HolderState,
    OwnerState,
    Phase,
    PhaseTime,
)
from goldthread.rules.bond_orders import BondRecord, HeldRecord
from goldthread.rules.events import Copy
from goldthread.rules.orders import LifeRecord, MemberRecord, Wound
from goldthread.terms import Consent, Terms
from goldthread.wire.messages import Command

WALK = MemberName("walk")
RUN = MemberName("run")
COMMIT = CommitId(Epoch(2), Step(70), 7)
COMMAND = Command(("python", "train.py", "--rate", "é"), "/a folder", {"PATH": "/bin", "EMPTY": ""})
LIFE = LifeRecord(
    WALK, Epoch(2), 4242, Copy(COMMIT, Level.SEALED, 800), "it is the newest", Step(90), None, "", moments=()
)

KAKASHI = KeeperId("2" * 32)
TSUNADE = KeeperId("3" * 32)
BOND = BondRecord(KAKASHI, "kakashi", Terms(memory=1 << 30), Terms(takeover=Consent.ASK), 7)
HELD = HeldRecord(
    KAKASHI, WALK, KAKASHI, Epoch(2), HolderState.BONDED, f"{COMMIT} is whole here", Phase.RUNNING, Guard.LEASE,
    given_up=False, newest=COMMIT, bytes=800, commit=COMMIT, bundle="ab12",
)  # fmt: skip


def member_record(name: MemberName = WALK, epoch: int = 2) -> MemberRecord:
    return MemberRecord(
        name=name,
        epoch=Epoch(epoch),
        started=Epoch(epoch),
        phase=Phase.RUNNING,
        reason="it beats",
        told=None,
        supervised=True,
        budget=Budget(3, seconds(60)),
        hang_floor=None,
        pid=4242,
        joined=True,
        deaths=(Instant(5), Instant(2**63)),
        futile=1,
        wound=Wound("exception: ValueError at a.py:1:f", Step(7), 2),
        floor=Epoch(0),
        ceiling=None,
        newest=COMMIT,
        deposited=None,
        restored=COMMIT,
        gap=seconds(1.5),
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a home" / "journal.sqlite"


@pytest.fixture
def journal(path: Path) -> Iterator[Journal]:
    path.parent.mkdir()
    opened, set_aside = Journal.open(path)
    assert set_aside is None
    yield opened
    opened.close()


def reopened(path: Path) -> Journal:
    """The journal as the next keeper opens it."""
    journal, set_aside = Journal.open(path)
    assert set_aside is None
    return journal


def test_a_new_journal_knows_nothing(journal: Journal, path: Path) -> None:
    """And is for its user alone."""
    assert journal.members() == []
    assert journal.command(WALK) is None
    assert journal.lives(WALK) == []
    assert journal.notes(None, 10) == []
    assert journal.last_boot() is None
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_members_come_back_as_they_were_written(journal: Journal, path: Path) -> None:
    """The newest record of each, in the next keeper too."""
    newest = msgspec.structs.replace(member_record(), phase=Phase.WAITING)
    for record in (member_record(), newest, member_record(RUN, 1)):
        journal.write(record, 1.0)
    assert reopened(path).members() == [member_record(RUN, 1), newest]


def test_an_older_epoch_is_refused(journal: Journal) -> None:
    """Never back: and what was there stays."""
    journal.write(member_record(epoch=3), 1.0)
    with pytest.raises(Fenced, match="a newer life of walk than 2"):
        journal.write(member_record(epoch=2), 1.0)
    journal.write(member_record(epoch=3), 1.0)
    assert journal.members() == [member_record(epoch=3)]


def test_what_a_member_has_with_its_partner_comes_back(journal: Journal, path: Path) -> None:
    """Who holds it and who may believe that he may take it over."""
    record = msgspec.structs.replace(
        member_record(),
        origin=TSUNADE,
        holder=KAKASHI,
        owner_state=OwnerState.BONDED,
        held=COMMIT,
        guard=Guard.LEASE,
        claimants=(KAKASHI, TSUNADE),
        given_up=True,
        bundle="ab12",
    )
    journal.write(record, 1.0)
    assert reopened(path).members() == [record]


def test_bonds_and_what_is_held_come_back(journal: Journal, path: Path) -> None:
    """The newest record of each. One member may be held for two partners for a while."""
    for record in (
        BOND,
        HELD,
        msgspec.structs.replace(BOND, partner=TSUNADE, ending=True),
        msgspec.structs.replace(HELD, partner=TSUNADE, commit=None),
        msgspec.structs.replace(BOND, version=8),
        msgspec.structs.replace(HELD, state=HolderState.DOUBTING, wanted=True),
    ):
        journal.write(record, 1.0)
    opened = reopened(path)
    assert opened.bonds() == [
        msgspec.structs.replace(BOND, version=8),
        msgspec.structs.replace(BOND, partner=TSUNADE, ending=True),
    ]
    assert opened.helds() == [
        msgspec.structs.replace(HELD, state=HolderState.DOUBTING, wanted=True),
        msgspec.structs.replace(HELD, partner=TSUNADE, commit=None),
    ]


def test_what_is_forgotten_of_a_partner_is_what_was_named(journal: Journal) -> None:
    """A bond, a member that is held, and an own member of the same name are three things."""
    for record in (BOND, HELD, msgspec.structs.replace(HELD, member=RUN), member_record()):
        journal.write(record, 1.0)
    journal.forget_held(KAKASHI, WALK)
    assert ([held.member for held in journal.helds()], journal.bonds()) == ([RUN], [BOND])
    journal.forget_bond(KAKASHI)
    journal.forget(RUN)
    assert ([held.member for held in journal.helds()], journal.bonds()) == ([RUN], [])
    assert journal.members() == [member_record()]


def test_an_older_journal_is_brought_to_the_present_form(path: Path) -> None:
    """With all that is in it; and whoever only looks can read it before that."""
    path.parent.mkdir()
    record, life = msgspec.to_builtins(member_record()), msgspec.to_builtins(LIFE)
    for later in ("origin", "holder", "owner_state", "held", "guard", "claimants", "given_up", "bundle"):
        del record[later]
    with sqlite3.connect(path) as connection:
        connection.executescript(module._SCHEMAS[0])
        connection.execute("PRAGMA user_version = 1")
        connection.execute("INSERT INTO members VALUES ('walk', 2, ?)", (msgspec.msgpack.encode(record),))
        connection.execute("INSERT INTO lives VALUES ('walk', 2, 1.0, NULL, ?)", (msgspec.msgpack.encode(life),))
        connection.execute("INSERT INTO notes (name, wall, level, text) VALUES (NULL, 2.0, 'notice', 'hello')")
        connection.execute("INSERT INTO commands VALUES ('walk', ?)", (msgspec.msgpack.encode(COMMAND),))
    looking = Journal.look(path)
    assert looking is not None
    assert len(looking.lives(WALK)) == 1
    looking.close()
    upgraded = reopened(path)
    assert (upgraded.members(), upgraded.newest_lives()) == ([member_record()], [LIFE])
    assert (upgraded.command(WALK), [note.text for note in upgraded.notes(None, 9)]) == (COMMAND, ["hello"])
    assert (upgraded.bonds(), upgraded.helds()) == ([], [])
    upgraded.write(HELD, 1.0)
    assert reopened(path).helds() == [HELD]


def test_a_command_is_kept_whole(journal: Journal, path: Path) -> None:
    """The last one given."""
    journal.store_command(WALK, Command(("true",), "/", {}))
    journal.store_command(WALK, COMMAND)
    assert reopened(path).command(WALK) == COMMAND


def test_a_life_is_told_with_its_phases(journal: Journal) -> None:
    """Each phase lasts from the moment before it."""
    ending = Ending(EndingKind.SIGNAL, "signal 9 (SIGKILL)", status=-9, fingerprint="signal: 9")
    moments = (("died", Instant(100)), ("seen", Instant(150)), ("decided", Instant(151)), ("started", Instant(151)))
    journal.write(LIFE, 1000.0)
    journal.write(msgspec.structs.replace(LIFE, moments=moments), 1001.0)
    [living] = journal.lives(WALK)
    assert (living.began, living.ended, living.ending) == (1000.0, None, None)
    journal.write(msgspec.structs.replace(LIFE, moments=moments, ending=ending, lost="1 step"), 1060.0)
    journal.write(msgspec.structs.replace(LIFE, moments=moments, ending=ending, lost="2 steps"), 1070.0)
    [life] = journal.lives(WALK)
    assert (life.began, life.ended, life.ending, life.lost) == (1000.0, 1060.0, ending, "2 steps")
    assert life.phases == (PhaseTime("seen", Span(50)), PhaseTime("decided", Span(1)), PhaseTime("started", Span(0)))
    assert (life.member, life.epoch, life.pid, life.reached) == (WALK, 2, 4242, 90)
    assert (life.restored, life.restored_from, life.restored_reason) == (COMMIT, "sealed", "it is the newest")


def test_a_life_that_began_on_a_lost_host_has_no_known_beginning(journal: Journal) -> None:
    """This host hears of it with its end."""
    journal.write(msgspec.structs.replace(LIFE, pid=None, ending=Ending(EndingKind.HOST_LOST, "iruka is silent")), 99.0)
    [life] = journal.lives(WALK)
    assert (life.began, life.ended) == (0.0, 99.0)


def test_a_first_life_was_restored_from_nothing(journal: Journal) -> None:
    """And has no phase yet."""
    journal.write(msgspec.structs.replace(LIFE, epoch=Epoch(1), restored=None, reached=None), 1.0)
    [life] = journal.lives(WALK)
    assert (life.restored, life.restored_from, life.reached, life.phases) == (None, "", None, ())


def test_lives_are_told_in_their_order(journal: Journal) -> None:
    """The tenth comes after the ninth."""
    for epoch in (10, 9, 2, 11):
        journal.write(msgspec.structs.replace(LIFE, epoch=Epoch(epoch)), float(epoch))
    assert [life.epoch for life in journal.lives(WALK)] == [2, 9, 10, 11]


def test_a_new_keeper_gets_the_two_newest_lives_of_each_member(journal: Journal) -> None:
    """Numbers may be left out between them."""
    for name, epochs in ((WALK, (1, 2, 5, 9)), (RUN, (1,))):
        for epoch in epochs:
            journal.write(msgspec.structs.replace(LIFE, member=name, epoch=Epoch(epoch)), 1.0)
    assert [(life.member, life.epoch) for life in journal.newest_lives()] == [(RUN, 1), (WALK, 9), (WALK, 5)]


def test_what_is_remembered_is_bounded(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest notes and lives go."""
    monkeypatch.setattr(module, "_NOTES_MOST", 5)
    monkeypatch.setattr(module, "_LIVES_MOST", 3)
    for number in range(1, 9):
        journal.note(WALK, AlarmLevel.NOTICE, f"note {number}", float(number))
        journal.write(msgspec.structs.replace(LIFE, epoch=Epoch(number)), 1.0)
    assert [note.text for note in journal.notes(WALK, 100)] == [f"note {number}" for number in range(4, 9)]
    assert [life.epoch for life in journal.lives(WALK)] == [6, 7, 8]


def test_notes_are_of_a_member_or_of_the_keeper(journal: Journal) -> None:
    """The newest of them, oldest first."""
    journal.note(None, AlarmLevel.CRITICAL, "the disk is full", 1.0)
    journal.note(WALK, AlarmLevel.WARNING, "it is slow", 2.0)
    journal.note(WALK, AlarmLevel.NOTICE, "it is well", 3.0)
    journal.note(WALK, AlarmLevel.NOTICE, "it has ended", 4.0)
    assert journal.notes(None, 5) == [AlarmReport(AlarmLevel.CRITICAL, "the disk is full", 1.0)]
    assert [note.text for note in journal.notes(WALK, 2)] == ["it is well", "it has ended"]


def test_forget_leaves_nothing_of_a_member(journal: Journal) -> None:
    """And all of the others. A member of the same name may begin again."""
    for name in (WALK, RUN):
        journal.write(member_record(name), 1.0)
        journal.write(msgspec.structs.replace(LIFE, member=name), 1.0)
        journal.store_command(name, COMMAND)
        journal.note(name, AlarmLevel.NOTICE, "hello", 1.0)
    journal.forget(WALK)
    assert [record.name for record in journal.members()] == [RUN]
    assert (journal.lives(WALK), journal.command(WALK), journal.notes(WALK, 9)) == ([], None, [])
    assert (len(journal.lives(RUN)), journal.command(RUN), len(journal.notes(RUN, 9))) == (1, COMMAND, 1)
    journal.write(member_record(epoch=1), 1.0)


def test_what_is_to_be_known_of_what_is_forgotten_is_written_with_that(journal: Journal) -> None:
    """Its number is below that of its last life, which is known no more."""
    journal.write(member_record(epoch=3), 1.0)
    journal.write(LIFE, 1.0)
    kept = member_record(epoch=2)
    journal.forget(WALK, kept)
    assert (journal.members(), journal.lives(WALK)) == ([kept], [])


def test_a_keeper_knows_the_boot_of_the_one_before(journal: Journal, path: Path) -> None:
    """So that it knows whether instants still mean something."""
    journal.begin("boot 1", 10, "0.1", 5.0)
    journal.begin("boot 2", 11, "0.2", 6.0)
    assert reopened(path).last_boot() == KeeperRun("boot 2", 11, "0.2", 6.0)


def test_who_only_looks_needs_no_keeper(journal: Journal, path: Path) -> None:
    """Neither a living one nor one that ended in order; and cannot write."""
    journal.write(LIFE, 1.0)
    for _ in range(2):
        looking = Journal.look(path)
        assert looking is not None
        assert len(looking.lives(WALK)) == 1
        with pytest.raises(KeeperError, match="readonly"):
            looking.write(LIFE, 1.0)
        looking.close()
        journal.close()


def test_there_may_be_nothing_to_look_at(path: Path) -> None:
    """No file is made by looking."""
    assert Journal.look(path) is None
    assert not path.exists()


def test_what_was_written_survives_a_kill(path: Path) -> None:
    """A write that returned is there, whatever happens to the keeper then."""
    path.parent.mkdir()
    code = """
import os, signal, sys
from pathlib import Path
from goldthread.keeper.journal import Journal
from goldthread.report import AlarmLevel
journal, _ = Journal.open(Path(sys.argv[1]))
for number in range(50):
    journal.note(None, AlarmLevel.NOTICE, f"note {number}", 1.0)
os.kill(os.getpid(), signal.SIGKILL)
"""
    killed = subprocess.run([sys.executable, "-c", code, path], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert (path.parent / "journal.sqlite-wal").exists()
    looking = Journal.look(path)
    assert looking is not None
    assert len(looking.notes(None, 100)) == 50
    assert len(reopened(path).notes(None, 100)) == 50


def no_database(path: Path) -> None:
    path.write_bytes(b"these are notes of the user, and no database at all" * 100)


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def overwritten(path: Path) -> None:
    with path.open("r+b") as file:
        for page in range(1, path.stat().st_size // 4096):
            file.seek(4096 * page)
            file.write(b"\xa5" * 512)


def other_version(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 99")


def other_tables(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("DROP TABLE lives")


def other_helds(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("INSERT INTO helds VALUES ('x', 'walk', ?)", (msgspec.msgpack.encode({"member": 3}),))


def older_without_tables(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.executescript("DROP TABLE notes; PRAGMA user_version = 1")


def other_records(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE members SET record = ?", (msgspec.msgpack.encode({"name": 3}),))


@pytest.mark.parametrize(
    "damage",
    [
        no_database,
        cut,
        overwritten,
        other_version,
        other_tables,
        older_without_tables,
        other_records,
        other_helds,
    ],
)
def test_a_damaged_journal_is_set_aside(journal: Journal, path: Path, damage: object) -> None:
    """Its bytes stay under another name, a new journal is begun, and it is said where and why."""
    for number in range(200):
        journal.note(WALK, AlarmLevel.NOTICE, f"note {number}" * 20, 1.0)
    journal.write(member_record(), 1.0)
    journal.close()
    assert callable(damage)
    damage(path)
    damaged = path.read_bytes()
    with pytest.raises(KeeperError, match="cannot be read"):
        Journal.look(path)
    fresh, set_aside = Journal.open(path)
    assert set_aside is not None and set_aside.startswith("journal.damaged-1 (")
    assert path.with_name("journal.damaged-1").read_bytes() == damaged
    assert fresh.members() == []
    fresh.write(member_record(), 1.0)
    fresh.close()
    assert reopened(path).members() == [member_record()]


def test_journals_set_aside_never_replace_each_other(path: Path) -> None:
    """Each gets a number."""
    path.parent.mkdir()
    for number in (1, 2, 3):
        path.write_bytes(b"no database %d" % number)
        journal, set_aside = Journal.open(path)
        journal.close()
        assert set_aside is not None and set_aside.startswith(f"journal.damaged-{number} (")
    kept = sorted(place.read_bytes() for place in path.parent.glob("journal.damaged-?"))
    assert kept == [b"no database 1", b"no database 2", b"no database 3"]


def test_an_empty_file_is_a_new_journal(path: Path) -> None:
    """A keeper died before it wrote anything."""
    path.parent.mkdir()
    path.touch()
    assert reopened(path).members() == []


def test_a_full_disk_is_said_and_nothing_is_half_written(journal: Journal, path: Path) -> None:
    """The database may grow no further: the write is refused, what was there stays, smaller things still fit."""
    journal.write(member_record(), 1.0)
    pages = journal._sql.execute("PRAGMA page_count").fetchone()[0]
    journal._sql.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(NoRoom, match="the disk of the journal is full"):
        journal.store_command(WALK, Command(("x" * 100_000,), "/", {}))
    assert journal.command(WALK) is None
    assert journal.members() == [member_record()]
    journal._sql.execute("PRAGMA max_page_count = 100000")
    journal.store_command(WALK, COMMAND)
    assert reopened(path).command(WALK) == COMMAND


def test_a_folder_that_is_not_there_is_said(path: Path) -> None:
    """No SQLite error comes out as it is."""
    with pytest.raises(KeeperError, match="cannot be opened"):
        Journal.open(path)
