"""scipy.sparse: arrays and matrices of all its forms, by their attributes, which are the arrays in which they lie.

One of the program stays the program's own. Its arrays are filled where they have the same shape and type, and are
replaced where not: how many places of a sparse matrix are taken changes as a program runs.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, Final

from goldthread.state.kind import Family, Store
from goldthread.state.kinds.recipes import Recipe, library, store_by
from goldthread.state.walk import Refusal, Walk

__all__ = ["FAMILY"]

_FORMS: Final = ("bsr", "coo", "csc", "csr", "dia", "dok", "lil")
_NAMES: Final = tuple(f"{form}_{kind}" for form in _FORMS for kind in ("array", "matrix"))


def _to(matrix: Any) -> dict[str, Any]:
    if isinstance(matrix, dict) and "_dict" not in vars(matrix):  # So it was before scipy 1.13.
        raise Refusal(f"{type(matrix).__name__} of this scipy cannot be stored", "use scipy 1.13, or tocsr()")
    return dict(vars(matrix))


def _maker(name: str) -> Callable[[Any], Any]:
    def back(attributes: dict[str, Any]) -> Any:
        cls = vars(library("scipy.sparse")).get(name)
        if cls is None:
            raise ImportError(f"this scipy has no {name}", name="another version of scipy")
        made = cls.__new__(cls)
        vars(made).update(attributes)
        return made

    return back


def _pour(current: Any, attributes: dict[str, Any]) -> bool:
    vars(current).clear()
    vars(current).update(attributes)
    return True


def _exactly(name: str) -> Callable[[Any], bool]:
    return lambda thing: type(thing) is getattr(sys.modules.get("scipy.sparse"), name, None)


_STORES: Final[dict[str, Store]] = {
    name: store_by(Recipe(f"scipy.{name}", _to, _maker(name), _pour, _exactly(name), own=_to)) for name in _NAMES
}


def _refuse(walk: Walk, thing: Any) -> None:
    name = type(thing).__name__
    raise Refusal(
        f"{name}, a subclass of one of scipy.sparse, cannot be stored", f"goldthread.register({name}, to=..., back=...)"
    )


def _claim(cls: type) -> Store | None:
    sparse = sys.modules["scipy.sparse"]
    if getattr(sparse, cls.__name__, None) is cls:
        return _STORES.get(cls.__name__)
    is_one = hasattr(sparse, "sparray") and issubclass(cls, (sparse.sparray, sparse.spmatrix))
    return _refuse if is_one else None


FAMILY: Final = Family(claim=_claim, package="scipy.sparse")
