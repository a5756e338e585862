"""Routing by K-means clusters of prompts."""

from typing import Any

import numpy as np

from sklearn_uniroute._numerics._features import ClusterShares, NearestCluster, Phi
from sklearn_uniroute.routers._few_shot import FewShotRouter
from sklearn_uniroute.utils._typing import Label, RandomState
from sklearn_uniroute.utils._validation import check_nonnegative


class KMeansRouter(FewShotRouter):
    """Route by the errors of models on clusters of prompts.

    The training prompts are clustered. A model is represented by its errors in the clusters, the
    error on a prompt is estimated by those of the clusters that it lies in or near, and the prompt
    goes to the model of least error plus weighted cost. A new model needs its errors on the
    validation prompts, and nothing is trained again.

    Parameters
    ----------
    n_clusters : int, default=8
        Number of clusters of prompts, K. Not used when a `clusterer` is given.
    representation : {"posterior", "mean"}, default="posterior"
        How a model's errors make its representation. "mean" takes the mean error in each cluster
        [1]_, and the model's overall error where a cluster has no observation. "posterior" takes
        the training models' errors as a prior and updates it by the model's own, which needs far
        fewer validation prompts, makes the number of clusters matter little, and gives standard
        errors; see :doc:`/few_shot`.
    temperature : float, default=0.1
        How far a prompt near several clusters is estimated from all of them: it belongs to each
        in proportion to ``exp(-d ** 2 / (temperature * s))``, where d is the distance to its
        centre, and s the mean squared distance of the training prompts to their centres. 0
        estimates each prompt from its nearest cluster alone [1]_.
    cost_model : {"mean", "cluster"}, default="mean"
        What a model is taken to cost on a prompt: its mean cost, or its mean cost in the prompt's
        clusters. "cluster" needs the cost of each call, see :doc:`/costs`.
    fallback : str or int, default=None
        The model to choose for prompts unlike those of training, whatever it costs: its name, or
        "dearest" for the model of highest mean cost in the pool. By default such prompts are
        routed as all others are; see :doc:`/shift`.
    alpha : float, default=0.01
        The share of the training prompts that lie so far from all centres that they count as
        such. Not used without `fallback`.
    cost_weight : float, default=0.0
        Error that a unit of cost is worth, lambda of the paper, in the unit of the costs.
    budget : float, default=None
        Mean cost per prompt to keep to, in the unit of the costs, instead of a `cost_weight`.
    n_validation : int, default=400
        How many of the training prompts at most serve as validation prompts when `fit` gets no
        `X_val`; None takes all.
    validation : {"greedy", "random"}, default="greedy"
        How they are chosen: "greedy" takes those that tell most of a model, the most telling
        first, see :func:`select_validation_prompts`; "random" draws them evenly.
    clusterer : estimator, default=None
        A clusterer that has `cluster_centers_` once fitted, to use instead of
        ``KMeans(n_clusters)``. It is cloned and fitted as it is, with its own number of clusters
        and random state.
    random_state : int, RandomState instance or None, default=None
        Seeds K-means and the choice of validation prompts.

    Attributes
    ----------
    cluster_centers_ : ndarray of shape (n_clusters, n_features)
        Centres of the clusters.
    mean_squared_distance_ : float
        Of the training prompts to the centres of their clusters.
    distance_quantiles_ : ndarray of shape (1001,)
        Quantiles, in steps of a thousandth, of the distances of the training prompts to their
        centres.
    cluster_sizes_ : ndarray of shape (n_clusters,)
        Number of training prompts in each cluster.
    temperature_ : float
        The temperature in units of squared distance.
    models_ : ndarray of shape (n_models,)
        Names of the models: training models, then added ones.
    costs_ : ndarray of shape (n_models,) or None
        Their mean costs.
    cost_representation_ : ndarray of shape (n_models, n_clusters) or None
        Their costs in each cluster, if `cost_model` is "cluster".
    cost_sums_, cost_counts_ : ndarray of shape (n_training_models, n_clusters) or None
        Sums and numbers of the training models' costs of calls in each cluster.
    fallback_ : str, int or None
        `fallback`, as it was when the router was fitted.
    fallback_distance_ : float or None
        Prompts farther than this from all centres go to it.
    calibration_far_ : ndarray of shape (n_calibration_prompts,) or None
        Which of the prompts that budgets are kept on do.
    representation_ : ndarray of shape (n_models, n_clusters)
        Per-cluster errors, Psi.
    representation_std_ : ndarray of shape (n_models, n_clusters) or None
        Their standard errors, of the posterior representation.
    cluster_shares_ : ndarray of shape (n_clusters,)
        Share of each cluster in the training prompts.
    prior_mean_ : ndarray of shape (n_clusters,)
        Per-cluster errors expected of a model that was not run yet.
    prior_covariance_ : ndarray of shape (n_clusters, n_clusters)
        Their covariance over models.
    noise_ : ndarray of shape (n_clusters,)
        Variance of a single error of a model, by cluster.
    selection_seed_ : int
        Seeds the order of prompts within clusters when prompts are chosen.
    error_sums_, error_counts_ : ndarray of shape (n_models, n_clusters)
        Sums and numbers of the errors observed in each cluster.
    information_ : list of ndarray of shape (n_clusters, n_clusters), or None
        For each model, what its errors tell, of the posterior representation: the sum over its
        prompts of ``phi phi' / variance``.
    moments_ : ndarray of shape (n_models, n_clusters) or None
        For each model, the sum of ``phi error / variance``.
    calibration_features_ : ndarray of shape (n_calibration_prompts, n_clusters) or (n_clusters,)
        Responsibilities of the training prompts, of 10,000 drawn at random if there are more, on
        which budgets are kept; where each prompt belongs to one cluster, the clusters.
    calibration_weights_ : ndarray of shape (n_calibration_prompts,) or (n_clusters,)
        Their shares of the traffic.
    X_val_ : ndarray of shape (n_validation_prompts, n_features)
        The validation prompts.
    validation_indices_ : ndarray of shape (n_validation_prompts,) or None
        Their rows in the training prompts: run a new model on these. None where `fit` got `X_val`.
    validation_weights_ : ndarray of shape (n_validation_prompts,)
        What each of them counts in an average over the traffic: 1 where they were drawn evenly or
        passed, else its cluster's share of the training prompts over that of the picks.
    mixing_seed_ : int
        Seeds which prompts go beyond a budget that is to be spent in full.
    n_features_in_ : int
        Number of features.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features, where `X` had names of strings only.

    See Also
    --------
    KNeighborsRouter : Estimates errors from the nearest prompts.
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

    def __init__(
        self,
        n_clusters: int = 8,
        *,
        representation: str = "posterior",
        temperature: float = 0.1,
        cost_model: str = "mean",
        fallback: Label | None = None,
        alpha: float = 0.01,
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
        self.alpha = alpha
        self.cost_weight = cost_weight
        self.budget = budget
        self.n_validation = n_validation
        self.validation = validation
        self.clusterer = clusterer
        self.random_state = random_state

    def _check_params(self) -> None:
        super()._check_params()
        check_nonnegative(self.temperature, "temperature")

    def _fit_map(self, X: np.ndarray, errors: np.ndarray, representation: np.ndarray) -> None:
        self.temperature_ = float(self.temperature * self.mean_squared_distance_)

    def _phi(self) -> Phi:
        if self.temperature_ == 0:
            return NearestCluster(self.cluster_centers_)
        return ClusterShares(self.cluster_centers_, self.temperature_)
