"""pandas: tables, series, indexes, and the moments, spans and missing values in them.

A table is stored as the arrays in which its columns lie side by side (its blocks), so that a commit copies of them what
changed, and a restore makes a table around new arrays without another copy. A table of the program stays the program's
own, with what the commit has in it: arrays of the same shape and type are filled where they lie.

*Copy on write.* pandas lets tables share memory and copies when one of them is written. Which arrays it knows to be
shared is stored too (`BlockValuesRefs`), and memory that something else of the program refers to is not filled: a
column that was taken out of a table keeps its values.

How columns are grouped in blocks is kept; that pandas knows nothing left to group is not, and can be seen nowhere.
"""

from __future__ import annotations

import sys
from typing import Any, Final

import numpy as np

from goldthread.state.kind import Family, Form, Kind, Store
from goldthread.state.kinds.extensions import array_of, parts_of, stores_of
from goldthread.state.kinds.recipes import Recipe, library, refuse_own_attributes, store_by
from goldthread.state.nodes import Node
from goldthread.state.walk import Refusal, Walk, in_brackets

__all__ = ["FAMILY"]

_VALUES: Final = 3
"""Where the arrays stand in what is stored of a table."""
_OWN: Final = frozenset({"_mgr", "_attrs", "_flags", "_item_cache", "_name", "_cacher", "_is_copy"})
"""Attributes of a table or series that are stored otherwise, or not: all others are the program's."""


# Tables and series.


def _frame_to(frame: Any) -> tuple[Any, ...]:
    """Columns, index, which columns lie where, the arrays, what is shared, and what else the program said of it."""
    manager = frame._mgr
    blocks = manager.blocks
    places = [block.mgr_locs.as_array for block in blocks]
    where = np.concatenate(places) if places else np.zeros(0, np.intp)
    lengths = [len(place) for place in places]
    arrays = tuple(parts_of(block.values) for block in blocks)
    shared = tuple(block.refs for block in blocks)
    return manager.axes[0], manager.axes[1], (where, lengths), arrays, shared, _said_of(frame)


def _series_to(series: Any) -> tuple[Any, ...]:
    block = series._mgr.blocks[0]
    return series._name, series._mgr.axes[0], None, (parts_of(block.values),), (block.refs,), _said_of(series)


def _said_of(thing: Any) -> tuple[Any, ...]:
    own = {name: value for name, value in vars(thing).items() if name not in _OWN}
    return thing._attrs, thing.flags.allows_duplicate_labels, own


def _own_frame(frame: Any) -> tuple[Any, ...]:
    return _own(frame, _frame_to(frame))


def _own_series(series: Any) -> tuple[Any, ...]:
    return _own(series, _series_to(series))


def _own(thing: Any, parts: tuple[Any, ...]) -> tuple[Any, ...]:
    """What may be filled: the arrays to which nothing else refers. What pandas 2 keeps of its columns is no one's."""
    vars(thing).get("_item_cache", {}).clear()
    blocks = thing._mgr.blocks
    arrays = tuple(
        None if block.refs.has_reference() else part for block, part in zip(blocks, parts[_VALUES], strict=True)
    )
    return (None, None, None, arrays, None, None)


def _manager(contents: tuple[Any, ...]) -> Any:
    """What holds the columns, around the arrays in the contents."""
    first, index, where, arrays, shared = contents[:5]
    internals = library("pandas.core.internals.managers")
    new_block = library("pandas.core.internals.blocks").new_block
    placement = library("pandas._libs.internals").BlockPlacement
    if where is None:
        block = new_block(array_of(arrays[0]), placement(slice(0, len(index))), ndim=1, refs=shared[0])
        return internals.SingleBlockManager(block, index)
    columns, lengths = where
    blocks, start = [], 0
    for length, parts, refs in zip(lengths, arrays, shared, strict=True):
        place = placement(_as_slice(columns[start : start + length]))
        blocks.append(new_block(array_of(parts), place, ndim=2, refs=refs))
        start += length
    return internals.BlockManager(tuple(blocks), [first, index], verify_integrity=True)


def _as_slice(places: Any) -> Any:
    """Columns side by side as a slice, as pandas has them."""
    if len(places) and (places == np.arange(places[0], places[0] + len(places))).all():
        return slice(int(places[0]), int(places[0]) + len(places))
    return places.copy()


def _frame_back(contents: tuple[Any, ...]) -> Any:
    return _filled(object.__new__(library("pandas").DataFrame), contents)


def _series_back(contents: tuple[Any, ...]) -> Any:
    return _filled(object.__new__(library("pandas").Series), contents)


def _filled(thing: Any, contents: tuple[Any, ...]) -> Any:
    """Give a table or series, which may be new, these contents."""
    attributes, allows_duplicates, own = contents[5]
    library("pandas.core.generic").NDFrame.__init__(thing, _manager(contents))
    if contents[2] is None:
        object.__setattr__(thing, "_name", contents[0])
    object.__setattr__(thing, "_attrs", attributes)
    thing.flags._allows_duplicate_labels = allows_duplicates
    for name, value in own.items():
        object.__setattr__(thing, name, value)
    return thing


