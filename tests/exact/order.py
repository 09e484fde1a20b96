"""Which sets have an order that a restore can keep, and how the members of the others are paired."""

from __future__ import annotations

import datetime
import decimal
import fractions
import uuid
from typing import Any

import numpy as np

__all__ = ["in_order"]

_HASHED_ALIKE = (int, fractions.Fraction, uuid.UUID, datetime.timedelta)
_PRINTED = (str, bytes, float, complex, range, type, np.generic)


def in_order(mine: list[Any], its: list[Any]) -> tuple[bool, list[Any], list[Any]]:
    """Whether the order of a set's members must be kept, and the members in the order in which to compare them."""
    if all(map(_hashes_alike, mine)) and all(map(_hashes_alike, its)):
        return True, mine, its
    return False, sorted(mine, key=_print), sorted(its, key=_print)


def _hashes_alike(thing: Any) -> bool:
    """Whether a member has the same hash in each process: no text is in it, and no address of memory."""
    kind = type(thing)
    if kind in (float, complex, decimal.Decimal) or (issubclass(kind, np.number) and kind.__module__ == "numpy"):
        return bool(thing == thing)
    if kind in (tuple, frozenset):
        return all(map(_hashes_alike, thing))
    return kind in (bool, *_HASHED_ALIKE)


def _print(thing: Any, level: int = 0) -> str:
    """Text that tells members apart by what is in them, in any process."""
    kind = type(thing)
    name = f"{kind.__module__}.{kind.__qualname__}"
    if level > 4:
        return name
    if isinstance(thing, (tuple, list)):
        inside = [_print(one, level + 1) for one in thing]
    elif isinstance(thing, (set, frozenset)):
        inside = sorted(_print(one, level + 1) for one in thing)
    elif isinstance(thing, dict):
        inside = [f"{_print(key, level + 1)}={_print(value, level + 1)}" for key, value in thing.items()]
    elif isinstance(thing, int):
        inside = [hex(int.__index__(thing))]
    elif isinstance(thing, np.generic):
        inside = [repr(thing.dtype), repr(thing.tobytes())]
    elif isinstance(thing, np.ndarray):
        plain = np.ndarray.view(thing, np.ndarray)
        inside = [repr(plain.dtype), repr(plain.shape), "" if plain.dtype.hasobject else repr(plain.tobytes())]
    elif isinstance(thing, _PRINTED):
        inside = [next(base for base in _PRINTED if isinstance(thing, base)).__repr__(thing)]
    elif kind.__repr__ is object.__repr__ or "0x" in repr(thing):
        inside = []
    else:
        inside = [repr(thing)]
    attributes = getattr(thing, "__dict__", None) if not isinstance(thing, type) else None
    names = dict(attributes) if isinstance(attributes, dict) else {}
    for base in kind.__mro__:
        slots = vars(base).get("__slots__", ())
        for slot in (slots,) if isinstance(slots, str) else slots:
            if slot not in ("__dict__", "__weakref__") and hasattr(thing, slot):
                names[slot] = getattr(thing, slot)
    told = [f"{key}={_print(value, level + 1)}" for key, value in names.items()]
    return f"{name}({', '.join([*inside, *told])})"
