"""Routing by any features of prompts, with a prior over their coefficients."""

from functools import partial
from typing import Any

import numpy as np
from scipy.sparse import issparse
from sklearn.base import clone
from sklearn.preprocessing import StandardScaler
from sklearn.utils.validation import has_fit_parameter

from sklearn_uniroute._numerics._features import MappedFeatures, Phi, row_blocks, weighted_mean
from sklearn_uniroute._numerics._selection import greedy_rows
from sklearn_uniroute.routers._few_shot import FewShotRouter, check_trainable
from sklearn_uniroute.utils._typing import RandomState
from sklearn_uniroute.utils._validation import check_enough
from sklearn_uniroute.utils._weights import weighted


class FeatureMapRouter(FewShotRouter):
    """Route by errors that are linear in features by any transformer.

    The error of a model on a prompt is its level plus a linear function of the features. A prior
    over the coefficients is learned from the training models, so that few errors of a new model
    suffice: they decide its level, and its coefficients follow the models that it resembles. A
    :class:`HybridRouter` has such a linear function beside clusters.

    Parameters
    ----------
    feature_map : transformer, or estimator with `predict_proba`
        Maps embeddings to features: principal components, :class:`sklearn.mixture.GaussianMixture`,
        :class:`sklearn.kernel_approximation.Nystroem` (the router is then a Gaussian process over
        prompts), task labels by :class:`sklearn.preprocessing.OneHotEncoder`, or several of these
        in a :class:`sklearn.pipeline.FeatureUnion`. It is cloned and fitted on arrays: the training
        prompts and, if it learns from them, the qualities, with `sample_weight` if its `fit` takes
        weights. Features are centred and scaled together; scale them one by one in a pipeline if
        their units differ.
    cost_weight : float, default=0.0
        Error that one unit of cost is worth, lambda of the paper, in error per unit of cost.
    budget : float, default=None
        Mean cost per prompt to keep to instead of a `cost_weight`, in the unit of the costs.
    n_validation : int, default=400
        Maximum number of training prompts that serve as validation prompts if `fit` is not given
        `X_val`. None takes all training prompts.
    validation : {"greedy", "random"}, default="greedy"
        Choice of the validation prompts. "greedy" takes the most informative prompts first, and
        draws the last quarter at random among the other prompts, so that averages are unbiased;
        "random" draws all of them uniformly.
    random_state : int, RandomState instance or None, default=None
        Seed for the choice of validation prompts.

    Attributes
    ----------
    models_ : ndarray of shape (n_models,)
        Names of the models: training models, then added models.
    costs_ : ndarray of shape (n_models,) or None
        Mean cost of each model per prompt.
    feature_map_ : estimator
        Fitted map.
    representation_ : ndarray of shape (n_models, 1 + n_mapped_features)
        Error of each model at average features, then its coefficients.
    representation_std_ : ndarray of shape (n_models, 1 + n_mapped_features)
        Standard errors of the representation.
    prior_mean_ : ndarray of shape (1 + n_mapped_features,)
        Expected representation of a model that was not run yet.
    prior_covariance_ : ndarray of shape (1 + n_mapped_features, 1 + n_mapped_features)
        Covariance of the representation over models.
    noise_ : ndarray of shape (1 + n_mapped_features,)
        Variance of a single error of a model, then 0 for each feature.
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
        Weight of each validation prompt in an average over the training distribution. All 1 if
        they were drawn uniformly or passed to `fit`.
    n_features_in_ : int
        Number of features seen during `fit`.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features seen during `fit`. Defined only if `X` has feature names that are all
        strings.

    See Also
    --------
    HybridRouter : Clusters and principal components.

    Notes
    -----
    The time to fit or to add a model grows with the cube of the number of mapped features; some
    hundreds are fine. A routing table keeps the map itself: it routes single prompts as fast as the
    map transforms them, and it cannot be saved. Save the router with
    :func:`~sklearn_uniroute.save_router`.

    References
    ----------
    "Universal Model Routing for Efficient LLM Inference", arXiv 2502.08773, eq. 9: any features of
    prompts may serve as Phi.

    Examples
    --------
    >>> from sklearn.kernel_approximation import Nystroem
    >>> from sklearn_uniroute import FeatureMapRouter
    >>> from sklearn_uniroute.datasets import make_routing_data
    >>> data = make_routing_data(n_prompts=500, n_models=5, random_state=0)
    >>> feature_map = Nystroem(n_components=50, random_state=0)
    >>> router = FeatureMapRouter(feature_map, n_validation=50, random_state=0)
    >>> router.fit(data.X, data.y[:, :4], costs=data.costs[:4]).models_
    array([0, 1, 2, 3])
    >>> val_errors = 1 - data.y[router.validation_indices_, 4]
    >>> router.add_model(val_errors, cost=data.costs[4]).models_
    array([0, 1, 2, 3, 4])
    >>> chosen = router.predict(data.X, cost_weight=0.01)
    """

    __module__ = "sklearn_uniroute"

    # All prompts are in one cluster, so the level of a model is its error there.
    n_clusters: int | str = 1
    clusterer = None
    cost_model = "mean"
    fallback = None
    far_share = 0.01

    def __init__(
        self,
        feature_map: Any,
        *,
        cost_weight: float = 0.0,
        budget: float | None = None,
        n_validation: int | None = 400,
        validation: str = "greedy",
        random_state: RandomState = None,
    ) -> None:
        self.feature_map = feature_map
        self.cost_weight = cost_weight
        self.budget = budget
        self.n_validation = n_validation
        self.validation = validation
        self.random_state = random_state

    def _check_params(self) -> None:
        super()._check_params()
        check_feature_map(self.feature_map)

    def _fit_clusters(
        self, X: np.ndarray, rng: np.random.RandomState, weights: np.ndarray | None
    ) -> None:
        self.cluster_centers_ = weighted_mean(X, weights)[None].astype(X.dtype)

    def _fit_map(
        self,
        X: np.ndarray,
        errors: np.ndarray,
        representation: np.ndarray,
        weights: np.ndarray | None,
    ) -> None:
        check_trainable(X)
        feature_map = clone(self.feature_map)
        taken = weights if has_fit_parameter(feature_map, "sample_weight") else None
        self.feature_map_ = feature_map.fit(X, 1 - errors, **weighted(taken))
        scaler = StandardScaler()
        for rows in row_blocks(len(X)):
            mapped = map_features(self.feature_map_, X[rows])
            # The variance of a constant feature may come out below 0.
            with np.errstate(invalid="ignore"):
                scaler.partial_fit(mapped, sample_weight=None if weights is None else weights[rows])
        self._map_center = scaler.mean_
        length = np.sqrt(np.maximum(scaler.var_, 0).sum())
        self._map_scale = float(1 / length) if length > 0 else 1.0

    def _phi(self) -> Phi:
        return MappedFeatures(
            partial(map_features, self.feature_map_),
            self._map_center,
            self._map_scale,
            self.n_features_in_,
        )

    def _telling_prompts(self, X: np.ndarray, covariance: np.ndarray, n_prompts: int) -> np.ndarray:
        check_enough(n_prompts, "n_prompts", len(X), "candidates")
        features = self._features(X).astype(np.float64)
        weights = (features**2).mean(axis=0)
        return greedy_rows(features, covariance, self.noise_, weights, n_prompts)


def check_feature_map(feature_map: Any) -> None:
    """Refuse a map without a way to map prompts."""
    if (
        isinstance(feature_map, type)
        or not hasattr(feature_map, "fit")
        or not (hasattr(feature_map, "transform") or hasattr(feature_map, "predict_proba"))
    ):
        raise TypeError(
            "`feature_map` must be an estimator with `transform` or `predict_proba`; got "
            f"{feature_map!r}."
        )


def map_features(feature_map: Any, X: np.ndarray) -> np.ndarray:
    """Map prompts to features, in double precision."""
    method = "transform" if hasattr(feature_map, "transform") else "predict_proba"
    mapped = getattr(feature_map, method)(X)
    mapped = np.asarray(mapped.toarray() if issparse(mapped) else mapped, dtype=np.float64)
    if mapped.ndim != 2 or len(mapped) != len(X):
        raise ValueError(
            f"`feature_map` maps {len(X)} prompts to an array of shape {mapped.shape}; expected "
            f"({len(X)}, n_mapped_features)."
        )
    if not np.isfinite(mapped).all():
        raise ValueError("`feature_map` maps prompts to features that are NaN or infinite.")
    return mapped
