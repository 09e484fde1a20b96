"""All families of kinds, in the order in which they are asked whose a type is."""

from __future__ import annotations

from typing import Final

from goldthread.state.kind import Registry
from goldthread.state.kinds import (
    arrays,
    containers,
    globals,
    jax,
    objects,
    pickles,
    random,
    recipes,
    stateful,
    torch,
    values,
)

__all__ = ["REGISTRY"]

REGISTRY: Final = Registry(
    (
        recipes.FAMILY,
        values.FAMILY,
        globals.FAMILY,
        containers.FAMILY,
        torch.FAMILY,
        jax.FAMILY,
        arrays.FAMILY,
        random.FAMILY,
        stateful.FAMILY,
        pickles.FAMILY,
        objects.FAMILY,
    )
)
