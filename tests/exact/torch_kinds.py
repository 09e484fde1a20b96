"""Kinds of torch, drawn where a test asks for them (`draw(seed, libraries=("torch",))`), how they are changed before
something is poured into them, and how they are compared.
"""

from __future__ import annotations

import random
from functools import partial
from typing import Any

import classes
import numpy as np
import torch
from kinds import Make, kind
from perturb import CHANGES
from tensor_deep import enter_torch, storage_of

__all__ = ["NOT_YET", "OF_LIBRARY", "ONLY_POURED"]

enter_torch()
OF_LIBRARY: dict[str, Make] = {}
ONLY_POURED = {"torch: module and optimizer"}
"""Without one in the initial state, what their `state_dict` gave stands there."""
NOT_YET = {"torch: tensor and array over a bytearray"}
"""What is wrong today, and drawn by name only; a test says so until it is right."""
_kind = partial(kind, into=OF_LIBRARY)
_SHAPES = ((), (1,), (5,), (0,), (2, 3), (0, 3), (3, 0, 2), (2, 3, 4), (40, 7), (1, 1, 1))
_DTYPES = sorted(
    {one for one in vars(torch).values() if isinstance(one, torch.dtype) and not str(one).startswith("torch.q")},
    key=str,
)
"""All that torch has, also complex ones, bfloat16, and those of 8 and 4 bits."""
_NUMBERS = [
    one
    for one in _DTYPES
    if "uint" not in str(one) and "bits" not in str(one) and one.itemsize > 1 and one is not torch.complex32
]
_FLOATS = (torch.float32, torch.float64, torch.float16, torch.bfloat16)


def filled(draw: Any, shape: tuple[int, ...], dtype: Any) -> Any:
    """A tensor whose bits are drawn."""
    made = torch.empty(shape, dtype=dtype)
    raw = storage_of(made)
    raw[:] = np.frombuffer(draw.rng.randbytes(raw.nbytes), np.uint8)
    if dtype is torch.bool:
        raw &= 1
    return made


def some(draw: Any, *shape: int) -> Any:
    return filled(draw, shape, draw.rng.choice(_NUMBERS))


@_kind("torch: tensor")
def _tensor(draw: Any) -> Any:
    return filled(draw, draw.rng.choice(_SHAPES), draw.rng.choice(_DTYPES))


@_kind("torch: tensor laid out otherwise")
def _strided(draw: Any) -> Any:
    cube = some(draw, 2, 3, 4)
    views = (
        cube.permute(2, 0, 1),
        cube.transpose(1, 2),
        cube[:, ::2, 1:3],
        cube[0, 0].expand(3, 4),
        cube[:1, :1, :1].expand(2, 3, 4),
        cube.reshape(-1)[3:5],
        cube.reshape(-1).unfold(0, 4, 2),
        cube[..., 1],
        cube[:, :0].transpose(0, 2),
        cube.as_strided((1, 4), (7, 1)),
        cube.mT.contiguous().mT,
    )
    return draw.rng.choice(views)


@_kind("torch: channels_last")
def _channels_last(draw: Any) -> Any:
    shape = draw.rng.choice(((2, 3, 4, 5), (4, 3, 1, 1), (1, 1, 3, 3), (2, 1, 2, 2), (0, 3, 2, 2), (2, 3, 2, 2, 2)))
    form = torch.channels_last if len(shape) == 4 else torch.channels_last_3d
    return some(draw, *shape).to(memory_format=form)


@_kind("torch: conjugated or negated")
def _conjugated(draw: Any) -> Any:
    made = filled(draw, (3, 2), draw.rng.choice((torch.complex64, torch.complex128)))
    return draw.rng.choice(
        (made.conj(), made.conj().imag, made.imag, made.conj()[1:], made.mH, torch.view_as_real(made))
    )


@_kind("torch: with requires_grad")
def _needs_gradient(draw: Any) -> Any:
    made = filled(draw, draw.rng.choice(_SHAPES), draw.rng.choice(_FLOATS))
    made.requires_grad_()
    if draw.rng.random() < 0.6:
        made.grad = filled(draw, tuple(made.shape), made.dtype)
    return made


@_kind("torch: parameter or buffer")
def _parameter(draw: Any) -> Any:
    plain = filled(draw, draw.rng.choice(_SHAPES), draw.rng.choice(_FLOATS))
    made = draw.rng.choice(
        (
            lambda: torch.nn.Parameter(plain),
            lambda: torch.nn.Parameter(plain, requires_grad=False),
            lambda: torch.nn.Parameter(plain.mT) if plain.dim() > 1 else torch.nn.Parameter(plain),
        )
    )()
    if made.requires_grad and draw.rng.random() < 0.4:
        made.grad = (
            torch.zeros_like(made.detach()) if draw.rng.random() < 0.5 else filled(draw, tuple(made.shape), made.dtype)
        )
    return made


@_kind("torch: tensor with attributes")
def _attributed(draw: Any) -> Any:
    made = draw.opened(some(draw, 3))
    draw.dress(made)
    if draw.rng.random() < 0.3:
        made.itself = [made]
    return made


