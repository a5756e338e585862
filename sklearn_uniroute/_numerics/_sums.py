"""Sums over prompts, from which routers over clusters learn; those of different prompts add up."""

from typing import Any, NamedTuple

import numpy as np
from sklearn.utils import gen_batches

from sklearn_uniroute._numerics._clusters import cluster_sums
from sklearn_uniroute._numerics._features import NearestCluster, Phi
from sklearn_uniroute._numerics._posterior import evidence

# Rows of one block of features.
_BLOCK_ROWS = 8192


class ClusterSums(NamedTuple):
    """What prompts and the models' errors and costs on them sum up to.

    `sizes` has shape (n_clusters,). Sums and numbers of errors and of costs, the latter None
    without costs of calls, have shape (n_models, n_clusters). `information` and `moments` are what
    :func:`evidence` gives, None without a posterior.
    """

    sizes: np.ndarray
    error_sums: np.ndarray
    error_counts: np.ndarray
    information: list[np.ndarray] | None
    moments: np.ndarray | None
    cost_sums: Any = None
    cost_counts: Any = None


def sum_up(
    X: np.ndarray,
    errors: np.ndarray,
    costs: np.ndarray | None,
    nearest: NearestCluster,
    phi: Phi,
    noise: np.ndarray | None,
) -> ClusterSums:
    """Sum up over prompts.

    Parameters
    ----------
    X : ndarray of shape (n_prompts, n_features)
    errors : ndarray of shape (n_prompts, n_models)
        NaN where a model was not run.
    costs : ndarray of shape (n_prompts, n_models) or None
        Costs of calls.
    nearest : NearestCluster
    phi : Phi
        The features by which errors count for the posterior.
    noise : ndarray of shape (n_outputs,) or None
        Variance of a single error by feature; None without a posterior.

    Returns
    -------
    ClusterSums
    """
    n_clusters = nearest.n_outputs
    labels = nearest.features(X)
    information = moments = None
    if noise is not None:
        information, moments = sum_evidence(X, errors, phi, noise)
    sizes = np.bincount(labels, minlength=n_clusters)
    error_sums, error_counts = cluster_sums(labels, errors, n_clusters)
    sums = ClusterSums(sizes, error_sums, error_counts, information, moments)
    if costs is None:
        return sums
    cost_sums, cost_counts = cluster_sums(labels, costs, n_clusters)
    return sums._replace(cost_sums=cost_sums, cost_counts=cost_counts)


def sum_evidence(
    X: np.ndarray, errors: np.ndarray, phi: Phi, noise: np.ndarray
) -> tuple[list[np.ndarray], np.ndarray]:
    """Sum up :func:`evidence`, block by block; arguments as of :func:`sum_up`."""
    blocks = (
        evidence(phi.features(X[rows]), errors[rows], noise)
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
