import warnings
from functools import partial

import numpy as np
import pandas as pd
import pytest
from sklearn import config_context
from sklearn.base import clone
from sklearn.decomposition import PCA, TruncatedSVD
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import (
    GridSearchCV,
    HalvingGridSearchCV,
    KFold,
    RandomizedSearchCV,
    cross_val_score,
    cross_validate,
    learning_curve,
)
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import Bunch

from sklearn_uniroute import AttributeEncoder, KMeansRouter
from sklearn_uniroute.metrics import (
    cost_saving_score,
    deferral_area_score,
    peak_quality_score,
    quality_neutral_cost,
)
from sklearn_uniroute.model_selection import (
    deferral_area_scorer,
    make_deferral_scorer,
    peak_quality_scorer,
    qnc_scorer,
)
from tests.all_routers import ROUTERS

FOLDS = KFold(3)
NAMES = [f"m{number}" for number in range(8)]
# One of each class, as the others differ in nothing that matters here.
BY_CLASS = {type(router): router for router in ROUTERS}
# What a search over each router tries, first the worse.
GRIDS = {
    "ZeroRouter": {"random_state": [0, 1]},
    "KMeansRouter": {"n_clusters": [1, 6]},
    "LearnedMapRouter": {"n_clusters": [1, 6]},
    "HybridRouter": {"n_clusters": [1, 6]},
    "LinearRouter": {"alpha": [1e6, 1.0]},
    "MatrixFactorizationRouter": {"alpha": [1e6, 1.0]},
    "MLPRouter": {"max_epochs": [1, 2]},
    "KNeighborsRouter": {"n_neighbors": [40, 20]},
    "FeatureMapRouter": {"feature_map__n_components": [1, 20]},
    "EnsembleRouter": {"kmeans__n_clusters": [1, 6]},
}


def as_given(data, calls, frame, kind):
    """Prompts, quality and costs in the form that is to be tried."""
    X, y = data.X, data.y
    costs = {"1-D": data.costs, "2-D": calls, "mapping": None}[kind]
    if frame:
        X, y = pd.DataFrame(X, columns=list("abcde")), pd.DataFrame(y, columns=NAMES)
        if kind == "2-D":
            costs = pd.DataFrame(calls, columns=NAMES)
    if kind == "mapping":
        names = NAMES if frame else range(8)
        costs = dict(zip(names, data.costs.tolist(), strict=True))
    return X, y, costs


def part(values, rows):
    return values.iloc[rows] if hasattr(values, "iloc") else values[rows]


@pytest.fixture(scope="session")
def few(data):
    """Some of the prompts, as so many searches take their time."""
    return Bunch(X=data.X[:150], y=data.y[:150], costs=data.costs)


@pytest.mark.parametrize("costs", ["1-D", "2-D", "mapping"])
@pytest.mark.parametrize("routing", [False, True], ids=["plain", "routing"])
@pytest.mark.parametrize("frame", [False, True], ids=["array", "frame"])
@pytest.mark.parametrize("form", ["router", "pipeline", "search over pipeline"])
@pytest.mark.parametrize(
    "router",
    [
        pytest.param(router, id=cls.__name__, marks=[pytest.mark.slow] * hasattr(router, "device"))
        for cls, router in BY_CLASS.items()
    ],
)
def test_matrix(router, form, frame, routing, costs, few, calls):
    """Every way to fit and score comes to the same as doing it by hand."""
    data, folds = few, KFold(2)
    X, y, costs = as_given(data, calls[:150], frame, costs)
    name = type(router).__name__
    by_call = np.ndim(costs) == 2
    estimator = clone(router).set_params(n_validation=40)
    grid, prefix = GRIDS[name], ""
    if "pipeline" in form:
        estimator, prefix = make_pipeline(PCA(4), estimator), f"{name.lower()}__"
        grid = {prefix + key: values for key, values in grid.items()}
    plain = clone(estimator)
    if "search" in form:
        estimator = GridSearchCV(
            estimator, grid, scoring=deferral_area_scorer, cv=folds, error_score="raise"
        )
    with config_context(enable_metadata_routing=routing):
        estimator.fit(X, y, **{("" if routing else prefix) + "costs": costs})
        score = deferral_area_scorer(estimator, X, y, costs=costs)
        if "search" in form and routing and not isinstance(costs, dict):
            assert estimator.score(X, y, costs=costs) == pytest.approx(score)
    # By hand, without scikit-learn's searches and pipelines.
    best = estimator.best_estimator_ if "search" in form else estimator
    fitted, Z = (best[-1], best[0].transform(X)) if "pipeline" in form else (best, X)
    routing_costs = fitted.costs_ if by_call else None
    expected = deferral_area_score(
        np.asarray(y),
        fitted.predict_error(Z),
        np.asarray(costs) if by_call else data.costs,
        routing_costs=routing_costs,
    )
    assert score == pytest.approx(expected)
    assert fitted.models_.tolist() == (NAMES if frame else list(range(8)))
    if "search" not in form:
        return
    for setting, mean in zip(
        estimator.cv_results_["params"], estimator.cv_results_["mean_test_score"], strict=True
    ):
        areas = []
        for training, test in folds.split(data.X):
            by_hand = clone(plain).set_params(**setting)
            fold_costs = part(costs, training) if by_call else costs
            by_hand.fit(part(X, training), part(y, training), **{f"{prefix}costs": fold_costs})
            paid = {"costs": part(costs, test)} if by_call and routing else {}
            areas.append(deferral_area_scorer(by_hand, part(X, test), part(y, test), **paid))
        assert mean == pytest.approx(np.mean(areas))


