"""What looks at one memory in a state looks at one memory in the next life."""

from __future__ import annotations

import array
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from images import image_of, round_trip

from goldthread.errors import CannotStore
from goldthread.state.memory import address_of, array_over, bounds, in_order, laid_out, order_of, owner_of, writeable
from goldthread.state.restore import pour

Text = np.dtypes.StringDType


def poured(stored: Any, given: Any) -> Any:
    return pour(image_of(stored), given, map=False, pickle=False).state


class Plain(np.ndarray):  # type: ignore[type-arg]
    pass


class Bytes(bytearray):
    pass


def views_of(whole: Any) -> list[Any]:
    return [whole[1:], whole[:-1], whole, whole[::-2], whole[2::-1]]


def locked(whole: Any) -> Any:
    whole.flags.writeable = False
    return whole


def over(owner: Any) -> list[Any]:
    return [np.frombuffer(owner, "u1")[1:], memoryview(owner).cast("B")[2:5], owner, memoryview(owner).cast("B")[::-2]]


def rows() -> Any:
    return np.array([([1], 2), ("x", 3), (2, 4)], [("a", "O"), ("n", "i4")])


SHARED: dict[str, Callable[[], list[Any]]] = {
    "numbers": lambda: views_of(np.arange(6.0)),
    "numbers without their array": lambda: views_of(np.arange(6.0))[:2],
    "another type": lambda: (lambda whole: [whole.view("u1")[3:9], whole])(np.arange(6.0)),
    "interleaved": lambda: (lambda whole: [whole[::2], whole[1::2]])(np.arange(6.0)),
    "a window": lambda: (lambda whole: [np.lib.stride_tricks.as_strided(whole, (3, 2), (8, 8)), whole])(np.arange(6.0)),
    "columns": lambda: (lambda whole: [whole[:, 1], whole.T, whole])(np.asfortranarray(np.arange(6.0).reshape(2, 3))),
    "a field": lambda: (lambda whole: [whole["b"], whole])(np.zeros(3, [("a", "i1"), ("b", "f8")])),
    "a record": lambda: (lambda whole: [whole[1], whole])(np.zeros(3, [("a", "i1"), ("b", "f8")])),
    "a record of a recarray": lambda: (lambda whole: [whole, whole[1], whole.a])(np.rec.array([(1, 2.0), (3, 4.0)])
                                                                                  .view([("a", "i8"), ("b", "f8")])),
    "a constant view": lambda: (lambda whole: [locked(whole[1:3]), whole])(np.arange(6.0)),
    "a constant": lambda: (lambda whole: [whole[1:3], locked(whole)])(np.arange(6.0)),
    "a subclass": lambda: views_of(np.arange(6.0).view(Plain)),
    "a subclass and its array": lambda: (lambda whole: [whole.view(np.ndarray), whole])(np.arange(6.0).view(Plain)),
    "masks": lambda: (lambda whole: [whole, whole[1:], whole.view()])(np.ma.array([1, 2, 3], mask=[0, 1, 0])),
    "objects": lambda: views_of(np.array([1, [2], None, "x"], object)),
    "objects by columns": lambda: (lambda whole: [whole[1], whole, whole.T])(
        np.asfortranarray(np.array([[1, [2]], [None, "x"]], object))),
    "constant objects": lambda: (lambda whole: [whole[1:], locked(whole)])(np.array([1, [2], None], object)),
    "objects of a subclass": lambda: views_of(np.array([1, [2], None, "x"], object).view(Plain)),
    "fields of records with objects": lambda: (lambda whole: [whole["n"], whole, whole["a"], whole[1]])(rows()),
    "text": lambda: views_of(np.array(["a", "b" * 99, "", "c"], Text())),
    "text with gaps": lambda: views_of(np.array(["a", np.nan, "b" * 99], Text(na_object=np.nan, coerce=False))),
    "a bytearray": lambda: over(bytearray(range(16))),
    "a subclass of bytearray": lambda: over(Bytes(range(16))),
    "an array.array": lambda: over(array.array("H", range(8))),
    "a memoryview of an array": lambda: (lambda whole: [memoryview(whole), memoryview(whole[:, ::2]), whole])(
        np.arange(12).reshape(3, 4)),
    "an array of a memoryview": lambda: (lambda whole: [np.asarray(memoryview(whole))[1], whole])(
        np.arange(12).reshape(3, 4)),
}  # fmt: skip


def spans(thing: Any) -> Any:
    """Where the bytes of something lie."""
    if isinstance(thing, memoryview):
        thing = np.asarray(thing)
    elif isinstance(thing, np.void):
        return address_of(thing), address_of(thing) + thing.nbytes
    elif not isinstance(thing, np.ndarray):
        thing = np.frombuffer(thing, np.uint8)
    return bounds(thing)


def lie(things: list[Any]) -> list[Any]:
    """How things lie to each other, of what type they are and whether they may be written."""
    first = min(spans(thing)[0] for thing in things)
    return [
        (
            type(thing),
            *(edge - first for edge in spans(thing)),
            getattr(getattr(thing, "flags", None), "writeable", None),
        )
        for thing in things
    ]


