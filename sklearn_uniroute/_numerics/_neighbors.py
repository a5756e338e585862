"""Predicted errors from the nearest of the prompts that each model was run on."""

from functools import cache
from typing import Any, NamedTuple

import numpy as np
from sklearn.metrics.pairwise import PAIRED_DISTANCES, paired_distances
from sklearn.neighbors import NearestNeighbors
from sklearn.utils import gen_batches
from threadpoolctl import ThreadpoolController

from sklearn_uniroute._numerics._features import common_offset
from sklearn_uniroute._numerics._predictors import Predictor
from sklearn_uniroute._numerics._ridge import contrasts

# Cells per block of (prompts, neighbours, models) of leave-one-out.
_BLOCK_CELLS = 2**20
# Number of prompts to find beyond the k-th neighbour, in case some have the same distance.
_TIES = 16
# Metrics that do not change if all prompts are moved.
_OFFSET_FREE = ("euclidean", "l2", "sqeuclidean", "minkowski", "l1", "manhattan", "cityblock")
# Largest number of neighbours that leave-one-out tries.
_MOST_NEIGHBORS = 500
# Number of pairs whose exact distance is computed at a time.
_PAIRS = 8192
# Models that were run on so large a share of the prompts are searched for together.
_COMMON_SHARE = 0.5


@cache
def _thread_pools() -> ThreadpoolController:
    """Find the thread pools once, because it takes longer than a search."""
    return ThreadpoolController()


class _Group(NamedTuple):
    """Models that were run on the same prompts.

    `errors` has shape (n_members, n_own_prompts). `rows` are the own prompts among all, and `place`
    is the position of each prompt in them, -1 if it is no own prompt. `times` is how many
    neighbours each own prompt is, of the `k` that are averaged; `n_near` usually are enough.
    """

    members: np.ndarray
    errors: np.ndarray
    rows: np.ndarray
    place: np.ndarray
    times: np.ndarray
    k: float
    n_near: int


