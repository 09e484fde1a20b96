"""Draw states and check the rule: `make exact STATES=10000`, or `python tests/exact --seed 17` for one.

`--table` says of each kind of thing whether it is kept, refused, or comes back wrong. `--libraries torch,jax` draws
tensors and arrays of JAX too, with a Python that has them: `.venv-torch/bin/python tests/exact --libraries torch,jax`.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter

from lives import Case, Result, live
from reporting import FINE, by_kind, shrink, tell
from states import KINDS, kinds_of


def main() -> int:
    parser = argparse.ArgumentParser(description="What commit takes, restore gives back; everything else is refused")
    parser.add_argument("--states", type=int, default=2000)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--seed", type=int, help="one state only")
    parser.add_argument("--size", type=int, help="how many things a state has, about")
    parser.add_argument("--kinds", help="names with commas between them: only these")
    parser.add_argument("--without", help="names with commas between them: none of these")
    parser.add_argument("--libraries", default="", help="whose kinds are drawn, too: torch, jax, or torch,jax")
    parser.add_argument("--table", action="store_true", help="each kind alone")
    parser.add_argument("--allow-refused", action="store_true", help="fail for what comes back wrong only")
    arguments = parser.parse_args()
    libraries = tuple(name.strip() for name in arguments.libraries.split(",") if name)
    if arguments.table:
        results = by_kind(libraries)
        sys.stdout.write("".join(f"{name:52} {outcome:8} {text[:150]}\n" for name, outcome, text in results))
        sys.stdout.write(f"{Counter(outcome for _, outcome, _ in results)}\n")
        return int(any(outcome not in FINE for _, outcome, _ in results))
    kinds = _kinds(arguments, libraries)
    seeds = (
        [arguments.seed] if arguments.seed is not None else range(arguments.first, arguments.first + arguments.states)
    )
    began = time.monotonic()
    results = live([Case(seed, arguments.size, kinds, None, libraries) for seed in seeds])
    bad = [
        one for one in results if one.outcome == "wrong" or (one.outcome == "refused" and not arguments.allow_refused)
    ]
    took = time.monotonic() - began
    bad.sort(key=lambda one: one.outcome != "wrong")
    sys.stdout.write(tell(results) + "\n\n")
    sys.stdout.write("".join(f"{_shown(one)}\n" for one in bad[:20]))
    if bad and arguments.seed is None:
        sys.stdout.write("\nshrunk:\n" + "".join(f"{_shown(shrink(one))}\n" for one in bad[:5]))
    sys.stdout.write(f"{len(results)} states in {took:.0f} s\n")
    return int(bool(bad))


def _kinds(arguments: argparse.Namespace, libraries: tuple[str, ...]) -> tuple[str, ...] | None:
    if arguments.kinds:
        return tuple(name.strip() for name in arguments.kinds.split(","))
    if arguments.without:
        left_out = {name.strip() for name in arguments.without.split(",")}
        return tuple(sorted((KINDS | kinds_of(libraries)).keys() - left_out))
    return None


def _shown(result: Result) -> str:
    return f"{result.outcome}: {result.text}\n    {result.case}"


if __name__ == "__main__":
    sys.exit(main())
