"""Which chunks of a state were written since a slot got them, where the kernel can say so: for a state of which little
changes between two commits. All else is found by reading it.

Each commit begins with a *look*, which has a number. What is found written then is copied after it; what is written
meanwhile is found by the next. So a slot that was filled after look 5 may lack what was found written later. It is
not believed in what look 5 itself found either: process_vm_writev takes hold of pages, which is when the kernel tells
of them, and writes a moment after it.

An array is *followed* if it is large, lies together, and its memory is this process's alone. To follow one of which
much changes costs more than to read it: it rests for a while, and is read. Where the program did not ask for it, an
array is followed only after little of it changed for a while, where to read it takes much of the program's time, and
while no device is open that could write into it unseen (`devices.py`). And no longer than few of its huge pages were
split by that: a write to one splits it, and the program may be slower for it. To look for such a device comes after the
kernel has told what was written, and before a byte is copied: memory that a device may still write into after that is
held on to at that moment, and what it wrote before is copied with the rest of what was written.
"""

from __future__ import annotations

import mmap
from collections.abc import Sequence
from heapq import nlargest
from time import monotonic
from typing import Any, Final

import numpy as np

from goldthread.slots.devices import open_device
from goldthread.slots.kernel import HUGE_PAGE_BYTES, make_huge
from goldthread.slots.layout import Layout, Slice
from goldthread.slots.writes import WrittenPages, private_memory, whole_pages

__all__ = ["Looks"]

_LARGE_BYTES: Final = 1 << 20
_ARRAYS_MOST: Final = 1024
"""Each may part a mapping in three, of which a process has 65,530."""
_MUCH: Final = 0.2
"""Of the pages of an array. Measured: a first write to a page costs 0.7 us more, to read it 0.1 to 0.2 us."""
_RESTS_LEAST, _RESTS_MOST = 2, 64
"""Looks. A rest is twice as long as the one before."""
_CALM_CHUNKS: Final = 0.875
"""Of the chunks of an array: as many stayed as they were. A slot lacks what three commits wrote, and a fourth is read
again: of chunks that are written here and there half are spared then, and of fewer it was measured to gain nothing."""
_CALM_COMMITS: Final = 2
_WORTH: Final = 0.1
"""Of the program's time. Where commits take less, they are not worth the huge pages that are split to spare it."""
_SPLIT_MOST: Final = 1 / 8
"""Of the huge pages of an array. Measured: with all split, to read what lies scattered takes up to twice as long."""
_ALWAYS: Final = np.iinfo(np.int64).max

_NO_RUNS: Final = np.zeros((0, 2), np.int64)

Array = np.ndarray[Any, Any]
Place = tuple[int, int]
"""A first address, and the one after the last."""


class Looks:
    def __init__(self, pages: WrittenPages, *, asked: bool) -> None:
        """`asked`: the program says that little of its state changes, and that no device writes into it."""
        self._pages = pages
        self.is_asked = asked
        self._number = 0
        self._began = 0.0
        """When the last look was: what comes until `learn` is the commit, the rest until the next look the program."""
        self._between = 0.0
        """From the look before it."""
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
        now = monotonic()
        self._began, self._between = now, now - self._began
        known, self._known = self._known, None  # An interruption loses what was taken: then nothing is known.
        if layout is not self._layout or known is None:
            self._begin(layout)
        places = {index: _place_of(arrays[index]) for index in self._trails}
        trails = self._trails.values()
        if places != known:
            for index, trail in self._trails.items():
                trail.lead_to(places[index] if arrays[index].flags.forc else None, self._number)
        private = private_memory() if any(trail.is_due(self._number) for trail in trails) else []
        runs = _union([trail.take(private, self._number) for trail in trails])
        followed = [trail for trail in trails if trail.is_followed]
        if followed and not self.is_asked and open_device() is not None:
            for trail in followed:
                trail.rest(self._number)
        for trail in trails:
            trail.note(runs, self._number, self._written)
        self._known = places
        return self._number

    def learn(self, stayed: Sequence[bool] | None) -> None:
        """The commit that began with the last look is over: whether each of its chunks is what it was in the one
        before; None where that is not known."""
        if self.is_asked or stayed is None or monotonic() - self._began < _WORTH * self._between:
            return
        if not all(trail.is_followed for trail in self._trails.values()):
            each = np.array(stayed)
            for trail in self._trails.values():
                trail.learn(each)

    def lacking(self, since: int) -> list[int]:
        """The chunks that may have been written after the look of this number: also those that it found written, since
        who had taken hold of a page then may have written after it was copied."""
        found: list[int] = np.flatnonzero(self._written >= since).tolist()
        return found

    def close(self) -> None:
        self._pages.close()

    def _begin(self, layout: Layout) -> None:
        """With another layout, or after an interruption, nothing is known of any array."""
        for trail in self._trails.values():
            trail.leave()
        self._layout = None
        large = [index for index in layout.large if layout.lengths[index] >= _LARGE_BYTES]
        pieces: dict[int, list[tuple[int, int, int]]] = {
            index: [] for index in nlargest(_ARRAYS_MOST, large, layout.lengths.__getitem__)
        }
        for chunk, (first, *others) in enumerate(layout.chunks):
            if not others and isinstance(first, Slice) and first.source in pieces:
                pieces[first.source].append((chunk, first.start, first.end))
        self._trails = {index: _Trail(self._pages, self.is_asked, *_columns(each)) for index, each in pieces.items()}
        self._written = np.full(len(layout.chunks), _ALWAYS)
        self._layout = layout


