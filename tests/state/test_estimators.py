"""scikit-learn: every estimator that was fitted comes back as it was, predicts the same bits, and trains on alike."""

from __future__ import annotations

import inspect
import warnings
from typing import Any

import numpy as np
import pytest
from images import image_of, new_writer, newest_image
from scipy.sparse import csr_matrix
from scipy.stats import randint, rv_continuous, uniform
from sklearn.datasets import load_iris
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression, Ridge, SGDClassifier
from sklearn.model_selection import RandomizedSearchCV
from sklearn.neighbors import BallTree, KDTree, KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier
from sklearn.utils import all_estimators

from goldthread.errors import CannotStore
from goldthread.names import Step
from goldthread.state.compare import compare
from goldthread.state.kinds.registry import REGISTRY
from goldthread.state.restore import pour, read

ESTIMATORS = dict(all_estimators())
CANNOT: dict[str, str] = {}
"""What cannot be stored, and how it says so. Kept true by `test_estimators_come_back`."""

SMALL = {"n_estimators": 5, "max_iter": 20, "n_components": 2, "cv": 3, "n_iter": 2, "n_init": 1, "n_trials": 2}
"""Settings by name, so that a fit is short."""
OWN_SETTINGS: dict[str, dict[str, Any]] = {
    "DictionaryLearning": {"max_iter": 3},
    "FeatureHasher": {"n_features": 64},
    "HashingVectorizer": {"n_features": 64},
    "LinearDiscriminantAnalysis": {"n_components": 1},
    "MeanShift": {"bandwidth": 0.8},
    "MiniBatchKMeans": {"n_init": 1},
    "OrthogonalMatchingPursuitCV": {"max_iter": 3},
    "RFECV": {"step": 2},
    "SelfTrainingClassifier": {"estimator": LogisticRegression()},
    "SequentialFeatureSelector": {"n_features_to_select": 1},
    "SpectralBiclustering": {"n_best": 2},
    "TSNE": {"perplexity": 5, "max_iter": 250, "n_iter": "deprecated"},
    "TunedThresholdClassifierCV": {"thresholds": 5},
    "VarianceThreshold": {"threshold": 0.01},
}
CLASSIFIERS = ("Classifier", "OutputCode", "OneVs", "FixedThreshold", "TunedThreshold", "SelfTraining")


def settings_of(name: str) -> dict[str, Any]:
    """What an estimator must be given, and what makes it quick."""
    known = inspect.signature(ESTIMATORS[name].__init__).parameters
    one: Any = LogisticRegression() if any(part in name for part in CLASSIFIERS) else Ridge()
    required = {
        "estimator": one,
        "base_estimator": one,
        "estimators": [("one", one), ("other", one.__class__())],
        "steps": [("scale", StandardScaler()), ("last", one)],
        "transformers": [("scale", StandardScaler(), [0, 1]), ("rest", "passthrough", [2])],
        "transformer_list": [("scale", StandardScaler()), ("same", FunctionTransformer())],
        "param_grid": {"alpha": [0.1, 1.0]},
        "param_distributions": {"alpha": [0.1, 1.0, 10.0]},
        "dictionary": np.eye(4),
    }
    chosen = {key: value for key, value in required.items() if key in known and known[key].default is inspect._empty}
    chosen |= {key: value for key, value in SMALL.items() if key in known}
    if "random_state" in known:
        chosen["random_state"] = np.random.RandomState(7)
    return chosen | {key: value for key, value in OWN_SETTINGS.get(name, {}).items() if key in known}


