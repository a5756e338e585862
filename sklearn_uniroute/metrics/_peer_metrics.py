"""Scores of deferral curves that other projects report, by their names."""

import numpy as np
from numpy.typing import ArrayLike

from sklearn_uniroute._numerics._routing import ROUNDING, hull_walk
from sklearn_uniroute.metrics._curve import (
    best_single_model,
    check_curve_inputs,
    check_range,
    curve_points,
    least_cost,
    mean_height,
    model_means,
)
from sklearn_uniroute.utils._cost_validation import check_charged, check_two_models
from sklearn_uniroute.utils._parameters import check_share
from sklearn_uniroute.utils._typing import Costs


def aiq_score(
    y_true: ArrayLike,
    error_pred: ArrayLike,
    costs: Costs,
    *,
    routing_costs: Costs | None = None,
    sample_weight: ArrayLike | None = None,
) -> float:
    """Compute the average improvement in quality (AIQ) of RouterBench.

    The area under the non-decreasing concave hull of the points of the deferral curve, between the
    cheapest and the dearest model, over that range of costs.

    It differs from :func:`deferral_area_score` by the hull. Quality that falls as more is spent
    does not count against a router, and neither do dents: between two points of the curve, prompts
    could be sent at random by one or the other. Where each model has one cost, it is never below
    the area.

    Parameters
    ----------
    y_true : array-like of shape (n_prompts, n_models)
        Quality of each model on each prompt; NaN as in :func:`deferral_curve`.
    error_pred : array-like of shape (n_prompts, n_models)
        Predicted errors.
    costs : array-like of shape (n_models,) or (n_prompts, n_models), mapping, Series or DataFrame
        Cost of each model, or of each call, in any unit.
    routing_costs : array-like of shape (n_models,) or (n_prompts, n_models), mapping, Series or \
            DataFrame, default=None
        Costs by which the choice is made; by default the mean cost of each model.
    sample_weight : array-like of shape (n_prompts,), default=None
        Weights of the prompts.

    Returns
    -------
    aiq : float
        Higher is better.

    Raises
    ------
    ValueError
        If all models have one cost, and for the reasons of :func:`deferral_curve`.

    References
    ----------
    "RouterBench: A Benchmark for Multi-LLM Routing System", arXiv 2403.12031, section 3.

    Examples
    --------
    >>> from sklearn_uniroute.metrics import aiq_score, deferral_area_score
    >>> arrays = {"y_true": [[1, 1], [0, 1]], "error_pred": [[0.9, 0.1], [0.3, 0.1]]}
    >>> deferral_area_score(**arrays, costs=[1, 5])
    0.625
    >>> aiq_score(**arrays, costs=[1, 5])
    0.75
    """
    inputs = check_curve_inputs(y_true, error_pred, costs, routing_costs, sample_weight)
    model_costs = model_means(inputs.costs, inputs.sample_weight)
    check_range(model_costs)
    cost, quality, _ = curve_points(*inputs)
    # To the walk over models, points are models of such a cost and error.
    walk = hull_walk(-quality[None], cost)
    hull = np.concatenate([walk.start, walk.target])
    return mean_height(cost[hull], quality[hull], model_costs.min(), model_costs.max())


def apgr_score(
    y_true: ArrayLike,
    error_pred: ArrayLike,
    costs: Costs,
    *,
    routing_costs: Costs | None = None,
    sample_weight: ArrayLike | None = None,
) -> float:
    """Compute the average performance gap recovered (APGR) of RouteLLM.

    Of two models, the dear one is strong and the cheap one weak. The gap recovered is how far the
    quality of a router is on the way from the weak to the strong one, and is averaged over all
    shares of calls that go to the strong model.

    It differs from :func:`deferral_area_score` by its units, calls instead of costs, and the gap
    instead of quality; and by going on, in the order of the difference in predicted error, until
    all calls go to the strong model, also where that is predicted to do worse. So costs only say
    which of the two models is strong.

    Parameters
    ----------
    y_true : array-like of shape (n_prompts, 2)
        Quality of each model on each prompt; NaN as in :func:`deferral_curve`.
    error_pred : array-like of shape (n_prompts, 2)
        Predicted errors.
    costs : array-like of shape (2,) or (n_prompts, 2), mapping, Series or DataFrame
        Cost of each model, or of each call, in any unit.
    routing_costs : array-like of shape (2,) or (n_prompts, 2), mapping, Series or \
            DataFrame, default=None
        Costs by which the choice is made; by default the mean cost of each model.
    sample_weight : array-like of shape (n_prompts,), default=None
        Weights of the prompts.

    Returns
    -------
    apgr : float
        Higher is better; 0.5 for choosing at random, 1 is the strong model's quality without a
        call to it.

    Raises
    ------
    ValueError
        If there are not two models, the dear one is not the better one, and for the reasons of
        :func:`deferral_curve`.

    References
    ----------
    "RouteLLM: Learning to Route LLMs with Preference Data", arXiv 2406.18665, section 3.2.

    Examples
    --------
    >>> from sklearn_uniroute.metrics import apgr_score
    >>> apgr_score(y_true=[[1, 1], [0, 1]], error_pred=[[0.1, 0.1], [0.9, 0.1]], costs=[1, 5])
    0.75
    """
    share, recovered = _gap_curve(y_true, error_pred, costs, routing_costs, sample_weight)
    return mean_height(share, recovered, 0, 1)


