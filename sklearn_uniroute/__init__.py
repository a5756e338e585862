"""Route each prompt to the cheapest model that will do, over a pool that changes."""

from sklearn_uniroute import datasets, inspection, metrics, model_selection
from sklearn_uniroute._attributes import AttributeEncoder
from sklearn_uniroute._numerics._selection import select_validation_prompts
from sklearn_uniroute._persistence import load_router, save_router
from sklearn_uniroute._version import __version__
from sklearn_uniroute.metrics._plot import DeferralCurveDisplay
from sklearn_uniroute.model_selection._few_shot_curve import FewShotCurveDisplay
from sklearn_uniroute.routers._hybrid import HybridRouter
from sklearn_uniroute.routers._kmeans import KMeansRouter
from sklearn_uniroute.routers._learned_map import LearnedMapRouter
from sklearn_uniroute.routers._linear import LinearRouter
from sklearn_uniroute.routers._matrix_factorization import MatrixFactorizationRouter
from sklearn_uniroute.routers._mlp import MLPRouter
from sklearn_uniroute.routers._neighbors import KNeighborsRouter
from sklearn_uniroute.routers._zero import ZeroRouter
from sklearn_uniroute.serving._routing_table import RoutingTable

__all__ = [
    "AttributeEncoder",
    "DeferralCurveDisplay",
    "FewShotCurveDisplay",
    "HybridRouter",
    "KMeansRouter",
    "KNeighborsRouter",
    "LearnedMapRouter",
    "LinearRouter",
    "MLPRouter",
    "MatrixFactorizationRouter",
    "RoutingTable",
    "ZeroRouter",
    "__version__",
    "datasets",
    "inspection",
    "load_router",
    "metrics",
    "model_selection",
    "save_router",
    "select_validation_prompts",
]
