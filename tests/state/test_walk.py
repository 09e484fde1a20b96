"""What goes into an image comes out of it, exactly; what cannot is refused by its place."""

from __future__ import annotations

import array
import ctypes
import datetime
import enum
import math
import os
import random
import struct
import sys
import threading
import zoneinfo
from collections import Counter, OrderedDict, defaultdict, deque
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import hypothesis.strategies as st
import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from images import image_of, new_writer, newest_image, round_trip

from goldthread.errors import CannotStore, DoesNotFit
from goldthread.names import Step
from goldthread.wire.image import HEADER_BYTES, read_header


class Point(NamedTuple):
    x: float
    y: Any = 0


@dataclass
class Walker:
    place: Any
    seen: list[int] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Frozen:
    size: int


class Colour(enum.Enum):
    RED = 1
    CRIMSON = 1  # noqa: PIE796 - another name of the same member


class Right(enum.Flag):
    READ = 1
    WRITE = 2


class Size(enum.IntEnum):
    LARGE = 3


ODD_FLOATS = [struct.unpack("<d", word.to_bytes(8, "little"))[0] for word in (0x7FF8000000000123, 0xFFF0000000000001)]

EXACT = [
    None,
    True,
    0,
    2**64 - 1,
    2**64,
    -(2**63),
    -(2**63) - 1,
    3**5000,
    -0.0,
    math.inf,
    complex(1.5, -0.0),
    "",
    "grüße 🧵",
    "lone \ud800 surrogate",
    b"",
    b"x" * 4095,
    b"y" * 4096,
    (),
    [],
    {},
    (1, [2, (3,)], {}),
    [1.0, None, True, 2],
    {"b": 1, "a": 2},
    {1: "int", "1": "text", None: 0, 2.5: 1, b"k": 2, (1, ("a", None)): 3, 2**70: 4, "\udc80": 5},
    {True: 1, 0: 2},
    {1, "a", None, 2.5},
    frozenset({(1, 2), "b"}),
    set(),
    OrderedDict(b=1, a=[2]),
    Counter(a=3, b=-1),
    deque([1, 2], maxlen=3),
    deque(["a"]),
    Point(1.5),
    Walker((1, 2), [3]),
    Frozen(3),
    Colour.CRIMSON,
    [Right.READ, Size.LARGE],
    datetime.date(2024, 2, 29),
    datetime.time(12, 30, 1, 5, fold=1),
    datetime.datetime(2024, 1, 2, 3, 4, 5, 6),
    datetime.datetime(2024, 1, 2, tzinfo=datetime.UTC),
    datetime.datetime(2024, 1, 2, tzinfo=datetime.timezone(datetime.timedelta(hours=-5, minutes=-30), "mine")),
    datetime.datetime(2024, 10, 27, 2, 30, fold=1, tzinfo=zoneinfo.ZoneInfo("UTC")),
    datetime.timedelta(-1, 5, 7),
]


def same(left: Any, right: Any) -> bool:
    """Whether two states are equal in every type, order and bit."""
    if type(left) is not type(right):
        return False
    if isinstance(left, float):
        return struct.pack("<d", left) == struct.pack("<d", right)
    if isinstance(left, complex):
        return same(left.real, right.real) and same(left.imag, right.imag)
    if isinstance(left, dict):
        return same(list(left), list(right)) and same(list(left.values()), list(right.values()))
    if isinstance(left, (list, tuple, deque)):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, (np.ndarray, np.generic)):
        return left.dtype == right.dtype and left.shape == right.shape and left.tobytes() == right.tobytes()
    if isinstance(left, Walker):
        return same(vars(left), vars(right))
    return bool(left == right)


@pytest.mark.parametrize("thing", [*EXACT, *ODD_FLOATS], ids=lambda thing: type(thing).__name__)
def test_a_thing_comes_back_exactly(thing: object) -> None:
    """Type, order and every bit."""
    assert same(thing, round_trip({"thing": thing})["thing"])