def data_for(name: str) -> tuple[Any, ...]:
    """What it is fitted on."""
    draw = np.random.default_rng(3)
    features = draw.uniform(0.1, 2, size=(40, 4))
    classes = (features.sum(axis=1) > 4).astype(int)
    texts = [f"word{i % 7} word{i % 3} other" for i in range(40)]
    if name in ("CountVectorizer", "TfidfVectorizer"):
        return (texts,)
    if name == "HashingVectorizer":
        return (texts,)
    if name == "FeatureHasher":
        return ([{"a": i, "b": 2.0} for i in range(40)],)
    if name == "DictVectorizer":
        return ([{"a": i, "b": f"v{i % 3}"} for i in range(40)],)
    if name in ("LabelBinarizer", "LabelEncoder"):
        return (classes,)
    if name == "MultiLabelBinarizer":
        return ([{i % 3, i % 5} for i in range(40)],)
    if name == "IsotonicRegression":
        return features[:, 0], features[:, 1]
    if name == "KernelCenterer":
        return (features @ features.T,)
    if name == "PatchExtractor":
        return (draw.uniform(size=(3, 6, 6)),)
    if name.startswith("MultiTask") or name in (
        "MultiOutputRegressor",
        "RegressorChain",
        "CCA",
        "PLSCanonical",
        "PLSSVD",
    ):
        return features, features[:, :2] * 2 + draw.normal(size=(40, 2))
    if name in ("MultiOutputClassifier", "ClassifierChain"):
        return features, np.stack([classes, 1 - classes], axis=1)
    is_regressor = getattr(ESTIMATORS[name], "_estimator_type", "") == "regressor" or "Regress" in name
    return features, features.sum(axis=1) if is_regressor and "Logistic" not in name else classes


ASKED = ("predict", "predict_proba", "decision_function", "transform", "score_samples", "kneighbors")


def answers_of(estimator: Any, given: Any) -> dict[str, bytes]:
    """What it says of the data that it was fitted on."""
    found = {}
    for name in ASKED:
        np.random.seed(5)
        try:
            answer = getattr(estimator, name)(given)
        except (AttributeError, TypeError, ValueError):
            continue
        parts = answer if isinstance(answer, (tuple, list)) else [answer]
        found[name] = b"".join(np.asarray(p.toarray() if hasattr(p, "toarray") else p).tobytes() for p in parts)
    return found


def differences(one: object, other: object) -> list[str]:
    return list(map(str, compare(image_of(one), image_of(other)).differences))


@pytest.fixture(autouse=True)
def quiet() -> Any:
    """So little data is a reason for warnings."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@pytest.mark.parametrize("name", sorted(ESTIMATORS))
def test_estimators_come_back(name: str) -> None:
    """Fitted, stored and restored: the same attributes, the same bits from every method, and from another fit.

    What cannot be stored says so, and stands in `CANNOT`.
    """
    if name == "FrozenEstimator":
        estimator = ESTIMATORS[name](Ridge().fit(*data_for("Ridge")))
    else:
        estimator = ESTIMATORS[name](**settings_of(name))
    data = data_for(name)
    np.random.seed(2)
    estimator.fit(*data)
    state = {"estimator": estimator, "data": data}
    if name in CANNOT:
        with pytest.raises(CannotStore, match=CANNOT[name]):
            image_of(state)
        return
    image = image_of(state)
    restored = read(image, map=False, pickle=False)
    back = restored["estimator"]
    assert type(estimator) is type(back)
    assert differences(state, restored) == []
    assert answers_of(estimator, data[0]) == answers_of(back, restored["data"][0])
    for method in ("partial_fit", "fit"):
        if hasattr(estimator, method):
            for one, given in ((estimator, data), (back, restored["data"])):
                np.random.seed(4)
                getattr(one, method)(*given)
            assert [one for one in differences(state, restored) if "_time" not in one] == [], method


def test_an_unfitted_estimator_takes_what_was_fitted() -> None:
    """The program's own object stays, and each step of a pipeline; what fitting added is added."""
    data = load_iris(return_X_y=True)
    fitted = make_pipeline(StandardScaler(), DecisionTreeClassifier(random_state=0)).fit(*data)
    fresh = make_pipeline(StandardScaler(), DecisionTreeClassifier(random_state=0))
    steps = [step for _, step in fresh.steps]
    poured = pour(image_of({"model": fitted}), {"model": fresh}, map=False, pickle=False)
    assert poured.state["model"] is fresh
    assert all(one is other for one, (_, other) in zip(steps, fresh.steps, strict=True))
    assert differences(fitted, fresh) == []
    assert np.array_equal(fitted.predict_proba(data[0]), fresh.predict_proba(data[0]))


@pytest.mark.parametrize("cls", [SGDClassifier, MLPClassifier])
def test_training_goes_on_exactly(cls: Any) -> None:
    """Batch by batch with a stop between, it comes to the same bits, and draws from its own generator."""
    features, classes = load_iris(return_X_y=True)
    alone, stopped = (cls(random_state=np.random.RandomState(1)) for _ in range(2))
    for batch in range(6):
        part = slice(batch * 25, batch * 25 + 25)
        for model in (alone, stopped):
            model.partial_fit(features[part], classes[part], classes=[0, 1, 2])
        stopped = read(image_of(stopped), map=False, pickle=False)
    assert differences(alone, stopped) == []


