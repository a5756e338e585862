"""The paper's tables on each real file: dynamic pools (figures 2 and 6) and static ones (table 1).

Run as ``python -m benchmarks.paper_tables --table {dynamic,static} [--trials N]``. A trial splits
prompts 60 : 10 : 30 into training, validation and test. For the dynamic table it splits the models
too: routers are fitted on the training models, take in the others from the validation prompts
alone, and choose among these. For the static table all models are known on training and validation
prompts. Numbers of neighbours and clusters are tuned as in the paper (G.1), on five other splits.

Printed are the mean area, the median quality-neutral cost (QNC) over trials, and a mark * where a
two-sided sign test at the level of .01 finds a row worse than the best row. Clairvoyant rows, which
see labels of the unseen models on all training prompts, are not candidates for the best.
"""

import argparse
from functools import partial

import numpy as np
from joblib import Parallel, delayed
from scipy.stats import binomtest
from sklearn.base import clone
from threadpoolctl import threadpool_limits

from benchmarks._data import real_data
from sklearn_uniroute import (
    HybridRouter,
    KMeansRouter,
    KNeighborsRouter,
    LearnedMapRouter,
    LinearRouter,
    MatrixFactorizationRouter,
    MLPRouter,
    ZeroRouter,
)
from sklearn_uniroute._compare import draw_split
from sklearn_uniroute.metrics import deferral_area_score, quality_neutral_cost

LEVEL = 0.01
N_TUNING_SPLITS = 5
K_OF_OURS = 24


def paper_kmeans(n_clusters):
    return KMeansRouter(n_clusters, representation="mean", temperature=0)


def paper_map(n_clusters):
    return LearnedMapRouter(
        n_clusters, representation="mean", cluster_weight=0, max_epochs=5, device="cpu"
    )


def k_nearest(n_neighbors):
    return KNeighborsRouter(n_neighbors, n_validation=None)


OURS = {
    "Posterior, K-means": KMeansRouter(K_OF_OURS),
    "Posterior, learned map": LearnedMapRouter(K_OF_OURS, device="cpu"),
    "Hybrid": HybridRouter(K_OF_OURS),
}
MLP, MATFAC = MLPRouter(device="cpu"), MatrixFactorizationRouter()
TUNED = {"K-NN": k_nearest, "UniRoute, K-means": paper_kmeans, "UniRoute, learned map": paper_map}


