"""Limits of single prompts: which models may be chosen for each."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_uniroute import (
    BudgetPacer,
    EnsembleRouter,
    HybridRouter,
    KMeansRouter,
    KNeighborsRouter,
    LinearRouter,
    RoutingTable,
    ZeroRouter,
)
from sklearn_uniroute.datasets import make_routing_data
from sklearn_uniroute.metrics import DeferralCurveDisplay, deferral_curve

NAMES = ["org/small", "org/large", "b", "a"]
ROUTERS = [
    KMeansRouter(4, random_state=0),
    KMeansRouter(4, temperature=0, random_state=0),
    KMeansRouter(4, cost_model="cluster", random_state=0),
    KMeansRouter(4, fallback="b", far_share=0.4, random_state=0),
    HybridRouter(4, random_state=0),
    KNeighborsRouter(),
    ZeroRouter(),
    EnsembleRouter([("k", KMeansRouter(4)), ("l", LinearRouter())], random_state=0),
]


def fitted(router):
    data = make_routing_data(n_prompts=360, n_models=4, n_features=5, random_state=0)
    y = pd.DataFrame(data.y, columns=NAMES)
    costs = pd.DataFrame(data.y * 0.2 + data.costs, columns=NAMES)
    return router.fit(data.X[:300], y[:300], costs=costs[:300]), data.X[300:], y[300:]


def random_mask(seed, share):
    """Random models for each prompt, at least one."""
    rng = np.random.RandomState(seed)
    mask = rng.uniform(size=(60, 4)) < share
    mask[np.arange(60), rng.randint(4, size=60)] = True
    return mask


@pytest.fixture(scope="module", params=ROUTERS, ids=str)
def known(request):
    return fitted(request.param)


@settings(max_examples=8)
@given(
    seed=st.integers(0, 2**16),
    share=st.sampled_from([0.0, 0.3, 0.9]),
    cost_weight=st.sampled_from([0.0, 0.002, 0.1]),
)
def test_each_prompt_goes_to_the_best_of_its_own_pool(known, seed, share, cost_weight):
    router, X, _ = known
    eligible = random_mask(seed, share)
    found = router.predict(X, cost_weight=cost_weight, eligible=eligible)
    names = np.array(NAMES)
    if getattr(router, "fallback", None) is None:
        expected = [
            router.predict(x[None], names[allowed].tolist(), cost_weight=cost_weight)[0]
            for x, allowed in zip(X, eligible, strict=True)
        ]
        assert found.tolist() == expected
    table = router.routing_table(cost_weight=cost_weight)
    by_name = pd.DataFrame(eligible, columns=NAMES)
    before = eligible.copy()
    assert table.route_many(X, eligible=by_name).tolist() == found.tolist()
    np.testing.assert_array_equal(by_name, before)
    for x, allowed, model in zip(X[:9], eligible, found, strict=False):
        for form in (
            dict(zip(NAMES, allowed.tolist(), strict=True)),
            pd.Series(allowed, index=NAMES),
            allowed,
            allowed.tolist(),
            {name for name, may in zip(NAMES, allowed, strict=True) if may},
        ):
            assert table.route(x, eligible=form) == model
            assert table.route_logged(x, eligible=form).model == model


@pytest.mark.parametrize("cost_model", ["mean", "cluster"])
@pytest.mark.parametrize("pool", [["a", "org/large", "b"], ["b", "a", "org/small", "org/large"]])
def test_masks_of_tables_are_in_the_order_of_the_pool(cost_model, pool, tmp_path):
    router, X, _ = fitted(KMeansRouter(4, cost_model=cost_model, random_state=0))
    eligible = random_mask(0, 0.4)[:, : len(pool)]
    eligible[:, 0] |= ~eligible.any(axis=1)
    found = router.predict(X, pool, cost_weight=0.002, eligible=eligible).tolist()
    assert len(set(found)) > 2
    router.routing_table(pool, cost_weight=0.002, exploration=0.2).save(tmp_path / "table.npz")
    RoutingTable.load(tmp_path / "table.npz").save(tmp_path / "again.npz")
    table = router.routing_table(pool, cost_weight=0.002)
    for one in (table, BudgetPacer(table, 1e9).table):
        assert one.models == tuple(pool)
        assert one.route_many(X, eligible=eligible).tolist() == found
        assert [one.route(x, eligible=may) for x, may in zip(X, eligible, strict=True)] == found
    again = RoutingTable.load(tmp_path / "again.npz")
    assert again.models == tuple(pool)
    for x, allowed in zip(X, eligible, strict=True):
        assert allowed[pool.index(again.route(x, eligible=allowed))]
    np.testing.assert_array_equal(table.costs, router.costs_[[NAMES.index(one) for one in pool]])
    told = table.explain(X[0])
    np.testing.assert_allclose(told.error, router.predict_error(X[:1], pool)[0])
    assert told.n_errors == [router.pool_frame().loc[name, "n_errors"] for name in pool]


def test_prompts_that_may_not_fall_back_are_routed_like_others():
    router, X, _ = fitted(KMeansRouter(4, fallback="b", far_share=0.5, random_state=0))
    plain, *_ = fitted(KMeansRouter(4, random_state=0))
    eligible = np.ones((60, 4), dtype=bool)
    eligible[::2, 2] = False
    found = router.predict(X, cost_weight=0.002, eligible=eligible)
    others = plain.predict(X[::2], [name for name in NAMES if name != "b"], cost_weight=0.002)
    assert found[::2].tolist() == others.tolist()
    assert found[1::2].tolist() == router.predict(X[1::2], cost_weight=0.002).tolist()
    assert "b" in found[1::2]


def test_curves_under_masks_are_those_of_the_choices(known):
    router, X, y = known
    eligible = random_mask(0, 0.3)
    inputs = router.curve_inputs(X, y, eligible=eligible)
    cost, quality, weights = deferral_curve(*inputs[:3], routing_costs=inputs[3])
    price = dict(zip(NAMES, router.costs_, strict=True))
    for place in range(0, len(weights) - 1, 5):
        between = (weights[place] + weights[place + 1]) / 2
        if not np.isfinite(between):
            continue
        chosen = router.predict(X, cost_weight=between, eligible=eligible)
        means = [
            np.mean([price[name] for name in chosen]),
            np.mean([y.iloc[row][name] for row, name in enumerate(chosen)]),
        ]
        distance = np.abs(cost - means[0]) + np.abs(quality - means[1])
        assert distance.min() < 1e-9
    assert router.score(X, y, eligible=np.ones((60, 4), bool)) == pytest.approx(router.score(X, y))
    assert router.score(X, y, eligible=eligible) != router.score(X, y)


def test_budgets_under_masks():
    router, X, _ = fitted(KMeansRouter(4, random_state=0))
    names = np.array(NAMES)
    eligible = np.ones((60, 4), dtype=bool)
    eligible[:20] = names == names[router.costs_.argmax()]
    budget = 0.6 * router.costs_.max()
    weight = router.cost_weight_for_budget(budget, X=X, eligible=eligible)
    chosen = router.predict(X, cost_weight=weight, eligible=eligible)
    price = dict(zip(NAMES, router.costs_, strict=True))
    assert np.mean([price[name] for name in chosen]) <= budget
    assert weight > router.cost_weight_for_budget(budget, X=X)
    quality = 1 - router.predict_error(X)
    reach = quality[np.arange(60), [NAMES.index(name) for name in chosen]].mean()
    again = router.cost_weight_for_quality(reach, X=X, eligible=eligible)
    chosen = router.predict(X, cost_weight=again, eligible=eligible)
    assert quality[np.arange(60), [NAMES.index(name) for name in chosen]].mean() >= reach - 1e-9
    with pytest.raises(ValueError, match="`eligible` is about the prompts `X`; pass them"):
        router.cost_weight_for_budget(budget, eligible=eligible)


def test_masks_go_by_the_pool_or_by_name():
    router, X, y = fitted(KMeansRouter(4, random_state=0))
    pool = ["a", "org/small", "b"]
    eligible = np.random.RandomState(0).uniform(size=(60, 3)) < 0.5
    eligible[~eligible.any(axis=1), 0] = True
    found = router.predict(X, pool, cost_weight=0.002, eligible=eligible)
    frame = pd.DataFrame(eligible, columns=pool)[["b", "a", "org/small"]].assign(more=True)
    assert router.predict(X, pool, cost_weight=0.002, eligible=frame).tolist() == found.tolist()
    allowed = [eligible[row, pool.index(name)] for row, name in enumerate(found)]
    assert all(allowed)
    y = y[pool]
    assert router.score(X, y, pool=pool, eligible=eligible) == pytest.approx(
        router.score(X, y, pool=pool, eligible=frame)
    )


def test_tables_that_explore_keep_to_the_masks():
    router, X, _ = fitted(KMeansRouter(4, random_state=0))
    table = router.routing_table(cost_weight=0.002, exploration=0.9)
    eligible = random_mask(0, 0.3)
    found = table.route_many(X, eligible=eligible)
    for x, allowed, model in zip(X, eligible, found, strict=True):
        decision = table.route_logged(x, eligible=allowed)
        assert decision.model == model
        assert allowed[table.models.index(model)]
        assert 0 < decision.propensity <= 1
    pacer = BudgetPacer(router.routing_table(budget=20), 20)
    only = ["org/large"]
    assert {pacer.route_logged(x, eligible=only).model for x in X} == {"org/large"}
    assert table.route(X[0], exclude=["a"], eligible=["a", "b"]) == "b"


@pytest.mark.parametrize(
    ("eligible", "message"),
    [
        (np.ones((60, 4)), "must be True or False throughout; got dtype float64"),
        (np.ones((60, 4), dtype=int), "got dtype int64"),
        (np.ones((60, 3), dtype=bool), r"must have shape \(60, 4\).*; got shape \(60, 3\)"),
        (np.ones(4, dtype=bool), "must have shape"),
        (np.ma.array(np.ones((60, 4), bool), mask=np.eye(60, 4)), "True or False throughout"),
        (np.arange(60)[:, None] != np.array([7] * 4), "row 7 of `eligible` has no model; allow"),
        (pd.DataFrame(np.ones((60, 3), bool), columns=NAMES[:3]), "no column for model.* 'a'"),
        (pd.DataFrame(np.ones((60, 4)), columns=NAMES).astype(object), "True or False"),
    ],
)
def test_bad_masks(eligible, message):
    router, X, y = fitted(KMeansRouter(4, random_state=0))
    for call in (
        lambda: router.predict(X, eligible=eligible),
        lambda: router.score(X, y, eligible=eligible),
        lambda: router.cost_weight_for_budget(50, X=X, eligible=eligible),
        lambda: router.routing_table().route_many(X, eligible=eligible),
    ):
        with pytest.raises(ValueError, match=message):
            call()


@pytest.mark.parametrize(
    ("eligible", "error", "message"),
    [
        ("a", TypeError, "booleans, one per model, or names"),
        (3, TypeError, "booleans, one per model, or names"),
        (["a", "c"], ValueError, "does not know: 'c'"),
        ([], ValueError, "leaves no model of .*, or `eligible` allows none"),
        ([True, False], ValueError, "one boolean for each of the 4 models"),
        ([1, 0, 1, 1], ValueError, "does not know: 1, 0"),
        ({"a": True}, ValueError, "does not say whether 'org/"),
        (dict.fromkeys(NAMES, 1), ValueError, "True or False throughout"),
        (
            np.ones((1, 4), bool),
            ValueError,
            r"one boolean for each of the 4 models; got shape \(1, 4",
        ),
    ],
)
def test_bad_limits_of_one_prompt(eligible, error, message):
    router, X, _ = fitted(KMeansRouter(4, random_state=0))
    table = router.routing_table()
    with pytest.raises(error, match=message):
        table.route(X[0], eligible=eligible)


def test_rows_of_masks_in_another_order_are_refused():
    router, X, _ = fitted(KMeansRouter(4, random_state=0))
    prompts = pd.DataFrame(X).set_axis([f"p{row}" for row in range(60)], axis=0)
    eligible = pd.DataFrame(np.ones((60, 4), bool), columns=NAMES, index=prompts.index[::-1])
    with pytest.raises(ValueError, match="in another order"):
        router.predict(prompts, eligible=eligible)


def test_masks_of_pipelines_and_displays():
    router, X, y = fitted(KMeansRouter(4, random_state=0))
    pipeline = make_pipeline(StandardScaler().fit(np.zeros((2, 5))), router)
    eligible = np.eye(4, dtype=bool)[np.arange(60) % 4]
    expected = np.array(NAMES)[np.arange(60) % 4]
    assert pipeline.predict(X, eligible=eligible).tolist() == expected.tolist()
    display = DeferralCurveDisplay.from_estimator(pipeline, X, y, eligible=eligible)
    assert len(display.cost) == 1


def test_numbers_are_no_masks_of_numbered_models():
    data = make_routing_data(n_prompts=200, n_models=3, random_state=0)
    table = KMeansRouter(4, random_state=0).fit(data.X, data.y, costs=data.costs).routing_table()
    with pytest.raises(ValueError, match="repeats 0; pass booleans, or each name once"):
        table.route(data.X[0], eligible=[0, 0, 1])
    assert table.route(data.X[0], eligible=pd.Series([2])) == 2


def test_series_of_objects_go_by_name():
    data = make_routing_data(n_prompts=200, n_models=2, random_state=0)
    y = pd.DataFrame(data.y, columns=["a", "b"])
    costs = {"a": 1.0, "b": 2.0}
    table = KMeansRouter(4, random_state=0).fit(data.X, y, costs=costs).routing_table()
    only_b = pd.Series([True, False], index=["b", "a"], dtype=object)
    assert {table.route(x, eligible=only_b) for x in data.X} == {"b"}
    with pytest.raises(TypeError, match="is a DataFrame"):
        table.route(data.X[0], eligible=only_b.to_frame().T)
