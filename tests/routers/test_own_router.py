"""Routers of one's own."""

import numpy as np
import pytest
from sklearn.linear_model import RidgeClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeRegressor
from sklearn.utils.estimator_checks import parametrize_with_checks

from sklearn_uniroute import KMeansRouter, ZeroRouter, load_router, save_router
from sklearn_uniroute.model_selection import (
    compare_routers,
    dynamic_cross_validate,
    few_shot_curve,
)
from sklearn_uniroute.routers import BaseRouter
from sklearn_uniroute.utils import check_router


class CentroidRouter(BaseRouter):
    """Errors by the distance of a prompt to the mean prompt that a model gets wrong."""

    def __init__(self, scale=1.0, *, cost_weight=0.0, budget=None, random_state=None):
        self.scale = scale
        self.cost_weight = cost_weight
        self.budget = budget
        self.random_state = random_state

    def _fit_features(self, X, errors, rng, sample_weight=None):
        self.mean_ = np.average(X, axis=0, weights=sample_weight)

    def _represent(self, X, errors, sample_weight=None):
        mean = np.average(errors, weights=sample_weight)
        deviation = (X - self.mean_) * (errors - mean)[:, None]
        return np.append(mean, np.average(deviation, axis=0, weights=sample_weight))

    def _estimate(self, X, representation):
        slope = np.einsum("nd,md->nm", X - self.mean_, representation[:, 1:])
        return representation[:, 0] + self.scale * slope


class TreeRouter(BaseRouter):
    """A regressor for each model; without any parameter of its own."""

    def __init__(self):
        pass

    def _represent(self, X, errors, sample_weight=None):
        return DecisionTreeRegressor(max_depth=3, random_state=0).fit(X, errors, sample_weight)

    def _estimate(self, X, representation):
        return np.column_stack([tree.predict(X) for tree in representation])


@parametrize_with_checks([CentroidRouter(), TreeRouter()])
@pytest.mark.filterwarnings("ignore:`y` has one dimension:sklearn.exceptions.DataConversionWarning")
def test_estimator_checks(estimator, check):
    check(estimator)


def test_it_passes_the_router_checks():
    check_router(CentroidRouter())
    # Trees split at equal gains in the order of the rows, and scale with rounding.
    check_router(
        TreeRouter(),
        expected_failed_checks={"check_evidence_adds_up": "trees break ties by the order of rows"},
    )


def test_it_works_in_searches_pipelines_and_comparisons(data):
    search = GridSearchCV(CentroidRouter(), {"scale": [0.0, 1.0]}, cv=3)
    routers = {
        "zero": ZeroRouter(),
        "own": CentroidRouter(),
        "tree": TreeRouter(),
        "piped": make_pipeline(StandardScaler(), CentroidRouter()),
        "searched": search,
        "searched pipeline": GridSearchCV(
            make_pipeline(StandardScaler(), KMeansRouter()),
            {"kmeansrouter__n_clusters": [2, 4]},
            cv=2,
        ),
        "piped search": make_pipeline(StandardScaler(), search),
    }
    comparison = compare_routers(routers, data.X, data.y, data.costs, n_trials=2)
    assert np.isfinite(comparison.area).all()
    assert not np.array_equal(comparison.area[:, 1], comparison.area[:, 0])
    for name in ("tree", "piped", "searched pipeline"):
        results = dynamic_cross_validate(routers[name], data.X, data.y, data.costs, n_validation=30)
        assert 0 < results["mean_test_score"][0] < 1
        curve = few_shot_curve(
            routers[name], data.X, data.y, data.costs, n_validation=[5, 50], n_splits=2
        )
        assert curve.area.shape == (2, 2)


