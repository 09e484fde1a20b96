"""Kinds of JAX, drawn where a test asks for them (`draw(seed, libraries=("jax",))`), what stands in their place before
something is poured, since none can be changed, and how they are compared.

There are four simulated devices. Numbers of 64 bits are drawn where the process has JAX_ENABLE_X64, as those of
`lives.py` have.
"""

from __future__ import annotations

import os
import random
from functools import partial
from typing import Any

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("XLA_FLAGS", "--xla_force_host_platform_device_count=4")

import jax
import jax.numpy as jnp
import numpy as np
from kinds import Make, kind
from perturb import CHANGES, OTHERS
from tensor_deep import enter_jax

__all__ = ["NOT_YET", "OF_LIBRARY", "ONLY_POURED"]

enter_jax()
OF_LIBRARY: dict[str, Make] = {}
ONLY_POURED: set[str] = set()
NOT_YET: set[str] = set()
_kind = partial(kind, into=OF_LIBRARY)
_SHAPES = ((), (1,), (5,), (0,), (2, 3), (0, 3), (3, 0, 2), (1, 1))
_WHOLE = ("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
_REAL = ("float16", "bfloat16", "float32", "float64", "complex64", "complex128")
_SMALL = (
    *("float8_e4m3fn", "float8_e5m2", "float8_e4m3b11fnuz", "float8_e4m3fnuz", "float8_e5m2fnuz", "float8_e3m4"),
    *("float8_e4m3", "float8_e8m0fnu", "float4_e2m1fn", "int4", "uint4", "int2", "uint2"),
)
_IS_WIDE = bool(jax.config.jax_enable_x64)


def filled(draw: Any, shape: tuple[int, ...], name: str) -> Any:
    """An array whose bits are drawn, and of which NumPy keeps none."""
    dtype = jnp.dtype(name if _IS_WIDE else _narrow(name))
    if name in _SMALL[8:] or name == "bool":  # Of less than a byte.
        numbers = np.array([draw.rng.randint(0, 1) for _ in range(int(np.prod(shape)))]).reshape(shape)
        return jnp.array(numbers.astype(dtype))
    count = int(np.prod(shape)) * dtype.itemsize
    return jnp.array(np.frombuffer(bytearray(draw.rng.randbytes(count)), dtype).reshape(shape), copy=True)


def _narrow(name: str) -> str:
    return {"int64": "int32", "uint64": "uint32", "float64": "float32", "complex128": "complex64"}.get(name, name)


def _weakened(array: Any) -> Any:
    from jax._src.lax import lax

    return lax._convert_element_type(array, weak_type=True)


@_kind("jax: array")
def _array(draw: Any) -> Any:
    return filled(draw, draw.rng.choice(_SHAPES), draw.rng.choice((*_WHOLE, *_REAL, *_REAL)))


@_kind("jax: array of small numbers")
def _small(draw: Any) -> Any:
    return filled(draw, draw.rng.choice(_SHAPES), draw.rng.choice(_SMALL))


@_kind("jax: of a weak type")
def _weak(draw: Any) -> Any:
    number = draw.rng.choice((draw.rng.randint(-9, 9), draw.rng.gauss(0, 1), 2j))
    if draw.rng.random() < 0.3:
        return jnp.asarray(number)
    return _weakened(filled(draw, draw.rng.choice(_SHAPES[:6]), draw.rng.choice(("int32", "float32", "complex64"))))


@_kind("jax: not a number")
def _nan(draw: Any) -> Any:
    bits = np.array(
        [draw.rng.choice((0x7FC0, 0xFFC0, 0x7F81)) << 16 | draw.rng.getrandbits(16) for _ in range(3)], "u4"
    )
    return jnp.array(bits.view("f4"), copy=True)


@_kind("jax: bound to a device")
def _bound(draw: Any) -> Any:
    made = filled(draw, draw.rng.choice(_SHAPES), draw.rng.choice((*_WHOLE, *_REAL)))
    if draw.rng.random() < 0.2:
        made = _weakened(filled(draw, (2,), "float32"))
    return jax.device_put(made, draw.rng.choice(jax.devices()))


@_kind("jax: elsewhere, not bound")
def _elsewhere(draw: Any) -> Any:
    with jax.default_device(draw.rng.choice(jax.devices())):
        return filled(draw, draw.rng.choice(_SHAPES), "float32")


@_kind("jax: spread over devices")
def _spread(draw: Any) -> Any:
    mesh = jax.sharding.Mesh(np.array(jax.devices()[:4]).reshape(2, 2), ("x", "y"))
    parts = draw.rng.choice((("x",), ("x", "y"), (None, "y"), (("x", "y"),), ()))
    form = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec(*parts))
    return jax.device_put(filled(draw, (4, 4), draw.rng.choice(("float32", "int8", "bfloat16"))), form)


@_kind("jax: typed key")
def _key(draw: Any) -> Any:
    made = jax.random.key(draw.rng.getrandbits(30), impl=draw.rng.choice(("threefry2x32", "rbg", "unsafe_rbg")))
    if draw.rng.random() < 0.3:
        made = jax.random.split(made, draw.rng.choice((1, 3, (2, 2))))
    return jax.device_put(made, draw.rng.choice(jax.devices())) if draw.rng.random() < 0.3 else made


@_kind("jax: raw key")
def _raw_key(draw: Any) -> Any:
    return jax.random.PRNGKey(draw.rng.getrandbits(30))


@_kind("jax: one array in two places")
def _twice(draw: Any) -> Any:
    made = filled(draw, (2,), "float32")
    return [made, {"again": made}, [draw.child(), made]]


@_kind("jax: what may be written into")
def _ref(draw: Any) -> Any:
    return jax.new_ref(filled(draw, draw.rng.choice(((), (3,))), draw.rng.choice(("float32", "int32"))))


@_kind("jax: type of numbers")
def _type(draw: Any) -> Any:
    return draw.rng.choice((jnp.float32, jnp.bfloat16, jnp.int4, jnp.bool_, jnp.dtype("bfloat16"), jnp.dtype("int4")))


# What a program has otherwise.


def _other(array: Any) -> Any:
    """Zeros of the same form, in the same place."""
    if jax.dtypes.issubdtype(array.dtype, jax.dtypes.prng_key):
        zeros = np.zeros_like(jax.random.key_data(array))
        made = jax.random.wrap_key_data(jnp.array(zeros), impl=jax.random.key_impl(array))
    else:
        made = jnp.array(np.zeros(array.shape, array.dtype))
        made = _weakened(made) if array.weak_type else made
    return jax.device_put(made, array.sharding) if array._committed else made


def _zero(ref: Any, rng: random.Random) -> list[Any]:
    ref[...] = jnp.zeros_like(ref[...])
    return []


OTHERS.update(dict.fromkeys((type(jnp.zeros(1)), type(jax.random.key(0))), _other))
CHANGES[type(jax.new_ref(jnp.zeros(1)))] = _zero
