"""What commands ask of the keeper: requests that change something become events, those that read are answered."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

from goldthread.errors import GoldthreadError, NothingToRestore, UsageError
from goldthread.keeper.door import Connection
from goldthread.keeper.ears import refuse
from goldthread.keeper.eyes import LIVING, Eyes
from goldthread.keeper.keeper import Keeper
from goldthread.keeper.loop import now
from goldthread.keeper.reporting import report_keeper
from goldthread.keeper.shelf import verify
from goldthread.names import CommitId, Level, MemberName
from goldthread.rules import events
from goldthread.slots.pins import pin_for_reading
from goldthread.slots.slot import Slot
from goldthread.vault.base import Vault
from goldthread.wire import messages

__all__ = ["Commands"]


class Commands:
    def __init__(self, keeper: Keeper, eyes: Eyes) -> None:
        self._keeper = keeper
        self._eyes = eyes
        self.hear: dict[type[Any], Callable[[Connection, Any, list[int]], None]] = {
            messages.RunRequest: self._run,
            messages.WatchRequest: self._watch,
            messages.StopRequest: self._stop,
            messages.RestartRequest: self._restart,
            messages.RollbackRequest: self._rollback,
            messages.ForgetRequest: self._forget,
            messages.ReportRequest: self._report,
            messages.CopyRequest: self._copy,
            messages.DrillRequest: self._drill,
            messages.KeeperStopRequest: self._keeper_stop,
        }

    def gone(self, connection: Connection) -> None:
        for ward in self._keeper.wards.values():
            if connection in ward.watchers:
                ward.watchers.remove(connection)

    def _run(self, connection: Connection, request: messages.RunRequest, descriptors: list[int]) -> None:
        keeper = self._keeper
        view = keeper.machine.view(request.member)
        if view is None or view.phase not in LIVING:
            keeper.store_command(request.member, request.command)
        keeper.tell(
            events.RunAsked(
                keeper.ticket(connection), request.member, request.budget, request.fresh, request.hang_floor
            )
        )

    def _watch(self, connection: Connection, request: messages.WatchRequest, descriptors: list[int]) -> None:
        view = self._keeper.machine.view(request.member)
        if view is None:
            raise _unknown(request.member)
        ward = self._keeper.ward(request.member)
        ward.watchers.append(connection)
        connection.send(messages.PhaseNote(view.epoch, view.phase, view.reason, ward.ending, now()))

    def _stop(self, connection: Connection, request: messages.StopRequest, descriptors: list[int]) -> None:
        ticket = self._ticket_for(connection, request.member)
        self._keeper.tell(events.StopAsked(ticket, request.member, request.signal, request.escalate))

    def _restart(self, connection: Connection, request: messages.RestartRequest, descriptors: list[int]) -> None:
        self._keeper.tell(events.RestartAsked(self._ticket_for(connection, request.member), request.member))

    def _rollback(self, connection: Connection, request: messages.RollbackRequest, descriptors: list[int]) -> None:
        ticket = self._ticket_for(connection, request.member)
        self._keeper.tell(events.RollbackAsked(ticket, request.member, request.step))

    def _forget(self, connection: Connection, request: messages.ForgetRequest, descriptors: list[int]) -> None:
        self._keeper.tell(events.ForgetAsked(self._ticket_for(connection, request.member), request.member))

    def _ticket_for(self, connection: Connection, member: MemberName) -> int:
        if self._keeper.machine.view(member) is None:
            raise _unknown(member)
        return self._keeper.ticket(connection)

    def _report(self, connection: Connection, request: messages.ReportRequest, descriptors: list[int]) -> None:
        self._eyes.look_at_all()
        connection.send(messages.Report(report_keeper(self._keeper, now())))

    def _keeper_stop(self, connection: Connection, request: messages.KeeperStopRequest, descriptors: list[int]) -> None:
        self._eyes.look_at_all()
        ticket = self._keeper.ticket(connection)
        self._keeper.tell(events.KeeperStopAsked(ticket, request.stop_members, leave_members=False))

    def _drill(self, connection: Connection, request: messages.DrillRequest, descriptors: list[int]) -> None:
        try:
            connection.send(messages.Done(self._keeper.shelf.flip(request.member)))
        except LookupError as error:
            raise UsageError(str(error), hint="it needs a member that commits, and has its slots still") from error

    def _copy(self, connection: Connection, request: messages.CopyRequest, descriptors: list[int]) -> None:
        """Find the newest whole copy for somebody who reads it; slots first, then the vault."""
        shelf, vault, member = self._keeper.shelf, self._keeper.vault, request.member
        if self._keeper.machine.view(member) is None:
            raise _unknown(member)
        newest_first = sorted(shelf.copies(member), key=lambda copy: copy.commit, reverse=True)
        slots = [(copy.commit, slot.lend()) for copy in newest_first if (slot := shelf.find(member, copy.commit))]

        def found(result: tuple[CommitId, Level, int]) -> None:
            commit, level, descriptor = result
            connection.send(messages.CopyFound(commit, level), [descriptor])
            os.close(descriptor)

        self._keeper.loop.work(
            lambda: _newest_whole(vault, member, slots), found, lambda error: refuse(connection, error)
        )


def _newest_whole(
    vault: Vault, member: MemberName, slots: Sequence[tuple[CommitId, int]]
) -> tuple[CommitId, Level, int]:
    """The newest whole copy and a descriptor of its bytes. Closes the others.

    A slot stays pinned until whoever gets the descriptor closes it: the pin belongs to what is behind it.
    """
    found: tuple[CommitId, Level, int] | None = None
    for commit, lent in slots:
        if found is None and pin_for_reading(lent) and not _damage_in_slot(lent, commit):
            found = commit, Level.SEALED, lent
        else:
            os.close(lent)
    if found is not None:
        return found
    for copy in reversed(vault.list(member).copies):
        if not vault.check(member, copy.commit):
            return copy.commit, Level.DEPOSITED, vault.open(member, copy.commit)
    raise NothingToRestore(f"{member} has no whole commit", hint="goldthread why tells what became of them")


def _damage_in_slot(descriptor: int, commit: CommitId) -> str:
    slot = Slot(descriptor, writable=False)
    try:
        return verify(slot.image, commit)
    finally:
        slot.close()


def _unknown(member: MemberName) -> GoldthreadError:
    return UsageError(f"no member is named {member}", hint="goldthread status lists them")
