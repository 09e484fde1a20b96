"""The guide's readers read what a program really committed and a vault really kept."""

from __future__ import annotations

import datetime
import random
import subprocess
import sys
from collections import namedtuple
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pages import ROOT, code_blocks

from goldthread.names import Epoch, MemberName, Step
from goldthread.program.writer import Writer
from goldthread.slots.slot import make_slot
from goldthread.vault.disk import DiskVault

WALK = MemberName("walk")
READER, CHECKER = (code for _, code in code_blocks(ROOT / "docs" / "guides" / "reading-the-vault.md", "python"))

Point = namedtuple("Point", "x y")


@dataclass
class Model:
    weights: np.ndarray[Any, Any]
    name: str


def deposit(folder: Path, state: object) -> Path:
    """Commit a state as a program does, and take it to a vault as a keeper does."""
    writer = Writer(WALK, Epoch(3), slots_most=3, new_slot=lambda _, needed: make_slot("walk", needed), pickle=False)
    commit = writer.write(state, Step(70), True)
    assert commit is not None
    [slot] = writer.slots.values()
    DiskVault(folder, 0).deposit(WALK, slot.image)
    writer.close()
    [path] = folder.rglob("*.commit")
    return path


def defined_by(code: str, name: str) -> Callable[[Path], Any]:
    names: dict[str, Any] = {}
    exec(compile(code, "reading-the-vault.md", "exec"), names)
    found: Callable[[Path], Any] = names[name]
    return found


@pytest.fixture(autouse=True)
def no_arguments(monkeypatch: pytest.MonkeyPatch) -> None:
    """The programs of the guide read the files that are named to them."""
    monkeypatch.setattr(sys, "argv", ["program.py"])


def test_the_reader_gives_back_every_array(tmp_path: Path) -> None:
    """Types, shapes, orders and values, beside plain values and nested containers."""
    weights = np.arange(300_000, dtype=np.float32).reshape(300, 1000)
    state = {
        "step": 70,
        "weights": weights,
        "columns": np.asfortranarray(weights[:5, :7]),
        "big-endian": np.array([1, 2, 3], ">i8"),
        "empty": np.zeros((0, 4)),
        "single": np.array(2.5),
        "layers": [{"w": np.arange(4) + k, "rate": 0.5} for k in range(3)],
        ("a", 1): "by a tuple",
        "point": Point(1, 2.5),
        "model": Model(np.ones(3, bool), "small"),
        "when": datetime.date(2026, 11, 22),
        "scalar": np.float32(1.5),
        "shared": weights,
        "huge": 10**30,
        "raw": bytes(5000),
    }
    read = defined_by(READER, "read_commit")(deposit(tmp_path, state))["state"]
    assert list(read) == list(state)
    for name in ("weights", "columns", "big-endian", "empty", "single"):
        expected: Any = state[name]
        assert read[name].dtype == expected.dtype and read[name].shape == expected.shape
        np.testing.assert_array_equal(expected, read[name])
    assert [layer["w"].tolist() for layer in read["layers"]] == [[0, 1, 2, 3], [1, 2, 3, 4], [2, 3, 4, 5]]
    assert read["layers"][0]["rate"] == 0.5
    assert (read["step"], read[("a", 1)], read["point"]) == (70, "by a tuple", {"x": 1, "y": 2.5})
    assert read["model"]["weights"].tolist() == [True, True, True]
    assert read["model"]["name"] == "small"
    assert read["when"] == ("date", ["2026-11-22", 0, None])
    assert read["scalar"] == np.float32(1.5)
    assert read["shared"][0] == "same as object"
    assert read["huge"] == ("int", hex(10**30))
    assert read["raw"] == ("bytes", bytes(5000))


def test_the_reader_reads_generators(tmp_path: Path) -> None:
    """Those of the state and the global ones."""
    state = {"rng": np.random.default_rng(1), "random": random.Random(2)}
    read = defined_by(READER, "read_commit")(deposit(tmp_path, state))
    assert read["state"]["rng"][0]["bit_generator"] == "PCG64"
    assert read["state"]["random"][0] == "random"
    assert "generators" in read


def test_the_programs_run_on_a_file(tmp_path: Path) -> None:
    """As somebody would use them, on a path with a space."""
    path = deposit(tmp_path / "a vault", {"x": np.arange(3), "step": 70})
    for code, words in ((READER, "array([0, 1, 2])"), (CHECKER, "3-1-70.commit is whole")):
        done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, check=True)
        assert words in done.stdout


def test_the_checker_finds_a_flipped_bit(tmp_path: Path) -> None:
    """In the payload: which chunk; elsewhere: that it is damaged."""
    path = deposit(tmp_path, {"x": np.arange(100_000)})
    check = defined_by(CHECKER, "damaged_chunks")
    assert check(path) == []
    image = bytearray(path.read_bytes())
    image[4096 + 300_000] ^= 1
    path.write_bytes(image)
    assert check(path) == [1]
    image[30] ^= 1
    path.write_bytes(image)
    with pytest.raises(ValueError, match="damaged"):
        check(path)
