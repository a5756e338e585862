"""Training of networks. This is the only module that needs torch and skorch."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from threading import Lock
from typing import Any

import numpy as np
import torch
from scipy.special import logit
from sklearn.base import clone
from skorch import NeuralNet
from skorch.callbacks import Callback, EarlyStopping
from threadpoolctl import threadpool_limits
from torch import nn
from torch.nn import functional
from torch.utils.data import BatchSampler, DataLoader, RandomSampler, SequentialSampler

from sklearn_uniroute._numerics._features import row_blocks

# The random state of torch and the number of threads are global: one training at a time.
_TRAINING = Lock()
# Batch size for the statistics of batch normalisation.
_LARGE_BATCH = 4096
# Variance of qualities from which on the log loss suits them, relative to that of answers that are
# right or wrong.
_LEAST_SPREAD = 0.25
# Predicted errors are clipped this far from 0 and 1 before logarithms are taken.
_MARGIN = 1e-6


class ClusterMap(nn.Module):
    """Responsibilities of clusters (eq. 21 of the paper)."""

    def __init__(self, n_features: int, hidden_layer_sizes: Sequence[int], n_clusters: int) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.BatchNorm1d(n_features)]
        n_inputs = n_features
        for n_outputs in hidden_layer_sizes:
            layers += [nn.Linear(n_inputs, n_outputs), nn.BatchNorm1d(n_outputs), nn.ReLU()]
            n_inputs = n_outputs
        self.layers = nn.Sequential(*layers, nn.Linear(n_inputs, n_clusters))

    def forward(self, X: torch.Tensor) -> torch.Tensor:
        return torch.softmax(self.layers(X), dim=1)


class RepresentationLoss(nn.Module):
    """Loss of the errors predicted by responsibilities and fixed representations.

    The loss is averaged over the errors that are not NaN. NaN means that the model was not run. The
    last column of the errors holds the weights of the prompts.
    """

    representation: torch.Tensor

    def __init__(self, representation: np.ndarray, squared: bool) -> None:
        super().__init__()
        self.register_buffer("representation", torch.as_tensor(representation))
        self.squared = squared

    def forward(self, features: torch.Tensor, errors: torch.Tensor) -> torch.Tensor:
        predicted = features @ self.representation.T
        return _observed_mean(_squared_error if self.squared else _log_loss, predicted, errors)


class OutputPerModel(nn.Module):
    """Network of ReLU layers with one output per model."""

    def __init__(self, n_features: int, hidden_layer_sizes: Sequence[int], n_models: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        n_inputs = n_features
        for n_outputs in hidden_layer_sizes:
            layers += [nn.Linear(n_inputs, n_outputs), nn.ReLU()]
            n_inputs = n_outputs
        self.layers = nn.Sequential(*layers, nn.Linear(n_inputs, n_models))

    def forward(self, X: torch.Tensor) -> torch.Tensor:
        return self.layers(X)


class OutputLoss(nn.Module):
    """Squared error of the outputs, or log loss if the outputs are log odds."""

    def __init__(self, squared: bool) -> None:
        super().__init__()
        self.squared = squared

    def forward(self, outputs: torch.Tensor, errors: torch.Tensor) -> torch.Tensor:
        return _observed_mean(_squared_error if self.squared else _logistic_loss, outputs, errors)


def _observed_mean(
    loss: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
    predicted: torch.Tensor,
    weighted_errors: torch.Tensor,
) -> torch.Tensor:
    errors, weights = weighted_errors[:, :-1], weighted_errors[:, -1:]
    observed = ~errors.isnan()
    losses = loss(predicted, errors.nan_to_num())
    # Weights have a mean of 1; a batch of light prompts counts for less.
    return (losses * weights * observed).sum() / observed.sum().clamp(min=1)


def _with_weights(errors: np.ndarray, weights: np.ndarray | None) -> np.ndarray:
    """Append the weights of the prompts to their errors, with a mean of 1."""
    weights = np.ones(len(errors)) if weights is None else weights / weights.mean()
    return np.column_stack([errors, weights.astype(np.float32)])


def _squared_error(predicted: torch.Tensor, errors: torch.Tensor) -> torch.Tensor:
    return (predicted - errors) ** 2


def _log_loss(predicted: torch.Tensor, errors: torch.Tensor) -> torch.Tensor:
    predicted = predicted.clamp(_MARGIN, 1 - _MARGIN)
    return -(errors * predicted.log() + (1 - errors) * (1 - predicted).log())


def _logistic_loss(log_odds: torch.Tensor, errors: torch.Tensor) -> torch.Tensor:
    return functional.softplus(log_odds) - errors * log_odds


class BatchLoader(DataLoader[Any]):
    """Loader that takes whole batches from the arrays instead of row by row.

    With `spare_last`, a last batch of a single row is left out.
    """

    def __init__(
        self,
        dataset: Any,
        batch_size: int,
        shuffle: bool = False,
        spare_last: bool = False,
        **kwargs: Any,
    ) -> None:
        order = RandomSampler(dataset) if shuffle else SequentialSampler(dataset)
        drop_last = spare_last and len(dataset) % batch_size == 1
        sampler = BatchSampler(order, batch_size, drop_last)
        super().__init__(dataset, batch_size=None, sampler=sampler, **kwargs)


def find_device(name: str | torch.device) -> str:
    """Find the device to train on; "auto" takes the GPU if there is one."""
    name = str(name)
    has_cuda = torch.cuda.is_available()
    if name == "auto":
        return "cuda" if has_cuda else "cpu"
    try:
        device = torch.device(name)
    except (RuntimeError, TypeError, AttributeError) as error:
        raise ValueError(
            f"`device` must be 'auto' or a device that torch knows, such as 'cpu' or 'cuda'; got "
            f"{name!r}."
        ) from error
    if device.type == "cuda" and not has_cuda:
        raise ValueError(
            f"`device`={name!r}, but torch finds no CUDA device here; use 'cpu' or 'auto'."
        )
    return name


def train_map(
    X: np.ndarray,
    errors: np.ndarray,
    representation: np.ndarray,
    weights: np.ndarray | None,
    *,
    means: np.ndarray,
    scales: np.ndarray,
    squared: bool,
    hidden_layer_sizes: Sequence[int],
    seed: int,
    net_params: Mapping[str, Any],
    state: dict[str, np.ndarray] | None = None,
) -> tuple[list[np.ndarray], list[np.ndarray], dict[str, np.ndarray], list[float]]:
    """Train a map from embeddings to responsibilities.

    The random state of torch and the number of threads are restored afterwards.

    Parameters
    ----------
    X : ndarray of shape (n_prompts, n_features)
    errors : ndarray of shape (n_prompts, n_models), dtype float32
        NaN where a model was not run.
    representation : ndarray of shape (n_models, n_clusters), dtype float32
    weights : ndarray of shape (n_prompts,) or None
        Number of times that each prompt counts in the loss.
    means, scales : ndarray of shape (n_features,)
        Means and scales that standardise the features, so that batch normalisation does not have to
        learn their scale.
    squared : bool
        Whether to minimise the squared error instead of the log loss.
    net_params : mapping of str to object
        Parameters of the skorch network, including `device`.
    state : dict of str to ndarray, default=None
        Weights to start from.

    Returns
    -------
    coefs, intercepts : list of ndarray
        Weights and offsets of the layers, for `softmax_map`.
    state : dict of str to ndarray
        Trained weights.
    losses : list of float
        Training loss of each epoch.
    """
    standardised = _standardised(X, means, scales)
    with _training(seed, net_params["device"]):
        net = NeuralNet(
            ClusterMap,
            RepresentationLoss,
            module__n_features=X.shape[1],
            module__hidden_layer_sizes=hidden_layer_sizes,
            module__n_clusters=representation.shape[1],
            criterion__representation=representation,
            criterion__squared=squared,
            # Batch normalisation cannot train on a batch of one prompt.
            iterator_train__spare_last=True,
            **_net_settings(net_params),
        ).initialize()
        if state is not None:
            fresh = net.module_.state_dict()
            check_map_state(state, {name: tuple(fresh[name].shape) for name in fresh})
            net.module_.load_state_dict({name: torch.tensor(state[name]) for name in state})
        _fit(net, standardised, _with_weights(errors, weights))
        module = net.module_.cpu()
        _settle_normalisation(module, torch.as_tensor(standardised))
    trained = {name: value.numpy().copy() for name, value in module.state_dict().items()}
    check_finite_weights(trained)
    losses = [float(row["train_loss"]) for row in net.history if "train_loss" in row]
    return *_folded(module.eval().layers, scales), trained, losses


def train_outputs(
    X: np.ndarray,
    errors: np.ndarray,
    weights: np.ndarray,
    held_out: np.ndarray,
    judge: Any,
    *,
    means: np.ndarray,
    scales: np.ndarray,
    squared: bool,
    hidden_layer_sizes: Sequence[int],
    seed: int,
    net_params: Mapping[str, Any],
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Train a network with one output per model, and keep the weights of the best epoch.

    Before the first epoch, the outputs of each model are those of its mean error.

    The random state of torch and the number of threads are restored afterwards.

    Parameters
    ----------
    X : ndarray of shape (n_prompts, n_features)
    errors : ndarray of shape (n_prompts, n_models), dtype float32
        NaN where a model was not run.
    weights : ndarray of shape (n_prompts,)
        Number of times that each prompt counts in the loss.
    held_out : ndarray of shape (n_held_out, n_features)
        Held-out prompts, on which each epoch is judged.
    judge : callable or None
        Function that scores outputs of shape (n_held_out, n_models). The weights of the highest
        score are kept: those of an epoch, or the first ones. None keeps the last epoch.
    means, scales : ndarray of shape (n_features,)
        Means and scales that standardise the features.
    squared : bool
        Whether to minimise the squared error of the outputs. If False, the outputs are log odds and
        the log loss is minimised.
    net_params : mapping of str to object
        Parameters of the skorch network, including `device`.

    Returns
    -------
    coefs, intercepts : list of ndarray
        Weights and offsets of the layers, for `hidden_features`.
    """
    with _training(seed, net_params["device"]):
        best = KeepBest(_standardised(held_out, means, scales), judge)
        net = NeuralNet(
            OutputPerModel,
            OutputLoss,
            module__n_features=X.shape[1],
            module__hidden_layer_sizes=hidden_layer_sizes,
            module__n_models=errors.shape[1],
            criterion__squared=squared,
            **_net_settings(net_params),
            callbacks=[best] if judge is not None else None,
        ).initialize()
        start_at_means(net.module_.layers[-1], errors, weights, squared)
        _fit(net, _standardised(X, means, scales), _with_weights(errors, weights))
        module = net.module_.cpu()
        if best.state is not None:
            module.load_state_dict(best.state)
    check_finite_weights({name: value.numpy() for name, value in module.state_dict().items()})
    return _folded(module.eval().layers, scales)


