"""Where JAX arrays lie: put into words at commit, found again at restore.

An array is *free* where JAX may move it to what it is computed with ("uncommitted"), and *bound* where it stays. A free
array that came back bound would fail as soon as it met one that is bound to other devices; a bound one that came back
free would be computed with elsewhere. So both are kept, with the device; of a bound array that lies on several, its
mesh and how it is spread over it. Shardings of other kinds have no words that make them again.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any, Final, NamedTuple

import numpy as np

__all__ = ["Free", "Index", "NotHere", "find_place", "is_bound", "part_of", "put", "says_where", "words_of_place"]

Index = tuple[tuple[int, int], ...]
"""A part of an array: begin and end in each dimension."""

_FREE, _DEVICE, _MESH, _OTHER = "free", "device", "mesh", "other"


class NotHere(Exception):
    """What an array lay on is not here; the text says what."""


class Free(NamedTuple):
    """JAX may place it; it is on `device` first, where that is known and here."""

    device: Any = None


def is_bound(array: Any) -> bool:
    """Whether JAX says of an array that it is committed to its devices; of another thing, whether it has any."""
    if not hasattr(array, "_committed"):
        return getattr(array, "sharding", None) is not None
    found = getattr(array, "committed", None)
    return bool(array._committed if found is None else found)


def words_of_place(array: Any) -> list[Any]:
    """Where an array lies. What has the word "other" first can only be put where the program says."""
    return _words(array.sharding, is_bound(array))


def says_where(words: list[Any]) -> bool:
    return bool(words[0] != _OTHER)


@functools.lru_cache(1024)
def _words(sharding: Any, is_bound: bool) -> list[Any]:
    if not is_bound and len(sharding.device_set) == 1:
        return [_FREE, _name(next(iter(sharding.device_set)))]
    shardings = sys.modules["jax"].sharding
    memory = sharding.memory_kind
    first = next(iter(sharding.device_set))
    if memory is not None and memory == first.default_memory().kind:
        memory = None
    if isinstance(sharding, shardings.SingleDeviceSharding):
        return [_DEVICE, _name(first), memory]
    spread = _spread(sharding) if isinstance(sharding, shardings.NamedSharding) else None
    if spread is None or not isinstance(sharding.mesh, shardings.Mesh):
        return [_OTHER, type(sharding).__name__]
    mesh = sharding.mesh
    kinds = [kind.name for kind in getattr(mesh, "axis_types", ())]
    devices = [_name(device) for device in mesh.devices.flat]
    return [_MESH, list(mesh.axis_names), list(mesh.devices.shape), devices, spread, memory, kinds]


def _spread(sharding: Any) -> list[Any] | None:
    """Of each dimension the axes of the mesh over which it is spread; None where plain words do not say it."""
    spec = sharding.spec
    if getattr(spec, "unreduced", None) or getattr(spec, "reduced", None):
        return None
    spread = [list(part) if isinstance(part, tuple) else part for part in spec]
    names = [*sharding.mesh.axis_names]
    for part in spread:
        names += part if isinstance(part, list) else [part] if part is not None else []
    return spread if all(type(name) is str for name in names) else None


def _name(device: Any) -> str:
    return f"{device.platform}:{device.id}"


def find_place(words: list[Any]) -> Any:
    """A sharding, or `Free`. Raises `NotHere`."""
    kind = words[0]
    if kind == _FREE:
        try:
            return Free(_device(words[1]))
        except NotHere:
            return Free()
    shardings = sys.modules["jax"].sharding
    if kind == _DEVICE:
        return shardings.SingleDeviceSharding(_device(words[1]), memory_kind=words[2])
    if kind != _MESH:
        raise NotHere(f"spread by a {words[1]}")
    axes, shape, names, spread, memory, kinds = words[1:]
    devices = np.empty(len(names), object)
    devices[:] = [_device(name) for name in names]
    types = {"axis_types": tuple(shardings.AxisType[name] for name in kinds)} if kinds else {}
    mesh = shardings.Mesh(devices.reshape(shape), tuple(axes), **types)
    spec = shardings.PartitionSpec(*[tuple(part) if isinstance(part, list) else part for part in spread])
    return shardings.NamedSharding(mesh, spec, memory_kind=memory)


def _device(name: str) -> Any:
    platform, _, number = name.rpartition(":")
    try:
        found = next((one for one in sys.modules["jax"].devices(platform) if one.id == int(number)), None)
    except RuntimeError:  # JAX has no such platform here.
        found = None
    if found is None:
        raise NotHere(f"on the device {name}")
    return found


def part_of(index: tuple[slice, ...], shape: tuple[int, ...]) -> Index:
    """A part in plain numbers."""
    return tuple(slice_.indices(length)[:2] for slice_, length in zip(index, shape, strict=True))


def put(shape: tuple[int, ...], where: Any, part: Callable[[Index], Any]) -> Any:
    """A JAX array whose parts `part` gives; raises what that raises."""
    jax = sys.modules["jax"]
    whole: Final = tuple((0, length) for length in shape)
    if isinstance(where, Free):
        with nullcontext() if where.device is None else jax.default_device(where.device):
            return jax.device_put(part(whole))
    if len(where.device_set) == 1:
        return jax.device_put(part(whole), where)
    return jax.make_array_from_callback(shape, where, lambda index: part(part_of(index, shape)))
