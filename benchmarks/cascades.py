"""What a check of the first answer is worth, on each real file.

Run as ``python -m benchmarks.cascades [TRIALS]``. Scores are simulated as quality plus normal
noise, for several areas under the ROC curve (AUC) of scores for right and wrong answers. The router
learns from two thirds of the training prompts, and the cascade from the others. It prints the area
under the curve of the cascade, with all its calls paid, minus that of its router alone: mean and
standard error over splits of prompts and models, TRIALS of them and five times as many on files of
less than a thousand prompts. "known" are models that the router was trained on,
"unseen" are the other models, each added from 50 prompts with errors and scores.

A real signal, where calls have costs of their own: minus the logarithm of the cost of the call, so
how short the answer was. Last come predicted and observed quality of scored answers on test
prompts, and the times of the two steps of a table.
"""

import warnings

import numpy as np
from scipy.special import expit, logit
from scipy.stats import norm
from sklearn.frozen import FrozenEstimator

from benchmarks._runner import (
    Split,
    arguments,
    paired,
    ratio,
    real_data,
    run_trials,
    stacked,
)
from sklearn_uniroute import CascadeRouter, KMeansRouter

AUCS = (0.5, 0.6, 0.7, 0.8, 0.9)
# Numbers of prompts to train and test on, at most, and to add a model from.
N_TRAINING, N_TEST, N_ADDED = 4500, 1500, 50


def simulated_scores(y, auc, rng):
    """Scores whose AUC is `auc` where quality is 0 or 1."""
    noise = rng.normal(size=y.shape)
    return noise if auc == 0.5 else y + noise / (np.sqrt(2) * norm.ppf(auc))


def scores_of(data, rng):
    found = {f"AUC {auc}": simulated_scores(data.y, auc, rng) for auc in AUCS}
    if data.costs.ndim == 2:
        found["short answers"] = -np.log(np.maximum(data.costs, 1e-12))
    return found


class Pools:
    """One split, its router of the training models, and the same router with unseen models."""

    def __init__(self, data, share, seed):
        self.data = data
        self.split = split = Split(data, seed, round(share * data.y.shape[1]))
        training, self.test = split.training[:N_TRAINING], split.test[:N_TEST]
        self.own, self.rest = np.split(training, [2 * len(training) // 3])
        self.router = KMeansRouter(random_state=seed)
        self.fit(self.router, self.own)
        self.rng = np.random.RandomState(seed)
        self.prompts = self.rng.permutation(self.own)[:N_ADDED]

    def fit(self, estimator, rows, **params):
        known = self.split.known
        y, costs = self.data.y[np.ix_(rows, known)], self.split.costs(rows, known)
        with warnings.catch_warnings():
            # Scores with an AUC of 0.5 say nothing.
            warnings.filterwarnings("ignore", "the scores say nothing")
            return estimator.fit(self.data.X[rows], y, costs, **params)

    def cascade(self, scores):
        """Fit a cascade on the other prompts, and add the unseen models."""
        cascade = CascadeRouter(FrozenEstimator(self.router))
        self.fit(cascade, self.rest, scores=scores[np.ix_(self.rest, self.split.known)])
        X_val = self.data.X[self.prompts]
        for name, model in zip(self.split.pool, self.split.unseen, strict=True):
            cascade.add_model(
                1 - self.data.y[self.prompts, model],
                name=name,
                cost=self.split.costs(self.prompts, [model]).ravel()
                if self.data.costs.ndim == 2
                else self.data.costs[model],
                X_val=X_val,
                scores=scores[self.prompts, model],
                replace=name in self.router.models_,
            )
        return cascade

    def gain(self, cascade, scores, pool, models):
        cells = np.ix_(self.test, models)
        known = self.data.X[self.test], self.data.y[cells], self.split.costs(self.test, models)
        return cascade.score(*known, pool=pool, scores=scores[cells]) - self.router.score(
            *known, pool=pool
        )


def trial(data, share, seed):
    pools = Pools(data, share, seed)
    split, gains = pools.split, {}
    for name, scores in scores_of(data, pools.rng).items():
        cascade = pools.cascade(scores)
        gains[name, "known"] = pools.gain(cascade, scores, np.arange(len(split.known)), split.known)
        gains[name, "unseen"] = pools.gain(cascade, scores, split.pool, split.unseen)
    return gains


def report(name, results):
    gains = stacked(results)
    print(f"\n{name}, {len(results)} splits")
    for signal in dict.fromkeys(signal for signal, _ in gains):
        row = f"{signal:<15}"
        for pool in ("known", "unseen"):
            mean, error = paired(gains[signal, pool])
            row += f"   {pool} {mean:+.4f} ± {error:.4f}"
        print(row)


def report_calibration(name, data, share):
    """Compare expected and observed quality of scored answers of models known and unseen."""
    pools = Pools(data, share, 0)
    scores = simulated_scores(data.y, 0.75, pools.rng)
    cascade = pools.cascade(scores)
    models = np.concatenate([pools.split.known, pools.split.unseen])
    cells = np.ix_(pools.test, models)
    estimates = 1 - pools.router.predict_error(data.X[pools.test])
    evidence = cascade._settings(0.0)["evidence"]
    shifts = cascade._shifts(pools.router.models_)
    added = evidence.log_odds[evidence.bins(scores[cells] - shifts)]
    odds = logit(np.clip(estimates, 1e-3, 1 - 1e-3)) + added
    expected, observed = expit(odds).ravel(), data.y[cells].ravel()
    known = ~np.isnan(observed)
    expected, observed = expected[known], observed[known]
    edges = np.quantile(expected, np.linspace(0, 1, 11)[1:-1])
    tenth = np.searchsorted(edges, expected)
    rows = (expected, observed)
    means = [np.bincount(tenth, row) / np.bincount(tenth) for row in rows]
    print(f"\n{name}, AUC 0.75: quality of scored answers, by tenths of what is expected")
    for label, row in zip(("expected", "observed"), means, strict=True):
        print(f"{label:<9}" + "".join(f" {value:.3f}" for value in row))


def report_times(name, data, share):
    pools = Pools(data, share, 0)
    scores = simulated_scores(data.y, 0.8, pools.rng)
    cascade = pools.cascade(scores)
    cost_weight = 0.05 / pools.router.costs_.mean()
    table = cascade.routing_table(cost_weight=cost_weight)
    plain = pools.router.routing_table(cost_weight=cost_weight)
    prompts = list(data.X[pools.test[:200]])
    steps = [table.first(x) for x in prompts]
    print(f"\n{name}, {len(table.models)} models: time of a step over that of `route`")
    print(
        "first",
        ratio(lambda: [table.first(x) for x in prompts], lambda: list(map(plain.route, prompts))),
    )
    print(
        "next ",
        ratio(
            lambda: [table.next(step, 0.4) for step in steps],
            lambda: list(map(plain.route, prompts)),
        ),
    )


def main():
    n_trials = arguments(__doc__, trials=8).trials
    files = {name: (data, share) for name, data, share in real_data()}
    for name, (data, share) in files.items():
        data.X = data.X.astype(np.float32)
        n_splits = n_trials if len(data.X) >= 1000 else 5 * n_trials
        report(name, run_trials(trial, range(n_splits), data, share))
    for name in list(files)[2:3]:
        report_calibration(name, *files[name])
        report_times(name, *files[name])


if __name__ == "__main__":
    main()
