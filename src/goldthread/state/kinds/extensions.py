"""What columns of pandas are made of beside NumPy's arrays: extension arrays, their types, and offsets of dates.

An array is taken apart into the arrays that it lies in, which are its own memory, and its type. Types and offsets are
made again by the constructors of pandas, of a fixed list of classes; an offset that does not come back equal is refused
at commit. What other packages add (`ExtensionArray`, `ExtensionDtype`) is stored as any object is, or as it was
registered.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np

from goldthread.state.kind import Store
from goldthread.state.kinds.recipes import Recipe, library, store_by
from goldthread.state.walk import Refusal

__all__ = ["ARRAYS", "array_of", "exactly_of", "parts_of", "stores_of"]

ARRAYS: Final = ("pandas.arrays", "pandas.core.arrays.string_arrow", "pandas.core.arrays.string_")
"""Where the classes of arrays are found."""
_BACKED: Final = ("Categorical", "DatetimeArray", "TimedeltaArray", "PeriodArray", "NumpyExtensionArray")
_MASKED: Final = ("BooleanArray", "IntegerArray", "FloatingArray")
_TEXT: Final = ("StringArray", "StringArrayNumpySemantics")
_ARROW: Final = ("ArrowExtensionArray", "ArrowStringArray", "ArrowStringArrayNumpySemantics")
_OTHERS: Final = ("IntervalArray", "SparseArray")
_NAMES: Final = frozenset((*_BACKED, *_MASKED, *_TEXT, *_ARROW, *_OTHERS))
_MASKED_TYPES: Final = ("BooleanDtype", "Float32Dtype", "Float64Dtype", "Int8Dtype", "Int16Dtype", "Int32Dtype",
                        "Int64Dtype", "UInt8Dtype", "UInt16Dtype", "UInt32Dtype", "UInt64Dtype")  # fmt: skip


def array_class(name: str) -> Any:
    """An array class of pandas."""
    pandas = library("pandas")
    places = (pandas, *(library(place) for place in ARRAYS))
    found = next((vars(place)[name] for place in places if name in vars(place)), None)
    if found is None or name not in _NAMES:
        raise ImportError(f"this pandas has no {name}; the one that stored it had", name="another version of pandas")
    return found


def exactly_of(thing: Any) -> str:
    """The name of an array's class, where it is pandas' own; empty where it is another's."""
    cls = type(thing)
    return cls.__name__ if cls.__name__ in _NAMES and cls.__module__.partition(".")[0] == "pandas" else ""


def parts_of(values: Any) -> Any:
    """What an array lies in: itself, where it is NumPy's or another package's."""
    name = exactly_of(values)
    if name == "" or type(values) is np.ndarray:
        return values
    dtype = values.dtype
    if name in _BACKED:
        return name, dtype, values._ndarray, vars(values).get("_freq")
    if name in _MASKED:
        return name, dtype, values._data, values._mask
    if name in _TEXT:  # None for what is missing: text and None are one value of a manifest.
        items = values._ndarray.copy()
        items[values.isna()] = None
        return name, dtype, items
    if name in _ARROW:
        return name, dtype, values._pa_array
    if name == "IntervalArray":
        return name, dtype, parts_of(values._left), parts_of(values._right)
    index = values.sp_index
    arrays = (index.indices,) if type(index).__name__ == "IntIndex" else (index.blocs, index.blengths)
    return name, dtype, values.sp_values, type(index).__name__, index.length, arrays


def array_of(parts: Any) -> Any:
    """The array again, around the arrays in its parts."""
    if type(parts) is not tuple:
        return parts
    name, dtype, first, *rest = parts
    cls = array_class(name)
    if name in _BACKED:
        made = cls._simple_new(first, dtype=dtype)
        if rest[0] is not None:
            made._freq = rest[0]
        return made
    if name in _MASKED:
        return cls._simple_new(first, rest[0])
    if name in _TEXT:
        nothing: Any = None
        first[np.equal(first, nothing)] = dtype.na_value
        made = cls.__new__(cls)
        library("pandas._libs.arrays").NDArrayBacked.__init__(made, first, dtype)
        return made
    if name in _ARROW:
        made = cls(first)
        made._pa_array, made._dtype = first, dtype
        return made
    if name == "IntervalArray":
        return cls._simple_new(array_of(first), array_of(rest[0]), dtype)
    kind, length, arrays = rest
    sparse = library("pandas._libs.sparse")
    index = sparse.IntIndex(length, *arrays) if kind == "IntIndex" else sparse.BlockIndex(length, *arrays)
    return cls._simple_new(first, index, dtype)


