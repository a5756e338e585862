"""Reports of clusters, and the excess risk of a router."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import t as student_t
from sklearn.base import clone
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import check_cv
from sklearn.utils import Bunch
from sklearn.utils.validation import check_is_fitted

from sklearn_uniroute._numerics._clusters import center_distances
from sklearn_uniroute._numerics._features import NearestCluster
from sklearn_uniroute.utils._files import as_json
from sklearn_uniroute.utils._typing import Pool
from sklearn_uniroute.utils._validation import (
    check_count,
    check_pool,
    check_prompts,
    check_quality,
    check_same_order,
    check_share,
    listing,
    select_columns,
)

# Number of prompts below which a regressor is not fitted.
_LEAST_RUN = 4


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
        Dictionary-like object of numbers, names and lists, which can be written as JSON, with the
        attributes:

        - `size` and `share`: for each cluster, number and share of the training prompts;
        - `typical`: for each cluster, the rows of its prompts in `X` that are nearest to its
          centre; None without `X`;
        - `error`: for each cluster, the error of each model;
        - `low` and `high`: ends of the intervals of the errors; None for a router without standard
          errors;
        - `best`: for each cluster, the model of lowest error.

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
    >>> len(report.typical), len(report.error[0])
    (4, 10)
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
        width = student_t.ppf((1 + confidence) / 2, router._prior_freedom)
        width = width * router.representation_std_[index, :n_clusters].T
        low, high = error - width, error + width
    if X is not None:
        X = check_prompts(router, X)
        distances, labels = center_distances(X, NearestCluster(router.cluster_centers_))
        typical = []
        for cluster in range(n_clusters):
            rows = np.flatnonzero(labels == cluster)
            typical.append(rows[np.argsort(distances[rows], kind="stable")[:n_typical]])
    report = {
        "size": router.cluster_sizes_,
        "share": router.cluster_shares_,
        "typical": typical,
        "error": error,
        "low": low,
        "high": high,
        "best": router.models_[index][error.argmin(axis=1)],
    }
    return Bunch(**as_json(report))


def excess_risk(
    router: Any,
    X: Any,
    y: ArrayLike,
    pool: Pool | None = None,
    *,
    regressor: Any = None,
    cv: Any = 5,
) -> Bunch:
    """Estimate how much routing by the errors that a router estimates can lose.

    The excess risk is the error, plus weighted cost, beyond that of routing by the true errors. On
    average over prompts, it is at most twice the `bound`: the absolute difference between true and
    estimated errors, for the model where they differ most. This holds at every cost weight, for
    routers that choose by estimated errors alone. Lower is better; use the bound to compare
    routers, or numbers of clusters.

    The true errors are unknown; a regressor that is fitted on other prompts stands in for them. The
    noise of the regressor would add to the difference. It is estimated from regressors that are
    fitted on halves of the prompts, and all differences are shrunk to their mean square without it.

    Parameters
    ----------
    router : router
        Fitted router of any kind, without a fallback and without a random mix for a budget.
    X : array-like of shape (n_prompts, n_features)
        Prompts that the router was not fitted on. On its training prompts the estimate is too low.
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

        - `bound`: the estimate of half the largest excess risk;
        - `difference` of shape (n_prompts, n_pool): absolute difference between the errors that the
          router and the regressor estimate, after correction;
        - `by_model` of shape (n_pool,): mean of the difference over prompts.

    Raises
    ------
    ValueError
        If shapes or names disagree, if a model was run on no prompt from which a regressor learns,
        or if the router does not choose by estimated errors alone.

    References
    ----------
    "Universal Model Routing for Efficient LLM Inference", arXiv 2502.08773, Proposition 2. Its
    proof, in appendix C.3, has the factor of two.

    Examples
    --------
    >>> from sklearn_uniroute import KMeansRouter
    >>> from sklearn_uniroute.datasets import make_routing_data
    >>> from sklearn_uniroute.inspection import excess_risk
    >>> data = make_routing_data(random_state=0)
    >>> X, y, X_new, y_new = data.X[:500], data.y[:500], data.X[500:], data.y[500:]
    >>> bounds = [
    ...     excess_risk(KMeansRouter(k, random_state=0).fit(X, y), X_new, y_new).bound
    ...     for k in (1, 8)
    ... ]
    >>> bounds[1] < bounds[0]
    True
    """
    check_is_fitted(router)
    check_routes_by_error(router)
    index = check_pool(pool, router.models_)
    labels = router.models_[index]
    check_same_order(X=X, y=y)
    y = check_quality(
        select_columns(y, labels, name="y"),
        n_prompts=len(X),
        n_models=len(index),
        labels=labels,
    )
    estimated = router.predict_error(X, labels.tolist())
    X = check_prompts(router, X)
    regressor = RidgeCV(np.logspace(-2, 4, 13)) if regressor is None else regressor
    # Predictions of a regressor on all other prompts, and of two on one half of them each.
    reference = np.empty((3, *y.shape))
    splits = list(check_cv(cv).split(X, y))
    check_partition([held_out for _, held_out in splits], len(X))
    for training, held_out in splits:
        for columns in _columns_run_alike(y[training]):
            run = training[~np.isnan(y[training, columns[0]])]
            check_enough_run(len(run), labels[columns])
            for number, rows in enumerate((run, run[::2], run[1::2])):
                fitted = clone(regressor).fit(X[rows], 1 - y[np.ix_(rows, columns)])
                predicted = fitted.predict(X[held_out]).reshape(len(held_out), -1)
                reference[number][np.ix_(held_out, columns)] = predicted
    difference, first, second = reference - estimated
    # The noise of the two halves is independent, so it plays no part in the mean of their product.
    total, signal = np.mean(difference**2), np.mean(first * second)
    share = np.clip(signal / total, 0, 1) if total > 0 else 0.0
    difference = np.abs(difference) * np.sqrt(share)
    return Bunch(
        bound=float(difference.max(axis=1).mean()),
        difference=difference,
        by_model=difference.mean(axis=0),
    )


def check_partition(folds: list[np.ndarray], n_prompts: int) -> None:
    """Refuse test folds that leave prompts out, or repeat some."""
    times = np.bincount(np.concatenate(folds), minlength=n_prompts)
    if (times != 1).any():
        raise ValueError(
            "`cv` must hold each prompt out exactly once, as KFold does; of row "
            f"{np.argmax(times != 1)} it makes {times[times != 1][0]} predictions."
        )


def check_routes_by_error(router: Any) -> None:
    """Refuse a router that does not always choose by the errors that it estimates."""
    if getattr(router, "fallback_distance_", None) is not None:
        raise ValueError(
            "this router has a `fallback`, and does not choose by estimated errors alone; fit it "
            "with fallback=None."
        )
    if router._randomizes and router.budget is not None:
        raise ValueError(
            "this router mixes models at random to meet its `budget`, and does not choose by "
            "estimated errors alone; fit it with budget=None."
        )


def check_enough_run(n_run: int, labels: np.ndarray) -> None:
    """Refuse models that leave a regressor nothing to learn from."""
    if n_run < _LEAST_RUN:
        raise ValueError(
            f"of the prompts from which a regressor learns, only {n_run} were run by model(s) "
            f"{listing(labels)}; at least {_LEAST_RUN} are needed. Pass more prompts, or a `pool` "
            "without these models."
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
