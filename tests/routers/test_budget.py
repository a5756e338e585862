import numpy as np
import pytest
from sklearn.base import clone

from sklearn_uniroute import HybridRouter, KMeansRouter, KNeighborsRouter, LearnedMapRouter
from sklearn_uniroute._numerics._posterior import condition
from sklearn_uniroute.datasets import make_routing_data

ROUTERS = [
    KMeansRouter(6, random_state=0),
    KMeansRouter(6, temperature=0, random_state=0),
    KMeansRouter(6, fallback=5, far_share=0.1, random_state=0),
    LearnedMapRouter(6, random_state=0),
    HybridRouter(6, n_components=3, random_state=0),
    KNeighborsRouter(20, n_validation=None, random_state=0),
]
every_router = pytest.mark.parametrize("router", ROUTERS, ids=lambda r: type(r).__name__)


def predicted_quality(router, X, chosen):
    return 1 - router.predict_error(X)[np.arange(len(X)), chosen].mean()


@every_router
@pytest.mark.parametrize("budget", [12.0, 33.3])
def test_randomizing_spends_the_budget_in_full(router, data, budget):
    router = clone(router).fit(data.X, data.y, costs=data.costs)
    plain = router.costs_[router.predict(data.X, budget=budget)]
    n_seeds, paid = (15 if isinstance(router, KNeighborsRouter) else 60), []
    # Standard errors are small enough, as most prompts do not depend on the seed.
    for seed in range(n_seeds):
        router._mixing_seed = seed
        paid.append(router.costs_[router.predict(data.X, budget=budget, randomize=True)])
    paid = np.array(paid)
    assert plain.mean() <= budget * (1 + 1e-9)
    # The share of the prompts, not their number, is what is drawn.
    error = paid.mean(axis=1).std() / np.sqrt(n_seeds)
    most = router.costs_[router.predict(data.X, cost_weight=0)].mean()
    tolerance = 4 * error + 1e-9
    if getattr(router, "fallback", None) is not None:
        # More of the new prompts are far than of these, on which the clusters were fitted.
        assert 0.95 * budget < paid.mean() < budget + tolerance
    else:
        assert paid.mean() == pytest.approx(min(budget, most), abs=tolerance)
    assert np.all(paid >= plain - 1e-9)


@every_router
def test_randomizing_depends_on_the_prompt_alone(router, data):
    router = clone(router).fit(data.X, data.y, costs=data.costs)
    whole = router.predict(data.X, budget=20, randomize=True)
    order = np.random.RandomState(0).permutation(400)
    np.testing.assert_array_equal(
        router.predict(data.X[order], budget=20, randomize=True), whole[order]
    )
    assert router.predict(data.X[:1], budget=20, randomize=True) == whole[:1]


def test_more_than_the_most_that_can_be_spent(data):
    router = KMeansRouter(6, random_state=0).fit(data.X, data.y, costs=data.costs)
    np.testing.assert_array_equal(
        router.predict(data.X, budget=1e6, randomize=True), router.predict(data.X, cost_weight=0)
    )
    cheapest = data.costs.min()
    assert set(router.predict(data.X, budget=cheapest, randomize=True)) == {0}


def test_budgets_follow_the_pool_and_its_prices(data):
    router = KMeansRouter(6, random_state=0).fit(data.X, data.y[:, :7], costs=data.costs[:7])
    before = router.cost_weight_for_budget(20)
    router.add_model(1 - data.y[router.validation_indices_, 7], cost=1.0)
    assert router.cost_weight_for_budget(20) < before
    router.set_cost(7, 1e5).remove_model(7)
    assert router.cost_weight_for_budget(20) == before


@pytest.mark.parametrize("router", ROUTERS[:-1], ids=lambda r: type(r).__name__)
def test_the_highest_weight_that_reaches_a_quality(router, data):
    router = clone(router).fit(data.X, data.y, costs=data.costs)
    best = predicted_quality(router, data.X, router.predict(data.X))
    least = predicted_quality(router, data.X, router.predict(data.X, cost_weight=1e9))
    for share in (0.1, 0.5, 0.9):
        quality = least + share * (best - least)
        weight = router.cost_weight_for_quality(quality)
        assert router.cost_weight_for_quality(quality, X=data.X) == pytest.approx(weight, rel=1e-6)
        chosen = router.predict(data.X, cost_weight=weight)
        assert predicted_quality(router, data.X, chosen) >= quality - 1e-9
        # Where the choice changes next, the quality is not reached any more.
        weights = weight * np.geomspace(1, 10, 150)
        others = [router.predict(data.X, cost_weight=w) for w in weights]
        cheaper = next(other for other in others if np.any(other != chosen))
        assert predicted_quality(router, data.X, cheaper) < quality


