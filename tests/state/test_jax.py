"""JAX: arrays as they were, where they were; keys. On four simulated devices."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from images import image_of, round_trip
from jax_arrays import fact, facts, load_jax, poured

from goldthread.errors import CannotStore, DoesNotFit
from goldthread.state.compare import compare
from goldthread.state.export import export
from goldthread.state.kinds.registry import REGISTRY
from goldthread.state.restore import pour
from goldthread.wire.image import read_header

pytestmark = pytest.mark.torch


@pytest.fixture
def jax() -> Any:
    return load_jax()


def mesh_of(jax: Any, **options: Any) -> Any:
    return jax.sharding.Mesh(np.array(jax.devices()[:4]).reshape(2, 2), ("x", "y"), **options)


def spread(jax: Any, *parts: Any, **options: Any) -> Any:
    return jax.sharding.NamedSharding(mesh_of(jax), jax.sharding.PartitionSpec(*parts), **options)


def free(jax: Any) -> dict[str, Any]:
    """Arrays that JAX may place."""
    jnp = jax.numpy
    bits = np.array([0x7FC00001, 0xFFC12345, 0x80000000], np.uint32)
    with jax.default_device(jax.devices()[3]):
        elsewhere = jnp.asarray(2.5)
    names = "bfloat16", "float8_e4m3fn", "float8_e5m2", "float8_e8m0fnu", "float4_e2m1fn", "int4", "uint4", "int2"
    return {
        "scalar": jnp.asarray(3, "int32"),
        "weak": jnp.asarray(2.5),
        "weak int": jnp.asarray(2),
        "weak vector": jnp.broadcast_to(jnp.asarray(2.5), (3,)),
        "elsewhere": elsewhere,
        "one": jnp.ones((1,)),
        "nothing": jnp.zeros((0, 3)),
        "bits": jnp.asarray(bits.view(np.float32)),
        "truth": jnp.asarray([True, False]),
        "complex": jnp.asarray([1j, 2]),
        **{name: jnp.asarray(np.arange(4), dtype=name) for name in names},
    }


def bound(jax: Any) -> dict[str, Any]:
    """Arrays that stay where they are."""
    jnp, put = jax.numpy, jax.device_put
    whole = jnp.arange(16.0).reshape(4, 4)
    explicit = mesh_of(jax, axis_types=(jax.sharding.AxisType.Explicit,) * 2)
    return {
        "device": put(jnp.arange(4), jax.devices()[2]),
        "weak": put(jnp.asarray(2.5), jax.devices()[1]),
        "host": put(whole, jax.sharding.SingleDeviceSharding(jax.devices()[1], memory_kind="pinned_host")),
        "everywhere": put(whole, spread(jax)),
        "both": put(whole, spread(jax, "x", "y")),
        "one axis": put(whole, spread(jax, ("x", "y"))),
        "second": put(whole, spread(jax, None, "y")),
        "weak spread": put(jnp.broadcast_to(jnp.asarray(2.5), (4,)), spread(jax, "x")),
        "host spread": put(whole, spread(jax, "x", memory_kind="pinned_host")),
        "nothing": put(jnp.zeros((0, 4)), spread(jax, None, "x")),
        "explicit": put(whole, jax.sharding.NamedSharding(explicit, jax.sharding.PartitionSpec("x"))),
        "small": put(jnp.asarray([1, 2, 3, 4], "int4"), spread(jax, "x")),
    }


def keys(jax: Any) -> dict[str, Any]:
    many = jax.random.split(jax.random.key(3), 4)
    return {
        "one": jax.random.key(2),
        "many": jax.random.split(jax.random.key(3), (4, 2)),
        "rbg": jax.random.key(2, impl="rbg"),
        "raw": jax.random.PRNGKey(3),
        "spread": jax.device_put(many, spread(jax, "x")),
        "bound": jax.device_put(jax.random.key(1), jax.devices()[3]),
    }


def blank(jax: Any, leaf: Any) -> Any:
    """An array of the same form in the same place, but another."""
    if jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        other = jax.random.wrap_key_data(
            np.zeros_like(jax.random.key_data(leaf)), impl=jax.random.key_impl(leaf)
        )  # fmt: skip
    else:
        other = jax.device_put(np.zeros(leaf.shape, leaf.dtype))
    return jax.device_put(other, leaf.sharding) if leaf._committed else other


@pytest.mark.parametrize("kind", [free, bound, keys])
def test_arrays_come_back_as_they_were_and_where(jax: Any, kind: Callable[[Any], Any]) -> None:
    """Shape, type, weak type, bits, and whether they are bound: made anew, and in the place of the program's."""
    state = kind(jax)
    assert facts(jax, state) == facts(jax, round_trip(state))
    found = poured(state, jax.tree.map(lambda leaf: blank(jax, leaf), state))
    assert facts(jax, state) == facts(jax, found.state)
    assert not found.unknown and not found.added and not found.dropped