def test_scorers_are_their_metrics(data, calls):
    router = KMeansRouter(6, random_state=0).fit(data.X, data.y, costs=calls)
    weights = np.random.RandomState(1).uniform(size=400)
    arguments = {"routing_costs": router.costs_, "sample_weight": weights}
    error = router.predict_error(data.X)
    for scorer, metric, sign in (
        (deferral_area_scorer, deferral_area_score, 1),
        (peak_quality_scorer, peak_quality_score, 1),
        (qnc_scorer, quality_neutral_cost, -1),
    ):
        score = scorer(router, data.X, data.y, costs=calls, sample_weight=weights)
        assert score == pytest.approx(sign * metric(data.y, error, calls, **arguments))
    assert qnc_scorer(router, data.X, data.y) < 0


@pytest.mark.parametrize("named", [False, True])
def test_a_scorer_may_score_a_part_of_the_models(data, named):
    y = pd.DataFrame(data.y, columns=NAMES) if named else data.y
    costs = dict(zip(NAMES, data.costs, strict=True)) if named else data.costs
    router = KMeansRouter(6, random_state=0).fit(data.X, y, costs=costs)
    positions = [5, 0, 3]
    pool = [NAMES[p] for p in positions] if named else positions
    scorer = make_deferral_scorer(deferral_area_score, pool=pool)
    expected = deferral_area_score(
        data.y[:, positions], router.predict_error(data.X, pool), data.costs[positions]
    )
    assert scorer(router, data.X, y) == pytest.approx(expected)
    assert scorer(router, data.X, y, costs=costs) == pytest.approx(expected)
    with pytest.raises(ValueError, match="does not know"):
        make_deferral_scorer(deferral_area_score, pool=[99])(router, data.X, y)


def test_metrics_with_parameters():
    def share(y_true, error_pred, costs, *, routing_costs, sample_weight, factor):
        return factor

    scorer = make_deferral_scorer(share, greater_is_better=False, factor=3)
    X, y = np.arange(6.0)[:, None], np.tile([[0, 1]], (6, 1))
    router = KMeansRouter(2, random_state=0).fit(X, y, costs=[1, 2])
    assert scorer(router, X, y) == -3
    assert repr(scorer) == "make_deferral_scorer(share, greater_is_better=False, factor=3)"
    assert repr(make_deferral_scorer(share, pool=[1])) == "make_deferral_scorer(share, pool=[1])"


def test_metrics_without_a_name_and_pipelines_of_one_step(data):
    pipeline = Pipeline([("router", KMeansRouter(6, random_state=0))])
    scorer = make_deferral_scorer(partial(cost_saving_score, quality_share=0.8))
    assert "cost_saving_score" in repr(scorer.get_metadata_routing().score.owner)
    with config_context(enable_metadata_routing=True):
        search = GridSearchCV(pipeline, {"router__n_clusters": [6]}, scoring=scorer, cv=FOLDS)
        search.fit(data.X, data.y, costs=data.costs)
    expected = cost_saving_score(
        data.y, search.best_estimator_[-1].predict_error(data.X), data.costs, quality_share=0.8
    )
    assert scorer(search, data.X, data.y) == pytest.approx(expected)


def test_requests_can_be_set_on_a_copy(data):
    with config_context(enable_metadata_routing=True):
        scorer = deferral_area_scorer.set_score_request(sample_weight=True, costs=False)
        assert scorer.get_metadata_routing().score.requests == {
            "costs": False,
            "sample_weight": True,
        }
        assert deferral_area_scorer.get_metadata_routing().score.requests["costs"] is True
        with pytest.raises(TypeError, match="take costs and sample_weight"):
            scorer.set_score_request(groups=True)
        weights = np.arange(400.0)
        router = KMeansRouter(6, random_state=0).set_fit_request(sample_weight=False)
        router.fit(data.X, data.y, costs=data.costs)
        result = cross_validate(
            router,
            data.X,
            data.y,
            params={"costs": data.costs, "sample_weight": weights},
            scoring=deferral_area_scorer.set_score_request(sample_weight=True),
            cv=FOLDS,
        )
    for (training, test), score in zip(FOLDS.split(data.X), result["test_score"], strict=True):
        fitted = clone(router).fit(data.X[training], data.y[training], costs=data.costs)
        expected = deferral_area_scorer(
            fitted, data.X[test], data.y[test], sample_weight=weights[test]
        )
        assert score == pytest.approx(expected)


SEARCH = {"scoring": deferral_area_scorer, "cv": FOLDS, "error_score": "raise"}


