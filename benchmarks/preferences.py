"""Models added from battles instead of errors, on each file of real data.

Run as ``python -m benchmarks.preferences [TRIALS]``. In each battle, two random models of the whole
pool answer a prompt; the one of higher quality wins, and equal quality is a tie. It prints the area
under the deferral curve of unseen models added from their errors on a few prompts each, and the
paired difference if they are added from five times as many battles instead ("battles"), and if a
router is fitted on these battles alone, with no error of any model known ("alone").
"""

import numpy as np

from benchmarks._runner import Split, arguments, paired, real_data, run_trials, stacked
from sklearn_uniroute import KMeansRouter

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


def as_qualities(n_models, first, second, winner):
    """A table with a row for each battle: a win is a quality of 1, a tie is 1/2."""
    outcome = np.select([winner == "model_a", winner == "tie"], [1, 0.5], default=0)
    quality = np.full((len(winner), n_models), np.nan)
    battle = np.arange(len(winner))
    quality[battle, first], quality[battle, second] = outcome, 1 - outcome
    return quality


def trial(data, model_share, n_clusters, seed):
    split = Split(data, seed, int(model_share * data.y.shape[1]))
    known, unseen, X, y, pool = split.known, split.unseen, split.X, split.y, split.pool
    model_costs, on_test = split.model_costs, (split.X_test, split.y_test, split.test_costs, pool)
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
        areas["errors", size] = router.score(*on_test)
        n_battles = BATTLES_PER_ERROR * size * len(unseen)
        prompts, first, second, winner = draw_battles(split.rng, y, n_battles)
        router.fit(X, y[:, known], costs=model_costs[known])
        costs = dict(zip(pool.tolist(), model_costs[unseen], strict=True))
        router.add_models_from_preferences(
            X[prompts], number[first], number[second], winner, costs=costs
        )
        areas["battles", size] = router.score(*on_test)
        wins = as_qualities(y.shape[1], first, second, winner)
        router.fit(X[prompts], wins, costs=model_costs)
        areas["alone", size] = router.score(split.X_test, split.y_test, split.test_costs, unseen)
        areas["ties", size] = np.mean(winner == "tie")
    return areas


def report(name, n_clusters, results):
    areas = stacked(results)
    for size in SIZES:
        gains = [paired(areas[row, size], areas["errors", size]) for row in ("battles", "alone")]
        battles, alone = (f"{gain:+.4f} ± {error:.4f}" for gain, error in gains)
        print(
            f"{name:<20} K = {n_clusters:<3} {size:>3} errors: {areas['errors', size].mean():.4f}"
            f"   battles: {battles}   alone: {alone}   ties: {areas['ties', size].mean():.0%}"
        )


def main():
    n_trials = arguments(__doc__, trials=40).trials
    for name, data, model_share in real_data():
        for n_clusters in (8, 24):
            results = run_trials(trial, range(n_trials), data, model_share, n_clusters)
            report(name, n_clusters, results)


if __name__ == "__main__":
    main()
