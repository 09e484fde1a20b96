"""xarray: datasets, arrays and variables, by what stands in their slots; their numbers are arrays as any other.

What the program has stays its own, and its arrays are filled where they have the same shape and type; variables are
found by their names. What lies in a file or in dask is no value yet, and is refused.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, Final

from goldthread.state.kind import Family, Store
from goldthread.state.kinds.recipes import Recipe, library, store_by
from goldthread.state.walk import Refusal, Walk

__all__ = ["FAMILY"]

_HOMES: Final = {
    "DataArray": "xarray",
    "Dataset": "xarray",
    "IndexVariable": "xarray",
    "PandasExtensionArray": "xarray.core.extension_array",
    "PandasIndex": "xarray.core.indexes",
    "PandasIndexingAdapter": "xarray.core.indexing",
    "PandasMultiIndex": "xarray.core.indexes",
    "PandasMultiIndexingAdapter": "xarray.core.indexing",
    "Variable": "xarray",
}
_CHANGING: Final = ("DataArray", "Dataset", "IndexVariable", "Variable")
_LEFT_OUT: Final = frozenset({"__weakref__", "__orig_class__", "_cache", "_close"})
_UNSET: Final = object()


def _to(thing: Any) -> dict[str, Any]:
    """What stands in its slots."""
    contents: dict[str, Any] = {}
    for name in _names_of(type(thing)):
        value = getattr(thing, name, _UNSET)
        if value is not _UNSET:
            contents[name] = value
    own = vars(thing) if hasattr(thing, "__dict__") else {}
    contents.update((name, value) for name, value in own.items() if name not in _LEFT_OUT)
    if "_coord_names" in contents:  # A set, of which nobody sees the order.
        contents["_coord_names"] = tuple(contents["_coord_names"])
    _refuse_lazy(contents.get("_data"))
    return contents


def _names_of(cls: type) -> dict[str, None]:
    found: dict[str, None] = {}
    for one in reversed(cls.__mro__):
        slots = vars(one).get("__slots__", ())
        found.update(dict.fromkeys((slots,) if isinstance(slots, str) else slots))
    return {name: None for name in found if name not in _LEFT_OUT}


def _refuse_lazy(data: Any) -> None:
    package = type(data).__module__.partition(".")[0]
    if package == "dask":
        raise Refusal("an array of dask cannot be stored", "compute() it, or keep it out of the state")
    if package == "xarray" and type(data).__name__ not in _HOMES:
        raise Refusal("what xarray has not read yet cannot be stored", "load() it, or keep it out of the state")


def _maker(name: str) -> Callable[[Any], Any]:
    def back(contents: dict[str, Any]) -> Any:
        found = vars(library(_HOMES[name])).get(name)
        if found is None:
            raise ImportError(f"this xarray has no {name}", name="another version of xarray")
        return _fill(object.__new__(found), contents)

    return back


def _fill(thing: Any, contents: dict[str, Any]) -> Any:
    for name in ("_cache", "_close"):
        if name in _all_slots(type(thing)):
            object.__setattr__(thing, name, None)
    for name, value in contents.items():
        object.__setattr__(thing, name, set(value) if name == "_coord_names" else value)
    return thing


def _all_slots(cls: type) -> set[str]:
    return {name for one in cls.__mro__ for name in vars(one).get("__slots__", ())}


def _pour(current: Any, contents: dict[str, Any]) -> bool:
    _fill(current, contents)
    return True


def _exactly(name: str) -> Callable[[Any], bool]:
    return lambda thing: type(thing) is vars(sys.modules.get(_HOMES[name], sys)).get(name)


def _store_of(name: str) -> Store:
    if name not in _CHANGING:
        return store_by(Recipe(f"xarray.{name}", _to, _maker(name), suits=_exactly(name)))
    store = store_by(Recipe(f"xarray.{name}", _to, _maker(name), _pour, _exactly(name), own=_to))

    def store_closed(walk: Walk, thing: Any) -> None:
        if getattr(thing, "_close", None) is not None:
            walk.tell(f"a {name} of xarray forgets the file that it was read from")
        store(walk, thing)

    return store_closed


_STORES: Final[dict[str, Store]] = {name: _store_of(name) for name in _HOMES}


def _refuse(walk: Walk, thing: Any) -> None:
    name = type(thing).__name__
    raise Refusal(f"{name} of xarray cannot be stored", f"goldthread.register({name}, to=..., back=...)")


def _claim(cls: type) -> Store | None:
    name, xarray = cls.__name__, sys.modules["xarray"]
    if not hasattr(xarray, "Dataset"):
        return None
    if name in _HOMES and vars(library(_HOMES[name])).get(name) is cls:
        return _STORES[name]
    bases = (xarray.Dataset, xarray.DataArray, xarray.Variable, xarray.Index)
    return _refuse if issubclass(cls, bases) else None


FAMILY: Final = Family(claim=_claim, package="xarray")
