import copy
import pickle

import numpy as np
import pytest
import skops.io
from sklearn.base import clone
from sklearn.cluster import KMeans
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GridSearchCV

from sklearn_uniroute import HybridRouter, KMeansRouter, LearnedMapRouter
from sklearn_uniroute._numerics._features import ClusterShares
from sklearn_uniroute.datasets import make_routing_data
from sklearn_uniroute.inspection import drift_report
from sklearn_uniroute.metrics import deferral_area_score

COST_ROUTERS = [
    KMeansRouter(6, cost_model="cluster", n_validation=60, random_state=0),
    KMeansRouter(6, cost_model="cluster", temperature=0, n_validation=60, random_state=0),
    LearnedMapRouter(6, cost_model="cluster", n_validation=60, random_state=0),
    HybridRouter(6, n_components=3, cost_model="cluster", n_validation=60, random_state=0),
]
every_router = pytest.mark.parametrize("router", COST_ROUTERS, ids=lambda r: type(r).__name__)


def nearest(router, X):
    return ((X[:, None] - router.cluster_centers_) ** 2).sum(axis=2).argmin(axis=1)


@pytest.fixture
def calls(data):
    """What calls cost: a model's answers are longer, each in its own way, the larger feature 0."""
    rng = np.random.RandomState(0)
    length = np.exp(data.X[:, :1] * np.linspace(0, 0.6, 8))
    return data.costs * length * rng.uniform(0.5, 1.5, size=(400, 8))


def scaled(router, means, cost):
    """Means of clusters in such a scale that what is predicted has this mean."""
    features, weights = (
        router._calibration_prompts["features"],
        router._calibration_prompts["weights"],
    )
    phi = np.eye(6)[features] if features.ndim == 1 else features[:, :6].astype(float)
    return means * cost / (weights @ phi @ means)


def grown(router, data, calls):
    router = clone(router).fit(data.X, data.y[:, :6], costs=calls[:, :6])
    rows = router.validation_indices_
    for model in (6, 7):
        router.add_model(1 - data.y[rows, model], cost=calls[rows, model])
    return router


@every_router
def test_costs_are_means_of_clusters_by_hand(router, data, calls):
    router = grown(router, data, calls)
    labels = nearest(router, data.X)
    shares = np.bincount(labels) / 400
    validation = nearest(router, router.X_val_)
    for model in range(6):
        means = np.array([calls[labels == k, model].mean() for k in range(6)])
        assert router.costs_[model] == pytest.approx(calls[:, model].mean())
        np.testing.assert_allclose(
            router.cost_representation_[model], scaled(router, means, calls[:, model].mean())
        )
    for model in (6, 7):
        paid = calls[router.validation_indices_, model]
        means = np.array([paid[validation == k].mean() for k in range(6)])
        assert router.costs_[model] == pytest.approx(shares @ means)
        np.testing.assert_allclose(
            router.cost_representation_[model], scaled(router, means, shares @ means)
        )


@every_router
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_predicted_costs_have_the_mean_of_the_model(router, data, calls, dtype):
    router = clone(router).fit(data.X.astype(dtype), data.y, costs=calls)
    np.testing.assert_allclose(router.predict_cost(data.X).mean(axis=0), calls.mean(axis=0), 1e-6)
    router.set_cost(3, 70.0)
    assert router.predict_cost(data.X, [3]).mean() == pytest.approx(70)
    # What a model costs pays for that model.
    for model in range(8):
        assert router.cost_weight_for_budget(router.costs_[model], pool=[model]) == 0
    # Without prompts far away, a router that has one price for all calls predicts that.
    router.fit(data.X.astype(dtype), data.y, costs=np.tile(data.costs, (400, 1)))
    np.testing.assert_allclose(router.predict_cost(data.X), np.tile(data.costs, (400, 1)), 1e-6)


