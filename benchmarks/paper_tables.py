"""The paper's tables on each real file: dynamic pools (figures 2 and 6) and static ones (table 1).

Run as ``python -m benchmarks.paper_tables --table {dynamic,static} [--trials N]``. A trial splits
prompts 60 : 10 : 30 into training, validation and test. For the dynamic table it splits the models
too: routers are fitted on the training models, take in the others from the validation prompts
alone, and choose among these. For the static table all models are known on training and validation
prompts. Numbers of neighbours and of clusters, K, are tuned as in the paper (G.1): in each trial,
by the area of the training models on the validation prompts. The learned map takes the number of
clusters that K-means gets. Our rows have K = 24 throughout.

Printed are the mean area, the median quality-neutral cost (QNC) over trials, and a mark * where a
two-sided sign test at the level of .01 finds a row worse than the best row. Clairvoyant rows, which
see labels of the unseen models on all training prompts, are not candidates for the best.
"""

import argparse

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
from sklearn_uniroute._splits import draw_split
from sklearn_uniroute.metrics import deferral_area_score, quality_neutral_cost
from sklearn_uniroute.model_selection import make_deferral_scorer

LEVEL = 0.01
K = 24


def paper_kmeans(n_clusters):
    return KMeansRouter(n_clusters, representation="mean", temperature=0)


def paper_map(n_clusters):
    return LearnedMapRouter(
        n_clusters, representation="mean", cluster_weight=0, max_epochs=5, device="cpu"
    )


def k_nearest(n_neighbors):
    return KNeighborsRouter(n_neighbors, n_validation=None)


OURS = {
    f"Posterior, K-means (K = {K})": KMeansRouter(K),
    f"Posterior, learned map (K = {K})": LearnedMapRouter(K, device="cpu"),
    f"Hybrid (K = {K})": HybridRouter(K),
}
MLP, MATFAC = MLPRouter(device="cpu"), MatrixFactorizationRouter()


def candidates(table, n_validation):
    """Numbers of neighbours and of clusters to choose from, as in the paper."""
    if table == "static":
        sizes = np.array([5, 10, 25, 50, 75, 100, 150, 200, 250, 300])
        sizes = sizes[sizes <= n_validation / 3]
        return sizes, sizes
    clusters = np.geomspace(3, n_validation // 50, 4)
    neighbors = np.geomspace(5, n_validation // 3, 6)
    return [np.unique(sizes.round().astype(int)) for sizes in (neighbors, clusters)]


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
        X, y, costs = self.data.X[rows], self.data.y[np.ix_(rows, models)], self.costs(rows, models)
        return tuple(
            make_deferral_scorer(metric, pool=pool)(router, X, y, costs=costs)
            for metric in (deferral_area_score, quality_neutral_cost)
        )

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

    def tuned(self, make_router, sizes, models):
        """The size with the highest area of these models on validation prompts."""
        split = self.split
        areas = [
            self.scores(
                self.fit(make_router(int(size)), split.training, models), split.validation, models
            )[0]
            for size in sizes
        ]
        return int(sizes[np.argmax(areas)])

    def rows(self, table):
        """Scores of each row of a table, by name, and the sizes that were chosen."""
        static = table == "static"
        models = np.arange(self.data.y.shape[1]) if static else self.split.training_models
        neighbors, clusters = candidates(table, len(self.split.validation))
        neighbors = self.tuned(k_nearest, neighbors, models)
        clusters = self.tuned(paper_kmeans, clusters, models)
        routers = {
            "ZeroRouter": ZeroRouter(),
            "K-NN": k_nearest(neighbors),
            "UniRoute, K-means": paper_kmeans(clusters),
            "UniRoute, learned map": paper_map(clusters),
            f"UniRoute, K-means (K = {K})": paper_kmeans(K),
            **OURS,
        }
        if static:
            routers |= {"MLP": MLP, "Matrix factorization": MATFAC, "Linear": LinearRouter()}
            return self.scored(self.static, routers), (neighbors, clusters)
        clairvoyant = {"MLP": MLP, "MatFac": MATFAC, "hybrid": HybridRouter(K)}
        return {
            **self.scored(self.retrained, {"MLP": MLP, "MatFac": MATFAC}, "Retrained "),
            **self.scored(self.added, routers),
            **self.scored(self.clairvoyant, clairvoyant, "Clairvoyant "),
        }, (neighbors, clusters)

    def scored(self, score, routers, prefix=""):
        return {prefix + name: score(router) for name, router in routers.items()}


def is_worse(values, best):
    """Sign test of paired scores, of which more is better, at the level of the paper."""
    above, below = np.sum(values > best), np.sum(values < best)
    if above + below == 0:
        return False
    return above < below and binomtest(int(above), int(above + below)).pvalue < LEVEL


def report(name, results):
    scores = {row: [rows[row] for rows, _ in results] for row in results[0][0]}
    neighbors, clusters = np.median([sizes for _, sizes in results], axis=0)
    print(
        f"\n{name}, {len(results)} trials; median K of K-NN {neighbors:g}, of K-means {clusters:g}"
    )
    print(f"{'':<34}{'area':>7}   {'QNC':>7}")
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
        print(f"{row:<34}{values[:, 0].mean():7.4f} {marks[0]} {qnc} {marks[1]}")
    for row in scores:
        if row.startswith("Clairvoyant"):
            gain = columns[row][:, 0] - best[0]
            error = gain.std(ddof=1) / np.sqrt(len(gain))
            print(f"{row} less the best row that sees no more: {gain.mean():+.4f} ± {error:.4f}")


def run_trial(table, data, n_training_models, seed):
    return Trial(data, n_training_models, seed).rows(table)


def run_table(table, n_trials):
    for name, data, model_share in real_data():
        n_training_models = int(model_share * data.y.shape[1])
        with threadpool_limits(1):
            results = Parallel(n_jobs=-1)(
                delayed(run_trial)(table, data, n_training_models, seed)
                for seed in np.random.SeedSequence(0).generate_state(n_trials)
            )
        report(name, results)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--table", choices=["dynamic", "static"], required=True)
    parser.add_argument("--trials", type=int, default=40)
    args = parser.parse_args()
    run_table(args.table, args.trials)


if __name__ == "__main__":
    main()
