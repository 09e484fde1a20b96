"""Tables and matrices come back as they were: equal by their library's own word, of the same types, in place."""

from __future__ import annotations

import subprocess
import sys
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from images import image_of, new_writer, newest_image, round_trip

from goldthread.errors import CannotStore, DoesNotFit
from goldthread.names import Step
from goldthread.state.restore import pour
from goldthread.wire.image import damaged_chunks, read_header

pd = pytest.importorskip("pandas")
ROWS = 5

DAYS = pd.date_range("2020-10-24", periods=ROWS)
ZONES = ("UTC", "UTC", None)
COLUMNS: dict[str, Any] = {
    "int8": np.arange(ROWS, dtype="i1"),
    "float32": np.arange(ROWS, dtype="f4"),
    "bool": np.array([1, 0, 1, 0, 1], bool),
    "complex": np.arange(ROWS) * 1j,
    "seconds": np.arange(ROWS).astype("M8[s]"),
    "objects": pd.Series([1, "a", None, 2.5, (1, 2)], dtype=object),
    "moments": pd.Series([pd.Timestamp("2020"), pd.NaT, pd.NA, pd.Timedelta(1), pd.Period("2020", "D")], dtype=object),
    "text": pd.Series(["a", None, "c", "d", "e"]),
    "python text": pd.Series(["a", None, "c", "d", "e"], dtype=pd.StringDtype("python")),
    "days": DAYS,
    "hours of a zone": pd.date_range("2020-10-25", periods=ROWS, freq="h", tz="Europe/Paris"),
    "hours of UTC": pd.date_range("2020-10-25", periods=ROWS, freq="h", tz="UTC"),
    "spans": pd.to_timedelta(np.arange(ROWS), unit="s"),
    "periods": pd.period_range("2020", periods=ROWS, freq="Q"),
    "intervals": pd.interval_range(0, ROWS),
    "intervals of days": pd.interval_range(pd.Timestamp("2020"), periods=ROWS, closed="both"),
    "ordered": pd.Categorical(list("abcab"), categories=list("cba"), ordered=True),
    "categories": pd.Categorical([1, 2, None, 1, 2]),
    "Int64": pd.array([1, None, 3, 4, 5], dtype="Int64"),
    "Float32": pd.array([1.5, None, 3, 4, 5], dtype="Float32"),
    "boolean": pd.array([True, None, False, True, True], dtype="boolean"),
    "sparse": pd.arrays.SparseArray([0, 0, 1, 0, 2]),
    "sparse blocks": pd.arrays.SparseArray([np.nan, 1, np.nan, 2, 3], kind="block"),
}
OFFSETS = [
    pd.offsets.MonthEnd(2, normalize=True),
    pd.offsets.DateOffset(months=2, days=3),
    pd.offsets.CustomBusinessDay(holidays=["2020-01-01"], weekmask="Mon Tue"),
    pd.offsets.BusinessHour(start="08:00", end="12:00"),
    pd.offsets.Week(2, weekday=3),
    pd.offsets.QuarterEnd(startingMonth=2),
    pd.offsets.Hour(3),
]
SCALARS = [
    pd.Timestamp("2020", tz="Europe/Paris"),
    pd.Timestamp("2020-10-25 02:30").tz_localize("Europe/Paris", ambiguous=False),
    pd.Timestamp("2020-10-25 02:30").tz_localize("Europe/Paris", ambiguous=True),
    pd.Timestamp("2020-01-01T00+03:00").as_unit("s"),
    pd.Timestamp.max,
    pd.Timedelta(5, "D").as_unit("ms"),
    pd.Period("2020Q1"),
    pd.Interval(1, 2.5, "both"),
    pd.CategoricalDtype(["a"], ordered=True),
    pd.CategoricalDtype(),
    pd.Int64Dtype(),
    pd.StringDtype("python"),
    pd.SparseDtype("f4", 0.0),
    pd.PeriodDtype("D"),
    pd.IntervalDtype("i8"),
    pd.DatetimeTZDtype(tz="UTC"),
    *OFFSETS,
]


class Weights(pd.DataFrame):  # type: ignore[misc]
    _metadata = ("unit",)

    @property
    def _constructor(self) -> Any:
        return Weights


def poured(stored: object, initial: object) -> Any:
    return pour(image_of(stored), initial, map=False, pickle=False).state


