"""Variants of the prior over a model, on few prompts and on full labels.

Run as ``python -m benchmarks.priors [TRIALS]``. For each file of real data, it prints
the gain in area over ZeroRouter, on unseen models that are known from some random prompts, and on
all models if all are known on all training prompts. The standard error is that of the difference to
the default of the package.
"""

import numpy as np
from scipy.special import logsumexp
from sklearn.covariance import OAS

from benchmarks._runner import Split, arguments, paired, real_data, run_trials, stacked
from sklearn_uniroute import KMeansRouter, select_validation_prompts
from sklearn_uniroute._numerics._clusters import squared_deviations
from sklearn_uniroute._numerics._posterior import (
    condition_each,
    evidence,
    log_evidence,
)
from sklearn_uniroute._numerics._prior import (
    SCALES,
    fit_prior,
    held_out_evidence,
    largest_likely,
    scale_interactions,
)
from sklearn_uniroute.metrics import deferral_area_score

SIZES = (25, 50, 100, 400)
STATIC = "all"
ZERO, DEFAULT = "ZeroRouter", "K = 24, random prompts"
# Steps of EM by which the weights of the scales are learned.
STEPS = 100


def scaled(prior, scale, shares):
    return prior._replace(covariance=scale_interactions(prior.covariance, scale, shares))


def unscaled_noise(means, squares, counts, shares):
    """The prior in units of error, as if the noise were the same in all clusters."""
    freedom = (counts - 1).clip(0)
    common = squares.sum() / freedom.sum()
    prior = fit_prior(means, common * freedom, counts, shares)
    # Models that are always right in a cluster show no noise there.
    noise = (squares.sum(axis=0) / freedom.sum(axis=0).clip(1)).clip(1e-3 * common)
    return prior._replace(noise=noise)


def variants_of_prior(router, errors):
    """Priors by name; the last are the scales of a mixture, with their weights."""
    labels, shares = router._assign(router.X_train), router.cluster_shares_
    counts = router._evidence["error_counts"]
    means = router._evidence["error_sums"] / np.maximum(counts, 1)
    known = router._evidence["information"], router._evidence["moments"]
    squares = squared_deviations(labels, errors, means)
    first, refined = fit_prior(means, squares, counts, shares), router._spread_prior()
    posteriors = condition_each(first, *known)
    share = router._own_noise_share
    held_out, of_all = (
        held_out_evidence(first, posteriors, *known, shares, one, SCALES) for one in (share, 1.0)
    )
    own = [log_evidence(scaled(refined, one, shares), *known).sum() for one in SCALES]
    plain = OAS().fit(means).covariance_ * (1 + 1 / len(means))
    priors = {
        DEFAULT: router._prior(),
        "not scaled": refined,
        "scale of the highest evidence": scaled(
            refined, SCALES[held_out.sum(axis=1).argmax()], shares
        ),
        "all noise counts": scaled(refined, largest_likely(SCALES, of_all), shares),
        "evidence of its own models": scaled(refined, SCALES[np.argmax(own)], shares),
        "plain OAS, not scaled": first._replace(covariance=plain),
        "in units of error, not scaled": unscaled_noise(means, squares, counts, shares),
    }
    weights = np.full(len(SCALES), 1 / len(SCALES))
    for _ in range(STEPS):
        weights = np.exp(held_out + np.log(weights)[:, None] - held_out.max(axis=0))
        weights = (weights / weights.sum(axis=0)).mean(axis=1).clip(1e-300)
    return priors, [scaled(refined, one, shares) for one in SCALES], weights


def represented(prior, features, errors):
    """Representations of models from their errors at prompts with these features."""
    return np.array(
        [mean for mean, _ in condition_each(prior, *evidence(features, errors, prior.noise))]
    )


def represented_by_mixture(priors, weights, features, errors):
    """Posteriors under all priors, averaged for each model by the evidence of its errors."""
    known = evidence(features, errors, priors[0].noise)
    values = np.array([log_evidence(prior, *known) for prior in priors]) + np.log(weights)[:, None]
    share = np.exp(values - logsumexp(values, axis=0))
    each = np.array([represented(prior, features, errors) for prior in priors])
    return np.einsum("sm,smk->mk", share, each)


