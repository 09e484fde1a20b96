"""Kinds of objects: of classes of one's own, subclasses of what is built in, exceptions.

What is equal to itself only has a number of its own (`serial`), so that a comparison can tell the members of a set
apart, whose order is another in each process.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import classes
from kinds import KINDS, kind


def _blank(make: type) -> Any:
    return object.__new__(make)


for _name, _class in {
    "object": classes.Thing,
    "object of an inner class": classes.Thing.Inner,
    "object that is false": classes.Empty,
    "object that equals all": classes.Alike,
}.items():

    @kind(_name, key=True)
    def _object(draw: Any, make: type = _class) -> Any:
        made = draw.dress(draw.opened(_blank(make)))
        made.serial = len(draw.seen)
        return made


@kind("object and its own __dict__")
def _with_dict(draw: Any) -> list[Any]:
    made = draw.dress(classes.Thing())
    return [made, vars(made)]


@kind("two objects with one __dict__")
def _one_dict(draw: Any) -> list[Any]:
    made, other = draw.dress(classes.Thing()), classes.Thing()
    other.__dict__ = made.__dict__
    return [made, other]


@kind("object that cannot be written", key=True)
def _stern(draw: Any) -> classes.Stern:
    return classes.Stern(draw.child(), len(draw.seen))


@kind("slots", key=True)
def _slots(draw: Any) -> Any:
    made = draw.opened(draw.rng.choice((classes.Slotted, classes.SlottedMore, classes.SlottedOpen))())
    if draw.rng.random() < 0.7:
        made.left = draw.child()
    made.right = len(draw.seen)
    made.hide(draw.child())
    if isinstance(made, classes.SlottedMore):
        made.deep = draw.child()
    return draw.dress(made) if hasattr(made, "__dict__") else made


@kind("slots that hide one another")
def _hidden_slots(draw: Any) -> Any:
    made = draw.opened(classes.SlotAgain())
    made.left = draw.child()
    classes.Slotted.left.__set__(made, draw.child())
    return made


@kind("UserDict and UserList")
def _user(draw: Any) -> Any:
    if draw.rng.random() < 0.5:
        return classes.Mapping({"a": draw.child()})
    return classes.Sequence(draw.children())


@kind("dataclass")
def _point(draw: Any) -> Any:
    return classes.Point(draw.child(), draw.child())


@kind("dataclass with more attributes than fields")
def _more(draw: Any) -> Any:
    return draw.dress(classes.Point(draw.child()))


@kind("dataclass without one of its fields")
def _less(draw: Any) -> Any:
    made = classes.Point3(draw.child(), draw.child(), [draw.child()], draw.child())
    if draw.rng.random() < 0.5:
        made.late = draw.child()
    else:
        del made.tags
    return made


@kind("dataclass whose attributes have another order")
def _turned(draw: Any) -> Any:
    made = classes.Point(draw.child(), draw.child())
    made.x = vars(made).pop("x")
    return made


@kind("dataclass with slots")
def _slot_point(draw: Any) -> Any:
    made = draw.opened(classes.SlotPoint(0))
    made.x = draw.child()
    if draw.rng.random() < 0.3:
        del made.y
    return made


@kind("frozen dataclass", key=True)
def _frozen(draw: Any) -> Any:
    return classes.Frozen(draw.key(), tuple(draw.hashables(2)))


@kind("frozen dataclass with slots", key=True)
def _frozen_slots(draw: Any) -> Any:
    return classes.FrozenSlots(x=draw.key())


@kind("namedtuple", key=True)
def _named(draw: Any) -> Any:
    return draw.rng.choice((classes.Pair, classes.Typed))(draw.key(), draw.key())


@kind("namedtuple of anything")
def _named_any(draw: Any) -> Any:
    return classes.Pair(draw.child(), draw.child())


# Subclasses: made of one of the kind itself, with attributes.

_MADE_OF: dict[Any, str] = {
    classes.MyStr: "str",
    classes.MyInt: "int",
    classes.MyFloat: "float",
    classes.MyComplex: "complex",
    classes.MyBytes: "bytes",
    classes.MyDecimal: "Decimal",
}
_FILLED: dict[Any, str] = {
    classes.MyList: "list",
    classes.SlotList: "list",
    classes.MySet: "set",
    classes.MyDeque: "deque",
    classes.MyBytearray: "bytearray",
}

for _class, _of in _MADE_OF.items():

    @kind(f"subclass of {_of}", key=True)
    def _atom(draw: Any, make: Any = _class, of: str = _of) -> Any:
        return draw.dress(make(KINDS[of](draw)))


for _class, _of in _FILLED.items():

    @kind(f"subclass of {_of}{' with slots' if _class is classes.SlotList else ''}")
    def _filled(draw: Any, make: Any = _class, of: str = _of) -> Any:
        made = draw.opened(make(KINDS[of](draw)))
        if make is classes.SlotList:
            made.note = draw.child()
            return made
        return draw.dress(made)


for _class in (classes.MyDict, classes.MyOrdered, classes.MyDefault, classes.MyCounter):

    @kind(f"subclass of {_class.__base__.__name__}")
    def _filled_dict(draw: Any, make: Any = _class) -> Any:
        made = draw.opened(make())
        if make is classes.MyDefault:
            made.default_factory = draw.rng.choice((None, list, classes.Thing))
        if make is classes.MyCounter:
            made.update(dict.fromkeys(draw.hashables(), 3))
            return draw.dress(made)
        return draw.dress(draw.fill(made))


@kind("subclass of list with methods of its own")
def _calm(draw: Any) -> Any:
    made = draw.opened(classes.CalmList())
    for child in draw.children():
        list.append(made, child)
    return made


@kind("subclass of dict with methods of its own")
def _counting(draw: Any) -> Any:
    made = draw.opened(classes.CountingDict())
    for key in draw.hashables():
        dict.__setitem__(made, key, draw.child())
    return made


@kind("subclass of tuple")
def _my_tuple(draw: Any) -> Any:
    if draw.rng.random() < 0.3:
        return classes.SlotTuple(draw.children())
    return draw.dress(classes.MyTuple(draw.children()))


@kind("subclass of tuple that is hashed", key=True)
def _my_key_tuple(draw: Any) -> Any:
    return draw.dress(classes.MyTuple(draw.hashables(3)))


@kind("subclass of frozenset", key=True)
def _my_frozenset(draw: Any) -> Any:
    return draw.dress(classes.MyFrozenset(draw.hashables(3)))


@kind("subclass of a namedtuple")
def _pair_more(draw: Any) -> Any:
    return draw.dress(classes.PairMore(draw.child(), draw.child()))


_REPLACED: dict[str, Any] = {
    "subclass of date": lambda draw: classes.MyDate(2024, 2, draw.rng.randint(1, 28)),
    "subclass of time": lambda draw: classes.MyTime(draw.rng.randint(0, 23), fold=1),
    "subclass of datetime": lambda draw: classes.MyMoment(2024, 2, draw.rng.randint(1, 28), fold=1),
    "subclass of timedelta": lambda draw: classes.MyDelta(draw.rng.randint(-9, 9), 5),
    "subclass of Fraction": lambda draw: classes.MyFraction(draw.rng.randint(-9, 9), 7),
    "subclass of a path": lambda draw: classes.MyPath("a", str(draw.rng.randint(0, 9))),
    "subclass of IPv4Address": lambda draw: classes.MyAddress(draw.rng.getrandbits(32)),
    "subclass of SimpleNamespace": lambda draw: classes.MyNamespace(b=draw.child(), a=draw.child()),
    "subclass of random.Random": lambda draw: classes.MyRandom(draw.rng.randint(0, 99)),
    "subclass of array.array": lambda draw: classes.MyNumbers("d", [draw.rng.random(), 2.0]),
}
_HASHED = {"date", "time", "datetime", "timedelta", "Fraction", "a path", "IPv4Address"}

for _name, _make in _REPLACED.items():

    @kind(_name, key=_name.removeprefix("subclass of ") in _HASHED)
    def _dressed(draw: Any, make: Any = _make) -> Any:
        return draw.dress(make(draw))


@kind("subclass of UUID", key=True)
def _my_uuid(draw: Any) -> Any:
    return classes.MyUuid(int=draw.rng.getrandbits(128))


# What calls something, and exceptions.


@kind("functools.partial")
def _partial(draw: Any) -> Any:
    return functools.partial(draw.rng.choice((math.pow, classes.seven, print)), draw.child(), flag=draw.child())


@kind("exception")
def _exception(draw: Any) -> Any:
    made = draw.opened(draw.rng.choice((ValueError, KeyError, KeyboardInterrupt, StopIteration))(*draw.children(2)))
    if draw.rng.random() < 0.5:
        draw.dress(made)
    if draw.rng.random() < 0.3:
        made.__cause__ = ValueError(draw.rng.randint(0, 9))
    if draw.rng.random() < 0.3:
        made.__context__ = KeyError(draw.rng.randint(0, 9))
    return made


@kind("exception with an __init__ of its own")
def _trouble(draw: Any) -> Any:
    made = classes.Trouble(draw.rng.randint(0, 9), place=draw.child())
    made.add_note("as drawn")
    return made


@kind("OSError")
def _os_error(draw: Any) -> Any:
    return draw.rng.choice((FileNotFoundError(2, "no file", "a.txt"), OSError(5, "bad"), OSError("only text")))


@kind("exceptions whose attributes stand in no __dict__")
def _odd_error(draw: Any) -> Any:
    text = UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad")
    group = ExceptionGroup("many", [ValueError(draw.child()), text])
    return draw.rng.choice(
        (text, group, ImportError("no", name="x", path="y"), NameError("n", name="q"), SystemExit(3))
    )
