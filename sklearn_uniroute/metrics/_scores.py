"""Exact deferral curves, and scores computed from them."""

import numpy as np
from numpy.typing import ArrayLike

from sklearn_uniroute._numerics._routing import ROUNDING, hull_walk
from sklearn_uniroute.metrics._curve import (
    best_single_model,
    check_curve_inputs,
    check_range,
    curve_points,
    has_range,
    least_cost,
    mean_height,
    model_means,
)
from sklearn_uniroute.utils._typing import Costs
from sklearn_uniroute.utils._validation import check_share
from sklearn_uniroute.utils._weights import check_sample_weight


def deferral_curve(
    y_true: ArrayLike,
    error_pred: ArrayLike,
    costs: Costs,
    *,
    routing_costs: Costs | None = None,
    sample_weight: ArrayLike | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Compute the average quality and the average cost over all cost weights.

    The curve is exact and needs no grid of cost weights. As the cost weight falls from infinity to
    0, the choice for each prompt moves along the lower convex hull of the points (cost, predicted
    error) of the models, so the curve changes at finitely many known cost weights.

    Parameters
    ----------
    y_true : array-like of shape (n_prompts, n_models)
        Quality of each model on each prompt; more is better. NaN means that the model was not run.
        If the router chooses it all the same, the prompt counts towards the average cost of the
        point, but not towards its average quality.
    error_pred : array-like or DataFrame of shape (n_prompts, n_models)
        Predicted errors; a DataFrame goes by the names of its columns.
    costs : array-like of shape (n_models,) or (n_prompts, n_models), mapping, Series or DataFrame
        Cost of each model, or of each call, in any unit. By name if `y_true` is a DataFrame whose
        columns name the models. A call may have a cost of NaN only if `y_true` is NaN; the prompt
        then does not count towards the average cost of points where that call is chosen.
    routing_costs : array-like of shape (n_models,) or (n_prompts, n_models), mapping, Series or \
            DataFrame, default=None
        Costs that decide the choices, such as costs predicted before the call, if they differ from
        the costs that are paid. By default, the mean cost of each model.
    sample_weight : array-like of shape (n_prompts,), default=None
        Weights of the prompts.

    Returns
    -------
    cost : ndarray of shape (n_points,)
        Average cost at each point, from the cheapest choice to the choice of lowest predicted
        error. It never falls if each model has one cost, which also decides the choices.
    quality : ndarray of shape (n_points,)
        Average quality at each point.
    cost_weight : ndarray of shape (n_points,)
        Cost weight of each point, in error per unit of cost, in falling order: twice the cost
        weight of the first change for the first point, 0 for the last point, and the middle of the
        interval of the point otherwise.

    Raises
    ------
    ValueError
        If shapes or names disagree, if costs are negative or not finite, if a model has no observed
        quality, or if no prompt has a known quality or cost at some point.

    References
    ----------
    "Universal Model Routing for Efficient LLM Inference", arXiv 2502.08773, appendices D and F.2.

    Examples
    --------
    The second model costs more, and is better on the second prompt only.

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

    The quality is integrated over the cost with trapezoids, from the mean cost of the cheapest
    model to the mean cost of the dearest, and divided by this range. The curve is flat beyond its
    ends. The area is an average quality: a curve of constant quality q has area q.

    Parameters
    ----------
    y_true : array-like of shape (n_prompts, n_models)
        Quality of each model on each prompt; NaN as in :func:`deferral_curve`.
    error_pred : array-like or DataFrame of shape (n_prompts, n_models)
        Predicted errors; a DataFrame goes by the names of its columns.
    costs : array-like of shape (n_models,) or (n_prompts, n_models), mapping, Series or DataFrame
        Cost of each model, or of each call, in any unit.
    routing_costs : array-like of shape (n_models,) or (n_prompts, n_models), mapping, Series or \
            DataFrame, default=None
        Costs that decide the choices. By default, the mean cost of each model.
    sample_weight : array-like of shape (n_prompts,), default=None
        Weights of the prompts.

    Returns
    -------
    area : float
        Higher is better.

    Raises
    ------
    ValueError
        If all models have the same mean cost, so that there is no range to integrate over, or for
        the same reasons as :func:`deferral_curve`.

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


def curve_score(
    y: np.ndarray,
    error: np.ndarray,
    costs: np.ndarray,
    routing_costs: np.ndarray,
    sample_weight: ArrayLike | None,
) -> float:
    """Compute the area under the deferral curve, or the quality at cost weight 0 without one."""
    if not has_range(model_means(costs, check_sample_weight(sample_weight, len(y)))):
        single = np.zeros(error.shape[1])
        _, quality, _ = deferral_curve(y, error, single, sample_weight=sample_weight)
        return float(quality[-1])
    return deferral_area_score(
        y, error, costs, routing_costs=routing_costs, sample_weight=sample_weight
    )


def quality_neutral_cost(
    y_true: ArrayLike,
    error_pred: ArrayLike,
    costs: Costs,
    *,
    routing_costs: Costs | None = None,
    sample_weight: ArrayLike | None = None,
) -> float:
    """Compute the lowest relative cost at which the curve reaches the best model's quality.

    Parameters
    ----------
    y_true : array-like of shape (n_prompts, n_models)
        Quality of each model on each prompt; NaN as in :func:`deferral_curve`.
    error_pred : array-like or DataFrame of shape (n_prompts, n_models)
        Predicted errors; a DataFrame goes by the names of its columns.
    costs : array-like of shape (n_models,) or (n_prompts, n_models), mapping, Series or DataFrame
        Cost of each model, or of each call, in any unit.
    routing_costs : array-like of shape (n_models,) or (n_prompts, n_models), mapping, Series or \
            DataFrame, default=None
        Costs that decide the choices. By default, the mean cost of each model.
    sample_weight : array-like of shape (n_prompts,), default=None
        Weights of the prompts.

    Returns
    -------
    relative_cost : float
        Cost divided by the mean cost of the best model; lower is better. The best model is the
        single model of highest mean quality, and the cheapest if there are several. The cost is
        interpolated between points of the curve, and infinite if the curve never reaches the
        quality. If the best model is free, 1 if the curve reaches its quality at no cost, else
        infinity.

    Raises
    ------
    ValueError
        For the same reasons as :func:`deferral_curve`.

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
    error_pred : array-like or DataFrame of shape (n_prompts, n_models)
        Predicted errors; a DataFrame goes by the names of its columns.
    costs : array-like of shape (n_models,) or (n_prompts, n_models), mapping, Series or DataFrame
        Cost of each model, or of each call, in any unit.
    routing_costs : array-like of shape (n_models,) or (n_prompts, n_models), mapping, Series or \
            DataFrame, default=None
        Costs that decide the choices. By default, the mean cost of each model.
    sample_weight : array-like of shape (n_prompts,), default=None
        Weights of the prompts.

    Returns
    -------
    quality : float
        Higher is better.

    Raises
    ------
    ValueError
        For the same reasons as :func:`deferral_curve`.

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


def aiq_score(
    y_true: ArrayLike,
    error_pred: ArrayLike,
    costs: Costs,
    *,
    routing_costs: Costs | None = None,
    sample_weight: ArrayLike | None = None,
) -> float:
    """Compute the average improvement in quality (AIQ) of RouterBench.

    AIQ is the area under the non-decreasing concave hull of the points of the deferral curve,
    between the mean costs of the cheapest and the dearest model, divided by this range.

    It differs from :func:`deferral_area_score` by the hull. The hull forgives quality that falls as
    the cost rises, and dents in the curve, because a random mix of two points reaches any point
    between them. If each model has one cost, AIQ is never below the area.

    Parameters
    ----------
    y_true : array-like of shape (n_prompts, n_models)
        Quality of each model on each prompt; NaN as in :func:`deferral_curve`.
    error_pred : array-like or DataFrame of shape (n_prompts, n_models)
        Predicted errors; a DataFrame goes by the names of its columns.
    costs : array-like of shape (n_models,) or (n_prompts, n_models), mapping, Series or DataFrame
        Cost of each model, or of each call, in any unit.
    routing_costs : array-like of shape (n_models,) or (n_prompts, n_models), mapping, Series or \
            DataFrame, default=None
        Costs that decide the choices. By default, the mean cost of each model.
    sample_weight : array-like of shape (n_prompts,), default=None
        Weights of the prompts.

    Returns
    -------
    aiq : float
        Higher is better.

    Raises
    ------
    ValueError
        If all models have the same mean cost, or for the same reasons as :func:`deferral_curve`.

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
    # The walk treats each point as a model with this cost and error.
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

    The dearer of two models is the strong one, the other the weak one. The gap recovered is the
    gain in quality over the weak model, divided by the gap in quality between the two models. It is
    averaged over all shares of calls to the strong model.

    APGR differs from :func:`deferral_area_score` in three ways. It counts calls instead of costs,
    so costs only decide which model is strong. It measures the gap recovered instead of quality.
    The curve continues until all calls go to the strong model, in the order of the difference in
    predicted error, even where the strong model is predicted to be worse.

    Parameters
    ----------
    y_true : array-like of shape (n_prompts, 2)
        Quality of each model on each prompt; NaN as in :func:`deferral_curve`.
    error_pred : array-like or DataFrame of shape (n_prompts, 2)
        Predicted errors; a DataFrame goes by the names of its columns.
    costs : array-like of shape (2,) or (n_prompts, 2), mapping, Series or DataFrame
        Cost of each model, or of each call, in any unit.
    routing_costs : array-like of shape (2,) or (n_prompts, 2), mapping, Series or \
            DataFrame, default=None
        Checked, but without effect: choices here go by calls to the dearer model. Other metrics
        choose by these costs.
    sample_weight : array-like of shape (n_prompts,), default=None
        Weights of the prompts.

    Returns
    -------
    apgr : float
        Higher is better. A random choice scores 0.5; the quality of the strong model without a call
        to it scores 1.

    Raises
    ------
    ValueError
        If there are not two models, if the dearer model is not the better one, or for the same
        reasons as :func:`deferral_curve`.

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

    CPT is the lowest share of calls to the strong model, the dearer of two, that recovers a given
    share of the gap in quality between the weak and the strong model.

    It differs from :func:`quality_neutral_cost` in three ways. It counts calls instead of costs.
    Its target is a share of the gap; ``recovered=1`` is the quality of the strong model. The curve
    continues until all calls go to the strong model, as in :func:`apgr_score`.

    Parameters
    ----------
    y_true : array-like of shape (n_prompts, 2)
        Quality of each model on each prompt; NaN as in :func:`deferral_curve`.
    error_pred : array-like or DataFrame of shape (n_prompts, 2)
        Predicted errors; a DataFrame goes by the names of its columns.
    costs : array-like of shape (2,) or (n_prompts, 2), mapping, Series or DataFrame
        Cost of each model, or of each call, in any unit.
    recovered : float, default=0.5
        Share of the gap to recover.
    routing_costs : array-like of shape (2,) or (n_prompts, 2), mapping, Series or \
            DataFrame, default=None
        Checked, but without effect: choices here go by calls to the dearer model. Other metrics
        choose by these costs.
    sample_weight : array-like of shape (n_prompts,), default=None
        Weights of the prompts.

    Returns
    -------
    share : float
        Lower is better. Interpolated between points of the curve.

    Raises
    ------
    ValueError
        If there are not two models, if the dearer model is not the better one, if `recovered` is
        not between 0 and 1, or for the same reasons as :func:`deferral_curve`.

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
    """Compute the share of the best model's cost that is saved at a given share of its quality.

    The best model is the single model of highest mean quality, and the cheapest if there are
    several. Projects report the saving at 90 or 95 % of its quality, among others. With
    ``quality_share=1``, the saving is one minus the :func:`quality_neutral_cost`.

    Parameters
    ----------
    y_true : array-like of shape (n_prompts, n_models)
        Quality of each model on each prompt; NaN as in :func:`deferral_curve`.
    error_pred : array-like or DataFrame of shape (n_prompts, n_models)
        Predicted errors; a DataFrame goes by the names of its columns.
    costs : array-like of shape (n_models,) or (n_prompts, n_models), mapping, Series or DataFrame
        Cost of each model, or of each call, in any unit.
    quality_share : float, default=0.95
        Share of the best model's quality to reach.
    routing_costs : array-like of shape (n_models,) or (n_prompts, n_models), mapping, Series or \
            DataFrame, default=None
        Costs that decide the choices. By default, the mean cost of each model.
    sample_weight : array-like of shape (n_prompts,), default=None
        Weights of the prompts.

    Returns
    -------
    saving : float
        Higher is better. Negative if the quality costs more than the best model, and minus infinity
        if the curve never reaches the quality.

    Raises
    ------
    ValueError
        If `quality_share` is not between 0 and 1, if the best model is free, if its quality is not
        above 0, or for the same reasons as :func:`deferral_curve`.

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
    """Compute the share of calls to the strong model, and of the gap recovered, at each point."""
    inputs = check_curve_inputs(y_true, error_pred, costs, routing_costs, sample_weight)
    model_quality = model_means(inputs.y_true, inputs.sample_weight)
    strong = check_two_models(model_means(inputs.costs, inputs.sample_weight), model_quality)
    weak = 1 - strong
    calls = np.zeros(2)
    calls[strong] = 1.0
    # Raise the errors of the weak model so that every prompt is worth a call to the strong one.
    error = inputs.error_pred.astype(np.float64)
    error[:, weak] += 1 + np.max(error[:, strong] - error[:, weak])
    share, quality, _ = curve_points(
        *inputs._replace(costs=calls, routing_costs=calls, error_pred=error)
    )
    return share, (quality - model_quality[weak]) / (model_quality[strong] - model_quality[weak])


def check_two_models(costs: np.ndarray, quality: np.ndarray) -> int:
    """Find the position of the strong model, the dearer and better of two."""
    if len(costs) != 2:
        raise ValueError(
            f"this score compares a weak and a strong model; got {len(costs)} models. Pass the "
            "columns of two models."
        )
    strong = int(np.argmax(costs))
    if costs[0] == costs[1] or quality[strong] <= quality[1 - strong]:
        raise ValueError(
            "this score needs the dearer of the two models to be the better one; got mean costs "
            f"{costs[0]:g} and {costs[1]:g} and mean qualities {quality[0]:g} and {quality[1]:g}."
        )
    return strong


def check_charged(cost: float, quality: float) -> None:
    """Refuse a best model that is free or has a quality that is not above 0."""
    if cost == 0:
        raise ValueError("the best model is free, so there is no cost to save.")
    if quality <= 0:
        raise ValueError(
            "`quality_share` needs a best model with a quality above 0; got a best quality of "
            f"{quality:g}."
        )
