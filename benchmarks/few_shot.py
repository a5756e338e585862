"""How few validation prompts a new model needs, on each file of real data.

Run as ``python -m benchmarks.few_shot [N_SPLITS [PICTURE]]``. Prints, for each number of
validation prompts, the mean area under the deferral curve of unseen models and its paired
difference to ZeroRouter with the standard error, the coverage of 90 % intervals of cluster errors,
and the time of ``add_model``. Draws the coverage of other intervals where a picture is named.
"""

import sys
from timeit import repeat

import numpy as np
from joblib import Parallel, delayed
from scipy.linalg import cholesky
from scipy.stats import norm
from sklearn.base import clone
from threadpoolctl import threadpool_limits

from benchmarks._data import real_data
from benchmarks._timing import ratio
from sklearn_uniroute import KMeansRouter, KNeighborsRouter, ZeroRouter
from sklearn_uniroute._numerics._posterior import condition
from sklearn_uniroute.metrics import deferral_area_score
from sklearn_uniroute.model_selection._split import draw_split

SIZES = (25, 50, 100, 400)
ROUTERS = {
    "ZeroRouter": ZeroRouter(),
    "K-NN, 20": KNeighborsRouter(20),
    "K-NN, 50": KNeighborsRouter(50),
    "mean, K = 5": KMeansRouter(5, representation="mean", temperature=0, validation="random"),
    "mean, K = 8": KMeansRouter(8, representation="mean", temperature=0, validation="random"),
    "mean, K = 24": KMeansRouter(24, representation="mean", temperature=0, validation="random"),
    "posterior, random": KMeansRouter(validation="random"),
    "posterior, greedy": KMeansRouter(),
    "posterior, K = 24, random": KMeansRouter(24, validation="random"),
    "posterior, K = 24, greedy": KMeansRouter(24),
}
PAPER = ("K-NN, 20", "K-NN, 50", "mean, K = 5", "mean, K = 8", "mean, K = 24")
# Prompts of a cluster that make its error known for judging an interval.
LARGE = 20


def trial(data, model_costs, model_share, seed):
    """Areas of every router at every size, and how far its cluster errors are off."""
    n_training_models = int(model_share * len(model_costs))
    rng = np.random.RandomState(seed)
    split = draw_split(rng, len(data.X), model_costs, 1, n_training_models)
    known, unseen = split.training_models, split.unseen_models
    X, y = data.X[split.training], data.y[split.training]
    per_call = data.costs.ndim == 2
    fit_costs = data.costs[split.training][:, known] if per_call else data.costs[known]
    test_costs = data.costs[split.test][:, unseen] if per_call else data.costs[unseen]
    areas, misses = {}, {}
    for name, router in ROUTERS.items():
        for size in SIZES:
            router = clone(router).set_params(n_validation=size, random_state=seed)
            router.fit(X, y[:, known], costs=fit_costs)
            pool = len(known) + np.arange(len(unseen))
            for model in unseen:
                errors = 1 - y[router.validation_indices_, model]
                router.add_model(errors, cost=model_costs[model])
            areas[name, size] = deferral_area_score(
                data.y[split.test][:, unseen],
                router.predict_error(data.X[split.test], pool),
                test_costs,
                routing_costs=model_costs[unseen],
            )
            if getattr(router, "representation_std_", None) is not None:
                misses[name, size] = standardised_misses(router, X, 1 - y[:, unseen], pool)
    return areas, misses


def standardised_misses(router, X, errors, pool):
    """Distances of cluster errors to those of many other prompts, in standard errors."""
    held_out = np.setdiff1d(np.arange(len(X)), router.validation_indices_)
    labels, features = router._assign(X[held_out]), router._features(X[held_out])
    covariance = [
        condition(router._prior(), router.information_[model], router.moments_[model])[1]
        for model in pool
    ]
    misses = []
    for cluster in range(router._n_clusters):
        cells = errors[held_out][labels == cluster]
        counts = np.maximum((~np.isnan(cells)).sum(axis=0), 1)
        known = np.nansum(cells, axis=0) / counts
        # The mean over the prompts of a cluster draws on its neighbours too.
        phi = features[labels == cluster].mean(axis=0)
        # The known errors are means of finitely many prompts themselves.
        spread = np.sqrt([phi @ one @ phi for one in covariance] + phi @ router.noise_ / counts)
        miss = np.abs(known - router.representation_[pool] @ phi) / spread
        misses.extend(miss[counts >= LARGE])
    return np.array(misses)


