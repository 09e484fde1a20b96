"""How each type of thing is noted by the walk over a state: as values, as bytes with a place, or as a container."""

from __future__ import annotations

import array
import dataclasses
import datetime
import enum
import pickle
import random
import sys
import zoneinfo
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from goldthread.state.walk import Walk

__all__ = [
    "FACTORIES",
    "HANDLERS",
    "INT_LEAST",
    "INT_MOST",
    "TINY_BYTES",
    "Refusal",
    "class_path",
    "handler_for",
    "keep_other",
]

INT_LEAST: Final = -(2**63)
INT_MOST: Final = 2**64 - 1
"""What msgpack can hold; other ints are written in digits."""

TINY_BYTES: Final = 4096
"""Shorter byte strings are values; longer ones have a place in the payload."""

FACTORIES: Final = {
    f"{factory.__module__}.{factory.__qualname__}": factory
    for factory in (bool, bytes, complex, dict, float, int, list, set, str, tuple)
}

_PICKLE_HINT: Final = (
    "goldthread.join(..., pickle=True) allows pickle for such leaves: then restoring runs code that the pickle names"
)


class Refusal(Exception):
    """A leaf cannot be stored; the path to it grows on the way out."""

    def __init__(self, text: str, hint: str = _PICKLE_HINT) -> None:
        super().__init__(text)
        self.text = text
        self.hint = hint
        self.path: list[str] = []


def class_path(kind: type) -> str:
    return f"{kind.__module__}:{kind.__qualname__}"


def _in_brackets(name: object) -> str:
    return f'["{name}"]' if isinstance(name, str) else f"[{name!r}]"


def _as_attribute(name: str) -> str:
    return f".{name}"


def _raw(data: bytes | bytearray) -> np.ndarray[Any, Any]:
    return np.frombuffer(data, np.uint8)


# Leaves that are one value.


def _note(walk: Walk, atom: object, value: object) -> None:
    walk.atoms.append(atom)
    walk.values.append(value)


def _int(walk: Walk, thing: int) -> None:
    if INT_LEAST <= thing <= INT_MOST:
        _note(walk, "value", thing)
    else:
        _note(walk, "int", hex(thing))


def _text(walk: Walk, thing: str) -> None:
    try:
        thing.isascii() or thing.encode()
    except UnicodeEncodeError:
        _note(walk, "text", thing.encode("utf-8", "surrogatepass"))
    else:
        _note(walk, "value", thing)


def _bytes(walk: Walk, thing: bytes) -> None:
    if len(thing) < TINY_BYTES:
        _note(walk, "value", thing)
    else:
        walk.buffer("bytes", _raw(thing))


def _complex(walk: Walk, thing: complex) -> None:
    _note(walk, "complex", [thing.real, thing.imag])


def _date(walk: Walk, thing: datetime.date) -> None:
    _note(walk, "date", [thing.isoformat(), 0, None])


def _moment(walk: Walk, thing: datetime.datetime | datetime.time) -> None:
    kind = "datetime" if isinstance(thing, datetime.datetime) else "time"
    _note(walk, kind, [thing.replace(tzinfo=None).isoformat(), thing.fold, _zone(thing.tzinfo)])


def _zone(zone: datetime.tzinfo | None) -> object:
    if zone is None:
        return None
    if type(zone) is datetime.timezone:
        offset, name = zone.utcoffset(None), zone.tzname(None)
        own_name = None if name == datetime.timezone(offset).tzname(None) else name
        return [offset.days, offset.seconds, offset.microseconds, own_name]
    if type(zone) is zoneinfo.ZoneInfo and zone.key is not None:
        return zone.key
    raise Refusal(f"a time zone of type {type(zone).__name__} cannot be stored")


def _timedelta(walk: Walk, thing: datetime.timedelta) -> None:
    _note(walk, "timedelta", [thing.days, thing.seconds, thing.microseconds])


def _scalar(walk: Walk, thing: np.generic) -> None:
    if thing.dtype.hasobject:
        keep_other(walk, thing)
    else:
        _note(walk, ("scalar", "value", thing.dtype), thing.tobytes())


def _enum(walk: Walk, thing: enum.Enum) -> None:
    kind, name = type(thing), thing.name
    if kind.__members__.get(name) is thing:
        _note(walk, ("enum", "value", class_path(kind)), name)
    else:  # Several flags at once have no member of their own.
        keep_other(walk, thing)


# Containers.


def _list(walk: Walk, thing: list[object]) -> None:
    if walk.enter(thing):
        walk.inside(thing, ("list",), range(len(thing)), thing, _in_brackets)


def _tuple(walk: Walk, thing: tuple[object, ...]) -> None:
    walk.inside(thing, ("tuple",), range(len(thing)), thing, _in_brackets)


