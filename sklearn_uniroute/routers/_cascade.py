"""Cascades: ask a model, check its answer, and ask another one if that pays."""

import warnings
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, MetaEstimatorMixin, clone
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import KFold
from sklearn.utils import _safe_indexing
from sklearn.utils.validation import check_is_fitted

from sklearn_uniroute._numerics._score_evidence import (
    Answers,
    ScoreLevels,
    learn_evidence,
    learn_levels,
    residual_correlation,
)
from sklearn_uniroute.routers._budget import check_operating_point, settle
from sklearn_uniroute.routers._cascade_policy import (
    CascadePolicyMixin,
    check_scores,
    gain_of_scores,
)
from sklearn_uniroute.routers._pool import in_row_order, replaced_at_once, validation_rows
from sklearn_uniroute.serving._cascade_table import CascadeTable
from sklearn_uniroute.utils._estimators import final_router, fit_name, last_router
from sklearn_uniroute.utils._typing import Costs, Label, Pool
from sklearn_uniroute.utils._validation import (
    as_columns,
    as_numbers,
    check_choice,
    check_costs,
    check_count,
    check_nonnegative,
    check_pool,
    check_quality,
    check_same_order,
    listing,
    model_labels,
)

# Number of folds on which the router's estimates are computed for prompts that it did not see.
_FOLDS = 5
# Number of prompts on which it is judged whether scores pay.
_JUDGED = 1000


