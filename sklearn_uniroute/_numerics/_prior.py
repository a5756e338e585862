"""Numerics of the prior: what the training models tell of a model that was not run yet.

The prior is a Gaussian over the errors of a model in the clusters, which share a level, and over
coefficients of further features of prompts.
"""

from collections import Counter
from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.covariance import OAS
from sklearn.utils import gen_batches

from sklearn_uniroute._numerics._posterior import (
    Prior,
    condition,
    condition_each,
    log_evidence,
)

# Rows per block of errors.
_BLOCK_ROWS = 8192
# Variances of the weak prior, in units of the noise variance: of the level that all clusters share,
# and of each cluster on its own.
_LEVEL_VARIANCE = 1 / 4
_CLUSTER_VARIANCE = 1 / 16
# The weak prior counts as much as this many training models.
_WEAK_MODELS = 0.5
# Weight of the overall noise in the noise of each cluster: new models may fail where all training
# models are right.
_SHARED_NOISE = 0.1
# Factors on how errors differ from cluster to cluster, among which the evidence decides.
SCALES = np.linspace(0.1, 1, 10)
# Prior variances of the part of an error that is linear in further features, at an average prompt
# and in units of the noise, among which the evidence decides.
_LINEAR_VARIANCES = 0.002 * 2.0 ** np.arange(-4, 10)
# Prior variance without evidence, and for what all models have in common.
_USUAL_VARIANCE, _COMMON_VARIANCE = 0.002, 0.05
# The evidence comes from at least so many models.
_LEAST_MODELS = 3
# It comes from so many models at most, in so many groups.
_JUDGED, _GROUPS = 32, 8
# With more clusters than this, every third scale is tried, in half as many groups.
_MANY_CLUSTERS = 200
# Least share of the noise that models do not have in common.
_LEAST_SHARE = 0.01
# Minimum noise, as a share of the prior variance. Below it, conditioning loses all precision.
_LEAST_NOISE = 1e-9

# Relative increase of the variances of the prior, so that its Cholesky decomposition succeeds.
_RIDGE = 1e-10


def fit_prior(
    means: np.ndarray,
    squares: np.ndarray,
    counts: np.ndarray,
    shares: np.ndarray,
    square_counts: np.ndarray | None = None,
) -> Prior:
    """Learn the prior from the training models.

    With few models and many clusters, the covariance is shrunk towards one in which all clusters
    share one variance and one correlation, because models differ mainly in their level. OAS on the
    deviations from the level sets the amount of shrinkage. A weak prior, worth half a model, helps
    if there are very few training models or if they are very similar. All of this is computed in
    units of the noise: error rates near 0 or 1 vary less from model to model, as `p (1 - p)` does.

    Parameters
    ----------
    means, squares, counts : ndarray of shape (n_models, n_clusters)
        Per-cluster mean errors of each training model, sums of squared deviations from them, and
        numbers of errors.
    shares : ndarray of shape (n_clusters,)
        Share of the training prompts in each cluster.
    square_counts : ndarray of shape (n_models, n_clusters), default=None
        Sums of the squared weights of the errors. By default, each error counts once.

    Returns
    -------
    Prior
    """
    prior = prior_of_noise(means, _noise(means, squares, counts, square_counts), shares)
    least = _LEAST_NOISE * np.trace(prior.covariance)
    return prior._replace(noise=np.maximum(prior.noise, least))


def prior_of_noise(means: np.ndarray, noise: np.ndarray, shares: np.ndarray) -> Prior:
    """Learn the prior from the training models, given the noise."""
    mean, covariance = _mean_and_covariance(means, noise, shares)
    return Prior(mean, covariance, noise)


