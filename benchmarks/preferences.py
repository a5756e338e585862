"""Models added from battles instead of errors, on each file of real data.

Run as ``python -m benchmarks.preferences [N_SPLITS]``. At each prompt of a battle two models of the
whole pool meet at random, the one of higher quality wins, and equal quality is a tie. Prints the
area under the deferral curve of unseen models added from their errors on so many prompts each, and
its paired difference where they were added from five times as many battles as these are errors.
"""

import sys

import numpy as np
from joblib import Parallel, delayed
from threadpoolctl import threadpool_limits

from benchmarks._data import real_data
from sklearn_uniroute import KMeansRouter
from sklearn_uniroute.model_selection._split import draw_split

SIZES = (50, 100, 400)
BATTLES_PER_ERROR = 5


def draw_battles(rng, y, n_battles):
    """Rows of prompts and positions of the models that meet there, and who wins."""
    run = ~np.isnan(y)
    prompts = rng.choice(np.flatnonzero(run.sum(axis=1) > 1), n_battles)
    pairs = np.array([rng.permutation(np.flatnonzero(run[row]))[:2] for row in prompts])
    quality = np.take_along_axis(y[prompts], pairs, axis=1)
    winner = np.array(["model_b", "tie", "model_a"])
    return prompts, *pairs.T, winner[np.sign(quality[:, 0] - quality[:, 1]).astype(int) + 1]


def trial(data, model_costs, model_share, n_clusters, seed):
    rng = np.random.RandomState(seed)
    split = draw_split(rng, len(data.X), model_costs, 1, int(model_share * len(model_costs)))
    known, unseen = split.training_models, split.unseen_models
    X, y = data.X[split.training], data.y[split.training]
    X_test, y_test = data.X[split.test], data.y[split.test][:, unseen]
    test_costs = data.costs[split.test][:, unseen] if data.costs.ndim == 2 else data.costs[unseen]
    pool = len(known) + np.arange(len(unseen))
    # Known models have the numbers of the router, unseen ones those of the pool.
    number = np.empty(len(model_costs), dtype=int)
    number[known], number[unseen] = np.arange(len(known)), pool
    areas = {}
    for size in SIZES:
        router = KMeansRouter(n_clusters, n_validation=size, random_state=seed)
        router.fit(X, y[:, known], costs=model_costs[known])
        for name, model in zip(pool, unseen, strict=True):
            errors = 1 - y[router.validation_indices_, model]
            router.add_model(errors, name=name, cost=model_costs[model])
        areas["errors", size] = router.score(X_test, y_test, test_costs, pool)
        n_battles = BATTLES_PER_ERROR * size * len(unseen)
        prompts, first, second, winner = draw_battles(rng, y, n_battles)
        router.fit(X, y[:, known], costs=model_costs[known])
        costs = dict(zip(pool.tolist(), model_costs[unseen], strict=True))
        router.add_models_from_preferences(
            X[prompts], number[first], number[second], winner, costs=costs
        )
        areas["battles", size] = router.score(X_test, y_test, test_costs, pool)
        areas["ties", size] = np.mean(winner == "tie")
    return areas


def report(name, n_clusters, results):
    areas = {key: np.array([one[key] for one in results]) for key in results[0]}
    for size in SIZES:
        difference = areas["battles", size] - areas["errors", size]
        error = difference.std(ddof=1) / np.sqrt(len(results))
        print(
            f"{name:<18} K = {n_clusters:<3} {size:>4} errors a model: "
            f"{areas['errors', size].mean():.4f}"
            f"   battles: {difference.mean():+.4f} ± {error:.4f}"
            f"   ties: {areas['ties', size].mean():.0%}"
        )


def main(n_splits=40):
    for name, data, model_share in real_data():
        model_costs = np.atleast_2d(data.costs).mean(axis=0).astype(float)
        for n_clusters in (8, 24):
            with threadpool_limits(1):
                results = Parallel(n_jobs=-1)(
                    delayed(trial)(data, model_costs, model_share, n_clusters, seed)
                    for seed in range(n_splits)
                )
            report(name, n_clusters, results)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
