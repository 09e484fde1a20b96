"""What must hold of a whole world: it stays calm while faults strike, and heals when they stop."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Final

from goldthread.names import CommitId, Epoch, Instant, KeeperId, MemberName, seconds
from goldthread.report import AlarmLevel, Ending, EndingKind, Guard, HolderState, OwnerState, Phase
from goldthread.rules import orders
from goldthread.rules.bond_orders import AdoptCopies, BondRecord, HeldRecord, SwapLease
from goldthread.rules.member import MemberView
from goldthread.sim.checker import Checker
from goldthread.sim.things import Program, Work, misspelt
from goldthread.terms import Consent

if TYPE_CHECKING:
    from goldthread.sim.host import Host
    from goldthread.sim.place import Place

__all__ = ["BoundedPrice", "Calm", "Heals"]

_KILL: Final = 9
_STOP: Final = 19
_TOLD: Final = (EndingKind.NOT_STARTED, EndingKind.UNVOUCHED, EndingKind.HANDED_OVER)
_SETTLED: Final = seconds(5)
"""What was well for so long gives nobody a reason."""
_NEWS_MOST: Final = 300
_NEWS_SPAN: Final = seconds(10)
_ROOMY: Final = 1 << 30
_LONG_SILENCE: Final = seconds(30)
"""What was silent for as long before is not judged within the quiet at the end."""


def _epochs_elsewhere(place: Place) -> list[Epoch]:
    """The lives that other keepers have begun of a member, and the one that the lease gives to another keeper."""
    world = place.host.world
    records = (other.host.journal.members.get(place.name) for other in world.places(place.work) if other is not place)
    begun = [record.epoch for record in records if record is not None and record.phase is not Phase.AWAY]
    lease = world.registers.lease_of(place.name)
    return begun if lease is None or lease.owner in (None, place.host.me) else [*begun, lease.epoch]


def _are_tied(host: Host, other: Host) -> bool:
    """Whether a bond stands between the two, and both know it."""
    bonds = (host.journal.bonds.get(other.me), other.journal.bonds.get(host.me))
    is_standing = all(bond is not None and not bond.ending and not bond.ended for bond in bonds)
    return is_standing and host.me in other.partners and other.me in host.partners


class Calm(Checker):
    """No healthy program is ended, and no member taken over, without a cause outside the rules; nobody chatters, and
    what can only end is not started again and again."""

    def __init__(self) -> None:
        self._misspelt: dict[tuple[Host, MemberName], set[Epoch]] = {}
        """The lives in a row, since its user ran it, that ended of how the program is written."""
        self._claims: set[tuple[Host, KeeperId, MemberName]] = set()
        """Who claimed a lease with a cause, from whom, and has not heard yet how that went."""
        self._told: dict[tuple[Host, KeeperId], deque[Instant]] = {}
        """When something new was said lately, by whom and to whom."""

    def before_order(self, host: Host, order: Any) -> None:
        if isinstance(order, orders.Persist):
            self._look_at_record(host, order.record)
        if isinstance(order, orders.StartProgram) and len(self._misspelt.get((host, order.member), ())) > 1:
            raise self.broken(f"{order.member} is started again, and it can only end: {misspelt().text}")
        if isinstance(order, orders.SignalProgram) and order.signal == _KILL:
            self._look_at_kill(host, order)
        elif isinstance(order, SwapLease):
            self._note_claim(host, order.member)
        elif isinstance(order, AdoptCopies):
            self._look_at_takeover(host, order)

    def _look_at_record(self, host: Host, record: Any) -> None:
        if isinstance(record, BondRecord):
            self._look_at_news(host, record)
        elif isinstance(record, HeldRecord) and record.state is not HolderState.CLAIMING:
            self._claims.discard((host, record.partner, record.member))
        elif isinstance(record, orders.MemberRecord) and not record.deaths:
            self._misspelt.pop((host, record.name), None)
        elif isinstance(record, orders.LifeRecord) and record.ending == misspelt():
            self._misspelt.setdefault((host, record.member), set()).add(record.epoch)
        elif isinstance(record, orders.LifeRecord) and record.ending is not None:
            self._misspelt.pop((host, record.member), None)

    def _look_at_news(self, host: Host, record: BondRecord) -> None:
        told = self._told.setdefault((host, record.partner), deque(maxlen=_NEWS_MOST))
        told.append(self.world.now)
        if len(told) == _NEWS_MOST and told[-1] - told[0] < _NEWS_SPAN:
            raise self.broken(f"{host.name} says something new to {record.name} again and again")

    def _look_at_kill(self, host: Host, order: orders.SignalProgram) -> None:
        place = host.places[order.member]
        record = host.journal.members.get(order.member)
        if record is None or place.work.asked_stop or record.told in _TOLD:
            return
        for program in place.programs:
            if (program.started or program.epoch) != order.epoch or program.hung:
                continue
            # A person who is wrong makes two lives of one number, and one of them makes way.
            newer = order.epoch if place.work.decided else order.epoch + 1
            if not any(epoch >= newer for epoch in _epochs_elsewhere(place)):
                raise self.broken(f"life {order.epoch} of {place.name} is killed, and it is well: {record.reason}")

    def _note_claim(self, host: Host, member: MemberName) -> None:
        for (partner, name), record in host.journal.helds.items():
            if name == member and record.state is HolderState.CLAIMING and self._has_cause(host, partner, record):
                self._claims.add((host, partner, member))

    def _look_at_takeover(self, host: Host, order: AdoptCopies) -> None:
        """There is a cause, or there was one when the lease was claimed: that it is won may be heard much later."""
        claim = (host, order.partner, order.member)
        record = host.journal.helds.get((order.partner, order.member))
        if record is not None and claim not in self._claims and not self._has_cause(host, order.partner, record):
            name = self.world.hosts[order.partner].name
            raise self.broken(f"{host.name} takes {order.member} over, and {name} is well: {record.reason}")
        self._claims.discard(claim)

    def _has_cause(self, host: Host, partner: KeeperId, record: HeldRecord) -> bool:
        """The owner's host or what lies between was in trouble, or the owner or a person wants it."""
        world, owner = self.world, self.world.hosts[partner]
        owned = owner.journal.members.get(record.member)
        if record.given_up or record.wanted or (owned is not None and owned.given_up):
            return True
        if owner.places[record.member].work.decided:
            return True  # A person said there that nobody else runs it: nothing vouches for it since.
        hears = world.network.is_well(host, owner, _SETTLED)
        is_leased = record.guard is Guard.LEASE and world.registers.is_well(owner, _SETTLED)
        return not (host.is_well(_SETTLED) and owner.is_well(_SETTLED) and (hears or is_leased))


