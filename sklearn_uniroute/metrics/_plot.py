"""Plots of deferral curves."""

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import norm
from sklearn.utils import _safe_indexing
from sklearn.utils.validation import _num_samples

from sklearn_uniroute.metrics._curve import check_curve_inputs, curve_points, is_wide, model_means
from sklearn_uniroute.metrics._off_policy import (
    check_known,
    check_propensity,
    check_shared,
    doubly_robust_outcomes,
)
from sklearn_uniroute.utils._estimators import last_router
from sklearn_uniroute.utils._logs import (
    check_call_costs,
    check_calls,
    check_chosen,
    check_feedback,
)
from sklearn_uniroute.utils._optional import import_optional
from sklearn_uniroute.utils._statistics import mean_interval
from sklearn_uniroute.utils._typing import Costs, Pool
from sklearn_uniroute.utils._validation import check_pool, check_same_order, check_share


class DeferralCurveDisplay:
    """Plot of average quality against average cost.

    Use :meth:`from_estimator`, :meth:`from_predictions`, :meth:`from_cv_results` or
    :meth:`from_log` to create one.
    All parameters are stored as attributes.

    Parameters
    ----------
    cost : ndarray of shape (n_points,)
        Average cost at each point.
    quality : ndarray of shape (n_points,)
        Average quality at each point.
    model_cost : ndarray of shape (n_models,), default=None
        Mean cost of each single model, drawn as a cross.
    model_quality : ndarray of shape (n_models,), default=None
        Mean quality of each single model.
    quality_low, quality_high : ndarray of shape (n_points,), default=None
        Ends of the intervals around the qualities, drawn as a band.
    name : str, default=None
        Name of the curve in the legend.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes with the curve.
    figure_ : matplotlib Figure
        Figure of the axes.
    line_ : matplotlib Line2D
        Deferral curve.
    fill_between_ : matplotlib PolyCollection or None
        Band of the intervals.
    scatter_ : matplotlib PathCollection or None
        Crosses of the single models.

    Examples
    --------
    >>> from sklearn_uniroute import DeferralCurveDisplay, KMeansRouter
    >>> from sklearn_uniroute.datasets import make_routing_data
    >>> data = make_routing_data(random_state=0)
    >>> router = KMeansRouter(random_state=0).fit(data.X, data.y, costs=data.costs)
    >>> display = DeferralCurveDisplay.from_estimator(router, data.X, data.y)
    >>> display.line_.get_label()
    'KMeansRouter'
    """

    __module__ = "sklearn_uniroute"

    def __init__(
        self,
        cost: np.ndarray,
        quality: np.ndarray,
        *,
        model_cost: np.ndarray | None = None,
        model_quality: np.ndarray | None = None,
        quality_low: np.ndarray | None = None,
        quality_high: np.ndarray | None = None,
        name: str | None = None,
    ) -> None:
        self.cost = cost
        self.quality = quality
        self.model_cost = model_cost
        self.model_quality = model_quality
        self.quality_low = quality_low
        self.quality_high = quality_high
        self.name = name

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: ArrayLike,
        y: ArrayLike,
        costs: Costs | None = None,
        pool: Pool | None = None,
        *,
        scores: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
        eligible: ArrayLike | None = None,
        ax: Any = None,
        name: str | None = None,
        cost_unit: str | None = None,
        curve_kwargs: Mapping[str, Any] | None = None,
    ) -> Self:
        """Draw the deferral curve of a fitted router, or of a cascade beside its router alone.

        Parameters
        ----------
        estimator : router, Pipeline or CascadeRouter
            Fitted router, or fitted pipeline that ends in one; or fitted cascade.
        X : array-like of shape (n_prompts, n_features)
            Prompt embeddings, or input of the pipeline.
        y : array-like or DataFrame of shape (n_prompts, n_pool)
            Quality of each model, in the order of `pool` or, in a DataFrame, by name. NaN means
            that the model was not run.
        costs : array-like of shape (n_pool,) or (n_prompts, n_pool), mapping, Series or \
                DataFrame, default=None
            Costs that are paid, as in the router's `score`. By default, the mean costs of the
            router.
        pool : sequence of model names, default=None
            Models to choose among. By default, all models of the router.
        scores : array-like or DataFrame of shape (n_prompts, n_pool), default=None
            Scores of all answers, for a cascade.
        sample_weight : array-like of shape (n_prompts,), default=None
            Weights of the prompts.
        eligible : array-like or DataFrame of shape (n_prompts, n_pool), default=None
            Whether each model may be chosen for each prompt, as in the router's `score`.
        ax : matplotlib Axes, default=None
            Axes to draw on. By default, new axes.
        name : str, default=None
            Name of the curve in the legend. By default, the class name of the router.
        cost_unit : str, default=None
            Unit of the costs, for the label of the axis, such as "USD".
        curve_kwargs : dict, default=None
            Keyword arguments for matplotlib's `plot`.

        Returns
        -------
        display : DeferralCurveDisplay
            Plot, with its axes in `ax_`.

        Raises
        ------
        ValueError
            If neither the router nor the call has costs, or for the same reasons as
            :func:`sklearn_uniroute.metrics.deferral_curve`.
        """
        check_draws_with(hasattr(estimator, "simulate"), scores, eligible)
        if hasattr(estimator, "simulate"):
            known: dict[str, Any] = {"pool": pool, "sample_weight": sample_weight}
            curve = estimator.simulate(X, y, costs, scores=scores, **known)
            alone = cls.from_estimator(
                estimator.router_,
                X,
                y,
                costs,
                ax=ax,
                name="router alone",
                curve_kwargs={"linestyle": "--", "color": "0.4"},
                **known,
            )
            name = type(estimator).__name__ if name is None else name
            display = cls(curve.cost, curve.quality, name=name)
            return display.plot(alone.ax_, cost_unit=cost_unit, curve_kwargs=curve_kwargs)
        estimator, X = last_router(estimator, X)
        check_drawable(costs is not None or estimator.costs_ is not None)
        y, error, costs, routing_costs = estimator.curve_inputs(
            X, y, costs, pool, sample_weight, eligible
        )
        return cls.from_predictions(
            y,
            error,
            costs,
            routing_costs=routing_costs,
            sample_weight=sample_weight,
            ax=ax,
            name=type(estimator).__name__ if name is None else name,
            cost_unit=cost_unit,
            curve_kwargs=curve_kwargs,
        )

    @classmethod
    def from_predictions(
        cls,
        y_true: ArrayLike,
        error_pred: ArrayLike,
        costs: Costs,
        *,
        routing_costs: Costs | None = None,
        sample_weight: ArrayLike | None = None,
        ax: Any = None,
        name: str | None = None,
        cost_unit: str | None = None,
        curve_kwargs: Mapping[str, Any] | None = None,
    ) -> Self:
        """Draw the deferral curve of predicted errors.

        Parameters
        ----------
        y_true : array-like of shape (n_prompts, n_models)
            Quality of each model on each prompt.
        error_pred : array-like of shape (n_prompts, n_models)
            Predicted errors.
        costs : array-like of shape (n_models,) or (n_prompts, n_models), mapping, Series or \
                DataFrame
            Cost of each model, or of each call, in any unit.
        routing_costs : array-like of shape (n_models,) or (n_prompts, n_models), mapping, Series \
                or DataFrame, default=None
            Costs that decide the choices. By default, the mean cost of each model.
        sample_weight : array-like of shape (n_prompts,), default=None
            Weights of the prompts.
        ax : matplotlib Axes, default=None
            Axes to draw on. By default, new axes.
        name : str, default=None
            Name of the curve in the legend.
        cost_unit : str, default=None
            Unit of the costs, for the label of the axis, such as "USD".
        curve_kwargs : dict, default=None
            Keyword arguments for matplotlib's `plot`.

        Returns
        -------
        display : DeferralCurveDisplay
            Plot, with its axes in `ax_`.

        Raises
        ------
        ValueError
            For the same reasons as :func:`sklearn_uniroute.metrics.deferral_curve`.
        """
        inputs = check_curve_inputs(y_true, error_pred, costs, routing_costs, sample_weight)
        cost, quality, _ = curve_points(*inputs)
        display = cls(
            cost,
            quality,
            model_cost=model_means(inputs.costs, inputs.sample_weight),
            model_quality=model_means(inputs.y_true, inputs.sample_weight),
            name=name,
        )
        return display.plot(ax, cost_unit=cost_unit, curve_kwargs=curve_kwargs)

    @classmethod
    def from_cv_results(
        cls,
        cv_results: Mapping[str, Any],
        X: ArrayLike,
        y: ArrayLike,
        costs: Costs | None = None,
        *,
        confidence: float = 0.95,
        ax: Any = None,
        name: str | None = None,
        cost_unit: str | None = None,
        curve_kwargs: Mapping[str, Any] | None = None,
    ) -> Self:
        """Draw the mean deferral curve over the folds of a cross-validation.

        Parameters
        ----------
        cv_results : dict
            Result of :func:`sklearn.model_selection.cross_validate` with
            ``return_estimator=True, return_indices=True``.
        X : array-like of shape (n_prompts, n_features)
            Prompts of the cross-validation.
        y : array-like or DataFrame of shape (n_prompts, n_models)
            Quality of each model on each prompt.
        costs : array-like of shape (n_models,) or (n_prompts, n_models), mapping, Series or \
                DataFrame, default=None
            Costs that are paid. By default, the mean costs of each router.
        confidence : float, default=0.95
            Confidence level of the pointwise intervals over folds, from Student's t distribution.
            0 draws no band.
        ax : matplotlib Axes, default=None
            Axes to draw on. By default, new axes.
        name : str, default=None
            Name of the curve in the legend.
        cost_unit : str, default=None
            Unit of the costs, for the label of the axis, such as "USD".
        curve_kwargs : dict, default=None
            Keyword arguments for matplotlib's `plot`.

        Returns
        -------
        display : DeferralCurveDisplay
            Plot, with its axes in `ax_`.

        Raises
        ------
        ValueError
            If `cv_results` has no estimators or indices, or for the same reasons as
            :meth:`from_estimator`.
        """
        check_cv_results(cv_results)
        check_share(confidence, "confidence")
        curves, means = [], []
        for estimator, test in zip(
            cv_results["estimator"], cv_results["indices"]["test"], strict=True
        ):
            router, X_test = last_router(estimator, _safe_indexing(X, test))
            check_drawable(costs is not None or router.costs_ is not None)
            paid: Any = costs
            paid = _safe_indexing(paid, test) if np.ndim(paid) == 2 else paid
            y_test, error, paid, routing_costs = router.curve_inputs(
                X_test, _safe_indexing(y, test), paid, None, None
            )
            inputs = check_curve_inputs(y_test, error, paid, routing_costs, None)
            curves.append(curve_points(*inputs)[:2])
            means.append(
                [
                    model_means(cells, inputs.sample_weight)
                    for cells in (inputs.costs, inputs.y_true)
                ]
            )
        cost, quality = np.mean(means, axis=0)
        ends = cost.min(), cost.max()
        grid = np.unique(np.clip(np.concatenate([ends, *(points for points, _ in curves)]), *ends))
        curves = [
            np.interp(grid, np.maximum.accumulate(points), heights) for points, heights in curves
        ]
        mean, half = mean_interval(np.array(curves), confidence)
        band = {} if confidence == 0 else {"quality_low": mean - half, "quality_high": mean + half}
        models = {"model_cost": cost, "model_quality": quality}
        display = cls(grid, mean, **models, **band, name=name)
        return display.plot(ax, cost_unit=cost_unit, curve_kwargs=curve_kwargs)

    @classmethod
    def from_log(
        cls,
        estimator: Any,
        X: ArrayLike,
        chosen: ArrayLike,
        quality: ArrayLike,
        propensity: ArrayLike,
        costs: ArrayLike | None = None,
        pool: Pool | None = None,
        *,
        confidence: float = 0.95,
        ax: Any = None,
        name: str | None = None,
        cost_unit: str | None = None,
        curve_kwargs: Mapping[str, Any] | None = None,
    ) -> Self:
        """Draw the curve that a router would have had on the traffic of a log.

        All points are doubly robust estimates, as of
        :func:`sklearn_uniroute.metrics.off_policy_value`, with the errors and costs that the router
        predicts. They can be trusted where the logged router explores the same models.

        Parameters
        ----------
        estimator : router or Pipeline
            Fitted router, which has not learned from this log.
        X : array-like of shape (n_calls, n_features)
            Embedding of the prompt of each call, or input of the pipeline.
        chosen : array-like of shape (n_calls,)
            Name of the model that answered; the router must know it.
        quality : array-like of shape (n_calls,)
            Quality of the answer. NaN where no feedback came back; these calls are left out.
        propensity : array-like of shape (n_calls,)
            Probability with which the model was chosen.
        costs : array-like of shape (n_calls,), default=None
            Cost of each call. NaN where it was not recorded; these calls are left out as well. By
            default, the mean costs of the router are paid.
        pool : sequence of model names, default=None
            Models to choose among. By default, all models of the router.
        confidence : float, default=0.95
            Coverage of the pointwise intervals.
        ax : matplotlib Axes, default=None
            Axes to draw on. By default, new axes.
        name : str, default=None
            Name of the curve in the legend. By default, the class name of the router.
        cost_unit : str, default=None
            Unit of the costs, for the label of the axis, such as "USD".
        curve_kwargs : dict, default=None
            Keyword arguments for matplotlib's `plot`.

        Returns
        -------
        display : DeferralCurveDisplay
            Plot, with its axes in `ax_`.

        Raises
        ------
        ValueError
            If lengths disagree, if a model is unknown, if a propensity is not above 0 and at most
            1, if no call has a quality, or if the router has no costs.

        Warns
        -----
        UserWarning
            If the log says little of the models that the router takes for the best, so that the
            dear end of the curve is what the router predicts.
        """
        check_share(confidence, "confidence")
        check_same_order(X=X, chosen=chosen, quality=quality, propensity=propensity, costs=costs)
        router, X = last_router(estimator, X)
        check_drawable(router.costs_ is not None)
        n_calls = len(np.asarray(quality))
        logged = check_chosen(chosen, router.models_, n_calls, "chosen")
        outcome = check_feedback(quality, n_calls, "quality")
        probability = check_propensity(propensity, n_calls)
        paid = None if costs is None else check_call_costs(costs, n_calls)
        known = ~np.isnan(outcome) & (True if paid is None else ~np.isnan(paid))
        check_known(int(known.sum()), True, "doubly_robust")
        check_calls(quality, _num_samples(X), "quality")
        X, log = _safe_indexing(X, known), (logged[known], probability[known])
        expected = 1 - router.predict_error(X)
        qualities = doubly_robust_outcomes(outcome[known], *log, expected)
        prices = np.broadcast_to(router.costs_, expected.shape)
        if paid is not None:
            prices = doubly_robust_outcomes(paid[known], *log, router.predict_cost(X))
        # In the order in which the router knows the models, as `curve_inputs` returns them.
        index = np.sort(check_pool(pool, router.models_))
        labels = router.models_[index].tolist()
        _, error, _, routing_costs = router.curve_inputs(X, expected[:, index], pool=labels)
        qualities, prices, weight = qualities[:, index], prices[:, index], np.ones(len(error))
        # The dear end of the curve is what logs of cheap tables lack most.
        best = index[expected[:, index].argmax(axis=1)]
        check_shared((log[0] == best) / log[1], "doubly_robust")
        cost, mean, _ = curve_points(qualities, error, prices, routing_costs, weight)
        _, square, _ = curve_points(qualities**2, error, prices, routing_costs, weight)
        std = np.sqrt(np.maximum(square - mean**2, 0) / len(error))
        half = norm.ppf((1 + confidence) / 2) * std
        display = cls(
            cost,
            mean,
            quality_low=mean - half,
            quality_high=mean + half,
            name=type(router).__name__ if name is None else name,
        )
        return display.plot(ax, cost_unit=cost_unit, curve_kwargs=curve_kwargs)

    def plot(
        self,
        ax: Any = None,
        *,
        name: str | None = None,
        cost_unit: str | None = None,
        curve_kwargs: Mapping[str, Any] | None = None,
    ) -> Self:
        """Draw the curve and the single models.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on. By default, new axes.
        name : str, default=None
            Name of the curve in the legend. By default, the stored name.
        cost_unit : str, default=None
            Unit of the costs, for the label of the axis, such as "USD".
        curve_kwargs : dict, default=None
            Keyword arguments for matplotlib's `plot`.

        Returns
        -------
        display : DeferralCurveDisplay
            Plot, with its axes in `ax_`.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        """
        if ax is None:
            _, ax = import_optional("matplotlib.pyplot", "plot").subplots()
        name = self.name if name is None else name
        (self.line_,) = ax.plot(self.cost, self.quality, **{"label": name, **(curve_kwargs or {})})
        self.fill_between_ = self.scatter_ = None
        if self.quality_low is not None:
            self.fill_between_ = ax.fill_between(
                self.cost,
                self.quality_low,
                self.quality_high,
                color=self.line_.get_color(),
                alpha=0.15,
                linewidth=0,
            )
        if self.model_cost is not None:
            self.scatter_ = ax.scatter(
                self.model_cost,
                self.model_quality,
                marker="x",
                color="0.4",
                linewidths=1,
                zorder=1,
                label="single models",
            )
            if is_wide(self.model_cost):
                ax.set_xscale("log")
        unit = "" if cost_unit is None else f" ({cost_unit})"
        ax.set(xlabel=f"Average cost per prompt{unit}", ylabel="Average quality")
        if self.line_.get_label()[:1] != "_" or self.scatter_ is not None:
            ax.legend(loc="lower right", fontsize="small")
        self.ax_ = ax
        self.figure_ = ax.figure
        return self


def check_cv_results(cv_results: Mapping[str, Any]) -> None:
    """Check that a cross-validation kept its estimators and indices."""
    missing = [name for name in ("estimator", "indices") if name not in cv_results]
    if missing:
        raise ValueError(
            f"`cv_results` has no {' and no '.join(missing)}; call cross_validate with "
            "return_estimator=True and return_indices=True."
        )


def check_draws_with(is_cascade: bool, scores: Any, eligible: Any) -> None:
    """Refuse arguments that this kind of estimator does not take."""
    if is_cascade and eligible is not None:
        raise ValueError("a cascade takes no `eligible`; leave models out by `pool`.")
    if not is_cascade and scores is not None:
        raise ValueError(
            "a router takes no `scores`; pass a CascadeRouter to draw checked answers."
        )


def check_drawable(has_costs: bool) -> None:
    """Refuse a deferral curve without costs."""
    if not has_costs:
        raise ValueError(
            "a deferral curve needs costs, but this router was fitted without costs; pass `costs` "
            "here or to fit."
        )
