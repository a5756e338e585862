"""Exact deferral curves, and the paper's scores, which are read off them."""

import numpy as np
from numpy.typing import ArrayLike

from sklearn_uniroute.metrics._curve import (
    best_single_model,
    check_curve_inputs,
    check_range,
    curve_points,
    least_cost,
    mean_height,
    model_means,
)
from sklearn_uniroute.utils._typing import Costs


def deferral_curve(
    y_true: ArrayLike,
    error_pred: ArrayLike,
    costs: Costs,
    *,
    routing_costs: Costs | None = None,
    sample_weight: ArrayLike | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Compute average quality against average cost over all cost weights.

    The curve is exact: as the cost weight falls from infinity to 0, the choice on each prompt
    walks along the lower convex hull of the points (cost, predicted error) of the models, so that
    the curve changes at finitely many, known cost weights. No grid is involved.

    Parameters
    ----------
    y_true : array-like of shape (n_prompts, n_models)
        Quality of each model on each prompt; more is better. NaN marks a prompt on which the
        model was not run: the router may choose that model all the same, and the prompt then
        counts towards the average cost but not towards the average quality of that point.
    error_pred : array-like of shape (n_prompts, n_models)
        Predicted errors.
    costs : array-like of shape (n_models,) or (n_prompts, n_models), mapping, Series or DataFrame
        Cost of each model, or of each call, in any unit. By name where the columns of a
        DataFrame `y_true` name the models. Costs of calls may be NaN where `y_true` is NaN; such
        a prompt does not count towards the average cost of a point where that call is chosen.
    routing_costs : array-like of shape (n_models,) or (n_prompts, n_models), mapping, Series or \
            DataFrame, default=None
        Costs by which the choice is made, as predicted before the call, where they differ from
        those that are paid; by default the mean cost of each model.
    sample_weight : array-like of shape (n_prompts,), default=None
        Weights of the prompts.

    Returns
    -------
    cost : ndarray of shape (n_points,)
        Average cost at each point, from the cheapest choice to the one of least predicted error.
        It never falls when each model has one cost and is routed by it.
    quality : ndarray of shape (n_points,)
        Average quality at each point.
    cost_weight : ndarray of shape (n_points,)
        A cost weight (in error per unit of cost) at which the router works at the point: twice
        that of the first move for the first point, 0 for the last one, and in between the middle
        of the interval that belongs to the point. Falling.

    Raises
    ------
    ValueError
        If shapes disagree, costs are negative or not finite, a model has no observed quality, or
        no prompt of a point is scored.

    References
    ----------
    "Universal Model Routing for Efficient LLM Inference", arXiv 2502.08773, appendices D and F.2.

    Examples
    --------
    The second model is dearer and better on the second prompt only.

    >>> from sklearn_uniroute.metrics import deferral_curve
    >>> cost, quality, cost_weight = deferral_curve(
    ...     y_true=[[1, 1], [0, 1]], error_pred=[[0.1, 0.1], [0.9, 0.1]], costs=[1, 5]
    ... )
    >>> cost
    array([1., 3.])
    >>> quality
    array([0.5, 1. ])
    >>> cost_weight
    array([0.4, 0. ])
    """
    inputs = check_curve_inputs(y_true, error_pred, costs, routing_costs, sample_weight)
    return curve_points(*inputs)


def deferral_area_score(
    y_true: ArrayLike,
    error_pred: ArrayLike,
    costs: Costs,
    *,
    routing_costs: Costs | None = None,
    sample_weight: ArrayLike | None = None,
) -> float:
    """Compute the area under the deferral curve, normalised by the pool's range of costs.

    The quality is integrated over the cost by trapezoids, from the mean cost of the cheapest
    model to that of the dearest, flat beyond the ends of the curve, and divided by that range. So
    it is an average quality, and a curve of constant quality q has area q.

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
    area : float
        Higher is better.

    Raises
    ------
    ValueError
        If all models have one cost, as there is no range to integrate over, and for the reasons
        of :func:`deferral_curve`.

    References
    ----------
    "Universal Model Routing for Efficient LLM Inference", arXiv 2502.08773, section 6 and
    appendix F.2.

    Examples
    --------
    >>> from sklearn_uniroute.metrics import deferral_area_score
    >>> deferral_area_score(
    ...     y_true=[[1, 1], [0, 1]], error_pred=[[0.1, 0.1], [0.9, 0.1]], costs=[1, 5]
    ... )
    0.875
    """
    inputs = check_curve_inputs(y_true, error_pred, costs, routing_costs, sample_weight)
    model_costs = model_means(inputs.costs, inputs.sample_weight)
    check_range(model_costs)
    cost, quality, _ = curve_points(*inputs)
    return mean_height(cost, quality, model_costs.min(), model_costs.max())


def quality_neutral_cost(
    y_true: ArrayLike,
    error_pred: ArrayLike,
    costs: Costs,
    *,
    routing_costs: Costs | None = None,
    sample_weight: ArrayLike | None = None,
) -> float:
    """Compute the least relative cost at which the curve has the quality of the best model.

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
    relative_cost : float
        Cost over the mean cost of the single model of highest mean quality (the cheapest of them
        if there are several); lower is better. Interpolated between points of the curve;
        infinity if the curve never gets there. Where that model is free, 1 if the curve gets
        there at no cost, else infinity.

    Raises
    ------
    ValueError
        For the reasons of :func:`deferral_curve`.

    References
    ----------
    "Universal Model Routing for Efficient LLM Inference", arXiv 2502.08773, section 6.

    Examples
    --------
    >>> from sklearn_uniroute.metrics import quality_neutral_cost
    >>> quality_neutral_cost(
    ...     y_true=[[1, 1], [0, 1]], error_pred=[[0.1, 0.1], [0.9, 0.1]], costs=[1, 5]
    ... )
    0.6
    """
    inputs = check_curve_inputs(y_true, error_pred, costs, routing_costs, sample_weight)
    target, reference, rounding = best_single_model(inputs)
    cost, quality, _ = curve_points(*inputs)
    least = least_cost(cost, quality, target, target - rounding)
    if reference == 0:
        return 1.0 if least == 0 else np.inf
    return float(least / reference)


def peak_quality_score(
    y_true: ArrayLike,
    error_pred: ArrayLike,
    costs: Costs,
    *,
    routing_costs: Costs | None = None,
    sample_weight: ArrayLike | None = None,
) -> float:
    """Compute the highest average quality on the deferral curve.

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
    quality : float
        Higher is better.

    Raises
    ------
    ValueError
        For the reasons of :func:`deferral_curve`.

    References
    ----------
    "Universal Model Routing for Efficient LLM Inference", arXiv 2502.08773, appendix G.4.

    Examples
    --------
    >>> from sklearn_uniroute.metrics import peak_quality_score
    >>> peak_quality_score(
    ...     y_true=[[1, 1], [0, 1]], error_pred=[[0.1, 0.1], [0.9, 0.1]], costs=[1, 5]
    ... )
    1.0
    """
    inputs = check_curve_inputs(y_true, error_pred, costs, routing_costs, sample_weight)
    return float(curve_points(*inputs)[1].max())
