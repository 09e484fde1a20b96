"""What builtin a class of the program derives from: how its items are taken out, and put in again.

The methods of the builtin itself are called, so that nothing that a subclass overrides is run.
"""

from __future__ import annotations

import _random
import array
import datetime
import decimal
import functools
import pathlib
import random
import sys
import types
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import numpy as np

from goldthread.state.kinds.exceptions import (
    fill_exception,
    new_exception,
    new_group,
    take_exception,
    tell_of_exception,
)
from goldthread.state.kinds.numpy_bases import (
    SCALARS,
    fill_generator,
    fill_randomstate,
    new_scalar,
    take_generator,
    take_randomstate,
    take_scalar,
)
from goldthread.state.kinds.sets import Members, fill_subclass, new_frozen_subclass

__all__ = ["Base", "base_of"]


class Base(NamedTuple):
    take: Callable[[Any], Any] | None
    """The items of an instance of a subclass, as something that can be stored; None: it has nothing but attributes."""
    new: Callable[[Any, Any], Any]
    """`new(cls, items)`: an instance of the subclass; of what can be filled later, an empty one."""
    fill: Callable[[Any, Any], object] | None = None
    """`fill(empty, items)`; None where it must be whole when it is made."""
    clear: Callable[[Any], object] | None = None
    """None: `fill` leaves nothing of what was there."""
    pours: bool = True
    """Whether an instance of the program can be given other items."""
    is_strict: bool = False
    """Whether what the items hold must be whole, too, when it is made."""
    tell: Callable[[Any], str | None] | None = None
    """What of an instance cannot come back."""
    sorts: bool = False
    """Whether items can be poured into those of an instance of the program."""

    @property
    def is_whole(self) -> bool:
        return self.take is not None and (self.fill is None or self.is_strict)

    def refill(self, current: Any, items: Any) -> None:
        """Give an instance other items."""
        if self.clear is not None:
            self.clear(current)
        if self.fill is not None:
            self.fill(current, items)


def _value(kind: Any, take: Callable[[Any], Any]) -> Base:
    return Base(take, lambda cls, items: kind.__new__(cls, items))


def _bare(kind: Any) -> Base:
    return Base(None, lambda cls, _: kind.__new__(cls))


def _take_defaultdict(thing: Any) -> Any:
    return defaultdict(thing.default_factory, dict.items(thing))


def _fill_defaultdict(made: Any, items: Any) -> None:
    made.default_factory = items.default_factory
    dict.update(made, items)


def _fill_ordered(made: Any, items: Any) -> None:
    for key, value in items.items():
        OrderedDict.__setitem__(made, key, value)


_DEQUE_NEW: Final = deque.__new__


def _new_deque(cls: Any, items: Any) -> Any:
    made = _DEQUE_NEW(cls)
    deque.__init__(made, (), None if items is None else items.maxlen)
    return made


def _fill_deque(made: Any, items: deque[Any]) -> None:
    deque.__init__(made, items, items.maxlen)


def _fields_of(kind: Any, names: str) -> Callable[[Any], list[Any]]:
    """What a subclass says of these attributes does not count."""
    getters = [vars(kind)[name] for name in names.split()]
    return lambda thing: [getter.__get__(thing) for getter in getters]


_DAY: Final = _fields_of(datetime.date, "year month day")
_CLOCK: Final = _fields_of(datetime.time, "hour minute second microsecond tzinfo")
_CLOCK_OF_DAY: Final = _fields_of(datetime.datetime, "hour minute second microsecond tzinfo")
_SPAN: Final = _fields_of(datetime.timedelta, "days seconds microseconds")
_FOLD: Final = _fields_of(datetime.time, "fold")
_FOLD_OF_DAY: Final = _fields_of(datetime.datetime, "fold")
_Any: Final[Any] = datetime


def _new_date(cls: Any, items: Any) -> Any:
    return _Any.date.__new__(cls, *_DAY(items))


def _new_time(cls: Any, items: Any) -> Any:
    return _Any.time.__new__(cls, *_CLOCK(items), fold=_FOLD(items)[0])


def _new_moment(cls: Any, items: Any) -> Any:
    return _Any.datetime.__new__(cls, *_DAY(items), *_CLOCK_OF_DAY(items), fold=_FOLD_OF_DAY(items)[0])


def _new_span(cls: Any, items: Any) -> Any:
    return _Any.timedelta.__new__(cls, *_SPAN(items))


def _new_path(cls: Any, items: str) -> Any:
    made: Any = pathlib.PurePath.__new__(cls, items)
    if sys.version_info >= (3, 12):
        pathlib.PurePath.__init__(made, items)
    return made