class _Trail:
    """What is known of the writes to one large array.

    Arrays may share pages, at their ends or as views of one another, and what one takes the other does not find again:
    so all take first, and then all note what was taken."""

    def __init__(self, pages: WrittenPages, asked: bool, chunks: Array, starts: Array, ends: Array) -> None:
        """Those `chunks` that are one piece of the array, and which of its bytes each has."""
        self._pages = pages
        self._asked = asked
        self._chunks = chunks
        self._starts = starts
        self._ends = ends
        self._place: Place | None = None
        """None: it is not to be followed."""
        self._followed_since = 0
        """The look with which that began; 0 where it is not followed."""
        self._due = 0
        """The look at which it is followed, where it is not."""
        self._next_rest = _RESTS_LEAST
        self._calm = 0
        """For so many commits little of it changed."""
        self._huge = _NO_RUNS[:, 0]
        """Where the huge pages begin that it had when it was last begun to be followed ..."""
        self._split = self._huge > 0
        """... and which of them were written since."""

    @property
    def is_followed(self) -> bool:
        return self._followed_since > 0

    def lead_to(self, place: Place | None, number: int) -> None:
        """The array is here now. One that was elsewhere before may be elsewhere soon again."""
        if place != self._place:
            if self._place is not None:
                self.rest(number)
            self._place = place

    def is_due(self, number: int) -> bool:
        is_rested = self._place is not None and not self._followed_since and number >= self._due
        return is_rested and (self._asked or self._calm >= _CALM_COMMITS)

    def learn(self, stayed: Array) -> None:
        """Whether each chunk of the commit is what it was in the one before."""
        self._calm = self._calm + 1 if np.mean(stayed[self._chunks]) >= _CALM_CHUNKS else 0

    def take(self, private: list[Place], number: int) -> Array:
        """The runs of pages that were written since the last look; it may be followed from now on, if its memory is
        `private`."""
        if self._place is None:
            return _NO_RUNS
        start, end = whole_pages(*self._place)
        try:
            if self.is_due(number):
                if not any(first <= start and end <= last for first, last in private):
                    raise PermissionError("another mapping may show it")
                self._huge = _huge_pages(self._pages.huge(start, end))
                self._split = np.zeros(len(self._huge), bool)
                self._pages.follow(start, end)
                self._followed_since = number
            return self._pages.take(start, end) if self._followed_since else _NO_RUNS
        except OSError:  # What was there is no longer there, or somebody else follows it.
            self.rest(number)
            return np.array([[start, end]])  # Some of it may have been taken, and others may share it.

    def note(self, runs: Array, number: int, written: Array) -> None:
        """Note in `written`, by chunk, what was written before this look."""
        if self._followed_since == number:
            written[self._chunks] = number
        elif self._followed_since and self._place is not None and len(runs):
            first, end = self._place
            self._split |= _bytes_in(runs, self._huge, self._huge + HUGE_PAGE_BYTES) > 0
            is_split = not self._asked and np.count_nonzero(self._split) > _SPLIT_MOST * len(self._split)
            if is_split or _bytes_in(runs, np.array([first]), np.array([end])) > _MUCH * (end - first):
                self.rest(number)
                self._make_whole()
                if is_split:
                    self._due = _ALWAYS
            else:
                written[self._chunks[_bytes_in(runs, first + self._starts, first + self._ends) > 0]] = number
        if not self._followed_since:
            written[self._chunks] = _ALWAYS

    def leave(self) -> None:
        """Follow no longer; its first and its last page may be others' too."""
        if self._followed_since and self._place is not None:
            start, end = whole_pages(*self._place)
            self._pages.leave(start + mmap.PAGESIZE, end - mmap.PAGESIZE)
        self._followed_since = 0

    def rest(self, number: int) -> None:
        """Follow no longer, for a while."""
        self.leave()
        self._calm = 0
        self._due = number + self._next_rest
        self._next_rest = min(2 * self._next_rest, _RESTS_MOST)

    def _make_whole(self) -> None:
        """The huge pages that were split."""
        for first in self._huge[self._split].tolist():
            make_huge(first)


def _huge_pages(runs: Array) -> Array:
    """The first address of each that is whole."""
    size = HUGE_PAGE_BYTES
    found = [np.arange(-(-start // size) * size, end - size + 1, size) for start, end in runs.tolist()]
    return np.concatenate([_NO_RUNS[:, 0], *found])


def _columns(pieces: list[tuple[int, int, int]]) -> tuple[Array, Array, Array]:
    chunks, starts, ends = np.array(pieces, np.int64).reshape(-1, 3).T
    return chunks, starts, ends


def _place_of(array: Array) -> Place:
    first = array.__array_interface__["data"][0]
    return first, first + array.nbytes


def _union(taken: list[Array]) -> Array:
    """The runs in order and apart."""
    runs = np.concatenate([_NO_RUNS, *taken])
    runs = runs[np.argsort(runs[:, 0], kind="stable")]
    np.maximum.accumulate(runs[:, 1], out=runs[:, 1])
    np.maximum(runs[1:, 0], runs[:-1, 1], out=runs[1:, 0])
    return runs


def _bytes_in(runs: Array, firsts: Array, ends: Array) -> Array:
    """How many bytes of the runs lie within each range."""
    starts, lengths = runs[:, 0], runs[:, 1] - runs[:, 0]
    before = np.concatenate([[0], np.cumsum(lengths)])

    def below(addresses: Array) -> Array:
        last = np.searchsorted(starts, addresses, "right") - 1
        within = np.minimum(addresses - starts[last], lengths[last])
        return np.where(last < 0, 0, before[last] + within)

    return below(ends) - below(firsts)
