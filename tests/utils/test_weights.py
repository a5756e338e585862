"""Weights of training prompts: a weight counts like that many repetitions, and 0 removes a row."""

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_array
from sklearn.base import clone
from sklearn.cluster import AffinityPropagation, KMeans
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures, SplineTransformer, StandardScaler

from sklearn_uniroute import (
    EnsembleRouter,
    FeatureMapRouter,
    HybridRouter,
    KMeansRouter,
    KNeighborsRouter,
    LearnedMapRouter,
    LinearRouter,
    MatrixFactorizationRouter,
    MLPRouter,
    RoutingTable,
    ZeroRouter,
    load_router,
    save_router,
)
from sklearn_uniroute.routers import BaseRouter

# Where K-means starts, so that nothing is drawn at random.
CENTERS = 2.0 * np.vstack([np.eye(4), -np.eye(2, 4)])
CLUSTERS = KMeans(6, init=CENTERS, n_init=1)
# No random draw: no held-out prompts, no penalty or rank chosen on some rows.
ROUTERS = [
    ZeroRouter(),
    KMeansRouter(clusterer=CLUSTERS),
    KMeansRouter(clusterer=CLUSTERS, representation="mean", temperature=0),
    KMeansRouter(clusterer=CLUSTERS, fallback="dearest", far_share=0.1),
    HybridRouter(clusterer=CLUSTERS, n_components=3),
    LinearRouter(),
    LinearRouter(alpha=2.0),
    MatrixFactorizationRouter(2),
    FeatureMapRouter(PolynomialFeatures(include_bias=False)),
    FeatureMapRouter(SplineTransformer(n_knots=3, knots="quantile")),
    KNeighborsRouter(7),
    KNeighborsRouter(7, weights="distance"),
    EnsembleRouter([("kmeans", KMeansRouter(clusterer=CLUSTERS)), ("near", KNeighborsRouter(7))]),
]


@pytest.fixture
def log():
    """Prompts with whole weights, qualities with gaps, and costs of calls."""
    rng = np.random.RandomState(3)
    X = CENTERS[rng.randint(6, size=90)] + rng.normal(size=(90, 4))
    y = rng.binomial(1, 1 / (1 + np.exp(-X @ rng.normal(size=(4, 5)) - np.arange(5)))).astype(float)
    costs = np.geomspace(1, 20, 5) * rng.uniform(0.5, 1.5, size=(90, 1))
    missing = rng.uniform(size=y.shape) < 0.15
    y[missing] = costs[missing] = np.nan
    return X, y, costs, rng.randint(0, 4, size=90)


def fit(router, X, y, costs, **params):
    known = {"n_validation": None, "random_state": 0, **params}
    return clone(router).set_params(**known).fit(X, y, costs=costs)


def fit_both(router, log, **params):
    """Fit a router on rows with weights, and on repeated rows."""
    X, y, costs, weight = log
    rows = np.repeat(np.arange(len(X)), weight)
    settings = {"n_validation": None, "random_state": 0, **params}
    weighted = clone(router).set_params(**settings)
    weighted.fit(X, y, costs=costs, sample_weight=weight)
    repeated = clone(router).set_params(**settings)
    return weighted, repeated.fit(X[rows], y[rows], costs=costs[rows])


def assert_same(weighted, repeated, X):
    np.testing.assert_allclose(weighted.predict_error(X), repeated.predict_error(X), atol=1e-8)
    np.testing.assert_allclose(weighted.costs_, repeated.costs_)
    np.testing.assert_allclose(weighted.predict_cost(X), repeated.predict_cost(X))
    if weighted._has_std:
        (_, std), (_, expected) = (
            router.predict_error(X, return_std=True) for router in (weighted, repeated)
        )
        np.testing.assert_allclose(std, expected, atol=1e-8)
    for name in ("cluster_shares_", "cluster_sizes_", "distance_quantiles_", "fallback_distance_"):
        if getattr(repeated, name, None) is not None:
            np.testing.assert_allclose(getattr(weighted, name), getattr(repeated, name))
    for budget in (4.0, 6.0, 9.0):
        assert weighted.cost_weight_for_budget(budget) == pytest.approx(
            repeated.cost_weight_for_budget(budget), abs=1e-12
        )
    np.testing.assert_allclose(
        weighted.pool_frame().astype(float), repeated.pool_frame().astype(float), atol=1e-8
    )