@every_router
def test_predicted_costs_follow_the_features_of_the_prompt(router, data, calls):
    router = grown(router, data, calls)
    X = data.X[:50] + 0.1
    if isinstance(router, LearnedMapRouter):
        phi = router._features(X)
    elif router.temperature == 0:
        phi = np.eye(6)[nearest(router, X)]
    else:
        phi = ClusterShares(router.cluster_centers_, router.temperature_).features(X)
    expected = phi @ router.cost_representation_.T
    np.testing.assert_allclose(router.predict_cost(X), expected, rtol=1e-5)
    np.testing.assert_allclose(router.predict_cost(X, [7, 2]), expected[:, [7, 2]], rtol=1e-5)
    for weight in (0.0, 0.003, 0.03, 1.0):
        scores = router.predict_error(X) + weight * router.predict_cost(X)
        np.testing.assert_allclose(router.decision_function(X, cost_weight=weight), -scores)
        chosen = router.predict(X, cost_weight=weight)
        taken = np.take_along_axis(scores, chosen[:, None], axis=1)[:, 0]
        np.testing.assert_allclose(taken, scores.min(axis=1))


@every_router
def test_budgets_are_kept_by_predicted_costs(router, data, calls):
    router = grown(router, data, calls)
    cost = router.predict_cost(data.X)
    for budget in (5.0, 20.0, 50.0):
        chosen = router.predict(data.X, budget=budget)
        # Other prompts are far than would be, were they new.
        assert cost[np.arange(400), chosen].mean() <= 1.02 * budget
        weight = router.cost_weight_for_budget(budget)
        lower = router.predict(data.X, cost_weight=weight * (1 - 1e-5))
        assert weight == 0 or cost[np.arange(400), lower].mean() > budget


def test_score_routes_by_predicted_costs_and_accounts_for_paid_ones(data, calls):
    router = grown(COST_ROUTERS[0], data, calls)
    pool = [5, 7, 0, 6]
    y, error, predicted = data.y[:, pool], router.predict_error(data.X, pool), calls[:, pool]
    predicted = router.predict_cost(data.X, pool)
    expected = deferral_area_score(y, error, calls[:, pool], routing_costs=predicted)
    assert router.score(data.X, y, calls[:, pool], pool) == pytest.approx(expected)
    # Where nobody says what was paid, the mean cost of the model was.
    expected = deferral_area_score(y, error, router.costs_[pool], routing_costs=predicted)
    assert router.score(data.X, y, pool=pool) == pytest.approx(expected)
    prices = np.arange(8.0)
    expected = deferral_area_score(data.y, router.predict_error(data.X), prices)
    assert router.score(data.X, data.y, costs=prices) == pytest.approx(expected)


def test_noise_is_not_taken_for_knowledge(data):
    """Costs that clusters say nothing of do not make them look good."""
    noise = data.costs * np.random.RandomState(0).lognormal(0, 1.5, size=data.y.shape)
    search = GridSearchCV(KMeansRouter(24, random_state=0), {"cost_model": ["mean", "cluster"]})
    search.fit(data.X, data.y, costs=noise)
    assert search.best_params_ == {"cost_model": "mean"}


def test_it_saves_where_the_cheaper_model_differs_from_prompt_to_prompt():
    """Two models of equal skill and mean cost, each cheap where the other is dear."""
    rng = np.random.RandomState(0)
    X = np.repeat([[-3.0], [3.0]], 200, axis=0) + rng.normal(size=(400, 1))
    y = np.ones((400, 2))
    calls = np.where(np.arange(400)[:, None] < 200, [1.0, 3.0], [3.0, 1.0])
    router = KMeansRouter(2, cost_model="cluster", random_state=0).fit(X, y, costs=calls)
    chosen = router.predict(X, cost_weight=0.1)
    np.testing.assert_array_equal(chosen, np.repeat([0, 1], 200))
    assert router.cost_weight_for_budget(1.001) < 1


def test_calls_not_made_do_not_count(data, calls):
    y = data.y.copy()
    y[::3, 2] = calls[::3, 2] = np.nan
    router = COST_ROUTERS[0]
    router = clone(router).fit(data.X, y, costs=calls)
    labels = nearest(router, data.X)
    made = np.arange(400) % 3 > 0
    means = np.array([calls[made & (labels == k), 2].mean() for k in range(6)])
    # The mean over the traffic, not over where the calls were made.
    cost = np.bincount(labels) / 400 @ means
    assert router.costs_[2] == pytest.approx(cost)
    np.testing.assert_allclose(router.cost_representation_[2], scaled(router, means, cost))


