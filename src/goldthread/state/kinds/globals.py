"""Functions and classes, by the name under which they are found: never their code.

A restore uses a name only where the program knows what it leads to (`classes.py`): its own functions and classes, what
occurs in the state that it gives, what it registered, and the few of the standard library that can do nothing but
compute.
"""

from __future__ import annotations

import bisect
import builtins
import contextvars
import ctypes
import functools
import heapq
import io
import math
import operator
import socket
import threading
import types
import weakref
from typing import Any, Final

import numpy as np

from goldthread.errors import DoesNotFit
from goldthread.state.classes import class_path, loaded
from goldthread.state.kind import Family, Form, Kind, Store
from goldthread.state.kinds.names import is_named, refuse_unless_found
from goldthread.state.nodes import Node
from goldthread.state.walk import Refusal, Walk

__all__ = ["FAMILY"]

_COMPUTE: Final = ("ascii", "callable", "format", "id", "isinstance", "issubclass", "iter", "next", "print",
                   "abs", "all", "any", "bin", "chr", "divmod", "hash", "hex", "len", "max", "min", "oct", "ord",
                   "pow", "repr", "round", "sorted", "sum")  # fmt: skip
_BUILTIN_TYPES: Final = {f"builtins:{name}" for name, thing in vars(builtins).items() if isinstance(thing, type)}
_FAMILIAR: Final = frozenset(
    _BUILTIN_TYPES
    | {f"builtins:{name}" for name in _COMPUTE}
    | {class_path(thing) for thing in vars(math).values() if isinstance(thing, types.BuiltinFunctionType)}
    | {class_path(thing) for thing in vars(operator).values() if isinstance(thing, types.BuiltinFunctionType)}
    | {class_path(thing) for thing in (functools.reduce, functools.partial, operator.itemgetter, operator.attrgetter)}
    | {class_path(thing) for thing in (heapq.heappush, heapq.heappop, heapq.heapify, bisect.bisect, bisect.insort)}
    | {"argparse:Namespace", "types:SimpleNamespace", "array:array", "random:Random", "re:RegexFlag"}
)
_PLAIN_MODULES: Final = frozenset(
    {"collections", "datetime", "decimal", "enum", "fractions", "ipaddress", "pathlib", "types", "uuid", "zoneinfo"}
    | {"itertools"}
)
"""Of these every class may be named."""
_DESCRIPTORS: Final = (types.MethodDescriptorType, types.WrapperDescriptorType)
"""Methods of what is builtin, such as `str.join`."""
_REACHING: Final = frozenset(
    {"fromfile", "genfromtxt", "load", "loadtxt", "memmap", "save", "savetxt", "savez", "savez_compressed"}
)
"""Functions of NumPy that reach files."""
_TYPES_OF_ONE: Final = frozenset(map(class_path, (type(None), type(...), type(NotImplemented))))
_NUMPY: Final = "numpy"


def _knows(path: str) -> bool:
    module, _, name = path.partition(":")
    if path in _FAMILIAR or path in _TYPES_OF_ONE:
        return True
    if f"{module}:{name.rpartition('.')[0]}" in _BUILTIN_TYPES:
        return isinstance(loaded(path), _DESCRIPTORS) and not name.rpartition(".")[2].startswith("_")
    if module in _PLAIN_MODULES:
        return is_named(path, type)
    return module.partition(".")[0] == _NUMPY and _is_plain_of_numpy(loaded(path))


def _is_plain_of_numpy(thing: Any) -> bool:
    is_scalar = isinstance(thing, type) and issubclass(thing, (np.generic, np.ndarray, np.dtype))
    is_function = isinstance(thing, type(np.mean)) and thing.__name__ not in _REACHING
    return is_scalar or is_function or isinstance(thing, np.ufunc)


