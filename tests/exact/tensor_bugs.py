"""Bugs to plant in the way of tensors and of arrays of JAX, as those of `bugs.py` are. Planting one imports nothing."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any

from bugs import AFTER_RESTORE, Planted, holders, replace

__all__ = ["TENSOR_BUGS"]

TENSOR_BUGS: dict[str, Planted] = {
    "a tensor gets another dtype": Planted("value", ("torch: tensor",)),
    "a tensor of many dimensions lies otherwise": Planted("layout", ("torch: tensor laid out otherwise",)),
    "a bit of a tensor is turned": Planted("value", ("torch: channels_last",)),
    "a gradient is lost": Planted("type", ("torch: with requires_grad",)),
    "a parameter becomes a tensor": Planted("type", ("torch: parameter or buffer",)),
    "a shared storage is copied": Planted("memory", ("torch: tensors over one storage",)),
    "a tensor leaves the memory of an array": Planted("memory", ("torch: tensor and array over one memory",)),
    "a tensor in two places becomes two": Planted("sharing", ("torch: one tensor in two places",)),
    "a weak type is lost": Planted("value", ("jax: of a weak type",)),
    "an array becomes bound": Planted("value", ("jax: array",)),
    "an array goes to another device": Planted("layout", ("jax: bound to a device",)),
    "the payload of a NaN is lost": Planted("value", ("jax: not a number",)),
    "a key becomes its numbers": Planted("type", ("jax: typed key",)),
}


def _is(kind: str, more: Callable[[Any], bool] = lambda thing: True) -> Callable[[Any], bool]:
    return lambda thing: type(thing).__name__ == kind and more(thing)


def _tensors(state: Any) -> Iterator[tuple[Any, Any, Any]]:
    return (one for one in holders(state) if type(one[2]).__name__ == "Tensor")


def _other_dtype(tensor: Any) -> Any:
    torch = sys.modules["torch"]
    return tensor.to(torch.float64 if tensor.dtype != torch.float64 else torch.float32)


def _turn(state: Any) -> None:
    for _, _, child in _tensors(state):
        if child.numel():
            sys.modules["tensor_deep"].storage_of(child)[-1] ^= 1
            return


def _copy_last(state: Any) -> None:
    found = list(_tensors(state))
    if found:
        holder, key, child = found[-1]
        holder[key] = child.clone(memory_format=sys.modules["torch"].preserve_format)


def _lose_gradient(state: Any) -> None:
    for _, _, child in _tensors(state):
        child.grad = None


def _bound(array: Any) -> Any:
    jax = sys.modules["jax"]
    return jax.device_put(array, jax.devices()[0])


def _moved(array: Any) -> Any:
    jax = sys.modules["jax"]
    return jax.device_put(array, next(one for one in jax.devices() if one not in array.devices()))


def _strong(array: Any) -> Any:
    return sys.modules["jax"].lax.convert_element_type(array, array.dtype)


def _plain_nan(array: Any) -> Any:
    return sys.modules["jax"].numpy.full_like(array, float("nan"))


_ARRAY, _KEY = "ArrayImpl", "PRNGKeyArray"
AFTER_RESTORE.update(
    {
        "a tensor gets another dtype": replace(_is("Tensor"), _other_dtype),
        "a tensor of many dimensions lies otherwise": replace(
            _is("Tensor", lambda one: not one.is_contiguous()), lambda one: one.contiguous()
        ),
        "a bit of a tensor is turned": _turn,
        "a gradient is lost": _lose_gradient,
        "a parameter becomes a tensor": replace(_is("Parameter"), lambda one: one.detach()),
        "a shared storage is copied": _copy_last,
        "a tensor leaves the memory of an array": _copy_last,
        "a tensor in two places becomes two": _copy_last,
        "a weak type is lost": replace(
            _is(_ARRAY, lambda one: one.weak_type),
            _strong,
        ),
        "an array becomes bound": replace(_is(_ARRAY), _bound),
        "an array goes to another device": replace(_is(_ARRAY), _moved),
        "the payload of a NaN is lost": replace(_is(_ARRAY), _plain_nan),
        "a key becomes its numbers": replace(_is(_KEY), lambda one: sys.modules["jax"].random.key_data(one)),
    }
)