def test_a_price_alone_is_spread_as_the_costs_of_known_models_are(data, calls):
    router = clone(COST_ROUTERS[0]).fit(data.X, data.y[:, :6], costs=calls[:, :6])
    profile = (router.cost_representation_ / router.costs_[:, None]).mean(axis=0)
    errors = 1 - data.y[router.validation_indices_, 6]
    # In whatever order such models come.
    for name, cost in ((6, 40.0), (7, 0.0), (8, 3.0)):
        router.add_model(errors, cost=cost)
        np.testing.assert_allclose(router.cost_representation_[name], cost * profile)
        assert router.costs_[name] == cost


def test_a_new_price_changes_all_costs_of_the_model_in_proportion(data, calls):
    router = grown(COST_ROUTERS[0], data, calls)
    before = router.cost_representation_
    held = copy.copy(router)
    router.set_cost(7, 2 * router.costs_[7])
    np.testing.assert_allclose(router.cost_representation_[7], 2 * before[7])
    np.testing.assert_array_equal(router.cost_representation_[:7], before[:7])
    np.testing.assert_array_equal(held.cost_representation_, before)
    # From nothing to something there is no proportion.
    router.set_cost(7, 0.0).set_cost(7, 5.0)
    np.testing.assert_allclose(router.cost_representation_[7], 5.0)


def test_pool_changes_keep_costs_in_step(data, calls):
    router = grown(COST_ROUTERS[0], data, calls)
    trusted = skops.io.get_untrusted_types(data=skops.io.dumps(router))
    loaded = skops.io.loads(skops.io.dumps(router), trusted=trusted)
    np.testing.assert_array_equal(loaded.predict_cost(data.X), router.predict_cost(data.X))
    other = pickle.loads(pickle.dumps(router)).remove_model(3)
    kept = [0, 1, 2, 4, 5, 6, 7]
    np.testing.assert_array_equal(
        other.predict_cost(data.X, kept), router.predict_cost(data.X, kept)
    )
    rows = router.validation_indices_
    other.add_model(1 - data.y[rows, 7], cost=calls[rows, 7], name=0, replace=True)
    np.testing.assert_array_equal(other.predict_cost(data.X, [0]), other.predict_cost(data.X, [7]))


@every_router
def test_choices_depend_on_their_own_row_only(router, data, calls):
    router = grown(router, data, calls)
    order = np.random.RandomState(0).permutation(400)
    for settings in ({"cost_weight": 0.003}, {"cost_weight": 0.03}, {"budget": 20.0}):
        whole = router.predict(data.X, **settings)
        np.testing.assert_array_equal(router.predict(data.X[order], **settings), whole[order])
        assert router.predict(data.X[:1], **settings) == whole[:1]
        np.testing.assert_array_equal(router.predict(data.X, range(8)[::-1], **settings), whole)


def test_by_what_was_fitted(data, calls):
    router = grown(COST_ROUTERS[0], data, calls).set_params(cost_model="mean")
    assert np.ptp(router.predict_cost(data.X)[:, 7]) > 1
    router = clone(COST_ROUTERS[0]).set_params(cost_model="mean").fit(data.X, data.y, costs=calls)
    assert router.cost_representation_ is None
    assert router.set_params(cost_model="cluster").set_cost(0, 3.0).costs_[0] == 3


@pytest.mark.parametrize("costs", [None, np.arange(8.0)], ids=["none", "per model"])
def test_it_needs_costs_of_calls(data, costs):
    with pytest.raises(ValueError, match=r"needs the cost of each call, but `costs` has"):
        clone(COST_ROUTERS[0]).fit(data.X, data.y, costs=costs)


def test_predicting_costs_needs_costs(data):
    router = KMeansRouter(3, random_state=0).fit(data.X, data.y)
    with pytest.raises(ValueError, match="fitted without costs; pass `costs` to fit"):
        router.predict_cost(data.X)


