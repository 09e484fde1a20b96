"""Draws whole states: nested, shared, cyclic, deep, wide, and of every kind.

A seed gives the same state in every process: nothing depends on hashes of text, on ids or on time. Each state is made
of a few kinds only (its *palette*) beside lists, dicts and ints, so that a kind that cannot be stored does not hide
what is wrong with another. `size` bounds how many things are drawn, for shrinking.
"""

from __future__ import annotations

import importlib
import random
import sys
import tempfile
import threading
import weakref
from collections import OrderedDict, defaultdict, deque
from collections.abc import Iterable, Sequence
from types import SimpleNamespace
from typing import Any

import classes
import library
import numbers_of_numpy
import numpy as np
import objects
from kinds import KEYS, KINDS, Make, int_set

__all__ = ["CIRCLES", "KINDS", "MUST_NOT", "draw", "kinds_of", "nested", "not_yet", "only_poured", "palette_of"]

assert library and numbers_of_numpy and objects  # They enter their kinds.

_ALWAYS = ("list", "dict", "int")
_NESTED_MOST = 25
_SIZES = (2, 5, 10, 20, 40, 120)
DEEP_LEVELS = 900
WIDE_ITEMS = 20_000


class Draw:
    """One state being drawn."""

    def __init__(self, rng: random.Random, palette: Sequence[str], size: int, kinds: dict[str, Make] = KINDS) -> None:
        self.rng = rng
        self._kinds = kinds
        self._palette = palette
        self._keys = [name for name in palette if name in KEYS] or ["int"]
        self._left = size
        self._level = 0
        self.seen: list[Any] = []
        """What may be drawn again, at another place."""

    def child(self) -> Any:
        if self.seen and self.rng.random() < 0.15:
            return self.rng.choice(self.seen)
        if self._left <= 0 or self._level > _NESTED_MOST:
            return self.rng.randint(0, 9)
        return self._one(self.rng.choice(self._palette), self._kinds)

    def _one(self, name: str, kinds: dict[str, Any]) -> Any:
        self._left -= 1
        self._level += 1
        made = kinds[name](self)
        self._level -= 1
        return self.opened(made)

    def opened(self, thing: Any) -> Any:
        """Let `thing` be drawn again from now on, before all of its contents are drawn."""
        if not self.seen or self.seen[-1] is not thing:
            self.seen.append(thing)
        return thing

    def children(self, most: int = 5) -> list[Any]:
        return [self.child() for _ in range(self.rng.randint(0, most))]

    def key(self) -> Any:
        if self._left <= 0 or self._level > _NESTED_MOST or self.rng.random() < 0.4:
            return self.rng.choice((self.rng.randint(-3, 30), f"key {self.rng.randint(0, 30)}"))
        return self._one(self.rng.choice(self._keys), KEYS)

    def hashables(self, most: int = 4) -> list[Any]:
        return [self.key() for _ in range(self.rng.randint(0, most))]

    def fill(self, thing: Any) -> Any:
        """Give a dict its items."""
        for key in self.hashables():
            thing[key] = self.child()
        return thing

    def dress(self, thing: Any) -> Any:
        """Give an object its attributes, in an order that is not that of the alphabet."""
        for name in self.rng.sample(("zeta", "alpha", "_own", "colour", "items_"), self.rng.randint(0, 3)):
            setattr(thing, name, self.child())
        return thing


def kinds_of(libraries: Iterable[str] = ()) -> dict[str, Make]:
    """The kinds of Python and NumPy, or those of libraries, which are imported only here: `torch`, `jax`."""
    modules = [importlib.import_module(f"{name}_kinds") for name in libraries]
    return {name: make for module in modules for name, make in module.OF_LIBRARY.items()} if modules else KINDS


def not_yet(libraries: Iterable[str]) -> set[str]:
    """Kinds of libraries that do not come back today: drawn by name only."""
    return {kind for name in libraries for kind in importlib.import_module(f"{name}_kinds").NOT_YET}


def only_poured(kinds: Iterable[str]) -> set[str]:
    """Those that come back only where the program gives one to `restore`."""
    loaded = [sys.modules.get(name) for name in ("torch_kinds", "jax_kinds")]
    return {name for module in loaded if module is not None for name in module.ONLY_POURED} & set(kinds)


def palette_of(seed: int, kinds: Iterable[str] | None = None, libraries: Sequence[str] = ()) -> list[str]:
    """The kinds of a seed's state; of `kinds` only, if any are given. With libraries, some of theirs first."""
    names = sorted(kinds_of(libraries).keys() - not_yet(libraries)) if kinds is None else sorted(kinds)
    if kinds is not None and len(names) <= 2:
        return names
    rng = random.Random(f"palette {seed}")
    chosen = rng.sample(names, min(len(names), rng.choice((1, 2, 3, 5, 9))))
    return chosen + rng.sample(sorted(KINDS), rng.choice((0, 1, 3))) if libraries and kinds is None else chosen


def draw(
    seed: int, size: int | None = None, kinds: Iterable[str] | None = None, libraries: Sequence[str] = ()
) -> dict[str, Any]:
    """The state of a seed."""
    rng = random.Random(f"state {seed}")
    palette = palette_of(seed, kinds, libraries)
    at_top = only_poured(palette)  # A program gives them there, where no change of it takes them away.
    nested = [*(name for name in palette if name not in at_top), *_ALWAYS]
    drawn = Draw(rng, nested, rng.choice(_SIZES) if size is None else size, {**KINDS, **kinds_of(libraries)})
    state: dict[str, Any] = drawn.opened({"step": seed})
    for name in palette:  # Each kind at least once.
        state[name] = drawn._kinds[name](drawn) if name in at_top else drawn._one(name, drawn._kinds)
    drawn.fill(state)
    if size is None and kinds is None:
        if rng.random() < 1 / 40:
            state["deep"] = _deep(drawn)
        if rng.random() < 1 / 60:
            state["wide"] = _wide(drawn)
    return state


