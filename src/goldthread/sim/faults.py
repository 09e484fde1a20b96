"""What may strike one host, and what its users do. Each fault is a function of one member's place on one host;
`FAULTS` says how often each is chosen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from goldthread.names import Span, Step, milliseconds, seconds
from goldthread.report import Ending, EndingKind
from goldthread.rules import events
from goldthread.sim.host import Journal
from goldthread.sim.place import Place
from goldthread.sim.things import GARBAGE, Program, Store, killed

__all__ = ["FAULTS", "Fault", "flip", "forget", "kill_again_and_again", "lose_journal", "run"]

_MS: Final = milliseconds(1)
_TERM: Final = 15
_INT: Final = 2

Fault = Callable[[Place], None]


def _victim(place: Place) -> Program | None:
    return place.programs[-1] if place.programs else None


def kill(place: Place) -> None:
    """The program is killed, wherever it is."""
    program = _victim(place)
    if program is not None:
        place.host.tell(f"{place.name} is killed")
        place.host.labour.end_program(place, program, killed())


def kill_in_commit(place: Place) -> None:
    """The program is killed between two writes of its next commit."""
    program = _victim(place)
    if program is not None:
        program.writes_left = place.host.random.randint(0, 5)


def kill_again_and_again(place: Place) -> None:
    """Whatever the next lives do, they are killed soon."""
    for number in range(place.host.random.randint(2, 9)):
        place.host.after(number * place.host.random.randint(100, 1_500) * _MS, kill, place)


def raise_error(place: Place) -> None:
    program = _victim(place)
    if program is not None:
        place.host.tell(f"{place.name} raises an exception")
        place.host.labour.end_program(place, program, Ending(EndingKind.EXCEPTION, "KeyError: 'x'", "", 1, "KeyError"))


def poison(place: Place) -> None:
    """The state goes bad soon, and whoever carries it dies at a later step."""
    program = _victim(place)
    if program is not None and place.work.poison is None:
        bad_from = Step(program.step + place.host.random.randint(1, 6))
        place.work.poison = (bad_from, Step(bad_from + place.host.random.randint(0, 6)))
        place.host.tell(
            f"the state of {place.name} goes bad at step {bad_from}, and kills at step {place.work.poison[1]}"
        )


def hang(place: Place) -> None:
    program = _victim(place)
    if program is not None:
        place.host.tell(f"{place.name} hangs")
        program.hung = True


def sleep(place: Place) -> None:
    """The program stands still for less time than makes a hang."""
    program = _victim(place)
    if program is not None:
        place.host.tell(f"{place.name} is stopped for a while")
        program.asleep = True
        place.host.after(place.host.random.uniform(0.1, 0.5) * place.host.policy.hang_floor, _wake, program)


def _wake(program: Program) -> None:
    program.asleep = False


def kill_keeper(place: Place) -> None:
    if place.host.is_keeper_up:
        place.host.kill_keeper("at once")


def kill_keeper_between_orders(place: Place) -> None:
    place.host.orders_left = place.host.random.randint(0, 12)


def pause_keeper(place: Place) -> None:
    place.host.pause_keeper(Span(int(place.host.random.uniform(0.2, 3) * place.host.policy.hang_floor)))


def pause_host(place: Place) -> None:
    span = Span(int(place.host.random.uniform(0.2, 5) * place.host.policy.hang_floor))
    place.host.tell(f"the host stands still for {span / 1e9:.1f} s")
    place.host.stand_still(span)


def kill_shim(place: Place) -> None:
    """The shim dies alone: its program goes on, and nobody will see its exit status."""
    if place.shim is not None and place.shim.program is not None:
        place.host.tell(f"the shim of {place.name} dies")
        place.shim = None


def reboot(place: Place) -> None:
    place.host.reboot()


def flip_slot(place: Place) -> None:
    flip(place, [slot for slot in place.slots() if slot.commit is not None])


def flip_newest_slot(place: Place) -> None:
    """The newest sealed commit is damaged, and then its program dies."""
    sealed = [(slot.commit, slot) for slot in place.slots() if slot.commit is not None]
    flip(place, [max(sealed, key=lambda pair: pair[0])[1]] if sealed else [])
    kill(place)


def flip_file(place: Place) -> None:
    flip(place, list(place.vault.values()))


def flip(place: Place, stores: Sequence[Store]) -> None:
    """Damage one of these."""
    if stores:
        store = place.host.random.choice(stores)
        place.host.tell(f"bits of {store.commit} of {place.name} flip in {type(store).__name__.lower()}")
        store.chunks[place.host.random.randrange(len(store.chunks))] = GARBAGE
        store.flipped_at = place.host.world.now


def fill_disk(place: Place) -> None:
    place.host.tell("the disk is full")
    place.vault_full = True
    place.host.after(place.host.random.uniform(1, 20) * 1e9, place.mend_disk)


def slow_disk(place: Place) -> None:
    place.vault_delay = Span(place.host.random.randint(500, 8_000) * _MS)
    place.host.after(place.host.random.uniform(1, 20) * 1e9, place.mend_disk)


def lose_command(place: Place) -> None:
    """What `run` starts is gone for a while."""
    place.can_start = False
    place.host.after(place.host.random.uniform(1, 5) * 1e9, _find_command, place)


def _find_command(place: Place) -> None:
    place.can_start = True


def lose_journal(place: Place) -> None:
    """The keeper dies, and its journal is damaged and set aside."""
    host = place.host
    if host.is_keeper_up:
        host.tell("the journal is lost")
        host.kill_keeper("with its journal")
        host.journal = Journal()
        for checker in host.world.checkers:
            for each in host.places.values():
                checker.after_loss(each)


# What users do


def stop(place: Place) -> None:
    place.work.asked_stop = True
    place.host.tell(f"the user stops {place.name}")
    place.host.give(events.StopAsked(place.host.world.ticket(), place.name, _TERM))


def interrupt(place: Place) -> None:
    place.work.asked_stop = True
    place.host.tell(f"the user presses Ctrl-C in {place.name}")
    place.host.give(events.StopAsked(place.host.world.ticket(), place.name, _INT, escalate=False))


def run(place: Place) -> None:
    _run(place, fresh=False)


def run_fresh(place: Place) -> None:
    _run(place, fresh=True)


def _run(place: Place, fresh: bool) -> None:
    if place.host.machine is None or place.programs:
        return
    place.host.tell(f"the user runs {place.name}{' --fresh' if fresh else ''}")
    place.work.asked_stop = False
    place.work.asked_fresh = place.work.asked_fresh or fresh
    place.host.run(place, fresh)


def restart(place: Place) -> None:
    place.host.give(events.RestartAsked(place.host.world.ticket(), place.name))


def roll_back(place: Place) -> None:
    record = place.host.journal.members.get(place.name)
    newest = None if record is None else record.newest
    step = Step(max(0 if newest is None else newest.step - place.host.random.randint(0, 15), 0))
    place.host.tell(f"the user rolls {place.name} back to step {step}")
    place.host.give(events.RollbackAsked(place.host.world.ticket(), place.name, step))


def stop_and_roll_back(place: Place) -> None:
    stop(place)
    place.host.after(seconds(2), roll_back, place)
    place.host.after(seconds(3), run, place)


def forget(place: Place) -> None:
    place.host.tell(f"the user forgets {place.name}")
    place.host.give(events.ForgetAsked(place.host.world.ticket(), place.name))


def deposit(place: Place) -> None:
    place.host.give(events.DepositAsked(place.host.world.ticket(), place.name))


def join_twice(place: Place) -> None:
    """The user starts the program by hand, whether or not it runs."""
    place.host.tell(f"the user starts {place.name} by hand")
    place.host.labour.start_program(place, None)


def stop_keeper(place: Place) -> None:
    leave = place.host.random.random() < 0.5
    place.host.tell(f"the keeper is asked to end, {'leaving' if leave else 'with'} its members")
    if not leave:
        for each in place.host.places.values():
            each.work.asked_stop = True
    place.host.give(events.KeeperStopAsked(place.host.world.ticket(), not leave, leave))


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
