"""A slot: a region of shared memory that holds one commit, and its mapping into this process.

A slot is made and first touched by the keeper, so that the keeper's control group pays for it, and travels as a
descriptor. A mapping counts in the resident memory of whoever maps it, so it can be dropped while the descriptor is
kept.
"""

from __future__ import annotations

import contextlib
import os
from typing import Final

from goldthread.slots.kernel import HUGE_PAGE_BYTES, map_descriptor, memory_file, seal_size, touch
from goldthread.wire.pulse import PULSE_BYTES

__all__ = ["Slot", "make_pulse", "make_slot", "slot_bytes"]

_SMALL_STEP: Final = 64 << 10
_SMALL_BYTES: Final = 256 << 10


def slot_bytes(needed: int) -> int:
    """The size of the slot that is made for `needed` bytes: whole huge pages, or steps of 64 KiB for small ones."""
    step = _SMALL_STEP if needed <= _SMALL_BYTES else HUGE_PAGE_BYTES
    return max(1, -(-needed // step)) * step


def make_slot(name: str, bytes: int) -> int:
    """A descriptor of a new slot, all zero, of fixed size, its memory given by the kernel already.

    Raises `OSError` where there is too little memory.
    """
    return _make(f"goldthread-{name}", slot_bytes(bytes))


def make_pulse() -> int:
    """A descriptor of a new pulse page."""
    return _make("goldthread-pulse", PULSE_BYTES)


def _make(name: str, size: int) -> int:
    descriptor = memory_file(name, size)
    try:
        seal_size(descriptor)
        touch(descriptor, size)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


class Slot:
    """A slot, or any file with an image, mapped into this process. The descriptor stays its giver's.

    With `private`, `image` is writable and what is written stays in this process. Such a mapping is no snapshot:
    pages not yet written show what others write into the slot.
    """

    def __init__(self, descriptor: int, *, writable: bool = True, private: bool = False) -> None:
        self.descriptor = descriptor
        self.bytes = os.fstat(descriptor).st_size
        self.image = map_descriptor(descriptor, self.bytes, writable=writable or private, private=private)

    def close(self) -> None:
        """Drop the mapping. Views that others took stay good; the memory is unmapped with the last of them."""
        with contextlib.suppress(BufferError):
            self.image.release()
        self.image = memoryview(b"")
