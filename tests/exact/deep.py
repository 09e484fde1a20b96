"""The first place where two states differ: a comparison that uses nothing of goldthread.

`difference(mine, its)` walks both side by side, without recursion, and compares at each place: the type, the bits of
the value, the order of the contents, the attributes (of `__dict__`, in their order, and of slots), of an array its
type, shape, strides and flags. Of identity it demands that what one object is in *mine* is one object in *its*, and
two are two; not so of what is immutable without attributes (text, numbers, dates), which nobody can tell apart but by
`is`. Last it compares which arrays and buffers overlap in memory, and by how much.

No `==` of a user's class is ever called. Sets whose members hash otherwise in each process have no order that a
restore could keep; their members are paired by what is in them.
"""

from __future__ import annotations

import array
import collections
import datetime
import decimal
import enum
import fractions
import functools
import ipaddress
import itertools
import pathlib
import random
import re
import reprlib
import struct
import types
import uuid
import zoneinfo
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from memory import Memory
from numpy_deep import (
    compare_array,
    compare_dtype,
    compare_generator,
    compare_random_state,
    compare_scalar,
    compare_seed,
)
from order import in_order

__all__ = ["ATOMS", "COMPARISONS", "NAMED", "WITHOUT_ATTRIBUTES", "Pairs", "difference"]

NAMED = (type, types.FunctionType, types.BuiltinFunctionType, types.MethodDescriptorType, np.ufunc, type(np.mean))
"""What is found by its name, and is the same object in each state."""
_SINGLE = frozenset({type(None), type(Ellipsis), type(NotImplemented), bool})
_PLAIN = frozenset({type(None), bool, int, str, bytes})
ATOMS = {
    *{int, float, complex, str, bytes, range, decimal.Decimal, fractions.Fraction, uuid.UUID},
    *{datetime.date, datetime.time, datetime.datetime, datetime.timedelta, datetime.timezone, zoneinfo.ZoneInfo},
    *{pathlib.PosixPath, pathlib.PurePosixPath, pathlib.PureWindowsPath, re.Pattern, type(np.dtype("i4"))},
    *{ipaddress.IPv4Address, ipaddress.IPv6Address, ipaddress.IPv4Network, ipaddress.IPv4Interface},
}
"""Immutable, without attributes: no identity is asked for. Libraries enter theirs when a test asks for them."""
WITHOUT_ATTRIBUTES: set[type] = set()
"""Types whose attributes, and those of whose subclasses, are of no program's making."""


class _Differs(Exception):
    """Found at a place of the walk."""


class Pairs:
    """What is still to be compared."""

    def __init__(self) -> None:
        self.left: list[tuple[Any, Any, str, bool]] = []
        self.place = ""
        self.memory = Memory()

    def push(self, mine: Any, its: Any, ending: str, *, fresh: bool = False) -> None:
        """Compare two things later. `fresh` ones were made for the comparison, and have no identity."""
        self.left.append((mine, its, self.place + ending, fresh))

    def push_all(self, mine: Iterable[Any], its: Iterable[Any], form: Callable[[int], str] = "[{}]".format) -> None:
        pairs = enumerate(zip(mine, its, strict=True))
        left = [(a, b, self.place + form(at), False) for at, (a, b) in pairs if not _are_plainly_equal(a, b)]
        self.left.extend(reversed(left))

    def same(self, what: str, mine: Any, its: Any) -> None:
        """Two plain values must be equal: numbers, text, or tuples of those."""
        if mine != its or type(mine) is not type(its):
            raise _Differs(f"{what}: {_short(mine)} became {_short(its)}")


def _short(thing: Any) -> str:
    try:
        text = _SHORT.repr(thing)
    except Exception as error:
        text = f"{type(thing).__name__}, whose repr raises {error!r}"
    return text if len(text) < 160 else f"{text[:150]}..."


