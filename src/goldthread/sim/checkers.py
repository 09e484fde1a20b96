"""What must hold of states, whatever happens: one class for each promise of the design about commits and lives.

What must hold of whole worlds (calm, healing, the price) stands in `healing.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Final

from goldthread.names import CommitId, Epoch, KeeperId, MemberName, seconds
from goldthread.report import HolderState, Phase
from goldthread.rules import orders
from goldthread.rules.bond_orders import AdoptCopies, HeldRecord, SwapLease
from goldthread.sim.checker import Checker
from goldthread.sim.things import File, Program, Slot, Store, Work, newest_whole

if TYPE_CHECKING:
    from goldthread.sim.carrier import Berth
    from goldthread.sim.host import Host
    from goldthread.sim.place import Place

__all__ = ["Kept", "NeverBack", "OneFault", "OneWriter", "Whole"]

_NOTHING: Final = (Epoch(0), None)
_SETTLED: Final = seconds(3)
"""What was well for so long could be asked."""

Line = tuple[Epoch, CommitId | None]
"""The present life and what it was restored from: newer commits of older lives were given up."""


def of_line(stores: Iterable[Store], line: Line) -> CommitId | None:
    """The newest whole commit among these that was not given up."""
    epoch, restored = line
    return newest_whole(
        store
        for store in stores
        if store.commit is not None
        and (store.commit.epoch >= epoch or (restored is not None and store.commit <= restored))
    )


class Whole(Checker):
    """A restore gives exactly one sealed commit, or says that there is none."""

    def __init__(self) -> None:
        self._sealed: set[int] = set()

    def after_seal(self, place: Place, program: Program, commit: CommitId) -> None:
        self._sealed.add(place.work.token(commit))

    def on_restore(self, place: Place, program: Program, admit: orders.Admit, store: Store | None) -> None:
        if admit.copy is None:
            return
        if store is None:
            raise self.broken(f"{place.name} is to restore {admit.copy.commit}, which is not there")
        if store.chunks != place.work.chunks(admit.copy.commit):
            raise self.broken(f"{place.name} restores {store.chunks}, which is not {admit.copy.commit}")
        if store.chunks[0] not in self._sealed:
            raise self.broken(f"{place.name} restores {admit.copy.commit}, which was never sealed")


class Kept(Checker):
    """The newest whole commit is never overwritten, freed or trimmed before a newer one is whole."""

    def __init__(self) -> None:
        self._lines: dict[Work, Line] = {}

    def on_restore(self, place: Place, program: Program, admit: orders.Admit, store: Store | None) -> None:
        self._lines[place.work] = (admit.epoch, None if admit.copy is None else admit.copy.commit)

    def after_loss(self, place: Place) -> None:
        self._lines.pop(place.work, None)

    def before_write(self, place: Place, program: Program, slot: Slot) -> None:
        if slot.is_read:
            raise self.broken(f"{place.name} writes into a slot that is being read")
        lost = slot.commit
        if lost is None:
            return
        for other in program.slots:
            if other.commit is not None and other.commit.sequence > lost.sequence:
                return
        if slot.whole:
            raise self.broken(f"{place.name} overwrites {lost}, and no newer commit is sealed")

    def after_free(self, place: Place, freed: list[Slot]) -> None:
        lost = of_line(freed, self._line(place.work))
        if lost is None:
            return
        left = newest_whole(self._stores(place))
        if left is None or left < lost:
            raise self.broken(f"{lost} of {place.name} was freed, and the newest whole commit is {left}")

    def after_trim(self, place: Place, removed: list[File]) -> None:
        lost = of_line(removed, self._line(place.work))
        left = newest_whole(place.vault.values())
        if lost is not None and (left is None or left < lost):
            raise self.broken(f"{lost} of {place.name} was removed from the vault, which is left with {left}")

    def before_landing(self, host: Host, berth: Berth, slot: Slot) -> None:
        if slot.whole and slot.commit == berth.newest:
            raise self.broken(f"{slot.commit} is the newest that {host.name} holds, and is overwritten")

    def after_drop(self, host: Host, owner: Host, berth: Berth) -> None:
        bond = owner.journal.bonds.get(host.me)
        is_asked = bond is None or bond.ending or bond.ended  # A user ended the bond, and is told what it costs.
        if berth.work is None or is_asked:
            return
        lost = of_line(berth.slots, self._line(berth.work))
        left = newest_whole(self._everywhere(berth.work))
        is_wanted = lost is not None and lost.epoch > berth.work.forgotten
        if lost is not None and is_wanted and (left is None or left < lost):
            raise self.broken(f"{host.name} lets {lost} of {berth.work.name} go, and the newest whole is {left}")

    def _line(self, work: Work) -> Line:
        return self._lines.get(work, _NOTHING)

    def _stores(self, place: Place) -> Iterator[Store]:
        """Where a commit may be that stands for one of this place: elsewhere too, if its newest life is elsewhere."""
        record = place.host.journal.members.get(place.name)
        if record is not None and record.phase is Phase.AWAY:
            yield from self._everywhere(place.work)
        else:
            yield from place.shelf
            yield from place.vault.values()

    def _everywhere(self, work: Work) -> Iterator[Store]:
        for place in self.world.places(work):
            yield from place.slots()
            yield from place.vault.values()
        for host in self.world.hosts.values():
            for berth in host.carrier.berths.values():
                if berth.work is work:
                    yield from berth.slots


class OneWriter(Checker):
    """At most one life of a member makes progress, wherever it is; what an older one made comes in nowhere."""

    def __init__(self) -> None:
        self._newest: dict[Work, Epoch] = {}
        self._taken: dict[tuple[Host, Work], Epoch] = {}
        """The newest life for which a commit was taken in, by holder."""
        self._started: dict[tuple[Host, Work], Epoch] = {}
        """The newest life of which a process was started, by owner."""

    def before_order(self, host: Host, order: Any) -> None:
        if isinstance(order, orders.StartProgram):
            self._started[host, host.places[order.member].work] = order.epoch

    def on_restore(self, place: Place, program: Program, admit: orders.Admit, store: Store | None) -> None:
        for other in place.programs:
            if other is not program and other.epoch is not None and not other.left:
                raise self.broken(f"life {admit.epoch} of {place.name} begins, and life {other.epoch} still lives")
        self._newest[place.work] = max(admit.epoch, self._newest.get(place.work, Epoch(0)))

    def after_loss(self, place: Place) -> None:
        self._newest.pop(place.work, None)
        for epochs in (self._taken, self._started):
            for key in [key for key in epochs if key[1] is place.work]:
                del epochs[key]

    def after_seal(self, place: Place, program: Program, commit: CommitId) -> None:
        newest = self._newest.get(place.work, Epoch(0))
        if commit.epoch < newest and not place.work.decided:
            raise self.broken(f"life {commit.epoch} of {place.name} sealed a commit, and life {newest} exists")

    def after_landing(self, host: Host, owner: Host, slot: Slot, commit: CommitId) -> None:
        """What a newer life begins from may be a commit of any older one."""
        newest = self._taken.get((host, slot.work), Epoch(0))
        life = max(commit.epoch, self._started.get((owner, slot.work), commit.epoch))
        if life < newest:
            raise self.broken(f"{host.name} takes in {commit} of {slot.work.name}, and has had life {newest}")
        self._taken[host, slot.work] = life


class OneFault(Checker):
    """The loss of one host costs at most what was not held; nothing, where it was waited for that it is held."""

    def __init__(self) -> None:
        self._landed: dict[Work, CommitId] = {}
        """The newest commit that was ever whole at a holder."""
        self._waited: dict[Work, CommitId] = {}
        """The newest commit of which somebody was told that it is held."""
        self._owners: dict[Work, Host] = {}
        self._named: set[tuple[Host, MemberName]] = set()
        """Who claimed a lease that named it as the one to do so."""

    def after_loss(self, place: Place) -> None:
        self._landed.pop(place.work, None)
        self._waited.pop(place.work, None)

    def before_order(self, host: Host, order: Any) -> None:
        if isinstance(order, SwapLease):
            lease = self.world.registers.lease_of(order.member)
            if lease is not None and lease.owner != host.me and lease.successor == host.me:
                self._named.add((host, order.member))

    def after_landing(self, host: Host, owner: Host, slot: Slot, commit: CommitId) -> None:
        before = self._landed.get(slot.work)
        if before is None or commit > before:
            self._landed[slot.work] = commit

    def after_wait(self, place: Place, commit: CommitId) -> None:
        landed = self._landed.get(place.work)
        if landed is None or landed < commit:
            raise self.broken(f"a wait until {commit} of {place.name} is held is over, and {landed} is held")
        self._waited[place.work] = max(commit, self._waited.get(place.work, commit))

    def on_restore(self, place: Place, program: Program, admit: orders.Admit, store: Store | None) -> None:
        """What a holder that can be asked has whole is not passed over. Whoever takes a member over without a lease
        store, or is named by the lease, need not ask; but what was waited for has come to it, or nobody was told so.
        Where a person went by word alone, another life may have gone on elsewhere, which this host need not know: then
        only who holds it for this host can be asked."""
        before, self._owners[place.work] = self._owners.get(place.work, place.host), place.host
        chosen = None if admit.copy is None else admit.copy.commit
        floor = place.host.journal.members[place.name].floor
        waited, is_named = self._waited.get(place.work), (place.host, place.name) in self._named
        self._named.discard((place.host, place.name))
        is_waited_for = waited is not None and (chosen is None or chosen < waited)
        need_not_ask = before is not place.host and (is_named or not place.host.lease_store)
        if " since " in admit.reason or (need_not_ask and not is_waited_for):
            return
        told = f", and somebody was told that {waited} is held" if is_waited_for else ""
        for host in self.world.hosts.values():
            if host is place.host or not host.is_well(_SETTLED):
                continue
            if not self.world.network.is_well(place.host, host, _SETTLED):
                continue
            for (owner, _), berth in host.carrier.berths.items():
                is_asked = berth.work is place.work and (owner == place.host.me or not place.work.decided)
                held = newest_whole(berth.slots) if is_asked else None
                if held is not None and held.epoch >= floor and (chosen is None or held > chosen):
                    raise self.broken(f"{place.name} goes on from {chosen}, and {host.name} holds {held}{told}")


class NeverBack(Checker):
    """Epochs and held steps never decrease, and no life silently starts over or from an older commit than it could."""

    def __init__(self) -> None:
        self._epochs: dict[Place, Epoch] = {}
        self._floors: dict[Place, Epoch] = {}
        self._admitted: dict[Work, Epoch] = {}
        self._lines: dict[Work, Line] = {}
        self._held: dict[tuple[Host, KeeperId, MemberName], CommitId] = {}

    def after_loss(self, place: Place) -> None:
        self._epochs.pop(place, None)
        self._floors.pop(place, None)
        self._admitted.pop(place.work, None)
        self._lines.pop(place.work, None)

    def before_order(self, host: Host, order: Any) -> None:
        """What a host adopts it holds no more: it runs it, and what is held there later is of a newer life, which may
        have gone on from any older commit."""
        if isinstance(order, AdoptCopies):
            self._held.pop((host, order.partner, order.member), None)
        if not isinstance(order, orders.Persist):
            return
        record = order.record
        if isinstance(record, orders.MemberRecord):
            if record.name in host.places:  # What is taken over has no place before it is adopted.
                self._look_at(host.places[record.name], record)
        elif isinstance(record, HeldRecord):
            self._look_at_held(host, record)

    def _look_at_held(self, host: Host, record: HeldRecord) -> None:
        """What was lost with all that was held of it, and is said to be, may be followed by an older commit."""
        key = (host, record.partner, record.member)
        berth = host.carrier.berths.get((record.partner, record.member))
        if record.commit is not None:
            if key in self._held and record.commit < self._held[key]:
                raise self.broken(f"{host.name} held {self._held[key]} of {record.member}, and now {record.commit}")
            self._held[key] = record.commit
        elif record.state is not HolderState.INVITED and (berth is None or berth.newest is None):
            self._held.pop(key, None)

    def _look_at(self, place: Place, record: orders.MemberRecord) -> None:
        if record.epoch < self._epochs.get(place, 0):
            raise self.broken(f"the epoch of {record.name} went back to {record.epoch}")
        if record.floor > self._floors.get(place, 0) and not place.work.asked_fresh:
            raise self.broken(f"{record.name} is to start over from life {record.floor}, and nobody asked for it")
        self._epochs[place] = record.epoch
        self._floors[place] = record.floor

    def on_restore(self, place: Place, program: Program, admit: orders.Admit, store: Store | None) -> None:
        work = place.work
        if admit.epoch <= self._admitted.get(work, 0) and not work.decided:
            raise self.broken(f"life {admit.epoch} of {place.name} was admitted a second time")
        best = self._best(place)
        chosen = None if admit.copy is None else admit.copy.commit
        if chosen is not None and chosen.epoch <= work.forgotten and not work.decided:
            raise self.broken(f"{place.name} goes on from {chosen}, which was forgotten")
        if chosen is None and self._known(place) is not None:
            raise self.broken(f"{place.name} starts over silently, and {self._known(place)} had been sealed")
        if best is not None and (chosen is None or chosen < best) and " since " not in admit.reason:
            raise self.broken(f"{place.name} goes on from {chosen} without a word, and {best} is whole")
        self._admitted[work] = admit.epoch
        self._lines[work] = (admit.epoch, chosen)

    def _known(self, place: Place) -> CommitId | None:
        """The newest commit in the journal that counts."""
        record = place.host.journal.members[place.name]
        known = [commit for commit in (record.newest, record.deposited) if commit is not None]
        return max((commit for commit in known if commit.epoch >= record.floor), default=None)

    def _best(self, place: Place) -> CommitId | None:
        floor = self._floors.get(place, 0)
        stores: list[Store] = [*place.shelf, *place.vault.values()]
        usable = (store for store in stores if store.commit is not None and store.commit.epoch >= floor)
        return of_line(usable, self._lines.get(place.work, _NOTHING))
