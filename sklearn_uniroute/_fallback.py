"""Falling back to one model for prompts unlike those of training."""

from typing import Any

import numpy as np

from sklearn_uniroute._cluster_router import ClusterRouter
from sklearn_uniroute._clusters import center_distances, far_distance
from sklearn_uniroute._parameters import check_fallback
from sklearn_uniroute._routing import leave_one_choice
from sklearn_uniroute._validation import check_fallback_stays, find_fallback


class FallbackRouter(ClusterRouter):
    """Base class of routers over clusters with parameters `fallback` and `alpha`.

    A subclass has `cluster_centers_` and `distance_quantiles_`, and calls ``_fit_fallback(X)`` once
    these are set.
    """

    fallback: Any
    alpha: float
    cluster_centers_: np.ndarray
    distance_quantiles_: np.ndarray
    calibration_far_: Any

    def _check_params(self):
        super()._check_params()
        check_fallback(self.fallback, self.alpha)

    def _check_data(self, costs):
        super()._check_data(costs)
        if self.fallback is not None:
            find_fallback(self.fallback, self.models_, self.costs_)

    def _check_removal(self, name):
        super()._check_removal(name)
        check_fallback_stays(name, self.fallback_)

    def _fit_fallback(self, X):
        # Set for good: budgets are kept with what falls back.
        self.fallback_ = self.fallback
        self.fallback_distance_ = None
        if self.fallback is not None:
            self.fallback_distance_ = far_distance(X, self.distance_quantiles_, self.alpha)

    def _is_far(self, X):
        return center_distances(X, self.cluster_centers_)[0] > self.fallback_distance_

    def _calibration(self, index):
        error, costs, weights = super()._calibration(index)
        if self.fallback_ is not None:
            error, costs = self._fall_back(error, costs, self.calibration_far_, index)
        return error, costs, weights

    def _routing_terms(self, X, index, costs=None):
        error, costs = super()._routing_terms(X, index, costs)
        if self.fallback_ is not None:
            error, costs = self._fall_back(error, costs, self._is_far(X), index)
        return error, costs

    def _fall_back(self, error, costs, far, index):
        prices = None if self.costs_ is None else self.costs_[index]
        # By registration order, so that the pool's own order decides no tie.
        order = np.argsort(index)
        if prices is not None:
            prices = prices[order]
        position = find_fallback(self.fallback_, self.models_[index[order]], prices)
        return leave_one_choice(error, costs, far, order[position])

    @property
    def _shares_choices(self):
        return super()._shares_choices and self.fallback_ is None
