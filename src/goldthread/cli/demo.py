"""`goldthread demo`: a network learns to read digits while its processes are killed, hung and damaged, for real.

A twin, to which nothing happens, runs beside it. At the end both hold the same state, to the bit. Every event waits
for a fact (the step that the keeper reports), every time that is shown was measured.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from time import monotonic
from typing import IO, Final

import click
import msgspec

from goldthread.cli.arguments import json_option
from goldthread.cli.screen import amount, lasting, paint, print_json
from goldthread.cli.stage import Stage, open_stages, state_differences
from goldthread.errors import KeeperError, UsageError
from goldthread.local import connect
from goldthread.names import Epoch, MemberName, Span, Step, seconds
from goldthread.report import LifeReport, MemberReport, Phase, PhaseTime
from goldthread.wire.messages import Done, DrillRequest

__all__ = ["Happening", "Outcome", "demo"]

_MEMBER: Final = MemberName("digits")
_STEPS: Final = 1200
_RESTARTS: Final = 20
_HANG_FLOOR: Final = seconds(2)
_STACKS_WAIT: Final = "500ms"
_LIMIT_SECONDS: Final = 120.0
_FIRST_STEP: Final = "first new step"
_ONE_THREAD: Final = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")
"""The sums of a matrix product come out in another order on another number of threads."""


class Happening(msgspec.Struct, frozen=True):
    """One event of the demo, with what it cost."""

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
    """Of the next life, as the keeper measured them."""
    seen_seconds: float | None = None
    """From the event to the keeper's report of it, as seen from outside."""
    seconds: float = 0.0
    """From the event to the first new step, as seen from outside."""


class Outcome(msgspec.Struct, frozen=True):
    bit_identical: bool
    differences: tuple[str, ...]
    steps: Step
    lives: int
    lost_steps: int
    seconds: float
    happenings: tuple[Happening, ...]


@click.command(epilog="Example: goldthread demo")
@json_option
def demo(as_json: bool) -> int:
    """Train a small network while it is killed three times, hung once, robbed of its keeper, and damaged in memory.

    Takes about half a minute, in a temporary home; nothing is left of it. The status is 1 where the final state is
    not that of a run to which nothing happened.
    """
    program = _program()
    os.environ.update(_ONE_THREAD)
    with open_stages(_MEMBER, "demo", "twin") as (stage, twin):
        os.environ["GOLDTHREAD_STACKS_WAIT"] = _STACKS_WAIT
        outcome = _Demo(stage, twin, program, to_stderr=as_json).play()
    if as_json:
        print_json(outcome)
    else:
        _tell_outcome(outcome, program)
    return 0 if outcome.bit_identical else 1


