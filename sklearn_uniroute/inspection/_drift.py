"""Drift of the traffic."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import chi2_contingency
from sklearn.utils import Bunch
from sklearn.utils.validation import check_is_fitted

from sklearn_uniroute._numerics._clusters import center_distances, far_distance
from sklearn_uniroute._numerics._features import NearestCluster
from sklearn_uniroute.inspection._clusters import check_has_clusters
from sklearn_uniroute.utils._validation import check_prompts, check_share


def drift_report(router: Any, X: ArrayLike, *, far_share: float = 0.01) -> Bunch:
    """Compare new prompts with those that a router was fitted on.

    Parameters
    ----------
    router : router over clusters
        Fitted router.
    X : array-like of shape (n_prompts, n_features)
        New prompts.
    far_share : float, default=0.01
        Share of the training prompts that count as far: those farthest from all centres. A new
        prompt is far if it is farther from its centre than all other training prompts.

    Returns
    -------
    report : Bunch
        Dictionary-like object with the attributes:

        - `share` and `training_share` of shape (n_clusters,): share of the new and of the training
          prompts in each cluster;
        - `moved_share`: share of the prompts that would have to move to another cluster for the two
          to be equal;
        - `p_value` of the chi-squared test that both are distributed alike;
        - `far`: rows of `X` that are far;
        - `far_share`: share of the new prompts that are far, about `far_share` without drift.

    Raises
    ------
    ValueError
        If `far_share` is not between 0 and 1.
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
    check_is_fitted(router)
    check_has_clusters(router)
    check_share(far_share, "far_share")
    X = check_prompts(router, X)
    distances, labels = center_distances(X, NearestCluster(router.cluster_centers_))
    sizes = router.cluster_sizes_
    counts = np.bincount(labels, minlength=len(sizes))
    seen = counts + sizes > 0
    share, training_share = counts / counts.sum(), router.cluster_shares_
    far = np.flatnonzero(distances > far_distance(X, router.distance_quantiles_, far_share))
    return Bunch(
        share=share,
        training_share=training_share,
        moved_share=float(np.abs(share - training_share).sum() / 2),
        p_value=float(chi2_contingency([sizes[seen], counts[seen]]).pvalue),
        far=far,
        far_share=len(far) / len(distances),
    )
