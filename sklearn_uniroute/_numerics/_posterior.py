"""Numerics of the posterior representation: errors in all clusters from a few observed errors.

The per-cluster errors of a model are modelled as a Gaussian vector with the mean and covariance of
the training models. The observed errors are this vector plus noise. Conditioning on them is linear
regression with a Gaussian prior, in closed form. Without observations, the result is the prior
mean; with many, it approaches eq. 12 of the paper.
"""

from typing import Any, NamedTuple

import numpy as np
from scipy.linalg import cholesky, solve_triangular
from sklearn.utils import gen_batches

from sklearn_uniroute._numerics._clusters import cluster_sums
from sklearn_uniroute._numerics._features import NearestCluster, Phi, column_products
from sklearn_uniroute._numerics._routing import HullWalk

# Rows per block of features.
_BLOCK_ROWS = 8192


class Prior(NamedTuple):
    """Prior for a model that was not run on any prompt, learned from the training models.

    `mean` and `noise` (the variance of a single error) have shape (n_clusters,), `covariance` has
    shape (n_clusters, n_clusters).
    """

    mean: np.ndarray
    covariance: np.ndarray
    noise: np.ndarray


def evidence(
    features: np.ndarray,
    errors: np.ndarray,
    noise: np.ndarray,
    weights: np.ndarray | None = None,
) -> tuple[list[np.ndarray], np.ndarray]:
    """Sum up the evidence of errors on prompts about the per-cluster errors of models.

    The sums over different prompts add up.

    Parameters
    ----------
    features : ndarray of shape (n_prompts,) or (n_prompts, n_clusters)
        Cluster of each prompt, or its responsibilities.
    errors : ndarray of shape (n_prompts, n_models)
        NaN where a model was not run.
    noise : ndarray of shape (n_clusters,)
        Variance of a single error in each cluster. For a prompt between clusters, the mean weighted
        by responsibility is used.
    weights : ndarray of shape (n_prompts,), default=None
        Number of times that each prompt counts.

    Returns
    -------
    information : list of ndarray of shape (n_clusters, n_clusters)
        For each model, the sum over its prompts of ``phi phi' / variance``. Models that were run on
        the same prompts share one array.
    moments : ndarray of shape (n_models, n_clusters)
        For each model, the sum of ``phi error / variance``.
    """
    n_clusters = len(noise)
    if features.ndim == 1:
        sums, counts = cluster_sums(features, errors, n_clusters, weights)
        return [np.diag(one) for one in counts / noise], sums / noise
    features = features.astype(np.float64)
    weighted = features / (features @ noise)[:, None]
    if weights is not None:
        weighted *= weights[:, None]
    missing = np.isnan(errors)
    moments = column_products(np.where(missing, 0.0, errors.astype(np.float64)), weighted)
    overall = weighted.T @ features
    # Models that were run on the same prompts share one array.
    by_gap: dict[bytes, np.ndarray] = {}
    information = []
    for gap in missing.T:
        key = gap.tobytes()
        if key not in by_gap:
            if not gap.any():
                by_gap[key] = overall
            elif gap.sum() < len(gap) / 2:
                by_gap[key] = overall - weighted[gap].T @ features[gap]
            else:
                by_gap[key] = weighted[~gap].T @ features[~gap]
        information.append(by_gap[key])
    return information, moments


def log_evidence(
    prior: Prior, information: list[np.ndarray], moments: np.ndarray, noise_share: float = 1.0
) -> np.ndarray:
    """Compute the log marginal likelihood of the errors of models under a prior.

    Parameters
    ----------
    prior : Prior
    information : list of ndarray of shape (n_clusters, n_clusters)
    moments : ndarray of shape (n_models, n_clusters)
        Evidence of the errors, from :func:`evidence`.
    noise_share : float, default=1.0
        Share of the noise that counts.

    Returns
    -------
    log_evidence : ndarray of shape (n_models,)
        Up to a constant for each model, which is the same under all priors of this noise.
    """
    root = cholesky(prior.covariance, lower=True)
    values = np.empty(len(moments))
    for one in {id(one): one for one in information}.values():
        members = [place for place, other in enumerate(information) if other is one]
        expected = one @ prior.mean
        factor = cholesky(_with_identity(root.T @ one @ root / noise_share), lower=True)
        shift = root.T @ (moments[members] - expected).T / noise_share
        gain = (solve_triangular(factor, shift, lower=True) ** 2).sum(axis=0) / 2
        at_mean = (moments[members] - expected / 2) @ prior.mean / noise_share
        values[members] = gain + at_mean - np.log(np.diagonal(factor)).sum()
    return values


