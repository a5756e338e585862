"""The paper's protocol on one split of a file: its routers, their tuning, and how they are scored.

A trial splits prompts 60 : 10 : 30 into training, validation and test (400 for validation of
fetched sets where the paper takes so many), and models into those to train on and unseen ones.
Numbers of neighbours and of clusters are tuned as in the paper (G.1), but in each trial: by the
area of the training models on the validation prompts. The learned map takes the number of clusters
that K-means gets, and its five epochs also where the pool is static. Other settings are not tuned.
"""

from typing import NamedTuple

import numpy as np
from sklearn.base import clone

from benchmarks._runner import add_unseen, draw_split, model_costs, run_trials
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
from sklearn_uniroute.metrics import (
    deferral_area_score,
    deferral_curve,
    peak_quality_score,
    quality_neutral_cost,
)
from sklearn_uniroute.metrics._curve import least_cost

K = 24
CPU = {"device": "cpu"}
MLP, MATFAC = MLPRouter(**CPU), MatrixFactorizationRouter()
METRICS = (deferral_area_score, quality_neutral_cost, peak_quality_score)
GRID_SIZE = 300
# Costs relative to that of the most accurate model, at which mean curves are read.
RELATIVE_COSTS = np.linspace(0, 1.5, 301)


def paper_kmeans(n_clusters):
    return KMeansRouter(n_clusters, representation="mean", temperature=0)


def paper_map(n_clusters):
    net_params = {"max_epochs": 5, **CPU}
    return LearnedMapRouter(
        n_clusters, representation="mean", cluster_weight=0, net_params=net_params
    )


def k_nearest(n_neighbors):
    return KNeighborsRouter(n_neighbors, n_validation=None)


OURS = {
    f"Posterior, K-means (K = {K})": KMeansRouter(K),
    f"Posterior, learned map (K = {K})": LearnedMapRouter(K, net_params=CPU),
    f"Hybrid (K = {K})": HybridRouter(K),
}


class Scores(NamedTuple):
    """What a router makes of a pool on the prompts it is scored on."""

    area: float
    qnc: float
    peak: float
    curve: np.ndarray
    # Quality above that of the most accurate model, at each of RELATIVE_COSTS.
    gain: np.ndarray


