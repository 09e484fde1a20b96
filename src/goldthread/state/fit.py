"""The first pass of a restore: a commit and the program's state side by side, and what is to be done where.

Each `_fit_...` answers what shall stand at a place, given what the commit and the program have there; it changes
nothing, and notes what the second pass is to do.
"""

from __future__ import annotations

import array
import dataclasses
import random
import sys
from collections import deque
from collections.abc import Callable
from typing import Any, Final

import numpy as np

from goldthread.errors import DoesNotFit
from goldthread.state.leaves import class_path
from goldthread.state.nodes import DICTS, Node, form_place
from goldthread.state.rebuild import (
    Rebuilder,
    build_named,
    fill_tensor,
    generator_state,
    random_state,
    tensor_view,
)

__all__ = ["Pourer"]

_HINT: Final = (
    "`goldthread rollback NAME --step S` goes back to an older commit, `--fresh` starts over; or give restore what fits"
)
_HINT_OF_SHAPES: Final = f"{_HINT}: None, where an array grows"


class Pourer:
    """The first pass, and what it notes for the second."""

    def __init__(self, rebuilder: Rebuilder) -> None:
        self.rebuilder = rebuilder
        self.noted: list[Callable[[], object]] = []
        self.unknown: list[str] = []
        self.added: list[str] = []
        self.dropped: list[str] = []
        self._used: set[int] = set()
        """Ids of the program's objects that take something already: none takes two."""

    def pour(self, node: Node, current: Any, place: str) -> Any:
        """What stands at `place` after the restore."""
        if node.kind == "value":
            return node.value
        fit = _FITS.get(node.kind)
        family = None if fit is None else _family(current)
        if fit is None or family is None or id(current) in self._used:
            return self.rebuilder.make(node, place)
        if family != node.kind and not (family in DICTS and node.kind in DICTS):
            its, mine = _article(_kind_in_words(node)), _article(type(current).__name__)
            raise DoesNotFit(f"{place}: the commit has {its}, the program {mine}", hint=_HINT)
        poured = fit(self, node, current, place)
        if poured is current:
            self._used.add(id(current))
        if node.number >= 0:
            self.rebuilder.made[node.number] = poured
        return poured

    def fields(self, node: Node, current: dict[Any, Any], place: str) -> dict[Any, Any]:
        """The contents of a container with names: those of the commit in its order, then what it does not know.

        A dict takes every key of the commit; an object has the fields that its class has.
        """
        contents = {}
        for key, child in zip(node.keys, node.children, strict=True):
            there = place + form_place(node.kind, key)
            if key in current:
                contents[key] = self.pour(child, current[key], there)
            elif node.kind in DICTS:
                self.added.append(there)
                contents[key] = self.rebuilder.make(child, there)
            else:
                self.dropped.append(there)
        for key, value in current.items():
            if key not in contents:
                self.unknown.append(place + form_place(node.kind, key))
                contents[key] = value
        return contents

    def items(self, node: Node, current: Any, place: str) -> list[Any]:
        """The contents of a sequence, each poured into what stands there where there are as many."""
        if len(current) != len(node.children):
            return self.rebuilder.children(node, place)
        return [
            self.pour(child, item, place + form_place(node.kind, index))
            for index, (child, item) in enumerate(zip(node.children, current, strict=True))
        ]


def _fit_dict(pourer: Pourer, node: Node, current: dict[Any, Any], place: str) -> Any:
    contents = pourer.fields(node, current, place)

    def finish() -> None:
        current.clear()
        for key, value in contents.items():
            current[key] = value

    pourer.noted.append(finish)
    return current


def _fit_list(pourer: Pourer, node: Node, current: list[Any], place: str) -> Any:
    items = pourer.items(node, current, place)
    pourer.noted.append(lambda: current.__setitem__(slice(None), items))
    return current


def _fit_tuple(pourer: Pourer, node: Node, current: tuple[Any, ...], place: str) -> Any:
    return tuple(pourer.items(node, current, place))


def _fit_deque(pourer: Pourer, node: Node, current: deque[Any], place: str) -> Any:
    items = pourer.items(node, current, place)
    if current.maxlen != node.details[0]:
        return deque(items, node.details[0])

    def finish() -> None:
        current.clear()
        current.extend(items)

    pourer.noted.append(finish)
    return current


def _fit_set(pourer: Pourer, node: Node, current: set[Any], place: str) -> Any:
    items = pourer.rebuilder.children(node, place)

    def finish() -> None:
        current.clear()
        current.update(items)

    pourer.noted.append(finish)
    return current


