import tracemalloc
from copy import deepcopy

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_uniroute import (
    EnsembleRouter,
    HybridRouter,
    KMeansRouter,
    KNeighborsRouter,
    LinearRouter,
    ZeroRouter,
    load_router,
    save_router,
)
from sklearn_uniroute.datasets import make_routing_data

NAMES = ["org/small", "org/large:v2", "c"]


@pytest.fixture(scope="module")
def served():
    """Training prompts, served prompts, who answered, and how wrong."""
    data = make_routing_data(n_prompts=900, n_models=3, n_features=4, random_state=0)
    chosen = np.random.RandomState(0).randint(3, size=600)
    errors = 1 - data.y[300:][np.arange(600), chosen]
    return data.X[:300], data.y[:300], data.costs, data.X[300:], chosen, errors


def fitted(served, **params):
    X, y, costs, *_ = served
    return KMeansRouter(4, random_state=0, **params).fit(X, y, costs=costs)


@pytest.mark.parametrize("representation", ["posterior", "mean"])
@given(seed=st.integers(0, 2**16), n_parts=st.integers(1, 5))
def test_a_log_counts_the_same_in_any_parts_and_order(served, representation, seed, n_parts):
    *_, X, chosen, errors = served
    rng = np.random.RandomState(seed)
    order = rng.permutation(600)
    whole = fitted(served, representation=representation).update_from_log(X, chosen, errors)
    parts = fitted(served, representation=representation)
    for rows in np.array_split(order, n_parts):
        parts.update_from_log(X[rows], chosen[rows], errors[rows])
    np.testing.assert_allclose(parts.predict_error(X), whole.predict_error(X), atol=1e-12)


def test_a_call_reported_twice_counts_twice(served):
    *_, X, chosen, errors = served
    once = fitted(served).update_from_log(X, chosen, errors)
    twice = deepcopy(once).update_from_log(X, chosen, errors)
    added = twice.pool_frame()["n_errors"] - once.pool_frame()["n_errors"]
    assert added.tolist() == np.bincount(chosen).tolist()


def test_logs_go_by_name_and_row_labels(served):
    X, y, costs, X_log, chosen, errors = served
    columns = list("abcd")
    router = KMeansRouter(4, random_state=0)
    router.fit(pd.DataFrame(X, columns=columns), pd.DataFrame(y, columns=NAMES), costs=costs)
    rows = [f"r{number}" for number in range(600)]
    log = pd.DataFrame(X_log, columns=columns, index=rows)
    log["model"], log["error"] = pd.Categorical.from_codes(chosen, NAMES), errors
    expected = fitted(served).update_from_log(X_log, chosen, errors).predict_error(X_log)
    by_name = deepcopy(router).update_from_log(log[columns], log["model"], log["error"])
    np.testing.assert_array_equal(by_name.predict_error(log[columns]), expected)
    with pytest.raises(ValueError, match="in another order"):
        router.update_from_log(log[columns], log["model"][::-1], log["error"])
    with pytest.raises(ValueError, match="in another order"):
        router.update_from_log(log[columns], log["model"], log["error"], costs=log["error"][::-1])
    with pytest.raises(ValueError, match="feature names"):
        router.update_from_log(log[columns[::-1]], log["model"], log["error"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"chosen": [3, *[0] * 599]}, "names models that are not known: 3"),
        ({"chosen": [True, *[0] * 599]}, "not known: True"),
        ({"chosen": [None, *[0] * 599]}, "not known: None"),
        ({"chosen": [np.nan, *[0] * 599]}, "not known: nan"),
        ({"chosen": ["0"] * 600}, "not known: '0'"),
        ({"chosen": np.ma.array(np.zeros(600, dtype=int), mask=[1, *[0] * 599])}, "masked"),
        ({"chosen": 0}, "one entry for each of the 600 calls"),
        ({"chosen": [0] * 599}, "one entry for each of the 600 calls"),
        ({"errors": np.zeros((600, 3))}, "one entry for each of the 600 calls"),
        ({"errors": [np.inf, *[0] * 599]}, "infinity"),
        ({"errors": pd.Series(pd.Timestamp("2026-01-01"), range(600))}, "dates"),
        ({"errors": [np.datetime64("1970-01-01")] * 600}, "dates"),
        ({"X": np.zeros((600, 3))}, "3 features"),
        ({"X": np.full((600, 4), np.nan)}, "NaN"),
        ({"costs": np.ones(600)}, "cost_model='cluster'"),
        ({"costs": [-1.0] * 600}, "at least 0; got -1.0 in row 0"),
    ],
)
def test_bad_logs_change_nothing(served, change, message):
    *_, X, chosen, errors = served
    router = fitted(served)
    before = router.predict_error(X)
    with pytest.raises(ValueError, match=message):
        router.update_from_log(**{"X": X, "chosen": chosen, "errors": errors, **change})
    np.testing.assert_array_equal(router.predict_error(X), before)


def test_a_log_of_qualities_on_another_scale_is_noticed(served):
    *_, X, _, errors = served
    with pytest.warns(UserWarning, match="the errors of model 0 go from 0 to 100"):
        fitted(served).update_from_log(X, np.zeros(600, dtype=int), 100 * errors)


