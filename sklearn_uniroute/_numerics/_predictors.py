"""Predicted errors and costs of the models of a pool on prompts, from arrays alone.

A predictor represents a fitted router and a pool. Routers predict with it, and routing tables keep
it. Models of equal cost and error tie, and the first one wins.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import cache, lru_cache
from typing import Any, NamedTuple

import numpy as np
from scipy.special import expit
from sklearn.metrics.pairwise import PAIRED_DISTANCES, paired_distances
from sklearn.neighbors import NearestNeighbors
from sklearn.utils import gen_batches
from threadpoolctl import ThreadpoolController

from sklearn_uniroute._numerics._clusters import center_distances
from sklearn_uniroute._numerics._features import (
    TRACE,
    ClusterShares,
    NearestCluster,
    Phi,
    common_offset,
    estimate_errors,
    estimate_row,
    hidden_features,
    row_blocks,
)
from sklearn_uniroute._numerics._ridge import contrasts
from sklearn_uniroute._numerics._routing import choose, choose_by_product, leave_one_choice

# Odd number that mixes the bits of a hash.
_MIXER = np.uint64(0x9E3779B97F4A7C15)
# Cells per (prompts, models) block of predicted errors while models are chosen.
_BLOCK_CELLS = 2**20
# Number of prompts to find beyond the k-th neighbour, in case some have the same distance.
_TIES = 16
# Metrics that do not change if all prompts are moved.
_OFFSET_FREE = ("euclidean", "l2", "sqeuclidean", "minkowski", "l1", "manhattan", "cityblock")
# Largest number of neighbours that leave-one-out tries.
_MOST_NEIGHBORS = 500
# Number of pairs whose exact distance is computed at a time.
_PAIRS = 8192


@cache
def _thread_pools() -> ThreadpoolController:
    """Find the thread pools once, because it takes longer than a search."""
    return ThreadpoolController()


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
                error, costs = self._terms_without(X[rows], among)
                chosen[rows] = among[choose(error[:, among], costs[..., among], cost_weight)]
        return chosen

    def _terms_without(self, X: np.ndarray, among: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
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

    def _terms_without(self, X: np.ndarray, among: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
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

    def errors(self, X: np.ndarray) -> np.ndarray:
        return self._mean([member.errors(X) for member in self.members])

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


class NeighborPredictor(Predictor):
    """Errors as means over the nearest of the prompts that each model was run on.

    `n_neighbors` of shape (n_models,) is equal for models that were run on the same prompts.
    """

    def __init__(
        self,
        prompts: np.ndarray,
        errors: np.ndarray,
        prices: np.ndarray,
        n_neighbors: np.ndarray,
        weights: str,
        metric: Any,
    ) -> None:
        self.prompts, self.known, self.prices = prompts, errors, prices
        self.n_neighbors, self.weights = n_neighbors, weights
        self.metric: Any = metric
        self.n_features = prompts.shape[1]
        self._origin = common_offset(prompts) if metric in _OFFSET_FREE else None
        # Other metrics of prompts with a long offset differ by less than single precision.
        self._dtype = prompts.dtype if metric in _OFFSET_FREE else np.dtype(np.float64)
        # Models that were run on the same prompts share their neighbours.
        was_run, group = np.unique(~np.isnan(errors), axis=0, return_inverse=True)
        self._searches = []
        for number, run in enumerate(was_run):
            members = np.flatnonzero(group == number)
            k = min(n_neighbors[members[0]], run.sum())
            search = NearestNeighbors(n_neighbors=k, metric=metric, algorithm="brute")
            candidates = self._centred(prompts[run])
            self._searches.append(
                (members, errors[np.ix_(members, run)], candidates, search.fit(candidates))
            )

    def errors(self, X: np.ndarray) -> np.ndarray:
        # scikit-learn searches block by block itself.
        return self.block(X)

    def block(self, X: np.ndarray) -> np.ndarray:
        error = np.empty((len(X), len(self.prices)))
        X = self._centred(X)
        for members, known, candidates, search in self._searches:
            error[:, members] = self._neighbor_means(X, known, candidates, search)
        return error

    def _centred(self, X: np.ndarray) -> np.ndarray:
        X = X.astype(self._dtype, copy=False)
        return X if self._origin is None else X - self._origin.astype(X.dtype)

    def _neighbor_means(
        self,
        X: np.ndarray,
        errors: np.ndarray,
        candidates: np.ndarray,
        search: NearestNeighbors,
    ) -> np.ndarray:
        """Average the `errors` of each model over the neighbours."""
        k = search.n_neighbors
        n_found = min(k + _TIES, search.n_samples_fit_)
        # Several threads would order equal distances differently from batch to batch.
        with _thread_pools().limit(limits=1, user_api="openmp"):
            distance, neighbor = search.kneighbors(X, n_found)
        # Distances that differ only by rounding are ties, and ties go to the first prompts.
        distance = distance.astype(np.float32)
        order = np.lexsort((neighbor, distance))[:, :k]
        distance = np.take_along_axis(distance, order, axis=1).astype(np.float64)
        neighbor = np.take_along_axis(neighbor, order, axis=1)
        if self.weights == "uniform":
            weight = np.ones_like(distance)
        else:
            if self.metric in PAIRED_DISTANCES:
                distance = exact_distances(X, candidates, neighbor, self.metric)
            same = distance == 0
            with np.errstate(divide="ignore"):
                weight = np.where(same.any(axis=1, keepdims=True), same, 1 / distance)
        # Sum one neighbour at a time and divide last, so that equal evidence gives equal errors.
        total = np.zeros((len(errors), len(X)))
        for place in range(k):
            total += errors[:, neighbor[:, place]] * weight[:, place]
        return (total / weight.sum(axis=1)).T


def choose_n_neighbors(
    X: np.ndarray, errors: np.ndarray, queries: np.ndarray, weights: str, metric: Any
) -> int:
    """Choose the number of neighbours by leave-one-out.

    What the models have in common on a prompt is left out, since it decides no choice.

    Parameters
    ----------
    X : ndarray of shape (n_prompts, n_features)
    errors : ndarray of shape (n_prompts, n_models)
        NaN where a model was not run.
    queries : ndarray of shape (n_queries,)
        Rows of the prompts to predict from the others.
    weights : {"uniform", "distance"}
    metric : str or callable

    Returns
    -------
    n_neighbors : int
        Among numbers that grow by half.
    """
    most = min(len(X) - 1, _MOST_NEIGHBORS)
    if most < 1:
        return 1
    numbers = np.unique(np.minimum(np.rint(4 * 1.5 ** np.arange(13)).astype(int), most))
    origin = common_offset(X) if metric in _OFFSET_FREE else None
    centred = X if origin is None else X - origin.astype(X.dtype)
    search = NearestNeighbors(n_neighbors=most + 1, metric=metric, algorithm="brute").fit(centred)
    loss = np.zeros(len(numbers))
    for rows in gen_batches(len(queries), max(1, _BLOCK_CELLS // (most * errors.shape[1]))):
        asked = queries[rows]
        distance, neighbor = search.kneighbors(centred[asked])
        # Leave out the prompt itself, or the last neighbour if it has many twins.
        itself = neighbor == asked[:, None]
        itself[~itself.any(axis=1), -1] = True
        shape = len(asked), most
        neighbor, distance = neighbor[~itself].reshape(shape), distance[~itself].reshape(shape)
        near, weight = errors[neighbor], np.ones((*shape, 1), dtype=errors.dtype)
        if weights == "distance":
            weight /= np.maximum(distance, np.finfo(np.float32).tiny)[..., None]
        known = ~np.isnan(near)
        # Sums over the neighbours between one number and the next, then over all up to it.
        starts = np.append(0, numbers[:-1])
        total = np.add.reduceat(np.where(known, near, 0) * weight, starts, axis=1).cumsum(axis=1)
        mass = np.add.reduceat(known * weight, starts, axis=1).cumsum(axis=1)
        with np.errstate(invalid="ignore"):
            residual = total / mass - errors[asked][:, None]
        for number, one in enumerate(residual.transpose(1, 0, 2)):
            own = contrasts(one) if one.shape[1] > 1 else one
            loss[number] += np.nansum(own**2)
    return int(numbers[loss.argmin()])


def exact_distances(
    X: np.ndarray, candidates: np.ndarray, neighbor: np.ndarray, metric: str
) -> np.ndarray:
    """Compute the distances of prompts to their neighbours from differences.

    A search computes distances from products, where rounding may separate equal prompts.

    Parameters
    ----------
    X : ndarray of shape (n_prompts, n_features)
    candidates : ndarray of shape (n_candidates, n_features)
    neighbor : ndarray of shape (n_prompts, n_neighbors)
        Row of each neighbour in `candidates`.
    metric : str
        Name of one of scikit-learn's paired distances.

    Returns
    -------
    distance : ndarray of shape (n_prompts, n_neighbors), dtype float64
    """
    n_neighbors = neighbor.shape[1]
    distance = np.empty(neighbor.shape)
    for rows in gen_batches(len(X), max(1, _PAIRS // n_neighbors)):
        # Sums depend on the layout: equal prompts must be laid out alike.
        near = np.ascontiguousarray(candidates[neighbor[rows].ravel()])
        block = np.ascontiguousarray(np.repeat(X[rows], n_neighbors, axis=0))
        distance[rows] = paired_distances(block, near, metric=metric).reshape(-1, n_neighbors)
    return distance


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

    def goes_beyond(self, X: np.ndarray) -> np.ndarray | None:
        """Mark the prompts that are routed at `beyond`; None if `share` is 0."""
        return row_uniform(X, self.seed) < self.share if self.share > 0 else None
