"""Routing by clusters of prompts, with a map from prompts to clusters learned from the labels."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from sklearn.preprocessing import StandardScaler
from sklearn.utils import gen_batches

from sklearn_uniroute._numerics._features import NetworkShares, Phi
from sklearn_uniroute.routers._few_shot import FewShotRouter, check_trainable
from sklearn_uniroute.utils._optional import import_training
from sklearn_uniroute.utils._typing import Label, RandomState
from sklearn_uniroute.utils._validation import (
    check_choice,
    check_count,
    check_positive,
    check_share,
    check_sizes,
    check_spread,
    listing,
)

# As the default of KMeansRouter.
_TEMPERATURE = 0.1
# Rows of one block while features are averaged.
_BLOCK_ROWS = 8192
_NET_PARAMS = {"max_epochs": 2, "lr": 0.005, "batch_size": 64, "device": "auto", "verbose": 0}


class LearnedMapRouter(FewShotRouter):
    """Route by the errors of models on clusters, with a network that assigns prompts to clusters.

    K-means finds the clusters, as for a :class:`KMeansRouter`. A small network then learns how each
    prompt belongs to them, such that the errors of the training models in the clusters, weighted
    accordingly, predict their errors on the training prompts. A new model is added from its errors
    on the validation prompts; nothing is retrained.

    Training needs torch and skorch (``pip install "sklearn_uniroute[torch]"``). The fitted router
    holds arrays alone and predicts without them.

    Parameters
    ----------
    n_clusters : int or "auto", default="auto"
        Number of clusters of prompts, K. "auto" takes 24 clusters, or one for each 10 training
        prompts if there are fewer than 240. Ignored if `clusterer` is given.
    hidden_layer_sizes : tuple of int, default=(128, 128)
        Sizes of the hidden layers, each with batch normalisation and ReLU. With ``()``, the map is
        linear before its softmax [1]_.
    cluster_weight : float, default=0.5
        Weight of K-means in the responsibilities, which are the average of those of the network and
        of K-means. 0 takes the network alone, as in the paper; it overfits if there
        are few training models or prompts.
    loss : {"auto", "log_loss", "squared_error"}, default="auto"
        Training loss. "auto" takes the log loss if the qualities lie between 0 and 1 and spread
        about as much as right and wrong answers do, and the squared error otherwise.
    representation : {"posterior", "mean"}, default="posterior"
        Representation of a model, see :class:`KMeansRouter`. For "posterior", an observed error
        counts by the responsibilities of its prompt; for "mean", by the nearest cluster.
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
    net_params : dict, default=None
        Parameters of `skorch.NeuralNet` that train the network. The router sets the defaults
        ``max_epochs=2``, ``lr=0.005``, ``batch_size=64``, ``optimizer=torch.optim.Adam``,
        ``verbose=0`` and ``device="auto"``, which takes a GPU if there is one. The paper trains for
        5 epochs; later epochs mostly overfit. `callbacks` are cloned and saved with the router,
        which then needs skorch to be loaded. For early stopping, also set `train_split`, or monitor
        ``"train_loss"``.
    warm_start : bool, default=False
        Whether a further call of `fit` keeps the clusters, including those of a `clusterer`, and
        continues from the weights of the last call.
    random_state : int, RandomState instance or None, default=None
        Seed for K-means, the training and the choice of validation prompts.

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
    coefs_ : list of ndarray of shape (n_inputs, n_outputs)
        Weights of the layers, with scaling and batch normalisation multiplied in.
    intercepts_ : list of ndarray of shape (n_outputs,)
        Offsets of the layers.
    loss_curve_ : list of float
        Training loss of each epoch, averaged over its batches.
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
        Temperature of the responsibilities by K-means, in units of squared distance.
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
    KMeansRouter : Trains no network.

    References
    ----------
    .. [1] "Universal Model Routing for Efficient LLM Inference", arXiv 2502.08773, sections 5.2
       and F.3.

    Examples
    --------
    >>> from sklearn_uniroute import LearnedMapRouter
    >>> from sklearn_uniroute.datasets import make_routing_data
    >>> data = make_routing_data(n_prompts=500, n_models=5, random_state=0)
    >>> router = LearnedMapRouter(n_clusters=6, n_validation=50, random_state=0)
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
        hidden_layer_sizes: Sequence[int] = (128, 128),
        cluster_weight: float = 0.5,
        loss: str = "auto",
        representation: str = "posterior",
        cost_model: str = "mean",
        fallback: Label | None = None,
        far_share: float = 0.01,
        cost_weight: float = 0.0,
        budget: float | None = None,
        n_validation: int | None = 400,
        validation: str = "greedy",
        clusterer: Any = None,
        net_params: Mapping[str, Any] | None = None,
        warm_start: bool = False,
        random_state: RandomState = None,
    ) -> None:
        self.n_clusters = n_clusters
        self.hidden_layer_sizes = hidden_layer_sizes
        self.cluster_weight = cluster_weight
        self.loss = loss
        self.representation = representation
        self.cost_model = cost_model
        self.fallback = fallback
        self.far_share = far_share
        self.cost_weight = cost_weight
        self.budget = budget
        self.n_validation = n_validation
        self.validation = validation
        self.clusterer = clusterer
        self.net_params = net_params
        self.warm_start = warm_start
        self.random_state = random_state

    def _check_params(self) -> None:
        super()._check_params()
        check_sizes(self.hidden_layer_sizes, "hidden_layer_sizes")
        check_share(self.cluster_weight, "cluster_weight")
        check_net_params(self.net_params)
        check_choice(self.loss, "loss", ("auto", "log_loss", "squared_error"))
        import_training()

    def _fit_clusters(
        self, X: np.ndarray, rng: np.random.RandomState, weights: np.ndarray | None
    ) -> None:
        if self.warm_start and hasattr(self, "_map_state"):
            check_map_shape(self.cluster_centers_, X, self.n_clusters, self.clusterer)
            return
        super()._fit_clusters(X, rng, weights)

    def _fit_map(
        self,
        X: np.ndarray,
        errors: np.ndarray,
        representation: np.ndarray,
        weights: np.ndarray | None,
    ) -> None:
        from sklearn_uniroute.routers._torch import check_loss, train_map

        check_trainable(X)
        check_spread(X)
        state = getattr(self, "_map_state", None) if self.warm_start else None
        if state is None:
            scaler = StandardScaler()
            for rows in gen_batches(len(X), _BLOCK_ROWS):
                scaler.partial_fit(
                    X[rows], sample_weight=None if weights is None else weights[rows]
                )
            self._map_means, self._map_scales = scaler.mean_, scaler.scale_
        self.coefs_, self.intercepts_, self._map_state, self.loss_curve_ = train_map(
            X,
            errors.astype(np.float32, copy=False),
            representation.astype(np.float32),
            weights,
            means=self._map_means,
            scales=self._map_scales,
            squared=check_loss(self.loss, errors, weights) == "squared_error",
            hidden_layer_sizes=tuple(self.hidden_layer_sizes),
            net_params=_NET_PARAMS | dict(self.net_params or {}),
            seed=self._selection_seed,
            state=state,
        )
        self.temperature_ = float(_TEMPERATURE * self._mean_squared_distance)
        self._cluster_weight = float(self.cluster_weight)

    def _phi(self) -> Phi:
        return NetworkShares(
            self._map_means,
            self.coefs_,
            self.intercepts_,
            self._cluster_weight,
            self.cluster_centers_,
            self.temperature_,
        )


