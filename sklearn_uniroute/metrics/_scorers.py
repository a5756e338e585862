"""Scorers of routers for scikit-learn's model selection."""

import copy
from collections.abc import Callable, Mapping
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.pipeline import Pipeline
from sklearn.utils.metadata_routing import MetadataRequest
from sklearn.utils.validation import check_is_fitted

from sklearn_uniroute.metrics._scores import (
    deferral_area_score,
    peak_quality_score,
    quality_neutral_cost,
)
from sklearn_uniroute.utils._typing import Costs, Pool
from sklearn_uniroute.utils._validation import check_pool


def last_router(estimator: Any, X: Any) -> tuple[Any, Any]:
    """Find the router at the end of pipelines and searches, and what it is given for `X`."""
    check_is_fitted(estimator)
    if hasattr(estimator, "best_estimator_"):
        return last_router(estimator.best_estimator_, X)
    if isinstance(estimator, Pipeline):
        before = estimator[:-1]
        return last_router(estimator[-1], before.transform(X) if len(before) else X)
    return estimator, X


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
        Called as ``metric(y_true, error_pred, costs, routing_costs=..., sample_weight=...)``; any
        of :mod:`sklearn_uniroute.metrics`.
    pool : sequence of model names, default=None
        Score on a part of the models only.
    greater_is_better : bool, default=True
        Whether a high value of the metric is good; if not, the score is its negative.
    **metric_params : dict
        Further parameters of the metric.

    Returns
    -------
    scorer : DeferralScorer
        To be called as ``scorer(estimator, X, y)``.

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

    With metadata routing it asks for `costs`. Without, it accounts with the costs that the router
    was fitted with. Where each call has a cost, those to account with are needed here: enable
    metadata routing, or score by mean costs.

    Made by :func:`make_deferral_scorer`.
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
            Fitted.
        X : array-like of shape (n_prompts, n_features)
            What the estimator takes.
        y : array-like or DataFrame of shape (n_prompts, n_models)
            Quality of each of the router's models; NaN where a model was not run.
        costs : array-like of shape (n_models,) or (n_prompts, n_models), mapping, Series or \
                DataFrame, default=None
            Costs to account with, by default those of the router.
        sample_weight : array-like of shape (n_prompts,), default=None
            Weights of the prompts.
        pool : sequence of model names, default=None
            The models to score on, by default as constructed. `y` and `costs` have a column for
            each of the router's models, in its order, or, where the pool is smaller, for each
            model of the pool.

        Returns
        -------
        score : float
            Higher is better.
        """
        router, X = last_router(estimator, X)
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
        """Say whether `costs` and `sample_weight` are asked for by metadata routing.

        Parameters
        ----------
        **requests : dict
            For each of the two, True, False, None or an alias, as elsewhere in scikit-learn.

        Returns
        -------
        scorer : DeferralScorer
            A copy with these requests; the scorer itself, which others may use, stays as it is.
        """
        unknown = [name for name in requests if name not in self._requests]
        if unknown:
            raise TypeError(f"scorers of routers take costs and sample_weight; got {unknown}.")
        scorer = copy.copy(self)
        scorer._requests = {**self._requests, **requests}
        return scorer

    def get_metadata_routing(self) -> MetadataRequest:
        """Get the requests of this scorer.

        Returns
        -------
        request : MetadataRequest
            The requests, of `score`.
        """
        request = MetadataRequest(owner=repr(self))
        for name, alias in self._requests.items():
            request.score.add_request(param=name, alias=alias)
        return request

    def _accept_sample_weight(self) -> bool:
        # Searches over several metrics ask for it.
        return True


def _of_pool(values: Any, index: np.ndarray, n_models: int) -> Any:
    """Take the columns of a pool; what goes by name is looked up by name later."""
    if values is None or isinstance(values, Mapping) or hasattr(values, "loc"):
        return values
    values = np.asarray(values)
    return values[..., index] if values.shape[-1:] == (n_models,) else values


deferral_area_scorer = make_deferral_scorer(deferral_area_score)
peak_quality_scorer = make_deferral_scorer(peak_quality_score)
qnc_scorer = make_deferral_scorer(quality_neutral_cost, greater_is_better=False)
