"""Time to route: one prompt, and many, against bare NumPy and against scikit-learn's estimators.

Run as ``python -m benchmarks.hot_path``. All numbers are ratios taken in turns, on one thread, in
single precision. Bare NumPy has no checks, no ties and no names, and its arrays are at hand.
"""

from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

import numpy as np
from sklearn.cluster import KMeans
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from threadpoolctl import threadpool_limits

from benchmarks._runner import ratio
from benchmarks.bench_routers import bare_predict, bare_soft_predict
from sklearn_uniroute import HybridRouter, KMeansRouter, LearnedMapRouter

N_FEATURES, N_CLUSTERS, N_MODELS = 768, 100, 40
COST_WEIGHT = 0.01
N_CALLS = 1000


def many(function, n_times=N_CALLS):
    """Call a function that takes microseconds so often that it can be timed."""

    def calls():
        for _ in range(n_times):
            function()

    return calls


def rate(function, n_times=N_CALLS):
    """Calls a second, as the median of a few runs."""
    calls, times = many(function, n_times), []
    for _ in range(9):
        start = perf_counter()
        calls()
        times.append(perf_counter() - start)
    return n_times / np.median(times)


def bare_nearest(router, x):
    """Centroid product, argmin, lookup."""
    centers = 2 * router.cluster_centers_
    offset = (router.cluster_centers_**2).sum(axis=1)
    chosen = (router.representation_ + COST_WEIGHT * router.costs_[:, None]).argmin(axis=0)
    names = router.models_[chosen].tolist()
    return lambda: names[(offset - centers @ x).argmin()]


def bare_softmax(router):
    """Responsibilities by distance, from arrays at hand."""
    centers = 2 * router.cluster_centers_
    offset = (router.cluster_centers_**2).sum(axis=1)
    temperature = np.float32(router.temperature_)

    def features(x):
        logits = centers @ x
        logits -= offset
        logits -= logits.max()
        logits /= temperature
        np.exp(logits, out=logits)
        logits /= logits.sum()
        return logits

    return features


def bare_network(router):
    """Responsibilities by the network and by distance, averaged."""
    coefs, intercepts = router.coefs_, router.intercepts_
    means = router._map_means.astype(np.float32)
    weight = router._cluster_weight
    by_distance = bare_softmax(router)

    def features(x):
        hidden = x - means
        for coef, intercept in zip(coefs[:-1], intercepts[:-1], strict=True):
            hidden = np.maximum(hidden @ coef + intercept, 0)
        logits = hidden @ coefs[-1] + intercepts[-1]
        logits = np.exp(logits - logits.max())
        logits /= logits.sum()
        return (1 - weight) * logits + weight * by_distance(x)

    return features


def bare_scores(router, features, x):
    representation = router.representation_.T.astype(np.float32)
    prices = (COST_WEIGHT * router.costs_).astype(np.float32)
    names = router.models_.tolist()
    return lambda: names[(features(x) @ representation + prices).argmin()]


