"""Which things a walk noted at once, and where: so that one of them is known when it is met again."""

from __future__ import annotations

from collections.abc import KeysView
from itertools import count, repeat
from typing import Any, Final

import numpy as np

from goldthread.state.plain import Ids

__all__ = ["Blocks", "have_one_of"]

_MANY: Final = 4096
"""A block of so many things keeps their ids in an array: to put each into a dict would cost as much as all else."""


class Blocks:
    """Blocks by number, each a list of things that stand in no other."""

    def __init__(self) -> None:
        self._few: dict[int, tuple[int, int]] = {}
        """By id: number of the block, index in it."""
        self._many: list[tuple[int, Ids, list[Any]]] = []
        self._indexes: dict[int, dict[int, int]] = {}
        """Of a block of many that something was found in: the indexes by id."""
        self._kept: list[list[Any]] = []
        """All things, so that no other gets the id of one."""

    def __bool__(self) -> bool:
        return bool(self._kept)

    def add(self, number: int, ids: Ids, things: list[Any]) -> None:
        """Things with these ids, which are sorted."""
        self._kept.append(things)
        if len(things) < _MANY:
            self._few.update(zip(map(id, things), zip(repeat(number), count()), strict=False))
        else:
            self._many.append((number, ids, things))

    def place_of(self, thing: object) -> tuple[int, int] | None:
        """Number of the block and index in it; None for what stands in none."""
        found = self._few.get(id(thing))
        if found is not None:
            return found
        for number, ids, things in self._many:
            at = int(ids.searchsorted(np.uint64(id(thing))))
            if at < len(ids) and int(ids[at]) == id(thing):
                if number not in self._indexes:
                    self._indexes[number] = dict(zip(map(id, things), count(), strict=False))
                return number, self._indexes[number][id(thing)]
        return None

    def have_one_of(self, ids: Ids) -> bool:
        """Whether one of these stands in a block."""
        return have_one_of(self._few.keys(), ids) or any(_meet(ids, others) for _, others, _ in self._many)


def have_one_of(mine: KeysView[int], ids: Ids) -> bool:
    """Whether one of some ids is among those of `mine` that are ids, which are not below 0."""
    if len(mine) > len(ids):
        return not mine.isdisjoint(ids.tolist())
    return _meet(ids, np.fromiter((one for one in mine if one >= 0), np.uint64))


def _meet(ids: Ids, others: Ids) -> bool:
    if not len(ids) or not len(others):
        return False
    at = np.minimum(ids.searchsorted(others), len(ids) - 1)
    return bool((ids[at] == others).any())