def assert_same(one: Any, other: Any) -> None:
    assert type(one) is type(other)
    if isinstance(one, pd.Index):
        pd.testing.assert_index_equal(one, other, exact=True)
        assert list(one.names) == list(other.names)
        assert getattr(one, "freq", None) == getattr(other, "freq", None)
        return
    check = pd.testing.assert_frame_equal if one.ndim == 2 else pd.testing.assert_series_equal
    check(one, other, check_exact=True, check_freq=True, check_flags=True)
    for axis in range(one.ndim):
        assert_same(one.axes[axis], other.axes[axis])
    assert one.attrs == other.attrs
    blocks = [[(type(block.values), block.dtype) for block in thing._mgr.blocks] for thing in (one, other)]
    assert blocks[0] == blocks[1]


@pytest.mark.parametrize("name", COLUMNS)
def test_a_column_of_every_type_comes_back(name: str) -> None:
    """In a series, a table, an index and by itself, and into one that the program has."""
    series = pd.Series(COLUMNS[name], name=name)
    frame = pd.DataFrame({name: series, "other": series})
    assert_same(series, round_trip({"x": series})["x"])
    assert_same(frame, round_trip({"x": frame})["x"])
    index = pd.Index(COLUMNS[name], name="label")
    assert_same(index, round_trip({"x": index})["x"])
    array = round_trip({"x": series.array})["x"]
    assert (type(array), array.dtype) == (type(series.array), series.array.dtype)
    assert_same(series, pd.Series(array, name=name))
    mine = frame.iloc[::-1].reset_index(drop=True).copy()
    assert poured({"x": frame}, {"x": mine})["x"] is mine
    assert_same(frame, mine)


def make_frames() -> dict[str, Any]:
    said = pd.DataFrame({"a": [1]}).set_flags(allows_duplicate_labels=False)
    said.attrs["source"] = ["a", 1]
    levels = pd.MultiIndex.from_product([[1, 2], pd.date_range("2020", periods=2, freq="D")], names=["a", None])
    return {
        "nothing": pd.DataFrame(),
        "no columns": pd.DataFrame(index=range(3)),
        "no rows": pd.DataFrame({"a": np.zeros(0), "b": pd.Categorical([])}),
        "doubles": pd.DataFrame([[1, 2.5, "x", 3]], columns=["a", "a", "b", "b"]),
        "columns of numbers": pd.DataFrame(np.arange(12).reshape(3, 4), index=range(0, 6, 2)),
        "other order": pd.DataFrame(np.asfortranarray(np.arange(12).reshape(3, 4))),
        "a view": pd.DataFrame(np.arange(12).reshape(3, 4)).iloc[::2, ::-1],
        "levels": pd.DataFrame({"a": range(4)}, index=levels),
        "levels of columns": pd.DataFrame(np.ones((2, 4)), columns=levels),
        "missing labels": pd.Series([1, 2], index=pd.MultiIndex.from_tuples([("x", 1), ("y", None)])),
        "odd labels": pd.DataFrame({1.5: [1], None: [2], pd.Timestamp("2020"): [3], ("a", 1): [4]}),
        "named by a tuple": pd.Series({"a": 1}, name=("a", 1)),
        "many days": pd.DataFrame({name: DAYS.tz_localize(zone) for name, zone in zip("abc", ZONES, strict=True)}),
        "several blocks": pd.concat([pd.DataFrame({"a": [1.0]}), pd.DataFrame({"b": [1], "c": [2.0]})], axis=1),
        "containers": pd.Series([[1, 2], {"a": np.arange(3)}, "text"]),
        "said of it": said,
    }


@pytest.mark.parametrize("name", make_frames())
def test_tables_of_every_shape_come_back(name: str) -> None:
    """Anew, into one of its kind, and into one of another shape, which stays the program's own."""
    frame = make_frames()[name]
    if name == "containers":
        made = round_trip({"x": frame})["x"]
        assert list(made[1]["a"]) == [0, 1, 2] and made[0] == [1, 2]
        return
    assert_same(frame, round_trip({"x": frame})["x"])
    others = [frame.copy(), pd.DataFrame({"q": [1, 2, 3]})] if frame.ndim == 2 else [pd.Series([1.5, 2.5])]
    for mine in others:
        assert poured({"x": frame}, {"x": mine})["x"] is mine
        assert_same(frame, mine)


