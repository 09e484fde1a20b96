"""torch: modules and optimizers, which are compared with the commit before they load it, and what stands beside them.

A module is what its `state_dict` gives, and beside that its buffers that are not persistent, which of its parameters
take no gradient, which of its modules are in evaluation mode, and its gradients where it has any: a commit may fall
between two backward passes whose gradients add up. Where it has none (after `zero_grad()`), nothing is stored of them.

An optimizer is what its `state_dict` gives; the shapes of its parameters stand beside, so that the state of other
parameters is not loaded. What torch casts to the type of the parameter on the way in keeps the type that it had.
"""

from __future__ import annotations

import sys
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Any, Final

from goldthread.errors import DoesNotFit
from goldthread.state.fit import HINT
from goldthread.state.kind import Family, Store
from goldthread.state.kinds.stateful import FITS, is_stateful, load_later, refuse_other_class, store_stateful
from goldthread.state.kinds.torch import is_lazy, is_plain, is_tensor
from goldthread.state.nodes import Node, Place, piece_of_place
from goldthread.state.walk import Refusal, Walk

__all__ = ["FAMILY"]

_WRAPPERS: Final = {
    "_orig_mod": "torch.compile",
    "module": "DataParallel, DistributedDataParallel or AveragedModel",
    "_fsdp_wrapped_module": "FullyShardedDataParallel",
    "_checkpoint_wrapped_module": "checkpoint_wrapper",
}
"""By the piece that it puts into the keys, who wraps a module."""
_SHOWN: Final = 3
_DATA_LOADER: Final = (
    "keep the number of its epoch and the position in the state, and let them decide the order (docs/guides/data.md);"
    " or use torchdata's StatefulDataLoader"
)


# The way into a commit.


def _store_module(walk: Walk, thing: Any) -> None:
    store_stateful(walk, thing, _beside_module)


def _store_optimizer(walk: Walk, thing: Any) -> None:
    store_stateful(walk, thing, _beside_optimizer)


def _beside_module(module: Any) -> dict[str, Any]:
    modules, parameters = list(module.named_modules()), list(module.named_parameters())
    return {
        "buffers": _transient_buffers(modules),
        "evaluating": [name for name, one in modules if not one.training],
        "frozen": [name for name, one in parameters if not one.requires_grad],
        "gradients": {name: one.grad for name, one in parameters if one.grad is not None},
    }


