"""What is built on JAX: pytrees of the program, optax, flax, Grain, Orbax."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from images import image_of, round_trip
from jax_arrays import facts, load_jax, poured

from goldthread.errors import CannotStore, DoesNotFit
from goldthread.program.writer import InexactWarning
from goldthread.state.restore import pour

pytestmark = pytest.mark.torch


@pytest.fixture
def jax() -> Any:
    return load_jax()


class Plain:
    """A pytree of the program's own."""

    def __init__(self, weight: Any) -> None:
        self.weight = weight


def test_own_pytrees_and_chex(jax: Any) -> None:
    chex = pytest.importorskip("chex")
    jax.tree_util.register_pytree_node(
        Plain, lambda plain: ((plain.weight,), None), lambda _, parts: Plain(*parts)
    )  # fmt: skip
    state = [Plain(jax.numpy.arange(3.0)), Boxes.chex(chex)(weight=jax.numpy.arange(2), count=4)]
    mine = [Plain(jax.numpy.zeros(3)), Boxes.chex(chex)(weight=jax.numpy.zeros(2, "int32"), count=0)]
    assert facts(jax, state) == facts(jax, round_trip(state)) == facts(jax, poured(state, mine).state)


class Boxes:
    """Classes that need a library, made once and found by their names."""

    @staticmethod
    def chex(chex: Any) -> Any:
        if "ChexBox" not in globals():
            globals()["ChexBox"] = chex.dataclass(
                type("ChexBox", (), {"__annotations__": {"weight": Any, "count": int}, "__module__": __name__})
            )
        return globals()["ChexBox"]

    @staticmethod
    def struct(struct: Any) -> Any:
        if "StructBox" not in globals():
            fields = {
                "__annotations__": {"weight": Any, "size": int, "call": Any},
                "size": struct.field(pytree_node=False),
                "call": struct.field(pytree_node=False),
                "__module__": __name__,
            }
            globals()["StructBox"] = struct.dataclass(type("StructBox", (), fields))
        return globals()["StructBox"]


