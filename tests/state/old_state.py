"""What version 0.1 could store, once of each kind; `commit-0.1.image` is its commit of this."""

from __future__ import annotations

import array
import datetime
import enum
import random
import zoneinfo
from collections import Counter, OrderedDict, defaultdict, deque
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np


class Point(NamedTuple):
    x: float
    y: Any = 0


@dataclass
class Walker:
    place: Any
    seen: list[int] = field(default_factory=list)


class Colour(enum.Enum):
    RED = 1


class Model:
    """Says its state itself."""

    def __init__(self) -> None:
        self.weight = np.zeros(3)

    def state_dict(self) -> dict[str, Any]:
        return {"weight": self.weight, "bias": 1.5}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.weight = state["weight"]


def make() -> dict[Any, Any]:
    """The state, the same each time."""
    shared = [1, np.arange(4.0)]
    generator = np.random.Generator(np.random.PCG64(5))
    generator.random(3)
    legacy, python = np.random.RandomState(4), random.Random(3)
    legacy.standard_normal()
    model = Model()
    model.weight += 7
    return {
        "step": 3,
        "values": [None, True, 2**64 - 1, 2**70, -0.5, 1.5 + 2j, "text", "lone \ud800", b"few", b"many" * 2000],
        "dates": [
            datetime.date(2024, 2, 29),
            datetime.time(12, 30, 1, 5, fold=1),
            datetime.datetime(2024, 1, 2, tzinfo=datetime.UTC),
            datetime.datetime(2024, 10, 27, 2, 30, fold=1, tzinfo=zoneinfo.ZoneInfo("UTC")),
            datetime.timedelta(-1, 5, 7),
        ],
        "keys": {1: "int", "1": "text", None: 0, 2.5: 1, b"k": 2, (1, ("a", None)): 3, 2**70: 4, "\udc80": 5},
        "dicts": [OrderedDict(b=1, a=[2]), Counter(a=3), defaultdict(list, a=[1]), {}],
        "others": [(1, (2,)), {1, 2}, frozenset({(1, 2)}), deque([1, 2], maxlen=3), (), []],
        "point": Point(1.5, shared),
        "walker": Walker((1, 2), [3]),
        "colour": Colour.RED,
        "shared": [shared, shared],
        "again": shared[1],
        "scalars": [np.float32(1.5), np.datetime64("2024-01-01", "D")],
        "arrays": [
            np.arange(12, dtype=">i4").reshape(3, 4),
            np.asfortranarray(np.arange(12.0).reshape(3, 4)),
            np.zeros(2, [("a", "<f4"), ("b", ">i8", (2,))]),
            np.array(["a", "grüße"]),
            np.zeros((0, 3)),
        ],
        "buffers": [bytearray(b"abc"), array.array("d", [1.5]), memoryview(array.array("i", range(6)))],
        "generators": [generator, legacy, python, np.random.PCG64DXSM(5)],
        "model": model,
    }
