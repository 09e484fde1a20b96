"""What is known of one kind of thing, and the families of kinds in which it is told.

A *kind* is a word of the manifest: "list", "array", "tensor". All that is known of it stands in one file of `kinds/`,
together with its family: how it is stored, made anew, poured into what the program has, and what numbers are in it. The
walk, the rebuild and the fit are handed the registry of all kinds, and know none by name. So are the comparison and the
export; they know the words of Python and NumPy, and ask the others for their numbers.

A new kind is a function that stores it, one that makes it, and a line that tells its family of the two.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any, Final

from goldthread.state.classes import class_path, loaded

__all__ = ["Family", "Form", "Kind", "Registry", "Store"]

Store = Callable[[Any, Any], None]
"""`store(walk, thing)` notes a thing in a walk, or raises `Refusal`."""


class Form(Enum):
    """What belongs to a node of a kind, beside the details in its own word."""

    VALUE = auto()
    """The next value."""
    BUFFER = auto()
    """The next place: where its bytes lie in the payload."""
    CONTAINER = auto()
    """Children, which follow."""
    KEYED = auto()
    """Children that have keys, or attributes that have names."""


@dataclass(frozen=True, slots=True)
class Kind:
    """One word of the manifest, and what is done with it."""

    name: str
    form: Form
    make: Callable[[Any, Any, Any], Any]
    """`make(rebuilder, node, place)`: the thing anew."""
    make_many: Callable[[Any, Any, Any], list[Any]] | None = None
    """`make_many(rebuilder, block, place)`: all things of a block."""
    is_shared: bool = True
    """Whether nodes of this kind are counted, so that "same" can point at them."""
    suits: Callable[[Any], bool] | None = None
    """Whether a thing of the program is of this kind, so that a node may be poured into it; None: it is replaced."""
    fit: Callable[[Any, Any, Any, Any], Any] | None = None
    """`fit(fitter, node, current, place)`: what stands in the place of `current` after the restore."""
    fits_all: bool = False
    """Whether whatever the program has there is handed to `fit`, which gives something else."""
    group: str = ""
    """Kinds of one group are poured into each other: what is a dict in the commit, into an ordered one."""
    array: Callable[[Any, Any], Any] | None = None
    """`array(rebuilder, node)`: its elements in NumPy as they lie in the image, in the order of its shape; None where
    there are none."""
    carries: bool = False
    """Whether it is what a program means by its work: an array, a tensor, what loads a state."""
    attributes: bool = False
    """Whether its children are written as attributes, `.name`, not as items, `["name"]`."""


@dataclass(frozen=True, slots=True)
class Family:
    """Kinds that are told of together."""

    kinds: tuple[Kind, ...] = ()
    stores: Mapping[type, Store] = field(default_factory=dict)
    """How things of exactly these types are stored."""
    claim: Callable[[type], Store | None] | None = None
    """How things of a type that is in no table are stored; None: they are not of this family."""
    block: Callable[[Any, type, list[Any]], tuple[tuple[Any, ...], list[dict[str, Any]]] | None] | None = None
    """`block(walk, cls, things)`: one word and the attributes for many things of one type; None: one by one."""
    knows: Callable[[str], bool] | None = None
    """Whether a restore uses classes and functions of this path, "module:name", without a word of the program."""
    package: str | None = None
    """The library without which there is nothing to claim. It is never imported."""


class Registry:
    """All kinds, in families; the first that claims a type has it."""

    def __init__(self, families: Iterable[Family]) -> None:
        self.families: Final = tuple(families)
        self.kinds: Final = {kind.name: kind for family in self.families for kind in family.kinds}
        self.stores: Final[dict[type, Store]] = {
            known: store for family in self.families for known, store in family.stores.items()
        }
        """By type: those that families know, and those that were claimed since."""
        self.buffers: Final = frozenset(name for name, kind in self.kinds.items() if kind.form is Form.BUFFER)
        """The names of kinds with bytes."""
        self._suited: dict[type, Kind | None] = {}

    def claim(self, cls: type) -> Store:
        """How things of a type are stored that no table has."""
        for family in self.families:
            if family.claim is not None and (family.package is None or family.package in sys.modules):
                store = family.claim(cls)
                if store is not None:
                    self.stores[cls] = store
                    return store
        raise LookupError(f"nothing claims {cls!r}")  # The last family claims all.

    def block(self, walk: Any, cls: type, things: list[Any]) -> tuple[tuple[Any, ...], list[dict[str, Any]]] | None:
        """One word for many things of one type, and what each contains; None where they are stored one by one."""
        for family in self.families:
            if family.block is not None and (found := family.block(walk, cls, things)) is not None:
                return found
        return None

    def knows(self, classes: Any, thing: Any) -> bool:
        """Whether a restore would use a class or function that has a name, given those that the program knows."""
        return classes.knows(thing) or self._is_familiar(class_path(thing))

    def find(self, classes: Any, path: str) -> Any:
        """What a restore may use under this name; None where there is nothing."""
        found = classes.find(path)
        return loaded(path) if found is None and self._is_familiar(path) else found

    def _is_familiar(self, path: str) -> bool:
        return any(family.knows is not None and family.knows(path) for family in self.families)

    def kind_of(self, thing: object) -> Kind | None:
        """The kind of node that can be poured into a thing of the program; None for what is replaced whatever it is."""
        cls = type(thing)
        if cls not in self._suited:
            suits = (kind for kind in self.kinds.values() if kind.suits is not None and kind.suits(thing))
            self._suited[cls] = next(suits, None)
        return self._suited[cls]

    def forget(self, cls: type) -> None:
        """What is known of a type is no longer so: it was registered."""
        self.stores.pop(cls, None)
        self._suited.pop(cls, None)