def test_models_from_battles_have_costs_too(data, calls):
    router = clone(COST_ROUTERS[0]).fit(data.X, data.y[:, :7], costs=calls[:, :7])
    rng = np.random.RandomState(0)
    a, b = np.array([rng.permutation(8)[:2] for _ in range(400)]).T
    margin = data.y[np.arange(400), a] - data.y[np.arange(400), b]
    winner = np.array(["model_b", "tie", "model_a"])[np.sign(margin).astype(int) + 1]
    router.add_models_from_preferences(data.X, a, b, winner, costs={7: 9.0})
    assert router.costs_[7] == 9
    assert router.predict_cost(data.X, [7]).mean() == pytest.approx(9)


FALLBACK_ROUTERS = [
    KMeansRouter(6, fallback=5, far_share=0.1, n_validation=60, random_state=0),
    KMeansRouter(6, fallback="dearest", far_share=0.1, temperature=0, random_state=0),
    LearnedMapRouter(6, fallback=5, far_share=0.1, n_validation=60, random_state=0),
    HybridRouter(6, n_components=3, fallback=5, far_share=0.1, n_validation=60, random_state=0),
]
every_fallback_router = pytest.mark.parametrize(
    "router", FALLBACK_ROUTERS, ids=lambda r: type(r).__name__
)
POOL = [0, 1, 2, 3, 4, 5]


def far_from_all(router, X):
    """Prompts farther from the nearest centre than the fitted distance."""
    distance = np.sqrt(((X[:, None] - router.cluster_centers_) ** 2).sum(axis=2).min(axis=1))
    return distance > router.fallback_distance_


@every_fallback_router
def test_far_prompts_go_to_the_fallback_and_others_as_ever(router, data):
    fitted = clone(router).fit(data.X[:300], data.y[:300, :6], costs=data.costs[:6])
    plain = clone(router).set_params(fallback=None)
    plain.fit(data.X[:300], data.y[:300, :6], costs=data.costs[:6])
    X = data.X[300:] * np.where(np.arange(100) % 2, 1, 3)[:, None]
    far = far_from_all(fitted, X)
    assert 30 < far.sum() < 70
    for weight in (0.0, 0.01, 1e6):
        chosen = fitted.predict(X, cost_weight=weight)
        assert set(chosen[far]) == {5}
        np.testing.assert_array_equal(chosen[~far], plain.predict(X, cost_weight=weight)[~far])
        scores = fitted.decision_function(X, cost_weight=weight)
        np.testing.assert_array_equal(fitted.models_[scores.argmax(axis=1)][far], 5)
    np.testing.assert_array_equal(fitted.predict_error(X), plain.predict_error(X))
    assert 0 < far_from_all(fitted, data.X[:300]).mean() < 0.1


@every_fallback_router
def test_budgets_count_the_fallback(router, data):
    fitted = clone(router).fit(data.X, data.y[:, :6], costs=data.costs[:6])
    # A tenth of the prompts would be far, were they new; a few less are.
    least = 0.1 * data.costs[5] + 0.9 * data.costs[0]
    for budget in (least * 1.0001, 2 * least, 0.9 * data.costs[5]):
        weight = fitted.cost_weight_for_budget(budget)
        paid = fitted.costs_[fitted.predict(data.X, cost_weight=weight)].mean()
        assert paid <= budget * (1 + 1e-9)
    with pytest.raises(ValueError, match="below the least mean cost"):
        fitted.cost_weight_for_budget(0.999 * least)


@pytest.mark.parametrize(("n_prompts", "n_clusters"), [(200, 8), (500, 64), (2000, 24)])
def test_as_many_new_prompts_are_far_as_should_be(n_prompts, n_clusters):
    """Thresholds from the prompts that the centres were fitted on gave up to 19 times as many."""
    far = []
    for seed in range(10):
        data = make_routing_data(n_prompts + 2000, 3, random_state=seed)
        router = KMeansRouter(n_clusters, fallback="dearest", far_share=0.05, random_state=seed)
        router.fit(data.X[:n_prompts], data.y[:n_prompts], costs=data.costs)
        new = data.X[n_prompts:]
        far.append(far_from_all(router, new).mean())
        assert drift_report(router, new, far_share=0.05).far_share == far[-1]
        # Budgets count them.
        least = 0.05 * data.costs[2] + 0.95 * data.costs[0]
        assert router.cost_weight_for_budget(1.2 * least) > 0
        with pytest.raises(ValueError, match="below the least"):
            router.cost_weight_for_budget(0.8 * least)
    assert 0.05 / 1.5 < np.mean(far) < 0.05 * 1.5


