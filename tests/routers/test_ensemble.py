import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from sklearn_uniroute import (
    EnsembleRouter,
    HybridRouter,
    KMeansRouter,
    KNeighborsRouter,
    LinearRouter,
    RoutingTable,
    ZeroRouter,
    load_router,
    save_router,
)
from sklearn_uniroute._numerics._ridge import stacked_weights
from sklearn_uniroute.model_selection import compare_routers, deferral_area_scorer
from sklearn_uniroute.routers import BaseRouter

MEMBERS = [
    ("kmeans", KMeansRouter(6, random_state=1)),
    ("neighbors", KNeighborsRouter(20)),
    ("linear", LinearRouter()),
]


@pytest.fixture
def fitted(data):
    router = EnsembleRouter(MEMBERS, weights=[1, 2, 1], n_validation=60, random_state=0)
    return router.fit(data.X[:300], data.y[:300, :6], costs=data.costs[:6])


def test_errors_are_weighted_means(data, fitted):
    np.testing.assert_allclose(fitted.weights_, [0.25, 0.5, 0.25])
    each = [member.predict_error(data.X) for member in fitted.routers_]
    np.testing.assert_allclose(
        fitted.predict_error(data.X), 0.25 * each[0] + 0.5 * each[1] + 0.25 * each[2]
    )
    equal = EnsembleRouter(MEMBERS, random_state=0).fit(data.X, data.y)
    np.testing.assert_allclose(equal.weights_, 1 / 3)


def test_members_are_fitted_as_they_would_be_alone(data, fitted):
    alone = KMeansRouter(6, n_validation=60, random_state=1)
    alone.fit(data.X[:300], data.y[:300, :6], costs=data.costs[:6])
    np.testing.assert_array_equal(fitted.validation_indices_, alone.validation_indices_)
    np.testing.assert_array_equal(fitted.validation_weights_, alone.validation_weights_)
    member = fitted.named_routers_.kmeans
    np.testing.assert_allclose(member.predict_error(data.X), alone.predict_error(data.X))


def test_pool_changes_go_to_all_members(data, fitted):
    picked = fitted.validation_indices_
    fitted.add_model(1 - data.y[picked, 6], cost=data.costs[6])
    fitted.update_model(6, 1 - data.y[300:350, 6], X_val=data.X[300:350])
    fitted.add_model(1 - data.y[picked, 7], cost=data.costs[7])
    fitted.set_cost(7, 3.0)
    fitted.remove_model(0)
    for member in fitted.routers_:
        np.testing.assert_array_equal(member.models_, [1, 2, 3, 4, 5, 6, 7])
        np.testing.assert_array_equal(member.costs_, fitted.costs_)
    assert fitted.costs_[-1] == 3.0
    fitted.add_model(1 - data.y[picked, 7], name=6, cost=2.0, replace=True)
    for member in fitted.routers_:
        error = member.predict_error(data.X, [6, 7])
        np.testing.assert_allclose(error[:, 0], error[:, 1])


def test_a_failed_change_changes_no_member(data, fitted, monkeypatch):
    before = fitted.predict_error(data.X)

    def fails(self, *args):
        raise RuntimeError("out of memory")

    monkeypatch.setattr(LinearRouter, "_add", fails)
    with pytest.raises(RuntimeError, match="out of memory"):
        fitted.add_model(np.zeros(60), cost=1.0)
    np.testing.assert_array_equal(fitted.models_, np.arange(6))
    for member in fitted.routers_:
        np.testing.assert_array_equal(member.models_, np.arange(6))
    np.testing.assert_array_equal(fitted.predict_error(data.X), before)