def test_time_zones_keep_their_kind() -> None:
    """A fixed offset keeps its name; a zone by key stays one."""
    zone = datetime.timezone(datetime.timedelta(hours=2), "mine")
    back = round_trip([datetime.time(1, tzinfo=zone), datetime.datetime(2024, 1, 1, tzinfo=zoneinfo.ZoneInfo("UTC"))])
    assert back[0].tzname() == "mine"
    assert isinstance(back[1].tzinfo, zoneinfo.ZoneInfo)


ARRAYS = [
    np.arange(12.0),
    np.arange(12, dtype=">i4").reshape(3, 4),
    np.asfortranarray(np.arange(12.0).reshape(3, 4)),
    np.arange(24).reshape(2, 3, 4)[:, ::2, ::-1],
    np.arange(100_000.0)[::3],
    np.asfortranarray(np.arange(90_000.0).reshape(300, 300)),
    np.arange(90_000.0).reshape(300, 300)[::2, 5:],
    np.array(3.5),
    np.zeros((0, 3), "f4"),
    np.zeros((3, 0)),
    np.array(["a", "grüße"]),
    np.array([b"ab", b"c"]),
    np.array(["2024-01-01", "NaT"], "M8[ns]"),
    np.array([1, 2], "m8[s]"),
    np.array([1 + 2j, np.nan]),
    np.array([True, False]),
    np.array([1.5, np.nan], "f2"),
    np.array([1, 2], np.longdouble),
    np.zeros(2, [("a", "<f4"), ("b", ">i8", (2,)), ("c", "S3")]),
    np.zeros(2, np.dtype([("a", "i1"), ("b", "f8")], align=True)),
    np.array([b"\1\2\3"], "V3"),
]


@pytest.mark.parametrize("thing", ARRAYS, ids=lambda thing: f"{thing.dtype}{thing.shape}")
def test_an_array_comes_back_exactly(thing: np.ndarray[Any, Any]) -> None:
    """Type, shape, byte order, bits; and how its elements lie."""
    back = round_trip({"thing": thing})["thing"]
    assert same(thing, back)
    assert back.size == 0 or (thing.strides, thing.flags.writeable) == (back.strides, back.flags.writeable)
    assert back.flags.writeable
    assert back.flags.owndata or back.base.flags.owndata


@pytest.mark.parametrize(
    "thing",
    [np.float32(1.5), np.int8(-3), np.bool_(True), np.datetime64("2024-01-01", "D"), np.str_("ab"), np.float64(2.5),
     np.zeros(1, [("a", "f4"), ("b", "i2")])[0]],
    ids=lambda thing: type(thing).__name__,
)  # fmt: skip
def test_a_numpy_scalar_stays_one(thing: np.generic) -> None:
    """A NumPy scalar is no Python number, and no array."""
    assert same(thing, round_trip([thing])[0])


def test_nan_payloads_and_padding_survive_in_arrays() -> None:
    """Bytes are copied, not numbers."""
    bits = np.array([0x7FA00001, 0xFFC12345], np.uint32)
    assert bits.tobytes() == round_trip([bits.view("f4")])[0].tobytes()


def test_many_small_arrays_of_mixed_types_come_back() -> None:
    """Small arrays are gathered by type; each finds its place again."""
    state = {
        f"{index}": np.full(index % 70, index % 100, ("f4", "i8", "u1", ">f4", "c16")[index % 5])
        for index in range(3000)
    }
    assert same(state, round_trip(state))


def test_whatever_has_a_buffer_comes_back() -> None:
    """bytearray and array.array as themselves, views of memory as a view of new memory."""
    state = [bytearray(b"abc"), array.array("d", [1.5, 2.5]), memoryview(array.array("i", range(6))), bytearray()]
    back = round_trip(state)
    assert (bytearray(b"abc"), array.array("d", [1.5, 2.5]), bytearray()) == (back[0], back[1], back[3])
    assert (list(range(6)), "i", False) == (back[2].tolist(), back[2].format, back[2].readonly)


def test_dicts_with_a_known_factory_keep_it() -> None:
    """A defaultdict goes on making what it made."""
    counts: defaultdict[str, list[int]] = defaultdict(list, a=[1])
    back = round_trip({"counts": counts})["counts"]
    assert (defaultdict, list, {"a": [1]}) == (type(back), back.default_factory, dict(back))


