"""Which state may follow which on both sides of a bond: two tables, and nowhere else.

What may only come of a fault of ours raises `InvalidTransition`. The page docs/concepts/fence.md is drawn from here.
"""

from __future__ import annotations

from typing import Final

from goldthread.names import MemberName
from goldthread.report import HolderState, OwnerState
from goldthread.rules.member import InvalidTransition

__all__ = ["HOLDER_TRANSITIONS", "OWNER_TRANSITIONS", "check_holder", "check_owner"]

_O, _H = OwnerState, HolderState
_END: Final = frozenset({_O.FENCED, _O.CLOSED})

OWNER_TRANSITIONS: Final[dict[OwnerState, frozenset[OwnerState]]] = {
    _O.SEEKING: frozenset({_O.SYNCING}) | _END,
    _O.SYNCING: frozenset({_O.BONDED, _O.ALONE, _O.SEEKING}) | _END,
    _O.BONDED: frozenset({_O.SYNCING, _O.ALONE, _O.SEEKING}) | _END,
    _O.ALONE: frozenset({_O.SYNCING, _O.BONDED, _O.SEEKING}) | _END,
    _O.FENCED: frozenset({_O.SEEKING, _O.CLOSED}),
    _O.CLOSED: frozenset({_O.SEEKING, _O.FENCED}),
}

HOLDER_TRANSITIONS: Final[dict[HolderState, frozenset[HolderState]]] = {
    _H.INVITED: frozenset({_H.SYNCING, _H.BONDED, _H.DOUBTING}),
    _H.SYNCING: frozenset({_H.BONDED, _H.DOUBTING}),
    _H.BONDED: frozenset({_H.SYNCING, _H.DOUBTING}),
    _H.DOUBTING: frozenset({_H.SYNCING, _H.BONDED, _H.CLAIMING}),
    _H.CLAIMING: frozenset({_H.DOUBTING}),
}


def check_owner(member: MemberName, before: OwnerState, after: OwnerState) -> None:
    if after is not before and after not in OWNER_TRANSITIONS[before]:
        raise InvalidTransition(f"{member}, owned: {before.value} -> {after.value}")


def check_holder(member: MemberName, before: HolderState, after: HolderState) -> None:
    if after is not before and after not in HOLDER_TRANSITIONS[before]:
        raise InvalidTransition(f"{member}, held: {before.value} -> {after.value}")
