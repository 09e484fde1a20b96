"""torch's modules, optimizers and schedulers: what is restored into fresh ones goes on to the bit, or is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from images import image_of, new_writer, newest_image

from goldthread.errors import DoesNotFit
from goldthread.names import Step
from goldthread.state.restore import Poured, pour

pytestmark = [pytest.mark.torch, pytest.mark.filterwarnings("ignore::UserWarning:torch")]
torch = pytest.importorskip("torch", reason="install torch, or run make test-torch")
nn, optim = torch.nn, torch.optim
schedules = optim.lr_scheduler


def poured(stored: object, initial: object = None, **options: Any) -> Poured:
    return pour(image_of({"x": stored}), {"x": initial}, **({"map": False, "pickle": False} | options))


class Net(nn.Module):
    """Tied weights, a parametrization, dropout, running means, and a buffer that is not persistent."""

    def __init__(self) -> None:
        super().__init__()
        self.signs, self.inner = nn.Embedding(10, 8), nn.utils.parametrizations.weight_norm(nn.Linear(8, 8))
        self.rest = nn.Sequential(nn.BatchNorm1d(8), nn.Dropout(0.3))
        self.out = nn.Linear(8, 10, bias=False)
        self.out.weight = self.signs.weight
        self.register_buffer("calls", torch.zeros(1), persistent=False)

    def forward(self, signs: Any) -> Any:
        self.calls += 1
        return self.out(self.rest(self.inner(self.signs(signs)))) + self.calls / 100


Make = Callable[[Any], Any]


def fresh(make_optimizer: Make, make_schedule: Make | None) -> dict[str, Any]:
    net = Net()
    optimizer = make_optimizer(net.parameters())
    state = {"net": net, "optimizer": optimizer, "step": 0, "ema": optim.swa_utils.AveragedModel(net, use_buffers=True)}
    if make_schedule is not None:
        state["schedule"] = make_schedule(optimizer)
    return state


def train(state: dict[str, Any], steps: int, *, update_every: int = 1) -> None:
    net, optimizer = state["net"], state["optimizer"]

    def loss() -> Any:
        value = net(torch.randint(10, (6,))).pow(2).mean()
        value.backward()
        return value

    for _ in range(steps):
        state["step"] += 1
        if isinstance(optimizer, optim.LBFGS):
            optimizer.step(lambda: (optimizer.zero_grad(), loss())[1])
        else:
            loss()
        if state["step"] % update_every == 0:
            optimizer.step() if not isinstance(optimizer, optim.LBFGS) else None
            optimizer.zero_grad()
        state["ema"].update_parameters(net)
        schedule = state.get("schedule")
        if schedule is not None:
            schedule.step(*[1.0] * isinstance(schedule, schedules.ReduceLROnPlateau))


def numbers(state: dict[str, Any]) -> list[Any]:
    return [
        one.detach().clone() for name in ("net", "ema") for one in [*state[name].parameters(), *state[name].buffers()]
    ]


def goes_on_exactly(make: Callable[[], dict[str, Any]], steps: int = 3, update_every: int = 1) -> None:
    """What trains on after a restore into a fresh one has the bits of what was left alone."""
    torch.manual_seed(1)
    state = make()
    train(state, steps, update_every=update_every)
    writer = new_writer()
    writer.write(state, Step(steps), generators=True)
    train(state, 3, update_every=update_every)
    again = make()
    result = pour(newest_image(writer), again, map=False, pickle=False, generators=True)
    assert (result.state is again, result.unknown, result.added, result.dropped, result.bare) == (True, (), (), (), ())
    train(again, 3, update_every=update_every)
    assert all(map(torch.equal, numbers(state), numbers(again)))
    assert again["net"].out.weight is again["net"].signs.weight


def _optimizer(name: str) -> Make:
    return lambda parameters: getattr(optim, name)(parameters, lr=0.01)


_NAMES = ("Adadelta", "Adafactor", "Adagrad", "Adam", "AdamW", "Adamax", "ASGD", "LBFGS", "NAdam", "RAdam", "RMSprop",
          "Rprop", "SGD")  # fmt: skip
OPTIMIZERS: dict[str, Make] = {name: _optimizer(name) for name in _NAMES if hasattr(optim, name)} | {
    "Adam with amsgrad": lambda parameters: optim.Adam(parameters, amsgrad=True),
    "AdamW fused": lambda parameters: optim.AdamW(parameters, fused=True),
    "SGD in groups of any keys": lambda parameters: optim.SGD(
        [{"params": [one], "lr": 0.1 / index, "mine": {"depth": index}} for index, one in enumerate(parameters, 1)],
        momentum=0.9,
    ),
}
SCHEDULES: dict[str, Make] = {
    "step": lambda one: schedules.StepLR(one, 2),
    "lambda": lambda one: schedules.LambdaLR(one, lambda epoch: 0.9**epoch),
    "steps": lambda one: schedules.MultiStepLR(one, [2, 4]),
    "linear": schedules.LinearLR,
    "cosine": lambda one: schedules.CosineAnnealingLR(one, 9),
    "restarts": lambda one: schedules.CosineAnnealingWarmRestarts(one, 3),
    "one cycle": lambda one: schedules.OneCycleLR(one, 0.1, total_steps=50),
    "cycles": lambda one: schedules.CyclicLR(one, 0.01, 0.1, cycle_momentum=False, scale_fn=lambda x: 1 / (1 + x)),
    "plateau": schedules.ReduceLROnPlateau,
    "in turn": lambda one: schedules.SequentialLR(one, [schedules.ConstantLR(one), schedules.LinearLR(one)], [4]),
    "chained": lambda one: schedules.ChainedScheduler([schedules.ConstantLR(one), schedules.LinearLR(one)]),
    "averaging": lambda one: optim.swa_utils.SWALR(one, 0.05),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("steps", [0, 3])
def test_training_goes_on_exactly_with_every_optimizer(name: str, steps: int) -> None:
    """Before its first step and after some."""
    goes_on_exactly(lambda: fresh(OPTIMIZERS[name], None), steps)


@pytest.mark.parametrize("name", SCHEDULES)
def test_training_goes_on_exactly_with_every_schedule(name: str) -> None:
    """Functions that it calls are the program's own; torch leaves them out of its state."""
    goes_on_exactly(lambda: fresh(OPTIMIZERS["SGD"], SCHEDULES[name]))


