import copy

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.cluster import KMeans, MiniBatchKMeans
from sklearn.exceptions import NotFittedError

from sklearn_uniroute import HybridRouter, KMeansRouter, LearnedMapRouter
from sklearn_uniroute._numerics._clusters import cluster_sums
from sklearn_uniroute.utils._router_checks import assert_same

ROUTERS = [
    KMeansRouter(4, random_state=0),
    KMeansRouter(4, representation="mean", temperature=0, random_state=0),
    HybridRouter(4, n_components=2, random_state=0),
    LearnedMapRouter(4, hidden_layer_sizes=(8,), random_state=0),
    KMeansRouter(4, temperature=0, fallback="dearest", far_share=0.1, random_state=0),
]
CHUNKS = [slice(0, 200), slice(200, 210), slice(210, 400)]


@pytest.fixture(scope="session")
def gaps(data):
    y = data.y.copy()
    y[np.random.RandomState(1).uniform(size=y.shape) < 0.2] = np.nan
    y[200:210, 3] = np.nan  # not run in all of a chunk
    return y


@pytest.mark.parametrize("per_call", [False, True])
@pytest.mark.parametrize("router", ROUTERS, ids=str)
def test_one_chunk_is_a_fit(router, data, gaps, calls, per_call):
    costs = calls if per_call else data.costs
    fitted = clone(router).fit(data.X, gaps, costs=costs)
    chunk = clone(router).partial_fit(data.X, gaps, costs=costs)
    assert_same(fitted, chunk, data.X)
    np.testing.assert_array_equal(fitted.X_val_, chunk.X_val_)


@pytest.mark.parametrize("router", ROUTERS, ids=str)
def test_sums_of_chunks_are_those_of_all_prompts(router, data, gaps, calls):
    router = clone(router)
    for rows in CHUNKS:
        router.partial_fit(data.X[rows], gaps[rows], costs=calls[rows])
    labels = ((data.X[:, None] - router.cluster_centers_) ** 2).sum(axis=2).argmin(axis=1)
    np.testing.assert_array_equal(router.cluster_sizes_, np.bincount(labels, minlength=4))
    np.testing.assert_allclose(router.cluster_shares_, router.cluster_sizes_ / 400)
    sums, counts = cluster_sums(labels, 1 - gaps, 4)
    np.testing.assert_array_equal(router._evidence["error_sums"], sums)
    np.testing.assert_array_equal(router._evidence["error_counts"], counts)
    np.testing.assert_allclose(router.costs_, calls.mean(axis=0))
    assert len(router.predict(data.X, budget=60)) == 400
    if "information" not in router._evidence:
        np.testing.assert_allclose(router.representation_, sums / counts)
        np.testing.assert_allclose(router._calibration_prompts["weights"], router.cluster_shares_)
        return
    information = np.zeros_like(router._evidence["information"][3])
    moment = np.zeros(len(information))
    phi = router._features(data.X)
    phi = np.eye(4)[phi] if phi.ndim == 1 else phi.astype(float)
    for n in range(400):
        if not np.isnan(gaps[n, 3]):
            variance = phi[n] @ router.noise_
            information += np.outer(phi[n], phi[n]) / variance
            moment += phi[n] * (1 - gaps[n, 3]) / variance
    np.testing.assert_allclose(router._evidence["information"][3], information, atol=1e-9)
    np.testing.assert_allclose(router._evidence["moments"][3], moment, atol=1e-9)


@pytest.mark.parametrize("router", ROUTERS, ids=str)
def test_the_order_of_later_chunks_does_not_matter(router, data, gaps):
    first, *later = CHUNKS
    errors = []
    for chunks in (later, later[::-1]):
        one = clone(router).partial_fit(data.X[first], gaps[first], costs=data.costs)
        for rows in chunks:
            one.partial_fit(data.X[rows], gaps[rows])
        errors.append(one.predict_error(data.X))
    np.testing.assert_allclose(*errors, atol=1e-9)


