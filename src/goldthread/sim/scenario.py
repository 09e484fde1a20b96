"""One seed: a world is drawn, faults strike, then there is quiet and a deadline to heal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import Any, Final

import msgspec

from goldthread.names import Instant, MemberName, Span, Step, milliseconds, seconds
from goldthread.policy import Budget, Policy
from goldthread.report import Phase
from goldthread.rules import events
from goldthread.rules.machine import Machine
from goldthread.sim.checkers import Broken, Checker, all_checkers
from goldthread.sim.faults import FAULTS, Fault
from goldthread.sim.world import Home, World

__all__ = ["Outcome", "run_seed"]

_MS: Final = milliseconds(1)
_FAULTS_SPAN: Final = seconds(40)
_QUIET_SPAN: Final = seconds(40)
_USER_LOOKS: Final = seconds(3)


class Outcome(msgspec.Struct, frozen=True):
    """What one seed came to."""

    seed: int
    handled: int
    """Calls of `Machine.handle`."""
    digest: str
    """The same for the same seed, on any machine."""
    broken: str
    """The promise that was broken, in words; empty where all were kept."""


def run_seed(
    seed: int,
    *,
    checkers: Callable[[], list[Checker]] = all_checkers,
    machine: type[Machine] = Machine,
    faults: Sequence[tuple[Fault, int]] = FAULTS,
    teller: Callable[[Instant, str, Any], None] | None = None,
) -> Outcome:
    """Run one seed to its end, or to the first broken promise."""
    random = Random(~seed)
    world = World(seed, _draw_policy(random), checkers(), machine, teller)
    try:
        _run(world, random, faults)
        broken = ""
    except Broken as finding:
        broken = str(finding)
    except Exception as error:
        broken = f"the rules raised {type(error).__name__}: {error}"
        if teller is not None:
            raise
    return Outcome(seed, world.handled, world.digest(), broken)


def _draw_policy(random: Random) -> Policy:
    return Policy(
        tick=milliseconds(random.choice((100, 200, 500))),
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
    )


def _run(world: World, random: Random, faults: Sequence[tuple[Fault, int]]) -> None:
    for number in range(random.choice((1, 1, 2))):
        home = _draw_home(random, MemberName(("walk", "tide")[number]))
        world.homes[home.name] = home
        _begin(world, random, home)
    homes = list(world.homes.values())
    start = world.now
    chosen = random.choices([fault for fault, _ in faults], [weight for _, weight in faults], k=random.randint(1, 12))
    for fault in chosen:
        world.after(random.uniform(0.02, 1) * _FAULTS_SPAN, fault, world, random.choice(homes))
    world.run(Instant(start + _FAULTS_SPAN))
    world.quiet = True
    world.tell("faults stop")
    world.run(Instant(world.now + _QUIET_SPAN))
    world.run(Instant(max(world.now, world.keeper_since + _QUIET_SPAN)))
    for checker in world.checkers:
        checker.at_end()


def _draw_home(random: Random, name: MemberName) -> Home:
    home = Home(name, Span(random.choice((60, 150, 400)) * _MS))
    home.budget = Budget(random.choice((1, 3, 5)), seconds(60))
    home.plain = random.random() < 0.04
    if random.random() < 0.2:
        home.goal = Step(random.randint(5, 300))
    return home


def _begin(world: World, random: Random, home: Home) -> None:
    """Its user starts the member: under `run`, or by hand. Who starts by hand also looks after it."""
    if home.plain or random.random() < 0.75:
        world.give(events.RunAsked(world.ticket(), home.name, home.budget))
    else:
        world.labour.start_program(home, None)
        world.after(_USER_LOOKS, _look_after, world, home)


def _look_after(world: World, home: Home) -> None:
    """Whoever starts a program by hand starts it again when it is down."""
    machine = world.machine
    view = None if machine is None else machine.view(home.name)
    if view is not None and view.phase is Phase.DOWN and not home.programs:
        world.tell(f"the user starts {home.name} again")
        world.labour.start_program(home, None)
    world.after(_USER_LOOKS, _look_after, world, home)
