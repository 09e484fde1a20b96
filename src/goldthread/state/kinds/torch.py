"""torch: dense tensors and parameters, with the memory that they share.

A tensor is some bytes of a storage, and how its elements lie in them. The bytes are noted as NumPy sees them, so that
tensors over one storage are found as arrays over one memory are (`memory.py`). How they lie is kept, whether
transposed, in channels_last or expanded, since it decides which kernel computes with them and so the last bits of what
comes out (`elements.py`). Conjugation and negation are bits of the tensor, and stay such.

The word of a tensor is ["tensor", dtype, shape, device, requires_grad, class]; where anything is unusual, a dict with
that follows. A tensor that has a gradient or attributes of its own is a "leaf", around a "tensor".
"""

from __future__ import annotations

import functools
import sys
from typing import Any, Final, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np

from goldthread.errors import DoesNotFit
from goldthread.state.fit import HINT
from goldthread.state.kind import Family, Form, Kind
from goldthread.state.kinds.arrays import describe
from goldthread.state.kinds.elements import Array, Lie, array_of, default_strides, lie_of, packed_strides
from goldthread.state.memory import keeps_gaps
from goldthread.state.nodes import Node, Place
from goldthread.state.walk import Refusal, Walk

__all__ = ["FAMILY", "described", "is_lazy", "is_plain", "is_tensor", "needs_torch", "store_tensor"]

_GROWS: Final = f"{HINT}: None, where an array grows"
_HISTORY: Final = (
    "how a tensor was computed (grad_fn), by which gradients flow back to others, is not kept: commit it by detach()"
)
_HOOKS: Final = "hooks of a tensor are not kept: register them again after restore"
_OPAQUE: Final = {1: "uint8", 2: "int16", 4: "int32", 8: "int64"}
"""As what the elements are seen whose type NumPy has no word for."""


def is_tensor(thing: Any) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and hasattr(torch, "Tensor") and isinstance(thing, torch.Tensor)


def is_lazy(thing: Any) -> bool:
    """Whether it is a parameter or buffer whose shape nobody knows yet."""
    lazy = sys.modules.get("torch.nn.parameter")
    return lazy is not None and isinstance(thing, lazy.UninitializedTensorMixin)


def is_plain(thing: Any) -> bool:
    """Whether it is a dense tensor, of no class that does otherwise."""
    torch = sys.modules["torch"]
    if type(thing) not in (torch.Tensor, torch.nn.Parameter) or thing.layout is not torch.strided:
        return False
    return not (thing.is_quantized or thing.is_nested)


def described(thing: Any) -> str:
    """A tensor in words."""
    if is_lazy(thing):
        return "a tensor whose shape is not known yet"
    how = "" if is_plain(thing) else f"{type(thing).__name__}, {thing.layout}, quantized {thing.is_quantized}: "
    shape = "nested" if thing.is_nested else tuple(thing.shape)
    return f"a tensor of {how}{thing.dtype} {shape}"


# The way into a commit.


def store_tensor(walk: Walk, thing: Any) -> None:
    torch = sys.modules["torch"]
    """A dense one, of no class that does otherwise."""
    if any(getattr(thing, "names", ())):  # Of versions before 2.13.
        raise Refusal("a tensor whose dimensions have names cannot be stored", "store it by rename(None)")
    if not walk.enter(thing):
        return
    if thing._backward_hooks or getattr(thing, "_post_accumulate_grad_hooks", None):
        walk.tell(_HOOKS)
    if thing.grad_fn is not None:
        walk.tell(_HISTORY)
    gradient = thing.grad if thing.is_leaf else None
    attributes = vars(thing)
    if gradient is None and not attributes:
        _note(walk, thing, torch)
        return
    walk.atoms.append(("leaf", [None, "grad", None], 3))
    walk.enter(walk.made(thing.detach()))
    _note(walk, thing, torch)
    contents = [gradient, walk.made(dict(attributes)) if attributes else None]
    walk.visit(thing, [".grad", ""], contents, str)


