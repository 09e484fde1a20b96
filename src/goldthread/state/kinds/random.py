"""Generators of random numbers: Python's and NumPy's."""

from __future__ import annotations

import array
import random
from typing import Any, Final

import numpy as np

from goldthread.state.kind import Family, Form, Kind, Store
from goldthread.state.kinds.numpy_bases import fill_randomstate, take_randomstate
from goldthread.state.nodes import Node
from goldthread.state.walk import Refusal, Walk

__all__ = ["FAMILY"]

_BIT_GENERATORS: Final = {kind.__name__: kind for kind in (
    np.random.MT19937, np.random.PCG64, np.random.PCG64DXSM, np.random.Philox, np.random.SFC64
)}  # fmt: skip

_GLOBAL: Final = np.random.random_sample.__self__  # type: ignore[attr-defined]
_GLOBAL_OF_PYTHON: Final = random.random.__self__  # type: ignore[attr-defined]
"""The generators behind the functions of `np.random` and `random`; estimators hold the first."""
_GLOBALS: Final = {"numpy.random": _GLOBAL, "random": _GLOBAL_OF_PYTHON}


def _random(walk: Walk, thing: random.Random) -> None:
    own = vars(thing).keys() - {"gauss_next"}
    if own:
        raise Refusal(
            f"a generator with attributes of the program's own ({', '.join(sorted(own))}) cannot be stored",
            "keep them beside it in the state, or in a subclass",
        )
    if thing is _GLOBAL_OF_PYTHON and _is_global(walk, "random"):
        return
    if walk.enter(thing):
        version, words, gauss = thing.getstate()
        walk.note("random", [version, array.array("I", words).tobytes(), gauss])


def _randomstate(walk: Walk, thing: np.random.RandomState) -> None:
    if thing is _GLOBAL and _is_global(walk, "numpy.random"):
        return
    if walk.enter(thing):
        bits, has_gauss, gauss = take_randomstate(thing)
        walk.atoms.append(("legacy_numbers", 3))
        walk.visit(thing, [".bit_generator", "", ""], [bits, has_gauss, gauss], str, whole=True)


def _is_global(walk: Walk, name: str) -> bool:
    """Note a global generator by its name, where its state travels beside the state of the program."""
    if not walk.has_generators:
        walk.tell(f"the global generator of {name} comes back as one of its own, since join(generators=False) is set")
        return False
    walk.note("global_generator", name)
    return True


def _bit_generator(walk: Walk, thing: Any) -> None:
    if walk.enter(thing):
        _refuse_own(type(thing).__name__, thing)
        _state(walk, "bitgenerator", type(thing).__name__, thing.state, thing.seed_seq)


def _generator(walk: Walk, thing: np.random.Generator) -> None:
    """Its bit generator is an object of its own, which others may use too."""
    if walk.enter(thing):
        bits: Any = thing.bit_generator
        walk.atoms.append(("numbers", 1))
        walk.visit(thing, [".bit_generator"], [bits], str, whole=True)


def _refuse_own(name: str, bits: object) -> None:
    if _BIT_GENERATORS.get(name) is not type(bits):
        raise Refusal(
            f"a bit generator of type {type(bits).__qualname__} cannot be stored",
            "use one of NumPy's own, or goldthread.register(...) with a way to and back",
        )


def _state(walk: Walk, kind: str, bits: str, state: object, seeds: Any) -> None:
    """The state of a bit generator, and its seed sequence, from which `spawn` makes children."""
    walk.atoms.append((kind, bits, 2))
    walk.children([".state", ".seed_seq"], [walk.made(state), seeds], str)


def _seed_sequence(walk: Walk, thing: Any) -> None:
    if walk.enter(thing):
        entropy = thing.entropy
        parts = {
            "entropy": entropy,
            "spawn_key": tuple(thing.spawn_key),
            "pool_size": thing.pool_size,
            "n_children_spawned": thing.n_children_spawned,
        }
        walk.atoms.append(("seeds", 1))
        walk.visit(thing, [""], [walk.made(parts)], str, whole=True)


def _claim(cls: type) -> Store | None:
    return _bit_generator if issubclass(cls, np.random.BitGenerator) else None


# Anew.


def _make_random(rebuilder: Any, node: Node, place: object) -> random.Random:
    made = random.Random()
    made.setstate(_random_state(node))
    return made


def _random_state(node: Node) -> Any:
    version, words, gauss = node.value
    return version, tuple(array.array("I", words)), gauss


def _make_bit_generator(rebuilder: Any, node: Node, place: object) -> Any:
    made: Any = _BIT_GENERATORS[node.details[0]]()
    made.__setstate__(_generator_state(rebuilder, node, place))
    return made


