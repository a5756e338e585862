"""Routing by clusters of prompts, with a map from prompts to clusters learned from the labels."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from sklearn.preprocessing import StandardScaler
from sklearn.utils import gen_batches

from sklearn_uniroute._numerics._features import NetworkShares, Phi
from sklearn_uniroute.routers._few_shot import FewShotRouter, check_trainable
from sklearn_uniroute.routers._torch import check_loss
from sklearn_uniroute.utils._optional import import_training
from sklearn_uniroute.utils._typing import Label, RandomState
from sklearn_uniroute.utils._validation import (
    check_choice,
    check_count,
    check_positive,
    check_share,
    check_sizes,
    listing,
)

# As the default of KMeansRouter.
_TEMPERATURE = 0.1
# Rows of one block while features are averaged.
_BLOCK_ROWS = 8192


class LearnedMapRouter(FewShotRouter):
    """Route by the errors of models on clusters, which a network assigns prompts to.

    K-means finds clusters as for :class:`KMeansRouter`. A small network then learns how each prompt
    belongs to them, such that the training models' errors in the clusters, so weighted, predict
    their errors on the training prompts. New models are added as to any router, and nothing is
    trained again.

    Training needs torch and skorch (``pip install "sklearn_uniroute[torch]"``). The fitted router
    holds arrays alone and predicts without them.

    Parameters
    ----------
    n_clusters : int, default=8
        Number of clusters of prompts, K. Not used when a `clusterer` is given.
    hidden_layer_sizes : tuple of int, default=(128, 128)
        Sizes of the hidden layers, each with batch normalisation and ReLU. With none, ``()``, the
        map is linear before its softmax [1]_.
    cluster_weight : float, default=0.5
        Weight of plain K-means in how prompts belong to clusters: the responsibilities are the
        network's and those of a `KMeansRouter`, averaged by this weight. 0 is the network alone, as
        in the paper; it overfits where training models or prompts are few.
    max_epochs : int, default=2
        Number of passes over the training prompts. The paper takes 5; later ones mostly overfit.
    learning_rate : float, default=0.005
        Learning rate of Adam.
    batch_size : int, default=64
        Prompts in a step of Adam.
    loss : {"auto", "log_loss", "squared_error"}, default="auto"
        What to minimise. "auto" takes the log loss where all qualities lie between 0 and 1, and
        the squared error otherwise.
    device : str, default="auto"
        Where to train, such as "cpu" or "cuda". "auto" takes the GPU if there is one. Batches are
        moved there one by one.
    representation : {"posterior", "mean"}, default="posterior"
        How a model's errors make its representation, see :class:`KMeansRouter`. For "posterior"
        an observed error counts by the responsibilities of its prompt, for "mean" for the nearest
        cluster.
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
        How they are chosen, see :class:`KMeansRouter`.
    clusterer : estimator, default=None
        A clusterer that has `cluster_centers_` once fitted, to use instead of
        ``KMeans(n_clusters)``.
    callbacks : list, default=None
        Callbacks of skorch, such as a progress bar. They are cloned. For early stopping, give
        ``train_split`` in `net_params`, or let it monitor ``"train_loss"``.
    net_params : dict, default=None
        Further parameters of :class:`skorch.NeuralNet`, such as ``train_split`` or ``optimizer``.
        Like callbacks, they are saved with the router, which then needs skorch to be loaded.
    warm_start : bool, default=False
        Whether a further `fit` keeps the clusters, also those of a `clusterer`, and goes on from
        the weights of the last one.
    verbose : int, default=0
        1 prints a line an epoch.
    random_state : int, RandomState instance or None, default=None
        Seeds K-means, the training and the choice of validation prompts.

    Attributes
    ----------
    map_means_, map_scales_ : ndarray of shape (n_features,)
        Means and standard deviations of the features, from which the network starts.
    coefs_, intercepts_ : list of ndarray
        Weights of the network's layers, of shape (n_inputs, n_outputs), and their offsets, for
        features less their means; scales and batch normalisation are multiplied in.
    loss_curve_ : list of float
        Training loss of each epoch, averaged over its batches.
    cluster_weight_ : float
        The cluster weight as fitted.
    map_state_ : dict of str to ndarray
        All weights as trained, from which a warm start goes on.
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
        Temperature of the K-means responsibilities, in units of squared distance.
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
    prior_mean_, prior_covariance_, noise_ : ndarray
        What is expected of a model that was not run yet, see :class:`KMeansRouter`.
    selection_seed_ : int
        Seeds the order of prompts within clusters when prompts are chosen.
    error_sums_, error_counts_, information_, moments_
        What the models' errors sum up to, see :class:`KMeansRouter`.
    calibration_features_, calibration_weights_ : ndarray
        Responsibilities of the training prompts on which budgets are kept, and their weights.
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

    def __init__(
        self,
        n_clusters: int = 8,
        *,
        hidden_layer_sizes: Sequence[int] = (128, 128),
        cluster_weight: float = 0.5,
        max_epochs: int = 2,
        learning_rate: float = 0.005,
        batch_size: int = 64,
        loss: str = "auto",
        device: str = "auto",
        representation: str = "posterior",
        cost_model: str = "mean",
        fallback: Label | None = None,
        alpha: float = 0.01,
        cost_weight: float = 0.0,
        budget: float | None = None,
        n_validation: int | None = 400,
        validation: str = "greedy",
        clusterer: Any = None,
        callbacks: Any = None,
        net_params: Mapping[str, Any] | None = None,
        warm_start: bool = False,
        verbose: int = 0,
        random_state: RandomState = None,
    ) -> None:
        self.n_clusters = n_clusters
        self.hidden_layer_sizes = hidden_layer_sizes
        self.cluster_weight = cluster_weight
        self.max_epochs = max_epochs
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.loss = loss
        self.device = device
        self.representation = representation
        self.cost_model = cost_model
        self.fallback = fallback
        self.alpha = alpha
        self.cost_weight = cost_weight
        self.budget = budget
        self.n_validation = n_validation
        self.validation = validation
        self.clusterer = clusterer
        self.callbacks = callbacks
        self.net_params = net_params
        self.warm_start = warm_start
        self.verbose = verbose
        self.random_state = random_state

    def _check_params(self) -> None:
        super()._check_params()
        check_sizes(self.hidden_layer_sizes, "hidden_layer_sizes")
        check_share(self.cluster_weight, "cluster_weight")
        check_count(self.max_epochs, "max_epochs")
        check_positive(self.learning_rate, "learning_rate")
        check_count(self.batch_size, "batch_size", least=2)
        check_net_params(self.net_params)
        check_choice(self.loss, "loss", ("auto", "log_loss", "squared_error"))
        import_training()

    def _fit_clusters(self, X: np.ndarray, rng: np.random.RandomState) -> None:
        if self.warm_start and hasattr(self, "map_state_"):
            check_map_shape(self.cluster_centers_, X, self.n_clusters, self.clusterer)
            return
        super()._fit_clusters(X, rng)

    def _fit_map(self, X: np.ndarray, errors: np.ndarray, representation: np.ndarray) -> None:
        from sklearn_uniroute.routers._torch import train_map

        check_trainable(X)
        squared = check_loss(self.loss, errors) == "squared_error"
        state = getattr(self, "map_state_", None) if self.warm_start else None
        if state is None:
            scaler = StandardScaler()
            for rows in gen_batches(len(X), _BLOCK_ROWS):
                scaler.partial_fit(X[rows])
            self.map_means_, self.map_scales_ = scaler.mean_, scaler.scale_
        self.coefs_, self.intercepts_, self.map_state_, self.loss_curve_ = train_map(
            X,
            errors.astype(np.float32, copy=False),
            representation.astype(np.float32),
            means=self.map_means_,
            scales=self.map_scales_,
            squared=squared,
            hidden_layer_sizes=tuple(self.hidden_layer_sizes),
            max_epochs=self.max_epochs,
            learning_rate=self.learning_rate,
            batch_size=self.batch_size,
            device=self.device,
            seed=self.selection_seed_,
            verbose=self.verbose,
            callbacks=self.callbacks,
            net_params=self.net_params,
            state=state,
        )
        self.temperature_ = float(_TEMPERATURE * self.mean_squared_distance_)
        self.cluster_weight_ = float(self.cluster_weight)

    def _phi(self) -> Phi:
        return NetworkShares(
            self.map_means_,
            self.coefs_,
            self.intercepts_,
            self.cluster_weight_,
            self.cluster_centers_,
            self.temperature_,
        )