@_kind("torch: tensors over one storage")
def _shared(draw: Any) -> Any:
    whole = filled(draw, (24,), draw.rng.choice((torch.float32, torch.int32, torch.float64)))
    views = [
        whole,
        whole[3:9],
        whole[12:],
        whole[:12],
        whole.view(4, 6).T,
        whole[::3],
        whole.detach(),
        whole.view(torch.uint8)[8:30],
        whole.view(2, 12)[:, 2:5],
        whole.view(torch.int16)[2:11],
        whole.view(3, 8),
    ]
    chosen = draw.rng.sample(views, draw.rng.randint(2, 5))
    if whole.is_floating_point() and draw.rng.random() < 0.3:
        chosen.append(torch.nn.Parameter(whole[1:7]))
    return chosen if draw.rng.random() < 0.7 else {f"part {at}": (one,) for at, one in enumerate(chosen)}


@_kind("torch: two halves of one storage")
def _halves(draw: Any) -> Any:
    whole = some(draw, 8, 4)
    return [
        *draw.rng.choice(((whole[:4], whole[4:]), (whole[::2], whole[1::2]), whole.chunk(3), (whole[:2], whole[5:])))
    ]


@_kind("torch: tensor and array over one memory")
def _with_numpy(draw: Any) -> Any:
    return _over(draw, np.frombuffer(draw.rng.randbytes(96), draw.rng.choice(("f4", "i8", "c8", "u1"))).copy())


@_kind("torch: tensor and array over a bytearray")
def _with_bytearray(draw: Any) -> Any:
    return _over(draw, np.frombuffer(bytearray(draw.rng.randbytes(96)), draw.rng.choice(("f4", "i8", "c8", "u1"))))


@_kind("torch: bits laid out otherwise")
def _strided_bits(draw: Any) -> Any:
    return filled(draw, (3, 4), draw.rng.choice((torch.bits16, torch.bits8)))[:, ::2]


def _over(draw: Any, array: Any) -> Any:
    both = draw.rng.choice(
        (
            lambda: [array, torch.from_numpy(array)],
            lambda: [torch.from_numpy(array), array],
            lambda: [array[2:], torch.from_numpy(array)[4:8]],
            lambda: [torch.from_numpy(array)[::2], array[1:5], array],
            lambda: [array.reshape(2, -1).T, torch.from_numpy(array), torch.from_numpy(array)[1:]],
        )
    )
    return both()


@_kind("torch: one tensor in two places")
def _twice(draw: Any) -> Any:
    made = some(draw, 2, 2)
    return [made, {"again": made}, (made, draw.child())]


@_kind("torch: sparse COO")
def _coo(draw: Any) -> Any:
    count, dtype = draw.rng.randint(0, 5), draw.rng.choice((*_FLOATS, torch.int64, torch.complex64, torch.bool))
    places = torch.tensor([[draw.rng.randint(0, 3), draw.rng.randint(0, 2)] for _ in range(count)], dtype=torch.int64)
    values = filled(draw, (count, *draw.rng.choice(((), (2,), (0,)))), dtype)
    made = torch.sparse_coo_tensor(
        places.reshape(count, 2).T, values, (4, 3, *values.shape[1:]), check_invariants=False
    )
    if draw.rng.random() < 0.3 and dtype in _FLOATS[:2] and values.numel():
        made = made.coalesce()
    if draw.rng.random() < 0.3 and dtype in _FLOATS:
        made.requires_grad_()
    return made


@_kind("torch: sparse CSR and such")
def _compressed(draw: Any) -> Any:
    dense = torch.tensor([[draw.rng.choice((0, 0, 1, 2.5)) for _ in range(4)] for _ in range(4)])
    make = draw.rng.choice(("to_sparse_csr", "to_sparse_csc", "to_sparse_bsr", "to_sparse_bsc"))
    return getattr(dense, make)(*(((2, 2),) if "bs" in make else ()))


@_kind("torch: quantized")
def _quantized(draw: Any) -> Any:
    dtype = draw.rng.choice((torch.quint8, torch.qint8, torch.qint32))
    plain = torch.tensor([draw.rng.gauss(0, 1) for _ in range(6)]).reshape(draw.rng.choice(((6,), (2, 3))))
    return torch.quantize_per_tensor(plain, draw.rng.choice((0.1, 0.25)), draw.rng.randint(0, 3), dtype)


@_kind("torch: nested")
def _nested(draw: Any) -> Any:
    layout = draw.rng.choice((torch.strided, torch.jagged))
    parts = [torch.tensor([[draw.rng.gauss(0, 1)] * 2] * draw.rng.randint(1, 3)) for _ in range(draw.rng.randint(1, 3))]
    return torch.nested.nested_tensor(parts, layout=layout)


@_kind("torch: meta")
def _meta(draw: Any) -> Any:
    return torch.empty(draw.rng.choice(_SHAPES), dtype=draw.rng.choice(_DTYPES), device="meta")


