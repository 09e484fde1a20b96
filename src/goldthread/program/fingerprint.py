"""Fingerprints of whatever a program may have: equal for equal contents, in any process.

They need not tell all things apart, but must never tell equal ones apart: so addresses, identities and the order of
sets do not enter. What has no contents that can be seen counts by its type alone.
"""

from __future__ import annotations

import array
import random
import struct
import sys
from collections.abc import Mapping
from itertools import islice
from typing import Any, Final

import numpy as np
from xxhash import xxh3_64

__all__ = ["fingerprint", "generator_contents", "is_generator"]

_DEPTH_MOST: Final = 12
_THINGS_MOST: Final = 200_000
"""More than that in one container is not looked at."""
_ATOMS: Final = (int, float, complex, bool, type(None))


def fingerprint(*things: object) -> str:
    """16 hexadecimal digits for what these things hold."""
    return _Print().of(things)


def is_generator(thing: object) -> bool:
    """Whether it draws random numbers: Python's, NumPy's, torch's."""
    torch: Any = sys.modules.get("torch")
    kinds: tuple[type, ...] = (random.Random, np.random.Generator, np.random.RandomState, np.random.BitGenerator)
    kind = getattr(torch, "Generator", None)
    return isinstance(thing, (*kinds, kind) if isinstance(kind, type) else kinds)


def generator_contents(thing: Any) -> object:
    """What decides a generator's next draw, in plain things."""
    if isinstance(thing, random.Random):
        return thing.getstate()
    if isinstance(thing, np.random.Generator):
        return thing.bit_generator.state
    if isinstance(thing, np.random.BitGenerator):
        return thing.state
    return thing.get_state()


class _Print:
    """One hash under way. A thing that is met inside itself counts as a mark."""

    def __init__(self) -> None:
        self._hash = xxh3_64()
        self._open: set[int] = set()

    def of(self, things: tuple[object, ...]) -> str:
        self._many("noted", things, 0)
        return self._hash.hexdigest()

    def _feed(self, thing: Any, depth: int) -> None:
        if isinstance(thing, _ATOMS):
            self._word(f"{type(thing).__name__} {thing!r}")
        elif isinstance(thing, str):
            self._bytes("str", thing.encode("utf-8", "surrogatepass"))
        elif isinstance(thing, (bytes, bytearray, memoryview)):
            self._bytes("bytes", bytes(thing))
        elif isinstance(thing, np.ndarray) and not thing.dtype.hasobject:
            self._array("array", np.asarray(thing))
        elif isinstance(thing, np.generic) and not thing.dtype.hasobject:
            self._bytes(str(thing.dtype), thing.tobytes())
        elif isinstance(thing, array.array):
            self._bytes(thing.typecode, thing.tobytes())
        elif depth > _DEPTH_MOST or id(thing) in self._open:
            self._word(type(thing).__qualname__)
        else:
            self._open.add(id(thing))
            self._inside(thing, depth + 1)
            self._open.discard(id(thing))

    def _inside(self, thing: Any, depth: int) -> None:
        name = type(thing).__qualname__
        if _is_array_elsewhere(thing):
            self._array(name, _on_the_host(thing))
        elif is_generator(thing):
            self._many(name, (generator_contents(thing),), depth)
        elif isinstance(thing, Mapping):
            self._many(name, [part for pair in islice(thing.items(), _THINGS_MOST) for part in pair], depth)
        elif isinstance(thing, (set, frozenset)):
            self._word(f"{name} {sorted(fingerprint(part) for part in islice(thing, _THINGS_MOST))}")
        elif isinstance(thing, (list, tuple)) or type(thing).__name__ == "deque":
            self._many(name, list(islice(thing, _THINGS_MOST)), depth)
        elif callable(getattr(thing, "state_dict", None)) and not isinstance(thing, type):
            self._many(name, (_state_of(thing),), depth)
        else:
            fields = getattr(thing, "__dict__", None)
            plain = isinstance(fields, dict) and not isinstance(thing, type) and not callable(thing)
            self._many(name, [part for pair in fields.items() for part in pair] if plain and fields else [], depth)

    def _many(self, name: str, things: Any, depth: int) -> None:
        self._word(f"{name} {len(things)}")
        for thing in things:
            self._feed(thing, depth)

    def _array(self, name: str, thing: np.ndarray[Any, Any]) -> None:
        self._bytes(f"{name} {thing.dtype} {thing.shape}", np.ascontiguousarray(thing).reshape(-1).view(np.uint8).data)

    def _word(self, word: str) -> None:
        self._bytes("word", word.encode("utf-8", "surrogatepass"))

    def _bytes(self, name: str, data: bytes | memoryview) -> None:
        """Lengths go in too, so that no two rows of things run into the same bytes."""
        label = name.encode("utf-8", "surrogatepass")
        self._hash.update(struct.pack("<QQ", len(label), len(data)) + label)
        self._hash.update(data)


def _is_array_elsewhere(thing: object) -> bool:
    """Whether it is a tensor of torch or an array of JAX."""
    torch: Any = sys.modules.get("torch")
    jax: Any = sys.modules.get("jax")
    kinds = [getattr(torch, "Tensor", None), getattr(jax, "Array", None)]
    return any(isinstance(thing, kind) for kind in kinds if isinstance(kind, type))


def _on_the_host(thing: Any) -> np.ndarray[Any, Any]:
    torch: Any = sys.modules.get("torch")
    if torch is not None and isinstance(thing, torch.Tensor):
        plain = thing.detach().resolve_conj().resolve_neg().cpu().contiguous()
        whole: np.ndarray[Any, Any] = plain.reshape(-1).view(torch.uint8).numpy()
        return whole
    jax: Any = sys.modules["jax"]
    key = jax.dtypes.issubdtype(thing.dtype, jax.dtypes.prng_key)
    return np.asarray(jax.random.key_data(thing) if key else thing)


def _state_of(thing: Any) -> object:
    try:
        return thing.state_dict()
    except Exception:
        return None