def _store(walk: Walk, thing: Any) -> None:
    if _is_bound(thing):
        raise Refusal(
            f"the method {thing.__qualname__} is bound to an object", "store the object, and take the method from it"
        )
    if not isinstance(getattr(thing, "__qualname__", None), str) or not isinstance(thing.__module__, str):
        raise Refusal(f"{thing!r} has no name to be found by", "store the name of what it stands for")
    if getattr(thing, "__name__", "") == "<lambda>":
        raise Refusal("a lambda cannot be stored", "define a function with a name at the top of a module")
    refuse_unless_found(walk, thing)
    if isinstance(thing, types.FunctionType) and any(not name.startswith("__") for name in vars(thing)):
        walk.tell("attributes of a function are not stored with its name")
    walk.note("named", class_path(thing))


def _is_bound(thing: Any) -> bool:
    own = getattr(thing, "__self__", None)
    return own is not None and not isinstance(own, types.ModuleType)


def _descriptor(walk: Walk, thing: Any) -> None:
    path = f"{thing.__objclass__.__module__}:{thing.__objclass__.__qualname__}.{thing.__name__}"
    if not _knows(path):
        raise Refusal(f"{thing!r} is nothing that a restore would use", "store the name of what it stands for")
    walk.note("named", path)


def _ufunc(walk: Walk, thing: np.ufunc) -> None:
    if getattr(np, thing.__name__, None) is not thing:
        raise Refusal(f"the ufunc {thing.__name__} is none of NumPy's", "store the name of what it stands for")
    walk.note("named", f"{_NUMPY}:{thing.__name__}")


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


def _claim(cls: type) -> Store | None:
    if issubclass(cls, type):
        return _store
    return _refuse if _refusal_of(cls) is not None else None


_POSITION: Final = "restart it from a position that is in the state"
_OUTSIDE: Final = "keep it out of the state"
_AGAIN: Final = "keep it out of the state, and make it again after restore"
_EMPTY: Final[dict[Any, Any]] = {}
_REFUSED: Final[dict[Any, str]] = {
    types.GeneratorType: _POSITION,
    types.CoroutineType: _POSITION,
    types.AsyncGeneratorType: _POSITION,
    **dict.fromkeys(map(type, map(iter, (_EMPTY, _EMPTY.values(), _EMPTY.items(), set()))), _POSITION),
    types.ModuleType: "store its name",
    types.FrameType: _OUTSIDE,
    types.TracebackType: _OUTSIDE,
    types.CodeType: _OUTSIDE,
    types.CellType: _OUTSIDE,
    **dict.fromkeys(map(type, (_EMPTY.keys(), _EMPTY.values(), _EMPTY.items())), "store the dict, or a list of it"),
    object: "it has nothing but its identity: use a text, or a member of an enum",
    weakref.ReferenceType: "store what it refers to",
    weakref.ProxyType: "store what it refers to",
    contextvars.ContextVar: _OUTSIDE,
}
_REFUSED_BASES: Final[tuple[tuple[Any, str], ...]] = (
    (type(threading.Lock()), _AGAIN), (type(threading.RLock()), _AGAIN), (threading.local, _AGAIN),
    (io.IOBase, "store the path and the position, and open it again after restore"), (socket.socket, _AGAIN),
    (threading.Thread, _AGAIN), (weakref.ReferenceType, "store what it refers to"),
)  # fmt: skip
_OF_CTYPES: Final[tuple[Any, str]] = (
    ctypes.Structure.__base__,
    "store its bytes: bytes(it), and from_buffer_copy after restore",
)


def _refusal_of(cls: type) -> str | None:
    if cls in _REFUSED:
        return _REFUSED[cls]
    return next((hint for base, hint in (*_REFUSED_BASES, _OF_CTYPES) if issubclass(cls, base)), None)


def _refuse(walk: Walk, thing: object) -> None:
    raise Refusal(f"{type(thing).__name__} cannot be stored", _refusal_of(type(thing)) or _OUTSIDE)


FAMILY: Final = Family(
    kinds=(Kind("named", Form.VALUE, _make, is_shared=False),),
    stores={
        types.FunctionType: _store,
        types.BuiltinFunctionType: _store,
        types.MethodDescriptorType: _descriptor,
        types.WrapperDescriptorType: _descriptor,
        type(np.mean): _store,
        type: _store,
        np.ufunc: _ufunc,
    },
    claim=_claim,
    knows=_knows,
)