def test_names_of_models_and_prompts(data):
    X = pd.DataFrame(data.X, index=[f"prompt {row}" for row in range(400)]).add_prefix("x")
    y = pd.DataFrame(data.y, index=X.index, columns=[f"model {m}" for m in range(8)])
    costs = pd.Series(data.costs, index=y.columns).iloc[::-1]
    router = EnsembleRouter(MEMBERS[:2], n_validation=50, random_state=0)
    router.fit(X, y.iloc[:, :7], costs=costs.iloc[1:])
    errors = 1 - y.iloc[router.validation_indices_, 7]
    shuffled = errors.sample(frac=1, random_state=0)
    router.add_model(shuffled, name="model 7", cost=costs["model 7"])
    for member in router.routers_:
        assert member.models_.tolist() == y.columns.tolist()
    plain = EnsembleRouter(MEMBERS[:2], n_validation=50, random_state=0)
    plain.fit(data.X, data.y[:, :7], costs=data.costs[:7])
    plain.add_model(1 - data.y[plain.validation_indices_, 7], cost=data.costs[7])
    np.testing.assert_allclose(router.predict_error(X), plain.predict_error(data.X))


def test_standard_errors_are_means_of_those_there_are(data, fitted):
    members = fitted.routers_
    _, std = fitted.predict_error(data.X, return_std=True)
    np.testing.assert_allclose(std, members[0].predict_error(data.X, return_std=True)[1])
    both = EnsembleRouter(
        [("kmeans", KMeansRouter(6)), ("hybrid", HybridRouter(6))], weights=[3, 1], random_state=0
    ).fit(data.X, data.y, costs=data.costs)
    _, std = both.predict_error(data.X, return_std=True)
    first, second = (one.predict_error(data.X, return_std=True)[1] for one in both.routers_)
    np.testing.assert_allclose(std, 0.75 * first + 0.25 * second)
    sure = both.cost_weight_for_quality(0.6, confidence=0.9)
    assert 0 <= sure <= both.cost_weight_for_quality(0.6)
    without = EnsembleRouter(MEMBERS[1:], random_state=0).fit(data.X, data.y)
    with pytest.raises(ValueError, match="standard errors"):
        without.predict_error(data.X, return_std=True)


def test_costs_by_cluster_are_averaged(data, calls):
    members = [("by", KMeansRouter(6, cost_model="cluster")), ("mean", ZeroRouter())]
    router = EnsembleRouter(members, random_state=0).fit(data.X, data.y, costs=calls)
    each = [member.predict_cost(data.X) for member in router.routers_]
    np.testing.assert_allclose(router.predict_cost(data.X), sum(each) / 2)
    table = router.routing_table(cost_weight=0.01)
    np.testing.assert_array_equal(
        table.route_many(data.X), router.predict(data.X, cost_weight=0.01)
    )
    calls = calls.copy()
    calls[0, 0] = np.nan
    with pytest.raises(ValueError, match="costs"):
        EnsembleRouter(members).fit(data.X, data.y, costs=calls)


def test_one_table_and_one_file(data, fitted, tmp_path):
    fitted.add_model(1 - data.y[fitted.validation_indices_, 6], cost=data.costs[6])
    table = fitted.routing_table(cost_weight=0.003)
    table.save(tmp_path / "table.npz")
    loaded = RoutingTable.load(tmp_path / "table.npz")
    chosen = fitted.predict(data.X, cost_weight=0.003)
    np.testing.assert_array_equal(loaded.route_many(data.X), chosen)
    assert [loaded.route(x) for x in data.X[:50]] == chosen[:50].tolist()
    assert loaded.explain(data.X[0]) == table.explain(data.X[0])
    save_router(fitted, tmp_path / "router.skops")
    again = load_router(tmp_path / "router.skops")
    again.add_model(1 - data.y[again.validation_indices_, 7], cost=data.costs[7])
    fitted.add_model(1 - data.y[fitted.validation_indices_, 7], cost=data.costs[7])
    np.testing.assert_array_equal(again.predict_error(data.X), fitted.predict_error(data.X))


def test_a_file_whose_members_know_other_models_is_refused(data, fitted, tmp_path):
    fitted.routers_[1].remove_model(3)
    save_router(fitted, tmp_path / "router.skops")
    with pytest.raises(ValueError, match="state"):
        load_router(tmp_path / "router.skops")