@pytest.mark.parametrize("bits", [np.random.PCG64, np.random.MT19937, np.random.Philox, np.random.SFC64])
def test_numpy_generators_go_on_as_they_were(bits: Any) -> None:
    """Draws, and the children that are spawned."""
    generator = np.random.Generator(bits(5))
    generator.random(3)
    generator.spawn(2)
    generator.integers(0, 10, dtype=np.uint8)
    back = round_trip([generator])[0]
    assert np.array_equal(generator.standard_normal(9), back.standard_normal(9))
    assert np.array_equal(generator.spawn(1)[0].random(3), back.spawn(1)[0].random(3))


def test_the_other_generators_go_on_as_they_were() -> None:
    """`random.Random`, `RandomState` with half a pair of normal draws, and a bare bit generator."""
    python, legacy, bare = random.Random(3), np.random.RandomState(4), np.random.PCG64DXSM(5)
    python.gauss(0, 1)
    legacy.standard_normal()
    back = round_trip([python, legacy, bare])
    assert [python.gauss(0, 1), python.random()] == [back[0].gauss(0, 1), back[0].random()]
    assert np.array_equal(legacy.standard_normal(5), back[1].standard_normal(5))
    assert np.array_equal(bare.random_raw(5), back[2].random_raw(5))


def test_shared_objects_stay_shared() -> None:
    """One object at two places is one object again."""
    values, inner = np.arange(4.0), [1, []]
    back = round_trip({"a": values, "b": [values, inner], "c": (inner,), "d": np.arange(4.0)})
    assert back["a"] is back["b"][0]
    assert back["b"][1] is back["c"][0]
    assert back["d"] is not back["a"]


def test_a_cycle_comes_back_as_one() -> None:
    """By way of lists, dicts, objects and the tuples between them."""
    state: dict[str, Any] = {"a": [1, {}]}
    state["a"][1]["back"] = state["a"]
    state["walker"] = Walker(None)
    state["walker"].place = (state["walker"], [state])
    back = round_trip(state)
    assert back["a"][1]["back"] is back["a"]
    assert back["walker"].place[0] is back["walker"]
    assert back["walker"].place[1][0] is back
    round_about: tuple[Any, ...] = ([],)
    round_about[0].append(round_about)
    tied = round_trip(round_about)
    assert tied[0][0] is tied


def test_a_cycle_by_way_of_what_must_be_whole_is_refused_by_its_place() -> None:
    """A member of a set must be whole before it can be found again."""
    walker = Hashed()
    walker.name = "one"
    walker.friends = {walker}
    with pytest.raises(CannotStore, match=r'^state\["w"\]\.friends: it contains itself as a member of a set'):
        image_of({"w": walker})


class Hashed:
    friends: set[Any]
    name: str

    def __hash__(self) -> int:
        return hash(self.name)


class Odd:
    """Says itself how it is pickled."""

    def __init__(self, inside: object) -> None:
        self.inside = inside

    def __reduce__(self) -> Any:
        return Odd, (self.inside,)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Odd) and self.inside == other.inside

    __hash__ = None  # type: ignore[assignment]


@pytest.mark.parametrize(
    ("thing", "sentence"),
    [
        ({"model": [0, 1, 2, Walker(os.getcwd)]}, r'state["model"][3].place: posix.getcwd is a function of a library'),
        ({"a": {1: lambda: 0}}, r'state["a"][1]: a lambda cannot be stored'),
        ({"a": defaultdict(lambda: 0)}, r'state["a"].default_factory: a lambda cannot be stored'),
        ([Point(1, [].append)], "state[0].y: the method list.append is bound to an object"),
        ({"a": (item for item in ())}, r'state["a"]: generator cannot be stored'),
        ({"a": threading.Lock()}, r'state["a"]: lock cannot be stored'),
        ({"a": ctypes.c_int(3)}, r'state["a"]: c_int cannot be stored'),
        (object(), "state: object cannot be stored"),
    ],
)
def test_what_cannot_be_stored_is_named_by_its_place(thing: object, sentence: str) -> None:
    """Before anything is written, and with a way out."""
    writer = new_writer()
    with pytest.raises(CannotStore) as caught:
        writer.write(thing, Step(0), generators=False)
    assert str(caught.value).startswith(sentence)
    assert caught.value.hint
    assert writer.slots == {}


