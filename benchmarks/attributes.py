"""Embeddings against prompt attributes where the prompts to be routed are of other kinds.

Run as ``python -m benchmarks.attributes [N_SPLITS]``. The categories of MMLU-Pro are the
attributes: seven of them, drawn at random, are known. A tenth of their prompts is held out; on the
rest the encoder tells the category from the embedding, routers are fitted on two thirds of the
models, and the other models are added from 400 prompts. Printed are areas under the deferral curve
of the added models, on the prompts held out and on those of the seven other categories, and paired
differences on the latter with their standard errors.
"""

import sys

import numpy as np
from joblib import Parallel, delayed
from sklearn.base import clone
from threadpoolctl import threadpool_limits

from benchmarks._data import real_data
from sklearn_uniroute import AttributeEncoder, KMeansRouter, ZeroRouter

N_VALIDATION = 400
ROUTERS = {
    "ZeroRouter": ZeroRouter(n_validation=N_VALIDATION),
    "mean, K = 7": KMeansRouter(
        7, representation="mean", temperature=0, n_validation=N_VALIDATION, validation="random"
    ),
    "posterior, K = 7": KMeansRouter(7, n_validation=N_VALIDATION),
    "posterior, K = 24": KMeansRouter(24, n_validation=N_VALIDATION),
}


def trial(data, seed):
    rng = np.random.RandomState(seed)
    category = np.array([source.split("/")[-1] for source in data.source])
    known = rng.permutation(np.unique(category))[:7]
    inside = rng.permutation(np.flatnonzero(np.isin(category, known)))
    held_out, training = np.split(inside, [len(inside) // 10])
    tests = {"same": held_out, "other": np.flatnonzero(~np.isin(category, known))}
    models = rng.permutation(data.y.shape[1])
    old, new = np.split(models, [2 * len(models) // 3])
    encoder = AttributeEncoder().fit(data.X[training], category[training, None] == known)
    views = {"embeddings": data.X, "attributes": encoder.transform(data.X)}
    areas = {}
    for view, X in views.items():
        for name, router in ROUTERS.items():
            if name == "ZeroRouter" and view == "attributes":
                continue
            router = clone(router).set_params(random_state=seed)
            router.fit(X[training], data.y[np.ix_(training, old)], costs=data.costs[old])
            prompts = training[router.validation_indices_]
            for number, model in enumerate(new, start=len(old)):
                router.add_model(1 - data.y[prompts, model], name=number, cost=data.costs[model])
            pool = len(old) + np.arange(len(new))
            for kind, rows in tests.items():
                area = router.score(X[rows], data.y[np.ix_(rows, new)], pool=pool)
                areas[name, view, kind] = area
    return areas


def main(n_splits=40):
    (data,) = (data for name, data, _ in real_data() if name == "mmlu_pro_29llm")
    with threadpool_limits(1):
        results = Parallel(n_jobs=-1)(delayed(trial)(data, seed) for seed in range(n_splits))
    areas = {key: np.array([one[key] for one in results]) for key in results[0]}
    print(f"mmlu_pro_29llm, {n_splits} splits{'':<9}same     other    other, less ZeroRouter")
    blind = areas["ZeroRouter", "embeddings", "other"]
    for name, view, kind in areas:
        if kind == "other":
            other, same = areas[name, view, "other"], areas[name, view, "same"]
            print(
                f"{name:<20}{view:<12}{same.mean():.4f}   {other.mean():.4f}   "
                f"{paired(other - blind)}"
            )
    print("\nattributes less embeddings, other categories")
    for name in list(ROUTERS)[1:]:
        difference = areas[name, "attributes", "other"] - areas[name, "embeddings", "other"]
        print(f"{name:<32}{paired(difference)}")


def paired(difference):
    error = difference.std(ddof=1) / np.sqrt(len(difference))
    return f"{difference.mean():+.4f} ± {error:.4f}"


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