def _dict(walk: Walk, thing: dict[Any, object]) -> None:
    if not walk.enter(thing):
        return
    keys = list(thing)
    kind = type(thing).__name__
    details: tuple[object, ...] = (kind,)
    if isinstance(thing, defaultdict):
        factory = thing.default_factory
        name = None if factory is None else f"{factory.__module__}.{getattr(factory, '__qualname__', '?')}"
        if name is not None and FACTORIES.get(name) is not factory:
            raise Refusal(f"a defaultdict with the factory {factory!r} cannot be stored")
        details = (kind, name)
    walk.inside(thing, (*details, keys, _exact_keys(keys)), keys, thing.values(), _in_brackets)


def _exact_keys(keys: list[object]) -> str | None:
    """What tells equal keys apart (1, True and 1.0); None where all are text and nothing needs telling."""
    if set(map(type, keys)) <= {str}:
        return None
    for key in keys:
        _check_key(key)
    return repr(keys)


def _check_key(key: object) -> None:
    if type(key) is tuple:
        for part in key:
            _check_key(part)
    elif type(key) not in (str, int, bool, float, bytes, type(None)):
        raise Refusal(
            f"a key of type {type(key).__name__} cannot be stored",
            "keys are text, numbers, bytes, None, or tuples of those",
        )


def _set(walk: Walk, thing: set[object] | frozenset[object]) -> None:
    if type(thing) is frozenset or walk.enter(thing):
        ordered = sorted(thing, key=lambda item: (type(item).__name__, repr(item)))
        walk.inside(thing, (type(thing).__name__,), ordered, walk.made(ordered), _in_brackets)


def _deque(walk: Walk, thing: deque[object]) -> None:
    if walk.enter(thing):
        walk.inside(thing, ("deque", thing.maxlen), range(len(thing)), thing, _in_brackets)


def _namedtuple(walk: Walk, thing: Any) -> None:
    atom = ("namedtuple", class_path(type(thing)), list(thing._fields))
    walk.inside(thing, atom, thing._fields, thing, _as_attribute)


def _dataclass(walk: Walk, thing: Any) -> None:
    if walk.enter(thing):
        names = [field.name for field in dataclasses.fields(thing) if hasattr(thing, field.name)]
        values = [getattr(thing, name) for name in names]
        walk.inside(thing, ("dataclass", class_path(type(thing)), names), names, values, _as_attribute)


def _stateful(walk: Walk, thing: Any) -> None:
    if walk.enter(thing):
        walk.atoms.append(("stateful", class_path(type(thing)), 1))
        walk.open.add(id(thing))
        walk.children([".state_dict()"], [walk.made(thing.state_dict())], str)
        walk.open.discard(id(thing))


# Generators.


def _random(walk: Walk, thing: random.Random) -> None:
    if walk.enter(thing):
        version, words, gauss = thing.getstate()
        _note(walk, "random", [version, array.array("I", words).tobytes(), gauss])


def _randomstate(walk: Walk, thing: np.random.RandomState) -> None:
    if walk.enter(thing):
        state: Any = thing.get_state(legacy=False)
        _generator_state(walk, "randomstate", state["bit_generator"], state, None)


def _bit_generator(walk: Walk, thing: Any) -> None:
    if walk.enter(thing):
        _generator_state(walk, "bitgenerator", type(thing).__name__, thing.state, thing.seed_seq)


def _generator(walk: Walk, thing: np.random.Generator) -> None:
    if walk.enter(thing):
        bits: Any = thing.bit_generator
        _generator_state(walk, "generator", type(bits).__name__, bits.state, bits.seed_seq)


def _generator_state(walk: Walk, kind: str, bits: str, state: object, seeds: Any) -> None:
    """The state of a bit generator, and of its seed sequence, from which `spawn` makes children."""
    seed = None
    if type(seeds) is np.random.SeedSequence:
        seed = {
            "entropy": seeds.entropy,
            "spawn_key": tuple(seeds.spawn_key),
            "pool_size": seeds.pool_size,
            "n_children_spawned": seeds.n_children_spawned,
        }
    walk.atoms.append((kind, bits, 2))
    walk.children([".state", ".seed_seq"], walk.made([state, seed]), str)


# Whatever has a buffer.


def _memmap(walk: Walk, thing: np.ndarray[Any, Any]) -> None:
    if walk.enter(thing):
        walk.atoms.append("array")
        walk.arrays.append(np.asarray(thing))


def _bytearray(walk: Walk, thing: bytearray) -> None:
    if walk.enter(thing):
        walk.buffer("bytearray", _raw(bytes(thing)))


def _pyarray(walk: Walk, thing: array.array[Any]) -> None:
    if walk.enter(thing):
        walk.buffer("pyarray", _raw(thing.tobytes()), thing.typecode)


