"""Pours a commit into what a program gives to `restore`, or rebuilds it from nothing.

It goes in two passes. The first walks over the commit and the program's state side by side, makes what must be made
new, and notes what is to be done to the objects that stay; it changes nothing. Only when all of it fits is what was
noted done: bytes into arrays, contents into containers, and `load_state_dict` last.

What stays the program's own object: arrays and tensors of the same shape and type, dicts, lists, sets, deques, mutable
dataclasses, generators, and whatever has `load_state_dict`. An empty container or array of the program has no opinion
about what belongs into it. A dict gets every key of the commit, in the commit's order, since programs add keys as they
run; keys that only the program has follow.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from goldthread.errors import CommitDamaged
from goldthread.state.fit import Pourer
from goldthread.state.generators import put_back_generators
from goldthread.state.rebuild import Rebuilder
from goldthread.wire.image import read_header

__all__ = ["Poured", "pour", "read"]


class Poured(NamedTuple):
    """What a restore gave."""

    state: Any
    unknown: tuple[str, ...]
    """Places of the program's state that the commit does not know; they keep their values."""
    added: tuple[str, ...]
    """Keys of the commit that a dict of the program did not have; they stand in it now, where the commit has them."""
    dropped: tuple[str, ...]
    """Places of the commit for which the program's state has no room, such as a field that a class lost."""


def read(image: memoryview, *, map: bool, pickle: bool) -> Any:
    """The state of a commit rebuilt from nothing. Arguments and errors are those of `pour`."""
    return pour(image, None, map=map, pickle=pickle).state


def pour(image: memoryview, initial: object, *, map: bool, pickle: bool, generators: bool = False) -> Poured:
    """Pour a sealed image into `initial`; with None, the state is given as it was stored.

    Every chunk is verified as it is copied. With `map`, arrays are views of `image` and no chunk is verified: it must
    have been just now, must be mapped privately (`Slot(..., private=True)`), and must not be written by others any
    more. With `generators` the global generators are set to what was stored beside the state.

    Raises `DoesNotFit` before anything of `initial` is changed, but where an object's own `load_state_dict` refuses,
    which comes last and says so; and `CommitDamaged`, which says whether some of it is changed.
    """
    header = read_header(image)
    if header is None:
        raise CommitDamaged("this commit was never sealed")
    rebuilder = Rebuilder(image, header, map=map, pickle=pickle)
    pourer = Pourer(rebuilder)
    roots = dict(zip(rebuilder.root.keys, rebuilder.root.children, strict=True))
    state = pourer.pour(roots["state"], initial, "state")
    stored = rebuilder.make(roots["generators"], "generators") if generators and "generators" in roots else None
    try:
        rebuilder.fill()
        for finish in pourer.noted:
            finish()
    except CommitDamaged as error:
        raise CommitDamaged(
            f"{error}; what was given to restore is undefined now",
            hint="end this program: its next life begins from a commit that is whole",
        ) from error
    if stored is not None:
        put_back_generators(stored)
    return Poured(state, tuple(pourer.unknown), tuple(pourer.added), tuple(pourer.dropped))