def candidates(table, n_validation):
    """Numbers of neighbours and of clusters to choose from, as in the paper."""
    if table == "static":
        sizes = np.array([5, 10, 25, 50, 75, 100, 150, 200, 250, 300])
        sizes = sizes[sizes <= n_validation / 3]
        # The learned map takes the clusters that K-means has chosen.
        return {"K-NN": sizes, "UniRoute, K-means": sizes}
    clusters = np.unique(np.geomspace(3, n_validation // 50, 4).round().astype(int))
    neighbors = np.unique(np.geomspace(5, n_validation // 3, 6).round().astype(int))
    return {"K-NN": neighbors, "UniRoute, K-means": clusters, "UniRoute, learned map": clusters}


class Trial:
    """One split of a file."""

    def __init__(self, data, n_training_models, seed):
        self.data = data
        self.seed = int(seed % 2**31)
        costs = np.atleast_2d(data.costs).mean(axis=0)
        self.split = draw_split(
            np.random.RandomState(seed), len(data.X), costs, len(data.X) // 10, n_training_models
        )

    def costs(self, rows, models):
        costs = self.data.costs
        return costs[np.ix_(rows, models)] if costs.ndim == 2 else costs[models]

    def fit(self, router, rows, models, X_val=None):
        router = clone(router).set_params(random_state=self.seed)
        y = self.data.y[np.ix_(rows, models)]
        return router.fit(self.data.X[rows], y, costs=self.costs(rows, models), X_val=X_val)

    def scores(self, router, rows, models, pool=None):
        """Area and quality-neutral cost on prompts, for the pool of these models."""
        costs = self.costs(rows, models)
        prices = router.costs_ if pool is None else router.costs_[pool]
        curve = {
            "y_true": self.data.y[np.ix_(rows, models)],
            "error_pred": router.predict_error(self.data.X[rows], pool),
            "costs": costs,
            "routing_costs": prices if costs.ndim == 2 else costs,
        }
        return deferral_area_score(**curve), quality_neutral_cost(**curve)

    def added(self, router):
        """Fit on the training models and take in the others from the validation prompts."""
        split, data = self.split, self.data
        known, validation = split.training_models, split.validation
        router = self.fit(router, split.training, known, data.X[validation])
        for name, model in enumerate(split.unseen_models, start=len(known)):
            cost = self.costs(validation, [model])
            cost = cost[:, 0] if cost.ndim == 2 else cost[0]
            router.add_model(1 - data.y[validation, model], name=name, cost=cost)
        pool = len(known) + np.arange(len(split.unseen_models))
        return self.scores(router, split.test, split.unseen_models, pool)

    def retrained(self, router):
        """Fit on the validation prompts alone."""
        split = self.split
        router = self.fit(router, split.validation, split.unseen_models)
        return self.scores(router, split.test, split.unseen_models)

    def clairvoyant(self, router):
        """Fit on the labels of all models, on training and validation prompts."""
        split = self.split
        models = np.arange(self.data.y.shape[1])
        router = self.fit(router, np.concatenate([split.training, split.validation]), models)
        return self.scores(router, split.test, split.unseen_models, split.unseen_models)

    def static(self, router):
        """As clairvoyant, with all models in the pool."""
        split = self.split
        models = np.arange(self.data.y.shape[1])
        router = self.fit(router, np.concatenate([split.training, split.validation]), models)
        return self.scores(router, split.test, models)

    def known_models(self, table):
        """Models that sizes are tuned on."""
        return np.arange(self.data.y.shape[1]) if table == "static" else self.split.training_models

    def tuning(self, router, models):
        """Area of these models on the validation prompts, from labels on the training prompts."""
        router = self.fit(router, self.split.training, models)
        return self.scores(router, self.split.validation, models)[0]


def choose_sizes(table, trials):
    """Pick each number of neighbours or clusters by its mean area over a few splits."""
    sizes = {}
    for name, values in candidates(table, len(trials[0].split.validation)).items():
        areas = Parallel(n_jobs=-1)(
            delayed(trial.tuning)(TUNED[name](int(size)), trial.known_models(table))
            for size in values
            for trial in trials
        )
        means = np.reshape(areas, (len(values), len(trials))).mean(axis=1)
        sizes[name] = int(values[np.argmax(means)])
    sizes.setdefault("UniRoute, learned map", sizes["UniRoute, K-means"])
    return sizes


def rows_of(table, sizes):
    """The rows of a table: name, how a trial scores it, and the router."""
    tuned = {f"{name} (K = {size})": TUNED[name](size) for name, size in sizes.items()}
    ours = {f"{name} (K = {K_OF_OURS})": router for name, router in OURS.items()}
    if table == "static":
        routers = {
            "ZeroRouter": ZeroRouter(),
            "MLP": MLP,
            "Matrix factorization": MATFAC,
            **tuned,
            **ours,
            "Linear": LinearRouter(),
        }
        return {name: (Trial.static, router) for name, router in routers.items()}
    return {
        "ZeroRouter": (Trial.added, ZeroRouter()),
        "Retrained MLP": (Trial.retrained, MLP),
        "Retrained MatFac": (Trial.retrained, MATFAC),
        **{name: (Trial.added, router) for name, router in tuned.items()},
        "Clairvoyant MLP": (Trial.clairvoyant, MLP),
        "Clairvoyant MatFac": (Trial.clairvoyant, MATFAC),
        **{name: (Trial.added, router) for name, router in ours.items()},
        "Clairvoyant hybrid": (Trial.clairvoyant, HybridRouter(K_OF_OURS)),
    }


def is_worse(values, best):
    """Sign test of paired scores, of which more is better, at the level of the paper."""
    above, below = np.sum(values > best), np.sum(values < best)
    if above + below == 0:
        return False
    return above < below and binomtest(int(above), int(above + below)).pvalue < LEVEL


def report(name, scores):
    n_trials = len(next(iter(scores.values())))
    print(f"\n{name}, {n_trials} trials\n{'':<32}{'area':>7}   {'QNC':>7}")
    rivals = [row for row in scores if not row.startswith("Clairvoyant")]
    # Less is better for the cost, more for the area.
    columns = {row: np.array(values) * [1, -1] for row, values in scores.items()}
    best = [
        columns[max(rivals, key=lambda row: columns[row][:, 0].mean())][:, 0],
        columns[max(rivals, key=lambda row: np.median(columns[row][:, 1]))][:, 1],
    ]
    for row, values in columns.items():
        marks = ["*" if is_worse(values[:, i], best[i]) else " " for i in range(2)]
        qnc = -np.median(values[:, 1])
        qnc = f"{qnc:7.1%}" if np.isfinite(qnc) else "    inf"
        print(f"{row:<32}{values[:, 0].mean():7.4f} {marks[0]} {qnc} {marks[1]}")
    for row in scores:
        if row.startswith("Clairvoyant"):
            gain = columns[row][:, 0] - best[0]
            error = gain.std(ddof=1) / np.sqrt(len(gain))
            print(f"{row} less the best row that sees no more: {gain.mean():+.4f} ± {error:.4f}")


def run_trial(data, n_training_models, rows, seed):
    trial = Trial(data, n_training_models, seed)
    return {name: score(trial, router) for name, (score, router) in rows.items()}


def run_table(table, n_trials):
    for name, data, model_share in real_data():
        n_training_models = int(model_share * data.y.shape[1])
        seeds = np.random.SeedSequence(0).generate_state(n_trials + N_TUNING_SPLITS)
        with threadpool_limits(1):
            trials = [Trial(data, n_training_models, seed) for seed in seeds[:N_TUNING_SPLITS]]
            rows = rows_of(table, choose_sizes(table, trials))
            run = partial(run_trial, data, n_training_models, rows)
            results = Parallel(n_jobs=-1)(delayed(run)(seed) for seed in seeds[N_TUNING_SPLITS:])
        report(name, {row: [one[row] for one in results] for row in rows})


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--table", choices=["dynamic", "static"], required=True)
    parser.add_argument("--trials", type=int, default=40)
    args = parser.parse_args()
    run_table(args.table, args.trials)


if __name__ == "__main__":
    main()
