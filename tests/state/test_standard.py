"""What of the standard library comes back, and how exactly."""

from __future__ import annotations

import array
import datetime
import decimal
import functools
import ipaddress
import itertools
import math
import mmap
import operator
import pathlib
import re
import threading
import types
import zoneinfo
from collections import defaultdict
from decimal import Decimal
from fractions import Fraction
from typing import Any
from uuid import UUID

import pytest
from images import image_of, round_trip

from goldthread.errors import CannotStore
from goldthread.state.restore import pour


class Day(datetime.date):
    pass


class Moment(datetime.datetime):
    pass


class Route(pathlib.PurePosixPath):
    pass


class Sum(Decimal):
    pass


class Bag(types.SimpleNamespace):
    pass


class Trouble(Exception):
    def __init__(self, code: int, *, place: str) -> None:
        super().__init__(f"trouble {code}")
        self.place = place


class Counted:
    def __init__(self) -> None:
        self.count = 0

    def step(self) -> int:
        self.count += 1
        return self.count

    @classmethod
    def make(cls) -> Counted:
        return cls()


THINGS = [
    Decimal("1.50"), Decimal("-0"), Decimal("1E-400"), Sum("2.5"), Fraction(-3, 7), UUID(int=5), range(1, 2**70, 7),
    slice(1, None, -1), pathlib.Path("a/b"), pathlib.PureWindowsPath("c:/w"), pathlib.Path("na\udcffme"),
    Route("a", "b"), Day(2024, 2, 29), Moment(2024, 2, 29, 1, fold=1, tzinfo=zoneinfo.ZoneInfo("Europe/Berlin")),
    datetime.timezone(datetime.timedelta(hours=1), "here"), re.compile("a+", re.IGNORECASE), re.compile(b"x"),
    ipaddress.ip_network("10.0.0.0/8"), str.join, len, math.sqrt, functools.reduce, operator.add, type, ValueError,
    types.SimpleNamespace(b=1, a=[2]), Bag(x=1), array.array("d", [1.5]), Counted.make,
]  # fmt: skip


@pytest.mark.parametrize("thing", THINGS, ids=repr)
def test_it_comes_back_equal_and_of_its_type(thing: Any) -> None:
    """Also in another place than the first."""
    first, second = round_trip([thing, thing])
    assert type(first) is type(thing)
    assert first == thing == second


def test_a_signalling_decimal_comes_back() -> None:
    """It equals nothing, and says so loudly."""
    its = round_trip([Decimal("-sNaN7")])[0]
    assert its.as_tuple() == Decimal("-sNaN7").as_tuple()
    with pytest.raises(decimal.InvalidOperation):
        its + 1


class Zone(datetime.tzinfo):
    def __init__(self, hours: int = 0) -> None:
        self.hours = hours

    def utcoffset(self, at: Any) -> datetime.timedelta:
        return datetime.timedelta(hours=self.hours)


def test_a_zone_of_the_program_is_an_object() -> None:
    """Of all moments that have it."""
    zone = Zone(3)
    moments = [datetime.datetime(2024, 1, 2, 3, tzinfo=zone, fold=1), datetime.time(4, tzinfo=zone)]
    its = round_trip({"zone": zone, "at": moments})
    assert [type(one) for one in its["at"]] == [datetime.datetime, datetime.time]
    assert its["at"][0].fold == 1
    assert its["at"][0].replace(tzinfo=None) == datetime.datetime(2024, 1, 2, 3)
    assert its["at"][0].tzinfo is its["at"][1].tzinfo is its["zone"]
    assert its["zone"].hours == 3


ITERATORS = [
    lambda: itertools.count(5, 3), lambda: itertools.count(2**70), lambda: itertools.count(0.5, 0.25),
    lambda: itertools.islice(itertools.count(3), 2, 9), lambda: itertools.islice([1, 2, 3, 4], 3),
    lambda: iter([1, 2, 3, 4]), lambda: iter((1, 2, 3)), lambda: iter(range(2**70, 2**70 + 4)), lambda: iter("abcé"),
    lambda: reversed([1, 2, 3]), lambda: reversed((1, 2, 3)), lambda: enumerate("abc", 5), lambda: zip([1, 2], "ab"),  # noqa: B905
    lambda: map(math.sqrt, [1, 4, 9]), lambda: itertools.chain([1, 2], (3,)), lambda: itertools.repeat(7, 3),
]  # fmt: skip


@pytest.mark.parametrize("make", ITERATORS, ids=range(len(ITERATORS)))
@pytest.mark.parametrize("taken", [0, 1, 2])
def test_an_iterator_goes_on_where_it_was(make: Any, taken: int) -> None:
    """And leaves that of the program where it is."""
    mine, other = make(), make()
    for _ in range(taken):
        next(mine)
        next(other)
    its = round_trip([mine])[0]
    assert type(its) is type(mine)
    assert list(itertools.islice(its, 9)) == list(itertools.islice(other, 9)) == list(itertools.islice(mine, 9))


