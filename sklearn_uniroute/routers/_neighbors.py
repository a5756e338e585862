"""Routing by the nearest labelled prompts."""

from typing import Any

import numpy as np
from sklearn.neighbors import NearestNeighbors

from sklearn_uniroute._numerics._predictors import NeighborPredictor
from sklearn_uniroute.routers._base import BaseRouter
from sklearn_uniroute.utils._typing import RandomState
from sklearn_uniroute.utils._validation import check_choice, check_count


class KNeighborsRouter(BaseRouter):
    """Route by the errors of models on the nearest prompts they were run on.

    For a training model these are training prompts, for an added model the validation prompts,
    of which it needs a good number. Prompts on which a model was not run are no neighbours for it.

    Parameters
    ----------
    n_neighbors : int, default=10
        Number of neighbours, k. A model that was run on fewer prompts is estimated from all of
        them.
    weights : {"uniform", "distance"}, default="uniform"
        Whether neighbours count equally, or by the inverse of their distance (and those at a
        computed distance of 0 alone, if there are any).
    metric : str or callable, default="euclidean"
        Any metric that :class:`sklearn.neighbors.NearestNeighbors` takes for brute force.
    cost_weight : float, default=0.0
        Error that a unit of cost is worth, lambda of the paper, in the unit of the costs.
    budget : float, default=None
        Mean cost per prompt to keep to, in the unit of the costs, instead of a `cost_weight`.
    n_validation : int, default=400
        How many of the training prompts at most serve as validation prompts when `fit` gets no
        `X_val`; None takes all.
    random_state : int, RandomState instance or None, default=None
        Seeds the choice of validation prompts.

    Attributes
    ----------
    models_ : ndarray of shape (n_models,)
        Names of the models: training models, then added ones.
    costs_ : ndarray of shape (n_models,) or None
        Their mean costs.
    reference_prompts_ : ndarray of shape (n_reference_prompts, n_features)
        All prompts on which some model may have been run: training prompts, validation prompts,
        then those brought by later calls.
    representation_ : ndarray of shape (n_models, n_reference_prompts)
        Error of each model on each reference prompt, NaN where it was not run.
    X_val_ : ndarray of shape (n_validation_prompts, n_features)
        The validation prompts.
    validation_indices_ : ndarray of shape (n_validation_prompts,) or None
        Their rows in the training prompts: run a new model on these. None where `fit` got `X_val`.
    validation_weights_ : ndarray of shape (n_validation_prompts,)
        What each of them counts in an average over the traffic; all 1, as they are drawn evenly.
    mixing_seed_ : int
        Seeds which prompts go beyond a budget that is to be spent in full.
    n_features_in_ : int
        Number of features.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features, where `X` had names of strings only.

    See Also
    --------
    KMeansRouter : Estimates errors by cluster, and makes use of unlabelled prompts.

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

    def __init__(
        self,
        n_neighbors: int = 10,
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
        check_count(self.n_neighbors, "n_neighbors")
        check_choice(self.weights, "weights", ("uniform", "distance"))

    def _fit_features(self, X: np.ndarray, errors: np.ndarray, rng: np.random.RandomState) -> None:
        # The prompts themselves are the features; an unknown metric shows here.
        probe = NearestNeighbors(n_neighbors=1, metric=self.metric, algorithm="brute")
        probe.fit(X[:2]).kneighbors(X[:1])

    def _fit_evidence(self, X: np.ndarray, errors: np.ndarray) -> None:
        self.reference_prompts_ = np.concatenate([X, self.X_val_])
        self.representation_ = np.full(
            (errors.shape[1], len(self.reference_prompts_)), np.nan, dtype=errors.dtype
        )
        self.representation_[:, : len(X)] = errors.T
        self._n_training_prompts = len(X)

    def _drop_unused(self) -> None:
        """Forget prompts that were brought for models no longer known."""
        kept = self._n_training_prompts + len(self.X_val_)
        used = np.arange(len(self.reference_prompts_)) < kept
        used |= ~np.isnan(self.representation_).all(axis=0)
        if not used.all():
            self.reference_prompts_ = self.reference_prompts_[used]
            self.representation_ = self.representation_[:, used]

    def _evidence(
        self, val_errors: np.ndarray, X_val: np.ndarray | None, position: int | None
    ) -> dict[str, Any]:
        if position is None:
            self._drop_unused()
            row = np.full(len(self.reference_prompts_), np.nan)
        else:
            row = self.representation_[position].astype(np.float64)
        if X_val is None:
            # A prompt that was run before becomes a further reference prompt.
            own = slice(self._n_training_prompts, self._n_training_prompts + len(self.X_val_))
            again = ~np.isnan(row[own])
            row[own] = np.where(again, row[own], val_errors)
            X_val, val_errors = self.X_val_[again], val_errors[again]
        if len(X_val):
            self._append_reference_prompts(X_val)
        return {"representation_": np.concatenate([row, val_errors])}

    def _append_reference_prompts(self, X: np.ndarray) -> None:
        self.reference_prompts_ = np.concatenate([self.reference_prompts_, X])
        not_run = np.full((len(self.models_), len(X)), np.nan, dtype=self.representation_.dtype)
        self.representation_ = np.concatenate([self.representation_, not_run], axis=1)

    def _predictor(self, index: np.ndarray) -> NeighborPredictor:
        return NeighborPredictor(
            self.reference_prompts_,
            self.representation_[index],
            self._prices(index),
            self.n_neighbors,
            self.weights,
            self.metric,
        )
