"""Kinds of NumPy: arrays of every type and shape, views of one memory, scalars, generators."""

from __future__ import annotations

from typing import Any

import classes
import numpy as np
from kinds import KINDS, kind

_NUMBERS = "?bBhHiIlLqQefdgFDG"
_PLAIN_SHAPES = ((), (1,), (5,), (0,), (2, 3), (0, 3), (3, 0, 2), (2, 3, 4), (40, 7), (1, 1, 1))
_LONG = np.dtype("g")
_LONG_USED = 10 if np.finfo("g").nmant == 63 else _LONG.itemsize
"""Of the bytes of a long double: the others are padding, which nobody keeps."""


def filled(draw: Any, shape: tuple[int, ...], dtype: Any) -> Any:
    """An array whose bytes are drawn, also those between the fields of a record."""
    made = np.zeros(shape, dtype)
    fill(draw, made)
    return made


def fill(draw: Any, array: Any) -> None:
    dtype = array.dtype
    if dtype.itemsize == 0:
        return
    if dtype.names is not None:
        if array.flags.c_contiguous:
            raw = array.reshape(-1).view(np.uint8)
            raw[:] = np.frombuffer(draw.rng.randbytes(raw.nbytes), np.uint8)
        for name in dtype.names:
            fill(draw, array[name])
    elif dtype.kind == "b":
        array[...] = np.array([draw.rng.random() < 0.5 for _ in range(array.size)]).reshape(array.shape)
    elif dtype.kind in "SU":
        words = np.array([draw.rng.choice(("", "a", "bc", "e\0f")) for _ in range(array.size)], dtype)
        array[...] = words.reshape(array.shape)
    elif dtype.char in "gG":
        array[...] = draw.rng.gauss(0, 1)
    else:
        drawn = np.frombuffer(draw.rng.randbytes(array.size * dtype.itemsize), dtype)
        array[...] = drawn.reshape(array.shape)


def some(draw: Any, count: int = 12) -> Any:
    return filled(draw, (count,), draw.rng.choice(("<f8", "<i4", "<u2", ">f4")))


@kind("array")
def _array(draw: Any) -> Any:
    return filled(draw, draw.rng.choice(_PLAIN_SHAPES), draw.rng.choice(_NUMBERS))


@kind("array in another byte order")
def _swapped(draw: Any) -> Any:
    return filled(draw, draw.rng.choice(_PLAIN_SHAPES), ">" + draw.rng.choice("hiqefdFD"))


@kind("array of text or bytes")
def _texts(draw: Any) -> Any:
    return filled(draw, draw.rng.choice(_PLAIN_SHAPES), draw.rng.choice(("S3", "U4", ">U2", "V5", "V0")))


@kind("array of text without length")
def _no_text(draw: Any) -> Any:
    return np.zeros(draw.rng.choice(_PLAIN_SHAPES), [("a", draw.rng.choice(("S0", "U0")))])["a"]


@kind("array of times")
def _times(draw: Any) -> Any:
    unit = draw.rng.choice(("[ns]", "[D]", "[25s]", "[Y]", ""))
    return filled(draw, draw.rng.choice(_PLAIN_SHAPES), draw.rng.choice(("m8", "M8", ">M8")) + unit)


_RECORDS = (
    [("a", "<i4"), ("b", ">f8")],
    np.dtype([("a", "i1"), ("b", "f8"), ("c", "i2")], align=True),
    [("in", [("x", "f4", (2, 2)), ("y", "S3")]), ("z", "?")],
    {"names": ["u", "v"], "formats": ["i4", "i2"], "offsets": [4, 0], "itemsize": 12},
    {"names": ["whole", "half"], "formats": ["<u4", "<u2"], "offsets": [0, 2]},
    [(("A title", "a"), "i4"), (("Another", "b"), "f4")],
)


@kind("array of records")
def _records(draw: Any) -> Any:
    return filled(draw, draw.rng.choice(((), (3,), (0,), (2, 2))), np.dtype(draw.rng.choice(_RECORDS)))


@kind("array with metadata in its dtype")
def _described(draw: Any) -> Any:
    return filled(draw, (3,), np.dtype("i4", metadata={"unit": "m"}))


@kind("dtype")
def _dtype(draw: Any) -> Any:
    return np.dtype(
        draw.rng.choice((*_RECORDS, ">i4", "M8[25s]", "f8", "O", ("i4", (2, 3)), (np.record, [("a", "i4")])))
    )


@kind("ufunc or NumPy class")
def _ufunc(draw: Any) -> Any:
    return draw.rng.choice((np.add, np.float32, np.ndarray, np.linalg.norm, np.mean))


