"""Subclasses of NumPy's arrays: matrix, recarray, chararray, masked arrays, and those of the program.

Each is a plain array, seen as of its class, and its attributes. Of its own code only `__array_finalize__` runs, as for
each view of such an array; what that sets is then replaced by what was stored.
"""

from __future__ import annotations

import importlib
import sys
from contextlib import suppress
from typing import Any, Final

import numpy as np

from goldthread.errors import DoesNotFit
from goldthread.state.classes import class_path
from goldthread.state.fit import HINT
from goldthread.state.kind import Family, Form, Kind, Store
from goldthread.state.kinds.arrays import is_same_memory, plain_of
from goldthread.state.kinds.names import find, refuse_unless_found
from goldthread.state.kinds.objects import Plan, contents_of, plan_of
from goldthread.state.kinds.pickles import store_pickle
from goldthread.state.memory import owner_of
from goldthread.state.nodes import Node, Place
from goldthread.state.walk import Refusal, Walk, as_attribute

__all__ = ["FAMILY"]

_LAZY: Final = frozenset({"numpy.ma", "numpy.rec", "numpy.char"})
"""Modules of NumPy that are loaded when they are first used."""


def _store(walk: Walk, thing: Any) -> None:
    cls = type(thing)
    plan = plan_of(cls)
    if plan.refusal is not None and walk.pickle:
        store_pickle(walk, thing)
        return
    if plan.refusal is not None:
        raise Refusal(f"{cls.__qualname__} cannot be stored: {plan.refusal[0]}", plan.refusal[1])
    if issubclass(cls, np.memmap):
        raise Refusal(f"{cls.__qualname__} is a file in memory", "store np.asarray of it")
    _load(class_path(cls))
    refuse_unless_found(walk, cls)
    if walk.enter(thing):
        is_owner = thing.dtype.hasobject and owner_of(thing) is thing
        plain = plain_of(walk, thing) if is_owner else walk.made(np.ndarray.view(thing, np.ndarray))
        contents = contents_of(plan, thing)
        names: list[Any] = [None, *contents]
        walk.atoms.append(("ndarray", class_path(cls), names, len(names)))
        walk.visit(thing, names, [plain, *contents.values()], as_attribute)


def _masked(walk: Walk, thing: Any) -> None:
    if thing is not sys.modules["numpy.ma"].masked:
        raise Refusal("another np.ma.masked than the one of NumPy", "use np.ma.masked")
    walk.note("masked", None)


def _claim(cls: type) -> Store | None:
    if not issubclass(cls, np.ndarray):
        return None
    masked = sys.modules.get("numpy.ma")
    return _masked if masked is not None and cls is type(masked.masked) else _store


def _load(path: str) -> None:
    module = path.partition(":")[0]
    if module in _LAZY and module not in sys.modules:
        importlib.import_module(module)


def _make_masked(rebuilder: Any, node: Node, place: object) -> Any:
    _load("numpy.ma:masked")
    return sys.modules["numpy.ma"].masked


def _make(rebuilder: Any, node: Node, place: object) -> Any:
    _load(node.details[0])
    cls = find(rebuilder, node.details[0], place, np.ndarray)
    plan = plan_of(cls)
    if plan.refusal is not None:
        raise DoesNotFit(f"{place}: {plan.refusal[0]}, and is not made from a commit", hint=plan.refusal[1])
    first, *rest = node.expand()
    plain = rebuilder.make(first, place)
    if node.number in rebuilder.made:  # It is among its own objects.
        return rebuilder.made[node.number]
    made = rebuilder.note(node, np.ndarray.view(plain, cls))
    names = node.keys[1:]
    contents = {name: rebuilder.make(child, Place(place, node, name)) for name, child in zip(names, rest, strict=True)}
    _dress(plan, made, contents)
    return made


def _dress(plan: Plan, made: Any, contents: dict[str, Any]) -> None:
    """Give it these attributes, and no others, whatever `__array_finalize__` gave it."""
    if plan.attributes is not None:
        own = plan.attributes.__get__(made)
        own.clear()
        own.update({name: value for name, value in contents.items() if name not in plan.slots})
    for name, slot in plan.slots.items():
        if name in contents:
            slot.__set__(made, contents[name])
        else:
            with suppress(AttributeError):
                slot.__delete__(made)


def _fit(fitter: Any, node: Node, current: Any, place: object) -> Any:
    """One of the program stays where its elements do."""
    cls, stored = type(current), node.details[0].partition(":")[2]
    if stored != cls.__qualname__:
        raise DoesNotFit(f"{place}: the commit has a {stored}, the program a {cls.__qualname__}", hint=HINT)
    plan = plan_of(cls)
    plain = np.ndarray.view(current, np.ndarray)
    if plan.refusal is not None:
        return fitter.make(node, place)
    poured = fitter.fit(node.expand()[0], plain, place)
    if not is_same_memory(poured, plain) or node.number in fitter.rebuilder.made:
        return fitter.make(node, place)
    fitter.begin(node, current)
    contents = fitter.attributes(node, lambda name: _has_room(plan, name), contents_of(plan, current), place)
    fitter.noted.append(lambda: _dress(plan, current, contents))
    return current


def _has_room(plan: Plan, name: str) -> bool:
    return name in plan.slots or plan.attributes is not None


FAMILY: Final = Family(
    kinds=(
        Kind(
            "ndarray",
            Form.KEYED,
            _make,
            suits=lambda thing: isinstance(thing, np.ndarray) and type(thing) not in (np.ndarray, np.memmap),
            fit=_fit,
            carries=True,
            attributes=True,
        ),
        Kind("masked", Form.VALUE, _make_masked, is_shared=False),
    ),
    claim=_claim,
)