class _Demo:
    def __init__(self, stage: Stage, twin: Stage, program: Path, *, to_stderr: bool) -> None:
        self._stage = stage
        self._twin = twin
        self._argv = (sys.executable, str(program), "--steps", str(_STEPS))
        self._to_stderr = to_stderr
        self._began = monotonic()

    def play(self) -> Outcome:
        self._say(f"the demo trains a network for {_STEPS} steps while things happen to it; its twin is left in peace")
        for one in (self._twin, self._stage):
            one.run(self._argv, _ONE_THREAD, restarts=_RESTARTS, hang_floor=_HANG_FLOOR)
        faults = (self._kill, self._hang, self._kill, self._kill_keeper, self._flip, self._kill)
        pace = _STEPS // (len(faults) + 2)
        happenings = tuple(self._happen(Step(pace * number), fault) for number, fault in enumerate(faults, 1))
        for one in (self._stage, self._twin):
            one.wait_rest(_LIMIT_SECONDS)
        lives = self._stage.lives()
        steps, differences = self._compare()
        self._line(steps, "finished", f"in peace, in life {lives[-1].epoch}; the twin too, in its first")
        return Outcome(
            bit_identical=not differences,
            differences=differences,
            steps=steps,
            lives=len(lives),
            lost_steps=sum(one.lost_steps for one in happenings),
            seconds=round(monotonic() - self._began, 3),
            happenings=happenings,
        )

    def _happen(self, step: Step, fault: Callable[[MemberReport], Happening]) -> Happening:
        """Wait for a step, do the fault, and show what came of it."""
        before = self._stage.wait(
            f"step {step}",
            lambda report: report if report.phase is Phase.RUNNING and (report.step or 0) >= step else None,
        )
        happening = fault(before)
        lost = f"lost {amount(happening.lost_steps, 'step')}" if happening.lost_steps else "lost nothing"
        self._line(happening.step, happening.event, f"{happening.outcome}; {lost}", at=happening.at)
        if happening.lost_steps:
            self._say(paint(f"{'':22}{happening.then}", "dim", stream=self._stream))
        return happening

    # The faults

    def _kill(self, before: MemberReport) -> Happening:
        return self._die(before, "killed (SIGKILL)", lambda pid: os.kill(pid, signal.SIGKILL))

    def _hang(self, before: MemberReport) -> Happening:
        return self._die(before, "hung (SIGSTOP)", lambda pid: os.kill(pid, signal.SIGSTOP))

    def _flip(self, before: MemberReport) -> Happening:
        def fault(pid: int) -> None:
            # Stopped, so that it cannot seal another commit before it is killed.
            os.kill(pid, signal.SIGSTOP)
            with connect(self._stage.home, "command") as channel:
                answer, _ = channel.ask(DrillRequest(_MEMBER))
            assert isinstance(answer, Done)
            os.kill(pid, signal.SIGKILL)

        return self._die(before, "bits flipped in the newest commit, then killed", fault)

    def _die(self, before: MemberReport, event: str, fault: Callable[[int], None]) -> Happening:
        """Do what ends a life, and wait for the first new step of the next."""
        at = monotonic()
        fault(_pid_of(before))
        self._stage.wait(
            "the keeper to see it",
            lambda now: True if now.epoch > before.epoch or now.phase is not Phase.RUNNING else None,
        )
        seen = monotonic()
        self._stage.wait("the next life's first new step", lambda now: _has_new_step(now, before.epoch))
        back = monotonic()
        dead, life = self._two_lives(Epoch(before.epoch + 1))
        reached = Step(dead.reached or 0)
        return Happening(
            at=round(at - self._began, 3),
            step=reached,
            event=event,
            outcome=_death_words(dead, life, seconds(seen - at), seconds(back - at)),
            seen_seconds=round(seen - at, 4),
            then=life.restored_reason,
            lost_steps=reached - (life.restored.step if life.restored else 0),
            phases=life.phases,
            seconds=round(back - at, 4),
        )

    def _kill_keeper(self, before: MemberReport) -> Happening:
        """Kill the keeper, and wait until another has taken the running program back."""
        keeper = self._stage.keeper_pid()
        at = monotonic()
        os.kill(keeper, signal.SIGKILL)
        after = self._stage.wait(
            "another keeper",
            lambda now: now if now.phase is Phase.RUNNING and (now.step or 0) > (before.step or 0) else None,
        )
        back = monotonic()
        if self._stage.keeper_pid() == keeper or (after.pid, after.epoch) != (before.pid, before.epoch):
            raise KeeperError("the keeper was killed, and its program did not go on under the next one")
        alone = (after.step or 0) - (before.step or 0)
        return Happening(
            at=round(at - self._began, 3),
            step=Step(before.step or 0),
            event="keeper killed (SIGKILL)",
            outcome=f"another took over after {lasting(seconds(back - at))}; the program made {amount(alone, 'step')}"
            " meanwhile",
            lost_steps=0,
            seconds=round(back - at, 4),
        )

    def _two_lives(self, epoch: Epoch) -> tuple[LifeReport, LifeReport]:
        """The dead life and the next, `epoch`, once the journal has all of its phases."""
        self._stage.wait(
            f"the journal of life {epoch}",
            lambda _: True if _FIRST_STEP in [phase.phase for phase in self._stage.lives()[-1].phases] else None,
        )
        lives = {life.epoch: life for life in self._stage.lives()}
        return lives[Epoch(epoch - 1)], lives[epoch]

    def _compare(self) -> tuple[Step, tuple[str, ...]]:
        """The last step, and every place where the final state is not the twin's."""
        (mine, image), (_, twin_image) = self._stage.newest(), self._twin.newest()
        try:
            return mine.step, state_differences(image, twin_image)
        finally:
            os.close(image)
            os.close(twin_image)

    # The timeline

    def _line(self, step: int, event: str, text: str, at: float | None = None) -> None:
        moment = monotonic() - self._began if at is None else at
        self._say(f"{moment:6.1f} s  step {step:>4}  {paint(event, 'yellow', stream=self._stream)}: {text}")

    @property
    def _stream(self) -> IO[str]:
        return sys.stderr if self._to_stderr else sys.stdout

    def _say(self, text: str) -> None:
        click.echo(text, err=self._to_stderr)


def _death_words(dead: LifeReport, life: LifeReport, seen: Span, whole: Span) -> str:
    """What came of a death, in one line."""
    cause = dead.ending.kind.value if dead.ending else "no cause known"
    imports = next((lasting(phase.span) for phase in life.phases if phase.phase == "imports"), "some")
    return f"seen after {lasting(seen)} ({cause}), first new step after {lasting(whole)}, {imports} of it imports"


def _has_new_step(now: MemberReport, dead: Epoch) -> bool | None:
    """True once a later life has sealed a commit of its own."""
    return True if now.sealed is not None and now.sealed.commit.epoch > dead else None


def _pid_of(report: MemberReport) -> int:
    if report.pid is None:
        raise KeeperError(f"{report.name} should run: {report.reason}")
    return report.pid


def _program() -> Path:
    """Where examples/digits.py lies: in a checkout, or in the installed package."""
    if importlib.util.find_spec("sklearn") is None:
        raise UsageError("the demo needs scikit-learn for its digits", hint="pip install scikit-learn")
    for folder in (Path(__file__).parents[3], Path(__file__).parents[1]):
        program = folder / "examples" / "digits.py"
        if program.exists():
            return program
    raise UsageError("examples/digits.py is not there", hint="install goldthread again, or run make demo in a checkout")


def _tell_outcome(outcome: Outcome, program: Path) -> None:
    verdict = "yes" if outcome.bit_identical else "no"
    colour = "green" if outcome.bit_identical else "red"
    click.echo("")
    click.echo(paint(f"bit-identical: {verdict}", colour, "bold") + "  the whole state, against the twin's")
    for difference in outcome.differences:
        click.echo(f"  {difference}")
    each = " + ".join(str(one.lost_steps) for one in outcome.happenings)
    click.echo(f"lost steps: {outcome.lost_steps} of {outcome.steps} ({each}), in {outcome.lives} lives")
    goldthread, python, script = _as_typed(sys.argv[0]), _as_typed(sys.executable), _as_typed(str(program))
    click.echo("\ntry next:")
    for command in (
        f"{goldthread} run -- {python} {script}",
        f"{goldthread} status digits",
        f"{goldthread} drill digits kill",
        f"{goldthread} why digits",
    ):
        click.echo(f"  {command}")


def _as_typed(path: str) -> str:
    """How a user here would name a file: by its name alone where the shell finds it so."""
    name = Path(path).name
    if shutil.which(name) == path:
        return name
    here = Path.cwd()
    return str(Path(path).relative_to(here)) if Path(path).is_relative_to(here) else path