def test_a_weak_type_promotes_as_before(jax: Any) -> None:
    """What is weak gives way to another type, what is not does not."""
    half = jax.numpy.ones(2, "bfloat16")
    for state in (jax.numpy.asarray(2.5), jax.numpy.float32(2.5), jax.numpy.broadcast_to(jax.numpy.asarray(2.5), (2,))):
        assert (state + half).dtype == (round_trip(state) + half).dtype


def test_one_array_in_two_places_is_one(jax: Any) -> None:
    state = [jax.numpy.arange(3.0)] * 2 + [jax.device_put(jax.numpy.arange(4.0), spread(jax, "x"))] * 2
    back = round_trip(state)
    assert back[0] is back[1] and back[2] is back[3]
    back = pour(image_of(state), [blank(jax, leaf) for leaf in state], map=False, pickle=False).state
    assert back[0] is back[1] and back[2] is back[3]


def test_spread_arrays_are_not_gathered(jax: Any) -> None:
    """Each part has bytes of its own, once, however many devices have it."""
    array = jax.device_put(jax.numpy.arange(1 << 16, dtype="float32").reshape(256, 256), spread(jax, "x"))
    header = read_header(image_of(array))
    assert header is not None and array.nbytes <= header.payload_bytes < 1.5 * array.nbytes
    assert array._npy_value is None


def test_the_program_says_where_bound_arrays_go(jax: Any) -> None:
    """Other parts, another device, all of it: whatever its own arrays say; and a description of one will do."""
    whole = jax.numpy.arange(16.0).reshape(4, 4)
    state = jax.device_put(whole, spread(jax, "x", "y"))
    wishes = [jax.sharding.SingleDeviceSharding(jax.devices()[1]), spread(jax, "y", "x"), spread(jax), spread(jax, "x")]
    for wish in wishes:
        for mine in (jax.device_put(whole * 0, wish), jax.ShapeDtypeStruct(whole.shape, whole.dtype, sharding=wish)):
            back = pour(image_of([state]), [mine], map=False, pickle=False).state[0]
            assert fact(jax, jax.device_put(whole, wish)) == fact(jax, back)


def test_what_became_bound_goes_back_there(jax: Any) -> None:
    """A program that begins with free arrays, or NumPy's, and binds them in its first step."""
    state = jax.device_put(jax.numpy.arange(4.0), spread(jax, "x"))
    for mine in (jax.numpy.zeros(4), np.zeros(4, np.float32), None, 0):
        assert fact(jax, state) == fact(jax, pour(image_of([state]), [mine], map=False, pickle=False).state[0])


def test_free_and_bound_still_go_together(jax: Any) -> None:
    """A step over spread and free arrays runs in the next life as it ran in the last."""
    step = jax.jit(lambda weights, bias: weights + bias)
    state = [jax.device_put(jax.numpy.arange(8.0), spread(jax, "x")), jax.numpy.ones(8)]
    for back in (round_trip(state), pour(image_of(state), list(state), map=False, pickle=False).state):
        assert fact(jax, step(*state)) == fact(jax, step(*back))


ELSEWHERE = """
import sys
import jax
from goldthread.errors import DoesNotFit
from goldthread.state.compare import compare
from goldthread.state.export import export
from goldthread.state.kinds.registry import REGISTRY
from goldthread.state.restore import pour

def restore(initial):
    with open(sys.argv[1], "rb") as file:
        return pour(memoryview(bytearray(file.read())), initial, map=False, pickle=False).state

assert len(jax.devices()) == 1
free = jax.numpy.zeros(())
for kind, array in {"device": jax.numpy.zeros(4), "spread": jax.numpy.zeros((4, 4))}.items():
    try:
        restore({"free": free, "device": jax.numpy.zeros(4), "spread": jax.numpy.zeros((4, 4))} | {kind: None})
    except DoesNotFit as error:
        print(error, "|", error.hint)
    bound = jax.device_put(array, jax.devices()[0])
    back = restore({"free": free, "device": jax.numpy.zeros(4), "spread": jax.numpy.zeros((4, 4))} | {kind: bound})
    print(back["free"], back["free"]._committed, back[kind].ravel().tolist(), back[kind]._committed)
"""


