"""Boosters, studies and samplers: each goes on after a restore as if nothing had been, or says where it does not.

Those of a library that is not installed are skipped.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from images import image_of, new_writer

from goldthread.errors import CannotStore
from goldthread.names import Step
from goldthread.state.compare import compare
from goldthread.state.restore import pour, read

pytestmark = pytest.mark.torch

FEATURES = np.random.default_rng(1).uniform(size=(400, 5))
CLASSES = (FEATURES.sum(axis=1) + np.random.default_rng(2).normal(size=400) / 3 > 2.5).astype(int)


def again(state: object) -> Any:
    return read(image_of(state), map=False, pickle=False)


def differences(one: object, other: object) -> list[str]:
    return list(map(str, compare(image_of(one), image_of(other)).differences))


def told(state: object) -> list[str]:
    """What several commits say cannot come back exactly."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        writer = new_writer()
        for step in range(3):
            writer.write({"state": state}, Step(step), generators=False)
        writer.close()
    return [str(warning.message) for warning in caught]


# XGBoost.


def boosted(rounds: int, *, stop: int | None = None, **settings: Any) -> Any:
    """A booster of so many rounds, restored before one of them."""
    xgboost = pytest.importorskip("xgboost")
    data = xgboost.DMatrix(FEATURES, label=CLASSES, nthread=1)
    booster = xgboost.Booster({"objective": "binary:logistic", "nthread": 1, "seed": 3, **settings}, [data])
    for number in range(rounds):
        if number == stop:
            booster = again({"booster": booster})["booster"]
        booster.update(data, number)
    return booster, booster.predict(data)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"tree_method": "exact"},
        {"grow_policy": "lossguide", "max_leaves": 6},
        {"num_parallel_tree": 2},
        {"booster": "dart"},
        {"booster": "gblinear"},
        {"objective": "multi:softprob", "num_class": 2},
    ],
)
def test_xgboost_trains_on_exactly(settings: dict[str, Any]) -> None:
    """What does not sample comes to the same model and the same bits."""
    (alone, one), (stopped, other) = boosted(8, **settings), boosted(8, stop=4, **settings)
    assert alone.save_raw("ubj") == stopped.save_raw("ubj")
    assert one.tobytes() == other.tobytes()
    assert differences(alone, stopped) == []


@pytest.mark.parametrize(
    "settings", [{"subsample": 0.5}, {"colsample_bynode": 0.5}, {"booster": "dart", "rate_drop": 0.5}]
)
def test_a_booster_that_samples_says_that_it_goes_on_otherwise(settings: dict[str, Any]) -> None:
    """It predicts the same, which is told once; what does not sample is not spoken of."""
    booster, predicted = boosted(4, **settings)
    data = pytest.importorskip("xgboost").DMatrix(FEATURES, nthread=1)
    assert again(booster).predict(data).tobytes() == predicted.tobytes()
    for one, times in ((booster, 1), (boosted(4)[0], 0)):
        assert times == sum("generator cannot be reached" in text for text in told(one))


def test_xgboost_refuses_what_does_not_come_back() -> None:
    """An order of features that its own bytes leave out, and data in its own memory."""
    booster, _ = boosted(2, booster="gblinear", updater="coord_descent", feature_selector="shuffle")
    with pytest.raises(CannotStore, match="order features are selected"):
        image_of(booster)
    data = pytest.importorskip("xgboost").DMatrix(FEATURES)
    with pytest.raises(CannotStore, match=r'state\["data"\]: DMatrix cannot be stored'):
        image_of({"data": data})


def test_boosters_in_the_form_of_scikit_learn_come_back() -> None:
    """The program's own wrapper stays and predicts the same bits, though it was never fitted."""
    xgboost, lightgbm = pytest.importorskip("xgboost"), pytest.importorskip("lightgbm")
    for cls, settings in ((xgboost.XGBClassifier, {}), (lightgbm.LGBMClassifier, {"verbose": -1})):
        model, fresh = (cls(n_estimators=4, n_jobs=1, **settings) for _ in range(2))
        model.fit(FEATURES, CLASSES)
        poured = pour(image_of({"model": model}), {"model": fresh}, map=False, pickle=False)
        assert poured.state["model"] is fresh
        assert model.predict_proba(FEATURES).tobytes() == fresh.predict_proba(FEATURES).tobytes()
        assert differences(model, fresh) == []


# LightGBM and CatBoost.


