"""`goldthread check`: does a program go on exactly after a death?

It is run to a step at least three times: undisturbed, undisturbed with other hashes and another pattern in fresh
memory, and killed, in the middle and again right after the first commit of its second life: what was restored is then
restored once more, before anything can make up for what it lacks. The states are compared leaf by leaf, and what each
commit consumed, where the program notes that. The runs: `rehearsal.py`; the judgement: `evidence.py`, `causes.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from itertools import pairwise
from time import monotonic, time
from typing import Final

import click
import msgspec

from goldthread.cli.arguments import MEMBER, SPAN, json_option
from goldthread.cli.causes import Cause, Told, find_causes
from goldthread.cli.evidence import (
    Aside,
    CauseKind,
    Clock,
    DataView,
    Leaf,
    Outside,
    find_draws,
    find_first_steps,
    find_outside,
    judge_unsteady,
    look_at_data,
    needs_another_run,
)
from goldthread.cli.rehearsal import (
    Run,
    Surrounding,
    differences_of,
    plan_kills,
    refuse_unless_killed,
    run_on,
    without,
)
from goldthread.cli.run import command_of, name_of
from goldthread.cli.screen import amount, paint, print_json, progress
from goldthread.cli.stage import Stage, open_stages
from goldthread.errors import UsageError
from goldthread.names import MemberName, Span
from goldthread.wire.rehearsal import Script

__all__ = ["Verdict", "check"]

_STEPS: Final = 20
_FAR: Final = 4
"""So many times the steps are gone to see the end of an epoch."""
_SHOWN: Final = 5
_CAUSES_SHOWN: Final = 3
_USUAL: Final = Surrounding(1, 0x5A)
_OTHER: Final = Surrounding(2, 0xA7)


class Verdict(msgspec.Struct, frozen=True):
    bit_identical: bool
    """Whether all leaves agree, but for those that are set aside as times."""
    steps: int
    """The step at which the states were compared."""
    commits: int
    """Made on the way there."""
    killed_at: tuple[int, ...]
    epoch_ends: int | None
    """Ends of epochs that were crossed; None where the program shows no epochs."""
    differences: tuple[str, ...]
    """What makes the answer no: first what differs where the program was killed, the earliest first, then what differs
    in every run and is no time."""
    first_step: int | None
    """The first commit in which something differs where the program was killed."""
    set_aside: tuple[Aside, ...]
    """Leaves that differ in every run, and why."""
    deterministic: bool
    """Whether two undisturbed runs agree, but for times."""
    likely_cause: str
    causes: tuple[Cause, ...]
    """The likeliest first."""
    data: DataView | None
    """What `life.note` was given; None where it was given nothing."""
    outside: tuple[Outside, ...]
    """What looks like state and is not in it."""


@click.command(
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
    epilog="Example: goldthread check --steps 20 -- python train.py",
)
@click.option("--steps", type=click.IntRange(min=2), help=f"Compare after this step.  [default: {_STEPS}, or 2 x --at]")
@click.option("--at", type=click.IntRange(min=1), metavar="STEP", help="Kill it first after this step, not midway.")
@click.option("--kills", type=click.IntRange(min=1), default=2, show_default=True, help="How often it is killed.")
@click.option("--within", type=SPAN, default="2min", show_default=True, help="The longest wait for a commit.")
@click.option("--name", type=MEMBER, help="The member's name; by default that of the script.")
@json_option
@click.argument("argv", nargs=-1, required=True, type=click.UNPROCESSED, metavar="[--] CMD ...")
def check(
    steps: int | None,
    at: int | None,
    kills: int,
    within: Span,
    name: MemberName | None,
    as_json: bool,
    argv: tuple[str, ...],
) -> int:
    """Run CMD for a few steps, undisturbed and killed, and say whether the states are the same, bit for bit.

    It is killed in the middle, and again right after the first commit of its second life. Where its state has an
    epoch, it is run on (up to four times the steps) until one has ended. What differs between two undisturbed runs is
    set aside: a time is no fault, all else is named with its likely cause. `life.note(batch)` in the program lets the
    data be compared as well.

    It runs in a temporary home, so that no member of yours is touched. The status is 1 where the states differ.
    """
    member, command = name or name_of(argv), command_of(argv)
    steps = steps or max(_STEPS, 2 * (at or 0))
    if at is not None and at >= steps:
        raise UsageError(f"--at {at} is not before step {steps}, at which it is compared", hint=f"--steps {2 * at}")
    with open_stages(member, "calm", "other", "killed", "again", "hashed") as stages, ExitStack() as runs:
        verdict = _Check(command, within, stages, runs).judge(steps, at, kills)
    if as_json:
        print_json(verdict)
    else:
        _tell(verdict)
    return 0 if verdict.bit_identical else 1


class _Check:
    """The runs of one program, each on a stage of its own, and what follows from them."""

    def __init__(self, command: Sequence[str], within: Span, stages: Sequence[Stage], runs: ExitStack) -> None:
        self._command = command
        self._within = within
        self._calm, self._other, self._killed, self._again, self._hashed = stages
        self._runs = runs

    def judge(self, steps: int, at: int | None, kills: int) -> Verdict:
        began = time(), monotonic()
        script = Script("", steps, commits_least=kills + 1, far=_FAR * steps)
        calm = self._run(f"undisturbed, to step {steps}", self._calm, script, _USUAL)
        end = calm.commit.step
        script = Script("", end, ends_itself=calm.end is not None and calm.end.of_itself)
        other = self._run(f"undisturbed again, to step {end}", self._other, script, _OTHER)
        planned = plan_kills(calm.commits, kills, at)
        killing = msgspec.structs.replace(script, kills=planned)
        killed = self._run(f"killed after step {planned[0]} and again, to step {end}", self._killed, killing, _USUAL)
        refuse_unless_killed(killed, calm)
        clock = Clock((began[0], time()), (began[1], monotonic()))
        asides = self._find_unsteady(calm, other, clock, script)
        return _verdict(calm, other, killed, asides)

    def _find_unsteady(self, calm: Run, other: Run, clock: Clock, script: Script) -> tuple[Aside, ...]:
        """The leaves that differ in every run. Where they are no times, more runs tell what they follow."""
        unsteady = differences_of(calm, other)
        if not needs_another_run(unsteady, clock):
            return judge_unsteady(unsteady, None, None, clock)
        same = self._run("undisturbed as at first", self._again, script, _USUAL)
        again = {leaf.place for leaf in differences_of(calm, same)}
        by_hash = None
        if without(unsteady, again):
            mixed = Surrounding(_OTHER.hash_seed, _USUAL.pattern)
            hashed = self._run("undisturbed with other hashes", self._hashed, script, mixed)
            by_hash = {leaf.place for leaf in differences_of(calm, hashed)}
        return judge_unsteady(unsteady, again, by_hash, clock)

    def _run(self, what: str, stage: Stage, script: Script, surrounding: Surrounding) -> Run:
        with progress(what):
            return self._runs.enter_context(run_on(stage, self._command, script, surrounding, self._within))


def _verdict(calm: Run, other: Run, killed: Run, asides: tuple[Aside, ...]) -> Verdict:
    always = [aside.place for aside in asides if aside.always]
    first_steps = find_first_steps(calm.commits, killed.commits, other.commits)
    found = without(differences_of(calm, killed), always)
    differences = sorted(found, key=_earliest(first_steps))
    told_of = {leaf.place for leaf in differences}
    faults = [aside for aside in asides if aside.kind is not CauseKind.TIME]
    told = Told(
        differences,
        asides,
        look_at_data(calm.commits, other.commits, killed.commits),
        find_outside(calm.end, other.end, killed.end),
        find_draws(calm.commits, other.commits, killed.commits),
        calm.end is None or calm.end.generators,
    )
    causes = find_causes(told)
    return Verdict(
        bit_identical=not differences and not faults,
        steps=calm.commit.step,
        commits=len(calm.commits),
        killed_at=killed.deaths,
        epoch_ends=_epoch_ends(calm),
        differences=(*map(str, differences), *(str(fault) for fault in faults if fault.place not in told_of)),
        first_step=min(first_steps.values(), default=None) if differences else None,
        set_aside=asides,
        deterministic=not faults,
        likely_cause=causes[0].text if causes else "",
        causes=causes,
        data=told.data,
        outside=tuple(told.outside),
    )


def _earliest(first_steps: dict[str, int]) -> Callable[[Leaf], float]:
    """Puts leaves in the order in which the parts of the state that hold them came to differ."""

    def first_step(leaf: Leaf) -> float:
        steps = [step for place, step in first_steps.items() if not without([leaf], [place])]
        return min(steps, default=float("inf"))

    return first_step


def _epoch_ends(run: Run) -> int | None:
    epochs = [commit.epoch for commit in run.commits]
    if all(epoch is None for epoch in epochs):
        return None
    return sum(one != other for one, other in pairwise(epochs))


def _tell(verdict: Verdict) -> None:
    answer = paint("bit-identical: yes", "green", "bold") if verdict.bit_identical else paint(
        "bit-identical: no", "red", "bold"
    )  # fmt: skip
    click.echo(f"{answer}  {_deaths(verdict)}, restored, compared at step {verdict.steps}")
    _tell_some(verdict.differences)
    if verdict.first_step is not None:
        click.echo(f"first seen in the commit of step {verdict.first_step}")
    for index, cause in enumerate(verdict.causes[:_CAUSES_SHOWN]):
        click.echo(f"{'likely cause' if index == 0 else 'or'} ({cause.kind}): {cause.text}")
    for aside in verdict.set_aside:
        if aside.kind is CauseKind.TIME:
            click.echo(f"set aside: {aside} ({aside.kind}: it differs in every run)")
    _tell_data(verdict)
    _tell_outside(verdict)
    click.echo(f"looked at {amount(verdict.commits, 'commit')}, {_epochs(verdict)}")


def _deaths(verdict: Verdict) -> str:
    steps = [str(step) for step in verdict.killed_at]
    return (
        f"killed at step {steps[0]}" if len(steps) == 1 else f"killed at steps {', '.join(steps[:-1])} and {steps[-1]}"
    )


def _epochs(verdict: Verdict) -> str:
    if verdict.epoch_ends is None:
        return "and saw no epochs: what is done only at the end of one was perhaps not reached"
    if verdict.epoch_ends == 0:
        return "and reached no end of an epoch: --steps N goes further"
    return f"over {amount(verdict.epoch_ends, 'end')} of an epoch"


def _tell_data(verdict: Verdict) -> None:
    data = verdict.data
    if data is None:
        return
    noted = f"data: {amount(data.noted, 'commit')} noted what they consumed"
    if not data.steady:
        click.echo(f"{noted}, and in undisturbed runs it differs as well from step {data.first_other} on")
    elif data.first_other is None:
        click.echo(f"{noted}, and it is the same")
    else:
        like = "" if data.same_as is None else f", but what step {data.same_as} consumed undisturbed"
        click.echo(f"{noted}, and step {data.first_other} did not consume the same{like}")


def _tell_outside(verdict: Verdict) -> None:
    """What looks like state: what ended otherwise or changed, then, in a line of its own, what stayed as it was."""
    for stayed, title in ((False, "not in the state"), (True, "not in the state, and did not change")):
        names = [
            f"{one.name} ({one.what}{', ended otherwise where it was killed' if one.differs else ''})"
            for one in verdict.outside
            if (one.changed is False and not one.differs) is stayed
        ]
        if names:
            more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
            click.echo(f"{title}: {', '.join(names[:_SHOWN])}{more}")


def _tell_some(lines: Sequence[str]) -> None:
    for line in lines[:_SHOWN]:
        click.echo(f"  {line}")
    if len(lines) > _SHOWN:
        click.echo(f"  and {len(lines) - _SHOWN} more")
