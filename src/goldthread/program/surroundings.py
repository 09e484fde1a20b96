"""What stands around a program's state and looks like state: found while `goldthread check` runs it.

A look begins at the globals of the main module and at the locals of every function of the program's own that is on
the way to the commit, and goes some steps into what they hold. What the state holds as well, as the same object, as
the same memory or with the same contents, is in it. Of the rest those things are named that decide how a program goes
on: generators, optimizers, loaders, iterators, arrays and tensors. Whether one matters is not known here: that shows
when a run that was killed ends with other contents in it.
"""

from __future__ import annotations

import gc
import itertools
import operator
import random
import site
import sys
import sysconfig
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from itertools import islice
from pathlib import Path
from types import FrameType, GeneratorType, ModuleType
from typing import Any, Final

import numpy as np

from goldthread.program.fingerprint import fingerprint, generator_contents, is_generator
from goldthread.wire.rehearsal import Outsider

__all__ = ["Surroundings"]

_DEPTH_MOST: Final = 4
_STATE_DEPTH_MOST: Final = 24
_THINGS_MOST: Final = 20_000
_NAMED_MOST: Final = 200
_ITEMS_MOST: Final = 64
"""So many items of one container are looked at."""
_PRINTED_BYTES: Final = 256 << 20
"""Larger arrays are named, and their contents not read."""
_ITERATORS: Final[tuple[type, ...]] = (
    GeneratorType,
    itertools.cycle,
    itertools.chain,
    itertools.islice,
    enumerate,
    zip,
    map,
    filter,
    type(iter([])),
    type(iter(())),
    type(iter(range(0))),
)
_LIBRARIES: Final = tuple(
    {str(Path(path).resolve()) for path in (*site.getsitepackages(), *map(sysconfig.get_path, ("stdlib", "purelib")))}
)
_OWN: Final = str(Path(__file__).resolve().parents[1])


class Surroundings:
    """Looks at a program twice, at its first commit and at the end, and says what is not in its state."""

    def __init__(self) -> None:
        self._first: dict[str, str] | None = None

    def look_first(self, frame: FrameType | None, state: object) -> None:
        self._first = {one.name: one.print for one in self._outsiders(frame, state)}

    def look_last(self, frame: FrameType | None, state: object) -> tuple[Outsider, ...]:
        return tuple(islice(self._outsiders(frame, state), _NAMED_MOST))

    def _outsiders(self, frame: FrameType | None, state: object) -> Iterator[Outsider]:
        inside = _Inside(state)
        for name, kind, thing in _suspects(frame, inside):
            text = _in_words(kind, thing)
            printed = _print_of(kind, thing)
            if printed and inside.holds_contents(kind, thing):
                continue
            before = (self._first or {}).get(name)
            changed = None if not printed or before is None else before != printed
            yield Outsider(name, kind, text, changed, printed)


class _Inside:
    """What a state holds: objects, memory, and contents."""

    def __init__(self, state: object) -> None:
        self._ids: set[int] = set()
        self._memory: set[int] = set()
        self._state = state
        self._prints: set[str] | None = None
        for _, thing in self._all():
            self._ids.add(id(thing))
            if (address := _memory_of(thing)) is not None:
                self._memory.add(address)
            if isinstance(thing, np.random.Generator):
                self._ids.add(id(thing.bit_generator))

    def _all(self) -> Iterator[tuple[str, Any]]:
        return _walk("", self._state, set(), _STATE_DEPTH_MOST, most=None)

    def holds(self, thing: Any) -> bool:
        if id(thing) in self._ids or _memory_of(thing) in self._memory:
            return True
        return isinstance(thing, np.random.Generator) and id(thing.bit_generator) in self._ids

    def holds_contents(self, kind: str, thing: Any) -> bool:
        """Whether a part of the state has the contents of this thing: a copy, what `state_dict` or `getstate` gave."""
        if kind not in ("generator", "optimizer", "array", "tensor"):
            return False
        if self._prints is None:
            self._prints = {
                fingerprint(_plain(part))
                for _, part in islice(self._all(), _THINGS_MOST)
                if isinstance(part, (dict, tuple, list, bytes)) or _memory_of(part) is not None
            }
        return any(fingerprint(_plain(one)) in self._prints for one in _contents(kind, thing))


def _suspects(frame: FrameType | None, inside: _Inside) -> Iterator[tuple[str, str, Any]]:
    """Name, kind and thing of what looks like state and is not inside, each once."""
    seen: set[int] = set()
    count = 0
    for prefix, names in _places(frame):
        for name, value in names.items():
            if name.startswith("__") or _is_of_others(value):
                continue
            for place, thing in _walk(f"{prefix}{name}", value, seen, _DEPTH_MOST, stop=inside.holds):
                count += 1
                kind = _kind_of(thing)
                if kind is not None and not _is_global_generator(thing):
                    yield place, kind, thing
                if count > _THINGS_MOST:
                    return
    for thing in _waiting_generators():
        if id(thing) not in seen:
            yield f"a loop over {thing.__name__}()", "iterator", thing


def _places(frame: FrameType | None) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The locals of the program's own functions that wait for this call, then the globals of its main module."""
    main = getattr(sys.modules.get("__main__"), "__dict__", {})
    while frame is not None:
        if not _is_library(frame.f_code.co_filename) and frame.f_code.co_name != "<module>":
            yield f"{frame.f_code.co_name}() ", dict(frame.f_locals)
        frame = frame.f_back
    yield "", dict(main)


def _waiting_generators() -> Iterator[GeneratorType[Any, Any, Any]]:
    """Generators of the program's own functions that were begun: a `for` loop may go through one that has no name."""
    for thing in gc.get_objects():
        if type(thing) is GeneratorType and thing.gi_suspended and not _is_library(thing.gi_code.co_filename):
            yield thing


