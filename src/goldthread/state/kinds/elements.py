"""How the elements of a tensor lie in memory and in a commit: known without torch.

What lies without gaps, in whatever order of its axes, is stored as it lies; of what has gaps the elements only, in the
order of its shape; of what overlaps itself all from its first byte to its last. Axes along which nothing moves
(expanded ones) are left out.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import numpy as np

from goldthread.state.nodes import Node

__all__ = ["Array", "Lie", "array_of", "default_strides", "lie_of", "packed_strides"]

Array = np.ndarray[Any, Any]


class Lie(NamedTuple):
    """How elements lie in memory."""

    shape: tuple[int, ...]
    """Without the dimensions along which nothing moves."""
    strides: tuple[int, ...]
    extent: int
    """Elements from the first to the last, gaps included."""
    has_gaps: bool
    overlaps: bool

    @property
    def as_bytes(self) -> bool:
        """Whether all from its first byte to its last is stored, as it lies."""
        return not self.has_gaps or self.overlaps


def lie_of(shape: Any, strides: Any) -> Lie:
    if 0 in shape:
        return Lie((0,), (1,), 0, False, False)
    kept = [(stride, length) for length, stride in zip(shape, strides, strict=True) if length > 1 and stride]
    reach, has_gaps, overlaps = 1, False, False
    for stride, length in sorted(kept):
        has_gaps |= stride > reach
        overlaps |= stride < reach
        reach += (length - 1) * stride
    return Lie(tuple(n for _, n in kept), tuple(s for s, _ in kept), reach, has_gaps, overlaps)


def default_strides(shape: Any) -> tuple[int, ...]:
    """Of elements that lie side by side, the last axis fastest."""
    return _default_strides(tuple(shape))


@functools.lru_cache(maxsize=1024)
def _default_strides(shape: tuple[int, ...]) -> tuple[int, ...]:
    strides: list[int] = []
    step = 1
    for length in reversed(shape):
        strides.append(step)
        step *= max(1, length)
    return tuple(reversed(strides))


def packed_strides(shape: Any, strides: Any, lie: Lie) -> tuple[int, ...]:
    """As the elements lie in the payload where those of what has gaps are stored alone."""
    packed = iter(default_strides(lie.shape))
    return tuple(next(packed) if n > 1 and s else 0 for n, s in zip(shape, strides, strict=True))


def array_of(rebuilder: Any, node: Node) -> Array | None:
    """The elements as they lie in the image, in the order of the shape, and without torch: integers of their size where
    NumPy has no such type. None where there are none, as on the device "meta"."""
    dtype, shape, device, *_ = node.details
    unusual = node.details[5] if len(node.details) == 8 else {}
    strides = tuple(unusual.get("strides") or default_strides(shape))
    lie, (at, length) = lie_of(shape, strides), node.details[-2:]
    if device == "meta":
        return None
    if lie.extent == 0:
        return np.zeros(shape, _numpy_type(dtype, 0))
    size = length // (lie.extent if lie.as_bytes else int(np.prod(lie.shape)))
    if node.strides is None and not lie.as_bytes:
        strides = packed_strides(shape, strides, lie)
    kind = _numpy_type(dtype, size)
    found: Array = np.ndarray(shape, kind, rebuilder.payload, at, [step * size for step in strides])
    if kind.kind in "fc":
        found = np.conj(found) if "conj" in unusual else found
        found = -found if "neg" in unusual else found
    return found


def _numpy_type(name: str, size: int) -> np.dtype[Any]:
    try:
        return np.dtype(name)
    except TypeError:
        return np.dtype(f"u{size or 1}")
