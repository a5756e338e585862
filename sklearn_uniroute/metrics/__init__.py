"""Exact deferral curves, and the scores read off them.

Every function takes the same arrays: what the models got right, which error a router predicts for
each of them, and what they cost. None needs a router.
"""

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
    "aiq_score",
    "apgr_score",
    "cost_saving_score",
    "cpt_score",
    "deferral_area_score",
    "deferral_curve",
    "peak_quality_score",
    "quality_neutral_cost",
]
