"""How things of torch and of JAX are compared, for `deep.py`; each library is imported by what asks for it only.

Of a dense tensor: the bits as they lie in memory, and its strides, since they decide which kernel computes with it.
What lies in the gaps between its elements is nobody's. Tensors over one storage are compared as arrays over one
memory are: those that do not overlap share nothing that a program could write into.

A module is compared by its parameters, its buffers, and which of its modules evaluate; an optimizer by its groups and
by what it knows of each parameter.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from deep import ATOMS, COMPARISONS, WITHOUT_ATTRIBUTES

__all__ = ["enter_jax", "enter_torch", "storage_of"]

_FLAGS = ("requires_grad", "is_leaf")
_QUESTIONS = ("is_conj", "is_neg", "is_inference", "is_coalesced")


def enter_torch() -> None:
    """Let `deep.py` know how things of torch are compared."""
    import torch

    plain = (torch.dtype, torch.device, torch.layout, torch.memory_format)
    ATOMS.update({*plain, torch.Size})
    COMPARISONS.update({kind: lambda pairs, mine, its: pairs.same("value", str(mine), str(its)) for kind in plain})
    COMPARISONS[torch.Tensor] = _tensor
    COMPARISONS[torch.Generator] = _generator
    COMPARISONS[torch.nn.Module] = _module
    COMPARISONS[torch.optim.Optimizer] = _optimizer
    jagged = type(torch.nested.nested_tensor([torch.zeros(1)], layout=torch.jagged))
    WITHOUT_ATTRIBUTES.update({torch.nn.Module, torch.optim.Optimizer, jagged})


def storage_of(tensor: Any) -> Any:
    """The bytes of the whole storage of a tensor on the CPU, as NumPy sees them."""
    import torch

    return torch.empty(0, dtype=torch.uint8).set_(tensor.untyped_storage()).numpy()


def _tensor(pairs: Any, mine: Any, its: Any) -> None:
    for name in ("dtype", "layout", "device"):
        pairs.same(f"value: {name}", str(getattr(mine, name)), str(getattr(its, name)))
    pairs.same("value: shape", _shape(mine), _shape(its))
    for name in _FLAGS:
        pairs.same(f"value: {name}", getattr(mine, name), getattr(its, name))
    for name in _QUESTIONS:
        pairs.same(f"value: {name}", _asked(mine, name), _asked(its, name))
    if mine.is_leaf:
        pairs.push(mine.grad, its.grad, ".grad")
    parts = _parts(mine)
    if parts is None:
        _dense(pairs, mine, its)
        return
    for (name, part), (_, other) in zip(parts, _parts(its), strict=True):
        pairs.push(part, other, f".{name}", fresh=True)


def _asked(tensor: Any, name: str) -> Any:
    """What a method says; None where there is no answer."""
    import torch

    return getattr(tensor, name)() if name != "is_coalesced" or tensor.layout is torch.sparse_coo else None


def _shape(tensor: Any) -> Any:
    return "nested" if tensor.is_nested else tuple(tensor.shape)


def _parts(tensor: Any) -> list[tuple[str, Any]] | None:
    """Of what a tensor is made that is not dense."""
    import torch

    plain = tensor.detach()
    if tensor.layout is torch.jagged:
        return [("values()", plain.values()), ("offsets()", plain.offsets())]
    if tensor.is_nested:
        return [(f"unbind()[{at}]", part.clone()) for at, part in enumerate(plain.unbind())]
    if tensor.is_quantized:
        return [("scale", tensor.q_scale()), ("zero_point", tensor.q_zero_point()), ("int_repr()", plain.int_repr())]
    if tensor.layout is torch.sparse_coo:
        return [("_indices()", plain._indices()), ("_values()", plain._values())]
    if tensor.layout in (torch.sparse_csr, torch.sparse_bsr):
        return [(f"{name}()", getattr(plain, name)()) for name in ("crow_indices", "col_indices", "values")]
    if tensor.layout in (torch.sparse_csc, torch.sparse_bsc):
        return [(f"{name}()", getattr(plain, name)()) for name in ("ccol_indices", "row_indices", "values")]
    return None


def _dense(pairs: Any, mine: Any, its: Any) -> None:
    pairs.same("layout: strides", mine.stride(), its.stride())
    if mine.is_meta or mine.numel() == 0:
        return
    own, other = _elements(mine), _elements(its)
    pairs.same("value", own.tobytes(), other.tobytes())
    pairs.memory.note(pairs.place, own, other, (mine, its))


def _elements(tensor: Any) -> Any:
    """The elements where they lie, as bytes that say nothing of their type, whether conjugated or not."""
    size = tensor.element_size()
    strides = [step * size for step in tensor.stride()]
    return np.ndarray(tuple(tensor.shape), f"V{size}", storage_of(tensor), tensor.storage_offset() * size, strides)


def _generator(pairs: Any, mine: Any, its: Any) -> None:
    import torch

    pairs.same("value: device", str(mine.device), str(its.device))
    pairs.same("value: is the global one", mine is torch.default_generator, its is torch.default_generator)
    pairs.same("value: seed", mine.initial_seed(), its.initial_seed())
    pairs.same("value: state of the generator", *(one.get_state().numpy().tobytes() for one in (mine, its)))


def _module(pairs: Any, mine: Any, its: Any) -> None:
    own, other = ([(name, type(one).__name__, one.training) for name, one in it.named_modules()] for it in (mine, its))
    pairs.same("value: modules that train", own, other)
    for name in ("named_parameters", "named_buffers"):
        named = [dict(getattr(module, name)(remove_duplicate=False)) for module in (mine, its)]
        pairs.push(*named, f".{name}()", fresh=True)
    pairs.push(*(list(module.state_dict()) for module in (mine, its)), ".state_dict()", fresh=True)


def _optimizer(pairs: Any, mine: Any, its: Any) -> None:
    for at, (own, other) in enumerate(zip(mine.param_groups, its.param_groups, strict=True)):
        pairs.push(dict(sorted(own.items())), dict(sorted(other.items())), f".param_groups[{at}]", fresh=True)
        for number, both in enumerate(zip(own["params"], other["params"], strict=True)):
            known = [dict(sorted(one.state.get(key, {}).items())) for one, key in zip((mine, its), both, strict=True)]
            pairs.push(*known, f".state[<parameter {number} of group {at}>]", fresh=True)
    pairs.same("value: parameters with a state", len(mine.state), len(its.state))


# JAX.


def enter_jax() -> None:
    """Let `deep.py` know how things of JAX are compared."""
    import jax

    key, plain = jax.random.key(0), jax.numpy.zeros(1)
    for kind in (type(key), type(plain)):
        COMPARISONS[kind] = _array
        WITHOUT_ATTRIBUTES.add(kind)
    ref = type(jax.new_ref(plain))
    COMPARISONS[ref] = lambda pairs, mine, its: pairs.push(mine[...], its[...], "[...]", fresh=True)
    WITHOUT_ATTRIBUTES.add(ref)


def _array(pairs: Any, mine: Any, its: Any) -> None:
    import jax

    pairs.same("value: dtype", str(mine.dtype), str(its.dtype))
    pairs.same("value: shape", mine.shape, its.shape)
    for name in ("weak_type", "_committed"):
        pairs.same(f"value: {name}", *(getattr(one, name, None) for one in (mine, its)))
    pairs.same("layout: sharding", str(mine.sharding), str(its.sharding))
    pairs.same("layout: devices", sorted(map(str, mine.devices())), sorted(map(str, its.devices())))
    if jax.dtypes.issubdtype(mine.dtype, jax.dtypes.prng_key):
        pairs.same("value: kind of key", *(str(jax.random.key_impl(one)) for one in (mine, its)))
        mine, its = jax.random.key_data(mine), jax.random.key_data(its)
    pairs.same("value", *(np.asarray(one).tobytes() for one in (mine, its)))
