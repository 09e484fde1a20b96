"""The kinds of things of which states are drawn, each with how one is drawn: those that are built in.

`@kind(...)` enters a function under its name. It gets the `Draw` of `states.py`; `draw.child()` gives something of any
kind of this state, `draw.key()` something that can be hashed, `draw.hashables()` some of those. What stands in `seen`
may be drawn again: containers are put there before their contents are drawn (`draw.opened`), so that there are cycles.
"""

from __future__ import annotations

import bisect
import functools
import heapq
import math
import random
import struct
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable
from typing import Any

import classes
from classes import Colour, Level, Mode, Right, Word

Make = Callable[[Any], Any]
KINDS: dict[str, Make] = {}
KEYS: dict[str, Make] = {}
"""Those that can be hashed, whatever is in them."""


def kind(name: str, *, key: bool = False, into: dict[str, Make] = KINDS) -> Callable[[Make], Make]:
    def enter(make: Make) -> Make:
        into[name] = make
        if key:
            KEYS[name] = make
        return make

    return enter


def simple(name: str, *things: Any, key: bool = True) -> None:
    """A kind of which one of a few is drawn. What can be changed is given as a function without arguments."""

    def make(draw: Any) -> Any:
        return draw.rng.choice(things)

    kind(name, key=key)(make)


# Numbers, text and other leaves.

simple("None", None)
simple("bool", False, True)
simple("Ellipsis", Ellipsis)
simple("NotImplemented", NotImplemented)
simple("function", classes.seven, len, math.sqrt, functools.reduce, classes.Slotted.hide, str.join)
simple("class", int, classes.Thing, classes.Thing.Inner, OrderedDict, type, classes.Point, Colour, ValueError)
simple("enum", *Colour)
simple("int enum", *Level)
simple("str enum", *Word)
simple("flag", Right(0), Right.READ, Right.READ | Right.RUN, ~Right.RUN)
simple("int flag", Mode(0), Mode.A | Mode.B, Mode(16 | 64), Mode.C)


@kind("int", key=True)
def _int(draw: Any) -> int:
    return draw.rng.choice((draw.rng.randint(-9, 9), draw.rng.randint(-(2**31), 2**31), 2**63 - 1, -(2**63)))


@kind("huge int", key=True)
def _huge(draw: Any) -> int:
    return draw.rng.choice((-1, 1)) * draw.rng.getrandbits(draw.rng.choice((63, 64, 65, 200, 20_000)))


@kind("float", key=True)
def _float(draw: Any) -> float:
    rng = draw.rng
    odd = (0.0, -0.0, math.inf, -math.inf, 5e-324, 1e308, math.nan, -math.nan)
    payload = struct.unpack("<d", struct.pack("<Q", 0x7FF8 << 48 | rng.getrandbits(48)))[0]
    return rng.choice((rng.gauss(0, 1), rng.choice(odd), payload))


@kind("complex", key=True)
def _complex(draw: Any) -> complex:
    return complex(_float(draw), _float(draw))


@kind("str", key=True)
def _str(draw: Any) -> str:
    rng = draw.rng
    words = ("", "a", "step", "é" * 3, "名前", "\0", "🙂", "x" * rng.choice((10, 5000)), 'he said "no"\n', "same")
    return "".join([rng.choice(words), str(rng.randint(0, 99))]) if rng.random() < 0.6 else rng.choice(words)


@kind("str with lone surrogates", key=True)
def _surrogates(draw: Any) -> str:
    return draw.rng.choice(("\ud800", "a\udcff", "\udc80\ud800x")) + str(draw.rng.randint(0, 9))


@kind("bytes", key=True)
def _bytes(draw: Any) -> bytes:
    return draw.rng.randbytes(draw.rng.choice((0, 1, 7, 100, 4095, 4096, 9000)))


@kind("bytearray")
def _bytearray(draw: Any) -> bytearray:
    return bytearray(draw.rng.randbytes(draw.rng.choice((0, 1, 9, 5000))))


@kind("range", key=True)
def _range(draw: Any) -> range:
    return range(draw.rng.randint(-9, 9), draw.rng.randint(-9, 2**70), draw.rng.choice((1, -1, 7)))


