"""What is told from what the runs of `goldthread check` left behind."""

from __future__ import annotations

import struct
from typing import Any

import pytest

from goldthread.cli.causes import Told, find_causes
from goldthread.cli.evidence import (
    Aside,
    CauseKind,
    Clock,
    DataView,
    Leaf,
    Outside,
    are_times,
    find_draws,
    find_first_steps,
    find_outside,
    judge_unsteady,
    look_at_data,
)
from goldthread.cli.rehearsal import plan_kills
from goldthread.wire.rehearsal import CommitFact, EndFact, Outsider, facts_in, line_of

CLOCK = Clock((1_800_000_000.0, 1_800_000_060.0), (5_000.0, 5_060.0))


def run(noted: str, *, life: int = 1, epochs: str = "", draws: str = "", first: int = 1) -> list[CommitFact]:
    """Commits, one for each letter of what was noted; those of `epochs` and `draws` stand below them."""
    return [
        CommitFact(
            life,
            step,
            {'state["x"]': letter},
            None if letter == "-" else letter,
            {"numpy": draws[index]} if draws else {},
            int(epochs[index]) if epochs else None,
        )
        for index, (step, letter) in enumerate(enumerate(noted, first))
    ]


def end(**prints: str) -> EndFact:
    outside = tuple(Outsider(name, "generator", "numpy Generator", True, print) for name, print in prints.items())
    return EndFact(1, outside, {}, 1, True, False)


@pytest.mark.parametrize(
    ("place", "one", "other", "is_time"),
    [
        ('state["t"]', 1_800_000_010.5, 1_800_000_020.5, True),
        ('state["t"]', 1_800_000_010_500, 1_800_000_020_500, True),
        ('state["t"]', 5_001.5, 5_031.5, True),
        ('state["t"]', 3.5, 4.5, False),
        ('state["elapsed_s"]', 3.5, 4.5, True),
        ('state["t"]', 1_800_000_010.5, 4.0, False),
        ('state["line"]', "step 3 at 2027-01-15T08:00:10.5", "step 3 at 2027-01-15T08:00:20.5", True),
        ('state["line"]', "step 3 at 1800000010.5", "step 3 at 1800000020.5", True),
        ('state["line"]', "loss 3.1 at 08:00:10", "loss 3.2 at 08:00:20", False),
        ('state["line"]', "same", "same", False),
        ('state["on"]', True, False, False),
    ],
)
def test_times_are_known(place: str, one: Any, other: Any, is_time: bool) -> None:
    """By the clock, by their name, or by how they are written."""
    assert are_times(Leaf(place, "", "value", (one, other)), CLOCK) is is_time


def test_what_differs_in_every_run_is_judged_by_what_makes_it_agree() -> None:
    """Hashes, memory, a few bits of a sum, or nothing."""
    leaves = [
        Leaf("hashed", "", "value", ("a", "b")),
        Leaf("buffer", "", "array", None),
        Leaf("pattern", "", "array", (-2.5e-127, 3.8e117), (b"\xa5" * 8, b"\x58" * 8)),
        Leaf("address", "", "array", (6.9e-310, 6.8e-310), (struct.pack("<d", 6.9e-310), struct.pack("<d", 6.8e-310))),
        Leaf("sum", "", "value", (0.1234567, 0.1234568)),
        Leaf("drawn", "", "value", (0.1, 0.7)),
    ]
    asides = judge_unsteady(leaves, {"address", "sum", "drawn"}, {"hashed"}, CLOCK)
    assert [(aside.place, aside.kind.name, aside.always) for aside in asides] == [
        ("hashed", "HASH", False),
        ("buffer", "MEMORY", False),
        ("pattern", "MEMORY", False),
        ("address", "MEMORY", True),
        ("sum", "THREADS", True),
        ("drawn", "CHANCE", True),
    ]


@pytest.mark.parametrize(
    ("calm", "killed", "seen"),
    [
        ("abcdefgh", [run("abcd"), run("e", life=2, first=5), run("fgh", life=3, first=6)], (None, None, False)),
        ("abcdefgh", [run("abcd"), run("a", life=2, first=5), run("abc", life=3, first=6)], (5, 1, True)),
        ("abcdefgh", [run("abcd"), run("d", life=2, first=5), run("efg", life=3, first=6)], (5, 4, False)),
        ("abcdefgh", [run("abcd"), run("z", life=2, first=5), run("xyw", life=3, first=6)], (5, None, False)),
        ("abcdefgh", [run("abcd"), run("a", life=2, first=5), run("hbe", life=3, first=6)], (5, None, False)),
    ],
)  # fmt: skip
def test_data_that_came_otherwise(calm: str, killed: list[list[CommitFact]], seen: tuple[Any, ...]) -> None:
    """The same, from the beginning, shifted, of another kind, or in another order in which one only happens to fit."""
    facts = [fact for life in killed for fact in life]
    found = look_at_data(run(calm), run(calm), facts)
    assert found is not None
    assert (found.first_other, found.same_as, found.began_anew) == seen


