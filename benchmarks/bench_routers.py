"""Time and memory of KMeansRouter against bare NumPy and against its clusterer alone.

Run as ``python -m benchmarks.bench_routers``.
"""

import tracemalloc

import numpy as np
from scipy.special import softmax
from sklearn.cluster import KMeans
from threadpoolctl import threadpool_limits

from benchmarks._runner import ratio
from sklearn_uniroute import KMeansRouter

N_PROMPTS, N_FEATURES, N_CLUSTERS, N_MODELS = 100_000, 384, 100, 64
BLOCK, COST_WEIGHT = 2048, 0.01


def bare_predict(X, centers, representation, costs, models):
    """Nearest centre, error and cost of each model there, and the best of them."""
    offset = (centers**2).sum(axis=1)
    table = representation + COST_WEIGHT * costs[:, None]
    chosen = np.empty(len(X), dtype=models.dtype)
    for start in range(0, len(X), BLOCK):
        block = X[start : start + BLOCK]
        labels = (offset - 2 * (block @ centers.T)).argmin(axis=1)
        chosen[start : start + BLOCK] = models[table[:, labels].argmin(axis=0)]
    return chosen


def bare_soft_predict(X, centers, temperature, representation, costs, models):
    """Responsibilities, errors and costs, and the best of them."""
    offset = (centers**2).sum(axis=1)
    prices = COST_WEIGHT * costs
    chosen = np.empty(len(X), dtype=models.dtype)
    for start in range(0, len(X), BLOCK):
        block = X[start : start + BLOCK]
        features = softmax((2 * (block @ centers.T) - offset) / temperature, axis=1)
        chosen[start : start + BLOCK] = models[
            (features @ representation.T + prices).argmin(axis=1)
        ]
    return chosen


def peak_memory(function):
    """Megabytes that a call has allocated at most."""
    tracemalloc.start()
    function()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak / 1e6


def main():
    rng = np.random.RandomState(0)
    topics = rng.normal(size=(N_CLUSTERS, N_FEATURES)).astype(np.float32)
    X = topics[rng.randint(N_CLUSTERS, size=N_PROMPTS)]
    X += rng.normal(scale=2, size=X.shape).astype(np.float32)
    y = rng.randint(2, size=(N_PROMPTS, N_MODELS)).astype(np.float32)
    costs = np.geomspace(0.1, 10, N_MODELS)
    settings = {"cost_weight": COST_WEIGHT, "random_state": 0}
    router = KMeansRouter(N_CLUSTERS, **settings)
    hard = KMeansRouter(N_CLUSTERS, temperature=0, **settings)
    kmeans = KMeans(N_CLUSTERS, random_state=0)
    with threadpool_limits(1):
        fit_times = ratio(lambda: router.fit(X, y, costs=costs), lambda: kmeans.fit(X), repeats=3)
        hard.fit(X, y, costs=costs)
        bare = (hard.cluster_centers_, hard.representation_, costs, hard.models_)
        assert np.array_equal(hard.predict(X), bare_predict(X, *bare))
        hard_times = ratio(lambda: hard.predict(X), lambda: bare_predict(X, *bare))
        soft = (router.cluster_centers_, router.temperature_, router.representation_, *bare[2:])
        assert np.mean(router.predict(X) == bare_soft_predict(X, *soft)) > 0.999
        soft_times = ratio(lambda: router.predict(X), lambda: bare_soft_predict(X, *soft))
        memory = [
            peak_memory(lambda: router.predict(X)),
            peak_memory(lambda: router.fit(X, y, costs=costs)),
            peak_memory(lambda: kmeans.fit(X)),
        ]
    print(f"{N_PROMPTS} x {N_FEATURES} prompts, K = {N_CLUSTERS}, {N_MODELS} models, float32")
    print(f"predict over bare NumPy: {soft_times}")
    print(f"predict over bare NumPy, from the nearest cluster alone: {hard_times}")
    print(f"fit over its clusterer alone: {fit_times}")
    print(f"memory beyond the inputs: predict {memory[0]:.0f} MB, fit {memory[1]:.0f} MB")
    print(f"of which the clusterer alone takes {memory[2]:.0f} MB")


if __name__ == "__main__":
    main()
