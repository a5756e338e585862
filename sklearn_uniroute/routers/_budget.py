"""Operating points: cost weights, and the budgets and qualities that stand for them."""

import numbers
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import norm
from sklearn.utils.validation import check_is_fitted

from sklearn_uniroute._numerics._predictors import OperatingPoint, Predictor
from sklearn_uniroute._numerics._routing import (
    ROUNDING,
    hull_walk,
    mix_for_budget,
    walk_points,
    weight_within_budget,
)
from sklearn_uniroute.utils._typing import Pool
from sklearn_uniroute.utils._validation import _is_price, check_pool, check_prompts


class BudgetMixin:
    """What a fitted router is to spend or to reach, on the prompts that it knows."""

    models_: np.ndarray
    costs_: Any
    X_val_: np.ndarray
    validation_weights_: np.ndarray
    cost_weight: float
    budget: Any
    mixing_seed_: int
    _predictor: Callable[..., Predictor]
    _mean_error_std: Callable[..., np.ndarray]
    _always_mixes = False

    def cost_weight_for_budget(
        self, budget: float, pool: Pool | None = None, X: ArrayLike | None = None
    ) -> float:
        """Find the least cost weight that keeps the mean cost within a budget.

        The mean cost over the prompts is a step function of the cost weight whose steps are
        known, so that no search is needed. The answer lies a millionth above a step, so
        that rounding does not undo it.

        Parameters
        ----------
        budget : float
            Mean cost per prompt, in the unit of the costs.
        pool : sequence of model names, default=None
            The models, all that the router knows by default.
        X : array-like of shape (n_prompts, n_features), default=None
            Prompts to keep the budget on. By default those that the router knows: the training
            prompts, or the validation prompts where the router does not cluster. To a
            KNeighborsRouter these are their own neighbours, so that others are better.

        Returns
        -------
        cost_weight : float
            In error per unit of cost; 0 where the budget pays for the least error everywhere.

        Raises
        ------
        ValueError
            If the router has no costs, or the budget is below the least mean cost that can be
            reached: that of the cheapest model, or more where the router falls back to a dearer
            one.

        References
        ----------
        "Universal Model Routing for Efficient LLM Inference", arXiv 2502.08773, appendix E.
        """
        check_is_fitted(self)
        check_amount(budget, "budget", has_costs=self.costs_ is not None)
        index = np.sort(check_pool(pool, self.models_))
        if X is not None:
            X = check_prompts(self, X)
        return weight_within_budget(budget, *self._terms_to_keep(X, index))

    def cost_weight_for_quality(
        self,
        quality: float,
        pool: Pool | None = None,
        X: ArrayLike | None = None,
        *,
        confidence: float | None = None,
    ) -> float:
        """Find the highest cost weight, and so the cheapest setting, that reaches a mean quality.

        Parameters
        ----------
        quality : float
            Mean quality per prompt to reach, one less the error.
        pool : sequence of model names, default=None
            The models, all that the router knows by default.
        X : array-like of shape (n_prompts, n_features), default=None
            Prompts to reach it on, by default as for :meth:`cost_weight_for_budget`. A
            KNeighborsRouter is far too sure of these; pass others to it.
        confidence : float, default=None
            Probability that the mean quality is reached, in view of how little is known of the
            models' errors; for routers that give standard errors. A sample of prompts is off by
            chance too, the more the smaller it is; that is not counted. By default the quality is
            reached in expectation.

        Returns
        -------
        cost_weight : float
            In error per unit of cost; halfway between where the choice changes.

        Raises
        ------
        ValueError
            If the quality cannot be reached, the router has no costs, `confidence` is not between
            0 and 1, or it is asked of a router without standard errors.

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
            check_has_std(getattr(self, "representation_std_", None), "confidence")
        index = np.sort(check_pool(pool, self.models_))
        if X is not None:
            X = check_prompts(self, X)
        error, costs, weights = self._terms_to_keep(X, index)
        expected = self._calibration_error(index) if X is None else self._predictor(index).errors(X)
        walk = hull_walk(error, costs)
        points, cost_weight = walk_points(walk)
        rise = weights[walk.row] * (
            expected[walk.row, walk.source] - expected[walk.row, walk.target]
        )
        start = 1 - weights @ expected[np.arange(len(expected)), walk.start]
        reached = start + np.append(0.0, np.cumsum(rise))
        if confidence is not None:
            reached -= norm.ppf(confidence) * self._mean_error_std(X, index, walk, weights)
        reached = reached[points]
        check_quality_reachable(quality, reached, confidence)
        return float(cost_weight[np.argmax(reached >= quality - ROUNDING * abs(quality))])

    def _terms_to_keep(
        self, X: np.ndarray | None, index: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Errors and costs to choose by on some prompts, and the weights of these."""
        if X is None:
            return self._calibration(index)
        return *self._predictor(index).terms(X), np.full(len(X), 1 / len(X))

    def _settle(self, cost_weight: float | None, budget: float | None) -> tuple[Any, Any]:
        """Settle on a cost weight or a budget: what the call says, else what was constructed."""
        if cost_weight is None and budget is None:
            cost_weight, budget = self.cost_weight, self.budget
            if cost_weight == 0 and budget is not None:
                cost_weight = None
        return cost_weight, budget

    def _operating_point(
        self, index: np.ndarray, cost_weight: float | None, budget: float | None, randomize: bool
    ) -> OperatingPoint:
        """Find what models to choose by, among those at the positions `index`."""
        cost_weight, budget = self._settle(cost_weight, budget)
        check_operating_point(cost_weight, budget, has_costs=self.costs_ is not None)
        check_randomize(randomize, budget)
        if budget is None:
            return OperatingPoint(float(cost_weight))
        if randomize or self._always_mixes:
            within, beyond, share = mix_for_budget(budget, *self._calibration(index))
            return OperatingPoint(within, beyond, share, self.mixing_seed_)
        return OperatingPoint(self.cost_weight_for_budget(budget, self.models_[index]))

    def _calibration(self, index: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Predicted errors and costs on the prompts to keep budgets on, and their weights."""
        weights = self.validation_weights_ / self.validation_weights_.sum()
        return *self._predictor(index).terms(self.X_val_), weights

    def _calibration_error(self, index: np.ndarray) -> np.ndarray:
        """Predicted errors on these prompts."""
        return self._predictor(index).errors(self.X_val_)


def check_has_std(std: np.ndarray | None, argument: str = "return_std") -> None:
    """Refuse standard errors where the representation has none."""
    if std is None:
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
    if not _is_price(value):
        raise ValueError(f"`{name}` must be a finite number of at least 0; got {value!r}.")
    if not has_costs:
        raise ValueError(
            f"`{name}`={value:g} needs costs, but this router was fitted without; pass `costs` to "
            "fit."
        )


def check_randomize(randomize: Any, budget: float | None) -> None:
    """Check that there is a budget to spend in full."""
    if not isinstance(randomize, bool | np.bool_):
        raise TypeError(f"`randomize` must be True or False; got {randomize!r}.")
    if randomize and budget is None:
        raise ValueError("`randomize` spends a budget in full; pass `budget` too.")


def check_target(quality: Any, confidence: Any, *, has_costs: bool) -> None:
    """Check a quality to reach, and the confidence to reach it with."""
    if not isinstance(quality, numbers.Real) or not np.isfinite(float(quality)):
        raise ValueError(f"`quality` must be a finite number; got {quality!r}.")
    if confidence is not None and not (_is_price(confidence) and 0 < confidence < 1):
        raise ValueError(f"`confidence` must lie between 0 and 1; got {confidence!r}.")
    check_has_costs(has_costs or None)


def check_quality_reachable(quality: float, reached: np.ndarray, confidence: float | None) -> None:
    """Refuse a quality that no cost weight reaches."""
    if quality > reached.max() + 1e-12 * abs(quality):
        sure = "" if confidence is None else f" with a confidence of {confidence:g}"
        raise ValueError(
            f"`quality` {quality:g} is out of reach: the pool reaches mean qualities from "
            f"{reached.min():g} to {reached.max():g}{sure}."
        )


def check_has_costs(costs: object) -> None:
    """Refuse to predict costs where there are none."""
    if costs is None:
        raise ValueError(
            "this needs costs, but this router was fitted without costs; pass `costs` to fit."
        )