@pytest.mark.parametrize("router", ROUTERS, ids=str)
def test_weights_are_repetitions(router, log):
    weighted, repeated = fit_both(router, log)
    X, y, costs, weight = log
    assert_same(weighted, repeated, X)
    assert weighted.validation_indices_.tolist() == np.flatnonzero(weight).tolist()
    np.testing.assert_array_equal(weighted.X_val_, X[weight > 0])
    # A model that was run once on each prompt counts as a training model does.
    errors, paid = 1 - y[:, 1], costs[:, 1]
    rows = np.repeat(np.arange(len(X)), weight)
    weighted.add_model(errors[weight > 0], cost=paid[weight > 0])
    repeated.add_model(errors[rows], cost=paid[rows])
    assert_same(weighted, repeated, X)
    weighted.update_model(0, errors[weight > 0])
    repeated.update_model(0, errors[rows])
    assert_same(weighted, repeated, X)
    # On other prompts, errors count once.
    for grown in (weighted, repeated):
        grown.update_model(5, errors[:20], X_val=X[:20] + 0.1)
    assert_same(weighted, repeated, X)
    # A prompt that is reported again counts again.
    weighted.update_model(5, errors[weight > 0])
    repeated.update_model(5, errors[rows])
    assert_same(weighted, repeated, X)
    weighted.remove_model(1)
    repeated.remove_model(1)
    assert_same(weighted, repeated, X)


@pytest.mark.parametrize("router", [KMeansRouter(), HybridRouter(n_components=3)], ids=str)
def test_costs_by_cluster_are_weighted(router, log):
    X, y, costs, weight = log
    router = clone(router).set_params(clusterer=CLUSTERS, cost_model="cluster")
    weighted, repeated = fit_both(router, log)
    assert_same(weighted, repeated, X)
    kept, rows = weight > 0, np.repeat(np.arange(len(X)), weight)
    weighted.add_model(1 - y[kept, 1], cost=costs[kept, 1])
    repeated.add_model(1 - y[rows, 1], cost=costs[rows, 1])
    assert_same(weighted, repeated, X)


@pytest.mark.parametrize(
    "router",
    [*ROUTERS, KMeansRouter(), KNeighborsRouter(), MatrixFactorizationRouter(), LearnedMapRouter()],
    ids=str,
)
def test_a_weight_of_zero_removes_a_row(router, log):
    X, y, costs, weight = log
    weight = (weight > 0).astype(float)
    weight[weight > 0] = 1.5
    kept = weight > 0
    settings = {"n_validation": 20, "random_state": 0}
    with_zeros = clone(router).set_params(**settings).fit(X, y, costs, sample_weight=weight)
    without = clone(router).set_params(**settings)
    without.fit(X[kept], y[kept], costs[kept], sample_weight=weight[kept])
    np.testing.assert_array_equal(with_zeros.predict_error(X), without.predict_error(X))
    np.testing.assert_array_equal(with_zeros.X_val_, X[with_zeros.validation_indices_])
    np.testing.assert_array_equal(
        with_zeros.validation_indices_, np.flatnonzero(kept)[without.validation_indices_]
    )


def test_networks_follow_the_weights(log):
    """Batches, and the prompts held out, differ from those of repeated rows."""
    X, y, _costs, _ = log
    y = np.column_stack([X[:, 0] > 0, X[:, 0] <= 0]).astype(float)
    y[45:] = 1 - y[45:]
    for router in (MLPRouter((16,), max_epochs=60), LearnedMapRouter(6, cluster_weight=0)):
        router.set_params(random_state=0)
        for half in (slice(45), slice(45, 90)):
            weight = np.full(90, 0.05)
            weight[half] = 1.95
            error = router.fit(X, y, sample_weight=weight).predict_error(X[half])
            assert np.mean((error - (1 - y[half])) ** 2) < 0.25


def test_a_network_trains_on_weights_as_on_repetitions():
    from sklearn_uniroute.routers._torch import train_outputs

    rng = np.random.RandomState(0)
    X, errors = rng.normal(size=(30, 3)), rng.randint(2, size=(30, 2)).astype(np.float32)
    errors[4:9, 1] = np.nan
    weights = rng.randint(1, 5, size=30)
    rows = np.repeat(np.arange(30), weights)
    for squared in (False, True):
        settings = {
            "means": np.zeros(3),
            "scales": np.ones(3),
            "squared": squared,
            "hidden_layer_sizes": (8,),
            "seed": 0,
            # All rows make one batch.
            "net_params": {
                "max_epochs": 3,
                "lr": 0.01,
                "batch_size": 500,
                "device": "cpu",
                "verbose": 0,
            },
        }
        ones = np.ones(len(rows))
        weighted, repeated, without = (
            np.concatenate([coef.ravel() for coef in train_outputs(*rows_of, **settings)[0]])
            for rows_of in (
                (X, errors, weights.astype(float), X[:0], None),
                (X[rows], errors[rows], ones, X[:0], None),
                (X, errors, np.ones(30), X[:0], None),
            )
        )
        # Adam makes steps of one size from gradients that differ by rounding.
        np.testing.assert_allclose(weighted, repeated, atol=2e-3)
        assert np.abs(without - repeated).max() > 1e-2


