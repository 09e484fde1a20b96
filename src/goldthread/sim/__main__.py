"""`python -m goldthread.sim --seeds N`: run fault seeds against the promises, and name those that break one."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable
from multiprocessing import get_context
from typing import Final

from goldthread.sim.scenario import Outcome, run_seed
from goldthread.sim.story import Story

__all__ = ["main"]

_TOLD_LINES: Final = 60
_SHOWN_EVERY: Final = 500


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m goldthread.sim", description=__doc__)
    parser.add_argument("--seeds", type=int, default=1000, help="how many seeds to run")
    parser.add_argument("--first", type=int, default=0, help="the first of them")
    parser.add_argument("--seed", type=int, help="run this one alone")
    parser.add_argument("--story", action="store_true", help="with --seed: tell all that happens")
    parser.add_argument("--jobs", type=int, default=1, help="processes to share the work")
    parser.add_argument("--json", action="store_true", help="say the outcome as JSON")
    chosen = parser.parse_args(arguments)
    if chosen.seed is not None and chosen.story:
        outcome = run_seed(chosen.seed, teller=Story(_say))
        _say(f"seed {outcome.seed}: {outcome.broken or 'every promise was kept'}")
        return 1 if outcome.broken else 0
    seeds = [chosen.seed] if chosen.seed is not None else range(chosen.first, chosen.first + chosen.seeds)
    return _report(_run_all(seeds, chosen.jobs), as_json=chosen.json)


def _run_all(seeds: Iterable[int], jobs: int) -> Iterable[Outcome]:
    if jobs == 1:
        yield from map(run_seed, seeds)
        return
    with get_context("spawn").Pool(jobs) as pool:
        yield from pool.imap(run_seed, seeds, chunksize=50)


def _report(outcomes: Iterable[Outcome], *, as_json: bool) -> int:
    seeds = handled = 0
    failed: list[Outcome] = []
    for outcome in outcomes:
        seeds += 1
        handled += outcome.handled
        if outcome.broken:
            failed.append(outcome)
            _note(f"seed {outcome.seed}: {outcome.broken}")
        if seeds % _SHOWN_EVERY == 0:
            _note(f"{seeds} seeds, {handled} events, {len(failed)} failed")
    if as_json:
        broken = [{"seed": outcome.seed, "broken": outcome.broken} for outcome in failed]
        _say(json.dumps({"seeds": seeds, "events": handled, "failed": broken}))
    else:
        _say(f"{seeds} seeds, {handled} events: " + (f"{len(failed)} seeds failed" if failed else "every promise kept"))
    if failed and not as_json:
        _tell_end(failed[0].seed)
    return 1 if failed else 0


def _tell_end(seed: int) -> None:
    """The last lines of the story of a seed that failed."""
    lines: list[str] = []

    def remember(line: str) -> None:
        lines.append(line)
        del lines[:-_TOLD_LINES]

    try:
        run_seed(seed, teller=Story(remember))
    except Exception as error:
        lines.append(f"the rules raised {type(error).__name__}: {error}")
    for line in (f"the end of seed {seed}; the whole with --seed {seed} --story:", *lines):
        _note(line)


def _note(line: str) -> None:
    sys.stderr.write(line + "\n")


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")


if __name__ == "__main__":
    sys.exit(main())
