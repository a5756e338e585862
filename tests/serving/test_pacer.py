import json
import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sklearn_uniroute import BudgetPacer, KMeansRouter, RoutingTable
from sklearn_uniroute.datasets import make_routing_data


@pytest.fixture(scope="module")
def pool():
    """A router, and prompts in the order of the spending that they need."""
    data = make_routing_data(n_prompts=3000, n_models=5, random_state=0)
    router = KMeansRouter(random_state=0)
    router.fit(data.X[:1000], data.y[:1000], costs=data.costs)
    X = data.X[1000:]
    spending = data.costs[router.predict(X, budget=20)]
    return router, X[np.argsort(spending, kind="stable")]


def paced(pool, budget=20.0, **settings):
    return BudgetPacer(pool[0].routing_table(budget=budget, **settings), budget)


def streams(X):
    """Two thousand prompts in orders of five kinds."""
    rng = np.random.RandomState(0)
    shuffled, place = rng.permutation(len(X)), np.arange(len(X))
    waves = np.argsort(np.sin(place / len(X) * 6 * np.pi), kind="stable")
    back = np.empty_like(waves)
    back[waves] = place
    burst = np.r_[shuffled[:900], np.sort(shuffled[900:])]
    return {
        "even": shuffled,
        "rising": place,
        "falling": place[::-1],
        "waves": back,
        "burst": burst,
    }


@pytest.mark.parametrize("kind", ["even", "rising", "falling", "waves", "burst"])
def test_the_mean_cost_keeps_to_the_budget(pool, kind):
    router, X = pool
    pacer, order = paced(pool), streams(X)[kind]
    models = [pacer.route_logged(x).model for x in X[order]]
    spent = router.costs_[models]
    assert pacer.n_calls == len(X)
    assert pacer.spent == pytest.approx(spent.sum())
    assert spent.mean() == pytest.approx(20, rel=0.005)


def test_costs_that_are_paid_replace_those_predicted(pool):
    _, X = pool
    pacer, paid = paced(pool), 0.0
    for x in X[np.random.RandomState(0).permutation(len(X))]:
        decision = pacer.route_logged(x)
        # All calls cost twice as much as predicted.
        pacer.settle(decision, 2 * decision.predicted_cost)
        paid += 2 * decision.predicted_cost
    assert pacer.spent == pytest.approx(paid)
    assert paid / len(X) == pytest.approx(20, rel=0.01)


def test_steps_are_bounded(pool):
    _, X = pool
    pacer = paced(pool)
    decision = pacer.route_logged(X[0])
    before = np.log(pacer.cost_weight)
    pacer.settle(decision, 1e9)
    pacer.route_logged(X[0])
    assert np.log(pacer.cost_weight) - before <= 0.5 + 0.05


@given(costs=st.lists(st.floats(0, 1e6), max_size=30))
def test_cost_weights_stay_finite(pool, costs):
    router, X = pool
    pacer = paced(pool)
    for x, cost in zip(X, costs, strict=False):
        pacer.settle(pacer.route_logged(x), cost)
    assert 0 < pacer.cost_weight < np.inf
    # At the upper end, the cheapest model answers; the range is left again after some calls.
    assert pacer.route_logged(X[0]).model in router.models_


def test_an_ample_budget_is_not_spent(pool):
    router, X = pool
    pacer = BudgetPacer(router.routing_table(cost_weight=0.0), 1e6)
    models = [pacer.route_logged(x).model for x in X[:200]]
    assert models == router.predict(X[:200], cost_weight=1e-6).tolist()


def test_savings_are_remembered_up_to_a_limit(pool):
    router, X = pool
    pacer, cheapest = paced(pool), X[0]
    for _ in range(1500):
        pacer.settle(pacer.route_logged(cheapest), 0.0)
    assert pacer._debt == -1000
    # All of it is spent in the end, and no more.
    dear = router.costs_[[pacer.route_logged(x).model for x in X[::-1][:1500].repeat(3, axis=0)]]
    assert dear.sum() == pytest.approx(20 * (1000 + 4500), rel=0.01)


