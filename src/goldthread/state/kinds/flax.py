"""flax (frozen dicts, structs, linen modules) and optax (what its optimizers keep).

A struct says of each of its fields whether it is data. What is not may be code, and stays the program's own then
(`own.py`); so does a linen module, which has no state, and an optimizer, whose state lies beside it.
"""

from __future__ import annotations

import dataclasses
import sys
from typing import Any, Final

from goldthread.state.classes import class_path, loaded
from goldthread.state.kind import Family, Form, Kind, Store
from goldthread.state.kinds.names import refuse_unless_found
from goldthread.state.kinds.objects import contents_of, plan_of
from goldthread.state.kinds.own import or_own, say_own, store_own
from goldthread.state.nodes import Node
from goldthread.state.walk import Refusal, Walk, as_attribute

__all__ = ["FAMILY"]

_FROZEN: Final = "flax.core.frozen_dict"
_BOXES: Final = frozenset(
    {
        "flax.core.meta:Partitioned",
        "flax.linen.spmd:LogicallyPartitioned",
        "flax.training.dynamic_scale:DynamicScale",
    }
)
"""Structs of flax that have nothing but data."""


def _claim(cls: type) -> Store | None:
    if cls is _frozen():
        return _store_frozen
    if "_flax_dataclass" in vars(cls):
        return _store_struct
    linen = getattr(sys.modules.get("flax.linen"), "Module", None)
    optimizer = getattr(sys.modules.get("optax"), "GradientTransformation", None)
    is_code = any(base is not None and issubclass(cls, base) for base in (linen, optimizer))
    return _store_code if is_code else None


def _store_code(walk: Walk, thing: Any) -> None:
    if getattr(thing, "scope", None) is not None:
        raise Refusal("a linen module that is bound to its variables cannot be stored", "store module and variables")
    store_own(walk, thing)


def _knows(path: str) -> bool:
    """Boxes of flax, and the states of optax: named tuples, of which no code runs when they are made."""
    if path in _BOXES:
        return True
    found = loaded(path) if path.startswith(("optax.", "optax:")) else None
    return isinstance(found, type) and issubclass(found, tuple) and hasattr(found, "_fields")


# Structs.


def _store_struct(walk: Walk, thing: Any) -> None:
    cls = type(thing)
    plan = plan_of(cls)
    if plan.refusal is not None:
        raise Refusal(f"{cls.__qualname__} cannot be stored: {plan.refusal[0]}", plan.refusal[1])
    refuse_unless_found(walk, cls)
    if not walk.enter(thing):
        return
    contents = contents_of(plan, thing)
    for field in dataclasses.fields(cls):
        if field.name in contents and not field.metadata.get("pytree_node", True):
            value = contents[field.name]
            contents[field.name] = or_own(walk, value)
            if contents[field.name] is not value:
                say_own(walk, cls)
    names = list(contents)
    walk.inside(thing, ("object", class_path(cls), plan.fields, names), names, contents.values(), as_attribute)


# Frozen dicts.


def _frozen() -> Any:
    return getattr(sys.modules.get(_FROZEN), "FrozenDict", None)


def _store_frozen(walk: Walk, thing: Any) -> None:
    """Without the hash that it remembers: text hashes otherwise in each process."""
    if walk.enter(thing):
        walk.atoms.append(("frozen_dict", 1))
        walk.visit(thing, [None], [thing._dict], as_attribute, whole=True)


def _around(contents: Any) -> Any:
    """A frozen dict of these contents, which may still be filled: none is copied, as its constructor would."""
    frozen = _frozen()
    made = object.__new__(frozen)
    object.__setattr__(made, "_dict", contents)
    object.__setattr__(made, "_hash", None)
    return made


def _make_frozen(rebuilder: Any, node: Node, place: object) -> Any:
    contents = rebuilder.children(node, place)[0]
    return contents if _frozen() is None else _around(contents)


def _fit_frozen(fitter: Any, node: Node, current: Any, place: object) -> Any:
    """Made anew, around what it has: others may rely on the program's staying as it is."""
    return _around(fitter.fit(node.expand()[0], _copied(current._dict), place))


def _copied(contents: dict[Any, Any]) -> dict[Any, Any]:
    return {key: _copied(value) if type(value) is dict else value for key, value in contents.items()}


FAMILY: Final = Family(
    kinds=(
        Kind(
            "frozen_dict",
            Form.CONTAINER,
            _make_frozen,
            suits=lambda thing: _frozen() is not None and type(thing) is _frozen(),
            fit=_fit_frozen,
        ),
    ),
    claim=_claim,
    knows=_knows,
    package="jax",
)
