"""From what a user writes to `Policy` and `Settings`: the file `goldthread.toml`, environment, flags, in rising order.

    [policy]
    preset = "fast"                 # GOLDTHREAD_PRESET=fast
    hang_floor = "2min"             # GOLDTHREAD_HANG_FLOOR=2min
    vault_free_bytes = "1GiB"       # GOLDTHREAD_VAULT_FREE_BYTES=1GiB
    budget = "5/10min"              # GOLDTHREAD_BUDGET=5/10min
    vault_keep = 3                  # GOLDTHREAD_VAULT_KEEP=3

    [keeper]
    lease_store = "etcd://one:2379/goldthread"     # GOLDTHREAD_LEASE_STORE=etcd://one:2379/goldthread
    listen = ":7447"                               # GOLDTHREAD_LISTEN=:7447
    addresses = ["iruka:7447", "10.0.0.2:7447"]    # GOLDTHREAD_ADDRESSES=iruka:7447,10.0.0.2:7447

Single numbers stand above a preset, wherever they are said. What is not understood is refused, never passed over: a
setting that silently does nothing is worse than none.
"""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from goldthread.errors import UsageError
from goldthread.names import Span
from goldthread.policy import PRESETS, Budget, Policy
from goldthread.wire.addresses import parse_address, parse_listen
from goldthread.wire.circle import read_circle

__all__ = ["Settings", "load", "load_settings", "parse_budget", "parse_bytes", "parse_span"]

_FILE: Final = "goldthread.toml"
_PREFIX: Final = "GOLDTHREAD_"
_FLAGS: Final = "the flags"
_PRESET: Final = "preset"
_NAME_LENGTH: Final = 100
_ALIKE: Final = 0.8

_SPANS: Final = {
    "ns": 1,
    "us": 1_000,
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60_000_000_000,
    "min": 60_000_000_000,
    "h": 3_600_000_000_000,
    "d": 86_400_000_000_000,
}
_SIZES: Final[dict[str, int]] = {
    "b": 1,
    **{f"{sign}b": 1000**power for power, sign in enumerate("kmgt", 1)},
    **{f"{sign}ib": 1024**power for power, sign in enumerate("kmgt", 1)},
}
_TRUTHS: Final = {"yes": True, "true": True, "no": False, "false": False}
_NUMBER: Final = r"\d+(?:\.\d+)?"
_SPAN_PART: Final = re.compile(rf"\s*({_NUMBER})\s*([a-z]+)\s*")
_SIZE: Final = re.compile(rf"\s*({_NUMBER})\s*([a-z]*)\s*")


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What a keeper is told beside its policy: who it is, and where it meets others."""

    name: str = ""
    """What people call this keeper; the host's name where nothing is said."""

    label: str = ""
    """The failure domain of this host: a rack, a power line, a zone. Partners with another one are preferred; without
    one the host stands alone."""

    lease_store: str = ""
    """Where leases are kept, by [its address](../guides/leases.md), the same for all keepers that share bonds."""

    listen: str = ""
    """Where partners reach this keeper: `host:port`, `host` or `:port`. Without a host: at all addresses of this host.
    Without a port: one that the system chooses once, and that is kept from then on."""

    addresses: tuple[str, ...] = ()
    """What partners are told to dial, each `host:port`, best first; found out where nothing is said."""

    circle: str = ""
    """The secret of [the circle](../guides/circle.md), the same on all hosts of the same people: with it a keeper that
    hears no partner finds a new one of itself. `goldthread bond circle` prints one."""

    keepers: tuple[str, ...] = ()
    """Where keepers of the circle are, each `host:port`: where a partner is looked for."""

    neighbours: bool = False
    """Whether keepers of the circle are looked for on the local network too, and this one says there where it is.
    It needs `goldthread[neighbours]`."""

    def __post_init__(self) -> None:
        for what, text in (("name", self.name), ("label", self.label)):
            if len(text) > _NAME_LENGTH or not text.isprintable():
                raise UsageError(f"{what} must have at most {_NAME_LENGTH} signs, and can stand in one line")
        parse_listen(self.listen)
        if self.circle:
            read_circle(self.circle)
        elif self.neighbours:
            raise UsageError("neighbours are keepers of a circle, and there is none", hint="goldthread bond circle")
        for address in (*self.addresses, *self.keepers):
            parse_address(address)


