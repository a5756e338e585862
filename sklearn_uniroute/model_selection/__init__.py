"""Choice and evaluation of routers: scorers, and models that a router has not seen."""

from sklearn_uniroute.metrics._scorers import (
    DeferralScorer,
    deferral_area_scorer,
    make_deferral_scorer,
    peak_quality_scorer,
    qnc_scorer,
)
from sklearn_uniroute.model_selection._compare import RouterComparison, compare_routers
from sklearn_uniroute.model_selection._few_shot_curve import FewShotCurveDisplay, few_shot_curve
from sklearn_uniroute.model_selection._search import dynamic_cross_validate
from sklearn_uniroute.model_selection._split import DynamicPoolSplit, PoolFold

__all__ = [
    "DeferralScorer",
    "DynamicPoolSplit",
    "FewShotCurveDisplay",
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