def _note(walk: Walk, thing: Any, torch: Any) -> None:
    shape, strides = tuple(thing.shape), thing.stride()
    is_usual = strides == default_strides(shape)
    word = [_dtype_word(thing.dtype), list(shape), str(thing.device), thing.requires_grad, type(thing).__name__]
    unusual: dict[str, Any] = {} if is_usual else {"strides": list(strides)}
    plain = thing.detach()
    if thing.is_conj() or thing.is_neg():
        unusual |= {name: True for name in ("conj", "neg") if getattr(thing, f"is_{name}")()}
        plain = _physical(thing)
    if thing.is_inference():
        unusual["inference"] = True
    if unusual:
        word.append(unusual)
    count = thing.numel()
    if thing.is_meta or count == 0:
        walk.buffer("tensor", np.zeros(0, np.uint8), *word)
        return
    plain, owner = _on_host(walk, plain, torch)
    walk.owners[len(walk.arrays)] = owner
    lie = Lie(shape, strides, count, False, False) if is_usual else lie_of(shape, strides)
    walk.buffer("tensor", _source(plain, lie, torch), *word)


@functools.cache
def _dtype_word(dtype: Any) -> str:
    return str(dtype).removeprefix("torch.")


def _physical(thing: Any) -> Any:
    """The elements as they lie in memory."""
    plain = thing.detach().conj() if thing.is_conj() else thing.detach()
    return sys.modules["torch"]._neg_view(plain) if plain.is_neg() else plain


_hosts: WeakKeyDictionary[Walk, dict[Any, Any]] = WeakKeyDictionary()
"""By walk and storage: a copy of what lies on a device, made once for all tensors over it."""


def _on_host(walk: Walk, plain: Any, torch: Any) -> tuple[Any, int]:
    """The same tensor in memory that NumPy can read, and a number of that memory."""
    storage = plain.untyped_storage()
    if plain.device.type == "cpu":
        return plain, storage.data_ptr()
    copies = _hosts.setdefault(walk, {})
    key = str(plain.device), storage.data_ptr()
    if key not in copies:
        copies[key] = torch.empty(0, dtype=torch.uint8, device=plain.device).set_(storage).cpu()
    copy = copies[key].untyped_storage()
    again = torch.empty(0, dtype=plain.dtype, device="cpu")
    return again.set_(copy, plain.storage_offset(), plain.shape, plain.stride()), copy.data_ptr()


def _source(plain: Any, lie: Lie, torch: Any) -> Array:
    """What is stored of a tensor on the CPU, as NumPy sees it: a view of its memory."""
    if lie.as_bytes:
        found: Array = plain.as_strided((lie.extent,), (1,)).view(torch.uint8).numpy()
        return found
    view = plain.as_strided(lie.shape, lie.strides)
    opaque = _OPAQUE.get(plain.element_size())
    seen: Array = (view if opaque is None else view.view(getattr(torch, opaque))).numpy()
    return seen


# Anew.


def needs_torch(place: object) -> Any:
    found = sys.modules.get("torch")
    if found is None:
        raise DoesNotFit(f"{place}: it was stored by torch, which is not loaded", hint="import torch first")
    return found


class Word(NamedTuple):
    """What the word of a tensor says."""

    dtype: Any
    shape: list[int]
    device: str
    requires_grad: bool
    kind: str
    unusual: dict[str, Any]

    @property
    def strides(self) -> tuple[int, ...]:
        return tuple(self.unusual.get("strides") or default_strides(self.shape))


def _word_of(node: Node, place: object) -> Word:
    torch = needs_torch(place)
    dtype, shape, device, requires_grad, kind, *rest = node.details[:-2]
    return Word(getattr(torch, dtype), shape, device, requires_grad, kind, rest[0] if rest else {})


def _make_tensor(rebuilder: Any, node: Node, place: object) -> Any:
    word = _word_of(node, place)
    torch = needs_torch(place)
    with torch.inference_mode("inference" in word.unusual):
        made = _made_where_it_was(rebuilder, node, word, place, torch)
        if "conj" in word.unusual:
            made = made.conj()
        if "neg" in word.unusual:
            made = torch._neg_view(made)
    if word.kind == "Parameter":
        return torch.nn.Parameter(made, word.requires_grad)
    return made.requires_grad_(True) if word.requires_grad else made