@pytest.mark.parametrize("router", [one for one in ROUTERS if "Spline" not in repr(one)], ids=str)
def test_tables_and_files_keep_the_weights(router, log, tmp_path):
    X, y, costs, weight = log
    weighted, _ = fit_both(router, log)
    if not isinstance(router, FeatureMapRouter):
        weighted.routing_table(cost_weight=0.01).save(tmp_path / "table")
        table = RoutingTable.load(tmp_path / "table")
        assert table.route_many(X).tolist() == weighted.predict(X, cost_weight=0.01).tolist()
    save_router(weighted, tmp_path / "router")
    loaded = load_router(tmp_path / "router")
    for one in (weighted, loaded):
        one.add_model(1 - y[weight > 0, 2], cost=costs[weight > 0, 2])
    np.testing.assert_array_equal(loaded.predict_error(X), weighted.predict_error(X))


def test_a_random_choice_of_validation_prompts_is_like_the_traffic(log):
    """One prompt in ten has a weight of 20: it is drawn for certain, and its error counts more."""
    rng = np.random.RandomState(0)
    X, weight = rng.normal(size=(1000, 2)), np.ones(1000)
    weight[::10] = 20
    hard = (weight == 20).astype(float)
    y = np.column_stack([1 - hard, np.ones(1000)])
    mean = hard @ weight / weight.sum()
    for router in (
        ZeroRouter(n_validation=300),
        KMeansRouter(1, n_validation=300),
        KMeansRouter(1, n_validation=300, validation="random"),
    ):
        router.set_params(random_state=0).fit(X, y, sample_weight=weight)
        assert router.predict_error(X[:1], [0]) == pytest.approx(mean, abs=0.01)
        router.add_model(hard[router.validation_indices_])
        assert router.predict_error(X[:1], [2]) == pytest.approx(mean, abs=0.06)
        weights = router.validation_weights_
        assert weights.mean() == pytest.approx(1)
        share = weights @ hard[router.validation_indices_] / weights.sum()
        assert share == pytest.approx(mean, abs=0.1)


def test_weights_of_a_series_must_be_in_the_order_of_the_prompts(log):
    X, y, _costs, weight = log
    names = [f"p{row}" for row in range(len(X))]
    frame, quality = pd.DataFrame(X, index=names), pd.DataFrame(y, index=names)
    weights = pd.Series(weight, index=names)
    router = KMeansRouter(3, random_state=0).fit(frame, quality, sample_weight=weights)
    expected = KMeansRouter(3, random_state=0).fit(X, y, sample_weight=weight)
    np.testing.assert_array_equal(router.predict_error(X), expected.predict_error(X))
    with pytest.raises(ValueError, match="another order"):
        router.fit(frame, quality, sample_weight=weights[::-1])
    np.testing.assert_array_equal(router.predict_error(X), expected.predict_error(X))


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        (np.ones(3), "shape"),
        (np.full(90, np.nan), "NaN"),
        (-np.ones(90), "at least 0"),
        (np.zeros(90), "zero"),
        (np.full(90, 1 / 90), "less than two prompts"),
        (np.ones((90, 1)), "shape"),
        (csr_array(np.ones((1, 90))), "[Ss]parse"),
    ],
)
def test_bad_weights_are_refused(log, weight, message):
    X, y, costs, _ = log
    router = LinearRouter().fit(X, y, costs)
    before = router.representation_
    with pytest.raises((ValueError, TypeError), match=message):
        router.fit(X, y, costs, sample_weight=weight)
    assert router.representation_ is before


def test_shares_of_the_traffic_draw_a_warning(log):
    X, y, costs, _ = log
    with pytest.warns(UserWarning, match="weak as that of so few prompts"):
        LinearRouter().fit(X, y, costs, sample_weight=np.full(90, 0.03))


def test_a_model_without_a_weighty_prompt_is_named(log):
    X, y, _, _ = log
    weight = np.isnan(y[:, 3]).astype(float)
    with pytest.raises(ValueError, match=r"no observed quality for model\(s\) 3"):
        ZeroRouter().fit(X, y, sample_weight=weight)


def test_what_does_not_take_weights_is_named(log):
    X, y, _costs, weight = log

    class Own(BaseRouter):
        def _represent(self, X, errors):
            return errors.mean(keepdims=True)

        def _estimate(self, X, representation):
            return np.tile(representation[:, 0], (len(X), 1))

    with pytest.raises(TypeError, match="Own does not support `sample_weight`: its `_represent`"):
        Own().fit(X, y, sample_weight=weight)
    ensemble = EnsembleRouter([("own", Own())])
    with pytest.raises(TypeError, match="Own does not support `sample_weight`"):
        ensemble.fit(X, y, sample_weight=weight)
    with pytest.raises(TypeError, match="AffinityPropagation does not support `sample_weight`"):
        KMeansRouter(clusterer=AffinityPropagation()).fit(X, y, sample_weight=weight)
    frozen = FrozenEstimator(KMeans(3, random_state=0).fit(X))
    router = KMeansRouter(clusterer=frozen).fit(X, y, sample_weight=weight)
    assert router.cluster_sizes_.sum() == weight.sum()