def test_gradients_that_add_up_over_steps_are_kept() -> None:
    """A commit falls between two backward passes of one update."""
    goes_on_exactly(lambda: fresh(OPTIMIZERS["AdamW"], None), 2, update_every=4)


def test_states_of_another_type_than_their_parameters_keep_it() -> None:
    """Torch would cast them on the way in."""

    def make() -> tuple[Any, Any]:
        net = nn.Linear(2, 2).bfloat16()
        return net, optim.Adam(net.parameters())

    net, optimizer = make()
    net(torch.ones(1, 2, dtype=torch.bfloat16)).sum().backward()
    optimizer.step()
    for state in optimizer.state.values():
        state["exp_avg"] = torch.rand(state["exp_avg"].shape)
    _, again = make()
    poured(optimizer, again)
    for mine, its in zip(optimizer.state.values(), again.state.values(), strict=True):
        assert its["exp_avg"].dtype is torch.float32
        assert torch.equal(mine["exp_avg"], its["exp_avg"])


def test_a_scaler_goes_on_where_it_was() -> None:
    """Its scale and how long it was not changed."""
    scaler, again = (torch.amp.GradScaler("cpu", init_scale=scale) for scale in (8.0, 4.0))
    poured(scaler, again)
    assert again.get_scale() == 8.0


def two_layers() -> Any:
    return nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))


def test_a_module_is_filled_in_place() -> None:
    """Its parameters stay the objects that an optimizer holds, in the memory that they have."""
    module = two_layers()
    before = [(one, one.data_ptr()) for one in module.parameters()]
    poured(stored := two_layers(), module)
    assert all(one is old and one.data_ptr() == at for one, (old, at) in zip(module.parameters(), before, strict=True))
    assert all(map(torch.equal, stored.parameters(), module.parameters()))


def test_which_parameters_are_frozen_and_which_modules_evaluate_comes_back() -> None:
    """It is no part of a state dict."""
    module, again = nn.Sequential(nn.Linear(2, 2), nn.Dropout()), nn.Sequential(nn.Linear(2, 2), nn.Dropout())
    module[0].bias.requires_grad_(False)
    module[1].eval()
    poured(module, again)
    assert [one.requires_grad for one in again.parameters()] == [True, False]
    assert [one.training for one in again.modules()] == [True, True, False]


WRAPPED = {
    "compiled": (torch.compile, "_orig_mod", "torch.compile"),
    "in parallel": (nn.DataParallel, "module", "DataParallel"),
    "averaged": (optim.swa_utils.AveragedModel, "module", "AveragedModel"),
    "a part compiled": (lambda it: nn.Sequential(torch.compile(it[0]), it[1]), "_orig_mod", "torch.compile"),
}


@pytest.mark.parametrize("name", WRAPPED)
@pytest.mark.parametrize("wrapped_then", [True, False])
def test_a_wrapper_of_one_side_only_is_refused_and_named(name: str, wrapped_then: bool) -> None:
    """To go on would be to begin with random weights at an old step. Nothing is changed."""
    wrap, piece, who = WRAPPED[name]
    stored, initial = (wrap(two_layers()), two_layers()) if wrapped_then else (two_layers(), wrap(two_layers()))
    before = [one.clone() for one in initial.parameters()]
    with pytest.raises(DoesNotFit, match=rf'^state\["x"\]: what is .* `{piece}\.` is put there by .*{who}') as refusal:
        poured(stored, initial)
    assert f"model.{piece}" in str(refusal.value.hint)
    assert all(map(torch.equal, before, initial.parameters()))
    assert poured(wrap(two_layers()), wrap(two_layers()))[1:] == ((), (), (), ())