def report(name, results):
    sizes = "".join(f"{size:>24}" for size in SIZES)
    print(f"\n{name}: {len(results)} splits\n{'validation prompts':<26}{sizes}")
    areas = {key: np.array([one[0][key] for one in results]) for key in results[0][0]}
    misses = {key: np.concatenate([one[1][key] for one in results]) for key in results[0][1]}
    for router in ROUTERS:
        row = f"{router:<26}"
        for size in SIZES:
            gain = areas[router, size] - areas["ZeroRouter", size]
            error = gain.std(ddof=1) / np.sqrt(len(gain))
            row += f"   {areas[router, size].mean():.4f} {gain.mean():+.4f}±{error:.4f}"
        print(row)
    for router in ROUTERS:
        if (router, SIZES[0]) in misses:
            row = "".join(f"{np.mean(misses[router, n] < norm.ppf(0.95)):>24.1%}" for n in SIZES)
            print(f"{'90 % ' + router:<26}{row}")
    for size in SIZES[:2]:
        gain = areas["posterior, greedy", size] - areas["posterior, random", size]
        error = gain.std(ddof=1) / np.sqrt(len(gain))
        print(f"greedy less random prompts, {size}: {gain.mean():+.4f} ± {error:.4f}")
    best = max(PAPER, key=lambda router: areas[router, 400].mean())
    gain = areas["posterior, greedy", 50] - areas[best, 400]
    error = gain.std(ddof=1) / np.sqrt(len(gain))
    print(f"50 chosen prompts less 400 with {best}, the paper's best: ", end="")
    print(f"{gain.mean():+.4f} ± {error:.4f}")
    return {size: misses["posterior, greedy", size] for size in (25, 100)}


def draw_reliability(misses, path):
    """Coverage of intervals against what they promise, one line per file and size."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.5, 4.5), layout="constrained")
    ax = figure.subplots()
    promised = np.linspace(0.02, 0.99, 98)
    ax.plot([0, 1], [0, 1], color="gray", linestyle=":")
    for color, (name, by_size) in enumerate(misses.items()):
        for size, style in zip(by_size, ("-", "--"), strict=True):
            held = [np.mean(by_size[size] < norm.ppf((1 + share) / 2)) for share in promised]
            ax.plot(promised, held, style, color=f"C{color}", label=f"{name}, {size} prompts")
    ax.set(xlabel="share promised", ylabel="share of cluster errors inside the interval")
    ax.set_aspect("equal")
    ax.legend(fontsize="small")
    figure.savefig(path, dpi=120)


def time_add_model(n_prompts, n_models, n_clusters=100):
    """Milliseconds and ratio to one Cholesky decomposition of ``add_model`` with 100 prompts."""
    rng = np.random.RandomState(0)
    X = rng.normal(size=(n_prompts, 64)).astype(np.float32)
    y = rng.randint(2, size=(n_prompts, n_models))
    router = KMeansRouter(n_clusters, n_validation=100, random_state=0).fit(X, y)
    errors = rng.randint(2, size=100)
    matrix = router.prior_covariance_ + np.eye(n_clusters)

    def add():
        router.add_model(errors, name=n_models, replace=True)

    router.add_model(errors, name=n_models)
    best = min(repeat(add, number=20, repeat=7)) / 20
    times = ratio(add, lambda: cholesky(matrix, lower=True), repeats=101)
    print(
        f"add_model, {n_prompts} training prompts, {n_models} models: {best * 1e3:.2f} ms, "
        f"over one Cholesky of {n_clusters} x {n_clusters}: {times}"
    )


def main(n_splits=40, picture=None):
    with threadpool_limits(1):
        for n_prompts, n_models in ((2_000, 20), (20_000, 20), (2_000, 200)):
            time_add_model(n_prompts, n_models)
    misses = {}
    for name, data, model_share in real_data():
        model_costs = np.atleast_2d(data.costs).mean(axis=0)
        with threadpool_limits(1):
            results = Parallel(n_jobs=-1)(
                delayed(trial)(data, model_costs, model_share, seed)
                for seed in range(int(n_splits))
            )
        misses[name] = report(name, results)
    if picture is not None:
        draw_reliability(misses, picture)


if __name__ == "__main__":
    main(*sys.argv[1:])