def test_data_that_comes_otherwise_in_every_run_proves_nothing() -> None:
    found = look_at_data(run("abcd"), run("axcd"), run("abxd"))
    assert found == DataView(4, 2, steady=False)
    assert look_at_data(run("----"), run("----"), run("----")) is None


def test_draws_after_a_restore_are_seen_where_undisturbed_runs_agree() -> None:
    calm = run("abcd", draws="1234")
    killed = run("ab", draws="12") + run("cd", life=2, first=3, draws="78")
    assert find_draws(calm, calm, killed) == ("numpy", 3)
    assert find_draws(calm, run("abcd", draws="5678"), killed) is None
    assert find_draws(calm, calm, calm) is None


def test_the_first_step_is_that_of_parts_that_two_undisturbed_runs_agree_in() -> None:
    assert find_first_steps(run("abcd"), run("abxd"), run("abcd")) == {'state["x"]': 3}
    assert find_first_steps(run("abcd"), run("abxd"), run("abcy")) == {}


def test_what_stood_outside_matters_where_it_ended_otherwise_only_after_a_death() -> None:
    calm, other = end(same="1", lost="1", chancy="1"), end(same="1", lost="1", chancy="2")
    found = find_outside(calm, other, end(same="1", lost="3", chancy="4"))
    assert [(one.name, one.differs, one.varies) for one in found] == [
        ("lost", True, False),
        ("same", False, False),
        ("chancy", None, True),
    ]


def told(**more: Any) -> Told:
    known: dict[str, Any] = {
        "differences": [Leaf('state["x"]', "1 and 2", "value", (1, 2))],
        "asides": [],
        "data": None,
        "outside": [],
        "draws": None,
        "generators": True,
    }
    return Told(**{**known, **more})


RNG = Outside("rng", "numpy Generator", "generator", True, True)
WORKERS = Outside("loader", "DataLoader with persistent workers", "loader", None, None)
ARRAY = Outside("solver.f", "float64 array (2,)", "array", True, True)


@pytest.mark.parametrize(
    ("more", "kinds"),
    [
        ({}, ["OUTSIDE"]),
        ({"differences": []}, []),
        ({"outside": [RNG]}, ["GENERATOR"]),
        ({"outside": [RNG], "draws": ("numpy", 4)}, ["GENERATOR", "DRAWS"]),
        ({"draws": ("numpy", 4), "generators": False}, ["GENERATOR"]),
        ({"outside": [WORKERS]}, ["DATA"]),
        ({"outside": [WORKERS], "data": DataView(4, None)}, ["OUTSIDE"]),
        ({"outside": [ARRAY]}, ["OUTSIDE"]),
        ({"data": DataView(4, 3, 1, True)}, ["ITERATOR"]),
        ({"data": DataView(4, 3, 2)}, ["DATA"]),
        ({"differences": [Leaf('state["booster"]', "", "pickle")]}, ["MODEL"]),
        ({"differences": [Leaf('state["m"]["w"]', "", "tensor", owner='state["m"]')]}, ["MODEL"]),
        ({"differences": [], "asides": [Aside("t", "", CauseKind.TIME, True)]}, []),
        ({"differences": [], "asides": [Aside("b", "", CauseKind.MEMORY, False)]}, ["MEMORY"]),
        ({"differences": [Leaf("b", "")], "asides": [Aside("b", "", CauseKind.MEMORY, False)]}, ["MEMORY"]),
        ({"asides": [Aside("h", "", CauseKind.HASH, False)]}, ["OUTSIDE", "HASH"]),
    ],
)  # fmt: skip
def test_the_likeliest_cause_comes_first(more: dict[str, Any], kinds: list[str]) -> None:
    assert [cause.kind.name for cause in find_causes(told(**more))] == kinds


@pytest.mark.parametrize(
    ("epochs", "count", "at", "planned"),
    [
        ("0" * 20, 2, None, (10, 0)),
        ("0" * 20, 1, None, (10,)),
        ("0" * 20, 2, 4, (4, 0)),
        ("0" * 20, 4, 4, (4, 0, 10, 15)),
        ("0" * 9 + "1" * 9 + "2" * 2, 2, None, (14, 0)),
        ("0" * 9 + "1" * 3, 2, None, (5, 0)),
        ("00", 2, None, (1, 0)),
    ],
)
def test_deaths_are_planned(epochs: str, count: int, at: int | None, planned: tuple[int, ...]) -> None:
    """The end of an epoch lies before them and behind them, where two are seen."""
    assert plan_kills(run("a" * len(epochs), epochs=epochs), count, at) == planned


def test_facts_are_read_though_the_last_line_was_cut_off() -> None:
    fact = run("a")[0]
    assert list(facts_in(line_of(fact) + line_of(fact)[:-9])) == [fact]