def test_more_chunks_tell_more(data):
    router = KMeansRouter(4, random_state=0).partial_fit(data.X[:50], data.y[:50])
    before = router.representation_std_
    errors = [np.abs(router.representation_.mean(axis=1) - (1 - data.y).mean(axis=0)).mean()]
    router.partial_fit(data.X[50:], data.y[50:])
    assert (router.representation_std_ < before).all()
    errors.append(np.abs(router.representation_.mean(axis=1) - (1 - data.y).mean(axis=0)).mean())
    assert errors[1] < errors[0]


def test_clusters_first(data):
    router = KMeansRouter(4, random_state=0)
    for rows in CHUNKS:
        router.partial_fit(data.X[rows])
    with pytest.raises(NotFittedError):
        router.predict(data.X)
    expected = MiniBatchKMeans(4, random_state=np.random.RandomState(0))
    for rows in CHUNKS:
        expected.partial_fit(data.X[rows])
    for rows in CHUNKS:
        router.partial_fit(data.X[rows], data.y[rows], costs=data.costs)
    np.testing.assert_allclose(router.cluster_centers_, expected.cluster_centers_)
    with pytest.raises(ValueError, match="clusters are fixed after the first chunk"):
        router.partial_fit(data.X)
    # fit begins anew.
    other = clone(router).partial_fit(data.X[:100]).fit(data.X, data.y, costs=data.costs)
    assert_same(other, clone(router).fit(data.X, data.y, costs=data.costs), data.X)


def test_clusterers_of_the_user(data):
    clusterer = MiniBatchKMeans(3, random_state=0)
    router = KMeansRouter(clusterer=clusterer, random_state=0).partial_fit(data.X[:100])
    router.partial_fit(data.X, data.y)
    assert router.cluster_centers_.shape == (3, 5)
    assert not hasattr(clusterer, "cluster_centers_")
    router = KMeansRouter(clusterer=KMeans(3, random_state=0), random_state=0)
    with pytest.raises(TypeError, match="KMeans has no `partial_fit`"):
        router.partial_fit(data.X)
    assert router.partial_fit(data.X, data.y).cluster_centers_.shape == (3, 5)


def test_clusters_that_coincide(data):
    few = np.repeat(data.X[:3], 50, axis=0)
    router = KMeansRouter(5, random_state=0).partial_fit(few).partial_fit(data.X, data.y)
    assert len(router.cluster_centers_) == 3


def test_names_validation_prompts_and_added_models(data):
    names = list("abcdefgh")
    y = pd.DataFrame(data.y, columns=names)
    router = KMeansRouter(4, random_state=0)
    router.partial_fit(data.X[:200], y[:200], costs=data.costs, X_val=data.X[200:250])
    router.partial_fit(
        data.X[200:], y[200:][names[::-1]], costs=dict(zip(names, data.costs, strict=True))
    )
    other = KMeansRouter(4, random_state=0)
    other.partial_fit(data.X[:200], y[:200], costs=data.costs, X_val=data.X[200:250])
    with pytest.warns(UserWarning, match="in the order of `models_`"):
        other.partial_fit(data.X[200:], data.y[200:])
    assert_same(router, other, data.X)
    router.add_model(1 - data.y[200:250, 0], name="new", cost=1.0)
    assert "new" in router.predict(data.X, cost_weight=1.0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda r, X, y, c: r.partial_fit(X[:, :3], y), "3 features"),
        (lambda r, X, y, c: r.partial_fit(X, y[:, :4]), "4 columns but the pool has 8"),
        (lambda r, X, y, c: r.partial_fit(X, y[:4]), "4 rows but there are 100"),
        (lambda r, X, y, c: r.partial_fit(X, y, X_val=X), "X_val.*first chunk"),
        (lambda r, X, y, c: r.partial_fit(X, y, costs=c + 1), "differs from the costs known"),
        (lambda r, X, y, c: r.partial_fit(X, y, costs=y), "one cost per call, but .* per model"),
        (lambda r, X, y, c: r.partial_fit(X, pd.DataFrame(y[:, :3])), "no column for model"),
        (
            lambda r, X, y, c: r.remove_model(0).partial_fit(X, y[:, 1:]),
            "added, replaced or removed",
        ),
        (lambda r, X, y, c: r.partial_fit(X * np.nan, y), "NaN"),
    ],
)
def test_bad_chunks_change_nothing(data, change, message):
    router = KMeansRouter(4, random_state=0)
    router.partial_fit(data.X[:100], data.y[:100], costs=data.costs)
    before = vars(router).copy()
    with pytest.raises(ValueError, match=message):
        change(router, data.X[100:200], data.y[100:200], data.costs)
    if message != "added, replaced or removed":
        assert vars(router).keys() == before.keys()
        assert all(vars(router)[name] is before[name] for name in before)


