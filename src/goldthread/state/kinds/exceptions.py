"""Exceptions: their arguments, what those written in C keep beside a `__dict__`, and what they were raised from.

Where they were raised stays with the life in which they were: a traceback holds frames, and those cannot be stored.
"""

from __future__ import annotations

import types
from typing import Any, Final

__all__ = ["fill_exception", "new_exception", "new_group", "take_exception", "tell_of_exception"]

_HEAP_TYPE: Final = 1 << 9
_OF_ALL: Final[dict[str, Any]] = {
    name: vars(BaseException)[name] for name in ("args", "__cause__", "__context__", "__suppress_context__")
}
"""In the order in which they are set: a cause suppresses the context."""
_DEFAULTS: Final = {"__cause__": None, "__context__": None, "__suppress_context__": False}
_OF_GROUPS: Final = frozenset({"message", "exceptions"})


def _members_of(cls: type) -> dict[str, Any]:
    """What the builtin exceptions among the bases of a class keep for themselves."""
    found: dict[str, Any] = {}
    for one in reversed(cls.__mro__):
        if issubclass(one, BaseException) and one is not BaseException and not one.__flags__ & _HEAP_TYPE:
            found |= {name: value for name, value in vars(one).items() if _is_kept(name, value)}
    return found


def _is_kept(name: str, value: object) -> bool:
    return (
        isinstance(value, types.MemberDescriptorType) or (name == "characters_written" and hasattr(value, "__set__"))
    ) and name not in _OF_GROUPS


def _value_of(descriptor: Any, thing: Any) -> Any:
    try:
        return descriptor.__get__(thing)
    except AttributeError:
        return None


def take_exception(thing: Any) -> dict[str, Any]:
    found = {name: descriptor.__get__(thing) for name, descriptor in _OF_ALL.items()}
    found = {name: value for name, value in found.items() if name not in _DEFAULTS or value is not _DEFAULTS[name]}
    is_given = isinstance(thing, OSError) and len(found["args"]) > 1
    for name, descriptor in _members_of(type(thing)).items():
        value = _value_of(descriptor, thing)
        if value is not None or (is_given and name in ("errno", "strerror")):
            found[name] = value
    if isinstance(thing, BaseExceptionGroup):
        found["message"], found["exceptions"] = thing.message, thing.exceptions
    return found


def tell_of_exception(thing: Any) -> str | None:
    if vars(BaseException)["__traceback__"].__get__(thing) is None:
        return None
    return "the traceback of an exception, where it was raised, is not kept"


def new_exception(cls: Any, _: Any) -> Any:
    """By the nearest builtin exception, with nothing in it."""
    solid: Any = next(one for one in cls.__mro__ if not one.__flags__ & _HEAP_TYPE)
    return solid.__new__(cls)


def new_group(cls: Any, items: dict[str, Any]) -> Any:
    return BaseExceptionGroup.__new__(cls, items["message"], items["exceptions"])


def fill_exception(made: Any, items: dict[str, Any]) -> None:
    members = _members_of(type(made))
    for name, value in items.items():
        if name in members:
            members[name].__set__(made, value)
    for name, descriptor in _OF_ALL.items():
        if name in items:
            descriptor.__set__(made, items[name])
        elif name == "__suppress_context__":
            descriptor.__set__(made, False)