def _transient_buffers(modules: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """Buffers that are not persistent, by their names."""
    found = {}
    for prefix, module in modules:
        for name in sorted(getattr(module, "_non_persistent_buffers_set", ())):
            buffer = module._buffers.get(name)
            if buffer is not None:
                found[f"{prefix}.{name}" if prefix else name] = buffer
    return found


def _beside_optimizer(optimizer: Any) -> list[Any]:
    return _shapes(optimizer.param_groups)


def _shapes(groups: Any) -> list[Any]:
    """Of the parameters of each group; None for one whose shape is not known yet."""
    return [[None if is_lazy(one) else list(one.shape) for one in group["params"]] for group in groups]


def _refuse_loader(walk: Walk, thing: Any) -> None:
    raise Refusal(f"a {type(thing).__name__} does not say where in its data it stands", _DATA_LOADER)


def _claim(cls: type) -> Store | None:
    torch = sys.modules["torch"]
    if hasattr(torch, "nn") and issubclass(cls, torch.nn.Module):
        return _store_module
    if hasattr(torch, "optim") and issubclass(cls, torch.optim.Optimizer):
        return _store_optimizer
    data = sys.modules.get("torch.utils.data")
    if data is not None and issubclass(cls, data.DataLoader) and not is_stateful(cls):
        return _refuse_loader
    loading = sys.modules.get("torch.utils.data.dataloader")
    return _refuse_loader if loading is not None and issubclass(cls, loading._BaseDataLoaderIter) else None


# Poured: modules.


def _is_module(thing: Any) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and hasattr(torch, "nn") and isinstance(thing, torch.nn.Module)


def _fit_module(fitter: Any, node: Node, current: Any, place: object) -> Any:
    """A module that refuses has loaded a part already: so it is compared beforehand."""
    child, *beside = node.expand()
    there = Place(place, node, "state_dict()")
    contents, attributes = _taken_apart(child)
    present = current.state_dict()
    if contents is None or not isinstance(present, dict):
        load_later(fitter, current, fitter.make(child, there), place)
        return current
    _refuse_misfit(contents.keys, present, place)
    state = _module_state(fitter, contents, present, there)
    for name, value in (vars(present) | (fitter.make(attributes, there) or {})).items():
        setattr(state, name, value)
    fitter.kept += 1
    finish = _fit_beside(fitter, beside[0], current, Place(place, node, None)) if beside else None
    load_later(fitter, current, state, place, finish)
    return current


def _taken_apart(child: Any) -> tuple[Node | None, Any]:
    """Of a dict of the commit its contents and its attributes; None where it is none, or has odd keys."""
    if type(child) is not Node:
        return None, None
    contents, attributes = child.expand() if child.kind.name == "attributed" else (child, None)
    is_dict = contents.kind.group == "dict" and contents.kind.name != "attributed" and contents.keys is not None
    return (contents if is_dict else None), attributes


def _module_state(fitter: Any, node: Node, present: dict[str, Any], place: object) -> Any:
    """What a module is to load: what the commit has of it, in its own tensors where they can be filled, else what it
    holds itself."""
    state: Any = OrderedDict()
    _refuse_ties(fitter, node, present, place)
    for key, child in zip(node.keys, node.expand(), strict=True):
        there = Place(place, node, key)
        if key not in present:
            fitter.dropped.append(str(there))
        elif is_tensor(present[key]):
            _refuse_meta(present[key], there)
            state[key] = fitter.fit(child, present[key], there)
        else:
            state[key] = fitter.make(child, there)
    for key, value in present.items():
        if key not in state:
            fitter.unknown.append(f"{place}{piece_of_place(node, key)}")
            fitter.lacking += fitter.counts(value)
            state[key] = value
    return state


def _refuse_ties(fitter: Any, node: Node, present: dict[str, Any], place: object) -> None:
    """Where the program has one tensor under two keys that are not the same in the commit, one would be lost; where it
    has two and the commit has one, they would no longer be trained as one."""
    first: dict[Any, tuple[str, Any]] = {}
    tied: dict[Any, tuple[str, int]] = {}
    for key, child in zip(node.keys, node.expand(), strict=True):
        own: Any = present.get(key)
        if not is_tensor(own) or is_lazy(own) or not is_plain(own) or own.is_meta or own.numel() == 0:
            continue
        if type(child) is Node and child.strides is not None:  # It shares its memory with others.
            before, memory = tied.setdefault((child.details[-2], own.shape), (key, own.data_ptr()))
            if memory != own.data_ptr():
                raise DoesNotFit(
                    f"{place}: {before!r} and {key!r} are one tensor in the commit, and two in the program",
                    hint="tie the weights before restore, as they were tied when this was committed",
                )
        other, its = first.setdefault((own.device, own.data_ptr(), own.shape, own.stride()), (key, child))
        if other != key and not _are_equal(fitter.rebuilder, its, child):
            raise DoesNotFit(
                f"{place}: {other!r} and {key!r} are one tensor in the program, and differ in the commit",
                hint="tie the weights after restore, as they were not tied when this was committed",
            )


def _are_equal(rebuilder: Any, one: Any, other: Any) -> bool:
    if type(one) is not Node or type(other) is not Node or one.kind.array is None or other.kind.array is None:
        return True
    mine, its = one.kind.array(rebuilder, one), other.kind.array(rebuilder, other)
    return mine is None or its is None or bool(mine.tobytes() == its.tobytes())


def _refuse_meta(tensor: Any, place: object) -> None:
    if not is_lazy(tensor) and tensor.is_meta:
        raise DoesNotFit(
            f"{place}: the program's is on the device meta, where there is nothing to fill",
            hint='model.to_empty(device="cpu") before restore',
        )


def _refuse_misfit(stored: Any, present: dict[str, Any], place: object) -> None:
    """Where nothing fits, or not for a wrapper, the program would go on with random weights at an old step."""
    unknown, dropped = [key for key in present if key not in set(stored)], [key for key in stored if key not in present]
    mine, its = ({_unwrapped(key): key for key in keys} for keys in (unknown, dropped))
    if pairs := [(its[key], mine[key]) for key in its if key in mine]:
        one, other = pairs[0]
        pieces = [piece for piece in (*one.split("."), *other.split(".")) if piece in _WRAPPERS]
        wrapped = "; ".join(f"`{piece}.` is put there by {_WRAPPERS[piece]}" for piece in dict.fromkeys(pieces))
        raise DoesNotFit(
            f"{place}: what is {one!r} in the commit is {other!r} in the program"
            f"{f', and {len(pairs) - 1} more so' if len(pairs) > 1 else ''}: {wrapped}",
            hint="wrap the module as it was, or commit and restore what is in the wrapper: "
            + " or ".join(f"model.{piece}" for piece in dict.fromkeys(pieces)),
        )
    if (unknown or dropped) and len(unknown) == len(present):
        raise DoesNotFit(
            f"{place}: nothing that the commit has of it fits: the commit has {_some(dropped)}, the program"
            f" {_some(unknown)}; going on would begin from scratch at the commit's step",
            hint=HINT,
        )


def _unwrapped(key: str) -> str:
    return ".".join(piece for piece in str(key).split(".") if piece not in _WRAPPERS)


def _some(keys: list[str]) -> str:
    if not keys:
        return "nothing"
    return ", ".join(map(repr, keys[:_SHOWN])) + (f" and {len(keys) - _SHOWN} more" if len(keys) > _SHOWN else "")


def _fit_beside(fitter: Any, node: Any, module: Any, place: object) -> Callable[[], object]:
    """What stands beside the state of a module; what is done of it when that is loaded."""
    nodes = dict(zip(node.keys, node.expand(), strict=True))
    modules = list(module.named_modules())
    buffers = _pour_named(fitter, nodes["buffers"], _transient_buffers(modules), Place(place, node, "buffers"))
    own = dict(module.named_parameters())
    gradients = {name: one.grad for name, one in own.items() if one.grad is not None}
    poured = _pour_named(fitter, nodes["gradients"], gradients, Place(place, node, "gradients"), room=own.keys())
    evaluating, frozen = (set(fitter.make(nodes[name], place)) for name in ("evaluating", "frozen"))

    def finish() -> None:
        for name, one in modules:
            one.training = name not in evaluating
        for name, one in module.named_parameters():  # A lazy module has others now.
            if one.requires_grad == (name in frozen):
                one.requires_grad_(name not in frozen)
            one.grad = poured.get(name)
        for name, buffer in buffers.items():
            prefix, _, last = name.rpartition(".")
            module.get_submodule(prefix)._buffers[last] = buffer

    return finish


def _pour_named(fitter: Any, node: Any, own: dict[str, Any], place: object, room: Any = None) -> dict[str, Any]:
    """Tensors by name, in those of the program where it has them; it has `room` for others by these names."""
    poured = {}
    for name, child in zip(node.keys, node.expand(), strict=True):
        there = Place(place, node, name)
        if name in own:
            poured[name] = fitter.fit(child, own[name], there)
        elif room is not None and name in room:
            poured[name] = fitter.make(child, there)
        else:
            fitter.dropped.append(str(there))
    if room is None:
        fitter.unknown += [f"{place}{piece_of_place(node, name)}" for name in own if name not in node.keys]
    return poured


# Poured: optimizers.


def _is_optimizer(thing: Any) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and hasattr(torch, "optim") and isinstance(thing, torch.optim.Optimizer)


def _fit_optimizer(fitter: Any, node: Node, current: Any, place: object) -> Any:
    refuse_other_class(node, current, place)
    child, *beside = node.expand()
    if beside:
        _refuse_other_shapes(fitter.make(beside[0], place), _shapes(current.param_groups), place)
    value = fitter.make(child, Place(place, node, "state_dict()"))
    fitter.kept += 1
    load_later(fitter, current, value, place, lambda: _undo_casts(current, value))
    return current


def _refuse_other_shapes(stored: list[Any], own: list[Any], place: object) -> None:
    if [len(group) for group in stored] != [len(group) for group in own]:
        raise DoesNotFit(
            f"{place}: the commit has the state of groups of {[len(group) for group in stored]} parameters,"
            f" the program has groups of {[len(group) for group in own]}",
            hint=HINT,
        )
    for index, (its, mine) in enumerate(zip(stored, own, strict=True)):
        for at, (one, other) in enumerate(zip(its, mine, strict=True)):
            if one != other and None not in (one, other):
                raise DoesNotFit(
                    f"{place}: parameter {at} of group {index} has the shape {tuple(one)} in the commit, in the program"
                    f" {tuple(other)}: other parameters, or in another order",
                    hint=HINT,
                )


def _undo_casts(optimizer: Any, value: Any) -> None:
    """Torch gives what it loads the type of the parameter, and so takes bits from states of another type."""
    for saved, group in zip(value["param_groups"], optimizer.param_groups, strict=True):
        for number, parameter in zip(saved["params"], group["params"], strict=True):
            own = optimizer.state.get(parameter, {})
            for key, thing in value["state"].get(number, {}).items():
                if is_tensor(thing) and is_tensor(own.get(key)) and own[key].dtype != thing.dtype:
                    own[key] = thing.to(own[key].device)


FAMILY: Final = Family(claim=_claim, package="torch")
FITS.extend([(_is_module, _fit_module), (_is_optimizer, _fit_optimizer)])