@_kind("torch: of inference")
def _inference(draw: Any) -> Any:
    with torch.inference_mode():
        return some(draw, 3) if draw.rng.random() < 0.6 else some(draw, 3, 2).T


@_kind("torch: generator")
def _generator(draw: Any) -> Any:
    made = torch.Generator().manual_seed(draw.rng.getrandbits(60))
    for _ in range(draw.rng.randint(0, 3)):
        torch.randn(draw.rng.choice((1, 3, 700)), generator=made)
    return made


@_kind("torch: dtype")
def _dtype(draw: Any) -> Any:
    return draw.rng.choice((*_DTYPES, torch.qint8))


@_kind("torch: layout or memory format")
def _word(draw: Any) -> Any:
    return draw.rng.choice((torch.strided, torch.sparse_coo, torch.channels_last, torch.preserve_format))


@_kind("torch: size")
def _size(draw: Any) -> Any:
    return torch.Size(draw.rng.randint(0, 2**40) for _ in range(draw.rng.randint(0, 4)))


@_kind("torch: device")
def _device(draw: Any) -> Any:
    return torch.device(draw.rng.choice(("cpu", "meta", "cuda", "cuda:1", "cpu:0")))


@_kind("torch: module and optimizer")
def _training(draw: Any) -> Any:
    """After some steps whose gradients are drawn, so that nothing depends on a kernel."""
    rng = draw.rng
    layers = [torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4), torch.nn.Dropout(), torch.nn.Linear(4, 2, bias=False)]
    model = torch.nn.Sequential(*layers[: rng.randint(1, 4)])
    for tensor in (*model.parameters(), *model.buffers()):
        storage_of(tensor)[:] = _moderate(rng, tensor)
    if rng.random() < 0.3:
        model.register_buffer("transient", some(draw, 3), persistent=False)
    optimizer = rng.choice(
        (
            lambda: torch.optim.SGD(model.parameters(), 0.1, momentum=0.9),
            lambda: torch.optim.SGD([{"params": [one], "lr": 0.1} for one in model.parameters()]),
            lambda: torch.optim.Adam(model.parameters(), 1e-3, amsgrad=True),
            lambda: torch.optim.AdamW(model.parameters(), 1e-2),
        )
    )()
    for _ in range(rng.randint(0, 2)):
        for parameter in model.parameters():
            parameter.grad = torch.zeros_like(parameter)
            storage_of(parameter.grad)[:] = _moderate(rng, parameter)
        optimizer.step()
    if rng.random() < 0.5:
        optimizer.zero_grad()
    next(model.parameters()).requires_grad_(rng.random() < 0.7)
    rng.choice([*model]).eval()
    made = classes.Thing()
    made.optimizer, made.model = optimizer, model  # type: ignore[attr-defined]
    return made


def _moderate(rng: random.Random, like: Any) -> Any:
    """The bytes of numbers that a step can compute with."""
    numbers = torch.tensor([rng.uniform(0.1, 1) for _ in range(like.numel())], dtype=torch.float64).to(like.dtype)
    return storage_of(numbers)[: like.numel() * like.element_size()]


# What a program has otherwise.


def _change(thing: Any, rng: random.Random) -> list[Any]:
    """The elements become zero, with all others of their storage, whatever refers to it."""
    if thing.is_meta or thing.is_nested:
        return []
    plain = thing.detach()
    if thing.layout is torch.strided:
        storage_of(plain)[:] = 0
    elif thing.layout is torch.sparse_coo:
        storage_of(plain._values())[:] = 0
    else:
        storage_of(plain.values())[:] = 0
    is_free = thing.is_leaf and (thing.is_floating_point() or thing.is_complex()) and not thing.is_inference()
    gradient = thing.grad if is_free else None
    if is_free and thing.layout is torch.strided and not thing.is_quantized and rng.random() < 0.3:
        thing.requires_grad_(not thing.requires_grad)
    if gradient is not None and rng.random() < 0.3:
        thing.grad = None
    return [gradient, *vars(thing).values()]


def _change_module(module: Any, rng: random.Random) -> list[Any]:
    for tensor in module.parameters():
        _change(tensor, rng)
    for tensor in module.buffers():
        storage_of(tensor)[:] = 0
    module.train(rng.random() < 0.5)
    return []


def _change_optimizer(optimizer: Any, rng: random.Random) -> list[Any]:
    for group in optimizer.param_groups:
        group["lr"] *= 2
    if rng.random() < 0.5:
        optimizer.state.clear()
    return [tensor for known in optimizer.state.values() for tensor in known.values() if tensor is not None]


def _go_on(generator: Any, rng: random.Random) -> list[Any]:
    torch.rand(3, generator=generator)
    return []


CHANGES.update(dict.fromkeys((torch.Tensor, torch.nn.Parameter), _change))
CHANGES.update(dict.fromkeys((torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW), _change_optimizer))
CHANGES.update({torch.nn.Sequential: _change_module, torch.Generator: _go_on})
