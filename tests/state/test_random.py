"""Generators go on where they were, and share what they shared."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
from images import image_of, round_trip

from goldthread.errors import CannotStore
from goldthread.state.restore import pour

BITS = [np.random.PCG64, np.random.PCG64DXSM, np.random.MT19937, np.random.Philox, np.random.SFC64]


def poured(stored: Any, given: Any) -> Any:
    return pour(image_of(stored), given, map=False, pickle=False).state


def drawn(thing: Any) -> Any:
    """What comes next, in numbers of several kinds."""
    if isinstance(thing, random.Random):
        return [thing.gauss(0, 1), thing.random(), thing.getrandbits(70)]
    return [thing.normal(size=3).tolist(), thing.permutation(9).tolist(), thing.bytes(3)]


@pytest.mark.parametrize("kind", BITS)
def test_a_generator_goes_on(kind: Any) -> None:
    """Also in the half of a word that was left over, and in what it spawns."""
    numbers = np.random.Generator(kind(3))
    numbers.integers(9, dtype=np.int32)
    numbers.spawn(2)
    image = image_of([numbers])
    given = np.random.Generator(kind(4))
    bits = given.bit_generator
    same = pour(image, [given], map=False, pickle=False).state[0]
    new = pour(image, None, map=False, pickle=False).state[0]
    expected = drawn(numbers), drawn(numbers.spawn(1)[0])
    assert (same is given, same.bit_generator is bits) == (True, True)
    assert expected == (drawn(same), drawn(same.spawn(1)[0]))
    assert expected == (drawn(new), drawn(new.spawn(1)[0]))


@pytest.mark.parametrize("kind", BITS)
def test_a_legacy_generator_goes_on(kind: Any) -> None:
    """With the normal number that it drew ahead, and with what its bit generator was seeded by."""
    numbers: Any = np.random.RandomState(kind(np.random.SeedSequence(3)))
    numbers.standard_normal()
    image = image_of([numbers])
    given: Any = np.random.RandomState(kind(4))
    same = pour(image, [given], map=False, pickle=False).state[0]
    new = pour(image, None, map=False, pickle=False).state[0]
    assert same is given
    for one in (same, new):
        assert one._bit_generator.seed_seq.entropy == 3
    expected = drawn(numbers)
    assert [drawn(same), drawn(new)] == [expected, expected]


def test_a_bit_generator_that_several_draw_from_is_one() -> None:
    """What one of them draws, the others do not."""
    bits = np.random.MT19937(np.random.SeedSequence(5))
    state: Any = [
        np.random.Generator(bits),
        np.random.RandomState(bits),
        np.random.Generator(bits),
        bits,
        bits.seed_seq,
    ]
    given_bits = np.random.MT19937(6)
    given = [np.random.Generator(given_bits), np.random.RandomState(given_bits), np.random.Generator(given_bits)]
    for back in (round_trip(state), poured(state, [*given, given_bits, None])):
        assert back[0].bit_generator is back[1]._bit_generator is back[2].bit_generator is back[3]
        assert back[3].seed_seq is back[4]
        assert back[0].random() != back[2].random()


class Dice(np.random.Generator):
    """A generator that knows its sides."""


class OldDice(np.random.RandomState):
    """One of the old kind."""


class Cards(random.Random):
    """One of Python's."""


@pytest.mark.parametrize("make", [lambda: Dice(np.random.SFC64(3)), lambda: OldDice(3), lambda: Cards(3)])
def test_a_generator_of_the_programs_class_goes_on(make: Any) -> None:
    """With its attributes."""
    thing = make()
    thing.sides = [6]
    drawn(thing)
    image = image_of([thing])
    given = make()
    same = pour(image, [given], map=False, pickle=False).state[0]
    new = pour(image, None, map=False, pickle=False).state[0]
    expected = drawn(thing)
    assert (type(new), new.sides, same is given, same.sides) == (type(thing), [6], True, [6])
    assert [drawn(new), drawn(same)] == [expected, expected]


def test_a_sequence_of_seeds_goes_on_spawning() -> None:
    """From whatever entropy it has."""
    for entropy in (5, [1, 2, 3], 2**100, 0):
        seeds = np.random.SeedSequence(entropy, spawn_key=(3, 4), pool_size=8)
        seeds.spawn(2)
        back = round_trip(seeds)
        assert (seeds.state, seeds.pool.tolist()) == (back.state, back.pool.tolist())
        assert seeds.spawn(1)[0].state == back.spawn(1)[0].state


class OwnBits(np.random.PCG64):
    """What is in it beside PCG64, nobody knows."""


@pytest.mark.parametrize(
    "make", [OwnBits, lambda: np.random.Generator(OwnBits()), lambda: np.random.RandomState(OwnBits())]
)
def test_a_bit_generator_of_an_own_class_is_refused(make: Any) -> None:
    """By itself and in what draws from it; with a way out."""
    with pytest.raises(
        CannotStore, match=r'^state\["x"\].*: a bit generator of type OwnBits cannot be stored'
    ) as caught:
        image_of({"x": make()})
    assert "register" in caught.value.hint
