"""torch's tensors: each comes back equal, of its type, lying in memory and shared as it was, or is refused."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from images import image_of

from goldthread.errors import CannotStore, DoesNotFit
from goldthread.state.compare import compare
from goldthread.state.export import export
from goldthread.state.kinds.registry import REGISTRY
from goldthread.state.rebuild import Rebuilder
from goldthread.state.restore import pour, read
from goldthread.wire.image import read_header

pytestmark = [
    pytest.mark.torch,
    pytest.mark.filterwarnings(
        "ignore:.*(deprecated|experimental|prototype|beta state|invariant checks).*:UserWarning"
    ),
]
torch = pytest.importorskip("torch", reason="install torch, or run make test-torch")


@pytest.fixture(params=["cpu", "cuda"], autouse=True)
def device(request: pytest.FixtureRequest) -> Iterator[str]:
    """What is made without a word about where is made there."""
    if request.param == "cuda" and not torch.cuda.is_available():
        pytest.skip("torch sees no CUDA device here")
    with torch.device(request.param):
        yield request.param


def poured(stored: object, initial: object, **options: Any) -> Any:
    return pour(image_of({"x": stored}), {"x": initial}, **({"map": False, "pickle": False} | options)).state["x"]


def anew(stored: object, **options: Any) -> Any:
    return read(image_of({"x": stored}), **({"map": False, "pickle": False} | options))["x"]


def bits(tensor: Any) -> bytes:
    return bytes(tensor.detach().cpu().resolve_conj().resolve_neg().contiguous().reshape(-1).view(torch.uint8).numpy())


def facts(tensor: Any) -> tuple[Any, ...]:
    """All of a dense tensor but its bits."""
    own = [getattr(tensor, f"is_{name}")() for name in ("conj", "neg", "inference")]
    place = (tensor.device, tensor.shape, tensor.stride())
    return type(tensor), tensor.dtype, *place, tensor.requires_grad, *own, vars(tensor)


def _dtypes() -> list[Any]:
    """All that torch can make a tensor of here."""
    found = {one for one in vars(torch).values() if isinstance(one, torch.dtype)}
    return sorted((one for one in found if not str(one).startswith("torch.q")), key=str)


@pytest.mark.parametrize("dtype", _dtypes(), ids=str)
def test_every_dtype_comes_back(dtype: Any, tmp_path: Any) -> None:
    """Anew, mapped and in place, and in an export."""
    thing = torch.empty(2, 3, dtype=dtype)
    thing.view(torch.uint8).fill_(1)
    for mapped in (False, True):
        back = anew(thing, map=mapped)
        assert (facts(thing), bits(thing)) == (facts(back), bits(back))
    target = torch.empty(2, 3, dtype=dtype)
    assert poured(thing, target) is target
    assert bits(target) == bits(thing)
    export(image_of(thing), tmp_path / "state.safetensors")


def _inference() -> Any:
    with torch.inference_mode():
        return torch.ones(3)


DENSE: dict[str, Callable[[], Any]] = {
    "no dimension": lambda: torch.tensor(2.5),
    "empty": lambda: torch.zeros(0, 3),
    "empty and turned": lambda: torch.zeros(0, 3).T,
    "turned": lambda: torch.arange(24.0).reshape(2, 3, 4).permute(2, 0, 1),
    "with gaps": lambda: torch.arange(24.0).reshape(2, 3, 4)[:, ::2, 1:3],
    "with gaps, of 16 bytes": lambda: torch.randn(4, 4, dtype=torch.complex128)[::2, ::2],
    "a column of bfloat16": lambda: torch.randn(4, 4).bfloat16()[:, 1],
    "expanded": lambda: torch.ones(3, 1).expand(3, 5),
    "one element, expanded": lambda: torch.tensor(1.0).expand(3, 4),
    "over itself": lambda: torch.arange(10.0).unfold(0, 4, 2),
    "from the middle": lambda: torch.arange(9.0)[3:5],
    "channels last": lambda: torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last),
    "channels last, of one pixel": lambda: torch.randn(4, 3, 1, 1).to(memory_format=torch.channels_last),
    "conjugated": lambda: torch.tensor([1 + 2j, 3 - 1j]).conj(),
    "negated": lambda: torch.tensor([1 + 2j, 3 - 1j]).conj().imag,
    "with gradients": lambda: torch.ones(3, requires_grad=True),
    "parameter": lambda: torch.nn.Parameter(torch.ones(2)),
    "frozen parameter": lambda: torch.nn.Parameter(torch.ones(2), requires_grad=False),
    "buffer": lambda: torch.nn.Buffer(torch.ones(2), persistent=False),
    "inference": _inference,
    "not a number": lambda: torch.tensor([float("nan"), -0.0, float("inf")]),
}


@pytest.mark.parametrize("name", DENSE)
def test_dense_tensors_come_back(name: str) -> None:
    """As they lay in memory; and in place, where the program's lie otherwise, with the same elements."""
    thing = DENSE[name]()
    image = image_of({"x": thing})
    for mapped in (False, True):
        back = read(image, map=mapped, pickle=False)["x"]
        assert (facts(thing), bits(thing)) == (facts(back), bits(back))
    assert not compare(image, image_of({"x": thing})).differences
    for target in (torch.empty_like(thing), torch.zeros(thing.shape, dtype=thing.dtype)):
        given = target.detach()
        assert pour(image, {"x": given}, map=False, pickle=False).state["x"] is given
        assert (bits(thing), thing.requires_grad) == (bits(given), given.requires_grad)