def start_at_means(last: nn.Linear, errors: np.ndarray, weights: np.ndarray, squared: bool) -> None:
    """Let the last layer return what says the mean error of each model, whatever the prompt."""
    n_errors = weights @ ~np.isnan(errors)
    total = weights @ np.nan_to_num(errors)
    if squared:
        means = np.divide(total, n_errors, out=np.zeros_like(total), where=n_errors > 0)
    else:
        # Half an answer of each kind keeps log odds finite.
        means = logit((total + 0.5) / (n_errors + 1))
    with torch.no_grad():
        last.weight.zero_()
        last.bias.copy_(torch.as_tensor(means))


class KeepBest(Callback):
    """Keep the weights with the best score on held-out prompts, before or after an epoch."""

    def __init__(self, held_out: np.ndarray, judge: Any) -> None:
        self.held_out = held_out
        self.judge = judge
        self.value: Any = None
        self.state: Any = None

    def on_train_begin(self, net: Any, **kwargs: Any) -> None:
        """Judge the first weights."""
        self.judge_weights(net)

    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        """Judge the weights after an epoch."""
        self.judge_weights(net)

    def judge_weights(self, net: Any) -> None:
        """Keep the current weights if none were better."""
        outputs = net.forward(self.held_out).cpu().numpy()
        check_finite_weights({"outputs": outputs})
        value = self.judge(outputs)
        if self.state is None or value > self.value:
            self.value = value
            weights = net.module_.state_dict()
            self.state = {name: tensor.cpu().clone() for name, tensor in weights.items()}


