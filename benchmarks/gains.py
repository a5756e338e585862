"""What routers gain on models that they have not seen: picture and table of the README.

Run as ``python -m benchmarks.gains [TRIALS]``. Routers are fitted on the training models, and take
in each other model from the same random prompts, or from its price alone. Regressors of
scikit-learn and the MLP are trained on these prompts alone. For each file and number of prompts, it
prints the area under the deferral curve of ZeroRouter, which does not look at the prompt, and the
paired gain of each method with half its 95 % interval. It draws ``docs/results/gains-prompts.png``.
"""

import numpy as np
from matplotlib.figure import Figure
from scipy.stats import sem, t
from sklearn.base import clone
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import RidgeCV
from sklearn.neighbors import KNeighborsRegressor

from benchmarks._paper import MLP, OURS, Trial, paper_kmeans, paper_map
from benchmarks._runner import arguments, model_costs, real_data, run_trials, stacked
from benchmarks.record import RESULTS
from sklearn_uniroute import KMeansRouter, ZeroRouter
from sklearn_uniroute.metrics import deferral_area_score

SIZES = (0, 10, 25, 50, 100, 200, 400)
ZERO, PRICE = "ZeroRouter", "Posterior, K-means, price alone"
# Trained on the prompts of the new models alone.
RETRAINED = {
    "K-NN, scikit-learn": KNeighborsRegressor(10),
    "Ridge, scikit-learn": RidgeCV(np.logspace(-2, 4, 13)),
    "Random forest, scikit-learn": RandomForestRegressor(min_samples_leaf=5, max_features="sqrt"),
}
# Colours that colour-blind readers can tell apart, by Okabe and Ito.
DRAWN = {
    "Posterior, learned map (K = 24)": ("LearnedMapRouter", "#D55E00", "-"),
    "Posterior, K-means (K = 24)": ("KMeansRouter", "#0072B2", "-"),
    "UniRoute, K-means": ("UniRoute as in the paper", "#009E73", "--"),
    "K-NN, scikit-learn": ("K nearest neighbours", "#000000", ":"),
    "Random forest, scikit-learn": ("random forest", "#CC79A7", ":"),
}


class Unseen:
    """The unseen models of a trial, some random prompts, and areas on the test prompts."""

    def __init__(self, trial):
        split, data = trial.split, trial.data
        self.known, self.models, self.test = split.training_models, split.unseen_models, split.test
        rows = np.concatenate([split.training, split.validation])
        rows = np.random.RandomState(trial.seed).permutation(rows)
        self.X, self.y = data.X[rows], data.y[np.ix_(rows, self.models)]
        self.X_test, self.y_test = data.X[self.test], data.y[np.ix_(self.test, self.models)]
        self.costs = model_costs(data)[self.models]
        _, self.paid = trial.cells(self.test, self.models)
        self.sizes = [size for size in SIZES if size <= len(rows)]

    def area(self, error):
        return deferral_area_score(self.y_test, error, self.paid, routing_costs=self.costs)

    def area_added(self, router, size):
        """Area of a router that takes in the models from so many prompts, or from no more than
        their price."""
        pool = len(self.known) + np.arange(len(self.models))
        for place, name in enumerate(pool):
            errors = 1 - self.y[:size, place]
            # Gaps may leave a model without any answer.
            known = {"val_errors": errors, "X_val": self.X[:size]}
            known = known if size and not np.isnan(errors).all() else {}
            router.add_model(name=name, cost=self.costs[place], replace=True, **known)
        return self.area(router.predict_error(self.X_test, pool))

    def area_retrained(self, regressor, size):
        y, means = self.y[:size], np.nanmean(self.y[:size], axis=0)
        y = np.where(np.isnan(y), np.nan_to_num(means, nan=np.nanmean(means)), y)
        if "n_neighbors" in regressor.get_params():
            regressor = clone(regressor).set_params(n_neighbors=min(10, size))
        return self.area(1 - regressor.fit(self.X[:size], y).predict(self.X_test))

    def area_mlp(self, size, seed):
        router = clone(MLP).set_params(random_state=seed)
        ran = ~np.isnan(self.y[:size]).all(axis=0)
        y = np.where(ran, self.y[:size], np.nanmean(self.y[:size]))
        return self.area(router.fit(self.X[:size], y).predict_error(self.X_test))


