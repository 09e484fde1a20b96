"""JAX: arrays and keys, where they lie, and what may be written into (`jax.new_ref`).

An array of one device, or the same on all, is one run of bytes ("jax"); one that is spread over several is stored part
by part ("jax_parts"), each once, and only the parts that this process has. It is never gathered.
"""

from __future__ import annotations

import functools
import math
import sys
from collections.abc import Callable
from typing import Any, Final

import numpy as np

from goldthread.errors import DoesNotFit
from goldthread.state.classes import loaded
from goldthread.state.dtypes import dtype_from
from goldthread.state.fit import HINT
from goldthread.state.kind import Family, Form, Kind, Store
from goldthread.state.kinds.arrays import describe
from goldthread.state.kinds.placements import (
    Free,
    Index,
    NotHere,
    find_place,
    is_bound,
    part_of,
    put,
    says_where,
    words_of_place,
)
from goldthread.state.nodes import Node
from goldthread.state.walk import Refusal, Walk

__all__ = ["FAMILY"]

_KEY: Final = "key "
_PLACED: Final = (
    "give restore an array in its place, or a jax.ShapeDtypeStruct, with a sharding of devices that are here"
)


def _store(walk: Walk, thing: Any) -> None:
    jax = sys.modules["jax"]
    if isinstance(thing, jax.core.Tracer):
        raise Refusal("an array that is being traced has no value yet", "commit outside of jit, grad and vmap")
    if thing.is_deleted():
        raise Refusal("this array was deleted, or donated to a function", "commit what the function gave for it")
    if not walk.enter(thing):
        return
    kind, data = _taken_apart(jax, thing)
    where = words_of_place(data)
    if not says_where(where):
        walk.tell(f"what is spread by a {where[1]} comes back only into an array given to restore")
    details = [kind, list(data.shape), bool(getattr(thing, "weak_type", False)), where]
    if data.is_fully_replicated:
        walk.buffer("jax", _bytes(data), *details)
        return
    parts = {part_of(shard.index, data.shape): shard.data for shard in data.addressable_shards}
    walk.atoms.append(("jax_parts", *details, [[list(ends) for ends in part] for part in parts], len(parts)))
    for piece in parts.values():
        walk.buffer("jax_part", _bytes(piece))


def _taken_apart(jax: Any, thing: Any) -> tuple[str, Any]:
    """Its type in a word, and an array of plain numbers: of a key, what is in it."""
    if isinstance(thing.dtype, np.dtype):
        return _name(thing.dtype), thing
    if jax.dtypes.issubdtype(thing.dtype, jax.dtypes.prng_key):
        name = jax.random.key_impl(thing)
        if not isinstance(name, str):
            raise Refusal(f"a key of {name} has no name to be made by", "store jax.random.key_data(key)")
        return f"{_KEY}{name}", jax.random.key_data(thing)
    raise Refusal(f"an array of {thing.dtype} cannot be stored", "store the plain arrays that it is made of")


@functools.cache
def _name(dtype: np.dtype[Any]) -> str:
    return dtype.name


def _bytes(data: Any) -> np.ndarray[Any, Any]:
    return np.ascontiguousarray(np.asarray(data)).reshape(-1).view(np.uint8)


def _claim(cls: type) -> Store | None:
    jax: Any = sys.modules["jax"]
    if not hasattr(jax, "Array"):  # It is being imported.
        return None
    if _is_ref(cls):
        return _store_ref
    return _store if issubclass(cls, (jax.Array, jax.core.Tracer)) else None


def _knows(path: str) -> bool:
    """The types of numbers, `jax.numpy.float32`."""
    return path.startswith("jax.numpy:") and type(loaded(path)).__name__ == "_ScalarMeta"


# Anew.


def _loaded(place: object) -> Any:
    jax = sys.modules.get("jax")
    if jax is None:
        raise DoesNotFit(f"{place}: it was stored by jax, which is not loaded", hint="import jax first")
    return jax


def _make(rebuilder: Any, node: Node, place: object) -> Any:
    _loaded(place)
    words = _words_of(node)
    try:
        where = Free() if words is None else find_place(words)
    except NotHere as error:
        raise DoesNotFit(
            f"{place}: it was stored as an array {error}, which cannot be had here", hint=_PLACED
        ) from None
    return _put(rebuilder, node, place, where, tuple(node.details[1]))


def _words_of(node: Node) -> Any:
    """Where it lay; None in a commit of version 0.1, which did not say: there the place of the bytes follows."""
    words = node.details[3]
    return words if isinstance(words, list) else None


