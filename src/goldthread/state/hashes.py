"""What hashes alike in each process, and what by identity."""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import enum
import fractions
import functools
import math
import sys
import uuid
from collections.abc import Iterable
from pathlib import Path
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Any, Final

import numpy as np

__all__ = ["equals_itself_only", "hash_alike", "is_hashed_early", "is_nan"]

_WHOLE: Final = frozenset({int, bool})
_BY_NUMBER: Final[frozenset[Any]] = frozenset(
    kind.__hash__ for kind in (int, datetime.timedelta, fractions.Fraction, uuid.UUID, range)
)
"""These hash numbers only."""
_BY_PARTS: Final[frozenset[Any]] = frozenset({tuple.__hash__, frozenset.__hash__})
_BY_TEXT: Final[frozenset[Any]] = frozenset({str.__hash__, bytes.__hash__, enum.Enum.__hash__, datetime.date.__hash__})
_BY_VALUE: Final[frozenset[Any]] = frozenset(
    kind.__hash__ for kind in (int, float, complex, str, bytes, decimal.Decimal, datetime.date, datetime.timedelta)
)
"""Of what is there as soon as it is made."""
_GENERATED: Final = "<string>"
"""The file of a function that `dataclass` made."""


_SINGLE: Final = (type, type(None), FunctionType, BuiltinFunctionType, ModuleType, type(Ellipsis), type(NotImplemented))
"""Of these a restore gives the very ones that the program has."""


def hash_alike(items: Iterable[Any]) -> bool:
    """Whether all of them hash alike in each process that runs this program."""
    return set(map(type, items)) <= _WHOLE or all(map(_hashes_alike, items))


def _hashes_alike(item: Any) -> bool:
    kind = type(item)
    by: Any = kind.__hash__
    if by in _BY_NUMBER:
        return True
    if by in _BY_PARTS:
        return all(map(_hashes_alike, tuple(item)))
    if by in _BY_TEXT:
        return _is_seed_fixed()
    if isinstance(item, (float, complex, decimal.Decimal)) or issubclass(kind, np.number):
        return _is_of_library(by, kind) and not is_nan(item)
    if by is datetime.datetime.__hash__:
        return item.tzinfo is not None or _is_seed_fixed()
    if by is datetime.timezone.__hash__ or issubclass(kind, np.bool_):
        return True
    if item is None:
        return sys.version_info >= (3, 12)
    return _hashes_its_fields(kind, by) and all(map(_hashes_alike, _hashed_fields(item)))


def _is_of_library(by: Any, kind: type) -> bool:
    return by in (float.__hash__, complex.__hash__, decimal.Decimal.__hash__) or kind.__module__ == "numpy"


def _hashes_its_fields(kind: type, by: Any) -> bool:
    return (
        dataclasses.is_dataclass(kind)
        and by is vars(kind).get("__hash__")
        and isinstance(by, FunctionType)
        and by.__code__.co_filename == _GENERATED
    )


def _hashed_fields(item: Any) -> list[Any]:
    fields = dataclasses.fields(item)
    return [getattr(item, one.name) for one in fields if (one.compare if one.hash is None else one.hash)]


@functools.cache
def _is_seed_fixed() -> bool:
    """Whether text hashes alike in the next life: Python was started with a seed; one that was set since is none."""
    if not sys.flags.hash_randomization:
        return True
    try:
        lines = Path("/proc/self/environ").read_bytes().split(b"\0")
    except OSError:
        return False
    seed = next((line.partition(b"=")[2] for line in lines if line.startswith(b"PYTHONHASHSEED=")), b"")
    return seed.isdigit() and not sys.flags.ignore_environment


def is_hashed_by_identity(thing: Any) -> bool:
    """Whether a thing can be found by its hash before there is anything in it."""
    by: Any = type(thing).__hash__
    return by is object.__hash__


def is_hashed_early(thing: Any) -> bool:
    """Whether an object has its hash before it has its attributes, and before there is all of what it holds."""
    by: Any = type(thing).__hash__
    return by is object.__hash__ or by in _BY_VALUE


def equals_itself_only(thing: Any) -> bool:
    """Whether no key that was made anew is equal to this one."""
    if isinstance(thing, (tuple, frozenset)):
        return any(map(equals_itself_only, thing))
    kind = type(thing)
    if _hashes_its_fields(kind, kind.__hash__):
        return any(map(equals_itself_only, _hashed_fields(thing)))
    return is_nan(thing) or (is_hashed_by_identity(thing) and not isinstance(thing, _SINGLE))


def is_nan(thing: Any) -> bool:
    """Whether a number equals not even itself, and hashes by identity."""
    if isinstance(thing, (np.datetime64, np.timedelta64)):
        return bool(np.isnat(thing))
    if isinstance(thing, decimal.Decimal):
        return thing.is_nan()
    if isinstance(thing, (complex, np.complexfloating)):
        return math.isnan(thing.real) or math.isnan(thing.imag)
    return isinstance(thing, (float, np.floating)) and bool(np.isnan(thing))