def _made_where_it_was(rebuilder: Any, node: Node, word: Word, place: object, torch: Any) -> Any:
    if word.device == "meta":
        return torch.empty_strided(word.shape, word.strides, dtype=word.dtype, device="meta")
    if word.device.startswith("cpu"):
        return _made_on_host(rebuilder, node, word, place, torch)
    rebuilder.fill_anew()
    made = _made_on_host(rebuilder, node, word, place, torch)
    rebuilder.fill_anew()
    moved = _moved(rebuilder, made, word.device, place, torch, keep=node.strides is not None)
    return torch.empty(0, dtype=word.dtype, device=word.device).set_(
        moved.untyped_storage(), made.storage_offset(), made.shape, made.stride()
    )


_moves: WeakKeyDictionary[Any, dict[Any, Any]] = WeakKeyDictionary()
"""By rebuilder: where the memory that tensors share is now, by its storage and device; with what keeps the number of
that storage its own."""


def _moved(rebuilder: Any, made: Any, device: str, place: object, torch: Any, *, keep: bool) -> Any:
    """The storage of a tensor on another device, as bytes; kept where other tensors share it."""
    moves = _moves.setdefault(rebuilder, {})
    storage = made.untyped_storage()
    key = storage.data_ptr(), device
    if keep and key in moves:
        return moves[key][0]
    try:
        moved = torch.empty(0, dtype=torch.uint8, device="cpu").set_(storage).to(device)
    except (RuntimeError, AssertionError) as error:
        raise DoesNotFit(f"{place}: the device {device} is not here: {error}", hint="give restore a tensor") from error
    if keep:
        moves[key] = moved, storage
    return moved


def _made_on_host(rebuilder: Any, node: Node, word: Word, place: object, torch: Any) -> Any:
    if node.strides is not None:
        return _made_in_memory(rebuilder, node, word, place, torch)
    lie = lie_of(word.shape, word.strides)
    if rebuilder.map and lie.as_bytes:
        return _view(rebuilder, node, word, place, torch)
    made = torch.empty_strided(word.shape, _strides_anew(word, lie), dtype=word.dtype, device="cpu")
    lie = lie_of(made.shape, made.stride())
    if lie.as_bytes:
        if lie.extent:
            rebuilder.fill_bytes(_source(made, lie, torch), node.details[-2], place, anew=True)
    else:
        raw = rebuilder.raw(node, place)
        made.untyped_storage().fill_(0)  # Not every type can be filled by its own word.
        target = _source(made, lie, torch)
        np.copyto(target, np.frombuffer(raw, target.dtype).reshape(lie.shape))
    return made


def _strides_anew(word: Word, lie: Lie) -> tuple[int, ...]:
    """Without the gaps where those are many times what is in them; the commit has said so."""
    size = word.dtype.itemsize
    if lie.as_bytes or keeps_gaps(lie.extent * size, int(np.prod(lie.shape)) * size):
        return word.strides
    return packed_strides(word.shape, word.strides, lie)


def _made_in_memory(rebuilder: Any, node: Node, word: Word, place: object, torch: Any) -> Any:
    """A part of a memory that others have parts of, too."""
    memory, start = rebuilder.memory(node.details[-2], place)
    moves = _moves.setdefault(rebuilder, {})
    if id(memory) not in moves:
        moves[id(memory)] = torch.from_numpy(memory if memory.flags.writeable else memory.copy()), memory
    whole = moves[id(memory)][0]
    size = word.dtype.itemsize
    if start % size:  # Beside something of smaller elements: its storage begins where it does.
        whole, start = torch.from_numpy(whole.numpy()[start:]), 0
    return torch.empty(0, dtype=word.dtype, device="cpu").set_(
        whole.untyped_storage(), start // size, word.shape, word.strides
    )


def _view(rebuilder: Any, node: Node, word: Word, place: object, torch: Any) -> Any:
    """The elements on the CPU as they lie in the image; a copy where the image cannot be written."""
    lie, at = lie_of(word.shape, word.strides), node.details[-2]
    if lie.extent == 0:
        return torch.empty_strided(word.shape, word.strides, dtype=word.dtype, device="cpu")
    is_packed = node.strides is None and not lie.as_bytes
    count = int(np.prod(lie.shape)) if is_packed else lie.extent
    size = count * word.dtype.itemsize
    rebuilder.verify(at, size, place)
    source = np.frombuffer(rebuilder.payload[at : at + size], np.uint8)
    if not source.flags.writeable:
        source = source.copy()
    strides = packed_strides(word.shape, word.strides, lie) if is_packed else word.strides
    return torch.from_numpy(source).view(word.dtype).as_strided(word.shape, strides)


