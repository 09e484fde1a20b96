"""The play of `goldthread demo`: what is done to the member, act by act, and what came of it.

Three keepers on one machine stand for three hosts. Every act waits for a fact, which a keeper reports or its journal
tells; every time that is shown was measured.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from time import monotonic
from typing import IO, Final

import click
import msgspec

from goldthread.cli.screen import amount, lasting, paint
from goldthread.cli.stage import Stage, end_processes, state_differences
from goldthread.errors import KeeperError
from goldthread.local import connect, reach_keeper
from goldthread.names import Epoch, KeeperId, MemberName, Step, seconds
from goldthread.report import LifeReport, MemberReport, OwnerState, Phase, PhaseTime
from goldthread.terms import Terms
from goldthread.wire.bond_requests import AcceptRequest, Invited, InviteRequest, TakeoverRequest
from goldthread.wire.messages import Done, DrillRequest

__all__ = ["MEMBER", "ONE_THREAD", "STEPS", "Happening", "Outcome", "Play"]

MEMBER: Final = MemberName("digits")
STEPS: Final = 2200
_PACE: Final = 70
"""Steps in peace between two acts."""
_RESTARTS: Final = 20
_HANG_FLOOR: Final = seconds(2)
_LIMIT_SECONDS: Final = 180.0
_FIRST_STEP: Final = "first new step"
ONE_THREAD: Final = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")
"""The sums of a matrix product come out in another order on another number of threads."""


class Happening(msgspec.Struct, frozen=True):
    """One act, with what it cost."""

    at: float
    """Seconds since the demo began."""
    step: Step
    """The step at which it happened."""
    event: str
    outcome: str
    lost_steps: int
    """Sealed steps that had to be made again."""
    then: str = ""
    """From where the next life went on, and why, as it was told itself."""
    phases: tuple[PhaseTime, ...] = ()
    """Of the next life, as its keeper measured them."""
    seconds: float = 0.0
    """From the act to the first new step, as seen from outside."""


class Outcome(msgspec.Struct, frozen=True):
    bit_identical: bool
    differences: tuple[str, ...]
    steps: Step
    lives: int
    lost_steps: int
    seconds: float
    happenings: tuple[Happening, ...]


class Play:
    """`iruka` runs the member first; `twin` runs one to which nothing happens."""

    def __init__(self, stages: Sequence[Stage], program: Path, *, to_stderr: bool) -> None:
        self._iruka, self._kakashi, self._tsunade, self._twin = stages
        self._argv = (sys.executable, str(program), "--steps", str(STEPS))
        self._to_stderr = to_stderr
        self._began = monotonic()
        self._happenings: list[Happening] = []

    def run(self) -> Outcome:
        self._say(f"a network is trained for {STEPS} steps while things happen to it; its twin is left in peace")
        self._tie(self._iruka, self._kakashi)
        for one in (self._twin, self._iruka):
            one.run(self._argv, ONE_THREAD, restarts=_RESTARTS, hang_floor=_HANG_FLOOR)
        acts: tuple[Callable[[], None], ...] = (
            self._kill_process,
            self._stop_process,
            self._kill_keeper,
            self._damage_own_copy,
            self._lose_iruka,
            self._iruka_returns,
            self._hand_back,
            self._lose_kakashi,
        )
        for act in acts:
            act()
        for one in (self._iruka, self._twin):
            one.wait_rest(_LIMIT_SECONDS)
        lives = self._iruka.lives()
        steps, differences = self._compare()
        self._line(steps, "finished", f"in peace on iruka, in life {lives[-1].epoch}; the twin too, in its first")
        return Outcome(
            bit_identical=not differences,
            differences=differences,
            steps=steps,
            lives=lives[-1].epoch,
            lost_steps=sum(one.lost_steps for one in self._happenings),
            seconds=round(monotonic() - self._began, 3),
            happenings=tuple(self._happenings),
        )

    # The acts

    def _kill_process(self) -> None:
        before = self._further(self._iruka)
        at = monotonic()
        os.kill(_pid_of(before), signal.SIGKILL)
        self._wait_next(self._iruka, before, at, "process killed (SIGKILL)", "restarted on iruka")

    def _stop_process(self) -> None:
        """It makes no sign of life any more, and nobody says why: a hang."""
        before = self._further(self._iruka)
        at = monotonic()
        os.kill(_pid_of(before), signal.SIGSTOP)
        self._wait_next(self._iruka, before, at, "process hung (SIGSTOP)", "found out, ended and restarted on iruka")

    def _kill_keeper(self) -> None:
        """The program and its partner do not wait for a keeper: another one takes the program back."""
        before, keeper = self._further(self._iruka), self._iruka.keeper_pid()
        at = monotonic()
        os.kill(keeper, signal.SIGKILL)
        after = self._iruka.wait(
            "another keeper",
            lambda now: now if now.phase is Phase.RUNNING and (now.step or 0) > (before.step or 0) else None,
        )
        if self._iruka.keeper_pid() == keeper or (after.pid, after.epoch) != (before.pid, before.epoch):
            raise KeeperError("the keeper was killed, and its program did not go on under the next one")
        took, steps = lasting(seconds(monotonic() - at)), (after.step or 0) - (before.step or 0)
        text = f"another takes the program back after {took} ({amount(steps, 'step')} meanwhile)"
        self._note(at, before, "iruka's keeper killed (SIGKILL)", text)

    def _damage_own_copy(self) -> None:
        """Bits flip in the newest commit, and its program dies: the partner has what is missing."""
        before = self._further(self._iruka)
        pid, at = _pid_of(before), monotonic()
        os.kill(pid, signal.SIGSTOP)  # So that it cannot seal another commit before it is killed.
        sealed = self._iruka.wait("the newest commit to be held", _held_all)
        with connect(self._iruka.home, "command") as channel:
            answer, _ = channel.ask(DrillRequest(MEMBER))
        assert isinstance(answer, Done)
        os.kill(pid, signal.SIGKILL)
        self._wait_next(self._iruka, sealed, at, "bits flipped in the newest commit, then killed", "mended")

    def _lose_iruka(self) -> None:
        """Keeper, carrier, shim and program at once, with all of its memory: the loss of a host."""
        before = self._further(self._iruka)
        at = monotonic()
        end_processes(self._iruka.home)
        self._wait_next(self._kakashi, before, at, "iruka lost, with all its memory", "taken over by kakashi")

    def _iruka_returns(self) -> None:
        before = self._further(self._kakashi, held=False)
        at = monotonic()
        reach_keeper(self._iruka.home, "command").close()
        self._kakashi.wait("iruka to hold it", lambda now: True if _is_held(now) else None)
        took = lasting(seconds(monotonic() - at))
        self._note(at, before, "iruka returns", f"it learns that it is fenced, and holds the copy after {took}")

    def _hand_back(self) -> None:
        before = self._further(self._kakashi)
        at = monotonic()
        with connect(self._kakashi.home, "command") as channel:
            me = channel.ask(TakeoverRequest(MEMBER, self._id_of(self._iruka)), timeout=_LIMIT_SECONDS)[0]
        assert isinstance(me, Done)
        self._wait_next(self._iruka, before, at, "goldthread takeover digits --to iruka", "handed over")
        self._iruka.wait("kakashi to hold it", lambda now: True if _is_held(now) else None)

    def _lose_kakashi(self) -> None:
        """The partner dies: what that costs is known beforehand, the member goes on, and its keeper finds another
        partner."""
        before = self._further(self._iruka)
        price = self._iruka.keeper_report().bonds
        told = next(bond.price.text for bond in price if bond.name == "kakashi")
        self._say(paint(f"{'':22}if kakashi died now: {told}", "dim", stream=self._stream))
        at = monotonic()
        end_processes(self._kakashi.home)
        exposed = self._iruka.wait("the loss to be seen", lambda now: now if now.exposed else None)
        reach_keeper(self._tsunade.home, "command").close()
        after = self._iruka.wait("another holder", lambda now: now if _is_held(now) and not now.exposed else None)
        if (after.pid, after.epoch) != (before.pid, before.epoch):
            raise KeeperError("the partner died, and the member did not go on")
        took, steps = lasting(seconds(monotonic() - at)), (after.step or 0) - (before.step or 0)
        found = f"iruka finds tsunade in its circle, which holds a whole copy after {took}"
        text = f"the member goes on ({amount(steps, 'step')} meanwhile); {found}"
        self._note(at, exposed, "kakashi lost", text)

    # What acts are made of

    def _tie(self, one: Stage, other: Stage) -> None:
        """An invitation here, its acceptance there."""
        at = monotonic()
        with reach_keeper(one.home, "command") as channel:
            invited = channel.ask(InviteRequest(Terms()))[0]
        assert isinstance(invited, Invited)
        with reach_keeper(other.home, "command") as channel:
            channel.ask(AcceptRequest(invited.code, Terms()), timeout=_LIMIT_SECONDS)
        took = lasting(seconds(monotonic() - at))
        self._line(Step(0), "bonded", f"{one.home.path.name} and {other.home.path.name}, in {took}")

    def _further(self, stage: Stage, *, held: bool = True) -> MemberReport:
        """Let the member make some steps in peace, and be held where somebody is there to hold it."""
        start = stage.wait("the member to run", lambda now: now if now.phase is Phase.RUNNING else None)
        goal = (start.step or 0) + _PACE
        return stage.wait(
            f"step {goal}", lambda now: now if (now.step or 0) >= goal and (_is_held(now) or not held) else None
        )

    def _wait_next(self, stage: Stage, before: MemberReport, at: float, event: str, how: str) -> None:
        """Wait for the first new step of the life that follows, wherever it runs, and show it."""
        stage.wait("the next life's first new step", lambda now: _has_new_step(now, before.epoch), _LIMIT_SECONDS)
        back = monotonic()
        life = self._newest_life(stage, before.epoch)
        reached = before.sealed.commit.step if before.sealed is not None else Step(0)
        lost = max(0, reached - (life.restored.step if life.restored else 0))
        imports = next((lasting(phase.span) for phase in life.phases if phase.phase == "imports"), "some")
        text = f"{how}; first new step after {lasting(seconds(back - at))}, {imports} of it imports"
        self._show(
            Happening(
                at=round(at - self._began, 3),
                step=reached,
                event=event,
                outcome=text,
                lost_steps=lost,
                then=life.restored_reason,
                phases=life.phases,
                seconds=round(back - at, 4),
            )
        )

    def _newest_life(self, stage: Stage, dead: Epoch) -> LifeReport:
        """The life after `dead`, once the journal has all of its phases."""

        def look(_: MemberReport) -> LifeReport | None:
            lives = stage.lives()
            is_whole = bool(lives) and _FIRST_STEP in [phase.phase for phase in lives[-1].phases]
            return lives[-1] if is_whole and lives[-1].epoch > dead else None

        return stage.wait("its journal", look)

    def _id_of(self, stage: Stage) -> KeeperId:
        stage.wait("its keeper", lambda now: now)
        return stage.keeper_report().id

    def _compare(self) -> tuple[Step, tuple[str, ...]]:
        """The last step, and every place where the final state is not the twin's."""
        (mine, image), (_, twin_image) = self._iruka.newest(), self._twin.newest()
        try:
            return mine.step, state_differences(image, twin_image)
        finally:
            os.close(image)
            os.close(twin_image)

    # The timeline

    def _note(self, at: float, before: MemberReport, event: str, outcome: str) -> None:
        took = round(monotonic() - at, 4)
        self._show(Happening(round(at - self._began, 3), Step(before.step or 0), event, outcome, 0, seconds=took))

    def _show(self, happening: Happening) -> None:
        self._happenings.append(happening)
        lost = f"lost {amount(happening.lost_steps, 'step')}" if happening.lost_steps else "lost nothing"
        self._line(happening.step, happening.event, f"{happening.outcome}; {lost}", at=happening.at)
        if happening.then:
            self._say(paint(f"{'':22}{happening.then}", "dim", stream=self._stream))

    def _line(self, step: int, event: str, text: str, at: float | None = None) -> None:
        moment = monotonic() - self._began if at is None else at
        self._say(f"{moment:6.1f} s  step {step:>4}  {paint(event, 'yellow', stream=self._stream)}: {text}")

    @property
    def _stream(self) -> IO[str]:
        return sys.stderr if self._to_stderr else sys.stdout

    def _say(self, text: str) -> None:
        click.echo(text, err=self._to_stderr)


def _is_held(now: MemberReport) -> bool:
    return now.owner_state is OwnerState.BONDED and now.held is not None


def _held_all(now: MemberReport) -> MemberReport | None:
    """The report once the newest sealed commit is held, too."""
    return now if now.held is not None and now.sealed is not None and now.held.commit >= now.sealed.commit else None


def _has_new_step(now: MemberReport, dead: Epoch) -> bool | None:
    """True once a later life has sealed a commit of its own."""
    return True if now.sealed is not None and now.sealed.commit.epoch > dead else None


def _pid_of(report: MemberReport) -> int:
    if report.pid is None:
        raise KeeperError(f"{report.name} should run: {report.reason}")
    return report.pid