@pytest.mark.parametrize("seed", range(30))
def test_drawn_tables_come_back(seed: int) -> None:
    """Columns of all types in any number and order, cut, sorted, doubled; committed again after a change."""
    chance = np.random.default_rng(seed)
    names = chance.choice(list(COLUMNS), size=chance.integers(1, 8))
    parts = [pd.Series(COLUMNS[name]).take(chance.integers(0, ROWS, ROWS)).reset_index(drop=True) for name in names]
    frame = pd.concat(parts, axis=1, keys=names if seed % 2 else None)
    if seed % 3 == 0:
        frame = frame.copy().iloc[chance.integers(0, 3) :]
    if seed % 5 == 0:
        frame = frame.set_index(frame.columns[0], drop=False)
    assert_same(frame, round_trip({"x": frame})["x"])
    mine = frame.iloc[:, ::-1].copy()
    poured({"x": frame}, {"x": mine})
    assert_same(frame, mine)


@pytest.mark.parametrize("thing", SCALARS, ids=repr)
def test_scalars_types_and_offsets_come_back(thing: Any) -> None:
    """Each of them is itself again, and stands for one thing where it stood for one."""
    made = round_trip([thing, thing])
    assert made[0] == thing and type(made[0]) is type(thing) and repr(made[0]) == repr(thing)
    assert made[0] is made[1]
    assert getattr(made[0], "fold", 0) == getattr(thing, "fold", 0)
    assert getattr(made[0], "unit", "") == getattr(thing, "unit", "")


def test_time_zones_of_other_packages_come_back() -> None:
    """By their names, each the one thing that its package has of it."""
    zones = pytest.importorskip("dateutil.tz")
    mine = [zones.gettz("Europe/Paris"), zones.UTC, zones.tzoffset("X", 3600), zones.tzlocal()]
    made = round_trip(mine)
    assert made == mine and list(map(repr, made)) == list(map(repr, mine))
    pytz = pytest.importorskip("pytz")
    paris = pytz.timezone("Europe/Paris")
    mine = [paris, paris.localize(datetime(2020, 7, 1)).tzinfo, pytz.utc, pytz.FixedOffset(90), pytz.timezone("GMT")]
    assert all(one is other for one, other in zip(mine, round_trip(mine), strict=True))
    moment = pd.Timestamp("2020-10-25 02:30").tz_localize(paris, ambiguous=False)
    assert round_trip({"x": moment})["x"].tzinfo is moment.tzinfo


def test_what_is_missing_is_one_thing() -> None:
    """NA and NaT stay what `is` finds."""
    made = round_trip({"x": [pd.NA, pd.NaT], "y": pd.Series([pd.NA, pd.NaT], dtype=object)})
    assert made["x"][0] is pd.NA and made["x"][1] is pd.NaT
    assert made["y"].array[0] is pd.NA and made["y"].array[1] is pd.NaT


def test_columns_are_filled_where_they_lie() -> None:
    """The table and its arrays stay the program's own, where shapes and types agree."""
    stored = pd.DataFrame({"a": [1.0, 2.0], "b": [3.0, 4.0], "n": pd.array([1, None])})
    mine = stored.iloc[::-1].reset_index(drop=True).copy()
    numbers, masked = mine._mgr.blocks[0].values, mine["n"].array._data
    poured({"x": stored}, {"x": mine})
    assert mine._mgr.blocks[0].values is numbers and mine["n"].array._data is masked
    assert_same(stored, mine)


def test_what_was_taken_out_of_a_table_keeps_its_values() -> None:
    """pandas copies when one of two that share memory is written; so does a restore."""
    stored, mine = pd.DataFrame({"a": [1.0, 2.0]}), pd.DataFrame({"a": [0.0, 0.0]})
    taken = mine["a"]
    poured({"x": stored}, {"x": mine})
    assert list(taken) == [0, 0] and list(mine["a"]) == [1, 2]


def test_tables_that_share_memory_are_written_apart() -> None:
    """In the next life, too, one of them is copied before it is written, and labels are safe."""
    frame = pd.DataFrame({"a": [1.0, 2.0], "b": [3.0, 4.0]})
    mine = {"x": frame, "part": frame["a"], "cut": frame[:1], "labelled": frame.set_index("b", drop=False)}
    made = round_trip(mine)
    for state in (mine, made):
        state["part"].iloc[0] = 9
        state["x"].iloc[0, 0] = 8
        state["labelled"].iloc[0, 1] = 7
    for name, thing in mine.items():
        assert_same(thing, made[name])


def test_a_series_around_an_array_stays_around_it() -> None:
    """Memory that the program shares with a series on purpose is shared again; one index stands for all of its own."""
    array = np.arange(4.0)
    series = pd.Series(array, copy=False, index=pd.Index(list("abcd")))
    made = round_trip({"array": array, "series": series, "other": pd.Series(array + 1, index=series.index)})
    made["array"][0] = 50
    assert made["series"].iloc[0] == 50
    assert made["series"].index is made["other"].index


