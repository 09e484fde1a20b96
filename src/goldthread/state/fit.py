"""The first pass of a restore: a commit and the program's state side by side, and what is to be done where.

`fit` answers what shall stand at a place, given what the commit and the program have there; it changes nothing, and
notes what the second pass is to do. How it is done for each kind stands with the kind.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from goldthread.errors import DoesNotFit
from goldthread.state.kind import Registry
from goldthread.state.memory import bounds, owner_of
from goldthread.state.nodes import SAME, Node, Place, piece_of_place
from goldthread.state.rebuild import Rebuilder

__all__ = ["HINT", "Apart", "Fitter"]

HINT: Final = (
    "`goldthread rollback NAME --step S` goes back to an older commit, `--fresh` starts over; or give restore what fits"
)
_NOTHING: Final = ()
"""An empty tuple has no opinion about what stands in its place."""


class Apart(Exception):
    """Arrays of the program and of the commit share their memory otherwise: these of the commit are made anew."""

    def __init__(self, places: set[int]) -> None:
        super().__init__(places)
        self.places = places
        """Where their bytes, or the memory that they share, begin in the payload."""


class Fitter:
    """The first pass, and what it notes for the second."""

    def __init__(self, rebuilder: Rebuilder, registry: Registry, apart: set[int]) -> None:
        self.rebuilder = rebuilder
        self.registry = registry
        self.noted: list[Callable[[], object]] = []
        self.unknown: list[str] = []
        self.added: list[str] = []
        self.dropped: list[str] = []
        self.kept = 0
        """How many arrays, or objects with `load_state_dict`, of the program take something of the commit."""
        self.lacking = 0
        """How many of them the commit does not know."""
        self._apart = apart
        self._used: dict[int, Any] = {}
        """The program's objects that take something already, by id: none takes two."""
        self._in_place: list[tuple[int, tuple[int, int], int]] = []
        """Of what is filled of the program: where in the payload it begins, where it lies, and whose memory that is."""
        self._views = 0
        """How many of them do not own their memory."""
        self._origins: dict[int, tuple[int, int, bool]] = {}
        """By memory of the commit: where the program has it, and whose it is."""

    def fit(self, node: Any, current: Any, place: object) -> Any:
        """What stands at `place` after the restore."""
        if type(node) is not Node:
            return node
        kind = node.kind
        if kind.fits_all and kind.fit is not None:
            poured = kind.fit(self, node, current, place)
            self.rebuilder.replace(node, poured)
            return poured
        suited = None if kind.fit is None or kind is SAME else self.registry.kind_of(current)
        if suited is None or current is _NOTHING or id(current) in self._used:
            return self.rebuilder.make(node, place)
        if suited is not kind and not (suited.group and suited.group == kind.group):
            its, mine = _article(_words(node)), _article(type(current).__name__)
            raise DoesNotFit(f"{place}: the commit has {its}, the program {mine}", hint=HINT)
        poured = kind.fit(self, node, current, place)  # type: ignore[misc]
        if poured is current:
            self._used[id(current)] = current
        self.rebuilder.replace(node, poured)
        return poured

    def begin(self, node: Node, current: Any) -> None:
        """An object of the program stays, and what is in it may refer to it."""
        self._used[id(current)] = current
        self.rebuilder.replace(node, current)

    def make(self, node: Any, place: object) -> Any:
        return self.rebuilder.make(node, place)

    def fields(self, node: Node, keys: list[Any], current: dict[Any, Any], place: object, *, takes_all: bool) -> Any:
        """The contents of a container with keys: those of the commit in its order, then what it does not know.

        With `takes_all` it takes keys of the commit that it has not; otherwise they are left out.
        """
        contents = {}
        children = node.expand()[-len(keys) :] if keys else ()
        for key, child in zip(keys, children, strict=True):
            there = Place(place, node, key)
            if key in current:
                contents[key] = self.fit(child, current[key], there)
            elif takes_all:
                self.added.append(str(there))
                contents[key] = self.rebuilder.make(child, there)
            else:
                self.dropped.append(str(there))
        for key, value in current.items():
            if key not in contents:
                self.unknown.append(f"{place}{piece_of_place(node, key)}")
                self.lacking += self.counts(value)
                contents[key] = value
        return contents

    def attributes(self, node: Node, room: Callable[[str], bool], current: dict[Any, Any], place: object) -> Any:
        """The attributes of an object: those of the commit, but for those that it has no `room` for, then its own."""
        contents = {}
        for name, child in zip(node.keys, node.expand(), strict=True):
            if name is None:
                continue
            there = Place(place, node, name)
            if name in current:
                contents[name] = self.fit(child, current[name], there)
            elif room(name):
                contents[name] = self.rebuilder.make(child, there)
            else:
                self.dropped.append(str(there))
        for name, value in current.items():
            if name not in contents:
                self.unknown.append(f"{place}{piece_of_place(node, name)}")
                self.lacking += self.counts(value)
                contents[name] = value
        return contents

    def items(self, node: Node, current: Any, place: object) -> list[Any]:
        """The contents of a sequence, each poured into what stands there where there are as many."""
        if len(current) != len(node.keys):
            return self.rebuilder.children(node, place)
        return [
            self.fit(child, item, Place(place, node, index))
            for index, (child, item) in enumerate(zip(node.expand(), current, strict=True))
        ]

    def counts(self, thing: Any) -> int:
        """1 for what a restore is about: an array, a tensor, what loads a state."""
        kind = self.registry.kind_of(thing)
        return int(kind is not None and kind.carries)

    def take(self, array: Any, node: Node, at: int) -> bool:
        """Whether an array of the program may be filled; `at` is where its bytes lie in the payload.

        Not where the commit's shares its memory otherwise than the program's.
        """
        start = array.__array_interface__["data"][0]
        return self.take_span(
            node, at, start, bounds(array), list(array.strides), id(owner_of(array)), is_view=array.base is not None
        )

    def take_span(
        self, node: Node, at: int, start: int, span: tuple[int, int], strides: list[int], owner: int,
        *, is_view: bool = True,
    ) -> bool:  # fmt: skip
        """The same for what is no array: its first element, its ends, its strides in bytes, and whose memory it is."""
        memory = self.rebuilder.memory_of(node, at)
        key = at if memory is None else memory
        if key in self._apart:
            return False
        self.kept += 1
        self._views += is_view
        self._in_place.append((key, span, owner))
        if memory is not None:
            self._shares_alike(memory, (start - (at - memory), owner, strides == node.strides))
        return True

    def _shares_alike(self, memory: int, found: tuple[int, int, bool]) -> None:
        """Raise `Apart` where this array and those before it do not lie to each other as those of the commit do."""
        first = self._origins.setdefault(memory, found)
        if first != found or not found[2]:
            raise Apart({memory})

    def refuse_overlaps(self) -> None:
        """Raise `Apart` where arrays of the program overlap that are to take what lies apart in the commit, and where
        what shares a memory in the commit would be partly the program's."""
        owners: dict[int, list[tuple[int, int, int]]] = {}
        if mixed := self.rebuilder.memories_made & self._origins.keys():
            raise Apart(mixed)
        if not self._views:
            return
        for memory, span, owner in self._in_place:
            owners.setdefault(owner, []).append((*span, memory))
        wrong: set[int] = set()
        for ranges in owners.values():
            end, last = 0, 0
            for low, high, memory in sorted(ranges):
                if low < end and memory != last:
                    wrong |= {memory, last}
                if high > end:
                    end, last = high, memory
        if wrong:
            raise Apart(wrong)


def _words(node: Node) -> str:
    path = node.details[0] if node.details else None
    if not isinstance(path, str) or not (":" in path or "." in path):
        return node.kind.name
    return path.partition(":")[2] or path


def _article(noun: str) -> str:
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"