def check_map_shape(centers: np.ndarray, X: np.ndarray, n_clusters: int, clusterer: Any) -> None:
    """Refuse to go on from a map of other features or clusters."""
    if centers.shape[1] != X.shape[1]:
        raise ValueError(
            f"`warm_start` goes on from a map of {centers.shape[1]} features, but X has "
            f"{X.shape[1]}; set warm_start=False to fit anew."
        )
    if clusterer is None and n_clusters != len(centers):
        raise ValueError(
            f"`warm_start` goes on from a map of {len(centers)} clusters, but `n_clusters` is "
            f"{n_clusters}; set warm_start=False to fit anew."
        )


def check_net_params(value: Any) -> None:
    """Check parameters that are passed on to skorch, of which some are the router's own."""
    if value is None:
        return
    if not isinstance(value, Mapping):
        raise TypeError(f"`net_params` must be a mapping from names to values; got {value!r}.")
    own = ("module", "criterion", "device", "callbacks", "verbose", "lr", "max_epochs")
    taken = [name for name in value if name in own or name.startswith(("module__", "criterion__"))]
    if taken:
        raise ValueError(
            f"`net_params` cannot set {listing(taken)}; the router has parameters of its own for "
            "the network, its loss, device, callbacks, verbosity, learning rate and epochs."
        )