def _deep(drawn: Draw) -> Any:
    """One in another, hundreds of levels down; the innermost holds the outermost, now and then."""
    rng = drawn.rng
    innermost: list[Any] = [drawn.child()]
    inner: Any = innermost
    holders = (
        lambda thing: [thing],
        lambda thing: {"in": thing},
        lambda thing: (0, thing),
        lambda thing: _thing(thing),
        lambda thing: classes.Point(thing),
    )
    chosen = rng.sample(holders, rng.randint(1, len(holders)))
    for _ in range(rng.choice((100, 300, DEEP_LEVELS))):
        inner = rng.choice(chosen)(inner)
    if rng.random() < 0.5:
        innermost.append(inner)
    return inner


def _thing(held: Any) -> classes.Thing:
    made = classes.Thing()
    made.held = held  # type: ignore[attr-defined]
    return made


def _wide(drawn: Draw) -> Any:
    rng = drawn.rng
    few = [drawn.child() for _ in range(5)]
    shapes: tuple[Any, ...] = (
        lambda: [rng.random() for _ in range(WIDE_ITEMS)],
        lambda: [(number, str(number)) for number in range(WIDE_ITEMS)],
        lambda: dict.fromkeys(range(WIDE_ITEMS, 0, -1), 1.5),
        lambda: {f"{number}": few[number % 5] for number in range(WIDE_ITEMS)},
        lambda: {number * 7919 % 100_003 for number in range(WIDE_ITEMS)},
        lambda: tuple([number] for number in range(WIDE_ITEMS)),
        lambda: [few[number % 5] for number in range(WIDE_ITEMS)],
        lambda: int_set(rng),
    )
    return rng.choice(shapes)()


# What no commit takes.


def _local() -> Any:
    class Local:
        pass

    return Local()


def _suspended() -> Any:
    return (number for number in range(3))


def _open_file() -> Any:
    return tempfile.TemporaryFile()


def _lock() -> Any:
    return threading.Lock()


def _weak() -> Any:
    held = classes.Thing()
    return weakref.ref(held)


def _renamed() -> Any:
    def seven() -> int:
        return 8

    seven.__module__, seven.__qualname__ = classes.__name__, "seven"
    return seven


def _factory() -> Any:
    return defaultdict(lambda: 7)


def _circle(make: Any, put: Any) -> Any:
    """A maker of something that holds itself, by way of a list, a tuple and a dict."""

    def circle() -> Any:
        made = make()
        put(made, [({"again": made},)])
        return made

    return circle


def _put_first(array: Any, thing: Any) -> None:
    array[0] = thing


CIRCLES: dict[str, Any] = {
    "list": _circle(list, list.append),
    "dict": _circle(dict, lambda made, thing: made.update(a=thing)),
    "deque": _circle(deque, deque.append),
    "defaultdict": _circle(lambda: defaultdict(list), lambda made, thing: made.update(a=thing)),
    "OrderedDict": _circle(OrderedDict, lambda made, thing: made.update(a=thing)),
    "object": _circle(classes.Thing, lambda made, thing: setattr(made, "held", thing)),
    "object in a set of its own": _circle(classes.Thing, lambda made, thing: setattr(made, "held", {made})),
    "dataclass": _circle(lambda: classes.Point(0), lambda made, thing: setattr(made, "x", thing)),
    "slots": _circle(classes.Slotted, lambda made, thing: setattr(made, "left", thing)),
    "subclass of list": _circle(classes.MyList, classes.MyList.append),
    "subclass of dict": _circle(classes.MyDict, lambda made, thing: made.update(a=thing)),
    "attributes of a subclass of list": _circle(classes.MyList, lambda made, thing: setattr(made, "held", thing)),
    "array of objects": _circle(lambda: np.zeros(2, object), _put_first),
    "SimpleNamespace": _circle(SimpleNamespace, lambda made, thing: setattr(made, "held", thing)),
    "tuple": lambda: _circle(list, list.append)()[0],
}
"""What contains itself, and must come back all the same."""


def nested(seed: int, thing: Any) -> tuple[dict[str, Any], str]:
    """A state with `thing` somewhere in it, and its place."""
    rng = random.Random(f"nested {seed}")
    holders = (
        (lambda held: [0, held], "[1]"),
        (lambda held: {"a": 0, "in": held}, '["in"]'),
        (lambda held: {5: held}, "[5]"),
        (lambda held: (held,), "[0]"),
        (lambda held: deque([1, 2, held]), "[2]"),
        (lambda held: _thing(held), ".held"),
        (lambda held: classes.Point(held), ".x"),
        (lambda held: classes.Pair(0, held), ".right"),
    )
    place = ""
    for _ in range(rng.randint(0, 5)):
        hold, ending = rng.choice(holders)
        thing, place = hold(thing), ending + place
    return {"step": 0, "bad": thing, "more": [1]}, f'state["bad"]{place}'


MUST_NOT: dict[str, Any] = {
    "a function without a name to import it by": lambda: lambda: 7,
    "an object of a class of a function": _local,
    "a generator that is suspended": _suspended,
    "an open file": _open_file,
    "a lock": _lock,
    "a weak reference": _weak,
    "a function with the name of another": _renamed,
    "a defaultdict whose factory has no name": _factory,
    "a frame": sys._getframe,
}
"""What each makes must be refused, with its place."""
