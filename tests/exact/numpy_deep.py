"""How things of NumPy are compared, for `deep.py`.

Strides and order are compared, since sums of floats depend on them, and whether `reshape` gives a view. Whether memory
is aligned is not: nothing that a program computes depends on it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = [
    "compare_array",
    "compare_dtype",
    "compare_generator",
    "compare_random_state",
    "compare_scalar",
    "compare_seed",
]

_LONG_USED = 10 if np.finfo("g").nmant == 63 else np.dtype("g").itemsize
"""Of the bytes of a long double; the others are padding that every operation leaves as it likes."""


def compare_dtype(pairs: Any, mine: Any, its: Any) -> None:
    pairs.same("value: dtype", _told(mine), _told(its))


def _told(dtype: Any) -> Any:
    """All that a dtype says, also what its `==` leaves out."""
    metadata = None if dtype.metadata is None else repr(dict(dtype.metadata))
    if dtype.subdtype is not None:
        return ("of", _told(dtype.subdtype[0]), dtype.subdtype[1], metadata)
    if dtype.names is None:
        extra = (repr(dtype.na_object), dtype.coerce) if dtype.kind == "T" and hasattr(dtype, "na_object") else ()
        return (dtype.str, dtype.type.__name__, *extra, metadata)
    fields = tuple((name, _told(dtype.fields[name][0]), *dtype.fields[name][1:]) for name in dtype.names)
    return (fields, dtype.itemsize, dtype.isalignedstruct, dtype.type.__name__, metadata)


def compare_array(pairs: Any, mine: Any, its: Any) -> None:
    compare_dtype(pairs, mine.dtype, its.dtype)
    if type(mine).__module__.startswith("numpy") and isinstance(mine, np.ma.MaskedArray):
        _compare_masked(pairs, mine, its)
    plain, other = (np.ndarray.view(array, np.ndarray) for array in (mine, its))
    pairs.same("value: shape", plain.shape, other.shape)
    if plain.size:
        pairs.same("layout: strides", *([array.strides[at] for at in _long_axes(plain)] for array in (plain, other)))
    for name in ("writeable", "c_contiguous", "f_contiguous"):
        pairs.same(f"layout: {name}", getattr(plain.flags, name), getattr(other.flags, name))
    if plain.dtype.hasobject or plain.dtype.kind == "T":
        _push_items(pairs, plain, other)
    else:
        _same_bytes(pairs, plain, other)
    pairs.memory.note(pairs.place, plain, other, (mine, its))


def _long_axes(array: Any) -> list[int]:
    return [at for at, length in enumerate(array.shape) if length > 1]


def _push_items(pairs: Any, mine: Any, its: Any) -> None:
    if mine.dtype.names is not None:
        for name in mine.dtype.names:
            pairs.push(mine[name], its[name], f"[{name!r}]", fresh=True)
        return
    for index in reversed(list(np.ndindex(mine.shape))):
        pairs.push(mine[index], its[index], str(list(index)))


def _same_bytes(pairs: Any, mine: Any, its: Any) -> None:
    if mine.tobytes() == its.tobytes() and mine.dtype.names is None:
        return
    if mine.dtype.names is not None and mine.flags.c_contiguous:  # Also what lies between the fields.
        pairs.same("value", _raw(mine).tobytes(), _raw(its).tobytes())
    elif mine.dtype.char in "gG":
        long_doubles = [array.astype(array.dtype.newbyteorder("=")).reshape(-1).view("g") for array in (mine, its)]
        used = [array.view(np.uint8).reshape(-1, 16)[:, :_LONG_USED].tobytes() for array in long_doubles]
        pairs.same("value", *used)
    else:
        pairs.same("value", mine.tobytes(), its.tobytes())


def _raw(array: Any) -> Any:
    return np.lib.stride_tricks.as_strided(array, writeable=False).reshape(-1).view(np.uint8)


def _compare_masked(pairs: Any, mine: Any, its: Any) -> None:
    for name in ("_hardmask", "_sharedmask", "_baseclass", "_isfield"):
        pairs.same(f"value: {name}", getattr(mine, name, None), getattr(its, name, None))
    if (mine._mask is np.ma.nomask) != (its._mask is np.ma.nomask):
        pairs.same("value: has a mask", mine._mask is not np.ma.nomask, its._mask is not np.ma.nomask)
    if mine._mask is not np.ma.nomask:
        pairs.push(mine._mask, its._mask, "._mask")
    pairs.push(mine._fill_value, its._fill_value, "._fill_value")
    own, other = ({k: v for k, v in vars(one).items() if not k.startswith("_")} for one in (mine, its))
    pairs.push(own, other, ".__dict__", fresh=True)


def compare_scalar(pairs: Any, mine: Any, its: Any) -> None:
    compare_dtype(pairs, mine.dtype, its.dtype)
    if mine.dtype.hasobject:
        _push_items(pairs, mine, its)
    elif mine.dtype.char in "gG":
        _same_bytes(pairs, np.asarray(mine), np.asarray(its))
    else:
        pairs.same("value", mine.tobytes(), its.tobytes())
    if isinstance(mine, np.void) and mine.nbytes and not mine.dtype.hasobject:  # A part of an array, or its own.
        pairs.same("layout: writeable", mine.flags.writeable, its.flags.writeable)
        pairs.memory.note(pairs.place, *(np.frombuffer(one, np.uint8) for one in (mine, its)), (mine, its))


def compare_generator(pairs: Any, mine: Any, its: Any) -> None:
    pairs.push(mine.state, its.state, ".state", fresh=True)
    pairs.push(mine.seed_seq, its.seed_seq, ".seed_seq")


def compare_random_state(pairs: Any, mine: Any, its: Any) -> None:
    pairs.push(mine.get_state(legacy=False), its.get_state(legacy=False), ".get_state()", fresh=True)
    pairs.push(mine._bit_generator, its._bit_generator, "._bit_generator")


def compare_seed(pairs: Any, mine: Any, its: Any) -> None:
    for name in ("entropy", "spawn_key", "pool_size", "n_children_spawned", "pool"):
        pairs.push(getattr(mine, name), getattr(its, name), f".{name}", fresh=True)
