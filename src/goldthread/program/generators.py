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

import msgspec
import numpy as np

__all__ = ["capture_generators", "put_back_generators"]

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder().decode
_WORDS_BYTES: Final = 624 * 4
_IDS_ARE_ADDRESSES: Final = sys.implementation.name == "cpython"
_PYTHON: Final[random.Random] = random.random.__self__  # type: ignore[attr-defined]
_NUMPY: Final[np.random.RandomState] = np.random.random_sample.__self__  # type: ignore[attr-defined]
"""The generators behind the functions of `random` and `np.random`."""
_GAUSS: Final = struct.Struct("=ixxxxd")


def capture_generators() -> dict[str, Any]:
    """The states of `random`, of NumPy's global generator, and of torch's on the CPU and every CUDA device in use.

    The first two are msgpack where they are of the usual kind, so that a walk meets two leaves and not a tree.
    """
    numpy = _numpy_state()
    states = {"random": _encode(_python_state()), "numpy": _encode(numpy) if isinstance(numpy, tuple) else numpy}
    torch = sys.modules.get("torch")
    if torch is not None and hasattr(torch, "get_rng_state"):
        states["torch"] = torch.get_rng_state()
        if torch.cuda.is_available() and torch.cuda.is_initialized():
            states["cuda"] = torch.cuda.get_rng_state_all()
    return states


def put_back_generators(states: dict[str, Any]) -> None:
    """Set the global generators to what `capture_generators` gave. Those of packages not loaded are left out."""
    version, words, gauss = _decode(states["random"])
    random.setstate((version, tuple(array.array("I", words)), gauss))
    numpy = states["numpy"]
    if isinstance(numpy, bytes):
        kind, words, *rest = _decode(numpy)
        numpy = (kind, np.frombuffer(words, np.uint32), *rest)
    np.random.set_state(numpy)
    torch = sys.modules.get("torch")
    if torch is not None and "torch" in states:
        torch.set_rng_state(states["torch"])
        if "cuda" in states and torch.cuda.is_available():
            torch.cuda.set_rng_state_all(states["cuda"][: torch.cuda.device_count()])


def _python_state() -> tuple[int, bytes, float | None]:
    at = _python_at()
    return _ask_python(_PYTHON) if at is None else _read_python(_PYTHON, at)


def _numpy_state() -> Any:
    """Kind, words, position and half a pair of normal draws; in NumPy's own form where it is of another kind."""
    bits: Any = np.random.get_bit_generator()  # type: ignore[attr-defined]
    at = _gauss_at()
    if at is not None and type(bits) is np.random.MT19937:
        return _read_numpy(_NUMPY, bits, at)
    return _ask_numpy(_NUMPY)


# Asked.


def _ask_python(generator: random.Random) -> tuple[int, bytes, float | None]:
    version, words, gauss = generator.getstate()
    return version, array.array("I", words).tobytes(), gauss


def _ask_numpy(generator: np.random.RandomState) -> Any:
    state: Any = generator.get_state(legacy=False)
    if state["bit_generator"] != "MT19937":
        return state
    return "MT19937", state["state"]["key"].tobytes(), state["state"]["pos"], state["has_gauss"], state["gauss"]


# Read where they lie.


def _read_python(generator: random.Random, at: int) -> tuple[int, bytes, float | None]:
    """`at`: of the position in the object; the words follow it."""
    raw = ctypes.string_at(id(generator) + at, 4 + _WORDS_BYTES)
    return generator.VERSION, raw[4:] + raw[:4], generator.gauss_next  # type: ignore[attr-defined]


def _read_numpy(generator: np.random.RandomState, bits: np.random.MT19937, at: int) -> tuple[object, ...]:
    """`at`: of half a pair of normal draws in the object. Where the words lie NumPy says itself."""
    with bits.lock:
        raw = ctypes.string_at(bits.ctypes.state_address, _WORDS_BYTES + 4)
        has_gauss, gauss = _GAUSS.unpack(ctypes.string_at(id(generator) + at, _GAUSS.size))
    return "MT19937", raw[:_WORDS_BYTES], int.from_bytes(raw[_WORDS_BYTES:], sys.byteorder), has_gauss, gauss


@functools.cache
def _python_at() -> int | None:
    if not _IDS_ARE_ADDRESSES:
        return None
    probe = random.Random(7)
    probe.gauss()
    memory = ctypes.string_at(id(probe), random.Random.__basicsize__)
    at = memory.find(_ask_python(probe)[1][:_WORDS_BYTES]) - 4
    return at if at >= 0 and _read_python(probe, at) == _ask_python(probe) else None


@functools.cache
def _gauss_at() -> int | None:
    if not _IDS_ARE_ADDRESSES:
        return None
    bits = np.random.MT19937(7)
    probe = np.random.RandomState(bits)
    probe.standard_normal()
    half = struct.pack("=d", _ask_numpy(probe)[-1])
    memory = ctypes.string_at(id(probe), np.random.RandomState.__basicsize__)
    at = memory.find(half) - _GAUSS.size + len(half)
    if at < 0 or _read_numpy(probe, bits, at) != _ask_numpy(probe):
        return None
    probe.standard_normal()
    return at if _read_numpy(probe, bits, at) == _ask_numpy(probe) else None