def test_qualities_are_reached_on_new_prompts():
    data = make_routing_data(n_prompts=4000, n_models=8, n_clusters=6, random_state=0)
    known, new = slice(None, 2000), slice(2000, None)
    router = KMeansRouter(12, random_state=0)
    router.fit(data.X[known], data.y[known], costs=data.costs)
    for quality in (0.6, 0.7, 0.8):
        weight = router.cost_weight_for_quality(quality)
        chosen = router.predict(data.X[new], cost_weight=weight)
        reached = data.y[new][np.arange(2000), chosen].mean()
        assert reached > quality - 0.02
        above = router.predict(data.X[new], cost_weight=1.5 * weight)
        assert data.y[new][np.arange(2000), above].mean() < reached


def test_the_cheapest_model_may_do(data):
    router = KMeansRouter(6, random_state=0).fit(data.X, data.y, costs=data.costs)
    weight = router.cost_weight_for_quality(0.0)
    assert set(router.predict(data.X, cost_weight=weight)) == {0}


@pytest.mark.parametrize("router", ROUTERS[:2] + ROUTERS[3:5], ids=lambda r: type(r).__name__)
def test_confidence_is_the_share_of_worlds_in_which_the_quality_is_reached(router, data):
    """Draw errors of the models from what is known of them, and see what the choices come to."""
    router = clone(router).set_params(n_validation=40)
    router.fit(data.X, data.y[:, :3], costs=data.costs[:3])
    for model in range(3, 8):
        router.add_model(1 - data.y[router.validation_indices_, model], cost=data.costs[model])
    # As if the prior was known, from many models.
    router._n_prior_models = 10**6
    features = router._features(data.X)
    if features.ndim == 1:
        features = np.eye(6)[features]
    rng = np.random.RandomState(0)
    worlds = []
    for model in range(8):
        known = router._evidence["information"][model], router._evidence["moments"][model]
        mean, covariance = condition(router._prior(), *known)
        worlds.append(features @ rng.multivariate_normal(mean, covariance, 4000).T)
    worlds = np.array(worlds)
    for quality in (0.6, 0.65):
        weight = router.cost_weight_for_quality(quality, confidence=0.9)
        chosen = router.predict(data.X, cost_weight=weight)
        reached = 1 - worlds[chosen, np.arange(400)].mean(axis=0)
        assert np.mean(reached >= quality) >= 0.9 - 0.02
        # The next cheaper choice is not as sure.
        cheaper = weight * np.linspace(1, 2, 200)
        choices = [router.predict(data.X, cost_weight=w) for w in cheaper]
        moved = next(c for c in choices if np.any(c != chosen))
        reached = 1 - worlds[moved, np.arange(400)].mean(axis=0)
        assert np.mean(reached >= quality) <= 0.9 + 0.02


def test_more_confidence_costs_more(data):
    router = KMeansRouter(6, random_state=0).fit(data.X, data.y, costs=data.costs)
    weights = [
        router.cost_weight_for_quality(0.7, confidence=confidence)
        for confidence in (0.5, 0.8, 0.95, 0.999)
    ]
    assert np.all(np.diff(weights) <= 0)
    assert weights[-1] < weights[0]
    assert weights[0] == router.cost_weight_for_quality(0.7)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"quality": 1.5}, r"`quality` 1.5 is out of reach: the pool reaches mean qualities from "),
        ({"quality": 0.99, "confidence": 0.99}, r"out of reach.*with a confidence of 0.99"),
        ({"quality": "high"}, "`quality` must be a finite number; got 'high'"),
        ({"quality": 0.7, "confidence": 1.0}, "`confidence` must lie between 0 and 1; got 1.0"),
    ],
)
def test_qualities_that_cannot_be(data, arguments, message):
    router = KMeansRouter(6, random_state=0).fit(data.X, data.y, costs=data.costs)
    with pytest.raises(ValueError, match=message):
        router.cost_weight_for_quality(**arguments)


def test_what_is_missing(data):
    router = KMeansRouter(6, random_state=0).fit(data.X, data.y)
    with pytest.raises(ValueError, match="fitted without costs"):
        router.cost_weight_for_quality(0.5)
    router = KNeighborsRouter(random_state=0).fit(data.X, data.y, costs=data.costs)
    with pytest.raises(ValueError, match="`confidence` needs standard errors"):
        router.cost_weight_for_quality(0.5, confidence=0.9)
    with pytest.raises(ValueError, match="`randomize=True` requires a budget; pass `budget`"):
        router.predict(data.X, randomize=True)
    for wrong in (1, "yes", np.array([True, False])):
        with pytest.raises(TypeError, match="`randomize` must be True, False or None; got"):
            router.predict(data.X, budget=3, randomize=wrong)
