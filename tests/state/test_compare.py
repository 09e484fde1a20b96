"""Differences are shown so that they can be read."""

from __future__ import annotations

from datetime import datetime

import numpy as np
import pytest
from test_export import image_of

from goldthread.state.compare import compare, text_difference


@pytest.mark.parametrize(
    ("mine", "its", "sentence"),
    [
        ([np.float64(0.5)], [np.float64(0.25)], "state[0]: 0.5 and 0.25"),
        ([np.int8(3)], [np.int8(4)], "state[0]: 3 and 4"),
        ([1 + 2j], [1 + 3j], "state[0]: (1+2j) and (1+3j)"),
        ([2**70], [2**70 + 1], f"state[0]: {2**70} and {2**70 + 1}"),
        ([datetime(2027, 1, 2)], [datetime(2027, 1, 3)], "state[0]: '2027-01-02T00:00:00' and '2027-01-03T00:00:00'"),
        (["short"], ["other"], "state[0]: 'short' and 'other'"),
        (
            ["model v1 " * 20 + "0.1"],
            ["model v1 " * 20 + "0.25"],
            "state[0]: texts of 183 and 184 signs, from sign 182 on ...'l v1 model v1 0.1' and ...'l v1 model v1 0.25'",
        ),
    ],
    ids=["float", "int8", "complex", "large", "date", "short", "long"],
)  # fmt: skip
def test_values_are_shown_as_a_program_has_them(mine: object, its: object, sentence: str) -> None:
    """And of long texts where they begin to differ."""
    assert str(compare(image_of(mine), image_of(its)).differences[0]) == sentence


def test_the_values_are_given_for_a_judgement() -> None:
    """Of arrays the first elements that differ, with their bits."""
    (found,) = compare(image_of([np.zeros(3)]), image_of([np.array([0.0, 0.0, 1.0])])).differences
    assert found.kind == "array"
    assert found.values == (0.0, 1.0)
    assert found.bits == (bytes(8), np.float64(1).tobytes())


def test_a_text_that_goes_on_is_shown_at_its_end() -> None:
    assert text_difference("a" * 70, "a" * 71).endswith(f"from sign 70 on ...{'a' * 16!r} and ...{'a' * 17!r}")
