"""Drift of the traffic, and of the models."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import chi2_contingency
from sklearn.utils import Bunch
from sklearn.utils.validation import check_is_fitted

from sklearn_uniroute._numerics._clusters import ClustersSeen, center_distances, far_distance
from sklearn_uniroute._numerics._drift import log_evidence_of_change, predict_in_turn
from sklearn_uniroute._numerics._features import NearestCluster
from sklearn_uniroute.inspection._clusters import check_has_clusters
from sklearn_uniroute.serving._routing_table import RoutingTable
from sklearn_uniroute.utils._logs import check_chosen, check_feedback
from sklearn_uniroute.utils._validation import (
    check_prompts,
    check_same_order,
    check_share,
    is_price,
)


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


def model_drift(
    router: Any, X: ArrayLike, chosen: ArrayLike, errors: ArrayLike, *, alpha: float = 0.05
) -> Bunch:
    """Find the models that answer otherwise than a router knows them.

    The test can be repeated while the log grows, every hour say, without more false alarms. Pass
    the whole log since the router learned last. Then make what it learned of the models that
    drifted count for less, with the router's `decay`.

    Parameters
    ----------
    router : router over clusters with ``representation="posterior"``
        Fitted router, which has not learned from this log.
    X : array-like of shape (n_calls, n_features)
        Embedding of the prompt of each call, the oldest first.
    chosen : array-like of shape (n_calls,)
        Name of the model that answered.
    errors : array-like of shape (n_calls,)
        Error of the answer, between 0 and 1. NaN where no feedback came back.
    alpha : float, default=0.05
        Probability of any false alarm, at any time, until the router learns next.

    Returns
    -------
    report : Bunch
        Dictionary-like object of numbers, names and lists, which can be written as JSON, with the
        attributes, one entry for each model that has feedback:

        - `models`: names of the models;
        - `n_errors`: number of calls with feedback;
        - `difference`: mean error less the mean that the router predicts; above 0 if the model
          is worse than it was;
        - `std`: standard error of the difference, with how well the router knows the model;
        - `p_value`: of the sequential test that nothing changed;
        - `drifted`: whether the p-value is at most `alpha` over the number of models of the router;
        - `alarm`: row of `X` from which on this is so; None without a drift.

    Raises
    ------
    ValueError
        If lengths disagree, if a model is unknown, if `X` does not fit the router, if an error is
        not between 0 and 1, if `alpha` is not, or if no call has feedback.
    TypeError
        If the router has no posterior.

    Notes
    -----
    Each error is predicted from the posterior and the errors before it. The p-value is one over the
    largest wealth so far of a gambler who bets at fair odds that the errors are others, from some
    call on. By Ville's inequality, it is valid at any time. The posterior is taken to be right.

    References
    ----------
    Waudby-Smith and Ramdas, "Estimating means of bounded random variables by betting", Journal of
    the Royal Statistical Society, Series B, 2024.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_uniroute import KMeansRouter
    >>> from sklearn_uniroute.datasets import make_routing_data
    >>> from sklearn_uniroute.inspection import model_drift
    >>> data = make_routing_data(n_prompts=2000, n_models=3, random_state=0)
    >>> router = KMeansRouter(random_state=0).fit(data.X[:1000], data.y[:1000])
    >>> X, chosen = data.X[1000:], np.arange(1000) % 3
    >>> errors = 1 - data.y[1000:][np.arange(1000), chosen]
    >>> errors[500:][chosen[500:] == 2] = 1  # from here on, model 2 is always wrong
    >>> model_drift(router, X, chosen, errors).drifted
    [False, False, True]
    """
    check_alpha(alpha)
    check_is_fitted(router)
    check_has_posterior(router)
    check_same_order(X=X, chosen=chosen, errors=errors)
    X = check_prompts(router, X)
    positions = check_chosen(chosen, router.models_, len(X), "chosen")
    errors = check_feedback(errors, len(X), "errors")
    graded = np.flatnonzero(~np.isnan(errors))
    check_between(errors[graded])
    found = []
    for position in np.unique(positions[graded]):
        rows = graded[positions[graded] == position]
        mean, covariance = router.representation_[position], router._posterior_covariance(position)
        features = router._dense_features(X[rows]).astype(np.float64)
        observed = errors[rows].astype(np.float64)
        difference = observed - features @ mean
        total = features.sum(axis=0)
        variance = (features @ router.noise_).sum() + total @ covariance @ total
        predicted = predict_in_turn(mean, covariance, router.noise_, features, observed)
        evidence = log_evidence_of_change(observed, predicted)
        alarm = np.flatnonzero(evidence >= np.log(len(router.models_) / alpha))
        found.append(
            {
                "models": router.models_[position].item(),
                "n_errors": len(rows),
                "difference": float(difference.mean()),
                "std": float(np.sqrt(variance)) / len(rows),
                "p_value": float(np.exp(-max(evidence.max(), 0.0))),
                "drifted": bool(len(alarm)),
                "alarm": int(rows[alarm[0]]) if len(alarm) else None,
            }
        )
    return Bunch(**{name: [one[name] for one in found] for name in found[0]})


def check_has_posterior(router: Any) -> None:
    """Refuse a router that does not know how well it knows its models."""
    if not getattr(router, "_can_draw", False):
        raise TypeError(
            "a posterior is needed here; pass a router over clusters with "
            "representation='posterior', such as KMeansRouter."
        )


def check_alpha(alpha: Any) -> None:
    """Check the probability of a false alarm."""
    if not is_price(alpha) or not 0 < alpha < 1:
        raise ValueError(f"`alpha` must be above 0 and below 1; got {alpha!r}.")


def check_between(errors: np.ndarray) -> None:
    """Check that there are errors, between 0 and 1."""
    if not len(errors):
        raise ValueError("`errors` is NaN throughout: no call has feedback.")
    if errors.min() < 0 or errors.max() > 1:
        raise ValueError(
            f"`errors` must be between 0 and 1; got {errors.min():g} to {errors.max():g}."
        )
