"""Classes, functions and enumerations of which drawn states are made: all can be imported by their names."""

from __future__ import annotations

import array
import dataclasses
import datetime
import decimal
import enum
import fractions
import ipaddress
import pathlib
import random
import types
import typing
import uuid
from collections import Counter, OrderedDict, UserDict, UserList, defaultdict, deque, namedtuple
from typing import Any

import numpy as np

# Functions by name.


def seven() -> int:
    return 7


def fresh_list() -> list[Any]:
    return [0]


# Enumerations.


class Colour(enum.Enum):
    RED = "red"
    BLUE = (1, 2)
    AZURE = (1, 2)  # noqa: PIE796
    """An alias of BLUE."""


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 8


class Word(enum.StrEnum):
    YES = "yes"
    NO = "no"


class Right(enum.Flag):
    READ = 1
    WRITE = 2
    RUN = 4


class Mode(enum.IntFlag):
    A = 1
    B = 2
    C = 16


# Plain objects.


class Thing:
    """Attributes in `__dict__`; equal to itself only."""

    colour = "of the class"

    class Inner:
        """Named by a path of two."""


class Empty:
    """False in a condition, without length."""

    def __len__(self) -> int:
        return 0

    def __bool__(self) -> bool:
        return False


class Stern:
    """Made with arguments only; refuses to be written, and answers for every attribute."""

    def __init__(self, first: object, second: object) -> None:
        object.__setattr__(self, "first", first)
        object.__setattr__(self, "second", second)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(name)


class Alike:
    """Equal to everything, with one hash."""

    def __eq__(self, other: object) -> bool:
        return True

    def __hash__(self) -> int:
        return 1


class Slotted:
    __slots__ = ("__hidden", "left", "right")

    def hide(self, thing: object) -> None:
        self.__hidden = thing


class Extra:
    __slots__ = ()


class SlottedMore(Slotted, Extra):
    __slots__ = ("__weakref__", "deep")


class SlottedOpen(SlottedMore):
    """Slots and a `__dict__`."""


class SlotAgain(Slotted):
    """A slot that hides one of its base."""

    __slots__ = ("left",)


class Mapping(UserDict):  # type: ignore[type-arg]
    pass


class Sequence(UserList):  # type: ignore[type-arg]
    pass


# Dataclasses.


@dataclasses.dataclass
class Point:
    x: Any
    y: Any = 0
    tags: list[Any] = dataclasses.field(default_factory=list)


@dataclasses.dataclass
class Point3(Point):
    z: Any = None
    late: Any = dataclasses.field(init=False, repr=False)
    """Has no value until it is given one."""


@dataclasses.dataclass(frozen=True)
class Frozen:
    name: Any
    parts: Any = ()


@dataclasses.dataclass(slots=True)
class SlotPoint:
    x: Any
    y: Any = 0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class FrozenSlots:
    x: Any
    seed: dataclasses.InitVar[int] = 3


# Named tuples.

Pair = namedtuple("Pair", "left right")


class Typed(typing.NamedTuple):
    name: Any
    number: Any = 5


class PairMore(Pair):
    """A named tuple with attributes of its own."""


# Subclasses of what can be stored.


class MyList(list):  # type: ignore[type-arg]
    pass


class SlotList(list):  # type: ignore[type-arg]
    __slots__ = ("note",)


class CalmList(list):  # type: ignore[type-arg]
    """What goes in by its own methods is doubled: what brings it back must not use them."""

    def append(self, item: object) -> None:
        super().append([item, item])

    def extend(self, items: Any) -> None:
        for item in items:
            self.append(item)

    def __setitem__(self, at: Any, item: object) -> None:
        super().__setitem__(at, [item, item])


class MyDict(dict):  # type: ignore[type-arg]
    pass


class CountingDict(dict):  # type: ignore[type-arg]
    """What goes in by its own method is counted."""

    def __setitem__(self, key: object, value: object) -> None:
        super().__setitem__(key, value)
        super().__setitem__("count", len(self))


class MyTuple(tuple):
    pass


class SlotTuple(tuple):
    __slots__ = ()


class MyStr(str):
    pass


class MyInt(int):
    pass


class MyFloat(float):
    pass


class MyComplex(complex):
    pass


class MyBytes(bytes):
    pass


class MyBytearray(bytearray):
    pass


class MySet(set):  # type: ignore[type-arg]
    pass


class MyFrozenset(frozenset):  # type: ignore[type-arg]
    pass


class MyDeque(deque):  # type: ignore[type-arg]
    pass


class MyOrdered(OrderedDict):  # type: ignore[type-arg]
    pass


class MyCounter(Counter):  # type: ignore[type-arg]
    pass


class MyDefault(defaultdict):  # type: ignore[type-arg]
    pass


class MyDate(datetime.date):
    pass


class MyTime(datetime.time):
    pass


class MyMoment(datetime.datetime):
    pass


class MyDelta(datetime.timedelta):
    pass


class MyDecimal(decimal.Decimal):
    pass


class MyFraction(fractions.Fraction):
    """Has a `__dict__`, since it says nothing of slots."""


class MyPath(pathlib.PurePosixPath):
    pass


class MyUuid(uuid.UUID):
    pass


class MyAddress(ipaddress.IPv4Address):
    pass


class MyNamespace(types.SimpleNamespace):
    pass


class MyRandom(random.Random):
    pass


class MyNumbers(array.array):  # type: ignore[type-arg]
    pass


class MyArray(np.ndarray):  # type: ignore[type-arg]
    """An array with a unit, which its views inherit."""

    def __array_finalize__(self, source: Any) -> None:
        self.unit = getattr(source, "unit", None)


class PlainArray(np.ndarray):  # type: ignore[type-arg]
    pass


class MyFloat64(np.float64):
    pass


class MyGenerator(np.random.Generator):
    pass


# Exceptions.


class Trouble(Exception):
    def __init__(self, code: object, *, place: object) -> None:
        super().__init__(f"trouble {code}")
        self.place = place
