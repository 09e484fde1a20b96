"""Iterators that say where they stand (`get_state`, `set_state`): Grain's. And Orbax's managers, which are not state.

Only the position is stored; the pipeline is the program's, and takes it.
"""

from __future__ import annotations

import re
from typing import Any, Final

from goldthread.errors import DoesNotFit
from goldthread.state.classes import class_path
from goldthread.state.fit import HINT
from goldthread.state.kind import Family, Form, Kind, Store
from goldthread.state.nodes import Node, Place
from goldthread.state.walk import Refusal, Walk

__all__ = ["FAMILY"]

_ADDRESS: Final = re.compile(r"\bat 0x[0-9a-f]{6,}")
"""How the default `repr` of an object ends: in another process it is another."""


def _store(walk: Walk, thing: Any) -> None:
    if not walk.enter(thing):
        return
    cls, position = type(thing), thing.get_state()
    text = position.decode(errors="replace") if isinstance(position, bytes) else ""
    if _ADDRESS.search(text):
        raise Refusal(
            f"the position of this {cls.__name__} names an object by its address: Grain refuses it in the next life",
            "give the data source, the sampler and the operations a __repr__ that says the same in each process",
        )
    if not walk.classes.was_given(cls):
        walk.tell(f"the position of a {cls.__qualname__} comes back only into one given to restore")
    walk.atoms.append(("position", class_path(cls), 1))
    walk.visit(thing, [".get_state()"], [walk.made(position)], str, whole=True)


def _make(rebuilder: Any, node: Node, place: object) -> Any:
    raise DoesNotFit(
        f"{place}: of a {node.details[0]} the commit has the position alone",
        hint="give restore the iterator that your program makes anew: it is put there",
    )


def _fit(fitter: Any, node: Node, current: Any, place: object) -> Any:
    cls = type(current)
    if node.details[0].partition(":")[2] != cls.__qualname__:
        raise DoesNotFit(f"{place}: the commit has a {node.details[0]}, the program a {class_path(cls)}", hint=HINT)
    position = fitter.make(node.expand()[0], Place(place, node, "get_state()"))
    fitter.kept += 1

    def move() -> None:
        try:
            current.set_state(position)
        except (RuntimeError, ValueError, KeyError, TypeError) as error:
            text = f"{place}: {class_path(cls)} refuses its position: {error}; the rest is restored already"
            raise DoesNotFit(text, hint=HINT) from error

    fitter.noted.append(move)
    return current


def _has_position(cls: type) -> bool:
    names = ("__next__", "get_state", "set_state")
    is_grain = any(base.__module__.partition(".")[0] == "grain" for base in cls.__mro__)
    return is_grain and all(callable(getattr(cls, name, None)) for name in names)


def _claim(cls: type) -> Store | None:
    if _has_position(cls):
        return _store
    return _refuse if cls.__module__.startswith(("grain.", "orbax.")) else None


def _refuse(walk: Walk, thing: Any) -> None:
    cls = type(thing)
    if cls.__module__.startswith("grain."):
        raise Refusal(f"a {cls.__qualname__} of Grain has no position", "store the iterator that `iter` gives for it")
    raise Refusal(
        f"a {cls.__qualname__} of Orbax is files and threads, not state", "keep it out of the state, and make it anew"
    )


FAMILY: Final = Family(
    kinds=(
        Kind(
            "position",
            Form.CONTAINER,
            _make,
            suits=lambda thing: _has_position(type(thing)),
            fit=_fit,
            carries=True,
            attributes=True,
        ),
    ),
    claim=_claim,
)
