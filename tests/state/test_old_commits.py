"""Commits of version 0.1 are read for good: a vault outlives the program that filled it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import old_state
import pytest

from goldthread.state.export import export
from goldthread.state.restore import pour, read

IMAGE = Path(__file__).with_name("commit-0.1.image")


@pytest.fixture
def image() -> memoryview:
    return memoryview(bytearray(IMAGE.read_bytes()))


def check(state: dict[Any, Any]) -> None:
    """Whether a state is what `old_state.make` makes."""
    expected = old_state.make()
    assert list(expected) == list(state)
    for key in ("step", "values", "dates", "keys", "dicts", "others", "walker", "colour", "scalars", "buffers"):
        assert expected[key] == state[key], key
        assert repr(expected[key]) == repr(state[key]) or key == "buffers", key
    assert state["dicts"][2].default_factory is list
    assert [type(one) for one in expected["others"]] == [type(one) for one in state["others"]]
    for mine, its in zip(expected["arrays"], state["arrays"], strict=True):
        assert (mine.dtype, mine.shape, mine.tobytes("A")) == (its.dtype, its.shape, its.tobytes("A"))
    assert state["shared"][0] is state["shared"][1] is state["point"].y
    assert state["again"] is state["shared"][0][1]
    for draw in (
        lambda state: state["generators"][0].random(3),
        lambda state: state["generators"][0].spawn(1)[0].random(3),
        lambda state: state["generators"][1].standard_normal(3),
        lambda state: [state["generators"][2].random()],
        lambda state: state["generators"][3].random_raw(3),
    ):
        assert np.array_equal(draw(expected), draw(state))


def test_a_commit_of_version_0_1_is_rebuilt(image: memoryview) -> None:
    """Every kind that it knew."""
    state = read(image, map=False, pickle=False)
    assert state["model"]["weight"].tolist() == [7.0] * 3
    check(state)


def test_a_commit_of_version_0_1_is_poured(image: memoryview) -> None:
    """Into what the program has, in place."""
    initial = old_state.make()
    kept = [initial["arrays"][0], initial["generators"][0], initial["walker"], initial["model"], initial["dicts"][2]]
    initial["arrays"][0][:] = 0
    initial["generators"][0].random(100)
    initial["walker"].place = None
    initial["model"].weight[:] = 0
    initial["dicts"][2].clear()
    state = pour(image, initial, map=False, pickle=False).state
    found = [state["arrays"][0], state["generators"][0], state["walker"], state["model"], state["dicts"][2]]
    assert all(mine is its for mine, its in zip(kept, found, strict=True))
    assert state["model"].weight.tolist() == [7.0] * 3
    check(state)


def test_a_commit_of_version_0_1_is_exported(image: memoryview, tmp_path: Path) -> None:
    """By a version that writes otherwise."""
    tensors, beside = export(image, tmp_path / "old.safetensors")
    assert tensors.stat().st_size > 0
    assert json.loads(beside.read_text())["state"]["point"]["x"] == 1.5
