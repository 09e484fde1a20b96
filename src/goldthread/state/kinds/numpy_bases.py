"""How what derives from a NumPy scalar or generator is taken apart, and put together past its own code."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

__all__ = [
    "SCALARS",
    "fill_generator",
    "fill_randomstate",
    "new_scalar",
    "take_generator",
    "take_randomstate",
    "take_scalar",
]

SCALARS: Final = tuple(
    {np.dtype(char).type for char in "?bBhHiIlLqQefdgFDGmMSU"}
)  # np.void has memory that others may have, too.

_bits: Final[Any] = vars(np.random.Generator)["bit_generator"]


def take_scalar(thing: Any) -> Any:
    """The scalar of NumPy that it is."""
    dtype = np.generic.dtype.__get__(thing)
    if dtype.itemsize == 0:
        return dtype.type()
    return np.ndarray((), dtype, bytearray(np.generic.tobytes(thing)))[()]


def new_scalar(cls: Any, items: Any) -> Any:
    kind: Any = type(items)
    return kind.__new__(cls, items)


def take_generator(thing: Any) -> Any:
    return _bits.__get__(thing)


def fill_generator(made: Any, bits: Any) -> None:
    np.random.Generator.__init__(made, bits)


def take_randomstate(thing: Any) -> Any:
    """Its bit generator, and what was drawn ahead."""
    state: Any = np.random.RandomState.get_state(thing, legacy=False)
    return thing._bit_generator, state["has_gauss"], state["gauss"]


def fill_randomstate(made: Any, items: Any) -> None:
    bits, has_gauss, gauss = items
    if getattr(made, "_bit_generator", None) is not bits:
        np.random.RandomState.__init__(made, bits)
    state: Any = np.random.RandomState.get_state(made, legacy=False)
    np.random.RandomState.set_state(made, {**state, "has_gauss": has_gauss, "gauss": gauss})
