"""Objects that say their state themselves: `state_dict()` and `load_state_dict()`."""

from __future__ import annotations

from typing import Any, Final

from goldthread.errors import DoesNotFit
from goldthread.state.classes import class_path
from goldthread.state.fit import HINT
from goldthread.state.kind import Family, Form, Kind, Store
from goldthread.state.nodes import Node, Place
from goldthread.state.walk import Walk

__all__ = ["FAMILY", "load_later", "store_stateful"]


def store_stateful(walk: Walk, thing: Any) -> None:
    if walk.enter(thing):
        walk.atoms.append(("stateful", class_path(type(thing)), 1))
        walk.visit(thing, [".state_dict()"], [walk.made(thing.state_dict())], str, whole=True)


def is_stateful(cls: type) -> bool:
    return callable(getattr(cls, "state_dict", None)) and callable(getattr(cls, "load_state_dict", None))


def _claim(cls: type) -> Store | None:
    return store_stateful if is_stateful(cls) else None


def _make(rebuilder: Any, node: Node, place: object) -> Any:
    return rebuilder.children(node, place)[0]


def _fit(fitter: Any, node: Node, current: Any, place: object) -> Any:
    value = fitter.make(node.expand()[0], Place(place, node, "state_dict()"))
    fitter.kept += 1
    load_later(fitter, current, value, place)
    return current


def load_later(fitter: Any, current: Any, value: Any, place: object) -> None:
    """Have an object load its state, last of all."""

    def load() -> None:
        try:
            current.load_state_dict(value)
        except (RuntimeError, ValueError, KeyError, TypeError) as error:
            text = f"{place}: {class_path(type(current))} refuses its state: {error}; the rest is restored already"
            raise DoesNotFit(text, hint=HINT) from error

    fitter.noted.append(load)


FAMILY: Final = Family(
    kinds=(
        Kind(
            "stateful",
            Form.CONTAINER,
            _make,
            suits=lambda thing: is_stateful(type(thing)),
            fit=_fit,
            group="stateful",
            carries=True,
            attributes=True,
        ),
    ),
    claim=_claim,
)
