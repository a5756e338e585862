"""Routing by a neural network with one output per model."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from sklearn.preprocessing import StandardScaler

from sklearn_uniroute._numerics._predictors import NetworkOutputs, NetworkPredictor, row_uniform
from sklearn_uniroute.routers._base import BaseRouter
from sklearn_uniroute.routers._score import curve_score
from sklearn_uniroute.routers._torch import check_loss
from sklearn_uniroute.utils._optional import import_training
from sklearn_uniroute.utils._typing import RandomState
from sklearn_uniroute.utils._validation import (
    check_choice,
    check_count,
    check_positive,
    check_sizes,
)

# Share of the prompts on which the epochs are judged.
_HELD_OUT = 0.1


class MLPRouter(BaseRouter):
    """Route by the outputs of a small neural network, one per model.

    A static router. The training models share one network. An added model gets a network of its
    own, trained on its validation prompts alone, so that the other models' estimates stay as they
    are; it overfits where these are a few hundred, and a :class:`KMeansRouter` takes in a new model
    better. Fitted on all models with thousands of prompts, it is a strong baseline.

    Training needs torch and skorch (``pip install "sklearn_uniroute[torch]"``), also that of
    `add_model` and `update_model`. The fitted router holds arrays alone and predicts without them.

    Parameters
    ----------
    hidden_layer_sizes : tuple of int, default=(100, 100)
        Sizes of the hidden layers, each with ReLU.
    max_epochs : int, default=10
        Number of passes over the prompts. The weights of the best of them are kept: a tenth of the
        prompts is held out to score each by the area under the deferral curve, or by quality where
        the models do not differ in cost, and by the loss where that is equal. With fewer than 10
        prompts none is held out, and the last weights are kept.
    learning_rate : float, default=0.001
        Learning rate of Adam.
    batch_size : int, default=64
        Prompts in a step of Adam.
    loss : {"auto", "log_loss", "squared_error"}, default="auto"
        What to minimise. "auto" takes the log loss where all qualities lie between 0 and 1, and
        the squared error otherwise.
    device : str, default="auto"
        Where to train, such as "cpu" or "cuda". "auto" takes the GPU if there is one.
    cost_weight : float, default=0.0
        Error that a unit of cost is worth, lambda of the paper, in the unit of the costs.
    budget : float, default=None
        Mean cost per prompt to keep to, in the unit of the costs, instead of a `cost_weight`.
    n_validation : int, default=400
        How many of the training prompts at most serve as validation prompts when `fit` gets no
        `X_val`; None takes all.
    verbose : int, default=0
        1 prints a line an epoch.
    random_state : int, RandomState instance or None, default=None
        Seeds the training and the choice of validation prompts.

    Attributes
    ----------
    networks_ : list of dict
        For each model the hidden layers that its features come from: `coefs` and `intercepts`, and
        whether its output is `squared` (an error) or not (log odds of an error). Training models
        share one.
    representation_ : ndarray of shape (n_models, 1 + n_last_hidden)
        For each model the offset of its output, then the weights of the features.
    prompts_, errors_ : list of ndarray
        For each model the prompts that it was run on, and its errors, to train anew with further
        ones; NaN where it was not run.
    input_means_, input_scales_ : ndarray of shape (n_features,)
        Means and standard deviations of the training prompts, by which all inputs are standardised.
    training_seed_ : int
        Seeds the training for added models.
    models_ : ndarray of shape (n_models,)
        Names of the models: training models, then added ones.
    costs_ : ndarray of shape (n_models,) or None
        Their mean costs.
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
    LinearRouter : Linear, in closed form.
    HybridRouter : Takes in new models from few prompts, and is static for the others.

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

    networks_: Any
    representation_: np.ndarray
    prompts_: Any
    errors_: Any
    _evidence_arrays = ("networks_", "representation_", "prompts_", "errors_")

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

    def _fit_features(self, X: np.ndarray, errors: np.ndarray, rng: np.random.RandomState) -> None:
        scaler = StandardScaler().fit(X)
        self.input_means_, self.input_scales_ = scaler.mean_, scaler.scale_
        self.training_seed_ = int(rng.randint(2**31))

    def _fit_evidence(self, X: np.ndarray, errors: np.ndarray) -> None:
        n_models = errors.shape[1]
        order = np.random.RandomState(self.training_seed_).permutation(len(X))
        # A prompt that no model was run on has nothing to teach.
        order = order[~np.isnan(errors[order]).all(axis=1)]
        network, self.representation_ = self._train(X[order], errors[order], self.costs_)
        self.networks_ = [network] * n_models
        self.prompts_, self.errors_ = [X] * n_models, list(errors.T.copy())

    def _evidence(
        self, val_errors: np.ndarray, X_val: np.ndarray | None, position: int | None
    ) -> dict[str, Any]:
        prompts = self.X_val_ if X_val is None else X_val
        if position is not None:
            prompts = np.concatenate([self.prompts_[position], prompts])
            val_errors = np.concatenate([self.errors_[position], val_errors])
        observed = np.flatnonzero(~np.isnan(val_errors))
        # Whatever the order in which errors were told, the training is the same.
        order = np.lexsort(
            (val_errors[observed], row_uniform(prompts[observed], self.training_seed_))
        )
        order = observed[order]
        network, representation = self._train(prompts[order], val_errors[order, None], None)
        return {
            "networks_": network,
            "representation_": representation[0],
            "prompts_": prompts,
            "errors_": val_errors,
        }

    def _train(
        self, X: np.ndarray, errors: np.ndarray, costs: np.ndarray | None
    ) -> tuple[dict[str, Any], np.ndarray]:
        """Train on prompts in random order; the first of them are held out."""
        import_training()
        from sklearn_uniroute.routers._torch import train_outputs

        squared = check_loss(self.loss, errors) == "squared_error"
        center, scale = 0.0, 1.0
        if squared:
            # Any quality is learned alike, whatever its unit.
            center, scale = np.nanmean(errors), np.nanstd(errors)
            errors = (errors - center) / (scale or 1.0)
        held_out = slice(int(_HELD_OUT * len(X)))
        training = slice(held_out.stop, None)
        judge = partial(_worth, errors=errors[held_out], costs=costs, squared=squared)
        coefs, intercepts = train_outputs(
            X[training],
            errors[training].astype(np.float32, copy=False),
            X[held_out],
            judge if held_out.stop else None,
            means=self.input_means_,
            scales=self.input_scales_,
            squared=squared,
            hidden_layer_sizes=tuple(self.hidden_layer_sizes),
            max_epochs=self.max_epochs,
            learning_rate=self.learning_rate,
            batch_size=self.batch_size,
            device=self.device,
            verbose=self.verbose,
            seed=self.training_seed_,
        )
        network = {"coefs": coefs[:-1], "intercepts": intercepts[:-1], "squared": squared}
        output = np.column_stack([intercepts[-1], coefs[-1].T]).astype(np.float64) * scale
        output[:, 0] += center
        return network, output

    def _predictor(self, index: np.ndarray) -> NetworkPredictor:
        networks = [self.networks_[model] for model in index]
        outputs = []
        for network in {id(one): one for one in networks}.values():
            members = np.array([place for place, one in enumerate(networks) if one is network])
            output = self.representation_[index[members]]
            outputs.append(NetworkOutputs(**network, output=output, members=members))
        return NetworkPredictor(self.input_means_, outputs, self._prices(index))


def _worth(
    outputs: np.ndarray, errors: np.ndarray, costs: np.ndarray | None, squared: bool
) -> tuple[float, float]:
    """Score of choices by the outputs on prompts held out, then their loss."""
    losses = (outputs - errors) ** 2 if squared else np.logaddexp(0, outputs) - errors * outputs
    complete = ~np.isnan(errors).any(axis=1)
    score = 0.0
    if complete.any() and errors.shape[1] > 1:
        # Outputs rank the models as their errors do.
        score = curve_score(1 - errors[complete], outputs[complete], costs)
    return score, -np.nanmean(losses)