def _pour(current: Any, contents: tuple[Any, ...]) -> bool:
    for name in [name for name in vars(current) if name not in _OWN]:
        object.__delattr__(current, name)
    _filled(current, contents)
    return True


def _subclass_to(thing: Any) -> Any:
    for cls in type(thing).__mro__:
        if cls.__module__.partition(".")[0] == "pandas":
            break
        if vars(cls).get("__slots__"):
            raise Refusal(f"{type(thing).__name__} has slots, which are not stored", "keep what is in them elsewhere")
    return type(thing), _frame_to(thing) if _is_a(thing, "DataFrame") else _series_to(thing)


def _subclass_back(contents: Any) -> Any:
    cls, parts = contents
    pandas = library("pandas")
    if not isinstance(cls, type) or not issubclass(cls, (pandas.DataFrame, pandas.Series)):
        raise ImportError(f"{cls!r} is no table any more", name="the version of it that is one")
    return _filled(object.__new__(cls), parts)


# Indexes. They never change, so one of the program is replaced.

_PLAIN_INDEXES: Final = ("Index", "DatetimeIndex", "TimedeltaIndex", "PeriodIndex", "CategoricalIndex", "IntervalIndex")


def _index_to(index: Any) -> Any:
    refuse_own_attributes(index)
    return type(index).__name__, index._name, parts_of(index._data), index._references, vars(index).get("_freq")


def _index_back(contents: Any) -> Any:
    kind, name, parts, shared, freq = contents
    if kind not in _PLAIN_INDEXES:
        raise ImportError(f"there is no {kind}", name="another version of pandas")
    made = getattr(library("pandas"), kind)._simple_new(array_of(parts), name=name, refs=shared)
    if freq is not None:
        made._freq = freq
    return made


def _range_to(index: Any) -> Any:
    refuse_own_attributes(index)
    span = index._range
    return span.start, span.stop, span.step, index._name


def _range_back(contents: Any) -> Any:
    start, stop, step, name = contents
    return library("pandas").RangeIndex._simple_new(range(start, stop, step), name)


def _levels_to(index: Any) -> Any:
    refuse_own_attributes(index, "sortorder")
    name = vars(index).get("_name")  # It has names; xarray gives it one more.
    return tuple(index._levels), tuple(index._codes), list(index.names), index.sortorder, name


def _levels_back(contents: Any) -> Any:
    levels, codes, names, order, name = contents
    cls = library("pandas").MultiIndex
    made = cls(levels, codes, sortorder=order, names=names, copy=False, verify_integrity=False)
    if name is not None:
        made._name = name
    return made


# Moments and spans.


def _moment_to(moment: Any) -> Any:
    parts = int(moment._value), int(moment._creso), moment.tzinfo, moment.fold
    made = _moment_back(parts)
    if made != moment or made.fold != moment.fold or made.unit != moment.unit:
        raise Refusal(f"the moment {moment!r} cannot be stored", "tz_convert it to UTC")
    return parts


def _moment_back(parts: Any) -> Any:
    value, unit, zone, fold = parts
    made = library("pandas").Timestamp._from_value_and_reso(value, unit, zone)
    return made if made.fold == fold else made.replace(fold=fold)


def _span_to(span: Any) -> Any:
    return int(span._value), int(span._creso)


def _span_back(parts: Any) -> Any:
    return library("pandas").Timedelta._from_value_and_reso(*parts)


def _period_back(parts: Any) -> Any:
    ordinal, freq = parts
    return library("pandas").Period(ordinal=ordinal, freq=freq)


def _interval_back(parts: Any) -> Any:
    return library("pandas").Interval(*parts)


def _missing(walk: Walk, thing: Any) -> None:
    walk.note("pandas.missing", "NA" if thing is library("pandas").NA else "NaT")


def _make_missing(rebuilder: Any, node: Node, place: object) -> Any:
    pandas = sys.modules.get("pandas")
    return node.value if pandas is None else pandas.NaT if node.value == "NaT" else pandas.NA


def _shared_back(contents: Any) -> Any:
    return library("pandas._libs.internals").BlockValuesRefs()


# Whose a thing is.


def _is_a(thing: Any, *names: str, exactly: bool = False) -> bool:
    pandas = sys.modules.get("pandas")
    classes = tuple(getattr(pandas, name) for name in names if hasattr(pandas, name))
    return type(thing) in classes if exactly else isinstance(thing, classes)


def _placed(store: Store) -> Store:
    """Places in a table as the program writes them: `["column"].iloc[3]`."""

    def store_placed(walk: Walk, thing: Any) -> None:
        try:
            store(walk, thing)
        except Refusal as refusal:
            numbers = _numbers_at_the_end(refusal.path[:-1])
            path, depth = _place_in(thing, numbers)
            refusal.path[len(refusal.path) - 1 - depth :] = reversed(path)
            raise

    return store_placed


