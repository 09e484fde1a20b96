"""flax NNX: modules, variables, states.

A module is poured into the program's own, attribute by attribute, as the program has it: variables keep their identity,
and with it what shares them. What of it is code (initializers, an optimizer) stays the program's (`own.py`), so no
module is made out of a commit. Variables and states are data, and are.
"""

from __future__ import annotations

import sys
from typing import Any, Final

from goldthread.errors import DoesNotFit
from goldthread.state.classes import class_path, loaded
from goldthread.state.fit import HINT
from goldthread.state.kind import Family, Form, Kind, Store
from goldthread.state.kinds.names import find, refuse_unless_found
from goldthread.state.kinds.own import or_own, say_own, store_own
from goldthread.state.nodes import Node
from goldthread.state.walk import Refusal, Walk, as_attribute

__all__ = ["FAMILY"]

_INNER: Final = ("_pytree__", "_object__")
"""How attributes begin in which NNX keeps what it knows of a module: of the process, not of the work."""
_METADATA: Final = "metadata "


def _nnx(name: str) -> Any:
    """A class of NNX, or a class that is no one's where NNX is not loaded, or has none of that name."""
    return getattr(sys.modules.get("flax.nnx"), name, _NoOne)


class _NoOne:
    pass


def _claim(cls: type) -> Store | None:
    if issubclass(cls, _nnx("Variable")):
        return _store_variable
    if issubclass(cls, (_nnx("Pytree"), _nnx("Object"))):
        return _store_module
    if cls is _nnx("State"):
        return _store_state
    return store_own if cls is _nnx("GraphDef") else None


def _knows(path: str) -> bool:
    """The kinds of variables and of states that flax has: data, of which no code runs when they are made."""
    found = loaded(path) if path.startswith("flax.nnx") else None
    return isinstance(found, type) and issubclass(found, (_nnx("Variable"), _nnx("State")))


# Modules.


def _attributes(thing: Any) -> dict[str, Any]:
    return {name: value for name, value in vars(thing).items() if not name.startswith(_INNER)}


def _store_module(walk: Walk, thing: Any) -> None:
    if not walk.enter(thing):
        return
    say_own(walk, type(thing))
    contents = _attributes(thing)
    walk.atoms.append(("nnx", class_path(type(thing)), list(contents), len(contents)))
    walk.visit(thing, contents, [or_own(walk, value) for value in contents.values()], as_attribute)


def _make_module(rebuilder: Any, node: Node, place: object) -> Any:
    raise DoesNotFit(
        f"{place}: a module ({node.details[0]}) is code of the program, which no commit has",
        hint="give restore the module that your program makes anew: it takes what was committed",
    )


def _fit_module(fitter: Any, node: Node, current: Any, place: object) -> Any:
    _refuse_another(node, current, place)
    fitter.begin(node, current)
    contents = fitter.attributes(node, lambda name: True, _attributes(current), place)

    def finish() -> None:
        own = vars(current)
        for name, value in contents.items():
            if name in own:
                own[name] = value
            else:  # NNX has to note whether it is data.
                setattr(current, name, value)

    fitter.noted.append(finish)
    return current


def _refuse_another(node: Node, current: Any, place: object) -> None:
    stored, cls = node.details[0].partition(":")[2], type(current)
    if stored != cls.__qualname__:
        raise DoesNotFit(f"{place}: the commit has a {stored}, the program a {cls.__qualname__}", hint=HINT)


# Variables.


def _parts(thing: Any) -> dict[str, Any]:
    """What is in a variable: read past its hooks."""
    metadata = object.__getattribute__(thing, "_var_metadata")
    value = object.__getattribute__(thing, "_raw_value")
    return {"value": value, **{f"{_METADATA}{name}": what for name, what in metadata.items()}}


def _store_variable(walk: Walk, thing: Any) -> None:
    cls = type(thing)
    if not hasattr(cls, "_var_metadata") or not hasattr(cls, "_raw_value"):
        raise Refusal(f"{cls.__qualname__} of this version of flax cannot be stored", "use flax 0.12 or newer")
    refuse_unless_found(walk, cls)
    if not walk.enter(thing):
        return
    parts = _parts(thing)
    if any(name.startswith(f"{_METADATA}on_") and parts[name] for name in parts):
        raise Refusal("a variable with hooks cannot be stored", "override get_value and set_value in a class instead")
    walk.atoms.append(("nnx_variable", class_path(cls), list(parts), len(parts)))
    values = [value if name == "value" else or_own(walk, value) for name, value in parts.items()]
    if any(mine is not value for mine, value in zip(values, parts.values(), strict=True)):
        say_own(walk, cls)
    walk.visit(thing, parts, values, as_attribute)


def _make_variable(rebuilder: Any, node: Node, place: object) -> Any:
    cls: Any = find(rebuilder, node.details[0], place, _nnx("Variable"))
    made = rebuilder.note(node, cls._new(None, {}))
    _fill(made, dict(zip(node.keys, rebuilder.children(node, place), strict=True)), place)
    return made


def _fill(variable: Any, parts: dict[str, Any], place: object) -> None:
    metadata = {name.removeprefix(_METADATA): what for name, what in parts.items() if name != "value"}
    if any(name.startswith("on_") and what for name, what in metadata.items()):
        raise DoesNotFit(f"{place}: a variable with hooks is not made from a commit", hint=HINT)
    own = object.__getattribute__(variable, "_var_metadata")
    own.clear()
    own.update(metadata)
    object.__setattr__(variable, "_raw_value", parts["value"])


def _fit_variable(fitter: Any, node: Node, current: Any, place: object) -> Any:
    _refuse_another(node, current, place)
    fitter.begin(node, current)
    parts = fitter.attributes(node, lambda name: True, _parts(current), place)
    fitter.noted.append(lambda: _fill(current, parts, place))
    return current


# States.


def _store_state(walk: Walk, thing: Any) -> None:
    if walk.enter(thing):
        walk.atoms.append(("nnx_state", 1))
        walk.visit(thing, [None], [vars(thing)["_mapping"]], as_attribute)


def _make_state(rebuilder: Any, node: Node, place: object) -> Any:
    cls = _nnx("State")
    if cls is _NoOne:
        raise DoesNotFit(f"{place}: it was stored by flax, which is not loaded", hint="import flax.nnx first")
    made = rebuilder.note(node, object.__new__(cls))
    vars(made)["_mapping"] = rebuilder.children(node, place)[0]
    return made


def _fit_state(fitter: Any, node: Node, current: Any, place: object) -> Any:
    fitter.begin(node, current)
    fitter.fit(node.expand()[0], vars(current)["_mapping"], place)
    return current


FAMILY: Final = Family(
    kinds=(
        Kind(
            "nnx",
            Form.KEYED,
            _make_module,
            suits=lambda thing: isinstance(thing, (_nnx("Pytree"), _nnx("Object"))),
            fit=_fit_module,
            attributes=True,
        ),
        Kind(
            "nnx_variable",
            Form.KEYED,
            _make_variable,
            suits=lambda thing: isinstance(thing, _nnx("Variable")),
            fit=_fit_variable,
            attributes=True,
        ),
        Kind(
            "nnx_state",
            Form.CONTAINER,
            _make_state,
            suits=lambda thing: type(thing) is _nnx("State"),
            fit=_fit_state,
            attributes=True,
        ),
    ),
    claim=_claim,
    knows=_knows,
    package="flax.nnx",
)