def test_devices_that_are_not_here_are_named(jax: Any, tmp_path: Path) -> None:
    """And the program's own place is taken instead; what is free goes anywhere."""
    with jax.default_device(jax.devices()[2]):
        one = jax.numpy.asarray(1.5)
    line, square = jax.numpy.arange(4.0), jax.numpy.arange(16.0).reshape(4, 4)
    state = {
        "free": one,
        "device": jax.device_put(line, jax.devices()[3]),
        "spread": jax.device_put(square, spread(jax, "x", "y")),
    }
    (tmp_path / "image").write_bytes(image_of(state))
    environment = {**os.environ, "XLA_FLAGS": "", "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, "-c", ELSEWHERE, str(tmp_path / "image")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    said = done.stdout.splitlines()
    assert (
        said[0].startswith('state["device"]: it was stored as an array on the device cpu:3') and "sharding" in said[0]
    )
    assert said[1] == f"1.5 False {line.tolist()} True"
    assert said[2].startswith('state["spread"]: it was stored as an array on the device cpu:')
    assert said[3] == f"1.5 False {square.ravel().tolist()} True"


class Old:
    """An array of version 0.1, which wrote (1,) for what has no dimensions, and nothing of the place."""


def test_arrays_of_version_0_1_are_read(jax: Any) -> None:
    """As the program has them, where it has any."""

    def store(walk: Any, thing: Any) -> None:
        if walk.enter(thing):
            walk.buffer("jax", np.full(1, 2.5, "f4").view("u1"), "float32", [1], False)

    REGISTRY.stores[Old] = store
    image = image_of([Old()])
    assert fact(jax, jax.numpy.full((1,), 2.5, "f4")) == fact(jax, pour(image, None, map=False, pickle=False).state[0])
    mine = jax.device_put(jax.numpy.zeros(()), jax.devices()[1])
    expected = jax.device_put(np.float32(2.5), jax.devices()[1])
    assert fact(jax, expected) == fact(jax, pour(image, [mine], map=False, pickle=False).state[0])
    assert not pour(image, [jax.numpy.zeros(1)], map=False, pickle=False).state[0]._committed


def test_spread_arrays_are_exported_whole(jax: Any, tmp_path: Path) -> None:
    """And compared part by part."""
    array = jax.numpy.arange(16.0).reshape(4, 4)
    state = {"spread": jax.device_put(array, spread(jax, "x", "y")), "key": jax.random.key(1)}
    path, _ = export(image_of(state), tmp_path / "state")
    assert np.array_equal(array, pytest.importorskip("safetensors.numpy").load_file(path)["spread"])
    other = state | {"spread": jax.device_put(array.at[2, 1].set(0), spread(jax, "x", "y"))}
    assert not compare(image_of(state), image_of(state)).differences
    found = compare(image_of(state), image_of(other)).differences
    assert len(found) == 1 and "spread" in str(found[0])


def test_what_does_not_fit_is_refused(jax: Any) -> None:
    """Another shape, another type, and a type that JAX would silently narrow."""
    image = image_of([jax.numpy.arange(4.0)])
    for mine in (jax.numpy.zeros(3), jax.numpy.zeros(4, "int32")):
        with pytest.raises(DoesNotFit, match=r"state\[0\]: the commit has an array of float32 \(4,\), the program"):
            pour(image, [mine], map=False, pickle=False)
    with pytest.raises(DoesNotFit, match=r"the commit has an array of float32 \(4,\), the program a list"):
        pour(image, [[]], map=False, pickle=False)
    with jax.enable_x64(True):
        wide = image_of([jax.numpy.arange(4.0)])
        assert round_trip([jax.numpy.arange(4.0)])[0].dtype == "float64"
    with pytest.raises(DoesNotFit, match="float64, of which jax makes one of float32") as refused:
        pour(wide, None, map=False, pickle=False)
    assert "jax_enable_x64" in (refused.value.hint or "")


def test_what_has_no_value_is_refused_with_its_place(jax: Any) -> None:
    """An array that was donated, and one that is being traced."""
    gone = jax.numpy.ones(3)
    gone.delete()
    with pytest.raises(CannotStore, match=r'state\["x"\]\[0\]: this array was deleted'):
        image_of({"x": [gone]})

    def commit(x: Any) -> Any:
        image_of({"x": [x]})
        return x

    for transform in (jax.jit, jax.grad, lambda f: jax.vmap(f)):
        with pytest.raises(CannotStore, match=r'state\["x"\]\[0\]: an array that is being traced'):
            transform(commit)(jax.numpy.ones(2) if transform not in (jax.jit, jax.grad) else 1.0)


def test_types_of_numbers_are_found_by_name(jax: Any) -> None:
    assert round_trip([jax.numpy.bfloat16, jax.numpy.float32]) == [jax.numpy.bfloat16, jax.numpy.float32]


def test_what_may_be_written_into_stays_the_programs_own(jax: Any) -> None:
    state, mine = jax.new_ref(jax.numpy.arange(3.0)), jax.new_ref(jax.numpy.zeros(3))
    back = pour(image_of([state, state]), [mine, mine], map=False, pickle=False).state
    assert back[0] is mine and back[1] is mine
    assert fact(jax, state[...]) == fact(jax, mine[...]) == fact(jax, round_trip(state)[...])


def test_arrays_of_numpy_and_jax_take_each_others_place(jax: Any) -> None:
    """What a step turned from one into the other is what it was at the commit."""
    back = pour(image_of([np.arange(3.0, dtype="f4")]), [jax.numpy.zeros(3)], map=False, pickle=False).state[0]
    assert type(back) is np.ndarray and back.tolist() == [0, 1, 2]