def fitted(n_clusters, X, y, seed, temperature=0.1):
    router = KMeansRouter(n_clusters, temperature=temperature, n_validation=400, random_state=seed)
    router.fit(X, y)
    router.X_train = X
    return router


def estimates(routers, variants, rows, errors, X_test):
    """Predicted errors by name, from the errors on some training prompts."""
    router = routers[24]
    here, there = router._features(router.X_train[rows]), router._features(X_test)
    priors, mixture, weights = variants
    found = {ZERO: np.tile(np.nanmean(errors, axis=0), (len(X_test), 1))}
    for name, prior in priors.items():
        found[name] = there @ represented(prior, here, errors).T
    found["one scale a model"] = there @ represented_by_mixture(mixture, weights, here, errors).T
    by_number = {}
    for number, one in routers.items():
        on_train, on_test = one._features(one.X_train[rows]), one._features(X_test)
        psi = represented(one._prior(), on_train, errors)
        by_number[number] = psi.T[on_test] if on_test.ndim == 1 else on_test @ psi.T
    found["nearest cluster alone"] = by_number.pop("nearest")
    found |= {f"K = {number}": error for number, error in by_number.items() if number != 24}
    found["mean of K = 8, 24, 48"] = sum(by_number[number] for number in (8, 24, 48)) / 3
    return found


def trial(data, model_share, seed):
    split = Split(data, seed, int(model_share * data.y.shape[1]))
    known, unseen, y = split.known, split.unseen, split.y
    X, X_test = split.X.astype(np.float64), split.X_test.astype(np.float64)
    everything, random = np.arange(data.y.shape[1]), split.rng.permutation(len(X))
    numbers = [one for one in (8, 24, 48, 96) if 3 * one <= len(X)]
    areas = {}
    for models, judged in ((known, unseen), (everything, everything)):
        routers = {one: fitted(one, X, y[:, models], seed) for one in numbers}
        routers["nearest"] = fitted(24, X, y[:, models], seed, temperature=0)
        variants = variants_of_prior(routers[24], 1 - y[:, models])

        def area(error, judged=judged):
            return deferral_area_score(
                data.y[np.ix_(split.test, judged)],
                error,
                split.costs(split.test, judged),
                routing_costs=split.model_costs[judged],
            )

        if judged is everything:
            found = estimates(routers, variants, slice(None), 1 - y, X_test)
            areas |= {(name, STATIC): area(error) for name, error in found.items()}
            break
        for size in SIZES:
            rows = random[:size]
            found = estimates(routers, variants, rows, 1 - y[np.ix_(rows, unseen)], X_test)
            router = routers[24]
            for name, prior in (
                ("greedy prompts", router._spread_prior()),
                ("greedy by the scaled prior", router._prior()),
            ):
                rows = select_validation_prompts(
                    router._features(X),
                    prior.covariance,
                    prior.noise,
                    min(size, len(X)),
                    shares=router.cluster_shares_,
                    random_state=seed,
                )
                features, errors = router._features(X[rows]), 1 - y[np.ix_(rows, unseen)]
                psi = represented(router._prior(), features, errors)
                found[name] = router._features(X_test) @ psi.T
            areas |= {(name, size): area(error) for name, error in found.items()}
    return areas


def main():
    n_trials = arguments(__doc__, trials=40).trials
    for name, data, model_share in real_data():
        areas = stacked(run_trials(trial, range(n_trials), data, model_share))
        columns = (*SIZES, STATIC)
        print(f"\n{name}, {n_trials} splits{'':<8}" + "".join(f"{one:>16}" for one in columns))
        for variant in dict.fromkeys(key[0] for key in areas):
            row = f"{variant:<30}"
            for size in columns:
                if (variant, size) not in areas:
                    continue
                gain, _ = paired(areas[variant, size], areas[ZERO, size])
                _, error = paired(areas[variant, size], areas[DEFAULT, size])
                row += f"   {gain:+.4f}±{error:.4f}"
            print(row)


if __name__ == "__main__":
    main()