def test_a_member_that_an_enum_lost_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """By its place, its class and its name."""
    image = image_of([Size.LARGE])

    class Smaller(enum.IntEnum):
        SMALL = 1

    monkeypatch.setattr(sys.modules[__name__], "Size", Smaller)
    from goldthread.state.restore import read

    with pytest.raises(DoesNotFit, match=r"^state\[0\]: .*Smaller has no member LARGE"):
        read(image, map=False, pickle=False)


def test_a_state_that_is_too_deep_is_refused() -> None:
    """Not a crash, and not a RecursionError of somebody's library."""
    state: list[Any] = []
    for _ in range(100_000):
        state = [state, "x"]
    with pytest.raises(CannotStore, match="nested too deeply"):
        image_of(state)
    while state:
        state = state[0]


def test_pickle_is_used_only_where_it_was_allowed() -> None:
    """Both when storing and when restoring."""
    state = {"odd": Odd([1, 2]), "step": 3}
    image = image_of(state, pickle=True)
    from goldthread.state.restore import read

    assert state == read(image, map=False, pickle=True)
    with pytest.raises(DoesNotFit, match=r'state\["odd"\]: it was stored as a pickle') as caught:
        read(image, map=False, pickle=False)
    assert "pickle=True" in caught.value.hint


def test_a_class_that_is_not_loaded_is_never_imported() -> None:
    """A name from elsewhere runs no code."""
    from goldthread.state.restore import read

    image = image_of([Walker(1)])
    module = sys.modules.pop(__name__)
    try:
        with pytest.raises(DoesNotFit, match="which is not loaded"):
            read(image, map=False, pickle=False)
    finally:
        sys.modules[__name__] = module


def test_the_manifest_can_be_read_without_goldthread() -> None:
    """Structure and values, in plain msgpack."""
    image = image_of({"step": 3, "x": np.arange(4.0), "name": "walk"})
    header = read_header(image)
    assert header is not None
    words, places, values = msgspec.msgpack.decode(image[header.manifest_at : header.table_at])
    assert words == [["dict", ["state"], 1], ["dict", ["step", "x", "name"], 3], "value", "array", "value"]
    assert places == [["<f8", [4], "C", 0]]
    assert values == [3, "walk"]
    assert np.frombuffer(image, "<f8", 4, HEADER_BYTES).tolist() == [0.0, 1.0, 2.0, 3.0]


leaves = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.complex_numbers() | st.binary() | st.dates()
    | st.text(st.characters(codec=None)) | st.datetimes() | st.timedeltas()
    | st.builds(np.array, st.lists(st.floats(width=32), max_size=9), st.sampled_from(["f4", ">f8", "c8"]))
)  # fmt: skip
plain_keys = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary()
keys = plain_keys | st.tuples(plain_keys, st.tuples(plain_keys))
trees = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.lists(inner, max_size=5).map(tuple)
        | st.dictionaries(keys, inner, max_size=5)
        | st.builds(Point, inner, inner)
        | st.builds(Walker, inner, st.just([]))
        | st.lists(inner, max_size=5).map(deque)
    ),
    max_leaves=25,
)


@settings(max_examples=150, deadline=None)
@given(trees)
def test_any_tree_comes_back_exactly(tree: object) -> None:
    """Whatever is in it, however it is nested."""
    assert same(tree, round_trip(tree))


@settings(max_examples=60, deadline=None)
@given(st.lists(trees, min_size=2, max_size=6))
def test_a_writer_that_remembers_the_last_state_stores_the_next_one_exactly(states: list[object]) -> None:
    """What is kept from commit to commit never shows."""
    from goldthread.state.restore import read

    writer = new_writer()
    for step, state in enumerate([*states, *states]):
        writer.write(state, Step(step), generators=False)
        assert same(state, read(newest_image(writer), map=False, pickle=False))
    writer.close()