def test_a_subclass_comes_back_with_its_metadata() -> None:
    """What the program's class keeps beside the table is kept."""
    mine = Weights({"a": [1, 2]})
    mine.unit = "kg"
    made = round_trip({"x": mine})["x"]
    assert type(made) is Weights and made.unit == "kg"
    assert made.equals(mine)


def test_only_changed_chunks_of_a_table_are_copied() -> None:
    """A chunk that did not change is hashed in the program, and the slot's is left alone."""
    writer = new_writer(slots_most=1)
    state = {"x": pd.DataFrame({"a": np.arange(500_000.0), "b": np.arange(500_000.0)})}
    for step in range(3):
        writer.write(state, Step(step), generators=False)
    image = newest_image(writer)
    header = read_header(image)
    assert header is not None and header.chunk_count > 20
    for chunk in range(header.chunk_count):
        image[4096 + chunk * header.chunk_bytes + 100] ^= 1
    state["x"].iloc[0, 0] = -1
    writer.write(state, Step(3), generators=False)
    header = read_header(image)
    assert header is not None
    assert len(damaged_chunks(image, header)) >= header.chunk_count - 2
    writer.close()


@pytest.mark.parametrize(
    ("place", "thing"),
    [
        ('state["x"]["s"].iloc[1]', pd.DataFrame({"n": [1, 2], "s": [1, lambda: 0]})),
        ('state["x"].iloc[0]', pd.Series([lambda: 0])),
        ('state["x"].attrs["f"]', pd.DataFrame({"a": [1]})),
        ('state["x"].index[0]', pd.Series([1], index=[print])),
        ('state["x"]', pd.DataFrame({"a": [1]}).groupby("a")),
        ('state["x"]', type("MyIndex", (pd.Index,), {})._simple_new(np.arange(2))),
    ],
)
def test_what_cannot_be_stored_is_refused_by_its_place(place: str, thing: Any) -> None:
    """As the program writes it; and with a way out."""
    if "attrs" in place:
        thing.attrs["f"] = lambda: 0
    if "index" in place:
        thing.index = pd.Index([lambda: 0], dtype=object)
    with pytest.raises(CannotStore) as caught:
        round_trip({"x": thing})
    assert str(caught.value).startswith(f"{place}: ")
    assert caught.value.hint


@pytest.mark.parametrize("mine", [pd.Series([1]), {}, [1], np.zeros(3)])
def test_a_table_does_not_fit_what_is_none(mine: Any) -> None:
    """A dict, a series, an array of the program take no table."""
    with pytest.raises(DoesNotFit, match=r"the commit has a pandas\.DataFrame, the program an? "):
        poured({"x": pd.DataFrame({"a": [1]})}, {"x": mine})


# Other libraries.


def polars_series() -> list[Any]:
    pl = pytest.importorskip("polars")
    return [
        pl.Series("numbers", [1, None, 3]),
        pl.Series("many", np.arange(100_000)),
        pl.Series("floats", [1.5, float("nan"), None], dtype=pl.Float32),
        pl.Series("text", ["a", None, "a text that is too long to lie in its view"]),
        pl.Series("bits", [True, None, False]),
        pl.Series("bytes", [b"x", None]),
        pl.Series("dates", [date(2020, 1, 1), None]),
        pl.Series("moments", [datetime(2020, 1, 1)] * 2).dt.replace_time_zone("Europe/Paris"),
        pl.Series("spans", [timedelta(1)]),
        pl.Series("times", [time(1)]),
        pl.Series("categories", ["a", "b", None, "a"], dtype=pl.Categorical),
        pl.Series("enum", ["a", "b"], dtype=pl.Enum(["b", "a"])),
        pl.Series("lists", [[1], None, [2, 3]]),
        pl.Series("structs", [{"a": 1, "b": "x"}, {"a": None, "b": None}]),
        pl.Series("nulls", [None, None]),
        pl.Series("decimals", [Decimal("1.5")], dtype=pl.Decimal(10, 2)),
        pl.Series("wide", [1, 2], dtype=pl.Int128),
        pl.Series("none", [], dtype=pl.Int8),
        pl.Series("sorted", [1, 2, 3]).set_sorted(),
        pl.Series("chunks", [1, 2]).append(pl.Series([3])),
    ]


