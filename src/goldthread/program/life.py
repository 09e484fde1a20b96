"""A member's life as its program sees it: restore, commit, beat.

A commit is sealed by the program alone, in a slot that it has; the keeper learns of it from the pulse. So what a
program asks its keeper for is rare: to be admitted, a slot now and then, a deposit when it waits for one. Whatever
the keeper does, a commit does not fail for want of it.
"""

from __future__ import annotations

import contextlib
import os
import threading
import warnings
from dataclasses import dataclass
from numbers import Integral
from operator import index
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar, overload

from goldthread.errors import KeeperError, KeeperUnreachable, PartnerUnreachable, UsageError
from goldthread.local import Home
from goldthread.names import CommitId, MemberName, Step
from goldthread.program.beat import Heart
from goldthread.program.farewell import Farewell, is_peaceful
from goldthread.program.link import Link
from goldthread.program.voucher import Voucher
from goldthread.program.writer import Writer
from goldthread.report import Ending
from goldthread.slots.slot import Slot
from goldthread.state.restore import pour, say_differences
from goldthread.wire.messages import (
    DepositRequest,
    HoldRequest,
    Joined,
    LeaveNote,
    RestoredNote,
    SlotRequest,
)
from goldthread.wire.rehearsal import SCRIPT

if TYPE_CHECKING:
    from goldthread.program.rehearsal import Rehearsal

__all__ = ["Life", "RestoreWarning", "Safe", "UnsealedWarning"]

S = TypeVar("S")

_NEW_SLOT_SECONDS: Final = 5.0
_WAIT_SECONDS: Final = 60.0
_STEP_MOST: Final = (1 << 63) - 1
_ASKED: Final = {"held": (HoldRequest(), PartnerUnreachable), "deposited": (DepositRequest(), KeeperError)}
"""What the keeper is asked for each level, and what is raised where it takes too long."""


class UnsealedWarning(UserWarning):
    """A commit went by unsealed: no keeper could be reached for a slot."""


class RestoreWarning(UserWarning):
    """The commit and the program's state have not the same parts."""


@dataclass(frozen=True, slots=True)
class Safe:
    """How far a life's work is safe, by step; None where there is nothing yet. Neither `held` nor `deposited` is above
    `sealed`."""

    sealed: Step | None
    """Against the death of the process."""
    held: Step | None
    """Against the death of the host: in the memory of a partner, where there is a bond."""
    deposited: Step | None
    """In the vault, against the end of all memory."""
    unsealed: int
    """Commits that went by unsealed in a row; 0 when all is well."""