@contextmanager
def _training(seed: int, device: str) -> Iterator[None]:
    """Seed torch and use one thread; restore its state and the number of threads afterwards."""
    devices = range(torch.cuda.device_count()) if find_device(device).startswith("cuda") else []
    # Small networks train many times slower in several threads.
    with _TRAINING, threadpool_limits(1), torch.random.fork_rng(devices):
        torch.default_generator.manual_seed(seed)
        if devices:
            torch.cuda.manual_seed_all(seed)
        yield


def _net_settings(net_params: Mapping[str, Any]) -> dict[str, Any]:
    settings = {
        "optimizer": torch.optim.Adam,
        "iterator_train": BatchLoader,
        "iterator_train__shuffle": True,
        "iterator_valid": BatchLoader,
        "train_split": None,
        **net_params,
        "device": find_device(net_params["device"]),
    }
    if "callbacks" in settings:
        # As in scikit-learn, the parameters of the constructor must not change.
        settings["callbacks"] = clone(settings["callbacks"], safe=False)
    return settings


def _standardised(X: np.ndarray, means: np.ndarray, scales: np.ndarray) -> np.ndarray:
    standardised = np.empty(X.shape, dtype=np.float32)
    for rows in row_blocks(len(X)):
        standardised[rows] = (X[rows] - means) / scales
    return standardised


def _fit(net: Any, X: np.ndarray, errors: np.ndarray) -> None:
    # Not `partial_fit`, which treats every KeyboardInterrupt as the end of training.
    net.notify("on_train_begin", X=X, y=errors)
    try:
        net.fit_loop(X, errors)
    except KeyboardInterrupt:
        if not _stopped_early(net):
            raise
    net.notify("on_train_end", X=X, y=errors)


