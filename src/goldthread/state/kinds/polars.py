"""polars: tables, series, types and schemas.

A chunk of numbers or moments of which none is missing is stored as it lies in memory; all else by way of Arrow's stream
format, as polars writes it. Chunks are kept, and that a series is known to be sorted. A table or series of the program
stays the program's own, around new memory: that of polars never changes. Lazy frames and expressions are plans, not
data, and are refused.
"""

from __future__ import annotations

import io
import sys
from typing import Any, Final

import numpy as np

from goldthread.state.classes import loaded
from goldthread.state.kind import Family, Store
from goldthread.state.kinds.recipes import Recipe, library, refuse_own_attributes, store_by
from goldthread.state.walk import Refusal, Walk

__all__ = ["FAMILY"]

Array = np.ndarray[Any, Any]
_SORTED: Final = (("SORTED_ASC", False), ("SORTED_DESC", True))


def _series_to(series: Any) -> Any:
    """Name, type, which way it is sorted, and the chunks."""
    refuse_own_attributes(series)
    polars = library("polars")
    if series.dtype == polars.Object:
        raise Refusal("a polars series of Python objects cannot be stored", "keep the objects in a list")
    flags = series.flags
    sort = next((descending for name, descending in _SORTED if flags.get(name)), None)
    plain = series.dtype.is_numeric() and not series.dtype.is_decimal() and series.dtype not in _wide(polars)
    chunks = tuple(
        _chunk_to(chunk, plain or series.dtype.is_temporal())
        for chunk in (series.get_chunks() if series.n_chunks() > 1 else [series])
    )
    return series.name, None if plain else _stream_of(series.clear()), sort, chunks


def _wide(polars: Any) -> tuple[Any, ...]:
    """Numbers that NumPy has not."""
    return tuple(getattr(polars, name) for name in ("Int128", "UInt128") if hasattr(polars, name))


def _chunk_to(chunk: Any, plain: bool) -> tuple[str, Array]:
    if plain and chunk.null_count() == 0 and len(chunk):
        found = chunk.to_physical().to_numpy(allow_copy=False).view()
        found.flags.writeable = False
        return "plain", found
    return "stream", _stream_of(chunk)


def _stream_of(series: Any) -> Array:
    made = io.BytesIO()
    series.to_frame().write_ipc_stream(made, compat_level=library("polars").CompatLevel.newest())
    return np.frombuffer(made.getbuffer(), np.uint8)


def _from_stream(data: Array) -> Any:
    return library("polars").read_ipc_stream(io.BytesIO(data.tobytes())).to_series().rechunk()


def _series_back(parts: Any) -> Any:
    polars = library("polars")
    name, kind, sort, chunks = parts
    dtype = None if kind is None else _from_stream(kind).dtype
    made = [_chunk_back(name, dtype, *chunk) for chunk in chunks]
    whole = made[0] if len(made) == 1 else polars.concat(made, rechunk=False)
    return whole if sort is None else whole.set_sorted(descending=sort)


def _chunk_back(name: str, dtype: Any, form: str, data: Array) -> Any:
    if form == "stream":
        return _from_stream(data)
    made = library("polars").Series(name, data)
    return made if dtype is None else made.cast(dtype)


def _frame_to(frame: Any) -> Any:
    refuse_own_attributes(frame)
    return frame.height, tuple(map(_series_to, frame.get_columns()))


def _frame_back(parts: Any) -> Any:
    height, columns = parts
    polars = library("polars")
    if columns or not height:
        return polars.DataFrame(list(map(_series_back, columns)))
    return polars.DataFrame(height=height)


def _pour_frame(current: Any, parts: Any) -> bool:
    current._df = _frame_back(parts)._df
    return True


def _pour_series(current: Any, parts: Any) -> bool:
    current._s = _series_back(parts)._s
    return True


def _type_to(dtype: Any) -> Any:
    try:
        found = _stream_of(library("polars").Series("", [], dtype=dtype))
        made = _type_back(found)
        is_same = made == dtype and type(made) is type(dtype)
    except Exception:  # polars raises a panic of its own for types that it cannot write.
        is_same = False
    if not is_same:
        raise Refusal(f"the polars type {dtype!r} cannot be stored", "store its name")
    return found


def _type_back(data: Any) -> Any:
    return _from_stream(data).dtype


def _schema_back(parts: Any) -> Any:
    return library("polars").Schema(parts)


def _refuse(walk: Walk, thing: Any) -> None:
    name = type(thing).__name__
    if name in ("LazyFrame", "Expr"):
        raise Refusal(f"{name} is a plan, and cannot be stored", "store what collect() gives, or make it anew")
    raise Refusal(
        f"{name}, a subclass of one of polars, cannot be stored",
        f"goldthread.register({name}, to=..., back=...); or use the class of polars",
    )


def _exact(name: str) -> Any:
    return lambda thing: type(thing) is getattr(sys.modules.get("polars"), name, None)


_FRAME: Final = store_by(
    Recipe("polars.DataFrame", _frame_to, _frame_back, _pour_frame, _exact("DataFrame"), own=lambda frame: None)
)
_SERIES: Final = store_by(
    Recipe("polars.Series", _series_to, _series_back, _pour_series, _exact("Series"), own=lambda series: None)
)
_TYPE: Final = store_by(Recipe("polars.type", _type_to, _type_back))
_SCHEMA: Final = store_by(
    Recipe("polars.Schema", lambda schema: list(schema.items()), _schema_back, suits=_exact("Schema"))
)


def _claim(cls: type) -> Store | None:
    polars = sys.modules["polars"]
    if not hasattr(polars, "DataFrame"):
        return None
    exact = {polars.DataFrame: _FRAME, polars.Series: _SERIES}
    if hasattr(polars, "Schema"):
        exact[polars.Schema] = _SCHEMA
    if cls in exact:
        return exact[cls]
    if issubclass(cls, polars.DataType):
        return _TYPE
    return _refuse if issubclass(cls, (polars.DataFrame, polars.Series, polars.LazyFrame, polars.Expr)) else None


def _knows(path: str) -> bool:
    """The types of polars are classes as often as they are things."""
    if not path.startswith("polars.datatypes."):
        return False
    found, base = loaded(path), getattr(sys.modules.get("polars"), "DataType", None)
    return isinstance(found, type) and isinstance(base, type) and issubclass(found, base)


FAMILY: Final = Family(claim=_claim, knows=_knows, package="polars")
