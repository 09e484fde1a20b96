"""The runs of `goldthread check`: a program on stages, undisturbed and killed, and what each run left behind."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from time import monotonic
from typing import Final, NamedTuple

import msgspec

from goldthread.cli.evidence import Leaf, is_below
from goldthread.cli.screen import lasting
from goldthread.cli.stage import Stage
from goldthread.errors import NothingToRestore, UsageError
from goldthread.names import CommitId, Span, seconds
from goldthread.report import EndingKind, MemberReport, Phase
from goldthread.wire.rehearsal import SCRIPT, CommitFact, EndFact, PickleFact, Script, facts_in

__all__ = ["Run", "Surrounding", "differences_of", "plan_kills", "refuse_unless_killed", "run_on", "without"]

_LIMIT_SECONDS: Final = 24 * 3600.0
_HANG_FLOOR_MORE: Final = seconds(60)
_CONTENTS: Final = re.compile(r" [0-9a-f]{16}$")
"""The fingerprint at the end of what is too long to be written out."""
_START_MORE: Final = seconds(120)
"""What a program loads before it joins is waited for besides."""
_AT_REST: Final = frozenset({Phase.ENDED, Phase.LIMBO, Phase.DOWN})


class Surrounding(NamedTuple):
    """What no program should depend on, and a process is given by chance."""

    hash_seed: int
    pattern: int
    """The byte that fresh memory is filled with."""

    def environment(self) -> dict[str, str]:
        """Where the user decided on a seed, that stays."""
        given = os.environ.get("GLIBC_TUNABLES")
        tunables = f"glibc.malloc.perturb={self.pattern}:glibc.malloc.tcache_count=0"
        own = {"GLIBC_TUNABLES": f"{given}:{tunables}" if given else tunables}
        if os.environ.get("PYTHONHASHSEED", "random") == "random":
            own["PYTHONHASHSEED"] = str(self.hash_seed)
        return own


class Run(NamedTuple):
    """A program that was run to a step."""

    commit: CommitId
    """Its last."""
    image: int
    """A descriptor of that."""
    commits: tuple[CommitFact, ...]
    """All of them, in the order in which they were made."""
    end: EndFact | None
    deaths: tuple[int, ...]
    """The steps that its lives but the last reached."""


@contextlib.contextmanager
def run_on(
    stage: Stage, command: Sequence[str], script: Script, surrounding: Surrounding, within: Span
) -> Iterator[Run]:
    """Run a program on a stage as a script says, and lend what it left behind.

    Raises `UsageError` where it does not come to its end, or makes no commit within so much time.
    """
    script = msgspec.structs.replace(script, facts=str(stage.home.path.with_suffix(".facts")))
    environment = {**surrounding.environment(), SCRIPT: msgspec.json.encode(script).decode()}
    stage.run(
        command, environment, restarts=len(script.kills), hang_floor=Span(within + _HANG_FLOOR_MORE)
    )  # fmt: skip
    report = stage.wait("its end", _Patience(script.end, within).look, _LIMIT_SECONDS)
    ending = stage.ending()
    if report.phase is not Phase.ENDED or ending is None or ending.kind is not EndingKind.FINISHED:
        detail = f"\n{ending.detail}" if ending is not None and ending.detail else ""
        raise UsageError(f"the program did not come to step {script.end}: {report.reason}{detail}")
    try:
        commit, descriptor = stage.newest()
    except NothingToRestore as error:
        raise _no_commit(stage) from error
    try:
        yield _run_of(stage, Path(script.facts), commit, descriptor)
    finally:
        os.close(descriptor)


def _run_of(stage: Stage, facts: Path, commit: CommitId, descriptor: int) -> Run:
    told = list(facts_in(facts.read_bytes())) if facts.exists() else []
    commits = tuple(fact for fact in told if isinstance(fact, CommitFact))
    if not commits:
        raise UsageError(
            "the program does not tell what it commits", hint="let it run with the goldthread that checks it"
        )
    ends = [fact for fact in told if isinstance(fact, EndFact)]
    deaths = tuple(int(life.reached) for life in stage.lives()[:-1] if life.reached is not None)
    return Run(commit, descriptor, commits, ends[-1] if ends else None, deaths)


class _Patience:
    """Waits for the end of a program, as long as it makes commits."""

    def __init__(self, end: int, within: Span) -> None:
        self._end = end
        self._within = within
        self._last: tuple[object, ...] = ()
        self._since = monotonic()

    def look(self, report: MemberReport) -> MemberReport | None:
        if report.phase in _AT_REST:
            return report
        now, last = monotonic(), (report.epoch, report.phase, report.sealed and report.sealed.commit)
        if last != self._last:
            self._last, self._since = last, now
        elif (now - self._since) * 1e9 > self._within + (_START_MORE if report.phase is Phase.STARTING else 0):
            raise self._no_more(report)
        return None

    def _no_more(self, report: MemberReport) -> UsageError:
        wait = lasting(self._within)
        hint = "a program that waits for something to do must be given it meanwhile; --within SPAN has more patience"
        if report.sealed is None:
            return UsageError(f"the program made no commit within {wait}", hint=hint)
        reached = report.sealed.commit.step
        if reached >= self._end:
            return UsageError(f"the program came to step {reached}, and did not end within {wait}", hint=hint)
        return UsageError(
            f"the program made no commit within {wait} after step {reached}, on its way to step {self._end}",
            hint=f"{hint}; --steps {max(2, reached)} compares there",
        )


def _no_commit(stage: Stage) -> UsageError:
    for other in stage.keeper_report().members:
        if other.name != stage.member:
            return UsageError(
                f"{stage.member} ended without a commit: the program joins as {other.name}",
                hint=f"goldthread check --name {other.name} -- ...",
            )
    return UsageError("the program ended without a commit", hint="it must join, and commit(state) in its loop")


def plan_kills(commits: Sequence[CommitFact], count: int, at: int | None) -> tuple[int, ...]:
    """After which step each life is killed: the first in the middle, or at `at`, the second right after its first
    commit, the others spread evenly over what is left.

    Where ends of epochs are seen, one lies before the deaths, since what began with the program is then not what it was
    at first, and one behind them.
    """
    end = commits[-1].step
    first = _midway(commits) if at is None else at
    kills = [first, 0][:count]
    rest = [commit.step for commit in commits if first < commit.step < end][1:]
    if rest:
        kills += [rest[len(rest) * index // (count - 1)] for index in range(1, count - 1)]
    return tuple(kills)


def _midway(commits: Sequence[CommitFact]) -> int:
    end = commits[-1].step
    middle = max(1, end // 2)
    ends = [one.step for before, one in pairwise(commits) if one.epoch != before.epoch]
    if not ends or (ends[0] < middle and middle + 1 < ends[-1]):
        return middle
    if len(ends) == 1:
        return max(1, ends[0] // 2)
    between = [(start + stop) // 2 for start, stop in pairwise(ends)]
    return min(between, key=lambda step: abs(step - middle))


def refuse_unless_killed(killed: Run, calm: Run) -> None:
    """Raises `UsageError` where the two runs cannot be compared."""
    if not killed.deaths or killed.deaths[0] >= calm.commit.step:
        raise UsageError(
            f"the program made no commit before step {calm.commit.step}, so it could not be killed in the middle",
            hint="compare after more steps (--steps N), or have it commit more often: it is killed between two commits",
        )
    if killed.commit.step != calm.commit.step:
        raise UsageError(
            f"undisturbed it stopped at step {calm.commit.step}, restored at step {killed.commit.step}",
            hint="it must count its steps in its state: commit(state, step=...), restored with it",
        )


def differences_of(one: Run, other: Run) -> list[Leaf]:
    """Every leaf in which the last states of two runs differ. Pickles are compared by what they come to."""
    from goldthread.state.compare import compare_images  # It loads NumPy.

    found = []
    for difference in compare_images(one.image, other.image).differences:
        if difference.place.startswith("generators"):
            continue
        leaf = Leaf(*difference)
        if leaf.kind == "pickle":
            settled = _settled(leaf, _pickles(one), _pickles(other))
            if settled is None:
                continue
            leaf = settled
        found.append(leaf)
    return found


def _pickles(run: Run) -> Mapping[str, PickleFact]:
    return run.end.pickles if run.end is not None else {}


def _settled(leaf: Leaf, mine: Mapping[str, PickleFact], its: Mapping[str, PickleFact]) -> Leaf | None:
    """How two pickles differ; None where they come to the same."""
    from goldthread.state.compare import text_difference

    one, other = mine.get(leaf.place), its.get(leaf.place)
    if one is None or other is None:
        return leaf
    if one.stable == other.stable:
        return None
    places = [place for place in {**one.parts, **other.parts} if one.parts.get(place) != other.parts.get(place)]
    if not places:
        return leaf
    first = places[0]
    texts = [_CONTENTS.sub("", fact.parts.get(first, "nothing")) for fact in (one, other)]
    more = f" (and {len(places) - 1} more parts)" if len(places) > 1 else ""
    values = (_value(texts[0]), _value(texts[1]))
    return leaf._replace(text=f"{first}: {text_difference(*texts, quoted=False)}{more}", values=values)


def _value(text: str) -> object:
    try:
        return float(text)
    except ValueError:
        return text


def without(leaves: Sequence[Leaf], places: Collection[str]) -> list[Leaf]:
    """Those leaves that are in none of these places."""
    return [leaf for leaf in leaves if not any(is_below(leaf.place, place) for place in places)]
