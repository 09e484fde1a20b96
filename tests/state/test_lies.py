"""What a lying partner can name in a manifest, and what comes of it: nothing is imported, nothing is executed."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
from images import MEMBER

from goldthread.errors import CommitDamaged, DoesNotFit
from goldthread.names import Epoch, Step
from goldthread.state.restore import pour, read
from goldthread.wire.image import HEADER_BYTES, SEAL_AT, Header, pack_header

RAN: list[str] = []


class Eraser:
    """A tool in wrong hands: its method does what an attribute says."""

    def __init__(self) -> None:
        self.path = "mine"

    def run(self) -> str:
        return f"erase {self.path}"


class Dying:
    def __del__(self) -> None:
        RAN.append("died")


def forged(words: list[Any], values: list[Any]) -> memoryview:
    """A sealed image with right checksums, as a partner can make it."""
    root = [["dict", ["state"], 1], *words]
    manifest = msgspec.msgpack.encode([root, [], values])
    header = Header(MEMBER, Epoch(1), Step(1), 1, 0, len(manifest), 1 << 18)
    image = bytearray(HEADER_BYTES) + manifest
    image[:SEAL_AT] = pack_header(header, manifest, b"").ljust(SEAL_AT, b"\0")
    image[SEAL_AT : SEAL_AT + 8] = (1).to_bytes(8, "little")
    return memoryview(image)


NAMED = [
    (["named"], ["os:system"]),
    (["named"], ["builtins:eval"]),
    (["named"], ["builtins:exec"]),
    (["named"], ["subprocess:Popen"]),
    (["named"], ["goldthread.state.kinds.recipes:register"]),
    (["named"], ["pathlib:Path.unlink"]),
    (["named"], ["types:FunctionType.__call__"]),
    (["named"], ["numpy:load"]),
    ([["object", "subprocess:Popen", None, [], 0]], []),
    ([["object", "types:CodeType", None, [], 0]], []),
    ([["object", "threading:Thread", None, ["_target"], 1], "value"], [1]),
    ([["object", "goldthread.program.life:Life", None, [], 0]], []),
    ([["object", f"{__name__}:Dying", None, [], 0]], []),
    ([["enum", "signal:Signals"]], ["SIGKILL"]),
    ([["namedtuple", "os:terminal_size", ["columns"], 1], "value"], [1]),
    ([["registered", "os:system", 1], "value"], ["true"]),
    ([["recipe", "os.system", 1], "value"], ["true"]),
]


@pytest.mark.parametrize(("words", "values"), NAMED, ids=str)
def test_what_a_partner_names_is_not_made(words: list[Any], values: list[Any]) -> None:
    """Neither classes nor functions that the program does not know, whatever is loaded here."""
    with pytest.raises(DoesNotFit):
        read(forged(words, values), map=False, pickle=False)
    assert RAN == []


@pytest.mark.parametrize("module", ["this", "antigravity", "goldthread_is_not_there"])
def test_what_is_not_loaded_is_not_imported(module: str) -> None:
    """A name from elsewhere runs no code, not even that of a module."""
    sys.modules.pop(module, None)
    with pytest.raises(DoesNotFit, match="not loaded"):
        read(forged([["object", f"{module}:Thing", None, [], 0]], []), map=False, pickle=False)
    assert module not in sys.modules


@pytest.mark.parametrize("name", ["__class__", "__dict__", "__reduce__", "__del__"])
def test_an_attribute_with_a_name_of_pythons_own_changes_no_class(name: str) -> None:
    """It is an entry of the object's `__dict__`, where Python does not look for it."""
    words = [["object", f"{__name__}:Eraser", None, [name], 1], "value"]
    made = read(forged(words, ["mine"]), map=False, pickle=False)
    assert type(made) is Eraser
    assert vars(made) == {name: "mine"}


def test_what_a_partner_can_still_do_with_attributes(tmp_path: Path) -> None:
    """It chooses attributes of the program's own objects: so says the threat model."""
    words = [["object", f"{__name__}:Eraser", None, ["path"], 1], "value"]
    made = pour(forged(words, ["yours"]), Eraser(), map=False, pickle=False).state
    assert made.run() == "erase yours"


DEEP: list[Any] = [["list", 1]] * 100_000


@pytest.mark.parametrize(
    ("words", "values"),
    [
        (DEEP, []),
        ([["list", 2**62]], []),
        ([["list", -1]], [1]),
        ([["tuple", 1], ["same", 1]], []),
        ([["frozenset", 0, 1], ["same", 1]], []),
        ([["object", f"{__name__}:Eraser", None, ["path"], 2], "value", "value"], [1, 2]),
        ([["list", ["object"]]], [[1, 2]]),
        ([["list", "tree"]], [3]),
        ([["same", 7]], []),
        ([["same", 0, 7]], []),
    ],
    ids=[
        "deep",
        "count",
        "below 0",
        "tuple in itself",
        "set in itself",
        "names",
        "no dicts",
        "no tree",
        "later",
        "box",
    ],
)
def test_what_makes_no_sense_is_damage(words: list[Any], values: list[Any]) -> None:
    """Huge counts, depth, circles where there can be none: no crash, no endless work."""
    with pytest.raises((CommitDamaged, DoesNotFit)):
        read(forged(words, values), map=False, pickle=False)
