"""All families of kinds, in the order in which they are asked whose a type is."""

from __future__ import annotations

from typing import Final

from goldthread.state.kind import Registry
from goldthread.state.kinds import (
    arrays,
    arrow,
    boosting,
    buffers,
    containers,
    distributions,
    flax,
    globals,
    jax,
    modules,
    ndarrays,
    nnx,
    object_arrays,
    objects,
    own,
    pandas,
    pickles,
    polars,
    positions,
    random,
    recipes,
    reduced,
    samplers,
    scipy,
    sklearn,
    standard,
    stateful,
    torch,
    torch_parts,
    values,
    xarray,
    zones,
)

__all__ = ["REGISTRY"]

REGISTRY: Final = Registry(
    (
        recipes.FAMILY,
        values.FAMILY,
        standard.FAMILY,
        samplers.OPTUNA,  # Before what refuses all that belongs to a thread.
        globals.FAMILY,
        own.FAMILY,
        flax.FAMILY,
        containers.FAMILY,
        torch_parts.FAMILY,
        torch.FAMILY,
        modules.FAMILY,
        jax.FAMILY,
        nnx.FAMILY,
        positions.FAMILY,
        arrays.FAMILY,
        object_arrays.FAMILY,
        buffers.FAMILY,
        ndarrays.FAMILY,
        random.FAMILY,
        sklearn.FAMILY,
        distributions.FAMILY,
        boosting.XGBOOST,
        boosting.LIGHTGBM,
        boosting.CATBOOST,
        samplers.EMCEE,
        samplers.DYNESTY,
        pandas.FAMILY,
        arrow.FAMILY,
        polars.FAMILY,
        xarray.FAMILY,
        scipy.FAMILY,
        zones.PYTZ,
        zones.DATEUTIL,
        reduced.FAMILY,
        stateful.FAMILY,
        pickles.FAMILY,
        objects.FAMILY,
    )
)
