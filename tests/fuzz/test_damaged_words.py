"""A manifest with right checksums and wrong words, as a partner can make it: damage, or a misfit, and nothing else."""

from __future__ import annotations

import random
import warnings
from contextlib import suppress
from typing import Any

import msgspec
import pytest
from targets import STATES, manifest_of, restored

from goldthread.errors import CommitDamaged, DoesNotFit

MANY = 300
"""Changes of each manifest."""
ODD: list[Any] = [
    None, 0, 1, -1, 2**62, 7, "", "value", "array", "tree", "values", "O", "<f8", b"", b"x" * 9, [], {}, 1.5, True,
    ["list", 2**40], ["same", 0], ["object", "os:system", None, [], 0], ["named"], "os:system", [2**40], [[2**40], "x"],
]  # fmt: skip


def changed(chance: random.Random, thing: Any) -> Any:
    """A manifest with one thing in it that is another."""
    if isinstance(thing, (list, dict)) and thing and chance.random() < 0.9:
        keys: list[Any] = list(thing) if isinstance(thing, dict) else list(range(len(thing)))
        key = chance.choice(keys)
        made = thing.copy()
        how = chance.random()
        if how < 0.7:
            made[key] = changed(chance, thing[key])
        elif how < 0.85 and isinstance(made, list):
            made.insert(key, made[chance.choice(keys)])
        else:
            del made[key]
        return made
    return chance.choice(ODD)


@pytest.mark.parametrize("number", range(len(STATES)))
def test_a_word_that_is_another_is_damage_or_a_misfit(number: int) -> None:
    """No other error, no endless work, no memory without end; what can be made is made."""
    manifest = msgspec.msgpack.decode(manifest_of(STATES[number]))
    chance = random.Random(number)
    for _ in range(MANY):
        with suppress(CommitDamaged, DoesNotFit), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            restored(msgspec.msgpack.encode(changed(chance, manifest)))
