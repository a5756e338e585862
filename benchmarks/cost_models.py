"""Costs by cluster against mean costs, where the real cost of each call is known.

Run as ``python -m benchmarks.cost_models [TRIALS]``. Half of the models of routerbench_11llm are
training models; the others are added from their errors and the costs of their calls on a few
prompts. It prints the area under the deferral curve of the added models if mean costs decide the
choices, and the paired difference, with its standard error, if costs by cluster decide. Both pay
the real cost of each call.
"""

from benchmarks._runner import Split, arguments, paired, real_data, run_trials, stacked
from sklearn_uniroute import HybridRouter, KMeansRouter, LearnedMapRouter

SIZES = (50, 100, 400)
CPU = {"device": "cpu"}
ROUTERS = {
    "KMeansRouter, K = 8": (KMeansRouter, {"n_clusters": 8}),
    "KMeansRouter, K = 24": (KMeansRouter, {"n_clusters": 24}),
    "LearnedMapRouter, K = 24": (
        LearnedMapRouter,
        {"n_clusters": 24, "net_params": {"device": "cpu"}},
    ),
    "HybridRouter, K = 24": (HybridRouter, {"n_clusters": 24}),
}


def trial(data, model_share, seed):
    split = Split(data, seed, int(model_share * data.y.shape[1]))
    known, unseen, X, y = split.known, split.unseen, split.X, split.y
    costs = data.costs[split.training]
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
                    split.X_test, split.y_test, split.test_costs, split.pool
                )
    return areas


def main():
    n_trials = arguments(__doc__, trials=40).trials
    ((data, model_share),) = (file[1:] for file in real_data() if file[0] == "routerbench_11llm")
    areas = stacked(run_trials(trial, range(n_trials), data, model_share))
    print(f"routerbench_11llm, {n_trials} splits")
    for name in ROUTERS:
        for size in SIZES:
            mean = areas[name, size, "mean"]
            gain, error = paired(areas[name, size, "cluster"], mean)
            print(
                f"{name:<26}{size:>4} prompts: mean costs {mean.mean():.4f}   "
                f"by cluster {gain:+.4f} ± {error:.4f}"
            )


if __name__ == "__main__":
    main()