def _placed_label(walk: Walk, thing: Any) -> None:
    """The place of a label: which of them it is."""
    try:
        _INDEX(walk, thing)
    except Refusal as refusal:
        del refusal.path[-2:-1]
        raise


def _numbers_at_the_end(path: list[str]) -> list[int]:
    """The pieces of a place that are numbers, outermost first; a refusal has its path from within."""
    numbers: list[int] = []
    for piece in reversed(path):
        if not piece[1:-1].isdigit():
            break
        numbers.append(int(piece[1:-1]))
    return numbers


def _place_in(thing: Any, numbers: list[int]) -> tuple[list[str], int]:
    """What the program writes for a place in what is stored; and how many of the numbers say so."""
    match numbers:
        case [0, *_] if thing.ndim == 1:
            return [".name"], 1
        case [(0 | 1) as axis, *_]:
            return [".columns" if thing.ndim == 2 and axis == 0 else ".index"], 1
        case [5, part, *_]:
            return ["" if part else ".attrs"], 2
        case [3, block, *rest]:
            return _place_in_block(thing, thing._mgr.blocks[block], rest)
    return [], 0


def _place_in_block(thing: Any, block: Any, rest: list[int]) -> tuple[list[str], int]:
    """The column, and where it has Python's objects, which of them."""
    is_plain = type(block.values) is np.ndarray and bool(rest)
    row, rows = rest[0] if is_plain else 0, max(len(thing), 1)
    item = [f".iloc[{row % rows}]"] if is_plain else []
    if thing.ndim == 2:
        item.insert(0, in_brackets(thing._mgr.axes[0][block.mgr_locs.as_array[row // rows]]))
    return item, 3 if is_plain else 2


def _exact(*names: str) -> Any:
    return lambda thing: _is_a(thing, *names, exactly=True)


_FRAME: Final = store_by(Recipe("pandas.DataFrame", _frame_to, _frame_back, _pour, _exact("DataFrame"), own=_own_frame))
_SERIES: Final = store_by(Recipe("pandas.Series", _series_to, _series_back, _pour, _exact("Series"), own=_own_series))
_SUBCLASS: Final = store_by(
    Recipe(
        "pandas.subclass",
        _subclass_to,
        _subclass_back,
        suits=lambda thing: _is_a(thing, "DataFrame", "Series"),
    )
)
_INDEX: Final = store_by(Recipe("pandas.Index", _index_to, _index_back, suits=_exact(*_PLAIN_INDEXES)))
_RANGE: Final = store_by(Recipe("pandas.RangeIndex", _range_to, _range_back, suits=_exact("RangeIndex")))
_LEVELS: Final = store_by(Recipe("pandas.MultiIndex", _levels_to, _levels_back, suits=_exact("MultiIndex")))
_MOMENT: Final = store_by(Recipe("pandas.Timestamp", _moment_to, _moment_back))
_SPAN: Final = store_by(Recipe("pandas.Timedelta", _span_to, _span_back))
_PERIOD: Final = store_by(Recipe("pandas.Period", lambda period: (period.ordinal, period.freq), _period_back))
_INTERVAL: Final = store_by(
    Recipe("pandas.Interval", lambda interval: (interval.left, interval.right, interval.closed), _interval_back)
)
_SHARED: Final = store_by(Recipe("pandas.shared", lambda shared: None, _shared_back))

_STORES: Final[dict[str, Store]] = {
    "DataFrame": _placed(_FRAME),
    "Series": _placed(_SERIES),
    **dict.fromkeys(_PLAIN_INDEXES, _placed_label),
    "RangeIndex": _RANGE,
    "MultiIndex": _LEVELS,
    "Timestamp": _MOMENT,
    "Timedelta": _SPAN,
    "Period": _PERIOD,
    "Interval": _INTERVAL,
}


def _claim(cls: type) -> Store | None:
    pandas = sys.modules["pandas"]
    if not hasattr(pandas, "DataFrame"):
        return None
    store = _STORES.get(cls.__name__)
    if store is not None and getattr(pandas, cls.__name__) is cls:
        return store
    if cls in (type(pandas.NA), type(pandas.NaT)):
        return _missing
    if cls.__name__ == "BlockValuesRefs" and cls is library("pandas._libs.internals").BlockValuesRefs:
        return _SHARED
    if issubclass(cls, (pandas.DataFrame, pandas.Series)):
        return _SUBCLASS
    if issubclass(cls, (pandas.Index, pandas.Timestamp, pandas.Timedelta)):
        return _refuse_subclass
    return stores_of(cls)


def _refuse_subclass(walk: Walk, thing: Any) -> None:
    cls = type(thing)
    base = next(one for one in cls.__mro__ if one.__module__.partition(".")[0] == "pandas")
    raise Refusal(
        f"{cls.__name__}, a subclass of {base.__name__}, cannot be stored",
        f"goldthread.register({cls.__name__}, to=..., back=...); or use a {base.__name__}",
    )


FAMILY: Final = Family(
    kinds=(Kind("pandas.missing", Form.VALUE, _make_missing, is_shared=False),),
    claim=_claim,
    package="pandas",
)