@pytest.mark.parametrize("one", ["conjugated", "negated", "turned", "with gaps"])
def test_a_target_of_any_lie_is_filled(one: str) -> None:
    """A conjugated or strided tensor of the program takes the elements, not the bytes."""
    thing = DENSE[one]()
    target = DENSE[one]().detach()
    plain = thing.resolve_conj().resolve_neg().contiguous().clone()
    target.mul_(0)
    assert poured(plain, target) is target
    assert torch.equal(plain, target)


def test_a_target_that_overlaps_itself_is_replaced() -> None:
    """There is no place for all elements."""
    target = torch.zeros(3, 1).expand(3, 5)
    back = poured(torch.arange(15.0).reshape(3, 5), target)
    assert torch.equal(torch.arange(15.0).reshape(3, 5), back)
    assert target.sum() == 0


def test_a_default_device_of_the_program_is_not_that_of_the_commit() -> None:
    """Tensors come back on the device that they were on, whatever is made new by default."""
    tensors = [torch.arange(6.0, device="cpu"), torch.zeros(0, 3, device="cpu"), torch.Generator("cpu")]
    image = image_of({"x": tensors})
    with torch.device("meta"):
        back = read(image, map=False, pickle=False)["x"]
    assert [str(one.device) for one in back] == ["cpu"] * len(tensors)
    assert torch.equal(tensors[0], back[0])


def test_meta_tensors_are_their_shape() -> None:
    """Nothing is stored of what is not there."""
    thing = torch.empty(3, 4, dtype=torch.float16, device="meta").T
    assert facts(thing) == facts(anew(thing))


def test_gradients_and_attributes_of_a_tensor_come_back() -> None:
    """An attribute may refer to the tensor; gradients of the program are filled in place, or taken away."""
    thing = torch.ones(3, requires_grad=True)
    (2 * thing).sum().backward()
    thing.tag = "first"
    thing.me = [thing]
    back, again = anew([thing, thing])
    assert back is again
    assert (back.tag, back.me[0] is back, back.grad.tolist()) == ("first", True, [2.0] * 3)
    target = torch.zeros(3, requires_grad=True)
    target.grad = gradient = torch.zeros(3)
    assert poured(thing, target) is target
    assert target.grad is gradient
    assert (target.tolist(), gradient.tolist(), target.tag) == ([1.0] * 3, [2.0] * 3, "first")
    assert poured(torch.ones(3), target).grad is None


@pytest.mark.parametrize("spoil", ["history", "hook"])
def test_what_of_a_tensor_is_not_kept_is_said(spoil: str) -> None:
    """How it was computed, and hooks."""
    thing = torch.ones(3, requires_grad=True)
    if spoil == "hook":
        thing.register_hook(lambda gradient: gradient)
    with pytest.warns(UserWarning, match=r'^state\["x"\]: .*(grad_fn|hooks).* not kept'):
        image_of({"x": thing if spoil == "hook" else 2 * thing})


# Memory.


