"""What may import what, and what stays light."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def loaded_after(statement: str) -> set[str]:
    """The modules that a fresh interpreter has loaded after `statement`."""
    code = f"{statement}; import sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_the_stair_of_imports_holds() -> None:
    """Modules import only what stands below them, decisions reach no clock, the simulator no socket."""
    command = [Path(sys.executable).with_name("lint-imports"), "--no-cache"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    "heavy", ["numpy", "torch", "click", "rich", "OpenSSL", "cryptography", "obstore", "http.client"]
)
def test_the_keeper_stays_small(heavy: str) -> None:
    """The keeper runs beside every program for weeks: it loads nothing that it does not need."""
    assert heavy not in loaded_after("import goldthread.keeper.main")


@pytest.mark.parametrize("heavy", ["numpy", "msgspec", "goldthread.program", "goldthread.local"])
def test_importing_goldthread_costs_little(heavy: str) -> None:
    """The public names are loaded when they are used, not by `import goldthread`."""
    assert heavy not in loaded_after("import goldthread")


@pytest.mark.parametrize("heavy", ["torch", "jax", "sklearn"])
def test_a_program_loads_no_library_that_it_does_not_use(heavy: str) -> None:
    """Adapters for torch and JAX wake only when the program has imported those itself."""
    assert heavy not in loaded_after("import goldthread; goldthread.join")
