"""Falling back to one model for prompts unlike those of training."""

from typing import Any

import numpy as np

from sklearn_uniroute._numerics._clusters import far_distance
from sklearn_uniroute._numerics._features import NearestCluster
from sklearn_uniroute._numerics._predictors import Fallback, FeaturePredictor
from sklearn_uniroute.routers._cluster import (
    ClusterRouter,
    check_fallback,
    check_fallback_stays,
    find_fallback,
)
from sklearn_uniroute.utils._typing import Label


class FallbackRouter(ClusterRouter):
    """Base class of routers over clusters with parameters `fallback` and `alpha`.

    A subclass has `cluster_centers_` and `distance_quantiles_`, and calls ``_fit_fallback(X)`` once
    these are set.
    """

    fallback: Any
    alpha: float
    cluster_centers_: np.ndarray
    distance_quantiles_: np.ndarray
    fallback_distance_: Any
    calibration_far_: Any

    def _check_params(self) -> None:
        super()._check_params()
        check_fallback(self.fallback, self.alpha)

    def _check_data(self, costs: np.ndarray | None) -> None:
        super()._check_data(costs)
        if self.fallback is not None:
            find_fallback(self.fallback, self.models_, self.costs_)

    def _check_removal(self, name: Label) -> None:
        super()._check_removal(name)
        check_fallback_stays(name, self.fallback_)

    def _fit_fallback(self, X: np.ndarray) -> None:
        # Set for good: budgets are kept with what falls back.
        self.fallback_ = self.fallback
        self.fallback_distance_ = None
        if self.fallback is not None:
            self.fallback_distance_ = far_distance(X, self.distance_quantiles_, self.alpha)

    def _predictor(self, index: np.ndarray) -> FeaturePredictor:
        predictor = super()._predictor(index)
        if self.fallback_ is not None:
            predictor.fallback = self._fallback_among(index)
        return predictor

    def _fallback_among(self, index: np.ndarray) -> Fallback:
        # By registration order, so that the pool's own order decides no tie.
        order = np.argsort(index)
        known = index[order]
        prices = None if self.costs_ is None else self.costs_[known]
        position = order[find_fallback(self.fallback_, self.models_[known], prices)]
        nearest = NearestCluster(self.cluster_centers_)
        return Fallback(nearest, self.fallback_distance_, int(position))

    def _calibration(self, index: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        predictor = self._predictor(index)
        terms = predictor.terms_at(self.calibration_features_, self.calibration_far_)
        return *terms, self.calibration_weights_
