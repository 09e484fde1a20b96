"""Which classes a manifest may name.

What lies in a commit may come from another host, and must not decide which code of this program runs. So a class, or a
function, that a manifest names is used only where the program knows it: it occurs in the state that the program gave
to `restore`, it was registered, it belongs to a family of kinds, or it is the program's own (of a module that is no
installed library). Nothing is ever imported. A commit asks the same question as a restore, so that what one takes the
other gives back.
"""

from __future__ import annotations

import functools
import sys
import sysconfig
import types
from collections import deque
from contextlib import suppress
from typing import Any, Final

__all__ = ["Classes", "class_path", "is_own_module", "loaded"]

_NO_ONE = object()


_MISNAMED: Final = {
    id(type(thing)): f"types:{name}"
    for name, thing in (("NoneType", None), ("EllipsisType", ...), ("NotImplementedType", NotImplemented))
}
"""Types that are not where they say."""


def class_path(thing: Any) -> str:
    """The name of a class or function, by which it is found again: "module:qualified.name"."""
    return _MISNAMED.get(id(thing)) or f"{thing.__module__}:{thing.__qualname__}"


def loaded(path: str) -> Any:
    """What is loaded under this name; None where there is nothing. Nothing is imported, and no attribute computed."""
    module, _, name = path.partition(":")
    found: Any = sys.modules.get(module, _NO_ONE)
    for part in name.split("."):
        inside = vars(found) if isinstance(found, (type, types.ModuleType)) else {}
        found = inside.get(part, _NO_ONE)
        if isinstance(found, (staticmethod, classmethod)):
            found = found.__func__
    return None if found is _NO_ONE else found


@functools.cache
def _library_folders() -> tuple[str, ...]:
    names = ("stdlib", "platstdlib", "purelib", "platlib")
    found = {sysconfig.get_path(name) for name in names}
    return tuple(f"{folder.rstrip('/')}/" for folder in found if folder)


_LIBRARY_PARTS: Final = ("/site-packages/", "/dist-packages/")


def is_own_module(name: str) -> bool:
    """Whether a module is the program's own: its main script, or a loaded file outside the installed libraries."""
    if name in ("__main__", "__mp_main__"):
        return True
    file = getattr(sys.modules.get(name), "__file__", None)
    if not isinstance(file, str) or name.partition(".")[0] == "goldthread":
        return False
    return not file.startswith(_library_folders()) and not any(part in file for part in _LIBRARY_PARTS)


_LEAVES: Final = frozenset({type(None), bool, int, float, complex, str, bytes, bytearray})


def _contents(thing: Any) -> list[Any]:
    """What stands in a thing: its items, its attributes. No code of its class is run."""
    found: list[Any] = []
    if isinstance(thing, dict):
        found += [*dict.keys(thing), *dict.values(thing)]
    kind: Any
    for kind in (list, tuple, set, frozenset, deque):
        if isinstance(thing, kind):
            found += kind.__iter__(thing)
    attributes = next((vars(cls)["__dict__"] for cls in type(thing).__mro__ if "__dict__" in vars(cls)), None)
    if isinstance(attributes, types.GetSetDescriptorType):
        found += attributes.__get__(thing).values()
    for cls in type(thing).__mro__:
        for slot in vars(cls).values():
            if isinstance(slot, types.MemberDescriptorType) and cls.__module__ != "builtins":
                with suppress(AttributeError):
                    found.append(slot.__get__(thing))
    return found


class Classes:
    """The classes that one life knows, beside its own and those of the families."""

    def __init__(self) -> None:
        self._given: dict[str, Any] = {}
        """By path: what occurs in the state that was given to `restore`."""

    def give(self, state: object) -> None:
        """Know every class and function that occurs in a state of the program."""
        seen: set[int] = set()
        waiting = [state]
        while waiting:
            thing = waiting.pop()
            if type(thing) in _LEAVES or id(thing) in seen:
                continue
            seen.add(id(thing))
            named = thing if isinstance(thing, (type, types.FunctionType, types.BuiltinFunctionType)) else type(thing)
            self._given.setdefault(class_path(named), named)
            if named is not thing:
                waiting += _contents(thing)

    def was_given(self, thing: Any) -> bool:
        """Whether it occurs in the state that was given to `restore`."""
        return self._given.get(class_path(thing)) is thing

    def knows(self, thing: Any) -> bool:
        """Whether a restore would use it. Whether its name leads to it is another question."""
        return self.was_given(thing) or is_own_module(str(thing.__module__))

    def find(self, path: str) -> Any:
        """What is known under this name; None where nothing is.

        A path may lead out of the program, by way of what a module of its imported: there nothing is known.
        """
        given = self._given.get(path)
        if given is not None:
            return given
        found = loaded(path) if is_own_module(path.partition(":")[0]) else None
        return found if found is not None and is_own_module(str(getattr(found, "__module__", None))) else None
