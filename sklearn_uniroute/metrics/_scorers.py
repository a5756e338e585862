"""Scorers of routers, for model selection with scikit-learn."""

import copy
import warnings
from collections.abc import Callable, Mapping
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils.metadata_routing import MetadataRequest

from sklearn_uniroute.metrics._scores import (
    deferral_area_score,
    peak_quality_score,
    quality_neutral_cost,
)
from sklearn_uniroute.utils._estimators import last_router
from sklearn_uniroute.utils._typing import Costs, Pool
from sklearn_uniroute.utils._validation import as_numbers, check_pool


def make_deferral_scorer(
    metric: Callable[..., float],
    pool: Pool | None = None,
    *,
    greater_is_better: bool = True,
    **metric_params: Any,
) -> "DeferralScorer":
    """Make a scorer from a metric of deferral curves.

    Parameters
    ----------
    metric : callable
        Metric, such as a score of :mod:`sklearn_uniroute.metrics`. Called as
        ``metric(y_true, error_pred, costs, routing_costs=..., sample_weight=...)``.
    pool : sequence of model names, default=None
        Models to choose among. By default, all models of the router.
    greater_is_better : bool, default=True
        Whether higher values of the metric are better. If False, the score is the negative of the
        metric.
    **metric_params : dict
        Further parameters of the metric.

    Returns
    -------
    scorer : DeferralScorer
        Scorer, called as ``scorer(estimator, X, y)``.

    Examples
    --------
    >>> from sklearn.model_selection import GridSearchCV
    >>> from sklearn_uniroute import KMeansRouter
    >>> from sklearn_uniroute.datasets import make_routing_data
    >>> from sklearn_uniroute.model_selection import make_deferral_scorer
    >>> from sklearn_uniroute.metrics import peak_quality_score
    >>> data = make_routing_data(random_state=0)
    >>> scorer = make_deferral_scorer(peak_quality_score, pool=[0, 1, 2])
    >>> search = GridSearchCV(KMeansRouter(random_state=0), {"n_clusters": [1, 8]}, scoring=scorer)
    >>> search.fit(data.X, data.y, costs=data.costs).best_params_
    {'n_clusters': 8}
    """
    return DeferralScorer(metric, pool, 1 if greater_is_better else -1, metric_params)


class DeferralScorer:
    """Score a router, or a pipeline or search that ends in one, by its deferral curve.

    With metadata routing, the scorer requests `costs`. Without it, the scorer uses the mean costs
    of the router. To score with the cost of each call, enable metadata routing.

    Create a scorer with :func:`make_deferral_scorer`.
    """

    __module__ = "sklearn_uniroute.model_selection"

    def __init__(
        self,
        metric: Callable[..., float],
        pool: Pool | None,
        sign: int,
        metric_params: dict[str, Any],
    ) -> None:
        self._metric = metric
        self._pool = pool
        self._sign = sign
        self._metric_params = metric_params
        self._requests = {"costs": True, "sample_weight": None}

    def __call__(
        self,
        estimator: Any,
        X: ArrayLike,
        y: ArrayLike,
        costs: Costs | None = None,
        pool: Pool | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> float:
        """Score an estimator.

        Parameters
        ----------
        estimator : router, Pipeline or search
            Fitted router, or fitted pipeline or search that ends in one.
        X : array-like of shape (n_prompts, n_features)
            Input of the estimator.
        y : array-like or DataFrame of shape (n_prompts, n_models)
            Quality of each model of the router. NaN means that the model was not run.
        costs : array-like of shape (n_models,) or (n_prompts, n_models), mapping, Series or \
                DataFrame, default=None
            Costs that are paid. By default, the mean costs of the router.
        pool : sequence of model names, default=None
            Models to choose among. By default, the pool set at construction. `y` and `costs` have
            one column per model of the router, in its order. If the pool is smaller, they may
            have one column per model of the pool instead, in the order of the pool.
        sample_weight : array-like of shape (n_prompts,), default=None
            Weights of the prompts.

        Returns
        -------
        score : float
            Higher is better.

        Raises
        ------
        ValueError
            If the router was fitted without costs and gets none here: there is no curve then. A
            search reports a score of NaN, and warns of the reason first.
        """
        router, X = last_router(estimator, X)
        if costs is None:
            check_has_costs(router.costs_)
        pool = self._pool if pool is None else pool
        index = check_pool(pool, router.models_)
        if pool is not None:
            y, costs = (_of_pool(values, index, len(router.models_)) for values in (y, costs))
        y, error, costs, routing_costs = router.curve_inputs(X, y, costs, pool, sample_weight)
        score = self._metric(
            y,
            error,
            costs,
            routing_costs=routing_costs,
            sample_weight=sample_weight,
            **self._metric_params,
        )
        return float(self._sign * score)

    def __repr__(self) -> str:
        parameters = [getattr(self._metric, "__name__", repr(self._metric))]
        if self._pool is not None:
            parameters.append(f"pool={self._pool!r}")
        if self._sign < 0:
            parameters.append("greater_is_better=False")
        parameters += [f"{name}={value!r}" for name, value in self._metric_params.items()]
        return f"make_deferral_scorer({', '.join(parameters)})"

    def set_score_request(self, **requests: Any) -> Self:
        """Set whether metadata routing passes `costs` and `sample_weight`.

        Parameters
        ----------
        **requests : dict
            True, False, None or an alias for each of the two, as elsewhere in scikit-learn.

        Returns
        -------
        scorer : DeferralScorer
            Copy of the scorer with these requests. The scorer itself does not change.
        """
        unknown = [name for name in requests if name not in self._requests]
        if unknown:
            raise TypeError(f"scorers of routers take costs and sample_weight; got {unknown}.")
        scorer = copy.copy(self)
        scorer._requests = {**self._requests, **requests}
        return scorer

    def get_metadata_routing(self) -> MetadataRequest:
        """Get the metadata requests of the scorer.

        Returns
        -------
        request : MetadataRequest
            Requests of the method `score`.
        """
        request = MetadataRequest(owner=repr(self))
        for name, alias in self._requests.items():
            request.score.add_request(param=name, alias=alias)
        return request

    def _accept_sample_weight(self) -> bool:
        # Called by searches over several metrics.
        return True


def check_has_costs(costs: np.ndarray | None) -> None:
    """Refuse to draw a curve without costs. Searches hide the error, so it is a warning as well."""
    if costs is not None:
        return
    problem = (
        "the router was fitted without costs, and a deferral curve trades quality for cost: pass "
        "`costs` to fit of the router or of the search, or leave `scoring` out to score by the "
        "quality alone."
    )
    warnings.warn(problem, UserWarning, stacklevel=3)
    raise ValueError(problem)


def _of_pool(values: Any, index: np.ndarray, n_models: int) -> Any:
    """Take the columns of a pool; columns with names are looked up by name later."""
    if values is None or isinstance(values, Mapping) or hasattr(values, "loc"):
        return values
    values = np.asarray(as_numbers(values))
    return values[..., index] if values.shape[-1:] == (n_models,) else values


deferral_area_scorer = make_deferral_scorer(deferral_area_score)
peak_quality_scorer = make_deferral_scorer(peak_quality_score)
qnc_scorer = make_deferral_scorer(quality_neutral_cost, greater_is_better=False)
