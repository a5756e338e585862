"""Training of the cluster map, the only module that needs torch and skorch."""

import numpy as np
import torch
from skorch import NeuralNet
from threadpoolctl import threadpool_limits
from torch import nn
from torch.utils.data import BatchSampler, DataLoader, RandomSampler, SequentialSampler

from sklearn_uniroute._validation import check_finite_map, check_map_state

# Predicted errors stay this far from 0 and 1 under the logarithm.
_MARGIN = 1e-6


class ClusterMap(nn.Module):
    """Responsibilities of clusters: eq. 21 of the paper."""

    def __init__(self, n_features, hidden_layer_sizes, n_clusters):
        super().__init__()
        layers: list[nn.Module] = [nn.BatchNorm1d(n_features)]
        n_inputs = n_features
        for n_outputs in hidden_layer_sizes:
            layers += [nn.Linear(n_inputs, n_outputs), nn.BatchNorm1d(n_outputs), nn.ReLU()]
            n_inputs = n_outputs
        self.layers = nn.Sequential(*layers, nn.Linear(n_inputs, n_clusters))

    def forward(self, X):
        return torch.softmax(self.layers(X), dim=1)


class RepresentationLoss(nn.Module):
    """Loss of the errors that responsibilities predict through fixed representations.

    Averaged over the models that were run on each prompt; NaN marks those that were not.
    """

    def __init__(self, representation, squared):
        super().__init__()
        self.register_buffer("representation", torch.as_tensor(representation))
        self.squared = squared

    def forward(self, features, errors):
        predicted = features @ self.representation.T
        observed = ~errors.isnan()
        errors = errors.nan_to_num()
        if self.squared:
            losses = (predicted - errors) ** 2
        else:
            predicted = predicted.clamp(_MARGIN, 1 - _MARGIN)
            losses = -(errors * predicted.log() + (1 - errors) * (1 - predicted).log())
        return (losses * observed).sum() / observed.sum().clamp(min=1)


class BatchLoader(DataLoader):
    """Take whole batches from the arrays, instead of rows to be put together one by one."""

    def __init__(self, dataset, batch_size, shuffle=False, **kwargs):
        order = RandomSampler(dataset) if shuffle else SequentialSampler(dataset)
        # Batch normalisation cannot train on one prompt.
        drop_last = shuffle and len(dataset) % batch_size == 1
        sampler = BatchSampler(order, batch_size, drop_last)
        super().__init__(dataset, batch_size=None, sampler=sampler, **kwargs)


def find_device(name):
    """Name the device to train on: the GPU for "auto", if there is one."""
    has_cuda = torch.cuda.is_available()
    if name == "auto":
        return "cuda" if has_cuda else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ValueError(
            f"`device` must be 'auto' or a device that torch knows, such as 'cpu' or 'cuda'; got "
            f"{name!r}."
        ) from error
    if device.type == "cuda" and not has_cuda:
        raise ValueError(
            f"`device`={name!r}, but torch finds no CUDA device here; take 'cpu' or 'auto'."
        )
    return name


def train_map(
    X,
    errors,
    representation,
    *,
    squared,
    hidden_layer_sizes,
    max_epochs,
    learning_rate,
    batch_size,
    device,
    seed,
    verbose,
    callbacks,
    net_params,
    state=None,
):
    """Train a map from embeddings to responsibilities.

    Torch's random state and the numbers of threads are left as they were.

    Parameters
    ----------
    X : ndarray of shape (n_prompts, n_features), dtype float32
    errors : ndarray of shape (n_prompts, n_models), dtype float32
        NaN where a model was not run.
    representation : ndarray of shape (n_models, n_clusters), dtype float32
    squared : bool
        Whether to minimise the squared error instead of the log loss.
    state : dict of str to ndarray, default=None
        Weights to start from.

    Returns
    -------
    coefs, intercepts : list of ndarray
        Layers for prediction, see `softmax_map`.
    state : dict of str to ndarray
        Weights as trained.
    losses : list of float
        Training loss of each epoch.
    """
    device = find_device(device)
    devices = range(torch.cuda.device_count()) if device.startswith("cuda") else []
    settings = {
        "optimizer": torch.optim.Adam,
        "lr": learning_rate,
        "max_epochs": max_epochs,
        "batch_size": batch_size,
        "iterator_train": BatchLoader,
        "iterator_train__shuffle": True,
        "iterator_valid": BatchLoader,
        "train_split": None,
        "callbacks": callbacks,
        "verbose": verbose,
        "device": device,
    }
    # Networks this small train many times slower in several threads.
    with threadpool_limits(1), torch.random.fork_rng(devices):
        torch.default_generator.manual_seed(seed)
        if devices:
            torch.cuda.manual_seed_all(seed)
        net = NeuralNet(
            ClusterMap,
            RepresentationLoss,
            module__n_features=X.shape[1],
            module__hidden_layer_sizes=hidden_layer_sizes,
            module__n_clusters=representation.shape[1],
            criterion__representation=representation,
            criterion__squared=squared,
            **{**settings, **(net_params or {})},
        ).initialize()
        if state is not None:
            fresh = net.module_.state_dict()
            check_map_state(state, {name: tuple(fresh[name].shape) for name in fresh})
            net.module_.load_state_dict({name: torch.tensor(state[name]) for name in state})
        net.partial_fit(X, errors)
    module = net.module_.cpu().eval()
    trained = {name: value.numpy() for name, value in module.state_dict().items()}
    check_finite_map(trained)
    losses = [float(row["train_loss"]) for row in net.history]
    return *_folded(module.layers), trained, losses


def _folded(layers):
    """Weights and offsets of the linear layers, with batch normalisation multiplied into them."""
    coefs, intercepts = [], []
    with torch.no_grad():
        first, *others = layers.double()
        scale, shift = _normalisation(first)
        for layer in others:
            if isinstance(layer, nn.Linear):
                # Of the normalised inputs; only the first layer has any.
                coefs.append(layer.weight.T * scale[:, None])
                intercepts.append(layer.bias + shift @ layer.weight.T)
                scale = torch.ones(layer.out_features, dtype=torch.float64)
                shift = torch.zeros_like(scale)
            elif isinstance(layer, nn.BatchNorm1d):
                factor, offset = _normalisation(layer)
                coefs[-1] = coefs[-1] * factor
                intercepts[-1] = intercepts[-1] * factor + offset
    as_single = [
        [np.ascontiguousarray(value.numpy(), dtype=np.float32) for value in values]
        for values in (coefs, intercepts)
    ]
    return as_single[0], as_single[1]


def _normalisation(layer):
    """Factor and offset that batch normalisation amounts to once trained."""
    scale = layer.weight / torch.sqrt(layer.running_var + layer.eps)
    return scale, layer.bias - layer.running_mean * scale