def cpt_score(
    y_true: ArrayLike,
    error_pred: ArrayLike,
    costs: Costs,
    *,
    recovered: float = 0.5,
    routing_costs: Costs | None = None,
    sample_weight: ArrayLike | None = None,
) -> float:
    """Compute the call-performance threshold (CPT) of RouteLLM.

    The least share of calls to the strong model, the dear one of two, at which a share of the gap
    in quality between the weak and the strong model is recovered.

    It differs from :func:`quality_neutral_cost` by counting calls instead of costs, by what is to
    be reached (with ``recovered=1`` the quality of the strong model), and by going on until all
    calls go to the strong model, as :func:`apgr_score` does.

    Parameters
    ----------
    y_true : array-like of shape (n_prompts, 2)
        Quality of each model on each prompt; NaN as in :func:`deferral_curve`.
    error_pred : array-like of shape (n_prompts, 2)
        Predicted errors.
    costs : array-like of shape (2,) or (n_prompts, 2), mapping, Series or DataFrame
        Cost of each model, or of each call, in any unit.
    recovered : float, default=0.5
        Share of the gap to recover.
    routing_costs : array-like of shape (2,) or (n_prompts, 2), mapping, Series or \
            DataFrame, default=None
        Costs by which the choice is made; by default the mean cost of each model.
    sample_weight : array-like of shape (n_prompts,), default=None
        Weights of the prompts.

    Returns
    -------
    share : float
        Lower is better. Interpolated between points of the curve.

    Raises
    ------
    ValueError
        If there are not two models, the dear one is not the better one, `recovered` is not between
        0 and 1, and for the reasons of :func:`deferral_curve`.

    References
    ----------
    "RouteLLM: Learning to Route LLMs with Preference Data", arXiv 2406.18665, section 3.2.

    Examples
    --------
    >>> from sklearn_uniroute.metrics import cpt_score
    >>> arrays = {"y_true": [[1, 1], [0, 1]], "error_pred": [[0.1, 0.1], [0.9, 0.1]]}
    >>> cpt_score(**arrays, costs=[1, 5], recovered=0.8)
    0.4
    """
    check_share(recovered, "recovered")
    share, reached = _gap_curve(y_true, error_pred, costs, routing_costs, sample_weight)
    return float(least_cost(share, reached, recovered, recovered - ROUNDING))


def cost_saving_score(
    y_true: ArrayLike,
    error_pred: ArrayLike,
    costs: Costs,
    *,
    quality_share: float = 0.95,
    routing_costs: Costs | None = None,
    sample_weight: ArrayLike | None = None,
) -> float:
    """Compute the share of the best model's cost that is saved at a share of its quality.

    The best model is the single model of highest mean quality, the cheapest of them if there are
    several. Projects report it at 90 or 95 % of the quality, among others; with
    ``quality_share=1`` it is one less the :func:`quality_neutral_cost`.

    Parameters
    ----------
    y_true : array-like of shape (n_prompts, n_models)
        Quality of each model on each prompt; NaN as in :func:`deferral_curve`.
    error_pred : array-like of shape (n_prompts, n_models)
        Predicted errors.
    costs : array-like of shape (n_models,) or (n_prompts, n_models), mapping, Series or DataFrame
        Cost of each model, or of each call, in any unit.
    quality_share : float, default=0.95
        Share of the best model's quality to reach.
    routing_costs : array-like of shape (n_models,) or (n_prompts, n_models), mapping, Series or \
            DataFrame, default=None
        Costs by which the choice is made; by default the mean cost of each model.
    sample_weight : array-like of shape (n_prompts,), default=None
        Weights of the prompts.

    Returns
    -------
    saving : float
        Higher is better; negative where it takes more than the best model's cost, and minus
        infinity if the curve never gets there.

    Raises
    ------
    ValueError
        If `quality_share` is not between 0 and 1, the best model is free or its quality not above
        0, and for the reasons of :func:`deferral_curve`.

    Examples
    --------
    >>> from sklearn_uniroute.metrics import cost_saving_score
    >>> arrays = {"y_true": [[1, 1], [0, 1]], "error_pred": [[0.1, 0.1], [0.9, 0.1]]}
    >>> cost_saving_score(**arrays, costs=[1, 5], quality_share=1)
    0.4
    """
    check_share(quality_share, "quality_share")
    inputs = check_curve_inputs(y_true, error_pred, costs, routing_costs, sample_weight)
    best, reference, rounding = best_single_model(inputs)
    check_charged(reference, best)
    cost, quality, _ = curve_points(*inputs)
    target = quality_share * best
    return float(1 - least_cost(cost, quality, target, target - rounding) / reference)


def _gap_curve(
    y_true: ArrayLike,
    error_pred: ArrayLike,
    costs: Costs,
    routing_costs: Costs | None,
    sample_weight: ArrayLike | None,
) -> tuple[np.ndarray, np.ndarray]:
    """Points of the curve: the share of calls to the strong model, and of the gap recovered."""
    inputs = check_curve_inputs(y_true, error_pred, costs, routing_costs, sample_weight)
    model_quality = model_means(inputs.y_true, inputs.sample_weight)
    strong = check_two_models(model_means(inputs.costs, inputs.sample_weight), model_quality)
    weak = 1 - strong
    calls = np.zeros(2)
    calls[strong] = 1.0
    # Such that the strong model is worth a call everywhere, if least where it helps least.
    error = inputs.error_pred.astype(np.float64)
    error[:, weak] += 1 + np.max(error[:, strong] - error[:, weak])
    share, quality, _ = curve_points(
        *inputs._replace(costs=calls, routing_costs=calls, error_pred=error)
    )
    return share, (quality - model_quality[weak]) / (model_quality[strong] - model_quality[weak])
