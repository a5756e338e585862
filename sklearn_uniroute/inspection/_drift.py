"""Drift of the traffic."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import chi2_contingency
from sklearn.utils import Bunch
from sklearn.utils.validation import check_is_fitted

from sklearn_uniroute._numerics._clusters import ClustersSeen, center_distances, far_distance
from sklearn_uniroute._numerics._features import NearestCluster
from sklearn_uniroute.inspection._clusters import check_has_clusters
from sklearn_uniroute.serving._routing_table import RoutingTable
from sklearn_uniroute.utils._validation import check_prompts, check_share


def drift_report(router: Any, X: ArrayLike, *, far_share: float = 0.01) -> Bunch:
    """Compare new prompts with those that a router was fitted on.

    Clusters are nearer to the prompts that they were fitted on than to new ones. The report allows
    for that: each training prompt counts by its distance to the clusters without it.

    Parameters
    ----------
    router : router over clusters, or RoutingTable of one
        Fitted router, or a table made of it.
    X : array-like of shape (n_prompts, n_features)
        New prompts.
    far_share : float, default=0.01
        Share of the prompts that count as far without drift: those farthest from all centres.

    Returns
    -------
    report : Bunch
        Dictionary-like object of numbers and lists, which can be written as JSON, with the
        attributes:

        - `share` and `training_share`, lists of length n_clusters: share of the new and of the
          training prompts in each cluster;
        - `moved_share`: share of the prompts that would have to move to another cluster for the two
          to be equal;
        - `p_value` of the chi-squared test that both are distributed alike;
        - `far`: list of the rows of `X` that are far;
        - `far_share`: share of the new prompts that are far, about `far_share` without drift.

    Raises
    ------
    ValueError
        If `far_share` is not between 0 and 1, if `X` does not fit the router, or if a table was
        written by version 0.1, which did not record how the training prompts lie.
    TypeError
        If the router has no clusters.

    Examples
    --------
    >>> from sklearn_uniroute import KMeansRouter
    >>> from sklearn_uniroute.datasets import make_routing_data
    >>> from sklearn_uniroute.inspection import drift_report
    >>> data = make_routing_data(random_state=0)
    >>> router = KMeansRouter(random_state=0).fit(data.X[:500], data.y[:500])
    >>> drift_report(router, data.X[500:] + 1).far_share > 0.9
    True
    """
    check_share(far_share, "far_share")
    X, centers, seen = _clusters_of(router, X)
    distances, labels = center_distances(X, NearestCluster(centers))
    counts = np.bincount(labels, minlength=len(centers))
    met = counts + seen.sizes > 0
    share, training_share = counts / counts.sum(), seen.sizes / seen.sizes.sum()
    far = np.flatnonzero(distances > far_distance(X, seen.distance_quantiles, far_share))
    return Bunch(
        share=share.tolist(),
        training_share=training_share.tolist(),
        moved_share=float(np.abs(share - training_share).sum() / 2),
        p_value=float(chi2_contingency([seen.sizes[met], counts[met]]).pvalue),
        far=far.tolist(),
        far_share=len(far) / len(distances),
    )


def _clusters_of(router: Any, X: ArrayLike) -> tuple[np.ndarray, np.ndarray, ClustersSeen]:
    """Get checked prompts, the centres, and how the training prompts lie in the clusters."""
    if isinstance(router, RoutingTable):
        return router._check_prompts(X), *router._clusters()
    check_is_fitted(router)
    check_has_clusters(router)
    return check_prompts(router, X), router.cluster_centers_, router._clusters_seen()