def _make_leaf(rebuilder: Any, node: Node, place: object) -> Any:
    """The tensor first: its attributes may refer to it."""
    tensor, gradient, attributes = node.expand()
    made = rebuilder.note(node, rebuilder.make(tensor, place))
    made.grad = rebuilder.make(gradient, Place(place, node, "grad"))
    vars(made).update(rebuilder.make(attributes, place) or {})
    return made


# Poured.


def _fit_tensor(fitter: Any, node: Node, current: Any, place: object) -> Any:
    poured = _fit_elements(fitter, node, current, place)
    if poured is current and current.is_leaf and current.grad is not None:
        fitter.noted.append(lambda: setattr(current, "grad", None))
    return poured


def _fit_elements(fitter: Any, node: Node, current: Any, place: object) -> Any:
    """A tensor of the program keeps its device and how its elements lie."""
    torch, word = sys.modules["torch"], _word_of(node, place)
    shape = tuple(word.shape)
    if is_lazy(current):
        return fitter.make(node, place)
    if not is_plain(current) or tuple(current.shape) != shape or current.dtype != word.dtype:
        if is_plain(current) and current.numel() == 0 and 0 not in shape:
            return fitter.make(node, place)
        raise DoesNotFit(
            f"{place}: the commit has a tensor of {describe(word.dtype, shape)}, the program "
            f"{described(current).replace('a tensor of', 'one of')}",
            hint=_GROWS,
        )
    lie = lie_of(shape, current.stride())
    is_fixed = lie.overlaps or current.numel() > max(lie.extent, 1) or current.is_meta or word.device == "meta"
    if is_fixed or not _take(fitter, node, current, lie):
        return fitter.make(node, place)
    _fill(fitter, node, current, lie, place, torch)
    if current.is_leaf and current.requires_grad != word.requires_grad:
        fitter.noted.append(lambda: current.requires_grad_(word.requires_grad))
    return current


def _take(fitter: Any, node: Node, current: Any, lie: Lie) -> bool:
    size, start, owner = current.element_size(), current.data_ptr(), current.untyped_storage().data_ptr()
    strides = [1] if lie.as_bytes else [step * size for step in lie.strides]
    span = start, start + lie.extent * size
    return bool(fitter.take_span(node, node.details[-2], start, span, strides, owner))


def _fill(fitter: Any, node: Node, current: Any, lie: Lie, place: object, torch: Any) -> None:
    """Have the elements of a tensor of the program filled: as bytes where they lie as those of the commit do."""
    word = _word_of(node, place)
    is_alike = tuple(current.stride()) == word.strides and lie.as_bytes and node.strides is None
    is_alike &= current.is_conj() == ("conj" in word.unusual) and current.is_neg() == ("neg" in word.unusual)
    if lie.extent == 0:
        return
    if is_alike and current.device.type == "cpu":
        fitter.rebuilder.fill_bytes(_source(_physical(current), lie, torch), node.details[-2], place)
        return

    def copy() -> None:
        with torch.inference_mode(current.is_inference()), torch.no_grad():
            source = _view(fitter.rebuilder, node, word, place, torch)
            source = source.conj() if "conj" in word.unusual else source
            current.detach().copy_(torch._neg_view(source) if "neg" in word.unusual else source)

    fitter.noted.append(copy)


def _fit_leaf(fitter: Any, node: Node, current: Any, place: object) -> Any:
    tensor, gradient, attributes = node.expand()
    poured = _fit_elements(fitter, tensor, current, place)
    fitter.begin(node, poured)
    fitter.rebuilder.replace(tensor, poured)
    there = Place(place, node, "grad")
    own = poured.grad if poured.is_leaf else None
    made = fitter.fit(gradient, own, there) if own is not None else fitter.make(gradient, there)
    others = fitter.make(attributes, place) or {}

    def finish() -> None:
        poured.grad = made
        vars(poured).update(others)

    fitter.noted.append(finish)
    return poured


FAMILY: Final = Family(
    kinds=(
        Kind(
            "tensor",
            Form.BUFFER,
            _make_tensor,
            suits=is_tensor,
            fit=_fit_tensor,
            group="tensor",
            array=array_of,
            carries=True,
        ),
        Kind("leaf", Form.KEYED, _make_leaf, fit=_fit_leaf, group="tensor", attributes=True),
    ),
)
