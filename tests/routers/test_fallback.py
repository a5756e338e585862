import pickle

import numpy as np
import pytest
from sklearn.base import clone

from sklearn_uniroute import HybridRouter, KMeansRouter, LearnedMapRouter
from sklearn_uniroute.metrics import deferral_area_score

ROUTERS = [
    KMeansRouter(6, fallback=5, far_share=0.1, n_validation=60, random_state=0),
    KMeansRouter(6, fallback="dearest", far_share=0.1, temperature=0, random_state=0),
    LearnedMapRouter(6, fallback=5, far_share=0.1, n_validation=60, random_state=0),
    HybridRouter(6, n_components=3, fallback=5, far_share=0.1, n_validation=60, random_state=0),
]
every_router = pytest.mark.parametrize("router", ROUTERS, ids=lambda r: type(r).__name__)
POOL = [0, 1, 2, 3, 4, 5]


def far_from_all(router, X, training_X, far_share):
    """Prompts farther from the nearest centre than all training prompts but a share."""

    def distance(prompts):
        return np.sqrt(((prompts[:, None] - router.cluster_centers_) ** 2).sum(axis=2).min(axis=1))

    return distance(X) > np.quantile(distance(training_X), 1 - far_share)


@every_router
def test_far_prompts_go_to_the_fallback_and_others_as_ever(router, data):
    fitted = clone(router).fit(data.X[:300], data.y[:300, :6], costs=data.costs[:6])
    plain = clone(router).set_params(fallback=None)
    plain.fit(data.X[:300], data.y[:300, :6], costs=data.costs[:6])
    X = data.X[300:] * np.where(np.arange(100) % 2, 1, 3)[:, None]
    far = far_from_all(fitted, X, data.X[:300], 0.1)
    assert 30 < far.sum() < 70
    for weight in (0.0, 0.01, 1e6):
        chosen = fitted.predict(X, cost_weight=weight)
        assert set(chosen[far]) == {5}
        np.testing.assert_array_equal(chosen[~far], plain.predict(X, cost_weight=weight)[~far])
        scores = fitted.decision_function(X, cost_weight=weight)
        np.testing.assert_array_equal(fitted.models_[scores.argmax(axis=1)][far], 5)
    np.testing.assert_array_equal(fitted.predict_error(X), plain.predict_error(X))
    assert far_from_all(fitted, data.X[:300], data.X[:300], 0.1).mean() == pytest.approx(0.1)


@every_router
def test_budgets_count_the_fallback(router, data):
    fitted = clone(router).fit(data.X, data.y[:, :6], costs=data.costs[:6])
    far = far_from_all(fitted, data.X, data.X, 0.1)
    least = far.mean() * data.costs[5] + (~far).mean() * data.costs[0]
    for budget in (least * 1.0001, 2 * least, 0.9 * data.costs[5]):
        weight = fitted.cost_weight_for_budget(budget)
        paid = fitted.costs_[fitted.predict(data.X, cost_weight=weight)].mean()
        assert paid <= budget * (1 + 1e-9)
        assert weight == pytest.approx(fitted.cost_weight_for_budget(budget, X=data.X))
    with pytest.raises(ValueError, match="below the least mean cost"):
        fitted.cost_weight_for_budget(0.999 * least)


def test_score_accounts_for_the_fallback(data):
    fitted = clone(ROUTERS[0]).fit(data.X[:300], data.y[:300, :6], costs=data.costs[:6])
    X, y = 1.5 * data.X[300:], data.y[300:, :6]
    far = far_from_all(fitted, X, data.X[:300], 0.1)
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
    router = clone(ROUTERS[0]).set_params(fallback=2).fit(data.X, data.y)
    assert router.predict(100 * data.X[:5]).tolist() == [2] * 5
    calls = np.random.RandomState(0).uniform(size=data.y.shape)
    far = far_from_all(router, data.X, data.X, 0.1)
    error = np.where(far[:, None], np.arange(8) != 2, router.predict_error(data.X))
    means = np.where(far[:, None], 1.0, calls.mean(axis=0))
    expected = deferral_area_score(data.y, error, calls, routing_costs=means)
    assert router.score(data.X, data.y, costs=calls) == pytest.approx(expected)
    with pytest.raises(ValueError, match="'dearest' needs costs"):
        clone(ROUTERS[1]).fit(data.X, data.y)