# Types.


def _type_to(dtype: Any) -> Any:
    name = type(dtype).__name__
    if name in _MASKED_TYPES:
        return (name,)
    return name, *_TYPES[name][0](dtype)


def _type_back(parts: Any) -> Any:
    name, *details = parts
    if name in _MASKED_TYPES:
        return getattr(library("pandas"), name)()
    return _TYPES[name][1](*details)


def _numpy_type(dtype: Any) -> Any:
    return library("pandas.core.dtypes.dtypes").NumpyEADtype(dtype)


_TYPES: Final[dict[str, tuple[Callable[[Any], tuple[Any, ...]], Callable[..., Any]]]] = {
    "CategoricalDtype": (
        lambda dtype: (dtype.categories, dtype.ordered),
        lambda *details: library("pandas").CategoricalDtype._from_fastpath(*details),
    ),
    "DatetimeTZDtype": (
        lambda dtype: (dtype.unit, dtype.tz),
        lambda unit, tz: library("pandas").DatetimeTZDtype(unit=unit, tz=tz),
    ),
    "PeriodDtype": (lambda dtype: (dtype.freq,), lambda freq: library("pandas").PeriodDtype(freq)),
    "IntervalDtype": (
        lambda dtype: (dtype.subtype, dtype.closed),
        lambda subtype, closed: library("pandas").IntervalDtype(subtype, closed),
    ),
    "SparseDtype": (
        lambda dtype: (dtype.subtype, dtype.fill_value),
        lambda subtype, fill: library("pandas").SparseDtype(subtype, fill),
    ),
    "StringDtype": (
        lambda dtype: (dtype.storage, dtype.na_value),
        lambda storage, missing: _text_type(storage, missing),
    ),
    "ArrowDtype": (lambda dtype: (dtype.pyarrow_dtype,), lambda inner: library("pandas").ArrowDtype(inner)),
    "NumpyEADtype": (lambda dtype: (dtype.numpy_dtype,), _numpy_type),
}


def _text_type(storage: str, missing: Any) -> Any:
    pandas = library("pandas")
    if missing is pandas.NA:
        return pandas.StringDtype(storage)
    return pandas.StringDtype(storage, na_value=np.nan)


# Offsets.


def _offset_to(offset: Any) -> Any:
    parts = type(offset).__name__, offset.n, offset.normalize, _offset_details(offset)
    try:
        is_same = _offset_back(parts) == offset
    except (TypeError, ValueError, AttributeError, ImportError):
        is_same = False
    if not is_same:
        raise Refusal(f"the offset {offset!r} cannot be stored", "make it where it is used, from what is in the state")
    return parts


def _offset_details(offset: Any) -> dict[str, Any]:
    """What its constructor is given by name. A calendar is made of the weekmask and the holidays."""
    return {name: value for name, value in offset.kwds.items() if name != "calendar"}


def _offset_back(parts: Any) -> Any:
    name, count, normalize, details = parts
    cls = vars(library("pandas.tseries.offsets")).get(name)
    base = library("pandas._libs.tslibs.offsets").BaseOffset
    if not isinstance(cls, type) or not issubclass(cls, base):
        raise ImportError(f"this pandas has no offset {name}", name="another version of pandas")
    return cls(count, normalize=normalize, **details) if normalize or details else cls(count)


_ARRAY: Final[Store] = store_by(
    Recipe("pandas.array", parts_of, array_of, suits=lambda thing: exactly_of(thing) != "")
)  # fmt: skip
_DTYPE: Final[Store] = store_by(
    Recipe("pandas.dtype", _type_to, _type_back, suits=lambda thing: stores_of(type(thing)) is _DTYPE)
)
_OFFSET: Final[Store] = store_by(
    Recipe("pandas.offset", _offset_to, _offset_back, suits=lambda thing: stores_of(type(thing)) is _OFFSET)
)


def stores_of(cls: type) -> Store | None:
    """How things of a class of this file are stored; None where it is none of them."""
    name, package = cls.__name__, cls.__module__.partition(".")[0]
    if package != "pandas":
        return None
    if name in _NAMES:
        return _ARRAY
    if name in _TYPES or name in _MASKED_TYPES:
        return _DTYPE
    if vars(library("pandas.tseries.offsets")).get(name) is cls:
        return _OFFSET
    return None
