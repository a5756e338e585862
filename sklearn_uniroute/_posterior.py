"""Numerics of the posterior representation: what a few errors say of all clusters.

The per-cluster errors of a model are taken as a Gaussian vector whose mean and covariance are
those of the training models, and its observed errors as that vector plus noise. Conditioning on
them is linear regression with a Gaussian prior, in closed form. Without observations it gives the
prior mean, with many of them eq. 12 of the paper.
"""

from typing import NamedTuple

import numpy as np
from scipy.linalg import cho_solve, cholesky, solve_triangular
from sklearn.covariance import OAS

# The weak prior, in units of the noise variance: of the level that all clusters share, and of each
# cluster on its own.
_LEVEL_VARIANCE = 1 / 4
_CLUSTER_VARIANCE = 1 / 16
# The weak prior counts like this many training models.
_WEAK_MODELS = 0.5
# The share by which the noise of a cluster is drawn to that of all: models to come may fail where
# all training models are right.
_SHARED_NOISE = 0.1
# Least noise, as a share of the prior variance: below it, conditioning loses all digits.
_LEAST_NOISE = 1e-9


class Prior(NamedTuple):
    """What the training models say of a model before it is run on any prompt.

    `mean` and `noise` (the variance of a single error) have shape (n_clusters,), `covariance` has
    shape (n_clusters, n_clusters).
    """

    mean: np.ndarray
    covariance: np.ndarray
    noise: np.ndarray


def fit_prior(means, squares, counts, shares):
    """Learn the prior from the training models.

    The covariance of few models over many clusters is drawn towards one in which all clusters
    share one variance and one correlation, since models differ first of all in their level. How far
    is what OAS finds for the deviations from the level. A weak prior, worth half a model, stands in
    where training models are very few or very much alike. All this happens in units of the noise:
    rates of error near 0 or 1 vary less from model to model, as `p (1 - p)` does.

    Parameters
    ----------
    means, squares, counts : ndarray of shape (n_models, n_clusters)
        Per-cluster mean errors of each training model, sums of squared deviations from them, and
        numbers of errors.
    shares : ndarray of shape (n_clusters,)
        Share of each cluster in the training prompts.

    Returns
    -------
    Prior
    """
    n_models, n_clusters = means.shape
    noise = _noise(means, squares, counts)
    scale = np.sqrt(noise)
    covariance = _WEAK_MODELS * (_LEVEL_VARIANCE + _CLUSTER_VARIANCE * np.eye(n_clusters))
    mean = means.mean(axis=0)
    if n_models > 1:
        deviation = (means - mean) / scale
        weights = shares * scale
        residual = deviation - deviation @ weights[:, None] / weights.sum()
        shrinkage = OAS(assume_centered=True).fit(residual).shrinkage_
        empirical = deviation.T @ deviation
        covariance += (1 - shrinkage) * empirical + shrinkage * _exchangeable(empirical)
    covariance /= n_models - 1 + _WEAK_MODELS
    # The mean of the training models is itself uncertain.
    covariance *= (1 + 1 / n_models) * np.outer(scale, scale)
    return Prior(mean, covariance, np.maximum(noise, _LEAST_NOISE * np.trace(covariance)))


def _noise(means, squares, counts):
    """Variance of one error of one model in each cluster, pooled over the models."""
    freedom = np.maximum(counts - 1, 0).sum(axis=0)
    overall = squares.sum() / max(freedom.sum(), 1)
    rounding = 1e-9 * np.abs(means).max()
    if overall <= rounding**2:
        # Errors that are constant in every cluster tell nothing of the noise: take that of a coin
        # between the least and the highest error, or between 0 and 1.
        spread = np.ptp(means)
        return np.full(means.shape[1], 0.25 * (spread**2 if spread > rounding else 1.0))
    by_cluster = np.where(freedom > 0, squares.sum(axis=0) / np.maximum(freedom, 1), overall)
    return (1 - _SHARED_NOISE) * by_cluster + _SHARED_NOISE * overall


def _exchangeable(covariance):
    """Average a covariance to one variance and one covariance, of at least 0, for all clusters."""
    n_clusters = len(covariance)
    trace = np.trace(covariance)
    pairs = max(n_clusters * (n_clusters - 1), 1)
    shared = max((covariance.sum() - trace) / pairs, 0.0)
    alone = max(trace / n_clusters - shared, 0.0)
    return shared + alone * np.eye(n_clusters)


def condition(prior, sums, counts):
    """Update the prior by the errors of one model.

    Parameters
    ----------
    prior : Prior
    sums, counts : ndarray of shape (n_clusters,)
        Sums and numbers of the model's errors in each cluster.

    Returns
    -------
    mean : ndarray of shape (n_clusters,)
        Per-cluster errors.
    covariance : ndarray of shape (n_clusters, n_clusters)
        Their covariance.
    """
    # With precision w = counts / noise, the covariance is S - S w^½ (I + w^½ S w^½)^-1 w^½ S: the
    # matrix to factor has eigenvalues of at least 1 whatever the prior.
    root = np.sqrt(counts / prior.noise)
    scaled = prior.covariance * root
    inner = root[:, None] * scaled
    inner[np.diag_indices(len(inner))] += 1
    factor = cholesky(inner, lower=True)
    surprise = (sums - counts * prior.mean) / np.sqrt(np.maximum(counts, 1) * prior.noise)
    mean = prior.mean + scaled @ cho_solve((factor, True), surprise)
    half = solve_triangular(factor, scaled.T, lower=True)
    return mean, prior.covariance - half.T @ half


def standard_errors(covariance):
    """Take standard deviations, where rounding may leave a variance just below 0."""
    return np.sqrt(np.maximum(np.diagonal(covariance), 0.0))


def greedy_order(covariance, noise, shares, available, n_prompts):
    """Order clusters by what a further prompt of each tells of a model.

    One after the other, the prompt is taken that cuts the variance of the per-cluster errors most,
    weighted by the clusters' shares of the traffic.

    Parameters
    ----------
    covariance : ndarray of shape (n_clusters, n_clusters)
        What is known of the model so far.
    noise, shares : ndarray of shape (n_clusters,)
    available : ndarray of shape (n_clusters,)
        Numbers of prompts to choose from.
    n_prompts : int

    Returns
    -------
    order : ndarray of shape (n_prompts,), dtype intp
        Clusters, in the order in which to take a prompt from them.
    """
    covariance = covariance.copy()
    available = available.copy()
    order = np.empty(n_prompts, dtype=np.intp)
    for number in range(n_prompts):
        total = np.diagonal(covariance) + noise
        gain = np.where(available > 0, shares @ covariance**2 / total, -np.inf)
        order[number] = cluster = gain.argmax()
        available[cluster] -= 1
        column = covariance[:, cluster].copy()
        covariance -= np.outer(column, column / total[cluster])
    return order
