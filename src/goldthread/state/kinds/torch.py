"""torch: tensors, parameters, and modules, which are compared with the commit before they load it."""

from __future__ import annotations

import sys
from typing import Any, Final

import numpy as np

from goldthread.errors import DoesNotFit
from goldthread.state.fit import HINT
from goldthread.state.kind import Family, Form, Kind, Store
from goldthread.state.kinds.arrays import describe
from goldthread.state.nodes import Node
from goldthread.state.walk import Refusal, Walk

__all__ = ["FAMILY"]


def _tensor(walk: Walk, thing: Any) -> None:
    torch = sys.modules["torch"]
    if type(thing) not in (torch.Tensor, torch.nn.Parameter):
        raise Refusal(f"a tensor of type {type(thing).__name__} cannot be stored", "store a plain tensor of it")
    if thing.layout != torch.strided or thing.is_quantized or thing.is_meta:
        raise Refusal(f"a tensor with layout {thing.layout} on {thing.device} cannot be stored", "make it dense")
    if not walk.enter(thing):
        return
    plain = thing.detach().resolve_conj().resolve_neg().cpu().contiguous()
    walk.buffer(
        "tensor",
        plain.reshape(-1).view(torch.uint8).numpy(),
        str(thing.dtype).removeprefix("torch."),
        list(thing.shape),
        str(thing.device),
        thing.requires_grad,
        type(thing).__name__,
    )


def _claim(cls: type) -> Store | None:
    torch = sys.modules["torch"]
    return _tensor if hasattr(torch, "Tensor") and issubclass(cls, torch.Tensor) else None


def _make_tensor(rebuilder: Any, node: Node, place: object) -> Any:
    torch = _loaded(place)
    dtype, shape, device, requires_grad, kind = node.details[:5]
    if device.startswith("cpu") and not rebuilder.map:
        tensor = torch.empty(shape, dtype=getattr(torch, dtype), device="cpu")
        _fill_tensor(rebuilder, tensor, node, place, anew=True)
    else:
        tensor = _tensor_view(rebuilder, node, place)
    if not device.startswith("cpu"):
        try:
            tensor = tensor.to(device)
        except (RuntimeError, AssertionError) as error:
            raise DoesNotFit(
                f"{place}: the device {device} is not here: {error}", hint="give restore a tensor"
            ) from error
    if kind == "Parameter":
        return torch.nn.Parameter(tensor, requires_grad)
    return tensor.requires_grad_(requires_grad) if requires_grad else tensor


def _fill_tensor(rebuilder: Any, tensor: Any, node: Node, place: object, *, anew: bool = False) -> None:
    """Have `fill` copy a "tensor" node into a contiguous one of the same shape and type, on the CPU."""
    target = tensor.reshape(-1).view(sys.modules["torch"].uint8).numpy()
    rebuilder.fill_bytes(target, node.details[-2], place, anew=anew)


def _tensor_view(rebuilder: Any, node: Node, place: object) -> Any:
    """The tensor on the CPU as it lies in the image; a copy where the image cannot be written."""
    torch = sys.modules["torch"]
    dtype, shape = getattr(torch, node.details[0]), node.details[1]
    raw = rebuilder.raw(node, place)
    if len(raw) == 0:
        return torch.empty(shape, dtype=dtype, device="cpu")
    source = np.frombuffer(raw, np.uint8)
    if not source.flags.writeable:
        source = source.copy()
    return torch.from_numpy(source).view(dtype).reshape(shape)


def _loaded(place: object) -> Any:
    found = sys.modules.get("torch")
    if found is None:
        raise DoesNotFit(f"{place}: it was stored by torch, which is not loaded", hint="import torch first")
    return found


def _fit_tensor(fitter: Any, node: Node, current: Any, place: object) -> Any:
    torch = sys.modules["torch"]
    dtype, shape = getattr(torch, node.details[0]), tuple(node.details[1])
    if current.numel() == 0 and 0 not in shape:
        return fitter.make(node, place)
    if tuple(current.shape) != shape or current.dtype != dtype:
        raise DoesNotFit(
            f"{place}: the commit has a tensor of {describe(dtype, shape)}, "
            f"the program one of {describe(current.dtype, tuple(current.shape))}",
            hint=f"{HINT}: None, where an array grows",
        )
    fitter.kept += 1
    plain = current.detach()
    if plain.device.type == "cpu" and plain.is_contiguous():
        _fill_tensor(fitter.rebuilder, plain, node, place)
    else:
        fitter.noted.append(lambda: plain.copy_(_tensor_view(fitter.rebuilder, node, place)))
    return current


def _is_tensor(thing: Any) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and hasattr(torch, "Tensor") and isinstance(thing, torch.Tensor)


def _is_module(thing: Any) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and hasattr(torch, "nn") and isinstance(thing, torch.nn.Module)


FAMILY: Final = Family(
    kinds=(Kind("tensor", Form.BUFFER, _make_tensor, suits=_is_tensor, fit=_fit_tensor, carries=True),),
    claim=_claim,
    package="torch",
)