@kind("slice")
def _slice(draw: Any) -> slice:
    return slice(draw.child(), draw.rng.choice((None, 5)), draw.rng.choice((None, -1)))


# Containers.


@kind("list")
def _list(draw: Any) -> list[Any]:
    made = draw.opened([])
    made.extend(draw.children())
    return made


@kind("tuple")
def _tuple(draw: Any) -> tuple[Any, ...]:
    return tuple(draw.children())


@kind("one tuple in two places")
def _one_tuple(draw: Any) -> list[Any]:
    made = (draw.child(), [draw.rng.random()])
    return [made, {"again": made}]


@kind("dict")
def _dict(draw: Any) -> dict[Any, Any]:
    return draw.fill(draw.opened({}))


@kind("dict whose keys were taken out and put back")
def _moved(draw: Any) -> dict[Any, Any]:
    made = draw.fill(draw.opened({}))
    if made:
        first = next(iter(made))
        made[first] = made.pop(first)
    return made


@kind("set")
def _set(draw: Any) -> set[Any]:
    made = draw.opened(set())
    made.update(draw.hashables())
    return made


def int_set(rng: random.Random, make: Any = set) -> Any:
    """A set of numbers whose order tells how it came about."""
    numbers = [0, 8, 16, 24, 32, 64, 1 << 40, -1, -2, *(rng.randint(-999, 999) for _ in range(rng.choice((0, 5, 40))))]
    rng.shuffle(numbers)
    return make(numbers[: rng.randint(2, len(numbers))])


@kind("set of ints in an order")
def _int_set(draw: Any) -> set[Any]:
    return int_set(draw.rng)


@kind("set that shrank")
def _shrunk(draw: Any) -> set[int]:
    made = set(range(draw.rng.choice((60, 3000))))
    for number in sorted(made):
        if draw.rng.random() < 0.98:
            made.discard(number)
    made.update((8, 0, 16))
    return made


@kind("set that was popped from")
def _popped(draw: Any) -> set[int]:
    made = int_set(draw.rng)
    made.update(range(900, 900 + draw.rng.choice((5, 300))))
    for _ in range(draw.rng.randint(1, len(made) - 1)):
        made.pop()
    return made


@kind("frozenset", key=True)
def _frozenset(draw: Any) -> frozenset[Any]:
    return int_set(draw.rng, frozenset) if draw.rng.random() < 0.5 else frozenset(draw.hashables(3))


@kind("tuple of hashables", key=True)
def _key_tuple(draw: Any) -> tuple[Any, ...]:
    return tuple(draw.hashables(3))


@kind("deque")
def _deque(draw: Any) -> deque[Any]:
    made = draw.opened(deque(maxlen=draw.rng.choice((None, 0, 3, 50))))
    made.extend(draw.children())
    return made


@kind("OrderedDict")
def _ordered(draw: Any) -> OrderedDict[Any, Any]:
    made = draw.fill(draw.opened(OrderedDict()))
    if made and draw.rng.random() < 0.5:
        made.move_to_end(next(iter(made)))
    return made


@kind("Counter")
def _counter(draw: Any) -> Counter[Any]:
    return Counter({key: draw.rng.randint(-2, 9) for key in draw.hashables()})


_FACTORIES = (
    None,
    list,
    int,
    dict,
    set,
    str,
    Counter,
    OrderedDict,
    deque,
    classes.fresh_list,
    classes.Thing,
    defaultdict,
)


@kind("defaultdict")
def _defaultdict(draw: Any) -> defaultdict[Any, Any]:
    return draw.fill(draw.opened(defaultdict(draw.rng.choice(_FACTORIES))))


@kind("defaultdict of a partial")
def _deep_default(draw: Any) -> defaultdict[Any, Any]:
    return draw.fill(draw.opened(defaultdict(functools.partial(defaultdict, int))))


@kind("heap or sorted list")
def _heap(draw: Any) -> list[Any]:
    made: list[Any] = []
    for number in range(8):
        bisect.insort(made, (draw.rng.random(), number))
    if draw.rng.random() < 0.5:
        draw.rng.shuffle(made)
        heapq.heapify(made)
        heapq.heappop(made)
    return made
