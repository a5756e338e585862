"""The policy of a cascade: whom to ask first and next, on prompts and in simulations."""

import warnings
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils import Bunch
from sklearn.utils.validation import check_is_fitted

from sklearn_uniroute._numerics._cascade import first_beliefs, follow_policy, next_calls, revise
from sklearn_uniroute._numerics._routing import choose
from sklearn_uniroute._numerics._score_evidence import Answers, ScoreEvidence
from sklearn_uniroute.metrics._curve import curve_points, has_range, mean_height, model_means
from sklearn_uniroute.routers._budget import check_amount, check_operating_point, settle
from sklearn_uniroute.utils._estimators import final_router, last_router
from sklearn_uniroute.utils._logs import check_chosen
from sklearn_uniroute.utils._typing import Costs, Pool
from sklearn_uniroute.utils._validation import (
    as_numbers,
    check_pool,
    check_prompts,
    check_quality,
    check_same_order,
    select_columns,
)
from sklearn_uniroute.utils._weights import check_sample_weight

# Number of cost weights at which a policy is simulated, by equal steps of the router's cost, and
# at equal steps of its curve.
_POINTS = 48, 16
# Number of higher cost weights, each twice as high.
_DOUBLINGS = 8
# Number of prompts on which budgets are kept. Cost weights are searched in rounds, each of which
# divides a part of the one before.
_DRAWS, _ROUNDS, _PARTS = 1000, 6, 16


