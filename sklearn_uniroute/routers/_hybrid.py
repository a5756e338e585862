"""Routing by clusters of prompts and, where a model is known well, by the prompt itself."""

from typing import Any

import numpy as np
from sklearn.decomposition import PCA

from sklearn_uniroute._numerics._features import Phi, SharesAndComponents
from sklearn_uniroute._numerics._posterior import Prior, refine_prior
from sklearn_uniroute.routers._few_shot import check_trainable
from sklearn_uniroute.routers._kmeans import KMeansRouter
from sklearn_uniroute.utils._typing import Label, RandomState
from sklearn_uniroute.utils._validation import check_count

# How much errors of a model vary within clusters by what is linear in the embedding, before any
# label: the variance at an average prompt, in units of the noise.
_LINEAR_VARIANCE = 0.002


class HybridRouter(KMeansRouter):
    """Route by errors on clusters and by what is linear in the embedding, as far as it is known.

    What a model gets wrong is its errors in the clusters, as a :class:`KMeansRouter` estimates
    them, plus a linear function of the prompt's embedding, as a static router has it. Both are
    learned together from the model's own errors, by one regression with a prior. Thousands of
    labels, as of the training models, settle both. Of the few errors of an added model most goes to
    the clusters, and its linear part is what models like it have. So well-known and hardly known
    models are estimated on one scale, and share a pool; see :doc:`/hybrid`.

    Parameters
    ----------
    n_clusters : int, default=8
        Number of clusters of prompts, K. Not used when a `clusterer` is given.
    n_components : int, default=64
        The linear part looks at so many principal components of the training prompts at most. What
        a model needs in memory, and the time to add one, grow with its square and cube.
    temperature : float, default=0.1
        How far a prompt near several clusters is estimated from all of them, see
        :class:`KMeansRouter`.
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
        How they are chosen: "greedy" takes those that tell most of a model's errors in the
        clusters, see :func:`select_validation_prompts`; "random" draws them evenly.
    clusterer : estimator, default=None
        A clusterer that has `cluster_centers_` once fitted, to use instead of
        ``KMeans(n_clusters)``.
    random_state : int, RandomState instance or None, default=None
        Seeds K-means, principal components and the choice of validation prompts.

    Attributes
    ----------
    center_ : ndarray of shape (n_features,)
        The mean training prompt.
    components_ : ndarray of shape (n_components, n_features)
        The principal components that the linear part looks at, in such a scale that the mean
        squared length of what they make of training prompts is 1.
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
    representation_ : ndarray of shape (n_models, n_clusters + n_components)
        Per-cluster errors, then the coefficients of the components.
    representation_std_ : ndarray of shape (n_models, n_clusters + n_components)
        Their standard errors.
    prior_mean_, prior_covariance_ : ndarray
        What is expected of a model that was not run yet.
    noise_ : ndarray of shape (n_clusters + n_components,)
        Variance of a single error of a model, by cluster; 0 for the components, which tell nothing
        of it.
    cluster_shares_ : ndarray of shape (n_clusters,)
        Share of each cluster in the training prompts.
    selection_seed_ : int
        Seeds the order of prompts within clusters when prompts are chosen.
    error_sums_, error_counts_, information_, moments_
        What the models' errors sum up to, see :class:`KMeansRouter`.
    calibration_features_, calibration_weights_ : ndarray
        Features of the training prompts on which budgets are kept, and their weights.
    X_val_ : ndarray of shape (n_validation_prompts, n_features)
        The validation prompts.
    validation_indices_ : ndarray of shape (n_validation_prompts,) or None
        Their rows in the training prompts: run a new model on these. None where `fit` got `X_val`.
    validation_weights_ : ndarray of shape (n_validation_prompts,)
        What each of them counts in an average over the traffic.
    mixing_seed_ : int
        Seeds which prompts go beyond a budget that is to be spent in full.
    n_features_in_ : int
        Number of features.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features, where `X` had names of strings only.

    See Also
    --------
    KMeansRouter : Clusters alone.
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

    representation = "posterior"

    def __init__(
        self,
        n_clusters: int = 8,
        *,
        n_components: int = 64,
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
        self.n_components = n_components
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
        check_count(self.n_components, "n_components")

    def _fit_map(self, X: np.ndarray, errors: np.ndarray, representation: np.ndarray) -> None:
        super()._fit_map(X, errors, representation)
        check_trainable(X)
        n_components = min(self.n_components, *X.shape)
        # Prompts that are all alike have no ratio of explained variance.
        with np.errstate(invalid="ignore"):
            pca = PCA(n_components, random_state=self.selection_seed_).fit(X)
        length = np.sqrt(pca.explained_variance_.sum())
        self.center_ = pca.mean_
        self.components_ = pca.components_ / (length if length > 0 else 1.0)

    def _extended_prior(self, prior: Prior) -> Prior:
        n_components = len(self.components_)
        variance = _LINEAR_VARIANCE * (prior.noise @ self.cluster_shares_)
        return _joined(prior, np.zeros(n_components), variance * np.eye(n_components))

    def _refined_prior(
        self, prior: Prior, posteriors: list[tuple[np.ndarray, np.ndarray]]
    ) -> Prior:
        clusters, linear = slice(self._n_clusters), slice(self._n_clusters, None)
        refined = refine_prior(
            prior._replace(noise=prior.noise[clusters]),
            [(mean[clusters], covariance[clusters, clusters]) for mean, covariance in posteriors],
            self.cluster_shares_,
        )
        coefficients = np.array([mean[linear] for mean, _ in posteriors])
        mean = coefficients.mean(axis=0)
        deviation = coefficients - mean
        # A step of EM, in which the prior so far counts as one more model.
        total = prior.covariance[linear, linear] + deviation.T @ deviation
        total += sum(covariance[linear, linear] for _, covariance in posteriors)
        return _joined(refined, mean, total / (len(posteriors) + 1))

    def _phi(self) -> Phi:
        return SharesAndComponents(
            self.cluster_centers_, self.temperature_, self.center_, self.components_
        )


def _joined(prior: Prior, mean: np.ndarray, covariance: np.ndarray) -> Prior:
    """Prior of errors in clusters and of independent coefficients without noise of their own."""
    n_clusters = len(prior.mean)
    joined = np.zeros((n_clusters + len(mean), n_clusters + len(mean)))
    joined[:n_clusters, :n_clusters] = prior.covariance
    joined[n_clusters:, n_clusters:] = covariance
    return Prior(np.append(prior.mean, mean), joined, np.append(prior.noise, np.zeros(len(mean))))
