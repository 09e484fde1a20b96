"""A manifest as a tree of nodes, each with all that belongs to it, so that they can be read in any order.

A child that is a plain value stands there itself; all else is a `Node`. What was noted at once stays a `Block` until
somebody asks for the nodes in it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from goldthread.errors import CommitDamaged
from goldthread.state.depth import LEVELS_MOST, many_levels
from goldthread.state.kind import Form, Kind
from goldthread.state.manifest import read_manifest
from goldthread.state.nested import unnest
from goldthread.state.places import in_brackets
from goldthread.state.plain import boxes_in

__all__ = ["SAME", "Block", "Node", "Parsed", "Place", "parse", "piece_of_place"]


class Node:
    """One node of the structure."""

    __slots__ = (
        "children", "details", "is_plain", "is_read_only", "keys", "kind", "number", "steps", "strides", "value",
    )  # fmt: skip

    def __init__(self, kind: Kind) -> None:
        self.kind = kind
        self.details: list[Any] = []
        """What its word says; of a kind with bytes, its place last."""
        self.children: Any = ()
        """Nodes and plain values, or a `Block`."""
        self.keys: Any = ()
        """Of a dict, its keys; of what has attributes, their names; else the indexes of the children. Where a dict has
        keys that are no plain values it has None, and its keys are the first half of the children."""
        self.is_plain = False
        """Whether all children are plain values."""
        self.value: Any = None
        self.number: Any = -1
        """Among the nodes that can be shared; what "same" points at."""
        self.strides: list[int] | None = None
        """In bytes, of what shares its memory with others."""
        self.steps: list[int] | None = None
        """In bytes, of an array that had gaps between its elements; they are stored without."""
        self.is_read_only = False

    def expand(self) -> Any:
        """The children, each a node or a plain value."""
        if type(self.children) is Block:
            self.children = self.children.nodes
        return self.children


class Block:
    """What was noted at once: a tree of lists and dicts of plain values, or many objects with such attributes."""

    __slots__ = ("_boxes", "_indexes", "_nodes", "details", "items", "kind", "kinds", "number")

    def __init__(self, kinds: Mapping[str, Kind], word: list[Any] | None, items: list[Any], number: int) -> None:
        self.kinds = kinds
        self.kind = None if word is None else kinds[word[0]]
        """Of the objects; None where the items are what they are."""
        self.details = word[1:] if word is not None else []
        self.items = items
        self.number = number
        self._nodes: list[Any] | None = None
        self._boxes: list[Any] | None = None
        self._indexes: dict[int, int] | None = None

    @property
    def nodes(self) -> list[Any]:
        if self._nodes is None:
            self._nodes = [self._node(item, self.kind) for item in self.items]
        return self._nodes

    def box(self, index: int) -> Any:
        """The list or dict of this number."""
        if self._boxes is None:
            self._boxes = boxes_in(self.items)
        return self._boxes[index]

    def _node(self, item: Any, kind: Kind | None = None) -> Any:
        if type(item) not in (dict, list):
            return item
        node = Node(kind or self.kinds[type(item).__name__])
        if kind is not None:
            node.details = self.details
        is_dict = type(item) is dict
        node.keys = list(item) if is_dict else range(len(item))
        node.children = [self._node(one) for one in (item.values() if is_dict else item)]
        node.number = self.number, self._index_of(item)
        return node

    def _index_of(self, item: Any) -> int:
        if self._indexes is None:
            self.box(0)
            self._indexes = {id(box): index for index, box in enumerate(self._boxes or ())}
        return self._indexes[id(item)]


class Place:
    """Where something stands in a state: written only where it is asked for, which is in errors."""

    __slots__ = ("_key", "_node", "_parent")

    def __init__(self, parent: object, node: Node, key: object) -> None:
        self._parent = parent
        self._node = node
        self._key = key

    def __str__(self) -> str:
        return f"{self._parent}{piece_of_place(self._node, self._key)}"


def piece_of_place(node: Node, key: object) -> str:
    """How the place of a child is written: `["key"]`, `[3]`, `.field`."""
    if node.kind.attributes:
        return f".{key}" if isinstance(key, str) else ""
    return in_brackets(key)


class Parsed:
    """What a manifest says."""

    def __init__(self) -> None:
        self.root: Any = None
        self.shared: list[Node | Block] = []
        """What can be shared, by number."""
        self.targets: set[Any] = set()
        """The numbers that some "same" points at."""
        self.memories: list[tuple[int, int]] = []
        """The places of all that shares memory: begin and end of each."""


SAME: Final = Kind("same", Form.VALUE, make=lambda rebuilder, node, place: None, is_shared=False)
"""A reference; whoever meets one asks for `number`."""


def parse(manifest: bytes | memoryview, kinds: Mapping[str, Kind]) -> Parsed:
    """The tree of nodes that a manifest describes. Raises `CommitDamaged` where it describes none, or names a kind
    that is not known here."""
    words, places, values = read_manifest(manifest)
    try:
        with many_levels():
            if places is None:
                words, places, values = unnest(words, values)
            parser = _Parser(words, places, values, kinds)
            parser.parsed.root = parser.node(0)
    except (TypeError, ValueError, IndexError, KeyError, StopIteration, RuntimeError, AttributeError) as error:
        raise CommitDamaged(f"the manifest of a commit makes no sense: {error!r}") from error
    return parser.parsed


class _Parser:
    def __init__(self, words: Any, places: Any, values: Any, kinds: Mapping[str, Kind]) -> None:
        self._words: Iterator[Any] = iter(words)
        self._places: Iterator[Any] = iter(places)
        self._values: Iterator[Any] = iter(values)
        self._kinds = kinds
        self.parsed = Parsed()

    def node(self, level: int) -> Any:
        word = next(self._words)
        if word == "value":
            return next(self._values)
        name, *details = (word,) if isinstance(word, str) else word
        if name == "same":
            return self._same(details)
        kind = self._kind(name)
        node = Node(kind)
        node.details = details
        if kind.is_shared:
            node.number = len(self.parsed.shared)
            self.parsed.shared.append(node)
        if kind.form is Form.VALUE:
            node.value = next(self._values)
        elif kind.form is Form.BUFFER:
            self._take_place(node)
        else:
            self._take_children(node, level)
        return node

    def _kind(self, name: Any) -> Kind:
        kind = self._kinds.get(name)
        if kind is None:
            raise CommitDamaged(
                f"this version knows nothing of a kind {name!r}", hint="a newer goldthread wrote this commit: use that"
            )
        return kind

    def _same(self, details: list[Any]) -> Node:
        node = Node(SAME)
        number, *index = details
        if not isinstance(number, int) or not 0 <= number < len(self.parsed.shared):
            raise ValueError(f"there is no {number}")
        node.number = (number, *index) if index else number
        self.parsed.targets.add(node.number)
        if index:
            self.parsed.targets.add(number)
        return node

    def _take_place(self, node: Node) -> None:
        place = next(self._places)
        size = 4 if isinstance(place[0], (str, dict, list)) else 2
        node.details = [*node.details, *place[:size]]
        more = place[size:]
        if more and more[-1] == "read-only":
            node.is_read_only = True
            more.pop()
        if len(more) == 1:
            [node.steps] = more
        elif more:
            node.strides, (below, above) = more
            at = node.details[-1] if size == 4 else node.details[-2]
            self.parsed.memories.append((at - below, at + above))

    def _take_children(self, node: Node, level: int) -> None:
        if level >= LEVELS_MOST + 1:
            raise ValueError("it is nested too deeply")
        marker = node.details.pop()
        keys = node.details.pop() if node.kind.form is Form.KEYED else ()
        if marker == "values":
            node.children, node.is_plain = next(self._values), True
            if not isinstance(node.children, list):
                raise TypeError("values are a list")
        elif isinstance(marker, list):
            node.children = self._block(marker)
        elif marker == "tree":
            node.children = self._block(None)
        elif isinstance(marker, int) and marker >= 0:
            node.children = [self.node(level + 1) for _ in range(marker)]
        else:
            raise ValueError(f"{marker!r} is no number of children")
        if keys is None:
            node.keys = None
        elif node.kind.form is Form.KEYED:
            node.keys = [_key_of(key) for key in keys]
            if len(keys) != _length(node.children):
                raise ValueError("keys and children differ in number")
        else:
            node.keys = range(_length(node.children))

    def _block(self, word: list[Any] | None) -> Block:
        items = next(self._values)
        if not isinstance(items, list):
            raise TypeError("a block is a list")
        if word is not None:
            each = dict if self._kind(word[0]).form is Form.KEYED else list
            if set(map(type, items)) - {each}:
                raise TypeError(f"a block of such things is a list of {each.__name__}s")
        block = Block(self._kinds, word, items, len(self.parsed.shared))
        self.parsed.shared.append(block)
        return block


def _length(children: Any) -> int:
    return len(children.items) if type(children) is Block else len(children)


def _key_of(word: Any) -> Any:
    """A key of a dict: a tuple was written as a list."""
    return tuple(map(_key_of, word)) if isinstance(word, list) else word
