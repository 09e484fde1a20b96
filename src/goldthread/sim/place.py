"""What there is of one member on one host: its programs and their shim, the slots that the keeper has, its deposits."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from goldthread.names import Epoch, Instant, Level, milliseconds
from goldthread.rules.events import Copy
from goldthread.sim.things import COMMIT_BYTES, File, Program, Shim, Slot, Store, Work

if TYPE_CHECKING:
    from goldthread.names import CommitId
    from goldthread.sim.host import Host

__all__ = ["Place"]

_VAULT_DELAY: Final = milliseconds(50)


class Place:
    def __init__(self, host: Host, work: Work) -> None:
        self.host = host
        self.work = work
        self.name = work.name
        self.programs: list[Program] = []
        """Those that live."""
        self.shim: Shim | None = None
        self.shelf: list[Slot] = []
        """The slots that the keeper has."""
        self.vault: dict[CommitId, File] = {}
        self.vault_full = False
        self.vault_delay = _VAULT_DELAY
        self.can_start = True
        self.vouched: dict[Epoch, Instant | None] = {}
        """Until when a life may seal, as its pulse page says; None, or not named: without end."""

    def mend_disk(self) -> None:
        self.vault_full = False
        self.vault_delay = _VAULT_DELAY

    def is_vouched(self, epoch: Epoch) -> bool:
        """Whether a life may seal a commit now: its program looks at its own clock."""
        until = self.vouched.get(epoch)
        return until is None or self.host.now < until

    def slots(self) -> Iterator[Slot]:
        """Every slot that somebody has, each once."""
        seen: dict[int, Slot] = {}
        for slots in (
            self.shelf,
            self.shim.slots if self.shim is not None else (),
            *(program.slots for program in self.programs),
        ):
            for slot in slots:
                seen[id(slot)] = slot
        return iter(seen.values())

    def copies(self) -> Iterator[Copy]:
        """What a listing finds: the headers of what the keeper can reach."""
        for slot in self.shelf:
            if slot.commit is not None:
                yield Copy(slot.commit, Level.SEALED, COMMIT_BYTES)
        for commit in self.vault:
            yield Copy(commit, Level.DEPOSITED, COMMIT_BYTES)

    def find(self, copy: Copy) -> Store | None:
        if copy.level is Level.DEPOSITED:
            return self.vault.get(copy.commit)
        wanted = copy.commit
        return next((slot for slot in self.shelf if slot.commit == wanted), None)

    def lose_memory(self) -> None:
        """The host goes down."""
        for program in self.programs:
            program.alive = False
        self.programs = []
        self.shim = None
        self.shelf = []
        self.vouched = {}
