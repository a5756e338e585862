"""Exploration: a share of the prompts is routed by draws from the posterior of the models."""

from collections.abc import Sequence
from typing import Any, NamedTuple
from zlib import crc32

import numpy as np
from scipy.linalg import cholesky

from sklearn_uniroute._numerics._predictors import FeaturePredictor, OperatingPoint
from sklearn_uniroute._numerics._routing import ROUNDING
from sklearn_uniroute.utils._typing import Label

# Share of the variance that keeps a covariance positive definite.
_JITTER = 1e-12
# Added faster than a scalar.
_ZERO = np.zeros((), dtype=np.float32)
# Odd numbers that mix the bits of a hash.
_FIRST_MIXER, _SECOND_MIXER, _ALL_BITS = 0x9E3779B97F4A7C15, 0xD6E8FEB86659FD93, 2**64 - 1


class Exploration(NamedTuple):
    """Share of the prompts that is routed by draws, and the draws.

    `draws` has shape (n_draws, n_models, n_outputs): representations of the models. `seed` picks
    the prompts.
    """

    share: float
    draws: np.ndarray
    seed: int = 0


def draw_representations(
    means: np.ndarray, covariances: list[np.ndarray], n_draws: int, rng: np.random.RandomState
) -> np.ndarray:
    """Draw representations of models from their posteriors.

    Parameters
    ----------
    means : ndarray of shape (n_models, n_outputs)
    covariances : list of ndarray of shape (n_outputs, n_outputs)
    n_draws : int
    rng : RandomState

    Returns
    -------
    draws : ndarray of shape (n_draws, n_models, n_outputs)
    """
    draws = rng.normal(size=(n_draws, *means.shape))
    for model, covariance in enumerate(covariances):
        jitter = _JITTER * np.trace(covariance) * np.eye(len(covariance))
        draws[:, model] = means[model] + draws[:, model] @ cholesky(covariance + jitter)
    return draws


class Explorer:
    """Scores of models by draws, for a predictor at an operating point."""

    def __init__(
        self, predictor: FeaturePredictor, point: OperatingPoint, exploration: Exploration
    ) -> None:
        self.predictor, self.point, self.exploration = predictor, point, exploration
        known = np.concatenate([exploration.draws, predictor.representation[None]])
        # With the models last, the best model of each draw is found fastest.
        by_output = np.ascontiguousarray(known.transpose(2, 0, 1))
        weighted = point.cost_weight * predictor.prices
        folded = predictor.folded(weighted)
        self._plain = predictor.shares_costs and predictor.fallback is None and point.share == 0
        self.folds = self._plain and folded is not None
        if self.folds:
            by_output += weighted
        self._by_output, self._weighted = by_output, weighted
        self._flat, self._shape = by_output.reshape(len(by_output), -1), by_output.shape[1:]
        # Greedy choices that are so close are left to the table.
        self._slack = 8 * ROUNDING * float(weighted.max()) if folded is None else folded[2]
        self._share, self._n_draws = exploration.share, len(exploration.draws)
        # Hashes of 64 bits below this are explored.
        self._bound = int(exploration.share * 2**64)

    def draw_of(self, content: bytes | memoryview) -> int | None:
        """Pick the draw that routes a prompt by a hash of its content; None if none does."""
        number = (crc32(content) ^ self.exploration.seed) * _FIRST_MIXER & _ALL_BITS
        number = (number ^ number >> 32) * _SECOND_MIXER & _ALL_BITS
        number ^= number >> 29
        return number * self._n_draws // self._bound if number < self._bound else None

    def winners(
        self, x: np.ndarray, features: Any, excluded: list[int] | None
    ) -> tuple[list[int], bool]:
        """Find the best model for one prompt by each draw, then by the means of the models.

        Parameters
        ----------
        x : ndarray of shape (n_features,)
        features : int or ndarray of shape (n_outputs,)
            Cluster of the prompt, or its features; if prices are folded, up to a factor.
        excluded : list of int or None
            Positions of models not to choose.

        Returns
        -------
        winners : list of n_draws + 1 ints
        is_sure : bool
            Whether the last one is the table's greedy choice; otherwise more decides.
        """
        if features.ndim == 0:
            scores = self._by_output[features].copy()
        else:
            scores = features.dot(self._flat).reshape(self._shape)
        if not self._plain:
            scores += self.point.cost_weight_at(x) * self.predictor.costs(x[None])
            fallback = self.predictor.fallback
            # A prompt that falls back is not explored.
            if fallback is not None and fallback.is_far(x[None])[0]:
                scores[:, fallback.position] = -np.inf
        elif not self.folds:
            scores += self._weighted
        if excluded:
            scores[:, excluded] = np.inf
        winners: list[int] = scores.argmin(axis=1).tolist()
        least, *others = sorted(scores[-1].tolist())
        slack = self._slack + 4 * ROUNDING * abs(least)
        return winners, self._plain and (not others or others[0] > least + slack)

    def probability(self, place: int, greedy: int, winners: list[int]) -> float:
        """Compute with which probability a model is chosen, given the best one by each draw."""
        by_draws = self._share * (winners.count(place) / self._n_draws)
        return by_draws + 1 - self._share if place == greedy else by_draws

    def logged_by_cluster(
        self, greedy: np.ndarray, models: Sequence[Label]
    ) -> list[list[tuple[Label, float]]]:
        """Model and probability by each draw, then greedily, for each cluster."""
        logged = []
        for place, errors in zip(greedy, self._by_output, strict=True):
            winners = (errors + self._weighted).argmin(axis=1).tolist()[:-1]
            chosen = [*winners, place]
            logged.append([(models[one], self.probability(one, place, winners)) for one in chosen])
        return logged

    def choose(self, X: np.ndarray, among: np.ndarray | None, chosen: np.ndarray) -> np.ndarray:
        """Replace the greedy choices of the prompts that draws route."""
        chosen = chosen.copy()
        picked: dict[int, list[int]] = {}
        for row, x in enumerate(X):
            draw = self.draw_of(content_of(x))
            if draw is not None:
                picked.setdefault(draw, []).append(row)
        for draw, rows in picked.items():
            chosen[rows] = self.point.choose(self._predictor_of(draw), X[rows], among)
        return chosen

    def _predictor_of(self, draw: int) -> FeaturePredictor:
        one = self.predictor
        return FeaturePredictor(
            one.phi,
            self.exploration.draws[draw],
            one.prices,
            one.cost_representation,
            one.fallback,
        )


def content_of(x: np.ndarray) -> memoryview:
    """Numbers of a prompt as they are hashed, the same in single and double precision."""
    # Adding zero turns a negative zero into a positive one.
    return (x.astype(np.float32, copy=False) + _ZERO).data
