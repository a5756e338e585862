"""Routing by K-means clusters of prompts."""

from typing import Any

import numpy as np

from sklearn_uniroute._numerics._features import ClusterShares, NearestCluster, Phi
from sklearn_uniroute.routers._few_shot import FewShotRouter
from sklearn_uniroute.utils._typing import Label, RandomState
from sklearn_uniroute.utils._validation import check_nonnegative


class KMeansRouter(FewShotRouter):
    """Route by the errors of models on clusters of prompts.

    The training prompts are clustered, and a model is represented by its errors in the clusters.
    The error of a model on a prompt is estimated from the clusters near the prompt, and the prompt
    goes to the model of lowest error plus weighted cost. A new model is added from its errors on
    the validation prompts; nothing is retrained.

    Parameters
    ----------
    n_clusters : int or "auto", default="auto"
        Number of clusters of prompts, K. "auto" takes 24 clusters, or one for each 10 training
        prompts if there are fewer than 240. Ignored if `clusterer` is given.
    representation : {"posterior", "mean"}, default="posterior"
        Representation of a model. "mean" is its mean error in each cluster [1]_, or its overall
        error in a cluster without an observation. "posterior" takes the errors of the training
        models as a prior, and updates it with the errors of the model. It needs far fewer
        validation prompts, depends little on the number of clusters, and gives standard errors. See
        :doc:`/few_shot`.
    temperature : float, default=0.1
        Softness of the assignment of prompts to clusters. The responsibility of a cluster for a
        prompt is proportional to ``exp(-d ** 2 / (temperature * s))``, where d is the distance from
        the prompt to the centre and s is the mean squared distance from the training prompts to
        their centres. 0 assigns each prompt to its nearest cluster alone [1]_.
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
        Seed for K-means and the choice of validation prompts.

    Attributes
    ----------
    models_ : ndarray of shape (n_models,)
        Names of the models: training models, then added models.
    costs_ : ndarray of shape (n_models,) or None
        Mean cost of each model per prompt.
    representation_ : ndarray of shape (n_models, n_clusters)
        Error of each model in each cluster, Psi.
    representation_std_ : ndarray of shape (n_models, n_clusters) or None
        Standard errors of the representation, if it is "posterior".
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
    prior_mean_ : ndarray of shape (n_clusters,)
        Expected representation of a model that was not run yet.
    prior_covariance_ : ndarray of shape (n_clusters, n_clusters)
        Covariance of the representation over models.
    noise_ : ndarray of shape (n_clusters,)
        Variance of a single error of a model, in each cluster.
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
    HybridRouter : Adds a linear function of the embedding.
    LearnedMapRouter : Learns how prompts belong to clusters.
    ZeroRouter : Ignores the prompt.

    References
    ----------
    .. [1] "Universal Model Routing for Efficient LLM Inference", arXiv 2502.08773, section 5.1
       and eq. 12.

    Examples
    --------
    >>> from sklearn_uniroute import KMeansRouter
    >>> from sklearn_uniroute.datasets import make_routing_data
    >>> data = make_routing_data(n_prompts=500, n_models=5, random_state=0)
    >>> router = KMeansRouter(n_clusters=4, n_validation=50, random_state=0)
    >>> router.fit(data.X, data.y[:, :4], costs=data.costs[:4]).models_
    array([0, 1, 2, 3])

    Run the fifth model on the validation prompts, and add it:

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
        representation: str = "posterior",
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
        self.representation = representation
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
        check_nonnegative(self.temperature, "temperature")

    def _fit_map(
        self,
        X: np.ndarray,
        errors: np.ndarray,
        representation: np.ndarray,
        weights: np.ndarray | None,
    ) -> None:
        self.temperature_ = float(self.temperature * self._mean_squared_distance)

    def _phi(self) -> Phi:
        if self.temperature_ == 0:
            return NearestCluster(self.cluster_centers_)
        return ClusterShares(self.cluster_centers_, self.temperature_)
