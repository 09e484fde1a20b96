"""From what a user writes to a `Policy`: the file `goldthread.toml`, the environment, flags, in rising order.

    [policy]
    hang_floor = "2min"             # GOLDTHREAD_HANG_FLOOR=2min
    vault_free_bytes = "1GiB"       # GOLDTHREAD_VAULT_FREE_BYTES=1GiB
    budget = "5/10min"              # GOLDTHREAD_BUDGET=5/10min
    vault_keep = 3                  # GOLDTHREAD_VAULT_KEEP=3

What is not understood is refused, never passed over: a setting that silently does nothing is worse than none.
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
from goldthread.policy import Budget, Policy

__all__ = ["load", "parse_budget", "parse_bytes", "parse_span"]

_FILE: Final = "goldthread.toml"
_PREFIX: Final = "GOLDTHREAD_"
_FLAGS: Final = "the flags"
_FIELDS: Final = {field.name: field.type for field in msgspec.structs.fields(Policy)}
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
_NUMBER: Final = r"\d+(?:\.\d+)?"
_SPAN_PART: Final = re.compile(rf"\s*({_NUMBER})\s*([a-z]+)\s*")
_SIZE: Final = re.compile(rf"\s*({_NUMBER})\s*([a-z]*)\s*")


def load(
    home: Path, overrides: Mapping[str, Any] | None = None, environment: Mapping[str, str] | None = None
) -> Policy:
    """The policy of the keeper of `home`.

    `overrides` come from flags, by field: text as in the file, or values ready made; None leaves a field alone. Raises
    `UsageError` with the place of what is wrong.
    """
    environment = os.environ if environment is None else environment
    told: dict[str, Any] = {}
    sources = []
    for source, pairs in (
        _read_file(home, environment),
        ("the environment", _read_environment(environment)),
        (_FLAGS, [(name, name, value) for name, value in (overrides or {}).items() if value is not None]),
    ):
        for place, name, value in pairs:
            told[name] = _value(source, place, name, value)
            sources.append(f"{place} in {source}")
    try:
        return Policy(**told)
    except UsageError as error:
        raise UsageError(str(error), hint=f"it was changed by {', '.join(sources)}") from None


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


def parse_budget(text: str) -> Budget:
    """`5` restarts in the usual period, or `5/10min`. Raises `UsageError`."""
    count, slash, period = text.partition("/")
    if not count.strip().isdecimal():
        raise UsageError(f"{text!r} is no restart budget", hint="a count, and a period if need be: 5, 5/10min, 0")
    return Budget(int(count), parse_span(period)) if slash else Budget(int(count))


_Pairs = Iterable[tuple[str, str, Any]]
"""Place, field and value of each setting."""


def _read_file(home: Path, environment: Mapping[str, str]) -> tuple[str, _Pairs]:
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
    for table, content in tables.items():
        if table != "policy" or not isinstance(content, dict):
            raise UsageError(f"{path}: {table} is not known", hint="settings stand in the table [policy]")
    policy = tables.get("policy", {})
    for name in policy:
        if name not in _FIELDS:
            raise UsageError(f"{path}: [policy] {name} is not known", hint=_nearest(name))
    return str(path), [(f"[policy] {name}", name, value) for name, value in policy.items()]


def _read_environment(environment: Mapping[str, str]) -> _Pairs:
    """Settings among the variables. Others that begin with the prefix have their own meaning elsewhere; one that looks
    like a setting with a slip in it is refused."""
    for variable, value in environment.items():
        if not variable.startswith(_PREFIX):
            continue
        name = variable.removeprefix(_PREFIX).lower()
        if name in _FIELDS:
            yield variable, name, value
        elif near := difflib.get_close_matches(name, _FIELDS, 1, _ALIKE):
            raise UsageError(f"{variable} is not known", hint=f"did you mean {_PREFIX}{near[0].upper()}?")


def _nearest(name: str) -> str:
    near = difflib.get_close_matches(name, _FIELDS, 1, 0.5)
    return f"did you mean {near[0]}?" if near else f"known are {', '.join(_FIELDS)}"


def _value(source: str, place: str, name: str, value: Any) -> Any:
    """A setting as its field wants it."""
    if name not in _FIELDS:
        raise UsageError(f"{source}: {place} is not known", hint=_nearest(name))
    kind = _FIELDS[name]
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
    if name.endswith("_bytes"):
        return parse_bytes(text)
    try:
        return kind(text)
    except ValueError:
        raise UsageError(f"{text!r} is no number") from None