def test_lightgbm_comes_back_and_is_trained_on() -> None:
    """A booster of `train` is whole; more rounds from it come to the same trees."""
    lightgbm = pytest.importorskip("lightgbm")
    settings = {"objective": "binary", "num_threads": 1, "verbose": -1, "bagging_fraction": 0.5, "bagging_freq": 1}

    def train(begin: Any = None) -> Any:
        return lightgbm.train(settings, lightgbm.Dataset(FEATURES, label=CLASSES), 4, init_model=begin)

    booster = train()
    back = again(booster)
    assert booster.predict(FEATURES).tobytes() == back.predict(FEATURES).tobytes()
    assert train(booster).model_to_string() == train(back).model_to_string()
    assert differences(booster, back) == []


def test_lightgbm_refuses_a_booster_in_training() -> None:
    """Its text does not have what training holds."""
    lightgbm = pytest.importorskip("lightgbm")
    data = lightgbm.Dataset(FEATURES, label=CLASSES)
    booster = lightgbm.Booster({"verbose": -1, "num_threads": 1}, data)
    for thing, text in ((booster, "while it has its training data"), (data, "Dataset cannot be stored")):
        with pytest.raises(CannotStore, match=text):
            image_of(thing)


def test_catboost_comes_back_and_is_trained_on() -> None:
    """Model, evaluations and attributes; fitted or not."""
    catboost = pytest.importorskip("catboost")
    settings = {"iterations": 4, "verbose": 0, "thread_count": 1, "allow_writing_files": False, "random_seed": 1}
    model, fresh = catboost.CatBoostClassifier(**settings), catboost.CatBoostClassifier(**settings)
    assert differences(model, again(model)) == []
    model.fit(FEATURES, CLASSES, eval_set=(FEATURES[:50], CLASSES[:50]))
    back = pour(image_of({"model": model}), {"model": fresh}, map=False, pickle=False).state["model"]
    assert back is fresh
    assert model.predict_proba(FEATURES).tobytes() == back.predict_proba(FEATURES).tobytes()
    assert model.get_evals_result() == back.get_evals_result()
    assert sum("get_test_evals() is empty" in text for text in told(model)) == 1
    assert told(back) == []
    assert differences(model, back) == []
    more = [catboost.CatBoostClassifier(**settings).fit(FEATURES, CLASSES, init_model=one) for one in (model, back)]
    assert more[0].predict_proba(FEATURES).tobytes() == more[1].predict_proba(FEATURES).tobytes()
    with pytest.raises(CannotStore, match="Pool cannot be stored"):
        image_of(catboost.Pool(FEATURES, CLASSES))


# Optuna.


def objective(trial: Any) -> float:
    x, kind = trial.suggest_float("x", -1, 1), trial.suggest_categorical("kind", ["even", "odd"])
    for step in range(3):
        trial.report(abs(x) + step, step)
        if trial.should_prune():
            break
    return float((x - 0.3) ** 2 + trial.suggest_int("n", 1, 4) + (kind == "odd"))


def two(trial: Any) -> tuple[float, float]:
    x, y = trial.suggest_float("x", -1, 1), trial.suggest_float("y", -1, 1)
    return x * x, (x - y) ** 2


def trials_of(study: Any) -> list[Any]:
    return [(trial.params, trial.values, trial.state.name, trial.intermediate_values) for trial in study.trials]


@pytest.mark.parametrize(
    ("sampler", "settings", "wanted"),
    [
        ("TPESampler", {"multivariate": True}, objective),
        ("TPESampler", {}, two),
        ("RandomSampler", {}, objective),
        ("NSGAIISampler", {"population_size": 4}, two),
        ("NSGAIIISampler", {"population_size": 4}, two),
        ("BruteForceSampler", {}, objective),
    ],
)
def test_a_study_goes_on_exactly(sampler: str, settings: dict[str, Any], wanted: Any) -> None:
    """With its sampler and pruner it proposes what it would have, in a study of the program as in a new one."""
    optuna = pytest.importorskip("optuna")
    optuna.logging.set_verbosity(optuna.logging.ERROR)

    def new() -> Any:
        made = getattr(optuna.samplers, sampler)(seed=5, **settings)
        directions = ["minimize"] * (2 if wanted is two else 1)
        return optuna.create_study(sampler=made, pruner=optuna.pruners.MedianPruner(2), directions=directions)

    if sampler == "BruteForceSampler":
        wanted = choices
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        alone, stopped, fresh = new(), new(), new()
        for study in (alone, stopped):
            study.optimize(wanted, n_trials=12)
        image = image_of({"study": stopped})
        back = read(image, map=False, pickle=False)["study"]
        poured = pour(image, {"study": fresh}, map=False, pickle=False).state["study"]
        assert poured is fresh
        for study in (alone, back, poured):
            study.optimize(wanted, n_trials=8)
    assert trials_of(alone) == trials_of(back) == trials_of(poured)


