"""Values of routers from logs of other routers."""

import warnings
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import norm, sem
from sklearn.utils import Bunch

from sklearn_uniroute.utils._logs import check_calls, check_chosen, check_feedback
from sklearn_uniroute.utils._typing import Pool
from sklearn_uniroute.utils._validation import (
    as_numbers,
    check_choice,
    check_names,
    check_same_order,
    check_share,
    select_columns,
)

# Number of calls that count fully below which a log says next to nothing.
_LEAST_CALLS = 30
# Standard errors by which the mean weight may differ from 1.
_UNUSUAL = 4


def off_policy_value(
    outcome: ArrayLike,
    chosen: ArrayLike,
    propensity: ArrayLike,
    target: ArrayLike,
    *,
    predicted: ArrayLike | None = None,
    models: Pool | None = None,
    estimator: str = "doubly_robust",
    confidence: float = 0.95,
) -> Bunch:
    """Estimate what another router would have earned on the traffic of a log.

    Pass qualities to estimate the mean quality, and costs to estimate the mean cost. The log must
    come from tables that explore, see `route_logged` of :class:`sklearn_uniroute.RoutingTable`. If
    the same prompts came again and again, it must have been given a `request_id` for each call.
    Otherwise they all went the same way, and the interval is too narrow.

    Parameters
    ----------
    outcome : array-like of shape (n_calls,)
        Quality or cost of each logged call. NaN where none came back; these calls are left out, as
        if they were a random share.
    chosen : array-like of shape (n_calls,)
        Name of the model that answered.
    propensity : array-like of shape (n_calls,)
        Probability with which it was chosen.
    target : array-like of shape (n_calls,)
        Name of the model that the other router chooses for each prompt, such as
        ``router.predict(X, cost_weight=0.01)``. The router must not have learned from these calls;
        otherwise, it looks better than it is.
    predicted : array-like or DataFrame of shape (n_calls, n_models), default=None
        Outcome that is expected of each model on each prompt, such as ``1 -
        router.predict_error(X)``. It must not be learned from these calls. Needed by the
        doubly robust estimator.
    models : sequence of model names, default=None
        Names of the columns of `predicted`. By default, the columns of a DataFrame, or 0, 1, ...
    estimator : {"doubly_robust", "ips", "self_normalized"}, default="doubly_robust"
        "ips" weights the calls that the two routers share by one over the propensity.
        "self_normalized" divides by the sum of these weights, and needs less luck. "doubly_robust"
        takes predicted outcomes and weights what they leave over; it is the most precise one.
    confidence : float, default=0.95
        Coverage of the interval.

    Returns
    -------
    estimate : Bunch
        Dictionary-like object with the attributes:

        - `value`: estimate of the mean outcome;
        - `low`, `high`: ends of its interval;
        - `std`: standard error;
        - `n_shared`: number of calls for which both routers chose the same model;
        - `effective_sample_size`: number of calls on the other router's own traffic that would tell
          as much as the weighted ones.

    Raises
    ------
    ValueError
        If lengths disagree, if a propensity is not above 0 and at most 1, if a model has no
        predicted outcome, if no call has an outcome, or if the routers share no call and the
        estimator has no predictions.

    Warns
    -----
    UserWarning
        If the weighted calls count for fewer than 30, if the weights show that the log lacks some
        models that the other router chooses, or if the estimate is beyond all outcomes and
        predictions by more than its noise, as with predictions on another scale.

    References
    ----------
    Dudik, Langford and Li, "Doubly robust policy evaluation and learning", ICML 2011.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_uniroute import KMeansRouter
    >>> from sklearn_uniroute.datasets import make_routing_data
    >>> from sklearn_uniroute.metrics import off_policy_value
    >>> data = make_routing_data(n_prompts=3000, n_models=3, random_state=0)
    >>> X, y = data.X[1000:], data.y[1000:]
    >>> router = KMeansRouter(random_state=0).fit(data.X[:1000], data.y[:1000], costs=data.costs)
    >>> table = router.routing_table(cost_weight=0.001, exploration=0.2)
    >>> log = [table.route_logged(x) for x in X]
    >>> chosen = [decision.model for decision in log]
    >>> propensity = [decision.propensity for decision in log]
    >>> quality = y[np.arange(2000), chosen]
    >>> target = router.predict(X, cost_weight=0.0005)
    >>> predicted = 1 - router.predict_error(X)
    >>> estimate = off_policy_value(quality, chosen, propensity, target, predicted=predicted)
    >>> bool(estimate.low < y[np.arange(2000), target].mean() < estimate.high)
    True
    """
    check_choice(estimator, "estimator", ("doubly_robust", "ips", "self_normalized"))
    check_share(confidence, "confidence")
    check_same_order(
        outcome=outcome, chosen=chosen, propensity=propensity, target=target, predicted=predicted
    )
    n_calls = len(np.asarray(outcome))
    reward = check_feedback(outcome, n_calls, "outcome").astype(np.float64)
    probability = check_propensity(propensity, n_calls)
    prediction, names = check_predicted(predicted, models, chosen, target, n_calls)
    logged = check_chosen(chosen, names, n_calls, "chosen")
    aim = check_chosen(target, names, n_calls, "target")
    known = np.flatnonzero(~np.isnan(reward))
    check_known(len(known), prediction is not None, estimator)
    reward, logged, aim = reward[known], logged[known], aim[known]
    weight = (logged == aim) / probability[known]
    check_shared(weight, estimator)
    if estimator == "self_normalized":
        value = weight @ reward / weight.sum()
        terms = weight * (reward - value) / weight.mean()
    else:
        expected = prediction[known, aim] if estimator == "doubly_robust" else 0.0
        terms = expected + weight * (reward - expected)
        value = terms.mean()
    n_shared = int((weight > 0).sum())
    # One call does not say how much calls differ.
    spread = estimator == "doubly_robust" or n_shared > 1
    std = sem(terms) if spread and len(known) > 1 else np.nan
    half = norm.ppf((1 + confidence) / 2) * std
    if estimator == "doubly_robust":
        warn_beyond_outcomes(value, std, reward, prediction)
    total = (weight**2).sum()
    return Bunch(
        value=float(value),
        low=float(value - half),
        high=float(value + half),
        std=float(std),
        n_shared=n_shared,
        effective_sample_size=float(weight.sum() ** 2 / total) if total else 0.0,
    )


