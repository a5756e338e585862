"""Variants of learning a new model from few prompts.

Run as ``python -m benchmarks.few_shot_variants [TRIALS]``. For each file of real data and each
number of validation prompts, it prints the mean gain in area over ZeroRouter, and the standard
error of its difference to the default of the package.
"""

import numpy as np
from sklearn.covariance import OAS

from benchmarks._runner import Split, arguments, paired, real_data, run_trials, stacked
from sklearn_uniroute import KMeansRouter
from sklearn_uniroute._numerics._clusters import squared_deviations
from sklearn_uniroute._numerics._posterior import condition, evidence
from sklearn_uniroute._numerics._prior import fit_prior
from sklearn_uniroute.metrics import deferral_area_score

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


def trial(data, model_share, seed):
    split = Split(data, seed, int(model_share * data.y.shape[1]))
    rng, known, unseen, y = split.rng, split.known, split.unseen, split.y
    X, X_test = split.X.astype(np.float64), split.X_test.astype(np.float64)
    errors = 1 - y[:, known]
    settings = {"n_validation": max(SIZES), "random_state": seed}
    routers = {
        (k, temperature): KMeansRouter(k, temperature=temperature, **settings).fit(X, y[:, known])
        for k, temperature in ((8, 0.1), (8, 0), (8, 0.05), (8, 0.2), (24, 0.1), (48, 0.1))
    }
    router = routers[8, 0.1]
    prior, labels, features = router._prior(), router._assign(X), router._features(X)
    counts, shares = router._evidence["error_counts"], router.cluster_shares_
    means = router._evidence["error_sums"] / np.maximum(counts, 1)
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
                split.y_test, error, split.test_costs, routing_costs=split.model_costs[unseen]
            )
    return areas


def main():
    n_trials = arguments(__doc__, trials=40).trials
    for name, data, model_share in real_data():
        areas = stacked(run_trials(trial, range(n_trials), data, model_share))
        print(f"\n{name}, {n_trials} splits" + "".join(f"{size:>16}" for size in SIZES))
        for variant in dict.fromkeys(key[0] for key in areas):
            row = f"{variant:<28}"
            for size in SIZES:
                gain, _ = paired(areas[variant, size], areas["ZeroRouter", size])
                _, error = paired(areas[variant, size], areas[DEFAULT, size])
                row += f"   {gain:+.4f}±{error:.4f}"
            print(row)


if __name__ == "__main__":
    main()