def choices(trial: Any) -> float:
    return float(trial.suggest_int("n", 1, 6) * trial.suggest_int("m", 1, 6))


def test_a_study_committed_from_inside_its_loop_can_be_optimized() -> None:
    """That a thread is inside `optimize` is no part of the state."""
    optuna = pytest.importorskip("optuna")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    images: list[Any] = []
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    study.optimize(choices, n_trials=3, callbacks=[lambda study, trial: images.append(image_of(study))])
    back = read(images[1], map=False, pickle=False)
    back.optimize(choices, n_trials=1)
    assert trials_of(study) == trials_of(back)


def test_trials_in_a_file_are_refused(tmp_path: Any) -> None:
    """goldthread brings back the program, not the world."""
    optuna = pytest.importorskip("optuna")
    backend = optuna.storages.journal.JournalFileBackend(str(tmp_path / "journal"))
    study = optuna.create_study(storage=optuna.storages.JournalStorage(backend))
    with pytest.raises(CannotStore, match=r"state\._storage: JournalStorage cannot be stored: its trials are in"):
        image_of(study)


# emcee and dynesty.


def likelihood(x: Any) -> float:
    return float(-0.5 * np.sum(np.square(x)))


def prior(unit: Any) -> Any:
    return 10 * np.asarray(unit) - 5


def test_emcee_goes_on_exactly() -> None:
    """Chain, walkers and generator: further steps are the same bits."""
    emcee = pytest.importorskip("emcee")
    moves = [(emcee.moves.StretchMove(), 0.5), (emcee.moves.DEMove(), 0.5)]
    alone, fresh = (emcee.EnsembleSampler(8, 2, likelihood, moves=moves) for _ in range(2))
    alone.run_mcmc(np.random.default_rng(1).normal(size=(8, 2)), 10)
    image = image_of({"sampler": alone})
    back = read(image, map=False, pickle=False)["sampler"]
    poured = pour(image, {"sampler": fresh}, map=False, pickle=False).state["sampler"]
    assert poured is fresh
    for sampler in (alone, back, poured):
        sampler.run_mcmc(None, 10)
    assert alone.get_chain().tobytes() == back.get_chain().tobytes() == poured.get_chain().tobytes()
    assert alone.get_log_prob().tobytes() == back.get_log_prob().tobytes()


def test_emcee_refuses_what_has_no_name() -> None:
    """A likelihood comes back by its name."""
    emcee = pytest.importorskip("emcee")
    with pytest.raises(CannotStore, match=r"state\.log_prob_fn\.f: a lambda cannot be stored"):
        image_of(emcee.EnsembleSampler(4, 1, lambda x: 0.0))


@pytest.mark.parametrize("sample", ["unif", "rwalk", "rslice"])
def test_dynesty_goes_on_exactly(sample: str) -> None:
    """A run that was stopped comes to the same evidence and the same samples."""
    dynesty = pytest.importorskip("dynesty")

    def new() -> Any:
        draw = np.random.default_rng(4)
        return dynesty.NestedSampler(likelihood, prior, 2, nlive=25, rstate=draw, sample=sample)

    alone, fresh = new(), new()
    alone.run_nested(maxiter=60, print_progress=False, add_live=False)
    image = image_of({"sampler": alone})
    back = read(image, map=False, pickle=False)["sampler"]
    poured = pour(image, {"sampler": fresh}, map=False, pickle=False).state["sampler"]
    assert poured is fresh
    for sampler in (alone, back, poured):
        sampler.run_nested(maxiter=60, print_progress=False)
    one, *others = (sampler.results for sampler in (alone, back, poured))
    for other in others:
        assert one.samples.tobytes() == other.samples.tobytes()
        assert one.logz.tobytes() == other.logz.tobytes()


def test_dynesty_goes_on_with_a_dynamic_run() -> None:
    """The sampler that adds points where they are needed, too."""
    dynesty = pytest.importorskip("dynesty")
    alone = dynesty.DynamicNestedSampler(likelihood, prior, 2, rstate=np.random.default_rng(4))
    alone.run_nested(maxiter=150, nlive_init=20, print_progress=False)
    back = again(alone)
    for sampler in (alone, back):
        sampler.add_batch(nlive=20, maxiter=40, print_progress=False)
    assert alone.results.samples.tobytes() == back.results.samples.tobytes()
