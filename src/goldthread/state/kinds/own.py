"""What stays the program's own: code that stands in a state beside the data, and cannot come from a commit.

A flax TrainState holds `model.apply` and an optimizer, an nnx module its initializers: functions made by functions,
which no name leads to. They are part of the program, as its functions are; the program that is given its state back has
made them anew. So of such a thing only words are stored, and a restore leaves the program's where it stands; where the
words differ it says so. There is no making one out of a commit: whoever asks `restore()` for it is refused, and told so
at commit unless it gave such a thing to restore itself.

Only what is certain to hold no data is left so: see `_words`.
"""

from __future__ import annotations

import dataclasses
import functools
import sys
import types
from typing import Any, Final, NamedTuple

from goldthread.errors import DoesNotFit
from goldthread.state.classes import class_path
from goldthread.state.kind import Family, Form, Kind
from goldthread.state.nodes import Node
from goldthread.state.plain import PLAIN
from goldthread.state.walk import Refusal, Walk

__all__ = ["FAMILY", "or_own", "say_own", "store_own"]

_LIBRARIES: Final = frozenset({"jax", "jaxlib", "flax", "optax"})
_DEPTH_MOST: Final = 8
_PLAIN_MARK: Final = "="


class Own(NamedTuple):
    """Stands in a walk for what stays the program's own."""

    words: str


def or_own(walk: Walk, thing: Any) -> Any:
    """What a walk is to visit: the thing itself, or `Own` where it can only stay the program's."""
    words = None if type(thing) in PLAIN else _words(thing)
    if words is None or words[0] == _PLAIN_MARK:
        return thing
    return thing if _has_name(thing) and _can_store(walk, thing) else walk.made(Own(words))


def _has_name(thing: Any) -> bool:
    """Whether it might be stored by the name of what it is, or is of: a look that spares most things a try."""
    if isinstance(thing, types.FunctionType):
        return "<locals>" not in thing.__qualname__ and not _is_of_library(thing.__module__)
    return isinstance(thing, (tuple, type, types.BuiltinFunctionType, functools.partial))


def _can_store(walk: Walk, thing: Any) -> bool:
    probe = Walk(walk.registry, walk.classes, pickle=False, careful=walk.careful, told=set())
    try:
        probe.child(thing, str)
    except Refusal:
        return False
    return True


def store_own(walk: Walk, thing: Any) -> None:
    """A thing of a type that always stays the program's own."""
    say_own(walk, type(thing))
    _note(walk, Own(_words_of_all(thing)))


def _words_of_all(thing: Any) -> str:
    return _words(thing) or class_path(type(thing))


def say_own(walk: Walk, cls: type) -> None:
    """Tell that a thing comes back only into the program's own, unless the program gave one to restore."""
    if not walk.classes.was_given(cls):
        walk.tell("it holds code that no commit has: it comes back only into what is given to restore")


def _note(walk: Walk, thing: Own) -> None:
    walk.note("own", thing.words)


def _words(thing: Any, depth: int = 0, *, in_code: bool = False) -> str | None:
    """What a thing is, if it is code and plain values only; None for all else. Plain values begin with a mark.

    What is `in_code`, a field of a linen module, is code whatever it is.
    """
    cls = type(thing)
    if cls in PLAIN:
        return f"{_PLAIN_MARK}{thing!r}"
    if depth <= _DEPTH_MOST:
        if isinstance(thing, types.MethodType):
            mine = _words(thing.__self__, depth + 1, in_code=in_code)
            return None if mine is None else f"{mine}.{thing.__name__}"
        if isinstance(thing, (types.FunctionType, types.BuiltinFunctionType, type)):
            return class_path(thing)
        if (parts := _parts_of(thing, in_code)) is not None:
            return _call(*parts, depth, in_code=in_code or _is_linen(cls))
        if _is_code(cls):
            return class_path(thing if isinstance(getattr(thing, "__qualname__", None), str) else cls)
    return class_path(cls) if in_code else None


def _parts_of(thing: Any, in_code: bool) -> tuple[str, dict[Any, Any]] | None:
    """The name and the parts of what is as fixed as its parts are, as code is."""
    cls = type(thing)
    if isinstance(thing, functools.partial):
        return "partial", {"": thing.func, **dict(enumerate(thing.args)), **thing.keywords}
    if isinstance(thing, tuple) or (in_code and isinstance(thing, list)):
        return cls.__qualname__, dict(zip(getattr(cls, "_fields", range(len(thing))), thing, strict=True))
    if in_code and isinstance(thing, dict):
        return cls.__qualname__, thing
    if _is_linen(cls) and thing.scope is None:  # Else it is bound to variables.
        names = [field.name for field in dataclasses.fields(thing) if field.name not in ("parent", "name")]
        return class_path(cls), {name: getattr(thing, name, None) for name in names}
    return None


def _call(name: str, parts: dict[Any, Any], depth: int, *, in_code: bool) -> str | None:
    words = {key: _words(part, depth + 1, in_code=in_code) for key, part in parts.items()}
    if None in words.values():
        return None
    is_plain = parts and not in_code and all(str(word).startswith(_PLAIN_MARK) for word in words.values())
    return f"{_PLAIN_MARK if is_plain else ''}{name}({', '.join(f'{key}: {word}' for key, word in words.items())})"


def _is_of_library(module: str) -> bool:
    return module.partition(".")[0] in _LIBRARIES


def _is_linen(cls: type) -> bool:
    module = getattr(sys.modules.get("flax.linen"), "Module", None)
    return module is not None and issubclass(cls, module)


def _is_code(cls: type) -> bool:
    """Whether things of a library's class are functions, optimizers, or say where arrays lie: nothing that changes."""
    jax: Any = sys.modules.get("jax")
    if jax is None or not _is_of_library(cls.__module__):
        return False
    nnx: Any = sys.modules.get("flax.nnx")
    data = [jax.Array, jax.core.Tracer, getattr(nnx, "Variable", None), getattr(nnx, "Pytree", None)]
    if any(kind is not None and issubclass(cls, kind) for kind in data):
        return False
    places = (jax.sharding.Sharding, jax.sharding.PartitionSpec, jax.tree_util.PyTreeDef)
    return (
        issubclass(cls, places)
        or "__call__" in dir(cls)
        or (cls.__module__.startswith("optax") and "update" in dir(cls))
    )


def _make(rebuilder: Any, node: Node, place: object) -> Any:
    raise DoesNotFit(
        f"{place}: it is code of the program ({node.value[:80]}), which no commit has",
        hint="give restore what your program makes anew: it takes what was committed",
    )


def _fit(fitter: Any, node: Node, current: Any, place: object) -> Any:
    if _words_of_all(current) != node.value:
        fitter.unknown.append(str(place))
    return current


FAMILY: Final = Family(
    kinds=(Kind("own", Form.VALUE, _make, is_shared=False, fit=_fit, fits_all=True),),
    stores={Own: _note},
)
