"""Routers, and the base class for routers of your own."""

from sklearn_uniroute.routers._base import BaseRouter
from sklearn_uniroute.routers._cascade import CascadeRouter
from sklearn_uniroute.routers._ensemble import EnsembleRouter
from sklearn_uniroute.routers._feature_map import FeatureMapRouter
from sklearn_uniroute.routers._hybrid import HybridRouter
from sklearn_uniroute.routers._kmeans import KMeansRouter
from sklearn_uniroute.routers._learned_map import LearnedMapRouter
from sklearn_uniroute.routers._linear import LinearRouter
from sklearn_uniroute.routers._matrix_factorization import MatrixFactorizationRouter
from sklearn_uniroute.routers._mlp import MLPRouter
from sklearn_uniroute.routers._neighbors import KNeighborsRouter
from sklearn_uniroute.routers._zero import ZeroRouter

__all__ = [
    "BaseRouter",
    "CascadeRouter",
    "EnsembleRouter",
    "FeatureMapRouter",
    "HybridRouter",
    "KMeansRouter",
    "KNeighborsRouter",
    "LearnedMapRouter",
    "LinearRouter",
    "MLPRouter",
    "MatrixFactorizationRouter",
    "ZeroRouter",
]
