"""The hands: they carry out the machine's orders, one method for each kind, in the order given.

What an order brings about comes back as an event. Nothing here decides; where something fails the hands say so in
an event or an alarm and leave the next step to the machine.
"""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Callable
from typing import Any, Final

from goldthread.errors import CommitDamaged, GoldthreadError
from goldthread.keeper.bond_hands import BondHands
from goldthread.keeper.cause import not_started, unseen
from goldthread.keeper.eyes import Eyes
from goldthread.keeper.keeper import Keeper
from goldthread.keeper.loop import now
from goldthread.keeper.memory import give_slot
from goldthread.keeper.shelf import reading, verify
from goldthread.keeper.shim import spawn
from goldthread.keeper.stacks import is_stopped, take_stacks
from goldthread.keeper.ward import Ward
from goldthread.names import CommitId, Instant, Level, MemberName, Span
from goldthread.report import Ending, Phase
from goldthread.rules import orders
from goldthread.rules.events import (
    CommitDeposited,
    CopiesListed,
    Copy,
    CopyChecked,
    DepositFailed,
    LifeEnded,
    StacksTaken,
)
from goldthread.slots.slot import make_pulse
from goldthread.vault.base import Listing
from goldthread.wire.messages import (
    Done,
    EndShim,
    HoldPulse,
    Joined,
    PhaseNote,
    Refused,
    ReleaseSlot,
    StartLife,
)

__all__ = ["Hands"]

log = logging.getLogger("goldthread.keeper")

_OVER: Final = (Phase.ENDED, Phase.AWAY)
"""Nothing of it runs here, and nothing of it will unless somebody asks."""
_AT_REST: Final = frozenset({*_OVER, Phase.DOWN, Phase.LIMBO})


