"""What a router goes by: a cost weight, or two of them, mixed to spend a budget in full."""

from typing import NamedTuple

import numpy as np

from sklearn_uniroute._numerics._predictors import Predictor
from sklearn_uniroute._numerics._row_uniform import row_uniform


class OperatingPoint(NamedTuple):
    """A share of the prompts, picked by a hash of the prompt, goes by the cost weight `beyond`."""

    cost_weight: float
    beyond: float = 0.0
    share: float = 0.0
    seed: int = 0

    def choose(
        self, predictor: Predictor, X: np.ndarray, among: np.ndarray | None = None
    ) -> np.ndarray:
        """Choose a model of the predictor for each prompt, among some positions or all."""
        chosen = predictor.choose(X, self.cost_weight, among)
        goes_beyond = self.goes_beyond(X)
        if goes_beyond is not None and goes_beyond.any():
            chosen[goes_beyond] = predictor.choose(X[goes_beyond], self.beyond, among)
        return chosen

    def goes_beyond(self, X: np.ndarray) -> np.ndarray | None:
        """Which prompts go by `beyond`; None if none ever do."""
        return row_uniform(X, self.seed) < self.share if self.share > 0 else None
