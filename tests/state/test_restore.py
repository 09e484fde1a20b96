"""A commit poured into what the program gives: in place where it fits, named where it does not."""

from __future__ import annotations

import array
import random
import sys
from collections import Counter, OrderedDict, deque
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from images import image_of, new_writer, newest_image

from goldthread.errors import CommitDamaged, DoesNotFit
from goldthread.names import Step
from goldthread.state.generators import capture_generators
from goldthread.state.restore import Poured, pour, read
from goldthread.wire.image import HEADER_BYTES


@dataclass
class Walker:
    place: Any
    speed: Any = 0


@dataclass(frozen=True)
class Rule:
    size: Any


class Pair(NamedTuple):
    left: Any
    right: Any = "default"


class Model:
    """Whatever has `state_dict` and `load_state_dict`."""

    def __init__(self, weight: float) -> None:
        self.weight = np.full(3, weight)
        self.loads = 0

    def state_dict(self) -> dict[str, Any]:
        return {"weight": self.weight}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if len(state["weight"]) != len(self.weight):
            raise ValueError("the weight has another length")
        self.weight[:] = state["weight"]
        self.loads += 1


def poured(stored: object, initial: object, **options: Any) -> Poured:
    return pour(image_of(stored), initial, **({"map": False, "pickle": False} | options))


def test_what_fits_is_filled_in_place() -> None:
    """Arrays, containers and dataclasses stay the program's own objects."""
    initial = {
        "x": np.zeros(MANY),
        "strided": np.zeros((4, 6))[:, ::2],
        "column": np.zeros((3, 2), order="F"),
        "list": [np.zeros(2), 0],
        "walker": Walker(np.zeros(2)),
        "deque": deque([0]),
        "set": {1},
        "raw": bytearray(b"zz"),
        "words": array.array("d", [0]),
        "step": 0,
        "none": None,
    }
    stored = {
        "x": np.arange(float(MANY)),
        "strided": np.arange(12.0).reshape(4, 3),
        "column": np.arange(6.0).reshape(3, 2),
        "list": [np.ones(2), "text"],
        "walker": Walker(np.ones(2), 3),
        "deque": deque([1, 2]),
        "set": {2, 3},
        "raw": bytearray(b"abc"),
        "words": array.array("d", [1, 2]),
        "step": 7,
        "none": [1],
    }
    before = dict(initial)
    strided_base = initial["strided"].base
    result = poured(stored, initial)
    assert (result.unknown, result.added, result.dropped) == ((), (), ())
    assert result.state is initial
    for key in ("x", "strided", "column", "list", "walker", "deque", "set", "raw", "words"):
        assert initial[key] is before[key], key
    for key in ("x", "strided", "column"):
        assert np.array_equal(stored[key], initial[key]), key
    assert np.array_equal(strided_base[:, ::2], stored["strided"])
    assert initial["list"][1] == "text"
    assert [1.0, 1.0] == initial["walker"].place.tolist() == initial["list"][0].tolist()
    assert initial["walker"].speed == 3
    for key in ("deque", "set", "raw", "words", "step", "none"):
        assert stored[key] == initial[key], key


MANY = 1_500_000


def test_new_arrays_have_their_own_memory() -> None:
    """The slot may be overwritten as soon as `restore` returned."""
    writer = new_writer()
    writer.write({"x": np.ones(MANY), "y": np.ones(3), "b": b"q" * 9000}, Step(1), generators=False)
    image = newest_image(writer)
    state = read(image, map=False, pickle=False)
    image[HEADER_BYTES:] = bytes(len(image) - HEADER_BYTES)
    assert np.all(state["x"] == 1)
    assert np.all(state["y"] == 1)
    assert state["b"] == b"q" * 9000


def test_mapped_arrays_are_views_that_never_reach_the_slot() -> None:
    """They can be written, privately."""
    from goldthread.slots.slot import Slot

    writer = new_writer()
    writer.write({"x": np.ones(MANY)}, Step(1), generators=False)
    slot = Slot(writer.slots[0].descriptor, private=True)
    state = read(slot.image, map=True, pickle=False)
    slot.close()
    assert not state["x"].flags.owndata
    state["x"][:] = 2
    assert np.all(read(newest_image(writer), map=False, pickle=False)["x"] == 1)
    assert np.all(state["x"] == 2)


