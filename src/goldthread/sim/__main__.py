"""`python -m goldthread.sim --seeds N --keepers K`: run seeds of faults, and tell how a promise is broken."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable
from functools import partial
from multiprocessing import get_context
from typing import Final

from goldthread.sim.scenario import ALL, Omitted, Outcome, run_drawn, run_seed
from goldthread.sim.shrink import shrink
from goldthread.sim.story import Story

__all__ = ["main"]

_TOLD_LINES: Final = 60
_SHOWN_EVERY: Final = 500


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m goldthread.sim", description=__doc__)
    parser.add_argument("--seeds", type=int, default=1000, help="how many seeds to run")
    parser.add_argument("--first", type=int, default=0, help="the first of them")
    parser.add_argument("--seed", type=int, help="run this one alone")
    parser.add_argument(
        "--keepers", type=int, default=0, help="how many hosts; two or more, drawn for each seed, where not said"
    )
    parser.add_argument(
        "--circle", action="store_true", help="they are of one circle and seek partners; drawn like their number"
    )
    parser.add_argument("--story", action="store_true", help="with --seed: tell all that happens")
    parser.add_argument("--jobs", type=int, default=1, help="processes to share the work")
    parser.add_argument("--json", action="store_true", help="say the outcome as JSON")
    chosen = parser.parse_args(arguments)
    if chosen.seed is not None and chosen.story:
        outcome = run_drawn(chosen.keepers, chosen.circle, chosen.seed, Story(_say))
        _say(f"seed {outcome.seed}: {outcome.broken or 'every promise was kept'}")
        return 1 if outcome.broken else 0
    seeds = [chosen.seed] if chosen.seed is not None else range(chosen.first, chosen.first + chosen.seeds)
    return _report(_run_all(seeds, chosen.keepers, chosen.circle, chosen.jobs), as_json=chosen.json)


def _run_all(seeds: Iterable[int], keepers: int, circle: bool, jobs: int) -> Iterable[Outcome]:
    run = partial(run_drawn, keepers, circle)
    if jobs == 1:
        yield from map(run, seeds)
        return
    with get_context("spawn").Pool(jobs) as pool:
        yield from pool.imap(run, seeds, chunksize=20)


def _report(outcomes: Iterable[Outcome], *, as_json: bool) -> int:
    seeds = handled = 0
    failed: list[Outcome] = []
    for outcome in outcomes:
        seeds += 1
        handled += outcome.handled
        if outcome.broken:
            failed.append(outcome)
            _note(f"{_name(outcome)}: {outcome.broken}")
        if seeds % _SHOWN_EVERY == 0:
            _note(f"{seeds} seeds, {handled} events, {len(failed)} failed")
    if as_json:
        broken = [
            {"seed": one.seed, "keepers": one.keepers, "circle": one.circle, "broken": one.broken} for one in failed
        ]
        _say(json.dumps({"seeds": seeds, "events": handled, "failed": broken}))
    else:
        _say(f"{seeds} seeds, {handled} events: " + (f"{len(failed)} seeds failed" if failed else "every promise kept"))
    if failed and not as_json:
        _tell_short(min(failed, key=lambda outcome: outcome.handled))
    return 1 if failed else 0


def _tell_short(found: Outcome) -> None:
    """The end of the story of a seed that failed, with only what it fails by."""
    omitted = shrink(found)
    left = [drawn - len(without) for drawn, without in zip(found.drawn, omitted.numbers(), strict=True)]
    head = f"{_name(found)}, with {left[0]} faults, {left[1]} members and {left[2]} bonds"
    whole = f"the whole with --seed {found.seed} --keepers {found.keepers}{' --circle' * found.circle} --story"
    for line in (f"the end of {head}; {whole}:", *_last_lines(found, omitted)):
        _note(line)


def _last_lines(found: Outcome, omitted: Omitted = ALL) -> list[str]:
    lines: list[str] = []

    def remember(line: str) -> None:
        lines.append(line)
        del lines[:-_TOLD_LINES]

    try:
        run_seed(found.seed, found.keepers, circle=found.circle, omitted=omitted, teller=Story(remember))
    except Exception as error:
        lines.append(f"the rules raised {type(error).__name__}: {error}")
    return lines


def _name(outcome: Outcome) -> str:
    return f"seed {outcome.seed}, {outcome.keepers} keepers{' of one circle' if outcome.circle else ''}"


def _note(line: str) -> None:
    sys.stderr.write(line + "\n")


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")


if __name__ == "__main__":
    sys.exit(main())
