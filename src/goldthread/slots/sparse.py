"""Which chunks of a state were written since a slot got them, where the kernel can say so: for a state of which little
changes between two commits. All else is found by reading it.

Each commit begins with a *look*, which has a number. What is found written then is copied after it; what is written
meanwhile is found by the next. So a slot that was filled after look 5 may lack what was found written later.

An array is *followed* if it is large, lies together, and its memory is this process's alone. To follow one of which
much changes costs more than to read it: it rests for a while, and is read.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from goldthread.slots.layout import Layout, Slice
from goldthread.slots.writes import WrittenPages, private_memory, whole_pages

__all__ = ["Looks"]

_LARGE_BYTES: Final = 1 << 20
_MUCH: Final = 0.2
"""Of the pages of an array. Measured: a first write to a page costs 0.7 us more, to read it 0.1 to 0.2 us."""
_RESTS_LEAST, _RESTS_MOST = 2, 64
"""Looks. A rest is twice as long as the one before."""
_ALWAYS: Final = np.iinfo(np.int64).max

_ALL: Final = slice(None)

Array = np.ndarray[Any, Any]
Place = tuple[int, int]
"""A first address, and the one after the last."""


class Looks:
    def __init__(self, pages: WrittenPages) -> None:
        self._pages = pages
        self._number = 0
        self._layout: Layout | None = None
        self._known: dict[int, Place] | None = None
        """Where the large arrays were at the last look; None where what was written since is not known."""
        self._trails: dict[int, _Trail] = {}
        """Of each large array, by its index."""
        self._written = np.zeros(0, np.int64)
        """By chunk, the last look that found it written; `_ALWAYS` where it is not followed."""

    def look(self, layout: Layout, arrays: Sequence[Array]) -> int:
        """See what was written since the last look; returns the number of this one."""
        self._number += 1
        known, self._known = self._known, None  # An interruption loses what was taken: then nothing is known.
        if layout is not self._layout or known is None:
            self._begin(layout)
        places = {index: _place_of(arrays[index]) for index in self._trails}
        if places != known:
            alone = _alone(places)
            for index, trail in self._trails.items():
                trail.lead_to(places[index] if index in alone and arrays[index].flags.forc else None, self._number)
        private = private_memory() if any(trail.is_due(self._number) for trail in self._trails.values()) else []
        for trail in self._trails.values():
            is_due = trail.is_due(self._number)
            found = trail.begin(private, self._number) if is_due else trail.look(self._number)
            if found is not None:
                self._written[trail.chunks[found]] = self._number if trail.is_followed else _ALWAYS
        self._known = places
        return self._number

    def lacking(self, since: int) -> list[int]:
        """The chunks that may have been written after the look of this number."""
        found: list[int] = np.flatnonzero(self._written > since).tolist()
        return found

    def close(self) -> None:
        self._pages.close()

    def _begin(self, layout: Layout) -> None:
        """With another layout, or after an interruption, nothing is known of any array."""
        for trail in self._trails.values():
            trail.leave()
        self._layout = None
        pieces: dict[int, list[tuple[int, int, int]]] = {
            index: [] for index in layout.large if layout.lengths[index] >= _LARGE_BYTES
        }
        for chunk, (first, *others) in enumerate(layout.chunks):
            if not others and isinstance(first, Slice) and first.source in pieces:
                pieces[first.source].append((chunk, first.start, first.end))
        self._trails = {index: _Trail(self._pages, *_columns(each)) for index, each in pieces.items()}
        self._written = np.full(len(layout.chunks), _ALWAYS)
        self._layout = layout


class _Trail:
    """What is known of the writes to one large array."""

    def __init__(self, pages: WrittenPages, chunks: Array, starts: Array, ends: Array) -> None:
        """Those `chunks` that are one piece of the array, and which of its bytes each has."""
        self.chunks = chunks
        self.is_followed = False
        self._pages = pages
        self._starts = starts
        self._ends = ends
        self._place: Place | None = None
        """None: it is not to be followed."""
        self._due = 0
        """The look at which it is followed, where it is not."""
        self._rest = _RESTS_LEAST

    def lead_to(self, place: Place | None, number: int) -> None:
        """The array is here now. One that was elsewhere before may be elsewhere soon again."""
        if place != self._place:
            if self._place is not None:
                self._take_rest(number)
            self._place = place

    def is_due(self, number: int) -> bool:
        return self._place is not None and not self.is_followed and number >= self._due

    def begin(self, private: list[Place], number: int) -> slice | None:
        """Follow the array from now on, if it is in `private` memory."""
        assert self._place is not None
        start, end = whole_pages(*self._place)
        try:
            if not any(first <= start and end <= last for first, last in private):
                raise PermissionError("another mapping may show it")
            self._pages.follow(start, end)
            self.is_followed = True
            self._pages.take(start, end)
        except OSError:  # Or somebody else follows it.
            self._take_rest(number)
        return _ALL

    def look(self, number: int) -> Any:
        """Which of its chunks were written since the last look, as an index into them; None: none."""
        if not self.is_followed or self._place is None:
            return None
        start, end = whole_pages(*self._place)
        try:
            runs = self._pages.take(start, end)
        except OSError:  # What was there is no longer there.
            self._take_rest(number)
            return _ALL
        if not len(runs):
            return None
        if (runs[:, 1] - runs[:, 0]).sum() > _MUCH * (end - start):
            self._take_rest(number)
            return _ALL
        first = self._place[0]
        return _bytes_in(runs, first + self._starts, first + self._ends) > 0

    def leave(self) -> None:
        if self.is_followed and self._place is not None:
            self._pages.leave(*whole_pages(*self._place))
        self.is_followed = False

    def _take_rest(self, number: int) -> None:
        self.leave()
        self._due = number + self._rest
        self._rest = min(2 * self._rest, _RESTS_MOST)


def _alone(places: dict[int, Place]) -> set[int]:
    """The arrays that share no page with another of them."""
    alone: set[int] = set()
    before, reached = -1, 0
    for index, place in sorted(places.items(), key=lambda item: item[1]):
        start, end = whole_pages(*place)
        if start < reached:
            alone.discard(before)
        else:
            alone.add(index)
        if end > reached:
            before, reached = index, end
    return alone


def _columns(pieces: list[tuple[int, int, int]]) -> tuple[Array, Array, Array]:
    chunks, starts, ends = np.array(pieces, np.int64).reshape(-1, 3).T
    return chunks, starts, ends


def _place_of(array: Array) -> Place:
    first = array.__array_interface__["data"][0]
    return first, first + array.nbytes


def _bytes_in(runs: Array, firsts: Array, ends: Array) -> Array:
    """How many bytes of the runs, which are in order and apart, lie within each range."""
    starts, lengths = runs[:, 0], runs[:, 1] - runs[:, 0]
    before = np.concatenate([[0], np.cumsum(lengths)])

    def below(addresses: Array) -> Array:
        last = np.searchsorted(starts, addresses, "right") - 1
        within = np.minimum(addresses - starts[last], lengths[last])
        return np.where(last < 0, 0, before[last] + within)

    return below(ends) - below(firsts)
