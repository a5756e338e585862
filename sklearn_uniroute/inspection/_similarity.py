"""Similarity of models by their errors, and its picture."""

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
from scipy.cluster.hierarchy import leaves_list, linkage
from scipy.spatial.distance import pdist, squareform
from sklearn.utils.validation import check_is_fitted

from sklearn_uniroute.inspection._clusters import check_has_clusters
from sklearn_uniroute.utils._optional import import_optional
from sklearn_uniroute.utils._typing import Pool
from sklearn_uniroute.utils._validation import check_pool, check_positive

# Distances below this are between equal representations.
_ROUNDING = 1e-9


def model_similarity(
    router: Any, pool: Pool | None = None, *, bandwidth: float | None = None
) -> np.ndarray:
    """Compute the similarity of models by their errors in the clusters.

    Parameters
    ----------
    router : router over clusters
        Fitted router.
    pool : sequence of model names, default=None
        Models to compare. By default, all models of the router.
    bandwidth : float, default=None
        Distance between two models, in units of error, at which their similarity is
        ``exp(-1 / 2)``. By default, the median distance between the models.

    Returns
    -------
    similarity : ndarray of shape (n_pool, n_pool)
        Gaussian kernel of the errors in the clusters, each weighted by its share of the training
        prompts; 1 for equal errors.

    Raises
    ------
    ValueError
        If the pool has unknown or repeated models, or if `bandwidth` is not above 0.
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
        # If most models are equal, but for rounding, the median says nothing about the others.
        middle = np.median(distances) if len(distances) else 0.0
        widths = (middle, distances.max(initial=0.0), 1.0)
        bandwidth = next(width for width in widths if width > _ROUNDING)
    check_positive(bandwidth, "bandwidth")
    return squareform(np.exp(-((distances / bandwidth) ** 2) / 2)) + np.eye(len(index))


class ModelSimilarityDisplay:
    """Heat map of the similarity of models, with similar models side by side.

    Use :meth:`from_estimator` to create a display. All parameters are stored as attributes.

    Parameters
    ----------
    similarity : ndarray of shape (n_models, n_models)
        Symmetric matrix of similarities between 0 and 1, with ones on its diagonal.
    models : sequence of length n_models
        Names of the models.

    Attributes
    ----------
    order_ : ndarray of shape (n_models,)
        Order in which the models are drawn: the order of the leaves of a hierarchical clustering by
        average similarity.
    ax_ : matplotlib Axes
        Axes with the map.
    figure_ : matplotlib Figure
        Figure of the axes.
    image_ : matplotlib AxesImage
        Heat map.

    See Also
    --------
    sklearn_uniroute.inspection.model_similarity : Computes the similarity.

    References
    ----------
    "Universal Model Routing for Efficient LLM Inference", arXiv 2502.08773, appendix G.6.

    Examples
    --------
    >>> from sklearn_uniroute import KMeansRouter
    >>> from sklearn_uniroute.datasets import make_routing_data
    >>> from sklearn_uniroute.inspection import ModelSimilarityDisplay
    >>> data = make_routing_data(random_state=0)
    >>> router = KMeansRouter(random_state=0).fit(data.X, data.y)
    >>> ModelSimilarityDisplay.from_estimator(router).image_.get_array().shape
    (10, 10)
    """

    __module__ = "sklearn_uniroute.inspection"

    def __init__(self, similarity: np.ndarray, models: np.ndarray) -> None:
        self.similarity = similarity
        self.models = models

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        pool: Pool | None = None,
        *,
        bandwidth: float | None = None,
        ax: Any = None,
        image_kwargs: Mapping[str, Any] | None = None,
    ) -> Self:
        """Draw the similarity of the models of a router.

        Parameters
        ----------
        estimator : router over clusters
            Fitted router.
        pool : sequence of model names, default=None
            Models to draw. By default, all models of the router.
        bandwidth : float, default=None
            See :func:`sklearn_uniroute.inspection.model_similarity`.
        ax : matplotlib Axes, default=None
            Axes to draw on. By default, new ones.
        image_kwargs : dict, default=None
            Keyword arguments for matplotlib's `imshow`.

        Returns
        -------
        display : ModelSimilarityDisplay
            Display with its axes in `ax_`.

        Raises
        ------
        ValueError, TypeError
            For the same reasons as :func:`sklearn_uniroute.inspection.model_similarity`.
        """
        similarity = model_similarity(estimator, pool, bandwidth=bandwidth)
        models = estimator.models_[check_pool(pool, estimator.models_)]
        return cls(similarity, models).plot(ax, image_kwargs=image_kwargs)

    def plot(self, ax: Any = None, *, image_kwargs: Mapping[str, Any] | None = None) -> Self:
        """Draw the map.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on. By default, new ones.
        image_kwargs : dict, default=None
            Keyword arguments for matplotlib's `imshow`.

        Returns
        -------
        display : ModelSimilarityDisplay
            Display with its axes in `ax_`.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        """
        if ax is None:
            _, ax = import_optional("matplotlib.pyplot", "plot").subplots(layout="constrained")
        self.order_ = np.arange(len(self.models))
        if len(self.models) > 1:
            distances = squareform(1 - self.similarity, checks=False)
            tree = linkage(distances, method="average", optimal_ordering=True)
            self.order_ = leaves_list(tree)
        self.image_ = ax.imshow(
            self.similarity[np.ix_(self.order_, self.order_)],
            **{"vmin": 0, "vmax": 1, "cmap": "viridis", **(image_kwargs or {})},
        )
        labels = [str(self.models[place]) for place in self.order_]
        ax.set_xticks(range(len(labels)), labels, rotation=90)
        ax.set_yticks(range(len(labels)), labels)
        ax.figure.colorbar(self.image_, ax=ax, label="Similarity")
        self.ax_ = ax
        self.figure_ = ax.figure
        return self
