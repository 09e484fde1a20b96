"""What a commit takes a restore gives back: also where that hangs on which classes a program knows."""

from __future__ import annotations

import contextlib
import importlib
import itertools
import sys
import threading
import warnings
from pathlib import Path
from typing import Any

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
