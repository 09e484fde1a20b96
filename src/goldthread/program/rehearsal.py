"""A program under `goldthread check`: it is killed and ended where the script says, and what it does is written down.

The module is loaded only where a script is in the environment, so that outside `check` a life knows nothing of it. The
facts of a commit are written before the kill: what was sealed is on record.
"""

from __future__ import annotations

import dataclasses
import os
import random
import signal
import sys
import threading
import weakref
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
from xxhash import xxh3_64

from goldthread.program.fingerprint import fingerprint
from goldthread.program.pickles import settled_pickles
from goldthread.program.surroundings import Surroundings
from goldthread.slots.slot import Slot
from goldthread.wire.image import peek_header
from goldthread.wire.rehearsal import SCRIPT, CommitFact, EndFact, Fact, Script, line_of

__all__ = ["Rehearsal"]

_EPOCH_NAMES: Final = frozenset({"epoch", "epochs", "current_epoch", "epoch_number", "epoch_index", "epochs_done"})
_EPOCH_DEPTH: Final = 3
_PARTS_MOST: Final = 64
_CROSSINGS: Final = 2
"""Ends of epochs that are gone for: one before the program is killed, one after."""


class Rehearsal:
    """One life of a program under `check`.

    `slots` gives the slots of the life, `leave` ends it in peace.
    """

    def __init__(
        self,
        life: int,
        *,
        pickle: bool,
        generators: bool,
        slots: Callable[[], Mapping[int, Slot]],
        leave: Callable[[], None],
    ) -> None:
        self._script = msgspec.json.decode(os.environ[SCRIPT], type=Script)
        self._facts = Path(self._script.facts)
        self._life = life
        self._pickle = pickle
        self._generators = generators
        self._slots = slots
        self._leave = leave
        self._surroundings = Surroundings()
        self._noted: xxh3_64 | None = None
        self._loaders = _Rounds()
        self._state: object = None
        self._commits = 0
        self._epoch: int | None = None
        self._crossings = 0
        """Ends of epochs that were seen."""
        self._is_told = False
        self._kill_at = self._script.kills[life - 1] if life <= len(self._script.kills) else None

    def begin(self) -> None:
        """The program has what it goes on from."""
        self._loaders.watch()

    def note(self, things: tuple[object, ...]) -> None:
        """Add to what the next commit consumed."""
        if self._noted is None:
            self._noted = xxh3_64()
        self._noted.update(fingerprint(*things).encode())

    def committed(self, state: object, step: int) -> None:
        """Write down a commit that was sealed; then be killed, or end, where the script says."""
        self._state = state
        if self._commits == 0:
            self._surroundings.look_first(sys._getframe(), state)
        self._commits += 1
        self._loaders.watch()
        within = self._follow(self._epoch_of(state))
        noted = None if self._noted is None else self._noted.hexdigest()
        self._noted = None
        self._write(CommitFact(self._life, step, _parts(state), noted, _draws(), self._epoch))
        if self._kill_at is not None and self._kill_at <= step < self._script.end:
            os.kill(os.getpid(), signal.SIGKILL)
        if self._is_over(step, within):
            self.tell_end(of_itself=False)
            self._end()

    def tell_end(self, *, of_itself: bool = True) -> None:
        """Write down how things stand at the end, once."""
        if self._is_told or self._commits == 0:
            return
        self._is_told = True
        outside = self._surroundings.look_last(sys._getframe(), self._state)
        threads = len(list(Path("/proc/self/task").iterdir()))
        self._write(EndFact(self._life, outside, self._pickles(), threads, self._generators, of_itself))

    def _follow(self, epoch: int | None) -> bool:
        """Note the epoch of a commit. Returns whether it is not the first of its epoch."""
        within = epoch is None or epoch == self._epoch
        if epoch is not None and self._epoch is not None and epoch != self._epoch:
            self._crossings += 1
        self._epoch = epoch
        return within

    def _epoch_of(self, state: object) -> int | None:
        own = next(_epochs(state, _EPOCH_DEPTH), None)
        return self._loaders.most if own is None else own

    def _is_over(self, step: int, within: bool) -> bool:
        script = self._script
        if script.ends_itself:
            return step > script.end
        if step < script.end or self._commits < script.commits_least:
            return False
        crossed = self._crossings > _CROSSINGS or (self._crossings == _CROSSINGS and within)
        return self._epoch is None or crossed or step >= script.far

    def _end(self) -> None:
        """A thread cannot end a program by an exception of its own."""
        if threading.current_thread() is threading.main_thread():
            raise SystemExit(0)
        self._leave()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)

    def _pickles(self) -> dict[str, Any]:
        if not self._pickle:
            return {}
        sealed = [(header.sequence, slot) for slot in self._slots().values() if (header := peek_header(slot.image))]
        return settled_pickles(max(sealed, key=lambda one: one[0])[1].image) if sealed else {}

    def _write(self, fact: Fact) -> None:
        descriptor = os.open(self._facts, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            os.write(descriptor, line_of(fact))
        finally:
            os.close(descriptor)


def _parts(state: object) -> dict[str, str]:
    """The fingerprints of a state's first parts."""
    if isinstance(state, Mapping):
        parts = {f'["{key}"]' if isinstance(key, str) else f"[{key!r}]": value for key, value in state.items()}
    elif dataclasses.is_dataclass(state) and not isinstance(state, type):
        names = [field.name for field in dataclasses.fields(state) if hasattr(state, field.name)]
        parts = {f".{name}": getattr(state, name) for name in names}
    elif isinstance(state, (list, tuple)):
        parts = {f"[{index}]": value for index, value in enumerate(state)}
    else:
        parts = {"": state}
    return {f"state{place}": fingerprint(value) for place, value in islice(parts.items(), _PARTS_MOST)}


def _draws() -> dict[str, str]:
    """The fingerprints of the global generators."""
    torch: Any = sys.modules.get("torch")
    found = {"random": fingerprint(random.getstate()), "numpy": fingerprint(np.random.get_state())}
    if torch is not None and hasattr(torch, "get_rng_state"):
        found["torch"] = fingerprint(torch.get_rng_state())
    return found


def _epochs(thing: Any, depth: int) -> Iterator[int]:
    """The numbers in a state that are named for an epoch."""
    if dataclasses.is_dataclass(thing) and not isinstance(thing, type):
        thing = {field.name: getattr(thing, field.name, None) for field in dataclasses.fields(thing)}
    if isinstance(thing, Mapping):
        for name, value in thing.items():
            if str(name).lower().lstrip("_") in _EPOCH_NAMES and _is_count(value):
                yield int(value)
        if depth > 0:
            for value in thing.values():
                yield from _epochs(value, depth - 1)


def _is_count(value: object) -> bool:
    if isinstance(value, np.ndarray):
        return value.shape == () and value.dtype.kind in "iu"
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)


class _Rounds:
    """How often the loaders of torch were gone through: a loader that begins again ends an epoch."""

    def __init__(self) -> None:
        self.most: int | None = None
        """Of any data set; None while no loader was begun."""
        self._counts: weakref.WeakKeyDictionary[Any, int] = weakref.WeakKeyDictionary()
        self._is_watching = False

    def watch(self) -> None:
        """Have each loader tell when it begins, once torch's are loaded."""
        module: Any = sys.modules.get("torch.utils.data")
        if self._is_watching or module is None:
            return
        self._is_watching = True
        kind, begin = module.DataLoader, module.DataLoader.__iter__

        def begin_and_tell(loader: Any) -> Any:
            self._count(loader.dataset)
            return begin(loader)

        kind.__iter__ = begin_and_tell

    def _count(self, dataset: Any) -> None:
        try:
            self._counts[dataset] = self._counts.get(dataset, -1) + 1
        except TypeError:  # It cannot be referred to weakly, or has no hash.
            return
        self.most = max(self._counts.values())
