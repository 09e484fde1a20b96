"""The pretended hands for what goes on between keepers. They stand beside `hands.py`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from goldthread.names import Level, milliseconds
from goldthread.rules.bond_events import (
    BeatAnswered,
    BeatHeard,
    BundleFailed,
    BundleMade,
    BundleSent,
    CopyMended,
    Patch,
)
from goldthread.rules.bond_orders import (
    AdoptCopies,
    AllowCopies,
    AnswerBeat,
    DropCopies,
    EndBond,
    ForgetBond,
    ForgetHeld,
    MakeBundle,
    MendCopy,
    Overtake,
    ReadLease,
    Replicate,
    SeekPartners,
    SendBeat,
    SendBundle,
    SwapLease,
    TieWith,
    Vouch,
)
from goldthread.rules.events import Copy
from goldthread.sim.things import CHUNKS, Slot, Store

if TYPE_CHECKING:
    from goldthread.sim.host import Host
    from goldthread.sim.place import Place

__all__ = ["BondHands"]

_MS: Final = milliseconds(1)


class BondHands:
    """`methods` says what is done for each order."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._world = host.world
        self.methods: dict[type[Any], Callable[[Any], None]] = {
            SendBeat: self._send_beat,
            AnswerBeat: self._answer_beat,
            EndBond: self._end_bond,
            ForgetBond: self._forget_bond,
            ReadLease: self._ask_store,
            SwapLease: self._ask_store,
            Vouch: self._vouch,
            Replicate: self._replicate,
            Overtake: self._overtake,
            AllowCopies: self._allow,
            DropCopies: self._drop,
            AdoptCopies: self._adopt,
            MendCopy: self._mend,
            MakeBundle: self._make_bundle,
            SendBundle: self._send_bundle,
            ForgetHeld: self._forget_held,
            SeekPartners: lambda _: host.seeker.seek(),
            TieWith: lambda order: host.seeker.tie(order),
        }

    # The link

    def _send_beat(self, order: SendBeat) -> None:
        self._host.links.say(order.partner, BeatHeard(self._host.me, order.number, order.facts))

    def _answer_beat(self, order: AnswerBeat) -> None:
        answer = BeatAnswered(self._host.me, order.number, order.facts_seen, order.promise, order.promised)
        self._host.links.say(order.partner, answer)

    def _end_bond(self, order: EndBond) -> None:
        self._host.links.part(order.partner, order.text)

    def _forget_bond(self, order: ForgetBond) -> None:
        self._host.journal.bonds.pop(order.partner, None)
        self._host.partners.discard(order.partner)
        self._host.links.drop(order.partner)

    # Leases

    def _ask_store(self, order: ReadLease | SwapLease) -> None:
        self._world.registers.ask(self._host, order)

    def _vouch(self, order: Vouch) -> None:
        self._host.places[order.member].vouched[order.epoch] = order.until

    # Copies

    def _replicate(self, order: Replicate) -> None:
        self._host.carrier.replicate(self._host.places[order.member], order.commit, order.partner)

    def _overtake(self, order: Overtake) -> None:
        self._host.carrier.overtake(order.partner, order.member, order.commit)

    def _allow(self, order: AllowCopies) -> None:
        self._host.carrier.allow(order.partner, order.member, order.epoch, order.bytes_most)

    def _drop(self, order: DropCopies) -> None:
        berth = self._host.carrier.drop(order.partner, order.member)
        if berth is not None:
            for checker in self._world.checkers:
                checker.after_drop(self._host, self._world.hosts[order.partner], berth)

    def _adopt(self, order: AdoptCopies) -> None:
        """What was held is this host's own: nothing, where the carrier has died meanwhile."""
        host = self._host
        berth = host.carrier.drop(order.partner, order.member)
        place = host.place(self._world.hosts[order.partner].places[order.member].work)
        place.shelf += [] if berth is None else [slot for slot in berth.slots if slot.commit is not None]
        place.can_start = (order.partner, order.member) in host.bundles

    def _mend(self, order: MendCopy) -> None:
        delay = self._host.random.randint(1, 60) * _MS
        self._host.keeper_after(delay, self._mended, self._host.places[order.member], order)

    def _mended(self, place: Place, order: MendCopy) -> None:
        """Each chunk from the first copy in which it is what was sealed."""
        wanted = place.work.token(order.commit)
        stores = [(self._name(copy), self._reach(place, order, copy)) for copy in order.copies]
        sources = [
            next((name for name, store in stores if store is not None and store.chunks[index] == wanted), "")
            for index in range(CHUNKS)
        ]
        whole = all(sources)
        patches = tuple(Patch(sources.count(name), name) for name in dict.fromkeys(sources) if name)
        if whole:
            self._place_mended(place, order)
        text = ", ".join(f"{patch.chunks} of {CHUNKS} chunks came from {patch.source}" for patch in patches)
        self._host.give(CopyMended(place.name, order.commit, whole, patches, text))

    def _name(self, copy: Copy) -> str:
        return {Level.SEALED: "own memory", Level.HELD: "the partner", Level.DEPOSITED: "the vault"}[copy.level]

    def _reach(self, place: Place, order: MendCopy, copy: Copy) -> Store | None:
        if copy.level is not Level.HELD:
            return place.find(copy)
        other = None if order.partner is None else self._world.hosts[order.partner]
        if other is None or not self._world.network.reaches(self._host, other):
            return None
        berth = other.carrier.berths.get((self._host.me, place.name))
        held = () if berth is None else berth.slots
        return next((slot for slot in held if slot.commit == copy.commit), None)

    def _place_mended(self, place: Place, order: MendCopy) -> None:
        slot = next((slot for slot in place.shelf if slot.commit == order.commit), None)
        if slot is None:
            slot = Slot(place.work, order.commit.epoch, len(place.shelf))
            slot.commit = order.commit
            place.shelf.append(slot)
        slot.chunks = place.work.chunks(order.commit)
        slot.flipped_at = None

    # What a takeover needs

    def _make_bundle(self, order: MakeBundle) -> None:
        made = BundleMade(order.member, f"what {order.member} needs", "")
        self._host.keeper_after(20 * _MS, self._host.give, made)

    def _send_bundle(self, order: SendBundle) -> None:
        delay = self._host.random.randint(1, 60) * _MS
        self._host.keeper_after(delay, self._bring_bundle, order)

    def _bring_bundle(self, order: SendBundle) -> None:
        host, other = self._host, self._world.hosts[order.partner]
        record = host.journal.members.get(order.member)
        if record is None or not self._world.network.reaches(host, other) or host.me not in other.partners:
            host.give(BundleFailed(order.member, order.partner, "the connection was cut"))
            return
        other.take_bundle(host.me, order.member, record.bundle)
        sent = BundleSent(order.member, order.partner, record.bundle, ())
        host.keeper_after(self._world.network.delay(), host.give, sent)

    def _forget_held(self, order: ForgetHeld) -> None:
        self._host.journal.helds.pop((order.partner, order.member), None)
