"""Routing by the nearest labelled prompts."""

from typing import Any

import numpy as np
from sklearn.neighbors import NearestNeighbors

from sklearn_uniroute._numerics._neighbors import NeighborPredictor, choose_n_neighbors
from sklearn_uniroute.routers._base import BaseRouter
from sklearn_uniroute.utils._typing import RandomState
from sklearn_uniroute.utils._validation import check_choice, check_count, is_auto
from sklearn_uniroute.utils._weights import check_sample_weight

# Maximum number of training prompts on which "auto" tries numbers of neighbours.
_QUERIES = 1000


class KNeighborsRouter(BaseRouter):
    """Route by the errors of models on the nearest prompts they were run on.

    The neighbours of a prompt are training prompts for a training model, and validation prompts for
    an added model, which needs many of them. Prompts on which a model was not run are no neighbours
    for it.

    Parameters
    ----------
    n_neighbors : int or "auto", default="auto"
        Number of neighbours, k. A model that was run on fewer prompts is estimated from all of
        them. "auto" chooses k by leave-one-out on up to 1,000 training prompts: the k that predicts
        best how the errors of the training models differ. For a model that was run on fewer
        prompts, k is smaller by the cube root of the ratio. If `fit` is given `sample_weight`, each
        prompt makes as many neighbours as its weight.
    weights : {"uniform", "distance"}, default="uniform"
        Weights of the neighbours. "uniform" weights them equally; "distance" weights them by the
        inverse of their distance. If there are neighbours at distance 0, they alone count.
    metric : str or callable, default="euclidean"
        Any metric that :class:`sklearn.neighbors.NearestNeighbors` takes for brute force.
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
    representation_ : ndarray of shape (n_models, n_reference_prompts)
        Error of each model on each reference prompt; NaN where it was not run.
    n_neighbors_ : int
        Number of neighbours for a model that was run on all training prompts.
    reference_prompts_ : ndarray of shape (n_reference_prompts, n_features)
        Prompts on which models were run: training prompts, validation prompts, then those passed to
        later calls.
    X_val_ : ndarray of shape (n_validation_prompts, n_features)
        Validation prompts.
    validation_indices_ : ndarray of shape (n_validation_prompts,) or None
        Rows of the validation prompts in the training prompts: run a new model on these. None if
        `fit` was given `X_val`.
    validation_weights_ : ndarray of shape (n_validation_prompts,)
        Weight of each validation prompt in an average over the training distribution. All 1 if
        they were drawn uniformly or passed to `fit`.
    n_features_in_ : int
        Number of features seen during `fit`.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features seen during `fit`. Defined only if `X` has feature names that are all
        strings.

    See Also
    --------
    KMeansRouter : Estimates errors by cluster, from fewer prompts.

    References
    ----------
    "Universal Model Routing for Efficient LLM Inference", arXiv 2502.08773, section 4.1 and eq. 4.

    Examples
    --------
    >>> from sklearn_uniroute import KNeighborsRouter
    >>> from sklearn_uniroute.datasets import make_routing_data
    >>> data = make_routing_data(n_prompts=500, n_models=5, random_state=0)
    >>> router = KNeighborsRouter(n_neighbors=20, random_state=0)
    >>> router.fit(data.X[:300], data.y[:300], costs=data.costs)
    KNeighborsRouter(n_neighbors=20, random_state=0)
    >>> router.predict_error(data.X[300:], pool=[0, 4]).shape
    (200, 2)
    """

    __module__ = "sklearn_uniroute"

    representation_: np.ndarray
    # Files of version 0.1 have neither this nor `n_neighbors_`.
    _shrinks = False
    # Number of training prompts with labels; 0 in files of version 0.1.
    _n_labelled_prompts = 0
    # Number of times that each reference prompt counts; None without weights.
    _counts: Any = None

    def __init__(
        self,
        n_neighbors: int | str = "auto",
        *,
        weights: str = "uniform",
        metric: Any = "euclidean",
        cost_weight: float = 0.0,
        budget: float | None = None,
        n_validation: int | None = 400,
        random_state: RandomState = None,
    ) -> None:
        self.n_neighbors = n_neighbors
        self.weights = weights
        self.metric = metric
        self.cost_weight = cost_weight
        self.budget = budget
        self.n_validation = n_validation
        self.random_state = random_state

    def _check_params(self) -> None:
        super()._check_params()
        if not is_auto(self.n_neighbors, "n_neighbors"):
            check_count(self.n_neighbors, "n_neighbors")
        check_choice(self.weights, "weights", ("uniform", "distance"))

    def _fit_features(
        self,
        X: np.ndarray,
        errors: np.ndarray,
        rng: np.random.RandomState,
        sample_weight: np.ndarray | None = None,
    ) -> None:
        if not is_auto(self.n_neighbors, "n_neighbors"):
            # Nothing is learned; an unknown metric fails here.
            probe = NearestNeighbors(n_neighbors=1, metric=self.metric, algorithm="brute")
            probe.fit(X[:2]).kneighbors(X[:1])
            self._shrinks = False
            self.n_neighbors_ = int(self.n_neighbors)
            return
        # Prompts that no model was run on are no neighbours.
        some = ~np.isnan(errors).all(axis=1)
        X, errors = X[some], errors[some]
        sample_weight = None if sample_weight is None else sample_weight[some]
        queries = rng.permutation(len(X))[:_QUERIES]
        self._shrinks = True
        self.n_neighbors_ = choose_n_neighbors(
            X, errors, queries, self.weights, self.metric, sample_weight
        )

    def _fit_evidence(
        self, X: np.ndarray, errors: np.ndarray, weights: np.ndarray | None = None
    ) -> None:
        self._evidence = {}
        self.reference_prompts_ = np.concatenate([X, self.X_val_])
        self.representation_ = np.full(
            (errors.shape[1], len(self.reference_prompts_)), np.nan, dtype=errors.dtype
        )
        self.representation_[:, : len(X)] = errors.T
        self._n_training_prompts = len(X)
        self._n_labelled_prompts = int((~np.isnan(errors)).any(axis=1).sum())
        self._counts = None
        if weights is not None:
            self._counts = np.append(weights, np.ones(len(self.X_val_)))

    def _drop_unused(self) -> None:
        """Forget prompts that were passed for models no longer known."""
        kept = self._n_training_prompts + len(self.X_val_)
        used = np.arange(len(self.reference_prompts_)) < kept
        used |= ~np.isnan(self.representation_).all(axis=0)
        if not used.all():
            # At once, since other threads may predict.
            self.__dict__.update(
                reference_prompts_=self.reference_prompts_[used],
                representation_=self.representation_[:, used],
                _counts=None if self._counts is None else self._counts[used],
            )

    def _model_rows(
        self, val_errors: np.ndarray, X_val: np.ndarray | None, position: int | None
    ) -> dict[str, Any]:
        if position is None:
            self._drop_unused()
            row = np.full(len(self.reference_prompts_), np.nan)
        else:
            row = self.representation_[position].astype(np.float64)
        if X_val is None:
            # A prompt that was reported before becomes a further reference prompt.
            own = self._validation_slots
            again = ~np.isnan(row[own])
            row[own] = np.where(again, row[own], val_errors)
            times = check_sample_weight(self._validation_times, len(self.X_val_))[again]
            X_val, val_errors = self.X_val_[again], val_errors[again]
        else:
            times = np.ones(len(X_val))
        if len(X_val):
            self._append_reference_prompts(X_val, times)
        return {"representation_": np.concatenate([row, val_errors])}

    @property
    def _validation_slots(self) -> slice:
        """Rows of the validation prompts in the reference prompts."""
        return slice(self._n_training_prompts, self._n_training_prompts + len(self.X_val_))

    def _append_reference_prompts(self, X: np.ndarray, times: np.ndarray) -> None:
        not_run = np.full((len(self.models_), len(X)), np.nan, dtype=self.representation_.dtype)
        self.__dict__.update(
            reference_prompts_=np.concatenate([self.reference_prompts_, X]),
            representation_=np.concatenate([self.representation_, not_run], axis=1),
            _counts=None if self._counts is None else np.append(self._counts, times),
        )

    def _reference_counts(self) -> np.ndarray | None:
        if self._counts is None or self._validation_times is None:
            return self._counts
        counts = self._counts.copy()
        # An ensemble sets them once its routers are fitted.
        counts[self._validation_slots] = self._validation_times
        return counts

    def _numbers_of_neighbors(self, index: np.ndarray) -> np.ndarray:
        # By what was fitted: the parameter may have been set anew since.
        numbers = np.full(len(index), getattr(self, "n_neighbors_", self.n_neighbors))
        if self._shrinks:
            was_run = ~np.isnan(self.representation_[index])
            n_run = was_run.sum(axis=1)
            n_labelled = self._n_labelled_prompts or self._n_training_prompts
            share = np.minimum(n_run / n_labelled, 1)
            # The number was chosen for prompts, which count so often on average.
            counts = check_sample_weight(self._reference_counts(), len(self.reference_prompts_))
            found = numbers * (was_run @ counts / n_run) * np.cbrt(share)
            numbers = np.maximum(np.rint(found), 1).astype(np.intp)
        return numbers

    def _predictor(self, index: np.ndarray) -> NeighborPredictor:
        return NeighborPredictor(
            self.reference_prompts_,
            self.representation_[index],
            self._prices(index),
            self._numbers_of_neighbors(index),
            self.weights,
            self.metric,
            self._reference_counts(),
        )
