"""The tables of sets: what decides in which order a set is gone through, and what `pop` takes next.

A set is a table of slots. A member lies in the first free slot of a path that its hash decides; one that is taken out
leaves a *mark* behind, which is never free again until the table is made anew; and `pop` goes on from where it was, at
the *finger*. Two sets go on alike when tables and fingers are equal. So a plan says how many slots there are, where
marks lie and where the finger is, and in which order the members find the slots that they have: each after those that
lie on its path before it.

A set of that plan is made by what sets do, without a look into their memory: it is given so many slots by the `update`
with a dict, which makes room for all keys first and is stopped at the first; what lies in place of the marks, and is
then taken out, says itself what its hash is; and the finger is set by a `pop`.

The table of a set of the program must be read where it lies: nothing else tells marks and finger. Nobody promises where
that is; it is sought once, in sets of which it is known. Where it is not so (another implementation of Python), no
plan is made. That a plan gives the set back is tried at commit. Rejected: to add the members in their order to a table
of the same size (a member that was added late lies before one that was pushed away by it).
"""

from __future__ import annotations

import ctypes
import functools
import struct
import sys
from collections import deque
from collections.abc import Collection, Sequence
from itertools import compress
from operator import not_
from typing import Any, Final, NamedTuple

import numpy as np

__all__ = ["SetPlan", "Table", "frozen_by", "frozen_of", "order_and_plan", "refill_set", "table_of"]

_SMALL: Final = 8
"""Slots of the smallest table."""
_SMALL_TABLE: Final = struct.Struct(f"={2 * _SMALL}q")
_PROBES: Final = 9
_SHIFT: Final = 5
_ROUNDS_MOST: Final = 1000
_STEPS_MOST: Final = 64
_FREE: Final = -2
_NEVER: Final = 1 << 60
"""A path has so many jumps at most, and members wait for so many others at most; else there is no plan."""
_FAR: Final = 1 << 16
"""A finger that is at the beginning of each table of up to so many slots."""


class Table(NamedTuple):
    slots: int
    finger: int
    entries: bytes
    """Of each slot what lies there and its hash."""


class SetPlan(NamedTuple):
    slots: int
    finger: int
    marks: list[int]
    """Slots in which something lay that was taken out."""
    late: list[int]
    """Slots of the last members: each took the place of something that was taken out."""


class _Head(ctypes.Structure):
    _fields_ = (
        ("fill", ctypes.c_ssize_t), ("used", ctypes.c_ssize_t), ("mask", ctypes.c_ssize_t),
        ("table", ctypes.POINTER(ctypes.c_char)), ("hash", ctypes.c_ssize_t), ("finger", ctypes.c_ssize_t),
    )  # fmt: skip


def table_of(thing: Any) -> Table | None:
    """What lies where in a set or frozenset; None where nobody knows how to read it."""
    return _read(thing) if _is_known() else None