def warn_beyond_outcomes(
    value: float, std: float, outcome: np.ndarray, predicted: np.ndarray
) -> None:
    """Warn of a mean beyond all that was logged or predicted."""
    low, high = min(outcome.min(), predicted.min()), max(outcome.max(), predicted.max())
    slack = _UNUSUAL * np.nan_to_num(std) + 1e-9 * max(abs(low), abs(high))
    if not low - slack <= value <= high + slack:
        warnings.warn(
            f"the estimate is {value:.3g}, but outcomes and predictions go from {low:.3g} to "
            f"{high:.3g}; pass `predicted` on the scale of the outcomes, qualities for qualities "
            "and costs for costs.",
            UserWarning,
            stacklevel=3,
        )


def doubly_robust_outcomes(
    outcome: np.ndarray, logged: np.ndarray, propensity: np.ndarray, predicted: np.ndarray
) -> np.ndarray:
    """Estimate the outcome of each model on each logged prompt, without bias.

    Parameters
    ----------
    outcome : ndarray of shape (n_calls,)
    logged : ndarray of shape (n_calls,)
        Position of the model that answered.
    propensity : ndarray of shape (n_calls,)
    predicted : ndarray of shape (n_calls, n_models)

    Returns
    -------
    outcomes : ndarray of shape (n_calls, n_models)
        Their mean over the choices of a router is the doubly robust estimate of its value.
    """
    outcomes = predicted.astype(np.float64)
    rows = np.arange(len(logged))
    outcomes[rows, logged] += (outcome - outcomes[rows, logged]) / propensity
    return outcomes


def check_propensity(propensity: Any, n_calls: int) -> np.ndarray:
    """Check the probability of each logged choice."""
    checked = check_feedback(propensity, n_calls, "propensity").astype(np.float64)
    wrong = ~((checked > 0) & (checked <= 1))
    if wrong.any():
        row = int(np.argmax(wrong))
        raise ValueError(
            f"`propensity` must be above 0 and at most 1; got {checked[row]} in row {row}. Log "
            "`decision.propensity` of route_logged with each call."
        )
    return checked


