"""Pours a commit into what a program gives to `restore`, or rebuilds it from nothing.

It goes in two passes. The first walks over the commit and the program's state side by side, makes what must be made
new, and notes what is to be done to the objects that stay; it changes nothing. Only when all of it fits is what was
noted done: bytes into arrays, contents into containers, and `load_state_dict` last.

What stays the program's own object: arrays and tensors of the same shape and type, dicts, lists, sets, deques, objects
that can change, generators, and whatever has `load_state_dict`. An empty container or array of the program has no
opinion about what belongs into it. A dict gets every key of the commit, in the commit's order, since programs add keys
as they run; keys that only the program has follow.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from goldthread.errors import CommitDamaged, DoesNotFit, GoldthreadError
from goldthread.state.classes import Classes
from goldthread.state.depth import many_levels
from goldthread.state.fit import HINT, Apart, Fitter
from goldthread.state.generators import put_back_generators
from goldthread.state.kinds.registry import REGISTRY
from goldthread.state.nodes import Node
from goldthread.state.rebuild import Rebuilder
from goldthread.wire.image import read_header

__all__ = ["Poured", "pour", "read", "say_differences"]


class Poured(NamedTuple):
    """What a restore gave."""

    state: Any
    unknown: tuple[str, ...]
    """Places of the program's state that the commit does not know; they keep their values."""
    added: tuple[str, ...]
    """Keys of the commit that a dict of the program did not have; they stand in it now, where the commit has them."""
    dropped: tuple[str, ...]
    """Places of the commit for which the program's state has no room, such as a field that a class lost."""
    bare: tuple[str, ...] = ()
    """Places where the program gave no object to load: what its `state_dict` gave stands there."""


def read(image: memoryview, *, map: bool, pickle: bool, classes: Classes | None = None) -> Any:
    """The state of a commit rebuilt from nothing. Arguments and errors are those of `pour`."""
    return pour(image, None, map=map, pickle=pickle, classes=classes).state


def pour(
    image: memoryview,
    initial: object,
    *,
    map: bool,
    pickle: bool,
    generators: bool = False,
    strict: bool = False,
    classes: Classes | None = None,
) -> Poured:
    """Pour a sealed image into `initial`; with None, the state is given as it was stored.

    Every chunk is verified as it is copied. With `map`, arrays are views of `image` and no chunk is verified: it must
    have been just now, must be mapped privately (`Slot(..., private=True)`), and must not be written by others any
    more. With `generators` the global generators are set to what was stored beside the state. `classes` are those that
    the program knows; what occurs in `initial` is known, too.

    Raises `DoesNotFit` before anything of `initial` is changed, but where an object's own `load_state_dict` refuses,
    which comes last and says so (with `strict` also where anything is unknown or dropped); and `CommitDamaged`, which
    says whether some of it is changed.
    """
    header = read_header(image)
    if header is None:
        raise CommitDamaged("this commit was never sealed")
    known = classes or Classes()
    known.give(initial)
    rebuilder = Rebuilder(image, header, REGISTRY, known, map=map, pickle=pickle)
    try:
        with many_levels():
            roots = dict(zip(rebuilder.root.keys, rebuilder.root.expand(), strict=True))
            fitter, state = _fit(rebuilder, roots["state"], initial)
            fitter.dropped += rebuilder.lost
            stored = _generators(rebuilder, roots) if generators else None
    except GoldthreadError:
        raise
    except Exception as error:  # Whatever a manifest says that cannot be: no library promises which error it raises.
        raise CommitDamaged(f"the manifest of a commit makes no sense: {error!r}") from error
    _refuse_misfit(fitter, strict=strict)
    try:
        with many_levels():
            rebuilder.fill()
            for finish in [*fitter.noted, *rebuilder.later]:
                finish()
    except CommitDamaged as error:
        raise CommitDamaged(
            f"{error}; what was given to restore is undefined now",
            hint="end this program: its next life begins from a commit that is whole",
        ) from error
    if stored is not None:
        put_back_generators(stored)
    return Poured(state, tuple(fitter.unknown), tuple(fitter.added), tuple(fitter.dropped), tuple(rebuilder.bare))


def _fit(rebuilder: Rebuilder, node: Any, initial: object) -> tuple[Fitter, Any]:
    """The first pass, begun again where arrays share their memory otherwise."""
    apart: set[int] = set()
    while True:
        fitter = Fitter(rebuilder, REGISTRY, apart)
        try:
            state = fitter.fit(node, initial, "state")
            fitter.refuse_overlaps()
        except Apart as found:
            apart |= found.places
            rebuilder.forget()
            continue
        return fitter, state


def _generators(rebuilder: Rebuilder, roots: dict[str, Any]) -> Any:
    """What is stored of the global generators. Tensors of version 0.1 are read as bytes: torch may come later."""
    node = roots.get("generators")
    if type(node) is not Node:
        return None
    return {
        key: _plain_generator(rebuilder, child, f'generators["{key}"]')
        for key, child in zip(node.keys, node.expand(), strict=True)
    }


def _plain_generator(rebuilder: Rebuilder, node: Any, place: str) -> Any:
    if type(node) is not Node:
        return node
    if node.kind.name == "tensor":
        return bytes(rebuilder.raw(node, place))
    if node.kind.name in ("list", "tuple"):
        return [_plain_generator(rebuilder, child, place) for child in node.expand()]
    return rebuilder.make(node, place)


def _refuse_misfit(fitter: Fitter, *, strict: bool) -> None:
    if fitter.lacking and not fitter.kept and fitter.added:
        raise DoesNotFit(
            f"nothing of the commit fits what was given to restore: the program has {', '.join(fitter.unknown[:3])},"
            f" the commit {', '.join(fitter.added[:3])}; going on would begin from scratch at the commit's step",
            hint=HINT,
        )
    bare = fitter.rebuilder.bare
    if strict and (fitter.unknown or fitter.dropped or bare):
        raise DoesNotFit(
            f"the commit and what was given to restore differ: {say_differences(fitter.unknown, fitter.dropped, bare)}",
            hint=HINT,
        )


def say_differences(unknown: Any, dropped: Any, bare: Any = ()) -> str:
    """What the commit does not know, what of it has no place, and what it has no object for, in one sentence."""
    parts = []
    if unknown:
        parts.append(f"the commit does not know {', '.join(unknown)}: kept as given")
    if dropped:
        parts.append(f"the commit has {', '.join(dropped)}, for which the program has no place: left out")
    if bare:
        parts.append(
            f"no object was given for {', '.join(bare)}: what its state_dict() gave stands there, for you to load"
        )
    return "; ".join(parts)
