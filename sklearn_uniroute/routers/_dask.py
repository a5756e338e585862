"""Prompts in blocks: dask arrays, in memory or on the workers of a cluster."""

from collections.abc import Callable, Sequence
from copy import copy
from functools import partial, reduce
from typing import Any, NoReturn

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import clone
from sklearn.utils import check_array, check_random_state

from sklearn_uniroute._numerics._features import NearestCluster, Phi
from sklearn_uniroute._numerics._posterior import ClusterSums, added, sum_up
from sklearn_uniroute.utils._optional import import_optional
from sklearn_uniroute.utils._typing import Label
from sklearn_uniroute.utils._validation import (
    FLOATS,
    as_numbers,
    check_costs,
    check_quality,
    feature_names,
    is_dask,
    listing,
    model_labels,
    select_columns,
)

# Number of prompts in the sample that fits everything except sums.
_SAMPLE = 10_000
# Number of blocks whose sums are added in one step.
_FAN_IN = 8


def map_rows(
    function: Callable[[np.ndarray], np.ndarray],
    X: Any,
    n_features: int,
    dtype: Any,
    n_columns: int | None = None,
) -> Any:
    """Apply a function to rows, block by block, and return a lazy dask array."""
    names = feature_names(X)
    X = _as_blocks(X)
    if X.shape[1] != n_features:
        raise ValueError(
            f"`X` has {X.shape[1]} features, but the router was fitted on {n_features}; pass "
            "embeddings of the same kind as in `fit`."
        )
    function = partial(_of_rows, function, dtype, n_columns, names)
    if n_columns is None:
        return X.map_blocks(function, drop_axis=1, dtype=dtype)
    return X.map_blocks(function, chunks=(X.chunks[0], (n_columns,)), dtype=dtype)


def predict_error_blocks(router: Any, X: Any, pool: list[Label], return_std: bool) -> Any:
    """Predict errors, and optionally standard errors, as dask arrays."""
    dtype = np.float32 if X.dtype == np.float32 else np.float64
    # Changes of the router replace its arrays, so a shallow copy does not change with it.
    blocks = [
        map_rows(
            partial(_predicted_part, copy(router), pool, return_std, part),
            X,
            router.n_features_in_,
            dtype,
            len(pool),
        )
        for part in range(1 + return_std)
    ]
    return tuple(blocks) if return_std else blocks[0]


def _predicted_part(
    router: Any, pool: list[Label], return_std: bool, part: int, X: np.ndarray
) -> np.ndarray:
    """Predict the errors or the standard errors of one block."""
    predicted = router.predict_error(X, pool, return_std=return_std)
    return predicted[part] if return_std else predicted


def _of_rows(
    function: Callable[[np.ndarray], np.ndarray],
    dtype: Any,
    n_columns: int | None,
    names: list[str] | None,
    X: np.ndarray,
) -> np.ndarray:
    if len(X) == 0:
        return np.empty((0,) if n_columns is None else (0, n_columns), dtype=dtype)
    return function(_named(X, names))


def _named(X: Any, names: list[str] | None) -> Any:
    """Give the columns their names back."""
    return X if names is None else import_optional("pandas", "pandas").DataFrame(X, columns=names)