def candidates(static, n_validation):
    """Numbers of neighbours and of clusters to choose from, as in the paper."""
    if static:
        sizes = np.array([5, 10, 25, 50, 75, 100, 150, 200, 250, 300])
        sizes = sizes[sizes <= n_validation / 3]
        return sizes, sizes
    clusters = np.geomspace(3, max(3, n_validation // 50), 4)
    neighbors = np.geomspace(5, max(5, n_validation // 3), 6)
    return [np.unique(sizes.round().astype(int)) for sizes in (neighbors, clusters)]


class Trial:
    """One split of a file; a tenth of the prompts for validation if not told how many."""

    def __init__(self, data, model_share, seed, n_validation=None):
        self.data = data
        self.seed = int(seed % 2**31)
        costs = model_costs(data)
        self.split = draw_split(
            np.random.RandomState(seed),
            len(data.X),
            costs,
            n_validation or len(data.X) // 10,
            int(model_share * len(costs)),
        )
        # Where costs differ much, curves are looked at on a logarithmic axis.
        low, high = costs.min(), costs.max()
        space = np.geomspace if low > 0 and high >= 20 * low else np.linspace
        self.grid = space(low, high, GRID_SIZE)

    def cells(self, rows, models):
        """Quality and costs, of models or of calls."""
        costs = self.data.costs
        part = np.ix_(rows, models)
        return self.data.y[part], costs[part] if costs.ndim == 2 else costs[models]

    def fit(self, router, rows, models, X_val=None):
        router = clone(router).set_params(random_state=self.seed)
        y, costs = self.cells(rows, models)
        return router.fit(self.data.X[rows], y, costs=costs, X_val=X_val)

    def scores(self, router, rows, models, pool=None):
        """Score a router on prompts, for the pool of these models."""
        y, costs = self.cells(rows, models)
        *inputs, routing_costs = router.curve_inputs(self.data.X[rows], y, costs, pool)
        scores = [metric(*inputs, routing_costs=routing_costs) for metric in METRICS]
        cost, quality, _ = deferral_curve(*inputs, routing_costs=routing_costs)
        # Where calls differ in cost, the average may fall between two points.
        cost = np.maximum.accumulate(cost)
        heights = np.interp(self.grid, cost, quality)
        accuracy = np.nanmean(y, axis=0)
        best = accuracy >= accuracy.max() - 1e-9
        best_cost = np.nanmean(np.atleast_2d(costs), axis=0)[best].min()
        gain = np.interp(RELATIVE_COSTS * best_cost, cost, quality) - accuracy.max()
        return Scores(*scores, np.where(self.grid >= cost[0], heights, np.nan), gain)

    def added(self, router):
        """Fit on the training models and take in the others from the validation prompts."""
        split, data = self.split, self.data
        known, validation = split.training_models, split.validation
        router = self.fit(router, split.training, known, data.X[validation])
        pool = add_unseen(router, data.y, data.costs, validation, split.unseen_models)
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

    def area_by_size(self, make_router, sizes, models):
        """Areas of these models on validation prompts by number of neighbours or clusters."""
        split = self.split
        return [
            self.scores(
                self.fit(make_router(int(size)), split.training, models), split.validation, models
            ).area
            for size in sizes
        ]

    def tuned_sizes(self, models, *, static=False):
        """The numbers of neighbours and of clusters that the paper would choose."""
        makers = k_nearest, paper_kmeans
        return [
            int(sizes[np.argmax(self.area_by_size(make_router, sizes, models))])
            for make_router, sizes in zip(
                makers, candidates(static, len(self.split.validation)), strict=True
            )
        ]


def dynamic_routers(n_neighbors, n_clusters):
    """Routers that take in new models, by name."""
    return {
        "ZeroRouter": ZeroRouter(),
        "K-NN": k_nearest(n_neighbors),
        "UniRoute, K-means": paper_kmeans(n_clusters),
        "UniRoute, learned map": paper_map(n_clusters),
        f"UniRoute, K-means (K = {K})": paper_kmeans(K),
        **OURS,
    }


def score_all(score, routers, prefix=""):
    return {prefix + name: score(router) for name, router in routers.items()}


def dynamic_rows(trial):
    """Scores of all routers with unseen models, by name, and the sizes that were chosen."""
    sizes = trial.tuned_sizes(trial.split.training_models)
    clairvoyant = {"MLP": MLP, "MatFac": MATFAC, "hybrid": HybridRouter(K)}
    return {
        **score_all(trial.retrained, {"MLP": MLP, "MatFac": MATFAC}, "Retrained "),
        **score_all(trial.added, dynamic_routers(*sizes)),
        **score_all(trial.clairvoyant, clairvoyant, "Clairvoyant "),
    }, sizes


def static_rows(trial):
    """Scores of all routers where every model is known, by name, and the sizes."""
    sizes = trial.tuned_sizes(np.arange(trial.data.y.shape[1]), static=True)
    routers = dynamic_routers(*sizes) | {
        "MLP": MLP,
        "Matrix factorization": MATFAC,
        "Linear": LinearRouter(),
    }
    return score_all(trial.static, routers), sizes


def mean_curve_qnc(gains):
    """The least relative cost at which curves, averaged over trials, reach the best model.

    The paper reads the quality-neutral cost off a mean curve. Pools differ from trial to trial, so
    curves are averaged at equal costs relative to the trial's most accurate model.
    """
    mean = gains.mean(axis=0)
    return least_cost(RELATIVE_COSTS, mean, 0.0, -1e-9)


def scored_trial(rows, data, model_share, n_validation, seed):
    """Scores and sizes of one trial, with its split and its axis of costs."""
    trial = Trial(data, model_share, seed, n_validation)
    return *rows(trial), trial.split, trial.grid


def paper_trials(function, n_trials, *arguments):
    """Call a function with a seed for each trial, the others in parallel."""
    return run_trials(function, np.random.SeedSequence(0).generate_state(n_trials), *arguments)
