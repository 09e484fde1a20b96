"""Arrays of NumPy come back with their type, how their elements lie, and whether they may be written."""

from __future__ import annotations

import array
import gc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from images import image_of, new_writer, newest_image, round_trip

from goldthread.errors import CannotStore, CommitDamaged, DoesNotFit
from goldthread.names import Step
from goldthread.program.writer import Writer
from goldthread.state.dtypes import dtype_from, dtype_word
from goldthread.state.kinds.arrays import make_look
from goldthread.state.restore import pour, read

Text = np.dtypes.StringDType


def poured(stored: Any, given: Any) -> Any:
    return pour(image_of(stored), given, map=False, pickle=False).state


DTYPES = [
    "q", ">q", "Q", ">f8", "S0", "U0", "V0", "V5", "M8[25s]", "O",
    np.dtype("i4", metadata={"unit": "m", "parts": [1, None]}),
    np.dtype(("i4", (2, 3))),
    np.dtype([("a", "i1"), ("b", "f8")], align=True),
    np.dtype([(("A title", "a"), "i4"), ("b", "U0")]),
    np.dtype((np.record, [("a", "O"), ("b", "f4", (2,))])),
    np.dtype({"names": ["u", "v"], "formats": ["i4", "i2"], "offsets": [4, 0], "itemsize": 12}),
    Text(), Text(na_object=np.nan, coerce=False), Text(na_object=None), Text(na_object="none"),
]  # fmt: skip


@pytest.mark.parametrize("given", DTYPES, ids=str)
def test_a_type_is_made_again_from_its_words(given: Any) -> None:
    """In all that it says, also what `==` does not look at."""
    dtype: np.dtype[Any] = np.dtype(given)
    word = msgspec.msgpack.decode(msgspec.msgpack.encode(dtype_word(dtype)))
    back = dtype_from(word)
    assert dtype == back
    assert dtype_word(back) == word
    assert (dtype.char, dtype.type, dtype.itemsize, dtype.isalignedstruct, dtype.metadata) == (
        back.char, back.type, back.itemsize, back.isalignedstruct, back.metadata,
    )  # fmt: skip


@pytest.mark.parametrize("word", ["<nonsense", {"names": ["a"]}, {}, 7, ["<i4", ["x"]], {"of": "<i4", "metadata": 3}])
def test_a_word_that_names_no_type_is_damage(word: Any) -> None:
    """Whoever wrote it."""
    with pytest.raises(CommitDamaged):
        dtype_from(word)


def test_types_that_are_equal_are_told_apart_from_commit_to_commit() -> None:
    """`==` says that int64 and longlong are one type, and looks at no metadata."""
    writer = new_writer()
    for dtype in ("l", "q", "l", np.dtype("l", metadata={"unit": "m"}), "l"):
        for _ in range(3):  # The second and the third are found without a walk.
            writer.write({"x": np.ones(3, dtype), "y": 1}, Step(0), generators=False)
            back = read(newest_image(writer), map=False, pickle=False)["x"].dtype
            assert (back.char, back.metadata) == (np.dtype(dtype).char, np.dtype(dtype).metadata)


def laid_out_otherwise() -> list[Any]:
    cube = np.arange(24.0).reshape(2, 3, 4)
    window = np.lib.stride_tricks.as_strided(np.arange(9.0), (4, 3), (16, 8))
    return [
        cube.transpose(1, 0, 2), np.asfortranarray(cube), cube[::-1], cube[:, ::2, 1:], cube[0, 0, ::-3],
        np.broadcast_to(cube[0, 0], (3, 4)), window, np.arange(100_000.0)[::2], cube.T[..., ::-1],
    ]  # fmt: skip


@pytest.mark.parametrize("map", [False, True])
@pytest.mark.parametrize("index", range(9))
def test_elements_lie_as_they_did(index: int, map: bool) -> None:
    """Sums of floats depend on it."""
    thing = laid_out_otherwise()[index]
    image = image_of([thing])
    back = read(image, map=map, pickle=False)[0]
    assert (thing.strides, thing.flags.writeable) == (back.strides, back.flags.writeable)
    assert np.array_equal(thing, back)
    assert thing.sum() == back.sum()


def test_a_column_of_a_large_matrix_comes_back_without_the_others() -> None:
    """The commit says so, once and with its place."""
    column = np.arange(3_000_000.0).reshape(300, 10_000)[:, 0]
    with pytest.warns(UserWarning, match=r'^state\["a"\]\[1\]: a view of a much larger array'):
        image = image_of({"a": [1, column]})
    back = read(image, map=False, pickle=False)["a"][1]
    assert np.array_equal(column, back)
    assert len(image) < 100_000


