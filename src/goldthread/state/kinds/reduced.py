"""Objects that say themselves how they are made: by `__reduce_ex__`, where the program registered their class, or a
family knows their library.

What an object says is stored as nodes: what makes it, by its name, the arguments, the state, and the items of a list or
dict. Only few things may make it: the class itself, with its arguments; `copyreg.__newobj__` and
`copyreg._reconstructor`, which make an empty one of a class that is given; and a function of Cython's beside the class,
which does no more. What came of it must be of the class. Contents are whole before it is made, since it may look at
them: so it can contain itself only by way of its state.
"""

from __future__ import annotations

import copyreg
import itertools
from typing import Any, Final

from goldthread.errors import DoesNotFit
from goldthread.state.classes import class_path, loaded
from goldthread.state.fit import HINT
from goldthread.state.kind import Family, Form, Kind, Store
from goldthread.state.kinds.bases import base_of
from goldthread.state.kinds.names import find, refuse_unless_found
from goldthread.state.kinds.pickles import SPECIAL
from goldthread.state.kinds.plans import REGISTER, plan_of
from goldthread.state.kinds.recipes import is_registered
from goldthread.state.nodes import Node
from goldthread.state.walk import Refusal, Walk

__all__ = ["FAMILY", "REDUCED_PACKAGES", "store_reduced"]

REDUCED_PACKAGES: Final[set[str]] = set()
"""Libraries of which classes that say how they are pickled are stored so, without a word of the program."""

_PROTOCOL: Final = 4
_BY_CLASS: Final = "class"
_NEW: Final = "new"
_NEW_WITH_NAMES: Final = "new with names"
_OF_BUILTIN: Final = "of builtin"
_PARTS: Final = ("arguments", "names", "state", "items", "pairs")


def store_reduced(walk: Walk, thing: Any) -> None:
    """Store an object by what it says of itself. Raises `Refusal` where that is more than data."""
    cls = type(thing)
    refuse_unless_found(walk, cls)
    if not walk.enter(thing):
        return
    maker, parts = _taken_apart(cls, thing)
    walk.atoms.append(("reduced", class_path(cls), maker, len(parts)))
    walk.visit(thing, _PARTS, [walk.made(part) for part in parts], lambda name: f".__reduce_ex__().{name}", whole=True)


def _taken_apart(cls: Any, thing: Any) -> tuple[str, list[Any]]:
    try:
        reduced = thing.__reduce_ex__(_PROTOCOL)
    except Exception as error:
        raise Refusal(f"{cls.__qualname__} does not say how it is stored: {error}", _hint(cls)) from error
    if not isinstance(reduced, tuple) or not 2 <= len(reduced) <= 5:
        raise Refusal(f"{cls.__qualname__}.__reduce_ex__ gives no parts", _hint(cls))
    maker, arguments, state, items, pairs = (*reduced, None, None, None)[:5]
    word, arguments, names = _word_of(cls, maker, arguments)
    if items is not None:
        items = list(items)
    if pairs is not None:
        pairs = [list(pair) for pair in pairs]
    return word, [arguments, names, state, items, pairs]


def _word_of(cls: Any, maker: Any, arguments: Any) -> tuple[str, tuple[Any, ...], Any]:
    """By what it is made, the arguments beside the class, and those that have names."""
    new: Any = copyreg.__newobj__  # type: ignore[attr-defined]
    new_with_names: Any = copyreg.__newobj_ex__  # type: ignore[attr-defined]
    of_builtin: Any = copyreg._reconstructor  # type: ignore[attr-defined]
    if type(arguments) is tuple:
        if maker is cls:
            return _BY_CLASS, arguments, None
        if maker is new_with_names and len(arguments) == 3 and arguments[0] is cls:
            return _NEW_WITH_NAMES, tuple(arguments[1]), dict(arguments[2])
        if arguments[:1] == (cls,):
            if maker is new:
                return _NEW, arguments[1:], None
            if maker is of_builtin and len(arguments) == 3:
                return _OF_BUILTIN, arguments[1:], None
            name = getattr(maker, "__name__", "")
            if _makes_only(name) and loaded(f"{cls.__module__}:{name}") is maker:
                return name, arguments[1:], None
    said = getattr(maker, "__qualname__", maker)
    raise Refusal(f"{cls.__qualname__} is made by {said}, which is not the class itself", _hint(cls))


def _makes_only(name: str) -> bool:
    """Whether a function of Cython's makes things of the class that it is given, and does no more."""
    return name.startswith("__pyx_unpickle_")


def _hint(cls: Any) -> str:
    return REGISTER.format(cls.__qualname__)


def _is_reduced(cls: type) -> bool:
    is_known = is_registered(cls) or cls.__module__.partition(".")[0] in REDUCED_PACKAGES
    if not is_known or issubclass(cls, type):
        return False
    return plan_of(cls).refusal is not None or _says_itself(cls)


def _says_itself(cls: type) -> bool:
    """Whether a class, not the builtin that it derives from, says how it is pickled."""
    own = itertools.takewhile(lambda one: one is not object and base_of(one) is None, cls.__mro__)
    return any(name in vars(one) for one in own for name in SPECIAL)


def _claim(cls: type) -> Store | None:
    return store_reduced if _is_reduced(cls) else None


# Anew.


def _make(rebuilder: Any, node: Node, place: object) -> Any:
    path, maker = node.details
    cls = find(rebuilder, path, place)
    if not _is_reduced(cls):
        raise DoesNotFit(
            f"{place}: {path.replace(':', '.')} was stored as it says itself, for which it must be registered",
            hint=f"goldthread.register({cls.__qualname__}) before restore",
        )
    parts = rebuilder.children(node, place)
    rebuilder.fill_anew()
    arguments, names, state, items, pairs = parts
    try:
        made = rebuilder.note(node, _call(cls, maker, arguments, names))
        if type(made) is not cls:
            raise DoesNotFit(f"{place}: {path.replace(':', '.')} makes a {type(made).__qualname__} now", hint=HINT)
        if items is not None:
            made.extend(items)
        for key, value in pairs or ():
            made[key] = value
        if state is not None:
            _set_state(made, state)
    except DoesNotFit:
        raise
    except Exception as error:
        raise DoesNotFit(
            f"{place}: {path.replace(':', '.')} does not take what was stored: {error!r}", hint=HINT
        ) from error
    return made


def _call(cls: Any, maker: str, arguments: Any, names: Any) -> Any:
    if maker == _BY_CLASS:
        return cls(*arguments)
    if maker == _NEW:
        return cls.__new__(cls, *arguments)
    if maker == _NEW_WITH_NAMES:
        return cls.__new__(cls, *arguments, **names)
    if maker == _OF_BUILTIN:
        base, value = arguments
        if not issubclass(cls, base):
            raise TypeError(f"{cls.__qualname__} is no {base.__qualname__}")
        return copyreg._reconstructor(cls, base, value)  # type: ignore[attr-defined]
    function = loaded(f"{cls.__module__}:{maker}") if _makes_only(maker) else None
    if function is None:
        raise TypeError(f"nothing makes it by {maker}")
    return function(cls, *arguments)


def _set_state(made: Any, state: Any) -> None:
    """As `copy` and `pickle` do."""
    if hasattr(made, "__setstate__"):
        made.__setstate__(state)
        return
    slots = None
    if isinstance(state, tuple) and len(state) == 2:
        state, slots = state
    if state:
        vars(made).update(state)
    for name, value in (slots or {}).items():
        setattr(made, name, value)


FAMILY: Final = Family(kinds=(Kind("reduced", Form.CONTAINER, _make, attributes=True),), claim=_claim)
