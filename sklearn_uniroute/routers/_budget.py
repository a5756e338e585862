"""Operating points: cost weights, and the budgets and quality targets that they meet.

Functions of a router, which has `models_`, `costs_`, `cost_weight` and `budget`, and the methods
`_predictor`, `_calibration` and `_calibration_error` of :class:`BaseRouter`.
"""

import numbers
from decimal import Decimal
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import t as student_t
from sklearn.utils.validation import check_is_fitted

from sklearn_uniroute._numerics._predictors import OperatingPoint
from sklearn_uniroute._numerics._routing import (
    ROUNDING,
    hull_walk,
    mix_for_budget,
    walk_points,
    weight_within_budget,
)
from sklearn_uniroute.routers._pool import of_one_state
from sklearn_uniroute.utils._eligible import check_eligible
from sklearn_uniroute.utils._typing import Pool
from sklearn_uniroute.utils._validation import (
    check_pool,
    check_prompts,
    check_same_order,
    is_price,
)


class BudgetMixin:
    """Ability of a router to find the cost weight that meets a budget or a quality."""

    @of_one_state
    def cost_weight_for_budget(
        self: Any,
        budget: float,
        pool: Pool | None = None,
        X: ArrayLike | None = None,
        *,
        eligible: ArrayLike | None = None,
    ) -> float:
        """Find the lowest cost weight that keeps the mean cost within a budget.

        The mean cost is a step function of the cost weight, and its steps are known, so no search
        is needed. The result lies one millionth above a step, so that rounding cannot undo it.

        Parameters
        ----------
        budget : float
            Mean cost per prompt, in the unit of the costs.
        pool : sequence of model names, default=None
            Models to choose among. By default, all models of the router.
        X : array-like of shape (n_prompts, n_features), default=None
            Prompts on which to keep the budget. By default, the training prompts for routers over
            clusters, and the validation prompts otherwise. Pass other prompts to a
            KNeighborsRouter, whose validation prompts are their own neighbours.
        eligible : array-like or DataFrame of shape (n_prompts, n_pool), default=None
            Whether each model may be chosen for each prompt of `X`, as for :meth:`predict`.

        Returns
        -------
        cost_weight : float
            Cost weight, in error per unit of cost. It is 0 if the budget pays for the model of
            lowest error on every prompt.

        Raises
        ------
        ValueError
            If the router has no costs, or if the budget is below the lowest mean cost that can be
            reached. That is the cost of the cheapest model, or more if prompts fall back to a
            dearer one.

        References
        ----------
        "Universal Model Routing for Efficient LLM Inference", arXiv 2502.08773, appendix E.
        """
        check_is_fitted(self)
        check_amount(budget, "budget", has_costs=self.costs_ is not None)
        index, prompts, allowed = prompts_to_keep(self, X, pool, eligible)
        return weight_within_budget(float(budget), *terms_to_keep(self, prompts, index, allowed))

    @of_one_state
    def cost_weight_for_quality(
        self: Any,
        quality: float,
        pool: Pool | None = None,
        X: ArrayLike | None = None,
        *,
        confidence: float | None = None,
        eligible: ArrayLike | None = None,
    ) -> float:
        """Find the highest cost weight, hence the lowest cost, that reaches a mean quality.

        Parameters
        ----------
        quality : float
            Mean quality per prompt to reach; quality is one minus error.
        pool : sequence of model names, default=None
            Models to choose among. By default, all models of the router.
        X : array-like of shape (n_prompts, n_features), default=None
            Prompts on which to reach the quality, by default as in :meth:`cost_weight_for_budget`.
            A KNeighborsRouter is overconfident on its validation prompts; pass other prompts to it.
        confidence : float, default=None
            Probability that the mean quality is reached, given how uncertain the errors of the
            models are. Only for routers with standard errors. It does not account for the sampling
            of the prompts. By default, the quality is reached in expectation.
        eligible : array-like or DataFrame of shape (n_prompts, n_pool), default=None
            Whether each model may be chosen for each prompt of `X`, as for :meth:`predict`.

        Returns
        -------
        cost_weight : float
            Cost weight, in error per unit of cost, halfway between two changes of the choices.

        Raises
        ------
        ValueError
            If the quality cannot be reached, if the router has no costs, if `confidence` is not
            between 0 and 1, or if the router has no standard errors and `confidence` is given.

        Examples
        --------
        >>> from sklearn_uniroute import KMeansRouter
        >>> from sklearn_uniroute.datasets import make_routing_data
        >>> data = make_routing_data(random_state=0)
        >>> router = KMeansRouter(random_state=0).fit(data.X, data.y, costs=data.costs)
        >>> expected = router.cost_weight_for_quality(0.8)
        >>> sure = router.cost_weight_for_quality(0.8, confidence=0.95)
        >>> sure < expected
        True
        """
        check_is_fitted(self)
        check_target(quality, confidence, has_costs=self.costs_ is not None)
        if confidence is not None:
            check_has_std(self._has_std, "confidence")
        index, prompts, allowed = prompts_to_keep(self, X, pool, eligible)
        return weight_for_quality(self, quality, index, prompts, allowed, confidence)


