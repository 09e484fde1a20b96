"""Optuna's studies, and the samplers of emcee and dynesty.

They are stored by their attributes. What a user gave them (an objective, a likelihood, a prior) is a function, and
comes back by its name; the generators by which they draw are part of them, and go on.

Of Optuna, two things are no part of a state: the lock of the trials in memory, and what a thread notes while it is
inside `optimize`. They are made anew. Trials in a database or a file are not goldthread's to bring back: such a study
is refused, and found again by `load_study`.
"""

from __future__ import annotations

import threading
import types
from typing import Any, Final

from goldthread.state.classes import class_path
from goldthread.state.kind import Family, Store
from goldthread.state.kinds.names import derives, is_named
from goldthread.state.kinds.recipes import Recipe, library, store_by
from goldthread.state.walk import Refusal, Walk

__all__ = ["DYNESTY", "EMCEE", "OPTUNA"]

_OPTUNA: Final = ("distributions", "pruners", "samplers", "search_space", "study", "trial")
_OPTUNA_STORAGE: Final = "optuna.storages._in_memory"
_EMCEE: Final = frozenset({"emcee.ensemble", "emcee.state", "emcee.backends.backend", "emcee.model"})
_EMCEE_MOVES: Final = "emcee.moves."
_DYNESTY_FUNCTIONS: Final = frozenset(
    {"dynesty.dynamicsampler:weight_function", "dynesty.dynamicsampler:stopping_function"}
)


# Optuna.


def _knows_optuna(path: str) -> bool:
    module = path.partition(":")[0]
    package, _, rest = module.partition(".")
    part = rest.partition(".")[0]
    if package != "optuna" or (part not in _OPTUNA and module != _OPTUNA_STORAGE):
        return False
    return is_named(path, (type, types.FunctionType) if part == "samplers" else type)


def _storage_to(storage: Any) -> dict[str, Any]:
    return {name: value for name, value in vars(storage).items() if name != "_lock"}


def _storage_back(attributes: dict[str, Any]) -> Any:
    storage = object.__new__(library(_OPTUNA_STORAGE).InMemoryStorage)
    vars(storage).update(attributes, _lock=threading.RLock())
    return storage


def _pour_storage(storage: Any, attributes: dict[str, Any]) -> bool:
    with storage._lock:
        vars(storage).update(attributes)
    return True


def _is_storage(thing: Any) -> bool:
    return class_path(type(thing)) == f"{_OPTUNA_STORAGE}:InMemoryStorage"


_store_storage: Final = store_by(
    Recipe("optuna.InMemoryStorage", _storage_to, _storage_back, pour=_pour_storage, suits=_is_storage)
)
_store_thread: Final = store_by(
    Recipe("optuna.thread", lambda _: None, lambda _: library("optuna.study.study")._ThreadLocalStudyAttribute())
)


def _refuse_storage(walk: Walk, storage: Any) -> None:
    raise Refusal(
        f"{type(storage).__qualname__} cannot be stored: its trials are in a database or a file",
        "keep the study's name, and the sampler, in the state, and call optuna.load_study after restore; or keep the "
        "trials in memory",
    )


def _claim_optuna(cls: type) -> Store | None:
    path = class_path(cls)
    if path == f"{_OPTUNA_STORAGE}:InMemoryStorage":
        return _store_storage
    if path == "optuna.study.study:_ThreadLocalStudyAttribute":
        return _store_thread
    is_library = path.startswith("optuna.")
    return _refuse_storage if is_library and derives(cls, "optuna.storages._base:BaseStorage") else None


OPTUNA: Final = Family(claim=_claim_optuna, knows=_knows_optuna, package="optuna.study")


# emcee and dynesty.


def _knows_emcee(path: str) -> bool:
    module = path.partition(":")[0]
    return (module in _EMCEE or module.startswith(_EMCEE_MOVES)) and is_named(path, type)


def _refuse_backend(walk: Walk, backend: Any) -> None:
    raise Refusal(
        f"{type(backend).__qualname__} cannot be stored: its chain is in a file",
        "keep the chain in memory (backend=None), and write the file at the end",
    )


def _claim_emcee(cls: type) -> Store | None:
    return _refuse_backend if class_path(cls).startswith("emcee.backends.hdf:") else None


EMCEE: Final = Family(claim=_claim_emcee, knows=_knows_emcee, package="emcee")


def _knows_dynesty(path: str) -> bool:
    """Every class; of functions only those that are a default of its samplers: others read files."""
    module = path.partition(":")[0]
    if path in _DYNESTY_FUNCTIONS:
        return True
    return module.partition(".")[0] == "dynesty" and is_named(path, type)


DYNESTY: Final = Family(knows=_knows_dynesty, package="dynesty")
