"""SciPy's distributions with their parameters set (`scipy.stats.uniform(0, 2)`), as searches for parameters hold them.

Their methods are made by `exec`, so they are stored by name, parameters and the generator from which they draw.
"""

from __future__ import annotations

from typing import Any, Final

from goldthread.state.kind import Family, Store
from goldthread.state.kinds.names import derives
from goldthread.state.kinds.recipes import Recipe, library, store_by
from goldthread.state.walk import Refusal

__all__ = ["FAMILY"]

_INFRASTRUCTURE: Final = "scipy.stats._distn_infrastructure"
_FROZEN: Final = (f"{_INFRASTRUCTURE}:rv_continuous_frozen", f"{_INFRASTRUCTURE}:rv_discrete_frozen")


def _named(name: Any) -> Any:
    """The distribution that SciPy has under this name; None where it has none."""
    found = vars(library("scipy.stats")).get(name) if isinstance(name, str) else None
    return found if isinstance(found, library(_INFRASTRUCTURE).rv_generic) else None


def _to(frozen: Any) -> tuple[Any, ...]:
    own = frozen.dist
    known = _named(own.name)
    if type(known) is not type(own) or known._updated_ctor_param() != own._updated_ctor_param():
        raise Refusal(
            f"the distribution {own.name} is none of scipy.stats by that name", "goldthread.register(...) says how"
        )
    return own.name, frozen.args, frozen.kwds, own._random_state


def _back(parts: Any) -> Any:
    name, arguments, named, draw = parts
    known = _named(name)
    if known is None:
        raise ImportError(f"this scipy.stats has no {name}", name="another version of scipy")
    made = known(*arguments, **named)
    made.dist._random_state = draw
    return made


_store: Final = store_by(Recipe("scipy.stats.frozen", _to, _back))


def _claim(cls: type) -> Store | None:
    is_known = cls.__module__ == _INFRASTRUCTURE and any(derives(cls, path) for path in _FROZEN)
    return _store if is_known else None


FAMILY: Final = Family(claim=_claim, package="scipy.stats")