def difference(mine: Any, its: Any) -> str | None:
    """The first place where two states differ, and how; None where they do not."""
    pairs = Pairs()
    pairs.push(mine, its, "state")
    there: dict[int, Any] = {}
    back: dict[int, Any] = {}
    places: dict[int, str] = {}
    while pairs.left:
        mine, its, pairs.place, is_fresh = pairs.left.pop()
        try:
            kind = type(mine)
            if kind is not type(its):
                raise _Differs(f"type: {_name(kind)} became {_name(type(its))}: {_short(its)}")
            if kind in _SINGLE or isinstance(mine, (*NAMED, enum.Enum)):
                if mine is not its:
                    raise _Differs(f"value: {_short(mine)} became {_short(its)}")
                continue
            if not is_fresh and not _is_atom(kind):
                if id(mine) in there or id(its) in back:
                    first = places.get(id(mine)) or places.get(id(its))
                    if there.get(id(mine)) is not its or back.get(id(its)) is not mine:
                        raise _Differs(f"sharing: {_short(mine)} is shared otherwise (first met at {first})")
                    continue
                there[id(mine)], back[id(its)], places[id(mine)], places[id(its)] = its, mine, pairs.place, pairs.place
            _compare(pairs, kind, mine, its)
        except _Differs as differs:
            return f"{pairs.place}: {differs}"
    return pairs.memory.difference()


def _are_plainly_equal(mine: Any, its: Any) -> bool:
    """Whether that is seen without more ado; zeros may differ in their sign."""
    kind = type(mine)
    return kind is type(its) and (kind in _PLAIN or (kind is float and mine != 0)) and mine == its


def _is_atom(kind: type) -> bool:
    return kind in ATOMS or (
        issubclass(kind, np.generic) and not issubclass(kind, np.void) and kind.__module__ == "numpy"
    )


