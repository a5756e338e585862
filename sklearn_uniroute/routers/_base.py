"""What every router shares: the public methods, the pool of models and its prices."""

from copy import copy, deepcopy
from functools import partial
from typing import Any, ClassVar, NoReturn, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from sklearn_uniroute.metrics._curve import model_means
from sklearn_uniroute.routers._budget import (
    BudgetMixin,
    check_has_costs,
    check_has_std,
    check_operating_point,
)
from sklearn_uniroute.routers._dask import map_rows
from sklearn_uniroute.routers._pool import PoolMixin
from sklearn_uniroute.routers._pool_view import PoolViewMixin
from sklearn_uniroute.routers._score import curve_score
from sklearn_uniroute.routers._unchanged import unchanged_on_error
from sklearn_uniroute.serving._routing_table import RoutingTable
from sklearn_uniroute.utils._typing import Costs, Label, Pool
from sklearn_uniroute.utils._validation import (
    check_costs,
    check_count,
    check_pool,
    check_prompts,
    check_quality,
    check_sample_weight,
    check_training_prompts,
    check_validation_prompts,
    is_dask,
    model_labels,
    select_columns,
)


class BaseRouter(PoolMixin, PoolViewMixin, BudgetMixin, BaseEstimator):
    """Base class of all routers.

    A subclass sets `_evidence_arrays`, the names of its fitted arrays with one row per model, and
    implements

    - ``_fit_features(X, errors, rng)``: learn the features of prompts, Phi;
    - ``_fit_evidence(X, errors)``: set the evidence arrays for the training models, once the
      validation prompts are known;
    - ``_evidence(val_errors, X_val, position)``: the rows of one model, as a mapping from array
      name to row. Added to what the model at `position` has, unless that is None. `X_val` is None
      for the router's own validation prompts;
    - ``_predictor(index)``: the :class:`Predictor` of the models at the positions `index`.

    It never validates again what the public methods have checked.
    """

    __metadata_request__fit: ClassVar = {"costs": True, "X_val": True}
    __metadata_request__predict: ClassVar = {
        "pool": True,
        "cost_weight": True,
        "budget": True,
        "randomize": True,
    }
    __metadata_request__decision_function: ClassVar = {"pool": True, "cost_weight": True}
    __metadata_request__score: ClassVar = {"costs": True, "pool": True}

    _evidence_arrays: tuple[str, ...] = ("representation_",)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        tags.target_tags.multi_output = True
        tags.target_tags.single_output = False
        return tags

    def fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        costs: Costs | None = None,
        *,
        X_val: ArrayLike | None = None,
    ) -> Self:
        """Fit the router on prompts and on what the training models got right.

        Parameters
        ----------
        X : array-like or dask array of shape (n_prompts, n_features)
            Prompt embeddings. Routers over clusters fit a dask array from sums over its blocks, of
            which nothing else is gathered, and a sample of prompts; see :doc:`/scaling`.
        y : array-like or DataFrame of shape (n_prompts, n_models)
            Correctness, or any quality of which more is better, of each training model on each
            prompt; NaN where a model was not run. The columns of a DataFrame name the models,
            which otherwise go by number from 0.
        costs : array-like of shape (n_models,) or (n_prompts, n_models), mapping, Series or \
                DataFrame, default=None
            Cost of each model, or of each call (then a model's mean counts), in any unit, by
            name where models have names. NaN only for calls that were not made. Without costs
            the router minimises the error alone.
        X_val : array-like of shape (n_validation_prompts, n_features), default=None
            The validation prompts, on which models to be added are run. By default the router
            chooses them among `X`.

        Returns
        -------
        self : object
            The fitted router.

        Raises
        ------
        ValueError
            If shapes or names disagree, a model has no observed quality, or costs are negative or
            not finite. A router that was fitted before then stays as it was.
        """
        if is_dask(X) or is_dask(y):
            return self._fit_blocks(X, y, costs, X_val)
        with unchanged_on_error(self):
            self._check_params()
            labels = None if y is None else model_labels(y)
            X = check_training_prompts(self, X, y)
            y = check_quality(y, n_prompts=len(X), labels=labels)
            self.models_ = np.arange(y.shape[1]) if labels is None else labels
            self._pool_changed = False
            self.costs_ = None
            if costs is not None:
                costs = check_costs(costs, self.models_, quality=y)
                self.costs_ = model_means(costs, np.ones(len(X)))
            self._check_data(costs)
            if X_val is not None:
                X_val = check_validation_prompts(self, X_val)
            rng = check_random_state(self.random_state)
            errors = 1 - y
            self._fit_features(X, errors, rng)
            self._set_validation_prompts(X, X_val, rng)
            self._fit_evidence(X, errors)
            self._fit_costs(X, costs)
            self.mixing_seed_ = int(rng.randint(2**31))
        return self

    def predict(
        self,
        X: ArrayLike,
        pool: Pool | None = None,
        *,
        cost_weight: float | None = None,
        budget: float | None = None,
        randomize: bool = False,
    ) -> np.ndarray | Any:
        """Choose a model for each prompt.

        Parameters
        ----------
        X : array-like or dask array of shape (n_prompts, n_features)
            Prompt embeddings.
        pool : sequence of model names, default=None
            The models to choose among, in any order; all that the router knows by default.
        cost_weight : float, default=None
            Error that a unit of cost is worth, lambda of the paper; by default as constructed.
        budget : float, default=None
            Mean cost per prompt to keep to, in the unit of the costs, instead of a `cost_weight`;
            see :meth:`cost_weight_for_budget`. It is kept on the prompts that the router knows;
            the cost of others differs from it as they differ from these. By default as constructed.
        randomize : bool, default=False
            Whether to spend a budget in full: the mean cost moves in steps, and a share of the
            prompts, picked at random but the same ones each time, goes by the step beyond the
            budget, such that the expected cost is the budget. A ZeroRouter always does.

        Returns
        -------
        chosen : ndarray or dask array of shape (n_prompts,)
            Names of the chosen models. Ties go to the lower cost, then to the lower error, then
            to the model registered first.

        Raises
        ------
        ValueError
            If the pool has unknown or repeated models, `cost_weight` and `budget` are both
            given, either needs costs that the router does not have, the budget is below the
            least mean cost that can be reached, or `randomize` has no budget to meet.

        References
        ----------
        "Universal Model Routing for Efficient LLM Inference", arXiv 2502.08773, eq. 8.
        """
        check_is_fitted(self)
        # Registration order, so that the pool's own order never decides a tie.
        index = np.sort(check_pool(pool, self.models_))
        if is_dask(X):
            table = self.routing_table(
                pool, cost_weight=cost_weight, budget=budget, randomize=randomize
            )
            return map_rows(table.route_many, X, self.n_features_in_, self.models_[index].dtype)
        point = self._operating_point(index, cost_weight, budget, randomize)
        X = check_prompts(self, X)
        return self.models_[index[point.choose(self._predictor(index), X)]]

    def predict_error(
        self, X: ArrayLike, pool: Pool | None = None, *, return_std: bool = False
    ) -> Any:
        """Predict the error of each model on each prompt.

        Parameters
        ----------
        X : array-like or dask array of shape (n_prompts, n_features)
            Prompt embeddings.
        pool : sequence of model names, default=None
            The models, all that the router knows by default.
        return_std : bool, default=False
            Whether to return standard errors as well, how far the errors of the prompts like
            this one may be from the estimates.

        Returns
        -------
        error : ndarray or dask array of shape (n_prompts, n_pool)
            Predicted errors, the models in the order of `pool`, in the dtype of `X`.
        std : ndarray or dask array of shape (n_prompts, n_pool)
            Their standard errors. Only if `return_std` is True.

        Raises
        ------
        ValueError
            If the pool is empty or has unknown or repeated models, or standard errors are asked
            of a router that does not estimate them.

        References
        ----------
        "Universal Model Routing for Efficient LLM Inference", arXiv 2502.08773, eq. 9.
        """
        check_is_fitted(self)
        index = check_pool(pool, self.models_)
        if return_std:
            check_has_std(getattr(self, "representation_std_", None))
        if is_dask(X):
            # Changes make new arrays, so that the copy stays what the router is now.
            labels = self.models_[index].tolist()
            parts = [
                partial(_predicted_part, copy(self), labels, return_std, part)
                for part in range(1 + return_std)
            ]
            dtype = np.float32 if X.dtype == np.float32 else np.float64
            n_columns = len(labels)
            blocks = [map_rows(part, X, self.n_features_in_, dtype, n_columns) for part in parts]
            return tuple(blocks) if return_std else blocks[0]
        X = check_prompts(self, X)
        error = self._predictor(index).errors(X).astype(X.dtype, copy=False)
        if return_std:
            return error, self._predict_std(X, index).astype(X.dtype, copy=False)
        return error

    def predict_cost(self, X: ArrayLike, pool: Pool | None = None) -> np.ndarray:
        """Predict the cost of each model on each prompt.

        Parameters
        ----------
        X : array-like of shape (n_prompts, n_features)
            Prompt embeddings.
        pool : sequence of model names, default=None
            The models, all that the router knows by default.

        Returns
        -------
        cost : ndarray of shape (n_prompts, n_pool)
            Predicted costs, the models in the order of `pool`, in the unit of the router's costs.
            The same for all prompts, unless the router was set up to tell them apart.

        Raises
        ------
        ValueError
            If the router has no costs, or the pool is empty or has unknown or repeated models.
        """
        check_is_fitted(self)
        check_has_costs(self.costs_)
        index = check_pool(pool, self.models_)
        X = check_prompts(self, X)
        cost = self._predictor(index).costs(X)
        return np.array(np.broadcast_to(cost, (len(X), len(index))))

    def decision_function(
        self, X: ArrayLike, pool: Pool | None = None, *, cost_weight: float | None = None
    ) -> np.ndarray:
        """Compute the score whose highest value names the chosen model, but for ties.

        A ZeroRouter that mixes two models to meet a budget chooses between them at random instead.

        Parameters
        ----------
        X : array-like of shape (n_prompts, n_features)
            Prompt embeddings.
        pool : sequence of model names, default=None
            The models, all that the router knows by default.
        cost_weight : float, default=None
            Error that a unit of cost is worth; by default as constructed, or what meets the
            budget set at construction.

        Returns
        -------
        score : ndarray of shape (n_prompts, n_pool)
            ``-(error + cost_weight * cost)``, in double precision; where the router falls back
            to one model, only that this model's is the highest.

        Raises
        ------
        ValueError
            As :meth:`predict` does.
        """
        check_is_fitted(self)
        index = check_pool(pool, self.models_)
        cost_weight, budget = self._settle(cost_weight, None)
        check_operating_point(cost_weight, budget, has_costs=self.costs_ is not None)
        if budget is not None:
            cost_weight = self.cost_weight_for_budget(budget, pool)
        X = check_prompts(self, X)
        error, costs = self._predictor(index).terms(X)
        return -(error + cost_weight * costs)

    def routing_table(
        self,
        pool: Pool | None = None,
        *,
        cost_weight: float | None = None,
        budget: float | None = None,
        randomize: bool = False,
    ) -> RoutingTable:
        """Freeze the router and a pool for the request path.

        Parameters
        ----------
        pool : sequence of model names, default=None
            The models to choose among, all that the router knows by default.
        cost_weight : float, default=None
            Error that a unit of cost is worth; by default as constructed.
        budget : float, default=None
            Mean cost per prompt to keep to instead, as in :meth:`predict`.
        randomize : bool, default=False
            Whether to spend a budget in full, as in :meth:`predict`.

        Returns
        -------
        table : RoutingTable
            It chooses as :meth:`predict` does now, whatever happens to the router later.

        Raises
        ------
        ValueError
            As :meth:`predict` does.
        """
        check_is_fitted(self)
        index = np.sort(check_pool(pool, self.models_))
        point = self._operating_point(index, cost_weight, budget, randomize)
        # By rising cost, ties go to the first; not where costs differ from prompt to prompt.
        order = index[np.argsort(self._prices(index), kind="stable")]
        predictor = self._predictor(order)
        if not predictor.shares_costs:
            order, predictor = index, self._predictor(index)
        return RoutingTable(
            deepcopy(predictor),
            self.models_[order].tolist(),
            has_costs=self.costs_ is not None,
            operating_point=point,
        )

    def score(
        self,
        X: ArrayLike,
        y: ArrayLike,
        costs: Costs | None = None,
        pool: Pool | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> float:
        """Compute the area under the deferral curve over the given prompts.

        The curve runs over all cost weights, so that the router's own setting plays no part.
        Where the models have no costs, or all one cost, there is no area, and the score is the
        average quality at a cost weight of 0.

        Parameters
        ----------
        X : array-like of shape (n_prompts, n_features)
            Prompt embeddings.
        y : array-like or DataFrame of shape (n_prompts, n_pool)
            Quality of each model, in the order of `pool`, or by name in a DataFrame; NaN where a
            model was not run.
        costs : array-like of shape (n_pool,) or (n_prompts, n_pool), mapping, Series or \
                DataFrame, default=None
            Costs to account with, by default the router's mean costs. Choices are made by them too
            if there is one per model; costs per call are not known beforehand, so that choices
            are then made by what the router predicts.
        pool : sequence of model names, default=None
            The models, all that the router knows by default.
        sample_weight : array-like of shape (n_prompts,), default=None
            Weights of the prompts.

        Returns
        -------
        area : float
            Higher is better; see :func:`sklearn_uniroute.metrics.deferral_area_score`.

        Raises
        ------
        ValueError
            If shapes or names disagree, or for the reasons of the metric.
        """
        y, error, costs, routing_costs = self._curve_inputs(X, y, costs, pool, sample_weight)
        return curve_score(y, error, costs, routing_costs, sample_weight)

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "representation_")

    def _fit_blocks(self, X: Any, y: Any, costs: Costs | None, X_val: ArrayLike | None) -> Self:
        check_sums_over_blocks(self)

    def _check_params(self) -> None:
        """Check the parameters set at construction; subclasses check theirs as well."""
        check_operating_point(*self._settle(None, None), has_costs=True)
        if self.n_validation is not None:
            check_count(self.n_validation, "n_validation")

    def _check_data(self, costs: np.ndarray | None) -> None:
        """Check that the models and their costs suit the parameters."""

    def _set_validation_prompts(
        self, X: np.ndarray, X_val: np.ndarray | None, rng: np.random.RandomState
    ) -> None:
        if X_val is not None:
            self.validation_indices_, self.X_val_ = None, X_val
            self.validation_weights_ = np.ones(len(X_val))
            return
        n_validation = len(X) if self.n_validation is None else min(self.n_validation, len(X))
        self.validation_indices_, self.validation_weights_ = self._choose_validation_prompts(
            X, n_validation, rng
        )
        self.X_val_ = X[self.validation_indices_]

    def _choose_validation_prompts(
        self, X: np.ndarray, n_validation: int, rng: np.random.RandomState
    ) -> tuple[np.ndarray, np.ndarray]:
        """Draw rows of the training prompts, and what each of them counts in an average."""
        return np.sort(rng.permutation(len(X))[:n_validation]), np.ones(n_validation)

    def _fit_costs(self, X: np.ndarray, costs: np.ndarray | None) -> None:
        """Learn how costs differ from prompt to prompt, where the router tells prompts apart."""

    def _cost_rows(
        self, cost: float | np.ndarray | None, X_val: np.ndarray | None = None
    ) -> dict[str, Any]:
        """Rows for the cost of one model: its mean, or what it is for each validation prompt."""
        if isinstance(cost, np.ndarray):
            weights = np.ones(len(cost)) if X_val is not None else self.validation_weights_
            cost = model_means(cost[:, None], weights)[0]
        return {} if cost is None else {"costs_": cost}

    def _repriced_rows(self, cost: float | None, position: int) -> dict[str, Any]:
        """Rows for the model at `position` once its mean cost is `cost`."""
        return {"costs_": cost}

    def _prices(self, index: np.ndarray) -> np.ndarray:
        return np.zeros(len(index)) if self.costs_ is None else self.costs_[index]

    def _curve_inputs(
        self,
        X: ArrayLike,
        y: ArrayLike,
        costs: Costs | None,
        pool: Pool | None,
        sample_weight: ArrayLike | None,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Bring what `score` takes into what the metrics take, with zeros for missing costs."""
        check_is_fitted(self)
        index = check_pool(pool, self.models_)
        labels = self.models_[index]
        X = check_prompts(self, X)
        y = check_quality(
            select_columns(y, labels, name="y"),
            n_prompts=len(X),
            n_models=len(index),
            labels=labels,
        )
        given = None
        if costs is None:
            costs = self._prices(index)
        else:
            costs = check_costs(costs, labels, quality=y)
            if costs.ndim == 1 or self.costs_ is None:
                given = model_means(costs, check_sample_weight(sample_weight, len(y)))
        # Registration order, so that the pool's own order never decides a tie.
        order = np.argsort(index)
        y, costs = y[:, order], costs[..., order]
        if given is not None:
            given = given[order]
        error, routing_costs = self._predictor(index[order]).terms(X, given)
        return y, error, costs, routing_costs


def _predicted_part(
    router: BaseRouter, pool: list[Label], return_std: bool, part: int, X: np.ndarray
) -> np.ndarray:
    """Errors or their standard errors, of one block."""
    predicted = router.predict_error(X, pool, return_std=return_std)
    block: np.ndarray = predicted[part] if return_std else predicted
    return block


def check_sums_over_blocks(router: Any) -> NoReturn:
    """Refuse blocks where all prompts are needed at once."""
    raise TypeError(
        f"a {type(router).__name__} needs all prompts at once, and `X` is a dask array; pass "
        "X.compute(), or use a KMeansRouter, a LearnedMapRouter or a HybridRouter."
    )