def test_centres_from_elsewhere_need_no_correction(data):
    kmeans = KMeans(6, random_state=0).fit(data.X[:200])
    router = KMeansRouter(clusterer=FrozenEstimator(kmeans)).fit(data.X[200:], data.y[200:])
    np.testing.assert_array_equal(router.cluster_centers_, kmeans.cluster_centers_)
    distance = kmeans.transform(data.X[200:]).min(axis=1)
    expected = np.quantile(distance, [0, 0.5, 1], method="weibull")
    np.testing.assert_allclose(router.distance_quantiles_[[0, 500, 1000]], expected)
    with pytest.raises(ValueError, match="fitted on 5 features, but `X` has 4"):
        KMeansRouter(clusterer=FrozenEstimator(kmeans)).fit(data.X[:, :4], data.y)


def test_score_accounts_for_the_fallback(data):
    fitted = clone(FALLBACK_ROUTERS[0]).fit(data.X[:300], data.y[:300, :6], costs=data.costs[:6])
    X, y = 1.5 * data.X[300:], data.y[300:, :6]
    far = far_from_all(fitted, X)
    assert 0 < far.sum() < 100
    # The same choices, from errors and costs that leave no other.
    error = np.where(far[:, None], np.arange(6) != 5, fitted.predict_error(X))
    routing_costs = np.where(far[:, None], 1.0, data.costs[:6])
    expected = deferral_area_score(y, error, data.costs[:6], routing_costs=routing_costs)
    assert fitted.score(X, y) == pytest.approx(expected)
    assert fitted.score(X, y, costs=data.costs[:6]) == pytest.approx(expected)
    calls = np.random.RandomState(0).uniform(size=y.shape)
    routing_costs = np.where(far[:, None], 1.0, data.costs[:6])
    expected = deferral_area_score(y, error, calls, routing_costs=routing_costs)
    assert fitted.score(X, y, costs=calls) == pytest.approx(expected)


def test_without_costs(data):
    router = clone(FALLBACK_ROUTERS[0]).set_params(fallback=2).fit(data.X, data.y)
    assert router.predict(100 * data.X[:5]).tolist() == [2] * 5
    calls = np.random.RandomState(0).uniform(size=data.y.shape)
    far = far_from_all(router, data.X)
    error = np.where(far[:, None], np.arange(8) != 2, router.predict_error(data.X))
    means = np.where(far[:, None], 1.0, calls.mean(axis=0))
    expected = deferral_area_score(data.y, error, calls, routing_costs=means)
    assert router.score(data.X, data.y, costs=calls) == pytest.approx(expected)
    with pytest.raises(ValueError, match="'dearest' needs costs"):
        clone(FALLBACK_ROUTERS[1]).fit(data.X, data.y)


def test_with_costs_by_cluster(data):
    calls = data.costs * np.random.RandomState(0).uniform(0.5, 1.5, size=data.y.shape)
    router = (
        clone(FALLBACK_ROUTERS[0]).set_params(cost_model="cluster").fit(data.X, data.y, costs=calls)
    )
    cost = router.predict_cost(data.X)
    far = far_from_all(router, data.X)
    for budget in (20.0, 40.0):
        chosen = router.predict(data.X, budget=budget)
        assert set(chosen[far]) == {5}
        # Other prompts are far than would be, were they new.
        assert cost[np.arange(400), chosen].mean() <= 1.02 * budget


def test_the_dearest_of_the_pool(data):
    router = clone(FALLBACK_ROUTERS[1]).fit(data.X, data.y, costs=data.costs)
    far = 100 * data.X[:3]
    assert set(router.predict(far)) == {7}
    assert set(router.predict(far, pool=[4, 2, 0])) == {4}
    router.set_cost(1, 1e6)
    assert set(router.predict(far)) == {1}


def test_of_models_that_are_as_dear_the_first_registered(data):
    costs = np.array([1.0, 2, 9, 3, 4, 9, 5, 6])
    router = clone(FALLBACK_ROUTERS[1]).fit(data.X, data.y, costs=costs)
    far = 100 * data.X[:3]
    for pool in (None, [5, 2, 0], [0, 2, 5]):
        assert set(router.predict(far, pool)) == {2}
        scores = router.decision_function(far, pool, cost_weight=0.1)
        names = router.models_ if pool is None else np.array(pool)
        assert set(names[scores.argmax(axis=1)]) == {2}


