"""Objects that say their state themselves: `state_dict()` and `load_state_dict()`.

What else must come back with them, libraries say (`modules.py`): it is stored beside what `state_dict` gave.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from goldthread.errors import DoesNotFit, GoldthreadError
from goldthread.state.classes import class_path
from goldthread.state.fit import HINT
from goldthread.state.kind import Family, Form, Kind, Store
from goldthread.state.nodes import Node, Place
from goldthread.state.walk import Walk

__all__ = ["FAMILY", "FITS", "is_stateful", "load_later", "refuse_other_class", "store_stateful"]

FITS: Final[list[tuple[Callable[[Any], bool], Callable[[Any, Node, Any, object], Any]]]] = []
"""What is compared with the commit before it loads: a test, and what to do instead of `_fit`."""


def store_stateful(walk: Walk, thing: Any, beside: Callable[[Any], object] | None = None) -> None:
    """Store what `state_dict()` gives and, where there is something, what stands `beside` it."""
    if not walk.enter(thing):
        return
    parts = [walk.made(thing.state_dict())]
    if beside is not None:
        parts.append(walk.made(beside(thing)))
    walk.atoms.append(("stateful", class_path(type(thing)), len(parts)))
    walk.visit(thing, [".state_dict()", ""], parts, str, whole=True)


def is_stateful(cls: type) -> bool:
    return callable(getattr(cls, "state_dict", None)) and callable(getattr(cls, "load_state_dict", None))


def _claim(cls: type) -> Store | None:
    return store_stateful if is_stateful(cls) else None


def _make(rebuilder: Any, node: Node, place: object) -> Any:
    """There is no object to load it into: what `state_dict` gave stands there, and that is said."""
    rebuilder.bare.append(str(place))
    return rebuilder.make(node.expand()[0], Place(place, node, "state_dict()"))


def _fit(fitter: Any, node: Node, current: Any, place: object) -> Any:
    for suits, fit in FITS:
        if suits(current):
            return fit(fitter, node, current, place)
    refuse_other_class(node, current, place)
    value = fitter.make(node.expand()[0], Place(place, node, "state_dict()"))
    fitter.kept += 1
    load_later(fitter, current, value, place)
    return current


def refuse_other_class(node: Node, current: Any, place: object) -> None:
    """Many take whatever they are given, and fail or begin from scratch later."""
    stored = node.details[0].partition(":")[2]
    if stored != type(current).__qualname__:
        raise DoesNotFit(
            f"{place}: the commit has the state of a {stored}, the program a {type(current).__qualname__}", hint=HINT
        )


def load_later(fitter: Any, current: Any, value: Any, place: object, then: Callable[[], object] | None = None) -> None:
    """Have an object load its state, last of all; and do what follows that."""

    def load() -> None:
        try:
            current.load_state_dict(value)
            if then is not None:
                then()
        except GoldthreadError:
            raise
        except Exception as error:  # What an object's own code raises, nobody knows.
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