def condition(
    prior: Prior, information: np.ndarray, moment: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Update the prior with the errors of one model.

    Parameters
    ----------
    prior : Prior
    information : ndarray of shape (n_clusters, n_clusters)
    moment : ndarray of shape (n_clusters,)
        Evidence of the errors, from :func:`evidence`.

    Returns
    -------
    mean : ndarray of shape (n_clusters,)
        Per-cluster errors.
    covariance : ndarray of shape (n_clusters, n_clusters)
        Covariance of the per-cluster errors.
    """
    ((mean, covariance),) = condition_each(prior, [information], moment[None])
    return mean, covariance


def condition_each(
    prior: Prior, information: list[np.ndarray], moments: np.ndarray
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Update the prior with the errors of each model, as :func:`condition` does.

    Models that were run on the same prompts share one array of information, and then one
    covariance.
    """
    # With prior covariance S = L L' and information A, the posterior covariance is
    # L (I + L' A L)^-1 L'. The matrix to factor has eigenvalues of at least 1 for any prior.
    root = cholesky(prior.covariance, lower=True)
    shared: dict[int, tuple[np.ndarray, np.ndarray]] = {}
    posteriors = []
    for one, moment in zip(information, moments, strict=True):
        if id(one) not in shared:
            factor = cholesky(_with_identity(root.T @ one @ root), lower=True)
            half = solve_triangular(factor, root.T, lower=True)
            shared[id(one)] = half, half.T @ half
        half, covariance = shared[id(one)]
        mean = prior.mean + half.T @ (half @ (moment - one @ prior.mean))
        posteriors.append((mean, covariance))
    return posteriors


def condition_on_few(
    prior: Prior, features: np.ndarray, errors: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Update the prior with the errors of one model on fewer prompts than there are features.

    Parameters
    ----------
    prior : Prior
    features : ndarray of shape (n_prompts, n_outputs)
    errors : ndarray of shape (n_prompts,)

    Returns
    -------
    mean, std : ndarray of shape (n_outputs,)
        Representation and its standard errors, as :func:`condition` gives them.
    """
    features = features.astype(np.float64)
    cross = features @ prior.covariance
    total = cross @ features.T
    total[np.diag_indices(len(total))] += features @ prior.noise
    factor = cholesky(total, lower=True)
    half = solve_triangular(factor, cross, lower=True)
    residual = solve_triangular(factor, errors - features @ prior.mean, lower=True)
    variance = np.diagonal(prior.covariance) - np.einsum("nk,nk->k", half, half)
    return prior.mean + half.T @ residual, np.sqrt(np.maximum(variance, 0))


def _with_identity(matrix: np.ndarray) -> np.ndarray:
    matrix[np.diag_indices(len(matrix))] += 1
    return matrix


def standard_errors(covariance: np.ndarray) -> np.ndarray:
    """Compute standard errors from a covariance."""
    return np.sqrt(np.diagonal(covariance))


def mean_error_std(
    walk: HullWalk, features: np.ndarray, weights: np.ndarray, covariances: list[np.ndarray]
) -> np.ndarray:
    """Compute the standard error of the mean error of the choices along a walk.

    The uncertainty about a model is common to all prompts that go to it, and independent of the
    other models.

    Parameters
    ----------
    walk : HullWalk
    features : ndarray of shape (n_prompts,) or (n_prompts, n_features)
        Phi of each prompt, as for `estimate_errors`.
    weights : ndarray of shape (n_prompts,)
    covariances : list of ndarray of shape (n_features, n_features)
        Covariance of the representation of each model.

    Returns
    -------
    std : ndarray of shape (n_moves + 1,)
        Standard error after each number of moves.
    """
    if features.ndim == 1:
        features = np.eye(len(covariances[0]))[features]
    change = np.zeros(len(walk.row) + 1)
    for model, covariance in enumerate(covariances):
        here = walk.start == model
        moves = np.flatnonzero((walk.source == model) | (walk.target == model))
        sign = np.where(walk.target[moves] == model, 1.0, -1.0)
        rows = walk.row[moves]
        # Weighted sum of the features of the prompts that go to the model, after each move.
        steps = (sign * weights[rows])[:, None] * features[rows]
        load = np.cumsum(np.vstack([weights[here] @ features[here], steps]), axis=0)
        variance = np.einsum("nk,nk->n", load @ covariance, load)
        change[0] += variance[0]
        np.add.at(change, moves + 1, np.diff(variance))
    return np.sqrt(np.maximum(np.cumsum(change), 0))


class ClusterSums(NamedTuple):
    """Sums over prompts, by cluster, of the errors and costs of models.

    `sizes` has shape (n_clusters,). Sums and counts have shape (n_models, n_clusters); those of
    costs are None without a cost per call. `information` and `moments` come from :func:`evidence`
    and are None without a posterior.
    """

    sizes: np.ndarray
    error_sums: np.ndarray
    error_counts: np.ndarray
    information: list[np.ndarray] | None = None
    moments: np.ndarray | None = None
    cost_sums: Any = None
    cost_counts: Any = None


def sum_up(
    X: np.ndarray,
    errors: np.ndarray,
    costs: np.ndarray | None,
    nearest: NearestCluster,
    phi: Phi,
    noise: np.ndarray | None,
    weights: np.ndarray | None = None,
) -> ClusterSums:
    """Compute the sums over prompts.

    Parameters
    ----------
    X : ndarray of shape (n_prompts, n_features)
    errors : ndarray of shape (n_prompts, n_models)
        NaN where a model was not run.
    costs : ndarray of shape (n_prompts, n_models) or None
        Cost of each call.
    nearest : NearestCluster
    phi : Phi
        Features by which errors count for the posterior.
    noise : ndarray of shape (n_outputs,) or None
        Variance of a single error by feature; None without a posterior.
    weights : ndarray of shape (n_prompts,), default=None
        Number of times that each prompt counts.

    Returns
    -------
    ClusterSums
    """
    n_clusters = nearest.n_outputs
    labels = nearest.features(X)
    information = moments = None
    if noise is not None:
        information, moments = sum_evidence(X, errors, phi, noise, weights)
    sizes = np.bincount(labels, weights, minlength=n_clusters)
    error_sums, error_counts = cluster_sums(labels, errors, n_clusters, weights)
    sums = ClusterSums(sizes, error_sums, error_counts, information, moments)
    if costs is None:
        return sums
    cost_sums, cost_counts = cluster_sums(labels, costs, n_clusters, weights)
    return sums._replace(cost_sums=cost_sums, cost_counts=cost_counts)


def sum_evidence(
    X: np.ndarray,
    errors: np.ndarray,
    phi: Phi,
    noise: np.ndarray,
    weights: np.ndarray | None = None,
) -> tuple[list[np.ndarray], np.ndarray]:
    """Sum up :func:`evidence` block by block, with the arguments of :func:`sum_up`."""
    blocks = (
        evidence(
            phi.features(X[rows]),
            errors[rows],
            noise,
            None if weights is None else weights[rows],
        )
        for rows in gen_batches(len(X), _BLOCK_ROWS)
    )
    information, moments = next(blocks)
    for part, moment in blocks:
        information, moments = _added_once(information, part), moments + moment
    return information, moments


def added(one: ClusterSums, other: ClusterSums) -> ClusterSums:
    """Add sums over different prompts."""
    total: dict[str, Any] = {}
    for name, a, b in zip(one._fields, one, other, strict=True):
        if a is not None:
            total[name] = _added_once(a, b) if isinstance(a, list) else a + b
    return one._replace(**total)


def _added_once(one: list[np.ndarray], other: list[np.ndarray]) -> list[np.ndarray]:
    """Add arrays pairwise; models that share arrays share their sum."""
    sums: dict[tuple[int, int], np.ndarray] = {}
    total = []
    for a, b in zip(one, other, strict=True):
        pair = id(a), id(b)
        if pair not in sums:
            sums[pair] = a + b
        total.append(sums[pair])
    return total