@kind("array laid out otherwise")
def _strided(draw: Any) -> Any:
    cube = filled(draw, (2, 3, 4), "i4")
    views = (
        np.asfortranarray(cube),
        cube.transpose(1, 0, 2),
        cube.transpose(0, 2, 1).copy(order="K"),
        cube[::-1],
        cube[:, ::2, 1:],
        np.broadcast_to(cube[0, 0], (3, 4)),
        cube.reshape(-1)[:1].reshape(1, 1),
        cube[:, :0],
        np.asfortranarray(cube)[0],
    )
    return draw.rng.choice(views)


@kind("array that is not aligned")
def _unaligned(draw: Any) -> Any:
    return np.frombuffer(bytearray(draw.rng.randbytes(25)), "<f8", 3, 1)


@kind("read-only array")
def _read_only(draw: Any) -> Any:
    made = some(draw)
    made.flags.writeable = False
    return made if draw.rng.random() < 0.7 else np.frombuffer(draw.rng.randbytes(16), "<i4")


@kind("views of one memory")
def _views(draw: Any) -> list[Any]:
    base = some(draw, 24)
    views = [base[2:10], base[5:15], base[::3], base.reshape(4, 6).T, base[20:].view(np.uint8), base[7:7], base[9]]
    return draw.rng.sample(views, draw.rng.randint(2, 4)) + ([base] if draw.rng.random() < 0.5 else [])


@kind("two arrays over one memory")
def _twins(draw: Any) -> list[Any]:
    base = some(draw)
    return [base, base[:], base.view(base.dtype.newbyteorder())]


@kind("views that lie between each other")
def _interleaved(draw: Any) -> list[Any]:
    base = some(draw, 16)
    return [base[::2], base[1::2]]


@kind("read-only view beside its array")
def _read_only_view(draw: Any) -> list[Any]:
    base = some(draw)
    view = base[3:9]
    view.flags.writeable = False
    return [view, base]


@kind("view that overlaps itself")
def _window(draw: Any) -> list[Any]:
    base = some(draw)
    return [np.lib.stride_tricks.as_strided(base, (4, 3), (base.itemsize * 2, base.itemsize)), base]


@kind("array over a bytearray")
def _over(draw: Any) -> list[Any]:
    data = bytearray(draw.rng.randbytes(32))
    return [np.frombuffer(data, "<i4", 4, 8), data]


@kind("field of an array of records")
def _field(draw: Any) -> list[Any]:
    base = filled(draw, (4,), np.dtype(_RECORDS[1]))
    return [base["b"], base]


@kind("record of an array")
def _record(draw: Any) -> list[Any]:
    base = filled(draw, (4,), np.dtype(_RECORDS[0]))
    return [base[2], base]


@kind("array of objects")
def _objects(draw: Any) -> Any:
    made = draw.opened(np.empty(draw.rng.choice(((), (3,), (2, 2), (0,))), object))
    for index in np.ndindex(made.shape):
        made[index] = draw.child()
    return np.asfortranarray(made) if made.ndim == 2 and draw.rng.random() < 0.3 else made


@kind("views of an array of objects")
def _object_views(draw: Any) -> list[Any]:
    made = np.empty(4, object)
    for index in range(4):
        made[index] = draw.child()
    return [made[1:], made[:3], made]


@kind("array of records with objects")
def _object_records(draw: Any) -> Any:
    made = np.zeros(2, [("a", object), ("n", "i4")])
    made["a"][0], made["n"] = draw.child(), draw.rng.randint(0, 9)
    return made


@kind("matrix")
def _matrix(draw: Any) -> Any:
    return filled(draw, (2, 3), "<f8").view(np.matrix)


@kind("recarray")
def _recarray(draw: Any) -> Any:
    return filled(draw, (3,), np.dtype(_RECORDS[draw.rng.randint(0, 1)])).view(np.recarray)


@kind("chararray")
def _chararray(draw: Any) -> Any:
    return np.char.asarray(filled(draw, (3,), "U4"))


@kind("masked array")
def _masked(draw: Any) -> Any:
    made = np.ma.MaskedArray(filled(draw, (2, 3), "<i4"))
    if draw.rng.random() < 0.8:
        made.mask = filled(draw, (2, 3), "?")
        made[0, 1] = np.ma.masked
    if draw.rng.random() < 0.5:
        made.fill_value = draw.rng.randint(0, 99)
    if draw.rng.random() < 0.3:
        made.harden_mask()
    if draw.rng.random() < 0.3:
        made.note = draw.child()
    return made


@kind("masked records")
def _masked_records(draw: Any) -> Any:
    made = np.ma.MaskedArray(filled(draw, (3,), np.dtype(_RECORDS[0])))
    made.mask = [(True, False), (False, False), (False, True)]
    return made


