import numpy as np
import pytest

from sklearn_uniroute import ZeroRouter

# Errors .8, .5, .48 and .4 on five hundred prompts; the model of cost 3 is above the hull.
COSTS = [1.0, 2.0, 3.0, 4.0]
RIGHT = [100, 250, 260, 300]


@pytest.fixture(scope="module")
def router():
    X = np.random.RandomState(0).normal(size=(500, 3))
    y = (np.arange(500)[:, None] < RIGHT).astype(float)
    return ZeroRouter(random_state=0).fit(X, y, costs=COSTS)


@pytest.fixture(scope="module")
def X():
    return np.random.RandomState(1).normal(size=(20_000, 3))


def test_all_prompts_have_the_mean_errors(router, X):
    np.testing.assert_allclose(router.predict_error(X[:2]), [[0.8, 0.5, 0.48, 0.4]] * 2)


@pytest.mark.parametrize(
    ("cost_weight", "model"), [(0.4, 0), (0.3, 0), (0.29, 1), (0.06, 1), (0.04, 3), (0.0, 3)]
)
def test_a_cost_weight_picks_a_vertex_of_the_hull(router, X, cost_weight, model):
    assert set(router.predict(X[:10], cost_weight=cost_weight)) == {model}


@pytest.mark.parametrize(
    ("budget", "models", "share"),
    [(1.0, (0,), 0), (1.25, (0, 1), 0.25), (2.0, (1,), 0), (3.0, (1, 3), 0.5), (9.0, (3,), 0)],
)
def test_a_budget_mixes_the_vertices_around_it(router, X, budget, models, share):
    chosen = router.predict(X, budget=budget)
    assert tuple(np.unique(chosen)) == models
    # Three standard errors of a share of 20,000.
    assert np.mean(chosen == models[-1]) == pytest.approx(share or 1, abs=0.011)


def test_mixing_depends_on_the_seed(router, X):
    y = (np.arange(500)[:, None] < RIGHT).astype(float)
    other = ZeroRouter(random_state=1).fit(X[:500], y, costs=COSTS)
    one, two = router.predict(X, budget=3.0), other.predict(X, budget=3.0)
    assert 0.45 < np.mean(one == two) < 0.55


def test_a_rising_budget_only_moves_prompts_up(router, X):
    paid = [router.costs_[router.predict(X, budget=budget)] for budget in (2.0, 2.5, 3.5, 4.0)]
    assert np.all(np.diff(paid, axis=0) >= 0)


def test_a_budget_below_the_cheapest_model_is_refused(router, X):
    with pytest.raises(ValueError, match=r"`budget` 0.5 is below .* from 1 to 4 can be reached"):
        router.predict(X, budget=0.5)
    with pytest.raises(ValueError, match=r"from 3 to 4 can be reached"):
        router.predict(X, pool=[2, 3], budget=2)


@pytest.mark.parametrize("budget", [1.25, 3.0])
def test_without_randomizing_all_prompts_go_to_one_model_within_the_budget(router, X, budget):
    chosen = router.predict(X[:50], budget=budget, randomize=False)
    assert len(set(chosen)) == 1
    assert router.costs_[chosen[0]] <= budget
    table = router.routing_table(budget=budget, randomize=False)
    np.testing.assert_array_equal(table.route_many(X[:50]), chosen)
    # By default, and where it is asked for, it mixes.
    mixed = router.predict(X[:50], budget=budget)
    assert len(set(mixed)) == 2
    np.testing.assert_array_equal(mixed, router.predict(X[:50], budget=budget, randomize=True))
    constructed = ZeroRouter(budget=budget, random_state=0).fit(
        X[:500], (np.arange(500)[:, None] < RIGHT).astype(float), costs=COSTS
    )
    assert len(set(constructed.predict(X[:50], randomize=False))) == 1
    assert len(set(constructed.predict(X[:50]))) == 2
