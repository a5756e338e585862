"""Promises on average: alarms at the level asked for, coverage of intervals, unbiased averages.

Run as ``python -m benchmarks.alarms [TRIALS]``. It prints

- the share of new prompts from the same distribution that `fallback` and `drift_report` call far,
  in units of `far_share`, and how often the test of drift rejects at 5 %, for several numbers of
  training prompts, on simulated prompts and on each file of real data;
- the coverage of 95 % intervals over few trials, and of `cost_weight_for_quality` with few training
  models;
- the bias of the mean cost of calls on the validation prompts, with its standard error.
"""

import numpy as np

from benchmarks._runner import arguments, real_data, run_trials, stacked
from sklearn_uniroute import KMeansRouter
from sklearn_uniroute.datasets import make_routing_data
from sklearn_uniroute.inspection import drift_report
from sklearn_uniroute.utils._statistics import mean_interval

FAR_SHARE = 0.01
N_NEW = 4000
TRAINING_SIZES, CLUSTERS = (200, 500, 2000, 6000), (8, 24, 64)


def simulated(n_prompts, seed):
    """Prompts in clusters."""
    return make_routing_data(n_prompts, 3, n_clusters=10, random_state=seed).X


def drawn(X, n_prompts, seed):
    """Prompts of a file, in random order."""
    return X[np.random.RandomState(seed).permutation(len(X))[:n_prompts]]


def alarm(prompts, n_training, n_clusters, seed):
    """Share of new prompts that are far, and whether drift is found."""
    X = prompts(n_training + N_NEW, seed)
    training, new = X[:n_training], X[n_training:]
    y = np.random.RandomState(seed).randint(2, size=(n_training, 3)) * 1.0
    router = KMeansRouter(n_clusters, random_state=seed).fit(training, y)
    report = drift_report(router, new, far_share=FAR_SHARE)
    # Of 500 new prompts, as a test of all of them would find the smallest difference.
    small = drift_report(router, new[:500])
    return {"far": report.far_share / FAR_SHARE, "drift": float(small.p_value < 0.05)}


def quality_reached(n_training_models, confidence, seed):
    """Whether routing at the cost weight for a quality reaches it, in a world drawn at random."""
    rng = np.random.RandomState(seed)
    n_clusters, n_prompts, n_new = 6, 600, 3
    centers = 6 * rng.normal(size=(n_clusters, 8))
    cluster = rng.randint(n_clusters, size=n_prompts + 2000)
    X = centers[cluster] + rng.normal(size=(len(cluster), 8))
    n_models = n_training_models + n_new
    level = 0.4 + 0.12 * rng.normal(size=(n_models, 1))
    psi = np.clip(level + 0.12 * rng.normal(size=(n_models, n_clusters)), 0.02, 0.98)
    y = (rng.uniform(size=(len(X), n_models)) > psi[:, cluster].T) * 1.0
    costs = np.exp(rng.normal(size=n_models))
    known = slice(n_training_models)
    router = KMeansRouter(n_clusters, n_validation=30, random_state=seed)
    router.fit(X[:n_prompts], y[:n_prompts, known], costs=costs[known])
    for model in range(n_training_models, n_models):
        router.add_model(1 - y[router.validation_indices_, model], cost=costs[model])
    pool = list(range(n_training_models, n_models))
    target = 1 - router.predict_error(X[:n_prompts], pool).min(axis=1).mean() - 0.15
    try:
        weight = router.cost_weight_for_quality(target, pool, confidence=confidence)
    except ValueError:
        return {"asked": 0.0, "reached": 0.0}
    chosen = router.predict(X[n_prompts:], pool, cost_weight=weight)
    quality = 1 - psi[chosen, cluster[n_prompts:]].mean()
    return {"asked": 1.0, "reached": float(quality >= target)}


def relative_cost(n_validation, seed):
    """Mean cost of calls on the validation prompts, relative to that on all prompts."""
    data = make_routing_data(2000, 5, random_state=0)
    cost = 1 + np.exp(data.X[:, 0] / data.X[:, 0].std())
    router = KMeansRouter(24, n_validation=n_validation, random_state=seed).fit(data.X, data.y)
    paid = np.average(cost[router.validation_indices_], weights=router.validation_weights_)
    return {"cost": paid / cost.mean()}


def main():
    n_trials = arguments(__doc__, trials=20).trials
    print("Share of new prompts that are far, in units of far_share; share of trials with drift\n")
    sources = [("simulated", simulated, np.inf)]
    for name, data, _ in real_data():
        sources.append((name, lambda n, seed, X=data.X: drawn(X, n, seed), len(data.X)))
    for name, prompts, most in sources:
        for n_training in TRAINING_SIZES:
            if n_training + 1000 > most:
                continue
            line = f"{name:<20} {n_training:>5}"
            for n_clusters in CLUSTERS:
                found = stacked(run_trials(alarm, range(n_trials), prompts, n_training, n_clusters))
                line += (
                    f"   K={n_clusters:<3} {found['far'].mean():4.2f} {found['drift'].mean():4.2f}"
                )
            print(line, flush=True)
    print("\nCoverage of 95 % intervals over trials, normal and exponential\n")
    for n in (3, 5, 10, 20):
        line = f"{n:>3} trials"
        for draw, truth in (("normal", 0), ("exponential", 1)):
            values = getattr(np.random.RandomState(0), draw)(size=(n, 20_000))
            mean, half_width = mean_interval(values)
            line += f"   {np.mean(np.abs(mean - truth) <= half_width):.3f}"
        print(line)
    print("\nShare of worlds that reach the quality asked for at a confidence of .9\n")
    for n_models in (3, 5, 10, 20):
        found = stacked(run_trials(quality_reached, range(10 * n_trials), n_models, 0.9))
        reached = found["reached"].sum() / max(found["asked"].sum(), 1)
        print(f"{n_models:>3} training models   {reached:.3f} of {int(found['asked'].sum())}")
    print("\nMean cost of calls on the validation prompts, relative to all prompts\n")
    for n_validation in (10, 50, 400):
        cost = stacked(run_trials(relative_cost, range(10 * n_trials), n_validation))["cost"]
        error = cost.std() / np.sqrt(len(cost))
        print(f"{n_validation:>3} validation prompts   {cost.mean():.4f} ± {error:.4f}")


if __name__ == "__main__":
    main()