class CascadePolicyMixin:
    """Ability to ask models, by what was learned of their scores."""

    cost_weight: float
    budget: float | None
    router_: Any
    max_calls: int
    check_cost: float
    correlation_: float
    quality_range_: tuple[float, float]
    score_shifts_: dict[Any, float]
    # Fields of a ScoreEvidence; None if scores say nothing.
    _score_evidence: Any = None

    def first(
        self,
        X: ArrayLike,
        pool: Pool | None = None,
        *,
        cost_weight: float | None = None,
        budget: float | None = None,
        return_check: bool = False,
    ) -> Any:
        """Choose the model to ask first.

        Parameters
        ----------
        X : array-like of shape (n_prompts, n_features)
            Prompt embeddings, or input of the pipeline.
        pool : sequence of model names, default=None
            Models to choose among. By default, all models of the router.
        cost_weight : float, default=None
            Error that one unit of cost is worth. By default, the value set at construction.
        budget : float, default=None
            Mean cost per prompt to keep to instead. By default, the value set at construction. It
            takes about a second to find the cost weight; for many calls, find it once with
            :meth:`cost_weight_for_budget`.
        return_check : bool, default=False
            Whether to also return which answers to check.

        Returns
        -------
        models : ndarray of shape (n_prompts,)
            Names of the models to ask.
        check : ndarray of shape (n_prompts,), dtype bool
            Whether a check of the answer pays. Only returned if `return_check` is True.

        Raises
        ------
        ValueError
            For the same reasons as `predict` of the router.
        """
        return self._next(X, None, None, pool, cost_weight, budget, return_check)

    def next(
        self,
        X: ArrayLike,
        asked: ArrayLike,
        scores: ArrayLike,
        pool: Pool | None = None,
        *,
        cost_weight: float | None = None,
        budget: float | None = None,
        return_check: bool = False,
    ) -> Any:
        """Choose the model to ask next, or the answer to keep.

        Parameters
        ----------
        X : array-like of shape (n_prompts, n_features)
            Prompt embeddings, or input of the pipeline.
        asked : array-like of shape (n_prompts,) or (n_prompts, n_asked)
            Names of the models that were asked, in this order.
        scores : array-like of shape (n_prompts,) or (n_prompts, n_asked)
            Scores of their answers. NaN where an answer was not checked.
        pool : sequence of model names, default=None
            Models to choose among, with those that were asked. By default, all models of the
            router.
        cost_weight : float, default=None
            Error that one unit of cost is worth. By default, the value set at construction.
        budget : float, default=None
            Mean cost per prompt to keep to instead. By default, the value set at construction.
        return_check : bool, default=False
            Whether to also return which answers to check.

        Returns
        -------
        models : ndarray of shape (n_prompts,)
            Names of models: if the model was asked before, keep its answer; else ask it.
        check : ndarray of shape (n_prompts,), dtype bool
            Whether a check of the further answer pays. Only returned if `return_check` is True.

        Raises
        ------
        ValueError
            If `asked` has a model that is not in the pool, or one model twice, or if shapes
            disagree.
        """
        return self._next(X, asked, scores, pool, cost_weight, budget, return_check)

    def _next(
        self,
        X: Any,
        asked: Any,
        scores: Any,
        pool: Any,
        cost_weight: Any,
        budget: Any,
        return_check: bool,
    ) -> Any:
        check_is_fitted(self)
        router, prompts, index = self._inputs(X, pool)
        names = router.models_[index]
        cost_weight, budget = settle(self, cost_weight, budget)
        check_operating_point(cost_weight, budget, has_costs=True)
        check_same_order(X=X, asked=asked, scores=scores)
        quality, costs = self._expected(router, prompts, index)
        n_prompts = len(quality)
        if asked is None:
            order = np.empty((n_prompts, 0), dtype=np.intp)
            values = np.empty((n_prompts, 0))
        else:
            order, values = check_asked(asked, scores, n_prompts, names)
        if self._score_evidence is None:
            if order.shape[1]:
                chosen = names[self._best(quality, order)]
            else:
                point = {"cost_weight": cost_weight, "budget": budget}
                chosen = router.predict(prompts, pool=names.tolist(), **point)
            return (chosen, np.zeros(n_prompts, dtype=bool)) if return_check else chosen
        if budget is not None:
            cost_weight = self.cost_weight_for_budget(budget, pool)
        policy, shifts = self._settings(cost_weight), self._shifts(names)
        beliefs = first_beliefs(quality)
        for call, score in zip(order.T, values.T, strict=True):
            bins = usual_bins(policy["evidence"], score - shifts[call])
            beliefs = revise(beliefs, call, bins, policy["evidence"], self.correlation_)
        n_left = min(self.max_calls, len(names)) - order.shape[1]
        chosen, check = beliefs.kept, np.zeros(n_prompts, dtype=bool)
        if n_left > 0:
            call, check = next_calls(beliefs, costs, n_left, **policy)
            chosen = np.where(call >= 0, call, chosen)
        return (names[chosen], check) if return_check else names[chosen]

    @staticmethod
    def _best(quality: np.ndarray, order: np.ndarray) -> np.ndarray:
        """Position of the asked model of highest expected quality."""
        expected = np.take_along_axis(quality, order, axis=1)
        return np.take_along_axis(order, expected.argmax(axis=1)[:, None], axis=1)[:, 0]

    def simulate(
        self,
        X: ArrayLike,
        y: ArrayLike,
        costs: Costs | None = None,
        *,
        scores: ArrayLike,
        pool: Pool | None = None,
        cost_weight: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> Bunch:
        """Follow the policy on prompts where all answers and scores are known.

        Parameters
        ----------
        X : array-like of shape (n_prompts, n_features)
            Prompt embeddings, or input of the pipeline.
        y : array-like or DataFrame of shape (n_prompts, n_pool)
            Quality of each model, in the order of `pool` or, in a DataFrame, by name. NaN means
            that it is not known; a kept answer of unknown quality is left out of the mean quality.
        costs : array-like of shape (n_pool,) or (n_prompts, n_pool), mapping, Series or \
                DataFrame, default=None
            Costs that are paid. By default, the mean costs of the router.
        scores : array-like or DataFrame of shape (n_prompts, n_pool)
            Score of each answer. NaN says nothing.
        pool : sequence of model names, default=None
            Models to choose among. By default, all models of the router.
        cost_weight : array-like of shape (n_points,), default=None
            Cost weights to follow the policy at. By default, 64 of them, over the whole range; for
            scores that say nothing, those of the router's exact curve.
        sample_weight : array-like of shape (n_prompts,), default=None
            Weights of the prompts.

        Returns
        -------
        result : Bunch
            Dictionary-like object with arrays of shape (n_points,): `cost_weight`, falling, and
            the mean `cost` and `quality` per prompt, and the mean number of calls `n_calls`.

        Raises
        ------
        ValueError
            If shapes or names disagree.
        """
        y, estimates, paid, costs, values, weights, names = self._known(
            X, y, costs, scores, pool, sample_weight
        )
        if self._score_evidence is None and cost_weight is None:
            cost, quality, found = curve_points(y, 1 - estimates, paid, costs, weights)
            return Bunch(cost_weight=found, cost=cost, quality=quality, n_calls=np.ones(len(cost)))
        if cost_weight is None:
            points = curve_points(np.zeros(y.shape), 1 - estimates, costs, costs, weights)
            dearest = 1 / max(costs[costs > 0].min(initial=np.inf), 1e-300)
            grid = spread_points(points[0], points[2], max(dearest, 1e-12))
        else:
            grid = np.sort(np.atleast_1d(np.asarray(cost_weight, dtype=np.float64)))[::-1]
            for one in grid.tolist():
                check_amount(one, "cost_weight", has_costs=True)
        paid, costs = (np.broadcast_to(one, y.shape) for one in (paid, costs))
        if self._score_evidence is None:
            rows = np.arange(len(y))
            chosen = [choose(1 - estimates, costs, one) for one in grid]
            means = [known_means(paid[rows, one], y[rows, one], weights) for one in chosen]
            cost, quality = np.array(means).T
            return Bunch(cost_weight=grid, cost=cost, quality=quality, n_calls=np.ones(len(grid)))
        low, high = self.quality_range_
        policy = self._settings(grid)
        bins = usual_bins(policy["evidence"], values - self._shifts(names))
        known = (estimates - low) / (high - low or 1.0), costs, paid, bins
        cost, quality, n_calls = policy_curve(y, *known, weights, self.max_calls, policy)
        return Bunch(cost_weight=grid, cost=cost, quality=quality, n_calls=n_calls)

    def score(
        self,
        X: ArrayLike,
        y: ArrayLike,
        costs: Costs | None = None,
        pool: Pool | None = None,
        *,
        scores: ArrayLike,
        sample_weight: ArrayLike | None = None,
    ) -> float:
        """Compute the area under the curve of the cascade, comparable with that of the router.

        Parameters
        ----------
        X : array-like of shape (n_prompts, n_features)
            Prompt embeddings, or input of the pipeline.
        y : array-like or DataFrame of shape (n_prompts, n_pool)
            Quality of each model.
        costs : array-like of shape (n_pool,) or (n_prompts, n_pool), mapping, Series or \
                DataFrame, default=None
            Costs that are paid. By default, the mean costs of the router.
        pool : sequence of model names, default=None
            Models to choose among. By default, all models of the router.
        scores : array-like or DataFrame of shape (n_prompts, n_pool)
            Score of each answer.
        sample_weight : array-like of shape (n_prompts,), default=None
            Weights of the prompts.

        Returns
        -------
        area : float
            Mean quality over the range of the mean costs of the models.

        Raises
        ------
        ValueError
            If shapes or names disagree.
        """
        known = self._known(X, y, costs, scores, pool, sample_weight)
        curve = self.simulate(X, y, costs, scores=scores, pool=pool, sample_weight=sample_weight)
        means = model_means(known[2], known[5])
        if not has_range(means):
            # At the cost of one call, unless calls cost nothing.
            return float(curve.quality[0 if means.max() > 0 else -1])
        return mean_height(curve.cost, curve.quality, means.min(), means.max())

    def cost_weight_for_budget(
        self, budget: float, pool: Pool | None = None, X: ArrayLike | None = None
    ) -> float:
        """Find the lowest cost weight that keeps the expected mean cost within a budget.

        Scores of the prompts are drawn from what the cascade expects.

        Parameters
        ----------
        budget : float
            Mean cost per prompt of all calls and checks, in the unit of the costs.
        pool : sequence of model names, default=None
            Models to choose among. By default, all models of the router.
        X : array-like of shape (n_prompts, n_features), default=None
            Prompts on which to keep the budget, as input of the cascade. By default, the validation
            prompts of the router.

        Returns
        -------
        cost_weight : float
            Cost weight, in error per unit of cost.

        Raises
        ------
        ValueError
            If the budget is below the lowest mean cost that can be reached.
        """
        check_is_fitted(self)
        router = final_router(self.router_)
        if self._score_evidence is None:
            prompts = None if X is None else last_router(self.router_, X)[1]
            return router.cost_weight_for_budget(budget, pool, prompts)
        check_amount(budget, "budget", has_costs=True)
        index = np.sort(check_pool(pool, router.models_))
        if X is None:
            prompts, shares = router.X_val_, router.validation_weights_
        else:
            _, prompts, _ = self._inputs(X, pool)
            shares = np.ones(len(prompts))
        rng = np.random.RandomState(0)
        rows = rng.choice(len(prompts), _DRAWS, p=shares / shares.sum())
        quality, costs = self._expected(router, prompts, index)
        quality, costs = quality[rows], costs[rows]
        draws = rng.uniform(size=(_DRAWS, self.max_calls))
        n_calls = min(self.max_calls, len(index))

        def mean_costs(cost_weights: np.ndarray) -> np.ndarray:
            policy = self._settings(cost_weights)
            outcome = follow_policy(quality, costs, costs, n_calls, draws=draws, **policy)
            return outcome.cost.mean(axis=1)

        least, most = mean_costs(np.array([np.inf, 0.0]))
        if budget < least * (1 - 1e-9):
            raise ValueError(
                f"`budget` {budget:g} is below the least mean cost of this pool, {least:g}."
            )
        if most <= budget:
            return 0.0
        prices = np.append(costs.ravel(), self.check_cost)
        positive = prices[prices > 0]
        low, high = np.log(1e-6 / positive.max()), np.log(1e6 / positive.min())
        for _ in range(_ROUNDS):
            grid = np.linspace(low, high, _PARTS + 1)
            # All cost weights from the returned one on keep the budget.
            too_dear = np.flatnonzero(mean_costs(np.exp(grid)) > budget)
            place = too_dear[-1] if len(too_dear) else 0
            low, high = grid[place], grid[min(place + 1, _PARTS)]
        return float(np.exp(high))

    def _inputs(self, X: Any, pool: Any) -> tuple[Any, np.ndarray, np.ndarray]:
        """Fitted router at the end, its prompts, and positions of the pool by registration."""
        router, prompts = last_router(self.router_, X)
        return router, check_prompts(router, prompts), np.sort(check_pool(pool, router.models_))

    def _expected(
        self, router: Any, prompts: np.ndarray, index: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Predict quality, between 0 and 1, and costs."""
        error, costs = router._predictor(index).terms(prompts)
        low, high = self.quality_range_
        quality = (1 - error - low) / (high - low or 1.0)
        return quality, np.broadcast_to(costs, quality.shape)

    def _settings(self, cost_weight: float | np.ndarray) -> dict[str, Any]:
        """Get the arguments of `next_calls`, in units of quality between 0 and 1."""
        low, high = self.quality_range_
        # Beyond this, the cheapest model is asked anyway.
        weight = np.minimum(np.asarray(cost_weight) / (high - low or 1.0), 1e12)
        return {
            "evidence": ScoreEvidence(**self._score_evidence),
            "correlation": self.correlation_,
            "cost_weight": weight if weight.ndim else float(weight),
            "check_cost": float(self.check_cost),
        }

    def _shifts(self, names: np.ndarray) -> np.ndarray:
        return np.array([self.score_shifts_.get(name, 0.0) for name in names.tolist()])

    def _known(
        self, X: Any, y: Any, costs: Any, scores: Any, pool: Any, sample_weight: Any
    ) -> tuple[np.ndarray, ...]:
        """Check what is known of prompts; models come in registration order."""
        check_is_fitted(self)
        check_same_order(X=X, y=y, costs=costs, scores=scores, sample_weight=sample_weight)
        router, prompts = last_router(self.router_, X)
        labels = router.models_[check_pool(pool, router.models_)]
        values = check_scores(scores, (len(prompts), len(labels)), labels)
        y, error, costs, routing_costs = router.curve_inputs(prompts, y, costs, pool, sample_weight)
        order = np.argsort(check_pool(pool, router.models_))
        weights = check_sample_weight(sample_weight, len(y))
        return y, 1 - error, costs, routing_costs, values[:, order], weights, labels[order]


def check_scores(scores: Any, shape: tuple[int, ...], labels: np.ndarray) -> np.ndarray:
    """Check the scores of answers; NaN where an answer was not checked."""
    if scores is None:
        raise ValueError("`scores` is missing; pass the score of each answer, NaN where none is.")
    values = check_quality(
        select_columns(scores, labels, name="scores"), name="scores", every_model=False
    )
    if values.shape != shape:
        raise ValueError(
            f"`scores` has shape {values.shape}, but the qualities have shape {shape}; pass one "
            "score for each answer, NaN where an answer was not checked."
        )
    return values.astype(np.float64)


def check_asked(
    asked: Any, scores: Any, n_prompts: int, names: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Check which models were asked; returns their positions and the scores of their answers."""
    check_same_order(asked=asked, scores=scores)
    if np.ma.is_masked(asked):
        raise ValueError("`asked` has masked entries; leave these prompts out.")
    asked = np.asarray(asked, dtype=object)
    values = np.asarray(as_numbers(scores), dtype=np.float64)
    asked, values = (one[:, None] if one.ndim == 1 else one for one in (asked, values))
    if asked.shape != values.shape or asked.ndim != 2 or len(asked) != n_prompts:
        raise ValueError(
            f"`asked` has shape {asked.shape} and `scores` has shape {values.shape}, for "
            f"{n_prompts} prompts; pass one model and one score for each call, NaN where an answer "
            "was not checked."
        )
    if np.isinf(values).any():
        raise ValueError("`scores` holds infinity; scores must be finite, or NaN for none.")
    order = check_chosen(asked.ravel(), names, asked.size, "asked").reshape(asked.shape)
    ranked = np.sort(order, axis=1)
    twice = np.flatnonzero((ranked[:, 1:] == ranked[:, :-1]).any(axis=1))
    if len(twice):
        raise ValueError(f"row {twice[0]} of `asked` has a model twice; no model is asked twice.")
    return order, values


def known_means(cost: np.ndarray, quality: np.ndarray, weights: np.ndarray) -> tuple[float, float]:
    """Average costs and qualities where they are known."""
    cost, quality = (
        np.average(one[~np.isnan(one)], weights=weights[~np.isnan(one)]) for one in (cost, quality)
    )
    return float(cost), float(quality)


def policy_curve(
    y: np.ndarray,
    quality: np.ndarray,
    costs: np.ndarray,
    paid: np.ndarray,
    bins: np.ndarray,
    weights: np.ndarray,
    max_calls: int,
    policy: dict[str, Any],
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Follow policies where all is known: mean cost, quality and number of calls of each."""
    outcome = follow_policy(quality, costs, paid, max_calls, bins=bins, **policy)
    rows = np.arange(len(y))
    means = [
        known_means(cost, y[rows, kept], weights)
        for cost, kept in zip(outcome.cost, outcome.kept, strict=True)
    ]
    cost, reached = np.array(means).T
    return cost, reached, np.average(outcome.n_calls, axis=1, weights=weights)


def gain_of_scores(answers: Answers, max_calls: int, policy: dict[str, Any]) -> float:
    """Compute the area of a policy minus that of the router alone, on prompts of known outcome.

    Parameters
    ----------
    answers : Answers
    max_calls : int
    policy : dict
        Arguments of :func:`next_calls` but for the cost weight.

    Returns
    -------
    gain : float
        0 if all models have the same mean cost.
    """
    y, quality, expected = answers.quality, answers.estimates, answers.expected_costs
    weights = np.ones(len(y))
    means = model_means(answers.costs, weights)
    if not has_range(means):
        return 0.0
    cost, reached, cost_weight = curve_points(y, 1 - quality, answers.costs, expected, weights)
    alone = mean_height(cost, reached, means.min(), means.max())
    expected_cost, _, _ = curve_points(np.zeros(y.shape), 1 - quality, expected, expected, weights)
    grid = spread_points(expected_cost, cost_weight, 1 / means[means > 0].min())[::2]
    bins = policy["evidence"].bins(answers.scores)
    known = quality, expected, answers.costs, bins
    policy = {**policy, "cost_weight": grid}
    cost, reached, _ = policy_curve(y, *known, weights, max_calls, policy)
    return mean_height(cost, reached, means.min(), means.max()) - alone


def spread_points(cost: np.ndarray, cost_weight: np.ndarray, highest: float) -> np.ndarray:
    """Choose cost weights that spread over the costs of a curve, and over its points.

    If the router has one choice at all cost weights, they fall from `highest` by halves.
    """
    if cost_weight[0] == 0:
        return np.append(highest * 0.5 ** np.arange(sum(_POINTS) // 2), 0.0)
    by_cost = np.searchsorted(cost, np.linspace(cost[0], cost[-1], _POINTS[0]))
    by_point = np.linspace(0, len(cost) - 1, _POINTS[1]).astype(np.intp)
    places = np.unique(np.append(np.minimum(by_cost, len(cost) - 1), by_point))
    # A second call may pay where the router alone asks the cheapest model.
    beyond = cost_weight[0] * 2.0 ** np.arange(_DOUBLINGS, 0, -1)
    return np.append(beyond, cost_weight[places])


def usual_bins(evidence: ScoreEvidence, scores: np.ndarray) -> np.ndarray:
    """Find the bins of scores, with a warning if nearly all are in the first or the last."""
    bins, last = evidence.bins(scores), len(evidence.edges)
    known = bins[bins >= 0]
    if last > 11 and len(known) >= 20 and np.isin(known, (0, last)).mean() > 0.9:
        text = "nearly all `scores` are beyond most of those passed to `fit`; keep to their scale."
        warnings.warn(text, UserWarning, stacklevel=4)
    return bins
