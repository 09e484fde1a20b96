"""What a commit takes a restore gives back: also where that hangs on which classes a program knows."""

from __future__ import annotations

import contextlib
import importlib
import itertools
import random
import sys
import threading
import warnings
from collections import Counter, OrderedDict, defaultdict
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from images import image_of, new_writer, newest_image, round_trip

import goldthread
from goldthread.errors import CannotStore, DoesNotFit, UsageError
from goldthread.names import Step
from goldthread.program.writer import InexactWarning
from goldthread.state.restore import pour, read


class Money:
    """Stored as what its recipe says."""

    def __init__(self, amount: int, currency: str) -> None:
        self.amount = amount
        self.currency = currency


class Told:
    """Says itself how it is stored, without goldthread."""

    def __init__(self, inside: object) -> None:
        self.inside = inside

    __goldthread__ = (lambda told: [told.inside], lambda parts: Told(parts[0]))


class Wrong:
    __goldthread__ = "no pair"


def test_a_registered_class_is_stored_as_its_recipe_says() -> None:
    """One by one and many at once; one object in two places is one again."""
    goldthread.register(Money, to=lambda money: (money.amount, money.currency), back=lambda parts: Money(*parts))
    one = Money(3, "EUR")
    back = round_trip({"one": one, "again": one, "many": [Money(k, "CHF") for k in range(20)]})
    assert (back["one"].amount, back["one"].currency) == (3, "EUR")
    assert back["one"] is back["again"]
    assert [money.amount for money in back["many"]] == list(range(20))


def test_a_class_that_says_itself_how_it_is_stored_needs_no_word() -> None:
    """Two functions in it; what is no pair of them is refused."""
    assert round_trip([Told(np.arange(3))])[0].inside.tolist() == [0, 1, 2]
    with pytest.raises(CannotStore, match=r"^state\[0\]: Wrong.__goldthread__ is no pair of functions"):
        image_of([Wrong()])


@pytest.mark.parametrize(
    ("cls", "more"),
    [("Money", {}), (Money(1, "EUR"), {}), (Money, {"to": str}), (Money, {"back": str})],
    ids=["text", "object", "to alone", "back alone"],
)
def test_what_cannot_be_registered_is_a_usage_error(cls: Any, more: dict[str, Any]) -> None:
    """No class, or half a recipe."""
    with pytest.raises(UsageError):
        goldthread.register(cls, **more)


def test_a_recipe_may_refer_to_what_is_around_it_but_not_to_itself() -> None:
    """It is made when its contents are whole."""
    goldthread.register(Money, to=lambda money: (money.amount, money.currency), back=lambda parts: Money(*parts))
    tied: Any = Money(1, "EUR")
    tied.amount = [tied]
    with pytest.raises(CannotStore, match="it contains itself"):
        image_of({"tied": tied})