class CascadeRouter(CascadePolicyMixin, MetaEstimatorMixin, BaseEstimator):
    """Route a prompt, check the answer, and ask another model if that pays.

    A check gives the answer of a model a score: a judge, a log probability, agreement between
    samples, any number that tends to be higher for right answers. The cascade learns what scores
    say beyond the estimates of the router. It then asks the model with the highest expected gain:
    the quality of the best answer in the end, minus weighted costs, looking one further call ahead.
    See :doc:`/cascades`.

    Parameters
    ----------
    router : router or Pipeline
        Router, or pipeline that ends in one. It is cloned and fitted, also on folds of the prompts,
        so that scores are judged on prompts that it did not see. A
        :class:`~sklearn.frozen.FrozenEstimator` of a fitted router is used as it is: models added
        to the cascade, or removed, change this router. The prompts passed to `fit` must be new to
        it.
    max_calls : int, default=2
        Maximum number of models that are asked for a prompt. No model is asked twice.
    cost_weight : float, default=0.0
        Error that one unit of cost is worth, in error per unit of cost.
    budget : float, default=None
        Mean cost per prompt to keep to instead of a `cost_weight`, in the unit of the costs. All
        calls and checks count.
    calibration : {"isotonic", "logistic"}, default="isotonic"
        How the odds that an answer is right rise with its score: by steps that are learned, or
        linearly.
    check_cost : float, default=0.0
        Cost of checking one answer, in the unit of the costs.

    Attributes
    ----------
    router_ : router or Pipeline
        Fitted router. Its pool is that of the cascade: call `set_cost` of the router at its end.
    models_ : ndarray of shape (n_models,)
        Names of the models.
    costs_ : ndarray of shape (n_models,)
        Mean cost of each model per prompt.
    informative_ : bool
        Whether scores say anything beyond the router's estimates, and enough to pay for further
        calls, on prompts that the router did not see. If not, the cascade is the router alone.
    correlation_ : float
        Correlation of the qualities of two models on a prompt, beyond the router's estimates.
    score_shifts_ : dict
        By how much the scores of a model are higher than those of others, for equal quality.
    quality_range_ : tuple of float
        Lowest and highest quality seen in `fit`.

    See Also
    --------
    KMeansRouter : A router to start from.
    CascadeTable : The request path.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_uniroute import CascadeRouter, KMeansRouter
    >>> from sklearn_uniroute.datasets import make_routing_data
    >>> data = make_routing_data(n_prompts=1000, n_models=5, random_state=0)
    >>> rng = np.random.RandomState(0)
    >>> scores = data.y + rng.normal(scale=0.5, size=data.y.shape)
    >>> train, test = slice(600), slice(600, 1000)
    >>> cascade = CascadeRouter(KMeansRouter(random_state=0), cost_weight=0.005)
    >>> cascade.fit(data.X[train], data.y[train], data.costs, scores=scores[train])
    CascadeRouter(cost_weight=0.005, router=KMeansRouter(random_state=0))
    >>> first = cascade.first(data.X[test])
    >>> seen = scores[test][np.arange(400), first]
    >>> second = cascade.next(data.X[test], first, seen)
    >>> bool((second == first).mean() > 0.2)  # kept answers
    True
    >>> area = cascade.score(data.X[test], data.y[test], scores=scores[test])
    >>> bool(area > cascade.router_.score(data.X[test], data.y[test]))
    True
    """

    __module__ = "sklearn_uniroute"

    __metadata_request__fit: ClassVar = {"costs": True, "scores": True}
    __metadata_request__score: ClassVar = {"costs": True, "pool": True, "scores": True}

    # Fields of a ScoreLevels; None without scores.
    _levels: Any = None

    def __init__(
        self,
        router: Any,
        *,
        max_calls: int = 2,
        cost_weight: float = 0.0,
        budget: float | None = None,
        calibration: str = "isotonic",
        check_cost: float = 0.0,
    ) -> None:
        self.router = router
        self.max_calls = max_calls
        self.cost_weight = cost_weight
        self.budget = budget
        self.calibration = calibration
        self.check_cost = check_cost

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        tags.target_tags.multi_output = True
        tags.target_tags.single_output = False
        return tags

    @property
    def models_(self) -> np.ndarray:
        return final_router(self.router_).models_

    @property
    def costs_(self) -> np.ndarray:
        return final_router(self.router_).costs_

    def fit(self, X: ArrayLike, y: ArrayLike, costs: Costs, *, scores: ArrayLike) -> Self:
        """Fit the router, and learn what scores say.

        Parameters
        ----------
        X : array-like of shape (n_prompts, n_features)
            Prompt embeddings, or input of the pipeline.
        y : array-like or DataFrame of shape (n_prompts, n_models)
            Quality of each training model on each prompt; NaN where it was not run. The columns of
            a DataFrame name the models.
        costs : array-like of shape (n_models,) or (n_prompts, n_models), mapping, Series or \
                DataFrame
            Cost of each model, or of each call. A fitted router keeps its own costs.
        scores : array-like or DataFrame of shape (n_prompts, n_models)
            Score of each answer, in the order of the models or, in a DataFrame, by name. NaN where
            the answer was not checked.

        Returns
        -------
        self : object
            Fitted cascade.

        Raises
        ------
        ValueError
            If shapes or names disagree, if `scores` holds infinity, or for the same reasons as
            `fit` of the router. A cascade that was fitted before keeps its state.

        Warns
        -----
        UserWarning
            If the scores say nothing beyond the router's estimates, or too little to pay for
            further calls. The cascade is then the router alone.
        """
        check_operating_point(*settle(self, None, None), has_costs=True)
        check_count(self.max_calls, "max_calls")
        check_choice(self.calibration, "calibration", ("isotonic", "logistic"))
        check_nonnegative(self.check_cost, "check_cost")
        check_same_order(X=X, y=y, costs=costs, scores=scores)
        labels = model_labels(y)
        quality = check_quality(as_columns(y), labels=labels)
        labels = np.arange(quality.shape[1]) if labels is None else labels
        checked = check_scores(scores, quality.shape, labels)
        costs = check_costs(costs, labels, quality=quality, recorded=False)
        low, high = float(np.nanmin(quality)), float(np.nanmax(quality))
        if isinstance(self.router, FrozenEstimator):
            router = self.router.estimator
            check_frozen(router, labels)
            last, prompts = last_router(router, X)
            pool = labels.tolist()
            estimates = 1 - last.predict_error(prompts, pool), last.predict_cost(prompts, pool)
        else:
            router = fitted_router(self.router, X, y, costs, labels)
            estimates = self._held_out_estimates(X, y, quality, costs, labels)
        width = high - low or 1.0
        answers = Answers(
            (quality - low) / width,
            (estimates[0] - low) / width,
            np.broadcast_to(costs, quality.shape),
            estimates[1],
            checked,
        )
        with replaced_at_once(self) as fitted:
            fitted.router_, fitted.quality_range_ = router, (low, high)
            fitted._fit_scores(answers, labels)
        if not self.informative_:
            warnings.warn(
                "the scores say nothing of the answers beyond the router's estimates, or too "
                "little to pay for further calls, so the cascade is the router alone; use another "
                "check, or pass more scores.",
                UserWarning,
                stacklevel=2,
            )
        return self

    def _fit_scores(self, answers: Answers, labels: np.ndarray) -> None:
        """Learn what scores say."""
        self._levels = self._score_evidence = None
        self.score_shifts_ = dict.fromkeys(labels.tolist(), 0.0)
        quality, estimates, scores = answers.quality, answers.estimates, answers.scores
        if not np.isnan(scores + quality).all():
            self._levels = learn_levels(scores, quality)._asdict()
            shifts = [
                ScoreLevels(**self._levels).shift(*column)
                for column in zip(scores.T, quality.T, strict=True)
            ]
            self.score_shifts_ = dict(zip(labels.tolist(), shifts, strict=True))
            answers = answers._replace(scores=scores - shifts)
            found = learn_evidence(answers, self.calibration)
            self._score_evidence = None if found is None else found._asdict()
        self.correlation_ = residual_correlation(quality, estimates)
        if self.informative_ and self.max_calls > 1 and not self._pays(answers):
            self._score_evidence = None

    @property
    def informative_(self) -> bool:
        check_is_fitted(self)
        return self._score_evidence is not None

    def _pays(self, answers: Answers) -> bool:
        """Whether the policy is not worse than the router alone, on prompts that it did not see."""
        judged = ~np.isnan(answers.estimates).any(axis=1) & ~np.isnan(answers.quality).all(axis=1)
        rows = np.random.RandomState(0).permutation(np.flatnonzero(judged))[:_JUDGED]
        try:
            return gain_of_scores(answers.rows(rows), self.max_calls, self._settings(0.0)) >= 0
        except ValueError:
            # Too little is known of the models that prompts would be routed to.
            return True

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "router_")

    def _held_out_estimates(
        self, X: Any, y: Any, quality: np.ndarray, costs: np.ndarray, labels: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Qualities and costs that the router expects of prompts that it did not see."""
        estimates, expected = np.full((2, *quality.shape), np.nan)
        folds = KFold(min(_FOLDS, len(quality)), shuffle=True, random_state=0)
        for training, held_out in folds.split(quality):
            if np.isnan(quality[training]).all(axis=0).any():
                # A model that was run on held-out prompts alone cannot be learned.
                continue
            known = y if hasattr(y, "columns") else quality
            router = fitted_router(
                self.router,
                _safe_indexing(X, training),
                _safe_indexing(known, training),
                costs if costs.ndim == 1 else costs[training],
                labels,
            )
            last, prompts = last_router(router, _safe_indexing(X, held_out))
            estimates[held_out] = 1 - last.predict_error(prompts)
            expected[held_out] = last.predict_cost(prompts)
        return estimates, expected

    def routing_table(
        self,
        pool: Pool | None = None,
        *,
        cost_weight: float | None = None,
        budget: float | None = None,
    ) -> CascadeTable:
        """Freeze the cascade and a pool for the request path.

        Parameters
        ----------
        pool : sequence of model names, default=None
            Models to choose among. By default, all models of the router.
        cost_weight : float, default=None
            Error that one unit of cost is worth. By default, the value set at construction.
        budget : float, default=None
            Mean cost per prompt to keep to instead. By default, the value set at construction.

        Returns
        -------
        table : CascadeTable
            Snapshot that chooses as :meth:`first` and :meth:`next` do now, for prompts after the
            transformers of a pipeline.

        Raises
        ------
        ValueError
            For the same reasons as :meth:`first`.
        """
        check_is_fitted(self)
        router = final_router(self.router_)
        cost_weight, budget = settle(self, cost_weight, budget)
        check_operating_point(cost_weight, budget, has_costs=True)
        if budget is not None:
            cost_weight = self.cost_weight_for_budget(budget, pool)
        names = router.models_[check_pool(pool, router.models_)]
        return CascadeTable(
            router.routing_table(names.tolist(), cost_weight=cost_weight),
            policy=None if self._score_evidence is None else self._settings(cost_weight),
            shifts=self.score_shifts_,
            quality_range=self.quality_range_,
            max_calls=min(self.max_calls, len(names)),
        )

    def add_model(
        self,
        val_errors: ArrayLike | None = None,
        *,
        name: Label | None = None,
        cost: ArrayLike | None = None,
        scores: ArrayLike | None = None,
        X_val: ArrayLike | None = None,
        **params: Any,
    ) -> Self:
        """Add a model to the router, and learn of its scores; nothing is retrained.

        Parameters
        ----------
        val_errors : array-like or Series of shape (n_validation_prompts,), default=None
            Errors of the model on the validation prompts of the router, or on `X_val`.
        name : str or int, default=None
            Name of the model.
        cost : float or array-like of shape (n_validation_prompts,), default=None
            Mean cost of the model per prompt, or cost of each call.
        scores : array-like of shape (n_validation_prompts,), default=None
            Scores of its answers on the same prompts. By default, and where NaN, its scores are
            taken to be those of a typical model.
        X_val : array-like of shape (n_validation_prompts, n_features), default=None
            Prompts on which the model was run, as for `add_model` of the router.
        **params : dict
            Further arguments of `add_model` of the router, such as `features`.

        Returns
        -------
        self : object
            The cascade.

        Raises
        ------
        ValueError
            For the same reasons as `add_model` of the router, or if `scores` does not fit
            `val_errors`. The cascade then keeps its state.
        """
        check_is_fitted(self)
        router, shift = final_router(self.router_), 0.0
        if scores is not None:
            rows = validation_rows(router, X_val)
            val_errors, scores = (
                in_row_order(one, rows, len(rows[-1]), argument)
                for argument, one in {"val_errors": val_errors, "scores": scores}.items()
            )
            shift = self._shift_of(val_errors, scores)
        if val_errors is not None:
            params["val_errors"] = val_errors
        router.add_model(name=name, cost=cost, X_val=X_val, **params)
        if name is None:
            name = router.models_[-1].item()
        self.score_shifts_ = {**self.score_shifts_, name: shift}
        return self

    def remove_model(self, name: Label) -> Self:
        """Remove a model from the router, and what was learned of its scores.

        Parameters
        ----------
        name : str or int
            Name of the model.

        Returns
        -------
        self : object
            The cascade.

        Raises
        ------
        ValueError
            For the same reasons as `remove_model` of the router. The cascade then keeps its state.
        """
        check_is_fitted(self)
        final_router(self.router_).remove_model(name)
        self.score_shifts_ = {
            label: shift for label, shift in self.score_shifts_.items() if label != name
        }
        return self

    def _shift_of(self, val_errors: Any, scores: Any) -> float:
        if val_errors is None or np.shape(scores) != np.shape(val_errors):
            raise ValueError(
                f"`scores` has shape {np.shape(scores)}, but `val_errors` has shape "
                f"{np.shape(val_errors)}; pass one score for each error, NaN where there is none."
            )
        check_same_order(val_errors=val_errors, scores=scores)
        values = check_scores(
            np.asarray(as_numbers(scores))[:, None], (len(scores), 1), np.arange(1)
        )
        if self._levels is None:
            return 0.0
        low, high = self.quality_range_
        quality = (1 - np.asarray(as_numbers(val_errors), dtype=np.float64) - low) / (
            high - low or 1.0
        )
        return ScoreLevels(**self._levels).shift(values[:, 0], quality)


def fitted_router(router: Any, X: Any, y: Any, costs: np.ndarray, labels: np.ndarray) -> Any:
    """Fit a clone of a router, or of a pipeline that ends in one; `labels` name the costs."""
    router = clone(router)
    named: Any = costs
    if hasattr(y, "columns"):
        columns = dict(zip(labels.tolist(), costs.T, strict=True))
        named = columns if costs.ndim == 1 else type(y)(columns, index=y.index)
    return router.fit(X, y, **{fit_name(router, "costs"): named})


def check_frozen(router: Any, labels: np.ndarray) -> None:
    """Refuse a fitted router without costs, and qualities of models that it does not know."""
    router = final_router(router)
    if router.costs_ is None:
        raise ValueError(
            "the fitted router has no costs, so calls would be free; fit it with `costs`."
        )
    known = router.models_.tolist()
    unknown = [label for label in labels.tolist() if label not in known]
    if unknown:
        raise ValueError(
            f"`y` has model(s) {listing(unknown)} that the fitted router does not know "
            f"({listing(known)})."
        )
