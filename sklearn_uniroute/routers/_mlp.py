"""Routing by a neural network with one output per model."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from scipy.special import expit
from sklearn.preprocessing import StandardScaler

from sklearn_uniroute._numerics._predictors import NetworkOutputs, NetworkPredictor, row_uniform
from sklearn_uniroute._numerics._ridge import contrasts
from sklearn_uniroute.routers._base import BaseRouter
from sklearn_uniroute.utils._optional import import_training
from sklearn_uniroute.utils._typing import RandomState
from sklearn_uniroute.utils._validation import (
    check_choice,
    check_count,
    check_positive,
    check_sizes,
    check_spread,
)

# Share of the prompts that scores the epochs.
_HELD_OUT = 0.1


class MLPRouter(BaseRouter):
    """Route by the outputs of a small neural network, one per model.

    A static router. The training models share one network. An added model gets a network of its
    own, trained on its validation prompts alone, so that the estimates of the other models do not
    change. It overfits on a few hundred prompts; a :class:`KMeansRouter` takes in new models
    better. Fitted on all models with thousands of prompts, it is a strong baseline.

    Training, also by `add_model` and `update_model`, needs torch and skorch
    (``pip install "sklearn_uniroute[torch]"``). The fitted router holds arrays alone and predicts
    without them.

    Parameters
    ----------
    hidden_layer_sizes : tuple of int, default=(100, 100)
        Sizes of the hidden layers, each with ReLU.
    max_epochs : int, default=10
        Maximum number of passes over the prompts. The weights of the best epoch are kept, or those
        before the first, which predict the mean error of each model. A held-out tenth of the
        prompts decides, by the squared error of the differences between the models' errors. With
        fewer than 10 prompts, the last weights are kept.
    learning_rate : float, default=0.001
        Learning rate of Adam.
    batch_size : int, default=64
        Number of prompts per step of Adam.
    loss : {"auto", "log_loss", "squared_error"}, default="auto"
        Training loss. "auto" takes the log loss if the qualities lie between 0 and 1 and spread
        about as much as right and wrong answers do, and the squared error otherwise.
    device : str, default="auto"
        Device to train on, such as "cpu" or "cuda". "auto" takes a GPU if there is one.
    cost_weight : float, default=0.0
        Error that one unit of cost is worth, lambda of the paper, in error per unit of cost.
    budget : float, default=None
        Mean cost per prompt to keep to instead of a `cost_weight`, in the unit of the costs.
    n_validation : int, default=400
        Maximum number of training prompts that serve as validation prompts if `fit` is not given
        `X_val`. None takes all training prompts.
    verbose : int, default=0
        1 prints a line per epoch.
    random_state : int, RandomState instance or None, default=None
        Seed for the training and the choice of validation prompts.

    Attributes
    ----------
    models_ : ndarray of shape (n_models,)
        Names of the models: training models, then added models.
    costs_ : ndarray of shape (n_models,) or None
        Mean cost of each model per prompt.
    representation_ : ndarray of shape (n_models, 1 + n_last_hidden)
        Offset of the output of each model, then its weights of the last hidden layer.
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
    LinearRouter : Linear, in closed form.
    HybridRouter : Takes in new models from few prompts.

    References
    ----------
    "Universal Model Routing for Efficient LLM Inference", arXiv 2502.08773, appendix G.2.

    Examples
    --------
    >>> from sklearn_uniroute import MLPRouter
    >>> from sklearn_uniroute.datasets import make_routing_data
    >>> data = make_routing_data(n_prompts=500, n_models=5, random_state=0)
    >>> router = MLPRouter(max_epochs=2, random_state=0)
    >>> router.fit(data.X[:300], data.y[:300], costs=data.costs)
    MLPRouter(max_epochs=2, random_state=0)
    >>> router.predict_error(data.X[300:], pool=[0, 4]).shape
    (200, 2)
    """

    __module__ = "sklearn_uniroute"

    representation_: np.ndarray
    # The evidence holds lists with an entry for each model: `networks`, the hidden layers (dicts of
    # `coefs`, `intercepts` and `squared`), one and the same for the training models; `prompts` and
    # `errors`, on which the network is trained again once there are more.

    def __init__(
        self,
        hidden_layer_sizes: Sequence[int] = (100, 100),
        *,
        max_epochs: int = 10,
        learning_rate: float = 0.001,
        batch_size: int = 64,
        loss: str = "auto",
        device: str = "auto",
        cost_weight: float = 0.0,
        budget: float | None = None,
        n_validation: int | None = 400,
        verbose: int = 0,
        random_state: RandomState = None,
    ) -> None:
        self.hidden_layer_sizes = hidden_layer_sizes
        self.max_epochs = max_epochs
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.loss = loss
        self.device = device
        self.cost_weight = cost_weight
        self.budget = budget
        self.n_validation = n_validation
        self.verbose = verbose
        self.random_state = random_state

    def _check_params(self) -> None:
        super()._check_params()
        check_sizes(self.hidden_layer_sizes, "hidden_layer_sizes")
        check_count(self.max_epochs, "max_epochs")
        check_positive(self.learning_rate, "learning_rate")
        check_count(self.batch_size, "batch_size")
        check_choice(self.loss, "loss", ("auto", "log_loss", "squared_error"))
        import_training()

    def _fit_features(
        self,
        X: np.ndarray,
        errors: np.ndarray,
        rng: np.random.RandomState,
        sample_weight: np.ndarray | None = None,
    ) -> None:
        check_spread(X)
        scaler = StandardScaler().fit(X, sample_weight=sample_weight)
        self._input_means, self._input_scales = scaler.mean_, scaler.scale_
        # By what was fitted: the parameter may be set anew before a model is added.
        self._layer_sizes = tuple(self.hidden_layer_sizes)
        self._training_seed = int(rng.randint(2**31))

    def _fit_evidence(
        self, X: np.ndarray, errors: np.ndarray, weights: np.ndarray | None = None
    ) -> None:
        n_models = errors.shape[1]
        order = np.random.RandomState(self._training_seed).permutation(len(X))
        # Prompts on which no model was run teach nothing.
        order = order[~np.isnan(errors[order]).all(axis=1)]
        taken = None if weights is None else weights[order]
        network, self.representation_ = self._train(X[order], errors[order], taken)
        self._evidence = {
            "networks": [network] * n_models,
            # A copy, because the caller's array may change.
            "prompts": [X.copy()] * n_models,
            "errors": list(errors.T.copy()),
        }
        if weights is not None:
            self._evidence["weights"] = [weights] * n_models

    def _model_rows(
        self, val_errors: np.ndarray, X_val: np.ndarray | None, position: int | None
    ) -> dict[str, Any]:
        rows = self._joined_errors(val_errors, X_val, position)
        prompts, val_errors = rows["prompts"], rows["errors"]
        observed = np.flatnonzero(~np.isnan(val_errors))
        # The training does not depend on the order in which errors were reported.
        order = np.lexsort(
            (val_errors[observed], row_uniform(prompts[observed], self._training_seed))
        )
        order = observed[order]
        weights = rows["weights"][order] if "weights" in rows else None
        network, representation = self._train(prompts[order], val_errors[order, None], weights)
        return {**rows, "networks": network, "representation_": representation[0]}

    def _train(
        self, X: np.ndarray, errors: np.ndarray, weights: np.ndarray | None
    ) -> tuple[dict[str, Any], np.ndarray]:
        """Train on prompts in random order, of which the first are held out."""
        import_training()
        from sklearn_uniroute.routers._torch import check_loss, observed_moments, train_outputs

        squared = check_loss(self.loss, errors, weights) == "squared_error"
        center, scale = 0.0, 1.0
        if squared:
            # The unit of the quality plays no part.
            center, scale = observed_moments(errors, weights)
            errors = (errors - center) / (scale or 1.0)
        held_out = slice(int(_HELD_OUT * len(X)))
        training = slice(held_out.stop, None)
        weights = np.ones(len(X)) if weights is None else weights
        judge = partial(_worth, errors=errors[held_out], weights=weights[held_out], squared=squared)
        coefs, intercepts = train_outputs(
            X[training],
            errors[training].astype(np.float32, copy=False),
            weights[training],
            X[held_out],
            judge if held_out.stop else None,
            means=self._input_means,
            scales=self._input_scales,
            squared=squared,
            hidden_layer_sizes=self._layer_sizes,
            net_params={
                "max_epochs": self.max_epochs,
                "lr": self.learning_rate,
                "batch_size": self.batch_size,
                "device": self.device,
                "verbose": self.verbose,
            },
            seed=self._training_seed,
        )
        network = {"coefs": coefs[:-1], "intercepts": intercepts[:-1], "squared": squared}
        output = np.column_stack([intercepts[-1], coefs[-1].T]).astype(np.float64) * scale
        output[:, 0] += center
        return network, output

    def _predictor(self, index: np.ndarray) -> NetworkPredictor:
        networks = [self._evidence["networks"][model] for model in index]
        outputs = []
        for network in {id(one): one for one in networks}.values():
            members = np.array([place for place, one in enumerate(networks) if one is network])
            output = self.representation_[index[members]]
            outputs.append(NetworkOutputs(**network, output=output, members=members))
        return NetworkPredictor(self._input_means, outputs, self._prices(index))


def _worth(outputs: np.ndarray, errors: np.ndarray, weights: np.ndarray, squared: bool) -> float:
    """Score of the outputs on held-out prompts, the higher the better."""
    # On the scale by which prompts are routed.
    predicted = outputs if squared else expit(outputs)
    return -np.nansum(weights[:, None] * contrasts(predicted - errors) ** 2)