def check_map_shape(
    centers: np.ndarray, X: np.ndarray, n_clusters: int | str, clusterer: Any
) -> None:
    """Refuse to continue from a map of other features or clusters."""
    if centers.shape[1] != X.shape[1]:
        raise ValueError(
            f"`warm_start` continues from a map of {centers.shape[1]} features, but X has "
            f"{X.shape[1]}; set warm_start=False to start again."
        )
    if clusterer is None and n_clusters not in ("auto", len(centers)):
        raise ValueError(
            f"`warm_start` continues from a map of {len(centers)} clusters, but `n_clusters` is "
            f"{n_clusters}; set warm_start=False to start again."
        )


def check_net_params(value: Any) -> None:
    """Check parameters that are passed on to skorch, some of which belong to the router."""
    if value is None:
        return
    if not isinstance(value, Mapping) or not all(isinstance(name, str) for name in value):
        raise TypeError(f"`net_params` must be a mapping from names to values; got {value!r}.")
    own = ("module", "criterion")
    taken = [name for name in value if name in own or name.startswith(("module__", "criterion__"))]
    if taken:
        raise ValueError(
            f"`net_params` cannot set {listing(taken)}; use the parameters `hidden_layer_sizes` "
            "and `loss` of the router."
        )
    if "max_epochs" in value:
        check_count(value["max_epochs"], "net_params['max_epochs']")
    if "lr" in value:
        check_positive(value["lr"], "net_params['lr']")
    if "batch_size" in value:
        # Batch normalisation cannot train on one prompt.
        check_count(value["batch_size"], "net_params['batch_size']", least=2)