def learn_prior(
    prior: Prior,
    information: list[np.ndarray],
    moments: np.ndarray,
    shares: np.ndarray,
    noise_share: float,
) -> tuple[Prior, float]:
    """Learn the prior over all features from the evidence of the training models.

    The means of a few models overstate how much models differ, because the noise of the means
    counts as well. Hence, each training model judges the prior that the others give: how much the
    errors of a model differ from cluster to cluster is scaled down, unless the errors themselves
    become significantly less likely.

    Parameters
    ----------
    prior : Prior
        Prior over the clusters, from :func:`fit_prior`.
    information : list of ndarray of shape (n_outputs, n_outputs)
    moments : ndarray of shape (n_models, n_outputs)
        Evidence of the training models about the errors in the clusters, then about the
        coefficients of further features.
    shares : ndarray of shape (n_clusters,)
        Share of the training prompts in each cluster.
    noise_share : float
        Share of the noise that the models do not have in common, from :func:`own_noise_share`.

    Returns
    -------
    prior : Prior
        Prior over the clusters, then the further features, which have no noise.
    scale : float
        Factor on the differences between clusters, between 0.1 and 1.
    """
    prior = with_further_features(prior, information, moments, shares, noise_share)
    posteriors = condition_each(prior, information, moments)
    refined = refine_prior(prior, posteriors, shares)
    if len(posteriors) < _LEAST_MODELS or len(shares) == 1:
        return refined, 1.0
    scales, n_groups = SCALES, _GROUPS
    if len(shares) > _MANY_CLUSTERS:
        scales, n_groups = SCALES[::3], _GROUPS // 2
    known = information, moments
    found = held_out_evidence(prior, posteriors, *known, shares, noise_share, scales, n_groups)
    scale = largest_likely(scales, found)
    return refined._replace(covariance=scale_interactions(refined.covariance, scale, shares)), scale


def held_out_evidence(
    prior: Prior,
    posteriors: list[tuple[np.ndarray, np.ndarray]],
    information: list[np.ndarray],
    moments: np.ndarray,
    shares: np.ndarray,
    noise_share: float,
    scales: np.ndarray,
    n_groups: int = _GROUPS,
) -> np.ndarray:
    """Compute the evidence of each training model under the scaled priors of the others.

    Parameters
    ----------
    prior : Prior
        First prior over all features.
    posteriors : list of (ndarray of shape (n_outputs,), ndarray of shape (n_outputs, n_outputs))
        Posterior mean and covariance of each model under this prior.
    information, moments, shares, noise_share
        As for :func:`learn_prior`.
    scales : ndarray of shape (n_scales,)
        Factors on the differences between clusters.
    n_groups : int
        Number of groups of models that are left out together.

    Returns
    -------
    log_evidence : ndarray of shape (n_scales, n_judged)
        Up to a constant for each model; of some models if there are many.
    """
    judged = _judged(len(posteriors))
    found: list[list[np.ndarray]] = [[] for _ in scales]
    for group in np.array_split(judged, min(len(judged), n_groups)):
        others = [one for place, one in enumerate(posteriors) if place not in group]
        without = refine_prior(prior, others, shares)
        known = [information[model] for model in group], moments[group]
        for values, scale in zip(found, scales, strict=True):
            covariance = scale_interactions(without.covariance, scale, shares)
            one = without._replace(covariance=covariance)
            values.append(log_evidence(one, *known, noise_share))
    return np.array([np.concatenate(values) for values in found])


def with_further_features(
    prior: Prior,
    information: list[np.ndarray],
    moments: np.ndarray,
    shares: np.ndarray,
    noise_share: float,
) -> Prior:
    """Extend the prior over clusters by independent coefficients of further features.

    Takes the arguments of :func:`learn_prior`.

    Returns
    -------
    prior : Prior
        The variance of the coefficients is chosen by the evidence of the training models. What all
        models have in common does not count, since it decides no choice.
    """
    n_further = moments.shape[1] - len(shares)
    if n_further == 0:
        return prior
    unit = float(prior.noise[: len(shares)] @ shares)
    common = joined(prior, np.zeros(n_further), _COMMON_VARIANCE * unit)
    mean, _ = condition(common, reduce(np.add, information), moments.sum(axis=0))
    variance = _USUAL_VARIANCE
    if len(moments) >= _LEAST_MODELS:
        judged = _judged(len(moments))
        known = [information[model] for model in judged], moments[judged], noise_share
        found = [
            log_evidence(joined(prior, mean[len(shares) :], one * unit)._replace(mean=mean), *known)
            for one in _LINEAR_VARIANCES
        ]
        variance = largest_likely(_LINEAR_VARIANCES, found)
    return joined(prior, mean[len(shares) :], variance * unit)