NUMBERS = itertools.count()
LIBRARY = """
class Part:
    def __init__(self, size):
        self.size = size
"""


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A module that lies where libraries do, under a name that no other test has registered."""
    folder = tmp_path / "site-packages"
    folder.mkdir()
    name = f"some_library_{next(NUMBERS)}"
    (folder / f"{name}.py").write_text(LIBRARY)
    monkeypatch.syspath_prepend(folder)
    yield importlib.import_module(name)
    sys.modules.pop(name)


def test_a_librarys_class_is_refused_until_the_program_says_that_it_knows_it(library: Any) -> None:
    """At commit already: a restore would not make it."""
    with pytest.raises(CannotStore, match=r'^state\["part"\]: some_library_.*Part is a class of a library') as caught:
        image_of({"part": library.Part(3)})
    assert "goldthread.register(Part)" in caught.value.hint
    goldthread.register(library.Part)
    assert round_trip({"part": library.Part(3)})["part"].size == 3


def test_what_occurs_in_the_given_state_is_known(library: Any) -> None:
    """To the commit and to the restore, also for things that came later."""
    writer = new_writer()
    initial = {"parts": [library.Part(0)]}
    writer.classes.give(initial)
    writer.write({"parts": [library.Part(1), library.Part(2)]}, Step(1), generators=False)
    image = newest_image(writer)
    with pytest.raises(DoesNotFit, match="a class that is used only where the program says so"):
        read(image, map=False, pickle=False)
    assert [part.size for part in pour(image, initial, map=False, pickle=False).state["parts"]] == [1, 2]


def test_what_is_not_exact_is_said_once() -> None:
    """With its place, and not at each commit."""
    writer = new_writer()
    with pytest.warns(InexactWarning, match=r'^state\["inner"\]\[1\]: the order of a set'):
        writer.write({"inner": [0, {"some", "words"}]}, Step(1), generators=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        writer.write({"inner": [0, {"other", "words"}], "more": {"a", "b", "c"}}, Step(2), generators=False)


def test_where_nothing_fits_it_is_refused() -> None:
    """Going on would be from scratch, at an old step."""
    weights = np.zeros(3)
    with pytest.raises(DoesNotFit, match="nothing of the commit fits") as caught:
        pour(image_of({"old": np.ones(3), "step": 9}), {"weights": weights, "step": 0}, map=False, pickle=False)
    assert 'state["weights"]' in str(caught.value) and 'state["old"]' in str(caught.value)
    assert weights.tolist() == [0, 0, 0]


def test_strict_turns_what_would_be_a_warning_into_an_error() -> None:
    """And changes nothing."""
    initial = {"x": np.zeros(2), "new": 1}
    with pytest.raises(DoesNotFit, match=r'the commit does not know state\["new"\]: kept as given'):
        pour(image_of({"x": np.ones(2)}), initial, map=False, pickle=False, strict=True)
    assert initial["x"].tolist() == [0, 0]  # type: ignore[attr-defined]
    pour(image_of({"x": np.ones(2)}), {"x": np.zeros(2)}, map=False, pickle=False, strict=True)


def test_arrays_of_the_program_that_overlap_are_not_filled_one_over_the_other() -> None:
    """Where those of the commit lie apart they are made anew."""
    memory = np.zeros(10)
    result = pour(
        image_of({"a": np.ones(6), "b": np.full(6, 2.0)}), {"a": memory[:6], "b": memory[4:]}, map=False, pickle=False
    ).state
    assert result["a"].tolist() == [1.0] * 6
    assert result["b"].tolist() == [2.0] * 6


def test_a_commit_in_another_thread_may_meet_a_state_that_changes() -> None:
    """What it takes is one of the states that there were, or a refusal; never a commit that cannot be restored."""
    state: dict[str, Any] = {"things": [], "names": {}}
    done = threading.Event()

    def change() -> None:
        count = 0
        while not done.is_set():
            count += 1
            state["things"].append(Money(count, "EUR") if count % 3 else [count])
            state["names"][f"n{count}"] = {"a": count, "b": [count]}
            if count % 50 == 0:
                state["things"].clear()
                state["names"].clear()

    writer = new_writer()
    changer = threading.Thread(target=change)
    changer.start()
    try:
        for step in range(100):
            with contextlib.suppress(CannotStore):
                writer.write(state, Step(step), generators=False)
                read(newest_image(writer), map=False, pickle=False)
    finally:
        done.set()
        changer.join()
    writer.close()


class Member:
    def __init__(self, number: int) -> None:
        self.number = number


@pytest.mark.parametrize("count", [7, 8, 9, 5000])
@pytest.mark.parametrize("make", [lambda k: {"i": k}, lambda k: [k], Member, lambda k: (k, k)])
def test_what_stands_in_two_lists_is_one_thing(count: int, make: Any) -> None:
    """However many there are, noted at once or one by one, in both ways of a restore."""
    things = [make(k) for k in range(count)]
    state = {"queue": things, "by_id": {str(k): thing for k, thing in enumerate(things)}, "last": things[-3:]}
    for back in (round_trip(state), pour(image_of(state), {"queue": [], "by_id": {}}, map=False, pickle=False).state):
        assert all(mine is its for mine, its in zip(back["queue"], back["by_id"].values(), strict=True))
        assert back["last"][0] is back["queue"][-3]


def test_objects_and_their_own_dicts_stay_one() -> None:
    """Also of many."""
    members = [Member(k) for k in range(20)]
    back = round_trip({"members": members, "inside": [vars(member) for member in members]})
    assert all(vars(member) is inside for member, inside in zip(back["members"], back["inside"], strict=True))


class Sorted(dict):  # type: ignore[type-arg]
    """Its own order, and its own values."""

    def __iter__(self) -> Any:
        return iter(sorted(dict.keys(self)))

    def keys(self) -> Any:
        raise RuntimeError("not this way")

    def __getitem__(self, key: Any) -> Any:
        return 10 * dict.__getitem__(self, key)


class SortedCounter(Counter, Sorted):  # type: ignore[misc, type-arg]
    pass


def test_what_a_subclass_overrides_is_not_asked() -> None:
    """Items as they lie in it."""
    for cls in (Sorted, SortedCounter):
        thing = cls()
        dict.update(thing, b=1, a=2)
        back = round_trip([thing])[0]
        assert list(dict.items(back)) == [("b", 1), ("a", 2)]


def test_attributes_beside_items_are_kept_or_refused() -> None:
    """Of the builtins that take some."""
    counter, ordered = Counter("ab"), OrderedDict(a=1)
    counter.note, ordered.note = [1], [2]  # type: ignore[attr-defined]
    back = round_trip([counter, ordered])
    assert [back[0].note, back[1].note] == [[1], [2]]
    given = Counter()
    given.old = 1  # type: ignore[attr-defined]
    poured = pour(image_of([counter]), [given], map=False, pickle=False).state[0]
    assert (poured is given, vars(poured), poured["a"]) == (True, {"note": [1]}, 1)
    generator = random.Random(1)
    generator.note = 1  # type: ignore[attr-defined]
    with pytest.raises(CannotStore, match=r"^state\[0\]: a generator with attributes of the program"):
        image_of([generator])


@pytest.mark.parametrize("stored", [defaultdict(list, a=1), OrderedDict(a=1), Counter(a=1)])
def test_a_plain_dict_takes_no_other_kind_of_dict(stored: Any) -> None:
    """It is replaced: the factory would be lost."""
    back = pour(image_of({"d": stored}), {"d": {}}, map=False, pickle=False).state["d"]
    assert type(back) is type(stored)
    assert back == stored


@pytest.mark.parametrize("before", [0, 0.0, "", b"", Decimal(0), Path("x"), np.float64(0), None, ()], ids=repr)
@pytest.mark.parametrize(
    "later",
    [[1], {"a": 1}, (1, 2), np.zeros(2), np.array(1.0), Member(3), "text"],
    ids=lambda thing: type(thing).__name__,
)
def test_a_value_may_become_another_kind(before: Any, later: Any) -> None:
    """A program begins with 0 and ends with a list."""
    back = pour(image_of({"best": later}), {"best": before}, map=False, pickle=False).state["best"]
    assert type(back) is type(later)


def test_a_first_mask_is_restored() -> None:
    """A masked array begins without one."""
    masked = np.ma.zeros(3)
    masked[1] = np.ma.masked
    back = pour(image_of({"m": masked}), {"m": np.ma.zeros(3)}, map=False, pickle=False).state["m"]
    assert back.mask.tolist() == [False, True, False]


@pytest.mark.parametrize("thing", [np.bytes_(b"a\0"), np.str_("a\0"), np.bytes_(b"\0"), np.str_("grüße\0\0")], ids=repr)
def test_zeros_at_the_end_of_a_text_are_kept(thing: Any) -> None:
    """A scalar is no array."""
    back = round_trip({"x": thing, thing: 1})
    assert (back["x"], len(back["x"]), list(back)[1]) == (thing, len(thing), thing)


def test_types_of_which_there_is_one_thing_are_found() -> None:
    """`type(None)` is not where it says."""
    state = [type(None), type(...), type(NotImplemented)]
    assert round_trip(state) == state


class Fake(tuple):  # type: ignore[type-arg]
    __slots__ = ()
    _fields = ("a", "b")
    _make = classmethod(lambda cls, items: cls(items))


class Pair(NamedTuple):
    a: int
    b: int


def test_what_only_looks_like_a_named_tuple_is_no_named_tuple() -> None:
    """And one of another length is refused."""
    back = round_trip([Fake((1, 2, 3))])[0]
    assert (type(back), tuple(back)) == (Fake, (1, 2, 3))
    with pytest.raises(CannotStore, match="Pair has 2 fields, and this one 3 items"):
        image_of([tuple.__new__(Pair, (1, 2, 3))])


def test_what_cannot_be_read_is_refused_with_its_place() -> None:
    """Whatever it raises."""
    goldthread.register(Money, to=lambda money: money.nothing, back=lambda parts: Money(*parts))
    with pytest.raises(CannotStore, match=r"^state\[\"m\"\]: Money cannot be stored, since it cannot be read: Attr"):
        image_of({"m": Money(1, "EUR")})