def _put(rebuilder: Any, node: Node, place: object, where: Any, shape: tuple[int, ...]) -> Any:
    """The array, put where it belongs."""
    jax = _loaded(place)
    kind, _, is_weak = node.details[:3]
    dtype = _dtype(node)
    try:
        made = put(shape, where, _parts(rebuilder, node, place, dtype, shape))
    except NotHere as error:
        raise DoesNotFit(f"{place}: {error}", hint=_PLACED) from None
    except (ValueError, TypeError) as error:  # Parts of another size than the place has, or memory that it has not.
        raise DoesNotFit(f"{place}: jax cannot put it there: {error}", hint=_PLACED) from error
    if made.dtype != dtype:
        raise DoesNotFit(
            f"{place}: the commit has an array of {dtype}, of which jax makes one of {made.dtype} here",
            hint='jax.config.update("jax_enable_x64", True) before restore, as in the life that committed it',
        )
    if kind.startswith(_KEY):
        try:
            return jax.random.wrap_key_data(made, impl=kind.removeprefix(_KEY))
        except ValueError as error:
            raise DoesNotFit(f"{place}: it was stored as a {kind}: {error}", hint=HINT) from None
    return _weakened(jax, made, where) if is_weak else made


def _dtype(node: Node) -> np.dtype[Any]:
    found: np.dtype[Any] = sys.modules["jax"].numpy.dtype(_of_numpy(node.details[0]))
    return found


def _parts(
    rebuilder: Any, node: Node, place: object, dtype: np.dtype[Any], shape: tuple[int, ...]
) -> Callable[[Index], Any]:
    """What gives any part of the array, out of those that were stored."""
    if node.kind.name == "jax":
        whole = _numbers(rebuilder, node, place, dtype).reshape(shape)
        return lambda part: whole[_slices(part)]
    stored: dict[Index, Any] = {}
    for ends, piece in zip(node.details[4], node.expand(), strict=True):
        part = tuple((begin, end) for begin, end in ends)
        sizes = [end - begin for begin, end in part]
        stored[part] = _numbers(rebuilder, piece, place, dtype).reshape(sizes)

    @functools.cache
    def gathered() -> Any:
        whole = np.empty(shape, dtype)
        if sum(piece.size for piece in stored.values()) < whole.size:
            raise NotHere("this process has only a part of an array that was spread over several, and not this one")
        for part, piece in stored.items():
            whole[_slices(part)] = piece
        return whole

    return lambda part: stored[part] if part in stored else gathered()[_slices(part)]


def _elements(rebuilder: Any, node: Node) -> Any:
    """An array that was spread, put together, without JAX; None where this commit has not all of it."""
    name, shape = _of_numpy(node.details[0]), tuple(node.details[1])
    try:
        dtype = np.dtype(name)
    except TypeError:
        dtype = dtype_from(name)
    try:
        return _parts(rebuilder, node, "", dtype, shape)(tuple((0, size) for size in shape))
    except (NotHere, ValueError):
        return None


def _of_numpy(kind: str) -> str:
    return "uint32" if kind.startswith(_KEY) else kind


def _numbers(rebuilder: Any, node: Node, place: object, dtype: np.dtype[Any]) -> np.ndarray[Any, Any]:
    return np.frombuffer(rebuilder.raw(node, place), np.uint8).copy().view(dtype)


def _slices(part: Index) -> tuple[slice, ...]:
    return tuple(slice(begin, end) for begin, end in part)


def _weakened(jax: Any, made: Any, where: Any) -> Any:
    """The same array, of a weak type: by a program compiled for one, which is the only public way to have any."""
    sharding = None if isinstance(where, Free) else made.sharding
    device = where.device if isinstance(where, Free) else None
    weak = _to_weak(made.shape, made.dtype, sharding, device)(made)
    if not weak.weak_type or weak.sharding != made.sharding or is_bound(weak) != is_bound(made):
        raise DoesNotFit(
            f"this jax ({jax.__version__}) has no way to an array of weak type", hint="use another version"
        )
    return weak


@functools.lru_cache(256)
def _to_weak(shape: tuple[int, ...], dtype: Any, sharding: Any, device: Any) -> Any:
    jax = sys.modules["jax"]
    with jax.default_device(device):
        form = jax.ShapeDtypeStruct(shape, dtype, weak_type=True, sharding=sharding)
        return jax.jit(lambda array: array).lower(form).compile()


# Poured.


