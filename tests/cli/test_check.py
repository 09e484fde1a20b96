"""`goldthread check` finds whether a program goes on exactly, and why not; `export` writes what others can read."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from safetensors.numpy import load_file
from shell import Shell

from goldthread.cli.check import likely_cause

PROGRAM = """
import goldthread, numpy as np
draw = np.random.default_rng({seed})
with goldthread.join("walk") as life:
    state = life.restore({{"step": 0, "x": np.zeros(4){more}}})
    {back}
    while state["step"] < 100:
        state["x"] += draw.normal(size=4)
        state["step"] += 1
        life.commit(state)
"""
EXACT = PROGRAM.format(seed=1, more=', "draw": draw', back='draw = state["draw"]')
FORGETFUL = PROGRAM.format(seed=1, more="", back="pass")
CHANCY = PROGRAM.format(seed="", more="", back="pass")


def test_a_program_with_all_in_its_state_goes_on_exactly(shell: Shell) -> None:
    done = shell("check", "--steps", "8", "--", *shell.write("walk.py", EXACT))
    assert done.returncode == 0, done.stderr
    assert done.stdout == "bit-identical: yes  killed at step 4, restored, compared at step 8\n"


@pytest.mark.parametrize(
    ("program", "deterministic", "cause"),
    [(FORGETFUL, True, "a generator made by the program"), (CHANCY, False, "the program is not deterministic")],
)
def test_a_program_that_goes_on_otherwise_is_told_where_and_why(
    shell: Shell, program: str, deterministic: bool, cause: str
) -> None:
    """The evidence is a third run: whether two undisturbed ones agree."""
    done = shell("check", "--json", "--steps", "4", "--", *shell.write("walk.py", program))
    verdict = msgspec.json.decode(done.stdout)
    assert done.returncode == 1
    assert verdict["bit_identical"] is False
    assert verdict["differences"][0].startswith('state["x"]')
    assert verdict["deterministic"] is deterministic
    assert cause in verdict["likely_cause"]


@pytest.mark.parametrize(
    ("program", "error"),
    [
        ("print('no member')", "the program ended without a commit"),
        ("raise ValueError('x is negative')", "ValueError: x is negative"),
        (EXACT.replace("walk", "stroll"), "walk ended without a commit: the program joins as stroll"),
    ],
)
def test_a_program_that_cannot_be_compared_is_refused(shell: Shell, program: str, error: str) -> None:
    done = shell("check", "--steps", "4", "--", *shell.write("walk.py", program))
    assert done.returncode == 2
    assert error in done.stderr


def test_the_likely_cause_names_the_place() -> None:
    assert 'what decides state["x"] is' in likely_cause('state["x"]: 1 and 2', True)
    assert "PYTHONHASHSEED" in likely_cause('state["x"]: 1 and 2', False)


def test_an_export_is_read_without_goldthread(shell: Shell) -> None:
    shell("run", "--", *shell.write("walk.py", EXACT))
    done = shell("export", "walk", "walk.safetensors")
    assert done.returncode == 0, done.stderr
    assert "step 100 of life 1" in done.stdout
    arrays = load_file(shell.folder / "walk.safetensors")
    assert [array.shape for array in arrays.values() if array.dtype == np.float64] == [(4,)]
    assert msgspec.json.decode((shell.folder / "walk.json").read_bytes())["step"] == 100