def _generator_state(rebuilder: Any, node: Node, place: object) -> tuple[Any, Any]:
    """The state and the seed sequence, as a bit generator takes them."""
    state, seed = rebuilder.children(node, place)
    return state, np.random.SeedSequence(**seed) if isinstance(seed, dict) else seed


def _make_seeds(rebuilder: Any, node: Node, place: object) -> Any:
    return np.random.SeedSequence(**rebuilder.children(node, place)[0])


def _make_generator(rebuilder: Any, node: Node, place: object) -> Any:
    """As version 0.1 stored it, with the state of its bit generator in it."""
    return np.random.Generator(_make_bit_generator(rebuilder, node, place))


def _make_numbers(rebuilder: Any, node: Node, place: object) -> Any:
    return np.random.Generator(rebuilder.children(node, place)[0])


def _make_legacy_numbers(rebuilder: Any, node: Node, place: object) -> Any:
    bits, has_gauss, gauss = rebuilder.children(node, place)
    made = np.random.RandomState(bits)
    fill_randomstate(made, (bits, has_gauss, gauss))
    return made


def _make_randomstate(rebuilder: Any, node: Node, place: object) -> Any:
    """As version 0.1 stored it, with the state of its bit generator in it."""
    made = np.random.RandomState(_BIT_GENERATORS[node.details[0]]())
    made.set_state(rebuilder.children(node, place)[0])
    return made


# Poured.


def _fit_bits(fitter: Any, node: Node, current: Any, place: object) -> Any:
    bits = current.bit_generator if node.kind.name == "generator" else current
    if type(bits).__name__ != node.details[0]:
        return fitter.make(node, place)
    state = _generator_state(fitter.rebuilder, node, place)
    fitter.noted.append(lambda: bits.__setstate__(state))
    return current


def _fit_numbers(fitter: Any, node: Node, current: Any, place: object) -> Any:
    """The generator stays where its bit generator does."""
    own = current.bit_generator
    poured = fitter.fit(node.expand()[0], own, place)
    return current if poured is own else np.random.Generator(poured)


def _fit_legacy_numbers(fitter: Any, node: Node, current: Any, place: object) -> Any:
    """It stays where its bit generator does."""
    own = current._bit_generator
    child, has_gauss, gauss = node.expand()
    if current is _GLOBAL or fitter.fit(child, own, place) is not own:
        return fitter.make(node, place)
    fitter.noted.append(lambda: fill_randomstate(current, (own, has_gauss, gauss)))
    return current


def _fit_randomstate(fitter: Any, node: Node, current: np.random.RandomState, place: object) -> Any:
    if current is _GLOBAL or current.get_state(legacy=False)["bit_generator"] != node.details[0]:
        return fitter.make(node, place)
    state = fitter.rebuilder.children(node, place)[0]
    fitter.noted.append(lambda: current.set_state(state))
    return current


def _fit_random(fitter: Any, node: Node, current: random.Random, place: object) -> Any:
    if current is _GLOBAL_OF_PYTHON:  # Its state travels beside the state of the program.
        return fitter.make(node, place)
    state = _random_state(node)
    fitter.noted.append(lambda: current.setstate(state))
    return current


def _is_generator(thing: Any) -> bool:
    return type(thing) is np.random.Generator


FAMILY: Final = Family(
    kinds=(
        Kind("random", Form.VALUE, _make_random, suits=lambda thing: type(thing) is random.Random, fit=_fit_random),
        Kind("numbers", Form.CONTAINER, _make_numbers, suits=_is_generator, fit=_fit_numbers, group="generator"),
        Kind("generator", Form.CONTAINER, _make_generator, fit=_fit_bits, group="generator"),
        Kind(
            "bitgenerator",
            Form.CONTAINER,
            _make_bit_generator,
            suits=lambda thing: isinstance(thing, np.random.BitGenerator),
            fit=_fit_bits,
        ),
        Kind(
            "legacy_numbers",
            Form.CONTAINER,
            _make_legacy_numbers,
            suits=lambda thing: type(thing) is np.random.RandomState,
            fit=_fit_legacy_numbers,
            group="randomstate",
        ),
        Kind("randomstate", Form.CONTAINER, _make_randomstate, fit=_fit_randomstate, group="randomstate"),
        Kind("seeds", Form.CONTAINER, _make_seeds),
        Kind("global_generator", Form.VALUE, lambda _, node, __: _GLOBALS[node.value], is_shared=False),
    ),
    stores={
        random.Random: _random,
        np.random.Generator: _generator,
        np.random.RandomState: _randomstate,
        np.random.SeedSequence: _seed_sequence,
    },
    claim=_claim,
)
