"""How few validation prompts a new model needs, on each file of real data.

Run as ``python -m benchmarks.few_shot [TRIALS] [--picture PATH]``. For each number of validation
prompts, it prints the mean area under the deferral curve of unseen models, its paired difference to
ZeroRouter with the standard error, the coverage of 90 % intervals of cluster errors, and the time
of ``add_model``. With ``--picture``, it draws the coverage of other intervals.
"""

from timeit import repeat

import numpy as np
from scipy.linalg import cholesky
from scipy.stats import norm
from sklearn.base import clone
from threadpoolctl import threadpool_limits

from benchmarks._runner import Split, arguments, paired, ratio, real_data, run_trials, stacked
from sklearn_uniroute import KMeansRouter, KNeighborsRouter, ZeroRouter
from sklearn_uniroute.metrics import deferral_area_score

SIZES = (25, 50, 100, 400)
ROUTERS = {
    "ZeroRouter": ZeroRouter(),
    "K-NN, 20": KNeighborsRouter(20),
    "K-NN, 50": KNeighborsRouter(50),
    "mean, K = 5": KMeansRouter(5, representation="mean", temperature=0, validation="random"),
    "mean, K = 8": KMeansRouter(8, representation="mean", temperature=0, validation="random"),
    "mean, K = 24": KMeansRouter(24, representation="mean", temperature=0, validation="random"),
    "posterior, random": KMeansRouter(8, validation="random"),
    "posterior, greedy": KMeansRouter(8),
    "posterior, K = 24, random": KMeansRouter(24, validation="random"),
    "posterior, K = 24, greedy": KMeansRouter(24),
}
PAPER = ("K-NN, 20", "K-NN, 50", "mean, K = 5", "mean, K = 8", "mean, K = 24")
# Prompts of a cluster that make its error known for judging an interval.
LARGE = 20


def trial(data, model_share, seed):
    """Areas of every router at every size, and how far its cluster errors are off."""
    split = Split(data, seed, int(model_share * data.y.shape[1]))
    known, unseen, X, y = split.known, split.unseen, split.X, split.y
    fit_costs = split.costs(split.training, known)
    areas, misses = {}, {}
    for name, router in ROUTERS.items():
        for size in SIZES:
            router = clone(router).set_params(n_validation=size, random_state=seed)
            router.fit(X, y[:, known], costs=fit_costs)
            for model in unseen:
                errors = 1 - y[router.validation_indices_, model]
                router.add_model(errors, cost=split.model_costs[model])
            areas[name, size] = deferral_area_score(
                split.y_test,
                router.predict_error(split.X_test, split.pool),
                split.test_costs,
                routing_costs=split.model_costs[unseen],
            )
            if getattr(router, "representation_std_", None) is not None:
                misses[name, size] = standardised_misses(router, X, 1 - y[:, unseen], split.pool)
    return areas, misses


def standardised_misses(router, X, errors, pool):
    """Distances of cluster errors to those of many other prompts, in standard errors."""
    held_out = np.setdiff1d(np.arange(len(X)), router.validation_indices_)
    if not len(held_out):
        return np.array([])
    labels, features = router._assign(X[held_out]), router._features(X[held_out])
    covariance = [router._posterior_covariance(model) for model in pool]
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
    areas = stacked([one[0] for one in results])
    misses = {key: np.concatenate([one[1][key] for one in results]) for key in results[0][1]}
    for router in ROUTERS:
        row = f"{router:<26}"
        for size in SIZES:
            gain, error = paired(areas[router, size], areas["ZeroRouter", size])
            row += f"   {areas[router, size].mean():.4f} {gain:+.4f}±{error:.4f}"
        print(row)
    for router in ROUTERS:
        if (router, SIZES[0]) in misses:
            held = [misses[router, n] < norm.ppf(0.95) for n in SIZES]
            row = "".join(f"{np.mean(one):>24.1%}" if len(one) else f"{'':>24}" for one in held)
            print(f"{'90 % ' + router:<26}{row}")
    for size in SIZES[:2]:
        gain, error = paired(areas["posterior, greedy", size], areas["posterior, random", size])
        print(f"greedy less random prompts, {size}: {gain:+.4f} ± {error:.4f}")
    best = max(PAPER, key=lambda router: areas[router, 400].mean())
    gain, error = paired(areas["posterior, greedy", 50], areas[best, 400])
    print(f"50 chosen prompts less 400 with {best}, the paper's best: ", end="")
    print(f"{gain:+.4f} ± {error:.4f}")
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


def main():
    args = arguments(__doc__, trials=40, picture={"metavar": "PATH", "help": "of the coverage"})
    with threadpool_limits(1):
        for n_prompts, n_models in ((2_000, 20), (20_000, 20), (2_000, 200)):
            time_add_model(n_prompts, n_models)
    misses = {}
    for name, data, model_share in real_data():
        results = run_trials(trial, range(args.trials), data, model_share)
        misses[name] = report(name, results)
    if args.picture is not None:
        draw_reliability(misses, args.picture)


if __name__ == "__main__":
    main()
