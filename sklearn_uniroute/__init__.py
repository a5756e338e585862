"""Route each prompt to the cheapest model that will do, over a pool that changes."""

from sklearn_uniroute import datasets, metrics
from sklearn_uniroute._display import DeferralCurveDisplay
from sklearn_uniroute._kmeans import KMeansRouter
from sklearn_uniroute._neighbors import KNeighborsRouter
from sklearn_uniroute._selection import select_validation_prompts
from sklearn_uniroute._version import __version__
from sklearn_uniroute._zero import ZeroRouter

__all__ = [
    "DeferralCurveDisplay",
    "KMeansRouter",
    "KNeighborsRouter",
    "ZeroRouter",
    "__version__",
    "datasets",
    "metrics",
    "select_validation_prompts",
]