def test_tables_of_polars_come_back() -> None:
    """Series of every type with their chunks, tables, types, schemas; the program's own objects stay."""
    pl = pytest.importorskip("polars")
    testing = pytest.importorskip("polars.testing")
    for series in polars_series():
        mine = pl.Series("mine", ["other"])
        made = round_trip({"x": series, "type": series.dtype})
        assert poured({"x": series}, {"x": mine})["x"] is mine
        for one in (made["x"], mine):
            testing.assert_series_equal(series, one, check_exact=True)
            assert (one.flags, one.n_chunks()) == (series.flags, series.n_chunks()), series.name
        assert made["type"] == series.dtype
    for frame in (pl.DataFrame(), pl.DataFrame({"a": [1, 2], "b": ["x", None]}), pl.DataFrame(schema={"a": pl.Int8})):
        mine = pl.DataFrame({"z": [1]})
        assert poured({"x": frame}, {"x": mine})["x"] is mine
        testing.assert_frame_equal(frame, mine, check_exact=True)
        assert round_trip({"x": frame.schema, "y": pl.Int8}) == {"x": frame.schema, "y": pl.Int8}
    for thing in (pl.LazyFrame(), pl.col("a"), pl.Series([object()], dtype=pl.Object)):
        with pytest.raises(CannotStore, match=r'^state\["x"\]: '):
            round_trip({"x": thing})


def arrow_arrays() -> list[Any]:
    pa = pytest.importorskip("pyarrow")
    return [
        pa.array([1, None, 3]),
        pa.array(["a", None, "ccc"]),
        pa.array([b"x"], pa.large_binary()),
        pa.array([True, None]),
        pa.array([*range(20), None]).slice(9, 12),
        pa.array([True] * 20).slice(3, 10),
        pa.array(["aa", "b", None, "c"]).slice(1, 2),
        pa.array([], pa.string()),
        pa.array([1.5, float("nan")]),
        pa.array([datetime(2020, 1, 1)], pa.timestamp("ms", "UTC")),
        pa.array([b"ab"], pa.binary(2)),
        pa.array([Decimal("1.5")]),
        pa.array([[1], None]),
        pa.array([{"a": 1}]),
        pa.array([[("a", 1)]], pa.map_(pa.string(), pa.int8())),
        pa.array(["a", "b", "a"]).dictionary_encode(),
        pa.array(["a"], pa.string_view()),
        pa.array([None]),
        pa.array(pd.period_range("2020", periods=2, freq="M")),
    ]


def test_tables_of_arrow_come_back() -> None:
    """Arrays of every type, slices of them, chunks, scalars, and metadata."""
    pa = pytest.importorskip("pyarrow")
    for array in arrow_arrays():
        chunked = pa.chunked_array([array, array])
        scalar = array[0] if array else None
        made = round_trip({"array": array, "type": array.type, "chunked": chunked, "scalar": scalar})
        made["array"].validate(full=True)
        assert str(made["array"]) == str(array) and made["type"].equals(array.type)
        assert made["array"].type.equals(array.type) and made["chunked"].num_chunks == 2
        assert str(made["scalar"]) == str(scalar)
    table = pa.table({"a": [1, 2], "b": ["x", None]}).replace_schema_metadata({"k": "v"})
    table = pa.concat_tables([table, table])
    for thing in (table, table.slice(1, 2), table.to_batches()[0], table.schema, pa.field("a", pa.int8(), False)):
        made = round_trip({"x": thing})["x"]
        assert type(made) is type(thing) and made.equals(thing, check_metadata=True)
    assert round_trip({"x": table})["x"]["a"].num_chunks == 2
    with pytest.raises(CannotStore, match="rows and no columns"):
        round_trip({"x": table.select([])})


