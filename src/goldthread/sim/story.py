"""The story of a run as prose: one line for each event, order and stroke of fate. Beats, ticks and renewals
are left out."""

from __future__ import annotations

import re
from collections.abc import Callable
from enum import Enum
from typing import Any

import msgspec

from goldthread.names import CommitId, Instant
from goldthread.report import Ending
from goldthread.rules import events, orders
from goldthread.rules.bond_events import BeatAnswered, BeatHeard, LeaseGranted
from goldthread.rules.bond_orders import AnswerBeat, BondRecord, HeldRecord, SendBeat, SwapLease, Vouch
from goldthread.rules.events import Copy

__all__ = ["Story", "phrase"]

_SIGNS = {"world": "**", "event": " >", "order": "    <"}
_DULL = (
    events.Ticked, events.ProgramBeat, BeatHeard, BeatAnswered, SendBeat, AnswerBeat, LeaseGranted, SwapLease, Vouch,
)  # fmt: skip


def phrase(thing: Any) -> str:
    """An event or an order in a few words: `life ended: walk, epoch 1, signal 9 (SIGKILL)`."""
    if isinstance(thing, orders.Persist):
        record = thing.record
        if isinstance(record, orders.LifeRecord):
            return f"persist life {record.epoch} of {record.member}{_life(record)}"
        if isinstance(record, HeldRecord):
            return f"persist {record.member}, held: {record.state.value}, epoch {record.epoch}"
        if isinstance(record, BondRecord):
            return f"persist the bond with {record.name}"
        return f"persist {record.name}: {record.phase.value}, epoch {record.epoch}"
    words = re.sub(r"(?<!^)([A-Z])", r" \1", type(thing).__name__).lower()
    fields = []
    for name in thing.__struct_fields__:
        value = getattr(thing, name)
        if value not in (None, "", (), False) and not (name == "ending" and isinstance(thing, orders.Announce)):
            fields.append(_field(name, value))
    return f"{words}: {', '.join(fields)}" if fields else words


def _life(record: orders.LifeRecord) -> str:
    said = [f"lost {record.lost}"] if record.lost else []
    said += [f"after {record.moments[-1][0]}"] if record.moments and not record.lost else []
    return f" ({', '.join(said)})" if said else ""


def _field(name: str, value: Any) -> str:
    if name in ("member", "text", "reason"):
        return str(value)
    if isinstance(value, bool):
        return name
    if name == "previous":
        return f"after life {value.epoch}"
    if name in ("ending", "copy", "level", "phase", "commit"):
        return _value(value)
    return f"{name} {_value(value)}"


def _value(value: Any) -> str:
    if isinstance(value, Enum):
        return str(value.value)
    if isinstance(value, Ending):
        return f"{value.kind.value}, {value.text}"
    if isinstance(value, Copy):
        return f"{value.commit} ({value.level.value})"
    if isinstance(value, CommitId):
        return str(value)
    if isinstance(value, tuple):
        return "[" + "; ".join(_value(one) for one in value) + "]"
    if isinstance(value, msgspec.Struct):
        return str(value) if type(value).__str__ is not object.__str__ else repr(value)
    return str(value)


class Story:
    """A teller for `World`: each line is given to `write` as it happens."""

    def __init__(self, write: Callable[[str], None], *, dull: bool = False) -> None:
        self._write = write
        self._dull = dull

    def __call__(self, now: Instant, where: str, kind: str, thing: Any) -> None:
        if isinstance(thing, _DULL) and not self._dull:
            return
        text = thing if isinstance(thing, str) else phrase(thing)
        self._write(f"{now / 1e9:9.3f} {where + ' ' if where else ''}{_SIGNS[kind]} {text}")
