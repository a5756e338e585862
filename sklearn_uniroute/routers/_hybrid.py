"""Routing by clusters of prompts and, where a model is known well, by the prompt itself."""

from typing import Any

import numpy as np
from sklearn.decomposition import PCA

from sklearn_uniroute._numerics._features import (
    Phi,
    SharesAndComponents,
    common_offset,
    weighted_components,
)
from sklearn_uniroute.routers._few_shot import FewShotRouter, check_trainable
from sklearn_uniroute.utils._typing import Label, RandomState
from sklearn_uniroute.utils._validation import check_count, check_nonnegative


class HybridRouter(FewShotRouter):
    """Route by errors on clusters plus a linear function of the embedding.

    The error of a model on a prompt is its error in the clusters, as for a :class:`KMeansRouter`,
    plus a linear function of the embedding, as for a :class:`LinearRouter`. One regression with a
    prior learns both from the errors of the model. Thousands of errors, as of the training models,
    determine both parts. The few errors of an added model mostly determine its errors in the
    clusters; its linear part follows similar models. Hence models that are known well and
    models that are hardly known are on one scale and share a pool. See :doc:`/hybrid`.

    Parameters
    ----------
    n_clusters : int or "auto", default="auto"
        Number of clusters of prompts, K. "auto" takes 24 clusters, or one for each 10 training
        prompts if there are fewer than 240. Ignored if `clusterer` is given.
    n_components : int, default=64
        Maximum number of principal components of the training prompts in the linear part. Memory
        per model grows with its square, and the time to add a model with its cube.
    temperature : float, default=0.1
        Softness of the assignment of prompts to clusters. The responsibility of a cluster for a
        prompt is proportional to ``exp(-d ** 2 / (temperature * s))``, where d is the distance from
        the prompt to the centre and s is the mean squared distance from the training prompts to
        their centres. 0 assigns each prompt to its nearest cluster alone.
    cost_model : {"mean", "cluster"}, default="mean"
        Predicted cost of a model on a prompt: "mean" is its mean cost; "cluster" is its mean cost
        in the clusters of the prompt, which needs the cost of each call. See :doc:`/costs`.
    fallback : str or int, default=None
        Model that is chosen for prompts unlike the training prompts, whatever it costs: its name,
        or "dearest" for the model of highest mean cost in the pool. By default, such prompts are
        routed like all others. See :doc:`/shift`.
    far_share : float, default=0.01
        Share of new prompts that count as unlike the training prompts if nothing drifts: those
        farthest from all centres. Ignored without `fallback`.
    cost_weight : float, default=0.0
        Error that one unit of cost is worth, lambda of the paper, in error per unit of cost.
    budget : float, default=None
        Mean cost per prompt to keep to instead of a `cost_weight`, in the unit of the costs.
    n_validation : int, default=400
        Maximum number of training prompts that serve as validation prompts if `fit` is not given
        `X_val`. None takes all training prompts.
    validation : {"greedy", "random"}, default="greedy"
        Choice of the validation prompts. "greedy" takes the most informative prompts first, see
        :func:`select_validation_prompts`, and draws the last quarter at random among the other
        prompts, so that averages are unbiased; "random" draws all of them uniformly.
    clusterer : estimator, default=None
        Clusterer to use instead of ``KMeans(n_clusters)``. It must have `cluster_centers_` once
        fitted. It is cloned and fitted with its own parameters.
    random_state : int, RandomState instance or None, default=None
        Seed for K-means, principal components and the choice of validation prompts.

    Attributes
    ----------
    models_ : ndarray of shape (n_models,)
        Names of the models: training models, then added models.
    costs_ : ndarray of shape (n_models,) or None
        Mean cost of each model per prompt.
    representation_ : ndarray of shape (n_models, n_clusters + n_components)
        Error of each model in each cluster, then the coefficients of the components.
    representation_std_ : ndarray of shape (n_models, n_clusters + n_components)
        Standard errors of the representation.
    center_ : ndarray of shape (n_features,)
        Mean of the training prompts.
    components_ : ndarray of shape (n_components, n_features)
        Principal components, scaled such that the components of the training prompts have a mean
        squared length of 1.
    cost_representation_ : ndarray of shape (n_models, n_clusters) or None
        Cost of each model in each cluster, if `cost_model` is "cluster".
    cluster_centers_ : ndarray of shape (n_clusters, n_features)
        Centres of the clusters.
    cluster_sizes_ : ndarray of shape (n_clusters,)
        Number of training prompts in each cluster.
    cluster_shares_ : ndarray of shape (n_clusters,)
        Share of the training prompts in each cluster.
    distance_quantiles_ : ndarray of shape (1001,)
        Quantiles, in steps of 0.001, of the distances from the training prompts to their centres.
    fallback_distance_ : float or None
        Distance from all centres beyond which a prompt goes to the `fallback`.
    temperature_ : float
        Temperature in units of squared distance.
    prior_mean_ : ndarray of shape (n_clusters + n_components,)
        Expected representation of a model that was not run yet.
    prior_covariance_ : ndarray of shape (n_clusters + n_components, n_clusters + n_components)
        Covariance of the representation over models.
    noise_ : ndarray of shape (n_clusters + n_components,)
        Variance of a single error of a model, in each cluster; 0 for the components.
    interaction_scale_ : float
        Factor, between 0.1 and 1, on how the errors of a model differ from cluster to cluster under
        the prior. Low if the training models show no more than noise.
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
    KMeansRouter : Uses clusters alone.
    LinearRouter : Linear in the embedding, each model on its own.

    References
    ----------
    "Universal Model Routing for Efficient LLM Inference", arXiv 2502.08773, section 7, names a
    router for both known and new models as an open problem.

    Examples
    --------
    >>> from sklearn_uniroute import HybridRouter
    >>> from sklearn_uniroute.datasets import make_routing_data
    >>> data = make_routing_data(n_prompts=500, n_models=5, random_state=0)
    >>> router = HybridRouter(n_clusters=4, n_validation=50, random_state=0)
    >>> router.fit(data.X, data.y[:, :4], costs=data.costs[:4]).models_
    array([0, 1, 2, 3])
    >>> val_errors = 1 - data.y[router.validation_indices_, 4]
    >>> router.add_model(val_errors, cost=data.costs[4]).models_
    array([0, 1, 2, 3, 4])
    >>> chosen = router.predict(data.X, cost_weight=0.01)
    """

    __module__ = "sklearn_uniroute"

    def __init__(
        self,
        n_clusters: int | str = "auto",
        *,
        n_components: int = 64,
        temperature: float = 0.1,
        cost_model: str = "mean",
        fallback: Label | None = None,
        far_share: float = 0.01,
        cost_weight: float = 0.0,
        budget: float | None = None,
        n_validation: int | None = 400,
        validation: str = "greedy",
        clusterer: Any = None,
        random_state: RandomState = None,
    ) -> None:
        self.n_clusters = n_clusters
        self.n_components = n_components
        self.temperature = temperature
        self.cost_model = cost_model
        self.fallback = fallback
        self.far_share = far_share
        self.cost_weight = cost_weight
        self.budget = budget
        self.n_validation = n_validation
        self.validation = validation
        self.clusterer = clusterer
        self.random_state = random_state

    def _check_params(self) -> None:
        super()._check_params()
        check_count(self.n_components, "n_components")
        check_nonnegative(self.temperature, "temperature")

    def _fit_map(
        self,
        X: np.ndarray,
        errors: np.ndarray,
        representation: np.ndarray,
        weights: np.ndarray | None,
    ) -> None:
        check_trainable(X)
        self.temperature_ = float(self.temperature * self._mean_squared_distance)
        n_components = min(self.n_components, *X.shape)
        if weights is not None:
            self.center_, axes, variances = weighted_components(X, weights, n_components)
            self.components_ = axes / (np.sqrt(variances.sum()) or 1.0)
            return
        # Prompts that are all equal have no ratio of explained variance.
        with np.errstate(invalid="ignore"):
            pca = PCA(n_components, random_state=self._selection_seed)
            # A long offset costs digits in single precision.
            offset = common_offset(X)
            if offset is None:
                self.center_ = pca.fit(X).mean_
            else:
                offset = offset.astype(X.dtype)
                self.center_ = pca.fit(X - offset).mean_ + offset
        length = np.sqrt(pca.explained_variance_.sum())
        self.components_ = pca.components_ / (length if length > 0 else 1.0)

    def _phi(self) -> Phi:
        return SharesAndComponents(
            self.cluster_centers_, self.temperature_, self.center_, self.components_
        )
