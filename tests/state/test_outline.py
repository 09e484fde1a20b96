"""An outline finds what a walk would find, or says that it cannot tell."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from goldthread.state.kinds.registry import REGISTRY
from goldthread.state.manifest import Structure
from goldthread.state.plain import TINY_BYTES
from goldthread.state.walk import walk

SHARED = np.arange(3)


def structure_of(state: object) -> Structure:
    walked = walk({"state": state}, REGISTRY)
    structure = Structure(walked)
    structure.remember({"state": state}, walked)
    return structure


def agree(structure: Structure, state: object) -> bool:
    """Whether the outline knows the state again; if so it has to be right."""
    again = structure.again({"state": state})
    if again is None:
        return False
    manifest, arrays = again
    walked = walk({"state": state}, REGISTRY)
    assert structure.fits(walked)
    assert structure.manifest(walked.values) == manifest
    assert list(map(id, walked.arrays)) == list(map(id, arrays))
    return True


def plain() -> dict[str, Any]:
    return {
        "step": 3,
        "loss": 0.5,
        "name": "walk",
        "done": False,
        "words": b"abc",
        "nothing": None,
        "deep": [{"x": np.zeros((3, 4)), "y": (1, 2.0, np.ones(5, "i4"))}, [], (), {}],
        "last": np.zeros(()),
    }


def test_what_only_has_other_values_is_known_again() -> None:
    structure, state = structure_of(plain()), plain()
    assert agree(structure, state)
    state.update(step=2**64 - 1, loss=float("nan"), name="other", done=True, words=b"", last=np.ones(()))
    state["deep"][0]["x"][:] = 7
    state["deep"][0]["y"] = (-(2**63), 0.0, np.zeros(5, "i4"))
    assert agree(structure, state)


CHANGES: list[Callable[[dict[str, Any]], object]] = [
    lambda state: state.update(more=1),
    lambda state: state.pop("step"),
    lambda state: state.update(step=state.pop("step")),
    lambda state: state.update(step=2.0),
    lambda state: state.update(step=2**64),
    lambda state: state.update(name="\ud800"),
    lambda state: state.update(words=b"x" * TINY_BYTES),
    lambda state: state.update(words=bytearray(b"abc")),
    lambda state: state.update(nothing=np.zeros(1)),
    lambda state: state.update(last=np.zeros((), "f4")),
    lambda state: state.update(last=np.zeros(1)),
    lambda state: state.update(last=np.float64(0)),
    lambda state: state.update(last=np.zeros((), ">f8")),
    lambda state: state["deep"].append(1),
    lambda state: state["deep"][1].append(1j),
    lambda state: state["deep"][0].update(x=np.zeros((4, 3)).T),
    lambda state: state["deep"][0].update(x=np.ma.zeros((3, 4))),
    lambda state: state["deep"][0].update(y=[1, 2.0, np.ones(5, "i4")]),
    lambda state: state["deep"].__setitem__(3, state["deep"][1]),
    lambda state: state["deep"].__setitem__(1, state["deep"]),
]


@pytest.mark.parametrize("change", CHANGES)
def test_what_may_be_another_structure_is_walked(change: Callable[[dict[str, Any]], object]) -> None:
    structure, state = structure_of(plain()), plain()
    change(state)
    assert not agree(structure, state)


def test_what_stands_in_two_places_is_walked() -> None:
    """Both when the outline is drawn and when it is used."""
    assert not agree(structure_of([SHARED, SHARED]), [SHARED, SHARED])
    assert not agree(structure_of([SHARED, np.arange(3)]), [SHARED, SHARED])
    assert agree(structure_of([SHARED, np.arange(3)]), [np.arange(3), SHARED])


@pytest.mark.parametrize("state", [{1: 2}, {"a": {(1, 2): 3}}, 1j, [bytearray(3)], np.float32(1), {"a": {1, 2}}])
def test_of_what_is_not_plain_no_outline_is_drawn(state: object) -> None:
    assert not agree(structure_of(state), state)


LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=3), st.binary(max_size=3), st.just(1j),
    st.builds(lambda shape, kind: np.zeros(shape, kind), st.sampled_from([(), 0, 2, (2, 3)]), st.sampled_from("fiS")),
    st.just(SHARED),
)  # fmt: skip
STATES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(st.sampled_from(["a", "b", "c"]), inner, max_size=3),
    ),
    max_leaves=6,
)


@given(STATES, STATES)
def test_an_outline_never_says_yes_where_a_walk_says_no(one: object, other: object) -> None:
    """Of any state, to the state itself and to any other."""
    structure = structure_of(one)
    agree(structure, one)
    agree(structure, other)