def check_predicted(
    predicted: Any, models: Any, chosen: Any, target: Any, n_calls: int
) -> tuple[Any, np.ndarray]:
    """Check predicted outcomes, and find the names of the models."""
    if predicted is None:
        check_calls(chosen, n_calls, "chosen")
        check_calls(target, n_calls, "target")
        met = dict.fromkeys([*np.asarray(chosen).tolist(), *np.asarray(target).tolist()])
        return None, np.array(check_names(list(met), "`chosen` and `target`"))
    if models is None:
        models = getattr(predicted, "columns", range(np.shape(predicted)[-1]))
        if np.asarray(chosen).dtype.kind in "UO" and not hasattr(predicted, "columns"):
            raise ValueError(
                "`chosen` names models, but the columns of `predicted` have no names; pass "
                "models=router.models_."
            )
        warn_if_not_met(models, chosen, target, has_names=hasattr(predicted, "columns"))
    names = np.array(check_names(list(models), "`models`"))
    predicted = select_columns(as_numbers(predicted), names, name="predicted")
    predicted = np.asarray(predicted, dtype=np.float64)
    if predicted.shape != (n_calls, len(names)):
        raise ValueError(
            f"`predicted` must have shape {(n_calls, len(names))}, one row per call and one column "
            f"per model; got shape {predicted.shape}."
        )
    odd = np.argwhere(~np.isfinite(predicted))
    if len(odd):
        row, column = odd[0].tolist()
        raise ValueError(
            f"`predicted` must be finite; got {predicted[row, column]} for model "
            f"{names[column].item()!r} in row {row}."
        )
    return predicted, names


def warn_if_not_met(models: Any, chosen: Any, target: Any, *, has_names: bool) -> None:
    """Warn if columns without names may be those of other models than the first ones."""
    met = {*np.asarray(chosen).tolist(), *np.asarray(target).tolist()}
    if not has_names and not set(models) <= met:
        warnings.warn(
            f"the columns of `predicted` have no names, and are taken for the models {models[0]} "
            f"to {models[-1]}, of which some were never chosen; pass models=router.models_.",
            UserWarning,
            stacklevel=4,
        )


def check_known(n_known: int, has_predictions: bool, estimator: str) -> None:
    """Refuse a log without outcomes, or without predictions for an estimator that needs them."""
    if not n_known:
        raise ValueError("`outcome` is NaN throughout: no call has an outcome.")
    if estimator == "doubly_robust" and not has_predictions:
        raise ValueError(
            "the doubly robust estimator needs `predicted`, such as 1 - router.predict_error(X) "
            "for qualities; pass it, or set estimator='self_normalized'."
        )


def check_shared(weight: np.ndarray, estimator: str) -> None:
    """Refuse or warn of a log that says little about the other router."""
    if not weight.any() and estimator != "doubly_robust":
        raise ValueError(
            "the two routers share no call, so this log says nothing of the other one; log tables "
            "with `exploration` above 0."
        )
    mean = weight.mean()
    std = weight.std() / np.sqrt(len(weight))
    if mean > 1 + _UNUSUAL * std + 1e-9:
        warnings.warn(
            f"the weights have a mean of {mean:.3g} instead of 1, so the propensities are too low, "
            "or calls are missing from the log; log all calls with `decision.propensity`.",
            UserWarning,
            stacklevel=3,
        )
    elif mean < 1 - _UNUSUAL * std - 1e-9:
        warnings.warn(
            f"the weights have a mean of {mean:.2f} instead of 1: for about {1 - mean:.0%} of the "
            "calls, the logged router never chooses the model of the other one, and the estimate "
            "lacks these, or takes them from `predicted`. Log tables with `exploration` above 0, "
            "and with the same models.",
            UserWarning,
            stacklevel=3,
        )
    elif weight.sum() ** 2 < _LEAST_CALLS * (weight**2).sum():
        warnings.warn(
            f"the calls that the two routers share count for fewer than {_LEAST_CALLS} of the "
            "other one's own, so the estimate says little beyond `predicted`; log more calls, or "
            "explore more.",
            UserWarning,
            stacklevel=3,
        )
