"""What may strike. Each fault is a function of the world and one member; `FAULTS` says how often each is chosen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from goldthread.names import Span, Step, milliseconds, seconds
from goldthread.report import Ending, EndingKind
from goldthread.rules import events
from goldthread.sim.things import GARBAGE, Program, Store, killed
from goldthread.sim.world import Home, World

__all__ = ["FAULTS", "Fault"]

_MS: Final = milliseconds(1)
_TERM: Final = 15
_INT: Final = 2

Fault = Callable[[World, Home], None]


def _victim(home: Home) -> Program | None:
    return home.programs[-1] if home.programs else None


def kill(world: World, home: Home) -> None:
    """The program is killed, wherever it is."""
    program = _victim(home)
    if program is not None:
        world.tell(f"{home.name} is killed")
        world.labour.end_program(home, program, killed())


def kill_in_commit(world: World, home: Home) -> None:
    """The program is killed between two writes of its next commit."""
    program = _victim(home)
    if program is not None:
        program.writes_left = world.random.randint(0, 5)


def kill_again_and_again(world: World, home: Home) -> None:
    """Whatever the next lives do, they are killed soon."""
    for number in range(world.random.randint(2, 9)):
        world.after(number * world.random.randint(100, 1_500) * _MS, kill, world, home)


def raise_error(world: World, home: Home) -> None:
    program = _victim(home)
    if program is not None:
        world.tell(f"{home.name} raises an exception")
        world.labour.end_program(home, program, Ending(EndingKind.EXCEPTION, "KeyError: 'x'", "", 1, "KeyError"))


def poison(world: World, home: Home) -> None:
    """The state goes bad soon, and whoever carries it dies at a later step."""
    program = _victim(home)
    if program is not None and home.poison is None:
        bad_from = Step(program.step + world.random.randint(1, 6))
        home.poison = (bad_from, Step(bad_from + world.random.randint(0, 6)))
        world.tell(f"the state of {home.name} goes bad at step {bad_from}, and kills at step {home.poison[1]}")


def hang(world: World, home: Home) -> None:
    program = _victim(home)
    if program is not None:
        world.tell(f"{home.name} hangs")
        program.hung = True


def sleep(world: World, home: Home) -> None:
    """The program stands still for less time than makes a hang."""
    program = _victim(home)
    if program is not None:
        world.tell(f"{home.name} is stopped for a while")
        program.asleep = True
        world.after(world.random.uniform(0.1, 0.5) * world.policy.hang_floor, _wake, program)


def _wake(program: Program) -> None:
    program.asleep = False


def kill_keeper(world: World, home: Home) -> None:
    if world.is_keeper_up:
        world.kill_keeper("at once")


def kill_keeper_between_orders(world: World, home: Home) -> None:
    world.orders_left = world.random.randint(0, 12)


def pause_keeper(world: World, home: Home) -> None:
    world.pause_keeper(Span(int(world.random.uniform(0.2, 3) * world.policy.hang_floor)))


def pause_host(world: World, home: Home) -> None:
    span = Span(int(world.random.uniform(0.2, 5) * world.policy.hang_floor))
    world.tell(f"the host stands still for {span / 1e9:.1f} s")
    world.skip(span)


def kill_shim(world: World, home: Home) -> None:
    """The shim dies alone: its program goes on, and nobody will see its exit status."""
    if home.shim is not None and home.shim.program is not None:
        world.tell(f"the shim of {home.name} dies")
        home.shim = None


def reboot(world: World, home: Home) -> None:
    world.reboot()


def flip_slot(world: World, home: Home) -> None:
    _flip(world, home, [slot for slot in world.slots(home) if slot.commit is not None])


def flip_newest_slot(world: World, home: Home) -> None:
    """The newest sealed commit is damaged, and then its program dies."""
    sealed = [(slot.commit, slot) for slot in world.slots(home) if slot.commit is not None]
    _flip(world, home, [max(sealed, key=lambda pair: pair[0])[1]] if sealed else [])
    kill(world, home)


def flip_file(world: World, home: Home) -> None:
    _flip(world, home, list(home.vault.values()))


def _flip(world: World, home: Home, stores: Sequence[Store]) -> None:
    if stores:
        store = world.random.choice(stores)
        world.tell(f"bits of {store.commit} of {home.name} flip in {type(store).__name__.lower()}")
        store.chunks[world.random.randrange(len(store.chunks))] = GARBAGE
        store.flipped_at = world.now


def fill_disk(world: World, home: Home) -> None:
    world.tell("the disk is full")
    home.vault_full = True
    world.after(world.random.uniform(1, 20) * 1e9, _mend_disk, home)


def slow_disk(world: World, home: Home) -> None:
    home.vault_delay = Span(world.random.randint(500, 8_000) * _MS)
    world.after(world.random.uniform(1, 20) * 1e9, _mend_disk, home)


def _mend_disk(home: Home) -> None:
    home.vault_full = False
    home.vault_delay = Span(50 * _MS)


def lose_command(world: World, home: Home) -> None:
    """What `run` starts is gone for a while."""
    home.can_start = False
    world.after(world.random.uniform(1, 5) * 1e9, _find_command, home)


def _find_command(home: Home) -> None:
    home.can_start = True


def lose_journal(world: World, home: Home) -> None:
    """The keeper dies, and its journal is damaged and set aside."""
    if world.is_keeper_up:
        world.tell("the journal is lost")
        world.kill_keeper("with its journal")
        world.records.clear()
        world.lives.clear()
        for checker in world.checkers:
            for each in world.homes.values():
                checker.after_loss(each)


# What users do


def stop(world: World, home: Home) -> None:
    home.asked_stop = True
    world.tell(f"the user stops {home.name}")
    world.give(events.StopAsked(world.ticket(), home.name, _TERM))


def interrupt(world: World, home: Home) -> None:
    home.asked_stop = True
    world.tell(f"the user presses Ctrl-C in {home.name}")
    world.give(events.StopAsked(world.ticket(), home.name, _INT, escalate=False))


def run(world: World, home: Home) -> None:
    _run(world, home, fresh=False)


def run_fresh(world: World, home: Home) -> None:
    _run(world, home, fresh=True)


def _run(world: World, home: Home, fresh: bool) -> None:
    if world.machine is None or home.programs:
        return
    world.tell(f"the user runs {home.name}{' --fresh' if fresh else ''}")
    home.asked_stop = False
    home.asked_fresh = home.asked_fresh or fresh
    world.give(events.RunAsked(world.ticket(), home.name, home.budget, fresh))


def restart(world: World, home: Home) -> None:
    world.give(events.RestartAsked(world.ticket(), home.name))


def roll_back(world: World, home: Home) -> None:
    record = world.records.get(home.name)
    newest = None if record is None else record.newest
    step = Step(max(0 if newest is None else newest.step - world.random.randint(0, 15), 0))
    world.tell(f"the user rolls {home.name} back to step {step}")
    world.give(events.RollbackAsked(world.ticket(), home.name, step))


def stop_and_roll_back(world: World, home: Home) -> None:
    stop(world, home)
    world.after(seconds(2), roll_back, world, home)
    world.after(seconds(3), run, world, home)


def forget(world: World, home: Home) -> None:
    world.tell(f"the user forgets {home.name}")
    world.give(events.ForgetAsked(world.ticket(), home.name))


def deposit(world: World, home: Home) -> None:
    world.give(events.DepositAsked(world.ticket(), home.name))


def join_twice(world: World, home: Home) -> None:
    """The user starts the program by hand, whether or not it runs."""
    world.tell(f"the user starts {home.name} by hand")
    world.labour.start_program(home, None)


def stop_keeper(world: World, home: Home) -> None:
    leave = world.random.random() < 0.5
    world.tell(f"the keeper is asked to end, {'leaving' if leave else 'with'} its members")
    if not leave:
        for each in world.homes.values():
            each.asked_stop = True
    world.give(events.KeeperStopAsked(world.ticket(), not leave, leave))


FAULTS: Final[tuple[tuple[Fault, int], ...]] = (
    (kill, 12),
    (kill_in_commit, 12),
    (kill_again_and_again, 4),
    (raise_error, 5),
    (poison, 5),
    (hang, 6),
    (sleep, 5),
    (kill_keeper, 6),
    (kill_keeper_between_orders, 10),
    (pause_keeper, 5),
    (pause_host, 4),
    (kill_shim, 3),
    (reboot, 2),
    (flip_slot, 4),
    (flip_newest_slot, 5),
    (flip_file, 3),
    (fill_disk, 3),
    (slow_disk, 3),
    (lose_command, 2),
    (lose_journal, 1),
    (stop, 4),
    (interrupt, 2),
    (run, 5),
    (run_fresh, 2),
    (restart, 4),
    (roll_back, 2),
    (stop_and_roll_back, 3),
    (forget, 1),
    (deposit, 2),
    (join_twice, 3),
    (stop_keeper, 2),
)