def test_datasets_of_xarray_come_back() -> None:
    """With their indexes, attributes and encodings; arrays in place, and one variable in two of them stays one."""
    xr = pytest.importorskip("xarray")
    coordinates = {"x": [1, 2], "t": ("x", DAYS[:2]), "scalar": 5, "label": ("y", list("abc"))}
    grid = xr.Dataset({"a": (("x", "y"), np.zeros((2, 3)), {"unit": "m"})}, coordinates, {"by": "hand"})
    grid["a"].encoding["dtype"] = "f4"
    levels = pd.MultiIndex.from_product([[1, 2], ["a", "b"]], names=["l", "m"])
    deep = xr.Dataset({"v": ("z", np.arange(4))}, xr.Coordinates.from_pandas_multiindex(levels, "z"))
    extended = xr.Dataset({"c": ("x", pd.Categorical(["a", "b"]))})
    parts = [grid["a"], grid["x"], deep["z"], grid["a"].variable]
    for thing in (grid, deep, extended, xr.DataArray(3.0), xr.Dataset(), *parts):
        made = round_trip({"x": thing})["x"]
        assert type(made) is type(thing) and made.identical(thing) and made.encoding == thing.encoding
        mine = thing.copy(deep=True)
        assert poured({"x": thing}, {"x": mine})["x"] is mine and mine.identical(thing)
    mine = grid.copy(deep=True)
    mine["a"] += 1
    part, array = mine["a"], mine["a"].values
    made = poured({"x": grid, "a": grid["a"]}, {"x": mine, "a": part})
    assert made["x"] is mine and mine["a"].values is array and mine.identical(grid)
    assert part.variable is mine.variables["a"]


@pytest.mark.parametrize("form", ["csr", "csc", "bsr", "coo", "dia", "dok", "lil"])
@pytest.mark.parametrize("kind", ["array", "matrix"])
def test_sparse_matrices_come_back(form: str, kind: str) -> None:
    """In every form; into one of the same places in place, into one of others with what is stored."""
    sparse = pytest.importorskip("scipy.sparse")
    cls = getattr(sparse, f"{form}_{kind}")
    dense = np.array([[1.0, 0, 2], [0, 0, 3]])
    stored = cls(dense)
    for mine in (None, cls(2 * dense), cls((9, 9))):
        array = None if form in ("dok", "lil") or mine is None or mine.shape != stored.shape else mine.data
        made = poured({"x": stored}, {"x": mine})["x"]
        assert made is mine or mine is None
        assert array is None or made.data is array
        assert type(made) is cls and made.dtype == stored.dtype and made.shape == stored.shape
        assert list(vars(made)) == list(vars(stored))
        assert (made.toarray() == dense).all() and (made @ np.ones(3) == dense.sum(axis=1)).all()
    other = sparse.csr_array if cls is not sparse.csr_array else sparse.coo_array
    with pytest.raises(DoesNotFit, match="the commit has"):
        poured({"x": stored}, {"x": other(dense)})


FRESH = """
import sys
from goldthread.errors import DoesNotFit
from goldthread.state.restore import read
image = memoryview(bytearray(open(sys.argv[1], "rb").read()))
try:
    read(image, map=False, pickle=False)
except DoesNotFit as error:
    print(error.hint)
import pandas, polars, pyarrow, scipy.sparse, xarray
state = read(image, map=False, pickle=False)
print(list(state["pandas"]["a"]), list(state["polars"]["a"]), state["pyarrow"]["a"].to_pylist())
print(state["xarray"].sum().item(), state["scipy"].sum())
"""


def test_another_process_has_them_once_it_has_the_library(tmp_path: Path) -> None:
    """Nothing is imported for it: where a library is not loaded, it is said which."""
    pl, pa = pytest.importorskip("polars"), pytest.importorskip("pyarrow")
    xr, sparse = pytest.importorskip("xarray"), pytest.importorskip("scipy.sparse")
    state = {
        "pandas": pd.DataFrame({"a": [1, 2], "b": ["x", None]}),
        "polars": pl.DataFrame({"a": [3, 4]}),
        "pyarrow": pa.table({"a": [5, 6]}),
        "xarray": xr.DataArray(np.ones(3)),
        "scipy": sparse.csr_array(np.eye(2)),
    }
    path = tmp_path / "image"
    path.write_bytes(image_of(state))
    done = subprocess.run([sys.executable, "-c", FRESH, str(path)], capture_output=True, text=True, check=False)
    assert done.stdout.splitlines() == ["import pandas first", "[1, 2] [3, 4] [5, 6]", "3.0 2.0"], done.stderr


def test_what_a_program_puts_on_a_librarys_thing_is_refused_not_left_out() -> None:
    """An index or a table of polars has no place for it."""
    pandas, polars = pytest.importorskip("pandas"), pytest.importorskip("polars")
    index, levels, table = pandas.Index(["a"]), pandas.MultiIndex.from_tuples([(1, 2)]), polars.DataFrame({"a": [1]})
    for thing in (index, levels, table, pandas.RangeIndex(3)):
        image_of({"x": thing})
        thing.mine = 3
        with pytest.raises(CannotStore, match=r'^state\["x"\].*attributes of the program.s own \(mine\)'):
            image_of({"x": thing})