def _fit(fitter: Any, node: Node, current: Any, place: object) -> Any:
    """A new array always, since none can be filled: where the program has its own, if both are bound. One of NumPy, and
    a number, which the first step turned into one of JAX, say nothing of the place."""
    if not _is_array(current) and not isinstance(current, np.ndarray):
        return _instead(fitter, node, current, place)
    shape = _shape_for(node, current)
    if math.prod(current.shape) == 0 and math.prod(shape) != 0:
        return fitter.make(node, place)
    mine = _described(current)
    its = node.details[0], shape
    if its != mine:
        raise DoesNotFit(
            f"{place}: the commit has an array of {describe(*its)}, the program one of {describe(*mine)}",
            hint=f"{HINT}: None, where an array grows",
        )
    fitter.kept += 1
    return _put(fitter.rebuilder, node, place, _where(node, current, place), shape)


def _instead(fitter: Any, node: Node, current: Any, place: object) -> Any:
    """What was no array yet when the program began."""
    if current is None or isinstance(current, (int, float, complex, np.generic)):
        return fitter.make(node, place)
    mine = f"{'an' if type(current).__name__[0] in 'aeiou' else 'a'} {type(current).__name__}"
    raise DoesNotFit(
        f"{place}: the commit has an array of {describe(node.details[0], tuple(node.details[1]))}, the program {mine}",
        hint=HINT,
    )


def _shape_for(node: Node, current: Any) -> tuple[int, ...]:
    """Version 0.1 wrote (1,) for what has no dimensions."""
    shape = tuple(node.details[1])
    return () if _words_of(node) is None and shape == (1,) and current.shape == () else shape


def _described(current: Any) -> tuple[str, tuple[int, ...]]:
    """Type and shape of what the program has, as a node says it."""
    jax = sys.modules["jax"]
    if isinstance(current.dtype, np.dtype):
        return current.dtype.name, tuple(current.shape)
    form = jax.eval_shape(jax.random.key_data, jax.ShapeDtypeStruct(current.shape, current.dtype))
    return f"{_KEY}{jax.random.key_impl(current)}", tuple(form.shape)


def _where(node: Node, current: Any, place: object) -> Any:
    """Free where the commit's is. The program says where a bound one goes, if its own is bound; else the commit does,
    where it names what is here."""
    words = _words_of(node)
    mine = current.sharding if is_bound(current) else None  # A ShapeDtypeStruct may have none.
    if words is None:
        return Free() if mine is None else mine
    try:
        its = find_place(words)
    except NotHere as error:
        if mine is None and isinstance(current, np.ndarray):
            raise DoesNotFit(f"{place}: it was stored as an array {error}, which is not here", hint=_PLACED) from None
        return Free() if mine is None else mine
    return its if mine is None or isinstance(its, Free) else mine


def _is_array(thing: Any) -> bool:
    jax = sys.modules.get("jax")
    return jax is not None and hasattr(jax, "Array") and isinstance(thing, (jax.Array, jax.ShapeDtypeStruct))


# What may be written into.


def _is_ref(cls: type) -> bool:
    return cls.__module__ == "jax._src.core" and cls.__name__ in ("Ref", "ArrayRef", "MutableArray")


def _store_ref(walk: Walk, thing: Any) -> None:
    if walk.enter(thing):
        walk.atoms.append(("jax_ref", 1))
        walk.visit(thing, [""], [walk.made(thing[...])], str, whole=True)


def _make_ref(rebuilder: Any, node: Node, place: object) -> Any:
    return _loaded(place).new_ref(rebuilder.children(node, place)[0])


def _fit_ref(fitter: Any, node: Node, current: Any, place: object) -> Any:
    value = fitter.fit(node.expand()[0], current[...], place)
    fitter.noted.append(lambda: current.__setitem__(..., value))
    return current


FAMILY: Final = Family(
    kinds=(
        Kind("jax", Form.BUFFER, _make, suits=_is_array, fit=_fit, fits_all=True, group="array", carries=True),
        Kind("jax_parts", Form.CONTAINER, _make, fit=_fit, fits_all=True, group="array", array=_elements, carries=True),
        Kind(
            "jax_part", Form.BUFFER, lambda rebuilder, node, place: bytes(rebuilder.raw(node, place)), is_shared=False
        ),
        Kind("jax_ref", Form.CONTAINER, _make_ref, suits=lambda thing: _is_ref(type(thing)), fit=_fit_ref),
    ),
    claim=_claim,
    knows=_knows,
    package="jax",
)
