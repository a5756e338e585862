import dask
import dask.array as da
import joblib
import numpy as np
import pandas as pd
import pytest
from dask.distributed import Client, LocalCluster
from sklearn.base import BaseEstimator, clone
from sklearn.cluster import KMeans
from sklearn.model_selection import GridSearchCV

from sklearn_uniroute import HybridRouter, KMeansRouter, LearnedMapRouter, LinearRouter
from sklearn_uniroute.model_selection import deferral_area_scorer
from sklearn_uniroute.routers import _dask

pytestmark = pytest.mark.slow

ROUTERS = [
    KMeansRouter(4, n_validation=50, random_state=0),
    KMeansRouter(4, temperature=0, representation="mean", n_validation=50, random_state=0),
    HybridRouter(4, n_components=2, n_validation=50, random_state=0),
    LearnedMapRouter(4, hidden_layer_sizes=(8,), n_validation=50, random_state=0),
    KMeansRouter(4, temperature=0, fallback="dearest", n_validation=50, random_state=0),
]


@pytest.fixture(scope="module")
def client():
    with (
        LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=":0", host="127.0.0.1"
        ) as cluster,
        Client(cluster) as client,
    ):
        yield client


def blocks(array):
    return da.from_array(array, chunks=(90, 3))


def assert_alike(router, other, X):
    """The sums are the same, and all that follows from them but for rounding."""
    for name in ("cluster_sizes_", "models_", "X_val_"):
        np.testing.assert_array_equal(getattr(router, name), getattr(other, name))
    for name in ("error_sums", "error_counts"):
        np.testing.assert_array_equal(router._evidence[name], other._evidence[name])
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
    if router.representation_std_ is not None:
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
    np.testing.assert_array_equal(router._evidence["error_sums"], expected)
    assert router.cluster_sizes_.sum() == 400


def test_only_the_sample_is_gathered(client, data, monkeypatch):
    monkeypatch.setattr(_dask, "_SAMPLE", 30)
    lengths = []
    gather = dask.compute

    def compute(*parts):
        gathered = gather(*parts)
        lengths.extend(len(part) for part in gathered)
        return gathered

    def refuse(self):
        raise AssertionError("all blocks are gathered")

    monkeypatch.setattr(dask, "compute", compute)
    monkeypatch.setattr(da.Array, "compute", refuse)
    monkeypatch.setattr(da.Array, "__array__", refuse)
    router = KMeansRouter(4, n_validation=20, random_state=0)
    router.fit(blocks(data.X), blocks(data.y), costs=data.costs)
    assert lengths == [30, 30, 8]
    router.predict(blocks(data.X))
    router.predict_error(blocks(data.X))


def test_costs_by_name(client, data, calls):
    costs = pd.DataFrame(calls)[list(range(8))[::-1]]
    router = KMeansRouter(4, random_state=0).fit(blocks(data.X), blocks(data.y), costs=costs)
    np.testing.assert_allclose(router.costs_, calls.mean(axis=0))
    with pytest.raises(ValueError, match="`costs` has no column for model"):
        router.fit(blocks(data.X), blocks(data.y), costs=costs.rename(columns=str))


def test_blocks_without_rows(client, data):
    X = blocks(data.X)
    some = da.concatenate([X[:0], X[:90], X[90:90], X[90:]]).rechunk(((0, 90, 0, 310), 5))
    router = KMeansRouter(4, random_state=0).fit(some, data.y, costs=data.costs)
    np.testing.assert_array_equal(router.predict(some).compute(), router.predict(data.X))
    np.testing.assert_allclose(router.predict_error(some).compute(), router.predict_error(data.X))


def test_what_is_to_be_computed_is_of_the_router_as_it_was(client, data):
    router = KMeansRouter(4, n_validation=50, random_state=0).fit(data.X, data.y, costs=data.costs)
    X = blocks(data.X.astype(np.float32))
    error, chosen = router.predict_error(X), router.predict(X, cost_weight=1.0)
    expected = router.predict_error(data.X.astype(np.float32))
    router.add_model(np.zeros(50), cost=0.0).update_model(0, np.zeros(50))
    np.testing.assert_array_equal(error.compute(), expected)
    assert error.dtype == np.float32
    assert chosen.compute().max() < 8


def test_a_model_that_the_sample_does_not_tell_of(client, data, monkeypatch):
    monkeypatch.setattr(_dask, "_SAMPLE", 20)
    y = data.y.copy()
    y[5:, 3] = np.nan
    with pytest.raises(ValueError, match=r"of 20 prompts drawn from `y` none .* 3;"):
        KMeansRouter(2, random_state=0).fit(blocks(data.X), blocks(y))


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
    with pytest.raises(TypeError, match="pass both in blocks"):
        router.fit(data.X, y)
    with pytest.raises(ValueError, match="`X` must be of shape"):
        router.fit(X[:, 0], y)
    with pytest.raises(TypeError, match="pass dask arrays to `fit`"):
        router.partial_fit(X, y)
    router = KMeansRouter(4, random_state=0).fit(data.X, data.y, costs=data.costs)
    with pytest.raises(ValueError, match="`X` has 3 features"):
        router.predict(X[:, :3])
    for call in (router.decision_function, router.predict_cost):
        with pytest.raises(TypeError, match=r"pass X\.compute"):
            call(X)
    with pytest.raises(TypeError, match=r"pass X\.compute"):
        router.score(X, data.y)
    with pytest.raises(TypeError, match=r"pass X\.compute"):
        router.cost_weight_for_budget(30, X=X)
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
