"""The pickles in a commit, made comparable, while `goldthread check` runs a program that allows them.

The pickle of a thing that was unpickled is not the pickle of the thing: interned strings and shared objects are
written otherwise. But `dumps(loads(p))`, repeated, comes to rest after a turn or two, and what it rests at is the same
for equal things. It is done here, in the program: its classes are loaded, and what is read are its own bytes.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Mapping
from typing import Any, Final

import numpy as np

from goldthread.program.fingerprint import fingerprint
from goldthread.state.compare import pickles_in
from goldthread.wire.rehearsal import PickleFact

__all__ = ["settle", "settled_pickles"]

_TURNS_MOST: Final = 5
_PARTS_MOST: Final = 2_000
_DEPTH_MOST: Final = 8
_SIGNS_MOST: Final = 4_000
_NUMBERS: Final = 256
"""So many numbers of an array are written out."""


def settled_pickles(image: memoryview) -> dict[str, PickleFact]:
    """What each pickle of a sealed image comes to, by place; those that cannot be read are left out."""
    settled = {}
    for place, data in pickles_in(image):
        try:
            thing, stable = settle(data)
            parts = dict(_describe("", thing, _DEPTH_MOST))
        except Exception:
            continue
        settled[place] = PickleFact(fingerprint(stable), parts)
    return settled


def settle(data: bytes) -> tuple[Any, bytes]:
    """The thing of a pickle, and the pickle at which `dumps(loads(p))` rests, or where patience with it ends."""
    thing = pickle.loads(data)
    for _ in range(_TURNS_MOST):
        again = pickle.dumps(thing, 5)
        if again == data:
            break
        data, thing = again, pickle.loads(again)
    return thing, data


def _describe(place: str, thing: Any, depth: int) -> Iterator[tuple[str, str]]:
    """What a thing holds, in words, by place."""
    for count, found in enumerate(_parts(place, thing, depth)):
        if count == _PARTS_MOST:
            return
        yield found


def _parts(place: str, thing: Any, depth: int) -> Iterator[tuple[str, str]]:
    if isinstance(thing, np.ndarray) and not thing.dtype.hasobject:
        yield place, _array_in_words(thing)
    elif isinstance(thing, (str, bytes, int, float, complex, bool, type(None), np.generic)):
        yield place, _in_words(thing)
    elif depth == 0:
        yield place, f"{type(thing).__name__} {fingerprint(thing)}"
    elif isinstance(thing, Mapping):
        for key, value in thing.items():
            yield from _parts(f"{place}[{key!r:.60}]", value, depth - 1)
    elif isinstance(thing, (list, tuple)):
        for index, value in enumerate(thing):
            yield from _parts(f"{place}[{index}]", value, depth - 1)
    else:
        fields = _fields(thing)
        if not fields:
            yield place, f"{type(thing).__name__} {fingerprint(thing)}"
        for name, value in fields.items():
            yield from _parts(f"{place}.{name}", value, depth - 1)


def _fields(thing: Any) -> dict[str, Any]:
    """What is pickled of an object, by name."""
    state = thing.__getstate__()
    own, slots = state if isinstance(state, tuple) and len(state) == 2 else (state, None)
    return {str(name): value for part in (own, slots) if isinstance(part, dict) for name, value in part.items()}


def _array_in_words(array: np.ndarray[Any, Any]) -> str:
    first = ", ".join(str(number) for number in array.reshape(-1)[:_NUMBERS].tolist())
    more = ", ..." if array.size > _NUMBERS else ""
    return f"{array.dtype} array {array.shape} [{first}{more}] {fingerprint(array)}"


def _in_words(thing: object) -> str:
    text = repr(thing)
    return text if len(text) <= _SIGNS_MOST else f"{text[:_SIGNS_MOST]}... {fingerprint(text)}"
