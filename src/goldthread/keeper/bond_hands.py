"""The hands' other half: orders between keepers. Each goes to the part of the keeper that can carry it out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from goldthread.errors import GoldthreadError
from goldthread.keeper.bundle import adopt_bundle, make_bundle, owned_folder, read_bundle, receive_bundle
from goldthread.keeper.carriage import Carriage
from goldthread.keeper.keeper import Keeper
from goldthread.keeper.links import Links, LinkSettings
from goldthread.keeper.mending import Mender
from goldthread.keeper.tenancy import Tenancy
from goldthread.names import KeeperId, MemberName
from goldthread.rules import bond_orders
from goldthread.rules.bond_events import BundleFailed, BundleMade
from goldthread.wire.addresses import write_address

__all__ = ["BondHands"]


class BondHands:
    """`links`, `carriage` and the rest are made here; they stay idle while there is no bond."""

    def __init__(self, keeper: Keeper, settings: LinkSettings, tenancy: Tenancy) -> None:
        self._keeper = keeper
        self._tenancy = tenancy
        self.links = Links(keeper, keeper.keys, settings)
        self.carriage = Carriage(keeper, self._keep_bundle, self.links.host)
        self._carrier_port = 0
        self._left_behind: dict[MemberName, str] = {}
        mender = Mender(keeper, self.carriage, self._name_of)
        self.do: dict[type[Any], Callable[[Any], None]] = {
            bond_orders.SendBeat: self._send_beat,
            bond_orders.AnswerBeat: self.links.answer_beat,
            bond_orders.EndBond: self.links.end,
            bond_orders.ForgetBond: self._forget_bond,
            bond_orders.SeekPartners: lambda _: self.links.seek(),
            bond_orders.TieWith: self.links.tie_with,
            bond_orders.ReadLease: tenancy.read,
            bond_orders.SwapLease: tenancy.swap,
            bond_orders.Vouch: self._vouch,
            bond_orders.Replicate: self.carriage.replicate,
            bond_orders.Overtake: self.carriage.overtake,
            bond_orders.AllowCopies: self.carriage.allow,
            bond_orders.DropCopies: self.carriage.drop,
            bond_orders.AdoptCopies: self._adopt,
            bond_orders.MendCopy: mender.mend,
            bond_orders.MakeBundle: lambda order: self._make_bundle(order.member),
            bond_orders.SendBundle: self._send_bundle,
            bond_orders.ForgetHeld: lambda order: keeper.forget_held(order.partner, order.member),
        }

    def close(self) -> None:
        self.links.close()
        self.carriage.stop()
        self._tenancy.close()

    def _name_of(self, partner: KeeperId) -> str:
        views = self._keeper.machine.bond_views()
        return next((view.name for view in views if view.partner == partner), partner[:8])

    def _send_beat(self, order: bond_orders.SendBeat) -> None:
        """With each beat both carriers learn what has changed of the way between them."""
        self.links.send_beat(order)
        if self.carriage.port != self._carrier_port:
            self._carrier_port = self.carriage.port
            self.links.set_carrier_port(self._carrier_port)
        view = next(view for view in self._keeper.machine.bond_views() if view.partner == order.partner)
        addresses = self.links.carrier_address(order.partner) or []
        self.carriage.know(order.partner, tuple(write_address(*one) for one in addresses), view.mine.bandwidth)

    def _make_bundle(self, member: MemberName) -> None:
        """Gather what is needed to run a member elsewhere, off the loop."""
        keeper = self._keeper
        command = keeper.command(member)
        if command is None:
            return

        def made(event: BundleMade) -> None:
            """What stays behind is said when it is another than before, not for each life."""
            is_news = self._left_behind.get(member) != event.text
            self._left_behind[member] = event.text
            keeper.tell(event if is_news else msgspec.structs.replace(event, text=""))

        def failed(error: BaseException) -> None:
            made(BundleMade(member, "", f"what is needed to run {member} elsewhere cannot be gathered: {error}"))

        keeper.loop.work(lambda: make_bundle(keeper.home, member, command), made, failed)

    def _vouch(self, order: bond_orders.Vouch) -> None:
        ward = self._keeper.ward(order.member)
        if ward.epoch == order.epoch:
            ward.vouch(order.until)

    def _forget_bond(self, order: bond_orders.ForgetBond) -> None:
        self._keeper.forget_bond(order.partner)
        self.carriage.forget(order.partner)
        self.links.forget(order.partner)

    def _send_bundle(self, order: bond_orders.SendBundle) -> None:
        keeper, member = self._keeper, order.member
        view = keeper.machine.view(member)
        digest = "" if view is None else view.bundle
        try:
            data = read_bundle(owned_folder(keeper.home, member), digest)
        except GoldthreadError as error:
            self._make_bundle(member)
            keeper.tell(BundleFailed(member, order.partner, str(error)))
            return
        self.carriage.send_bundle(order, digest, data)

    def _keep_bundle(self, partner: KeeperId, member: MemberName, digest: str, data: bytes) -> tuple[str, ...]:
        return receive_bundle(self._keeper.home, partner, member, digest, data)

    def _adopt(self, order: bond_orders.AdoptCopies) -> None:
        """What was held is this keeper's own now: the slots, and the command that starts the member here."""
        keeper, member = self._keeper, order.member
        self.carriage.adopt(order)
        view = keeper.machine.view(member)
        try:
            command = adopt_bundle(keeper.home, order.partner, member, "" if view is None else view.bundle)
        except GoldthreadError as error:
            keeper.warn(member, f"what is needed to run {member} cannot be laid out: {error}")
            return
        known = keeper.command(member)
        if known is None or Path(known.directory).is_relative_to(keeper.home.path):
            keeper.adopt_command(member, command)
        # Otherwise it began here, and runs here as its user started it.
