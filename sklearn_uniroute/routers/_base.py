"""The base class of all routers."""

from copy import deepcopy
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from sklearn_uniroute._numerics._clusters import ClustersSeen
from sklearn_uniroute._numerics._predictors import OwnPredictor, Predictor
from sklearn_uniroute._numerics._routing import HullWalk
from sklearn_uniroute._numerics._selection import draw_by_weight, times_to_count
from sklearn_uniroute.metrics._curve import model_means
from sklearn_uniroute.metrics._scores import curve_score
from sklearn_uniroute.routers._budget import (
    BudgetMixin,
    check_has_costs,
    check_has_std,
    check_operating_point,
    operating_point,
    prompts_to_keep,
    settle,
)
from sklearn_uniroute.routers._dask import map_rows, predict_error_blocks, refuse_blocks
from sklearn_uniroute.routers._pool import (
    check_cost,
    check_evidence,
    check_no_card,
    check_not_known,
    check_removable,
    drop_rows,
    find_model,
    frozen,
    known_by,
    of_one_state,
    pool_columns,
    pool_html,
    put_rows,
    replaced_at_once,
    validation_rows,
    warn_of_unnamed_models,
)
from sklearn_uniroute.routers._traffic import TrafficMixin, check_exploration
from sklearn_uniroute.serving._routing_table import RoutingTable
from sklearn_uniroute.utils._eligible import check_eligible
from sklearn_uniroute.utils._estimators import check_overrides
from sklearn_uniroute.utils._optional import import_optional
from sklearn_uniroute.utils._scales import typical_range, warn_of_error_scale, warn_of_scales
from sklearn_uniroute.utils._typing import Costs, Label, Pool, RandomState
from sklearn_uniroute.utils._validation import (
    as_columns,
    check_costs,
    check_count,
    check_new_name,
    check_pool,
    check_prompts,
    check_quality,
    check_same_order,
    check_training_prompts,
    check_validation_prompts,
    is_dask,
    model_labels,
    row_labels,
    select_columns,
)
from sklearn_uniroute.utils._weights import (
    check_no_weights,
    check_sample_weight,
    check_takes_weights,
    weighted,
    without_weightless,
)