@st.composite
def views(draw: st.DrawFn) -> Callable[[Any], Any]:
    """A part of one memory of 24 floats, in some order."""
    step, start = draw(st.integers(1, 3)), draw(st.integers(0, 5))
    form = draw(st.sampled_from([(24,), (4, 6), (2, 3, 4), (6, 4)]))
    axes = draw(st.permutations(range(len(form))))
    width = draw(st.sampled_from(["same", "uint8", "expand"]))

    def view(memory: Any) -> Any:
        found = memory.view(form).permute(axes)[start % form[axes[0]] :: step]
        if width == "uint8" and found.is_contiguous():
            return found.view(torch.uint8)
        return found.unsqueeze(0).expand(2, *found.shape) if width == "expand" else found

    return view


@given(st.lists(views(), min_size=1, max_size=5), st.booleans(), st.booleans())
@settings(max_examples=150, deadline=None)
def test_tensors_over_one_memory_stay_over_one_memory(chosen: list[Any], whole: bool, mapped: bool) -> None:
    """Whoever wrote into one of them saw it in the others, and sees it again."""

    def state() -> list[Any]:
        memory = torch.arange(24.0)
        return [view(memory) for view in chosen] + [memory] * whole

    expected = state()
    back = read(image_of({"x": expected}), map=mapped, pickle=False)["x"]
    for mine, its in zip(expected, back, strict=True):
        assert (mine.shape, mine.stride(), bits(mine)) == (its.shape, its.stride(), bits(its))
    for mine, its in zip(expected, back, strict=True):
        if 0 not in mine.stride() and mine.numel():
            mine.fill_(1 if mine.dtype is torch.uint8 else 7.0)
            its.fill_(1 if mine.dtype is torch.uint8 else 7.0)
    assert list(map(bits, expected)) == list(map(bits, back))


def test_views_of_the_program_are_filled_where_they_share_alike() -> None:
    """Where it shares otherwise than the commit, the commit's sharing stands."""
    memory = torch.arange(12.0)
    image = image_of({"a": memory, "b": memory[3:7], "c": memory.view(3, 4).T})
    own = torch.zeros(12)
    alike = pour(image, {"a": own, "b": own[3:7], "c": own.view(3, 4).T}, map=False, pickle=False).state
    assert alike["a"] is own
    assert torch.equal(own, memory)
    apart = pour(image, {"a": torch.zeros(12), "b": torch.zeros(4), "c": own.view(3, 4).T}, map=False, pickle=False)
    apart.state["a"].fill_(9.0)
    assert apart.state["b"].tolist() == [9.0] * 4
    assert torch.equal(own, memory)
    together = pour(image_of([memory, torch.ones(4)]), [own, own[3:7]], map=False, pickle=False).state
    assert [memory.tolist(), [1.0] * 4] == [one.tolist() for one in together]


def test_an_array_and_a_tensor_over_it_share(device: str) -> None:
    """In both directions."""
    if device != "cpu":
        pytest.skip("NumPy has no memory there")
    array = np.arange(6.0)
    tensor = torch.arange(6.0)
    state = {"array": array, "over": torch.from_numpy(array[2:]), "tensor": tensor, "seen": tensor.numpy()[::2]}
    back = anew(state)
    back["array"].fill(5)
    back["tensor"].fill_(6)
    assert (back["over"].tolist(), back["seen"].tolist()) == ([5.0] * 4, [6.0] * 3)


# By parts.

PARTS: dict[str, Callable[[], Any]] = {
    "coo": lambda: torch.sparse_coo_tensor(torch.tensor([[0, 1, 1], [2, 0, 0]]), torch.tensor([3.0, 4.0, 5.0]), (2, 3)),
    "coo, coalesced": lambda: torch.eye(3).to_sparse(),
    "coo, with gradients": lambda: torch.eye(3).to_sparse().requires_grad_(),
    "csr": lambda: torch.eye(3).to_sparse_csr(),
    "csc": lambda: torch.eye(3).to_sparse_csc(),
    "bsr": lambda: torch.eye(4).to_sparse_bsr((2, 2)),
    "bsc": lambda: torch.eye(4).to_sparse_bsc((2, 2)),
    "quantized": lambda: torch.quantize_per_tensor(torch.arange(6.0).reshape(2, 3), 0.1, 2, torch.quint8),
    "quantized by channels": lambda: torch.quantize_per_channel(
        torch.arange(6.0).reshape(2, 3), torch.tensor([0.1, 0.2]), torch.tensor([0, 1]), 0, torch.qint8
    ),
    "nested": lambda: torch.nested.nested_tensor([torch.ones(2, 3), torch.zeros(4, 3)]),
    "jagged": lambda: torch.nested.nested_tensor([torch.ones(2, 3), torch.zeros(4, 3)], layout=torch.jagged),
}