def _walk(
    place: str,
    thing: Any,
    seen: set[int],
    depth: int,
    *,
    most: int | None = _ITEMS_MOST,
    stop: Callable[[Any], bool] | None = None,
) -> Iterator[tuple[str, Any]]:
    """A thing and what it holds, each object once, with its place. What `stop` knows is not gone into."""
    if id(thing) in seen or isinstance(thing, (str, int, float, bool, type(None), type)):
        return
    seen.add(id(thing))
    if stop is not None and stop(thing):
        return
    yield place, thing
    if depth > 0:
        for name, part in _parts(thing, most):
            yield from _walk(place + name, part, seen, depth - 1, most=most, stop=stop)


def _parts(thing: Any, most: int | None) -> Iterator[tuple[str, Any]]:
    if isinstance(thing, Mapping):
        for key, value in islice(thing.items(), most):
            yield f'["{key}"]' if isinstance(key, str) else f"[{key!r:.40}]", value
        return
    if isinstance(thing, (list, tuple, set, frozenset, deque)):
        for index, value in enumerate(islice(thing, most)):
            yield f"[{index}]", value
    own = isinstance(thing, ModuleType) or not callable(thing) or hasattr(thing, "state_dict")
    fields = getattr(thing, "__dict__", None)
    if own and isinstance(fields, dict):
        hidden = "_" if _kind_of(thing) == "loader" else "__"  # What a loader has for itself says nothing to its user.
        for name, value in list(fields.items()):
            if not name.startswith(hidden) and not _is_of_others(value):
                yield f".{name}", value


def _kind_of(thing: Any) -> str | None:
    if is_generator(thing):
        return "generator"
    torch = sys.modules.get("torch")
    if isinstance(thing, np.ndarray):
        return "array" if thing.size and not thing.dtype.hasobject else None
    if torch is not None and isinstance(thing, torch.Tensor):
        return "tensor"
    kinds = {one.__name__ for one in type(thing).__mro__}
    if "Optimizer" in kinds:
        return "optimizer"
    if "DataLoader" in kinds:
        return "loader"
    if isinstance(thing, _ITERATORS) or "_BaseDataLoaderIter" in kinds:
        return "iterator"
    return "array" if _is_jax(thing) else None


def _is_jax(thing: object) -> bool:
    kind = getattr(sys.modules.get("jax"), "Array", None)
    return isinstance(kind, type) and isinstance(thing, kind)


def _print_of(kind: str, thing: Any) -> str:
    if kind == "loader" or getattr(thing, "nbytes", 0) > _PRINTED_BYTES:
        return ""
    if kind == "iterator":
        return _print_of_iterator(thing)
    try:
        return fingerprint(thing)
    except Exception:
        return ""


def _print_of_iterator(thing: Any) -> str:
    """Where it stands, as far as that can be seen without moving it."""
    if isinstance(thing, GeneratorType):
        frame = thing.gi_frame
        if frame is None:
            return "ended"
        numbers = {name: value for name, value in frame.f_locals.items() if isinstance(value, (int, float, str))}
        return fingerprint(frame.f_lasti, numbers) if numbers else ""
    left = operator.length_hint(thing, -1)
    return fingerprint(left) if left >= 0 else ""


def _in_words(kind: str, thing: Any) -> str:
    if kind == "generator":
        return f"{type(thing).__module__.partition('.')[0]} {type(thing).__name__}"
    if kind in ("array", "tensor"):
        shape = tuple(thing.shape)
        return f"{str(thing.dtype).removeprefix('torch.')} {kind} {shape}"
    if kind == "loader" and getattr(thing, "persistent_workers", False) and getattr(thing, "num_workers", 0):
        return f"{type(thing).__name__} with persistent workers"
    if kind == "iterator":
        return _iterator_in_words(thing)
    return type(thing).__name__


def _iterator_in_words(thing: Any) -> str:
    if isinstance(thing, GeneratorType):
        return f"{thing.__name__}()"
    return type(thing).__name__


def _contents(kind: str, thing: Any) -> Iterator[object]:
    yield thing
    if kind == "generator":
        yield generator_contents(thing)
    if kind == "optimizer":
        yield thing.state_dict()


def _plain(thing: Any) -> Any:
    """The contents alone, so that a copy of another type (a list of an array's numbers, a dict) counts as well."""
    return dict(thing) if isinstance(thing, Mapping) else thing


def _memory_of(thing: Any) -> int | None:
    """Where the memory begins of which an array or tensor is a view."""
    if isinstance(thing, np.ndarray):
        base: Any = thing
        while isinstance(base.base, np.ndarray):
            base = base.base
        return int(base.__array_interface__["data"][0]) if base.size else None
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(thing, torch.Tensor) and thing.layout == torch.strided:
        return int(thing.untyped_storage().data_ptr()) or None
    return None


def _is_global_generator(thing: object) -> bool:
    """Python's, NumPy's or torch's own, which travel by themselves."""
    torch: Any = sys.modules.get("torch")
    own = [random.random.__self__, np.random.random_sample.__self__]  # type: ignore[attr-defined]
    return any(thing is one for one in (*own, getattr(torch, "default_generator", None)))


def _is_of_others(value: object) -> bool:
    """A module that the program did not bring along, a function, or a class."""
    if isinstance(value, ModuleType):
        file = getattr(value, "__file__", None)
        return file is None or _is_library(file)
    return isinstance(value, type) or type(value).__module__.startswith("goldthread.")


@cache
def _is_library(file: str) -> bool:
    path = str(Path(file).resolve()) if not file.startswith("<") else file
    return path.startswith((*_LIBRARIES, _OWN)) or file.startswith("<frozen") or "site-packages" in path