class BoundedPrice(Checker):
    """A partner's death stops no program that is vouched for, and is followed by a new bond where one can be had."""

    def before_order(self, host: Host, order: Any) -> None:
        if not isinstance(order, orders.SignalProgram) or order.signal != _STOP:
            return
        place, record = host.places[order.member], host.journal.members[order.member]
        until = place.vouched.get(record.epoch, Instant(0) if record.claimants else None)
        if until is None or host.now < until:
            raise self.broken(f"{place.name} is stopped, and it is vouched for")
        is_leased = record.guard is Guard.LEASE and self.world.registers.is_well(host, _SETTLED)
        if is_leased and host.is_well(_SETTLED):
            raise self.broken(f"{place.name} is stopped, and its lease could be renewed all the time")

    def at_end(self) -> None:
        for host in self.world.hosts.values():
            self._look_at_circle(host)
            for place in host.places.values():
                view = None if host.machine is None else host.machine.view(place.name)
                if view is None or view.phase is not Phase.RUNNING or view.sealed is None:
                    continue
                if view.sealed.commit.epoch < host.journal.members[place.name].floor:
                    continue  # It began anew, and has made nothing yet that is worth a copy.
                if self._is_settled(place) and self._is_holder_to_be_had(place):
                    self._look_at_copy(place, view.sealed.commit)

    def _look_at_circle(self, host: Host) -> None:
        """Who lost its partners, or never had one, is bonded with another of its circle: one that it does not know, and
        with which no person ended a bond."""
        others = [other for other in self.world.hosts.values() if other is not host and other.is_up]
        if not (host.is_in_circle and host.is_up) or any(_are_tied(host, other) for other in others):
            return
        for other in others:
            bond = other.journal.bonds.get(host.me)
            is_open = bond is None or not (bond.ending or bond.ended)
            if other.is_in_circle and other.me not in host.partners and is_open:
                raise self.broken(f"{host.name} has no partner that lives, and {other.name} is of its circle")

    def _is_settled(self, place: Place) -> bool:
        """Whether its life has been there for a while."""
        host = place.host
        life = host.journal.lives.get((place.name, host.journal.members[place.name].epoch))
        return life is not None and all(host.now - moment > _SETTLED for _, moment in life.moments)

    def _is_holder_to_be_had(self, place: Place) -> bool:
        """Whether some partner could hold it: up, with room, and knowing no other member of this name."""
        world, host = self.world, place.host
        for partner in host.partners:
            other = world.hosts[partner]
            if not other.is_up or not _are_tied(host, other):
                continue
            has_room = other.journal.bonds[host.me].mine.memory >= _ROOMY
            others = {berth.work for berth in other.carrier.berths.values()} | {
                here.work for here in other.places.values()
            }
            is_named = any(work is not None and work.name == place.name and work is not place.work for work in others)
            if has_room and not is_named:
                return True
        return False

    def _look_at_copy(self, place: Place, sealed: CommitId) -> None:
        record = place.host.journal.members[place.name]
        held = [
            berth.newest
            for host in self.world.hosts.values()
            for berth in host.carrier.berths.values()
            if berth.work is place.work and berth.newest is not None
        ]
        if record.owner_state is not OwnerState.BONDED or not any(commit.epoch == sealed.epoch for commit in held):
            state = record.owner_state.value
            raise self.broken(f"{place.name} runs on {place.host.name}, and is {state}: elsewhere is {held}")


