"""What routers share that regress errors on features of prompts, in closed form."""

from typing import Any

import numpy as np

from sklearn_uniroute._numerics._predictors import FeaturePredictor
from sklearn_uniroute._numerics._ridge import gram_sums, ridge_coefficients
from sklearn_uniroute.routers._base import BaseRouter
from sklearn_uniroute.utils._validation import check_positive


class RidgeRouter(BaseRouter):
    """Base class of routers that estimate errors by ridge regression, model by model.

    A subclass has a parameter `alpha`. Its `_fit_features` sets `center_`, the mean prompt, and
    `penalty_`, of shape (n_features, n_features), and its ``_phi()`` gives 1, without penalty, and
    further columns.
    """

    alpha: float
    center_: np.ndarray
    penalty_: np.ndarray
    grams_: Any
    moments_: np.ndarray
    representation_: np.ndarray
    _evidence_arrays = ("representation_", "grams_", "moments_")

    def _check_params(self) -> None:
        super()._check_params()
        check_positive(self.alpha, "alpha")

    def _fit_evidence(self, X: np.ndarray, errors: np.ndarray) -> None:
        self.grams_, self.moments_ = gram_sums(X, errors, self._phi().block)
        self.representation_ = ridge_coefficients(self.grams_, self.moments_, self.penalty_)

    def _evidence(
        self, val_errors: np.ndarray, X_val: np.ndarray | None, position: int | None
    ) -> dict[str, Any]:
        prompts = self.X_val_ if X_val is None else X_val
        (gram,), moments = gram_sums(prompts, val_errors[:, None], self._phi().block)
        if position is not None:
            gram = gram + self.grams_[position]
            moments = moments + self.moments_[position]
        (coefficients,) = ridge_coefficients([gram], moments, self.penalty_)
        return {"grams_": gram, "moments_": moments[0], "representation_": coefficients}

    def _predictor(self, index: np.ndarray) -> FeaturePredictor:
        return FeaturePredictor(self._phi(), self.representation_[index], self._prices(index))
