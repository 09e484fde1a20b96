"""Classes and functions by their names: how a walk makes sure that a name leads back, and a restore follows it."""

from __future__ import annotations

from typing import Any

from goldthread.errors import DoesNotFit
from goldthread.state.classes import class_path, loaded
from goldthread.state.walk import Refusal, Walk

__all__ = ["derives", "find", "is_named", "refuse_unless_found"]


def is_named(path: str, kinds: Any) -> bool:
    """Whether what is loaded under a path is of these kinds, and has this very name.

    A path may lead out of a library by way of what a module imported, to a name that means something else.
    """
    found = loaded(path)
    return isinstance(found, kinds) and class_path(found) == path


def derives(cls: type, path: str) -> bool:
    """Whether a class is, or derives from, the one of this path; no library is needed to ask."""
    return any(class_path(base) == path for base in cls.__mro__)


def refuse_unless_found(walk: Walk, cls: Any) -> None:
    """Refuse a class whose name does not lead to it in the next life."""
    path = class_path(cls)
    if "<locals>" in path:
        raise Refusal(
            f"{cls.__qualname__} is made in a function, and cannot be found by its name in the next life",
            "define it at the top of a module",
        )
    what = "class" if isinstance(cls, type) else "function"
    if loaded(path) is not cls:
        raise Refusal(
            f"the name {path.replace(':', '.')} leads to {'another' if loaded(path) is not None else 'no'} {what}",
            "one class, one name: define it once, under the name that it has",
        )
    if not walk.registry.knows(walk.classes, cls):
        raise Refusal(
            f"{path.replace(':', '.')} is a {what} of a library that a restore would not use without your word",
            f"goldthread.register({cls.__qualname__}), or have one in what is given to restore"
            if what == "class"
            else "have it in what is given to restore, or store a name that your program looks up",
        )


def find(rebuilder: Any, path: str, place: object, base: type = object) -> Any:
    """The class of this path, which must be a subclass of `base`. Raises `DoesNotFit` where the program knows none."""
    found = rebuilder.registry.find(rebuilder.classes, path)
    if isinstance(found, type) and issubclass(found, base):
        return found
    name = path.replace(":", ".")
    if loaded(path) is None:
        raise DoesNotFit(
            f"{place}: it was stored as a {name}, which is not loaded",
            hint=f"import {path.partition(':')[0]} first; if it has another name now, give restore one of them",
        )
    if found is None:
        raise DoesNotFit(
            f"{place}: it was stored as a {name}, a class that is used only where the program says so",
            hint=f"goldthread.register({name.rpartition('.')[2]}), or have one in what is given to restore",
        )
    raise DoesNotFit(f"{place}: it was stored as a {name}, which is no {base.__name__} now")