def settle(router: Any, cost_weight: float | None, budget: float | None) -> tuple[Any, Any]:
    """Take the cost weight or budget of a call, else the one set at construction."""
    if cost_weight is None and budget is None:
        cost_weight, budget = router.cost_weight, router.budget
        if cost_weight == 0 and budget is not None:
            cost_weight = None
    return _as_float(cost_weight), _as_float(budget)


def _as_float(amount: Any) -> Any:
    return float(amount) if isinstance(amount, Decimal) else amount


def operating_point(
    router: Any,
    index: np.ndarray,
    cost_weight: float | None,
    budget: float | None,
    randomize: bool | None,
) -> OperatingPoint:
    """Find the cost weight, or the mix of two, for the models at the positions `index`."""
    cost_weight, budget = settle(router, cost_weight, budget)
    check_operating_point(cost_weight, budget, has_costs=router.costs_ is not None)
    check_randomize(randomize, budget)
    if budget is None:
        return OperatingPoint(float(cost_weight))
    calibration = router._calibration(index)
    if router._randomizes if randomize is None else randomize:
        within, beyond, share = mix_for_budget(budget, *calibration)
        return OperatingPoint(within, beyond, share, router._mixing_seed)
    return OperatingPoint(weight_within_budget(budget, *calibration))


