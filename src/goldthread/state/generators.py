"""The states of the global generators, which travel beside the state so that going on is exact.

Both `random` and NumPy's global generator keep 624 words. To ask for them makes as many Python ints each time: 0.1 ms
and more, as much as a commit of 1 MiB costs in all. So the words are read where they lie. Nobody promises where that
is; it is sought in a generator made for the purpose, and what is read there must be what that generator says of
itself. Where it is not, as in another implementation of Python, the generators are asked.
"""

from __future__ import annotations

import array
import ctypes
import functools
import random
import struct
import sys
from typing import Any, Final

import numpy as np

from goldthread.state.imports import when_loaded

__all__ = ["capture_generators", "put_back_generators"]

_WORDS: Final = 624
_WORDS_BYTES: Final = 4 * _WORDS
_REST: Final = struct.Struct("=iid")
"""What follows NumPy's words: the position, whether half a pair of normal draws is left, and that half."""
_PYTHON: Final[random.Random] = random.random.__self__  # type: ignore[attr-defined]
_NUMPY: Final[np.random.RandomState] = np.random.random_sample.__self__  # type: ignore[attr-defined]
"""The generators behind the functions of `random` and `np.random`."""
_IDS_ARE_ADDRESSES: Final = sys.implementation.name == "cpython"

Parts = tuple[memoryview, ...]
"""Where the words of a generator lie, and what follows them."""


def capture_generators() -> dict[str, Any]:
    """The states of `random`, of NumPy's global generator, and of torch's on the CPU and every other device in use."""
    words = _python_parts()
    states: dict[str, Any] = {
        "random": _ask_python(_PYTHON) if words is None else b"".join(words),
        "gauss": _PYTHON.gauss_next,  # type: ignore[attr-defined]
        "numpy": _numpy_words(),
    }
    torch = sys.modules.get("torch")
    if torch is not None and hasattr(torch, "get_rng_state"):
        states["torch"] = torch.get_rng_state().numpy().tobytes()
        for name, module in _devices(torch):
            if module.is_initialized():
                states[name] = [state.numpy().tobytes() for state in module.get_rng_state_all()]
    return states


def put_back_generators(states: dict[str, Any]) -> None:
    """Set the global generators to what `capture_generators` gave; torch's as soon as torch is loaded."""
    random.setstate((random.Random.VERSION, tuple(array.array("I", states["random"])), states["gauss"]))
    numpy = states["numpy"]
    if isinstance(numpy, bytes):
        numpy = ("MT19937", np.frombuffer(numpy, np.uint32, _WORDS), *_REST.unpack_from(numpy, _WORDS_BYTES))
    np.random.set_state(numpy)
    if "torch" in states:
        when_loaded("torch", lambda: _put_back_torch(states))


def _put_back_torch(states: dict[str, Any]) -> None:
    torch = sys.modules["torch"]
    torch.set_rng_state(_as_tensor(torch, states["torch"]))
    for name, module in _devices(torch):
        if name in states:
            devices = states[name][: module.device_count()]
            module.set_rng_state_all([_as_tensor(torch, state) for state in devices])


def _devices(torch: Any) -> list[tuple[str, Any]]:
    """What torch sees beside the CPU that has generators of its own."""
    found = [(name, getattr(torch, name, None)) for name in ("cuda", "xpu")]
    return [(name, module) for name, module in found if module is not None and module.is_available()]


def _as_tensor(torch: Any, state: bytes) -> Any:
    return torch.from_numpy(np.frombuffer(state, np.uint8).copy())  # Wherever the program has new tensors made.


def _numpy_words() -> Any:
    """The words, then `_REST`; NumPy's own form where its global generator is of another kind."""
    bits: Any = np.random.get_bit_generator()  # type: ignore[attr-defined]
    parts = _numpy_parts(bits)
    if parts is None:
        return _ask_numpy(_NUMPY)
    with bits.lock:
        return b"".join(parts)


# Asked.


def _ask_python(generator: random.Random) -> bytes:
    """The words, then the position."""
    return array.array("I", generator.getstate()[1]).tobytes()


def _ask_numpy(generator: np.random.RandomState) -> Any:
    state: Any = generator.get_state(legacy=False)
    if state["bit_generator"] != "MT19937":
        return state
    words = state["state"]
    return words["key"].tobytes() + _REST.pack(words["pos"], state["has_gauss"], state["gauss"])


# Read where they lie.


def _memory(address: int, size: int) -> memoryview:
    return memoryview((ctypes.c_char * size).from_address(address))


@functools.cache
def _python_parts() -> Parts | None:
    at = _words_in_python()
    return None if at is None else _parts_of_python(_PYTHON, at)


def _parts_of_python(generator: random.Random, at: int) -> Parts:
    return _memory(id(generator) + at, _WORDS_BYTES), _memory(id(generator) + at - 4, 4)


def _words_in_python() -> int | None:
    """Where a `random.Random` has its words; its position stands before them. None where that is not so."""
    if not _IDS_ARE_ADDRESSES:
        return None
    probe = random.Random(7)
    probe.random()
    asked = _ask_python(probe)
    at = bytes(_memory(id(probe), random.Random.__basicsize__)).find(asked[:_WORDS_BYTES])
    return at if at >= 4 and b"".join(_parts_of_python(probe, at)) == asked else None


@functools.lru_cache(maxsize=1)
def _numpy_parts(bits: Any) -> Parts | None:
    """Of the global generator with these bits, which live as long as the answer is kept."""
    at = _half_in_numpy()
    return None if at is None or type(bits) is not np.random.MT19937 else _parts_of_numpy(_NUMPY, bits, at)


def _parts_of_numpy(generator: np.random.RandomState, bits: Any, at: int) -> Parts:
    """NumPy says itself where words and position lie."""
    half = _memory(id(generator) + at, 8)
    return _memory(bits.ctypes.state_address, _WORDS_BYTES + 4), _memory(id(generator) + at - 8, 4), half


@functools.cache
def _half_in_numpy() -> int | None:
    """Where a `RandomState` has half a pair of normal draws; whether it has one stands eight bytes before it."""
    if not _IDS_ARE_ADDRESSES:
        return None
    bits = np.random.MT19937(7)
    probe = np.random.RandomState(bits)
    probe.standard_normal()
    asked = _ask_numpy(probe)
    at = bytes(_memory(id(probe), np.random.RandomState.__basicsize__)).find(asked[-8:])
    if at < 8 or b"".join(_parts_of_numpy(probe, bits, at)) != asked:
        return None
    probe.standard_normal()
    return at if b"".join(_parts_of_numpy(probe, bits, at)) == _ask_numpy(probe) else None
