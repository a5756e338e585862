"""Route each prompt to the cheapest model that will do, over a pool that changes."""

from importlib import import_module
from typing import TYPE_CHECKING

from sklearn_uniroute import metrics, model_selection, routers, utils
from sklearn_uniroute._attributes import AttributeEncoder
from sklearn_uniroute._numerics._selection import select_validation_prompts
from sklearn_uniroute._persistence import load_router, save_router
from sklearn_uniroute._version import __version__
from sklearn_uniroute.metrics import DeferralCurveDisplay
from sklearn_uniroute.model_selection import FewShotCurveDisplay
from sklearn_uniroute.routers import (
    CascadeRouter,
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
from sklearn_uniroute.serving._cascade_table import CascadeTable
from sklearn_uniroute.serving._pacer import BudgetPacer
from sklearn_uniroute.serving._routing_table import RoutingTable

__all__ = [
    "AttributeEncoder",
    "BudgetPacer",
    "CascadeRouter",
    "CascadeTable",
    "DeferralCurveDisplay",
    "EnsembleRouter",
    "FeatureMapRouter",
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
    "routers",
    "save_router",
    "select_validation_prompts",
    "utils",
]

# Imported at first use, as they import much of scikit-learn and SciPy that routing does not need.
if TYPE_CHECKING:
    from sklearn_uniroute import datasets, inspection
else:

    def __getattr__(name):
        if name in ("datasets", "inspection"):
            return import_module(f"{__name__}.{name}")
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
