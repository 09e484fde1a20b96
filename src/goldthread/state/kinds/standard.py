"""Of the standard library what is data: exact numbers, paths, ranges, patterns, iterators, methods of objects.

An iterator is taken apart by what it says of itself (`__reduce__`), which for those that are written in C is data only:
over what it goes, and how far it has come. It is made by calling what makes such iterators, which runs no code of the
program: what it goes over must be builtin, too. How far it has come is set last of all, when there is all of what it
goes over.
"""

from __future__ import annotations

import decimal
import functools
import itertools
import mmap
import operator
import pathlib
import re
import types
import warnings
from collections.abc import Callable, Iterator
from typing import Any, Final

import numpy as np

from goldthread.errors import DoesNotFit
from goldthread.state.fit import HINT
from goldthread.state.kind import Family, Form, Kind, Store
from goldthread.state.nodes import Node
from goldthread.state.walk import Refusal, Walk

__all__ = ["FAMILY"]

# Leaves.


def _decimal(walk: Walk, thing: decimal.Decimal) -> None:
    walk.note("decimal", str(thing))


_PATHS: Final[dict[str, Any]] = {
    kind.__name__: kind
    for kind in (pathlib.PurePosixPath, pathlib.PureWindowsPath, pathlib.PosixPath, pathlib.WindowsPath)
}


def _path(walk: Walk, thing: pathlib.PurePath) -> None:
    walk.note(("path", type(thing).__name__), str(thing).encode("utf-8", "surrogatepass"))


def _make_path(rebuilder: Any, node: Node, place: object) -> Any:
    return _PATHS[node.details[0]](node.value.decode("utf-8", "surrogatepass"))


def _mmap(walk: Walk, thing: mmap.mmap) -> None:
    if walk.enter(thing):
        walk.tell("a map of a file comes back as memory without a file, but where restore is given such a map")
        walk.buffer("mmap", np.frombuffer(thing[:], np.uint8))


def _make_mmap(rebuilder: Any, node: Node, place: object) -> Any:
    raw = rebuilder.raw(node, place)
    made = mmap.mmap(-1, len(raw))
    made[:] = bytes(raw)
    return made


def _fit_mmap(fitter: Any, node: Node, current: mmap.mmap, place: object) -> Any:
    raw = fitter.rebuilder.raw(node, place)
    if len(current) != len(raw):
        raise DoesNotFit(
            f"{place}: the commit has a map of {len(raw)} bytes, the program one of {len(current)}", hint=HINT
        )
    if memoryview(current).readonly:
        return fitter.make(node, place)
    fitter.noted.append(lambda: current.__setitem__(slice(None), bytes(raw)))
    return current


# Containers that cannot be changed.


def _range(walk: Walk, thing: range) -> None:
    if walk.enter(thing):
        walk.inside(thing, ("range",), _ENDS, [thing.start, thing.stop, thing.step], _dotted)


def _slice(walk: Walk, thing: slice) -> None:
    if walk.enter(thing):
        walk.inside(thing, ("slice",), _ENDS, [thing.start, thing.stop, thing.step], _dotted)


_ENDS: Final = ("start", "stop", "step")


def _dotted(name: object) -> str:
    return f".{name}"


def _pattern(walk: Walk, thing: re.Pattern[Any]) -> None:
    if walk.enter(thing):
        walk.inside(thing, ("pattern",), ("pattern", "flags"), [thing.pattern, int(thing.flags & ~re.DEBUG)], _dotted)


def _make_pattern(rebuilder: Any, node: Node, place: object) -> Any:
    return re.compile(*rebuilder.children(node, place))


def _bound(walk: Walk, thing: Any) -> None:
    if walk.enter(thing):
        walk.atoms.append(("bound", 2))
        walk.visit(thing, ["__func__", "__self__"], [thing.__func__, thing.__self__], _dotted)


def _make_bound(rebuilder: Any, node: Node, place: object) -> Any:
    function, own = rebuilder.children(node, place)
    if not isinstance(function, types.FunctionType):
        raise DoesNotFit(f"{place}: {function!r} is no function now", hint=HINT)
    return types.MethodType(function, own)


# Iterators, and functions that a builtin makes of data.