def test_a_module_of_which_nothing_fits_is_refused() -> None:
    """With what both sides have."""
    refusal = r"nothing that the commit has of it fits: the commit has '0.weight', .* the program 'a.weight', 'a.bias';"
    with pytest.raises(DoesNotFit, match=refusal):
        poured(two_layers(), nn.ModuleDict({"a": nn.Linear(2, 3)}))


def test_what_fits_in_part_is_named_and_refused_where_that_is_asked_for() -> None:
    """Keys that only one side has."""
    fewer = poured(two_layers(), nn.Sequential(nn.Linear(2, 3)))
    place = 'state["x"].state_dict()["1.'
    assert fewer.dropped == (f'{place}weight"]', f'{place}bias"]')
    more = poured(nn.Sequential(nn.Linear(2, 3)), two_layers())
    assert more.unknown == (f'{place}weight"]', f'{place}bias"]')
    with pytest.raises(DoesNotFit, match=r"1\.weight.*1\.bias"):
        poured(nn.Sequential(nn.Linear(2, 3)), two_layers(), strict=True)


@pytest.mark.parametrize(
    ("spoil", "refusal"),
    [
        (
            lambda: nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 1)),
            r"\(3, 2\), the program one of torch.float32 \(3, 4\)",
        ),
        (lambda: two_layers().bfloat16(), "the program one of torch.bfloat16"),
        (lambda: two_layers().to("meta"), "on the device meta"),
    ],
)
def test_a_tensor_of_a_module_that_does_not_fit_is_refused_before_anything_is_loaded(spoil: Any, refusal: str) -> None:
    """By its place."""
    with pytest.raises(DoesNotFit, match=rf'^state\["x"\].state_dict\(\)\["0.weight"\]: .*{refusal}'):
        poured(two_layers(), spoil())


def test_weights_that_are_tied_on_one_side_only_are_refused() -> None:
    """One of the two would be lost, or they would be trained apart."""
    apart, tied = (nn.ModuleDict({"a": nn.Linear(2, 2), "b": nn.Linear(2, 2)}) for _ in range(2))
    tied["b"].weight = tied["a"].weight
    with pytest.raises(DoesNotFit, match=r"'a\.weight' and 'b\.weight' are one tensor in the program"):
        poured(apart, tied)
    with pytest.raises(DoesNotFit, match=r"'a\.weight' and 'b\.weight' are one tensor in the commit, and two in"):
        poured(tied, apart)


def lazy() -> Any:
    return nn.Sequential(nn.LazyLinear(3), nn.LazyBatchNorm1d())


def test_lazy_modules_come_back_before_and_after_their_first_use() -> None:
    """A fresh one takes the shapes of the commit; one that has shapes cannot lose them."""
    used = lazy()
    used(torch.ones(2, 5))
    for again in (lazy(), nn.Sequential(nn.Linear(5, 3), nn.BatchNorm1d(3))):
        poured(used, again)
        assert all(map(torch.equal, used.state_dict().values(), again.state_dict().values()))
        again(torch.ones(2, 5))
    unused = lazy()
    poured(lazy(), unused)
    assert torch.nn.parameter.is_lazy(unused[0].weight)
    with pytest.raises(DoesNotFit, match=r"the commit has a tensor in parts \(lazy\)"):
        poured(lazy(), used)


@pytest.mark.parametrize(
    ("other", "refusal"),
    [
        (lambda net: optim.SGD(net.parameters()), "the state of a Adam, the program a SGD"),
        (
            lambda net: optim.Adam([{"params": one.parameters()} for one in net]),
            r"groups of \[4\] parameters, .* \[2, 2\]",
        ),
        (lambda net: optim.Adam(reversed(list(net.parameters()))), r"parameter 0 of group 0 has the shape \(3, 2\)"),
    ],
)
def test_an_optimizer_of_other_parameters_is_refused(other: Any, refusal: str) -> None:
    """It would load them, and fail or err later."""
    with pytest.raises(DoesNotFit, match=refusal):
        poured(optim.Adam(two_layers().parameters()), other(two_layers()))


def test_what_has_no_object_to_load_it_is_named() -> None:
    """What its state dict gave stands there, with what it says of versions, and can be loaded by hand."""
    module = two_layers()
    result = poured({"net": module, "step": 1})
    assert result.bare == ('state["x"]["net"]',)
    again = two_layers()
    again.load_state_dict(result.state["x"]["net"])
    assert all(map(torch.equal, module.parameters(), again.parameters()))
    assert result.state["x"]["net"]._metadata == module.state_dict()._metadata
    with pytest.raises(DoesNotFit, match="no object was given"):
        poured({"net": module, "step": 1}, strict=True)


class Refuses:
    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        raise AssertionError("never")


def test_whatever_an_object_raises_when_it_loads_is_no_bare_error() -> None:
    """It is said what was restored already."""
    with pytest.raises(DoesNotFit, match=r'state\["x"\]: .*Refuses refuses its state: never; the rest is restored'):
        poured(Refuses(), Refuses())
