"""Exact deferral curves, and the paper's scores, which are read off them."""

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
from sklearn_uniroute.utils._validation import check_sample_weight, check_share


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


def curve_score(
    y: np.ndarray,
    error: np.ndarray,
    costs: np.ndarray | None,
    routing_costs: np.ndarray | None = None,
    sample_weight: ArrayLike | None = None,
) -> float:
    """Area under the deferral curve, or quality at a cost weight of 0 if there is no area."""
    if costs is None or not has_range(
        model_means(costs, check_sample_weight(sample_weight, len(y)))
    ):
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


def check_two_models(costs: np.ndarray, quality: np.ndarray) -> int:
    """Position of the strong one of two models, the dearer and better one."""
    if len(costs) != 2:
        raise ValueError(
            f"this score compares a weak and a strong model; got {len(costs)} models. Pass the "
            "columns of two of them."
        )
    strong = int(np.argmax(costs))
    if costs[0] == costs[1] or quality[strong] <= quality[1 - strong]:
        raise ValueError(
            "this score needs the dearer of the two models to be the better one; got mean costs "
            f"{costs[0]:g} and {costs[1]:g} and mean qualities {quality[0]:g} and {quality[1]:g}."
        )
    return strong


def check_charged(cost: float, quality: float) -> None:
    """Refuse to save anything of a cost of 0, or to ask for a share of what is not above 0."""
    if cost == 0:
        raise ValueError("the best model is free, so that none of its cost can be saved.")
    if quality <= 0:
        raise ValueError(
            "a share of the best model's quality makes sense where that is above 0; got "
            f"{quality:g}."
        )
