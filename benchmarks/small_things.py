"""Commit and restore of many small things against pickle, and of a DataFrame against the arrays in it.

    python benchmarks/small_things.py [--mib 1024] [--only NAME] [--json]

P is the median time of `pickle.dumps` with protocol 5, or of `pickle.loads`, of the same state in the same process, in
turns with goldthread's; which comes first changes from turn to turn. A ratio is the median of the ratios of the turns:
what memory costs that is new changes within seconds on a virtual machine, and falls on both of a turn. Values change
between two turns, and whether they came back is looked at. Each kind of state gets a process of its own, so that no
other's objects are in the way of the garbage collector, which is left as Python sets it up. It has just run when the
clock starts, and giving memory back is not counted. The first commit is that of a fresh writer to a fresh state, and
has its slot made and touched; the next finds the structure of the last one, in slots that are there.

A is the same for a dict of the columns of the DataFrame: as many bytes, an array for each.
"""

from __future__ import annotations

import argparse
import gc
import importlib.util
import json
import os
import pickle
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any, Final, NamedTuple

import numpy as np

from goldthread.errors import GoldthreadError
from goldthread.names import Epoch, MemberName, Step
from goldthread.program.writer import Writer
from goldthread.slots.slot import make_slot
from goldthread.state.restore import pour, read

REPEATS, WARM_UP = 7, 4
"""Each of the three slots is made for one of the first commits."""
DATACLASSES, FLOATS, DICTS = 100_000, 1_000_000, 200_000
LEVELS = 900
COLUMNS = 16
CHANGED_EACH: Final = 10
"""One thing of so many changes between two turns."""
WORDS: Final = [f"word{number}" for number in range(1000)]
LEAF_COUNTS: Final = (3, 4, 5, 6, 7)

Facts = dict[str, Any]
"""Milliseconds and mostly a ratio, or a note that says why there are none."""
State = Any


@dataclass
class Thing:
    number: int
    weight: float
    name: str


class Kind(NamedTuple):
    """A kind of state: how it is made, and how some of its values change at a step."""

    make: Callable[[], State]
    change: Callable[[State, int], None]


# Many small things.


def make_dataclasses() -> State:
    return {"step": 0, "things": [Thing(i, i / 7, f"thing {i}") for i in range(DATACLASSES)]}


def change_dataclasses(state: State, step: int) -> None:
    state["step"] = step
    for thing in some(state["things"], step):
        thing.number, thing.weight, thing.name = thing.number + 1, thing.weight + 0.5, f"{step} of {thing.number}"


def make_floats() -> State:
    return {"step": 0, "floats": [i / 7 for i in range(FLOATS)]}


def change_floats(state: State, step: int) -> None:
    floats, state["step"] = state["floats"], step
    floats[step % CHANGED_EACH :: CHANGED_EACH] = [x + 0.5 for x in some(floats, step)]


def make_dicts() -> State:
    return {"step": 0, "dicts": [record(i) for i in range(DICTS)]}


def record(number: int) -> dict[str, Any]:
    return {"id": number, "x": number / 7, "y": number / 9, "name": f"name {number}", "count": 3 * number}


def change_dicts(state: State, step: int) -> None:
    state["step"] = step
    for each in some(state["dicts"], step):
        each["x"], each["count"], each["name"] = each["x"] + 0.5, each["count"] + 1, f"{step} of {each['id']}"


