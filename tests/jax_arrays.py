"""JAX for tests: on the CPU, with four simulated devices, and all that can be seen of its arrays."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pytest
from images import new_writer, newest_image

from goldthread.names import Step
from goldthread.state.restore import Poured, pour

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("XLA_FLAGS", "--xla_force_host_platform_device_count=4")


def load_jax() -> Any:
    """JAX with four devices; the test is skipped where there is none."""
    found = pytest.importorskip("jax")
    if len(found.devices()) < 4:
        pytest.skip("another test began JAX with fewer devices")
    return found


def poured(stored: object, initial: object) -> Poured:
    """A commit of a life that gave `initial` to restore, poured into it by the next."""
    writer = new_writer()
    writer.classes.give(initial)
    writer.write(stored, Step(0), generators=False)
    image = newest_image(writer)
    writer.close()
    return pour(image, initial, map=False, pickle=False)


def facts(jax: Any, tree: Any) -> Any:
    """All that can be seen of the arrays of a tree, and how it is built."""
    leaves, form = jax.tree.flatten(tree)
    return [fact(jax, leaf) for leaf in leaves], form


def fact(jax: Any, leaf: Any) -> Any:
    if not isinstance(leaf, jax.Array):
        return type(leaf), leaf
    is_key = jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)
    plain = np.asarray(jax.random.key_data(leaf) if is_key else leaf)
    weak = getattr(leaf, "weak_type", None)
    return leaf.shape, leaf.dtype, weak, leaf._committed, leaf.sharding, plain.tobytes()
