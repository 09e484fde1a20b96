"""One seed: a world is drawn, faults strike, then there is quiet and a deadline to heal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import Final

import msgspec

from goldthread.names import Instant, MemberName, Span, Step, milliseconds, seconds
from goldthread.policy import Budget, Policy
from goldthread.report import Phase
from goldthread.rules.machine import Machine
from goldthread.sim.bond_faults import BOND_FAULTS, decide_if_lost
from goldthread.sim.checker import Broken, Checker
from goldthread.sim.checkers import Kept, NeverBack, OneFault, OneWriter, Whole
from goldthread.sim.clock import Clock
from goldthread.sim.faults import FAULTS, Fault, forget, lose_journal
from goldthread.sim.healing import BoundedPrice, Calm, Heals
from goldthread.sim.host import Host
from goldthread.sim.place import Place
from goldthread.sim.things import Work
from goldthread.sim.world import Teller, World
from goldthread.terms import Consent, Terms, WithoutLeaseStore

__all__ = ["ALL", "Omitted", "Outcome", "all_checkers", "draw_circle", "draw_keepers", "run_drawn", "run_seed"]

_MS: Final = milliseconds(1)
_FAULTS_SPAN: Final = seconds(40)
_QUIET_SPAN: Final = seconds(40)
_BONDED_SPAN: Final = seconds(30)
"""Where there are bonds, which give more to do, for faults and quiet alike."""
_USER_LOOKS: Final = seconds(3)
_MISWRITTEN_SHARE: Final = 0.02
_KEEPERS: Final = (2,) * 14 + (3,) * 8 + (4, 4, 5, 8, 24)
_CIRCLE_SHARE: Final = 0.25
"""Of the worlds of three keepers and more, where nobody says, those whose keepers are of one circle ..."""
_TIED_SHARE: Final = 0.4
"""... and of the bonds there, those that are tied from the first on."""
_NAMES: Final = ("walk", "tide", "moss", "fern", "dune", "reef")

Faults = Sequence[tuple[Fault, int]]

_BONDED_FAULTS: Final[Faults] = (*((fault, weight) for fault, weight in FAULTS if fault not in (forget, lose_journal)),
                                 *BOND_FAULTS)  # fmt: skip


class Omitted(msgspec.Struct, frozen=True):
    """What a world goes without of all that was drawn for it, by number: so a failing seed becomes a short story."""

    faults: frozenset[int] = frozenset()
    works: frozenset[int] = frozenset()
    bonds: frozenset[int] = frozenset()

    def numbers(self) -> tuple[frozenset[int], frozenset[int], frozenset[int]]:
        return (self.faults, self.works, self.bonds)


ALL: Final = Omitted()
"""Nothing is left out."""


class Outcome(msgspec.Struct, frozen=True):
    """What one seed came to."""

    seed: int
    keepers: int
    circle: bool
    """The keepers are of one circle, and seek partners there."""
    handled: int
    """Calls of `Machine.handle`."""
    digest: str
    """The same for the same seed, on any machine."""
    broken: str
    """The promise that was broken, in words; empty where all were kept."""
    drawn: tuple[int, int, int]
    """How many faults, works and bonds were drawn."""


def all_checkers() -> list[Checker]:
    return [Whole(), Kept(), OneWriter(), OneFault(), BoundedPrice(), NeverBack(), Calm(), Heals()]


def run_drawn(keepers: int, circle: bool, seed: int, teller: Teller | None = None) -> Outcome:
    """Run a seed with so many keepers; 0: as many as the seed draws, which may be of one circle. Here, since other
    processes must find it."""
    circle = circle or (not keepers and draw_circle(seed))
    return run_seed(seed, keepers or draw_keepers(seed), circle=circle, teller=teller)


def draw_keepers(seed: int) -> int:
    """How many keepers the world of this seed has, where nobody says."""
    return Random(f"keepers of {seed}").choice(_KEEPERS)


def draw_circle(seed: int) -> bool:
    """Whether its keepers are of one circle, where nobody says. Apart from all else, so that the other worlds stay as
    they were before there were circles."""
    return draw_keepers(seed) > 2 and Random(f"circle of {seed}").random() < _CIRCLE_SHARE


def run_seed(
    seed: int,
    keepers: int = 1,
    *,
    circle: bool = False,
    checkers: Callable[[], list[Checker]] = all_checkers,
    machine: type[Machine] = Machine,
    faults: Faults | None = None,
    omitted: Omitted = ALL,
    teller: Teller | None = None,
) -> Outcome:
    """Run one seed to its end, or to the first broken promise."""
    random = Random(~seed)
    world = World(seed, _draw_policy(random, keepers), checkers(), machine, teller)
    scenario = _Scenario(world, random, Random(f"texts of {seed}"), keepers, circle, omitted)
    try:
        scenario.run((FAULTS if keepers == 1 else _BONDED_FAULTS) if faults is None else faults)
        broken = ""
    except Broken as finding:
        broken = str(finding)
    except Exception as error:
        broken = f"the rules raised {type(error).__name__}: {error}"
        if teller is not None:
            raise
    return Outcome(seed, keepers, circle, world.handled, world.digest(), broken, tuple(scenario.drawn))  # type: ignore[arg-type]


def _draw_policy(random: Random, keepers: int) -> Policy:
    return Policy(
        tick=milliseconds(random.choice((100, 200, 500 if keepers == 1 else 100))),
        hang_floor=seconds(random.choice((2, 5))),
        hang_beats=random.randint(1, 5),
        stacks_wait=seconds(0.5),
        stop_grace=seconds(random.choice((1, 3))),
        restart_delay=seconds(0.5),
        restart_delay_most=seconds(4),
        return_grace=seconds(2),
        deposit_every=seconds(random.choice((2, 5, 20))),
        deposit_retry=seconds(2),
        vault_keep=random.choice((2, 3)),
        slots_per_member=random.choice((2, 3, 3)),
        partner_grace=seconds(4),
        freeze_most=seconds(6),
    )


class _Scenario:
    """Draws a world and lets it happen. What is omitted is drawn all the same, so that the rest stays as it was."""

    def __init__(
        self, world: World, random: Random, texts: Random, keepers: int, circle: bool, omitted: Omitted
    ) -> None:
        self._world = world
        self._random = random
        self._texts = texts
        """Draws how programs are written, apart from all else: the worlds of well-written ones stay as they were."""
        self._keepers = keepers
        self._circle = circle
        self._omitted = omitted
        self._willing = Random(f"emergencies of {world.seed}")
        """Of its own, so that worlds stay as they were before terms spoke of emergencies."""
        self._works: list[Work] = []
        self.drawn = [0, 0, 0]

    def run(self, faults: Faults) -> None:
        world = self._world
        hosts = self._draw_hosts()
        faults_span, quiet_span = (_FAULTS_SPAN, _QUIET_SPAN) if len(hosts) == 1 else (_BONDED_SPAN, _BONDED_SPAN)
        if len(hosts) > 1:
            self._draw_bonds(hosts)
        self._draw_works(hosts)
        start = world.now
        self._draw_faults(faults, hosts, faults_span)
        world.run(Instant(start + faults_span))
        world.quiet = True
        world.tell("faults stop")
        for host in hosts:
            if not host.is_lost:
                host.come_up()
        world.run(Instant(world.now + quiet_span))
        world.run(Instant(max(world.now, *(host.keeper_since + quiet_span for host in hosts))))
        for checker in world.checkers:
            checker.at_end()

    # Hosts and bonds

    def _draw_hosts(self) -> list[Host]:
        world, random = self._world, self._random
        if self._keepers == 1:
            return [world.add_host(Clock())]
        store = "store" if random.random() < 0.7 else ""
        policy = world.policy
        most = 1_000_000 * policy.clock_margin // (2 * max(policy.promise, policy.lease)) * 9 // 10
        hosts = []
        for number in range(self._keepers):
            clock = Clock(Span(random.randint(0, 86_400) * seconds(1)), random.randint(-most, most))
            label = f"room {number % 2}" if random.random() < 0.5 else ""
            hosts.append(world.add_host(clock, store, label, self._circle))
        return hosts

    def _draw_bonds(self, hosts: list[Host]) -> None:
        """A circle, and a few bonds across it; where keepers seek partners of themselves, some of these alone."""
        random, count = self._random, len(hosts)
        pairs = [(number, (number + 1) % count) for number in range(count if count > 2 else 1)]
        pairs += [(random.randrange(count), random.randrange(count)) for _ in range(random.randint(0, count - 2))]
        for number, (one, other) in enumerate(pairs):
            terms = [self._draw_terms(), self._draw_terms()]
            self.drawn[2] += 1
            is_left_to_them = self._circle and random.random() >= _TIED_SHARE
            if number not in self._omitted.bonds and one != other and not is_left_to_them:
                hosts[one].tie(hosts[other], *terms)
                hosts[other].tie(hosts[one], *reversed(terms))

    def _draw_terms(self) -> Terms:
        random = self._random
        return Terms(
            memory=1 << 20 if random.random() < 0.05 else 4 << 30,
            takeover=random.choice((Consent.YES,) * 8 + (Consent.ASK, Consent.NO)),
            emergency=self._willing.random() < 0.7,
            without_lease_store=random.choice((WithoutLeaseStore.HOLD, WithoutLeaseStore.YIELD)),
        )

    # Members

    def _draw_works(self, hosts: list[Host]) -> None:
        random = self._random
        for number in range(random.choice((1, 1, 2)) if len(hosts) == 1 else random.randint(1, len(hosts))):
            work = _draw_work(random, number)
            work.is_miswritten = self._texts.random() < _MISWRITTEN_SHARE and not work.plain
            host = hosts[0] if len(hosts) == 1 else random.choice(hosts)
            is_taken = work.name in host.places
            self.drawn[1] += 1
            is_supervised = work.plain or random.random() < 0.75
            if number not in self._omitted.works and not is_taken:
                self._works.append(work)
                _begin(host.place(work), is_supervised)

    # Faults

    def _draw_faults(self, faults: Faults, hosts: list[Host], span: Span) -> None:
        random = self._random
        count = random.randint(1, 12 if len(hosts) == 1 else 10 + 2 * len(hosts))
        chosen = random.choices([fault for fault, _ in faults], [weight for _, weight in faults], k=count)
        for number, fault in enumerate(chosen):
            at = random.uniform(0.02, 1) * span
            self.drawn[0] += 1
            if self._works:
                work = random.choice(self._works)
                host = hosts[0] if len(hosts) == 1 else random.choice(hosts)
                if number not in self._omitted.faults:
                    host.after(at, self._strike, fault, work, host)

    def _strike(self, fault: Fault, work: Work, host: Host) -> None:
        """Where the member is on this host, or else where it lives."""
        place = host.places.get(work.name)
        if self._world.quiet:
            return
        if place is None or place.work is not work:
            places = list(self._world.places(work))
            place = next((one for one in places if one.programs), places[0])
        fault(place)


def _draw_work(random: Random, number: int) -> Work:
    name = MemberName(_NAMES[number] if number < len(_NAMES) else f"work{number}")
    work = Work(name, number, Span(random.choice((60, 150, 400)) * _MS))
    work.budget = Budget(random.choice((1, 3, 5)), seconds(60))
    work.plain = random.random() < 0.04
    if random.random() < 0.2:
        work.goal = Step(random.randint(5, 300))
    return work


def _begin(place: Place, is_supervised: bool) -> None:
    """Its user starts the member: under `run`, or by hand. Who starts by hand also looks after it."""
    if is_supervised:
        place.host.run(place)
    else:
        place.host.labour.start_program(place, None)
    if not is_supervised or len(place.host.world.hosts) > 1:
        place.host.world.after(_USER_LOOKS, _look_after, place, is_supervised)


def _look_after(place: Place, is_supervised: bool) -> None:
    """Whoever starts a program by hand starts it again when it is down; who sees a host lost decides what then."""
    machine = place.host.machine
    view = None if machine is None else machine.view(place.name)
    if not is_supervised and view is not None and view.phase is Phase.DOWN and not place.programs:
        place.host.tell(f"the user starts {place.name} again")
        place.host.labour.start_program(place, None)
    if place.host.world.quiet:
        decide_if_lost(place)
    place.host.world.after(_USER_LOOKS, _look_after, place, is_supervised)
