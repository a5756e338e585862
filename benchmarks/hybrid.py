"""The hybrid router on pools of training models, of added models and of both, on each real file.

Run as ``python -m benchmarks.hybrid [N_SPLITS]``. Prints areas under the deferral curve, and the
paired difference of the hybrid to each other router with its standard error. Half of the models are
added from errors on so many prompts, drawn at random and the same for all routers.
"""

import sys

import numpy as np
from joblib import Parallel, delayed
from sklearn.base import clone
from threadpoolctl import threadpool_limits

from benchmarks._data import real_data
from sklearn_uniroute import HybridRouter, KMeansRouter, MLPRouter
from sklearn_uniroute.model_selection._split import draw_split

SIZES = (50, 100, 400)
HYBRID = "hybrid, K = 24"
ROUTERS = {
    HYBRID: HybridRouter(24),
    "posterior, K = 24": KMeansRouter(24),
    "MLP": MLPRouter(device="cpu"),
}


def trial(data, model_costs, seed):
    rng = np.random.RandomState(seed)
    n_models = len(model_costs)
    split = draw_split(rng, len(data.X), model_costs, 1, n_models // 2)
    known, unseen = split.training_models, split.unseen_models
    X, y = data.X[split.training], data.y[split.training]
    X_test, y_test = data.X[split.test], data.y[split.test]

    def score(router, models, pool):
        costs = data.costs[split.test][:, models] if data.costs.ndim == 2 else data.costs[models]
        return router.score(X_test, y_test[:, models], costs, pool)

    chosen = rng.permutation(len(X))[: max(SIZES)]
    added = len(known) + np.arange(len(unseen))
    areas = {}
    for name, router in ROUTERS.items():
        router = clone(router).set_params(random_state=seed).fit(X, y, costs=model_costs)
        areas[name, "all models training"] = score(router, np.arange(n_models), None)
        router = clone(router).fit(X, y[:, known], costs=model_costs[known])
        for size in SIZES:
            prompts = chosen[:size]
            for label, model in zip(added, unseen, strict=True):
                router.add_model(
                    1 - y[prompts, model],
                    name=label,
                    cost=model_costs[model],
                    X_val=X[prompts],
                    replace=True,
                )
            areas[name, f"added, {size} prompts"] = score(router, unseen, added)
            both = np.concatenate([known, unseen])
            areas[name, f"both, {size} prompts"] = score(router, both, None)
    return areas


def report(name, results):
    areas = {key: np.array([one[key] for one in results]) for key in results[0]}
    print(f"\n{name}, {len(results)} splits")
    for pool in dict.fromkeys(pool for _, pool in areas):
        row = f"{pool:<20} {HYBRID} {areas[HYBRID, pool].mean():.4f}"
        for router in list(ROUTERS)[1:]:
            gain = areas[HYBRID, pool] - areas[router, pool]
            error = gain.std(ddof=1) / np.sqrt(len(gain))
            row += f"   {router} {areas[router, pool].mean():.4f} {gain.mean():+.4f} ± {error:.4f}"
        print(row)


def main(n_splits=40):
    for name, data, _ in real_data():
        model_costs = np.atleast_2d(data.costs).mean(axis=0).astype(float)
        with threadpool_limits(1):
            results = Parallel(n_jobs=-1)(
                delayed(trial)(data, model_costs, seed) for seed in range(n_splits)
            )
        report(name, results)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
