"""A manifest as a tree of nodes, each with all that belongs to it, so that they can be read in any order."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from goldthread.errors import CommitDamaged
from goldthread.state.manifest import decode_key, read_manifest
from goldthread.state.walk import SHARED

__all__ = ["DICTS", "NAMED", "Node", "form_place", "parse"]

DICTS: Final = frozenset({"dict", "OrderedDict", "Counter", "defaultdict"})
NAMED: Final = frozenset({"dataclass", "namedtuple"})


class Node:
    """One node of the structure with all that belongs to it, so that it can be read in any order."""

    __slots__ = ("children", "details", "keys", "kind", "number", "value")

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.details: list[Any] = []
        self.children: list[Node] = []
        self.keys: list[Any] = []
        """Of a dict; the fields of a dataclass or named tuple; else the indexes of the children."""
        self.value: Any = None
        self.number = -1
        """Among the nodes that can be shared; what "same" points at."""


def parse(manifest: bytes | memoryview) -> tuple[Node, list[Node]]:
    """The tree of nodes that a manifest describes, and the nodes that can be shared, by number.

    Raises `CommitDamaged` where it describes none.
    """
    structure, values = read_manifest(manifest)
    try:
        parser = _Parser(values)
        return parser.node(structure), parser.shared
    except (TypeError, ValueError, IndexError, KeyError, StopIteration, RecursionError) as error:
        raise CommitDamaged(f"the manifest of a commit makes no sense: {error!r}") from error


class _Parser:
    def __init__(self, values: list[Any]) -> None:
        self._values: Iterator[Any] = iter(values)
        self.shared: list[Node] = []

    def node(self, word: Any) -> Node:
        if isinstance(word, str):
            return self._leaf(word)
        kind, *details = word
        node = self._begin(kind)
        if kind == "same":
            node.number = details[0]
        elif kind in ("scalar", "enum"):
            node.details, node.value = details, next(self._values)
        elif kind in _CONTAINERS:
            *node.details, children = details
            node.children = (
                [self._leaf("value") for _ in range(children)]
                if isinstance(children, int)
                else [self.node(child) for child in children]
            )
            if kind in DICTS:
                node.keys = [decode_key(key) for key in node.details.pop()]
            elif kind in NAMED:
                node.keys = node.details.pop()
            else:
                node.keys = list(range(len(node.children)))
        else:
            node.details = details
        return node

    def _begin(self, kind: str) -> Node:
        node = Node(kind)
        if kind in SHARED:
            node.number = len(self.shared)
            self.shared.append(node)
        return node

    def _leaf(self, kind: str) -> Node:
        node = self._begin(kind)
        node.value = next(self._values)
        return node


_CONTAINERS: Final = frozenset(
    {"list", "tuple", "set", "frozenset", "deque", "generator", "bitgenerator", "randomstate", "stateful"}
    | DICTS
    | NAMED
)


def form_place(kind: str, key: object) -> str:
    """How the place of a child is written: `["key"]`, `[3]`, `.field`."""
    if kind in NAMED:
        return f".{key}"
    if kind == "stateful":
        return ".state_dict()"
    return f'["{key}"]' if isinstance(key, str) else f"[{key!r}]"