_FIELDS: Final = {
    table: {field.name: field.type for field in msgspec.structs.fields(kind)}
    for table, kind in (("policy", Policy), ("keeper", Settings))
}
_FIELDS["policy"][_PRESET] = str
_TABLES: Final = {name: table for table, fields in _FIELDS.items() for name in fields}
"""No two tables have a field of the same name, so that a variable needs no table."""


def load(
    home: Path, overrides: Mapping[str, Any] | None = None, environment: Mapping[str, str] | None = None
) -> Policy:
    """The policy of the keeper of `home`.

    `overrides` come from flags, by field: text as in the file, or values ready made; None leaves a field alone. Raises
    `UsageError` with the place of what is wrong.
    """
    told, sources = _told("policy", home, overrides or {}, os.environ if environment is None else environment)
    preset = told.pop(_PRESET, None)
    try:
        return Policy(**{**PRESETS.get(preset, {}), **told})
    except UsageError as error:
        raise UsageError(str(error), hint=_changed_by(sources)) from None


def load_settings(home: Path, environment: Mapping[str, str] | None = None) -> Settings:
    """The settings of the keeper of `home`. Raises `UsageError` with the place of what is wrong."""
    told, sources = _told("keeper", home, {}, os.environ if environment is None else environment)
    try:
        settings = Settings(**told)
    except UsageError as error:
        raise UsageError(str(error), hint=_changed_by(sources)) from None
    return settings if settings.name else msgspec.structs.replace(settings, name=os.uname().nodename[:_NAME_LENGTH])


def parse_span(text: str) -> Span:
    """`500ms`, `2s`, `5min`, `1h30min`. Raises `UsageError`."""
    total, at = 0.0, 0
    words = text.strip().lower()
    while at < len(words):
        part = _SPAN_PART.match(words, at)
        if part is None or part[2] not in _SPANS:
            break
        total += float(part[1]) * _SPANS[part[2]]
        at = part.end()
    if at == 0 or at < len(words):
        raise UsageError(f"{text!r} is no length of time", hint="a number and a unit: 500ms, 2s, 5min, 1h, 2d")
    return Span(round(total))


def parse_bytes(text: str) -> int:
    """`256MiB`, `2GB`, `4096`. Raises `UsageError`."""
    found = _SIZE.fullmatch(text.lower())
    if found is None or (found[2] or "b") not in _SIZES:
        raise UsageError(f"{text!r} is no size", hint="a number and a unit: 256MiB, 2GB, 4096B")
    return round(float(found[1]) * _SIZES[found[2] or "b"])


def _parse_truth(text: str) -> bool:
    truth = _TRUTHS.get(text.strip().lower())
    if truth is None:
        raise UsageError(f"{text!r} is neither yes nor no")
    return truth


def parse_budget(text: str) -> Budget:
    """`5` restarts in the usual period, or `5/10min`. Raises `UsageError`."""
    count, slash, period = text.partition("/")
    if not count.strip().isdecimal():
        raise UsageError(f"{text!r} is no restart budget", hint="a count, and a period if need be: 5, 5/10min, 0")
    return Budget(int(count), parse_span(period)) if slash else Budget(int(count))


_Pairs = Iterable[tuple[str, str, Any]]
"""Place, field and value of each setting."""