def test_an_estimator_that_draws_from_the_global_generator_goes_on_doing_so() -> None:
    """Its state travels beside that of the program; without it, the estimator gets one of its own, which is told."""
    model = MLPClassifier(max_iter=2).fit(*load_iris(return_X_y=True))
    shared = np.random.random_sample.__self__
    assert model._random_state is shared
    writer = new_writer()
    writer.write({"model": model}, Step(0), generators=True)
    assert read(newest_image(writer), map=False, pickle=False)["model"]._random_state is shared
    writer.close()
    with pytest.warns(match=r"global generator of numpy\.random comes back as one of its own"):
        alone = read(image_of(model), map=False, pickle=False)._random_state
    assert alone is not shared
    assert alone.random_sample() == np.random.RandomState.random_sample(shared)


@pytest.mark.parametrize("estimator", [SVC(probability=True), KNeighborsClassifier(), RandomForestClassifier(3)])
def test_what_was_fitted_on_sparse_data_comes_back(estimator: Any) -> None:
    """Support vectors and neighbours are sparse then."""
    features, classes = load_iris(return_X_y=True)
    sparse = csr_matrix(np.where(features > 2, features, 0))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        estimator.fit(sparse, classes)
    state = {"estimator": estimator, "data": sparse}
    back = read(image_of(state), map=False, pickle=False)
    assert differences(state, back) == []
    assert np.array_equal(estimator.predict_proba(sparse), back["estimator"].predict_proba(back["data"]))


def test_a_search_keeps_the_distributions_it_draws_from() -> None:
    """A distribution of SciPy is its name, its parameters and its generator; another's is refused."""
    space = {"alpha": uniform(0.1, 2.0), "max_iter": randint(5, 20)}
    space["alpha"].random_state = np.random.RandomState(3)
    search = RandomizedSearchCV(Ridge(), space, n_iter=2, random_state=np.random.RandomState(1))
    back = read(image_of(search), map=False, pickle=False)
    assert differences(search, back) == []
    one, other = search.param_distributions, back.param_distributions
    assert one["alpha"].rvs(5).tobytes() == other["alpha"].rvs(5).tobytes()
    with pytest.raises(CannotStore, match="the distribution own is none of scipy"):
        image_of(Own(name="own")(0.0))


class Own(rv_continuous):
    """A distribution of the program."""

    def _pdf(self, x: Any) -> Any:
        return np.ones_like(x)


def test_what_is_given_by_name_only_is_refused_with_its_place() -> None:
    """A lambda has no name to be found by."""
    model = make_pipeline(FunctionTransformer(lambda x: x), Ridge())
    with pytest.raises(CannotStore, match=r'state\["model"\]\.steps\[0\]\[1\]\.func: a lambda cannot be stored'):
        image_of({"model": model})


@pytest.mark.parametrize("kind", [KDTree, BallTree])
def test_trees_of_neighbours_share_the_data_with_the_state(kind: Any) -> None:
    """A tree keeps the array that it was made of: so does the restored one."""
    points = np.random.default_rng(1).normal(size=(60, 3))
    state = {"points": points, "tree": kind(points, leaf_size=5)}
    back = read(image_of(state), map=False, pickle=False)
    one, other = state["tree"].query(points, 4), back["tree"].query(points, 4)
    assert all(np.array_equal(mine, its) for mine, its in zip(one, other, strict=True))
    assert np.shares_memory(back["points"], np.asarray(back["tree"].data))


@pytest.mark.parametrize(
    "path",
    [
        "sklearn.base:os",
        "sklearn.datasets._openml:fetch_openml",
        "sklearn.datasets._base:load_files",
        "sklearn.utils._testing:_delete_folder",
        "sklearn.utils.validation:warnings.warn",
        "sklearn.pipeline:np.load",
        "joblib.numpy_pickle:load",
    ],
)
def test_a_name_leads_to_nothing_but_estimators(path: str) -> None:
    """What a partner writes into a commit reaches no files, no network, and nothing outside of the library."""
    assert not any(family.knows is not None and family.knows(path) for family in REGISTRY.families)
