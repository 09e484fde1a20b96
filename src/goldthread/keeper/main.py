"""How a keeper begins, lives and ends.

    python -m goldthread.keeper.main HOME

The process that is started becomes the keeper's parent and ends when the door is open, so whoever started it knows
that it may knock. A lock on a file of the home, which the kernel lets go with the process, lets one keeper live at a
time: a second one finds the lock taken, waits until the door of the first answers, and ends in peace.
"""

from __future__ import annotations

import fcntl
import logging
import os
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Final

from goldthread import config
from goldthread.errors import GoldthreadError, KeeperUnreachable, NoRoom
from goldthread.keeper.bond_commands import BondCommands
from goldthread.keeper.bond_hands import BondHands
from goldthread.keeper.cgroup import clear_groups, leave_life_group
from goldthread.keeper.commands import Commands
from goldthread.keeper.door import Connection, Door
from goldthread.keeper.ears import Ears, group_name
from goldthread.keeper.eyes import Eyes
from goldthread.keeper.hands import Hands
from goldthread.keeper.journal import Journal
from goldthread.keeper.keeper import Keeper
from goldthread.keeper.keys import Keys
from goldthread.keeper.links import LinkSettings
from goldthread.keeper.log import write_log
from goldthread.keeper.loop import Loop, now
from goldthread.keeper.open_files import raise_limit
from goldthread.keeper.stacks import boot_id
from goldthread.keeper.tenancy import Tenancy, digest_of
from goldthread.leases.opening import open_store
from goldthread.local import Home, connect
from goldthread.names import seconds
from goldthread.rules.bond_orders import forgotten_bond
from goldthread.rules.events import KeeperStopAsked, Ticked
from goldthread.rules.machine import Machine
from goldthread.vault.disk import DiskVault
from goldthread.version import VERSION
from goldthread.wire.circle import read_circle

__all__ = ["main"]

log = logging.getLogger("goldthread.keeper")

_LOG_BYTES: Final = 4 << 20
_OTHER_SECONDS: Final = 15.0
_NOBODY: Final = 0
_HOME_LOOK: Final = seconds(10)


def main(arguments: Sequence[str]) -> int:
    """Become a keeper of the home named, in the background; the exit status of the process that was started."""
    home = Home(Path(arguments[0]))
    reader, writer = os.pipe()
    if os.fork() > 0:
        os.close(writer)
        return _await_child(reader)
    os.close(reader)
    os.setsid()
    if os.fork() > 0:
        os._exit(0)
    status = 1
    starter = _Starter(writer)
    try:
        status = _keep(home, starter)
    except GoldthreadError as error:
        text = f"{error} ({error.hint})" if error.hint else str(error)
        log.critical("%s", text)
        starter.tell(text)
    except Exception as error:
        log.critical("the keeper met what must not be, and stops", exc_info=True)
        starter.tell(f"{type(error).__name__}: {error}")
    finally:
        logging.shutdown()
        os._exit(status)


def _await_child(reader: int) -> int:
    """Wait for the keeper's word: `ready`, or why not."""
    with os.fdopen(reader, "rb") as pipe:
        word = pipe.read().decode("utf-8", "replace")
    if word == "ready":
        return 0
    sys.stderr.write(f"{word or 'the keeper ended before its door was open'}\n")
    return 1


class _Starter:
    """Whoever started this keeper, who waits for one word."""

    def __init__(self, writer: int) -> None:
        self._writer: int | None = writer

    def tell(self, word: str) -> None:
        """Say it once. Later words reach nobody: the descriptor's number may be another's by then."""
        writer, self._writer = self._writer, None
        if writer is not None:
            with suppress(OSError):
                os.write(writer, word.encode("utf-8", "replace"))
            os.close(writer)


def _keep(home: Home, starter: _Starter) -> int:
    home.make()
    lock = os.open(home.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        _await_other(home)
        starter.tell("ready")
        return 0
    _detach(home)
    raise_limit()
    leave_life_group()
    loop = Loop()
    keeper, eyes, bonds, door = _build(home, loop)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: loop.from_thread(lambda: _end_in_order(keeper, eyes)))
    door.open()
    starter.tell("ready")
    bonds.links.open()
    _end_with_home(home, lock, loop)
    log.info("keeper %s of %s, process %d, begins", VERSION, home.path, os.getpid())

    def tick() -> None:
        eyes.look_at_all()
        keeper.tell(Ticked())

    loop.run(keeper.machine.deadline, tick)
    bonds.close()
    door.close()
    loop.close()
    keeper.journal.close()
    log.info("the keeper ends")
    return 0


