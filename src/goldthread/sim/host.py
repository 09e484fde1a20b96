"""One host: its clock, its disk, its keeper, and everything that lives and dies around it.

The machine is the real one: it is given events as the keeper's ears would give them, and its orders go to `hands.py`.
A keeper that dies loses everything but the journal; programs, shims and carrier come back to the next one. A host that
goes down keeps its disk: the journal, the vault and the keys of its partners.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from goldthread.names import Instant, KeeperId, MemberName, Span, milliseconds
from goldthread.rules import events
from goldthread.rules.bond_events import BondTied, BundleLanded
from goldthread.rules.bond_orders import BondRecord, HeldRecord, forgotten_bond
from goldthread.rules.orders import LifeRecord, MemberRecord
from goldthread.sim.carrier import Carrier
from goldthread.sim.checker import Broken
from goldthread.sim.clock import Clock
from goldthread.sim.hands import Hands
from goldthread.sim.labour import Labour
from goldthread.sim.links import Links
from goldthread.sim.place import Place
from goldthread.sim.seeker import Seeker
from goldthread.sim.things import COMMIT_BYTES, Program, Shim, Slot, Work
from goldthread.terms import Terms

if TYPE_CHECKING:
    from goldthread.rules.machine import Machine
    from goldthread.sim.world import World

__all__ = ["Host", "Journal"]

_MS: Final = milliseconds(1)
_TICKS_MOST: Final = 100
_LIVES_KEPT: Final = 5
_BOOT: Final = Instant(1_000 * _MS)
"""What a clock shows when a keeper starts after its host."""


class Journal:
    """What every keeper of a host knows from the first on."""

    def __init__(self) -> None:
        self.members: dict[MemberName, MemberRecord] = {}
        self.lives: dict[tuple[MemberName, int], LifeRecord] = {}
        self.bonds: dict[KeeperId, BondRecord] = {}
        self.helds: dict[tuple[KeeperId, MemberName], HeldRecord] = {}

    def write(self, record: MemberRecord | LifeRecord | BondRecord | HeldRecord) -> None:
        if isinstance(record, MemberRecord):
            self.members[record.name] = record
        elif isinstance(record, LifeRecord):
            self.lives[record.member, record.epoch] = record
            self.lives.pop((record.member, record.epoch - _LIVES_KEPT), None)
        elif isinstance(record, BondRecord):
            self.bonds[record.partner] = record
        else:
            self.helds[record.partner, record.member] = record

    def forget(self, member: MemberName, kept: MemberRecord | None) -> None:
        self.members.pop(member, None)
        if kept is not None:
            self.members[member] = kept
        for key in [key for key in self.lives if key[0] == member]:
            del self.lives[key]


class Host:
    def __init__(
        self, world: World, number: int, clock: Clock, lease_store: str = "", label: str = "", in_circle: bool = False
    ) -> None:
        self.world = world
        self.random = world.random
        self.policy = world.policy
        self.number = number
        self.me = KeeperId(f"{number:032x}")
        self.clock = clock
        self.lease_store = lease_store
        self.label = label
        self.is_in_circle = in_circle
        self.places: dict[MemberName, Place] = {}
        self.journal = Journal()
        self.partners: set[KeeperId] = set()
        """Whose keys are on the disk."""
        self.bundles: dict[tuple[KeeperId, MemberName], str] = {}
        """What is needed to run a partner's member, on the disk."""
        self.is_up = True
        self.is_lost = False
        """It is down for good."""
        self.trouble_over = Instant(0)
        """When its keeper was last missing, paused or asleep."""
        self.awake_at = Instant(0)
        """The host stands still until then."""
        self.is_paused = False
        """Its keeper is; programs go on."""
        self.keeper_deaths = 0
        self.keeper_since = world.now
        """When the keeper of now started."""
        self.orders_left: int | None = None
        """The keeper dies after so many orders more."""
        self.generation = 0
        """Counts keepers."""
        self.backlog: list[tuple[Any, ...]] = []
        """What waits until the keeper is no longer paused: calls, and what they are called with."""
        self._tick_at: Instant | None = None
        self._ticked_at: Instant | None = None
        self._ticks_now = 0
        self.hands = Hands(self)
        self.labour = Labour(self)
        self.carrier = Carrier(self)
        self.links = Links(self)
        self.seeker = Seeker(self)
        self.machine: Machine | None = world.make_machine(
            self.policy, self.me, name=self.name, label=label, lease_store=lease_store, is_in_circle=in_circle
        )
        self._await_tick(self.machine)

    @property
    def name(self) -> str:
        return f"host {self.number}"

    @property
    def now(self) -> Instant:
        """What its clock shows."""
        return self.clock.shows(self.world.now)

    @property
    def is_keeper_up(self) -> bool:
        return self.machine is not None

    @property
    def answers(self) -> bool:
        """Whether its keeper could answer now."""
        return self.machine is not None and not self.is_paused and self.awake_at <= self.world.now

    def is_well(self, span: Span) -> bool:
        """Whether its keeper has been there and awake for so long."""
        return self.answers and self.world.now - self.trouble_over > span

    def place(self, work: Work) -> Place:
        """Where this member is, or is to be, on this host."""
        place = self.places.get(work.name)
        if place is None:
            place = self.places[work.name] = Place(self, work)
            self.world.add_place(place)
        return place

    def tell(self, text: str) -> None:
        """A thing of this host, for the story."""
        self.world.tell(text, self)

    # What comes from users and partners

    def run(self, place: Place, fresh: bool = False) -> None:
        """A user runs the member here."""
        self.give(events.RunAsked(self.world.ticket(), place.name, place.work.budget, fresh))

    def tie(self, other: Host, mine: Terms, theirs: Terms) -> None:
        """An invitation of the other was accepted; where both know each other already, on the links that stand."""
        is_known = other.me in self.partners
        self.partners.add(other.me)
        self.give(BondTied(other.me, other.name, mine, theirs))
        if not is_known:
            self.links.begin()

    def take_bundle(self, partner: KeeperId, member: MemberName, digest: str) -> None:
        self.bundles[partner, member] = digest
        self.keeper_after(0, self.give, BundleLanded(partner, member, digest))

    # Time

    def after(self, span: float, call: Callable[..., None], *arguments: Any) -> None:
        """Call then, or as much later as the host stands still meanwhile."""
        moment = self.world.now + int(span)
        self.world.schedule(moment if moment > self.awake_at else self.awake_at, self, call, arguments)

    def keeper_after(self, span: float, call: Callable[..., None], *arguments: Any) -> None:
        """Call, if the keeper of now still lives then."""
        self.after(span, self._if_same_keeper, self.generation, call, arguments)

    def _if_same_keeper(self, generation: int, call: Callable[..., None], arguments: tuple[Any, ...]) -> None:
        if generation == self.generation:
            call(*arguments)

    def stand_still(self, span: Span) -> None:
        """The whole host stands still for a while, and its clock does not."""
        self.awake_at = self.trouble_over = Instant(max(self.awake_at, self.world.now) + span)
        self.world.postpone(self, span)

    # The machine

    def give(self, event: Any) -> None:
        """Give the machine an event, when the host does not stand still, and carry out what it orders."""
        if self.awake_at > self.world.now:
            self.keeper_after(0, self.give, event)
            return
        if self.is_paused:
            self.backlog.append((self.give, event))
            return
        machine = self.machine
        if machine is None:
            return
        world = self.world
        world.handled += 1
        teller = world.teller
        if teller is not None:
            teller(self, "event", event)
        orders = machine.handle(event, self.clock.shows(world.now))
        if orders:
            world.note(orders)
            for order in orders:
                if self.orders_left is not None:
                    self.orders_left -= 1
                    if self.orders_left < 0:
                        self.kill_keeper("between two orders")
                        return
                if teller is not None:
                    teller(self, "order", order)
                self.hands.do(order)
                if self.machine is not machine:
                    return
        self._await_tick(machine)

    def _await_tick(self, machine: Machine) -> None:
        """See to it that the machine is ticked when it wants to be."""
        now = self.world.now
        if self._tick_at == now:
            return
        due = machine.deadline()
        if due is None:
            self._tick_at = None
            return
        moment = max(self.clock.moment(due), now)
        if moment != self._tick_at:
            self._tick_at = moment
            self.world.schedule_first(moment, self, self._tick_if_due, (moment,))

    def _tick_if_due(self, moment: Instant) -> None:
        if self._tick_at != moment or self.is_paused:
            return
        now = self.world.now
        self._ticks_now = self._ticks_now + 1 if self._ticked_at == now else 0
        if self._ticks_now > _TICKS_MOST:
            raise Broken("Heals: the machine wants ticks without end")
        self._tick_at = self._ticked_at = now
        for place in list(self.places.values()):
            self.read_pulses(place)
        self._tick_at = None
        self.give(events.Ticked())

    def read_pulses(self, place: Place) -> None:
        for program in place.programs:
            if program.epoch is None or program.left or not program.is_met:
                continue
            if program.beats != program.read_beats:
                program.read_beats = program.beats
                beat = events.ProgramBeat(
                    place.name, program.epoch, program.beats, program.gap, program.step, program.first_beat_at,
                    program.unsealed,
                )  # fmt: skip
                self.give(beat)
            newest = program.newest
            if newest is not program.told and newest is not None:
                program.told = newest
                self.give(events.CommitSealed(place.name, newest, COMMIT_BYTES))

    # The keeper

    def pause_keeper(self, span: Span) -> None:
        if not self.is_paused and self.machine is not None:
            self.tell(f"the keeper is paused for {span / 1e9:.1f} s")
            self.is_paused = True
            self.keeper_after(span, self._resume_keeper)

    def _resume_keeper(self) -> None:
        self.is_paused = False
        self.trouble_over = self.world.now
        for place in list(self.places.values()):
            self.read_pulses(place)
        backlog, self.backlog = self.backlog, []
        for call, *arguments in backlog:
            call(*arguments)
        if self.machine is not None:
            self._tick_at = None
            self._await_tick(self.machine)

    def kill_keeper(self, how: str) -> None:
        """The keeper dies at once, and all that only it held is gone. Another starts soon."""
        self._lose_keeper(how)
        self.after(self.random.randint(5, 800) * _MS, self.start_keeper)

    def _lose_keeper(self, how: str) -> None:
        self.tell(f"the keeper dies {how}")
        self.machine = None
        self.keeper_deaths += 1
        self.orders_left = None
        self.is_paused = False
        self.backlog = []
        self._tick_at = None
        self.generation += 1
        self.hands.waits = {}
        for place in self.places.values():
            for slot in place.slots():
                slot.pins = 0
            place.shelf = []

    def start_keeper(self, rebooted: bool = False) -> None:
        if self.machine is not None or not self.is_up:
            return
        self.tell("a new keeper starts")
        world = self.world
        self.keeper_since = self.trouble_over = world.now
        journal = self.journal
        self.machine = world.make_machine.recover(
            self.policy, self.me, tuple(journal.members.values()), tuple(journal.lives.values()),
            tuple(journal.bonds.values()), tuple(journal.helds.values()), self._pinned(), rebooted=rebooted,
            now=self.now, name=self.name, label=self.label, lease_store=self.lease_store,
            is_in_circle=self.is_in_circle,
        )  # fmt: skip
        self._await_tick(self.machine)
        for place in list(self.places.values()):
            if place.name not in journal.members and place.vault:
                self.give(events.CopiesListed(place.name, tuple(place.copies())))
            grace = self.policy.return_grace
            if place.shim is not None:
                self.keeper_after(self.random.uniform(0.01, 0.5) * grace, self._return_shim, place, place.shim)
            for program in place.programs:
                program.is_met = False
                self.keeper_after(self.random.uniform(0.01, 0.5) * grace, self._return_program, place, program)
        self.carrier.return_to_keeper()
        self.links.begin()

    def _pinned(self) -> tuple[BondRecord, ...]:
        """What the keys of partners tell of bonds."""
        names = {partner: self.world.hosts[partner].name for partner in sorted(self.partners)}
        return tuple(forgotten_bond(partner, name, self.world.now) for partner, name in names.items())

    def _return_shim(self, place: Place, shim: Shim) -> None:
        if self.is_paused:  # It takes the pulse and hears of the life in one, when it goes on.
            self.backlog.append((self._return_shim, place, shim))
            return
        if place.shim is not shim:
            return
        self._hand_over(place, shim.slots)
        if shim.program is not None:
            self.meet(shim.program)
            self.give(events.LifeFound(place.name, shim.program.epoch or shim.started, shim.program.pid))
        elif shim.ended is not None:
            self.give(events.LifeEnded(place.name, shim.started, shim.ended))

    def _return_program(self, place: Place, program: Program) -> None:
        if self.is_paused:
            self.backlog.append((self._return_program, place, program))
            return
        if not program.alive:
            return
        self._hand_over(place, program.slots)
        self.meet(program)
        if program.epoch is not None and not program.left:
            self.give(events.LifeFound(place.name, program.epoch, program.pid))
        elif program.ticket is not None:
            self.labour.ask_to_join(place, program)

    def meet(self, program: Program) -> None:
        """The keeper has its pulse now, and reads it from the start."""
        if not program.is_met:
            program.is_met = True
            program.told = None
            program.read_beats = 0

    def _hand_over(self, place: Place, slots: list[Slot]) -> None:
        is_known = self.machine is not None and self.machine.view(place.name) is not None
        place.shelf += [slot for slot in slots if slot not in place.shelf]
        if place.shelf and not is_known:
            self.give(events.CopiesListed(place.name, tuple(place.copies())))

    # The host

    def go_down(self) -> None:
        """The host loses its memory; the disk stays."""
        self.is_up = False
        for place in self.places.values():
            place.lose_memory()
        self._lose_keeper("with its host")
        self.carrier.lose_memory()

    def come_up(self) -> None:
        if not self.is_up:
            self.is_up = True
            self.tell("the host starts again")
            self.clock.restart(self.world.now, _BOOT)
            self.start_keeper(rebooted=True)

    def reboot(self) -> None:
        self.go_down()
        self.come_up()
