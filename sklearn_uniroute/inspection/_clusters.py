"""Reports of clusters, and the excess risk of a router."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import norm
from sklearn.base import clone
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import check_cv
from sklearn.utils import Bunch
from sklearn.utils.validation import check_is_fitted

from sklearn_uniroute._numerics._clusters import center_distances
from sklearn_uniroute._numerics._features import NearestCluster
from sklearn_uniroute.utils._typing import Pool
from sklearn_uniroute.utils._validation import (
    check_count,
    check_pool,
    check_prompts,
    check_quality,
    check_share,
    select_columns,
)


def cluster_report(
    router: Any,
    X: ArrayLike | None = None,
    pool: Pool | None = None,
    *,
    n_typical: int = 3,
    confidence: float = 0.9,
) -> Bunch:
    """Describe the clusters of a router, and the errors of the models in each.

    Parameters
    ----------
    router : router over clusters
        Fitted router.
    X : array-like of shape (n_prompts, n_features), default=None
        Prompts to pick typical ones from.
    pool : sequence of model names, default=None
        Models to describe. By default, all models of the router.
    n_typical : int, default=3
        Maximum number of typical prompts per cluster.
    confidence : float, default=0.9
        Coverage of the intervals of errors.

    Returns
    -------
    report : Bunch
        Dictionary-like object with the attributes:

        - `size` and `share` of shape (n_clusters,): number and share of the training prompts;
        - `typical`: for each cluster, the rows of its prompts in `X` that are nearest to its
          centre; None without `X`;
        - `error` of shape (n_clusters, n_pool): error of each model;
        - `low` and `high`: ends of the intervals of the errors; None for a router without standard
          errors;
        - `best` of shape (n_clusters,): model of lowest error.

    Raises
    ------
    ValueError
        If the pool has unknown or repeated models, or if a number is out of range.
    TypeError
        If the router has no clusters.

    Examples
    --------
    >>> from sklearn_uniroute import KMeansRouter
    >>> from sklearn_uniroute.datasets import make_routing_data
    >>> from sklearn_uniroute.inspection import cluster_report
    >>> data = make_routing_data(random_state=0)
    >>> router = KMeansRouter(4, random_state=0).fit(data.X, data.y)
    >>> report = cluster_report(router, data.X, n_typical=2)
    >>> len(report.typical), report.error.shape
    (4, (4, 10))
    """
    check_is_fitted(router)
    check_has_clusters(router)
    check_count(n_typical, "n_typical")
    check_share(confidence, "confidence")
    index = check_pool(pool, router.models_)
    n_clusters = len(router.cluster_shares_)
    error = router.representation_[index, :n_clusters].T
    low = high = typical = None
    if router.representation_std_ is not None:
        width = norm.ppf((1 + confidence) / 2)
        width = width * router.representation_std_[index, :n_clusters].T
        low, high = error - width, error + width
    if X is not None:
        X = check_prompts(router, X)
        distances, labels = center_distances(X, NearestCluster(router.cluster_centers_))
        typical = []
        for cluster in range(n_clusters):
            rows = np.flatnonzero(labels == cluster)
            typical.append(rows[np.argsort(distances[rows], kind="stable")[:n_typical]])
    return Bunch(
        size=router.cluster_sizes_,
        share=router.cluster_shares_,
        typical=typical,
        error=error,
        low=low,
        high=high,
        best=router.models_[index][error.argmin(axis=1)],
    )


def excess_risk(
    router: Any,
    X: Any,
    y: ArrayLike,
    pool: Pool | None = None,
    *,
    regressor: Any = None,
    cv: Any = 5,
) -> Bunch:
    """Estimate the excess risk of routing by the errors that a router estimates.

    The excess risk over routing by the true errors is bounded by the difference between true and
    estimated errors, for the model where they differ most, on average over prompts. The true errors
    are unknown; a regressor that is fitted on other prompts stands in for them. Lower is better.
    Use the bound to compare routers, or numbers of clusters.

    Parameters
    ----------
    router : router
        Fitted router of any kind.
    X : array-like of shape (n_prompts, n_features)
        Prompts, preferably those that the router was not fitted on.
    y : array-like or DataFrame of shape (n_prompts, n_pool)
        Quality of each model, in the order of `pool` or, in a DataFrame, by name. NaN means that
        the model was not run.
    pool : sequence of model names, default=None
        Models to consider. By default, all models of the router.
    regressor : estimator, default=None
        Regressor with several outputs. By default, :class:`sklearn.linear_model.RidgeCV`.
    cv : int or cross-validation splitter, default=5
        Splits that hold prompts out from the regressor.

    Returns
    -------
    estimate : Bunch
        Dictionary-like object with the attributes:

        - `bound`: the estimate;
        - `difference` of shape (n_prompts, n_pool): absolute difference between the errors that the
          router and the regressor estimate;
        - `by_model` of shape (n_pool,): mean of the difference over prompts.

    Raises
    ------
    ValueError
        If shapes or names disagree.

    References
    ----------
    "Universal Model Routing for Efficient LLM Inference", arXiv 2502.08773, Proposition 2.

    Examples
    --------
    >>> from sklearn_uniroute import KMeansRouter
    >>> from sklearn_uniroute.datasets import make_routing_data
    >>> from sklearn_uniroute.inspection import excess_risk
    >>> data = make_routing_data(random_state=0)
    >>> bounds = [
    ...     excess_risk(KMeansRouter(k, random_state=0).fit(data.X, data.y), data.X, data.y).bound
    ...     for k in (1, 8)
    ... ]
    >>> bounds[1] < bounds[0]
    True
    """
    check_is_fitted(router)
    index = check_pool(pool, router.models_)
    labels = router.models_[index]
    y = check_quality(
        select_columns(y, labels, name="y"),
        n_prompts=len(X),
        n_models=len(index),
        labels=labels,
    )
    estimated = router.predict_error(X, labels.tolist())
    X = check_prompts(router, X)
    regressor = RidgeCV(np.logspace(-2, 4, 13)) if regressor is None else regressor
    reference = np.empty(y.shape)
    for training, held_out in check_cv(cv).split(X, y):
        for columns in _columns_run_alike(y[training]):
            run = training[~np.isnan(y[training, columns[0]])]
            fitted = clone(regressor).fit(X[run], 1 - y[np.ix_(run, columns)])
            predicted = fitted.predict(X[held_out]).reshape(len(held_out), -1)
            reference[np.ix_(held_out, columns)] = predicted
    difference = np.abs(reference - estimated)
    return Bunch(
        bound=float(difference.max(axis=1).mean()),
        difference=difference,
        by_model=difference.mean(axis=0),
    )


def _columns_run_alike(y: np.ndarray) -> list[np.ndarray]:
    """Group the columns whose NaN stand in the same rows."""
    patterns, group = np.unique(np.isnan(y), axis=1, return_inverse=True)
    return [np.flatnonzero(group.ravel() == number) for number in range(patterns.shape[1])]


def check_has_clusters(router: Any) -> None:
    """Refuse a router without clusters of prompts."""
    if not hasattr(router, "cluster_centers_"):
        raise TypeError(
            f"clusters are needed here, and a {type(router).__name__} has none; pass a "
            "KMeansRouter, a LearnedMapRouter or a HybridRouter."
        )
