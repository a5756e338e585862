"""Routing by the mean of what several routers predict."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import clone
from sklearn.model_selection import KFold
from sklearn.utils import Bunch, check_array
from sklearn.utils.metaestimators import _BaseComposition

from sklearn_uniroute._numerics._predictors import EnsemblePredictor
from sklearn_uniroute._numerics._ridge import stacked_weights
from sklearn_uniroute._numerics._routing import HullWalk
from sklearn_uniroute.routers._base import BaseRouter
from sklearn_uniroute.routers._model_features import ModelFeaturesMixin
from sklearn_uniroute.routers._pool import frozen, put_rows, replaced_at_once
from sklearn_uniroute.utils._typing import Label, RandomState
from sklearn_uniroute.utils._validation import listing

# Number of folds on which weights are learned.
_FOLDS = 5


class EnsembleRouter(_BaseComposition, ModelFeaturesMixin):
    """Route by the mean of the errors that several routers predict.

    Routers of different kinds make different mistakes, and the mean of their predictions is better
    than most of them alone. All members are fitted on the same data, take in the same new models
    from the same validation prompts, and share the pool.

    Parameters
    ----------
    routers : list of (str, router) tuples
        Routers with names, by which their parameters are set: ``kmeans__n_clusters``. They are
        cloned. Their `cost_weight`, `budget` and `fallback` must be left at the defaults; set those
        of the ensemble.
    weights : array-like of shape (n_routers,) or "stacked", default=None
        Weights of the routers. By default, all count the same. "stacked" learns the weights from
        predictions on five held-out folds of the training prompts, and takes six times as long.
    cost_weight : float, default=0.0
        Error that one unit of cost is worth, lambda of the paper, in error per unit of cost.
    budget : float, default=None
        Mean cost per prompt to keep to instead of a `cost_weight`, in the unit of the costs.
    n_validation : int, default=400
        Maximum number of training prompts that serve as validation prompts if `fit` is not given
        `X_val`. The first router chooses them. None takes all training prompts.
    random_state : int, RandomState instance or None, default=None
        Seed for the folds, and for the routers whose own `random_state` is None.

    Attributes
    ----------
    models_ : ndarray of shape (n_models,)
        Names of the models: training models, then added models.
    costs_ : ndarray of shape (n_models,) or None
        Mean cost of each model per prompt.
    routers_ : list of routers
        Fitted routers.
    named_routers_ : Bunch
        Fitted routers by name.
    weights_ : ndarray of shape (n_routers,)
        Weights of the routers, which sum to 1.
    model_features_ : ndarray of shape (n_models, n_model_features) or None
        Features of each model, NaN where one is not known. None if `fit` was given none.
    model_feature_names_ : ndarray of shape (n_model_features,) or None
        Names of these features, if `fit` was given a DataFrame.
    X_val_ : ndarray of shape (n_validation_prompts, n_features)
        Validation prompts.
    validation_indices_ : ndarray of shape (n_validation_prompts,) or None
        Rows of the validation prompts in the training prompts: run a new model on these. None if
        `fit` was given `X_val`.
    validation_weights_ : ndarray of shape (n_validation_prompts,)
        Weight of each validation prompt in an average over the training distribution.
    n_features_in_ : int
        Number of features seen during `fit`.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features seen during `fit`. Defined only if `X` has feature names that are all
        strings.

    See Also
    --------
    sklearn.ensemble.VotingRegressor : The same for regressors.

    Notes
    -----
    Standard errors are weighted means of those of the routers that have them, as if the routers
    were wrong together.

    A ZeroRouter counts all validation prompts alike. If it is a member, let the first router choose
    them with ``validation="random"``.

    References
    ----------
    "Universal Model Routing for Efficient LLM Inference", arXiv 2502.08773, eq. 8, with the mean of
    several estimates of the error.

    Examples
    --------
    >>> from sklearn_uniroute import EnsembleRouter, HybridRouter, KNeighborsRouter
    >>> from sklearn_uniroute.datasets import make_routing_data
    >>> data = make_routing_data(n_prompts=500, n_models=5, random_state=0)
    >>> members = [("hybrid", HybridRouter(4)), ("neighbors", KNeighborsRouter(50))]
    >>> router = EnsembleRouter(members, n_validation=100, random_state=0)
    >>> router.fit(data.X, data.y[:, :4], costs=data.costs[:4]).weights_
    array([0.5, 0.5])
    >>> val_errors = 1 - data.y[router.validation_indices_, 4]
    >>> router.add_model(val_errors, cost=data.costs[4]).models_
    array([0, 1, 2, 3, 4])
    >>> chosen = router.predict(data.X, cost_weight=0.01)
    """

    __module__ = "sklearn_uniroute"

    routers_: list[BaseRouter]
    _why_no_features = (
        "no router of this ensemble learns from them; add a router over clusters, or leave them out"
    )
    _row_attributes = ("model_features_",)
    # Errors and costs of the training models, and the router that chose the validation prompts;
    # only while the router is fitted.
    _training: Any = None
    _first: Any = None

    def __init__(
        self,
        routers: list[tuple[str, BaseRouter]],
        *,
        weights: Sequence[float] | str | None = None,
        cost_weight: float = 0.0,
        budget: float | None = None,
        n_validation: int | None = 400,
        random_state: RandomState = None,
    ) -> None:
        self.routers = routers
        self.weights = weights
        self.cost_weight = cost_weight
        self.budget = budget
        self.n_validation = n_validation
        self.random_state = random_state

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Get the parameters of the ensemble and, by name, those of its routers.

        Parameters
        ----------
        deep : bool, default=True
            Whether to include the routers and their parameters.

        Returns
        -------
        params : dict
            Values of the parameters by name.
        """
        params: dict[str, Any] = self._get_params("routers", deep=deep)
        return params

    def set_params(self, **params: Any) -> Any:
        """Set parameters of the ensemble, replace routers by name, or set their parameters.

        Parameters
        ----------
        **params : dict
            Parameters by name, such as ``hybrid__n_clusters``.

        Returns
        -------
        self : object
            The router.
        """
        return self._set_params("routers", **params)

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "routers_")

    @property
    def named_routers_(self) -> Bunch:
        names = [name for name, _ in self.routers]
        return Bunch(**dict(zip(names, self.routers_, strict=True)))

    @property
    def _needs_recorded_costs(self) -> bool:  # type: ignore[override]
        return any(router._needs_recorded_costs for _, router in self.routers)

    @property
    def _learns_costs(self) -> bool:  # type: ignore[override]
        return any(member._learns_costs for member in self.routers_)

    @property
    def _fades(self) -> bool:  # type: ignore[override]
        members = getattr(self, "routers_", [router for _, router in self.routers])
        return all(member._fades for member in members)

    @property
    def _with_std(self) -> list[tuple[float, Any]]:
        """Weights and routers that count and have standard errors."""
        members = zip(self.weights_, self.routers_, strict=True)
        return [(weight, member) for weight, member in members if weight > 0 and member._has_std]

    @property
    def _has_std(self) -> bool:
        return bool(self._with_std)

    @property
    def _prior_freedom(self) -> int:
        return min(member._prior_freedom for _, member in self._with_std)

    def _check_params(self) -> None:
        super()._check_params()
        self._validate_names(check_members(self.routers))
        check_weights(self.weights, len(self.routers))

    @property
    def _uses_features(self) -> bool:  # type: ignore[override]
        return any(router._uses_features for _, router in self.routers)

    @property
    def _needs_errors(self) -> bool:  # type: ignore[override]
        return any(member._needs_errors for member in self.routers_)

    def _check_data(self, costs: np.ndarray | None) -> None:
        super()._check_data(costs)
        self._training = costs

    def _fit_features(
        self,
        X: np.ndarray,
        errors: np.ndarray,
        rng: np.random.RandomState,
        sample_weight: np.ndarray | None = None,
    ) -> None:
        self._training = errors, self._training, sample_weight
        self._seeds = rng.randint(2**31, size=len(self.routers))

    def _choose_validation_prompts(
        self,
        X: np.ndarray,
        n_validation: int,
        rng: np.random.RandomState,
        weights: np.ndarray | None,
    ) -> tuple[np.ndarray, np.ndarray]:
        first = self._member(0)
        if "n_validation" not in first.get_params():
            return super()._choose_validation_prompts(X, n_validation, rng, weights)
        self._first = first.set_params(n_validation=n_validation)
        self._fit_member(first, X)
        self._validation_times = first._validation_times
        return first.validation_indices_, first.validation_weights_

    def _fit_evidence(
        self, X: np.ndarray, errors: np.ndarray, weights: np.ndarray | None = None
    ) -> None:
        self._evidence = {}
        self.weights_ = self._fitted_weights(X, errors)
        self.routers_ = []
        for number in range(len(self.routers)):
            member = self._member(number)
            if number == 0 and self._first is not None:
                member = self._first
            else:
                self._fit_member(member, X, X_val=self.X_val_)
            member.models_ = self.models_
            # Their averages weight the validation prompts as the first router says.
            member.validation_indices_ = self.validation_indices_
            member.validation_weights_ = self.validation_weights_
            member._validation_times = self._validation_times
            self.routers_.append(member)
        self._training = self._first = None

    def _member(self, number: int) -> Any:
        member = clone(self.routers[number][1])
        if "random_state" in member.get_params() and member.random_state is None:
            member.set_params(random_state=int(self._seeds[number]))
        return member

    def _fit_member(
        self,
        member: Any,
        X: np.ndarray,
        X_val: np.ndarray | None = None,
        cells: tuple[Any, Any] = (slice(None), slice(None)),
    ) -> None:
        """Fit a router on the cells of some prompts and models, or of all."""
        rows, models = cells
        errors, costs, weights = self._training
        if costs is not None:
            costs = costs[models] if costs.ndim == 1 else costs[rows][:, models]
        optional = {}
        if self.model_features_ is not None and member._uses_features:
            optional = {"model_features": self.model_features_[models]}
        if weights is not None:
            optional["sample_weight"] = weights[rows]
        member.fit(X[rows], 1 - errors[rows][:, models], costs=costs, X_val=X_val, **optional)

    def _fitted_weights(self, X: np.ndarray, errors: np.ndarray) -> np.ndarray:
        n_members = len(self.routers)
        if self.weights is None:
            return np.full(n_members, 1 / n_members)
        if not isinstance(self.weights, str):
            weights = np.asarray(self.weights, dtype=np.float64)
            return weights / weights.sum()
        predicted = np.full((n_members, *errors.shape), np.nan)
        folds = KFold(_FOLDS, shuffle=True, random_state=int(self._seeds[0]))
        for training, held_out in folds.split(X):
            # Models that were run on held-out prompts alone have no predictions.
            models = np.flatnonzero(~np.isnan(errors[training]).all(axis=0))
            for number in range(n_members):
                member = self._member(number)
                self._fit_member(member, X, X[held_out[:1]], (training, models))
                predicted[number][np.ix_(held_out, models)] = member.predict_error(X[held_out])
        return stacked_weights(predicted, errors, self._training[-1])

    def _predictor(self, index: np.ndarray) -> EnsemblePredictor:
        members = [member._predictor(index) for member in self.routers_]
        return EnsemblePredictor(members, self.weights_, self._prices(index))

    def _predict_std(self, X: np.ndarray, index: np.ndarray) -> np.ndarray:
        return self._mean_std(lambda member: member._predict_std(X, index))

    def _mean_error_std(
        self, X: np.ndarray | None, index: np.ndarray, walk: HullWalk, weights: np.ndarray
    ) -> np.ndarray:
        prompts = self.X_val_ if X is None else X
        return self._mean_std(lambda member: member._mean_error_std(prompts, index, walk, weights))

    def _mean_std(self, std: Any) -> np.ndarray:
        known = self._with_std
        total: np.ndarray = sum(weight * std(member) for weight, member in known)
        return total / sum(weight for weight, _ in known)

    # The pool changes in all members, or in none.

    @contextmanager
    def _changed(self) -> Iterator[Any]:
        with replaced_at_once(self) as changed:
            changed.routers_ = [frozen(member) for member in self.routers_]
            yield changed

    def _learns_from(self, card: np.ndarray) -> bool:
        members: Any = [member for member in self.routers_ if hasattr(member, "_learns_from")]
        return any(member._learns_from(card) for member in members)

    def _checked_card(
        self, features: Any, name: Label, cost: Any, has_errors: bool
    ) -> np.ndarray | None:
        card = super()._checked_card(features, name, cost, has_errors)
        needing = [
            label
            for label, member in zip(self.named_routers_, self.routers_, strict=True)
            if member._needs_errors
        ]
        if needing and not has_errors:
            raise ValueError(
                f"`val_errors` of model {name!r} are missing, but router(s) {listing(needing)} of "
                "this ensemble know models by their errors alone; run the model on some prompts, "
                "or leave these routers out."
            )
        return card

    def _add(
        self,
        name: Label,
        val_errors: np.ndarray,
        X_val: np.ndarray | None,
        cost: Any,
        card: np.ndarray | None = None,
    ) -> None:
        self._change("_add", name, val_errors, X_val, cost, card)

    def _update(self, position: int, val_errors: np.ndarray, X_val: np.ndarray | None) -> None:
        self._change("_update", position, val_errors, X_val)

    def _reprice(self, position: int, price: Any) -> None:
        self._change("_reprice", position, price)

    def _charge(self, position: int, costs: np.ndarray, X: np.ndarray) -> None:
        with self._changed() as changed:
            learning = [member for member in changed.routers_ if member._learns_costs]
            for member in learning:
                member._charge(position, costs, X)
            price = np.mean([member.costs_[position] for member in learning])
            for member in changed.routers_:
                if not member._learns_costs:
                    member._reprice(position, price)
            put_rows(changed, {"costs_": price}, position)

    def _fade(self, position: int, factor: float) -> None:
        with self._changed() as changed:
            for member in changed.routers_:
                member._fade(position, factor)

    def _remove(self, position: int) -> None:
        self._change("_remove", position)

    def _change(self, change: str, *args: Any) -> None:
        with self._changed() as changed:
            for member in changed.routers_:
                no_card = change == "_add" and getattr(member, "model_features_", None) is None
                getattr(member, change)(*(args[:-1] if no_card else args))
            getattr(super(EnsembleRouter, changed), change)(*args)

    def _model_rows(
        self,
        val_errors: np.ndarray,
        X_val: np.ndarray | None,
        position: int | None,
        card: np.ndarray | None = None,
    ) -> dict[str, Any]:
        # Members hold what else is known of models.
        return {} if card is None else {"model_features_": card}


