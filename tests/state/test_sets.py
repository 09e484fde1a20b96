"""Sets come back with the same table: in the same order, and going on alike."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from images import image_of, new_writer, round_trip

from goldthread.errors import CannotStore
from goldthread.names import Step
from goldthread.state.hashes import hash_alike
from goldthread.state.restore import pour
from goldthread.state.tables import frozen_by, order_and_plan, refill_set, table_of


@dataclass(frozen=True)
class Spot:
    x: int
    y: int


class Node:
    neighbours: set[Any]


class Named:
    def __init__(self, name: str) -> None:
        self.name = name

    def __hash__(self) -> int:
        return hash(self.name)


class Kept(set[int]):
    pass


class Fixed(frozenset[int]):
    pass


def changed(rng: random.Random, numbers: set[int]) -> set[int]:
    """The same set after one change, of any kind."""
    some = rng.sample(range(1000), rng.randint(0, 40))
    steps: list[Any] = [
        lambda: numbers.add(rng.choice((rng.randint(-50, 50), rng.getrandbits(40), rng.randint(0, 10) * 64))),
        lambda: numbers.discard(rng.randint(-50, 50)),
        lambda: numbers and numbers.pop(),
        lambda: numbers.update(some),
        lambda: numbers.difference_update(some),
        lambda: numbers.symmetric_difference_update(some),
        lambda: numbers.intersection_update(range(0, 1000, 2)),
        lambda: [numbers.discard(one) for one in sorted(numbers)[::2]],
    ]
    if rng.random() < 0.05:
        return numbers.copy()
    rng.choice(steps)()
    return numbers


def history(seed: int) -> set[int]:
    rng = random.Random(seed)
    numbers: set[int] = set()
    for _ in range(rng.randint(1, 60)):
        numbers = changed(rng, numbers)
    return numbers


def popped(numbers: set[int]) -> list[int]:
    return [numbers.pop() for _ in range(len(numbers))]


def test_a_set_of_any_history_comes_back_with_its_table() -> None:
    """Size, order, what was taken out, and where the next `pop` goes on."""
    for seed in range(400):
        numbers = history(seed)
        found = order_and_plan(numbers, list(numbers))
        assert found is not None, seed
        assert table_of(refill_set(set(), *found)) == table_of(numbers), seed


def test_a_set_goes_on_as_it_would_have() -> None:
    """What is added later lies where it would have lain, and `pop` gives the same."""
    for seed in range(40):
        mine, its = history(seed), round_trip({"numbers": history(seed)})["numbers"]
        for one in random.Random(seed).sample(range(2000), 30):
            mine.add(one)
            its.add(one)
        assert (list(mine), popped(mine)) == (list(its), popped(its)), seed


def test_a_set_of_the_program_stays_and_has_the_order() -> None:
    """One from which was popped, too: where its own `pop` went on does not show."""
    for seed in range(40):
        given = history(seed + 1000)
        image = image_of(history(seed))
        poured = pour(image, given, map=False, pickle=False).state
        assert poured is given
        assert (list(given), popped(given)) == (list(history(seed)), popped(history(seed))), seed


def test_a_frozenset_has_its_order_and_its_copies_have_theirs() -> None:
    """However it came about: as a union, a difference, or from a list."""
    rng = random.Random(5)
    for _ in range(200):
        first, second = (frozenset(rng.sample(range(-20, 300), rng.randint(0, 60))) for _ in range(2))
        for made in (first | second, first - second, first & second, frozenset(map(hash, map(float, second)))):
            its = round_trip([made])[0]
            assert list(its) == list(made)
            assert list(set(its)) == list(set(made))


def test_a_plan_of_a_frozenset_gives_the_table() -> None:
    """A union makes room first; what is taken out leaves marks."""
    whole = frozenset(range(0, 4000, 40))
    for made in (whole, whole - {40}, frozenset(range(100)) | {5000}):
        found = order_and_plan(made, list(made))
        assert found is not None
        mine, its = table_of(made), table_of(frozen_by(*found))
        assert mine is not None
        assert its is not None
        assert its.entries == mine.entries


@pytest.mark.parametrize("kind", [Kept, Fixed])
def test_subclasses_have_their_order(kind: Any) -> None:
    """By the table of the builtin."""
    numbers = [8, 0, 16, 1 << 40, -1, -2, 24, 99, 7]
    made = kind(numbers)
    its = round_trip([made])[0]
    assert type(its) is kind
    assert list(its) == list(made)


ALIKE = [
    1, True, 1.5, 2j, (1, (2.0,)), frozenset({1}), Fraction(1, 3), Decimal("1.5"), UUID(int=7), range(3), Spot(1, 2),
    np.int8(3), np.float32(0.5),
]  # fmt: skip
OTHERWISE = ["a", b"a", float("nan"), complex(0, float("nan")), Decimal("nan"), (1, "a"), Node(), Named("a"), int]


@pytest.mark.parametrize("thing", ALIKE, ids=repr)
def test_what_hashes_alike_is_known(thing: object) -> None:
    """So that its order is kept."""
    assert hash_alike([thing])


@pytest.mark.parametrize("thing", OTHERWISE, ids=lambda thing: type(thing).__name__)
def test_what_hashes_otherwise_is_known(thing: object) -> None:
    """So that nobody promises an order."""
    assert not hash_alike([thing])


HASHES = "print(hash((1, 2.5, __import__('fractions').Fraction(1, 3), range(3))), hash('a'))"


def test_hashes_of_numbers_are_those_of_another_process() -> None:
    """What this rests on, for both sides."""
    environment = {**os.environ, "PYTHONHASHSEED": "random"}
    said = {
        subprocess.run([sys.executable, "-c", HASHES], env=environment, capture_output=True, text=True).stdout
        for _ in range(3)
    }
    assert len({line.split()[0] for line in said}) == 1
    assert len({line.split()[1] for line in said}) > 1


def test_a_set_of_text_says_once_that_its_order_is_lost() -> None:
    """With its place; the next commit of the writer says nothing."""
    writer = new_writer()
    with pytest.warns(match=r'state\["words"\]: the order of a set'):
        writer.write({"words": {"a", "b", "c"}}, Step(0), generators=False)
    writer.close()


def test_an_object_may_stand_in_a_set_of_its_own() -> None:
    """It hashes by identity: there it is before there is anything in it."""
    one, other = Node(), Node()
    one.neighbours, other.neighbours = {one, other}, {(one, 1)}
    its = round_trip({"one": one})["one"]
    assert its in its.neighbours
    [back] = [node for node in its.neighbours if node is not its]
    assert back.neighbours == {(its, 1)}


@pytest.mark.parametrize("hold", [lambda one: {one}, lambda one: {(1, one)}, lambda one: {one: 1}], ids=range(3))
def test_what_hashes_by_what_is_in_it_may_not(hold: Any) -> None:
    """Its hash is wanted before it has its name."""
    one: Any = Named("a")
    one.held = hold(one)
    with pytest.raises(CannotStore, match=r'state\["one"\]\.held.*it contains itself'):
        image_of({"one": one})
