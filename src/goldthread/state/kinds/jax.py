"""JAX: arrays and keys."""

from __future__ import annotations

import sys
from typing import Any, Final

import numpy as np

from goldthread.errors import DoesNotFit
from goldthread.state.fit import HINT
from goldthread.state.kind import Family, Form, Kind, Store
from goldthread.state.kinds.arrays import describe
from goldthread.state.nodes import Node
from goldthread.state.walk import Walk

__all__ = ["FAMILY"]


def _store(walk: Walk, thing: Any) -> None:
    jax = sys.modules["jax"]
    if not walk.enter(thing):
        return
    key = jax.dtypes.issubdtype(thing.dtype, jax.dtypes.prng_key)
    plain = np.asarray(jax.random.key_data(thing) if key else thing)
    kind = f"key {jax.random.key_impl(thing)}" if key else plain.dtype.name
    walk.buffer("jax", np.ascontiguousarray(plain).reshape(-1).view(np.uint8), kind, list(plain.shape), False)


def _claim(cls: type) -> Store | None:
    jax = sys.modules["jax"]
    return _store if hasattr(jax, "Array") and issubclass(cls, jax.Array) else None


def _make(rebuilder: Any, node: Node, place: object) -> Any:
    jax = sys.modules.get("jax")
    if jax is None:
        raise DoesNotFit(f"{place}: it was stored by jax, which is not loaded", hint="import jax first")
    kind, shape = node.details[:2]
    raw = np.frombuffer(rebuilder.raw(node, place), np.uint8).copy()
    if kind.startswith("key "):
        return jax.random.wrap_key_data(raw.view(np.uint32).reshape(shape), impl=kind.removeprefix("key "))
    return jax.numpy.asarray(raw.view(jax.numpy.dtype(kind)).reshape(shape))


def _fit(fitter: Any, node: Node, current: Any, place: object) -> Any:
    made = fitter.make(node, place)
    if made.shape != current.shape or made.dtype != current.dtype:
        raise DoesNotFit(
            f"{place}: the commit has an array of {describe(made.dtype, made.shape)}, "
            f"the program one of {describe(current.dtype, current.shape)}",
            hint=f"{HINT}: None, where an array grows",
        )
    fitter.kept += 1
    return sys.modules["jax"].device_put(made, current.sharding)


def _is_array(thing: Any) -> bool:
    jax = sys.modules.get("jax")
    return jax is not None and hasattr(jax, "Array") and isinstance(thing, jax.Array)


FAMILY: Final = Family(
    kinds=(Kind("jax", Form.BUFFER, _make, suits=_is_array, fit=_fit, carries=True),),
    claim=_claim,
    package="jax",
)
