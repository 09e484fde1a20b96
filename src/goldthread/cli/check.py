"""`goldthread check`: does a program go on exactly after a death?

It is run twice for a few steps, once undisturbed and once killed in the middle and restored, and the two states are
compared leaf by leaf. Where they differ, it is run undisturbed once more: if even two undisturbed runs differ, the
program is not deterministic by itself; otherwise something that decides its next step is not in its state.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence

import click
import msgspec

from goldthread.cli.arguments import MEMBER, json_option
from goldthread.cli.run import command_of, name_of
from goldthread.cli.screen import paint, print_json, progress
from goldthread.cli.stage import Stage, open_stages, state_differences
from goldthread.errors import NothingToRestore, UsageError
from goldthread.names import CommitId, MemberName
from goldthread.report import EndingKind, Phase

__all__ = ["Verdict", "check", "likely_cause"]

_LIMIT_SECONDS = 3600.0
_SHOWN = 5


class Verdict(msgspec.Struct, frozen=True):
    bit_identical: bool
    steps: int
    """The step at which the states were compared."""
    killed_at: int
    differences: tuple[str, ...]
    deterministic: bool | None
    """Whether two undisturbed runs agree; None where that did not matter."""
    likely_cause: str


@click.command(
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
    epilog="Example: goldthread check --steps 20 -- python train.py",
)
@click.option("--steps", type=click.IntRange(min=2), default=20, show_default=True, help="Compare after this step.")
@click.option("--name", type=MEMBER, help="The member's name; by default that of the script.")
@json_option
@click.argument("argv", nargs=-1, required=True, type=click.UNPROCESSED, metavar="[--] CMD ...")
def check(steps: int, name: MemberName | None, as_json: bool, argv: tuple[str, ...]) -> int:
    """Run CMD for a few steps, once undisturbed and once killed in the middle and restored, and compare the states.

    It runs in a temporary home, so that no member of yours is touched. The status is 1 where the states differ.
    """
    member, command = name or name_of(argv), command_of(argv)
    with open_stages(member, "calm", "killed", "again") as (calm, killed, again):
        verdict = _compare_runs(command, steps, calm, killed, again)
    if as_json:
        print_json(verdict)
    else:
        _tell(verdict)
    return 0 if verdict.bit_identical else 1


def _compare_runs(command: Sequence[str], steps: int, calm: Stage, killed: Stage, again: Stage) -> Verdict:
    with contextlib.ExitStack() as images:
        with progress(f"undisturbed, to step {steps}"):
            commit, image = images.enter_context(_image_at(calm, command, steps))
        middle = max(1, commit.step // 2)
        with progress(f"killed at step {middle} and restored, to step {commit.step}"):
            other, other_image = images.enter_context(_image_at(killed, command, commit.step, kill_at=middle))
        death = _refuse_unless_killed(killed, commit, other)
        differences = state_differences(image, other_image)
        deterministic = None
        if differences:
            with progress("undisturbed once more"):
                _, third_image = images.enter_context(_image_at(again, command, commit.step))
            deterministic = not state_differences(image, third_image)
    return Verdict(
        bit_identical=not differences,
        steps=commit.step,
        killed_at=death,
        differences=differences,
        deterministic=deterministic,
        likely_cause=likely_cause(differences[0], deterministic) if differences else "",
    )


@contextlib.contextmanager
def _image_at(
    stage: Stage, command: Sequence[str], steps: int, *, kill_at: int | None = None
) -> Iterator[tuple[CommitId, int]]:
    """Run the program on a stage until it committed a step, and lend the state that it had then."""
    environment = {"GOLDTHREAD_END_AT_STEP": str(steps)}
    if kill_at is not None:
        environment["GOLDTHREAD_KILL_AT_STEP"] = str(kill_at)
    stage.run(command, environment, restarts=1 if kill_at is not None else 0)
    report = stage.wait_rest(_LIMIT_SECONDS)
    ending = stage.ending()
    if report.phase is not Phase.ENDED or ending is None or ending.kind is not EndingKind.FINISHED:
        detail = f"\n{ending.detail}" if ending is not None and ending.detail else ""
        raise UsageError(f"the program did not come to step {steps}: {report.reason}{detail}")
    try:
        commit, descriptor = stage.newest()
    except NothingToRestore as error:
        raise _no_commit(stage) from error
    try:
        yield commit, descriptor
    finally:
        os.close(descriptor)


def _no_commit(stage: Stage) -> UsageError:
    for other in stage.keeper_report().members:
        if other.name != stage.member:
            return UsageError(
                f"{stage.member} ended without a commit: the program joins as {other.name}",
                hint=f"goldthread check --name {other.name} -- ...",
            )
    return UsageError("the program ended without a commit", hint="it must join, and commit(state) in its loop")


def _refuse_unless_killed(killed: Stage, commit: CommitId, other: CommitId) -> int:
    """The step at which the first life died. Raises `UsageError` where the runs cannot be compared."""
    lives = killed.lives()
    if len(lives) < 2 or lives[0].reached is None or lives[0].reached >= commit.step:
        raise UsageError(
            f"the program made no commit before step {commit.step}, so it could not be killed in the middle",
            hint="compare after more steps (--steps N), or have it commit more often: it is killed between two commits",
        )
    if other.step != commit.step:
        raise UsageError(
            f"undisturbed it stopped at step {commit.step}, restored at step {other.step}",
            hint="it must count its steps in its state: commit(state, step=...), restored with it",
        )
    return lives[0].reached


def likely_cause(difference: str, deterministic: bool | None) -> str:
    """What most often makes the first leaf that differs do so, judged by the evidence."""
    if deterministic is False:
        return (
            "the program is not deterministic: two undisturbed runs differ as well. It may read the clock, draw from a"
            " generator without a fixed seed, add up in threads in no fixed order, go through a set of strings (whose"
            " order is another in each process, unless PYTHONHASHSEED is set), or read files that an earlier run wrote"
        )
    place = difference.partition(": ")[0]
    return (
        f"what decides {place} is not all in the state, since two undisturbed runs agree: a generator made by the"
        " program, the order or position of its data, or a value kept outside. Put it into the state given to commit"
    )


def _tell(verdict: Verdict) -> None:
    middle = f"killed at step {verdict.killed_at}, restored, compared at step {verdict.steps}"
    if verdict.bit_identical:
        click.echo(paint("bit-identical: yes", "green", "bold") + f"  {middle}")
        return
    click.echo(paint("bit-identical: no", "red", "bold") + f"  {middle}")
    for difference in verdict.differences[:_SHOWN]:
        click.echo(f"  {difference}")
    if len(verdict.differences) > _SHOWN:
        click.echo(f"  and {len(verdict.differences) - _SHOWN} more")
    click.echo(f"likely cause: {verdict.likely_cause}")
