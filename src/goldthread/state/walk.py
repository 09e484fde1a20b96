"""The way of a state into an image: one walk over its tree, and the manifest that the walk gives.

The manifest is msgpack and can be read without goldthread. It is a list of two:

    [structure, values]

*Values* are the small scalars in the order in which a walk meets them. The *structure* is a tree of nodes:

    "value"                                   the next value: None, bool, int, float, str or bytes
    "int" "complex" "text"                    the next value, written otherwise: hexadecimal digits, [real, imaginary],
    "date" "time" "datetime"                  bytes of UTF-8 with lone surrogates; [iso text, fold, zone], where the
    "timedelta" "random"                      zone is a name or [days, seconds, microseconds, name]; [days, seconds,
                                              microseconds]; [version, words of the state, next gauss]
    ["scalar", dtype]                         the next value: the bytes of a NumPy scalar
    ["enum", class]                           the next value: the name of a member
    ["list", children]                        and "tuple", "set", "frozenset"; ["deque", longest, children]
    ["dict", keys, children]                  and "OrderedDict", "Counter"; ["defaultdict", factory, keys, children]
    ["dataclass", class, fields, children]    and "namedtuple"
    ["array", dtype, shape, order, at]        a NumPy array; order "C" or "F"; `at` counts from the end of the header
    ["bytes", at, length]                     and others with a buffer: "bytearray", "tensor", "jax", "pickle" ...: the
                                              last two entries say where the bytes lie
    ["generator", class, children]            and "bitgenerator", "randomstate": the state, then the seed sequence
    ["stateful", class, children]             what `state_dict()` gave
    ["same", number]                          the object of that number again: objects that can be shared are counted
                                              from 0 in the order in which the walk meets them (`SHARED`)

A number in place of `children` stands for so many nodes "value". Keys are plain msgpack values; a tuple is a list.

How it stays cheap: the walk emits a flat list of *atoms* from which the structure can be built. While the atoms (and
shapes and types of the arrays) are equal to the last commit's, which is one comparison in C, the encoded structure
and the layout of the last commit are used again, and only values are encoded. Nothing of the program is kept between
commits. Rejected: keeping the program's arrays to compare identities (it would double the memory of a program that
makes its arrays anew at each step).

Two arrays that are views of one memory are stored twice. Sharing of whole objects is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from operator import attrgetter
from typing import Any, Final

import numpy as np

from goldthread.errors import CannotStore
from goldthread.state.leaves import HANDLERS, INT_LEAST, INT_MOST, TINY_BYTES, Refusal, handler_for, keep_other

__all__ = ["SHARED", "Walk", "walk"]

SHARED: Final = frozenset(
    {"list", "dict", "set", "deque", "OrderedDict", "Counter", "defaultdict", "dataclass", "array", "bytearray"}
    | {"buffer", "tensor", "jax", "pyarray", "generator", "bitgenerator", "randomstate", "random", "stateful", "pickle"}
)
"""The kinds of nodes that are counted, so that "same" can point at them."""

_PLAIN: Final = frozenset({float, bool, type(None)})
_PLAIN_IF_SMALL: Final = {int, bytes}

Atom = Any
"""A word for a leaf that takes one value or one array, else a tuple: a kind and its details."""


def walk(roots: dict[str, object], *, pickle: bool) -> Walk:
    """Walk over all roots. Raises `CannotStore` naming the place: `state["fn"]: function cannot be stored`."""
    done = Walk(pickle=pickle)
    done.atoms.append(("dict", list(roots), None, len(roots)))
    done.seen[id(roots)] = 0
    try:
        done.children(roots, roots.values(), str)
    except Refusal as refusal:
        raise CannotStore(f"{''.join(reversed(refusal.path))}: {refusal.text}", hint=refusal.hint) from None
    except RecursionError:
        raise CannotStore("state: it is nested too deeply to be stored", hint="flatten it") from None
    done.finish()
    return done


class Walk:
    """What one walk found."""

    def __init__(self, *, pickle: bool) -> None:
        self.pickle = pickle
        self.atoms: list[Atom] = []
        self.values: list[object] = []
        self.arrays: list[np.ndarray[Any, Any]] = []
        """Everything that has a place in the payload."""
        self.shapes: list[tuple[int, ...]] = []
        self.dtypes: list[np.dtype[Any]] = []
        self.strides: list[tuple[int, ...]] = []
        """Of the arrays of two or more dimensions: they tell C order from F order."""
        self.seen: dict[int, int] = {}
        self.open: set[int] = set()
        """Ids of the containers that the walk is inside of: meeting one again is a cycle."""
        self._kept: list[object] = []
        """Objects made for the walk, alive so that no other object gets their id."""

    def finish(self) -> None:
        self.shapes = list(map(attrgetter("shape"), self.arrays))
        self.dtypes = list(map(attrgetter("dtype"), self.arrays))
        self.strides = [array.strides for array, shape in zip(self.arrays, self.shapes, strict=True) if len(shape) > 1]

    def children(self, names: Iterable[Any], things: Iterable[object], form: Callable[[Any], str]) -> None:
        """Visit each child. `form` writes a name as a piece of a place."""
        atoms, values, arrays, seen = self.atoms, self.values, self.arrays, self.seen
        name: Any = None
        try:
            for name, thing in zip(names, things, strict=True):  # noqa: B007 - the name is for the refusal
                kind = type(thing)
                if kind is np.ndarray:
                    if thing.dtype.hasobject:  # type: ignore[attr-defined]
                        keep_other(self, thing)
                        continue
                    number = len(seen)
                    if seen.setdefault(id(thing), number) == number:
                        atoms.append("array")
                        arrays.append(thing)  # type: ignore[arg-type]
                    else:
                        atoms.append(("same", seen[id(thing)]))
                elif kind in _PLAIN:
                    atoms.append("value")
                    values.append(thing)
                else:
                    handler = HANDLERS.get(kind)
                    if handler is None:
                        handler = handler_for(kind)
                    handler(self, thing)
        except Refusal as refusal:
            refusal.path.append(form(name))
            raise

    def enter(self, thing: object) -> bool:
        """Whether `thing` is met for the first time; else a reference to it is noted."""
        number = len(self.seen)
        first = self.seen.setdefault(id(thing), number)
        if first == number:
            return True
        if id(thing) in self.open:
            raise Refusal("a container that contains itself cannot be stored", "break the cycle")
        self.atoms.append(("same", first))
        return False

    def inside(
        self, thing: object, atom: tuple[Any, ...], names: Iterable[Any], things: Collection[object],
        form: Callable[[Any], str],
    ) -> None:  # fmt: skip
        """Note a container and visit its children; the count of them is put at the end of the atom."""
        if not things:
            self.atoms.append((*atom, 0))
            return
        kinds = set(map(type, things)) - _PLAIN
        if not kinds or (kinds <= _PLAIN_IF_SMALL and all(map(_is_small, things))):
            self.atoms.append((*atom, -len(things)))
            self.values.extend(things)
            return
        self.atoms.append((*atom, len(things)))
        self.open.add(id(thing))
        self.children(names, things, form)
        self.open.discard(id(thing))

    def buffer(self, kind: str, source: np.ndarray[Any, Any], *details: object) -> None:
        self.atoms.append((kind, "bytes", *details))
        self.arrays.append(source)

    def made(self, thing: Any) -> Any:
        """Keep an object that was made for this walk until the walk is over."""
        self._kept.append(thing)
        return thing


def _is_small(thing: Any) -> bool:
    """Whether something plain, an int or bytes is a value as it is."""
    kind = type(thing)
    return INT_LEAST <= thing <= INT_MOST if kind is int else kind is not bytes or len(thing) < TINY_BYTES