class Hands:
    def __init__(self, keeper: Keeper, eyes: Eyes, bonds: BondHands) -> None:
        self._keeper = keeper
        self._eyes = eyes
        self._do: dict[type[Any], Callable[[Any], None]] = {
            orders.Persist: lambda order: keeper.persist(order.record),
            orders.StartProgram: self._start_program,
            orders.SignalProgram: self._signal_program,
            orders.TakeStacks: self._take_stacks,
            orders.ListCopies: lambda order: self.list_copies(order.member),
            orders.CheckCopy: self._check_copy,
            orders.PrepareSlot: self._prepare_slot,
            orders.Admit: self._admit,
            orders.Accept: self._accept,
            orders.Refuse: self._refuse,
            orders.Deposit: self._deposit,
            orders.TrimVault: self._trim_vault,
            orders.FreeSlots: self._free_slots,
            orders.Forget: self._forget,
            orders.Alarm: lambda order: keeper.alarm(order.level, order.member, order.text),
            orders.Announce: self._announce,
            orders.StopKeeper: self._stop_keeper,
            **bonds.do,
        }

    def obey(self, order: orders.Order) -> None:
        self._do[type(order)](order)

    # Programs

    def _start_program(self, order: orders.StartProgram) -> None:
        ward = self._keeper.ward(order.member)
        ward.begin(order.epoch)
        ward.start_wanted = order.epoch
        if ward.shim is not None:
            self.start_wanted(ward)
        elif ward.shim_process is None:
            self._spawn_shim(ward, order)

    def _spawn_shim(self, ward: Ward, order: orders.StartProgram) -> None:
        try:
            process = spawn(self._keeper.home, order.member)
            pidfd = os.pidfd_open(process.pid)
        except OSError as error:
            self._keeper.tell(LifeEnded(order.member, order.epoch, not_started(f"no shim: {error}")))
            return
        ward.shim_process = process

        def ended() -> None:
            self._keeper.loop.unwatch(pidfd)
            os.close(pidfd)
            process.wait()
            if ward.shim_process is process:
                ward.shim_process = None
                self._start_in_vain(ward, unseen("its shim ended before it began; see keeper.log"))

        self._keeper.loop.watch(pidfd, ended)

    def _start_in_vain(self, ward: Ward, ending: Ending) -> None:
        epoch, ward.start_wanted = ward.start_wanted, None
        if epoch is not None:
            self._keeper.tell(LifeEnded(ward.member, epoch, ending))

    def start_wanted(self, ward: Ward) -> None:
        """Have the shim, which is here now, start the life that is wanted."""
        epoch, ward.start_wanted = ward.start_wanted, None
        if epoch is None or ward.shim is None:
            return
        command = self._keeper.command(ward.member)
        if command is None:
            ending = not_started("the journal does not know its command; run it again with `goldthread run`")
            self._keeper.tell(LifeEnded(ward.member, epoch, ending))
        else:
            ward.shim.send(StartLife(epoch, command))

    def _signal_program(self, order: orders.SignalProgram) -> None:
        ward = self._keeper.ward(order.member)
        if not ward.signal(order.epoch, order.signal):
            self._start_in_vain(ward, not_started("it was stopped before it began"))

    def _take_stacks(self, order: orders.TakeStacks) -> None:
        ward = self._keeper.ward(order.member)
        pid, path = ward.pid, self._keeper.home.stacks(order.member)

        def told(text: str) -> None:
            self._keeper.tell(StacksTaken(order.member, order.epoch, text))
            ward.woken = False

        if pid is None:
            told("")
        else:
            ward.woken = is_stopped(pid)
            wait = self._keeper.policy.stacks_wait
            self._keeper.loop.work(lambda: take_stacks(pid, path, wait), told, lambda error: told(""))

    # Copies

    def list_copies(self, member: MemberName) -> None:
        """Find every copy of every commit of a member, and tell the machine."""
        keeper = self._keeper

        def listed(deposited: Listing) -> None:
            for sentence in deposited.damaged:
                keeper.warn(member, sentence)
            keeper.tell(CopiesListed(member, (*keeper.shelf.copies(member), *deposited.copies)))

        def look() -> Listing:
            return keeper.vault.list(member)

        def failed(error: BaseException) -> None:
            keeper.warn(member, f"the vault could not be read: {error}")
            listed(Listing((), ()))

        keeper.loop.work(look, listed, failed)

    def _check_copy(self, order: orders.CheckCopy) -> None:
        keeper, member, copy = self._keeper, order.member, order.copy
        ward = keeper.ward(member)

        def told(damage: str) -> None:
            in_memory = copy.level is Level.SEALED
            superseded = order.background and in_memory and keeper.shelf.find(member, copy.commit) is None
            keeper.tell(CopyChecked(member, copy, superseded or not damage, damage))

        def begin() -> None:
            started = now()

            def done(damage: str) -> None:
                # A share s of a core's time: after work of length t, rest for t (1 / s - 1).
                worked = now() - started
                ward.checked_until = Instant(now() + round(worked * (1 / keeper.policy.check_share - 1)))
                told(damage)

            def failed(error: BaseException) -> None:
                # A slot that its program writes into has a newer commit soon: nothing is wrong with it.
                told("" if order.background and isinstance(error, BlockingIOError) else str(error))

            keeper.loop.work(self._checking(member, copy), done, failed)

        rest = ward.checked_until - now()
        if order.background and rest > 0:
            keeper.loop.after(Span(rest), begin)
        else:
            begin()

    def _checking(self, member: MemberName, copy: Copy) -> Callable[[], str]:
        """The work of checking one copy."""
        keeper = self._keeper
        if copy.level is Level.DEPOSITED:
            return lambda: keeper.vault.check(member, copy.commit)
        slot = keeper.shelf.find(member, copy.commit)
        if slot is None:
            return lambda: "its slot was used again"
        lent = slot.lend()

        def check() -> str:
            with reading(lent) as image:
                return verify(image, copy.commit)

        return check

    def _prepare_slot(self, order: orders.PrepareSlot) -> None:
        ward = self._keeper.ward(order.member)
        ward.slot_wanted = max(order.bytes, self._keeper.shelf.largest(order.member))
        if ward.shim is not None:
            # The program starts, and leaves time for it. One that was started by hand restores at this moment.
            self.make_slot_ahead(ward)

    def make_slot_ahead(self, ward: Ward) -> None:
        """Make the slot that the life will want first, if it is not made yet."""
        size, epoch, ward.slot_wanted = ward.slot_wanted, ward.epoch, 0
        if not size:
            return

        def made(descriptor: int) -> None:
            if ward.epoch == epoch:
                ward.prepared.append(descriptor)
            else:
                os.close(descriptor)

        def make() -> int:
            return give_slot(ward.member, size, self._keeper.policy.memory_free_bytes)

        # Where it fails, the program's own request will say why.
        self._keeper.loop.work(make, made, lambda error: log.info("no slot was made ahead: %s", error))

    # Answers

    def _admit(self, order: orders.Admit) -> None:
        keeper = self._keeper
        asker = keeper.asker(order.ticket)
        ward = keeper.ward(order.member)
        if ward.epoch != order.epoch:
            ward.begin(order.epoch)
        view = keeper.machine.view(order.member)
        if view is not None and view.pid is not None:
            self._eyes.follow(ward, order.epoch, view.pid)
        if asker is None or not asker.open:
            return
        ward.program = asker
        pulse = make_pulse()
        ward.hold_pulse(pulse)
        ward.vouch(order.until)
        if view is not None and view.deposited is not None:
            ward.say_deposited(view.deposited.step)
        if ward.shim is not None:
            ward.shim.send(HoldPulse(order.epoch), [pulse])
        image, commit, level = None, None, None
        if order.copy is not None:
            commit, level = order.copy.commit, order.copy.level
            try:
                image = self._image_of(order.member, order.copy)
            except GoldthreadError as error:
                asker.refuse(error)
                return
        previous = order.previous
        joined = Joined(
            order.epoch,
            commit,
            level,
            order.reason,
            previous.ending if previous else None,
            previous.reached if previous else None,
            str(keeper.home.stacks(order.member)),
            keeper.policy.slots_per_member,
        )
        asker.send(joined, [pulse] if image is None else [pulse, image])
        if image is not None:
            os.close(image)

    def _image_of(self, member: MemberName, copy: Copy) -> int:
        """A descriptor of the copy's bytes. Raises `CommitDamaged` where it is gone."""
        if copy.level is Level.DEPOSITED:
            return self._keeper.vault.open(member, copy.commit)
        slot = self._keeper.shelf.find(member, copy.commit)
        if slot is None:
            raise CommitDamaged(f"{copy.commit} of {member} is no longer in memory")
        return slot.lend()

    def _accept(self, order: orders.Accept) -> None:
        asker = self._keeper.asker(order.ticket)
        if asker is not None:
            asker.send(Done(order.text))

    def _refuse(self, order: orders.Refuse) -> None:
        asker = self._keeper.asker(order.ticket)
        if asker is not None:
            asker.send(Refused(order.error, order.text, order.hint))

    # Keeping

    def _deposit(self, order: orders.Deposit) -> None:
        keeper, member = self._keeper, order.member
        newest = keeper.shelf.newest(member, order.commit.epoch)
        slot = None if newest is None else keeper.shelf.find(member, newest.commit)
        if newest is None or slot is None:
            keeper.tell(DepositFailed(member, order.commit, "its slot is gone"))
            return
        lent = slot.lend()

        def write() -> CommitId:
            with reading(lent) as image:
                return keeper.vault.deposit(member, image)

        def written(commit: CommitId) -> None:
            keeper.ward(member).say_deposited(commit.step)
            keeper.tell(CommitDeposited(member, commit, newest.image_bytes))

        keeper.loop.work(write, written, lambda error: keeper.tell(DepositFailed(member, order.commit, str(error))))

    def _trim_vault(self, order: orders.TrimVault) -> None:
        keeper = self._keeper
        keeper.loop.work(
            lambda: keeper.vault.trim(order.member, order.keep),
            lambda _: None,
            lambda error: keeper.warn(order.member, f"old deposits could not be removed: {error}"),
        )

    def _free_slots(self, order: orders.FreeSlots) -> None:
        shelf, ward = self._keeper.shelf, self._keeper.ward(order.member)
        for epoch, index in shelf.surplus(order.member, order.epoch, order.keep):
            shelf.drop(order.member, epoch, index)
            if ward.shim is not None:
                ward.shim.send(ReleaseSlot(epoch, index))
        self._let_shim_go(ward)

    def _forget(self, order: orders.Forget) -> None:
        keeper, member = self._keeper, order.member
        ward = keeper.wards.pop(member, None)
        keeper.shelf.forget(member)
        if ward is not None:
            self._dismiss_shim(ward)
            ward.close()
        keeper.journal.forget(member, order.kept)
        shutil.rmtree(keeper.home.member(member), ignore_errors=True)
        keeper.loop.work(
            lambda: keeper.vault.forget(member),
            lambda _: None,
            lambda error: keeper.warn(None, f"deposits of {member} could not be removed: {error}"),
        )

    def _announce(self, order: orders.Announce) -> None:
        ward = self._keeper.ward(order.member)
        log.info("%s: life %d is %s: %s", order.member, order.epoch, order.phase.value, order.reason)
        ward.ending = order.ending or ward.ending
        note = PhaseNote(order.epoch, order.phase, order.reason, order.ending, now())
        for watcher in ward.watchers:
            watcher.send(note)
        if order.phase in _OVER:
            ward.drop_pulse()
            self._let_shim_go(ward)

    def _let_shim_go(self, ward: Ward) -> None:
        """End the shim of a member that is over here, once it holds nothing any more."""
        view = self._keeper.machine.view(ward.member)
        is_over = view is not None and view.phase in _OVER
        if is_over and not self._keeper.shelf.slots(ward.member):
            self._dismiss_shim(ward)

    def _dismiss_shim(self, ward: Ward) -> None:
        """Tell the shim to end. It is the member's no more: a life that begins now gets a new one."""
        if ward.shim is not None:
            ward.shim.send(EndShim())
            ward.shim = ward.shim_process = None

    def _stop_keeper(self, order: orders.StopKeeper) -> None:
        for view in self._keeper.machine.views():
            deposited = view.sealed is None or (view.deposited is not None and view.deposited >= view.sealed.commit)
            if view.phase is Phase.AWAY or (view.phase in _AT_REST and deposited):
                # A shim that holds nothing but what is in the vault would only start the next keeper.
                self._dismiss_shim(self._keeper.ward(view.name))
        self._keeper.loop.stop()