def _told(
    table: str, home: Path, overrides: Mapping[str, Any], environment: Mapping[str, str]
) -> tuple[dict[str, Any], list[str]]:
    """The fields of a table that somebody set, and where."""
    told: dict[str, Any] = {}
    places = []
    for source, pairs in (
        _read_file(table, home, environment),
        ("the environment", _read_environment(table, environment)),
        (_FLAGS, [(name, name, value) for name, value in overrides.items() if value is not None]),
    ):
        for place, name, value in pairs:
            told[name] = _value(table, source, place, name, value)
            places.append(f"{place} in {source}")
    return told, places


def _changed_by(places: list[str]) -> str:
    return f"it was changed by {', '.join(places)}"


def _read_file(table: str, home: Path, environment: Mapping[str, str]) -> tuple[str, _Pairs]:
    named = environment.get(_PREFIX + "CONFIG")
    path = Path(named).expanduser() if named else home / _FILE
    try:
        tables = tomllib.loads(path.read_text())
    except (FileNotFoundError, NotADirectoryError):
        if named:
            raise UsageError(f"{path} is not there", hint=f"{_PREFIX}CONFIG names it") from None
        return str(path), []
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read: {error}") from error
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{path} is not TOML: {error}") from None
    for title, content in tables.items():
        if title not in _FIELDS or not isinstance(content, dict):
            raise UsageError(f"{path}: {title} is not known", hint="settings stand in the tables [policy] and [keeper]")
        for name in content:
            if name not in _FIELDS[title]:
                raise UsageError(f"{path}: [{title}] {name} is not known", hint=_nearest(title, name))
    return str(path), [(f"[{table}] {name}", name, value) for name, value in tables.get(table, {}).items()]


def _read_environment(table: str, environment: Mapping[str, str]) -> _Pairs:
    """Settings among the variables. Others that begin with the prefix have their own meaning elsewhere; one that looks
    like a setting with a slip in it is refused."""
    for variable, value in environment.items():
        if not variable.startswith(_PREFIX):
            continue
        name = variable.removeprefix(_PREFIX).lower()
        if name in _TABLES:
            if _TABLES[name] == table:
                yield variable, name, value
        elif near := difflib.get_close_matches(name, _TABLES, 1, _ALIKE):
            raise UsageError(f"{variable} is not known", hint=f"did you mean {_PREFIX}{near[0].upper()}?")


def _nearest(table: str, name: str) -> str:
    near = difflib.get_close_matches(name, _FIELDS[table], 1, 0.5)
    return f"did you mean {near[0]}?" if near else f"known are {', '.join(_FIELDS[table])}"


def _value(table: str, source: str, place: str, name: str, value: Any) -> Any:
    """A setting as its field wants it."""
    if name not in _FIELDS[table]:
        raise UsageError(f"{source}: {place} is not known", hint=_nearest(table, name))
    kind = _FIELDS[table][name]
    try:
        if isinstance(value, str):
            return _parse(name, kind, value)
        if isinstance(value, Budget) and kind is Budget:
            return value
        if kind is Span and source != _FLAGS:
            raise UsageError(f"{value!r} has no unit", hint='a number and a unit, in quotation marks: "2s"')
        return msgspec.convert(value, int if kind is Span else kind)
    except (UsageError, msgspec.ValidationError) as error:
        raise UsageError(f"{source}: {place}: {error}", hint=getattr(error, "hint", "")) from None


def _parse(name: str, kind: Any, text: str) -> Any:
    if kind is Budget:
        return parse_budget(text)
    if kind is Span:
        return parse_span(text)
    if kind is bool:
        return _parse_truth(text)
    if name.endswith("_bytes"):
        return parse_bytes(text)
    if name == _PRESET and text not in PRESETS:
        raise UsageError(f"{text!r} is no preset", hint=f"known are {', '.join(PRESETS)}")
    if kind == tuple[str, ...]:
        return tuple(part.strip() for part in text.split(",") if part.strip())
    try:
        return kind(text)
    except ValueError:
        raise UsageError(f"{text!r} is no number") from None