def test_stacking_finds_the_better_router(data):
    members = [("zero", ZeroRouter()), ("kmeans", KMeansRouter(6))]
    router = EnsembleRouter(members, weights="stacked", random_state=0)
    router.fit(data.X, data.y, costs=data.costs)
    assert router.weights_.sum() == pytest.approx(1)
    assert router.weights_[1] > 0.7
    again = clone(router).fit(data.X, data.y, costs=data.costs)
    np.testing.assert_array_equal(again.weights_, router.weights_)


def test_stacking_leaves_out_models_without_labels_in_a_fold(data):
    y = data.y.copy()
    y[1:, 0] = np.nan
    members = [("zero", ZeroRouter()), ("kmeans", KMeansRouter(6))]
    router = EnsembleRouter(members, weights="stacked", random_state=0).fit(data.X, y)
    assert np.isfinite(router.weights_).all()


def test_stacked_weights_by_hand():
    # Differences between two models: 1 on each prompt; predictions of 0 and of 1.
    errors = np.tile([0.0, 1.0], (4000, 1)) + np.arange(4000)[:, None]
    none, right = np.zeros((4000, 2)), np.tile([0.0, 1.0], (4000, 1))
    np.testing.assert_allclose(stacked_weights(np.array([none, right]), errors), [0, 1], atol=1e-3)
    # Half as large differences are best predicted by both alike.
    half = 0.5 * errors
    np.testing.assert_allclose(stacked_weights(np.array([none, right]), half), 0.5, atol=1e-6)
    # Equal predictions share the weight, and no more than noise changes little.
    np.testing.assert_allclose(stacked_weights(np.array([right, right]), errors), 0.5, atol=1e-6)
    rng = np.random.RandomState(0)
    noise = rng.normal(size=(3, 20, 4))
    weights = stacked_weights(0.01 * noise, rng.normal(size=(20, 4)))
    np.testing.assert_allclose(weights, 1 / 3, atol=0.02)


def test_searches_set_parameters_of_members(data):
    router = EnsembleRouter(MEMBERS[:2], random_state=0)
    search = GridSearchCV(
        router, {"kmeans__n_clusters": [2, 6]}, scoring=deferral_area_scorer, cv=3
    ).fit(data.X, data.y, costs=data.costs)
    best = search.best_estimator_.named_routers_.kmeans
    assert best.n_clusters == search.best_params_["kmeans__n_clusters"]
    router.set_params(neighbors=ZeroRouter())
    assert isinstance(dict(router.routers)["neighbors"], ZeroRouter)
    piped = make_pipeline(PCA(3), clone(router)).fit(data.X, data.y)
    assert piped.predict(data.X).shape == (400,)
    found = compare_routers({"ensemble": router, "zero": ZeroRouter()}, data.X, data.y, data.costs)
    assert "ensemble" in str(found.to_frame())


def test_seeds_of_members(data):
    members = [("kmeans", KMeansRouter(6)), ("second", KMeansRouter(6, random_state=7))]
    first, second = (EnsembleRouter(members, random_state=0).fit(data.X, data.y) for _ in range(2))
    np.testing.assert_array_equal(first.predict_error(data.X), second.predict_error(data.X))
    assert first.routers_[1].random_state == 7
    assert members[0][1].random_state is None


@pytest.mark.parametrize(
    ("routers", "error", "match"),
    [
        ([], ValueError, "list of"),
        (None, ValueError, "list of"),
        ([KMeansRouter()], ValueError, "tuples"),
        ([("a", PCA())], TypeError, "no router"),
        ([("a", KMeansRouter()), ("a", ZeroRouter())], ValueError, "not unique"),
        ([("weights", KMeansRouter())], ValueError, "conflict"),
        ([("a", KMeansRouter(cost_weight=0.1))], ValueError, "cost_weight"),
        ([("a", KMeansRouter(budget=1.0))], ValueError, "budget"),
        ([("a", KMeansRouter(fallback="dearest"))], ValueError, "fallback"),
    ],
)
def test_members_that_are_refused(data, routers, error, match):
    with pytest.raises(error, match=match):
        EnsembleRouter(routers).fit(data.X, data.y)