def _tensor(walk: Walk, thing: Any) -> None:
    torch = sys.modules["torch"]
    if type(thing) not in (torch.Tensor, torch.nn.Parameter):
        raise Refusal(f"a tensor of type {type(thing).__name__} cannot be stored")
    if thing.layout != torch.strided or thing.is_quantized or thing.is_meta:
        raise Refusal(f"a tensor with layout {thing.layout} on {thing.device} cannot be stored", "make it dense")
    if not walk.enter(thing):
        return
    plain = thing.detach().resolve_conj().resolve_neg().cpu().contiguous()
    walk.buffer(
        "tensor",
        plain.reshape(-1).view(torch.uint8).numpy(),
        str(thing.dtype).removeprefix("torch."),
        list(thing.shape),
        str(thing.device),
        thing.requires_grad,
        type(thing).__name__,
    )


def _jax(walk: Walk, thing: Any) -> None:
    jax = sys.modules["jax"]
    if not walk.enter(thing):
        return
    key = jax.dtypes.issubdtype(thing.dtype, jax.dtypes.prng_key)
    plain = np.ascontiguousarray(np.asarray(jax.random.key_data(thing) if key else thing))
    kind = f"key {jax.random.key_impl(thing)}" if key else plain.dtype.name
    weak = bool(getattr(thing, "weak_type", False))
    walk.buffer("jax", plain.reshape(-1).view(np.uint8), kind, list(plain.shape), weak)


def keep_other(walk: Walk, thing: object) -> None:
    """What no handler knows: its buffer, its pickle where that is allowed, or a refusal."""
    try:  # A subclass of ndarray may hold more than its buffer, a mask for instance.
        view = None if isinstance(thing, np.ndarray) else memoryview(thing)  # type: ignore[arg-type]
    except (TypeError, ValueError, BufferError):
        view = None
    if view is not None and "O" not in view.format:
        if walk.enter(thing):
            walk.buffer("buffer", _raw(view.tobytes()), view.format, list(view.shape or ()))
        return
    name, hint = type(thing).__name__, _PICKLE_HINT
    if isinstance(thing, np.ndarray):
        name = f"{name} of dtype {thing.dtype}"
        if isinstance(thing, np.ma.MaskedArray):
            hint = "store its .data and its .mask, which are plain arrays"
        elif not thing.dtype.hasobject:
            hint = "store np.asarray(it), a plain array"
    if not walk.pickle:
        raise Refusal(f"{name} cannot be stored", hint)
    if walk.enter(thing):
        try:
            data = pickle.dumps(thing, 5)
        except Exception as error:
            raise Refusal(
                f"{name} cannot be stored, and pickle refuses it: {error}", "keep it out of the state"
            ) from error
        walk.buffer("pickle", _raw(data), class_path(type(thing)))


HANDLERS: Final[dict[type, Callable[[Walk, Any], None]]] = {
    int: _int,
    str: _text,
    bytes: _bytes,
    complex: _complex,
    datetime.date: _date,
    datetime.time: _moment,
    datetime.datetime: _moment,
    datetime.timedelta: _timedelta,
    list: _list,
    tuple: _tuple,
    dict: _dict,
    OrderedDict: _dict,
    Counter: _dict,
    defaultdict: _dict,
    set: _set,
    frozenset: _set,
    deque: _deque,
    random.Random: _random,
    bytearray: _bytearray,
    array.array: _pyarray,
    np.memmap: _memmap,
    np.random.Generator: _generator,
    np.random.RandomState: _randomstate,
}


def handler_for(kind: type) -> Callable[[Walk, Any], None]:
    """The handler for a type that is in no table: by what it is a subclass of, or by what it can do."""
    torch, jax = sys.modules.get("torch"), sys.modules.get("jax")
    rules: Sequence[tuple[bool, Callable[[Walk, Any], None]]] = (
        (torch is not None and hasattr(torch, "Tensor") and issubclass(kind, torch.Tensor), _tensor),
        (jax is not None and hasattr(jax, "Array") and issubclass(kind, jax.Array), _jax),
        (issubclass(kind, enum.Enum), _enum),
        (issubclass(kind, np.generic), _scalar),
        (issubclass(kind, np.random.BitGenerator), _bit_generator),
        (callable(getattr(kind, "state_dict", None)) and callable(getattr(kind, "load_state_dict", None)), _stateful),
        (issubclass(kind, tuple) and hasattr(kind, "_fields") and hasattr(kind, "_make"), _namedtuple),
        (dataclasses.is_dataclass(kind), _dataclass),
        (kind in (float, bool, type(None)), _value),
    )
    handler = next((handler for holds, handler in rules if holds), keep_other)
    HANDLERS[kind] = handler
    return handler


def _value(walk: Walk, thing: object) -> None:
    _note(walk, "value", thing)
