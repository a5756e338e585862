import dask.array as da
import joblib
import numpy as np
import pandas as pd
import pytest
from dask.distributed import Client, LocalCluster
from sklearn.base import BaseEstimator, clone
from sklearn.cluster import KMeans
from sklearn.model_selection import GridSearchCV

from sklearn_uniroute import HybridRouter, KMeansRouter, LearnedMapRouter, LinearRouter, _dask
from sklearn_uniroute.model_selection import deferral_area_scorer

pytestmark = pytest.mark.slow

ROUTERS = [
    KMeansRouter(4, n_validation=50, random_state=0),
    KMeansRouter(4, temperature=0, representation="mean", n_validation=50, random_state=0),
    HybridRouter(4, n_components=2, n_validation=50, random_state=0),
    LearnedMapRouter(4, hidden_layer_sizes=(8,), n_validation=50, random_state=0),
]


@pytest.fixture(scope="module")
def client():
    with (
        LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=None, host="127.0.0.1"
        ) as cluster,
        Client(cluster) as client,
    ):
        yield client


@pytest.fixture(scope="session")
def calls(data):
    return data.costs * np.random.RandomState(0).uniform(0.5, 1.5, size=data.y.shape)


def blocks(array):
    return da.from_array(array, chunks=(90, 3))


def assert_alike(router, other, X):
    """The sums are the same, and all that follows from them but for rounding."""
    for name in ("cluster_sizes_", "error_sums_", "error_counts_", "models_", "X_val_"):
        np.testing.assert_array_equal(getattr(router, name), getattr(other, name))
    np.testing.assert_array_equal(router.validation_indices_, other.validation_indices_)
    np.testing.assert_allclose(router.predict_error(X), other.predict_error(X), atol=1e-9)
    for cost_weight in (0, 0.001, 0.01, 1):
        np.testing.assert_array_equal(
            router.predict(X, cost_weight=cost_weight), other.predict(X, cost_weight=cost_weight)
        )


@pytest.mark.parametrize("per_call", [False, True])
@pytest.mark.parametrize("router", ROUTERS, ids=str)
def test_a_cluster_fits_what_one_machine_does(client, router, data, calls, per_call):
    costs = calls if per_call else data.costs
    expected = clone(router).fit(data.X, data.y, costs=costs)
    router = clone(router).fit(
        blocks(data.X), blocks(data.y), costs=blocks(costs) if per_call else costs
    )
    assert_alike(router, expected, data.X)
    np.testing.assert_allclose(router.costs_, expected.costs_)
    X = blocks(data.X)
    for settings in ({"cost_weight": 0.01}, {"pool": [5, 1], "budget": 30, "randomize": True}):
        chosen = router.predict(X, **settings)
        assert isinstance(chosen, da.Array)
        np.testing.assert_array_equal(chosen.compute(), router.predict(data.X, **settings))
    error = router.predict_error(X, [5, 1])
    assert error.shape == (400, 2)
    np.testing.assert_allclose(error.compute(), router.predict_error(data.X, [5, 1]))
    if router.representation == "posterior":
        error, std = router.predict_error(X, [5, 1], return_std=True)
        expected = router.predict_error(data.X, [5, 1], return_std=True)
        np.testing.assert_allclose(std.compute(), expected[1])
        np.testing.assert_allclose(error.compute(), expected[0])


def test_sums_go_over_all_blocks_where_a_sample_settles_the_rest(client, data, monkeypatch):
    monkeypatch.setattr(_dask, "_SAMPLE", 120)
    router = KMeansRouter(4, n_validation=50, random_state=0)
    router.fit(blocks(data.X), blocks(data.y), costs=data.costs)
    rows = np.sort(np.random.RandomState(0).permutation(400)[:120])
    sample = KMeansRouter(4, n_validation=50, random_state=0)
    sample.fit(data.X[rows], data.y[rows], costs=data.costs)
    np.testing.assert_array_equal(router.cluster_centers_, sample.cluster_centers_)
    np.testing.assert_array_equal(router.X_val_, data.X[router.validation_indices_])
    labels = router._assign(data.X)
    expected = [[(1 - data.y[labels == k, m]).sum() for k in range(4)] for m in range(8)]
    np.testing.assert_array_equal(router.error_sums_, expected)
    assert router.cluster_sizes_.sum() == 400


def test_names_and_missing_labels(client, data, calls):
    names = list("abcdefgh")
    y = pd.DataFrame(data.y, columns=names)
    y.iloc[::3, 2] = np.nan
    y.iloc[:90, 5] = np.nan
    costs = pd.DataFrame(calls, columns=names)[names[::-1]]
    expected = KMeansRouter(4, cost_model="cluster", random_state=0).fit(data.X, y, costs=costs)
    router = KMeansRouter(4, cost_model="cluster", random_state=0)
    router.fit(blocks(data.X), y, costs=costs)
    assert_alike(router, expected, data.X)
    np.testing.assert_allclose(router.cost_representation_, expected.cost_representation_)


class DistributedKMeans(BaseEstimator):
    """A clusterer that takes dask arrays."""

    def fit(self, X):
        assert isinstance(X, da.Array)
        self.cluster_centers_ = KMeans(4, random_state=0).fit(X.compute()).cluster_centers_
        return self


def test_clusterers(client, data):
    X, y = blocks(data.X), blocks(data.y)
    router = KMeansRouter(clusterer=DistributedKMeans(), random_state=0)
    router.fit(X, y, costs=data.costs)
    expected = KMeansRouter(clusterer=KMeans(4, random_state=0), random_state=0)
    assert_alike(router, expected.fit(data.X, data.y, costs=data.costs), data.X)
    router = clone(expected).fit(X, y, costs=data.costs)
    assert_alike(router, expected, data.X)


def test_bad_blocks(client, data):
    X, y = blocks(data.X), blocks(data.y)
    router = KMeansRouter(4, random_state=0)
    with pytest.raises(ValueError, match="compute_chunk_sizes"):
        router.fit(X[X[:, 0] > 0], y)
    with pytest.raises(ValueError, match="`y` has shape"):
        router.fit(X, y[:100])
    with pytest.raises(ValueError, match="`y` has shape"):
        router.fit(X, y[:, 0])
    with pytest.raises(ValueError, match="infinity"):
        router.fit(X, da.where(y > 0, np.inf, y))
    assert not hasattr(router, "cluster_centers_")
    with pytest.raises(TypeError, match="LinearRouter needs all prompts at once"):
        LinearRouter().fit(X, y)


def test_searches_run_on_the_cluster(client, data):
    router = KMeansRouter(random_state=0)
    grid = {"n_clusters": [2, 4]}
    searches = []
    for backend in ("dask", "threading"):
        search = GridSearchCV(router, grid, scoring=deferral_area_scorer, cv=3)
        with joblib.parallel_config(backend=backend):
            search.fit(data.X, data.y, costs=data.costs)
        searches.append(search.cv_results_["mean_test_score"])
    np.testing.assert_allclose(*searches)
