"""torch: what is no dense tensor, and is stored by its parts; generators; and words such as `torch.float32`.

Sparse tensors are their indices and values, quantized ones their integers and scales, nested ones what is nested, a
DTensor what of it is here. None of them is filled in place: where the program has one, another stands there after the
restore, but in a module, whose own `load_state_dict` copies into it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import numpy as np

from goldthread.errors import DoesNotFit
from goldthread.state.fit import HINT
from goldthread.state.kind import Family, Form, Kind, Store
from goldthread.state.kinds.torch import described, is_lazy, is_plain, needs_torch, store_tensor
from goldthread.state.nodes import Node
from goldthread.state.walk import Refusal, Walk

__all__ = ["FAMILY"]


class Parts(NamedTuple):
    """How tensors of one form are taken apart and put together."""

    to: Callable[[Any, Any], tuple[list[Any], list[Any]]]
    """`to(torch, thing)`: words, and parts that are stored as any state is."""
    back: Callable[[Any, list[Any], list[Any]], Any]
    """`back(torch, words, parts)`"""


def _form_of(thing: Any) -> str | None:
    """None for what is taken apart in no way that is known here."""
    torch = sys.modules["torch"]
    if _is_dtensor(thing):
        return "dtensor"
    if is_lazy(thing):
        return "lazy"
    if thing.is_nested:
        return "jagged" if thing.layout is torch.jagged else "nested"
    if type(thing) not in (torch.Tensor, torch.nn.Parameter):
        return None
    if thing.is_quantized:
        return _QUANTIZED.get(str(thing.qscheme()))
    if thing.layout is torch.sparse_coo:
        return "coo"
    return "compressed" if str(thing.layout) in _COMPRESSED else None


_QUANTIZED: Final = {
    "torch.per_tensor_affine": "quantized",
    "torch.per_channel_affine": "channels",
    "torch.per_channel_affine_float_qparams": "channels",
}
_COMPRESSED: Final = {
    "torch.sparse_csr": ("crow_indices", "col_indices"),
    "torch.sparse_bsr": ("crow_indices", "col_indices"),
    "torch.sparse_csc": ("ccol_indices", "row_indices"),
    "torch.sparse_bsc": ("ccol_indices", "row_indices"),
}


def _coo_to(torch: Any, thing: Any) -> tuple[list[Any], list[Any]]:
    return [list(thing.shape), thing.is_coalesced()], [thing._indices(), thing._values()]


def _coo_back(torch: Any, words: list[Any], parts: list[Any]) -> Any:
    shape, is_coalesced = words
    return torch.sparse_coo_tensor(*parts, shape, is_coalesced=is_coalesced, check_invariants=False)


def _compressed_to(torch: Any, thing: Any) -> tuple[list[Any], list[Any]]:
    names = _COMPRESSED[str(thing.layout)]
    layout = str(thing.layout).removeprefix("torch.")
    return [list(thing.shape), layout], [*(getattr(thing, name)() for name in names), thing.values()]


def _compressed_back(torch: Any, words: list[Any], parts: list[Any]) -> Any:
    shape, layout = words
    return torch.sparse_compressed_tensor(*parts, shape, layout=getattr(torch, layout), check_invariants=False)


def _quantized_to(torch: Any, thing: Any) -> tuple[list[Any], list[Any]]:
    return [str(thing.dtype), thing.q_scale(), thing.q_zero_point()], [thing.int_repr()]


def _quantized_back(torch: Any, words: list[Any], parts: list[Any]) -> Any:
    return torch._make_per_tensor_quantized_tensor(parts[0], *words[1:])


def _channels_to(torch: Any, thing: Any) -> tuple[list[Any], list[Any]]:
    scales, zeros = thing.q_per_channel_scales(), thing.q_per_channel_zero_points()
    return [str(thing.dtype), thing.q_per_channel_axis()], [thing.int_repr(), scales, zeros]


def _channels_back(torch: Any, words: list[Any], parts: list[Any]) -> Any:
    return torch._make_per_channel_quantized_tensor(*parts, words[1])


def _nested_to(torch: Any, thing: Any) -> tuple[list[Any], list[Any]]:
    return [str(thing.dtype)], [part.clone() for part in thing.detach().unbind()]


def _nested_back(torch: Any, words: list[Any], parts: list[Any]) -> Any:
    if not parts:
        return torch.nested.nested_tensor([], dtype=getattr(torch, words[0].removeprefix("torch.")))
    return torch.nested.as_nested_tensor(parts, layout=torch.strided)


def _jagged_to(torch: Any, thing: Any) -> tuple[list[Any], list[Any]]:
    plain = thing.detach()
    lengths = {} if plain.lengths() is None else {"lengths": plain.lengths()}
    seqlens = [plain._get_min_seqlen(), plain._get_max_seqlen()] if hasattr(plain, "_get_min_seqlen") else [None, None]
    return [plain._ragged_idx, *seqlens], [plain.values(), plain.offsets(), lengths]


def _jagged_back(torch: Any, words: list[Any], parts: list[Any]) -> Any:
    values, offsets, lengths = parts
    return torch.nested.nested_tensor_from_jagged(
        values, offsets, lengths.get("lengths"), jagged_dim=words[0], min_seqlen=words[1], max_seqlen=words[2]
    )


def _lazy_to(torch: Any, thing: Any) -> tuple[list[Any], list[Any]]:
    return [type(thing).__name__, str(thing.dtype).removeprefix("torch."), str(thing.device)], []


def _lazy_back(torch: Any, words: list[Any], parts: list[Any]) -> Any:
    kind, dtype, device = words
    return getattr(torch.nn.parameter, kind)(dtype=getattr(torch, dtype), device=device)


# DTensor: each process stores what of it is here.


def _is_dtensor(thing: Any) -> bool:
    module = sys.modules.get("torch.distributed.tensor")
    return module is not None and hasattr(module, "DTensor") and isinstance(thing, module.DTensor)


def _dtensor_to(torch: Any, thing: Any) -> tuple[list[Any], list[Any]]:
    mesh = thing.device_mesh
    names = None if mesh.mesh_dim_names is None else list(mesh.mesh_dim_names)
    where = [mesh.device_type, mesh.mesh.tolist(), names, list(mesh.get_coordinate() or ())]
    placements = [_placement_word(one) for one in thing.placements]
    return [list(thing.shape), list(thing.stride()), placements, where], [thing.detach().to_local()]


def _placement_word(placement: Any) -> list[Any]:
    """Its name and its fields."""
    kind = type(placement).__name__
    if kind == "Shard":
        return [kind, placement.dim]
    if kind == "Partial" and isinstance(placement.reduce_op, str):
        return [kind, placement.reduce_op]
    if kind == "Replicate":
        return [kind]
    raise Refusal(f"a DTensor that is placed by {placement!r} cannot be stored", "redistribute it, or store to_local()")


def _dtensor_back(torch: Any, words: list[Any], parts: list[Any]) -> Any:
    shape, strides, placements, where = words
    tensor = sys.modules["torch.distributed.tensor"]
    placed = [getattr(tensor, name)(*fields) for name, *fields in placements]
    return tensor.DTensor.from_local(
        parts[0], _mesh_of(where), placed, run_check=False, shape=torch.Size(shape), stride=tuple(strides)
    )


_meshes: Final[dict[str, Any]] = {}
"""By what is stored of them: to make one is a matter for all processes."""


def _mesh_of(where: list[Any]) -> Any:
    device_type, ranks, names, _ = where
    distributed = sys.modules.get("torch.distributed")
    if distributed is None or not distributed.is_initialized():
        raise RuntimeError("torch.distributed is not initialised: call init_process_group before restore")
    key = repr(where)
    if key not in _meshes:
        made = distributed.device_mesh.DeviceMesh(device_type, ranks, mesh_dim_names=names and tuple(names))
        if list(made.get_coordinate() or ()) != where[3]:
            raise RuntimeError(f"this process stands at {made.get_coordinate()} of the mesh, it was at {where[3]}")
        _meshes[key] = made
    return _meshes[key]


_PARTS: Final = {
    "coo": Parts(_coo_to, _coo_back),
    "compressed": Parts(_compressed_to, _compressed_back),
    "quantized": Parts(_quantized_to, _quantized_back),
    "channels": Parts(_channels_to, _channels_back),
    "nested": Parts(_nested_to, _nested_back),
    "jagged": Parts(_jagged_to, _jagged_back),
    "lazy": Parts(_lazy_to, _lazy_back),
    "dtensor": Parts(_dtensor_to, _dtensor_back),
}


def _store(walk: Walk, thing: Any) -> None:
    try:
        if is_plain(thing):
            store_tensor(walk, thing)
            return
        form = _form_of(thing)
        if form is None:
            raise Refusal(
                f"a tensor of type {type(thing).__qualname__} ({thing.layout}) cannot be stored",
                f"goldthread.register({type(thing).__qualname__}, to=..., back=...), or store plain tensors of it",
            )
        if not walk.enter(thing):
            return
        words, parts = _PARTS[form].to(sys.modules["torch"], thing)
    except (RuntimeError, NotImplementedError) as error:  # Of torch, which cannot do everything with every tensor.
        raise Refusal(
            f"a tensor of type {type(thing).__qualname__} cannot be stored: {str(error).splitlines()[0]}",
            "store a plain tensor of it",
        ) from error
    is_parameter = isinstance(thing, sys.modules["torch"].nn.Parameter) and form != "lazy"
    gradient = None if form == "lazy" or not thing.is_leaf else thing.grad
    if form != "lazy" and thing.grad_fn is not None:
        walk.tell("how a tensor was computed (grad_fn) is not kept: commit it by detach()")
    walk.atoms.append(("parts", form, words, thing.requires_grad, is_parameter, len(parts) + 1))
    walk.visit(thing, [*_names(form, parts), ".grad"], [*map(walk.made, parts), gradient], str, whole=True)


def _names(form: str, parts: list[Any]) -> list[str]:
    return [f".unbind()[{index}]" for index in range(len(parts))] if form == "nested" else ["" for _ in parts]


def _claim(cls: type) -> Store | None:
    torch = sys.modules["torch"]
    if hasattr(torch, "Tensor") and issubclass(cls, torch.Tensor):
        return _store
    if hasattr(torch, "Generator") and issubclass(cls, torch.Generator):
        return _store_generator
    words = (torch.dtype, torch.layout, torch.memory_format) if hasattr(torch, "layout") else ()
    if cls in words:
        return _store_word
    if hasattr(torch, "device") and cls is torch.device:
        return lambda walk, thing: walk.note(("torch", "device"), str(thing))
    if hasattr(torch, "Size") and cls is torch.Size:
        return lambda walk, thing: walk.note(("torch", "Size"), list(map(int, thing)))
    return None


def _make(rebuilder: Any, node: Node, place: object) -> Any:
    torch = needs_torch(place)
    form, words, requires_grad, is_parameter = node.details
    *parts, gradient = rebuilder.children(node, place)
    rebuilder.fill_anew()
    try:
        made = _PARTS[form].back(torch, words, parts)
    except (RuntimeError, AttributeError, NotImplementedError, ValueError) as error:
        raise DoesNotFit(f"{place}: torch does not put it together again: {error}", hint=HINT) from error
    if is_parameter:
        made = torch.nn.Parameter(made, requires_grad)
    elif made.requires_grad != requires_grad:
        made.requires_grad_(requires_grad)
    if gradient is not None:
        made.grad = gradient
    return made


def _fit(fitter: Any, node: Node, current: Any, place: object) -> Any:
    form = node.details[0]
    mine = None if is_plain(current) else _form_of(current)
    if form == "lazy" and mine == "lazy":
        fitter.kept += 1
        return current
    is_unknown = mine == "lazy" or (is_plain(current) and current.numel() == 0)
    if mine != form and not is_unknown:
        raise DoesNotFit(
            f"{place}: the commit has a tensor in parts ({form}), the program {described(current)}", hint=HINT
        )
    fitter.kept += 1
    made = fitter.make(node, place)
    if mine == form and form not in ("nested", "jagged") and (made.shape, made.dtype) != (current.shape, current.dtype):
        raise DoesNotFit(f"{place}: the commit has {described(made)}, the program {described(current)}", hint=HINT)
    return made


# Generators and words.


def _store_generator(walk: Walk, thing: Any) -> None:
    if walk.enter(thing):
        state = thing.get_state().numpy()
        is_global = thing is sys.modules["torch"].default_generator
        walk.buffer("torch_generator", np.array(state, np.uint8), str(thing.device), is_global)


def _make_generator(rebuilder: Any, node: Node, place: object) -> Any:
    torch = needs_torch(place)
    device, is_global = node.details[:2]
    try:
        made = torch.default_generator if is_global else torch.Generator(device)
        made.set_state(_generator_state(torch, rebuilder, node, place))
    except RuntimeError as error:
        raise DoesNotFit(f"{place}: a generator on {device} cannot be had here: {error}", hint=HINT) from error
    return made


def _generator_state(torch: Any, rebuilder: Any, node: Node, place: object) -> Any:
    return torch.from_numpy(np.frombuffer(rebuilder.raw(node, place), np.uint8).copy())


def _fit_generator(fitter: Any, node: Node, current: Any, place: object) -> Any:
    torch, device = sys.modules["torch"], node.details[0]
    if str(current.device) != device:
        raise DoesNotFit(
            f"{place}: the commit has a generator on {device}, the program one on {current.device}", hint=HINT
        )
    state = _generator_state(torch, fitter.rebuilder, node, place)
    fitter.noted.append(lambda: current.set_state(state))
    return current


def _is_generator(thing: Any) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and hasattr(torch, "Generator") and isinstance(thing, torch.Generator)


def _store_word(walk: Walk, thing: Any) -> None:
    walk.note(("torch", "word"), str(thing).removeprefix("torch."))


def _make_word(rebuilder: Any, node: Node, place: object) -> Any:
    torch = needs_torch(place)
    kind = node.details[0]
    return getattr(torch, node.value) if kind == "word" else getattr(torch, kind)(node.value)


FAMILY: Final = Family(
    kinds=(
        Kind("parts", Form.CONTAINER, _make, fit=_fit, group="tensor"),
        Kind("torch_generator", Form.BUFFER, _make_generator, suits=_is_generator, fit=_fit_generator),
        Kind("torch", Form.VALUE, _make_word, is_shared=False),
    ),
    claim=_claim,
    knows=lambda path: path == "torch.nn.utils.rnn:PackedSequence",
    package="torch",
)