def test_costs_of_calls_go_on(data, calls):
    router = KMeansRouter(4, random_state=0)
    router.partial_fit(data.X[:100], data.y[:100], costs=calls[:100])
    with pytest.raises(ValueError, match="had the cost of each call"):
        router.partial_fit(data.X[100:], data.y[100:])
    with pytest.raises(ValueError, match=r"one cost per model, but .* per call"):
        router.partial_fit(data.X[100:], data.y[100:], costs=data.costs)
    router = KMeansRouter(4, random_state=0).partial_fit(data.X[:100], data.y[:100])
    with pytest.raises(ValueError, match="the chunks before had none"):
        router.partial_fit(data.X[100:], data.y[100:], costs=data.costs)


def test_prices_that_further_calls_would_undo(data, calls):
    router = KMeansRouter(4, n_validation=50, random_state=0)
    router.partial_fit(data.X[:200], data.y[:200], costs=calls[:200]).set_cost(0, 999.0)
    with pytest.raises(ValueError, match="costs were set since"):
        router.partial_fit(data.X[200:], data.y[200:], costs=calls[200:])
    assert router.costs_[0] == 999
    # Nor of a model that took the place of another, at whatever price.
    for costs in (calls[:200], data.costs):
        router = KMeansRouter(4, n_validation=50, random_state=0)
        router.partial_fit(data.X[:200], data.y[:200], costs=costs)
        router.add_model(np.zeros(50), name=7, cost=router.costs_[7], replace=True)
        with pytest.raises(ValueError, match="added, replaced or removed"):
            router.partial_fit(data.X[200:], data.y[200:], costs=costs)
        router.fit(data.X[:200], data.y[:200]).partial_fit(data.X[200:], data.y[200:])
    # Prices of models are nothing that chunks would undo.
    router = KMeansRouter(4, random_state=0)
    router.partial_fit(data.X[:200], data.y[:200], costs=data.costs).set_cost(0, 999.0)
    assert router.partial_fit(data.X[200:], data.y[200:]).costs_[0] == 999


def test_any_change_of_the_pool_ends_the_chunks(data):
    first = KMeansRouter(4, n_validation=50, random_state=0)
    first.partial_fit(data.X[:200], data.y[:200, :7], costs=data.costs[:7])
    errors = 1 - data.y[first.validation_indices_, 7]
    one, two = np.random.default_rng(0).permuted(np.tile(range(8), (200, 1)), axis=1)[:, :2].T
    margin = data.y[range(200), one] - data.y[range(200), two]
    winner = np.array(["model_b", "tie", "model_a"])[margin.astype(int) + 1]
    for change in (
        lambda router: router.add_model(errors, cost=1.0),
        lambda router: router.add_model(errors, cost=1.0).remove_model(7),
        lambda router: router.remove_model(6),
        lambda router: router.add_models_from_preferences(
            data.X[:200], one, two, winner, costs={7: 1.0}
        ),
    ):
        router = clone(first).partial_fit(data.X[:200], data.y[:200, :7], costs=data.costs[:7])
        change(router)
        with pytest.raises(ValueError, match="change the pool after the last chunk"):
            router.partial_fit(data.X[200:], data.y[200:, : len(router.models_)])
    router = clone(first).partial_fit(data.X[:200], data.y[:200, :7], costs=data.costs[:7])
    router.update_model(0, errors).set_cost(0, 2.0).partial_fit(data.X[200:], data.y[200:, :7])