def test_masked_and_missing_feedback_is_no_evidence(served):
    *_, X, chosen, errors = served
    missing = np.arange(600) % 3 == 0
    expected = fitted(served).update_from_log(X[~missing], chosen[~missing], errors[~missing])
    for feedback in (
        np.ma.array(errors, mask=missing),
        pd.Series(errors).mask(missing).astype("Float64"),
        np.where(missing, np.nan, errors).astype(np.float32),
    ):
        router = fitted(served).update_from_log(X, chosen, feedback)
        np.testing.assert_allclose(router.predict_error(X), expected.predict_error(X), atol=1e-12)


def with_costs(served, router):
    X, y, costs, *_ = served
    calls = costs * np.random.RandomState(1).uniform(0.5, 1.5, size=y.shape)
    return router.fit(X, y, costs=calls), calls


def test_costs_of_calls_refine_costs_by_cluster(served):
    *_, X, chosen, errors = served
    params = {"temperature": 0, "cost_model": "cluster", "random_state": 0}
    router, calls = with_costs(served, KMeansRouter(4, **params))
    paid = np.random.RandomState(2).uniform(size=600)
    paid[::5] = np.nan
    paid[chosen == 2] = np.nan
    router.update_from_log(X, chosen, errors, costs=paid)
    cluster = np.argmin(((X[:, None] - router.cluster_centers_) ** 2).sum(axis=2), axis=1)
    known = np.argmin(((served[0][:, None] - router.cluster_centers_) ** 2).sum(axis=2), axis=1)
    for model in range(3):
        for number in range(4):
            here = (cluster == number) & (chosen == model) & ~np.isnan(paid)
            spent = [*calls[known == number, model], *paid[here]]
            cost = router.predict_cost(router.cluster_centers_[[number]])[0, model]
            np.testing.assert_allclose(cost, np.mean(spent))
    np.testing.assert_allclose(
        router.costs_, router.cluster_shares_ @ router.cost_representation_.T
    )


def test_a_price_counts_as_a_few_calls_and_a_new_one_starts_afresh(served):
    *_, X, _, errors = served
    router, _ = with_costs(served, KMeansRouter(1, cost_model="cluster", random_state=0))
    router.add_model(1 - served[1][router.validation_indices_, 0], cost=2.0)
    router.update_from_log(X[:30], [3] * 30, errors[:30], costs=np.full(30, 6.0))
    np.testing.assert_allclose(router.costs_[3], (10 * 2 + 30 * 6) / 40)
    router.set_cost(3, 1.0)
    router.update_from_log(X[:10], [3] * 10, np.full(10, np.nan), costs=np.full(10, 3.0))
    np.testing.assert_allclose(router.costs_[3], 2.0)


def test_costs_of_calls_reach_the_members_that_learn_them(served):
    *_, X, chosen, errors = served
    members = [("one", KMeansRouter(4, cost_model="cluster")), ("other", LinearRouter())]
    router, _ = with_costs(served, EnsembleRouter(members, random_state=0))
    before = router.costs_.copy()
    router.update_from_log(X, chosen, errors, costs=0.2 * before[chosen])
    assert (router.costs_ < before).all()
    for member in router.routers_:
        np.testing.assert_allclose(router.costs_, member.costs_)


def test_faded_errors_count_for_less(served):
    X, y, *_ = served
    router = fitted(served, representation="mean", temperature=0)
    router.decay(0.25, models=[1])
    assert router.pool_frame()["n_errors"].tolist() == [300, 75, 300]
    rows = np.random.RandomState(0).randint(300, size=200)
    router.update_from_log(X[rows], np.ones(200, dtype=int), np.ones(200))
    cluster = router.transform(X).argmax(axis=1)
    for number in range(4):
        new = (cluster[rows] == number).sum()
        known = 1 - y[cluster == number, 1]
        expected = (0.25 * known.sum() + new) / (0.25 * len(known) + new)
        found = router.predict_error(router.cluster_centers_[[number]])[0, 1]
        np.testing.assert_allclose(found, expected)


def test_a_model_that_faded_is_like_a_new_one(served):
    *_, X, chosen, errors = served
    router = fitted(served)
    before, std = router.predict_error(X, return_std=True)
    prior, covariance = router.prior_mean_.copy(), router.prior_covariance_.copy()
    router.decay(1e-12, models=[2])
    error, wider = router.predict_error(X, return_std=True)
    np.testing.assert_allclose(error[:, 2], router.transform(X) @ prior, atol=1e-6)
    np.testing.assert_array_equal(error[:, :2], before[:, :2])
    assert (wider[:, 2] > std[:, 2]).all()
    np.testing.assert_array_equal(router.prior_mean_, prior)
    np.testing.assert_array_equal(router.prior_covariance_, covariance)
    # Nothing left over keeps new errors from counting in full.
    router.update_from_log(X, chosen, errors)
    assert np.isfinite(router.predict_error(X)).all()