@pytest.mark.parametrize("name", SHARED)
def test_what_shares_memory_does_so_again(name: str) -> None:
    """As far from each other as it was; made anew, and given to a program that has the same."""
    assert lie(round_trip(SHARED[name]())) == lie(SHARED[name]())
    assert lie(poured(SHARED[name](), SHARED[name]())) == lie(SHARED[name]())
    assert repr(round_trip(SHARED[name]())[0]).partition(" at ")[0] == repr(SHARED[name]()[0]).partition(" at ")[0]


@pytest.mark.parametrize("name", SHARED)
def test_of_all_that_shares_a_memory_one_may_be_new(name: str) -> None:
    """What the program has not, it does not get beside what it has: all of it shares again."""
    stored = {str(index): thing for index, thing in enumerate(SHARED[name]())}
    given = {key: value for key, value in zip(stored, SHARED[name](), strict=True) if key != "0"}
    assert lie(list(poured(stored, given).values())) == lie(list(stored.values()))


def test_what_shared_in_the_program_only_is_taken_apart() -> None:
    """Each takes what the commit has for it."""
    whole = np.zeros(10)
    mine = [whole[:8], whole[1:3], whole[5:6]]
    back = poured([np.full(8, 1.0), np.full(2, 2.0), np.full(1, 3.0)], mine)
    assert [thing.tolist() for thing in back] == [[1.0] * 8, [2.0] * 2, [3.0]]
    data = bytearray(b"abc")
    bytes_, looks = poured([bytearray(b"xyz"), np.array([1, 2, 3], "u1")], [data, np.frombuffer(data, "u1")])
    assert (bytes(bytes_), looks.tolist()) == (b"xyz", [1, 2, 3])


def test_arrays_of_the_program_that_share_as_those_of_the_commit_stay() -> None:
    """They are filled where they lie."""
    given = np.zeros(6)
    mine = [given[1:], given]
    stored = np.arange(6.0)
    back = poured([stored[1:], stored], mine)
    assert (back[0] is mine[0], back[1] is given) == (True, True)
    assert given.tolist() == list(range(6))


def test_a_constant_view_of_the_program_is_filled_by_way_of_its_array() -> None:
    """It may be read only, and what owns its memory may be written."""
    given = np.zeros(4)
    mine = [locked(given[1:3]), given]
    stored = np.arange(4.0)
    back = poured([locked(stored[1:3]), stored], mine)
    assert (back[0] is mine[0], back[1] is given) == (True, True)
    assert (given.tolist(), back[0].flags.writeable) == ([0, 1, 2, 3], False)


def test_a_bytearray_that_cannot_grow_is_replaced() -> None:
    """A view of it holds its memory where it is."""
    data = bytearray(b"abc")
    view = memoryview(data)
    back = poured({"data": bytearray(b"12345")}, {"data": data})
    assert (bytes(back["data"]), bytes(view)) == (b"12345", b"abc")
    view.release()
    assert poured({"data": bytearray(b"12345")}, {"data": data})["data"] is data
    assert data == b"12345"


@pytest.mark.parametrize("form", ["B", "i", "d", "c", "?"])
def test_a_memoryview_shows_what_it_showed(form: str) -> None:
    """In every format and step."""
    whole = memoryview(bytearray(range(48))).cast(form)  # type: ignore[call-overload]
    shaped = memoryview(bytearray(range(48))).cast("i", [3, 4])
    for view in (whole, whole[1:3], whole[::-1], whole[4:1:-2], whole[2:2], whole.toreadonly()[1:], shaped):
        back = round_trip([view])[0]
        assert (view.format, view.shape, view.strides, view.readonly, view.tobytes()) == (
            back.format, back.shape, back.strides, back.readonly, back.tobytes(),
        )  # fmt: skip


def test_a_released_memoryview_is_refused() -> None:
    """It shows nothing any more."""
    view = memoryview(b"abc")
    view.release()
    with pytest.raises(CannotStore, match=r'^state\["v"\]: a memoryview that was released'):
        image_of({"v": view})


def test_only_what_overlaps_is_stored_once() -> None:
    """Rows without their matrix share nothing that can be seen."""
    whole = np.zeros((1000, 1000))
    assert len(image_of([whole[3], whole[7]])) < 100_000
    assert len(image_of([whole, whole.T, whole[3]])) < 16_000_000


@pytest.mark.parametrize("order", ["C", "F", [1, 0, 2], [0, 2, 1], [2, 0, 1]])
def test_an_order_of_axes_is_told_and_made(order: Any) -> None:
    """An array laid out in it says that it is."""
    made = laid_out([2, 3, 4], np.dtype("i4"), order)
    assert (order_of(made), made.shape, made.base) == (order, (2, 3, 4), None)
    assert in_order(made).flags.c_contiguous
    memory = bytearray(100)
    assert array_over(memory, 4, made.dtype, [2, 3, 4], order).strides == made.strides


def test_what_memory_belongs_to_is_found_behind_every_kind_of_view() -> None:
    """By way of memoryviews, records and windows, too."""
    records = np.zeros(3, [("a", "f8")])
    record: Any = records[1]
    assert owner_of(np.frombuffer(record, "u1")) is records
    numbers = np.arange(6.0)
    assert owner_of(np.lib.stride_tricks.sliding_window_view(numbers, 3)[1:]) is numbers
    data = bytearray(8)
    assert owner_of(np.frombuffer(memoryview(data)[2:], "u1")[1:]) is data
    constant = np.frombuffer(bytes(8))
    assert writeable(constant) is None
    assert writeable(numbers) is numbers