def test_the_state_goes_through_a_small_file(pool, tmp_path):
    _, X = pool
    pacer = paced(pool)
    for x in X[:100]:
        pacer.route_logged(x)
    pacer.save(tmp_path / "pacer.json")
    assert (tmp_path / "pacer.json").stat().st_size < 400
    loaded = BudgetPacer.load(tmp_path / "pacer.json", pacer.table)
    for x in X[100:200]:
        assert loaded.route_logged(x) == pacer.route_logged(x)
    assert (loaded.spent, loaded.n_calls) == (pacer.spent, pacer.n_calls)


@pytest.mark.parametrize(
    "change",
    [
        {"format": 2},
        {"debt": None},
        {"spent": float("nan")},
        {"n_calls": -1},
        {"budget": "20"},
        {"budget": 0.0},
        {"log_weight": [1]},
    ],
    ids=str,
)
def test_damaged_states_are_refused(pool, change, tmp_path):
    path, pacer = tmp_path / "pacer.json", paced(pool)
    pacer.save(path)
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(ValueError, match=r"no state of a BudgetPacer|`budget` must be"):
        BudgetPacer.load(path, pacer.table)
    path.write_text("[]")
    with pytest.raises(ValueError, match="no state of a BudgetPacer"):
        BudgetPacer.load(path, pacer.table)


def test_tables_that_explore_do_so_at_any_cost_weight(pool):
    _, X = pool
    pacer = paced(pool, exploration=0.3)
    decisions = [pacer.route_logged(x, request_id=str(n)) for n, x in enumerate(X)]
    assert abs(np.mean([decision.explored for decision in decisions]) - 0.3) < 0.05
    assert all(0 < decision.propensity <= 1 for decision in decisions)
    for decision, x in zip(decisions[:50], X, strict=False):
        router = pool[0].routing_table(cost_weight=decision.cost_weight, exploration=0.3)
        expected = router.route_logged(x, request_id=decision.request_id)
        assert expected._replace(table_version=pacer.table.version) == decision


def test_excluded_models_are_not_chosen(pool):
    _, X = pool
    pacer = paced(pool)
    assert all(pacer.route_logged(x, exclude=[0, 1]).model > 1 for x in X[:20])


def test_threads_lose_no_call(pool):
    _, X = pool
    pacer = paced(pool)

    def run():
        for x in X[:200]:
            pacer.route_logged(x)

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert pacer.n_calls == 800


def test_bad_tables_budgets_and_costs_are_refused(pool):
    router, X = pool
    table = router.routing_table(cost_weight=0.1)
    with pytest.raises(TypeError, match="must be a RoutingTable"):
        BudgetPacer(router, 20)
    for budget in (router.costs_.min(), 0, -1, np.nan, np.inf, "20", None):
        with pytest.raises(ValueError, match="the mean cost of the cheapest model"):
            BudgetPacer(table, budget)
    free = KMeansRouter(4, random_state=0).fit(X[:50], np.ones((50, 2)))
    with pytest.raises(ValueError, match="models of different costs"):
        BudgetPacer(free.routing_table(), 20)
    pacer = BudgetPacer(table, 20)
    decision = pacer.route_logged(X[0])
    before = pacer.spent
    for cost in (-1, np.nan, "1", None):
        with pytest.raises(ValueError, match="`cost` must be finite"):
            pacer.settle(decision, cost)
    assert pacer.spent == before


def test_prices_that_hardly_differ_count_as_one(pool):
    X = pool[1]
    ends = []
    for prices in ([1, 1 + 1e-9, 20, 60], [1, 1, 20, 60], [1, 1 + 1e-15, 20, 60]):
        router = KMeansRouter(4, random_state=0).fit(X[:50], np.eye(50)[:, :4], costs=prices)
        ends.append(BudgetPacer(router.routing_table(), 10)._ends)
    np.testing.assert_allclose(ends, [ends[1]] * 3)


def test_tables_of_a_pacer_know_their_embedder(pool, tmp_path):
    pool[0].routing_table(budget=20).save(tmp_path / "table.npz", embedder="mine")
    table = RoutingTable.load(tmp_path / "table.npz", embedder="mine")
    assert BudgetPacer(table, 20)._table_at(0).embedder == "mine"
