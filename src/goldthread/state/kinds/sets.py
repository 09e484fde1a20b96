"""Sets, whose order is decided by hashing, by the size of the table, and by what was put in and taken out before.

The order of a set of numbers is the same in each process, and a program that takes from it by `pop` goes on otherwise
where the order is another. So such a set comes back with the same table (`tables.py`). Text and bytes hash otherwise in
each process (unless PYTHONHASHSEED is set), as does what hashes by identity: a set of those is stored, its order is
lost with the process in any case, and it is said.
"""

from __future__ import annotations

from typing import Any, Final

from goldthread.state.hashes import hash_alike, is_hashed_early
from goldthread.state.kind import Form, Kind, Store
from goldthread.state.nodes import Node
from goldthread.state.tables import SetPlan, frozen_by, frozen_of, order_and_plan, refill_set, table_of
from goldthread.state.walk import HASHED, Refusal, Walk, in_brackets

__all__ = ["KINDS", "STORES", "Members", "fill_subclass", "new_frozen_subclass", "refuse_open", "store_set"]

_LOST: Final = "the order of a set whose members hash otherwise in each process is lost with the process"
_NOT_KEPT: Final = "the order of a set to which nobody knows the way is not kept"


class Members:
    """What is in an instance of a subclass of a set: stored in its stead, since it has the order."""

    __slots__ = ("thing",)

    def __init__(self, thing: Any) -> None:
        self.thing = thing


class _Copy(frozenset[Any]):
    """How an instance of a subclass comes to its members."""


def store_set(walk: Walk, thing: Any) -> None:
    if walk.enter(thing):
        _store(walk, thing, thing)


def _store_members(walk: Walk, stand_in: Members) -> None:
    if walk.enter(stand_in):
        _store(walk, stand_in, stand_in.thing)


def _store(walk: Walk, noted: Any, thing: Any) -> None:
    base: Any = frozenset if isinstance(thing, frozenset) else set
    items = list(base.__iter__(thing))
    refuse_open(walk, items, "a member of a set")
    items, plan = _ordered(walk, thing, base, items)
    walk.inside(noted, (base.__name__, plan), items, walk.made(items), in_brackets, whole=HASHED)


def _ordered(walk: Walk, thing: Any, base: Any, items: list[Any]) -> tuple[list[Any], Any]:
    """The members in the order in which they are to be added, and the plan."""
    if base is frozenset and len(items) < 2:
        return items, None
    found = order_and_plan(thing, items) if hash_alike(items) else None
    if found is not None and base is frozenset and type(thing) is not frozenset:
        copied, table = table_of(frozen_of(_Copy, frozen_by(*found))), table_of(thing)
        if copied is None or table is None or copied.entries != table.entries:
            found = None
    if found is None:
        if len(items) > 1:
            walk.tell(_NOT_KEPT if hash_alike(items) else _LOST)
        return items, None
    members, plan = found
    return members, None if plan is None else list(plan)


def refuse_open(walk: Walk, things: list[Any], what: str) -> None:
    """What is hashed by its contents must be whole when it is."""
    if any(id(thing) in walk.open and not is_hashed_early(thing) for thing in things):
        raise Refusal(f"it contains itself as {what}", "it must be whole before it can be found again")


# Anew.


def _plan_of(node: Node) -> SetPlan | None:
    """Version 0.1 wrote none."""
    found = node.details[0] if node.details else None
    return SetPlan(*found) if isinstance(found, list) else None


def _make_set(rebuilder: Any, node: Node, place: object) -> Any:
    made: set[Any] = rebuilder.note(node, set())
    return refill_set(made, rebuilder.children(node, place), _plan_of(node))


def _make_frozenset(rebuilder: Any, node: Node, place: object) -> Any:
    return frozen_by(rebuilder.children(node, place), _plan_of(node))


def fill_subclass(made: Any, items: Any) -> None:
    """Give an instance of a subclass what is in a set, in the same table."""
    found = order_and_plan(items, list(items))
    refill_set(made, *(found or (list(items), None)))


def new_frozen_subclass(cls: Any, items: Any) -> Any:
    return frozen_of(cls, items)


# Poured.


def _fit_set(fitter: Any, node: Node, current: set[Any], place: object) -> Any:
    fitter.begin(node, current)
    items = fitter.rebuilder.children(node, place)
    fitter.noted.append(lambda: refill_set(current, items, _plan_of(node)))
    return current


KINDS: Final = (
    Kind("set", Form.CONTAINER, _make_set, suits=lambda thing: type(thing) is set, fit=_fit_set),
    Kind("frozenset", Form.CONTAINER, _make_frozenset),
)
STORES: Final[dict[type, Store]] = {set: store_set, frozenset: store_set, Members: _store_members}