def terms_to_keep(
    router: Any, X: np.ndarray | None, index: np.ndarray, eligible: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Errors and costs that decide the choices on some prompts, and the weights of the prompts."""
    if X is None:
        return router._calibration(index)
    predictor, weights = router._predictor(index), np.full(len(X), 1 / len(X))
    if eligible is None:
        return *predictor.terms(X), weights
    return *predictor.eligible_terms(X, eligible), weights


def weight_for_quality(
    router: Any,
    quality: float,
    index: np.ndarray,
    X: np.ndarray | None,
    eligible: np.ndarray | None,
    confidence: float | None,
) -> float:
    """Find the highest cost weight that reaches a mean quality."""
    error, costs, weights = terms_to_keep(router, X, index, eligible)
    expected = router._calibration_error(index)
    if X is not None:
        expected = router._predictor(index).errors(X)
    walk = hull_walk(error, costs)
    points, cost_weight = walk_points(walk)
    rise = weights[walk.row] * (expected[walk.row, walk.source] - expected[walk.row, walk.target])
    start = 1 - weights @ expected[np.arange(len(expected)), walk.start]
    reached = start + np.append(0.0, np.cumsum(rise))
    if confidence is not None:
        # The prior is estimated from few models, so its tails are those of Student's t.
        width = student_t.ppf(confidence, router._prior_freedom)
        reached -= width * router._mean_error_std(X, index, walk, weights)
    reached = reached[points]
    check_quality_reachable(quality, reached, confidence)
    return float(cost_weight[np.argmax(reached >= quality - ROUNDING * abs(quality))])


def check_has_std(has_std: bool, argument: str = "return_std") -> None:
    """Refuse standard errors where the router has none."""
    if not has_std:
        raise ValueError(
            f"`{argument}` needs standard errors, which this router does not estimate; use a "
            'HybridRouter, or a KMeansRouter or LearnedMapRouter with representation="posterior".'
        )


def check_operating_point(
    cost_weight: float | None, budget: float | None, *, has_costs: bool
) -> None:
    """Check that one of the two is set, to a value that can be met."""
    if cost_weight is not None and budget is not None:
        raise ValueError(
            f"`cost_weight` and `budget` exclude each other; got cost_weight={cost_weight!r} and "
            f"budget={budget!r}. Set one of them."
        )
    if budget is None:
        check_amount(cost_weight, "cost_weight", has_costs=has_costs or cost_weight == 0)
    else:
        check_amount(budget, "budget", has_costs=has_costs)


def check_amount(value: Any, name: str, *, has_costs: bool) -> None:
    """Check a cost weight or a budget."""
    if not is_price(value):
        raise ValueError(f"`{name}` must be a finite number of at least 0; got {value!r}.")
    if not has_costs:
        raise ValueError(
            f"`{name}`={value:g} needs costs, but this router was fitted without; pass `costs` to "
            "fit."
        )


def check_randomize(randomize: Any, budget: float | None) -> None:
    """Check that there is a budget to meet."""
    if not isinstance(randomize, bool | np.bool_ | None):
        raise TypeError(f"`randomize` must be True, False or None; got {randomize!r}.")
    if randomize and budget is None:
        raise ValueError("`randomize=True` requires a budget; pass `budget`.")


def prompts_to_keep(
    router: Any, X: Any, pool: Any, eligible: Any
) -> tuple[np.ndarray, Any, np.ndarray | None]:
    """Positions of a pool by registration, and checked prompts with the models they may go to."""
    places = check_pool(pool, router.models_)
    if X is None:
        if eligible is not None:
            raise ValueError("`eligible` is about the prompts `X`; pass them as well.")
        return np.sort(places), None, None
    check_same_order(X=X, eligible=eligible)
    X = check_prompts(router, X)
    if eligible is not None:
        order = np.argsort(places)
        eligible = check_eligible(eligible, router.models_[places], len(X))[:, order]
    return np.sort(places), X, eligible


def check_target(quality: Any, confidence: Any, *, has_costs: bool) -> None:
    """Check a quality to reach, and the confidence to reach it with."""
    if not isinstance(quality, numbers.Real) or not np.isfinite(float(quality)):
        raise ValueError(f"`quality` must be a finite number; got {quality!r}.")
    if confidence is not None and not (is_price(confidence) and 0 < confidence < 1):
        raise ValueError(f"`confidence` must lie between 0 and 1; got {confidence!r}.")
    check_has_costs(has_costs)


def check_quality_reachable(quality: float, reached: np.ndarray, confidence: float | None) -> None:
    """Refuse a quality that no cost weight reaches."""
    if quality > reached.max() + ROUNDING * abs(quality):
        sure = "" if confidence is None else f" with a confidence of {confidence:g}"
        raise ValueError(
            f"`quality` {quality:g} is out of reach: the pool reaches mean qualities from "
            f"{reached.min():g} to {reached.max():g}{sure}."
        )


def check_has_costs(has_costs: bool) -> None:
    """Refuse a call that needs costs if there are none."""
    if not has_costs:
        raise ValueError(
            "this call requires costs, but this router was fitted without costs; pass `costs` to "
            "fit."
        )