def test_metadata_that_is_no_plain_text_is_left_out_and_said() -> None:
    """A class has no place in a manifest of types."""
    thing = np.zeros(2, np.dtype("i4", metadata={"kind": int}))
    with pytest.warns(UserWarning, match=r'^state\["x"\]: of the metadata of the dtype int32'):
        assert round_trip({"x": thing})["x"].dtype.metadata is None


@pytest.mark.parametrize("was", [True, False])
def test_whether_an_array_may_be_written_follows_the_commit(was: bool) -> None:
    """In what is made anew, in what is filled, and from one commit to the next."""
    x = np.zeros(3)
    writer = new_writer()
    for can_write in (not was, was, was, was, not was, was):
        x.flags.writeable = can_write
        writer.write({"x": x}, Step(0), generators=False)
        image = newest_image(writer)
        assert read(image, map=False, pickle=False)["x"].flags.writeable is can_write
        given = np.ones(3)
        assert pour(image, {"x": given}, map=False, pickle=False).state["x"] is given
        assert given.flags.writeable is can_write


def test_what_may_not_be_written_is_replaced() -> None:
    """Somebody may hold it for a constant."""
    constant = np.frombuffer(bytes(24))
    back = poured([np.ones(3)], [constant])[0]
    assert (back.tolist(), constant.tolist()) == ([1.0] * 3, [0.0] * 3)


def records() -> Any:
    rows = [([1], 2, (None, 5)), ("x", 3, ("z", 6)), (2, 3, ("z", 6))]
    return np.array(rows, [("a", "O"), ("n", "i4"), ("in", [("o", "O", (2,)), ("k", "i8")])])


KINDS: dict[str, Callable[[], Any]] = {
    "objects": lambda: np.array([1, [2], None], object),
    "records": records,
    "text": lambda: np.array(["short", "long" * 99, ""], Text()),
    "matrix": lambda: np.matrix([[1, 2], [3, 4]]),
    "recarray": lambda: np.rec.array([(1, 2.0), (3, 4.0)], dtype=[("a", "i4"), ("b", "f8")]),
    "masked": lambda: np.ma.array([1, 2, 3], mask=[0, 1, 0], fill_value=9, hard_mask=True),
}


@pytest.mark.parametrize("name", KINDS)
def test_an_array_of_the_program_is_filled_and_stays(name: str) -> None:
    """Of whatever kind, where type and shape are the same."""
    stored, given = KINDS[name](), KINDS[name]()
    plain = np.ndarray.view(given, np.ndarray)
    plain[...] = plain[-1]
    back = poured({"x": stored}, {"x": given})["x"]
    assert back is given
    assert repr(back) == repr(stored)
    assert type(round_trip(stored)) is type(stored)
    assert repr(round_trip(stored)) == repr(stored)


def test_what_is_in_an_array_of_objects_is_poured_too() -> None:
    """Lists and arrays in it stay the program's own."""
    inner, numbers = [0], np.zeros(2)
    given = np.array([inner, numbers, None], object)
    stored = np.array([[7], np.ones(2), "x"], object)
    back = poured(stored, given)
    assert back is given
    assert (inner, numbers.tolist(), back[2]) == ([7], [1.0, 1.0], "x")


def test_an_array_of_objects_does_not_fit_one_of_numbers() -> None:
    """The sentence names both."""
    with pytest.raises(DoesNotFit, match=r"an array of float64 \(2,\), the program one of object \(2,\)"):
        poured([np.zeros(2)], [np.empty(2, object)])


class Tagged(np.ndarray):  # type: ignore[type-arg]
    """An array with a tag, which its views inherit."""

    def __array_finalize__(self, source: Any) -> None:
        self.tag = getattr(source, "tag", None)


def test_an_array_of_the_programs_class_keeps_what_it_knows() -> None:
    """Its attributes in their order; it may know itself, and be among its own objects."""
    thing = np.array([1, None], object).view(Tagged)
    thing.more, thing.tag = [thing], "m"  # type: ignore[attr-defined]
    thing[1] = thing
    back = round_trip(thing)
    assert type(back) is Tagged
    assert back[1] is back
    assert back.more[0] is back
    assert list(vars(back)) == list(vars(thing))


def test_masked_is_one() -> None:
    """`x is np.ma.masked` is how programs ask."""
    assert round_trip([np.ma.masked])[0] is np.ma.masked