def joined(prior: Prior, mean: np.ndarray, variance: float) -> Prior:
    """Join a prior over clusters with one over independent coefficients, which have no noise."""
    n_clusters, n_further = len(prior.mean), len(mean)
    covariance = variance * np.eye(n_clusters + n_further)
    covariance[:n_clusters, :n_clusters] = prior.covariance
    noise = np.append(prior.noise, np.zeros(n_further))
    return Prior(np.append(prior.mean, mean), covariance, noise)


def _judged(n_models: int) -> np.ndarray:
    """Positions of the models whose evidence counts."""
    return np.arange(n_models)[:: -(-n_models // _JUDGED)]


def refine_prior(
    prior: Prior, posteriors: list[tuple[np.ndarray, np.ndarray]], shares: np.ndarray
) -> Prior:
    """Refine the prior from the posteriors of models, by one step of EM.

    The first prior is learned from the mean errors observed in the clusters. If prompts are between
    clusters, the errors of the clusters themselves are further apart than these means.

    Parameters
    ----------
    prior : Prior
    posteriors : list of (ndarray of shape (n_outputs,), ndarray of shape (n_outputs, n_outputs))
        Posterior mean and covariance of each model under this prior.
    shares : ndarray of shape (n_clusters,)

    Returns
    -------
    Prior
        Refined prior, with the same noise. Coefficients of further features are independent of the
        errors in the clusters; their first prior counts as one more model.
    """
    clusters, further = slice(len(shares)), slice(len(shares), None)
    means = np.array([mean for mean, _ in posteriors])
    # Models that were run on the same prompts share one covariance.
    counts = Counter(id(covariance) for _, covariance in posteriors)
    distinct = {id(covariance): covariance for _, covariance in posteriors}
    uncertainty = reduce(np.add, [counts[key] * one for key, one in distinct.items()])
    refined = Prior(means.mean(axis=0), np.zeros_like(prior.covariance), prior.noise)
    refined.mean[clusters], refined.covariance[clusters, clusters] = _mean_and_covariance(
        means[:, clusters], prior.noise[clusters], shares, uncertainty[clusters, clusters]
    )
    deviation = means[:, further] - refined.mean[further]
    total = prior.covariance[further, further] + deviation.T @ deviation
    total += uncertainty[further, further]
    refined.covariance[further, further] = total / (len(posteriors) + 1)
    return refined


def scale_interactions(covariance: np.ndarray, scale: float, shares: np.ndarray) -> np.ndarray:
    """Scale how the errors of a model in the clusters differ from its level.

    The level is the mean over the clusters, weighted by `shares`.

    Parameters
    ----------
    covariance : ndarray of shape (n_outputs, n_outputs)
        Covariance of the errors in the clusters, then of independent coefficients.
    scale : float
        Factor on the differences.
    shares : ndarray of shape (n_clusters,)

    Returns
    -------
    covariance : ndarray of shape (n_outputs, n_outputs)
        ``T covariance T'`` with ``T = 1 shares' + scale * (I - 1 shares')`` for the clusters.
    """
    clusters = slice(len(shares))
    scaled = covariance.copy()
    block = covariance[clusters, clusters]
    half = scale * block + (1 - scale) * (shares @ block)
    full = scale * half + (1 - scale) * (half @ shares)[:, None]
    # Keep the covariance symmetric despite rounding.
    scaled[clusters, clusters] = (full + full.T) / 2
    return scaled


def own_noise_share(
    labels: np.ndarray,
    errors: np.ndarray,
    means: np.ndarray,
    weights: np.ndarray | None = None,
) -> float:
    """Estimate the share of the noise that the models do not have in common.

    A hard prompt is hard for most models. What their errors have in common decides no choice.

    Parameters
    ----------
    labels : ndarray of shape (n_prompts,)
        Cluster of each prompt.
    errors : ndarray of shape (n_prompts, n_models)
        NaN where a model was not run.
    means : ndarray of shape (n_models, n_clusters)
        Mean error of each model in each cluster, from which errors deviate.
    weights : ndarray of shape (n_prompts,), default=None
        Number of times that each prompt counts.

    Returns
    -------
    share : float
        Variance of the deviations from the mean of the models on the prompt, over the variance of
        the deviations.
    """
    total = own = n_cells = freedom = 0.0
    for rows in gen_batches(len(labels), _BLOCK_ROWS):
        deviations = errors[rows] - means.T[labels[rows]]
        known = ~np.isnan(deviations)
        n_models = known.sum(axis=1)
        values = np.where(known, deviations, 0.0)
        times = np.ones(len(values)) if weights is None else weights[rows]
        squares = times @ (values**2).sum(axis=1)
        total += squares
        own += squares - times @ (values.sum(axis=1) ** 2 / np.maximum(n_models, 1))
        n_cells += times @ n_models
        freedom += times @ np.maximum(n_models - 1, 0)
    if freedom == 0 or total == 0:
        return 1.0
    return float(np.clip(own / freedom * n_cells / total, _LEAST_SHARE, 1))


def largest_likely(values: np.ndarray, log_evidence: ArrayLike) -> float:
    """Choose the largest value that is not significantly worse than the best.

    Parameters
    ----------
    values : ndarray of shape (n_values,)
        Rising values.
    log_evidence : array-like of shape (n_values, n_models)

    Returns
    -------
    value : float
        Its evidence is within one standard error over models of the highest.
    """
    evidence = np.asarray(log_evidence)
    loss = evidence[evidence.sum(axis=1).argmax()] - evidence
    error = np.sqrt(loss.shape[1]) * loss.std(axis=1, ddof=1)
    return float(values[loss.sum(axis=1) <= error][-1])


def _mean_and_covariance(
    means: np.ndarray, noise: np.ndarray, shares: np.ndarray, uncertainty: np.ndarray | float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """Compute the mean and the shrunk covariance of errors over models.

    `uncertainty` is the sum of the covariances with which the errors of each model are known.
    """
    n_models, n_clusters = means.shape
    scale = np.sqrt(noise)
    covariance = _WEAK_MODELS * (_LEVEL_VARIANCE + _CLUSTER_VARIANCE * np.eye(n_clusters))
    mean = means.mean(axis=0)
    if n_models > 1:
        deviation = (means - mean) / scale
        weights = shares * scale
        residual = deviation - deviation @ weights[:, None] / weights.sum()
        shrinkage = OAS(assume_centered=True).fit(residual).shrinkage_
        empirical = deviation.T @ deviation + uncertainty / np.outer(scale, scale)
        covariance += (1 - shrinkage) * empirical + shrinkage * _exchangeable(empirical)
    covariance /= n_models - 1 + _WEAK_MODELS
    # The mean of the training models is itself uncertain.
    covariance *= (1 + 1 / n_models) * np.outer(scale, scale)
    # Keep the covariance positive definite despite rounding.
    covariance[np.diag_indices(n_clusters)] *= 1 + _RIDGE
    return mean, covariance


def _noise(
    means: np.ndarray, squares: np.ndarray, counts: np.ndarray, square_counts: np.ndarray | None
) -> np.ndarray:
    """Estimate the variance of a single error in each cluster, pooled over the models."""
    used: Any = 1.0
    if square_counts is not None:
        # A mean uses up as much as one error counts, but no more than one.
        used = np.minimum(square_counts / np.where(counts > 0, counts, 1), 1)
    freedom = np.maximum(counts - used, 0).sum(axis=0)
    overall = squares.sum() / max(freedom.sum(), 1)
    rounding = 1e-9 * np.abs(means).max()
    if overall <= rounding**2:
        # Errors that are constant in every cluster give no estimate of the noise. Use the variance
        # of a fair coin between the lowest and the highest error, or between 0 and 1.
        spread = np.ptp(means)
        return np.full(means.shape[1], 0.25 * (spread**2 if spread > rounding else 1.0))
    by_cluster = np.where(freedom > 0, squares.sum(axis=0) / np.maximum(freedom, 1), overall)
    return (1 - _SHARED_NOISE) * by_cluster + _SHARED_NOISE * overall


def _exchangeable(covariance: np.ndarray) -> np.ndarray:
    """Average a covariance to one variance and one covariance (at least 0) for all clusters."""
    n_clusters = len(covariance)
    trace = np.trace(covariance)
    pairs = max(n_clusters * (n_clusters - 1), 1)
    shared = max((covariance.sum() - trace) / pairs, 0.0)
    alone = max(trace / n_clusters - shared, 0.0)
    return shared + alone * np.eye(n_clusters)