def test_tables_and_files(data, tmp_path):
    router = CentroidRouter().fit(data.X, data.y, costs=data.costs)
    table = router.routing_table(cost_weight=0.002)
    np.testing.assert_array_equal(
        table.route_many(data.X), router.predict(data.X, cost_weight=0.002)
    )
    assert table.route(data.X[0]) == router.predict(data.X[:1], cost_weight=0.002)[0]
    router.mean_ += 1
    np.testing.assert_array_equal(
        table.route_many(data.X),
        CentroidRouter().fit(data.X, data.y, costs=data.costs).predict(data.X, cost_weight=0.002),
    )
    with pytest.raises(TypeError, match="tables of routers of your own"):
        table.save(tmp_path / "table.npz")
    path = tmp_path / "router.skops"
    name = f"{__name__}.CentroidRouter"
    with pytest.raises(TypeError, match="would not trust"):
        save_router(router, path)
    save_router(router, path, trusted=[name])
    with pytest.raises(ValueError, match="not trusted"):
        load_router(path)
    loaded = load_router(path, trusted=[name])
    np.testing.assert_array_equal(loaded.predict_error(data.X), router.predict_error(data.X))
    with pytest.raises(TypeError, match=r"name types, as 'module\.Class'"):
        save_router(router, path, trusted=[CentroidRouter])


def own(**methods):
    return type("Own", (methods.pop("base", KMeansRouter),), methods)


@pytest.mark.parametrize(
    "method", ["predict", "predict_error", "predict_cost", "decision_function"]
)
def test_overrides_that_would_not_be_used_are_refused(method, data):
    router = own(**{method: lambda self, X, pool=None, **kwargs: None})()
    with pytest.raises(TypeError, match=f"Own overrides `{method}`, but .* override `_represent`"):
        router.fit(data.X, data.y)
    assert not hasattr(router, "models_")


@pytest.mark.parametrize("hook", ["_estimate", "_represent"])
def test_hooks_that_would_not_be_called_are_refused(hook, data):
    with pytest.raises(TypeError, match=f"overrides `{hook}`, but inherits a `_.*` that does not"):
        own(**{hook: lambda self, X, values: None})().fit(data.X, data.y)


def test_overrides_of_hooks_are_used(data):
    class Constant(CentroidRouter):
        def _estimate(self, X, representation):
            return np.tile(np.arange(len(representation), 0.0, -1.0), (len(X), 1))

    router = Constant().fit(data.X, data.y, costs=data.costs)
    assert set(router.predict(data.X)) == {7}
    assert set(router.routing_table().route_many(data.X)) == {7}
    assert router.score(data.X, data.y) != pytest.approx(
        CentroidRouter().fit(data.X, data.y, costs=data.costs).score(data.X, data.y)
    )


def test_what_is_missing_or_wrong_is_named(data):
    with pytest.raises(NotImplementedError, match=r"Own must implement `_represent"):
        own(base=BaseRouter)().fit(data.X, data.y)
    router = own(base=BaseRouter, _represent=lambda self, X, errors: errors.mean(keepdims=True))()
    with pytest.raises(NotImplementedError, match=r"Own must implement `_estimate"):
        router.fit(data.X, data.y).predict(data.X)
    for estimate, message in (
        (lambda self, X, representation: representation, r"of shape \(8, 1\); expected \(400, 8\)"),
        (lambda self, X, representation: np.full((len(X), 8), np.nan), "NaN or infinite"),
    ):
        router = own(
            base=BaseRouter,
            _represent=lambda self, X, errors: errors.mean(keepdims=True),
            _estimate=estimate,
        )()
        with pytest.raises(ValueError, match=message):
            router.fit(data.X, data.y).predict_error(data.X)
    with pytest.raises(TypeError, match="must be a router, or a pipeline or search"):
        compare_routers({"ridge": RidgeClassifier()}, data.X, data.y, data.costs)


def test_failed_checks_are_named():
    class Batchwise(CentroidRouter):
        def _estimate(self, X, representation):
            return super()._estimate(X - X.mean(axis=0), representation)

    with pytest.raises(AssertionError, match="check_choices_depend_on_their_own_row_only: "):
        check_router(Batchwise())
    with pytest.raises(ValueError, match="names unknown check"):
        check_router(ZeroRouter(), expected_failed_checks={"check_nothing": ""})
    with pytest.raises(TypeError, match=r"pass a router, such as `ZeroRouter\(\)`, not its class"):
        check_router(ZeroRouter)
