import json
import threading
from collections import Counter

import numpy as np
import pandas as pd
import pytest
from scipy.stats import chisquare
from sklearn.decomposition import PCA

from sklearn_uniroute import (
    FeatureMapRouter,
    HybridRouter,
    KMeansRouter,
    KNeighborsRouter,
    LearnedMapRouter,
    RoutingTable,
)
from sklearn_uniroute.datasets import make_routing_data
from sklearn_uniroute.serving import _routing_table

SETTINGS = [
    {},
    {"temperature": 0},
    {"fallback": "dearest", "far_share": 0.3},
    {"cost_model": "cluster"},
    {"temperature": 0, "cost_model": "cluster"},
    {"temperature": 0, "cost_model": "cluster", "fallback": 0, "far_share": 0.3},
]


@pytest.fixture(scope="module")
def pool():
    """Prompts, and routers that know their models from few prompts."""
    data = make_routing_data(n_prompts=500, n_models=5, n_features=6, random_state=0)
    calls = data.costs * np.random.RandomState(0).uniform(0.5, 1.5, size=data.y.shape)
    return data.X[:60], data.y[:60], calls[:60], data.X[60:]


def exploring(pool, exploration=0.5, dtype=np.float64, point=None, **params):
    X, y, costs, _ = pool
    router = KMeansRouter(4, random_state=0, **params).fit(X.astype(dtype), y, costs=costs)
    point = {"cost_weight": 0.002} if point is None else point
    return router.routing_table(exploration=exploration, **point)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("point", [None, {"budget": 50.0, "randomize": True}], ids=str)
@pytest.mark.parametrize("params", SETTINGS, ids=str)
def test_one_prompt_goes_where_many_go(pool, params, point, dtype):
    table = exploring(pool, dtype=dtype, point=point, **params)
    X = pool[3].astype(dtype)
    for exclude in ((), (1, 3)):
        many = table.route_many(X, exclude=exclude).tolist()
        assert [table.route(x, exclude=exclude) for x in X] == many
        assert [table.route_logged(x, exclude=exclude).model for x in X] == many


@pytest.mark.parametrize("point", [None, {"budget": 50.0, "randomize": True}], ids=str)
@pytest.mark.parametrize("params", SETTINGS, ids=str)
def test_propensities_are_those_of_each_draw(pool, params, point):
    table = exploring(pool, exploration=0.4, point=point, **params)
    greedy = exploring(pool, exploration=0.0, point=point, **params)
    explorer, predictor = table._explorer, table._predictor
    for x in pool[3][:40]:
        for exclude in ((), (0,)):
            votes = Counter()
            for draw in explorer.exploration.draws:
                one = RoutingTable(
                    type(predictor)(
                        predictor.phi,
                        draw,
                        predictor.prices,
                        predictor.cost_representation,
                        predictor.fallback,
                    ),
                    table.models,
                    has_costs=True,
                    operating_point=table._point,
                )
                votes[one.route(x, exclude=exclude)] += 0.4 / len(explorer.exploration.draws)
            votes[greedy.route(x, exclude=exclude)] += 0.6
            for number in range(8):
                decision = table.route_logged(x, exclude=exclude, request_id=str(number))
                assert decision.propensity == pytest.approx(votes[decision.model])
                if not decision.explored:
                    assert decision.model == greedy.route(x, exclude=exclude)


@pytest.mark.parametrize("temperature", [0.1, 5.0, 50.0])
@pytest.mark.parametrize("dearest", [60.0, 1e4, 1e7])
def test_far_prices_do_not_confuse_decisions(pool, temperature, dearest):
    X, y, _, X_new = pool
    prices = [1.0, 3.0, 10.0, 20.0, dearest]
    router = KMeansRouter(4, temperature=temperature, random_state=0).fit(X, y, costs=prices)
    for cost_weight in (0.01, 0.03):
        exploring = router.routing_table(cost_weight=cost_weight, exploration=0.3)
        greedy = router.routing_table(cost_weight=cost_weight)
        for number, x in enumerate(X_new[:200]):
            decision = exploring.route_logged(x, request_id=str(number))
            if not decision.explored:
                assert decision.model == greedy.route(x)
                assert decision.propensity >= 0.7


