"""Exact deferral curves, their scores and their plots.

The functions take arrays and need no router: the quality of the models, the errors that a router
predicts for them, and their costs.
"""

from sklearn_uniroute.metrics._off_policy import off_policy_value
from sklearn_uniroute.metrics._plot import DeferralCurveDisplay
from sklearn_uniroute.metrics._scores import (
    aiq_score,
    apgr_score,
    cost_saving_score,
    cpt_score,
    deferral_area_score,
    deferral_curve,
    peak_quality_score,
    quality_neutral_cost,
)

__all__ = [
    "DeferralCurveDisplay",
    "aiq_score",
    "apgr_score",
    "cost_saving_score",
    "cpt_score",
    "deferral_area_score",
    "deferral_curve",
    "off_policy_value",
    "peak_quality_score",
    "quality_neutral_cost",
]
