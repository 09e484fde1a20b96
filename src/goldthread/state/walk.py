"""The way of a state into a manifest: one walk over its tree.

The walk emits a flat list of *atoms*, each the word of a node in the order in which the walk meets them, the small
*values*, and the *arrays*: everything that has a place in the payload (`manifest.py` says how they are written). While
the atoms (and shapes and types of the arrays) are equal to the last commit's, which is one comparison in C, the
encoded structure and the layout of the last commit are used again, and only values are encoded. Nothing of the program
is kept between commits. Rejected: keeping the program's arrays to compare identities (it would double the memory of a
program that makes its arrays anew at each step).

*Sharing.* What can be shared is counted from 0 in the order in which the walk meets it, and met again it is
("same", number). A container may contain itself: a restore makes it first and fills it later. What must be whole when
it is made (a frozenset, what a recipe makes) can stand in no cycle, and is refused there; a tuple can, since it only
refers to its items. Arrays and tensors that are views of one memory are found at the end of the walk (`memory.py`).

*Haste.* Ints and text are taken for plain; one that msgpack has no word for fails when all is encoded, and the state
is walked once more with care.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from operator import attrgetter
from typing import Any, Final

import numpy as np

from goldthread.errors import CannotStore, GoldthreadError
from goldthread.state.blocks import Blocks, have_one_of
from goldthread.state.classes import Classes
from goldthread.state.depth import LEVELS_MOST, many_levels
from goldthread.state.dtypes import PLAIN_DTYPES
from goldthread.state.hashes import is_hashed_early
from goldthread.state.kind import Registry
from goldthread.state.memory import View, find_views
from goldthread.state.places import in_brackets
from goldthread.state.plain import BLOCK_LEAST, PLAIN, Ids, ids_of, plain_tree, plain_values

__all__ = ["HASHED", "Refusal", "Walk", "as_attribute", "in_brackets", "walk"]

HASHED: Final = 2
"""Of a container: its members are hashed, and what they are hashed by must be whole when it is made."""

_FEWER: Final = frozenset({type(None), bool, float})
"""What is plain with care, too, without a look at it."""

_PLACE_MOST: Final = 400
"""Of a longer place the middle is left out."""

Atom = Any
"""The word of a node: a text, or a tuple of a kind and its details."""


class Refusal(Exception):
    """A part of the state cannot be stored; the path to it grows on the way out."""

    def __init__(self, text: str, hint: str) -> None:
        super().__init__(text)
        self.text = text
        self.hint = hint
        self.path: list[str] = []

    @property
    def place(self) -> str:
        place = "".join(reversed(self.path)) or "state"
        return place if len(place) <= _PLACE_MOST else f"{place[: _PLACE_MOST // 2]} ... {place[-_PLACE_MOST // 2 :]}"


def as_attribute(name: object) -> str:
    return "" if name is None else f".{name}"


def walk(
    roots: dict[str, object],
    registry: Registry,
    *,
    classes: Classes | None = None,
    pickle: bool = False,
    careful: bool = False,
    told: set[str] | None = None,
) -> Walk:
    """Walk over all roots. Raises `CannotStore` naming the place: `state["fn"]: lambda cannot be stored`.

    What is stored and cannot come back exactly in some respect is in `inexact`, but for what was `told` already.
    """
    done = Walk(registry, classes or Classes(), pickle=pickle, careful=careful, told=told)
    _go(done, roots)
    for text in list(done.inexact):
        place = _place_of(text, roots, done)
        done.inexact[text] = place
    return done


def _go(done: Walk, roots: dict[str, object]) -> None:
    try:
        with many_levels():
            done.roots(roots)
            done.finish()
    except Refusal as refusal:
        raise CannotStore(f"{refusal.place}: {refusal.text}", hint=refusal.hint) from refusal.__cause__
    except RecursionError:
        raise CannotStore("state: it is nested too deeply to be stored", hint="flatten it") from None


def _place_of(text: str, roots: dict[str, object], first: Walk) -> str:
    """Where something inexact was met: found by another walk, since places are made on the way out of a refusal."""
    again = Walk(first.registry, first.classes, pickle=first.pickle, careful=first.careful, told=None)
    again.wanted = text
    if text in first.inexact_arrays:
        again.arrays = _Finder(first.inexact_arrays[text])
    try:
        with many_levels():
            again.roots(roots)
    except Refusal as refusal:
        return refusal.place
    return "state"


class _Finder(list[np.ndarray[Any, Any]]):
    """The arrays of a walk that is over where it meets one that was found before."""

    def __init__(self, wanted: np.ndarray[Any, Any]) -> None:
        self._wanted = _where(wanted)

    def append(self, array: np.ndarray[Any, Any]) -> None:
        if _where(array) == self._wanted:
            raise Refusal("", "")
        super().append(array)


def _where(array: np.ndarray[Any, Any]) -> object:
    return array.__array_interface__["data"], array.shape, array.strides


class Walk:
    """What one walk found."""

    def __init__(
        self, registry: Registry, classes: Classes, *, pickle: bool, careful: bool, told: set[str] | None
    ) -> None:
        self.registry = registry
        self.classes = classes
        self.pickle = pickle
        self.careful = careful
        self.atoms: list[Atom] = []
        self.values: list[object] = []
        self.arrays: list[np.ndarray[Any, Any]] = []
        """Everything that has a place in the payload, in the order in which the atoms take them."""
        self.views: dict[int, View] = {}
        """Instead of a place of their own, where the atoms that take these arrays have a part of a memory."""
        self.owners: dict[int, int] = {}
        """Of arrays that a kind made to look at foreign memory: a number of that memory."""
        self.shapes: list[tuple[int, ...]] = []
        self.dtypes: list[np.dtype[Any]] = []
        self.strides: list[tuple[int, ...]] = []
        """Of the arrays of two or more dimensions: they tell in which order the elements lie."""
        self.steps: dict[int, tuple[int, ...]] = {}
        """Of those arrays that own no memory and have gaps between their elements: their strides."""
        self.plains: dict[int, np.ndarray[Any, Any]] = {}
        """By id of what owns memory with objects and is of a subclass of ndarray: the plain array of that."""
        self.read_only: list[int] = []
        """Indexes of the arrays that may not be written."""
        self.keys: list[object] = []
        """What tells equal keys apart: 1, True and 1.0."""
        self.inexact: dict[str, str] = {}
        """What cannot come back exactly in some respect, and where it was met."""
        self.inexact_arrays: dict[str, np.ndarray[Any, Any]] = {}
        """What of that was seen of arrays when all were known."""
        self.buffers = registry.buffers
        """The kinds whose atoms take a place, beside "array"."""
        self.seen: dict[int, int] = {}
        """By id the number of what can be shared; a block has one of its own, under a negative id."""
        self.stack: list[int] = []
        """Of each container that the walk is inside of: whether it must be whole when it is made, or `HASHED`."""
        self.inner: list[object] = []
        """Those containers."""
        self.owned: dict[int, object] = {}
        """By id of a `__dict__`: the object that is stored with it."""
        self.open: dict[int, int] = {}
        """By id: where on the stack a container is."""
        self.wanted: str | None = None
        self.has_generators = False
        """Whether the states of the global generators are stored beside the state."""
        self._told = told
        self._plain = _FEWER if careful else PLAIN
        self._blocks = Blocks()
        """What was noted at once."""
        self._owned_blocks = Blocks()
        """Of each block of objects their `__dict__`s."""
        self._owners: dict[int, list[Any]] = {}
        """Those objects, by the number of the block."""
        self._kept: list[object] = []
        """Objects made for the walk, alive so that no other object gets their id."""

    def roots(self, roots: dict[str, object]) -> None:
        self.has_generators = "generators" in roots
        self.seen[id(roots)] = 0
        self.inside(roots, ("dict", list(roots)), roots, list(roots.values()), str)

    def finish(self) -> None:
        find_views(self)
        self.shapes = list(map(attrgetter("shape"), self.arrays))
        self.dtypes = list(map(attrgetter("dtype"), self.arrays))
        self.strides = [array.strides for array, shape in zip(self.arrays, self.shapes, strict=True) if len(shape) > 1]

    def children(self, names: Iterable[Any], things: Iterable[object], form: Callable[[Any], str]) -> None:
        """Visit each child. `form` writes a name as a piece of a place."""
        atoms, values, arrays, seen = self.atoms, self.values, self.arrays, self.seen
        plain, stores = self._plain, self.registry.stores
        name: Any = None
        try:
            for name, thing in zip(names, things, strict=False):  # noqa: B007 - the name is for the refusal
                kind = type(thing)
                if kind in plain:
                    atoms.append("value")
                    values.append(thing)
                elif kind is np.ndarray and thing.base is None and id(thing.dtype) in PLAIN_DTYPES:  # type: ignore[attr-defined]
                    number = len(seen)
                    if seen.setdefault(id(thing), number) == number:
                        atoms.append("array")
                        arrays.append(thing)  # type: ignore[arg-type]
                    else:
                        atoms.append(("same", seen[id(thing)]))
                else:
                    store = stores.get(kind)
                    if store is None:
                        store = self.registry.claim(kind)
                    store(self, thing)
        except Refusal as refusal:
            refusal.path.append(form(name))
            raise
        except (GoldthreadError, RecursionError, MemoryError):
            raise
        except Exception as error:
            unread = Refusal(
                f"{type(thing).__name__} cannot be stored, since it cannot be read: {error!r}",
                "where another thread changes it, hold a lock over the change and over commit",
            )
            unread.path.append(form(name))
            raise unread from error

    def child(self, thing: object, form: Callable[[Any], str], name: object = None) -> None:
        """Visit one child."""
        self.children([name], [thing], form)

    def enter(self, thing: object) -> bool:
        """Whether `thing` is met for the first time; else a reference to it is noted."""
        number = len(self.seen)
        first = self.seen.setdefault(id(thing), number)
        if first == number:
            owner = self.owner_of(thing) if type(thing) is dict else None
            if owner is not None:
                del self.seen[id(thing)]
                self.atoms.append(("own_dict", 1))
                self.enter(owner)
                return False
            if not self._blocks or (place := self._blocks.place_of(thing)) is None:
                return True
            del self.seen[id(thing)]
            self.atoms.append(("same", *place))
            return False
        at = self.open.get(id(thing))
        if at is not None and any(self.stack[at:]) and self._is_needed_whole(thing, at):
            raise Refusal(
                "it contains itself by way of something that can only be made when its contents are whole",
                "break the cycle: keep the back reference out of the state and set it after restore",
            )
        self.atoms.append(("same", first))
        return False

    def _is_needed_whole(self, thing: object, at: int) -> bool:
        """Whether a container that is open cannot be referred to here: what must be whole, or what is hashed by its
        contents, stands between."""
        for index, flag in enumerate(self.stack[at:], at):
            if flag == HASHED:
                member = self.inner[index + 1] if index + 1 < len(self.inner) else thing
                if not any(type(one).__hash__ is None or is_hashed_early(one) for one in (member, thing)):
                    return True
            elif flag:
                return True
        return False

    def owner_of(self, attributes: object) -> object:
        """The object that was stored with this `__dict__`; None where none was."""
        place = self._owned_blocks.place_of(attributes)
        return self.owned.get(id(attributes)) if place is None else self._owners[place[0]][place[1]]

    def inside(
        self, thing: object, atom: tuple[Any, ...], names: Iterable[Any], things: Collection[object],
        form: Callable[[Any], str], *, whole: int = False,
    ) -> None:  # fmt: skip
        """Note a container and visit its children; the word ends with their count. Where they are noted at once it ends
        with "values" or "tree" (one value has them all, and what is in them), or with a word: one value has a dict of
        attributes for each of them.

        `whole` says that the container can only be made when its contents are.
        """
        value = plain_values(things, careful=self.careful)
        if value is not None:
            self.atoms.append((*atom, "values"))
            self.values.append(value)
        elif len(things) >= BLOCK_LEAST and self._block(atom, things):
            pass
        else:
            there = self.made(list(things))  # Another thread may change it meanwhile.
            self.atoms.append((*atom, len(there)))
            self.visit(thing, names, there, form, whole=whole)

    def visit(
        self, thing: object, names: Iterable[Any], things: Iterable[object], form: Callable[[Any], str],
        *, whole: int = False,
    ) -> None:  # fmt: skip
        """Visit the children of a container whose word is noted."""
        if len(self.stack) >= LEVELS_MOST:
            raise Refusal(f"it is nested too deeply: more than {LEVELS_MOST} levels", "flatten it")
        self.open[id(thing)] = len(self.stack)
        self.stack.append(whole)
        self.inner.append(thing)
        self.children(names, things, form)
        self.stack.pop()
        self.inner.pop()
        del self.open[id(thing)]

    def _block(self, atom: tuple[Any, ...], things: Collection[object]) -> bool:
        items = list(things)
        kinds = set(map(type, items))
        word: Any = "tree"
        contents: list[Any] = items
        if len(kinds) == 1 and (found := self.registry.block(self, kinds.pop(), items)) is not None:
            word, contents = found
        tree = plain_tree(contents, careful=self.careful)
        if tree is None:
            return False
        boxes, ids = tree
        if contents is not items:  # What is there of an object is the object, not the dict of its attributes.
            if self._has_seen(ids):
                return False
            attributes, boxes_before = ids, boxes
            owners = dict(zip(map(id, contents), items, strict=True))
            boxes = [owners.get(id(box), box) for box in boxes]
            found_ids = ids_of(boxes)
            if found_ids is None:
                return False
            ids = found_ids
        if self._has_seen(ids):
            return False
        number = len(self.seen)
        self.seen[-1 - number] = number
        self._blocks.add(number, ids, boxes)
        if contents is not items:
            self._owned_blocks.add(number, attributes, boxes_before)
            self._owners[number] = boxes
        self.atoms.append((*atom, word))
        self.values.append(contents)
        return True

    def _has_seen(self, ids: Ids) -> bool:
        """Whether one of these was met before."""
        met = (self.seen.keys(), self.owned.keys())
        blocks = (self._blocks, self._owned_blocks)
        return any(have_one_of(keys, ids) for keys in met) or any(block.have_one_of(ids) for block in blocks)

    def note(self, atom: Atom, value: object) -> None:
        """A leaf that is one value."""
        self.atoms.append(atom)
        self.values.append(value)

    def buffer(self, kind: str, source: np.ndarray[Any, Any], *details: object) -> None:
        """A leaf that is bytes with a place."""
        self.atoms.append((kind, *details))
        self.arrays.append(source)

    def made(self, thing: Any) -> Any:
        """Keep an object that was made for this walk until the walk is over."""
        self._kept.append(thing)
        return thing

    def tell(self, text: str) -> None:
        """Say once that what stands here cannot come back exactly in some respect."""
        if text == self.wanted:
            raise Refusal(text, "")
        if self._told is None or text not in self._told:
            self.inexact.setdefault(text, "")

    def tell_of(self, text: str, array: np.ndarray[Any, Any]) -> None:
        """The same of an array, when all arrays are known."""
        if self._told is None or text not in self._told:
            self.inexact.setdefault(text, "")
            self.inexact_arrays.setdefault(text, array)