def _read(thing: Any) -> Table:
    head = _Head.from_address(id(thing) + object.__basicsize__)
    entries = head.table[0 : 16 * (head.mask + 1)]  # No call: no other thread comes between the two.
    return Table(len(entries) // 16, head.finger, entries)


@functools.cache
def _is_known() -> bool:
    """Whether tables lie where they are sought."""
    if sys.implementation.name != "cpython" or ctypes.sizeof(ctypes.c_void_p) != 8 or object.__basicsize__ != 16:
        return False
    kept = [object() for _ in range(40)]
    for count in (0, 3, 5, 19, 40):
        probe: set[Any] = set(kept[:count])
        popped = probe.pop() if count > 3 else None
        order = list(probe)
        head = _Head.from_address(id(probe) + 16)
        slots = max(_SMALL, (sys.getsizeof(probe) - sys.getsizeof(set())) // 16)
        if (head.fill, head.used, head.mask + 1) != (count, len(order), slots) or head.hash != -1:
            return False
        entries = np.frombuffer(_read(probe).entries, np.int64).reshape(-1, 2)
        places = np.flatnonzero((entries[:, 0] != 0) & (entries[:, 1] != -1))
        if [(id(one), hash(one)) for one in order] != [tuple(entry) for entry in entries[places].tolist()]:
            return False
        at = 0 if popped is None else int(head.finger)
        if (popped is not None) != (0 < at <= slots and bool(entries[at - 1, 1] == -1)):
            return False
    return True


# Plans.


def order_and_plan(thing: Any, items: list[Any]) -> tuple[list[Any], SetPlan | None] | None:
    """The members in the order in which they are to be added, and the plan; a plan of None: they are added to an empty
    set. No answer where there is no way to have the same set again.

    `items` are the members in the order of the set.
    """
    table = table_of(thing)
    if table is None:
        return None
    is_frozen = isinstance(thing, frozenset)
    if _is_alike(frozenset(items) if is_frozen else set(items), table, is_frozen=is_frozen):
        return items, None
    if table.slots == _SMALL and (sorted_items := _homes_first(table, items)) is not None:
        made = frozenset(sorted_items) if is_frozen else set(sorted_items)
        if _is_alike(made, table, is_frozen=is_frozen):
            return sorted_items, None
    arranged = _arrange(table, items)
    if arranged is None:
        return None
    order, marks, late = arranged
    members = [items[at] for at in order]
    if is_frozen:
        return _frozen_plan(thing, table, members, marks)
    plan = SetPlan(table.slots, table.finger, marks, late)
    return (members, plan) if _is_alike(refill_set(set(), members, plan), table, is_frozen=False) else None


def _homes_first(table: Table, items: list[Any]) -> list[Any] | None:
    """Those first that lie where their hash leads first: so few are mostly in order then, at little cost."""
    words = _SMALL_TABLE.unpack(table.entries)
    entries = [(at, words[2 * at + 1]) for at in range(_SMALL) if words[2 * at] and words[2 * at + 1] != -1]
    if len(entries) != len(items):
        return None
    is_home = [hash & (_SMALL - 1) == at for at, hash in entries]
    return [*compress(items, is_home), *compress(items, map(not_, is_home))]


def _frozen_plan(thing: Any, table: Table, members: list[Any], marks: list[int]) -> tuple[list[Any], SetPlan] | None:
    """Nothing is taken from a frozenset: its marks can be seen in the order of its copies only."""
    for given in (marks, []) if marks else ([],):
        plan = SetPlan(table.slots, 0, given, [])
        made = frozen_by(members, plan)
        if _is_alike(made, table, is_frozen=True):
            return members, plan
    return (members, plan) if list(made) == list(thing) and list(set(made)) == list(set(thing)) else None


def _is_alike(made: Any, table: Table, *, is_frozen: bool) -> bool:
    found = _read(made)
    return found.entries == table.entries and (is_frozen or found.finger == table.finger)


def _arrange(table: Table, items: list[Any]) -> tuple[list[int], list[int], list[int]] | None:
    """Members, by their index, in an order in which each finds its slot; the slots with marks; and those of the last
    members, which lie in each other's way."""
    entries = np.frombuffer(table.entries, np.int64).reshape(-1, 2)
    hashes = entries[:, 1]
    marks = np.flatnonzero(hashes == -1)
    owners = np.full(table.slots, _FREE, np.int64)
    owners[marks] = -1
    places = np.flatnonzero((entries[:, 0] != 0) & (hashes != -1))
    if len(places) != len(items):
        return None
    owners[places] = np.arange(len(places))
    paths = _paths(places, hashes[places].view(np.uint64), owners)
    if paths is None:
        return None
    levels = _levels(len(places), *paths)
    order = np.lexsort((places, levels))
    return order.tolist(), marks.tolist(), places[order[levels[order] == _NEVER]].tolist()


def _paths(places: Any, hashes: Any, owners: Any) -> tuple[Any, Any] | None:
    """Pairs of members: one, and one that lies on its path before it."""
    mask = len(owners) - 1
    bits = np.uint64(mask)
    waiting = np.flatnonzero((hashes & bits).astype(np.int64) != places)
    at = (hashes[waiting] & bits).astype(np.int64)
    perturb = hashes[waiting]
    members: list[Any] = [waiting[:0]]
    before: list[Any] = [waiting[:0]]
    for _ in range(_STEPS_MOST):
        if not len(waiting):
            return np.concatenate(members), np.concatenate(before)
        reach = np.where(at + _PROBES <= mask, _PROBES, 0)
        far = places[waiting] - at
        is_there = (far >= 0) & (far <= reach)
        for step in range(_PROBES + 1):
            passes = np.flatnonzero(np.where(is_there, step < far, step <= reach))
            found = owners[at[passes] + step]
            if (found == _FREE).any():
                return None
            members.append(waiting[passes][found >= 0])
            before.append(found[found >= 0])
        left = ~is_there
        waiting, perturb = waiting[left], perturb[left] >> np.uint64(_SHIFT)
        at = ((at[left].astype(np.uint64) * np.uint64(5) + np.uint64(1) + perturb) & bits).astype(np.int64)
    return None


def _levels(count: int, whose: Any, what: Any) -> Any:
    """Of each member after how many others, one after the other, it can be added; `_NEVER` of what lies in a circle."""
    levels = np.full(count, _NEVER, np.int64)
    for level in range(_ROUNDS_MOST):
        waits = np.zeros(count, bool)
        waits[whose] = True
        ready = (levels == _NEVER) & ~waits
        if not ready.any():
            break
        levels[ready] = level
        left = ~ready[what]
        whose, what = whose[left], what[left]
    return levels


# Made by plan.


class _Mark:
    """What takes a slot."""

    __slots__ = ("_hash",)

    def __init__(self, hash: int) -> None:
        self._hash = hash

    def __hash__(self) -> int:
        return self._hash


class _Stop(Exception):
    """An update has gone far enough."""


class _Stopper(_Mark):
    """Stops an update that finds something of the same hash in the set."""

    __slots__ = ("is_armed",)
    is_armed: bool

    def __eq__(self, other: object) -> bool:
        if self is not other and getattr(self, "is_armed", False):
            raise _Stop
        return self is other

    __hash__ = _Mark.__hash__


class _Double(_Mark):
    """Is equal to what is in a set already, once it is armed."""

    __slots__ = ()
    is_armed = False

    def __eq__(self, other: object) -> bool:
        return self is other or type(self).is_armed

    __hash__ = _Mark.__hash__


def refill_set(target: set[Any], items: Sequence[Any], plan: SetPlan | None) -> set[Any]:
    """Give a set, or an instance of a subclass, other members, as the plan says."""
    set.clear(target)
    finger = 0 if plan is None else plan.finger
    if finger or (_is_known() and _read(target).finger):
        _set_finger(target, finger)
    if plan is None:
        set.update(target, items)
        return target
    marks, late = list(map(_Mark, plan.marks)), list(map(_Mark, plan.late))
    fillers = [*marks, *late]
    if plan.slots > _SMALL and (fillers or items):
        first = fillers[0] if fillers else items[0]
        set.add(target, first)
        _enlarge(target, plan.slots, hash(first))
    set.update(target, fillers)
    count = len(items) - len(late)
    set.update(target, items[:count])
    for filler, item in zip(late, items[count:], strict=True):
        set.discard(target, filler)
        set.add(target, item)
    deque(map(functools.partial(set.discard, target), marks), 0)
    return target


def _set_finger(target: set[Any], finger: int) -> None:
    """Of an empty set."""
    finger = finger or _FAR
    slots = _SMALL
    while slots < finger:
        slots *= 2
    set.add(target, _Mark(finger - 1))
    if slots > _SMALL:
        _enlarge(target, slots, finger - 1)
    set.pop(target)
    set.clear(target)


def _enlarge(target: set[Any], slots: int, hash: int) -> None:
    """Give a set that has one member, which has this hash, so many slots."""
    stopper = _Stopper(hash)
    keys: dict[Any, None] = {stopper: None}
    keys.update(dict.fromkeys(range(max(5, slots // 4) - 2)))
    stopper.is_armed = True
    try:
        set.update(target, keys)
    except _Stop:
        return


def frozen_by(items: Collection[Any], plan: SetPlan | None) -> frozenset[Any]:
    """A frozenset of the plan: the union with a dict makes room for all keys first, and some are there already."""
    if plan is None:
        return frozenset(items)
    marks = list(map(_Mark, plan.marks))
    entries = [*marks, *items]
    if plan.slots <= _SMALL or not entries:
        made = frozenset(entries)
    else:
        count = max(5, plan.slots // 4)
        kind: Any = type("Double", (_Double,), {"__slots__": ()})
        doubles = [kind(hash(entries[at % len(entries)])) for at in range(count - len(entries))]
        keys = dict.fromkeys([*entries[:count], *doubles])
        kind.is_armed = True
        made = frozenset().union(keys, entries[count:])
    return made.difference(marks) if marks else made


def frozen_of(cls: Any, items: frozenset[Any]) -> Any:
    """An instance of a subclass of frozenset: a copy, or, where that has another table, one to which all was added."""
    made: Any = frozenset.__new__(cls, items)
    table = table_of(items)
    if table is not None and _read(made).entries != table.entries:
        arranged = _arrange(table, list(items))
        if arranged is not None:
            members = list(items)
            other: Any = frozenset.__new__(cls, [members[at] for at in arranged[0]])
            if _read(other).entries == table.entries:
                return other
    return made