def test_with_costs_by_cluster(data):
    calls = data.costs * np.random.RandomState(0).uniform(0.5, 1.5, size=data.y.shape)
    router = clone(ROUTERS[0]).set_params(cost_model="cluster").fit(data.X, data.y, costs=calls)
    cost = router.predict_cost(data.X)
    far = far_from_all(router, data.X, data.X, 0.1)
    for budget in (20.0, 40.0):
        chosen = router.predict(data.X, budget=budget)
        assert set(chosen[far]) == {5}
        assert cost[np.arange(400), chosen].mean() <= budget * (1 + 1e-9)


def test_the_dearest_of_the_pool(data):
    router = clone(ROUTERS[1]).fit(data.X, data.y, costs=data.costs)
    far = 100 * data.X[:3]
    assert set(router.predict(far)) == {7}
    assert set(router.predict(far, pool=[4, 2, 0])) == {4}
    router.set_cost(1, 1e6)
    assert set(router.predict(far)) == {1}


def test_of_models_that_are_as_dear_the_first_registered(data):
    costs = np.array([1.0, 2, 9, 3, 4, 9, 5, 6])
    router = clone(ROUTERS[1]).fit(data.X, data.y, costs=costs)
    far = 100 * data.X[:3]
    for pool in (None, [5, 2, 0], [0, 2, 5]):
        assert set(router.predict(far, pool)) == {2}
        scores = router.decision_function(far, pool, cost_weight=0.1)
        names = router.models_ if pool is None else np.array(pool)
        assert set(names[scores.argmax(axis=1)]) == {2}


def test_the_fallback_stays_in_the_pool(data):
    router = clone(ROUTERS[0]).fit(data.X, data.y, costs=data.costs)
    with pytest.raises(ValueError, match=r"`fallback` 5 is not among the models .* \(0, 1\); keep"):
        router.predict(data.X, pool=[1, 0])
    with pytest.raises(ValueError, match="5 is what this router falls back to, and cannot be"):
        router.remove_model(5)
    router.add_model(1 - data.y[router.validation_indices_, 5], name=5, cost=1.0, replace=True)
    assert set(router.predict(100 * data.X[:3])) == {5}
    with pytest.raises(ValueError, match="`fallback` 9 is not among the models"):
        router.set_params(fallback=9).fit(data.X, data.y, costs=data.costs)


def test_it_holds_as_it_was_fitted(data):
    router = clone(ROUTERS[0]).fit(data.X, data.y, costs=data.costs)
    chosen = router.predict(data.X, cost_weight=0.1)
    router.set_params(fallback=2, far_share=0.5)
    np.testing.assert_array_equal(router.predict(data.X, cost_weight=0.1), chosen)
    router.set_params(fallback=None)
    np.testing.assert_array_equal(router.predict(data.X, cost_weight=0.1), chosen)
    copy = pickle.loads(pickle.dumps(router))
    np.testing.assert_array_equal(copy.predict(data.X, cost_weight=0.1), chosen)


def test_budgets_are_kept_on_a_part_of_many_training_prompts(data, monkeypatch):
    monkeypatch.setattr("sklearn_uniroute.routers._cluster._CALIBRATION_PROMPTS", 150)
    router = clone(ROUTERS[0]).set_params(far_share=0.3).fit(data.X, data.y, data.costs)
    part = data.X[np.sort(np.random.RandomState(router._selection_seed).permutation(400)[:150])]
    far = far_from_all(router, part, data.X, 0.3)
    np.testing.assert_array_equal(router._calibration_prompts["far"], far)
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