def check_members(routers: Any) -> list[str]:
    """Check the routers of an ensemble, and return their names."""
    if not isinstance(routers, list) or not routers:
        raise ValueError(f"`routers` must be a list of (name, router) tuples; got {routers!r}.")
    for member in routers:
        if not (isinstance(member, tuple) and len(member) == 2 and isinstance(member[0], str)):
            raise ValueError(
                f"`routers` must be a list of (name, router) tuples; it has {member!r}."
            )
        name, router = member
        if not isinstance(router, BaseRouter):
            raise TypeError(
                f"`routers` has {name!r}, which is no router: {router!r}. Put transformers before "
                "the ensemble, in a pipeline."
            )
        params = router.get_params(deep=False)
        for param, default in (("cost_weight", 0), ("budget", None), ("fallback", None)):
            if params.get(param, default) != default:
                raise ValueError(
                    f"`{param}` of router {name!r} is {params[param]!r}, which an ensemble does "
                    f"not use; leave it at {default!r}."
                )
    return [name for name, _ in routers]


def check_weights(weights: ArrayLike | str | None, n_members: int) -> None:
    """Check the weights of the routers of an ensemble."""
    if weights is None or (isinstance(weights, str) and weights == "stacked"):
        return
    if isinstance(weights, str):
        raise ValueError(f"`weights` must be None, 'stacked' or numbers; got {weights!r}.")
    checked: np.ndarray = check_array(
        weights, ensure_2d=False, dtype=np.float64, input_name="weights"
    )
    if checked.shape != (n_members,):
        raise ValueError(
            f"`weights` has shape {checked.shape}; expected one for each router, ({n_members},)."
        )
    if checked.min() < 0 or checked.sum() == 0:
        raise ValueError(f"`weights` must be at least 0, and not all 0; got {checked}.")
