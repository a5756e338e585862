"""Choosing the number of clusters on training models, and on models held out from them.

Run as ``python -m benchmarks.model_selection [TRIALS]``. A trial sets models and prompts aside. On
the others, ``dynamic_cross_validate`` chooses the number of clusters, K: by the area of the models
that a router was fitted on, as the paper tunes (G.1), or by the area of held-out models that are
added from a few validation prompts. For each rule, it prints the median K, the area of the models
set aside on the prompts set aside, and the loss against the best K in hindsight; then the paired
gain of choosing on held-out models over choosing on training models.
"""

import numpy as np
from sklearn.base import clone

from benchmarks._runner import arguments, paired, real_data, run_trials
from sklearn_uniroute import KMeansRouter
from sklearn_uniroute.model_selection import DynamicPoolSplit, dynamic_cross_validate

SIZES = (50, 400)
CLUSTERS = (2, 4, 8, 16, 32, 64)
ROUTERS = {
    "mean": KMeansRouter(representation="mean", temperature=0, validation="random"),
    "posterior": KMeansRouter(),
}
RULES = ("training models", "held-out models", "hindsight")


def trial(data, model_share, seed):
    """Chosen K and area of each rule, for each router and number of validation prompts."""
    (outer,) = DynamicPoolSplit(1, model_share=model_share, random_state=seed).split(
        data.X, data.y, data.costs
    )
    known = outer.training_models
    inside = np.ix_(outer.training, known)
    X, y = data.X[outer.training], data.y[inside]
    costs = data.costs[inside] if data.costs.ndim == 2 else data.costs[known]
    outcome = {}
    for name, router in ROUTERS.items():
        router = clone(router).set_params(random_state=seed)
        for size in SIZES:
            common = {"param_grid": {"n_clusters": CLUSTERS}, "n_validation": size}
            inner = dynamic_cross_validate(
                router, X, y, costs, cv=DynamicPoolSplit(5, random_state=seed), **common
            )
            after = dynamic_cross_validate(
                router, data.X, data.y, data.costs, cv=[outer], **common
            )["mean_test_score"]
            scores = (inner["mean_known_score"], inner["mean_test_score"], after)
            for rule, score in zip(RULES, scores, strict=True):
                best = score.argmax()
                outcome[name, size, rule] = CLUSTERS[best], after[best]
    return outcome


def main():
    n_trials = arguments(__doc__, trials=20).trials
    for file, data, model_share in real_data():
        outcomes = run_trials(trial, range(n_trials), data, model_share)
        print(f"\n{file}, {n_trials} trials")
        for name in ROUTERS:
            for size in SIZES:
                label = f"{name:<10}{size:>4} prompts  "
                chosen, area = {}, {}
                for rule in RULES:
                    chosen[rule], area[rule] = np.array(
                        [one[name, size, rule] for one in outcomes]
                    ).T
                for rule in RULES:
                    short, error = paired(area["hindsight"], area[rule])
                    print(
                        f"{label} {rule:<16} median K {np.median(chosen[rule]):>4g}   area "
                        f"{area[rule].mean():.4f}   short of hindsight {short:.4f} ± {error:.4f}"
                    )
                gain, error = paired(area["held-out models"], area["training models"])
                print(f"{label} held-out less training models {gain:+.4f} ± {error:.4f}")


if __name__ == "__main__":
    main()
