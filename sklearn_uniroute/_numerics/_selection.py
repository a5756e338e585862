"""Choice of the prompts on which to run a model."""

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils import check_random_state

from sklearn_uniroute._numerics._posterior import greedy_order
from sklearn_uniroute.utils._parameters import check_count, check_enough
from sklearn_uniroute.utils._typing import RandomState
from sklearn_uniroute.utils._validation import check_selection


def select_validation_prompts(
    clusters: ArrayLike,
    covariance: ArrayLike,
    noise: ArrayLike,
    n_prompts: int,
    *,
    shares: ArrayLike | None = None,
    random_state: RandomState = None,
) -> np.ndarray:
    """Choose prompts that tell most of a model's per-cluster errors.

    One after the other, the prompt is taken that cuts the posterior variance of the errors most,
    weighted by the clusters' shares of the traffic. Prompts of one cluster are worth the same, and
    are taken in random order. The effort is of order ``n_prompts * n_clusters ** 2``, whatever the
    number of candidates.

    Parameters
    ----------
    clusters : array-like of shape (n_candidates,)
        Cluster of each candidate, from 0.
    covariance : array-like of shape (n_clusters, n_clusters)
        Covariance of the per-cluster errors as far as they are known, such as the
        `prior_covariance_` of a router.
    noise : array-like of shape (n_clusters,)
        Variance of a single error in each cluster, such as the `noise_` of a router.
    n_prompts : int
        How many to choose.
    shares : array-like of shape (n_clusters,), default=None
        Share of each cluster in the traffic; by default that in the candidates.
    random_state : int, RandomState instance or None, default=None
        Seeds the order within clusters.

    Returns
    -------
    indices : ndarray of shape (n_prompts,)
        Positions of the chosen candidates, the most telling first.

    Raises
    ------
    ValueError
        If shapes disagree, a cluster is out of range, or there are fewer candidates than
        `n_prompts`.

    Examples
    --------
    The errors in the first two clusters go together, so that one prompt tells of both.

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
    n_clusters = len(noise)
    available = np.bincount(clusters, minlength=n_clusters)
    order = greedy_order(covariance, noise, shares, available, n_prompts)
    shuffled = check_random_state(random_state).permutation(len(clusters))
    by_cluster = shuffled[np.argsort(clusters[shuffled], kind="stable")]
    # The j-th pick from a cluster is the j-th of its candidates.
    first = np.cumsum(available) - available
    pick = np.argsort(np.argsort(order, kind="stable"), kind="stable")
    sizes = np.bincount(order, minlength=n_clusters)
    indices: np.ndarray = by_cluster[first[order] + pick - (np.cumsum(sizes) - sizes)[order]]
    return indices