class BaseRouter(BudgetMixin, TrafficMixin, BaseEstimator):
    """Base class of all routers.

    Subclass it to build a router of your own. The router implements

    - ``_represent(X, errors)``: the representation of one model, an array of shape
      (n_outputs,), from its errors of shape (n_prompts,) on the prompts `X`. The errors have no
      NaN: prompts on which the model was not run are left out;
    - ``_estimate(X, representation)``: the errors, of shape (n_prompts, n_models), that models with
      a `representation` of shape (n_models, n_outputs) are expected to make on the prompts `X`.
      The estimates for a prompt must not depend on the other prompts;
    - optionally ``_fit_features(X, errors, rng)``: learn what all models share from the training
      prompts and the errors on them, of shape (n_prompts, n_models) with NaN where a model was not
      run. Set attributes whose names begin or end with an underscore. `rng` is a RandomState.

    A router that supports weights of prompts takes a further argument ``sample_weight=None`` of
    shape (n_prompts,) in ``_represent``, and in ``_fit_features`` if it has one.

    All public methods work from these, and so do tables, searches and comparisons. Arguments have
    been checked when a method is called. A representation may be any other object, such as a fitted
    regressor; `representation` is then a list. A router with further parameters defines an
    ``__init__`` that stores them and the parameters below that it supports.

    Parameters
    ----------
    cost_weight : float, default=0.0
        Error that one unit of cost is worth, lambda of the paper, in error per unit of cost.
    budget : float, default=None
        Mean cost per prompt to keep to instead of a `cost_weight`, in the unit of the costs.
    n_validation : int, default=400
        Maximum number of training prompts that serve as validation prompts if `fit` is not given
        `X_val`. None takes all training prompts.
    random_state : int, RandomState instance or None, default=None
        Seed for the choice of validation prompts.

    Attributes
    ----------
    models_ : ndarray of shape (n_models,)
        Names of the models: training models, then added models.
    costs_ : ndarray of shape (n_models,) or None
        Mean cost of each model per prompt.
    representation_ : ndarray of shape (n_models, n_outputs) or list
        Representation of each model.
    X_val_ : ndarray of shape (n_validation_prompts, n_features)
        Validation prompts.
    validation_indices_ : ndarray of shape (n_validation_prompts,) or None
        Rows of the validation prompts in the training prompts: run a new model on these. All rows,
        in their order, if `n_validation` is None or not below their number. None if `fit` was given
        `X_val`.
    validation_weights_ : ndarray of shape (n_validation_prompts,)
        Weight of each validation prompt in an average over the training distribution.
    n_features_in_ : int
        Number of features seen during `fit`.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features seen during `fit`. Defined only if `X` has feature names that are all
        strings.

    See Also
    --------
    sklearn_uniroute.utils.check_router : Check that a router keeps the promises of this package.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_uniroute.datasets import make_routing_data
    >>> from sklearn_uniroute.routers import BaseRouter
    >>> class MeanRouter(BaseRouter):
    ...     def _represent(self, X, errors):
    ...         return errors.mean(keepdims=True)
    ...
    ...     def _estimate(self, X, representation):
    ...         return np.tile(representation[:, 0], (len(X), 1))
    >>> data = make_routing_data(n_prompts=200, n_models=3, random_state=0)
    >>> router = MeanRouter().fit(data.X, data.y, costs=data.costs)
    >>> router.predict(data.X[:2], cost_weight=0.01)
    array([1, 1])
    """

    __module__ = "sklearn_uniroute.routers"

    __metadata_request__fit: ClassVar = {"costs": True, "X_val": True}
    __metadata_request__predict: ClassVar = {
        "pool": True,
        "cost_weight": True,
        "budget": True,
        "randomize": True,
    }
    __metadata_request__decision_function: ClassVar = {"pool": True, "cost_weight": True}
    __metadata_request__score: ClassVar = {"costs": True, "pool": True}

    # Defaults for routers that do not have these parameters.
    cost_weight: Any = 0.0
    budget: Any = None
    n_validation: Any = 400
    random_state: Any = None
    representation_: Any
    validation_indices_: Any
    # Public arrays with one row per model, beside `models_` and `costs_`.
    _row_attributes: tuple[str, ...] = ("representation_",)
    # What is known of each model by name: arrays or lists with one row per model.
    _evidence: dict[str, Any]
    # Labels of the rows of the validation prompts in a DataFrame; None without.
    _row_labels: Any = None
    # Least and largest error of a typical training model.
    _error_range: tuple[float, float] = (0.0, 0.0)
    # Whether calls that were made must have a cost, where costs are of calls.
    _needs_recorded_costs = False
    # Whether it learns from features of models, and whether it knows models by errors alone.
    _uses_features, _needs_errors = False, True
    # Whether models were added or removed since the router was fitted.
    _pool_changed = False
    # Numbers of times that an error on each validation prompt counts; None for once each.
    _validation_times: Any = None
    # Whether a budget is met by mixing cost weights where a call does not say so.
    _randomizes = False

    def __init__(
        self,
        *,
        cost_weight: float = 0.0,
        budget: float | None = None,
        n_validation: int | None = 400,
        random_state: RandomState = None,
    ) -> None:
        self.cost_weight = cost_weight
        self.budget = budget
        self.n_validation = n_validation
        self.random_state = random_state

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        tags.target_tags.multi_output = True
        tags.target_tags.single_output = False
        return tags

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "representation_")

    def fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        costs: Costs | None = None,
        *,
        X_val: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> Self:
        """Fit the router on prompts and the correctness of the training models.

        Parameters
        ----------
        X : array-like or dask array of shape (n_prompts, n_features)
            Prompt embeddings. Routers over clusters fit a dask array from sums over its blocks and
            a sample of its rows; see :doc:`/scaling`.
        y : array-like or DataFrame of shape (n_prompts, n_models)
            Correctness of each training model on each prompt, or any quality where more is better.
            NaN means that the model was not run. The columns of a DataFrame name the models;
            otherwise models are numbered from 0. An array of shape (n_prompts,) is taken for a
            single model, with a warning.
        costs : array-like of shape (n_models,) or (n_prompts, n_models), mapping, Series or \
                DataFrame, default=None
            Cost of each model, or of each call (a model's cost is then its mean), in any unit. By
            name where models have names. A cost of NaN was not recorded; a model's cost is the mean
            of the others. If `cost_model` is "cluster", only calls that were not made may have a
            cost of NaN. Without costs the router minimises the error alone.
        X_val : array-like of shape (n_validation_prompts, n_features), default=None
            Validation prompts, on which new models are run before they are added. By default, the
            router chooses them among `X`.
        sample_weight : array-like of shape (n_prompts,), default=None
            Weights of the prompts: each counts like that many repetitions of it. For prompts that
            stand for traffic, pass ``calls / calls.mean()``, so that evidence stays as strong as
            the number of prompts.

        Returns
        -------
        self : object
            Fitted router.

        Raises
        ------
        ValueError
            If shapes or names disagree, if a model has no observed quality, if costs are
            negative or not finite, or if weights count for fewer than two prompts. A router that
            was fitted before keeps its state.
        TypeError
            If a parameter has the wrong type, if `X` is a dask array and the router is not over
            clusters or there are weights, if a subclass overrides a method that would not be used,
            or if the router or its `clusterer` does not support weights.
        ImportError
            If the router trains a network and torch or skorch is not installed.

        Warns
        -----
        UserWarning
            If a model's qualities have another range than those of the others.
        """
        return self._fit(X, y, costs, X_val, sample_weight)

    def _fit(self, X: Any, y: Any, costs: Any, X_val: Any, sample_weight: Any = None) -> Self:
        if is_dask(X) or is_dask(y):
            check_no_weights(sample_weight)
            return self._fit_blocks(X, y, costs, X_val)
        check_overrides(type(self), BaseRouter)
        if sample_weight is not None:
            check_takes_weights(type(self), BaseRouter)
        with replaced_at_once(self) as fitted:
            fitted._fit_arrays(X, y, costs, X_val, sample_weight)
        return self

    def _fit_arrays(self, X: Any, y: Any, costs: Any, X_val: Any, sample_weight: Any) -> None:
        self._check_params()
        labels = None if y is None else model_labels(y)
        check_same_order(X=X, y=y, costs=costs, sample_weight=sample_weight)
        labels_of_rows = row_labels(X if X_val is None else X_val)
        X = check_training_prompts(self, X, y)
        y = check_quality(as_columns(y), n_prompts=len(X), labels=labels)
        self.models_ = np.arange(y.shape[1]) if labels is None else labels
        if costs is not None:
            recorded = self._needs_recorded_costs
            costs = check_costs(costs, self.models_, quality=y, recorded=recorded)
        rows, weights = np.arange(len(X)), None
        if sample_weight is not None:
            rows, weights, X, y, costs = without_weightless(
                sample_weight, X, y, costs, self.models_
            )
        warn_of_scales(y, self.models_, stacklevel=5)
        self._error_range = typical_range(y)
        self._pool_changed = False
        self._has_classes = have_classes(y)
        self.costs_ = None
        if costs is not None:
            self.costs_ = model_means(costs, check_sample_weight(weights, len(X)))
        self._check_data(costs)
        if X_val is not None:
            X_val = check_validation_prompts(self, X_val)
        rng = check_random_state(self.random_state)
        errors = 1 - y
        self._fit_features(X, errors, rng, **weighted(weights))
        self._set_validation_prompts(X, X_val, rng, weights)
        self._row_labels = labels_of_rows
        if X_val is None:
            self.validation_indices_ = rows[self.validation_indices_]
            if labels_of_rows is not None:
                self._row_labels = labels_of_rows[self.validation_indices_]
        self._fit_evidence(X, errors, weights)
        self._fit_costs(X, costs, weights)
        self._mixing_seed = int(rng.randint(2**31))

    @of_one_state
    def predict(
        self,
        X: ArrayLike,
        pool: Pool | None = None,
        *,
        cost_weight: float | None = None,
        budget: float | None = None,
        randomize: bool | None = None,
        eligible: ArrayLike | None = None,
    ) -> np.ndarray | Any:
        """Choose a model for each prompt.

        Parameters
        ----------
        X : array-like or dask array of shape (n_prompts, n_features)
            Prompt embeddings.
        pool : sequence of model names, default=None
            Models to choose among, in any order. By default, all models of the router.
        cost_weight : float, default=None
            Error that one unit of cost is worth, lambda of the paper. By default, the value set at
            construction.
        budget : float, default=None
            Mean cost per prompt to keep to instead of a `cost_weight`, in the unit of the costs;
            see :meth:`cost_weight_for_budget`. The budget holds on the training prompts; on new
            prompts the mean cost may deviate. By default, the value set at construction.
        randomize : bool, default=None
            Whether to meet the budget exactly in expectation, by routing a reproducible random
            share of the prompts at the next cost weight. By default True for a ZeroRouter with a
            budget, and False otherwise.
        eligible : array-like or DataFrame of shape (n_prompts, n_pool), default=None
            Whether each model may be chosen for each prompt, in the order of `pool` or, in a
            DataFrame, by name. By default, all may.
            A budget is calibrated as if all may.

        Returns
        -------
        chosen : ndarray or dask array of shape (n_prompts,)
            Names of the chosen models. Ties go to the lower cost, then to the lower error, then to
            the model that was registered first.

        Raises
        ------
        ValueError
            If the pool has unknown or repeated models, if both `cost_weight` and `budget` are
            given, if either needs costs that the router does not have, if the budget is below the
            lowest mean cost that can be reached, if `randomize` is True without a budget, or if a
            prompt has no eligible model.
        TypeError
            If `randomize` is not True, False or None.

        References
        ----------
        "Universal Model Routing for Efficient LLM Inference", arXiv 2502.08773, eq. 8.
        """
        check_is_fitted(self)
        if is_dask(X):
            index = np.sort(check_pool(pool, self.models_))
            if eligible is not None:
                raise TypeError("`eligible` needs an array `X`; call predict block by block.")
            table = self.routing_table(
                pool, cost_weight=cost_weight, budget=budget, randomize=randomize
            )
            return map_rows(table.route_many, X, self.n_features_in_, self.models_[index].dtype)
        # Registration order, so that the order of the pool never decides a tie.
        index, prompts, allowed = prompts_to_keep(self, X, pool, eligible)
        point = operating_point(self, index, cost_weight, budget, randomize)
        predictor = self._predictor(index)
        if allowed is None:
            return self.models_[index[point.choose(predictor, prompts)]]
        return self.models_[index[point.choose_eligible(predictor, prompts, allowed)]]

    @of_one_state
    def predict_error(
        self, X: ArrayLike, pool: Pool | None = None, *, return_std: bool = False
    ) -> Any:
        """Predict the error of each model on each prompt.

        Parameters
        ----------
        X : array-like or dask array of shape (n_prompts, n_features)
            Prompt embeddings.
        pool : sequence of model names, default=None
            Models to predict for. By default, all models of the router.
        return_std : bool, default=False
            Whether to also return standard errors.

        Returns
        -------
        error : ndarray or dask array of shape (n_prompts, n_pool)
            Predicted errors, with the models in the order of `pool`, in the dtype of `X`.
        std : ndarray or dask array of shape (n_prompts, n_pool)
            Standard errors of the predicted errors. Only returned if `return_std` is True.

        Raises
        ------
        ValueError
            If the pool is empty or has unknown or repeated models, or if `return_std` is True and
            the router has no standard errors.

        References
        ----------
        "Universal Model Routing for Efficient LLM Inference", arXiv 2502.08773, eq. 9.
        """
        check_is_fitted(self)
        index = check_pool(pool, self.models_)
        if return_std:
            check_has_std(self._has_std)
        if is_dask(X):
            return predict_error_blocks(self, X, self.models_[index].tolist(), return_std)
        X = check_prompts(self, X)
        error = self._predictor(index).errors(X).astype(X.dtype, copy=False)
        if return_std:
            return error, self._predict_std(X, index).astype(X.dtype, copy=False)
        return error

    @of_one_state
    def predict_cost(self, X: ArrayLike, pool: Pool | None = None) -> np.ndarray:
        """Predict the cost of each model on each prompt.

        Parameters
        ----------
        X : array-like of shape (n_prompts, n_features)
            Prompt embeddings.
        pool : sequence of model names, default=None
            Models to predict for. By default, all models of the router.

        Returns
        -------
        cost : ndarray of shape (n_prompts, n_pool)
            Predicted costs, with the models in the order of `pool`, in the unit of the costs. A
            model has the same cost for all prompts unless `cost_model` is "cluster".

        Raises
        ------
        ValueError
            If the router has no costs, or if the pool is empty or has unknown or repeated models.
        """
        check_is_fitted(self)
        check_has_costs(self.costs_ is not None)
        index = check_pool(pool, self.models_)
        X = check_prompts(self, X)
        cost = self._predictor(index).costs(X)
        return np.array(np.broadcast_to(cost, (len(X), len(index))))

    @of_one_state
    def decision_function(
        self, X: ArrayLike, pool: Pool | None = None, *, cost_weight: float | None = None
    ) -> np.ndarray:
        """Compute the score of each model on each prompt; the highest score is chosen.

        Parameters
        ----------
        X : array-like of shape (n_prompts, n_features)
            Prompt embeddings.
        pool : sequence of model names, default=None
            Models to score. By default, all models of the router.
        cost_weight : float, default=None
            Error that one unit of cost is worth. By default, the value set at construction, or the
            cost weight that meets the budget set at construction.

        Returns
        -------
        score : ndarray of shape (n_prompts, n_pool)
            ``-(error + cost_weight * cost)``, in double precision. On prompts that fall back to one
            model, only the order of the scores is meaningful. A ZeroRouter that mixes two models to
            meet a budget does not follow the scores.

        Raises
        ------
        ValueError
            For the same reasons as :meth:`predict`.

        Notes
        -----
        ``cross_val_predict(..., method="decision_function")`` gives out-of-fold scores if `y` holds
        0 and 1 only. scikit-learn encodes each column of `y` as class numbers before it calls
        `fit`, so graded quality and NaN are lost. For these, use ``cross_validate`` with
        ``return_estimator=True, return_indices=True``, and the `decision_function` of each router.
        """
        check_is_fitted(self)
        index = check_pool(pool, self.models_)
        cost_weight, budget = settle(self, cost_weight, None)
        check_operating_point(cost_weight, budget, has_costs=self.costs_ is not None)
        if budget is not None:
            cost_weight = self.cost_weight_for_budget(budget, pool)
        X = check_prompts(self, X)
        error, costs = self._predictor(index).terms(X)
        return -(error + cost_weight * costs)

    @property
    def classes_(self) -> np.ndarray:
        """Positions of the models, by which scikit-learn orders out-of-fold scores."""
        if not getattr(self, "_has_classes", False):
            raise AttributeError(
                "cross_val_predict with method='decision_function' encodes each column of `y` as "
                "class numbers, which is safe only if each column holds both 0 and 1. Use "
                "cross_validate with return_estimator=True and return_indices=True instead, and "
                "call the decision_function of each router."
            )
        return np.arange(len(self.models_))

    def score(
        self,
        X: ArrayLike,
        y: ArrayLike,
        costs: Costs | None = None,
        pool: Pool | None = None,
        sample_weight: ArrayLike | None = None,
        eligible: ArrayLike | None = None,
    ) -> float:
        """Compute the area under the deferral curve on the given prompts.

        The curve covers all cost weights, so `cost_weight` and `budget` play no part. Without
        costs, or if all models have the same cost, there is no area; the score is then the mean
        quality at a cost weight of 0.

        Parameters
        ----------
        X : array-like of shape (n_prompts, n_features)
            Prompt embeddings.
        y : array-like or DataFrame of shape (n_prompts, n_pool)
            Quality of each model, in the order of `pool` or, in a DataFrame, by name. NaN means
            that the model was not run.
        costs : array-like of shape (n_pool,) or (n_prompts, n_pool), mapping, Series or \
                DataFrame, default=None
            Costs that are paid. By default, the mean costs of the router. Costs per model also
            decide the choices. Costs per call are not known beforehand, so the choices then follow
            the costs that the router predicts.
        pool : sequence of model names, default=None
            Models to choose among. By default, all models of the router.
        sample_weight : array-like of shape (n_prompts,), default=None
            Weights of the prompts.
        eligible : array-like or DataFrame of shape (n_prompts, n_pool), default=None
            Whether each model may be chosen for each prompt, in the order of `pool` or, in a
            DataFrame, by name. By default, all may.

        Returns
        -------
        area : float
            Higher is better; see :func:`sklearn_uniroute.metrics.deferral_area_score`.

        Raises
        ------
        ValueError
            If shapes or names disagree, or for the same reasons as the metric.
        """
        y, error, costs, routing_costs = self.curve_inputs(
            X, y, costs, pool, sample_weight, eligible
        )
        return curve_score(y, error, costs, routing_costs, sample_weight)

    @of_one_state
    def curve_inputs(
        self,
        X: ArrayLike,
        y: ArrayLike,
        costs: Costs | None = None,
        pool: Pool | None = None,
        sample_weight: ArrayLike | None = None,
        eligible: ArrayLike | None = None,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Compute the arrays that the functions of :mod:`sklearn_uniroute.metrics` take.

        Parameters
        ----------
        X : array-like of shape (n_prompts, n_features)
            Prompt embeddings.
        y : array-like or DataFrame of shape (n_prompts, n_pool)
            Quality of each model, as for :meth:`score`.
        costs : array-like of shape (n_pool,) or (n_prompts, n_pool), mapping, Series or \
                DataFrame, default=None
            Costs that are paid, as for :meth:`score`.
        pool : sequence of model names, default=None
            Models to choose among. By default, all models of the router.
        sample_weight : array-like of shape (n_prompts,), default=None
            Weights of the prompts, which enter the mean costs.
        eligible : array-like or DataFrame of shape (n_prompts, n_pool), default=None
            Whether each model may be chosen for each prompt, as for :meth:`score`. Others get
            predicted errors and costs with which they are never chosen.

        Returns
        -------
        y_true : ndarray of shape (n_prompts, n_pool)
            Quality, with the models in the order in which the router knows them.
        error_pred : ndarray of shape (n_prompts, n_pool)
            Predicted errors.
        costs : ndarray of shape (n_pool,) or (n_prompts, n_pool)
            Costs that are paid; zeros without costs.
        routing_costs : ndarray of shape (n_pool,) or (n_prompts, n_pool)
            Costs that decide the choices.

        Raises
        ------
        ValueError
            If shapes or names disagree.

        Examples
        --------
        >>> from sklearn_uniroute import KMeansRouter
        >>> from sklearn_uniroute.datasets import make_routing_data
        >>> from sklearn_uniroute.metrics import quality_neutral_cost
        >>> data = make_routing_data(random_state=0)
        >>> router = KMeansRouter(random_state=0).fit(data.X, data.y, costs=data.costs)
        >>> y, error, costs, routing_costs = router.curve_inputs(data.X, data.y)
        >>> quality_neutral_cost(y, error, costs, routing_costs=routing_costs) < 1
        True
        """
        check_is_fitted(self)
        index = check_pool(pool, self.models_)
        labels = self.models_[index]
        check_same_order(X=X, y=y, costs=costs, sample_weight=sample_weight, eligible=eligible)
        if pool is None:
            warn_of_unnamed_models(y, labels, costs)
        X = check_prompts(self, X)
        y = check_quality(
            select_columns(as_columns(y), labels, name="y"),
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
        # Registration order, so that the order of the pool never decides a tie.
        order = np.argsort(index)
        y, costs = y[:, order], costs[..., order]
        if given is not None:
            given = given[order]
        predictor = self._predictor(index[order])
        if eligible is None:
            error, routing_costs = predictor.terms(X, given)
        else:
            eligible = check_eligible(eligible, labels, len(X))[:, order]
            error, routing_costs = predictor.eligible_terms(X, eligible, given)
        # As `predict_error` returns them, so that scores are those of the metrics on these.
        return y, error.astype(X.dtype, copy=False), costs, routing_costs

    @of_one_state
    def routing_table(
        self,
        pool: Pool | None = None,
        *,
        cost_weight: float | None = None,
        budget: float | None = None,
        randomize: bool | None = None,
        exploration: float = 0.0,
        n_draws: int = 64,
    ) -> RoutingTable:
        """Freeze the router and a pool for the request path.

        Parameters
        ----------
        pool : sequence of model names, default=None
            Models to choose among. By default, all models of the router.
        cost_weight : float, default=None
            Error that one unit of cost is worth. By default, the value set at construction.
        budget : float, default=None
            Mean cost per prompt to keep to instead, as in :meth:`predict`.
        randomize : bool, default=None
            Whether to meet the budget exactly in expectation, as in :meth:`predict`.
        exploration : float, default=0.0
            Share of the prompts that is routed by draws from the posterior of the models, so that
            their feedback also tells of models that are rarely chosen. Only for routers over
            clusters with ``representation="posterior"``.
        n_draws : int, default=64
            Number of draws. A hash of the prompt picks one.

        Returns
        -------
        table : RoutingTable
            Snapshot that chooses as :meth:`predict` does now. Later changes of the router do not
            reach it.

        Raises
        ------
        ValueError
            For the same reasons as :meth:`predict`, if `exploration` is not between 0 and 1, or if
            the router has no posterior to draw from.
        """
        check_is_fitted(self)
        check_exploration(exploration, n_draws, self._can_draw)
        passed = check_pool(pool, self.models_)
        index = np.sort(passed)
        point = operating_point(self, index, cost_weight, budget, randomize)
        # By rising cost, ties go to the first; not where costs differ from prompt to prompt.
        order = index[np.argsort(self._prices(index), kind="stable")]
        predictor = self._predictor(order)
        if not predictor.shares_costs:
            order, predictor = index, self._predictor(index)
        return RoutingTable(
            deepcopy(predictor),
            self.models_[order].tolist(),
            pool=self.models_[passed].tolist(),
            has_costs=self.costs_ is not None,
            operating_point=point,
            feature_names=getattr(self, "feature_names_in_", None),
            clusters=self._clusters_seen(),
            known={name: counts[order].tolist() for name, counts in known_by(self).items()},
            exploration=self._exploration(order, exploration, n_draws) if exploration else None,
        )

    def add_model(
        self,
        val_errors: ArrayLike,
        *,
        name: Label | None = None,
        cost: ArrayLike | None = None,
        X_val: ArrayLike | None = None,
        replace: bool = False,
    ) -> Self:
        """Add a model from its errors on the validation prompts, without retraining.

        Parameters
        ----------
        val_errors : array-like or Series of shape (n_validation_prompts,)
            Errors of the model (0 = right, 1 = wrong) on `X_val_`, or on `X_val` if it is given.
            NaN means that the model was not run. A Series goes by its index, which holds
            `validation_indices_`, the index of a DataFrame `X_val`, or 0 to n_validation_prompts
            - 1, in any order.
        name : str or int, default=None
            Name of the model. May be omitted if models are numbered: the next number is taken.
        cost : float or array-like of shape (n_validation_prompts,), default=None
            Mean cost of the model per prompt, or the cost of each call (NaN where the model was not
            run; by the index of a Series), in the unit of the other costs. Required if the router
            has costs.
        X_val : array-like of shape (n_validation_prompts, n_features), default=None
            Prompts on which the model was run, if they are not `X_val_`. They need the features
            that `fit` was given, hence those after the transformers of a pipeline.
        replace : bool, default=False
            Whether to first forget a known model of that name.

        Returns
        -------
        self : object
            The router.

        Raises
        ------
        ValueError
            If the name is missing or taken, if the cost is missing, negative or not finite, or if
            `val_errors` or `cost` does not fit the prompts. The router then keeps its state.
        TypeError
            If the name is not of the same type as the names of the other models.

        Warns
        -----
        UserWarning
            If the errors have another range than those of the training models. Qualities between 0
            and 1 cannot be told from errors.

        References
        ----------
        "Universal Model Routing for Efficient LLM Inference", arXiv 2502.08773, eq. 10 and 12.
        """
        return self._add_checked(val_errors, name, cost, X_val, replace)

    def _add_checked(
        self, val_errors: Any, name: Any, cost: Any, X_val: Any, replace: bool, features: Any = None
    ) -> Self:
        check_is_fitted(self)
        name = check_new_name(name, self.models_)
        if not replace:
            check_not_known(name, self.models_)
        labels = validation_rows(self, X_val)
        has_errors = val_errors is not None
        if has_errors or X_val is not None:
            val_errors, X_val = check_evidence(self, val_errors, X_val)
        cost = check_cost(
            cost,
            name,
            has_costs=self.costs_ is not None,
            val_errors=val_errors,
            rows=labels,
            recorded=self._needs_recorded_costs,
        )
        price = None if cost is None else self._cost_rows(cost, X_val)["costs_"]
        card = self._checked_card(features, name, price, has_errors)
        if has_errors:
            warn_of_error_scale(val_errors, name, *self._error_range, stacklevel=4)
        else:
            val_errors, X_val = np.full(len(self.X_val_), np.nan), None
        self._add(name, val_errors, X_val, cost, card)
        return self

    def update_model(
        self, name: Label, val_errors: ArrayLike, *, X_val: ArrayLike | None = None
    ) -> Self:
        """Add evidence on a known model.

        Parameters
        ----------
        name : str or int
            Name of the model.
        val_errors : array-like or Series of shape (n_validation_prompts,)
            Further errors on `X_val_`, or on `X_val` if it is given, as for :meth:`add_model`. They
            add to what is known: a prompt that is reported twice counts twice.
        X_val : array-like of shape (n_validation_prompts, n_features), default=None
            Prompts on which the model was run, if they are not `X_val_`.

        Returns
        -------
        self : object
            The router.

        Raises
        ------
        ValueError
            If the model is unknown, or if `val_errors` does not fit the prompts. The router then
            keeps its state.
        """
        check_is_fitted(self)
        position = find_model(name, self.models_)
        val_errors, X_val = check_evidence(self, val_errors, X_val)
        warn_of_error_scale(val_errors, name, *self._error_range)
        self._update(position, val_errors, X_val)
        return self

    def set_cost(self, name: Label, cost: float) -> Self:
        """Change the cost of a model.

        Parameters
        ----------
        name : str or int
            Name of the model.
        cost : float
            New mean cost per prompt, in the unit of the other costs. If `cost_model` is "cluster",
            the costs in all clusters change in proportion.

        Returns
        -------
        self : object
            The router.

        Raises
        ------
        ValueError
            If the model is unknown, if the cost is negative or not finite, or if the router was
            fitted without costs. The router then keeps its state.
        """
        check_is_fitted(self)
        position = find_model(name, self.models_)
        price = check_cost(cost, name, has_costs=self.costs_ is not None)
        if price is None:
            raise ValueError(
                f"model {name!r} has no cost to change, because this router was fitted without "
                "costs; fit it with `costs`."
            )
        self._reprice(position, price)
        return self

    def remove_model(self, name: Label) -> Self:
        """Remove a model from the router.

        Parameters
        ----------
        name : str or int
            Name of the model.

        Returns
        -------
        self : object
            The router.

        Raises
        ------
        ValueError
            If the model is unknown, the only one, or the one that prompts fall back to. The router
            then keeps its state.
        """
        check_is_fitted(self)
        position = find_model(name, self.models_)
        self._check_removal(name)
        self._remove(position)
        return self

    def pool_frame(self) -> Any:
        """Show the pool as a DataFrame.

        Returns
        -------
        frame : DataFrame with n_models rows
            One row per model in registration order, indexed by name. The column `cost` holds the
            mean cost, if the router has costs. The column `error` holds the mean predicted error
            over the training prompts for routers over clusters, and over the validation prompts
            otherwise. For routers over clusters, `n_errors` counts the errors by which a model is
            known, and `n_features` the features, if `fit` was given `model_features`.

        Raises
        ------
        ImportError
            If pandas is not installed.

        Examples
        --------
        >>> from sklearn_uniroute import KMeansRouter
        >>> from sklearn_uniroute.datasets import make_routing_data
        >>> data = make_routing_data(n_prompts=500, n_models=3, random_state=0)
        >>> router = KMeansRouter(random_state=0).fit(data.X, data.y, costs=data.costs)
        >>> router.pool_frame().round(2).to_dict("index")[2]
        {'cost': 100.0, 'error': 0.15, 'n_errors': 500}
        """
        pandas = import_optional("pandas", "pandas")
        check_is_fitted(self)
        return pandas.DataFrame(pool_columns(self), index=pandas.Index(self.models_, name="model"))

    def _repr_html_inner(self) -> str:
        inner: str = super()._repr_html_inner()
        return inner + pool_html(self)

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, Any]:
        bundle: dict[str, Any] = super()._repr_mimebundle_(**kwargs)
        if "text/html" in bundle:
            bundle["text/html"] += pool_html(self)
        return bundle

    # What a router of one's own implements.

    def _fit_features(
        self,
        X: np.ndarray,
        errors: np.ndarray,
        rng: np.random.RandomState,
        sample_weight: np.ndarray | None = None,
    ) -> None:
        """Learn what all models share."""

    def _represent(
        self, X: np.ndarray, errors: np.ndarray, sample_weight: np.ndarray | None = None
    ) -> Any:
        """Represent one model by its errors on prompts."""
        raise NotImplementedError(
            f"{type(self).__name__} must implement `_represent(X, errors)`; see BaseRouter."
        )

    def _estimate(self, X: np.ndarray, representation: Any) -> np.ndarray:
        """Estimate the errors of models on prompts."""
        raise NotImplementedError(
            f"{type(self).__name__} must implement `_estimate(X, representation)`; see BaseRouter."
        )

    # What the routers of this package override where they know better.

    def _check_params(self) -> None:
        """Check the parameters; subclasses check their own as well."""
        check_operating_point(*settle(self, None, None), has_costs=True)
        if self.n_validation is not None:
            check_count(self.n_validation, "n_validation")

    def _check_data(self, costs: np.ndarray | None) -> None:
        """Check that the models and their costs suit the parameters."""

    def _check_removal(self, name: Label) -> None:
        check_removable(name, self.models_)

    def _fit_blocks(self, X: Any, y: Any, costs: Costs | None, X_val: ArrayLike | None) -> Self:
        refuse_blocks(self)

    def _fit_evidence(
        self, X: np.ndarray, errors: np.ndarray, weights: np.ndarray | None = None
    ) -> None:
        """Represent the training models, once the validation prompts are known."""
        # A copy, because the caller's array may change.
        X = X.copy()
        self._evidence = {"prompts": [X] * errors.shape[1], "errors": list(errors.T.copy())}
        if weights is not None:
            self._evidence["weights"] = [weights] * errors.shape[1]
        rows = [self._represented(X, column, weights) for column in errors.T]
        self.representation_ = rows
        if all(isinstance(row, np.ndarray) for row in rows):
            # Rows of integers would cut those of later models.
            self.representation_ = np.array(rows) * 1.0

    # Changes of the pool, once their arguments are checked.

    def _checked_card(self, features: Any, name: Label, cost: Any, has_errors: bool) -> Any:
        """Check what the card of a new model says; None if the router uses no cards."""
        check_no_card(features, name, has_errors)
        return None

    def _add(self, name: Label, val_errors: Any, X_val: Any, cost: Any, card: Any = None) -> None:
        of_card = {} if card is None else {"card": card}
        rows = self._model_rows(val_errors, X_val, position=None, **of_card)
        known: Any = self.models_.tolist()
        position = known.index(name) if name in known else len(known)
        others = frozen(self)
        if position < len(known) > 1:
            # What is forgotten says nothing of the new cost.
            drop_rows(others, position)
        put_rows(self, {**rows, **others._cost_rows(cost, X_val), "models_": name}, position)

    def _update(self, position: int, val_errors: np.ndarray, X_val: np.ndarray | None) -> None:
        put_rows(self, self._model_rows(val_errors, X_val, position), position)

    def _reprice(self, position: int, price: Any) -> None:
        put_rows(self, self._repriced_rows(price, position), position)

    def _remove(self, position: int) -> None:
        drop_rows(self, position)
        self._drop_unused()

    def _model_rows(
        self, val_errors: np.ndarray, X_val: np.ndarray | None, position: int | None
    ) -> dict[str, Any]:
        """Rows of one model: of the attributes in `_row_attributes`, and of `_evidence`.

        The errors add to what the model at `position` has, unless that is None. `X_val` is None for
        the validation prompts of the router.
        """
        rows = self._joined_errors(val_errors, X_val, position)
        representation = self._represented(rows["prompts"], rows["errors"], rows.get("weights"))
        return {**rows, "representation_": representation}

    def _joined_errors(
        self, val_errors: np.ndarray, X_val: np.ndarray | None, position: int | None
    ) -> dict[str, np.ndarray]:
        """Prompts and errors of one model, and weights if the router was fitted with weights."""
        rows = {"prompts": self.X_val_ if X_val is None else X_val.copy(), "errors": val_errors}
        if "weights" in self._evidence:
            rows["weights"] = check_sample_weight(self._times(X_val), len(val_errors))
        if position is not None:
            for name, new in rows.items():
                rows[name] = np.concatenate([self._evidence[name][position], new])
        return rows

    def _times(self, X_val: np.ndarray | None) -> np.ndarray | None:
        """Numbers of times that the errors of a model count; None for once each."""
        return self._validation_times if X_val is None else None

    def _represented(self, X: np.ndarray, errors: np.ndarray, weights: np.ndarray | None) -> Any:
        run = ~np.isnan(errors)
        return self._represent(
            X[run], errors[run], **weighted(None if weights is None else weights[run])
        )

    def _predictor(self, index: np.ndarray) -> Predictor:
        """Errors and costs of the models at the positions `index`, from arrays alone."""
        representation = self.representation_
        if isinstance(representation, list):
            representation = [representation[place] for place in index]
        else:
            representation = representation[index]
        return OwnPredictor(
            self._estimate, representation, self._prices(index), self.n_features_in_
        )

    def _clusters_seen(self) -> ClustersSeen | None:
        """How the training prompts lie in the clusters; None without clusters."""
        return None

    def _drop_unused(self) -> None:
        """Forget what only removed models needed."""

    def _set_validation_prompts(
        self,
        X: np.ndarray,
        X_val: np.ndarray | None,
        rng: np.random.RandomState,
        weights: np.ndarray | None,
    ) -> None:
        self._validation_times = None
        if X_val is not None:
            # A copy, because the caller's array may change.
            self.validation_indices_, self.X_val_ = None, X_val.copy()
            self.validation_weights_ = np.ones(len(X_val))
            return
        if self.n_validation is None or self.n_validation >= len(X):
            self.validation_indices_ = np.arange(len(X))
            self.validation_weights_ = np.ones(len(X))
            if weights is not None:
                self.validation_weights_ = weights / weights.mean()
                self._validation_times = weights
        else:
            self.validation_indices_, self.validation_weights_ = self._choose_validation_prompts(
                X, self.n_validation, rng, weights
            )
        self.X_val_ = X[self.validation_indices_]

    def _choose_validation_prompts(
        self,
        X: np.ndarray,
        n_validation: int,
        rng: np.random.RandomState,
        weights: np.ndarray | None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Draw rows of the training prompts, and the weight of each in an average.

        With weights, also set the numbers of times that errors on these prompts count.
        """
        if weights is None:
            return np.sort(rng.permutation(len(X))[:n_validation]), np.ones(n_validation)
        rows, step = draw_by_weight(weights, n_validation, rng)
        times = times_to_count(weights[rows], step)
        self._validation_times = times
        return rows, times / times.mean()

    def _fit_costs(
        self, X: np.ndarray, costs: np.ndarray | None, weights: np.ndarray | None
    ) -> None:
        """Learn how costs differ from prompt to prompt."""

    def _cost_rows(
        self, cost: float | np.ndarray | None, X_val: np.ndarray | None = None
    ) -> dict[str, Any]:
        """Rows for the cost of one model: its mean, or its cost on each validation prompt."""
        if isinstance(cost, np.ndarray):
            weights = np.ones(len(cost)) if X_val is not None else self.validation_weights_
            cost = model_means(cost[:, None], weights)[0]
        return {} if cost is None else {"costs_": cost}

    def _repriced_rows(self, cost: Any, position: int) -> dict[str, Any]:
        """Rows for the model at `position` once its mean cost is `cost`."""
        return {"costs_": cost}

    def _prices(self, index: np.ndarray) -> np.ndarray:
        return np.zeros(len(index)) if self.costs_ is None else self.costs_[index]

    def _calibration(self, index: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Errors, costs and weights of the prompts on which budgets are kept."""
        weights = self.validation_weights_ / self.validation_weights_.sum()
        return *self._predictor(index).terms(self.X_val_), weights

    def _calibration_error(self, index: np.ndarray) -> np.ndarray:
        """Predicted errors on these prompts, whether or not they fall back to one model."""
        return self._predictor(index).errors(self.X_val_)

    @property
    def _has_std(self) -> bool:
        return getattr(self, "representation_std_", None) is not None

    def _predict_std(self, X: np.ndarray, index: np.ndarray) -> np.ndarray:
        """Compute standard errors of the predicted errors."""
        raise NotImplementedError

    def _mean_error_std(
        self, X: np.ndarray | None, index: np.ndarray, walk: HullWalk, weights: np.ndarray
    ) -> np.ndarray:
        """Compute the standard error of the mean error of the choices along a walk."""
        raise NotImplementedError


def have_classes(y: np.ndarray) -> bool:
    """Whether scikit-learn's class numbers of these qualities are the qualities themselves."""
    return bool(((y == 0) | (y == 1)).all() and (y == 1).any(axis=0).all())
