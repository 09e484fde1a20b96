"""The keeper's middle: it takes events from the ears to the machine, and the machine's orders to the hands.

Events are queued: what an order brings about at once is an event like any other, and waits until the orders before
it are done.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable
from typing import Final

from goldthread.errors import KeeperError
from goldthread.keeper.door import Connection
from goldthread.keeper.journal import Journal, Record
from goldthread.keeper.keys import Keys
from goldthread.keeper.loop import Loop, now
from goldthread.keeper.shelf import Shelf
from goldthread.keeper.stacks import Identity, is_alive, process_identity
from goldthread.keeper.ward import Ward
from goldthread.local import Home
from goldthread.names import Epoch, KeeperId, MemberName, seconds
from goldthread.policy import Policy
from goldthread.report import AlarmLevel, AlarmReport
from goldthread.rules.bond_events import BondEvent
from goldthread.rules.bond_orders import BondRecord, HeldRecord
from goldthread.rules.events import Event
from goldthread.rules.machine import Machine
from goldthread.rules.orders import LifeRecord, MemberRecord, Order
from goldthread.vault.disk import DiskVault
from goldthread.wire.messages import Command

__all__ = ["Keeper"]

log = logging.getLogger("goldthread.keeper")

_LOGGED: Final = {
    AlarmLevel.NOTICE: logging.INFO,
    AlarmLevel.WARNING: logging.WARNING,
    AlarmLevel.CRITICAL: logging.CRITICAL,
}
_ALARMS_SHOWN = 5
_ALARMS_KEPT = 100
_WRITE_AGAIN = seconds(5)


class Keeper:
    """What ears and hands share."""

    def __init__(
        self,
        home: Home,
        policy: Policy,
        keys: Keys,
        loop: Loop,
        journal: Journal,
        vault: DiskVault,
        machine: Machine,
    ) -> None:
        self.home = home
        self.policy = policy
        self.keys = keys
        self.loop = loop
        self.journal = journal
        self.vault = vault
        self.machine = machine
        self.shelf = Shelf()
        self.wards: dict[MemberName, Ward] = {}
        self.obey: Callable[[Order], None]
        self._tickets: dict[int, Connection] = {}
        self._tickets_given = 0
        self._events: deque[Event | BondEvent] = deque()
        self._telling = False
        self._unwritten: dict[object, Callable[[], None]] = {}
        self._commands: dict[MemberName, Command] = {}
        """Those that are not written yet."""
        self._unwritten_alarms: deque[tuple[MemberName | None, AlarmReport]] = deque(maxlen=_ALARMS_KEPT)
        self._retries_writing = False
        self.began = now()

    def tell(self, event: Event | BondEvent) -> None:
        """Give the machine an event, and do what it orders."""
        self._events.append(event)
        if self._telling:
            return
        self._telling = True
        try:
            while self._events:
                for order in self.machine.handle(self._events.popleft(), now()):
                    self.obey(order)
        finally:
            self._telling = False

    def ward(self, member: MemberName) -> Ward:
        return self.wards.setdefault(member, Ward(member))

    def ticket(self, connection: Connection) -> int:
        """A number for somebody who waits for an answer."""
        self._tickets_given += 1
        self._tickets[self._tickets_given] = connection
        return self._tickets_given

    def asker(self, ticket: int) -> Connection | None:
        """Who waits for this answer; None where nobody does any more. A ticket is answered once."""
        return self._tickets.pop(ticket, None)

    def persist(self, record: Record) -> None:
        """Write to the journal. Where the disk is full the record is kept and written as soon as it can be: a
        program is not stopped for want of a journal, and a death of the keeper before that is met by the epochs in
        slots and vault, which are never lower."""
        self._write_down(_key_of(record), lambda: self.journal.write(record, time.time()))

    def forget_held(self, partner: KeeperId, member: MemberName) -> None:
        self._write_down((HeldRecord, partner, member), lambda: self.journal.forget_held(partner, member))

    def forget_bond(self, partner: KeeperId) -> None:
        self._write_down((BondRecord, partner), lambda: self.journal.forget_bond(partner))

    def adopt_command(self, member: MemberName, command: Command) -> None:
        """What starts a member that was taken over."""
        self._commands[member] = command
        self._write_down((Command, member), lambda: self._write_command(member))

    def store_command(self, member: MemberName, command: Command) -> None:
        """What its user starts. Raises `NoRoom` where it cannot be written now."""
        self.journal.store_command(member, command)
        self._commands.pop(member, None)

    def command(self, member: MemberName) -> Command | None:
        """What starts this member; None for one that no `run` started."""
        return self._commands.get(member) or self.journal.command(member)

    def alarm(self, level: AlarmLevel, member: MemberName | None, text: str) -> None:
        log.log(_LOGGED[level], "%s%s", f"{member}: " if member else "", text)
        self._unwritten_alarms.append((member, AlarmReport(level, text, time.time())))
        self._write()

    def _write_command(self, member: MemberName) -> None:
        if member in self._commands:
            self.store_command(member, self._commands[member])

    def _write_down(self, key: object, write: Callable[[], None]) -> None:
        """Now, or as soon as it can be. What is written later under the same key replaces what is not written yet."""
        self._unwritten.pop(key, None)
        self._unwritten[key] = write
        self._write()

    def _write(self) -> None:
        """Write what is not written yet, in order; try again later where the journal cannot be written now."""
        try:
            while self._unwritten:
                key = next(iter(self._unwritten))
                self._unwritten[key]()
                del self._unwritten[key]
            while self._unwritten_alarms:
                member, alarm = self._unwritten_alarms[0]
                self.journal.note(member, alarm.level, alarm.text, alarm.at)
                self._unwritten_alarms.popleft()
        except KeeperError as error:
            if not self._retries_writing:
                log.warning("%s", error)
                self._retries_writing = True
                self.loop.after(_WRITE_AGAIN, self._write_again)

    def _write_again(self) -> None:
        self._retries_writing = False
        self._write()

    def warn(self, member: MemberName | None, text: str) -> None:
        self.alarm(AlarmLevel.WARNING, member, text)

    def alarms(self, member: MemberName | None) -> tuple[AlarmReport, ...]:
        """The newest of a member, or (None) of the keeper itself, oldest first."""
        unwritten = [alarm for about, alarm in self._unwritten_alarms if about == member]
        return (*self.journal.notes(member, _ALARMS_SHOWN), *unwritten)[-_ALARMS_SHOWN:]

    def remember_process(self, ward: Ward) -> None:
        """Write down which process a life is, so that the next keeper knows it again.

        Where the disk refuses, the life goes on: its shim or the program itself will tell the next keeper.
        """
        identity = process_identity(ward.pid) if ward.pid is not None else None
        if identity is not None:
            try:
                self.home.member(ward.member).mkdir(mode=0o700, parents=True, exist_ok=True)
                self.home.process(ward.member).write_text(f"{ward.epoch} {identity.pid} {identity.start_ticks}\n")
            except OSError as error:
                log.warning("%s: its process cannot be written down: %s", ward.member, error)

    def remembered_process(self, member: MemberName, epoch: Epoch) -> int | None:
        """The process of this life, where it still lives."""
        try:
            known, pid, ticks = map(int, self.home.process(member).read_text().split())
        except (OSError, ValueError):
            return None
        return pid if known == epoch and is_alive(Identity(pid, ticks)) else None


def _key_of(record: Record) -> object:
    """The same for records of which the later one is written over the earlier."""
    match record:
        case MemberRecord():
            return record.name
        case LifeRecord():
            return record.member, record.epoch
        case BondRecord():
            return BondRecord, record.partner
        case HeldRecord():
            return HeldRecord, record.partner, record.member
