"""Manifests as version 0.1 wrote them: the structure as a tree of lists. They are read for good.

    [structure, values]

A node had its children in its own word: ["list", [node, node]], or their number where all were values. The keys of
dicts could be {"int": digits} and {"text": bytes}; the places of arrays stood in their words. Tuples were not counted,
"bytes" neither; a set's items stood in the order of their names.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

__all__ = ["unnest"]

_DICTS: Final = frozenset({"dict", "OrderedDict", "Counter", "defaultdict"})
_NAMED: Final = frozenset({"dataclass", "namedtuple"})
_CONTAINERS: Final = frozenset(
    {"list", "tuple", "set", "frozenset", "deque", "generator", "bitgenerator", "randomstate", "stateful"}
    | _DICTS
    | _NAMED
)
_COUNTED: Final = frozenset(
    {"list", "dict", "set", "deque", "OrderedDict", "Counter", "defaultdict", "dataclass", "array", "bytearray"}
    | {"buffer", "tensor", "jax", "pyarray", "generator", "bitgenerator", "randomstate", "random", "stateful", "pickle"}
)
_COUNTED_NOW: Final = _COUNTED | {"tuple", "namedtuple", "frozenset", "bytes"}


def unnest(structure: Any, values: list[Any]) -> tuple[list[Any], list[Any], list[Any]]:
    """Words, places and values as they are written now."""
    done = _Unnesting(values)
    done.node(structure)
    return done.words, done.places, done.values


class _Unnesting:
    def __init__(self, values: list[Any]) -> None:
        self._given: Iterator[Any] = iter(values)
        self.words: list[Any] = []
        self.places: list[Any] = []
        self.values: list[Any] = []
        self._numbers: list[int] = []
        """By the number that a node had, the one that it has."""
        self._count = 0

    def node(self, word: Any) -> None:
        name, *details = (word,) if isinstance(word, str) else word
        if name == "same":
            self.words.append(["same", self._numbers[details[0]]])
            return
        if name in _COUNTED:
            self._numbers.append(self._count)
        if name in _COUNTED_NOW:
            self._count += 1
        if name in _CONTAINERS:
            self._container(name, details)
        elif name == "array":
            self.words.append("array")
            self.places.append(details)
        elif name in _COUNTED_NOW and name != "random":
            self.words.append([name, *details[:-2]])
            self.places.append(details[-2:])
        else:
            self.words.append([name, *details] if details else name)
            self.values.append(next(self._given))

    def _container(self, name: str, details: list[Any]) -> None:
        *details, children = details
        name, details = self._renamed(name, details)
        nodes = ["value"] * children if isinstance(children, int) else children
        if details and details[-1] is None and name in _DICTS:
            keys = self._keys
            self.words.append([name, *details, 2 * len(nodes)])
            for key in keys:
                self._key(key)
        else:
            self.words.append([name, *details, len(nodes)])
        for child in nodes:
            self.node(child)

    def _renamed(self, name: str, details: list[Any]) -> tuple[str, list[Any]]:
        if name == "dataclass":
            path, fields = details
            return "object", [path, fields, fields]
        if name in ("set", "frozenset"):
            return name, [None]
        if name in _DICTS and any(_is_odd(key) for key in details[-1]):
            self._keys = details[-1]
            return name, [*details[:-1], None]
        return name, details

    def _key(self, key: Any) -> None:
        """A key that was written otherwise: now it is a node."""
        if isinstance(key, list):
            self._count += 1
            self.words.append(["tuple", len(key)])
            for part in key:
                self._key(part)
        elif isinstance(key, dict):
            kind = "int" if "int" in key else "text"
            self.words.append(kind)
            self.values.append(key[kind])
        else:
            self.words.append("value")
            self.values.append(key)


def _is_odd(key: Any) -> bool:
    return isinstance(key, dict) or (isinstance(key, list) and any(map(_is_odd, key)))
