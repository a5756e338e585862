"""Every router, set up so that it has something to get wrong."""

from sklearn_uniroute import KMeansRouter, KNeighborsRouter, LearnedMapRouter, ZeroRouter

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
    KNeighborsRouter(20, n_validation=60, random_state=0),
    KNeighborsRouter(7, n_validation=60, random_state=0),
    KNeighborsRouter(5, weights="distance", metric="cosine", n_validation=60, random_state=0),
]
