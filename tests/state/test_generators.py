"""The global generators: what is read of them is what they say of themselves, and puts them back."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from goldthread.state import generators
from goldthread.state.generators import capture_generators, put_back_generators


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    before = random.getstate(), np.random.get_bit_generator(), np.random.get_state()
    yield
    random.setstate(before[0])
    np.random.set_bit_generator(before[1])
    np.random.set_state(before[2])


def seed_both() -> None:
    random.seed(3)
    np.random.seed(3)


DRAWS: list[Callable[[], object]] = [
    seed_both, random.random, random.gauss, random.gauss, np.random.standard_normal, np.random.standard_normal,
    np.random.random, lambda: np.random.random(700), lambda: random.randbytes(4000), random.gauss,
    np.random.standard_normal, seed_both, lambda: np.random.set_state(("MT19937", range(624), 5, 1, 0.25)),
]  # fmt: skip


def test_what_is_read_is_what_the_generators_say() -> None:
    """Word for word, in every state that draws lead to; this Python and this NumPy can be read."""
    assert generators._python_parts() is not None
    assert generators._numpy_parts(np.random.get_bit_generator()) is not None
    for draw in DRAWS:
        draw()
        captured = capture_generators()
        asked = generators._ask_python(generators._PYTHON), generators._ask_numpy(generators._NUMPY)
        assert asked == (captured["random"], captured["numpy"])
        assert random.getstate()[2] == captured["gauss"]


def draw_all() -> list[Any]:
    return [random.random(), random.gauss(), np.random.standard_normal(), *np.random.standard_normal(650)]


@pytest.mark.parametrize("readable", [True, False])
def test_draws_go_on_where_they_were(readable: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """With half a pair of normal draws left over, whether the words can be read or must be asked for."""
    if not readable:
        monkeypatch.setattr(generators, "_python_parts", lambda: None)
        monkeypatch.setattr(generators, "_numpy_parts", lambda bits: None)
    seed_both()
    draw_all()
    captured = capture_generators()
    expected = draw_all()
    seed_both()
    put_back_generators(captured)
    assert expected == draw_all()


def test_another_kind_of_global_generator_travels_as_well() -> None:
    """NumPy lets a program choose it."""
    np.random.set_bit_generator(np.random.Philox(4))
    np.random.standard_normal()
    captured = capture_generators()
    expected = np.random.standard_normal(5).tolist()
    put_back_generators(captured)
    assert expected == np.random.standard_normal(5).tolist()
