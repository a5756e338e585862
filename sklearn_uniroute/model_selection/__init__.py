"""Choosing and evaluating routers: scorers, and models that they have not seen."""

from sklearn_uniroute.metrics._scorers import (
    DeferralScorer,
    deferral_area_scorer,
    make_deferral_scorer,
    peak_quality_scorer,
    qnc_scorer,
)
from sklearn_uniroute.model_selection._compare import compare_routers
from sklearn_uniroute.model_selection._comparison import RouterComparison
from sklearn_uniroute.model_selection._few_shot_curve import few_shot_curve
from sklearn_uniroute.model_selection._search import (
    DynamicPoolSplit,
    PoolFold,
    dynamic_cross_validate,
)

__all__ = [
    "DeferralScorer",
    "DynamicPoolSplit",
    "PoolFold",
    "RouterComparison",
    "compare_routers",
    "deferral_area_scorer",
    "dynamic_cross_validate",
    "few_shot_curve",
    "make_deferral_scorer",
    "peak_quality_scorer",
    "qnc_scorer",
]