_KINDS_OF_ITERATORS: Final[dict[type, tuple[str, Callable[..., Any]]]] = {
    itertools.count: ("count", itertools.count),
    itertools.islice: ("islice", itertools.islice),
    itertools.repeat: ("repeat", itertools.repeat),
    itertools.chain: ("chain", itertools.chain),
    enumerate: ("enumerate", enumerate),
    zip: ("zip", zip),
    map: ("map", map),
    filter: ("filter", filter),
    type(iter([])): ("list_iterator", list.__iter__),
    type(iter(())): ("tuple_iterator", tuple.__iter__),
    type(iter(range(1))): ("range_iterator", range.__iter__),
    type(iter(range(1 << 70))): ("longrange_iterator", range.__iter__),
    type(iter("a")): ("str_ascii_iterator", str.__iter__),
    type(iter("é")): ("str_iterator", str.__iter__),
    type(iter(b"")): ("bytes_iterator", bytes.__iter__),
    type(iter(bytearray())): ("bytearray_iterator", bytearray.__iter__),
    type(reversed([])): ("list_reverseiterator", list.__reversed__),
    type(reversed(())): ("reversed", reversed),
    operator.itemgetter: ("itemgetter", operator.itemgetter),
    operator.attrgetter: ("attrgetter", operator.attrgetter),
}
_MAKERS: Final = {name: (kind, maker) for kind, (name, maker) in _KINDS_OF_ITERATORS.items()}
_OVER: Final[dict[str, slice]] = {
    "islice": slice(1), "enumerate": slice(1), "zip": slice(None), "map": slice(1, None), "filter": slice(1, 2)
}  # fmt: skip
"""Which of their arguments are iterators."""


def _built(walk: Walk, thing: Any) -> None:
    if not walk.enter(thing):
        return
    name, _ = _KINDS_OF_ITERATORS[type(thing)]
    arguments, state = _taken_apart(thing, name)
    try:
        again = _build(name, arguments)
    except TypeError:
        again = None
    if type(again) is not type(thing):
        raise Refusal(*_NO_POSITION)
    walk.atoms.append(("built", name, 2))
    walk.visit(thing, ["", ""], [walk.made(arguments), walk.made(state)], str, whole=True)


_NO_POSITION: Final = (
    "it is an iterator that does not say where it is",
    "keep the position in the state, and make the iterator from it",
)


def _taken_apart(thing: Any, name: str) -> tuple[tuple[Any, ...], Any]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            reduced: Any = thing.__reduce__()
    except (TypeError, ValueError) as error:
        raise Refusal(*_NO_POSITION) from error
    _, arguments, *rest = reduced
    state = rest[0] if rest else None
    if not all(type(one) in _KINDS_OF_ITERATORS for one in _iterators_in(name, arguments, state)):
        raise Refusal("it goes over an iterator with code of its own", _NO_POSITION[1])
    return arguments, state


def _iterators_in(name: str, arguments: tuple[Any, ...], state: Any) -> Iterator[Any]:
    if name in _OVER:
        yield from arguments[_OVER[name]]
    elif name == "chain" and state is not None:
        yield from state


def _build(name: str, arguments: tuple[Any, ...]) -> Any:
    _, maker = _MAKERS[name]
    if maker is reversed and type(arguments[0]) not in (tuple, str, bytes, range):
        raise TypeError(f"{type(arguments[0]).__qualname__} is not gone through backwards so")
    return maker(*arguments)


def _make_built(rebuilder: Any, node: Node, place: object) -> Any:
    name = node.details[0]
    arguments, state = rebuilder.children(node, place)
    made: Any = None
    if name in _MAKERS and all(type(one) in _KINDS_OF_ITERATORS for one in _iterators_in(name, arguments, state)):
        try:
            made = _build(name, arguments)
        except (TypeError, ValueError, IndexError) as error:
            raise DoesNotFit(f"{place}: no {name} is made of this now: {error}", hint=HINT) from error
    if name not in _MAKERS or type(made) is not _MAKERS[name][0]:
        raise DoesNotFit(f"{place}: no {name} is made of this now", hint=HINT)
    if state is not None:
        advance: Any = getattr(made, "__setstate__")  # noqa: B009 - it has one, whatever its type says
        rebuilder.later.append(functools.partial(advance, state))
    return made


def _leaf(name: str, make: Any) -> Kind:
    return Kind(name, Form.VALUE, make, is_shared=False)


_STORES: Final[dict[type, Store]] = {
    decimal.Decimal: _decimal,
    **dict.fromkeys(_PATHS.values(), _path),
    mmap.mmap: _mmap,
    range: _range,
    slice: _slice,
    re.Pattern: _pattern,
    types.MethodType: _bound,
    **dict.fromkeys(_KINDS_OF_ITERATORS, _built),
}

FAMILY: Final = Family(
    kinds=(
        _leaf("decimal", lambda _, node, __: decimal.Decimal(node.value)),
        _leaf("path", _make_path),
        Kind("mmap", Form.BUFFER, _make_mmap, suits=lambda thing: type(thing) is mmap.mmap, fit=_fit_mmap),
        Kind("range", Form.CONTAINER, lambda rebuilder, node, place: range(*rebuilder.children(node, place))),
        Kind("slice", Form.CONTAINER, lambda rebuilder, node, place: slice(*rebuilder.children(node, place))),
        Kind("pattern", Form.CONTAINER, _make_pattern),
        Kind("bound", Form.CONTAINER, _make_bound),
        Kind("built", Form.CONTAINER, _make_built, attributes=True),
    ),
    stores=_STORES,
)
