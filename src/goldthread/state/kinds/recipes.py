"""Things that are stored as something else: a function takes them apart, another puts them together.

A *recipe* is how libraries are known (pandas, SciPy ...) and how a program tells of its own kinds:

    goldthread.register(Money, to=lambda money: (money.amount, money.currency), back=lambda parts: Money(*parts))

or, for a library that does not want to import goldthread, by two functions in its class:

    class Money:
        __goldthread__ = (lambda money: (money.amount, money.currency), lambda parts: Money(*parts))

What `to` gives is stored as any state is. `back` gets it whole; so what a recipe makes cannot contain itself.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from goldthread.errors import DoesNotFit, GoldthreadError, UsageError
from goldthread.state.classes import class_path
from goldthread.state.fit import HINT
from goldthread.state.kind import Family, Form, Kind, Store
from goldthread.state.kinds.names import find, refuse_unless_found
from goldthread.state.nodes import Node, Place
from goldthread.state.walk import Refusal, Walk

__all__ = ["FAMILY", "RECIPES", "Recipe", "is_registered", "library", "refuse_own_attributes", "register", "store_by"]


@dataclass(frozen=True, slots=True)
class Recipe:
    """How things of one kind are taken apart and put together."""

    name: str
    """In the manifest: "pandas.Series"."""
    to: Callable[[Any], Any]
    """What is stored. Arrays in it should be views of the thing's own memory, so that they can be filled in place."""
    back: Callable[[Any], Any]
    """The thing again. The contents are whole, and its own to keep."""
    pour: Callable[[Any, Any], bool] | None = None
    """`pour(current, contents)`: give a thing of the program other contents, of which arrays may be its own, filled
    already. False where that cannot be; None: it is replaced."""
    suits: Callable[[Any], bool] | None = None
    """Whether a thing of the program can be poured into by this recipe."""
    own: Callable[[Any], Any] | None = None
    """Instead of `to`, where what a thing holds has no opinion about its shape and type: `own(current)` gives what is
    stored, with None for what must not be filled. Its tuples and dicts are gone into; arrays in them that are alike
    are filled, and all else is made anew."""


RECIPES: Final[dict[str, Recipe]] = {}
"""By name; families add theirs, and `register` those of the program."""
_REGISTERED: Final[dict[type, Recipe | None]] = {}
"""None: the class is stored as any object is, or as it says itself; the program only says that it is known."""


def refuse_own_attributes(thing: Any, *names: str) -> None:
    """Refuse a thing of a library with attributes that the program has put on it: they would be left out. The
    library's own have these names, or begin with an underscore."""
    own = [name for name in vars(thing) if not name.startswith("_") and name not in names]
    if own:
        raise Refusal(
            f"{type(thing).__name__} has attributes of the program's own ({', '.join(own)}): it has no place for them",
            "keep them beside it in the state",
        )


def library(name: str) -> Any:
    """A module of a library that the program has loaded; for recipes. Raises `ImportError` where it has not."""
    found = sys.modules.get(name)
    if found is None:
        raise ImportError(f"it was stored by {name}, which is not loaded", name=name.partition(".")[0])
    return found


def store_by(recipe: Recipe) -> Store:
    """How things are stored by a recipe."""

    def store(walk: Walk, thing: Any) -> None:
        if walk.enter(thing):
            walk.atoms.append(("recipe", recipe.name, 1))
            walk.visit(thing, [""], [walk.made(recipe.to(thing))], str, whole=True)

    RECIPES[recipe.name] = recipe
    return store


def register(cls: type, *, to: Callable[[Any], Any] | None = None, back: Callable[[Any], Any] | None = None) -> None:
    """Say how things of a class are stored: as what `to(thing)` gives, from which `back(contents)` makes them again.

    Without the two, the class is only said to be known: its things are stored by their attributes, or by what the class
    says itself (`__reduce_ex__`, `__getstate__`, `__setstate__`) where it does. Subclasses are not meant.

    Raises `UsageError` where `cls` is no class, or only one of the two is given.
    """
    if not isinstance(cls, type):
        raise UsageError(f"{cls!r} is no class", hint="goldthread.register(Money, to=..., back=...)")
    if (to is None) != (back is None):
        raise UsageError("to and back belong together", hint="give both, or neither")
    _REGISTERED[cls] = None if to is None or back is None else Recipe(class_path(cls), to, back)
    from goldthread.state.kinds.registry import REGISTRY

    REGISTRY.forget(cls)


def registered(path: str) -> type | None:
    return next((cls for cls in _REGISTERED if class_path(cls) == path), None)


def is_registered(cls: type) -> bool:
    return cls in _REGISTERED


def own_recipe(cls: type) -> Recipe | None:
    """What was registered for a class, or what its `__goldthread__` says."""
    recipe = _REGISTERED.get(cls)
    if recipe is not None:
        return recipe
    pair = vars(cls).get("__goldthread__")
    if pair is None:
        return None
    if not isinstance(pair, tuple) or len(pair) != 2 or not all(map(callable, pair)):
        raise Refusal(f"{cls.__qualname__}.__goldthread__ is no pair of functions", "__goldthread__ = (to, back)")
    return Recipe(class_path(cls), *pair)