def dense_parts(thing: Any) -> list[Any]:
    """What can be compared of a tensor that is none."""
    if thing.is_nested:
        return [*map(bits, thing.detach().unbind())]
    if thing.is_quantized:
        return [bits(thing.int_repr()), thing.qscheme(), bits(thing.dequantize())]
    if thing.layout is torch.sparse_coo:
        return [bits(thing._indices()), bits(thing._values()), thing.is_coalesced()]
    return [bits(thing.values()), bits(thing.to_dense())]


@pytest.mark.parametrize("name", PARTS)
def test_other_tensors_come_back_by_their_parts(name: str) -> None:
    """And are refused where the program has a dense one."""
    try:
        thing = PARTS[name]()
    except (RuntimeError, NotImplementedError) as error:
        pytest.skip(f"torch does not make one here: {error}")
    for back in (anew(thing), poured(thing, PARTS[name]())):
        assert (type(thing), thing.dtype, thing.layout, thing.requires_grad, dense_parts(thing)) == (
            type(back), back.dtype, back.layout, back.requires_grad, dense_parts(back),
        )  # fmt: skip
    with pytest.raises(DoesNotFit, match=r'^state\["x"\]: the commit has a tensor in parts'):
        poured(thing, torch.ones(3))
    with pytest.raises(DoesNotFit, match=r'^state\["x"\]: the commit has a tensor of torch.float32 \(3,\), the prog'):
        poured(torch.ones(3), PARTS[name]())


@pytest.mark.parametrize(
    "make",
    [
        lambda: torch.masked.masked_tensor(torch.ones(2), torch.tensor([True, False])),
        lambda: torch.empty(2, dtype=torch.quint8, device="cpu"),
        lambda: torch.ones(3, device="cpu").to_mkldnn(),
        lambda: torch.ones(3).as_subclass(type("Own", (torch.Tensor,), {})),
        lambda: torch.utils.data.DataLoader([1, 2]),
        lambda: iter(torch.utils.data.DataLoader([1, 2])),
    ],
)
def test_what_cannot_come_back_is_refused_with_a_way_out(make: Callable[[], Any]) -> None:
    """At the commit, by its place."""
    with pytest.raises(CannotStore, match=r'^state\["x"\]: ') as refusal:
        image_of({"x": make()})
    assert refusal.value.hint


def test_words_of_torch_come_back() -> None:
    """Types, layouts, devices, sizes."""
    words = [torch.float32, torch.strided, torch.channels_last, torch.device("cuda:1"), torch.Size([2, 3])]
    assert words == anew(words)
    assert list(map(type, words)) == list(map(type, anew(words)))


def test_generators_are_set_in_place(device: str) -> None:
    """They go on where they stood, with the seed that they were given; the global one is the global one again."""
    own = torch.Generator(device).manual_seed(5)
    torch.rand(3, generator=own)
    image = image_of({"own": own, "same": own})
    expected = torch.rand(3, generator=own)
    given = torch.Generator(device)
    state = pour(image, {"own": given}, map=False, pickle=False).state
    assert state["own"] is given is state["same"]
    assert (torch.equal(expected, torch.rand(3, generator=given)), given.initial_seed()) == (True, 5)
    assert torch.equal(expected, torch.rand(3, generator=read(image, map=False, pickle=False)["own"]))
    assert anew(torch.default_generator) is torch.default_generator


def test_shapes_dtypes_and_devices_that_are_not_here_are_refused() -> None:
    """By what both sides have."""
    for mine, its in itertools.permutations([torch.ones(2), torch.ones(3), torch.ones(2, dtype=torch.float64)], 2):
        with pytest.raises(DoesNotFit, match=r'^state\["x"\]: the commit has a tensor of .*, the program one of torch'):
            poured(mine, its)
    image = image_of(torch.ones(2))
    header = read_header(image)
    assert header is not None
    rebuilder = Rebuilder(image, header, REGISTRY, map=False)
    node = rebuilder.root.expand()[0]
    node.details[2] = "xpu"
    with pytest.raises(DoesNotFit, match=r"^there: the device xpu is not here"):
        rebuilder.make(node, "there")
