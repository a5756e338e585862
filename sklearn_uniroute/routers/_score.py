"""The score of a router: one number whatever its costs are."""

import numpy as np
from numpy.typing import ArrayLike

from sklearn_uniroute.metrics._curve import has_range, model_means
from sklearn_uniroute.metrics._scores import deferral_area_score, deferral_curve
from sklearn_uniroute.utils._validation import check_sample_weight


def curve_score(
    y: np.ndarray,
    error: np.ndarray,
    costs: np.ndarray | None,
    routing_costs: np.ndarray | None = None,
    sample_weight: ArrayLike | None = None,
) -> float:
    """Area under the deferral curve, or the quality at a cost weight of 0 where there is none."""
    if costs is None or not has_range(
        model_means(costs, check_sample_weight(sample_weight, len(y)))
    ):
        single = np.zeros(error.shape[1])
        _, quality, _ = deferral_curve(y, error, single, sample_weight=sample_weight)
        return float(quality[-1])
    return deferral_area_score(
        y, error, costs, routing_costs=routing_costs, sample_weight=sample_weight
    )
