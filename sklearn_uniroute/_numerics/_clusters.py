"""Numerics of clusters: distances to their centres, and per-cluster errors of models."""

from typing import NamedTuple

import numpy as np
from scipy.spatial.distance import cdist

from sklearn_uniroute._numerics._features import NearestCluster, row_blocks

# Relative rounding error of a distance in single precision.
_SINGLE_ROUNDING = 1e-6
# Exponent by which squared distances to the mean of the own cluster grow.
_PULL = 2.2
# Largest distance between means of the same rows, in units of the precision.
_CENTER_ROUNDING = 8
# Sizes of clusters that differ by less, in units of the size, are equal.
_EQUAL_SIZES = 1e-9


class ClustersSeen(NamedTuple):
    """How the training prompts lie in the clusters, were they new.

    `sizes` of shape (n_clusters,) counts those in each cluster, and `distance_quantiles` of shape
    (1001,) holds quantiles of their distances to the centres in steps of 0.001.
    """

    sizes: np.ndarray
    distance_quantiles: np.ndarray


def squared_distances(X: np.ndarray, centers: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Compute the squared distance from each row to the centre of its cluster."""
    distances = np.empty(len(X))
    for rows in row_blocks(len(X)):
        deviation = (X[rows] - centers[labels[rows]]).astype(np.float64)
        np.einsum("nd,nd->n", deviation, deviation, out=distances[rows])
    return distances


def center_distances(X: np.ndarray, nearest: NearestCluster) -> tuple[np.ndarray, np.ndarray]:
    """Compute the distance from each row to its nearest centre, and the cluster of that centre.

    Parameters
    ----------
    X : ndarray of shape (n_prompts, n_features)
    nearest : NearestCluster

    Returns
    -------
    distances : ndarray of shape (n_prompts,), dtype float64
    labels : ndarray of shape (n_prompts,), dtype intp
    """
    labels = nearest.features(X)
    return np.sqrt(squared_distances(X, nearest.centers, labels)), labels


def held_out_distances(
    X: np.ndarray,
    nearest: NearestCluster,
    labels: np.ndarray,
    squares: np.ndarray,
    n_clustered: float | None = None,
    weights: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Compute the distances to the centres that each row would have, were it a new prompt.

    A row pulls the mean of its cluster towards itself. Without it, its distance to a mean of n rows
    is ``n / (n - 1)`` times as long, and another centre may be nearer. The clusters as a whole
    adapt to the row a little more; by how much was measured, see ``benchmarks.alarms``.

    Parameters
    ----------
    X : ndarray of shape (n_prompts, n_features)
        Rows whose means are the centres.
    nearest : NearestCluster
    labels : ndarray of shape (n_prompts,)
        Cluster of each row.
    squares : ndarray of shape (n_prompts,)
        Squared distance of each row to the centre of its cluster.
    n_clustered : float, default=None
        Number of rows whose means are the centres, if `X` is a sample of them.
    weights : ndarray of shape (n_prompts,), default=None
        Number of times that each prompt counts.

    Returns
    -------
    distances : ndarray of shape (n_prompts,), dtype float64
    held_out_labels : ndarray of shape (n_prompts,), dtype intp
        Cluster of the nearest of these centres.
    """
    n_clusters = len(nearest.centers)
    if n_clusters == 1 and len(X) == 1:
        return np.sqrt(squares), labels
    sizes = np.bincount(labels, weights, minlength=n_clusters).astype(np.float64)
    if n_clustered is not None:
        sizes *= n_clustered / len(X)
    left = sizes[labels] - (1.0 if weights is None else np.minimum(weights, 1))
    alone = left <= _EQUAL_SIZES * sizes[labels]
    factor = (sizes[labels] / np.where(alone, 1, left)) ** _PULL
    own = np.where(alone, np.inf, squares * factor)
    if n_clusters == 1:
        return np.sqrt(own), labels
    second = nearest.second(X, labels)
    others = squared_distances(X, nearest.centers, second)
    return np.sqrt(np.minimum(own, others)), np.where(own <= others, labels, second)


def distinct_centers(centers: np.ndarray) -> np.ndarray:
    """Drop centres that equal an earlier centre up to rounding.

    Rounding would decide which of them is the nearest.
    """
    length = np.sqrt(np.mean(np.einsum("kd,kd->k", centers, centers)))
    same = cdist(centers, centers) <= _CENTER_ROUNDING * np.finfo(centers.dtype).eps * length
    return centers[~np.tril(same, -1).any(axis=1)]


def far_distance(X: np.ndarray, quantiles: np.ndarray, far_share: float) -> float:
    """Find the distance that a share `far_share` of rows exceeds, from quantiles of distances.

    The result is at least the rounding error of distances in single precision for rows like `X`.
    """
    distance = np.interp(1 - far_share, np.linspace(0, 1, len(quantiles)), quantiles)
    length = np.sqrt(np.mean(np.einsum("nd,nd->n", X, X, dtype=np.float64)))
    return float(max(distance, _SINGLE_ROUNDING * length))


def weighted_quantiles(
    values: np.ndarray, quantiles: np.ndarray, weights: np.ndarray | None
) -> np.ndarray:
    """Compute quantiles that new values exceed as often as they should.

    Parameters
    ----------
    values : ndarray of shape (n_values,)
    quantiles : ndarray of shape (n_quantiles,)
        Shares from 0 to 1.
    weights : ndarray of shape (n_values,) or None
        Number of times that each value counts.

    Returns
    -------
    quantiles : ndarray of shape (n_quantiles,)
        Those of the method "weibull" of :func:`numpy.quantile`.
    """
    if weights is None:
        return np.quantile(values, quantiles, method="weibull")
    order = np.argsort(values, kind="stable")
    last = np.cumsum(weights[order])
    # What one value counts, but no more than one.
    unit = min(1.0, float(weights @ weights / last[-1]))
    # Ranks of the first and the last repetition of each value.
    first = last - np.maximum(weights[order] - unit, 0)
    ranks, repeated = np.column_stack([first, last]).ravel(), np.repeat(values[order], 2)
    return np.interp(quantiles * (last[-1] + unit), ranks, repeated)


def cluster_sums(
    labels: np.ndarray,
    errors: np.ndarray,
    n_clusters: int,
    weights: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Sum the observed errors of each model in each cluster.

    Parameters
    ----------
    labels : ndarray of shape (n_prompts,)
        Cluster of each prompt.
    errors : ndarray of shape (n_prompts, n_models)
        NaN where a model was not run.
    n_clusters : int
    weights : ndarray of shape (n_prompts,), default=None
        Number of times that each prompt counts.

    Returns
    -------
    sums : ndarray of shape (n_models, n_clusters), dtype float64
    counts : ndarray of shape (n_models, n_clusters), dtype float64
        Number of observed errors.
    """
    sums = np.empty((errors.shape[1], n_clusters))
    counts = np.empty((errors.shape[1], n_clusters))
    for model, column in enumerate(errors.T):
        observed = ~np.isnan(column)
        seen = labels[observed]
        times = None if weights is None else weights[observed]
        total = column[observed] if times is None else times * column[observed]
        sums[model] = np.bincount(seen, weights=total, minlength=n_clusters)
        counts[model] = np.bincount(seen, weights=times, minlength=n_clusters)
    return sums, counts


def squared_deviations(
    labels: np.ndarray,
    errors: np.ndarray,
    means: np.ndarray,
    weights: np.ndarray | None = None,
) -> np.ndarray:
    """Sum the squared deviations of the observed errors from the mean of their cluster.

    Parameters
    ----------
    labels : ndarray of shape (n_prompts,)
    errors : ndarray of shape (n_prompts, n_models)
        NaN where a model was not run.
    means : ndarray of shape (n_models, n_clusters)
    weights : ndarray of shape (n_prompts,), default=None
        Number of times that each prompt counts.

    Returns
    -------
    squares : ndarray of shape (n_models, n_clusters), dtype float64
    """
    squares = np.empty(means.shape)
    for model, column in enumerate(errors.T):
        deviation = np.nan_to_num(column - means[model, labels], nan=0.0)
        square = deviation**2 if weights is None else weights * deviation**2
        squares[model] = np.bincount(labels, weights=square, minlength=means.shape[1])
    return squares


def mean_errors(sums: np.ndarray, counts: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Compute per-cluster mean errors (eq. 12 of the paper).

    A cluster without an observation gets the overall error of the model: the mean over the other
    clusters, weighted by their shares of the prompts. This mean does not depend on the number of
    prompts that were run in each cluster. Without any observation, all means are 0.

    Parameters
    ----------
    sums : ndarray of shape (..., n_clusters)
    counts : ndarray of shape (..., n_clusters)
    shares : ndarray of shape (n_clusters,)
        Share of the training prompts in each cluster.

    Returns
    -------
    means : ndarray of shape (..., n_clusters)
    """
    # Counts that faded may be below 1.
    means = sums / np.where(counts > 0, counts, 1)
    weights = np.where(counts > 0, np.maximum(shares, np.finfo(float).tiny), 0.0)
    total = np.maximum(weights.sum(axis=-1), np.finfo(float).tiny)
    overall = (weights * means).sum(axis=-1) / total
    return np.where(counts > 0, means, overall[..., None])


def in_proportion(
    cost: float, means: np.ndarray, features: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    """Scale costs by cluster to a mean cost; if all are 0, give all clusters the mean cost.

    Parameters
    ----------
    cost : float
        Mean cost on the given prompts.
    means : ndarray of shape (n_clusters,)
        Costs by cluster, up to a factor.
    features : ndarray of shape (n_prompts,) or (n_prompts, n_features)
        Cluster of each prompt, or its features, which begin with the responsibilities.
    weights : ndarray of shape (n_prompts,)
        Weights of the prompts; they sum to 1.

    Returns
    -------
    costs : ndarray of shape (n_clusters,)
    """
    if features.ndim == 1:
        mean = weights @ means[features]
    else:
        mean = weights @ (features[:, : len(means)].astype(np.float64) @ means)
    return cost * means / mean if mean > 0 else np.full(len(means), cost)
