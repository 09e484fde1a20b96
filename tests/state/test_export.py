"""A commit in files of others, and the comparison of two commits."""

from __future__ import annotations

import json
import math
import os
import sys
from array import array
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from images import image_of
from safetensors.numpy import load_file

from goldthread.state.compare import compare
from goldthread.state.export import export

STATE: dict[str, Any] = {
    "step": 3,
    "model": {"weight": np.arange(6.0).reshape(2, 3), "layers": [np.ones(2, "f4"), np.asfortranarray(np.eye(3, 2))]},
    "when": np.array(["2024-01-01"], "M8[s]"),
    "odd": [math.nan, b"ab", (1, 2), 2**70, 1j, {1: "a"}, None],
    "empty": np.zeros((0, 3), "i4"),
    "zero": np.array(2.5, "f4"),
}


def test_arrays_are_read_by_safetensors_and_the_rest_by_json(tmp_path: Path) -> None:
    """Named by their path, in C order; types that safetensors has no word for as bytes."""
    files = export(image_of(STATE), tmp_path / "walk.safetensors")
    assert files == (tmp_path / "walk.safetensors", tmp_path / "walk.json")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["walk.json", "walk.safetensors"]
    arrays = load_file(files[0])
    assert sorted(arrays) == ["empty", "model.layers.0", "model.layers.1", "model.weight", "when", "zero"]
    for name, expected in [
        ("model.weight", STATE["model"]["weight"]),
        ("model.layers.1", STATE["model"]["layers"][1]),
        ("empty", STATE["empty"]),
        ("zero", STATE["zero"]),
    ]:
        assert arrays[name].dtype == expected.dtype
        assert np.array_equal(arrays[name], expected)
    assert arrays["when"].tobytes() == STATE["when"].tobytes()
    written = json.loads(files[1].read_text())
    assert written["member"] == "walk"
    assert written["state"]["model"] == {
        "weight": {"tensor": "model.weight"},
        "layers": [{"tensor": "model.layers.0"}, {"tensor": "model.layers.1"}],
    }
    assert written["state"]["odd"] == [
        {"float": "nan"}, {"bytes": "YWI="}, [1, 2], 2**70, {"complex": [0.0, 1.0]}, {"items": [[1, "a"]]}, None,
    ]  # fmt: skip


def test_what_the_bytes_of_a_buffer_are_is_written_beside_them(tmp_path: Path) -> None:
    """Without its type an array of numbers cannot be read."""
    state = {"numbers": array("d", [1.0]), "view": memoryview(array("h", [1, 2]))}
    _, rest = export(image_of(state), tmp_path / "walk.safetensors")
    written = json.loads(rest.read_text())["state"]
    assert written["numbers"] == {"pyarray": ["AAAAAAAA8D8=", "d"]}
    assert '["AQACAA==", "h"' in json.dumps(written["view"])


def test_the_files_are_as_open_to_others_as_their_user_wants(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        files = export(image_of(STATE), tmp_path / "walk.safetensors")
    finally:
        os.umask(before)
    assert [file.stat().st_mode & 0o777 for file in files] == [0o600, 0o600]


def test_a_file_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    """The old file stays, and no half of a new one."""
    (tmp_path / "walk.safetensors").mkdir()
    with pytest.raises(OSError, match=r"walk\.safetensors"):
        export(image_of(STATE), tmp_path / "walk.safetensors")
    assert [file.name for file in tmp_path.iterdir()] == ["walk.safetensors"]


def test_equal_states_do_not_differ() -> None:
    """NaN is equal to itself here: it is the bits that count."""
    comparison = compare(image_of(STATE), image_of(STATE))
    assert comparison.differences == []
    assert comparison.leaves == 15


@pytest.mark.parametrize(
    ("mine", "its", "sentence"),
    [
        ([1, 2], [1, 3], "state[1]: 2 and 3"),
        ([0.0], [-0.0], "state[0]: 0.0 and -0.0"),
        ([1], [True], "state[0]: 1 and True"),
        ({"a": [1]}, {"a": (1,)}, 'state["a"]: list and tuple'),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}, "state: another order of keys"),
        ({"a": 1}, {"a": 1, "b": 2}, "state: only one of the two has 'b'"),
        ([np.arange(3)], [np.array([0, 5, 4])], "state[0]: 2 of 3 elements differ, the first at 1: 1 and 5"),
        ([np.zeros(2)], [np.zeros(3)], "state[0]: an array of float64 (2,) and one of float64 (3,)"),
        ([b"x" * 5000], [b"x" * 4999 + b"y"], "state[0]: 1 of 5000 bytes differ"),
        ([bytearray(b"a")], [bytearray(b"b")], "state[0]: 1 of 1 bytes differ"),
    ],
    ids=str,
)  # fmt: skip
def test_the_first_difference_is_named(mine: object, its: object, sentence: str) -> None:
    """Its place, and both sides."""
    assert str(compare(image_of(mine), image_of(its)).differences[0]) == sentence


def test_any_name_may_stand_in_the_files(tmp_path: Path) -> None:
    """Those that safetensors keeps for itself, that are no UTF-8, or that two paths come to."""
    state = {"__metadata__": np.arange(2), "\ud800": np.arange(3), "a.b": np.arange(4), "a": {"b": np.arange(5)}}
    tensors, _ = export(image_of(state), tmp_path / "odd.safetensors")
    assert sorted(len(array) for array in load_file(tensors).values()) == [2, 3, 4, 5]


def test_what_json_has_no_word_for_is_written_otherwise(tmp_path: Path) -> None:
    """Circles, one thing in two places, depth, and numbers of more digits than Python writes."""
    circle: list[Any] = [1]
    circle.append(circle)
    doubled: list[Any] = [0]
    for _ in range(60):
        doubled = [doubled, doubled]
    deep: list[Any] = []
    for _ in range(900):
        deep = [deep]
    state = {"circle": circle, "doubled": doubled, "deep": deep, "digits": 10**5000, "keys": {10**5000: 1}}
    _, rest = export(image_of(state), tmp_path / "odd.safetensors")
    sys.setrecursionlimit(5000)
    try:
        written = json.loads(rest.read_text())["state"]
    finally:
        sys.setrecursionlimit(1000)
    assert written["circle"] == [1, {"same": "circle"}]
    assert written["digits"] == {"int": hex(10**5000)}
    assert rest.stat().st_size < 1 << 20