def make_irregular() -> State:
    """A tree of dicts: each hangs at some place in one that was made before, and hardly two have the same keys."""
    chance = random.Random(7)
    dicts: list[dict[str, Any]] = [{}]
    for number in range(DICTS):
        keys = chance.sample(WORDS, LEAF_COUNTS[number % len(LEAF_COUNTS)])
        made = {key: leaf(chance, number) for key in keys}
        dicts[chance.randrange(number // 5, number + 1)][f"part {number}"] = made
        dicts.append(made)
    return {"step": 0, "tree": dicts[0]}


def leaf(chance: random.Random, number: int) -> object:
    kind = chance.randrange(3)
    return number * chance.randrange(100) if kind == 0 else number / 7 if kind == 1 else f"leaf {number}"


def change_irregular(state: State, step: int) -> None:
    state["step"] = step
    for each in some(list(dicts_in(state["tree"])), step):
        for key, value in each.items():
            if type(value) is float:
                each[key] = value + 0.5


def dicts_in(tree: dict[str, Any]) -> Iterable[dict[str, Any]]:
    waiting = [tree]
    while waiting:
        yield (one := waiting.pop())
        waiting.extend(value for value in one.values() if type(value) is dict)


def make_deep() -> State:
    """Lists and dicts in turns; too deep for pickle."""
    tree: Any = 0.5
    for level in range(LEVELS):
        tree = {"level": level, "next": tree} if level % 2 else [level, tree]
    return {"step": 0, "tree": tree}


def some(things: list[Any], step: int) -> Iterable[Any]:
    return islice(things, step % CHANGED_EACH, None, CHANGED_EACH)


KINDS: Final = {
    "dataclasses": Kind(make_dataclasses, change_dataclasses),
    "floats": Kind(make_floats, change_floats),
    "dicts": Kind(make_dicts, change_dicts),
    "irregular dicts": Kind(make_irregular, change_irregular),
}
FRAMES: Final = {"DataFrame in blocks": True, "DataFrame in columns": False}
"""Whether the columns of a type lie in one block."""


# The clock.


def seconds_of(action: Callable[[], Any], check: Callable[[Any], None]) -> float:
    """`check` gets what was made; neither that nor giving it back is timed."""
    gc.collect()
    start = time.perf_counter()
    made = action()
    seconds = time.perf_counter() - start
    check(made)
    return seconds


def nothing(made: object) -> None:
    """It is looked at elsewhere."""


class Turns:
    """Two actions in turns, one that is measured and one that it is compared with."""

    def __init__(self, other: str) -> None:
        self._other = other
        self._taken: list[tuple[float, float]] = []

    def take(self, measured: Callable[[], Any], compared: Callable[[], Any], check: Callable[[Any], None]) -> None:
        """One turn. `check` gets what the measured action made."""
        if len(self._taken) % 2:
            other = seconds_of(compared, nothing)
            mine = seconds_of(measured, check)
        else:
            mine = seconds_of(measured, check)
            other = seconds_of(compared, nothing)
        self._taken.append((mine, other))

    def facts(self) -> Facts:
        """Medians of the last `REPEATS` turns; those before were for warming up."""
        turns = self._taken[-REPEATS:]
        mine, other = (1e3 * statistics.median(column) for column in zip(*turns, strict=True))
        ratio = statistics.median(mine / other for mine, other in turns)
        return {"ms": mine, f"{self._other}_ms": other, "ratio": ratio}


def facts_or_note(measure: Callable[[], Facts]) -> Facts:
    """A note where goldthread refuses the state."""
    try:
        return measure()
    except (GoldthreadError, RecursionError) as error:
        return {"note": str(error)}


def new_writer() -> Writer:
    def new_slot(index: int, size: int) -> int:
        return make_slot("bench", size)

    return Writer(MemberName("bench"), Epoch(1), slots_most=3, new_slot=new_slot, pickle=False)


def expect(holds: bool, what: str) -> None:
    if not holds:
        raise SystemExit(f"small_things.py: {what}")


def write(writer: Writer, state: State, step: int) -> Callable[[], object]:
    return partial(writer.write, state, Step(step), generators=False)


def expect_sealed(made: object) -> None:
    expect(made is not None, "no slot could be had")


# Many small things, and one that is deep.


def first_commits(kind: Kind) -> Facts:
    turns = Turns("pickle")
    for step in range(1 + REPEATS):
        state, writer = kind.make(), new_writer()
        kind.change(state, step)
        turns.take(write(writer, state, step), partial(pickle.dumps, state, 5), expect_sealed)
        writer.close()
    return turns.facts()


def next_commits(kind: Kind) -> Facts:
    turns, state, writer = Turns("pickle"), kind.make(), new_writer()
    for step in range(WARM_UP + REPEATS):
        kind.change(state, step)
        turns.take(write(writer, state, step), partial(pickle.dumps, state, 5), expect_sealed)
    writer.close()
    return turns.facts()


def restores(kind: Kind) -> Facts:
    turns, state, writer = Turns("pickle"), kind.make(), new_writer()
    kind.change(state, 1)
    write(writer, state, 1)()
    image, pickled = writer.slots[0].image, pickle.dumps(state, 5)
    expect(read(image, map=False, pickle=False) == state, "what was restored is not what was committed")
    del state
    for _ in range(1 + REPEATS):
        turns.take(partial(read, image, map=False, pickle=False), partial(pickle.loads, pickled), nothing)
    return turns.facts()


def deep_commits() -> Facts:
    """Held against nothing: it only shows that it can be done."""
    state, taken = make_deep(), []
    for step in range(1 + REPEATS):
        writer = new_writer()
        taken.append(seconds_of(write(writer, state, step), expect_sealed))
        writer.close()
    return {"ms": 1e3 * statistics.median(taken[1:])}


def deep_restores() -> Facts:
    state, writer = make_deep(), new_writer()
    write(writer, state, 1)()
    image = writer.slots[0].image

    def check(made: State) -> None:
        expect(made == state, "what was restored is not what was committed")

    taken = [seconds_of(partial(read, image, map=False, pickle=False), check) for _ in range(1 + REPEATS)]
    return {"ms": 1e3 * statistics.median(taken[1:])}


# A DataFrame.


def make_arrays(mib: int) -> dict[str, Any]:
    """The columns: floats, then ints."""
    rows = (mib << 20) // COLUMNS // 8
    return {
        f"column {index}": np.arange(index, rows + index, dtype="f8" if index < COLUMNS // 2 else "i8")
        for index in range(COLUMNS)
    }


def make_frame(mib: int, blocks: bool) -> Any:
    """The columns side by side in one block for each type, or each in a block of its own."""
    import pandas as pd

    frame = pd.DataFrame(make_arrays(mib), copy=blocks)
    count = len(frame._mgr.blocks)
    expect(count == (2 if blocks else COLUMNS), f"pandas made {count} blocks of {COLUMNS} columns")
    return frame


def frame_commits(mib: int, blocks: bool) -> Facts:
    """All of it changes, and gets new memory with that, in the dict of arrays too: so it is with pandas."""
    turns, writer, plain_writer = Turns("arrays"), new_writer(), new_writer()
    frame, arrays = make_frame(mib, blocks), make_arrays(mib)
    for step in range(WARM_UP + REPEATS):
        frame += 1
        for name, column in arrays.items():
            arrays[name] = column + 1
        state, plain = {"step": step, "table": frame}, {"step": step, "table": arrays}
        turns.take(write(writer, state, step), write(plain_writer, plain, step), expect_sealed)
    writer.close()
    plain_writer.close()
    return turns.facts()


def frame_restores(mib: int, blocks: bool, *, existing: bool) -> Facts:
    """Into a state that is there, or into nothing."""
    turns, writer, plain_writer = Turns("arrays"), new_writer(), new_writer()
    frame, arrays = make_frame(mib, blocks), make_arrays(mib)
    write(writer, {"step": 1, "table": frame}, 1)()
    write(plain_writer, {"step": 1, "table": arrays}, 1)()
    initial = {"step": 0, "table": frame + 1} if existing else None
    plain_initial = {"step": 0, "table": {name: column + 1 for name, column in arrays.items()}} if existing else None
    for _ in range(1 + REPEATS):
        turns.take(
            partial(pour, writer.slots[0].image, initial, map=False, pickle=False),
            partial(pour, plain_writer.slots[0].image, plain_initial, map=False, pickle=False),
            partial(expect_frame, frame),
        )
    writer.close()
    plain_writer.close()
    return turns.facts()


def expect_frame(frame: Any, made: Any) -> None:
    expect(frame.equals(made.state["table"]), "the DataFrame that was restored is not the one that was committed")


# Each kind of state in a process of its own.


def small_rows(name: str) -> dict[str, Facts]:
    kind = KINDS[name]
    measures = {"first commit": first_commits, "next commit": next_commits, "restore": restores}
    return {f"{name}, {what}": facts_or_note(partial(measure, kind)) for what, measure in measures.items()}


def deep_rows() -> dict[str, Facts]:
    return {"deep, first commit": facts_or_note(deep_commits), "deep, restore": facts_or_note(deep_restores)}


def frame_rows(name: str, mib: int) -> dict[str, Facts]:
    blocks = FRAMES[name]
    measures = {
        "commit": partial(frame_commits, mib, blocks),
        "new": partial(frame_restores, mib, blocks, existing=False),
        "existing": partial(frame_restores, mib, blocks, existing=True),
    }
    if importlib.util.find_spec("pandas") is None:
        return {f"{name}, {what}": {"note": "pandas is not installed"} for what in measures}
    return {f"{name}, {what}": facts_or_note(measure) for what, measure in measures.items()}


def rows_here(name: str, mib: int) -> dict[str, Facts]:
    if name in KINDS:
        return small_rows(name)
    return deep_rows() if name == "deep" else frame_rows(name, mib)


def rows_of(name: str, mib: int) -> dict[str, Facts]:
    """Measured in a fresh process."""
    command = [sys.executable, __file__, "--mib", str(mib), "--here", name]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    rows: dict[str, Facts] = json.loads(done.stdout)
    return rows


def main() -> None:
    names = [*KINDS, "deep", *FRAMES]
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mib", type=int, default=1024, help="size of the DataFrame")
    parser.add_argument("--only", choices=names, action="append", help="a kind of state; may be given several times")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--here", choices=names, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.here:
        print(json.dumps(rows_here(given.here, given.mib)))
        return
    found: dict[str, Facts] = {}
    for name in given.only or names:
        found |= rows_of(name, given.mib)
    if given.json:
        print(json.dumps({"mib": given.mib, "cores": os.cpu_count(), "rows": found}, indent=1))
        return
    for row, facts in found.items():
        if "note" in facts:
            print(f"{row:32} {facts['note']}")
            continue
        others = (("P", "pickle_ms"), ("A", "arrays_ms"))
        other = "".join(f"   {sign} {facts[fact]:9.2f} ms" for sign, fact in others if fact in facts)
        ratio = f"   ratio {facts['ratio']:.2f}" if "ratio" in facts else ""
        print(f"{row:32} {facts['ms']:9.2f} ms{other}{ratio}")


if __name__ == "__main__":
    main()