@pytest.mark.parametrize("params", SETTINGS[:2], ids=str)
def test_propensities_are_frequencies(pool, params):
    table = exploring(pool, exploration=0.5, **params)
    for x in pool[3][:3]:
        decisions = [table.route_logged(x, request_id=f"call {n}") for n in range(20_000)]
        counts = Counter(decision.model for decision in decisions)
        propensity = {decision.model: decision.propensity for decision in decisions}
        assert sum(propensity.values()) == pytest.approx(1, abs=0.05)
        for model, count in counts.items():
            error = np.sqrt(propensity[model] / 20_000)
            assert abs(count / 20_000 - propensity[model]) < 5 * error
        explored = np.mean([decision.explored for decision in decisions])
        assert abs(explored - 0.5) < 5 * np.sqrt(0.25 / 20_000)


def test_a_share_of_distinct_prompts_explores(pool):
    table = exploring(pool, exploration=0.1)
    X = np.random.RandomState(0).normal(size=(20_000, 6))
    explored = np.mean([table.route_logged(x).explored for x in X])
    assert abs(explored - 0.1) < 5 * np.sqrt(0.09 / 20_000)


@pytest.mark.parametrize("make", ["call-{}".format, "{:032x}".format, lambda n: chr(n + 64) * 9])
def test_similar_ids_spread_over_all_draws(pool, make):
    explorer = exploring(pool, exploration=0.5)._explorer
    draws = [explorer.draw_of(make(number).encode()) for number in range(20_000)]
    counts = np.bincount([draw for draw in draws if draw is not None], minlength=64)
    assert chisquare([20_000 - counts.sum(), *counts], [10_000, *[10_000 / 64] * 64]).pvalue > 1e-4


def test_the_same_prompt_goes_the_same_way_in_any_precision(pool):
    table = exploring(pool)
    for x in pool[3][:50].astype(np.float32):
        decision = table.route_logged(x)
        assert table.route_logged(x.astype(np.float64)) == decision
        assert table.route_logged(x.tolist()) == decision
        x[0] = 0.0
        zero = table.route_logged(x)
        x[0] = -0.0
        assert table.route_logged(x) == zero


def test_full_exploration_follows_the_draws_alone(pool):
    table = exploring(pool, exploration=1.0)
    decisions = [table.route_logged(x) for x in pool[3]]
    assert all(decision.explored for decision in decisions)
    assert len({decision.model for decision in decisions}) > 1


def test_draws_have_the_posterior_of_the_router(pool):
    X, y, costs, _ = pool
    router = KMeansRouter(4, temperature=0, random_state=0).fit(X, y, costs=costs)
    table = router.routing_table(exploration=0.1, n_draws=20_000)
    draws = table._explorer.exploration.draws[:, [table.models.index(m) for m in range(5)]]
    std = router.representation_std_
    np.testing.assert_allclose(draws.mean(axis=0), router.representation_, atol=5 * std.max() / 141)
    np.testing.assert_allclose(draws.std(axis=0), std, rtol=0.05)
    for model in range(5):
        covariance = np.cov(draws[:, model].T)
        expected = router._posterior_covariance(model)
        np.testing.assert_allclose(covariance, expected, atol=0.05 * np.diag(expected).max())


@pytest.mark.parametrize("params", SETTINGS, ids=str)
def test_saved_tables_explore_alike(pool, params, tmp_path):
    table = exploring(pool, **params)
    table.save(tmp_path / "table.npz")
    loaded = RoutingTable.load(tmp_path / "table.npz")
    assert loaded.exploration == 0.5
    for x in pool[3][:50]:
        assert loaded.route_logged(x) == table.route_logged(x)
    assert loaded.version == table.version != exploring(pool, exploration=0.4, **params).version


def test_an_upgrade_leaves_the_version_of_a_table(pool, tmp_path, monkeypatch):
    table = exploring(pool)
    table.save(tmp_path / "table.npz")
    monkeypatch.setattr(_routing_table, "__version__", "9.9")
    assert RoutingTable.load(tmp_path / "table.npz").version == table.version


