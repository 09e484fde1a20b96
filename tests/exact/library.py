"""Kinds of the standard library: dates, paths, exact numbers, buffers, iterators."""

from __future__ import annotations

import array
import datetime
import decimal
import enum
import fractions
import ipaddress
import itertools
import pathlib
import random
import types
import uuid
import zoneinfo
from collections import ChainMap
from typing import Any

from kinds import kind, simple

simple("enum of the library", enum.FlagBoundary.KEEP, uuid.SafeUUID.unknown)


@kind("Decimal", key=True)
def _decimal(draw: Any) -> decimal.Decimal:
    words = ("0", "-0", "0.00", "-0E+9", "1E-400", "NaN", "-NaN12", "Infinity", "-Infinity", "3.1400", "1E+999999")
    return decimal.Decimal(draw.rng.choice((*words, str(draw.rng.getrandbits(200)))))


@kind("signalling Decimal")
def _signalling(draw: Any) -> decimal.Decimal:
    return decimal.Decimal(draw.rng.choice(("sNaN", "-sNaN7")))


@kind("Fraction", key=True)
def _fraction(draw: Any) -> fractions.Fraction:
    return fractions.Fraction(draw.rng.randint(-99, 99), draw.rng.randint(1, 99))


@kind("UUID", key=True)
def _uuid(draw: Any) -> uuid.UUID:
    return uuid.UUID(int=draw.rng.getrandbits(128))


@kind("UUID with its safety", key=True)
def _safe_uuid(draw: Any) -> uuid.UUID:
    return uuid.UUID(int=draw.rng.getrandbits(128), is_safe=draw.rng.choice(list(uuid.SafeUUID)))


@kind("path", key=True)
def _path(draw: Any) -> pathlib.PurePath:
    make = draw.rng.choice((pathlib.Path, pathlib.PurePosixPath, pathlib.PureWindowsPath))
    return make(draw.rng.choice((".", "", "a/b.txt", "/", "//x/y", "../z", "c:/w", "na\udcffme")))


@kind("date", key=True)
def _date(draw: Any) -> datetime.date:
    return datetime.date(draw.rng.randint(1, 9999), draw.rng.randint(1, 12), draw.rng.randint(1, 28))


_ZONES = ("Europe/Berlin", "UTC", "America/New_York", "Asia/Tokyo")


def zone(draw: Any) -> datetime.tzinfo | None:
    offset = datetime.timedelta(seconds=draw.rng.randint(-80_000, 80_000), microseconds=draw.rng.choice((0, 5)))
    own = datetime.timezone(offset), datetime.timezone(offset, "here"), datetime.UTC
    return draw.rng.choice((None, zoneinfo.ZoneInfo(draw.rng.choice(_ZONES)), *own))


@kind("time", key=True)
def _time(draw: Any) -> datetime.time:
    rng = draw.rng
    return datetime.time(
        rng.randint(0, 23), 3, rng.randint(0, 59), rng.choice((0, 7)), zone(draw), fold=rng.randint(0, 1)
    )


@kind("datetime", key=True)
def _datetime(draw: Any) -> datetime.datetime:
    rng = draw.rng
    day = _date(draw)
    at = datetime.datetime(day.year, day.month, day.day, rng.randint(0, 23), rng.randint(0, 59), fold=rng.randint(0, 1))
    return at.replace(tzinfo=zone(draw), microsecond=rng.choice((0, 1, 999_999)))


@kind("timedelta", key=True)
def _timedelta(draw: Any) -> datetime.timedelta:
    return datetime.timedelta(draw.rng.randint(-999_999, 999_999), draw.rng.randint(0, 9), draw.rng.randint(0, 9))


@kind("timezone", key=True)
def _timezone(draw: Any) -> datetime.timezone:
    offset = datetime.timedelta(minutes=draw.rng.randint(-900, 900))
    return draw.rng.choice((datetime.UTC, datetime.timezone(offset), datetime.timezone(offset, "X")))


@kind("ZoneInfo")
def _zoneinfo(draw: Any) -> zoneinfo.ZoneInfo:
    return zoneinfo.ZoneInfo(draw.rng.choice(_ZONES))


@kind("ipaddress", key=True)
def _ipaddress(draw: Any) -> Any:
    number = draw.rng.getrandbits(32)
    four, six = ipaddress.IPv4Address(number), ipaddress.IPv6Address(number << 70)
    network = ipaddress.ip_network((number & 0xFFFFFF00, 24)), ipaddress.ip_interface((number, 20))
    return draw.rng.choice((four, six, ipaddress.ip_address("fe80::1%eth0"), *network))


@kind("SimpleNamespace")
def _namespace(draw: Any) -> types.SimpleNamespace:
    return draw.dress(draw.opened(types.SimpleNamespace()))


@kind("ChainMap")
def _chain(draw: Any) -> ChainMap[Any, Any]:
    return ChainMap(draw.fill({}), draw.fill({}))


@kind("array.array")
def _array(draw: Any) -> array.array[Any]:
    code = draw.rng.choice("bBhHiIlLqQfd")
    return array.array(code, [draw.rng.randint(0, 99) for _ in range(draw.rng.choice((0, 3, 900)))])


@kind("array.array of text")
def _text_array(draw: Any) -> array.array[Any]:
    return array.array("u", draw.rng.choice(("", "héllo", "🙂")))


@kind("memoryview")
def _memoryview(draw: Any) -> memoryview:
    data = bytearray(draw.rng.randbytes(24))
    shaped = memoryview(data).cast("i", [2, 3])
    return draw.rng.choice((memoryview(data), shaped, memoryview(data)[::2], memoryview(data).toreadonly()))


@kind("memoryview of bytes")
def _still_memoryview(draw: Any) -> memoryview:
    return memoryview(draw.rng.randbytes(10))[draw.rng.randint(0, 3) :]


@kind("memoryview of what stands beside it")
def _near_memoryview(draw: Any) -> list[Any]:
    data = draw.rng.choice((bytearray(range(20)), array.array("H", range(10))))
    return [data, memoryview(data), memoryview(data)[2:6]]


@kind("itertools.count")
def _count(draw: Any) -> itertools.count[Any]:
    made = itertools.count(draw.rng.choice((0, 5, 2**70, 0.5)), draw.rng.choice((1, -3, 0.25)))
    next(made)
    return made


@kind("itertools.islice")
def _islice(draw: Any) -> Any:
    return itertools.islice(itertools.count(draw.rng.randint(0, 9)), 2, draw.rng.randint(3, 9))


@kind("random.Random")
def _random(draw: Any) -> random.Random:
    made = random.Random(draw.rng.randint(0, 99))
    for _ in range(draw.rng.randint(0, 5)):
        made.gauss(0, 1)
    return made
