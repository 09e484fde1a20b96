"""What commit takes, restore gives back, equal and of the same type, in the same order, shared as it was.

Everything else is refused at commit, with its place. States are drawn, committed, and restored in fresh processes.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest
from bugs import PLANTED
from deep import difference
from images import image_of, round_trip
from lives import Case, Result, live
from reporting import FINE, by_kind, shrink, tell
from states import CIRCLES, KINDS, MUST_NOT, draw, nested

from goldthread.errors import CannotStore

STATES = int(os.environ.get("STATES", "2000"))
SEEDS_OF_BUG = 40
SHOWN_MOST = 5


def test_what_commit_takes_restore_gives_back() -> None:
    """Each drawn state comes back as it was, in another process, twice, and none is refused."""
    results = live([Case(seed) for seed in range(STATES)])
    bad = [result for result in results if result.outcome not in FINE]
    bad.sort(key=lambda result: result.outcome != "wrong")
    shown = [shrink(result) for result in bad[:SHOWN_MOST]]
    said = "\n".join(f"{one.outcome}: {one.text}\n    {one.case}" for one in shown)
    assert not bad, f"{tell(results)}\n{said}"


def test_each_kind_is_taken_and_comes_back() -> None:
    """Drawn alone, so that one says clearly which kind is refused or wrong."""
    bad = [f"{name}: {outcome}: {text}" for name, outcome, text in by_kind() if outcome not in FINE]
    assert not bad, "\n".join([f"{len(bad)} of {len(KINDS)} kinds", *bad])


@pytest.mark.parametrize("name", sorted(KINDS))
def test_what_is_drawn_twice_is_equal(name: str) -> None:
    """The comparison finds nothing between two draws of one seed, and something between those of two seeds."""
    drawn = [[draw(seed, 6, [name]), draw(seed, 6, [name])] for seed in range(6)]
    assert [difference(mine, its) for mine, its in drawn] == [None] * 6
    assert all(difference(drawn[0][0], {**other[1], "step": 0}) for other in drawn[1:])


@pytest.mark.parametrize("name", CIRCLES)
def test_what_contains_itself_comes_back(name: str) -> None:
    """Of all that can be made first and filled later."""
    state = {"step": 1, "circle": CIRCLES[name]()}
    assert difference(state, round_trip(state)) is None


def refusal_of(state: Any, commit: Callable[[Any], object]) -> str:
    """What was said; empty where the state was taken."""
    try:
        commit(state)
    except CannotStore as error:
        return str(error)
    return ""


def is_said_where(refusal: str, place: str) -> bool:
    """Whether a refusal begins with the place, or with one inside of it (a factory of a dict, a part of a view)."""
    return refusal.startswith(place) and refusal[len(place) :][:1] in (":", ".", "[")


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("name", MUST_NOT)
def test_what_cannot_come_back_is_refused_with_its_place(name: str, seed: int) -> None:
    """However deep it stands; nothing is left out in silence."""
    state, place = nested(seed, MUST_NOT[name]())
    assert is_said_where(refusal_of(state, image_of), place)


@pytest.mark.parametrize("text", ["state: function cannot be stored", 'state["other"]: function cannot be stored', ""])
def test_a_refusal_without_its_place_is_found(text: str) -> None:
    """A planted bug: another place, none, or no refusal at all."""

    def commit(state: Any) -> None:
        if text:
            raise CannotStore(text)

    state, place = nested(1, MUST_NOT["a lock"]())
    assert not is_said_where(refusal_of(state, commit), place)


@pytest.fixture(scope="module")
def spoilt() -> dict[str, list[Result]]:
    """What became of states in whose way a bug was planted; of all bugs in one run."""
    cases = [Case(seed, 12, bug.kinds, name) for name, bug in PLANTED.items() for seed in range(SEEDS_OF_BUG)]
    results = live(cases)
    return {name: [one for one in results if one.case.bug == name] for name in PLANTED}


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_bug_is_found(name: str, spoilt: dict[str, list[Result]]) -> None:
    """For each clause of the rule: a restore that breaks it is told from one that does not."""
    said = [result.text for result in spoilt[name] if result.outcome == "wrong"]
    assert any(f": {PLANTED[name].clause}: " in text for text in said), said


def test_a_second_death_is_not_hidden_by_the_first(spoilt: dict[str, list[Result]]) -> None:
    """What the second commit got wrong is found in the third process only."""
    said = [result.text for result in spoilt["the second commit is of something else"]]
    assert any(text.startswith("the second death") for text in said), said