class Heals(Checker):
    """Within a bounded time after faults stop, every member runs, or rests for a reason that is true."""

    def __init__(self) -> None:
        self._deaths: dict[Work, int] = {}
        self._died: dict[Work, Instant] = {}
        """When a life of it died last."""
        self._lost: set[MemberName] = set()

    def after_death(self, place: Place, program: Program, ending: Ending) -> None:
        self._deaths[place.work] = self._deaths.get(place.work, 0) + 1
        self._died[place.work] = self.world.now

    def before_order(self, host: Host, order: Any) -> None:
        if isinstance(order, orders.Refuse) and order.error == "NothingToRestore":
            self._lost |= set(host.places)
        is_critical = isinstance(order, orders.Alarm) and order.level is AlarmLevel.CRITICAL
        if is_critical and order.member in host.places:
            self._deaths.setdefault(host.places[order.member].work, 0)

    def at_end(self) -> None:
        owners: dict[Work, list[Place]] = {}
        for host in self.world.hosts.values():
            if host.is_up and host.machine is None:
                raise self.broken("there is no keeper")
            self._look_at_bonds(host)
            self._look_at_bundles(host)
            for place in host.places.values():
                record = host.journal.members.get(place.name)
                if record is not None and record.phase is not Phase.ABSENT:
                    owners.setdefault(place.work, [])
                view = None if host.machine is None else host.machine.view(place.name)
                if view is not None and view.phase is not Phase.AWAY:
                    owners.setdefault(place.work, []).append(place)
                    self._check(place, view)
        for work, places in owners.items():
            if len(places) > 1 and not work.decided:
                raise self.broken(f"{work.name} has several owners: {', '.join(place.host.name for place in places)}")
            if not places or places[0].host.journal.members[work.name].given_up:
                self._look_for_taker(work)
            if not places and all(host.is_up for host in self.world.hosts.values()):
                raise self.broken(f"nobody owns {work.name}")

    def _look_at_bonds(self, host: Host) -> None:
        """What a person ended is over."""
        for bond in host.journal.bonds.values():
            if bond.ending and host.is_up and self.world.hosts[bond.partner].is_up:
                raise self.broken(f"the bond of {host.name} with {bond.name} was ended, and is not over")

    def _look_at_bundles(self, host: Host) -> None:
        """Whoever holds a member that runs has what is needed to run it."""
        for (partner, name), held in host.journal.helds.items():
            owner = self.world.hosts[partner]
            owned = owner.journal.members.get(name)
            is_held = owned is not None and owned.holder == host.me and owned.owner_state is OwnerState.BONDED
            if owned is None or not (is_held and host.is_up and owner.is_up and owned.phase is Phase.RUNNING):
                continue
            if held.bundle != owned.bundle and self.world.network.is_well(host, owner, _SETTLED):
                raise self.broken(f"{host.name} holds {name} of {owner.name}, and not what is needed to run it")

    def _look_for_taker(self, work: Work) -> None:
        """Nobody runs it, or its owner gave it up: whoever could take it over should have."""
        for host in self.world.hosts.values():
            for (partner, name), record in host.journal.helds.items():
                berth, bond = host.carrier.berths.get((partner, name)), host.journal.bonds.get(partner)
                is_ready = record.commit is not None and record.bundle and record.phase is not Phase.ENDED
                is_free = record.guard is Guard.LEASE or record.given_up
                is_willing = bond is not None and bond.mine.takeover is Consent.YES
                if host.is_up and berth is not None and berth.work is work and is_ready and is_free and is_willing:
                    raise self.broken(f"nobody runs {work.name}, and {host.name} could: {record.reason}")

    def _check(self, place: Place, view: MemberView) -> None:
        unjudged = self.world.policy.hang_beats
        explained = _LONG_SILENCE / self.world.policy.hang_factor
        is_there = any(
            not program.hung or program.beats < unjudged or program.gap > explained for program in place.programs
        )
        phase, reason = view.phase, view.reason
        if phase in (Phase.RUNNING, Phase.STARTING):
            if not is_there:
                raise self.broken(f"{place.name} is {phase.value}, and no program of it lives: {reason}")
        elif phase is Phase.LIMBO:
            spent = self._deaths.get(place.work, 0) + place.host.keeper_deaths > place.work.budget.restarts
            is_hopeless = place.work.is_miswritten or not place.can_start or "could not be started" in reason
            if not (spent or place.name in self._lost or is_hopeless):
                raise self.broken(f"{place.name} is in limbo, and its budget is not spent: {reason}")
        elif phase is Phase.DOWN:
            if view.supervised:
                raise self.broken(f"{place.name} is down, and nobody starts it again: {reason}")
        elif phase is Phase.STUCK and not view.supervised:
            if not any(program.hung for program in place.programs):
                raise self.broken(f"{place.name} is stuck, and its program is well: {reason}")
        elif phase is not Phase.ENDED and not (phase is Phase.WAITING and self._is_on_its_way_to_limbo(place)):
            raise self.broken(f"{place.name} is still {phase.value}: {reason}")

    def _is_on_its_way_to_limbo(self, place: Place) -> bool:
        """Whether its state is bad, and it has just died of that: a budget is spent here, and then one at its holder,
        so that limbo may come after the time to heal. One that was not started when its delay was over is not."""
        died, delay = self._died.get(place.work), self.world.policy.restart_delay_most + self.world.policy.tick
        return place.work.poison is not None and died is not None and self.world.now - died <= delay