def test_an_ensemble_stacks_by_weight(log):
    X, y, _costs, _weight = log
    heavy = np.where(np.arange(90) < 45, 5.0, 0.2)
    members = [("zero", ZeroRouter()), ("linear", LinearRouter())]
    ensembles = [
        EnsembleRouter(members, weights="stacked", random_state=0).fit(X, y, sample_weight=one)
        for one in (None, np.ones(90), heavy)
    ]
    np.testing.assert_allclose(ensembles[0].weights_, ensembles[1].weights_)
    assert not np.allclose(ensembles[0].weights_, ensembles[2].weights_)


def test_weights_pass_through_pipelines_and_searches(log):
    X, y, costs, weight = log
    pipeline = make_pipeline(StandardScaler(), ZeroRouter())
    pipeline.fit(X, y, zerorouter__sample_weight=weight)
    known = ~np.isnan(y[:, 0])
    mean = np.average(1 - y[known, 0], weights=weight[known])
    assert pipeline[-1].representation_[0, 0] == pytest.approx(mean)
    search = GridSearchCV(KMeansRouter(random_state=0), {"n_clusters": [2, 3]}, cv=3)
    search.fit(X, y, costs=costs, sample_weight=weight)
    assert search.best_estimator_.cluster_sizes_.sum() == weight.sum()


def test_dask_arrays_take_no_weights(log):
    array = pytest.importorskip("dask.array")
    X, y, _costs, weight = log
    with pytest.raises(TypeError, match="needs all prompts in memory"):
        KMeansRouter().fit(array.from_array(X), array.from_array(y), sample_weight=weight)


def test_batches_of_light_prompts_count_for_little():
    rng = np.random.RandomState(0)
    X, heavy = rng.normal(size=(1500, 3)), rng.uniform(size=1500) < 0.02
    weight = np.where(heavy, 49.0, 1.0)
    y = np.column_stack([~heavy, X[:, 1] > 0, X[:, 2] > 0]).astype(float)
    router = MLPRouter((16,), max_epochs=15, random_state=0).fit(X, y, sample_weight=weight)
    mean = np.average(router.predict_error(X)[:, 0], weights=weight)
    assert mean == pytest.approx(weight @ heavy / weight.sum(), abs=0.1)


def test_a_neighbor_beyond_the_last_one_counts_for_nothing():
    X = np.array([[1, 0], [1 + 3e-9, 0], [5, 5], [6, 6], [7, 7]])
    y = [[0, 1], [1, 0], [1, 1], [0, 0], [1, 0]]
    router = KNeighborsRouter(3, weights="distance")
    router.fit(X, y, sample_weight=[10, 1, 1, 1, 1])
    np.testing.assert_allclose(router.predict_error(X[1:2]), [[1, 0]])


@pytest.mark.parametrize("weight", [0.12, 0.5, 1.0])
def test_noise_and_distances_do_not_depend_on_the_scale_of_light_weights(weight):
    rng = np.random.RandomState(0)
    X, y = rng.normal(size=(600, 5)), rng.randint(2, size=(600, 6)).astype(float)
    plain = KMeansRouter(24, random_state=0).fit(X, y)
    router = KMeansRouter(24, random_state=0).fit(X, y, sample_weight=np.full(600, weight))
    np.testing.assert_allclose(router.noise_, plain.noise_, rtol=0.02)
    np.testing.assert_allclose(
        router.distance_quantiles_[5:-5], plain.distance_quantiles_[5:-5], rtol=1e-6
    )


def test_equal_prompts_have_no_components():
    X, y = np.full((50, 3), 0.1), np.random.RandomState(0).randint(2, size=(50, 3)).astype(float)
    router = HybridRouter(1, n_components=2, random_state=0).fit(X, y, sample_weight=np.ones(50))
    np.testing.assert_allclose(router.predict_error(X[:1] + 1e-3), [1 - y.mean(axis=0)], atol=0.05)


def test_the_automatic_number_of_neighbors_does_not_depend_on_the_scale(log):
    X, y, _, _ = log
    routers = [
        KNeighborsRouter(n_validation=40, random_state=0).fit(X, y, sample_weight=np.full(90, one))
        for one in (0.5, 1.0, 4.0)
    ]
    for router in routers:
        router.add_model((X[router.validation_indices_, 0] > 0).astype(float))
    for router in routers[::2]:
        np.testing.assert_allclose(router.predict_error(X), routers[1].predict_error(X), atol=0.1)
