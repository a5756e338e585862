"""The learned map against K-means on each file of real data, and what it costs in time.

Run as ``python -m benchmarks.learned_map [TRIALS]``. It prints the times of prediction over a bare
NumPy chain of the same products, and of training over a bare torch loop of the same arithmetic;
then mean areas under the deferral curve of unseen models, with the paired difference to ZeroRouter
and its standard error.
"""

import numpy as np
import torch
from sklearn.base import clone
from sklearn.cluster import KMeans
from threadpoolctl import threadpool_limits
from torch import nn

from benchmarks._runner import Split, arguments, paired, ratio, real_data, run_trials, stacked
from sklearn_uniroute import KMeansRouter, LearnedMapRouter, ZeroRouter
from sklearn_uniroute._numerics._features import softmax_map
from sklearn_uniroute.routers._torch import train_map

SIZES = (50, 100, 400)
# As in the paper: for the mean, a network of its own that is trained for five epochs.
FIVE_EPOCHS = {"max_epochs": 5, "device": "cpu"}
PAPER = {"representation": "mean", "cluster_weight": 0, "net_params": FIVE_EPOCHS}
ROUTERS = {"ZeroRouter": ZeroRouter()}
for k in (8, 24):
    ROUTERS[f"K-means, mean, {k}"] = KMeansRouter(k, representation="mean", temperature=0)
    ROUTERS[f"map, mean, {k}"] = LearnedMapRouter(k, **PAPER)
    ROUTERS[f"K-means, posterior, {k}"] = KMeansRouter(k)
    ROUTERS[f"map, posterior, {k}"] = LearnedMapRouter(k)
    ROUTERS[f"map, posterior, {k}, 5 epochs"] = LearnedMapRouter(k, net_params=FIVE_EPOCHS)
    ROUTERS[f"map alone, posterior, {k}"] = LearnedMapRouter(k, cluster_weight=0)


def trial(data, model_share, seed):
    split = Split(data, seed, int(model_share * data.y.shape[1]))
    known, unseen, X, y = split.known, split.unseen, split.X, split.y
    # The same prompts for all.
    chosen = split.rng.permutation(len(X))[: max(SIZES)]
    areas = {}
    for name, router in ROUTERS.items():
        router = clone(router).set_params(random_state=seed)
        router.fit(X, y[:, known], costs=split.model_costs[known])
        for size in SIZES:
            pool = len(router.models_) + np.arange(len(unseen))
            for model in unseen:
                errors = 1 - y[chosen[:size], model]
                router.add_model(errors, cost=split.model_costs[model], X_val=X[chosen[:size]])
            areas[name, size] = router.score(split.X_test, split.y_test, split.test_costs, pool)
    return areas


def report(name, results):
    print(f"\n{name}, {len(results)} splits" + "".join(f"{size:>24}" for size in SIZES))
    areas = stacked(results)
    for router in ROUTERS:
        row = f"{router:<28}"
        for size in SIZES:
            gain, error = paired(areas[router, size], areas["ZeroRouter", size])
            row += f"   {areas[router, size].mean():.4f} {gain:+.4f}±{error:.4f}"
        print(row)


def bare_chain(X, layers):
    """The products of the network, as a user would write them down."""
    for coef, intercept in layers[:-1]:
        X = np.maximum(X @ coef + intercept, 0)
    coef, intercept = layers[-1]
    weights = np.exp(X @ coef + intercept)
    return weights / weights.sum(axis=1, keepdims=True)


def bare_loop(X, errors, representation):
    """Five epochs of the paper's network, as short as torch can say it."""
    X, errors, representation = map(torch.tensor, (X, errors, representation))
    net = nn.Sequential(
        nn.BatchNorm1d(X.shape[1]),
        *(nn.Linear(X.shape[1], 128), nn.BatchNorm1d(128), nn.ReLU()),
        *(nn.Linear(128, 128), nn.BatchNorm1d(128), nn.ReLU()),
        *(nn.Linear(128, representation.shape[1]), nn.Softmax(dim=1)),
    )
    optimizer = torch.optim.Adam(net.parameters(), lr=0.005)
    for _ in range(5):
        for rows in torch.randperm(len(X)).split(64):
            predicted = (net(X[rows]) @ representation.T).clamp(1e-6, 1 - 1e-6)
            loss = nn.functional.binary_cross_entropy(predicted, errors[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()


def time_everything(n_prompts=12_000, n_features=384, n_models=20, n_clusters=24):
    rng = np.random.RandomState(0)
    X = rng.normal(size=(n_prompts, n_features)).astype(np.float32)
    errors = rng.randint(2, size=(n_prompts, n_models)).astype(np.float32)
    router = LearnedMapRouter(n_clusters, cluster_weight=0, random_state=0).fit(X, 1 - errors)
    layers = list(zip(router.coefs_, router.intercepts_, strict=True))
    means = router._map_means.astype(np.float32)
    weights = router.representation_.astype(np.float32).T

    for rows, name in ((1, "one prompt"), (n_prompts, f"{n_prompts} prompts")):
        part = X[:rows]
        exported = ratio(
            lambda part=part: softmax_map(
                part, router._map_means, router.coefs_, router.intercepts_
            ),
            lambda part=part: bare_chain(part - means, layers),
            repeats=1001 if rows == 1 else 21,
        )
        errors_too = ratio(
            lambda part=part: router._predictor(np.arange(n_models)).errors(part),
            lambda part=part: bare_chain(part - means, layers) @ weights,
            repeats=1001 if rows == 1 else 21,
        )
        print(f"{name}, responsibilities over a bare NumPy chain: {exported}")
        print(f"{name}, errors of {n_models} models over the same: {errors_too}")

    representation = router.representation_.astype(np.float32)
    settings = {
        "means": np.zeros(n_features),
        "scales": np.ones(n_features),
        "squared": False,
        "hidden_layer_sizes": (128, 128),
        "net_params": {"lr": 0.005, "batch_size": 64, "verbose": 0, **FIVE_EPOCHS},
        "seed": 0,
    }
    training = ratio(
        lambda: train_map(X, errors, representation, **settings),
        lambda: bare_loop(X, errors, representation),
    )
    print(f"training over a bare torch loop: {training}")

    def clusters_and_loop():
        KMeans(n_clusters, random_state=0).fit(X)
        bare_loop(X, errors, representation)

    whole = ratio(
        lambda: LearnedMapRouter(n_clusters, net_params=FIVE_EPOCHS, random_state=0).fit(
            X, 1 - errors
        ),
        clusters_and_loop,
        repeats=5,
    )
    print(f"fit over K-means and a bare torch loop: {whole}")


def main():
    n_trials = arguments(__doc__, trials=20).trials
    with threadpool_limits(1):
        time_everything()
    for name, data, model_share in real_data():
        report(name, run_trials(trial, range(n_trials), data, model_share))


if __name__ == "__main__":
    main()