def test_fading_by_one_changes_nothing_and_adds_up(served):
    *_, X, _, _ = served
    expected = fitted(served).decay(0.25).predict_error(X)
    found = fitted(served).decay(0.5).decay(1).decay(0.5).predict_error(X)
    np.testing.assert_allclose(found, expected, atol=1e-12)


@pytest.mark.parametrize("factor", [0, -0.5, 1.5, np.nan, "0.5", None])
def test_bad_factors_are_refused(served, factor):
    with pytest.raises(ValueError, match="above 0 and at most 1"):
        fitted(served).decay(factor)


def test_routers_over_clusters_alone_fade(served):
    X, y, *_ = served
    assert hasattr(ZeroRouter(), "decay")
    assert not hasattr(KNeighborsRouter(), "decay")
    both = [("one", KMeansRouter(4)), ("other", HybridRouter(4))]
    ensemble = EnsembleRouter(both, random_state=0).fit(X, y)
    error = ensemble.predict_error(X)
    assert not np.allclose(ensemble.decay(0.1).predict_error(X), error)
    assert not hasattr(EnsembleRouter([*both, ("third", KNeighborsRouter())]), "decay")
    with pytest.raises(ValueError, match="does not know: 7"):
        ensemble.decay(0.5, models=[7])


def test_routers_that_learned_from_traffic_can_be_saved(served, tmp_path):
    *_, X, chosen, errors = served
    router, _ = with_costs(served, KMeansRouter(4, cost_model="cluster", random_state=0))
    paid = router.costs_[chosen] / 2
    router.update_from_log(X, chosen, errors, costs=paid).decay(0.9)
    save_router(router, tmp_path / "router.skops")
    loaded = load_router(tmp_path / "router.skops")
    for one in (router, loaded):
        one.update_from_log(X[:9], chosen[:9], errors[:9], costs=paid[:9])
    np.testing.assert_array_equal(loaded.predict_error(X), router.predict_error(X))
    np.testing.assert_array_equal(loaded.predict_cost(X), router.predict_cost(X))


def test_long_logs_take_little_memory(served):
    router = fitted(served)
    rng = np.random.RandomState(0)
    X = rng.normal(size=(200_000, 4)).astype(np.float32)
    chosen, errors = rng.randint(3, size=len(X)), rng.randint(2, size=len(X)).astype(float)
    tracemalloc.start()
    router.update_from_log(X, chosen, errors)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 10 * (X.nbytes + errors.nbytes + chosen.nbytes)


@pytest.mark.parametrize(
    "router", [KMeansRouter(4, representation="mean"), LinearRouter(), ZeroRouter()]
)
def test_tables_explore_by_posteriors_alone(served, router):
    X, y, costs, *_ = served
    router.fit(X, y, costs=costs)
    with pytest.raises(ValueError, match="a posterior to draw from"):
        router.routing_table(cost_weight=0.1, exploration=0.1)


@pytest.mark.parametrize("exploration", [-0.1, 1.1, np.nan, "0.1", None])
def test_bad_shares_are_refused(served, exploration):
    with pytest.raises(ValueError, match="`exploration` must be between 0 and 1"):
        fitted(served).routing_table(exploration=exploration)
    with pytest.raises(ValueError, match="n_draws == 0"):
        fitted(served).routing_table(exploration=0.1, n_draws=0)


def test_logs_reach_the_router_of_a_pipeline(served):
    X, y, costs, X_log, chosen, errors = served
    pipeline = make_pipeline(StandardScaler(), KMeansRouter(4, random_state=0))
    pipeline.fit(X, y, kmeansrouter__costs=costs)
    pipeline[-1].update_from_log(pipeline[:-1].transform(X_log), chosen, errors)
    assert pipeline[-1].pool_frame()["n_errors"].sum() == 900 + 600


def test_a_quiet_hour_changes_nothing(served):
    router = fitted(served)
    before = router.predict_error(served[0])
    assert router.update_from_log(np.empty((0, 5)), [], []) is router
    assert router.update_from_log([], [], np.empty(0)) is router
    np.testing.assert_array_equal(router.predict_error(served[0]), before)


def test_a_single_error_on_another_scale_is_named(served):
    router = fitted(served)
    for odd in (80.0, -1.0):
        with pytest.warns(UserWarning, match=f"errors of model 1 go from {odd:g}"):
            router.update_from_log(served[0][:1], [1], [odd])


def test_costs_of_calls_in_another_unit_are_named(served):
    *_, X, _, errors = served
    router, _ = with_costs(served, KMeansRouter(4, cost_model="cluster", random_state=0))
    with pytest.warns(UserWarning, match="calls of model 0 cost .* pass costs in the same unit"):
        router.update_from_log(X[:9], [0] * 9, errors[:9], costs=[1000 * router.costs_[0]] * 9)


def test_names_that_a_file_turned_into_numbers(served):
    X, y, *_ = served
    router = KMeansRouter(4, random_state=0).fit(X, pd.DataFrame(y, columns=["1", "2", "3"]))
    with pytest.raises(ValueError, match="a file may have turned them into numbers"):
        router.update_from_log(X[:2], [1, 2], [0.0, 1.0])