def _claim(cls: type) -> Store | None:
    return _store_own if _REGISTERED.get(cls) is not None or "__goldthread__" in vars(cls) else None


def _store_own(walk: Walk, thing: Any) -> None:
    cls = type(thing)
    recipe = own_recipe(cls)
    if cls not in _REGISTERED:
        refuse_unless_found(walk, cls)
    if recipe is not None and walk.enter(thing):
        walk.atoms.append(("registered", recipe.name, 1))
        walk.visit(thing, [""], [walk.made(recipe.to(thing))], str, whole=True)


def _make_registered(rebuilder: Any, node: Node, place: object) -> Any:
    path = node.details[0]
    cls = registered(path) or find(rebuilder, path, place)
    recipe = own_recipe(cls)
    if recipe is None:
        raise DoesNotFit(
            f"{place}: it was stored by what was registered for {path.replace(':', '.')}, for which nothing is now",
            hint="goldthread.register(...) before restore",
        )
    return _back(rebuilder, node, recipe, place)


def _make_recipe(rebuilder: Any, node: Node, place: object) -> Any:
    return _back(rebuilder, node, _recipe_of(node, place), place)


def _recipe_of(node: Node, place: object) -> Recipe:
    recipe = RECIPES.get(node.details[0])
    if recipe is None:
        raise DoesNotFit(f"{place}: this version knows no {node.details[0]}", hint="use the version that wrote it")
    return recipe


def _back(rebuilder: Any, node: Node, recipe: Recipe, place: object) -> Any:
    contents = rebuilder.children(node, place)[0]
    rebuilder.fill_anew()
    try:
        return recipe.back(contents)
    except ImportError as error:
        raise DoesNotFit(f"{place}: {error}", hint=f"import {error.name or 'the library'} first") from error
    except GoldthreadError:
        raise
    except Exception as error:
        name = recipe.name.replace(":", ".")
        raise DoesNotFit(f"{place}: no {name} can be made of what was stored: {error!r}", hint=HINT) from error


def _fit_recipe(fitter: Any, node: Node, current: Any, place: object) -> Any:
    recipe = _recipe_of(node, place)
    if recipe.pour is None or recipe.suits is None:
        return fitter.make(node, place)
    if not recipe.suits(current):
        raise DoesNotFit(f"{place}: the commit has a {recipe.name}, the program a {type(current).__name__}", hint=HINT)
    pour = recipe.pour
    child = node.expand()[0]
    if recipe.own is None:
        contents = fitter.fit(child, recipe.to(current), place)
    else:
        contents = _fit_parts(fitter, child, _own_parts(recipe.own, current), place)

    def finish() -> None:
        if not pour(current, contents):
            raise DoesNotFit(f"{place}: the program's {type(current).__name__} does not take what was stored")

    fitter.noted.append(finish)
    return current


def _own_parts(own: Callable[[Any], Any], current: Any) -> Any:
    """None where the program's thing could not be stored: nothing in it is filled."""
    try:
        return own(current)
    except (Refusal, ImportError):
        return None


def _fit_parts(fitter: Any, node: Any, parts: Any, place: object) -> Any:
    """What is stored of a thing, in arrays of the program's where they are alike."""
    if type(node) is not Node:
        return node
    if node.kind.name == "array" and type(parts) is np.ndarray and _is_alike(fitter, node, parts):
        return fitter.fit(node, parts, place)
    recipe = RECIPES.get(node.details[0]) if node.kind.name == "recipe" else None
    if recipe is not None and recipe.own is not None and recipe.suits is not None and recipe.suits(parts):
        return fitter.fit(node, parts, place)
    if node.kind.name == "dict" and type(parts) is dict and node.keys is not None:
        named = zip(node.keys, node.expand(), strict=True)
        contents = {key: _fit_parts(fitter, child, parts.get(key), Place(place, node, key)) for key, child in named}
        fitter.rebuilder.replace(node, contents)
        return contents
    if node.kind.name == "tuple" and type(parts) is tuple and len(parts) == len(node.keys) > 0:
        children = zip(node.keys, node.expand(), parts, strict=True)
        made = tuple(_fit_parts(fitter, child, part, Place(place, node, key)) for key, child, part in children)
        fitter.rebuilder.replace(node, made)
        return made
    return fitter.make(node, place)


def _is_alike(fitter: Any, node: Node, array: Any) -> bool:
    stored = fitter.rebuilder.view(node)
    if array.shape != stored.shape or array.dtype != stored.dtype or not array.flags.writeable:
        return False
    flags = stored.flags
    return bool(flags.c_contiguous == array.flags.c_contiguous and flags.f_contiguous == array.flags.f_contiguous)


def _suits(thing: Any) -> bool:
    return any(recipe.suits is not None and recipe.suits(thing) for recipe in RECIPES.values())


FAMILY: Final = Family(
    kinds=(
        Kind("recipe", Form.CONTAINER, _make_recipe, suits=_suits, fit=_fit_recipe, attributes=True),
        Kind("registered", Form.CONTAINER, _make_registered, attributes=True),
    ),
    claim=_claim,
    knows=lambda path: registered(path) is not None,
)
