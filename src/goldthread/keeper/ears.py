"""The ears: what programs and shims say becomes events for the machine. Nothing is decided."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Any

from goldthread.errors import Fenced, GoldthreadError, KeeperError
from goldthread.keeper.cause import not_started, unseen
from goldthread.keeper.cgroup import LifeGroup
from goldthread.keeper.door import Connection
from goldthread.keeper.eyes import LIVING, Eyes
from goldthread.keeper.hands import Hands
from goldthread.keeper.keeper import Keeper
from goldthread.keeper.memory import give_slot
from goldthread.keeper.ward import Ward
from goldthread.names import Epoch, MemberName
from goldthread.report import Phase
from goldthread.rules import bond_events, events
from goldthread.rules.orders import MemberRecord
from goldthread.wire import messages

__all__ = ["Ears", "group_name", "refuse"]


class Ears:
    def __init__(self, keeper: Keeper, hands: Hands, eyes: Eyes) -> None:
        self._keeper = keeper
        self._hands = hands
        self._eyes = eyes
        self._members: dict[Connection, MemberName] = {}
        self.hear: dict[type[Any], Callable[[Connection, Any, list[int]], None]] = {
            messages.JoinRequest: self._join,
            messages.ReturnRequest: self._return,
            messages.SlotRequest: self._slot,
            messages.RestoredNote: self._restored,
            messages.RaisedNote: self._raised,
            messages.LeaveNote: self._leave,
            messages.DepositRequest: self._deposit,
            messages.HoldRequest: self._hold,
            messages.ShimNote: self._shim,
            messages.LifeStartedNote: self._life_started,
            messages.LifeNotStartedNote: self._life_not_started,
            messages.LifeExitedNote: self._life_exited,
        }

    def gone(self, connection: Connection) -> None:
        """A connection ended. That a program ended is told by its process, not by this."""
        member = self._members.pop(connection, None)
        if member is not None and member in self._keeper.wards:
            ward = self._keeper.wards[member]
            if ward.program is connection:
                ward.program = None
                if ward.raised is not None and ward.pidfd is not None:
                    # An exception ended its `with` block, and the process may live on: the life is over.
                    self._eyes.stop(ward)
                    self._eyes.end(ward, ward.epoch, None, "")
            if ward.shim is connection:
                self._lose_shim(ward)

    # Programs

    def _join(self, connection: Connection, request: messages.JoinRequest, descriptors: list[int]) -> None:
        ward = self._keeper.ward(request.member)
        self._members[connection] = request.member
        epoch = request.epoch if ward.shim is not None else None
        self._keeper.tell(
            events.JoinAsked(self._keeper.ticket(connection), request.member, request.pid, epoch, request.fresh)
        )

    def _return(self, connection: Connection, request: messages.ReturnRequest, descriptors: list[int]) -> None:
        keeper, member = self._keeper, request.member
        _expect(descriptors, 1 + len(request.slots))
        view = keeper.machine.view(member)
        if view is not None and view.epoch > request.epoch:
            raise Fenced(
                f"life {view.epoch} of {member} has begun; this process was life {request.epoch}",
                hint="this process must end: two lives of one member must not run",
            )
        ward = keeper.ward(member)
        self._members[connection] = member
        ward.program = connection
        ward.epoch = request.epoch
        ward.hold_pulse(descriptors[0])
        for index, descriptor in zip(request.slots, descriptors[1:], strict=True):
            keeper.shelf.put(member, request.epoch, index, descriptor)
        self.find_copies(member)
        if view is None or view.phase is Phase.RETURNING or view.epoch < request.epoch:
            keeper.tell(events.LifeFound(member, request.epoch, request.pid))
        self._eyes.follow(ward, request.epoch, request.pid)
        connection.send(messages.Returned())

    def _slot(self, connection: Connection, request: messages.SlotRequest, descriptors: list[int]) -> None:
        keeper, ward = self._keeper, self._ward_of(connection)
        epoch, index = ward.epoch, request.index

        def made(descriptor: int) -> None:
            if not connection.open:
                # The program was interrupted while it asked; by now it may have asked again for the same index.
                os.close(descriptor)
                return
            keeper.shelf.put(ward.member, epoch, index, descriptor)
            if ward.shim is not None:
                ward.shim.send(messages.HoldSlot(epoch, index), [descriptor])
            connection.send(messages.SlotMade(index, os.fstat(descriptor).st_size), [descriptor])

        def make() -> int:
            return give_slot(ward.member, request.bytes, keeper.policy.memory_free_bytes)

        prepared = ward.take_prepared(request.bytes)
        if prepared is not None:
            made(prepared)
        else:
            keeper.loop.work(make, made, lambda error: refuse(connection, error))

    def _restored(self, connection: Connection, note: messages.RestoredNote, descriptors: list[int]) -> None:
        ward = self._ward_of(connection)
        self._keeper.tell(events.LifeRestored(ward.member, ward.epoch))
        self._hands.make_slot_ahead(ward)

    def _raised(self, connection: Connection, note: messages.RaisedNote, descriptors: list[int]) -> None:
        self._ward_of(connection).raised = note

    def _leave(self, connection: Connection, note: messages.LeaveNote, descriptors: list[int]) -> None:
        ward = self._ward_of(connection)
        self._eyes.look(ward)
        self._keeper.tell(events.LifeLeft(ward.member, ward.epoch))
        connection.send(messages.Done("left in peace"))

    def _deposit(self, connection: Connection, request: messages.DepositRequest, descriptors: list[int]) -> None:
        ward = self._ward_of(connection)
        self._eyes.look(ward)
        self._keeper.tell(events.DepositAsked(self._keeper.ticket(connection), ward.member))

    def _hold(self, connection: Connection, request: messages.HoldRequest, descriptors: list[int]) -> None:
        ward = self._ward_of(connection)
        self._eyes.look(ward)
        self._keeper.tell(bond_events.HoldAsked(self._keeper.ticket(connection), ward.member))

    def _ward_of(self, connection: Connection) -> Ward:
        """The member that this program has joined. Raises `Fenced` where another life has its place."""
        member = self._members.get(connection)
        ward = self._keeper.wards.get(member) if member is not None else None
        if ward is None or ward.program is not connection:
            raise Fenced(
                "this connection is no living member's",
                hint="another life of this member has begun, or the member was forgotten",
            )
        return ward

    # Shims

    def _shim(self, connection: Connection, note: messages.ShimNote, descriptors: list[int]) -> None:
        keeper, member = self._keeper, note.member
        _expect(descriptors, note.pulse + len(note.slots))
        ward = keeper.ward(member)
        self._members[connection] = member
        ward.shim = connection
        self._eyes.stop(ward)
        held = list(descriptors)
        if note.pulse:
            pulse = held.pop(0)
            if ward.pulse_descriptor is None:
                ward.hold_pulse(pulse)
            else:
                os.close(pulse)
        for (epoch, index), descriptor in zip(note.slots, held, strict=True):
            keeper.shelf.put(member, epoch, index, descriptor)
        for (epoch, index), slot in keeper.shelf.slots(member).items():
            if (epoch, index) not in note.slots:  # What was held for a partner, and is this keeper's own now.
                connection.send(messages.HoldSlot(epoch, index), [slot.descriptor])
        self.find_copies(member)
        if ward.start_wanted is not None:
            self._hands.start_wanted(ward)
        elif note.epoch > 0:
            self._find_life(ward, note)

    def _find_life(self, ward: Ward, note: messages.ShimNote) -> None:
        """A shim came back from before this keeper: its program runs, or ended while no keeper was there."""
        ward.epoch = note.epoch
        if note.pid is not None:
            ward.group = LifeGroup.of(note.pid)
            self._keeper.tell(events.LifeFound(ward.member, note.epoch, note.pid))
            self._eyes.follow(ward, note.epoch, note.pid)
        elif note.status is not None:
            self._eyes.end(ward, note.epoch, note.status, note.last_words)

    def _lose_shim(self, ward: Ward) -> None:
        """The shim ended: in order where its member is at rest; else it was killed, and its program is watched
        without it."""
        ward.shim = ward.shim_process = None
        view = self._keeper.machine.view(ward.member)
        if view is None or view.phase not in LIVING:
            return
        if ward.pid is None:
            self._keeper.tell(events.LifeEnded(ward.member, ward.epoch, unseen("its shim died")))
        else:
            self._eyes.follow_without_shim(ward, ward.pid)

    def _life_started(self, connection: Connection, note: messages.LifeStartedNote, descriptors: list[int]) -> None:
        ward = self._shim_ward(connection)
        self._keeper.tell(events.LifeStarted(ward.member, note.epoch, note.pid))
        ward.group, _ = LifeGroup.make(group_name(ward.member, note.epoch), self._keeper.home.path)
        if ward.group is not None and not ward.group.add(note.pid):
            ward.group.remove()
            ward.group = None
        self._eyes.follow(ward, note.epoch, note.pid)

    def _life_not_started(
        self, connection: Connection, note: messages.LifeNotStartedNote, descriptors: list[int]
    ) -> None:
        member = self._shim_ward(connection).member
        self._keeper.tell(events.LifeEnded(member, note.epoch, not_started(note.text)))

    def _life_exited(self, connection: Connection, note: messages.LifeExitedNote, descriptors: list[int]) -> None:
        self._eyes.end(self._shim_ward(connection), note.epoch, note.status, note.last_words)

    def _shim_ward(self, connection: Connection) -> Ward:
        """The member of this shim. Raises `KeeperError` where the connection is no shim's, or no more."""
        member = self._members.get(connection)
        ward = self._keeper.wards.get(member) if member is not None else None
        if ward is None or ward.shim is not connection:
            raise KeeperError("this connection is no living member's shim")
        return ward

    # What an earlier keeper left

    def find_processes(self, records: Iterable[MemberRecord]) -> None:
        """Follow the processes of lives that began under an earlier keeper and still run."""
        for record in records:
            pid = self._keeper.remembered_process(record.name, record.epoch)
            if record.phase in LIVING and pid is not None:
                self._keeper.tell(events.LifeFound(record.name, record.epoch, pid))
                self._eyes.follow(self._keeper.ward(record.name), record.epoch, pid)

    def find_copies(self, member: MemberName) -> None:
        """Tell of the copies of a member that the journal does not know: it may have been lost."""
        if self._keeper.machine.view(member) is None:
            self._hands.list_copies(member)


def group_name(member: MemberName, epoch: Epoch) -> str:
    """The name of a life's control group."""
    return f"{member}-{epoch}"


def _expect(descriptors: list[int], count: int) -> None:
    if len(descriptors) != count:
        raise KeeperError(f"{count} descriptors should have come, and {len(descriptors)} did")


def refuse(connection: Connection, error: BaseException) -> None:
    """Answer with what went wrong while something was made."""
    connection.refuse(error if isinstance(error, GoldthreadError) else KeeperError(f"{type(error).__name__}: {error}"))
