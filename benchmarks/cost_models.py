"""Costs by cluster against mean costs, where the real cost of each call is known.

Run as ``python -m benchmarks.cost_models [N_SPLITS]``. Half of the models of routerbench_11llm are
training models; the others are added from what they got right, and what their calls cost, on so
many prompts. Printed is the area under the deferral curve of the added models, where choices are
made by mean costs; and its paired difference, with its standard error, where they are made by costs
by cluster. Both pay what the calls cost.
"""

import sys

import numpy as np
from joblib import Parallel, delayed
from threadpoolctl import threadpool_limits

from benchmarks._data import real_data
from sklearn_uniroute import HybridRouter, KMeansRouter, LearnedMapRouter
from sklearn_uniroute.model_selection._split import draw_split

SIZES = (50, 100, 400)
ROUTERS = {
    "KMeansRouter, K = 8": (KMeansRouter, {"n_clusters": 8}),
    "KMeansRouter, K = 24": (KMeansRouter, {"n_clusters": 24}),
    "LearnedMapRouter, K = 24": (LearnedMapRouter, {"n_clusters": 24, "device": "cpu"}),
    "HybridRouter, K = 24": (HybridRouter, {"n_clusters": 24}),
}


def trial(data, model_share, seed):
    means = data.costs.mean(axis=0)
    n_training_models = int(model_share * len(means))
    split = draw_split(np.random.RandomState(seed), len(data.X), means, 1, n_training_models)
    known, unseen = split.training_models, split.unseen_models
    X, y, costs = data.X[split.training], data.y[split.training], data.costs[split.training]
    areas = {}
    for name, (router_class, settings) in ROUTERS.items():
        for size in SIZES:
            for cost_model in ("mean", "cluster"):
                router = router_class(
                    **settings, cost_model=cost_model, n_validation=size, random_state=seed
                )
                router.fit(X, y[:, known], costs=costs[:, known])
                prompts = router.validation_indices_
                for model in unseen:
                    router.add_model(1 - y[prompts, model], cost=costs[prompts, model])
                areas[name, size, cost_model] = router.score(
                    data.X[split.test],
                    data.y[np.ix_(split.test, unseen)],
                    data.costs[np.ix_(split.test, unseen)],
                    pool=len(known) + np.arange(len(unseen)),
                )
    return areas


def main(n_splits=40):
    ((data, model_share),) = (file[1:] for file in real_data() if file[0] == "routerbench_11llm")
    with threadpool_limits(1):
        results = Parallel(n_jobs=-1)(
            delayed(trial)(data, model_share, seed) for seed in range(n_splits)
        )
    areas = {key: np.array([one[key] for one in results]) for key in results[0]}
    print(f"routerbench_11llm, {n_splits} splits")
    for name in ROUTERS:
        for size in SIZES:
            mean = areas[name, size, "mean"]
            gain = areas[name, size, "cluster"] - mean
            error = gain.std(ddof=1) / np.sqrt(n_splits)
            print(
                f"{name:<26}{size:>4} prompts: mean costs {mean.mean():.4f}   "
                f"by cluster {gain.mean():+.4f} ± {error:.4f}"
            )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
