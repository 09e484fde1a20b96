"""XGBoost, LightGBM and CatBoost: models by what the library itself writes of them, wrappers by their attributes.

Their memory is C++'s; each library gives it as bytes or text that its next life reads again. What that does not have:

- XGBoost keeps no position of the generator by which it samples rows and columns. A booster that samples predicts the
  same bits after a restore, and goes on from another draw; that is told once.
- LightGBM's text has the trees, not what training holds beside them. A booster that still has its training data is
  refused; one that was trained (by `lightgbm.train`, by `fit`) comes back whole.
- CatBoost's model is whole: training from it (`init_model`) begins from a seed in any case. The raw values that it
  kept of sets by which it was evaluated are not; that is told once.

Data in a library's own form (`DMatrix`, `Dataset`, `Pool`) is refused: it is made again from arrays.
"""

from __future__ import annotations

import json
from typing import Any, Final

import numpy as np

from goldthread.state.classes import class_path
from goldthread.state.kind import Family, Store
from goldthread.state.kinds.names import derives, is_named
from goldthread.state.kinds.recipes import Recipe, library, store_by
from goldthread.state.walk import Refusal, Walk

__all__ = ["CATBOOST", "LIGHTGBM", "XGBOOST"]

_MAKE_AGAIN: Final = "keep the arrays that it is made of in the state, and make it again after restore"
_SAMPLES: Final = (
    "XGBoost's generator cannot be reached: a booster that samples goes on from another draw after a restore "
    "(what it predicts is the same)"
)
_CALLBACKS: Final = frozenset({"xgboost.callback:EarlyStopping", "xgboost.callback:LearningRateScheduler"})
"""Others write files."""
_EVALUATED: Final = (
    "CatBoost takes back no raw values of the sets that it was evaluated by: get_test_evals() is empty after a restore "
    "(the metrics are there)"
)
_SHARES: Final = frozenset({"subsample", "colsample_bytree", "colsample_bylevel", "colsample_bynode"})
_RATES: Final = frozenset({"rate_drop", "skip_drop"})


def _known(path: str, modules: frozenset[str]) -> bool:
    """Whether a path is that of a class of one of these modules."""
    return path.partition(":")[0] in modules and is_named(path, type)


def _refuse(walk: Walk, thing: Any) -> None:
    cls = type(thing)
    raise Refusal(f"{cls.__qualname__} cannot be stored: it has the data in memory of its library", _MAKE_AGAIN)


def _bytes_of(data: Any) -> Any:
    """Bytes as an array: of a large model a commit copies what changed."""
    return np.frombuffer(data, np.uint8)


# XGBoost.


def _xgboost_to(booster: Any) -> tuple[dict[str, Any], Any]:
    said = booster.__getstate__()
    data = said.pop("handle")
    return said, None if data is None else _bytes_of(data)


def _xgboost_back(parts: Any) -> Any:
    attributes, data = parts
    cls = library("xgboost.core").Booster
    booster = cls.__new__(cls)
    booster.__setstate__({"handle": None if data is None else bytearray(data), **attributes})
    return booster


_store_xgboost: Final = store_by(Recipe("xgboost.Booster", _xgboost_to, _xgboost_back))


def _xgboost(walk: Walk, booster: Any) -> None:
    if vars(booster).get("handle") is not None:
        _look_at(walk, booster)
    _store_xgboost(walk, booster)


def _look_at(walk: Walk, booster: Any) -> None:
    """Tell of what training would do otherwise; refuse what comes back otherwise."""
    try:
        settings = dict(_leaves(json.loads(booster.save_config())))
    except ValueError as error:  # XGBoostError is one.
        raise Refusal(f"Booster cannot be stored: XGBoost refuses to say its settings: {error}", _MAKE_AGAIN) from error
    if settings.get("feature_selector", "cyclic") not in ("cyclic", "0"):
        raise Refusal(
            "Booster cannot be stored: of a linear booster XGBoost does not keep in which order features are selected",
            "use feature_selector='cyclic'",
        )
    shares = any(float(settings.get(name, 1)) < 1 for name in _SHARES)
    if shares or any(float(settings.get(name, 0)) > 0 for name in _RATES):
        walk.tell(_SAMPLES)


def _leaves(settings: Any) -> Any:
    for name, value in settings.items() if isinstance(settings, dict) else enumerate(settings):
        if isinstance(value, (dict, list)):
            yield from _leaves(value)
        else:
            yield name, value


def _claim_xgboost(cls: type) -> Store | None:
    if class_path(cls) == "xgboost.core:Booster":
        return _xgboost
    return _refuse if derives(cls, "xgboost.core:DMatrix") else None


XGBOOST: Final = Family(
    claim=_claim_xgboost,
    knows=lambda path: path in _CALLBACKS or _known(path, frozenset({"xgboost.sklearn"})),
    package="xgboost",
)


# LightGBM.


def _lightgbm_to(booster: Any) -> tuple[dict[str, Any], Any]:
    said = booster.__getstate__()
    text = said.pop("_handle")
    return said, None if text is None else _bytes_of(text.encode())


def _lightgbm_back(parts: Any) -> Any:
    attributes, data = parts
    cls = library("lightgbm.basic").Booster
    booster = cls.__new__(cls)
    booster.__setstate__({"_handle": None if data is None else data.tobytes().decode(), **attributes})
    return booster


_store_lightgbm: Final = store_by(Recipe("lightgbm.Booster", _lightgbm_to, _lightgbm_back))


def _lightgbm(walk: Walk, booster: Any) -> None:
    if vars(booster).get("train_set") is not None or vars(booster).get("valid_sets"):
        raise Refusal(
            "Booster cannot be stored while it has its training data: LightGBM does not say what training holds",
            "commit what lightgbm.train(..., init_model=...) gives for some rounds, or call booster.free_dataset()",
        )
    _store_lightgbm(walk, booster)


def _claim_lightgbm(cls: type) -> Store | None:
    if class_path(cls) == "lightgbm.basic:Booster":
        return _lightgbm
    return _refuse if derives(cls, "lightgbm.basic:Dataset") else None


LIGHTGBM: Final = Family(
    claim=_claim_lightgbm,
    knows=lambda path: _known(path, frozenset({"lightgbm.sklearn", "lightgbm.callback"})),
    package="lightgbm",
)


# CatBoost.


def _catboost_to(model: Any) -> Any:
    """What a model writes that was read differs in bytes from what the model of the training writes, and then no more.
    So it is read once, that the two lives write the same."""
    return _bytes_of(_catboost_model(model._serialize_model())._serialize_model())


def _catboost_model(data: bytes) -> Any:
    made = library("_catboost")._CatBoost()
    made._deserialize_model(data)
    return made


_store_catboost: Final = store_by(
    Recipe("catboost.CatBoost", _catboost_to, lambda data: _catboost_model(data.tobytes()))
)


def _catboost(walk: Walk, model: Any) -> None:
    if any(map(len, model._get_test_evals())):
        walk.tell(_EVALUATED)
    _store_catboost(walk, model)


def _claim_catboost(cls: type) -> Store | None:
    if class_path(cls) == "_catboost:_CatBoost":
        return _catboost
    return _refuse if derives(cls, "_catboost:_PoolBase") else None


CATBOOST: Final = Family(
    claim=_claim_catboost,
    knows=lambda path: _known(path, frozenset({"catboost.core"})),
    package="catboost",
)