def test_a_key_that_the_commit_does_not_know_keeps_its_value() -> None:
    """A program that gained a key still restores, and is told; in nested places too."""
    initial = {"step": 0, "new": [1], "inner": {"a": 0, "b": 5}, "walker": Walker(0, 9)}
    image_state = {"step": 3, "inner": {"a": 1}, "walker": Walker(1, 2)}
    result = poured(image_state, initial)
    assert {"step": 3, "new": [1], "inner": {"a": 1, "b": 5}, "walker": Walker(1, 2)} == result.state
    assert result.unknown == ('state["inner"]["b"]', 'state["new"]')


def test_a_key_that_only_the_commit_has_is_restored_in_its_place() -> None:
    """Programs add keys as they run; leaving them out would lose work."""
    shared, kept = np.ones(2), np.zeros(2)
    stored = {"old": {"x": shared}, "step": 3, "kept": np.ones(2), "inner": {"new": shared, "a": 1}}
    result = poured(stored, {"kept": kept, "mine": 5, "inner": {"a": 0}, "step": 0})
    assert list(result.state) == ["old", "step", "kept", "inner", "mine"]
    assert list(result.state["inner"]) == ["new", "a"]
    assert result.state["old"]["x"] is result.state["inner"]["new"]
    assert result.state["kept"] is kept
    assert (result.added, result.dropped) == (('state["old"]', 'state["inner"]["new"]'), ())


@given(st.permutations(["a", "b", "c", "d"]), st.permutations(["a", "b", "c", "d"]))
def test_the_order_of_equal_keys_is_that_of_the_commit(stored: list[str], given_order: list[str]) -> None:
    """Whatever the order of the program's own."""
    initial = dict.fromkeys(given_order, 0)
    assert stored == list(poured(dict.fromkeys(stored, 1), initial).state)
    assert set(initial.values()) == {1}