class NeighborPredictor(Predictor):
    """Errors as means over the nearest of the prompts that each model was run on.

    `n_neighbors` of shape (n_models,) is equal for models that were run on the same prompts. With
    `counts` of shape (n_prompts,), each prompt is so many neighbours.
    """

    def __init__(
        self,
        prompts: np.ndarray,
        errors: np.ndarray,
        prices: np.ndarray,
        n_neighbors: np.ndarray,
        weights: str,
        metric: Any,
        counts: np.ndarray | None = None,
    ) -> None:
        self.prompts, self.known, self.prices = prompts, errors, prices
        self.n_neighbors, self.weights = n_neighbors, weights
        self.metric: Any = metric
        self.counts = counts
        self.n_features = prompts.shape[1]
        self._origin = common_offset(prompts) if metric in _OFFSET_FREE else None
        # Other metrics of prompts with a long offset differ by less than single precision.
        self._dtype = prompts.dtype if metric in _OFFSET_FREE else np.dtype(np.float64)
        # Models that were run on the same prompts share their neighbours.
        was_run, group = np.unique(~np.isnan(errors), axis=0, return_inverse=True)
        some = np.flatnonzero(was_run.any(axis=0))
        self._candidates = self._centred(prompts[some])
        self._groups = []
        for number, run in enumerate(was_run[:, some]):
            members, rows = np.flatnonzero(group == number), np.flatnonzero(run)
            times = np.ones(len(rows)) if counts is None else counts[some[rows]]
            k = min(n_neighbors[members[0]], times.sum())
            usual = min(int(np.ceil(k / times.mean())), len(times))
            known = errors[np.ix_(members, some[rows])]
            place = np.where(run, run.cumsum() - 1, -1)
            self._groups.append(_Group(members, known, rows, place, times, k, usual))
        # Models whose prompts are mostly the same are found by one search among all prompts.
        share = [len(one.rows) / len(some) for one in self._groups]
        common = [number for number, part in enumerate(share) if part >= _COMMON_SHARE]
        self._common = common if len(common) > 1 else []
        if self._common:
            reach = max((self._groups[one].n_near + _TIES) / share[one] for one in common)
            self._n_found = min(int(1.1 * reach) + _TIES, len(some))
            self._among_all = self._search_among(np.arange(len(some)))
        # Searches among the prompts of one group; those of common groups are rarely needed.
        self._searches: dict[int, NearestNeighbors] = {}
        for number in set(range(len(self._groups))) - set(self._common):
            self._search(number)

    def _search(self, number: int) -> NearestNeighbors:
        if number not in self._searches:
            self._searches[number] = self._search_among(self._groups[number].rows)
        return self._searches[number]

    def _search_among(self, rows: np.ndarray) -> NearestNeighbors:
        every = len(rows) == len(self._candidates)
        candidates = self._candidates if every else self._candidates[rows]
        return NearestNeighbors(metric=self.metric, algorithm="brute").fit(candidates)

    def block(self, X: np.ndarray) -> np.ndarray:
        error = np.empty((len(X), len(self.prices)))
        X = self._centred(X)
        if self._common:
            found = nearest(X, self._among_all, self._n_found)
        for number, group in enumerate(self._groups):
            near = self._own(X, number, *found) if number in self._common else None
            error[:, group.members] = self._neighbor_means(X, number, near)
        return error

    def _own(
        self, X: np.ndarray, number: int, distance: np.ndarray, neighbor: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Take the nearest prompts of a group out of those found among all prompts.

        Where too few were found, the prompts of the group are searched.
        """
        group = self._groups[number]
        own = group.place[neighbor]
        first = np.argsort(own < 0, axis=1, kind="stable")[:, : group.n_near]
        short = (own >= 0).sum(axis=1) < min(group.n_near + _TIES, len(group.rows))
        distance, own = (np.take_along_axis(one, first, axis=1) for one in (distance, own))
        if short.any():
            distance[short], own[short] = nearest(X[short], self._search(number), group.n_near)
        return distance, own

    def _centred(self, X: np.ndarray) -> np.ndarray:
        X = X.astype(self._dtype, copy=False)
        return X if self._origin is None else X - self._origin.astype(X.dtype)

    def _neighbor_means(
        self, X: np.ndarray, number: int, near: tuple[np.ndarray, np.ndarray] | None
    ) -> np.ndarray:
        """Average the errors of each model over its neighbours, if given those found first."""
        group = self._groups[number]
        n_near, n_prompts = group.n_near, len(group.rows)
        while True:
            if near is None:
                near = nearest(X, self._search(number), n_near)
            distance, neighbor = near
            near_times = group.times[neighbor]
            # Neighbours that count little make up for k only if there are more of them.
            if n_near == n_prompts or near_times.sum(axis=1).min() >= group.k:
                break
            n_near, near = min(2 * n_near, n_prompts), None
        taken = np.clip(group.k - (near_times.cumsum(axis=1) - near_times), 0, near_times)
        if self.weights == "uniform":
            weight = taken
        else:
            if self.metric in PAIRED_DISTANCES:
                distance = exact_distances(X, self._candidates, group.rows[neighbor], self.metric)
            distance = np.where(taken > 0, distance, np.inf)
            same = distance == 0
            with np.errstate(divide="ignore"):
                weight = taken * np.where(same.any(axis=1, keepdims=True), same, 1 / distance)
        # Sum one neighbour at a time and divide last, so that equal evidence gives equal errors.
        total = np.zeros((len(group.errors), len(X)))
        for place in range(n_near):
            total += group.errors[:, neighbor[:, place]] * weight[:, place]
        return (total / weight.sum(axis=1)).T


def nearest(X: np.ndarray, search: NearestNeighbors, n_near: int) -> tuple[np.ndarray, np.ndarray]:
    """Find distances and positions of the nearest prompts, the first ones among ties."""
    n_found = min(n_near + _TIES, search.n_samples_fit_)
    # Several threads would order equal distances differently from batch to batch.
    with _thread_pools().limit(limits=1, user_api="openmp"):
        distance, neighbor = search.kneighbors(X, n_found)
    # Distances that differ only by rounding are ties, and ties go to the first prompts. Powers of
    # two bring distances of any size into the range of single precision.
    largest = distance.max(axis=1, keepdims=True, initial=0.0, where=np.isfinite(distance))
    exponent = np.frexp(largest)[1]
    distance = np.ldexp(distance, -exponent).astype(np.float32)
    order = np.lexsort((neighbor, distance))[:, :n_near]
    distance = np.take_along_axis(distance, order, axis=1).astype(np.float64)
    return np.ldexp(distance, exponent), np.take_along_axis(neighbor, order, axis=1)


def choose_n_neighbors(
    X: np.ndarray,
    errors: np.ndarray,
    queries: np.ndarray,
    weights: str,
    metric: Any,
    counts: np.ndarray | None = None,
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
    counts : ndarray of shape (n_prompts,), default=None
        Number of times that each prompt counts.

    Returns
    -------
    n_neighbors : int
        Number of prompts, among numbers that grow by half.
    """
    times = np.ones(len(X)) if counts is None else counts
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
        with _thread_pools().limit(limits=1, user_api="openmp"):
            distance, neighbor = search.kneighbors(centred[asked])
        # Leave out the prompt itself, or the last neighbour if it has many twins.
        itself = neighbor == asked[:, None]
        itself[~itself.any(axis=1), -1] = True
        shape = len(asked), most
        neighbor, distance = neighbor[~itself].reshape(shape), distance[~itself].reshape(shape)
        near, weight = errors[neighbor], times[neighbor][..., None]
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
            loss[number] += np.nansum(times[asked, None] * contrasts(one) ** 2)
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