def trial(data, model_share, seed):
    one = Trial(data, model_share, seed)
    known, rows = one.split.training_models, one.split.training
    _, n_clusters = one.tuned_sizes(known)
    unseen = Unseen(one)
    routers = {
        ZERO: ZeroRouter(),
        "UniRoute, K-means": paper_kmeans(n_clusters),
        "UniRoute, learned map": paper_map(n_clusters),
        **OURS,
    }
    areas = {}
    for name, router in routers.items():
        fitted = one.fit(router, rows, known)
        for size in unseen.sizes[1:]:
            areas[name, size] = unseen.area_added(fitted, size)
    # Without any prompt, all new models look alike.
    areas[ZERO, 0] = unseen.area(np.zeros(unseen.y_test.shape))
    priced = KMeansRouter(24, random_state=one.seed)
    priced.fit(
        data.X[rows],
        data.y[np.ix_(rows, known)],
        costs=model_costs(data)[known],
        model_features="log_cost",
    )
    areas[PRICE, 0] = unseen.area_added(priced, 0)
    for size in unseen.sizes[1:]:
        for name, regressor in RETRAINED.items():
            areas[name, size] = unseen.area_retrained(regressor, size)
        areas["MLP", size] = unseen.area_mlp(size, one.seed)
    return areas


def intervals(areas, name):
    """Paired gains over ZeroRouter by number of prompts, and half their 95 % intervals."""
    sizes = [size for method, size in areas if method == name]
    gains = np.array([areas[name, size] - areas[ZERO, size] for size in sizes])
    half = sem(gains, axis=1) * t.ppf(0.975, gains.shape[1] - 1)
    return sizes, gains.mean(axis=1), half


def report(name, areas):
    print(f"\n{name}, {len(areas[ZERO, 0])} trials")
    sizes = sorted(size for method, size in areas if method == ZERO)
    print(f"{'prompts of each new model':<32}" + "".join(f"{size:>17}" for size in sizes))
    print(f"{ZERO:<32}" + "".join(f"{areas[ZERO, size].mean():>17.4f}" for size in sizes))
    for method in dict.fromkeys(method for method, _ in areas if method != ZERO):
        found = zip(*intervals(areas, method), strict=True)
        found = {size: f"{mean:+.4f} ± {half:.4f}" for size, mean, half in found}
        print(f"{method:<32}" + "".join(f"{found.get(size, ''):>17}" for size in sizes).rstrip())


def draw(results):
    figure = Figure((10, 6.6), layout="constrained")
    panels = figure.subplots(2, -(-len(results) // 2), squeeze=False)
    for ax, (name, areas) in zip(panels.ravel(), results.items(), strict=False):
        for method, (label, color, style) in DRAWN.items():
            sizes, mean, half = intervals(areas, method)
            places = [SIZES.index(size) for size in sizes]
            ax.plot(places, mean, style, color=color, label=label, linewidth=2)
            ax.fill_between(places, mean - half, mean + half, color=color, alpha=0.15, linewidth=0)
        low, high = ax.get_ylim()
        _, mean, half = intervals(areas, PRICE)
        label = "KMeansRouter, from the price alone"
        # A point above the others would flatten them.
        inside = np.clip(mean, low + 0.05 * (high - low), high - 0.05 * (high - low))
        ax.errorbar([0], inside, half, fmt="*", color="#0072B2", markersize=10, label=label)
        if inside != mean:
            ax.annotate(f" {mean[0]:+.3f}", (0, inside[0]), va="center")
        ax.axhline(0, color="0.5", linewidth=1)
        ax.set(title=name.replace("_", " "), ylim=(low, high))
        ax.set_xticks(range(len(SIZES)), [str(size) for size in SIZES])
        ax.grid(alpha=0.3)
    for ax in panels.ravel()[len(results) :]:
        ax.remove()
    for ax in panels[-1]:
        ax.set_xlabel("prompts that a new model is known from")
    for ax in panels[:, 0]:
        ax.set_ylabel("gain in area over ZeroRouter")
    handles = panels[0, 0].get_legend_handles_labels()
    figure.legend(*handles, loc="outside lower center", ncols=3)
    RESULTS.mkdir(exist_ok=True)
    figure.savefig(RESULTS / "gains-prompts.png", dpi=110)


def main():
    n_trials = arguments(__doc__, trials=40).trials
    results = {}
    for name, data, model_share in real_data():
        data.X = data.X.astype(np.float32)
        results[name] = stacked(run_trials(trial, range(n_trials), data, model_share))
        report(name, results[name])
    draw(results)


if __name__ == "__main__":
    main()
