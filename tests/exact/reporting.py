"""What is said of many results, and the smallest case that fails as a given one does."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from lives import Case, Result, live
from states import KINDS, kinds_of, not_yet, palette_of

__all__ = ["FINE", "by_kind", "shrink", "tell"]

_SIZES = (1, 2, 3, 5, 8, 13, 25)
_SEEDS_OF_KIND = 6
_OUTCOMES = ("kept", "circle", "refused", "wrong")
FINE = ("kept", "circle")


def tell(results: Sequence[Result]) -> str:
    """How many of each outcome, and of what is wrong, how many break which clause on which way."""
    counts = Counter(result.outcome for result in results)
    wrong = Counter(_cause(result) for result in results if result.outcome == "wrong")
    lines = [f"{number:6} {cause}" for cause, number in wrong.most_common(25)]
    return "\n".join([_counted(counts), *lines])


def _cause(result: Result) -> str:
    """The way and the clause; of an error its name and where it was raised; nothing of a refusal."""
    way, _, rest = result.text.partition(": ") if result.outcome == "wrong" else ("", "", "")
    clause = _CLAUSE.search(rest)
    if clause is not None:
        return f"{way}: {clause[1]}"
    return f"{way}: {rest.partition(':')[0]} {rest[rest.rfind('(') :]}"


_CLAUSE = re.compile(r": (type|value|order|attributes|sharing|memory|layout): ")


def _counted(counts: Counter[str]) -> str:
    return ", ".join(f"{counts[outcome]} {outcome}" for outcome in _OUTCOMES)


def by_kind(libraries: tuple[str, ...] = ()) -> list[tuple[str, str, str]]:
    """Of each kind, drawn alone: the worst outcome, and what was said. With libraries, of theirs."""
    names = sorted(kinds_of(libraries).keys() - not_yet(libraries))
    cases = [Case(seed, 3, (name,), None, libraries) for name in names for seed in range(_SEEDS_OF_KIND)]
    results = live(cases)
    table = []
    for at, name in enumerate(names):
        own = results[at * _SEEDS_OF_KIND : (at + 1) * _SEEDS_OF_KIND]
        worst = max(own, key=lambda one: (_OUTCOMES.index(one.outcome), f'["{name}"]: ' in one.text))
        table.append((name, worst.outcome, worst.text))
    return table


def shrink(result: Result) -> Result:
    """A smaller case that fails alike, with fewer kinds, then with fewer things; the one given where there is none."""
    seed, _, kinds, _, libraries = result.case
    palette = palette_of(seed, kinds, libraries)
    tried = [Case(seed, few, (name,), None, libraries) for name in palette for few in _SIZES]
    tried += [Case(seed, few, kinds, None, libraries) for few in _SIZES]
    found = (one for one in live(tried) if one.outcome == result.outcome and _cause(one) == _cause(result))
    return min(found, key=lambda one: (len(one.case.kinds or KINDS), one.case.size or 0), default=result)
