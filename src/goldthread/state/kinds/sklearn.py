"""scikit-learn: estimators by their attributes, and what is written in C by what it says of itself.

An estimator is its `__dict__`, so `objects.py` stores it as any object; here stands which classes and functions a
restore uses without a word of the program. Those are the ones of the modules in which estimators live, under the very
name that they have: a name that leads out of the library by way of what a module imported (`sklearn.base:os.system`) is
no such name. What fetches data, and what tests, is left out.

Trees, k-d trees, losses and distances have memory of their own, and say by `__reduce__` how they are made: by their
class, or a function beside it that makes nothing else, from plain things and arrays. Those are stored as nodes. Nothing
but that class is called on restore, and what it makes must be of it.
"""

from __future__ import annotations

import types
from typing import Any, Final

from goldthread.errors import DoesNotFit
from goldthread.state.classes import class_path, loaded
from goldthread.state.kind import Family, Form, Kind, Store
from goldthread.state.kinds.names import is_named
from goldthread.state.kinds.objects import plan_of
from goldthread.state.nodes import Node
from goldthread.state.walk import Refusal, Walk

__all__ = ["FAMILY"]

_PACKAGE: Final = "sklearn"
_LOSSES: Final = "sklearn._loss._loss"
_SAME_VERSION: Final = "use the version of scikit-learn that wrote it"
_LEFT_OUT: Final = frozenset({"conftest", "datasets", "experimental", "externals", "inspection", "tests"})
"""Parts of module names in which nothing is that an estimator holds, or what reaches files and the network."""
_OF_UTILS: Final = frozenset({"_bunch", "_metadata_requests", "_tags"})
"""Of `sklearn.utils` only these."""
_OF_OTHERS: Final = frozenset(
    {
        "scipy.interpolate._bsplines:BSpline",
        "scipy.interpolate._interpolate:interp1d",
        "scipy.interpolate._interpolate:interp1d._call_linear",
        "scipy.interpolate._interpolate:interp1d._call_linear_np",
        "scipy._lib.array_api_compat.numpy._aliases:asarray",
        "sklearn.utils.validation:check_array",
    }
)
"""What isotonic regression and splines hold of SciPy, and what categories are converted by."""


def _knows(path: str) -> bool:
    module = path.partition(":")[0]
    if path in _OF_OTHERS:
        return True
    package, *parts = module.split(".")
    if package != _PACKAGE or not parts or not _LEFT_OUT.isdisjoint(parts):
        return False
    if parts[0] == "utils" and (len(parts) < 2 or parts[1] not in _OF_UTILS):
        return False
    return is_named(path, (type, types.FunctionType))


def _store(walk: Walk, thing: Any) -> None:
    if not walk.enter(thing):
        return
    maker, arguments, state = _reduced(thing)
    walk.atoms.append(("sklearn", _path_of(type(thing)), maker, 2))
    walk.visit(thing, ["", ""], [walk.made(arguments), walk.made(state)], str, whole=True)


def _path_of(cls: type) -> str:
    """Where a class is found. Some versions give the module of the losses a name that leads nowhere."""
    path = class_path(cls)
    return f"{_LOSSES}:{cls.__qualname__}" if cls.__module__ == "_loss" else path


def _reduced(thing: Any) -> tuple[str | None, Any, Any]:
    """The function that makes it, or None where its class does, the arguments and the state."""
    cls = type(thing)
    try:
        maker, arguments, *rest = thing.__reduce_ex__(4)
    except (TypeError, ValueError) as error:
        raise Refusal(f"{cls.__qualname__} cannot be stored: {error}", "keep it out of the state") from error
    state = rest[0] if rest else None
    if any(one is not None for one in rest[1:]):
        raise Refusal(f"{cls.__qualname__} cannot be stored: it has items beside its state", "keep it out of the state")
    if maker is cls:
        return None, arguments, state
    name = getattr(maker, "__name__", "")
    if not _makes_only(name) or _beside(cls, name) is not maker or arguments[:1] != (cls,):
        raise Refusal(f"{cls.__qualname__} cannot be stored: it is made by {name}", "keep it out of the state")
    return name, arguments[1:], state


def _beside(cls: type, name: str) -> Any:
    """A function of the module that a class is of."""
    return loaded(f"{_path_of(cls).partition(':')[0]}:{name}")


def _makes_only(name: str) -> bool:
    """Whether a function beside a class of Cython's makes things of the class that it is given, and does no more."""
    return name == "newObj" or name.startswith("__pyx_unpickle_")


def _make(rebuilder: Any, node: Node, place: object) -> Any:
    path, name = node.details
    text = path.replace(":", ".")
    cls = loaded(path)
    if cls is None:
        raise DoesNotFit(f"{place}: it was stored as a {text}, which is not loaded", hint="import scikit-learn first")
    if not isinstance(cls, type) or _path_of(cls) != path or _claim(cls) is None or not _makes_only(name or "newObj"):
        raise DoesNotFit(f"{place}: {text} is not made from a commit", hint=_SAME_VERSION)
    arguments, state = rebuilder.children(node, place)
    rebuilder.fill_anew()
    try:
        made: Any = cls(*arguments) if name is None else _beside(cls, name)(cls, *arguments)
        if state is not None:
            made.__setstate__(state)
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise DoesNotFit(f"{place}: {text} does not take what was stored: {error}", hint=_SAME_VERSION) from error
    if type(made) is not cls:
        raise DoesNotFit(f"{place}: {text} makes a {type(made).__qualname__} now", hint=_SAME_VERSION)
    return made


def _claim(cls: type) -> Store | None:
    """Classes of scikit-learn with memory of their own."""
    path = _path_of(cls)
    if path.partition(".")[0] != _PACKAGE or loaded(path) is not cls or issubclass(cls, type):
        return None
    plan = plan_of(cls)
    return _store if plan.base is None and plan.refusal is not None else None


FAMILY: Final = Family(
    kinds=(Kind("sklearn", Form.CONTAINER, _make, attributes=True),),
    claim=_claim,
    knows=_knows,
    package=_PACKAGE,
)