def _fit_named(pourer: Pourer, node: Node, current: Any, place: str) -> Any:
    """A dataclass or named tuple: its class is the program's, if the name is the same."""
    kind = type(current)
    stored = node.details[0]
    if stored.partition(":")[2] != kind.__qualname__:
        raise DoesNotFit(
            f"{place}: the commit has a {stored.partition(':')[2]}, the program a {kind.__qualname__}", hint=_HINT
        )
    names = current._fields if node.kind == "namedtuple" else [field.name for field in dataclasses.fields(current)]
    present = {name: getattr(current, name) for name in names if hasattr(current, name)}
    contents = pourer.fields(node, present, place)
    if node.kind == "namedtuple" or kind.__dataclass_params__.frozen:
        return build_named(kind, list(contents), list(contents.values()))

    def finish() -> None:
        for name, value in contents.items():
            object.__setattr__(current, name, value)

    pourer.noted.append(finish)
    return current


def _fit_array(pourer: Pourer, node: Node, current: np.ndarray[Any, Any], place: str) -> Any:
    stored = pourer.rebuilder.view(node)
    if current.size == 0 and stored.size != 0:
        return pourer.rebuilder.make(node, place)
    if current.shape != stored.shape or current.dtype != stored.dtype:
        raise DoesNotFit(
            f"{place}: the commit has an array of {_words(stored.dtype, stored.shape)}, "
            f"the program one of {_words(current.dtype, current.shape)}",
            hint=_HINT_OF_SHAPES,
        )
    if pourer.rebuilder.map or not current.flags.writeable:
        return pourer.rebuilder.make(node, place)
    pourer.rebuilder.fill_array(current, node, place)
    return current


def _fit_tensor(pourer: Pourer, node: Node, current: Any, place: str) -> Any:
    torch = sys.modules["torch"]
    dtype, shape = getattr(torch, node.details[0]), tuple(node.details[1])
    if current.numel() == 0 and 0 not in shape:
        return pourer.rebuilder.make(node, place)
    if tuple(current.shape) != shape or current.dtype != dtype:
        raise DoesNotFit(
            f"{place}: the commit has a tensor of {_words(dtype, shape)}, "
            f"the program one of {_words(current.dtype, tuple(current.shape))}",
            hint=_HINT_OF_SHAPES,
        )
    plain = current.detach()
    if plain.device.type == "cpu" and plain.is_contiguous():
        fill_tensor(pourer.rebuilder, plain, node, place)
    else:
        pourer.noted.append(lambda: plain.copy_(tensor_view(pourer.rebuilder, node, place)))
    return current


def _fit_jax(pourer: Pourer, node: Node, current: Any, place: str) -> Any:
    made = pourer.rebuilder.make(node, place)
    if made.shape != current.shape or made.dtype != current.dtype:
        raise DoesNotFit(
            f"{place}: the commit has an array of {_words(made.dtype, made.shape)}, "
            f"the program one of {_words(current.dtype, current.shape)}",
            hint=_HINT_OF_SHAPES,
        )
    return sys.modules["jax"].device_put(made, current.sharding)


def _fit_stateful(pourer: Pourer, node: Node, current: Any, place: str) -> Any:
    child, there = node.children[0], place + form_place("stateful", 0)
    torch = sys.modules.get("torch")
    if torch is not None and hasattr(torch, "nn") and isinstance(current, torch.nn.Module) and child.kind in DICTS:
        value = _module_state(pourer, child, current, there)
    else:
        value = pourer.rebuilder.make(child, there)

    def load() -> None:
        try:
            current.load_state_dict(value)
        except (RuntimeError, ValueError, KeyError, TypeError) as error:
            text = f"{place}: {class_path(type(current))} refuses its state: {error}; the rest is restored already"
            raise DoesNotFit(text, hint=_HINT) from error

    pourer.noted.append(load)
    return current


def _module_state(pourer: Pourer, node: Node, module: Any, place: str) -> dict[str, Any]:
    """What a torch module is to load: what the commit has of it, else what it holds itself.

    It is compared with the module beforehand, since a module that refuses has loaded a part already.
    """
    present = module.state_dict()
    state = {}
    for key, child in zip(node.keys, node.children, strict=True):
        there = place + form_place("dict", key)
        if key not in present:
            pourer.dropped.append(there)
            continue
        state[key] = pourer.rebuilder.make(child, there)
        mine, its = getattr(present[key], "shape", None), getattr(state[key], "shape", None)
        if mine != its:
            raise DoesNotFit(f"{there}: the commit has a tensor of shape {its}, the program of {mine}", hint=_HINT)
    for key, value in present.items():
        if key not in state:
            pourer.unknown.append(place + form_place("dict", key))
            state[key] = value
    return state


