"""Every router, set up so that it has something to get wrong."""

from sklearn.kernel_approximation import Nystroem

from sklearn_uniroute import (
    EnsembleRouter,
    FeatureMapRouter,
    HybridRouter,
    KMeansRouter,
    KNeighborsRouter,
    LearnedMapRouter,
    LinearRouter,
    MatrixFactorizationRouter,
    MLPRouter,
    ZeroRouter,
)

ROUTERS = [
    ZeroRouter(n_validation=60, random_state=0),
    KMeansRouter(6, n_validation=60, random_state=0),
    KMeansRouter(6, representation="mean", validation="random", n_validation=60, random_state=0),
    KMeansRouter(6, temperature=0, n_validation=60, random_state=0),
    LearnedMapRouter(6, n_validation=60, random_state=0),
    LearnedMapRouter(
        6,
        hidden_layer_sizes=(),
        cluster_weight=0,
        representation="mean",
        n_validation=60,
        random_state=0,
    ),
    HybridRouter(6, n_components=3, n_validation=60, random_state=0),
    HybridRouter(6, temperature=0, validation="random", n_validation=60, random_state=0),
    LinearRouter(alpha=3, n_validation=60, random_state=0),
    MatrixFactorizationRouter(n_validation=60, random_state=0),
    MatrixFactorizationRouter(2, alpha=0.1, n_validation=60, random_state=0),
    MLPRouter((16, 16), max_epochs=5, n_validation=60, random_state=0),
    KNeighborsRouter(20, n_validation=60, random_state=0),
    KNeighborsRouter(7, n_validation=60, random_state=0),
    KNeighborsRouter(n_validation=60, random_state=0),
    KNeighborsRouter(5, weights="distance", metric="cosine", n_validation=60, random_state=0),
    FeatureMapRouter(Nystroem(n_components=20, random_state=0), n_validation=60, random_state=0),
    EnsembleRouter(
        [("kmeans", KMeansRouter(6)), ("neighbors", KNeighborsRouter(20))],
        weights=[2, 1],
        n_validation=60,
        random_state=0,
    ),
]
