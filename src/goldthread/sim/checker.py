"""What watches the world: the hooks of a checker, and what it raises.

A checker raises `Broken` when its promise is broken. It compares what the rules decided with what is physically there,
never with what the rules believe.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from goldthread.names import CommitId
from goldthread.report import Ending
from goldthread.rules import orders
from goldthread.sim.things import File, Program, Slot, Store

if TYPE_CHECKING:
    from goldthread.sim.carrier import Berth
    from goldthread.sim.host import Host
    from goldthread.sim.place import Place
    from goldthread.sim.world import World

__all__ = ["Broken", "Checker", "hooks"]


class Broken(Exception):
    """A promise was broken."""


class Checker:
    """The hooks, all of which do nothing here."""

    def __init__(self) -> None:
        self.world: World

    def broken(self, text: str) -> Broken:
        return Broken(f"{type(self).__name__}: {text}")

    def before_order(self, host: Host, order: Any) -> None:
        """An order is about to be carried out."""

    def before_write(self, place: Place, program: Program, slot: Slot) -> None:
        """A program is about to open a slot for its next commit."""

    def after_seal(self, place: Place, program: Program, commit: CommitId) -> None:
        """A program sealed a commit."""

    def after_death(self, place: Place, program: Program, ending: Ending) -> None:
        """A process is gone."""

    def on_restore(self, place: Place, program: Program, admit: orders.Admit, store: Store | None) -> None:
        """A program was admitted, and restores what it was given."""

    def after_free(self, place: Place, freed: list[Slot]) -> None:
        """Slots were freed."""

    def after_trim(self, place: Place, removed: list[File]) -> None:
        """Deposits were removed."""

    def before_landing(self, host: Host, berth: Berth, slot: Slot) -> None:
        """A commit of a partner's member is about to come into this slot."""

    def after_landing(self, host: Host, owner: Host, slot: Slot, commit: CommitId) -> None:
        """A commit of this owner's member is whole here."""

    def after_wait(self, place: Place, commit: CommitId) -> None:
        """A wait until this commit is held is over."""

    def after_drop(self, host: Host, owner: Host, berth: Berth) -> None:
        """What was held of this owner's member was let go."""

    def after_loss(self, place: Place) -> None:
        """The journal was lost, or the member was forgotten: what was promised of its past is void."""

    def at_end(self) -> None:
        """Faults have stopped, and the time to heal is over."""


def hooks(checkers: Iterable[Checker], name: str) -> tuple[Callable[..., None], ...]:
    """The hook of this name of each checker that looks there at all."""
    idle = getattr(Checker, name)
    return tuple(getattr(checker, name) for checker in checkers if getattr(type(checker), name) is not idle)
