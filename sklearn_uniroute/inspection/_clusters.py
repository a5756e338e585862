"""What a fitted router over clusters knows, and whether it still fits the traffic."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import chi2_contingency, norm
from sklearn.base import clone
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import check_cv
from sklearn.utils import Bunch
from sklearn.utils.validation import check_is_fitted

from sklearn_uniroute._numerics._clusters import center_distances, far_distance
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
    *,
    pool: Pool | None = None,
    n_typical: int = 3,
    confidence: float = 0.9,
) -> Bunch:
    """Describe the clusters of a router, and how the models do in each.

    Parameters
    ----------
    router : router over clusters
        Fitted.
    X : array-like of shape (n_prompts, n_features), default=None
        Prompts to pick typical ones from.
    pool : sequence of model names, default=None
        The models, all that the router knows by default.
    n_typical : int, default=3
        Number of typical prompts of each cluster.
    confidence : float, default=0.9
        Coverage of the intervals of errors.

    Returns
    -------
    report : Bunch
        With `size` and `share` of shape (n_clusters,), the number of training prompts and their
        share of all; `typical`, a list with, for each cluster, the rows of its prompts in `X` that
        are nearest to its centre, or None without `X`; `error` of shape (n_clusters, n_pool); `low`
        and `high`, the ends of its intervals, or None for a router without standard errors; and
        `best` of shape (n_clusters,), the model of least error.

    Raises
    ------
    ValueError
        If the pool has unknown or repeated models, or a number is out of range.
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
    *,
    regressor: Any = None,
    pool: Pool | None = None,
    cv: Any = 5,
) -> Bunch:
    """Estimate what is lost by estimating errors as the router does, instead of by prompt.

    Routing by clusters is at most worse than routing by the true errors at each prompt by what
    these errors differ from those of the clusters, for the model where they differ most, on average
    over prompts. The true errors are not known: a regressor, fitted on other prompts, stands in for
    them. Lower is better; compare numbers of clusters, or routers, by it.

    Parameters
    ----------
    router : router
        Fitted, of any kind.
    X : array-like of shape (n_prompts, n_features)
        Prompts, best such as the router was not fitted on.
    y : array-like or DataFrame of shape (n_prompts, n_pool)
        Quality of each model, in the order of `pool`, or by name in a DataFrame; NaN where a model
        was not run.
    regressor : estimator, default=None
        Any regressor that takes several outputs; by default a
        :class:`sklearn.linear_model.RidgeCV`.
    pool : sequence of model names, default=None
        The models, all that the router knows by default.
    cv : int or cross-validation splitter, default=5
        How prompts are held out from the regressor.

    Returns
    -------
    estimate : Bunch
        With `bound`, the estimate; `difference` of shape (n_prompts, n_pool), how far the errors
        that the router estimates are from those of the regressor; and `by_model` of shape
        (n_pool,), its mean over prompts.

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


def drift_report(router: Any, X: ArrayLike, *, far_share: float = 0.01) -> Bunch:
    """Compare new prompts with those that a router was fitted on.

    Parameters
    ----------
    router : router over clusters
        Fitted.
    X : array-like of shape (n_prompts, n_features)
        New prompts.
    alpha : float, default=0.01
        New prompts are far where they are farther from the nearest centre than all training
        prompts but this share of them.

    Returns
    -------
    report : Bunch
        With `share` and `training_share` of shape (n_clusters,), of new and of training prompts;
        `moved_share`, of the prompts that would have to lie in other clusters for the two to be
        equal; `p_value`, of the chi-squared test that both spread alike; `far`, the rows of `X`
        that are far; and `far_share`, theirs of all new prompts, about `alpha` where nothing has
        changed.

    Raises
    ------
    ValueError
        If `alpha` is not between 0 and 1.
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