def main():
    rng = np.random.RandomState(0)
    X = rng.normal(size=(5000, N_FEATURES)).astype(np.float32)
    y = rng.randint(2, size=(5000, N_MODELS)).astype(np.float32)
    costs = np.geomspace(0.1, 10, N_MODELS)
    settings = {"cost_weight": COST_WEIGHT, "random_state": 0}
    routers = {
        "K-means, nearest cluster": KMeansRouter(N_CLUSTERS, temperature=0, **settings),
        "K-means": KMeansRouter(N_CLUSTERS, **settings),
        "learned map": LearnedMapRouter(N_CLUSTERS, net_params={"device": "cpu"}, **settings),
        "hybrid": HybridRouter(N_CLUSTERS, **settings),
    }
    x = X[0]
    with threadpool_limits(1):
        tables = {
            name: router.fit(X, y, costs=costs).routing_table() for name, router in routers.items()
        }
        nearest, soft, learned, _ = routers.values()
        bare = {
            "K-means, nearest cluster": bare_nearest(nearest, x),
            "K-means": bare_scores(soft, bare_softmax(soft), x),
            "learned map": bare_scores(learned, bare_network(learned), x),
        }
        print(f"one prompt: {N_FEATURES} features, K = {N_CLUSTERS}, {N_MODELS} models")
        for name, function in bare.items():
            table = tables[name]
            assert table.route(x) == function()
            times = ratio(many(partial(table.route, x)), many(function), repeats=41)
            print(f"table.route over bare NumPy, {name}: {times}")
        for name, table in tables.items():
            times = ratio(
                many(partial(table.route, x, exclude={3})),
                many(partial(table.route, x)),
                repeats=21,
            )
            print(f"table.route without one model over with all, {name}: {times}")
        with TemporaryDirectory() as folder:
            for name, table in tables.items():
                path = Path(folder) / "table.npz"
                table.save(path)
                one, many_at_once = partial(table.route, x), partial(table.route_many, X)
                print(
                    f"{name}: {rate(one):,.0f} prompts a second here by route, "
                    f"{len(X) * rate(many_at_once, 5):,.0f} by route_many; "
                    f"a file of {path.stat().st_size:,} bytes"
                )
        compare_with_estimators(tables, X, y, costs)
        compare_many(routers["K-means, nearest cluster"], routers["K-means"])


def compare_with_estimators(tables, X, y, costs):
    """Estimators of scikit-learn that are fitted to name the model to choose."""
    x, row = X[0], X[:1]
    best = ((1 - y) + COST_WEIGHT * costs).argmin(axis=1)
    kmeans = KMeans(N_CLUSTERS, random_state=0).fit(X)
    models = np.arange(N_CLUSTERS) % N_MODELS
    neighbors = KNeighborsClassifier(10).fit(X, best)
    network = MLPClassifier((128, 128), random_state=0)
    others = {
        "KMeans.predict and lookup": lambda: models[kmeans.predict(row)[0]],
        "KNeighborsClassifier.predict": lambda: neighbors.predict(row)[0],
        "MLPClassifier.predict": lambda: network.predict(row)[0],
    }
    network.partial_fit(X, best, classes=np.arange(N_MODELS))
    for name, function in others.items():
        for table in ("K-means, nearest cluster", "K-means", "learned map"):
            calls = function, partial(tables[table].route, x)
            times = ratio(*(many(call, 100) for call in calls), repeats=11)
            print(f"{name} over table.route, {table}: {times}")


def compare_many(nearest, soft):
    rng = np.random.RandomState(1)
    topics = rng.normal(size=(N_CLUSTERS, 384)).astype(np.float32)
    X = topics[rng.randint(N_CLUSTERS, size=100_000)]
    X += rng.normal(scale=2, size=X.shape).astype(np.float32)
    y = rng.randint(2, size=(len(X), N_MODELS)).astype(np.float32)
    costs = np.geomspace(0.1, 10, N_MODELS)
    print("100,000 prompts, 384 features")
    for name, router, function in (
        ("nearest cluster", nearest, bare_predict),
        ("K-means", soft, bare_soft_predict),
    ):
        router.fit(X[:20_000], y[:20_000], costs=costs)
        arrays = [router.cluster_centers_]
        if function is bare_soft_predict:
            arrays.append(router.temperature_)
        arrays += [router.representation_, costs, router.models_]
        table = router.routing_table()
        assert np.mean(table.route_many(X) == function(X, *arrays)) > 0.999
        for method, call in (("route_many", table.route_many), ("predict", router.predict)):
            times = ratio(
                lambda call=call: call(X),
                lambda function=function, arrays=arrays: function(X, *arrays),
                repeats=7,
            )
            print(f"{method} over bare NumPy, {name}: {times}")


if __name__ == "__main__":
    main()
