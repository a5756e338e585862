"""Route each prompt to the cheapest model that will do, over a pool that changes."""

from sklearn_uniroute import datasets, inspection, metrics, model_selection
from sklearn_uniroute._attributes import AttributeEncoder
from sklearn_uniroute._display import DeferralCurveDisplay
from sklearn_uniroute._few_shot_display import FewShotCurveDisplay
from sklearn_uniroute._hybrid import HybridRouter
from sklearn_uniroute._kmeans import KMeansRouter
from sklearn_uniroute._learned_map import LearnedMapRouter
from sklearn_uniroute._linear import LinearRouter
from sklearn_uniroute._matrix_factorization import MatrixFactorizationRouter
from sklearn_uniroute._mlp import MLPRouter
from sklearn_uniroute._neighbors import KNeighborsRouter
from sklearn_uniroute._persistence import load_router, save_router
from sklearn_uniroute._routing_table import RoutingTable
from sklearn_uniroute._selection import select_validation_prompts
from sklearn_uniroute._version import __version__
from sklearn_uniroute._zero import ZeroRouter

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