def fit_blocks(router: Any, X: Any, y: Any, costs: Any, X_val: ArrayLike | None) -> None:
    """Fit a router on a sample, then replace its sums by the sums over all blocks."""
    array, dask = import_optional("dask.array", "dask"), import_optional("dask", "dask")
    if not is_dask(X):
        raise TypeError("`y` is a dask array, but `X` is not; pass both in blocks, or neither.")
    columns = feature_names(X)
    X = _as_blocks(X)
    _check_lengths_known(X, "X")
    names = model_labels(y)
    y = _in_blocks(array, y, X, "y")
    labels = np.arange(y.shape[1]) if names is None else names
    by_call = np.ndim(costs) == 2
    if by_call:
        costs = _in_blocks(array, select_columns(costs, labels, name="costs"), X, "costs")
    rng = check_random_state(router.random_state)
    rows = np.sort(rng.permutation(len(X))[:_SAMPLE])
    sample = [X[rows], y[rows], costs[rows] if by_call else costs]
    X_sample, y_sample, costs_sample = dask.compute(*sample)
    _check_sample(y_sample, labels)
    clusterer = router.clusterer
    if clusterer is not None:
        by_sample = type(clusterer).__module__.startswith("sklearn.")
        clusterer = None if by_sample else clone(clusterer).fit(X)
        router._n_clustered = len(X)
    if names is not None:
        pandas = import_optional("pandas", "pandas")
        y_sample = pandas.DataFrame(y_sample, columns=names)
        if by_call:
            costs_sample = pandas.DataFrame(costs_sample, columns=names)
    X_sample = _named(X_sample, columns)
    router._fit_with(clusterer, X_sample, y_sample, costs_sample, X_val)
    if router.validation_indices_ is not None:
        router.validation_indices_ = rows[router.validation_indices_]
        router._row_labels = None
    nearest, phi, noise = router._sums_by()
    recorded = router._needs_recorded_costs
    sums = dask.delayed(
        partial(_block_sums, nearest=nearest, phi=phi, noise=noise, recorded=recorded)
    )
    blocks = zip(
        X.chunks[0],
        X.to_delayed()[:, 0],
        y.to_delayed()[:, 0],
        costs.to_delayed()[:, 0] if by_call else [None] * X.numblocks[0],
        strict=True,
    )
    parts = [sums(*block) for length, *block in blocks if length > 0]
    while len(parts) > 1:
        groups = [parts[first : first + _FAN_IN] for first in range(0, len(parts), _FAN_IN)]
        parts = [dask.delayed(_total)(group) for group in groups]
    router._set_sums(parts[0].compute())


def _as_blocks(X: Any) -> Any:
    """Convert a dask array or DataFrame of prompts to blocks of rows."""
    if hasattr(X, "to_dask_array"):
        X = X.to_dask_array(lengths=True)
    if X.ndim != 2:
        raise ValueError(f"`X` must be of shape (n_prompts, n_features); got shape {X.shape}.")
    return X.rechunk({1: -1})


def _check_lengths_known(values: Any, name: str) -> None:
    if np.isnan(values.shape[0]):
        raise ValueError(
            f"`{name}` has blocks of unknown length; call compute_chunk_sizes() on it first."
        )


def _in_blocks(array: Any, values: Any, X: Any, name: str) -> Any:
    """Cut a table into the same blocks as the prompts."""
    if hasattr(values, "to_dask_array"):
        values = values.to_dask_array(lengths=True)
    if not is_dask(values):
        values = array.from_array(np.asarray(as_numbers(values)), chunks=-1)
    if values.ndim == 2:
        _check_lengths_known(values, name)
    if values.ndim != 2 or len(values) != len(X):
        raise ValueError(
            f"`{name}` has shape {values.shape} but there are {len(X)} prompts; pass one row "
            "per prompt and one column per model."
        )
    return values.rechunk((X.chunks[0], -1))


def _check_sample(y: np.ndarray, labels: np.ndarray) -> None:
    """Refuse models that were not run on any prompt of the sample."""
    unseen = labels[np.isnan(y).all(axis=0)]
    if len(unseen):
        raise ValueError(
            f"of {len(y)} prompts drawn from `y` none has a quality for model(s) "
            f"{listing(unseen)}; leave these models out, and add them with add_model."
        )


def _block_sums(
    X: np.ndarray,
    y: np.ndarray,
    costs: np.ndarray | None,
    nearest: NearestCluster,
    phi: Phi,
    noise: np.ndarray | None,
    recorded: bool,
) -> ClusterSums:
    X = check_array(X, dtype=FLOATS, input_name="X")
    y = check_quality(y, n_prompts=len(X), every_model=False)
    if costs is not None:
        labels = np.arange(y.shape[1])
        costs = check_costs(costs, labels, quality=y, recorded=recorded, every_model=False)
    return sum_up(X, 1 - y, costs, nearest, phi, noise)


def _total(parts: Sequence[ClusterSums]) -> ClusterSums:
    return reduce(added, parts)


def refuse_blocks(router: Any) -> NoReturn:
    """Refuse blocks where all prompts are needed at once."""
    raise TypeError(
        f"a {type(router).__name__} needs all prompts at once, and `X` is a dask array; pass "
        "X.compute(), or use a KMeansRouter, a LearnedMapRouter or a HybridRouter."
    )