@pytest.mark.parametrize("weights", ["equal", [1, 2], [1, -1, 1], [0, 0, 0], [1, np.nan, 1]])
def test_weights_that_are_refused(data, weights):
    with pytest.raises(ValueError, match="weights"):
        EnsembleRouter(MEMBERS, weights=weights).fit(data.X, data.y)


def test_validation_prompts_that_are_passed(data):
    router = EnsembleRouter(MEMBERS, random_state=0)
    router.fit(data.X[:300], data.y[:300, :7], costs=data.costs[:7], X_val=data.X[300:])
    assert router.validation_indices_ is None
    router.add_model(1 - data.y[300:, 7], cost=data.costs[7])
    for member in router.routers_:
        np.testing.assert_array_equal(member.X_val_, data.X[300:])


def test_all_members_weight_the_validation_prompts_alike(data):
    """The first router takes telling prompts, which are no even sample for the second."""
    members = [("kmeans", KMeansRouter(6)), ("zero", ZeroRouter())]
    router = EnsembleRouter(members, n_validation=40, random_state=0)
    router.fit(data.X, data.y[:, :7], costs=data.costs[:7])
    errors = 1 - data.y[router.validation_indices_, 7]
    calls = np.linspace(1, 5, 40)
    router.add_model(errors, cost=calls)
    weights = router.validation_weights_
    assert np.ptp(weights) > 0
    for member in router.routers_:
        assert member.costs_[7] == pytest.approx(np.average(calls, weights=weights))


class PlainRouter(BaseRouter):
    """A router of one's own, without the parameters that an ensemble sets."""

    def __init__(self):
        pass

    def _represent(self, X, errors):
        return errors.mean(keepdims=True)

    def _estimate(self, X, representation):
        return np.tile(representation[:, 0], (len(X), 1))


def test_members_of_ones_own(data):
    members = [("plain", PlainRouter()), ("kmeans", KMeansRouter(6))]
    router = EnsembleRouter(members, n_validation=40, random_state=0)
    router.fit(data.X, data.y[:, :7], costs=data.costs[:7])
    assert len(router.X_val_) == 40
    router.add_model(1 - data.y[router.validation_indices_, 7], cost=data.costs[7])
    assert router.predict_error(data.X).shape == (400, 8)


def test_members_without_weight_give_no_standard_errors(data):
    router = EnsembleRouter(MEMBERS, weights=[0, 1, 1], random_state=0)
    router.fit(data.X, data.y, costs=data.costs)
    with pytest.raises(ValueError, match="needs standard errors"):
        router.cost_weight_for_quality(0.5, confidence=0.95)
    with pytest.raises(ValueError, match="needs standard errors"):
        router.predict_error(data.X, return_std=True)


def test_parameters_set_after_fit_do_not_count(data, fitted):
    fitted.set_params(neighbors=ZeroRouter())
    picked = fitted.validation_indices_
    fitted.add_model(1 - data.y[picked, 6], cost=data.costs[6])
    assert [type(member) for member in fitted.routers_] == [
        KMeansRouter,
        KNeighborsRouter,
        LinearRouter,
    ]
    assert not hasattr(fitted, "decay")


def test_a_refit_checks_costs_for_the_members_to_fit(data, calls):
    gaps = np.where(np.arange(400)[:, None] % 7 == 0, np.nan, calls)
    router = EnsembleRouter([("kmeans", KMeansRouter(6))], random_state=0)
    router.fit(data.X, data.y, costs=gaps)
    router.set_params(kmeans__cost_model="cluster")
    with pytest.raises(ValueError, match="NaN"):
        router.fit(data.X, data.y, costs=gaps)