OPTIMIZERS: dict[str, Callable[[Any, Any], Any]] = {
    "adam": lambda optax, jax: optax.adam(1e-3),
    "schedule": lambda optax, jax: optax.chain(optax.clip(1.0), optax.adamw(optax.cosine_decay_schedule(1.0, 10))),
    "steps": lambda optax, jax: optax.MultiSteps(optax.sgd(0.1, momentum=0.9), 3),
    "hyperparams": lambda optax, jax: optax.inject_hyperparams(optax.adam)(1e-3),
    "masked": lambda optax, jax: optax.masked(optax.adam(1e-3), {"w": True, "b": False}),
    "parts": lambda optax, jax: optax.partition({"a": optax.adam(1.0), "b": optax.sgd(1.0)}, {"w": "a", "b": "b"}),
    "noise": lambda optax, jax: optax.add_noise(0.1, 0.1, jax.random.key(3)),
    "finite": lambda optax, jax: optax.apply_if_finite(optax.adam(1.0), 3),
    "factored": lambda optax, jax: optax.adafactor(1e-3),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_states_of_optax_come_back(jax: Any, name: str) -> None:
    """In any nesting, without a word of the program; and the next update is the same."""
    optax = pytest.importorskip("optax")
    params = {"w": jax.numpy.ones((2, 3)), "b": jax.numpy.ones(2)}
    optimizer = OPTIMIZERS[name](optax, jax)
    _, state = optimizer.update(params, optimizer.init(params), params)
    for back in (round_trip(state), poured(state, optimizer.init(params)).state):
        assert facts(jax, state) == facts(jax, back)
        assert facts(jax, optimizer.update(params, state, params)) == facts(jax, optimizer.update(params, back, params))


def twin(x: Any) -> Any:
    return 2 * x


def test_fields_that_are_code_stay_the_programs_own(jax: Any) -> None:
    """What is plain among the fields without data is stored; code that has a name is found by it; all else stays."""
    struct = pytest.importorskip("flax.struct")
    box = Boxes.struct(struct)
    state, mine = box(jax.numpy.ones(2), 3, twin), box(jax.numpy.zeros(2), 1, None)
    assert facts(jax, state) == facts(jax, round_trip(state)) == facts(jax, poured(state, mine).state)
    state, mine = box(jax.numpy.ones(2), 3, jax.nn.relu), box(jax.numpy.zeros(2), 1, jax.nn.relu)
    found = poured(state, mine)
    assert facts(jax, state) == facts(jax, found.state) and not found.unknown
    found = poured(state, box(jax.numpy.zeros(2), 1, jax.nn.gelu))
    assert found.unknown == ("state.call",) and found.state.call is jax.nn.gelu
    with pytest.warns(InexactWarning, match="comes back only into what is given"):
        image = image_of(state)
    with pytest.raises(DoesNotFit, match=r"state.call: it is code of the program"):
        pour(image, None, map=False, pickle=False)
    with pytest.raises(CannotStore, match=r"state.call\[1\]"):
        image_of(box(jax.numpy.ones(2), 3, (jax.numpy.ones(2), lambda x: x)))


def test_a_training_with_linen_goes_on(jax: Any) -> None:
    """A TrainState holds a method and an optimizer, which are the program's; steps give the same as without a death."""
    optax, linen = pytest.importorskip("optax"), pytest.importorskip("flax.linen")
    from flax.training.train_state import TrainState

    def begin(seed: int) -> Any:
        model = linen.Sequential([linen.Dense(5), linen.relu, linen.Dense(3)])
        params = model.init(jax.random.key(seed), jax.numpy.ones((1, 2)))["params"]
        return {"train": TrainState.create(apply_fn=model.apply, params=params, tx=optax.adam(1e-2)), "model": model}

    @jax.jit
    def step(train: Any) -> Any:
        loss = lambda params: (train.apply_fn({"params": params}, jax.numpy.ones((4, 2))) ** 2).sum()  # noqa: E731
        return train.apply_gradients(grads=jax.grad(loss)(train.params))

    state, mine = begin(0), begin(1)
    state["train"] = step(step(state["train"]))
    back = poured(state, mine)
    assert not back.unknown and back.state["model"] is mine["model"]
    one, other = back.state["train"], state["train"]
    assert one.tx is mine["train"].tx and one.apply_fn == mine["train"].apply_fn
    parts = [(train.step, train.params, train.opt_state) for train in (one, other, step(one), step(other))]
    assert facts(jax, parts[0]) == facts(jax, parts[1]) and facts(jax, parts[2]) == facts(jax, parts[3])
    with pytest.raises(CannotStore, match="bound to its variables"):
        image_of(mine["model"].bind({"params": one.params}))


def test_frozen_dicts_come_back_frozen(jax: Any) -> None:
    """Without the hash that they remember, and without a change of the one that the program has."""
    core = pytest.importorskip("flax.core")
    state = core.freeze({"a": {"b": jax.numpy.ones(2)}, "c": jax.numpy.zeros(())})
    mine = core.freeze({"a": {"b": jax.numpy.zeros(2)}, "c": jax.numpy.ones(())})
    for back in (round_trip(state), poured(state, mine).state):
        assert type(back) is core.FrozenDict and facts(jax, state) == facts(jax, back) and back._hash is None
    assert mine["c"] == 1 and mine["a"]["b"].tolist() == [0, 0]


def module_of(nnx: Any) -> Any:
    class Net(nnx.Module):  # type: ignore[misc,name-defined]
        def __init__(self, rngs: Any) -> None:
            self.first = nnx.Linear(2, 3, rngs=rngs)
            self.norm = nnx.BatchNorm(3, rngs=rngs)
            self.drop = nnx.Dropout(0.5, rngs=rngs)
            self.last = nnx.List([nnx.Linear(3, 2, rngs=rngs)])
            self.scale = nnx.Dict(x=nnx.Param(nnx.initializers.ones(rngs(), (2,))))
            self.tied = self.first
            self.calls = 0

        def __call__(self, x: Any) -> Any:
            return self.last[0](self.drop(self.norm(nnx.relu(self.first(x))))) * self.scale["x"]

    return Net


def test_a_training_with_nnx_goes_on(jax: Any) -> None:
    """Modules, optimizers and random streams stay the program's, and take everything that changes in them."""
    optax, nnx = pytest.importorskip("optax"), pytest.importorskip("flax.nnx")
    net = module_of(nnx)

    def begin(seed: int) -> Any:
        model = net(nnx.Rngs(seed))
        return {"model": model, "tx": nnx.Optimizer(model, optax.adam(1e-2), wrt=nnx.Param), "rngs": nnx.Rngs(seed)}

    @nnx.jit
    def update(model: Any, tx: Any, x: Any) -> None:
        tx.update(model, nnx.grad(lambda model: (model(x) ** 2).sum())(model))

    def go_on(state: Any) -> Any:
        for _ in range(3):
            update(state["model"], state["tx"], jax.random.normal(state["rngs"](), (4, 2)))
            state["model"].calls += 1
        return facts(jax, [jax.tree.leaves(nnx.state(part)) for part in state.values()])[0], state["model"].calls

    state, mine = begin(0), begin(7)
    go_on(state)
    found = poured(state, mine)
    assert found.state["model"] is mine["model"] and mine["model"].tied is mine["model"].first
    assert not found.unknown and not found.added and not found.dropped
    assert go_on(state) == go_on(mine)
    assert mine["model"].calls == 6


def test_states_and_variables_of_nnx_come_back(jax: Any) -> None:
    """Without a module they are data; a module without one given is refused."""
    nnx = pytest.importorskip("flax.nnx")
    model = module_of(nnx)(nnx.Rngs(0))
    for state in (nnx.state(model), nnx.to_pure_dict(nnx.state(model)), nnx.Param(jax.numpy.ones(2), note="a")):
        assert facts(jax, state) == facts(jax, round_trip(state))
    mine = nnx.state(module_of(nnx)(nnx.Rngs(1)))
    assert facts(jax, nnx.state(model)) == facts(jax, poured(nnx.state(model), mine).state)
    with pytest.warns(InexactWarning, match=r'state\["model"\]: it holds code'):
        image = image_of({"model": model})
    with pytest.raises(DoesNotFit, match=r'state\["model"\]: a module'):
        pour(image, None, map=False, pickle=False)


# Iterators.


class Numbers:
    """A source of data that has the same name in each process."""

    def __len__(self) -> int:
        return 10

    def __getitem__(self, index: Any) -> int:
        return int(index)

    def __repr__(self) -> str:
        return "Numbers()"


class Nameless(Numbers):
    __repr__ = object.__repr__


def test_iterators_of_grain_go_on_where_they_were(jax: Any) -> None:
    """The program's own iterator is put there; one whose position would be refused in the next life is refused now."""
    grain = pytest.importorskip("grain.python")

    def loader(source: Any) -> Any:
        sampler = grain.IndexSampler(10, shard_options=grain.NoSharding(), shuffle=True, seed=1, num_epochs=1)
        return iter(grain.DataLoader(data_source=source, sampler=sampler, worker_count=0))

    def dataset() -> Any:
        return iter(grain.MapDataset.source(Numbers()).shuffle(seed=1).to_iter_dataset())

    state, mine = [loader(Numbers()), dataset()], [loader(Numbers()), dataset()]
    for one in state:
        next(one), next(one)
    back = poured(state, mine).state
    assert back[0] is mine[0] and back[1] is mine[1]
    assert [list(one) for one in state] == [list(one) for one in back]
    with pytest.raises(CannotStore, match="names an object by its address"):
        image_of([loader(Nameless())])
    with pytest.raises(CannotStore, match="has no position"):
        image_of([grain.MapDataset.source(Numbers())])


def test_managers_of_orbax_are_no_state(jax: Any, tmp_path: Any) -> None:
    checkpoint = pytest.importorskip("orbax.checkpoint")
    with checkpoint.CheckpointManager(tmp_path) as manager, pytest.raises(CannotStore, match="not state"):
        image_of({"manager": manager})
