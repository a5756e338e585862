"""Reports on a fitted router over clusters, and whether it still fits the traffic."""

from sklearn_uniroute.inspection._clusters import cluster_report, excess_risk
from sklearn_uniroute.inspection._drift import drift_report, model_drift
from sklearn_uniroute.inspection._similarity import ModelSimilarityDisplay, model_similarity

__all__ = [
    "ModelSimilarityDisplay",
    "cluster_report",
    "drift_report",
    "excess_risk",
    "model_drift",
    "model_similarity",
]