def _stopped_early(net: Any) -> bool:
    """Whether early stopping raised the KeyboardInterrupt, rather than the user."""
    return any(
        isinstance(callback, EarlyStopping) and callback.misses_ >= callback.patience
        for _, callback in net.callbacks_
    )


def _settle_normalisation(module: ClusterMap, X: Any) -> None:
    """Replace the running averages of batch normalisation by the averages for the final weights.

    After a few steps on little data, running averages still depend on their initial values.
    """
    normalisations = [layer for layer in module.layers if isinstance(layer, nn.BatchNorm1d)]
    momentum = [layer.momentum for layer in normalisations]
    for layer in normalisations:
        layer.reset_running_stats()
        # None takes the plain mean over the batches.
        layer.momentum = None
    module.train()
    with torch.no_grad():
        for rows in X.split(_LARGE_BATCH):
            if len(rows) > 1:
                module(rows)
    for layer, value in zip(normalisations, momentum, strict=True):
        layer.momentum = value


def _folded(layers: nn.Sequential, scales: np.ndarray) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Compute weights and offsets of the linear layers, with all scaling multiplied in."""
    coefs: list[torch.Tensor] = []
    intercepts: list[torch.Tensor] = []
    scale = 1 / torch.as_tensor(scales, dtype=torch.float64)
    shift = torch.zeros_like(scale)
    with torch.no_grad():
        for layer in layers.double():
            if isinstance(layer, nn.BatchNorm1d) and not coefs:
                factor, shift = _normalisation(layer)
                scale = scale * factor
            elif isinstance(layer, nn.Linear):
                # Scale and shift of the normalised inputs, which only the first layer has.
                coefs.append(layer.weight.T * scale[:, None])
                intercepts.append(layer.bias + shift @ layer.weight.T)
                scale = torch.ones(layer.out_features, dtype=torch.float64)
                shift = torch.zeros_like(scale)
            elif isinstance(layer, nn.BatchNorm1d):
                factor, offset = _normalisation(layer)
                coefs[-1] = coefs[-1] * factor
                intercepts[-1] = intercepts[-1] * factor + offset
    with np.errstate(over="ignore"):
        as_single = [
            [np.ascontiguousarray(value.numpy(), dtype=np.float32) for value in values]
            for values in (coefs, intercepts)
        ]
    check_finite_weights({"coef": as_single[0][0]})
    return as_single[0], as_single[1]


def _normalisation(layer: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """Compute the factor and offset of trained batch normalisation."""
    scale = layer.weight / torch.sqrt(layer.running_var + layer.eps)
    return scale, layer.bias - layer.running_mean * scale


def observed_moments(errors: np.ndarray, weights: np.ndarray | None) -> tuple[float, float]:
    """Mean and standard deviation of the errors that are not NaN."""
    known = ~np.isnan(errors)
    times = None if weights is None else np.broadcast_to(weights[:, None], errors.shape)[known]
    mean = np.average(errors[known], weights=times)
    return float(mean), float(np.sqrt(np.average((errors[known] - mean) ** 2, weights=times)))


def check_loss(loss: str, errors: np.ndarray, weights: np.ndarray | None) -> str:
    """Choose a loss that fits the range of the qualities."""
    low, high = 1 - np.nanmax(errors), 1 - np.nanmin(errors)
    is_rate = low >= 0 and high <= 1
    if loss == "log_loss" and not is_rate:
        raise ValueError(
            f"`loss`='log_loss' needs qualities between 0 and 1, but `y` goes from {low:g} to "
            f"{high:g}; use 'squared_error' or 'auto'."
        )
    if loss == "auto":
        # Log odds cannot tell small differences between small rates apart.
        mean, deviation = observed_moments(errors, weights)
        spreads = deviation**2 >= _LEAST_SPREAD * mean * (1 - mean)
        return "log_loss" if is_rate and spreads else "squared_error"
    return loss


def check_map_state(state: Mapping[str, np.ndarray], expected: dict[str, tuple[int, ...]]) -> None:
    """Refuse to continue from weights of other layers."""
    if {name: np.shape(value) for name, value in state.items()} != expected:
        raise ValueError(
            "`warm_start` continues from a map with other layers; set warm_start=False to start "
            "again."
        )


def check_finite_weights(state: Mapping[str, np.ndarray]) -> None:
    """Refuse weights that are not finite."""
    if not all(np.isfinite(value).all() for value in state.values()):
        raise ValueError(
            "training the network diverged: its weights are not finite; lower the learning rate or "
            "scale the features of X."
        )
