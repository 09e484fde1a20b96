"""Leaves that are one value: numbers, text, dates, members of enums."""

from __future__ import annotations

import datetime
import enum
import zoneinfo
from typing import Any, Final

import numpy as np

from goldthread.errors import DoesNotFit
from goldthread.state.classes import class_path
from goldthread.state.kind import Family, Form, Kind, Store
from goldthread.state.kinds.names import find, refuse_unless_found
from goldthread.state.plain import INT_LEAST, INT_MOST, TINY_BYTES, can_encode
from goldthread.state.walk import Refusal, Walk

__all__ = ["FAMILY", "store_bytes", "store_int", "store_text"]


def _value(walk: Walk, thing: object) -> None:
    walk.note("value", thing)


def store_int(walk: Walk, thing: int) -> None:
    if INT_LEAST <= thing <= INT_MOST:
        walk.note("value", thing)
    else:
        walk.note("int", hex(thing))


def store_text(walk: Walk, thing: str) -> None:
    if can_encode(thing):
        walk.note("value", thing)
    else:
        walk.note("text", thing.encode("utf-8", "surrogatepass"))


def store_bytes(walk: Walk, thing: bytes) -> None:
    if len(thing) < TINY_BYTES:
        walk.note("value", thing)
    elif walk.enter(thing):
        walk.buffer("bytes", np.frombuffer(thing, np.uint8))


def _complex(walk: Walk, thing: complex) -> None:
    walk.note("complex", [thing.real, thing.imag])


def _date(walk: Walk, thing: datetime.date) -> None:
    walk.note("date", [datetime.date.isoformat(thing), 0, None])


def _moment(walk: Walk, thing: datetime.datetime | datetime.time) -> None:
    base: Any = datetime.datetime if isinstance(thing, datetime.datetime) else datetime.time
    if thing.tzinfo is not None and not _is_plain_zone(thing.tzinfo):
        if walk.enter(thing):
            walk.atoms.append(("zoned", 2))
            walk.visit(thing, ["", ".tzinfo"], [walk.made(base.replace(thing, tzinfo=None)), thing.tzinfo], str)
        return
    walk.note(base.__name__, [base.isoformat(base.replace(thing, tzinfo=None)), thing.fold, _zone(thing.tzinfo)])


def _is_plain_zone(zone: datetime.tzinfo) -> bool:
    return type(zone) is datetime.timezone or (type(zone) is zoneinfo.ZoneInfo and zone.key is not None)


def _zone(zone: datetime.tzinfo | None) -> object:
    if zone is None:
        return None
    if type(zone) is datetime.timezone:
        offset, name = zone.utcoffset(None), zone.tzname(None)
        own_name = None if name == datetime.timezone(offset).tzname(None) else name
        return [offset.days, offset.seconds, offset.microseconds, own_name]
    if type(zone) is zoneinfo.ZoneInfo and zone.key is not None:
        return zone.key
    raise Refusal(
        f"a time zone of type {type(zone).__name__} cannot be stored",
        "use zoneinfo.ZoneInfo(name) or datetime.timezone(offset)",
    )


def _tzinfo(walk: Walk, thing: datetime.tzinfo) -> None:
    walk.note("zone", _zone(thing))


def _timedelta(walk: Walk, thing: datetime.timedelta) -> None:
    walk.note("timedelta", [thing.days, thing.seconds, thing.microseconds])


def _enum(walk: Walk, thing: enum.Enum) -> None:
    kind = type(thing)
    refuse_unless_found(walk, kind)
    name = thing._name_
    if name is not None and kind.__members__.get(name) is thing:
        walk.note(("enum", class_path(kind)), name)
    else:  # Several flags at once have no member of their own.
        walk.note(("flags", class_path(kind)), str(int(thing._value_)))


def _singleton(walk: Walk, thing: object) -> None:
    walk.note("singleton", _NAMES[thing])


_SINGLETONS: Final = {"Ellipsis": Ellipsis, "NotImplemented": NotImplemented}
_NAMES: Final = {thing: name for name, thing in _SINGLETONS.items()}


def _claim(cls: type) -> Store | None:
    if issubclass(cls, enum.Enum):
        return _enum
    return _value if cls in (float, bool, type(None)) else None


def _make_date(rebuilder: Any, node: Any, place: object) -> Any:
    kind: Any = {"date": datetime.date, "time": datetime.time, "datetime": datetime.datetime}[node.kind.name]
    text, fold, zone = node.value
    made: Any = kind.fromisoformat(text)
    return made if node.kind.name == "date" else made.replace(fold=fold, tzinfo=_make_zone(zone))


def _make_zoned(rebuilder: Any, node: Any, place: object) -> Any:
    plain, zone = rebuilder.children(node, place)
    return plain.replace(tzinfo=zone)


def _make_zone(word: Any) -> datetime.tzinfo | None:
    if word is None:
        return None
    if isinstance(word, str):
        return zoneinfo.ZoneInfo(word)
    days, seconds, microseconds, name = word
    offset = datetime.timedelta(days, seconds, microseconds)
    if name is None:
        return datetime.UTC if not offset else datetime.timezone(offset)
    return datetime.timezone(offset, name)


def _make_enum(rebuilder: Any, node: Any, place: object) -> Any:
    kind = find(rebuilder, node.details[0], place, enum.Enum)
    member = kind.__members__.get(node.value)
    if member is None:
        raise DoesNotFit(
            f"{place}: {kind.__qualname__} has no member {node.value}", hint="give the class its member again"
        )
    return member


def _make_flags(rebuilder: Any, node: Any, place: object) -> Any:
    kind = find(rebuilder, node.details[0], place, enum.Flag)
    try:
        return kind(int(node.value))
    except ValueError as error:
        raise DoesNotFit(f"{place}: {error}", hint="give the class its members again") from error


def _leaf(name: str, make: Any) -> Kind:
    return Kind(name, Form.VALUE, make, is_shared=False)


FAMILY: Final = Family(
    kinds=(
        _leaf("int", lambda _, node, __: int(node.value, 16)),
        _leaf("text", lambda _, node, __: node.value.decode("utf-8", "surrogatepass")),
        _leaf("complex", lambda _, node, __: complex(*node.value)),
        _leaf("timedelta", lambda _, node, __: datetime.timedelta(*node.value)),
        _leaf("date", _make_date),
        _leaf("time", _make_date),
        _leaf("datetime", _make_date),
        Kind("zoned", Form.CONTAINER, _make_zoned),
        _leaf("zone", lambda _, node, __: _make_zone(node.value)),
        _leaf("enum", _make_enum),
        _leaf("flags", _make_flags),
        _leaf("singleton", lambda _, node, __: _SINGLETONS[node.value]),
        Kind("bytes", Form.BUFFER, lambda rebuilder, node, place: bytes(rebuilder.raw(node, place))),
    ),
    stores={
        int: store_int,
        str: store_text,
        bytes: store_bytes,
        complex: _complex,
        datetime.date: _date,
        datetime.time: _moment,
        datetime.datetime: _moment,
        datetime.timedelta: _timedelta,
        datetime.timezone: _tzinfo,
        zoneinfo.ZoneInfo: _tzinfo,
        type(Ellipsis): _singleton,
        type(NotImplemented): _singleton,
    },
    claim=_claim,
)
