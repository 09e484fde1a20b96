"""Changes in a state what a program would have otherwise when it gives its initial state to `restore`.

Numbers and text take other values, arrays become zero, some containers are emptied or stand in another order,
generators go on. What stands where stays of its kind, and what is shared stays shared.
"""

from __future__ import annotations

import array
import random
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Any

import numpy as np
from deep import NAMED, WITHOUT_ATTRIBUTES

__all__ = ["CHANGES", "OTHERS", "perturb"]

CHANGES: dict[type, Callable[[Any, random.Random], list[Any]]] = {}
"""How things of a library are changed in place; each gives what is in the thing."""
OTHERS: dict[type, Callable[[Any], Any]] = {}
"""How another is made of what cannot be changed; it takes the place of the one in lists and values of dicts."""

_PLAIN = frozenset({int, float, str, bool, bytes, type(None)})


def perturb(state: dict[str, Any], seed: int) -> dict[str, Any]:
    """The same state, changed in place."""
    rng = random.Random(f"perturb {seed}")
    seen: set[int] = {id(state)}
    kept: list[Any] = []
    left: list[Any] = [state]
    _others.clear()
    while left:
        thing = left.pop()
        kept.append(thing)
        inside = _change(thing, rng, is_kept=thing is state)
        own = _attributes(thing)
        if own is not None and id(own) not in seen:
            seen.add(id(own))
            inside += _change_dict(own, rng, is_kept=True)
        for child in inside:
            if type(child) not in _PLAIN and id(child) not in seen:
                seen.add(id(child))
                left.append(child)
    return state


_others: dict[int, tuple[Any, Any]] = {}
"""By the id of what cannot be changed: that, and what stands instead of it, wherever it is shared."""


def _other(value: Any) -> Any:
    kind = type(value)
    if kind in OTHERS:
        if id(value) not in _others:
            made = OTHERS[kind](value)
            _others[id(value)] = value, made
            _others[id(made)] = made, made
        return _others[id(value)][1]
    return value + 1 if kind in (int, float) else value + "!" if kind is str else value


def _change(thing: Any, rng: random.Random, *, is_kept: bool) -> list[Any]:
    """Change one thing; what is in it. One that is kept is not emptied."""
    inside: list[Any] = []
    if type(thing) in CHANGES:
        inside = CHANGES[type(thing)](thing, rng)
    elif isinstance(thing, dict):
        inside = _change_dict(thing, rng, is_kept=is_kept)
    elif isinstance(thing, list):
        inside = list(list.__iter__(thing))
        list.__setitem__(thing, slice(None), [] if rng.random() < 0.08 else list(map(_other, inside)))
    elif isinstance(thing, (tuple, deque)):
        inside = list(thing)
        if isinstance(thing, deque) and rng.random() < 0.15:
            thing.clear()
    elif isinstance(thing, set):
        inside = list(thing)
        if rng.random() < 0.2:
            thing.clear()
    elif isinstance(thing, frozenset):
        inside = list(thing)
    elif isinstance(thing, np.ndarray):
        inside = _change_array(thing)
    elif isinstance(thing, array.array) and len(thing) and thing.typecode != "u":
        thing[0] = 1
    elif isinstance(thing, bytearray) and thing:
        thing[0] ^= 1
    else:
        _go_on(thing)
    return inside


def _attributes(thing: Any) -> dict[str, Any] | None:
    """The `__dict__` of a thing; not where its hash may depend on it, nor where many share the thing."""
    if not WITHOUT_ATTRIBUTES.isdisjoint(type(thing).__mro__):
        return None
    if isinstance(thing, (*NAMED, np.ma.MaskedArray)) or type(thing).__hash__ not in (object.__hash__, None):
        return None
    own = getattr(thing, "__dict__", None)
    return own if type(own) is dict else None


def _change_dict(thing: Any, rng: random.Random, *, is_kept: bool) -> list[Any]:
    base = OrderedDict if isinstance(thing, OrderedDict) else dict
    items = list(base.items(thing))
    inside = [*(key for key, _ in items), *(value for _, value in items)]
    drawn = rng.random()
    if drawn < 0.08 and not is_kept:
        base.clear(thing)
    elif drawn < 0.3:
        base.clear(thing)
        for key, value in reversed(items):
            base.__setitem__(thing, key, value)
    else:
        for key, value in items:
            base.__setitem__(thing, key, _other(value))
    return inside


def _change_array(thing: Any) -> list[Any]:
    plain = np.ndarray.view(thing, np.ndarray)
    if plain.dtype.hasobject:
        return plain.reshape(-1).tolist() if plain.dtype.names is None else []
    if plain.flags.writeable and plain.size:
        plain[...] = np.zeros((), plain.dtype) if plain.dtype.kind != "T" else ""
    return []


def _go_on(thing: Any) -> None:
    if isinstance(thing, (random.Random, np.random.Generator, np.random.RandomState)):
        thing.random()
    elif isinstance(thing, np.random.BitGenerator):
        thing.random_raw()