@kind("masked arrays with one mask")
def _one_mask(draw: Any) -> list[Any]:
    first = np.ma.MaskedArray(filled(draw, (4,), "<f4"), mask=[0, 1, 0, 0])
    return [first, first[1:], first.view(), np.ma.masked]


@kind("subclass of ndarray")
def _my_array(draw: Any) -> Any:
    made = filled(draw, draw.rng.choice(((), (4,), (2, 3))), "<f8").view(classes.MyArray)
    made.unit = draw.child()
    return made


@kind("subclass of ndarray with attributes")
def _plain_array(draw: Any) -> Any:
    return draw.dress(some(draw).view(classes.PlainArray))


@kind("view of a subclass of ndarray")
def _view_of_subclass(draw: Any) -> list[Any]:
    made = some(draw).view(classes.PlainArray)
    return [made[2:5], made.view(np.ndarray), made]


if hasattr(np.dtypes, "StringDType"):

    @kind("array of StringDType")
    def _strings(draw: Any) -> Any:
        rng = draw.rng
        dtype = rng.choice((np.dtypes.StringDType(), np.dtypes.StringDType(na_object=np.nan, coerce=False)))
        made = np.array([rng.choice(("", "short", "é" * 40, "x" * 3000)) for _ in range(4)], dtype)
        if hasattr(dtype, "na_object"):
            made[1] = np.nan
        return rng.choice((made, made[::2], made.reshape(2, 2)))


@kind("NumPy scalar", key=True)
def _scalar(draw: Any) -> Any:
    return filled(draw, (1,), draw.rng.choice(_NUMBERS))[0]


@kind("NumPy time", key=True)
def _time_scalar(draw: Any) -> Any:
    return np.array([draw.rng.getrandbits(40)], draw.rng.choice(("m8[ms]", "M8[us]", "M8[25s]", "m8[D]")))[0]


@kind("NumPy scalar that is no time or number")
def _odd_scalar(draw: Any) -> Any:
    record = filled(draw, (1,), np.dtype(draw.rng.choice(_RECORDS)))[0]
    nothing = np.datetime64("NaT"), np.timedelta64("NaT", "D")
    return draw.rng.choice((record, np.str_("é"), np.bytes_(b"a\0b"), np.void(b"\0\1"), *nothing))


@kind("subclass of a NumPy scalar", key=True)
def _my_scalar(draw: Any) -> Any:
    return draw.dress(classes.MyFloat64(draw.rng.gauss(0, 1)))


# Generators.

_BITS = {name: getattr(np.random, name) for name in ("PCG64", "PCG64DXSM", "MT19937", "Philox", "SFC64")}


def _seed(draw: Any) -> Any:
    entropy = draw.rng.choice((draw.rng.getrandbits(128), 5, [1, 2, 3], 0))
    made = np.random.SeedSequence(entropy, spawn_key=draw.rng.choice(((), (3, 4))), pool_size=draw.rng.choice((4, 8)))
    made.spawn(draw.rng.randint(0, 3))
    return made


kind("SeedSequence")(_seed)


@kind("bit generator")
def _bit_generator(draw: Any) -> Any:
    bits = _BITS[draw.rng.choice(sorted(_BITS))]
    made = bits(draw.rng.choice((_seed(draw), draw.rng.randint(0, 99))))
    made.random_raw(draw.rng.randint(0, 5))
    return made


@kind("Generator")
def _generator(draw: Any) -> Any:
    made = np.random.Generator(_bit_generator(draw))
    made.integers(0, 9, dtype=np.int32)
    made.spawn(draw.rng.randint(0, 2))
    return made


@kind("Generators that share")
def _shared_bits(draw: Any) -> list[Any]:
    seed = _seed(draw)
    bits, other = np.random.PCG64(seed), np.random.MT19937(seed)
    return [np.random.Generator(bits), np.random.Generator(bits), bits, other, seed, np.random.Generator(other)]


@kind("RandomState")
def _random_state(draw: Any) -> Any:
    made = np.random.RandomState(_BITS[draw.rng.choice(sorted(_BITS))](draw.rng.randint(0, 99)))
    made.standard_normal(draw.rng.randint(0, 3))
    return made


@kind("RandomState beside its bit generator")
def _shared_state(draw: Any) -> list[Any]:
    bits = np.random.MT19937(_seed(draw))
    made = np.random.RandomState(bits)
    made.standard_normal()
    return [made, bits]


@kind("subclass of Generator")
def _my_generator(draw: Any) -> Any:
    return draw.dress(classes.MyGenerator(np.random.SFC64(draw.rng.randint(0, 99))))


NUMPY_KINDS = frozenset(name for name, make in KINDS.items() if make.__module__ == __name__)