@pytest.mark.parametrize(
    "thing", [np.str_(""), np.bytes_(b""), np.void(b""), np.longlong(3), np.void(b"ab"), np.float16(2)]
)
def test_a_scalar_comes_back_as_one(thing: Any) -> None:
    """Empty ones too."""
    back = round_trip([thing])[0]
    assert type(back) is type(thing)
    assert (back.tobytes(), back.dtype) == (thing.tobytes(), thing.dtype)


class Metres(np.float64):
    pass


def test_a_scalar_of_the_programs_class_keeps_its_class() -> None:
    """And its attributes."""
    thing = Metres(2.5)
    thing.note = "x"  # type: ignore[attr-defined]
    back = round_trip([thing])[0]
    assert (type(back), back, back.note) == (Metres, 2.5, "x")


class Odd(np.void):
    pass


def test_an_array_of_elements_of_an_own_class_is_refused() -> None:
    """With its place and why."""
    with pytest.raises(CannotStore, match=r"^state\[0\]: the dtype .* its elements are of the class Odd"):
        image_of([np.zeros(2, np.dtype((Odd, [("a", "i4")])))])


def test_a_memmap_is_filled_where_the_program_has_one(tmp_path: Path) -> None:
    """Else it comes back as an array in memory, which is said; no file is touched."""
    file = tmp_path / "numbers"
    mapped = np.memmap(file, "f8", "w+", shape=(3,))
    mapped[:] = 7
    with pytest.warns(UserWarning, match=r'^state\["x"\]: a np.memmap comes back as an array in memory'):
        image = image_of({"x": mapped})
    mapped[:] = 0
    assert type(read(image, map=False, pickle=False)["x"]) is np.ndarray
    assert mapped.tolist() == [0.0] * 3
    assert pour(image, {"x": mapped}, map=False, pickle=False).state["x"] is mapped
    assert mapped.tolist() == [7.0] * 3


class Lie:
    """A word of a look, and the owner that stands for its child."""

    def __init__(self, owner: Any, word: Any, shape: list[int], strides: list[int], at: int) -> None:
        self.details = [word, shape, strides, at, False]
        self.owner = owner

    def children(self, node: Any, place: object) -> list[Any]:
        return [self.owner]

    def fill_anew(self) -> None:
        pass


RECORDS = [["a", "|O"], ["n", "<i4"]]


@pytest.mark.parametrize(
    "lie",
    [
        Lie(bytearray(16), "|O", [1], [8], 0),
        Lie(np.zeros(2), "|O", [1], [8], 0),
        Lie(np.array([None, 1], object), "|O", [1], [8], 4),
        Lie(np.array([None, 1], object), "|O", [2], [4], 0),
        Lie(np.array([None, 1], object), "<i8", [1], [8], 0),
        Lie(np.array([None, 1], object), "|O", [3], [8], 0),
        Lie(records(), "<i8", [1], [8], 0),
        Lie(records(), "|O", [1], [8], 8),
        Lie(np.array(["a"], Text()), "|O", [1], [8], 0),
        Lie(np.array(["a"], Text()), dtype_word(Text(coerce=False)), [1], [16], 0),
        Lie(bytearray(16), "<i8", [3], [8], 0),
        Lie(bytearray(16), "<i8", [1], [8], -8),
        Lie(array.array("b", [1]), "nonsense", [1], [8], 0),
        Lie(None, "<i8", [1], [8], 0),
    ],
)  # fmt: skip
def test_a_look_that_would_take_bytes_for_objects_is_damage(lie: Lie) -> None:
    """What comes from another host must not make an object of an address."""
    with pytest.raises(CommitDamaged):
        make_look(lie, lie, "state")


def test_an_array_of_the_payload_is_never_one_of_objects() -> None:
    """Nor is a scalar."""
    image = bytearray(image_of({"x": np.arange(8)}))
    assert image.count(b"\xa3<i8") == 1
    image[:] = image.replace(b"\xa3<i8", b"\xa3|O8")
    with pytest.raises(CommitDamaged):
        read(memoryview(image), map=True, pickle=False)
    gc.collect()


def test_a_writer_forgets_the_bytearray_that_it_wrote() -> None:
    """A program may go on to lengthen it, also while it looks at why a commit was refused."""
    data = bytearray(b"12345")
    writer: Writer = new_writer()
    for _ in range(3):
        writer.write({"x": data, "y": memoryview(data)}, Step(0), generators=False)
    data.append(6)
    with pytest.raises(CannotStore) as caught:
        writer.write({"x": data, "y": lambda: 0}, Step(0), generators=False)
    data.append(7)
    assert caught.value.hint
