"""Choice of the prompts on which to run a model."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils import check_array, check_random_state

from sklearn_uniroute.utils._typing import RandomState
from sklearn_uniroute.utils._validation import check_count, check_enough


def select_validation_prompts(
    clusters: ArrayLike,
    covariance: ArrayLike,
    noise: ArrayLike,
    n_prompts: int,
    *,
    shares: ArrayLike | None = None,
    random_state: RandomState = None,
) -> np.ndarray:
    """Choose the prompts that are most informative about the per-cluster errors of a model.

    Prompts are chosen greedily: each one reduces the posterior variance of the errors most,
    weighted by the share of each cluster in the traffic. If each prompt belongs to one cluster, the
    prompts of a cluster are equally informative and are taken in random order; the complexity is
    then of order ``n_prompts * n_clusters ** 2`` for any number of candidates. With
    responsibilities, prompts near a centre tell more, and the complexity is of order
    ``n_prompts * n_candidates * n_clusters``.

    Parameters
    ----------
    clusters : array-like of shape (n_candidates,) or (n_candidates, n_clusters)
        Cluster of each candidate, from 0, or its responsibilities of the clusters, such as
        `transform` of a router returns them.
    covariance : array-like of shape (n_clusters, n_clusters)
        Covariance of the per-cluster errors, given what is known of the model so far, such as the
        `prior_covariance_` of a router.
    noise : array-like of shape (n_clusters,)
        Variance of a single error in each cluster, such as the `noise_` of a router.
    n_prompts : int
        Number of prompts to choose.
    shares : array-like of shape (n_clusters,), default=None
        Share of each cluster in the traffic. By default, its share of the candidates.
    random_state : int, RandomState instance or None, default=None
        Seed for the order within clusters.

    Returns
    -------
    indices : ndarray of shape (n_prompts,)
        Positions of the chosen candidates, the most informative first.

    Raises
    ------
    ValueError
        If shapes disagree, if a cluster is out of range, if responsibilities are negative or do not
        sum to 1, or if there are fewer candidates than `n_prompts`.

    Examples
    --------
    The errors in the first two clusters are perfectly correlated, so one prompt informs about both.

    >>> from sklearn_uniroute import select_validation_prompts
    >>> covariance = [[0.04, 0.04, 0.0], [0.04, 0.04, 0.0], [0.0, 0.0, 0.04]]
    >>> select_validation_prompts(
    ...     [0, 2, 2], covariance, [0.2, 0.2, 0.2], 2, shares=[0.3, 0.3, 0.4], random_state=0
    ... ).tolist()[0]
    0
    """
    check_count(n_prompts, "n_prompts")
    clusters, covariance, noise, shares = check_selection(clusters, covariance, noise, shares)
    check_enough(n_prompts, "n_prompts", len(clusters), "candidates")
    if clusters.ndim == 2:
        shuffled = check_random_state(random_state).permutation(len(clusters))
        return shuffled[greedy_rows(clusters[shuffled], covariance, noise, shares, n_prompts)]
    n_clusters = len(noise)
    available = np.bincount(clusters, minlength=n_clusters)
    order = greedy_order(covariance, noise, shares, available, n_prompts)
    shuffled = check_random_state(random_state).permutation(len(clusters))
    by_cluster = shuffled[np.argsort(clusters[shuffled], kind="stable")]
    # The j-th pick from a cluster is the j-th of its candidates.
    first = np.cumsum(available) - available
    pick = np.argsort(np.argsort(order, kind="stable"), kind="stable")
    sizes = np.bincount(order, minlength=n_clusters)
    return by_cluster[first[order] + pick - (np.cumsum(sizes) - sizes)[order]]


def check_selection(
    clusters: Any, covariance: Any, noise: Any, shares: Any
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Check the arguments of :func:`select_validation_prompts`."""
    noise = check_array(noise, ensure_2d=False, dtype=np.float64, input_name="noise")
    covariance = check_array(covariance, dtype=np.float64, input_name="covariance")
    n_clusters = len(noise)
    if noise.ndim != 1 or noise.min() <= 0:
        raise ValueError("`noise` must be one variance above 0 per cluster.")
    if covariance.shape != (n_clusters, n_clusters):
        raise ValueError(
            f"`covariance` has shape {covariance.shape} but `noise` has {n_clusters} clusters; "
            f"expected ({n_clusters}, {n_clusters})."
        )
    clusters = check_array(clusters, ensure_2d=False, dtype=None, input_name="clusters")
    if clusters.ndim == 2:
        clusters = check_responsibilities(clusters, n_clusters)
        shares = clusters.mean(axis=0) if shares is None else shares
    elif clusters.ndim != 1 or clusters.dtype.kind not in "iu" or clusters.min() < 0:
        raise ValueError("`clusters` must hold one cluster number, from 0, for each candidate.")
    elif clusters.max() >= n_clusters:
        raise ValueError(
            f"`clusters` names cluster {clusters.max()}, but `noise` has {n_clusters} clusters."
        )
    if shares is None:
        shares = np.bincount(clusters, minlength=n_clusters) / len(clusters)
    shares = check_array(shares, ensure_2d=False, dtype=np.float64, input_name="shares")
    if shares.shape != (n_clusters,):
        raise ValueError(
            f"`shares` has shape {shares.shape}; expected one share per cluster, ({n_clusters},)."
        )
    return clusters, covariance, noise, shares