class Life:
    """One run of a member. Made by `join`; use it as a context manager, or let the end of the program end it."""

    def __init__(
        self,
        member: MemberName,
        home: Home,
        joined: Joined,
        descriptors: list[int],
        *,
        pickle: bool,
        generators: bool,
        sparse: bool | None,
    ) -> None:
        self.name = member
        self.epoch = joined.epoch
        """1 for the first life of the member, then 2, 3 ..."""
        self.reason = joined.reason
        """Where this life starts from, and why, in one sentence."""
        self.previous: Ending | None = joined.previous
        """How the life before ended; None in the first one."""
        self._home = home
        self._restore_from = joined.commit
        self._image = descriptors[1] if len(descriptors) > 1 else None
        self._restored = joined.commit is None
        self._heart = Heart(descriptors[0])
        self._voucher = Voucher(self._heart, lambda: self._link.look(), f"life {joined.epoch} of {member}")
        self._writer = Writer(
            member,
            joined.epoch,
            slots_most=joined.slots,
            new_slot=self._new_slot,
            pickle=pickle,
            sparse=sparse,
            voucher=self._voucher,
        )
        self.is_sparse = self._writer.is_sparse
        """It was asked for, and this kernel says what was written."""
        self._pickle = pickle
        self._generators = generators
        self._link: Link
        self._process = os.getpid()
        self._lock = threading.Lock()
        self._committer: int | None = None
        self._step: Step | None = joined.commit.step if joined.commit else None
        self._open = True
        self._last_safe: Safe | None = None
        self._rehearsal = self._rehearse() if SCRIPT in os.environ else None
        self._farewell = Farewell(lambda raised: self._link.tell(raised), self._on_exit, Path(joined.stacks))

    @overload
    def restore(self, *, map: bool = False, strict: bool = False) -> Any: ...

    @overload
    def restore(self, initial: S, *, map: bool = False, strict: bool = False) -> S: ...

    def restore(self, initial: Any = None, *, map: bool = False, strict: bool = False) -> Any:
        """Pour the newest whole commit into `initial` and return it; in a first life `initial` comes back untouched.

        Arrays and tensors of the same shape and dtype are filled in place, objects with `load_state_dict` are
        loaded, everything else is replaced. Keys that a dict gained before the commit stand in it again. What the
        commit does not know keeps its initial value and is named in a warning, as is what has no place any more, such
        as a field that a class lost. Where `initial` has None or an empty array, an array of any shape may come: so
        begin one that grows. Without `initial` the state is built anew. With `map` new arrays are mapped, not copied:
        quick to have, read and copied page by page when first used. With `strict` a warning is an error, and nothing is
        changed.

        Raises `DoesNotFit` where shapes, dtypes or classes differ, or nothing of the commit fits (`initial` is then
        unchanged, but where an object's own `load_state_dict` refuses: that comes last, and the error says so),
        `CommitDamaged` where bytes changed since the keeper checked them (`initial` is then undefined: end the
        program).
        """
        self._refuse_if_foreign()
        state = initial
        self._writer.classes.give(initial)  # In a first life too: what it commits is asked for by the next.
        if self._image is not None:
            slot = Slot(self._image, writable=False, private=map)
            poured = pour(
                slot.image,
                initial,
                map=map,
                pickle=self._pickle,
                generators=self._generators,
                strict=strict,
                classes=self._writer.classes,
            )
            slot.close()
            os.close(self._image)
            self._image = None
            state = poured.state
            _warn_of_differences(poured.unknown, poured.dropped, poured.bare)
        self._restored = True
        if self._rehearsal is not None:
            self._rehearsal.begin()
        self._heart.start()
        self._link.tell(RestoredNote(map))
        return state

    def commit(
        self,
        state: object,
        *,
        step: int | None = None,
        wait: Literal["sealed", "held", "deposited"] = "sealed",
        timeout: float = _WAIT_SECONDS,
    ) -> CommitId | None:
        """Seal the whole state, and return its name; from then on the program may change its arrays, or be killed.

        `step` defaults to `state["step"]` (or `state.step`) where that is an int, else to one more than the last.
        With `wait="held"` the call returns when the commit is in the memory of a partner, on another host; with
        `wait="deposited"` when it is in the vault; it is waited for at most `timeout` seconds.

        Where the member's partner may take it over, a life goes on only while somebody vouches for it (the partner or
        the lease store): else the call waits, says so, and seals nothing. No commit that it returns for was sealed
        after another life may have begun.

        Returns None, with an `UnsealedWarning`, where no slot could be had because no keeper can be reached: the
        program goes on, `safe.unsealed` counts. Raises `CannotStore` (before anything is written), `NoRoom` (the
        last commits stay), `UsageError` for a step that goes backwards, `Fenced` where a newer life exists. Where the
        commit is sealed but not held or deposited in time it raises `PartnerUnreachable` or `KeeperError`: the
        program may go on.
        """
        if wait not in ("sealed", "held", "deposited"):
            raise UsageError(
                f"wait={wait!r} is not a level that a commit can be waited for", hint='"sealed", "held" or "deposited"'
            )
        if not timeout >= 0:
            raise UsageError(f"timeout={timeout!r} is no time to wait", hint="a number of seconds, 0 or more")
        self._refuse_if_foreign()
        if not self._restored or self._committer is not None:
            self._refuse_commit()
        with self._lock:
            try:
                self._committer = threading.get_ident()
                reached = self._step_of(state, step)
                self._link.look()
                commit = self._writer.write(state, reached, self._generators)
                self._step = reached
                if commit is None:
                    self._voucher.wait()
                    self._pass_unsealed(reached)
                else:
                    self._heart.seal(commit)
                    if wait != "sealed":
                        self._wait_until(wait, commit, timeout)
            finally:
                self._committer = None
        if self._rehearsal is not None:
            self._rehearsal.committed(state, reached)
        return commit

    def note(self, *consumed: object) -> None:
        """Say what the next commit consumes: a batch, a draw, a request. For `goldthread check`, which compares it
        between runs and so tells data that came otherwise from a state that lacks something; else it costs nothing.
        """
        if self._rehearsal is not None:
            self._rehearsal.note(consumed)

    def beat(self) -> None:
        """A sign of progress, for long stretches without a commit. Costs about a microsecond.

        Waits, as `commit` does, where nobody vouches for the life. Raises `Fenced` where a newer one exists.
        """
        self._refuse_if_foreign()
        self._link.look()
        self._voucher.wait()
        self._heart.beat()

    @property
    def safe(self) -> Safe:
        """The newest step sealed, held and deposited; when the life is over, as it was then."""
        self._refuse_in_a_fork()
        if self._last_safe is not None:
            return self._last_safe
        newest = self._writer.newest or self._restore_from
        heart = self._heart
        return Safe(newest.step if newest else None, heart.held, heart.deposited, heart.unsealed)

    @property
    def keepers_lost(self) -> int:
        """How many times this life was handed over to a new keeper."""
        return self._link.returns

    def __enter__(self) -> Life:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None and not is_peaceful(error):
            self._farewell.tell_of(error)
        self._leave(peaceful=is_peaceful(error))

    def __repr__(self) -> str:
        return f"<Life {self.epoch} of {self.name}, step {self._step}>"

    # Inside

    def _connect(self, channel: Any) -> None:
        self._link = Link(self._home, channel, self.name, self.epoch, self._held)

    def _held(self) -> tuple[int, list[tuple[int, int]]]:
        slots = sorted(self._writer.slots.items())
        return self._heart.descriptor, [(index, slot.descriptor) for index, slot in slots]

    def _refuse_commit(self) -> None:
        """One commit at a time: another thread waits for its turn; a signal handler cannot."""
        if not self._restored:
            raise UsageError(
                f"life {self.epoch} of {self.name} has a commit to go on from, and commits before restore",
                hint="call life.restore(...) first, or goldthread.join(..., fresh=True) to start over",
            )
        if self._committer == threading.get_ident():
            raise UsageError(
                "commit was called while a commit of the same thread runs",
                hint="do not commit in a signal handler; set a flag there and commit in the loop",
            )

    def _refuse_if_foreign(self) -> None:
        self._refuse_in_a_fork()
        if not self._open:
            raise UsageError(f"life {self.epoch} of {self.name} is over", hint="join again to begin the next")

    def _refuse_in_a_fork(self) -> None:
        """The slots are not mapped there: to look at them would end the process."""
        if os.getpid() != self._process:
            raise UsageError(
                f"this process is a fork of the one that joined as {self.name}",
                hint="only the process that joined may restore, commit and beat; give its results back to it",
            )

    def _step_of(self, state: object, step: int | None) -> Step:
        if step is None:
            own = state.get("step") if isinstance(state, dict) else getattr(state, "step", None)
            # NumPy's integers are integers, too.
            step = int(own) if isinstance(own, Integral) and not isinstance(own, bool) else (self._step or 0) + 1
        if step < 0:
            raise UsageError(f"step {step} is below 0", hint="count steps from 0 on")
        if step > _STEP_MOST:
            raise UsageError(f"step {step} is too large", hint="count steps from 0 on, one for each")
        if self._step is not None and step < self._step:
            raise UsageError(
                f"step {step} goes backwards: step {self._step} was committed",
                hint="give commit(..., step=) a count that never decreases; goldthread rollback goes back on purpose",
            )
        return Step(index(step))

    def _new_slot(self, index: int, size: int) -> int | None:
        # A keeper that died is usually back in a moment. One that stays away is not waited for at each commit.
        wait_seconds = _NEW_SLOT_SECONDS if self._heart.unsealed == 0 else 0.0
        try:
            _, descriptors = self._link.ask(SlotRequest(index, size), wait_seconds=wait_seconds)
        except KeeperUnreachable:
            return None
        return descriptors[0]

    def _wait_until(self, level: str, commit: CommitId, seconds: float) -> None:
        request, kind = _ASKED[level]
        try:
            self._link.ask(request, wait_seconds=seconds, answer_seconds=seconds)
        except TimeoutError:
            raise kind(
                f"{commit} of {self.name} is sealed, and was not {level} within {seconds:g} s",
                hint="goldthread status says why; a large state has more time with a larger timeout=",
            ) from None

    def _pass_unsealed(self, step: Step) -> None:
        unsealed = self._heart.pass_unsealed(step)
        newest = self._writer.newest
        warnings.warn(
            f"step {step} of {self.name} went by unsealed: no keeper can be reached for a slot"
            f" ({unsealed} in a row; the newest sealed step is {newest.step if newest else 'none'})",
            UnsealedWarning,
            stacklevel=3,
        )

    def _rehearse(self) -> Rehearsal:
        from goldthread.program.rehearsal import Rehearsal

        return Rehearsal(
            self.epoch,
            pickle=self._pickle,
            generators=self._generators,
            slots=lambda: self._writer.slots,
            leave=lambda: self._leave(peaceful=True),
        )

    # The end

    def _leave(self, *, peaceful: bool) -> None:
        if not self._open or os.getpid() != self._process:
            return
        if self._rehearsal is not None:
            self._rehearsal.tell_end()
        self._last_safe = self.safe
        self._open = False
        self._farewell.close()
        if peaceful:
            with contextlib.suppress(KeeperError):
                self._link.ask(LeaveNote(), wait_seconds=_NEW_SLOT_SECONDS)
        self._link.close()
        self._writer.close()
        self._heart.stop()
        if self._image is not None:
            os.close(self._image)

    def _on_exit(self) -> None:
        """The interpreter ends: in peace, unless an exception ends it."""
        self._leave(peaceful=not self._farewell.raised)


def _warn_of_differences(unknown: tuple[str, ...], dropped: tuple[str, ...], bare: tuple[str, ...]) -> None:
    if unknown or dropped or bare:
        warnings.warn(say_differences(unknown, dropped, bare), RestoreWarning, stacklevel=3)