_PARTIAL: Final = _fields_of(functools.partial, "func args keywords")


def _take_partial(thing: Any) -> Any:
    return tuple(_PARTIAL(thing))


def _fill_partial(made: Any, items: Any) -> None:
    vars(functools.partial)["__setstate__"](made, (*items, None))


def _take_random(thing: Any) -> Any:
    made = random.Random.__new__(random.Random)
    made.setstate((random.Random.VERSION, _random.Random.getstate(thing), None))
    return made


def _fill_random(made: Any, items: Any) -> None:
    _random.Random.setstate(made, _random.Random.getstate(items))


def _items_of(thing: Any) -> dict[Any, Any]:
    """`dict.copy` would ask a subclass that overrides `__iter__` for its keys."""
    return dict(dict.items(thing))


_BASES: dict[type, Base] = {
    list: Base(list.copy, lambda cls, _: list.__new__(cls), list.extend, list.clear, sorts=True),
    dict: Base(
        lambda thing: dict(dict.items(thing)), lambda cls, _: dict.__new__(cls), dict.update, dict.clear, sorts=True
    ),
    Counter: Base(
        lambda thing: Counter(_items_of(thing)),
        lambda cls, _: dict.__new__(cls),
        dict.update,
        dict.clear,
        sorts=True,
    ),
    OrderedDict: Base(
        lambda thing: OrderedDict(OrderedDict.items(thing)),
        lambda cls, _: OrderedDict.__new__(cls),
        _fill_ordered,
        OrderedDict.clear,
        sorts=True,
    ),
    defaultdict: Base(
        _take_defaultdict, lambda cls, _: defaultdict.__new__(cls), _fill_defaultdict, dict.clear, sorts=True
    ),
    set: Base(Members, lambda cls, _: set.__new__(cls), fill_subclass),
    frozenset: Base(Members, new_frozen_subclass),
    deque: Base(
        lambda thing: deque(deque.__iter__(thing), thing.maxlen), _new_deque, _fill_deque, deque.clear, sorts=True
    ),
    bytearray: Base(
        lambda thing: bytearray(memoryview(thing)),
        lambda cls, _: bytearray.__new__(cls),
        lambda made, items: bytearray.__setitem__(made, slice(None), items),
    ),
    tuple: _value(tuple, lambda thing: tuple.__getitem__(thing, slice(None))),
    str: _value(str, str.__str__),
    int: _value(int, int.__int__),
    float: _value(float, float.__float__),
    bytes: _value(bytes, lambda thing: bytes.__getitem__(thing, slice(None))),
    complex: _value(complex, complex.__complex__),
    decimal.Decimal: _value(decimal.Decimal, decimal.Decimal),
    datetime.datetime: Base(lambda thing: _new_moment(datetime.datetime, thing), _new_moment),
    datetime.date: Base(lambda thing: _new_date(datetime.date, thing), _new_date),
    datetime.time: Base(lambda thing: _new_time(datetime.time, thing), _new_time),
    datetime.timedelta: Base(lambda thing: _new_span(datetime.timedelta, thing), _new_span),
    datetime.tzinfo: _bare(datetime.tzinfo),
    types.SimpleNamespace: _bare(types.SimpleNamespace),
    pathlib.PurePath: Base(pathlib.PurePath.__str__, _new_path),
    functools.partial: Base(_take_partial, lambda cls, _: functools.partial.__new__(cls, print), _fill_partial),
    random.Random: Base(_take_random, lambda cls, _: random.Random.__new__(cls), _fill_random),
    BaseExceptionGroup: Base(
        take_exception, new_group, fill_exception, pours=False, is_strict=True, tell=tell_of_exception
    ),
    BaseException: Base(take_exception, new_exception, fill_exception, pours=False, tell=tell_of_exception),
    array.array: Base(
        lambda thing: array.array(thing.typecode, memoryview(thing).tobytes()),
        lambda cls, items: array.array.__new__(cls, items.typecode, items),
    ),
    np.ndarray: Base(lambda thing: np.ndarray.view(thing, np.ndarray), lambda cls, items: np.ndarray.view(items, cls)),
    np.random.Generator: Base(
        take_generator, lambda cls, _: np.random.Generator.__new__(cls), fill_generator, sorts=True
    ),
    np.random.RandomState: Base(
        take_randomstate, lambda cls, _: np.random.RandomState.__new__(cls), fill_randomstate, sorts=True
    ),
    **dict.fromkeys(SCALARS, Base(take_scalar, new_scalar)),
}


def base_of(cls: type) -> Base | None:
    """How instances of subclasses of a builtin are taken apart; None for what is no such builtin."""
    return _BASES.get(cls)