@pytest.mark.parametrize(
    "search",
    [
        GridSearchCV(KMeansRouter(random_state=0), {"n_clusters": [1, 6]}, n_jobs=2, **SEARCH),
        RandomizedSearchCV(
            KMeansRouter(random_state=0), {"n_clusters": [1, 6]}, n_iter=2, random_state=0, **SEARCH
        ),
        HalvingGridSearchCV(
            KMeansRouter(random_state=0), {"n_clusters": [1, 6]}, min_resources=200, **SEARCH
        ),
    ],
    ids=lambda search: type(search).__name__,
)
@pytest.mark.parametrize("per_call", [False, True])
def test_searches_find_the_better_number_of_clusters(search, per_call, data, calls):
    costs = calls if per_call else data.costs
    search = clone(search).fit(data.X, data.y, costs=costs)
    assert search.best_params_ == {"n_clusters": 6}
    assert search.best_estimator_.costs_ == pytest.approx(np.atleast_2d(costs).mean(axis=0))


def test_several_metrics_at_once(data):
    scoring = {"area": deferral_area_scorer, "peak": peak_quality_scorer}
    search = GridSearchCV(
        KMeansRouter(random_state=0),
        {"n_clusters": [1, 6]},
        scoring=scoring,
        refit="area",
        cv=FOLDS,
    )
    search.fit(data.X, data.y, costs=data.costs)
    assert search.best_params_ == {"n_clusters": 6}
    results = search.cv_results_
    assert np.all(results["mean_test_peak"] > results["mean_test_area"])


def test_cross_val_score_and_learning_curve(data):
    router = KMeansRouter(6, random_state=0)
    scores = cross_val_score(
        router, data.X, data.y, scoring=deferral_area_scorer, cv=FOLDS, params={"costs": data.costs}
    )
    assert scores.min() > 0.5
    sizes, _, test = learning_curve(
        router,
        data.X,
        data.y,
        scoring=deferral_area_scorer,
        cv=FOLDS,
        train_sizes=[20, 200],
        params={"costs": data.costs},
        error_score="raise",
    )
    assert sizes.tolist() == [20, 200]
    assert test[1].mean() > test[0].mean()


def test_attributes_and_text_in_front(data):
    known = data.source[:, None] == np.arange(6)
    encoder = FrozenEstimator(AttributeEncoder().fit(data.X, known))
    pipeline = make_pipeline(StandardScaler(), KMeansRouter(random_state=0))
    pipeline = make_pipeline(encoder, *[step for _, step in pipeline.steps])
    search = GridSearchCV(pipeline, {"kmeansrouter__n_clusters": [1, 6]}, **SEARCH)
    search.fit(data.X, data.y, kmeansrouter__costs=data.costs)
    assert search.best_params_ == {"kmeansrouter__n_clusters": 6}
    # Texts in which the first word is what a prompt is about.
    texts = [f"topic{topic} word{number % 7}" for number, topic in enumerate(data.source)]
    pipeline = make_pipeline(
        TfidfVectorizer(), TruncatedSVD(6, random_state=0), KMeansRouter(6, random_state=0)
    )
    search = GridSearchCV(pipeline, {"kmeansrouter__n_clusters": [1, 6]}, **SEARCH)
    search.fit(texts, data.y, kmeansrouter__costs=data.costs)
    assert search.best_params_ == {"kmeansrouter__n_clusters": 6}
    assert deferral_area_scorer(search, texts, data.y) > 0.5


def test_a_quality_never_reached_scores_least(data):
    router = KMeansRouter(6, random_state=0).fit(data.X, 1 - data.y, costs=data.costs)
    assert qnc_scorer(router, data.X, data.y) == -np.inf


def test_without_costs_there_is_no_curve(data):
    router = KMeansRouter(6, random_state=0).fit(data.X, data.y)
    for scorer in (deferral_area_scorer, qnc_scorer, peak_quality_scorer):
        with (
            pytest.warns(UserWarning, match="the router was fitted without costs, and a deferral"),
            pytest.raises(ValueError, match="pass `costs` to fit of the router or of the search"),
        ):
            scorer(router, data.X, data.y)
    search = GridSearchCV(KMeansRouter(3, random_state=0), {}, scoring=qnc_scorer, cv=2)
    with pytest.warns(UserWarning, match=r"without costs|non-finite|failed") as caught:
        search.fit(data.X, data.y)
    assert str(caught[0].message).startswith("the router was fitted without costs")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert deferral_area_scorer(router, data.X, data.y, costs=data.costs) > 0


def test_masked_qualities_of_a_pool_are_not_there(data):
    router = KMeansRouter(4, random_state=0).fit(data.X, data.y, costs=data.costs)
    hidden = np.random.RandomState(0).uniform(size=data.y.shape) < 0.3
    scorer = make_deferral_scorer(deferral_area_score, pool=[0, 1, 5])
    masked = scorer(router, data.X, np.ma.array(data.y, mask=hidden))
    assert masked == scorer(router, data.X, np.where(hidden, np.nan, data.y))
