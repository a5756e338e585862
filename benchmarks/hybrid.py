"""The hybrid router on pools of training models, of added models and of both, on each real file.

Run as ``python -m benchmarks.hybrid [TRIALS]``. It prints areas under the deferral curve, and the
paired difference of the hybrid to each other router with its standard error. Half of the models are
added from errors on random prompts, the same for all routers.
"""

import numpy as np
from sklearn.base import clone

from benchmarks._runner import Split, arguments, paired, real_data, run_trials, stacked
from sklearn_uniroute import HybridRouter, KMeansRouter, MLPRouter

SIZES = (50, 100, 400)
HYBRID = "hybrid, K = 24"
ROUTERS = {
    HYBRID: HybridRouter(24),
    "posterior, K = 24": KMeansRouter(24),
    "MLP": MLPRouter(device="cpu"),
}


def trial(data, seed):
    n_models = data.y.shape[1]
    split = Split(data, seed, n_models // 2)
    known, unseen, X, y, model_costs = (
        split.known,
        split.unseen,
        split.X,
        split.y,
        split.model_costs,
    )

    def score(router, models, pool):
        y_test = data.y[np.ix_(split.test, models)]
        return router.score(split.X_test, y_test, split.costs(split.test, models), pool)

    chosen = split.rng.permutation(len(X))[: max(SIZES)]
    added = split.pool
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
    areas = stacked(results)
    print(f"\n{name}, {len(results)} splits")
    for pool in dict.fromkeys(pool for _, pool in areas):
        row = f"{pool:<20} {HYBRID} {areas[HYBRID, pool].mean():.4f}"
        for router in list(ROUTERS)[1:]:
            gain, error = paired(areas[HYBRID, pool], areas[router, pool])
            row += f"   {router} {areas[router, pool].mean():.4f} {gain:+.4f} ± {error:.4f}"
        print(row)


def main():
    n_trials = arguments(__doc__, trials=40).trials
    for name, data, _ in real_data():
        report(name, run_trials(trial, range(n_trials), data))


if __name__ == "__main__":
    main()
