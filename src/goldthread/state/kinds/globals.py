"""Functions and classes, by the name under which they are found: never their code.

A restore uses a name only where the program knows what it leads to (`classes.py`): its own functions and classes, what
occurs in the state that it gives, what it registered, and the few of the standard library that can do nothing but
compute.
"""

from __future__ import annotations

import builtins
import math
import operator
import types
from typing import Any, Final

import numpy as np

from goldthread.errors import DoesNotFit
from goldthread.state.classes import class_path, loaded
from goldthread.state.kind import Family, Form, Kind, Store
from goldthread.state.kinds.names import refuse_unless_found
from goldthread.state.manifest import dtype_from, dtype_word
from goldthread.state.nodes import Node
from goldthread.state.walk import Refusal, Walk

__all__ = ["FAMILY"]

_COMPUTE: Final = ("abs", "all", "any", "bin", "chr", "divmod", "hash", "hex", "len", "max", "min", "oct", "ord",
                   "pow", "repr", "round", "sorted", "sum")  # fmt: skip
_BUILTIN_TYPES: Final = {
    f"builtins:{name}" for name, thing in vars(builtins).items() if isinstance(thing, type) and name != "type"
}
_FAMILIAR: Final = frozenset(
    _BUILTIN_TYPES
    | {f"builtins:{name}" for name in _COMPUTE}
    | {class_path(thing) for thing in vars(math).values() if isinstance(thing, types.BuiltinFunctionType)}
    | {class_path(thing) for thing in vars(operator).values() if isinstance(thing, types.BuiltinFunctionType)}
)
_PLAIN_MODULES: Final = frozenset(
    {"collections", "datetime", "decimal", "enum", "fractions", "ipaddress", "pathlib", "types", "uuid", "zoneinfo"}
)
"""Of these every class may be named."""
_NUMPY: Final = "numpy"


def _knows(path: str) -> bool:
    module = path.partition(":")[0]
    if path in _FAMILIAR:
        return True
    if module in _PLAIN_MODULES:
        return isinstance(loaded(path), type)
    return module.partition(".")[0] == _NUMPY and _is_plain_of_numpy(loaded(path))


def _is_plain_of_numpy(thing: Any) -> bool:
    is_scalar = isinstance(thing, type) and issubclass(thing, (np.generic, np.ndarray, np.dtype))
    return is_scalar or isinstance(thing, np.ufunc)


def _store(walk: Walk, thing: Any) -> None:
    if _is_bound(thing) and not isinstance(thing.__self__, type):
        raise Refusal(
            f"the method {thing.__qualname__} is bound to an object", "store the object, and take the method from it"
        )
    if not isinstance(getattr(thing, "__qualname__", None), str) or not isinstance(thing.__module__, str):
        raise Refusal(f"{thing!r} has no name to be found by", "store the name of what it stands for")
    if getattr(thing, "__name__", "") == "<lambda>":
        raise Refusal("a lambda cannot be stored", "define a function with a name at the top of a module")
    refuse_unless_found(walk, thing)
    walk.note("named", class_path(thing))


def _is_bound(thing: Any) -> bool:
    own = getattr(thing, "__self__", None)
    return own is not None and not isinstance(own, types.ModuleType)


def _ufunc(walk: Walk, thing: np.ufunc) -> None:
    if getattr(np, thing.__name__, None) is not thing:
        raise Refusal(f"the ufunc {thing.__name__} is none of NumPy's", "store the name of what it stands for")
    walk.note("named", f"{_NUMPY}:{thing.__name__}")


def _dtype(walk: Walk, thing: Any) -> None:
    if thing.hasobject and thing != np.dtype(object):
        raise Refusal(f"the dtype {thing} cannot be stored", "store its name")
    walk.note("dtype", dtype_word(thing))


def _make(rebuilder: Any, node: Node, place: object) -> Any:
    path = node.value
    found = rebuilder.registry.find(rebuilder.classes, path)
    if found is None:
        name, module = path.replace(":", "."), path.partition(":")[0]
        if loaded(path) is None:
            raise DoesNotFit(f"{place}: it is {name}, which is not loaded", hint=f"import {module} first")
        raise DoesNotFit(
            f"{place}: it is {name}, which is used only where the program says so",
            hint="have it in what is given to restore",
        )
    return found


def _make_dtype(rebuilder: Any, node: Node, place: object) -> Any:
    return dtype_from(node.value)


def _claim(cls: type) -> Store | None:
    if issubclass(cls, type):
        return _store
    if issubclass(cls, np.dtype):
        return _dtype
    return _refuse if cls in _REFUSED else None


_REFUSED: Final = {
    types.GeneratorType: "restart it from a position that is in the state",
    types.CoroutineType: "restart it from a position that is in the state",
    types.AsyncGeneratorType: "restart it from a position that is in the state",
    types.ModuleType: "store its name",
    types.FrameType: "keep it out of the state",
    types.TracebackType: "keep it out of the state",
    types.CodeType: "keep it out of the state",
    object: "it has nothing but its identity: use a text, or a member of an enum",
}


def _refuse(walk: Walk, thing: object) -> None:
    raise Refusal(f"{type(thing).__name__} cannot be stored", _REFUSED[type(thing)])


FAMILY: Final = Family(
    kinds=(
        Kind("named", Form.VALUE, _make, is_shared=False),
        Kind("dtype", Form.VALUE, _make_dtype, is_shared=False),
    ),
    stores={
        types.FunctionType: _store,
        types.BuiltinFunctionType: _store,
        types.MethodType: _store,
        type: _store,
        np.ufunc: _ufunc,
    },
    claim=_claim,
    knows=_knows,
)