@pytest.mark.parametrize(
    "router",
    [
        HybridRouter(4, n_components=2, random_state=0),
        LearnedMapRouter(4, random_state=0),
        FeatureMapRouter(PCA(2), random_state=0),
    ],
    ids=lambda router: type(router).__name__,
)
def test_other_routers_with_a_posterior_explore(pool, router):
    X, y, costs, X_new = pool
    table = router.fit(X, y, costs=costs).routing_table(cost_weight=0.002, exploration=0.5)
    many = table.route_many(X_new).tolist()
    decisions = [table.route_logged(x) for x in X_new]
    assert [decision.model for decision in decisions] == many
    assert {decision.explored for decision in decisions} == {True, False}
    assert (table.version is None) == isinstance(router, FeatureMapRouter)


def test_tables_that_do_not_explore_are_sure(pool):
    X, y, costs, X_new = pool
    for router in (KMeansRouter(4, random_state=0), KNeighborsRouter(5, random_state=0)):
        table = router.fit(X, y, costs=costs).routing_table(cost_weight=0.01)
        for x in X_new[:20]:
            decision = table.route_logged(x, request_id="any")
            assert decision[:3] == (table.route(x), 1.0, False)
            assert decision.predicted_cost == pytest.approx(router.costs_[decision.model])
    free = KMeansRouter(4, random_state=0).fit(X, y).routing_table()
    assert free.route_logged(X_new[0]).predicted_cost is None


def test_decisions_can_be_logged_and_learned_from(pool, tmp_path):
    X, y, costs, X_new = pool
    names = ["a/b", "c:d", "e", "f", "g"]
    router = KMeansRouter(4, random_state=0).fit(X, pd.DataFrame(y, columns=names), costs=costs)
    table = router.routing_table(cost_weight=0.002, exploration=0.5)
    decisions = [table.route_logged(x, request_id=f"r{n}") for n, x in enumerate(X_new)]
    assert json.loads(json.dumps(decisions[0]._asdict())) == decisions[0]._asdict()
    log = pd.DataFrame(decisions)
    embeddings = pd.DataFrame(X_new).add_prefix("x")
    log = pd.concat([log, embeddings], axis=1).assign(error=0.0)
    log.to_csv(tmp_path / "log.csv", index=False)
    log.to_json(tmp_path / "log.jsonl", orient="records", lines=True)
    log.to_parquet(tmp_path / "log.parquet")
    found = []
    for read in (
        pd.read_csv(tmp_path / "log.csv"),
        pd.read_json(tmp_path / "log.jsonl", lines=True),
        pd.read_parquet(tmp_path / "log.parquet"),
    ):
        learned = KMeansRouter(4, random_state=0).fit(X, pd.DataFrame(y, columns=names))
        X_read = read[embeddings.columns].to_numpy()
        learned.update_from_log(X_read, read["model"], read["error"])
        found.append(learned.predict_error(X_new))
    np.testing.assert_allclose(found[1:], [found[0]] * 2, atol=1e-6)


def test_graphs_do_not_explore(pool):
    with pytest.raises(NotImplementedError, match="graphs do not explore"):
        exploring(pool).to_onnx()


def test_bad_ids_and_features_are_refused(pool):
    table = exploring(pool)
    with pytest.raises(TypeError, match="`request_id` must be a string; got 7"):
        table.route_logged(pool[3][0], request_id=7)
    with pytest.raises(ValueError, match="`x` must be one embedding"):
        table.route_logged(pool[3][0][:2])
    with pytest.raises(ValueError, match="leaves no model"):
        table.route_logged(pool[3][0], exclude=range(5))


def test_threads_share_a_table(pool):
    table = exploring(pool)
    expected = [table.route_logged(x) for x in pool[3]]
    found = [None] * 4

    def run(number):
        found[number] = [table.route_logged(x) for x in pool[3]]

    threads = [threading.Thread(target=run, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [expected] * 4