def check_responsibilities(features: np.ndarray, n_clusters: int) -> np.ndarray:
    """Check responsibilities of clusters for candidates."""
    features = features.astype(np.float64)
    if features.shape[1] != n_clusters:
        raise ValueError(
            f"`clusters` has {features.shape[1]} columns, but `noise` has {n_clusters} clusters; "
            "pass one responsibility per cluster."
        )
    if features.min() < 0 or not np.allclose(features.sum(axis=1), 1, atol=1e-4):
        raise ValueError(
            "`clusters` of two dimensions must hold responsibilities of at least 0 that sum to 1 "
            "in each row."
        )
    return features


def greedy_rows(
    features: np.ndarray,
    covariance: np.ndarray,
    noise: np.ndarray,
    shares: np.ndarray,
    n_prompts: int,
) -> np.ndarray:
    """Choose the most informative prompts about a model by their responsibilities.

    Parameters
    ----------
    features : ndarray of shape (n_candidates, n_clusters), dtype float64
    covariance : ndarray of shape (n_clusters, n_clusters)
        Covariance of the per-cluster errors, given what is known of the model so far.
    noise, shares : ndarray of shape (n_clusters,)
    n_prompts : int

    Returns
    -------
    chosen : ndarray of shape (n_prompts,), dtype intp
        Rows of `features`, in the order in which to take them.
    """
    covariance, features = covariance.copy(), np.ascontiguousarray(features)
    spread = features @ covariance
    # Variance of the error on each prompt, and by how much its error would cut the total variance.
    variance = np.einsum("nk,nk->n", spread, features) + features @ noise
    cut = spread**2 @ shares
    chosen = np.empty(n_prompts, dtype=np.intp)
    for number in range(n_prompts):
        chosen[number] = row = (cut / variance).argmax()
        column, total = covariance.dot(features[row]), variance[row]
        weighted = shares * column
        shift = features.dot(column)
        shift /= total
        variance -= total * shift**2
        covariance -= np.multiply.outer(column, column / total)
        # As the covariance falls, so do the reductions, without another product of matrices.
        fall = features.dot(2 * covariance.dot(weighted))
        fall += weighted.dot(column) * shift
        cut -= shift * fall
        cut[row] = -np.inf
    return chosen


def greedy_order(
    covariance: np.ndarray,
    noise: np.ndarray,
    shares: np.ndarray,
    available: np.ndarray,
    n_prompts: int,
) -> np.ndarray:
    """Choose the clusters from which to take the most informative prompts about a model.

    Each prompt is chosen to reduce the variance of the per-cluster errors most, weighted by the
    share of each cluster in the traffic.

    Parameters
    ----------
    covariance : ndarray of shape (n_clusters, n_clusters)
        Covariance of the per-cluster errors, given what is known of the model so far.
    noise, shares : ndarray of shape (n_clusters,)
    available : ndarray of shape (n_clusters,)
        Number of prompts to choose from in each cluster.
    n_prompts : int

    Returns
    -------
    order : ndarray of shape (n_prompts,), dtype intp
        Cluster of each prompt, in the order in which to take them.
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


def draw_by_weight(
    weights: np.ndarray, n_prompts: int, rng: np.random.RandomState
) -> tuple[np.ndarray, float]:
    """Draw prompts with probabilities in proportion to their weights, none of them twice.

    Parameters
    ----------
    weights : ndarray of shape (n_candidates,)
        Weights above 0.
    n_prompts : int
        Number of prompts to draw, below the number of candidates.
    rng : RandomState

    Returns
    -------
    rows : ndarray of shape (n_prompts,)
        Rising positions of the drawn candidates.
    step : float
        Weight for which each drawn prompt stands, but for heavier ones, which are drawn for certain
        and stand for themselves.
    """
    certain = np.zeros(len(weights), dtype=bool)
    step = weights.sum() / n_prompts
    while certain.sum() < n_prompts and (weights[~certain] >= step).any():
        certain |= weights >= step
        step = weights[~certain].sum() / max(n_prompts - certain.sum(), 1)
    others = rng.permutation(np.flatnonzero(~certain))
    ends = np.cumsum(weights[others])
    points = step * (rng.uniform() + np.arange(n_prompts - certain.sum()))
    drawn = others[np.searchsorted(ends[:-1], points, side="right")]
    return np.sort(np.append(np.flatnonzero(certain), drawn)), float(step)


def times_to_count(weights: np.ndarray, step: float) -> np.ndarray:
    """Compute how often an error on each drawn prompt counts: once, or more on heavy prompts.

    Takes the weights of the drawn prompts and the step of :func:`draw_by_weight`.
    """
    return np.maximum(weights, step) / max(step, 1.0)
