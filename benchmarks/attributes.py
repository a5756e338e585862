"""Embeddings against prompt attributes where the prompts to be routed are of other kinds.

Run as ``python -m benchmarks.attributes [TRIALS]``. The attributes are the categories of MMLU-Pro;
seven random ones are known. A tenth of their prompts is held out. On the rest, the encoder learns
the categories from the embeddings, routers are fitted on two thirds of the models, and the other
models are added from 400 prompts. It prints areas under the deferral curve of the added models, on
the held-out prompts and on those of the seven other categories, and paired differences on the
latter with their standard errors.
"""

import numpy as np
from sklearn.base import clone

from benchmarks._runner import arguments, paired, real_data, run_trials, stacked
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


def main():
    n_splits = arguments(__doc__, trials=40).trials
    (data,) = (data for name, data, _ in real_data() if name == "mmlu_pro_29llm")
    results = run_trials(trial, range(n_splits), data)
    areas = stacked(results)
    print(f"mmlu_pro_29llm, {n_splits} splits{'':<9}same     other    other, less ZeroRouter")
    blind = areas["ZeroRouter", "embeddings", "other"]
    for name, view, kind in areas:
        if kind == "other":
            other, same = areas[name, view, "other"], areas[name, view, "same"]
            print(
                f"{name:<20}{view:<12}{same.mean():.4f}   {other.mean():.4f}   "
                f"{with_error(other, blind)}"
            )
    print("\nattributes less embeddings, other categories")
    for name in list(ROUTERS)[1:]:
        gain = with_error(areas[name, "attributes", "other"], areas[name, "embeddings", "other"])
        print(f"{name:<32}{gain}")


def with_error(one, other):
    gain, error = paired(one, other)
    return f"{gain:+.4f} ± {error:.4f}"


if __name__ == "__main__":
    main()
