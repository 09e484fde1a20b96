"""What looks like state and is not in it is found, and what is in it in another form is not told."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from goldthread.program.fingerprint import fingerprint
from goldthread.program.pickles import settle
from goldthread.program.surroundings import Surroundings


def outside(state: object) -> dict[str, str]:
    """What is found around the caller: name and kind, without what stands in the main module and in the test runner."""
    found = Surroundings().look_last(sys._getframe(1), state)
    caller = f"{sys._getframe(1).f_code.co_name}() "
    return {one.name.removeprefix(caller): one.kind for one in found if one.name.startswith(caller)}


def test_generators_arrays_and_iterators_are_found() -> None:
    """Also inside of what the program made itself."""
    rng, weights = np.random.default_rng(1), np.ones(3)
    sampler = SimpleNamespace(inner={"draw": random.Random(2)}, name="s")
    batches = iter([1, 2])
    state: dict[str, Any] = {"step": 0}
    assert outside(state) == {
        "rng": "generator",
        "weights": "array",
        'sampler.inner["draw"]': "generator",
        "batches": "iterator",
    }
    assert (rng, weights, sampler, batches) is not None


def test_what_the_state_has_in_another_form_is_in_it() -> None:
    """The same object, a view of the same memory, the bits of a generator, a copy, or what it says of itself."""
    rng, bits, told = np.random.default_rng(1), np.random.default_rng(2), np.random.default_rng(3)
    whole, copied = np.arange(8.0), np.arange(3.0)
    view = whole[2:]
    state = {"rng": rng, "bits": bits.bit_generator, "told": told.bit_generator.state, "view": view, "c": copied.copy()}
    assert outside(state) == {}
    assert outside({}) != {}


def test_the_global_generators_travel_by_themselves() -> None:
    own: Any = random.random.__self__  # type: ignore[attr-defined]
    assert outside({}) == {}
    assert own is not None


def test_it_is_seen_what_changed() -> None:
    """Between the first commit and the end."""
    rng, constant = np.random.default_rng(1), np.ones(3)
    surroundings = Surroundings()
    surroundings.look_first(sys._getframe(), {})
    rng.random()
    found = {one.name: one.changed for one in surroundings.look_last(sys._getframe(), {})}
    assert found["test_it_is_seen_what_changed() rng"] is True
    assert found["test_it_is_seen_what_changed() constant"] is False
    assert constant.sum() == 3


def test_a_loop_over_a_generator_without_a_name_is_found() -> None:
    def numbers() -> Iterator[int]:
        yield from (1, 2)

    for _ in numbers():
        found = Surroundings().look_last(sys._getframe(), {})
        assert "a loop over numbers()" in {one.name for one in found}


class Thing:
    def __init__(self, number: int) -> None:
        self.number = number


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        (np.arange(3), np.arange(3), True),
        (np.arange(3), np.arange(3.0), False),
        (np.arange(4), np.arange(4).reshape(2, 2), False),
        ({"a", "b", "c"}, {"c", "b", "a"}, True),
        ({"a": 1}, {"a": 2}, False),
        ([1, 2], [12], False),
        ([b"ab", b"c"], [b"a", b"bc"], False),
        (Thing(1), Thing(1), True),
        (Thing(1), Thing(2), False),
        (object(), object(), True),
        (np.random.default_rng(1), np.random.default_rng(1), True),
        (np.random.default_rng(1), np.random.default_rng(2), False),
        (float("nan"), float("nan"), True),
        (0.0, -0.0, False),
    ],
)
def test_fingerprints_follow_contents(one: object, other: object, is_same: bool) -> None:
    """Neither addresses nor the order of a set enter."""
    assert (fingerprint(one) == fingerprint(other)) is is_same


def test_a_thing_that_contains_itself_has_a_fingerprint() -> None:
    ring: list[object] = [1]
    ring.append(ring)
    assert fingerprint(ring) == fingerprint(ring)


def test_pickles_come_to_rest() -> None:
    """Equal texts that are two objects are pickled otherwise than one that is there twice."""
    import pickle

    made = [{"name": "".join(["a", "bcd"])}, {"name": "".join(["ab", "cd"])}]
    again = pickle.loads(pickle.dumps(made, 5))
    assert settle(pickle.dumps(made, 5))[1] == settle(pickle.dumps(again, 5))[1]
