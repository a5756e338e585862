"""How alike models are in what they get wrong."""

from typing import Any

import numpy as np
from scipy.spatial.distance import pdist, squareform
from sklearn.utils.validation import check_is_fitted

from sklearn_uniroute.utils._model_validation import check_pool
from sklearn_uniroute.utils._parameters import check_positive
from sklearn_uniroute.utils._typing import Pool
from sklearn_uniroute.utils._validation import check_has_clusters

# Distances below this are those of equal representations.
_ROUNDING = 1e-9


def model_similarity(
    router: Any, pool: Pool | None = None, *, bandwidth: float | None = None
) -> np.ndarray:
    """Compute how alike models are in what they get wrong.

    Parameters
    ----------
    router : router over clusters
        Fitted.
    pool : sequence of model names, default=None
        The models, all that the router knows by default.
    bandwidth : float, default=None
        Distance of representations, in units of error, at which models are alike by
        ``exp(-1 / 2)``. By default the median distance between the models.

    Returns
    -------
    similarity : ndarray of shape (n_pool, n_pool)
        Gaussian kernel of the per-cluster errors, each cluster weighted by its share of the
        training prompts; 1 for equal errors.

    Raises
    ------
    ValueError
        If the pool has unknown or repeated models, or the bandwidth is not above 0.
    TypeError
        If the router has no clusters.

    References
    ----------
    "Universal Model Routing for Efficient LLM Inference", arXiv 2502.08773, appendix G.6.

    Examples
    --------
    >>> from sklearn_uniroute import KMeansRouter
    >>> from sklearn_uniroute.datasets import make_routing_data
    >>> from sklearn_uniroute.inspection import model_similarity
    >>> data = make_routing_data(random_state=0)
    >>> router = KMeansRouter(random_state=0).fit(data.X, data.y)
    >>> model_similarity(router, [0, 1, 9]).shape
    (3, 3)
    """
    check_is_fitted(router)
    check_has_clusters(router)
    index = check_pool(pool, router.models_)
    shares = router.cluster_shares_
    distances = pdist(router.representation_[index][:, : len(shares)] * np.sqrt(shares))
    if bandwidth is None:
        # Where most models are equal, but for rounding, the median says nothing of the others.
        middle = np.median(distances) if len(distances) else 0.0
        widths = (middle, distances.max(initial=0.0), 1.0)
        bandwidth = next(width for width in widths if width > _ROUNDING)
    check_positive(bandwidth, "bandwidth")
    similarity: np.ndarray = squareform(np.exp(-((distances / bandwidth) ** 2) / 2)) + np.eye(
        len(index)
    )
    return similarity