def test_the_fallback_stays_in_the_pool(data):
    router = clone(FALLBACK_ROUTERS[0]).fit(data.X, data.y, costs=data.costs)
    with pytest.raises(ValueError, match=r"`fallback` 5 is not in the pool \(0, 1\); keep"):
        router.predict(data.X, pool=[1, 0])
    with pytest.raises(ValueError, match="5 is the `fallback` of this router and cannot be"):
        router.remove_model(5)
    router.add_model(1 - data.y[router.validation_indices_, 5], name=5, cost=1.0, replace=True)
    assert set(router.predict(100 * data.X[:3])) == {5}
    with pytest.raises(ValueError, match="`fallback` 9 is not in the pool"):
        router.set_params(fallback=9).fit(data.X, data.y, costs=data.costs)


def test_it_holds_as_it_was_fitted(data):
    router = clone(FALLBACK_ROUTERS[0]).fit(data.X, data.y, costs=data.costs)
    chosen = router.predict(data.X, cost_weight=0.1)
    router.set_params(fallback=2, far_share=0.5)
    np.testing.assert_array_equal(router.predict(data.X, cost_weight=0.1), chosen)
    router.set_params(fallback=None)
    np.testing.assert_array_equal(router.predict(data.X, cost_weight=0.1), chosen)
    copy = pickle.loads(pickle.dumps(router))
    np.testing.assert_array_equal(copy.predict(data.X, cost_weight=0.1), chosen)


def test_budgets_are_kept_on_a_part_of_many_training_prompts(data, monkeypatch):
    monkeypatch.setattr("sklearn_uniroute.routers._cluster._CALIBRATION_PROMPTS", 150)
    router = clone(FALLBACK_ROUTERS[0]).set_params(far_share=0.3).fit(data.X, data.y, data.costs)
    part = data.X[np.sort(np.random.RandomState(router._selection_seed).permutation(400)[:150])]
    # About three tenths would be far, were they new; some that are not far from these centres.
    far = router._calibration_prompts["far"]
    assert np.all(far >= far_from_all(router, part))
    assert far.mean() == pytest.approx(0.3, abs=0.1)
    for budget in (30.0, 40.0):
        paid = router.costs_[router.predict(part, budget=budget)].mean()
        assert paid <= budget * (1 + 1e-9)


def test_prompts_that_are_their_own_centres_are_not_far():
    X = np.repeat(np.random.RandomState(0).normal(size=(4, 6)), 20, axis=0)
    y = np.tile([[0, 1, 0.5]], (80, 1))
    for dtype in (np.float32, np.float64):
        router = KMeansRouter(4, fallback=2, random_state=0).fit(X.astype(dtype), y)
        assert set(router.predict(X)) == set(router.predict(X.astype(np.float32))) == {1}
        assert set(router.predict(X + 1)) == {2}


@pytest.mark.parametrize(
    ("params", "error", "message"),
    [
        ({"fallback": True}, TypeError, "`fallback` must be None, 'dearest' or the name"),
        ({"fallback": 2.5}, TypeError, "`fallback` must be None, 'dearest' or the name"),
        ({"fallback": 1, "far_share": 1.5}, ValueError, "far_share == 1.5, must be <= 1"),
        ({"fallback": 1, "far_share": "few"}, TypeError, "far_share must be an instance of"),
    ],
)
def test_bad_parameters(data, params, error, message):
    with pytest.raises(error, match=message):
        KMeansRouter(3, **params).fit(data.X, data.y)


def test_no_training_prompt_is_too_far_at_a_far_share_of_0(data):
    router = KMeansRouter(3, fallback=2, far_share=0, random_state=0).fit(
        data.X, data.y, data.costs
    )
    plain = KMeansRouter(3, random_state=0).fit(data.X, data.y, data.costs)
    for weight in (0, 0.01):
        np.testing.assert_array_equal(
            router.predict(data.X, cost_weight=weight), plain.predict(data.X, cost_weight=weight)
        )
