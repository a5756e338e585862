"""nordlys on the splits of the gains, and its engine beside the request path.

Run as ``python -m benchmarks.nordlys [TRIALS]``; needs ``pip install nordlys-core==0.2.3``, the
last version of the engine that weighs costs. As in nordlys, there are 20 clusters of the normalised
embeddings of the training prompts. A new model is known from its mean error by cluster, and .5
where a cluster has no label. The engine finds the cluster of a prompt, and takes the model with the
least error plus a weight times normalised cost. The whole curve of this rule is scored.

For each file and number of prompts, it prints the paired gain of both packages over ZeroRouter, in
area under the deferral curve, the difference of nordlys and the posterior, and how often the engine
chooses as the rule says. Last come times of one request.
"""

import json
from functools import partial

import numpy as np
from nordlys_core import Nordlys32, NordlysCheckpoint
from sklearn.cluster import KMeans
from sklearn.metrics import pairwise_distances_argmin
from sklearn.preprocessing import normalize
from threadpoolctl import threadpool_limits

from benchmarks._paper import Trial
from benchmarks._runner import arguments, paired, ratio, real_data, run_trials, stacked
from benchmarks.gains import ZERO, Unseen
from benchmarks.hot_path import many
from sklearn_uniroute import KMeansRouter, ZeroRouter
from sklearn_uniroute.datasets import make_routing_data

N_CLUSTERS = 20
SIZES = (25, 100, 400)
NORDLYS, OURS = "nordlys", "Posterior, K-means (K = 24)"
# Weight of cost, from 0 to 1, at which choices of the engine are compared with the rule.
COST_BIAS = 0.2


def engine(centers, error_rates, costs):
    """The engine of nordlys, for models named by their numbers."""
    models = [
        {
            "model_id": str(model),
            "error_rates": error_rates[:, model].tolist(),
            "cost_per_1m_input_tokens": float(cost),
            "cost_per_1m_output_tokens": float(cost),
        }
        for model, cost in enumerate(costs)
    ]
    checkpoint = {
        "cluster_centers": centers.tolist(),
        "models": models,
        "embedding": {"model": ""},
        "clustering": {"n_clusters": len(centers)},
        "routing": {"cost_bias_min": 0.0, "cost_bias_max": 1.0},
    }
    return Nordlys32.from_checkpoint(NordlysCheckpoint.from_json_string(json.dumps(checkpoint)))


def mean_errors(cluster, y):
    """Mean error of each model by cluster, and .5 where it has no label."""
    means = np.full((N_CLUSTERS, y.shape[1]), 0.5)
    for one in np.unique(cluster):
        known = ~np.isnan(y[cluster == one]).all(axis=0)
        means[one, known] = 1 - np.nanmean(y[cluster == one][:, known], axis=0)
    return means


def trial(data, model_share, seed):
    one = Trial(data, model_share, seed)
    unseen = Unseen(one)
    training = one.split.training
    X_test, X_val = normalize(unseen.X_test), normalize(unseen.X)
    kmeans = KMeans(N_CLUSTERS, n_init=10, random_state=one.seed).fit(normalize(data.X[training]))
    centers, costs = kmeans.cluster_centers_, unseen.costs
    nearest = pairwise_distances_argmin(X_val, centers)
    spread = np.ptp(costs)
    fitted = {
        name: one.fit(router, training, one.split.training_models)
        for name, router in {ZERO: ZeroRouter(), OURS: KMeansRouter(24)}.items()
    }
    found = {}
    for size in (size for size in SIZES if size <= len(unseen.X)):
        for name, router in fitted.items():
            found[name, size] = unseen.area_added(router, size)
        means = mean_errors(nearest[:size], unseen.y[:size])
        chosen = engine(centers, means, costs).route_batch(X_test, COST_BIAS)
        error = means[[route.cluster_id for route in chosen]]
        found[NORDLYS, size] = unseen.area(error)
        # Many requests at once weigh costs twice as much as single ones.
        rule = error + 2 * COST_BIAS * (costs - costs.min()) / spread
        least = rule.min(axis=1) + 1e-6
        taken = np.array([int(route.selected_model) for route in chosen])
        found["agrees", size] = np.mean(rule[np.arange(len(rule)), taken] <= least)
    return found


def report(name, found):
    sizes = [size for size in SIZES if (ZERO, size) in found]
    rows = {
        NORDLYS: (NORDLYS, ZERO),
        OURS: (OURS, ZERO),
        "nordlys less the posterior": (NORDLYS, OURS),
    }
    print(f"\n{name}, {len(found[ZERO, sizes[0]])} trials")
    print(f"{'prompts of each new model':<30}" + "".join(f"{size:>18}" for size in sizes))
    print(f"{ZERO:<30}" + "".join(f"{found[ZERO, size].mean():>18.4f}" for size in sizes))
    for label, (one, other) in rows.items():
        gains = [paired(found[one, size], found[other, size]) for size in sizes]
        print(
            f"{label:<30}" + "".join(f"{f'{mean:+.4f} ± {error:.4f}':>18}" for mean, error in gains)
        )
    agrees = (f"{found['agrees', size].mean():>18.2%}" for size in sizes)
    print(f"{'the engine takes the least':<30}" + "".join(agrees))


def report_times():
    data = make_routing_data(n_prompts=2000, n_models=11, n_features=384, random_state=0)
    X = data.X.astype(np.float32)
    print("\nTime of a request to the engine over that of table.route, 11 models, 384 features")
    for name, temperature in (("nearest cluster", 0), ("shares of all clusters", 0.1)):
        router = KMeansRouter(N_CLUSTERS, temperature=temperature, random_state=0)
        router.fit(X, data.y, costs=data.costs)
        errors = router.representation_.T.clip(0, 1)
        other = engine(router.cluster_centers_, errors, data.costs)
        calls = partial(other.route, X[0], COST_BIAS), partial(router.routing_table().route, X[0])
        print(f"{name:<24}{ratio(*map(many, calls))}")


def main():
    n_trials = arguments(__doc__, trials=40).trials
    for name, data, model_share in real_data():
        data.X = data.X.astype(np.float32)
        report(name, stacked(run_trials(trial, range(n_trials), data, model_share)))
    with threadpool_limits(1):
        report_times()


if __name__ == "__main__":
    main()