def _fit_generator(pourer: Pourer, node: Node, current: Any, place: str) -> Any:
    bits = current.bit_generator if node.kind == "generator" else current
    if type(bits).__name__ != node.details[0]:
        return pourer.rebuilder.make(node, place)
    state = generator_state(pourer.rebuilder, node, place)
    pourer.noted.append(lambda: bits.__setstate__(state))
    return current


def _fit_randomstate(pourer: Pourer, node: Node, current: np.random.RandomState, place: str) -> Any:
    if current.get_state(legacy=False)["bit_generator"] != node.details[0]:
        return pourer.rebuilder.make(node, place)
    state = pourer.rebuilder.children(node, place)[0]
    pourer.noted.append(lambda: current.set_state(state))
    return current


def _fit_random(pourer: Pourer, node: Node, current: random.Random, place: str) -> Any:
    state = random_state(node)
    pourer.noted.append(lambda: current.setstate(state))
    return current


def _fit_bytes(pourer: Pourer, node: Node, current: Any, place: str) -> Any:
    """A bytearray or an array.array, which can be given new contents whole."""
    made = pourer.rebuilder.make(node, place)
    if isinstance(current, array.array) and current.typecode != made.typecode:
        return made
    pourer.noted.append(lambda: current.__setitem__(slice(None), made))
    return current


def _fit_buffer(pourer: Pourer, node: Node, current: Any, place: str) -> Any:
    raw = pourer.rebuilder.raw(node, place)
    view = memoryview(current)
    if view.readonly or not view.c_contiguous or view.nbytes != len(raw):
        return pourer.rebuilder.make(node, place)
    if len(raw):
        pourer.noted.append(lambda: view.cast("B").__setitem__(slice(None), raw))
    return current


_FITS: Final[dict[str, Callable[[Pourer, Node, Any, str], Any]]] = {
    **dict.fromkeys(DICTS, _fit_dict),
    "list": _fit_list,
    "tuple": _fit_tuple,
    "deque": _fit_deque,
    "set": _fit_set,
    "dataclass": _fit_named,
    "namedtuple": _fit_named,
    "array": _fit_array,
    "tensor": _fit_tensor,
    "jax": _fit_jax,
    "stateful": _fit_stateful,
    "generator": _fit_generator,
    "bitgenerator": _fit_generator,
    "randomstate": _fit_randomstate,
    "random": _fit_random,
    "bytearray": _fit_bytes,
    "pyarray": _fit_bytes,
    "buffer": _fit_buffer,
}


def _family(thing: Any) -> str | None:
    """The kind of node that a program's object would be; None for what is replaced whatever it is."""
    kind = type(thing)
    torch, jax = sys.modules.get("torch"), sys.modules.get("jax")
    rules = (
        (kind.__name__ in DICTS and isinstance(thing, dict), kind.__name__),
        (kind in (list, set, deque, bytearray), kind.__name__),
        (isinstance(thing, tuple), "namedtuple" if hasattr(thing, "_fields") else "tuple"),
        (isinstance(thing, np.ndarray), "array"),
        (torch is not None and hasattr(torch, "Tensor") and isinstance(thing, torch.Tensor), "tensor"),
        (jax is not None and hasattr(jax, "Array") and isinstance(thing, jax.Array), "jax"),
        (isinstance(thing, np.random.Generator), "generator"),
        (isinstance(thing, np.random.BitGenerator), "bitgenerator"),
        (isinstance(thing, np.random.RandomState), "randomstate"),
        (isinstance(thing, random.Random), "random"),
        (isinstance(thing, array.array), "pyarray"),
        (hasattr(thing, "state_dict") and hasattr(thing, "load_state_dict"), "stateful"),
        (dataclasses.is_dataclass(kind), "dataclass"),
        (isinstance(thing, memoryview), "buffer"),
    )
    return next((family for holds, family in rules if holds), None)


def _kind_in_words(node: Node) -> str:
    return node.details[0].partition(":")[2] if node.kind in ("dataclass", "namedtuple", "stateful") else node.kind


def _article(noun: str) -> str:
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def _words(dtype: object, shape: tuple[int, ...]) -> str:
    return f"{dtype} {shape}"