def test_the_first_pass_has_prompts_alone_and_of_one_kind(data):
    X = pd.DataFrame(data.X, columns=list("abcde"))
    router = KMeansRouter(4, random_state=0).partial_fit(X)
    for bad in (X[X.columns[::-1]], X[["a", "b"]]):
        with pytest.raises(ValueError, match="feature"):
            router.partial_fit(bad, data.y)
    with pytest.raises(ValueError, match="require `y`; a chunk without `y` only fits"):
        router.partial_fit(X, costs=data.costs)
    router.partial_fit(X, data.y)
    assert router.feature_names_in_.tolist() == list("abcde")
    assert vars(router)["_clusterer"] is None


def test_a_clusterer_that_fails_leaves_the_router_as_it_was(data):
    class Failing(MiniBatchKMeans):
        def partial_fit(self, X):
            super().partial_fit(X)
            if X[0, 0] == 7:
                raise RuntimeError("out of order")
            return self

    router = KMeansRouter(clusterer=Failing(3, random_state=0)).partial_fit(data.X[:100])
    centers = router._clusterer.cluster_centers_.copy()
    with pytest.raises(RuntimeError, match="out of order"):
        router.partial_fit(np.full((100, 5), 7.0))
    np.testing.assert_array_equal(router._clusterer.cluster_centers_, centers)


def test_costs_by_cluster(data, calls):
    router = KMeansRouter(4, temperature=0, cost_model="cluster", random_state=0)
    for rows in CHUNKS:
        router.partial_fit(data.X[rows], data.y[rows], costs=calls[rows])
    labels = router._assign(data.X)
    expected = [[calls[labels == k, m].mean() for k in range(4)] for m in range(8)]
    np.testing.assert_allclose(router.cost_representation_, expected)
    np.testing.assert_allclose(router.costs_, calls.mean(axis=0))


def test_memory_maps(data, tmp_path):
    path = tmp_path / "X.npy"
    np.save(path, data.X.astype(np.float32))
    mapped = np.load(path, mmap_mode="r")
    router = KMeansRouter(4, random_state=0).fit(mapped, data.y, costs=data.costs)
    other = clone(router).fit(np.array(mapped), data.y, costs=data.costs)
    assert_same(router, other, mapped)
    assert not isinstance(router.X_val_, np.memmap)


def test_a_chunk_with_other_models_is_refused(data):
    y = pd.DataFrame(data.y[:, :3], columns=["a", "b", "new"])
    router = KMeansRouter(4, random_state=0).partial_fit(data.X[:200], y[["a", "b"]][:200])
    before = router.predict_error(data.X)
    with pytest.raises(ValueError, match=r"has column\(s\) 'new', but the first chunk had"):
        router.partial_fit(data.X[200:], y[200:])
    with pytest.raises(ValueError, match=r"no column for model\(s\) 'b'"):
        router.partial_fit(data.X[200:], y[["a"]][200:])
    np.testing.assert_array_equal(router.predict_error(data.X), before)
    # Columns go by name.
    one = copy.deepcopy(router).partial_fit(data.X[200:], y[["b", "a"]][200:])
    other = copy.deepcopy(router).partial_fit(data.X[200:], y[["a", "b"]][200:])
    np.testing.assert_array_equal(one.representation_, other.representation_)


def test_chunks_without_names_and_with_masks(data):
    names = [f"model {number}" for number in range(8)]
    router = KMeansRouter(4, random_state=0)
    router.partial_fit(data.X[:200], pd.DataFrame(data.y[:200], columns=names))
    with pytest.warns(UserWarning, match="in the order of `models_`"):
        router.partial_fit(data.X[200:], data.y[200:])
    with pytest.raises(ValueError, match="NaN"):
        KMeansRouter(4).partial_fit(np.ma.array(data.X, mask=data.X > 1))