def _end_with_home(home: Home, lock: int, loop: Loop) -> None:
    """End this keeper when its home was removed, or replaced by another: nobody can reach it any more."""
    try:
        present = home.lock.stat().st_ino == os.fstat(lock).st_ino
    except OSError:
        present = False
    if present:
        loop.after(_HOME_LOOK, lambda: _end_with_home(home, lock, loop))
    else:
        log.critical("the home %s is gone, and with it this keeper's purpose", home.path)
        loop.stop()


def _await_other(home: Home) -> None:
    """Another keeper holds the lock: wait until its door answers. Raises `KeeperUnreachable` where it never does."""
    limit = time.monotonic() + _OTHER_SECONDS
    while True:
        try:
            connect(home, "command").close()
        except KeeperUnreachable:
            if time.monotonic() > limit:
                raise
            time.sleep(0.01)
        else:
            return


def _detach(home: Home) -> None:
    """Leave the terminal, the folder and the output of whoever started this keeper."""
    os.chdir("/")
    write_log(RotatingFileHandler(home.log, maxBytes=_LOG_BYTES, backupCount=1), logging.INFO)
    nowhere = os.open(os.devnull, os.O_RDWR)
    said = os.open(home.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.dup2(nowhere, 0)
    os.dup2(said, 1)
    os.dup2(said, 2)
    os.close(nowhere)
    os.close(said)


def _build(home: Home, loop: Loop) -> tuple[Keeper, Eyes, BondHands, Door]:
    """Make the parts of a keeper and bring back what the journal remembers."""
    policy, settings = config.load(home.path), config.load_settings(home.path)
    keys = Keys(home, settings.name)
    journal, set_aside = Journal.open(home.journal)
    vault = DiskVault(home.vault, policy.vault_free_bytes)
    vault.clear_leftovers()
    before = journal.last_boot()
    boot = boot_id()
    rebooted = before is not None and before.boot_id != boot
    records, helds = journal.members(), journal.helds()
    store = open_store(settings.lease_store, policy.lease_answer / 1e9) if settings.lease_store else None
    machine = Machine.recover(
        policy,
        keys.me,
        records,
        journal.newest_lives(),
        journal.bonds(),
        helds,
        [forgotten_bond(one.keeper, one.name, time.time_ns()) for one in keys.partners()],
        rebooted=rebooted,
        now=now(),
        name=keys.name,
        label=settings.label,
        lease_store=digest_of(store),
        is_in_circle=bool(settings.circle),
    )
    try:
        journal.begin(boot, os.getpid(), VERSION, time.time())
    except NoRoom as error:
        log.warning("%s: this keeper is not in its journal", error)
    keeper = Keeper(home, policy, keys, loop, journal, vault, machine)
    eyes = Eyes(keeper)
    links = LinkSettings(
        listen=settings.listen,
        addresses=settings.addresses,
        label=settings.label,
        circle=read_circle(settings.circle) if settings.circle else b"",
        keepers=settings.keepers,
        neighbours=settings.neighbours,
    )
    bonds = BondHands(keeper, links, Tenancy(keeper, store))
    hands = Hands(keeper, eyes, bonds)
    keeper.obey = hands.obey
    ears = Ears(keeper, hands, eyes)
    commands = Commands(keeper, eyes)
    bond_commands = BondCommands(keeper, bonds.links)
    if set_aside:
        keeper.warn(None, f"the journal was damaged and is set aside as {set_aside}; a new one is begun")
    clear_groups(home.path, [group_name(record.name, record.epoch) for record in records])
    if not rebooted:
        ears.find_processes(records)
    for member in vault.members():
        ears.find_copies(member)
    bonds.carriage.find_copies(helds)
    hear = ears.hear | commands.hear | bond_commands.hear | bonds.carriage.hear

    def gone(connection: Connection) -> None:
        ears.gone(connection)
        commands.gone(connection)
        bonds.carriage.gone(connection)

    door = Door(home, loop, lambda connection, message, held: hear[type(message)](connection, message, held), gone)
    return keeper, eyes, bonds, door


def _end_in_order(keeper: Keeper, eyes: Eyes) -> None:
    """A signal or a shutdown: deposit what is newest and end; programs are left alone."""
    eyes.look_at_all()
    keeper.tell(KeeperStopAsked(_NOBODY, stop_members=False, leave_members=True))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
