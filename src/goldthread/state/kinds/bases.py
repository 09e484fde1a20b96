"""What builtin a class of the program derives from: how its items are taken out, and put in again.

The methods of the builtin itself are called, so that nothing that a subclass overrides is run.
"""

from __future__ import annotations

import array
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

__all__ = ["Base", "base_of"]


class Base(NamedTuple):
    take: Callable[[Any], Any]
    """The items of an instance of a subclass, as an instance of the builtin itself."""
    new: Callable[[Any, Any], Any]
    """`new(cls, items)`: an instance of the subclass; of what can be filled later, an empty one."""
    fill: Callable[[Any, Any], object] | None = None
    """`fill(empty, items)`; None where it must be whole when it is made."""
    clear: Callable[[Any], object] | None = None

    @property
    def is_whole(self) -> bool:
        return self.fill is None

    def refill(self, current: Any, items: Any) -> None:
        """Give an instance other items."""
        if self.clear is not None and self.fill is not None:
            self.clear(current)
            self.fill(current, items)


def _value(kind: Any, take: Callable[[Any], Any]) -> Base:
    return Base(take, lambda cls, items: kind.__new__(cls, items))


def _take_defaultdict(thing: Any) -> Any:
    return defaultdict(thing.default_factory, dict.items(thing))


def _fill_defaultdict(made: Any, items: Any) -> None:
    made.default_factory = items.default_factory
    dict.update(made, items)


def _fill_ordered(made: Any, items: Any) -> None:
    for key, value in items.items():
        OrderedDict.__setitem__(made, key, value)


_DEQUE_NEW = deque.__new__


def _new_deque(cls: Any, items: Any) -> Any:
    made = _DEQUE_NEW(cls)
    deque.__init__(made, (), None if items is None else items.maxlen)
    return made


def _fill_deque(made: Any, items: deque[Any]) -> None:
    deque.__init__(made, items, items.maxlen)


_BASES: dict[type, Base] = {
    list: Base(list.copy, lambda cls, _: list.__new__(cls), list.extend, list.clear),
    dict: Base(dict.copy, lambda cls, _: dict.__new__(cls), dict.update, dict.clear),
    Counter: Base(lambda thing: Counter(dict.copy(thing)), lambda cls, _: dict.__new__(cls), dict.update, dict.clear),
    OrderedDict: Base(
        lambda thing: OrderedDict(OrderedDict.items(thing)),
        lambda cls, _: OrderedDict.__new__(cls),
        _fill_ordered,
        OrderedDict.clear,
    ),
    defaultdict: Base(_take_defaultdict, lambda cls, _: defaultdict.__new__(cls), _fill_defaultdict, dict.clear),
    set: Base(lambda thing: set.copy(set(set.__iter__(thing))), lambda cls, _: set.__new__(cls), set.update, set.clear),
    deque: Base(lambda thing: deque(deque.__iter__(thing), thing.maxlen), _new_deque, _fill_deque, deque.clear),
    bytearray: Base(
        lambda thing: bytearray(memoryview(thing)),
        lambda cls, _: bytearray.__new__(cls),
        bytearray.extend,
        bytearray.clear,
    ),
    frozenset: _value(frozenset, lambda thing: frozenset(frozenset.__iter__(thing))),
    tuple: _value(tuple, lambda thing: tuple.__getitem__(thing, slice(None))),
    str: _value(str, str.__str__),
    int: _value(int, int.__int__),
    float: _value(float, float.__float__),
    bytes: _value(bytes, lambda thing: bytes.__getitem__(thing, slice(None))),
    complex: _value(complex, complex.__complex__),
    array.array: Base(
        lambda thing: array.array(thing.typecode, memoryview(thing).tobytes()),
        lambda cls, items: array.array.__new__(cls, items.typecode, items),
    ),
    np.ndarray: Base(lambda thing: thing.view(np.ndarray), lambda cls, items: items.view(cls)),
}


def base_of(cls: type) -> Base | None:
    """How instances of subclasses of a builtin are taken apart; None for what is no such builtin."""
    return _BASES.get(cls)
