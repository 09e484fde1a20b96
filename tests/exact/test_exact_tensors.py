"""The same with torch and JAX: tensors and arrays of every type come back bit by bit, of one storage where they were.

What draws and compares them is imported in the tests only, since plain runs have neither library.
"""

from __future__ import annotations

import os

import pytest
from deep import difference
from lives import Case, Result, live
from reporting import FINE, by_kind, shrink, tell
from states import draw, kinds_of
from tensor_bugs import TENSOR_BUGS

pytestmark = pytest.mark.torch

STATES = int(os.environ.get("STATES_TENSORS", "300"))
LIBRARIES = ("torch", "jax")
SEEDS_OF_BUG = 8
SHOWN_MOST = 5


@pytest.fixture(scope="module", autouse=True)
def libraries() -> None:
    """Skipped where there are none."""
    for name in LIBRARIES:
        pytest.importorskip(name)


def test_what_commit_takes_restore_gives_back_of_torch_and_jax() -> None:
    """Each drawn state comes back as it was, in another process, twice, and none is refused."""
    results = live([Case(seed, libraries=LIBRARIES) for seed in range(STATES)])
    bad = [result for result in results if result.outcome not in FINE]
    bad.sort(key=lambda result: result.outcome != "wrong")
    shown = [shrink(result) for result in bad[:SHOWN_MOST]]
    said = "\n".join(f"{one.outcome}: {one.text}\n    {one.case}" for one in shown)
    assert not bad, f"{tell(results)}\n{said}"


def test_each_kind_of_torch_and_jax_is_taken_and_comes_back() -> None:
    """Drawn alone, so that one says clearly which kind is refused or wrong."""
    bad = [f"{name}: {outcome}: {text}" for name, outcome, text in by_kind(LIBRARIES) if outcome not in FINE]
    assert not bad, "\n".join([f"{len(bad)} kinds", *bad])


@pytest.mark.xfail(strict=True, reason="faults of today: see NOT_YET in torch_kinds.py")
@pytest.mark.parametrize("name", ["torch: tensor and array over a bytearray"])
def test_what_does_not_come_back_yet(name: str) -> None:
    """To be taken out of `NOT_YET`, and of here, when it does."""
    assert {one.outcome for one in live([Case(seed, 3, (name,), None, LIBRARIES) for seed in range(4)])} == {"kept"}


def test_what_is_drawn_twice_of_torch_and_jax_is_equal() -> None:
    """The comparison finds nothing between two draws of one seed, and something between those of some seeds."""
    for name in sorted(kinds_of(LIBRARIES)):
        drawn = [[draw(seed, 6, [name], LIBRARIES), draw(seed, 6, [name], LIBRARIES)] for seed in range(6)]
        assert [difference(mine, its) for mine, its in drawn] == [None] * 6, name
        assert any(difference(drawn[0][0], {**other[1], "step": 0}) for other in drawn[1:]), name


def test_plain_states_are_drawn_without_them() -> None:
    """Their kinds are no part of what is drawn where nobody asks for them."""
    assert not set(kinds_of()) & set(kinds_of(LIBRARIES))
    assert all(not str(key).startswith(("torch: ", "jax: ")) for seed in range(20) for key in draw(seed, 5))


@pytest.fixture(scope="module")
def spoilt() -> dict[str, list[Result]]:
    """What became of states in whose way a bug was planted; of all bugs in one run."""
    named = TENSOR_BUGS.items()
    results = live([Case(seed, 6, bug.kinds, name, LIBRARIES) for name, bug in named for seed in range(SEEDS_OF_BUG)])
    return {name: [one for one in results if one.case.bug == name] for name in TENSOR_BUGS}


@pytest.mark.parametrize("name", TENSOR_BUGS)
def test_a_planted_bug_of_tensors_is_found(name: str, spoilt: dict[str, list[Result]]) -> None:
    """A restore that breaks a clause of the rule is told from one that does not."""
    said = [result.text for result in spoilt[name] if result.outcome == "wrong"]
    assert any(f": {TENSOR_BUGS[name].clause}: " in text for text in said), said