def test_a_field_that_a_class_lost_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is no place for it; the program is told."""
    image = image_of([Walker(1, speed=2)])

    @dataclass
    class Slower:
        place: Any

    Slower.__qualname__ = "Walker"
    monkeypatch.setattr(sys.modules[__name__], "Walker", Slower)
    result = pour(image, [Slower(0)], map=False, pickle=False)
    assert (result.added, result.dropped) == ((), ("state[0].speed",))
    assert vars(result.state[0]) == {"place": 1}


def test_what_is_empty_has_no_opinion() -> None:
    """Empty containers and arrays take whatever was stored, as do tables of data."""
    initial = {"losses": [], "best": {}, "history": np.zeros(0), "counts": Counter(a=1), "by_id": {1: "a"}}
    stored = {
        "losses": [1.0, 2.0], "best": {"score": 1}, "history": np.ones(5), "counts": Counter(b=2), "by_id": {2: "b"},
    }  # fmt: skip
    result = poured(stored, initial)
    assert (initial["losses"], initial["best"], len(result.state["history"])) == ([1.0, 2.0], {"score": 1}, 5)
    assert result.state["counts"]["b"] == 2
    assert result.state["by_id"][2] == "b"
    assert result.dropped == ()


@pytest.mark.parametrize(
    ("stored", "initial", "sentence"),
    [
        ({"x": np.zeros(3)}, {"x": np.zeros(4)}, 'state["x"]: the commit has an array of float64 (3,)'),
        ({"x": np.zeros(3)}, {"x": np.zeros(3, "f4")}, 'state["x"]: the commit has an array of float64 (3,)'),
        ({"x": [1, 2]}, {"x": {"a": 1}}, 'state["x"]: the commit has a list, the program a dict'),
        ({"x": np.zeros(3)}, {"x": [0, 0]}, 'state["x"]: the commit has an array, the program a list'),
        ([Walker(1)], [Rule(1)], "state[0]: the commit has a Walker, the program a Rule"),
        ([Model(1)], [{"weight": 1}], "state[0]: the commit has a Model, the program a dict"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_and_nothing_is_changed(stored: Any, initial: Any, sentence: str) -> None:
    """The place, both sides, and the ways out."""
    first = np.zeros(3)
    whole = {"first": first, "items": [0], "last": initial}
    with pytest.raises(DoesNotFit) as caught:
        poured({"first": np.ones(3), "items": [1], "last": stored}, whole)
    assert str(caught.value).startswith(sentence.replace("state", 'state["last"]', 1))
    assert "rollback" in caught.value.hint
    assert "--fresh" in caught.value.hint
    assert ("grows" in caught.value.hint) is (isinstance(stored, dict) and isinstance(initial["x"], np.ndarray))
    assert first.tolist() == [0.0, 0.0, 0.0]
    assert whole["items"] == [0]


@pytest.mark.parametrize("strided", [False, True])
def test_a_damaged_chunk_is_noticed_as_it_is_copied(strided: bool) -> None:
    """Its place is named, containers are as they were, and what was given is called undefined."""
    image = image_of({"first": np.ones(MANY), "x": np.ones(MANY)})
    image[HEADER_BYTES + MANY * 8 + 5_000_000] ^= 1
    initial = {"x": np.zeros(2 * MANY)[::2] if strided else np.zeros(MANY), "mine": 1}
    with pytest.raises(CommitDamaged, match=r'^state\["x"\]: chunk 65 of 92 of .* is damaged; .* undefined now'):
        pour(image, initial, map=False, pickle=False)
    assert list(initial) == ["x", "mine"]


@pytest.mark.parametrize("thing", [b"q" * 9000, bytearray(b"q" * 9), np.ones(9), array.array("d", [1])])
def test_damage_in_a_small_leaf_is_noticed_before_it_is_used(thing: Any) -> None:
    """Nothing is changed then."""
    image = image_of({"thing": thing})
    image[HEADER_BYTES] ^= 1
    with pytest.raises(CommitDamaged, match=r'^state\["thing"\]: chunk 1 of 1 of .* is damaged$'):
        read(image, map=False, pickle=False)


def test_objects_with_load_state_dict_are_loaded() -> None:
    """Once, and last; a refusal names the place, and says that the rest is restored."""
    model = Model(0)
    result = poured({"model": Model(5), "step": 2}, {"model": model, "step": 0})
    assert (model, 1, [5.0, 5.0, 5.0]) == (result.state["model"], model.loads, model.weight.tolist())
    model.weight = np.zeros(4)
    refusal = (
        r'state\["model"\]: .*Model refuses its state: the weight has another length; the rest is restored already'
    )
    with pytest.raises(DoesNotFit, match=refusal):
        poured({"model": Model(5)}, {"model": model})


def test_without_an_initial_value_what_had_a_state_dict_is_given_as_that() -> None:
    """There is no object to load it into."""
    assert poured({"model": Model(5)}, None).state["model"]["weight"].tolist() == [5.0] * 3


def test_sharing_is_that_of_the_commit() -> None:
    """One array at two places of the program takes only one of two stored ones."""
    one = np.zeros(2)
    apart = poured([np.ones(2), np.full(2, 2.0)], [one, one]).state
    assert [item.tolist() for item in apart] == [[1.0, 1.0], [2.0, 2.0]]
    both = np.ones(2)
    together = poured([both, both], [np.zeros(2), np.zeros(2)]).state
    assert together[0] is together[1]


def test_tuples_named_tuples_and_frozen_dataclasses_are_made_anew_around_what_stays() -> None:
    """What cannot be changed in place is replaced; arrays in it stay."""
    values, inner = np.zeros(2), np.zeros(2)
    initial = (Pair(values), Rule(inner))
    result = poured((Pair(np.ones(2), 5), Rule(np.ones(2))), initial).state
    assert result[0].left is values
    assert result[1].size is inner
    assert (result[0].right, values.tolist(), inner.tolist()) == (5, [1.0, 1.0], [1.0, 1.0])


def test_an_ordered_dict_given_a_dict_keeps_its_own_type() -> None:
    """The order is the commit's."""
    initial = OrderedDict(a=0, b=0)
    result = poured({"b": 1, "a": 2}, initial)
    assert list(result.state.items()) == [("b", 1), ("a", 2)]
    assert result.state is initial


def test_generators_of_the_program_are_set_in_place() -> None:
    """They go on where the commit was made, and stay the same objects."""
    numbers, python, legacy = np.random.default_rng(1), random.Random(1), np.random.RandomState(1)
    image = image_of([numbers, python, legacy])
    expected = [numbers.random(), python.random(), legacy.random_sample(), numbers.spawn(1)[0].random()]
    given = [np.random.default_rng(), random.Random(), np.random.RandomState()]
    result = pour(image, list(given), map=False, pickle=False).state
    assert all(mine is its for mine, its in zip(given, result, strict=True))
    assert expected == [given[0].random(), given[1].random(), given[2].random_sample(), given[0].spawn(1)[0].random()]


@pytest.mark.parametrize("put_back", [True, False])
def test_global_generators_travel_with_the_commit(put_back: bool) -> None:
    """They are put back where that is asked for, else left alone."""
    before = capture_generators()
    try:
        writer = new_writer()
        writer.write([], Step(1), generators=True)
        expected = [random.random(), np.random.random()]
        pour(newest_image(writer), None, map=False, pickle=False, generators=put_back)
        assert put_back == (expected == [random.random(), np.random.random()])
    finally:
        from goldthread.state.generators import put_back_generators

        put_back_generators(before)