def test_an_iterator_goes_over_the_list_of_the_program() -> None:
    """How far it has come is set when the list has its items again."""
    items = [1, 2, 3, 4]
    over = iter(items)
    next(over)
    poured = pour(image_of({"items": items, "over": over}), {"items": [], "over": None}, map=False, pickle=False).state
    poured["items"].append(5)
    assert list(poured["over"]) == [2, 3, 4, 5]


@pytest.mark.parametrize(
    "thing",
    [iter({1: 2}), iter({1}), map(abs, (n for n in "a")), (n for n in "a")],
    ids=lambda thing: type(thing).__name__,
)
def test_an_iterator_that_does_not_say_where_it_is_is_refused(thing: Any) -> None:
    """With a way out."""
    with pytest.raises(CannotStore) as refusal:
        image_of({"over": thing})
    assert str(refusal.value).startswith('state["over"]')
    assert "position" in str(refusal.value.hint)


def test_a_partial_and_a_factory_of_one_come_back() -> None:
    """The arguments are what they were, and shared as they were."""
    shared = [1]
    made = functools.partial(operator.add, shared)
    state = round_trip({"f": made, "shared": shared, "deep": defaultdict(functools.partial(defaultdict, int))})
    assert state["f"].args[0] is state["shared"]
    assert state["f"]([2]) == [1, 2]
    assert state["deep"]["a"]["b"] == 0


def test_a_partial_may_hold_itself() -> None:
    """It is there before its arguments are."""
    holder: list[Any] = []
    holder.append(functools.partial(print, holder))
    its = round_trip(holder)
    assert its[0].args[0] is its


def test_a_method_of_an_object_is_of_the_object_that_came_back() -> None:
    """Called, it changes that."""
    counted = Counted()
    its = round_trip({"counted": counted, "step": counted.step})
    its["step"]()
    assert its["counted"].count == 1


def raised() -> BaseException:
    try:
        try:
            raise KeyError("inner")
        except KeyError as inner:
            raise Trouble(3, place="here") from inner
    except Trouble as error:
        error.add_note("a note")
        return error


def test_an_exception_keeps_what_it_says_and_where_it_came_from() -> None:
    """But for the traceback, and that is said."""
    with pytest.warns(match=r'state\["error"\]: the traceback of an exception'):
        its = round_trip({"error": raised()})["error"]
    assert type(its) is Trouble
    assert (str(its), its.place, its.__notes__) == ("trouble 3", "here", ["a note"])
    assert isinstance(its.__cause__, KeyError)
    assert its.__context__ is its.__cause__
    assert its.__suppress_context__


ERRORS = [
    FileNotFoundError(2, "no file", "a.txt"), OSError(5, "bad"), OSError("text"), OSError(None, None), StopIteration(4),
    UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"), ImportError("no", name="x", path="y"), SystemExit(3),
    SyntaxError("bad", ("f", 1, 2, "text")), KeyError("k"), ExceptionGroup("many", [ValueError(1), KeyError(2)]),
]  # fmt: skip


@pytest.mark.parametrize("error", ERRORS, ids=repr)
def test_exceptions_written_in_c_keep_their_own(error: BaseException) -> None:
    """Also what stands in no `__dict__`."""
    its = round_trip([error])[0]
    assert type(its) is type(error)
    assert (str(its), repr(its)) == (str(error), repr(error))
    for name in ("errno", "filename", "value", "name", "path", "code", "lineno", "start"):
        assert getattr(its, name, None) == getattr(error, name, None)


def test_an_exception_may_be_its_own_context() -> None:
    """By way of what it holds."""
    error: Any = ValueError("a")
    error.held = [error]
    error.__cause__ = KeyError("b")
    error.__cause__.__context__ = error
    its = round_trip([error])[0]
    assert its.held[0] is its
    assert its.__cause__.__context__ is its


def test_a_map_of_the_program_is_filled() -> None:
    """Without one it is memory without a file, which is said."""
    with mmap.mmap(-1, 16) as mine, mmap.mmap(-1, 16) as given:
        mine[:4] = b"abcd"
        with pytest.warns(match="a map of a file"):
            image = image_of({"map": mine})
        assert pour(image, {"map": given}, map=False, pickle=False).state["map"] is given
        assert given[:4] == b"abcd"


@pytest.mark.parametrize(
    ("thing", "way_out"),
    [
        (threading.Lock(), "make it again"),
        (threading.RLock(), "make it again"),
        (pathlib.Path(__file__).open(), "open it again"),  # noqa: SIM115
        ({}.keys(), "store the dict"),
        (lambda: 0, "define a function"),
        (types, "store its name"),
    ],
    ids=lambda thing: thing if isinstance(thing, str) else type(thing).__name__,
)
def test_what_is_no_data_is_refused_with_a_way_out(thing: Any, way_out: str) -> None:
    """Each its own."""
    with pytest.raises(CannotStore) as refusal:
        image_of({"a": thing})
    assert way_out in str(refusal.value.hint)
