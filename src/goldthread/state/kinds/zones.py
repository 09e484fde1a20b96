"""Time zones of pytz and dateutil, by their names. Those of the standard library stand with the values."""

from __future__ import annotations

import sys
from typing import Any, Final

from goldthread.state.kind import Family, Store
from goldthread.state.kinds.recipes import Recipe, library, store_by
from goldthread.state.walk import Refusal

__all__ = ["DATEUTIL", "PYTZ"]

_FOLDERS: Final = ("/usr/share/zoneinfo/", "/usr/lib/zoneinfo/", "/usr/share/lib/zoneinfo/", "/etc/zoneinfo/")
"""Where dateutil looks for a name."""
_HINT: Final = "use zoneinfo.ZoneInfo(name) or datetime.timezone(offset)"


def _pytz_to(zone: Any) -> Any:
    """Its name, and which of its offsets it is; or minutes."""
    pytz = library("pytz")
    if type(zone) is type(pytz.FixedOffset(1)):
        return zone._minutes, None
    name = zone.zone
    whole = pytz.timezone(name) if name in pytz.all_timezones_set else None
    if whole is zone:
        return name, None
    part = next((key for key, one in getattr(whole, "_tzinfos", {}).items() if one is zone), None)
    if part is None:
        raise Refusal(f"the time zone {zone!r} is none that pytz gives by its name", _HINT)
    return name, part


def _pytz_back(parts: Any) -> Any:
    name, part = parts
    pytz = library("pytz")
    if isinstance(name, int):
        return pytz.FixedOffset(name)
    whole = pytz.timezone(name)
    return whole if part is None else whole._tzinfos[part]


def _dateutil_to(zone: Any) -> Any:
    """Its kind, and its name or its offset."""
    kind = type(zone).__name__
    if kind == "tzoffset":
        return kind, zone._name, zone._offset
    if kind in ("tzutc", "tzlocal"):
        return kind, None, None
    name = _name_of_file(str(getattr(zone, "_filename", "")))
    parts = "tzfile", name, None
    made = _dateutil_back(parts) if kind == "tzfile" and name else None
    if made is None or made != zone or repr(made) != repr(zone):
        raise Refusal(f"the time zone {zone!r} is none that dateutil gives by its name", _HINT)
    return parts


def _name_of_file(path: str) -> str:
    return next((path.removeprefix(folder) for folder in _FOLDERS if path.startswith(folder)), path)


def _dateutil_back(parts: Any) -> Any:
    kind, name, offset = parts
    zones = library("dateutil.tz")
    if kind == "tzoffset":
        return zones.tzoffset(name, offset)
    if kind in ("tzutc", "tzlocal"):
        return getattr(zones, kind)()
    if name.startswith("/") or ".." in name:
        raise ImportError(f"{name} is no name of a time zone", name="nothing")
    return zones.gettz(name)


_PYTZ: Final[Store] = store_by(Recipe("pytz.zone", _pytz_to, _pytz_back))
_DATEUTIL: Final[Store] = store_by(Recipe("dateutil.zone", _dateutil_to, _dateutil_back))


def _claim_pytz(cls: type) -> Store | None:
    pytz = sys.modules["pytz"]
    if not hasattr(pytz, "FixedOffset"):
        return None
    is_one = cls in (type(pytz.utc), type(pytz.FixedOffset(1))) or issubclass(cls, pytz.tzinfo.BaseTzInfo)
    return _PYTZ if is_one else None


def _claim_dateutil(cls: type) -> Store | None:
    zones = sys.modules["dateutil.tz"]
    names = ("tzutc", "tzoffset", "tzlocal", "tzfile")
    return _DATEUTIL if any(getattr(zones, name, None) is cls for name in names) else None


PYTZ: Final = Family(claim=_claim_pytz, package="pytz")
DATEUTIL: Final = Family(claim=_claim_dateutil, package="dateutil.tz")