def _name(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


def _compare(pairs: Pairs, kind: type, mine: Any, its: Any) -> None:
    for base in kind.__mro__:
        compare = COMPARISONS.get(base)
        if compare is not None:
            break
    else:
        if not all(one is object or one.__flags__ & _IS_HEAP_TYPE for one in kind.__mro__):
            raise TypeError(f"the comparison knows nothing of {kind}")
        compare = None
    if kind not in ATOMS and WITHOUT_ATTRIBUTES.isdisjoint(kind.__mro__):
        # Pushed first, so that the contents are compared before.
        _compare_attributes(pairs, kind, mine, its)
    if compare is not None:
        compare(pairs, mine, its)


_IS_HEAP_TYPE = 1 << 9


def _compare_attributes(pairs: Pairs, kind: type, mine: Any, its: Any) -> None:
    own, other = _dict_of(mine), _dict_of(its)
    if own is not None and other is not None and not issubclass(kind, np.ma.MaskedArray):
        if list(own) != list(other):
            raise _Differs(f"attributes: {list(own)} became {list(other)}")
        if own:
            pairs.left.append((own, other, f"{pairs.place}.__dict__", False))
    for name, slot in _slots_of(kind):
        a, b = _slot(slot, mine), _slot(slot, its)
        if (a is _UNSET) != (b is _UNSET):
            raise _Differs(f"attributes: slot {name}: {_short(a)} became {_short(b)}")
        if a is not _UNSET:
            pairs.push(a, b, f".{name}")


_COMPARED = ("pathlib", "fractions", "uuid", "ipaddress")
"""Modules whose slots are compared by what they say; they also hold what was computed once."""


@functools.cache
def _slots_of(kind: type) -> list[tuple[str, Any]]:
    """The slots that the classes of a type have, also those that hide one another."""
    return [
        (name, slot)
        for base in kind.__mro__
        if (base.__flags__ & _IS_HEAP_TYPE and base.__module__ not in _COMPARED) or _has_slots(base)
        for name, slot in vars(base).items()
        if type(slot) is types.MemberDescriptorType
    ]


_SHORT = reprlib.Repr()
_SHORT.maxlevel, _SHORT.maxlist, _SHORT.maxtuple, _SHORT.maxset, _SHORT.maxdict = 3, 12, 12, 12, 8
_SHORT.maxstring = _SHORT.maxother = _SHORT.maxlong = 100
"""A state whole would be long, and where much is shared it would never end."""
_UNSET = type("Unset", (), {"__repr__": lambda self: "no value"})()


def _has_slots(base: type) -> bool:
    """Whether the members of a class that is built in are things that a program gave it."""
    return issubclass(base, BaseException) or base is slice


def _slot(slot: Any, thing: Any) -> Any:
    try:
        return slot.__get__(thing)
    except AttributeError:
        return _UNSET


def _dict_of(thing: Any) -> dict[str, Any] | None:
    try:
        return object.__getattribute__(thing, "__dict__")
    except AttributeError:
        return None


def _by(what: str, form: Callable[[Any], Any]) -> Callable[[Pairs, Any, Any], None]:
    """Compare a plain value that tells all."""
    return lambda pairs, mine, its: pairs.same(what, form(mine), form(its))


def _bits(number: float) -> bytes:
    return struct.pack("<d", number)


def _list(pairs: Pairs, mine: Any, its: Any) -> None:
    kind = next(one for one in (list, tuple, collections.deque) if isinstance(mine, one))
    pairs.same("value: length", kind.__len__(mine), kind.__len__(its))
    if kind is collections.deque:
        pairs.same("value: maxlen", mine.maxlen, its.maxlen)
    pairs.push_all(kind.__iter__(mine), kind.__iter__(its))


def _dict(pairs: Pairs, mine: Any, its: Any) -> None:
    kind = collections.OrderedDict if isinstance(mine, collections.OrderedDict) else dict
    if isinstance(mine, collections.defaultdict):
        pairs.push(mine.default_factory, its.default_factory, ".default_factory")
    keys, others = list(kind.keys(mine)), list(kind.keys(its))
    if len(keys) != len(others):
        raise _Differs(f"value: {len(keys)} keys became {len(others)}: {_short(keys)}, {_short(others)}")
    if set(map(type, keys)) | set(map(type, others)) <= {str, int}:
        if keys != others or list(map(type, keys)) != list(map(type, others)):
            what = "order" if sorted(map(_short, keys)) == sorted(map(_short, others)) else "value"
            raise _Differs(f"{what}: keys {_short(keys)} became {_short(others)}")
    else:
        pairs.push_all(keys, others, "<key {}>".format)
    values, other_values = list(kind.values(mine)), list(kind.values(its))
    for at in reversed(range(len(keys))):
        if _are_plainly_equal(values[at], other_values[at]):
            continue
        text = _short(keys[at]) if type(keys[at]) in (str, int, float) else f"<key {at}>"
        pairs.push(values[at], other_values[at], f"[{text}]")


def _set(pairs: Pairs, mine: Any, its: Any) -> None:
    kind = set if isinstance(mine, set) else frozenset
    own, other = list(kind.__iter__(mine)), list(kind.__iter__(its))
    if len(own) != len(other):
        raise _Differs(f"value: {len(own)} members became {len(other)}: {_short(own)}, {_short(other)}")
    is_kept, own, other = in_order(own, other)
    if is_kept and all(type(one) is int for one in own) and own != other and sorted(own) == sorted(other):
        raise _Differs(f"order: {_short(own)} became {_short(other)}")
    pairs.push_all(own, other, "<member {}>".format)


def _slice(pairs: Pairs, mine: Any, its: Any) -> None:
    """Its three members are compared as slots are."""


def _exception(pairs: Pairs, mine: Any, its: Any) -> None:
    pairs.push(mine.args, its.args, ".args")
    pairs.push(mine.__cause__, its.__cause__, ".__cause__")
    pairs.push(mine.__context__, its.__context__, ".__context__")
    if isinstance(mine, BaseExceptionGroup):
        pairs.push(mine.exceptions, its.exceptions, ".exceptions", fresh=True)


def _moment(pairs: Pairs, mine: Any, its: Any) -> None:
    plain = (mine.replace(tzinfo=None).isoformat(), mine.fold), (its.replace(tzinfo=None).isoformat(), its.fold)
    pairs.same("value", *plain)
    pairs.push(mine.tzinfo, its.tzinfo, ".tzinfo")


def _buffer(pairs: Pairs, mine: Any, its: Any) -> None:
    """A bytearray, an array.array or a memoryview."""
    if isinstance(mine, memoryview):
        for name in ("format", "shape", "strides", "readonly", "itemsize"):
            pairs.same(f"value: {name}", getattr(mine, name), getattr(its, name))
        if type(mine.obj) is not type(its.obj):
            raise _Differs(f"type: of a memoryview of {_name(type(mine.obj))}: {_name(type(its.obj))}")
    if isinstance(mine, array.array):
        pairs.same("value: typecode", mine.typecode, its.typecode)
    views = memoryview(mine), memoryview(its)
    pairs.same("value", views[0].tobytes(), views[1].tobytes())
    if views[0].nbytes and not (isinstance(mine, memoryview) and isinstance(mine.obj, bytes)):
        pairs.memory.note(pairs.place, *(np.asarray(view) for view in views), (mine, its))


def _reduced(pairs: Pairs, mine: Any, its: Any) -> None:
    """An iterator of the library: what it would be made of."""
    pairs.push(mine.__reduce__(), its.__reduce__(), ".__reduce__()", fresh=True)


def _partial(pairs: Pairs, mine: Any, its: Any) -> None:
    pairs.push(mine.func, its.func, ".func")
    pairs.push(mine.args, its.args, ".args")
    pairs.push(mine.keywords, its.keywords, ".keywords")


def _random(pairs: Pairs, mine: Any, its: Any) -> None:
    pairs.same("value: state of the generator", random.Random.getstate(mine), random.Random.getstate(its))


COMPARISONS: dict[type, Callable[[Any, Any, Any], None]] = {
    int: _by("value", lambda thing: int.__index__(thing)),
    float: _by("value", lambda thing: _bits(thing)),
    complex: _by("value", lambda thing: (_bits(thing.real), _bits(thing.imag))),
    str: _by("value", lambda thing: str.__str__(thing)),
    bytes: _by("value", lambda thing: bytes.__getitem__(thing, slice(None))),
    range: _by("value", lambda thing: (thing.start, thing.stop, thing.step)),
    decimal.Decimal: _by("value", lambda thing: thing.as_tuple()),
    fractions.Fraction: _by("value", lambda thing: (thing.numerator, thing.denominator)),
    uuid.UUID: _by("value", lambda thing: (thing.int, thing.is_safe)),
    datetime.timedelta: _by("value", lambda thing: (thing.days, thing.seconds, thing.microseconds)),
    datetime.date: _by("value", lambda thing: thing.isoformat()),
    datetime.datetime: _moment,
    datetime.time: _moment,
    datetime.timezone: _by("value", lambda thing: (thing.utcoffset(None), thing.tzname(None), repr(thing))),
    zoneinfo.ZoneInfo: _by("value", lambda thing: thing.key),
    pathlib.PurePath: _by("value", str),
    ipaddress._IPAddressBase: _by("value", str),
    re.Pattern: _by("value", lambda thing: (thing.pattern, thing.flags)),
    list: _list,
    tuple: _list,
    collections.deque: _list,
    dict: _dict,
    set: _set,
    frozenset: _set,
    slice: _slice,
    BaseException: _exception,
    bytearray: _buffer,
    array.array: _buffer,
    memoryview: _buffer,
    itertools.count: _reduced,
    itertools.islice: _reduced,
    functools.partial: _partial,
    random.Random: _random,
    np.ndarray: compare_array,
    np.generic: compare_scalar,
    np.dtype: compare_dtype,
    np.random.BitGenerator: compare_generator,
    np.random.Generator: lambda pairs, mine, its: pairs.push(mine.bit_generator, its.bit_generator, ".bit_generator"),
    np.random.RandomState: compare_random_state,
    np.random.SeedSequence: compare_seed,
    types.SimpleNamespace: lambda pairs, mine, its: None,
}
