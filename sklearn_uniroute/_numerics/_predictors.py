"""Predicted errors and costs of the models of a pool on prompts, from arrays alone.

A predictor represents a fitted router and a pool. Routers predict with it, and routing tables keep
it. Models of equal cost and error tie, and the first one wins.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from scipy.special import expit
from sklearn.utils import gen_batches

from sklearn_uniroute._numerics._clusters import center_distances
from sklearn_uniroute._numerics._features import (
    TRACE,
    ClusterShares,
    NearestCluster,
    Phi,
    estimate_errors,
    estimate_row,
    hidden_features,
    row_blocks,
)
from sklearn_uniroute._numerics._routing import (
    choose,
    choose_by_product,
    leave_eligible,
    leave_one_choice,
    rows_by_mask,
)

# Odd number that mixes the bits of a hash.
_MIXER = np.uint64(0x9E3779B97F4A7C15)
# Cells per (prompts, models) block of predicted errors while models are chosen.
_BLOCK_CELLS = 2**20


class Predictor(ABC):
    """Base class of predictors.

    `prices` of shape (n_models,) holds the mean cost of each model, or 0 without costs.
    """

    prices: np.ndarray
    n_features: int

    @property
    def shares_costs(self) -> bool:
        """Whether all prompts have the same costs."""
        return True

    @abstractmethod
    def block(self, X: np.ndarray) -> np.ndarray:
        """Predict errors of shape (n_prompts, n_models), in double precision, in one step."""

    def errors(self, X: np.ndarray) -> np.ndarray:
        """Predict errors, block by block."""
        error = np.empty((len(X), len(self.prices)))
        for rows in row_blocks(len(X)):
            error[rows] = self.block(X[rows])
        return error

    def row(self, x: np.ndarray) -> np.ndarray:
        """Predict the errors of one prompt, of shape (n_models,)."""
        return self.block(x[None])[0]

    def costs(self, X: np.ndarray) -> np.ndarray:
        """Predict costs of shape (n_models,), or (n_prompts, n_models) if they differ by prompt."""
        return self.prices

    def terms(
        self, X: np.ndarray, costs: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Compute the errors and costs that decide choices; `costs` replaces predicted costs."""
        return self.errors(X), self.costs(X) if costs is None else costs

    def eligible_terms(
        self, X: np.ndarray, eligible: np.ndarray, costs: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Compute the terms where each prompt may only go to some models."""
        return leave_eligible(*self.terms(X, costs), eligible)

    def choose(
        self, X: np.ndarray, cost_weight: float, among: np.ndarray | None = None
    ) -> np.ndarray:
        """Choose a model for each prompt, among some positions or all, block by block."""
        chosen = np.empty(len(X), dtype=np.intp)
        for rows in gen_batches(len(X), max(1, _BLOCK_CELLS // len(self.prices))):
            if among is None:
                error, costs = self.terms(X[rows])
                chosen[rows] = choose(error, costs, cost_weight)
            else:
                error, costs = self.terms_without(X[rows], among)
                chosen[rows] = among[choose(error[:, among], costs[..., among], cost_weight)]
        return chosen

    def terms_without(self, X: np.ndarray, among: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Compute the errors and costs that decide the choices among some models."""
        return self.terms(X)


class Fallback(NamedTuple):
    """Model, by position, that is chosen for prompts farther than `distance` from all centres."""

    nearest: NearestCluster
    distance: float
    position: int

    def is_far(self, X: np.ndarray) -> np.ndarray:
        return center_distances(X, self.nearest)[0] > self.distance


class FeaturePredictor(Predictor):
    """Errors as products of features of prompts and representations of models (eq. 9)."""

    def __init__(
        self,
        phi: Phi,
        representation: np.ndarray,
        prices: np.ndarray,
        cost_representation: np.ndarray | None = None,
        fallback: Fallback | None = None,
    ) -> None:
        self.phi: Phi = phi
        # The order of summation depends on the memory layout.
        self.representation = np.ascontiguousarray(representation)
        self.prices = prices
        self.cost_representation = cost_representation
        self.fallback: Fallback | None = fallback
        self.n_features = phi.n_features

    @property
    def shares_costs(self) -> bool:
        return self.cost_representation is None

    def block(self, X: np.ndarray) -> np.ndarray:
        return estimate_errors(self.phi.block(X), self.representation)

    def row(self, x: np.ndarray) -> np.ndarray:
        return estimate_row(self.phi.block(x), self.representation)

    def costs(self, X: np.ndarray) -> np.ndarray:
        if self.cost_representation is None:
            return self.prices
        return self._costs_at(self.phi.features(X))

    def terms(
        self, X: np.ndarray, costs: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        if self.cost_representation is None and self.fallback is None:
            return super().terms(X, costs)
        far = None if self.fallback is None else self.fallback.is_far(X)
        return self.terms_at(self.phi.features(X), far, costs)

    def eligible_terms(
        self, X: np.ndarray, eligible: np.ndarray, costs: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        if self.fallback is None:
            return super().eligible_terms(X, eligible, costs)
        far = self.fallback.is_far(X) & eligible[:, self.fallback.position]
        return leave_eligible(*self.terms_at(self.phi.features(X), far, costs), eligible)

    def terms_at(
        self, features: np.ndarray, far: Any = None, costs: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Compute errors and costs from features; prompts marked in `far` go to the fallback."""
        error = estimate_errors(features, self.representation)
        if costs is None:
            costs = self._costs_at(features)
        if self.fallback is not None:
            error, costs = leave_one_choice(error, costs, far, self.fallback.position)
        return error, costs

    def terms_without(self, X: np.ndarray, among: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        if self.fallback is not None and self.fallback.position not in among:
            return self.errors(X), self.costs(X)
        return self.terms(X)

    def choose(
        self, X: np.ndarray, cost_weight: float, among: np.ndarray | None = None
    ) -> np.ndarray:
        if among is not None or not self.shares_costs or self.fallback is not None:
            return super().choose(X, cost_weight, among)
        by_cluster = self.choices_by_cluster(cost_weight)
        if by_cluster is not None:
            return by_cluster[self.phi.features(X)]
        chosen = np.empty(len(X), dtype=np.intp)
        weighted = cost_weight * self.prices
        for rows in row_blocks(len(X)):
            features = self.phi.block(X[rows]).astype(np.float64, copy=False)
            chosen[rows], close = choose_by_product(features, self.representation, weighted)
            close = rows.start + np.flatnonzero(close)
            if len(close):
                chosen[close] = super().choose(X[close], cost_weight)
        return chosen

    def folded(self, weighted_prices: np.ndarray) -> tuple[np.ndarray, np.ndarray, float] | None:
        """Fold prices into the representation, to score single prompts without normalisation.

        Returns
        -------
        scores : ndarray of shape (n_distinct, n_features)
            Weighted sums of these rows rank the models; None where responsibilities by distance do
            not decide.
        places : ndarray of shape (n_distinct,)
            Model of each row; the first among equal ones, which wins ties.
        slack : float
            Scores that are so close must be compared with more care.
        """
        if not isinstance(self.phi, ClusterShares) or self.phi.temperature == 0:
            return None
        known = np.column_stack([self.representation, weighted_prices])
        _, first = np.unique(known, axis=0, return_index=True)
        places = np.sort(first)
        scores = self.representation[places] + weighted_prices[places, None]
        rounding = np.ptp(scores) * (TRACE + 8 * np.finfo(np.float32).eps)
        rounding += np.abs(scores).max() * 8 * np.finfo(np.float64).eps
        return scores, places, float(scores.shape[1] * rounding)

    def choices_by_cluster(self, cost_weight: float) -> np.ndarray | None:
        """Choose a model for each cluster; None if the cluster alone does not decide."""
        if not isinstance(self.phi, NearestCluster) or self.fallback is not None:
            return None
        error, costs = self.terms_at(np.arange(self.phi.n_outputs))
        return choose(error, costs, cost_weight)

    def _costs_at(self, features: np.ndarray) -> np.ndarray:
        if self.cost_representation is None:
            return self.prices
        clusters = features
        if features.ndim > 1:
            clusters = features[:, : self.cost_representation.shape[1]]
        return estimate_errors(clusters, self.cost_representation)


class EnsemblePredictor(Predictor):
    """Weighted means of the errors and costs of several predictors."""

    def __init__(self, members: list[Predictor], weights: np.ndarray, prices: np.ndarray) -> None:
        self.members, self.weights, self.prices = members, weights, prices
        self.n_features = members[0].n_features

    @property
    def shares_costs(self) -> bool:
        return all(member.shares_costs for member in self.members)

    def block(self, X: np.ndarray) -> np.ndarray:
        return self._mean([member.block(X) for member in self.members])

    def row(self, x: np.ndarray) -> np.ndarray:
        return self._mean([member.row(x) for member in self.members])

    def costs(self, X: np.ndarray) -> np.ndarray:
        if self.shares_costs:
            return self.prices
        return self._mean([member.costs(X) for member in self.members])

    def _mean(self, values: list[np.ndarray]) -> np.ndarray:
        total = self.weights[0] * values[0]
        for weight, one in zip(self.weights[1:], values[1:], strict=True):
            total = total + weight * one
        return total


class OwnPredictor(Predictor):
    """Errors from a function of prompts and representations, for routers of your own."""

    def __init__(
        self,
        estimate: Callable[[np.ndarray, Any], np.ndarray],
        representation: Any,
        prices: np.ndarray,
        n_features: int,
    ) -> None:
        self.estimate, self.representation = estimate, representation
        self.prices, self.n_features = prices, n_features

    def block(self, X: np.ndarray) -> np.ndarray:
        error = np.asarray(self.estimate(X, self.representation), dtype=np.float64)
        expected = len(X), len(self.prices)
        if error.shape != expected:
            raise ValueError(
                f"`_estimate` returned an array of shape {error.shape}; expected {expected}, one "
                "error for each prompt and model."
            )
        if not np.isfinite(error).all():
            raise ValueError(
                "`_estimate` returned errors that are NaN or infinite; return finite errors."
            )
        return error


class NetworkOutputs(NamedTuple):
    """Trained network, with the positions of its models and their rows of the output layer.

    `output` has shape (n_models, 1 + n_hidden). The outputs are log odds unless `squared` is True.
    """

    coefs: list[np.ndarray]
    intercepts: list[np.ndarray]
    output: np.ndarray
    squared: bool
    members: np.ndarray


class NetworkPredictor(Predictor):
    """Errors as outputs of networks."""

    def __init__(
        self, means: np.ndarray, networks: list[NetworkOutputs], prices: np.ndarray
    ) -> None:
        self.means, self.networks, self.prices = means, networks, prices
        self.n_features = len(means)

    def block(self, X: np.ndarray) -> np.ndarray:
        error = np.empty((len(X), len(self.prices)))
        for network in self.networks:
            hidden = hidden_features(X, self.means, network.coefs, network.intercepts)
            features = np.column_stack([np.ones(len(hidden)), hidden])
            outputs = estimate_errors(features, network.output)
            error[:, network.members] = outputs if network.squared else expit(outputs)
        return error


@lru_cache(maxsize=16)
def _hash_factors(seed: int, n_factors: int) -> np.ndarray:
    factors: np.ndarray = np.random.PCG64(seed).random_raw(n_factors)
    return factors.astype(np.uint64)


def row_uniform(X: np.ndarray, seed: int) -> np.ndarray:
    """Hash each row to a number that is uniform on [0, 1).

    Rows are hashed in single precision, so that the same embedding in double precision gives the
    same number. The hash is multilinear: the bits of each feature, times a random number of the
    seed, are added up modulo ``2 ** 64``. Its upper bits are uniform and pairwise independent.

    Parameters
    ----------
    X : ndarray of shape (n_prompts, n_features)
    seed : int
        At least 0 and below 2**64.

    Returns
    -------
    uniform : ndarray of shape (n_prompts,)
    """
    factors = _hash_factors(int(seed), 1 + X.shape[1])
    uniform = np.empty(len(X))
    for rows in row_blocks(len(X)):
        # Adding zero turns a negative zero into a positive one.
        bits = (X[rows].astype(np.float32) + np.float32(0)).view(np.uint32)
        sums = factors[0] + np.einsum("nd,d->n", bits, factors[1:], dtype=np.uint64)
        # Mix the bits, so that features in arithmetic progression have no pattern.
        sums ^= sums >> np.uint64(32)
        sums *= _MIXER
        sums ^= sums >> np.uint64(29)
        # Keep 53 bits, as many as a double holds; all 64 could round up to 1.
        uniform[rows] = (sums >> np.uint64(11)) * 2.0**-53
    return uniform


class OperatingPoint(NamedTuple):
    """Cost weight, and a second one, `beyond`, for a `share` of the prompts, picked by a hash."""

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
        if goes_beyond is None:
            return chosen
        for rows in row_blocks(len(X)):
            moved = rows.start + np.flatnonzero(goes_beyond[rows])
            if len(moved):
                chosen[moved] = predictor.choose(X[moved], self.beyond, among)
        return chosen

    def choose_eligible(
        self, predictor: Predictor, X: np.ndarray, eligible: np.ndarray
    ) -> np.ndarray:
        """Choose a model for each prompt, among those that are eligible for it."""
        chosen = np.empty(len(X), dtype=np.intp)
        for rows, among in rows_by_mask(eligible):
            chosen[rows] = self.choose(predictor, X[rows], among)
        return chosen

    def cost_weight_at(self, x: np.ndarray) -> float:
        """Cost weight at which one prompt is routed."""
        beyond = self.goes_beyond(x[None])
        return self.cost_weight if beyond is None or not beyond[0] else self.beyond

    def goes_beyond(self, X: np.ndarray) -> np.ndarray | None:
        """Mark the prompts that are routed at `beyond`; None if `share` is 0."""
        return row_uniform(X, self.seed) < self.share if self.share > 0 else None
