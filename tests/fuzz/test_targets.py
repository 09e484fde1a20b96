"""The examples that fuzzing begins from are good, so that what is made of them comes near to what is good."""

from __future__ import annotations

import pytest
from targets import TARGETS


@pytest.mark.parametrize(
    ("name", "number"), [(name, number) for name, target in TARGETS.items() for number in range(len(target.examples))]
)
def test_an_example_is_let_through(name: str, number: int) -> None:
    """Nothing is raised."""
    target = TARGETS[name]
    target.meet(target.examples[number])


@pytest.mark.parametrize("name", TARGETS)
def test_noise_is_refused_as_expected(name: str) -> None:
    """And with the error that says whose fault it is."""
    with pytest.raises(TARGETS[name].allowed):
        TARGETS[name].meet(b"\xff\x00\x00\x00" * 400)
