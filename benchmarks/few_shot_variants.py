"""What was tried to learn more of a new model from few prompts.

Run as ``python -m benchmarks.few_shot_variants [N_SPLITS]``. Prints, for each file of real data and
each number of validation prompts, the mean gain in area over ZeroRouter, and the standard error of
its difference to the first row, which is what the package does.
"""

import sys

import numpy as np
from joblib import Parallel, delayed
from sklearn.covariance import OAS
from threadpoolctl import threadpool_limits

from benchmarks._data import real_data
from sklearn_uniroute import KMeansRouter
from sklearn_uniroute._numerics._clusters import squared_deviations
from sklearn_uniroute._numerics._posterior import condition, evidence, fit_prior
from sklearn_uniroute.metrics import deferral_area_score
from sklearn_uniroute.model_selection._split import draw_split

SIZES = (25, 50, 100, 400)
DEFAULT = "K = 8, random prompts"


def plain_oas(means, prior):
    """The prior with the training models' covariance as OAS shrinks it."""
    covariance = OAS().fit(means).covariance_ * (1 + 1 / len(means))
    return prior._replace(covariance=covariance)


def unscaled(means, squares, counts, shares):
    """The prior in units of error, as if the noise were the same in all clusters."""
    freedom = (counts - 1).clip(0)
    prior = fit_prior(means, squares.sum() / freedom.sum() * freedom, counts, shares)
    return prior._replace(noise=squares.sum(axis=0) / freedom.sum(axis=0).clip(1))


def posterior(prior, features, errors):
    """Representations of models from their errors at prompts with these features."""
    information, moments = evidence(features, errors, prior.noise)
    return np.array([condition(prior, *one)[0] for one in zip(information, moments, strict=True)])


def trial(data, model_costs, model_share, seed):
    rng = np.random.RandomState(seed)
    split = draw_split(rng, len(data.X), model_costs, 1, int(model_share * len(model_costs)))
    known, unseen = split.training_models, split.unseen_models
    X, y = data.X[split.training].astype(np.float64), data.y[split.training]
    X_test, y_test = data.X[split.test].astype(np.float64), data.y[split.test][:, unseen]
    test_costs = data.costs[split.test][:, unseen] if data.costs.ndim == 2 else data.costs[unseen]
    errors = 1 - y[:, known]
    settings = {"n_validation": max(SIZES), "random_state": seed}
    routers = {
        (k, temperature): KMeansRouter(k, temperature=temperature, **settings).fit(X, y[:, known])
        for k, temperature in ((8, 0.1), (8, 0), (8, 0.05), (8, 0.2), (24, 0.1), (48, 0.1))
    }
    router = routers[8, 0.1]
    prior, labels, features = router._prior(), router._assign(X), router._features(X)
    counts, shares = router.error_counts_, router.cluster_shares_
    means = router.error_sums_ / np.maximum(counts, 1)
    squares = squared_deviations(labels, errors, means)
    # How much harder a prompt is than its cluster, on average over the training models.
    deviation = errors - means.T[labels]
    difficulty = np.nanmean(deviation, axis=1)
    others = (np.nansum(deviation, axis=1)[:, None] - deviation) / max(len(known) - 1, 1)
    slope = np.nansum(deviation * others) / np.nansum(others**2 * ~np.isnan(deviation))
    left = np.nanmean((deviation - slope * others) ** 2) / np.nanmean(deviation**2)
    random = rng.permutation(len(X))[: max(SIZES)]
    greedy = router.validation_indices_
    by_type = np.argsort(np.abs(difficulty) + 0.1 * rng.uniform(size=len(X)))
    queue = {k: iter(by_type[labels[by_type] == k]) for k in range(8)}
    typical = np.array([next(queue[k]) for k in labels[greedy]])

    areas = {}
    for size in SIZES:
        picks = random[:size]
        e = 1 - y[np.ix_(picks, unseen)]
        predicted = {
            key: one._features(X_test) @ posterior(one._prior(), one._features(X[picks]), e).T
            for key, one in routers.items()
            if key[1] > 0
        }
        hard = routers[8, 0]
        here = features[picks]
        nearest = posterior(hard._prior(), labels[picks], e)
        on_test = router._features(X_test)
        estimates = {
            "ZeroRouter": np.tile(np.nanmean(e, axis=0), (len(X_test), 1)),
            DEFAULT: predicted[8, 0.1],
            "nearest cluster alone": nearest.T[hard._assign(X_test)],
            "evidence by nearest cluster": on_test @ nearest.T,
            "temperature .05": predicted[8, 0.05],
            "temperature .2": predicted[8, 0.2],
            "K = 24": predicted[24, 0.1],
            "K = 48": predicted[48, 0.1],
            "mean of K = 8, 24, 48": sum(predicted[k, 0.1] for k in (8, 24, 48)) / 3,
            "plain OAS": on_test @ posterior(plain_oas(means, prior), here, e).T,
            "prior in units of error": on_test
            @ posterior(unscaled(means, squares, counts, shares), here, e).T,
            "difficulty taken out": on_test
            @ posterior(
                prior._replace(noise=prior.noise * left),
                here,
                e - slope * difficulty[picks][:, None],
            ).T,
        }
        for name, chosen in (("greedy prompts", greedy), ("greedy, typical ones", typical)):
            chosen = chosen[:size]
            representation = posterior(prior, features[chosen], 1 - y[np.ix_(chosen, unseen)])
            estimates[name] = on_test @ representation.T
        for name, error in estimates.items():
            areas[name, size] = deferral_area_score(
                y_test, error, test_costs, routing_costs=model_costs[unseen]
            )
    return areas


def main(n_splits=40):
    for name, data, model_share in real_data():
        model_costs = np.atleast_2d(data.costs).mean(axis=0)
        with threadpool_limits(1):
            results = Parallel(n_jobs=-1)(
                delayed(trial)(data, model_costs, model_share, seed) for seed in range(n_splits)
            )
        areas = {key: np.array([one[key] for one in results]) for key in results[0]}
        print(f"\n{name}, {n_splits} splits" + "".join(f"{size:>16}" for size in SIZES))
        for variant in dict.fromkeys(key[0] for key in areas):
            row = f"{variant:<28}"
            for size in SIZES:
                gain = areas[variant, size] - areas["ZeroRouter", size]
                step = areas[variant, size] - areas[DEFAULT, size]
                row += f"   {gain.mean():+.4f}±{step.std(ddof=1) / np.sqrt(n_splits):.4f}"
            print(row)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
