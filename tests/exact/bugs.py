"""Bugs to plant in the way of a state, one for each clause of the rule: each must be found.

Those of `AFTER_RESTORE` change what a restore gave, as a restore that is wrong in this way would give it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import classes
import numpy as np

__all__ = ["AFTER_RESTORE", "PLANTED", "SECOND", "Planted", "holders", "replace"]


class Planted(NamedTuple):
    clause: str
    """The word that a difference of this clause begins with."""
    kinds: tuple[str, ...]
    """Of which the states are, so that the bug meets what it breaks."""


SECOND = "the second commit is of something else"

PLANTED: dict[str, Planted] = {
    "a bool becomes an int": Planted("type", ("bool",)),
    "a subclass becomes its base": Planted("type", ("dataclass",)),
    "a zero loses its sign": Planted("value", ("float",)),
    "a bit of an array is turned": Planted("value", ("array",)),
    "a dict is sorted": Planted("order", ("str",)),
    "a set is built anew": Planted("order", ("set of ints in an order",)),
    "an attribute is left out": Planted("attributes", ("dataclass",)),
    "a shared list is copied": Planted("sharing", ("list", "dict")),
    "two lists become one": Planted("sharing", ("list",)),
    "a shared tuple is copied": Planted("sharing", ("one tuple in two places",)),
    "a view is copied": Planted("memory", ("two arrays over one memory",)),
    SECOND: Planted("value", ("int",)),
}


def holders(state: Any) -> Iterator[tuple[Any, Any, Any]]:
    """Each child in a dict or list that is met first, with its container and its key there."""
    seen, left = {id(state)}, [state]
    while left:
        thing = left.pop()
        for key, child in list(thing.items() if isinstance(thing, dict) else enumerate(thing)):
            yield thing, key, child
            if type(child) in (dict, list) and id(child) not in seen:
                seen.add(id(child))
                left.append(child)


def replace(test: Callable[[Any], bool], make: Callable[[Any], Any]) -> Callable[[Any], None]:
    """Put something else in the place of the first child that passes."""

    def spoil(state: Any) -> None:
        for holder, key, child in holders(state):
            if test(child):
                holder[key] = make(child)
                return

    return spoil


def _turn_a_bit(state: Any) -> None:
    for _, _, child in holders(state):
        if type(child) is np.ndarray and child.nbytes and child.flags.c_contiguous:
            child.reshape(-1).view(np.uint8)[-1] ^= 1
            return


def _sort_a_dict(state: Any) -> None:
    for _, _, child in [(None, None, state), *holders(state)]:
        if type(child) is dict and len(child) > 1:
            items = sorted(child.items(), key=repr)
            child.clear()
            child.update(items)
            return


def _build_anew(state: Any) -> None:
    for holder, key, child in holders(state):
        if type(child) is set:
            turned = list(child)
            turned.reverse()
            holder[key] = set(turned)


def _leave_out(state: Any) -> None:
    for _, _, child in holders(state):
        if isinstance(child, classes.Point):
            del child.tags
            return


def _copy_shared(kind: type, copy: Callable[[Any], Any]) -> Callable[[Any], None]:
    def spoil(state: Any) -> None:
        seen: set[int] = set()
        for holder, key, child in holders(state):
            if type(child) is kind and child:
                if id(child) in seen:
                    holder[key] = copy(child)
                    return
                seen.add(id(child))

    return spoil


def _join(state: Any) -> None:
    empty: list[Any] | None = None
    for holder, key, child in holders(state):
        if type(child) is list and not child and child is not empty:
            if empty is not None:
                holder[key] = empty
                return
            empty = child


AFTER_RESTORE: dict[str, Callable[[Any], None]] = {
    "a bool becomes an int": replace(lambda child: type(child) is bool, int),
    "a subclass becomes its base": replace(
        lambda child: type(child) is classes.Point, lambda child: classes.Point3(child.x, child.y, child.tags)
    ),
    "a zero loses its sign": replace(lambda child: type(child) is float and child == 0, lambda child: -child),
    "a bit of an array is turned": _turn_a_bit,
    "a dict is sorted": _sort_a_dict,
    "a set is built anew": _build_anew,
    "an attribute is left out": _leave_out,
    "a shared list is copied": _copy_shared(list, list),
    "two lists become one": _join,
    "a shared tuple is copied": _copy_shared(tuple, lambda child: (*child,)),
    "a view is copied": replace(lambda child: type(child) is np.ndarray, lambda child: child.copy()),
}
