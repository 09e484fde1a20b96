"""Sets, whose order is decided by hashing, by the size of the table, and by what was put in and taken out before.

The order of a set of numbers is the same in each process, and a program that takes from it by `pop` goes on otherwise
where the order is another. So the items are stored in their order, with the size of the table where a set that is
filled anew would have another; whether that gives the order back is tried at commit. Text and bytes hash otherwise in
each process (unless PYTHONHASHSEED is set), as does what hashes by identity: a set of those is stored, its order is
lost with the process in any case, and it is said.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from typing import Any, Final

from goldthread.state.kind import Form, Kind, Store
from goldthread.state.nodes import Node
from goldthread.state.walk import Refusal, Walk, in_brackets

__all__ = ["KINDS", "STORES", "build_set", "store_set"]

_SMALL: Final = 8
"""Slots of the smallest table."""
_ENTRY_BYTES: Final = 16
_BARE_BYTES: Final = sys.getsizeof(set())


def store_set(walk: Walk, thing: Any, atom: tuple[Any, ...] = ()) -> None:
    if not walk.enter(thing):
        return
    base = frozenset if isinstance(thing, frozenset) else set
    items = list(base.__iter__(thing))
    if any(id(item) in walk.open for item in items):
        raise Refusal("it contains itself as a member of a set", "a member must be whole before it can be found again")
    size = _table_of(thing, base)
    plan = _plan(base, items, size)
    if plan is None:
        walk.tell(
            "the order of a set whose members hash otherwise in each process is lost with the process"
            if _hashes_otherwise(items)
            else "the order of a set from which much was taken and to which much was added is not kept"
        )
        plan = 0
    walk.inside(thing, (base.__name__, plan), items, walk.made(items), in_brackets, whole=base is frozenset)


def _table_of(thing: Any, base: Any) -> int:
    """Slots of its table."""
    extra = base.__sizeof__(thing) - (_BARE_BYTES - sys.getsizeof(set()) + base.__sizeof__(base()))
    return max(_SMALL, int(extra) // _ENTRY_BYTES)


def _plan(base: Any, items: list[Any], size: int) -> int | None:
    """How a set of these items comes to have them in this order: 0 by adding them, else the slots that its table must
    have first; None where it does not."""
    if len(items) < 2 and size == _SMALL:
        return 0
    if _hashes_otherwise(items):
        return None
    for plan in (0, size):
        made = build_set(items, plan)
        if list(made) == items and _table_of(made, set) == size:
            return plan
    return None


def build_set(items: Iterable[Any], slots: int) -> set[Any]:
    """A set of items, added in their order to a table of so many slots; 0: as it grows."""
    made: set[Any] = set()
    if slots > _SMALL:
        # A copy of a set with a quarter as many members has such a table; they leave no trace at the first growth.
        count = max(5, slots // 4)
        made = set(frozenset(range(count)) | {count - 1})
        made.clear()
    for item in items:
        made.add(item)
    return made


def _hashes_otherwise(items: Iterable[Any]) -> bool:
    """Whether members hash otherwise in each process."""
    return not all(map(_hashes_alike, items))


def _hashes_alike(item: Any) -> bool:
    kind = type(item)
    if kind in (str, bytes):
        return os.environ.get("PYTHONHASHSEED", "random") != "random"
    if kind in (int, float, bool, complex):
        return True
    if kind is tuple or kind is frozenset:
        return all(map(_hashes_alike, item))
    return item is None and sys.version_info >= (3, 12)


def _make_set(rebuilder: Any, node: Node, place: object) -> Any:
    made: set[Any] = rebuilder.note(node, set())
    made |= build_set(rebuilder.children(node, place), node.details[0] or 0)
    return made


def _make_frozenset(rebuilder: Any, node: Node, place: object) -> Any:
    return frozenset(build_set(rebuilder.children(node, place), node.details[0] or 0))


def _fit_set(fitter: Any, node: Node, current: set[Any], place: object) -> Any:
    fitter.begin(node, current)
    items = fitter.rebuilder.children(node, place)

    def finish() -> None:
        current.clear()
        current.update(items)

    fitter.noted.append(finish)
    return current


KINDS: Final = (
    Kind("set", Form.CONTAINER, _make_set, suits=lambda thing: type(thing) is set, fit=_fit_set),
    Kind("frozenset", Form.CONTAINER, _make_frozenset),
)
STORES: Final[dict[type, Store]] = {set: store_set, frozenset: store_set}
